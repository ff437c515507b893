"""What the six services say about one command, from its request to its end."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from placet.events.codec import timestamp
from placet.events.contracts import builder, certifier, deployer, gateway, indexer
from placet.events.contracts.shapes import Binding, PolicyRef, Resources, Stage, Verdict
from placet.events.testing import changed
from placet.gateway.operations import Operation, advance, requested

START = datetime(2026, 1, 1, tzinfo=UTC)
OPERATION = "00000000-0000-7000-8000-00000000000a"
CERTIFICATE = "certificate:00000000-0000-7000-8000-00000000000c"
SOURCE, IMAGE = f"sha256:{'5' * 64}", f"sha256:{'1' * 64}"
RESOURCES = Resources(cpu_millis=500, memory_bytes=2**29, gpus=0, min_replicas=1, max_replicas=1)
POLICIES = (PolicyRef(id="house", version=1, digest=f"sha256:{'e' * 64}"),)


def verdict(rule: str, stage: Stage, result: Any = "pass", on_fail: Any = "deny") -> Verdict:
    bad = result != "pass"
    return Verdict(
        rule=rule,
        policy="house",
        stage=stage,
        result=result,
        on_fail=on_fail,
        why=f"{rule} says no" if bad else None,
        fix=f"mend {rule}" if bad else None,
    )


SUBMIT = (verdict("owner.named", "submit"), verdict("card.present", "submit", "fail", "warn"))
CERTIFY = (verdict("image.of-source", "certify"),)


def asked(
    command: Any = "deploy", *, image: str | None = None, project: str = "churn", release: int = 1
) -> gateway.DeployRequested:
    return gateway.DeployRequested(
        project=project, release=release, command=command, source=SOURCE, image=image
    )


def cleared(command: Any = "deploy", *, project: str = "churn", release: int = 1) -> certifier.ReleaseCleared:
    return certifier.ReleaseCleared(
        project=project,
        release=release,
        command=command,
        source=SOURCE,
        image=None,
        format="sklearn",
        resources=RESOURCES,
        access="token",
        policies=POLICIES,
        verdicts=SUBMIT,
    )


def refused(stage: Stage, *verdicts: Verdict, project: str = "churn") -> certifier.ReleaseRefused:
    return certifier.ReleaseRefused(
        project=project, release=1, stage=stage, source=SOURCE, policies=POLICIES, verdicts=verdicts
    )


def reserved(project: str = "churn", release: int = 1) -> deployer.ResourcesReserved:
    return deployer.ResourcesReserved(
        project=project,
        release=release,
        source=SOURCE,
        image=None,
        resources=RESOURCES,
        until="2026-01-01T00:30:00.000Z",
    )


def accepted_build(project: str = "churn", release: int = 1) -> builder.BuildAccepted:
    return builder.BuildAccepted(project=project, release=release, source=SOURCE, image=None)


def built(project: str = "churn", release: int = 1, image: str = IMAGE) -> builder.ImageBuilt:
    return builder.ImageBuilt(
        project=project,
        release=release,
        source=SOURCE,
        image=image,
        repository=f"models/{project}",
        size=67_000_000,
        lock=f"sha256:{'7' * 64}",
        base="none",
        python="cp311",
    )


def reused(project: str = "churn", release: int = 1) -> builder.ImageReused:
    return builder.ImageReused(
        project=project, release=release, source=SOURCE, image=IMAGE, repository=f"models/{project}"
    )


def build_failed(why: str = "no wheel fits") -> builder.BuildFailed:
    return builder.BuildFailed(project="churn", release=1, source=SOURCE, why=why, fix="pin another version")


def indexed(project: str = "churn", release: int = 1, image: str = IMAGE) -> indexer.ImageIndexed:
    return indexer.ImageIndexed(
        project=project,
        release=release,
        source=SOURCE,
        image=image,
        repository=f"models/{project}",
        image_source=SOURCE,
        image_project=project,
        format="sklearn",
        lock=f"sha256:{'7' * 64}",
        base="none",
        python="cp311",
        builder="1",
        size=67_000_000,
        layers=4,
    )


def vanished() -> indexer.ImageVanished:
    return indexer.ImageVanished(
        project="churn", release=1, image=IMAGE, repository="models/churn", why="the registry has no image"
    )


BINDING = Binding(
    digest=f"sha256:{'b' * 64}", source=SOURCE, image=IMAGE, inputs=f"sha256:{'a' * 64}", policies=POLICIES
)
MISSING = verdict("two.approve", "certify", "fail")


def awaited(
    command: Any = "deploy", *, project: str = "churn", release: int = 1, asker: str | None = None
) -> certifier.ApprovalAwaited:
    return certifier.ApprovalAwaited(
        project=project,
        release=release,
        command=command,
        binding=BINDING,
        verdicts=(*CERTIFY, MISSING),
        since="2026-01-01T00:00:10.000Z",
        until="2026-01-15T00:00:10.000Z",
        asker=asker,
    )


def certified(
    command: Any = "deploy", *, project: str = "churn", release: int = 1, certificate: str = CERTIFICATE
) -> certifier.CertificateIssued:
    return certifier.CertificateIssued(
        certificate=certificate,
        project=project,
        release=release,
        command=command,
        source=SOURCE,
        image=IMAGE,
        repository=f"models/{project}",
        envelope=f"sha256:{'d' * 64}",
        not_before="2026-01-01T00:00:00.000Z",
        not_after="2026-04-01T00:00:00.000Z",
        policies=POLICIES,
        verdicts=CERTIFY,
    )


def accepted_start(project: str = "churn", release: int = 1, request: int = 1) -> deployer.StartAccepted:
    return deployer.StartAccepted(
        project=project,
        release=release,
        image=IMAGE,
        repository=f"models/{project}",
        certificate=CERTIFICATE,
        request=request,
    )


def started(
    project: str = "churn",
    release: int = 1,
    request: int = 1,
    endpoints: tuple[str, ...] = ("http://127.0.0.1:1",),
) -> deployer.ModelStarted:
    return deployer.ModelStarted(
        project=project,
        release=release,
        image=IMAGE,
        certificate=CERTIFICATE,
        url=f"http://placet/models/{project}",
        endpoints=endpoints,
        request=request,
        sample="answered",
    )


def failed(project: str = "churn", release: int = 1, request: int = 1) -> deployer.ModelFailed:
    return deployer.ModelFailed(
        project=project, release=release, why="the answer differs", fix="look at it", request=request
    )


DEPLOY = (
    asked(),
    cleared(),
    reserved(),
    accepted_build(),
    built(),
    indexed(),
    certified(),
    accepted_start(),
    started(),
)
BUILD = (asked("build"), cleared("build"), accepted_build(), built(), indexed(), certified("build"))
REDEPLOY = (asked(), cleared(), reserved(), reused(), indexed(), certified(), accepted_start(), started())
START_AGAIN = (gateway.StartRequested(project="churn", release=1), accepted_start(), started())
STOP = (
    gateway.StopRequested(project="churn"),
    deployer.ModelStopped(project="churn", release=1, request=2),
)
DELETE = (
    gateway.DeleteRequested(project="churn"),
    deployer.ModelDeleted(project="churn", request=2),
)
APPROVED = (
    asked(),
    cleared(),
    reserved(),
    reused(),
    indexed(),
    awaited(),
    changed(certified(), verdicts=(*CERTIFY, verdict("two.approve", "certify"))),
    accepted_start(),
    started(),
)
NO_IMAGE = (
    asked(),
    cleared(),
    reserved(),
    accepted_build(),
    built(),
    vanished(),
    refused("certify", verdict("image.readable", "certify", "indeterminate")),
    deployer.ResourcesReleased(project="churn", release=1),
)
NO_BUILD = (
    asked(),
    cleared(),
    reserved(),
    accepted_build(),
    build_failed(),
    deployer.ResourcesReleased(project="churn", release=1),
)
NO_ROOM = (
    asked(),
    cleared(),
    deployer.ResourcesRefused(
        project="churn", release=1, why="4 GiB asked, 1 GiB free", fix="stop something"
    ),
)
BROKEN = (asked(), cleared(), reserved(), built(), indexed(), certified(), accepted_start(), failed())
GIVEN_UP = (*DEPLOY, failed())
ROADS = {
    "deploy": DEPLOY,
    "build": BUILD,
    "redeploy": REDEPLOY,
    "approved": APPROVED,
    "start": START_AGAIN,
    "stop": STOP,
    "delete": DELETE,
    "no image": NO_IMAGE,
    "no build": NO_BUILD,
    "no room": NO_ROOM,
    "broken": BROKEN,
    "given up": GIVEN_UP,
}


def at(second: float) -> str:
    return timestamp(START + timedelta(seconds=second))


def timed(road: Sequence[Any]) -> list[tuple[Any, str]]:
    """Each event a second after the one before."""
    return [(event, at(second)) for second, event in enumerate(road)]


def told(heard: Iterable[tuple[Any, str]]) -> Operation:
    """The operation after these; the first of them is the request."""
    (request, when), *others = heard
    operation = requested(OPERATION, when, request)
    for event, time in others:
        operation = advance(operation, event, time)
    return operation
