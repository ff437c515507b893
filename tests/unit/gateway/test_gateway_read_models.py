"""What the gateway shows of models, images and certificates, folded from what others say."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from placet.events.contracts import certifier, deployer, indexer
from placet.events.contracts.shapes import Drift, Ground
from placet.events.testing import changed
from placet.gateway.measures import OPERATIONS
from placet.gateway.projections import WINDOWS
from placet.gateway.projections import awaited as awaited_table
from placet.gateway.queries import waiting_anywhere

from tests.unit.gateway.harness import Gateway, asked, knows_source, live
from tests.unit.gateway.roads import (
    APPROVED,
    BUILD,
    CERTIFICATE,
    DEPLOY,
    IMAGE,
    NO_BUILD,
    SOURCE,
    accepted_start,
    awaited,
    build_failed,
    built,
    certified,
    cleared,
    failed,
    indexed,
    refused,
    reserved,
    reused,
    started,
    vanished,
    verdict,
)

OTHER, OTHER_IMAGE = f"sha256:{'6' * 64}", f"sha256:{'2' * 64}"
"""The source of a second release, and the image made from it."""


async def state(gateway: Gateway) -> str:
    return str((await gateway.read("/v1/models/churn"))["state"])


def facts(model: dict[str, Any]) -> dict[str, Any]:
    """What a model says of the one release it is."""
    return {name: model[name] for name in ("release", "state", "url", "image", "source", "certificate")}


TRIAL = ("trial", "certifiedUntil", "certificateState")
BRIEF = ("operation", "command", "project", "release", "share", "backTo", "state")
RELEASE_1 = {
    "release": 1,
    "state": "live",
    "url": "http://placet/models/churn",
    "image": IMAGE,
    "source": SOURCE,
    "certificate": CERTIFICATE,
}


async def test_a_deploy_fills_every_read_model(gateway: Gateway) -> None:
    operation = await live(gateway)
    model = await gateway.read("/v1/models/churn")
    assert {name: model[name] for name in ("project", "release", "state", "url", "image", "certificate")} == {
        "project": "churn",
        "release": 1,
        "state": "live",
        "url": "http://placet/models/churn",
        "image": IMAGE,
        "certificate": CERTIFICATE,
    }
    assert model["operation"]["operation"] == model["cause"]["operation"] == operation
    (image,) = (await gateway.read("/v1/images"))["images"]
    assert (image["image"], image["source"], image["format"]) == (IMAGE, SOURCE, "sklearn")
    assert image["certificate"] == CERTIFICATE


async def test_a_release_that_waits_for_people_beside_what_serves_is_told_and_found(gateway: Gateway) -> None:
    await live(gateway)
    assert (await gateway.read("/v1/models?state=awaiting"))["models"] == []
    waits = await asked(gateway)
    await gateway.hear_all(
        [changed(each, release=2) for each in (*APPROVED[1:5], awaited(asker="person:1"))], waits
    )

    [listed] = (await gateway.read("/v1/models?state=awaiting"))["models"]
    assert (listed["state"], listed["release"], listed["awaits"]) == ("live", 1, 2)
    assert (listed["operation"]["operation"], listed["operation"]["state"]) == (waits, "awaiting")
    assert (await gateway.read("/v1/models/churn"))["awaits"] == 2
    assert len((await gateway.read("/v1/models?state=live"))["models"]) == 1

    await gateway.hear(changed(refused("certify"), release=2), waits)
    assert (await gateway.read("/v1/models?state=awaiting"))["models"] == []
    [listed] = (await gateway.read("/v1/models"))["models"]
    assert (listed["awaits"], listed["operation"]["state"]) == (None, "refused")


async def test_a_trial_is_shown_as_one_with_its_end(gateway: Gateway) -> None:
    operation = await live(gateway)
    gateway.envelopes.envelopes["models/churn", f"sha256:{'d' * 64}"] = {"payload": "e30="}

    async def seen() -> tuple[bool, bool]:
        (listed,) = (await gateway.read("/v1/models"))["models"]
        shown = await gateway.read("/v1/models/churn")
        certificate = await gateway.read(f"/v1/certificates/{CERTIFICATE}")
        assert (listed["trial"], listed["certifiedUntil"]) == (shown["trial"], shown["certifiedUntil"])
        assert shown["certifiedUntil"] == certificate["notAfter"]
        return listed["trial"], certificate["trial"]

    assert await seen() == (False, False)
    await gateway.hear(changed(cleared(), trial=True), operation)
    assert await seen() == (True, True)


async def test_a_model_that_was_never_live_shows_how_far_its_deploy_is(gateway: Gateway) -> None:
    operation = await asked(gateway)
    seen = [await state(gateway)]
    for event in NO_BUILD[1:-1]:
        await gateway.hear(event, operation)
        seen.append(await state(gateway))
    assert seen == ["requested", "cleared", "reserved", "reserved", "failed"]


async def test_a_mere_build_ends_with_the_certificate(gateway: Gateway) -> None:
    operation = await asked(gateway, "build")
    await gateway.hear_all(BUILD[1:], operation)
    assert await state(gateway) == "certified"
    assert (await gateway.read(f"/v1/operations/{operation}"))["state"] == "certified"


async def test_hearing_all_of_it_twice_changes_no_read_model(gateway: Gateway) -> None:
    operation = await live(gateway)
    before = await gateway.read("/v1/models/churn"), await gateway.read("/v1/images")
    for event in DEPLOY[1:]:
        await gateway.hear(event, operation, twice=True)
    assert (await gateway.read("/v1/models/churn"), await gateway.read("/v1/images")) == before


async def test_what_serves_goes_on_while_a_new_release_fails(gateway: Gateway) -> None:
    await live(gateway)
    operation = await asked(gateway)
    assert await state(gateway) == "live"
    for event in (cleared(release=2), reserved(release=2), accepted_start(release=2, request=2)):
        await gateway.hear(event, operation)
        assert await state(gateway) == "live"
    await gateway.hear(failed(release=2, request=2), operation)
    model = await gateway.read("/v1/models/churn")
    assert (model["state"], model["release"], model["operation"]["state"]) == ("live", 1, "failed")


async def refused_after(gateway: Gateway) -> str:
    """The id of the deploy of a second release, refused, while whatever was before is as it was."""
    operation = await asked(gateway)
    no = verdict("owner.named", "submit", "fail")
    await gateway.hear(refused("submit", no), operation)
    return operation


async def test_what_serves_and_what_the_last_operation_came_to_are_told_apart(gateway: Gateway) -> None:
    first = await live(gateway)
    await knows_source(gateway, OTHER)
    second = await asked(gateway, source={"digest": OTHER})
    await gateway.hear_all((cleared(release=2), built(release=2, image=OTHER_IMAGE)), second)
    await gateway.hear(build_failed(), second)
    model = await gateway.read("/v1/models/churn")
    assert facts(model) == RELEASE_1
    assert (model["cause"]["operation"], model["cause"]["state"]) == (first, "live")
    last = model["operation"]
    assert (last["operation"], last["state"], last["release"]) == (second, "failed", 2)
    assert (last["source"], last["image"], last["url"]) == (OTHER, OTHER_IMAGE, None)
    assert (await gateway.read("/v1/models"))["models"][0]["image"] == IMAGE


async def test_a_release_that_is_stopped_stays_what_it_is_while_another_is_refused(gateway: Gateway) -> None:
    await live(gateway)
    stop = await asked(gateway, "stop")
    await gateway.hear(deployer.ModelStopped(project="churn", release=1, request=2), stop)
    refusal = await refused_after(gateway)
    model = await gateway.read("/v1/models/churn")
    assert facts(model) == RELEASE_1 | {"state": "stopped", "url": None}
    assert model["cause"]["operation"] == stop
    assert (model["operation"]["operation"], model["operation"]["state"]) == (refusal, "refused")


async def test_a_model_that_never_served_is_its_newest_deploy(gateway: Gateway) -> None:
    await asked(gateway)
    refusal = await refused_after(gateway)
    model = await gateway.read("/v1/models/churn")
    assert facts(model) == {
        "release": 2,
        "state": "refused",
        "url": None,
        "image": None,
        "source": SOURCE,
        "certificate": None,
    }
    assert model["cause"] == model["operation"]
    assert model["operation"]["operation"] == refusal
    assert (await gateway.read("/v1/models"))["models"] == [
        {
            name: model[name]
            for name in (
                "project",
                "release",
                "state",
                "url",
                "image",
                "certificate",
                "detail",
                *TRIAL,
                "lapsing",
                "replicas",
                "canary",
                "aborted",
                "awaits",
            )
        }
        | {"operation": {name: model["operation"][name] for name in BRIEF}}
    ]


async def test_an_older_deploy_tells_no_more_once_a_newer_one_is_asked_for(gateway: Gateway) -> None:
    older = await asked(gateway)
    newer = await asked(gateway)
    await gateway.hear(build_failed(), older)
    model = await gateway.read("/v1/models/churn")
    assert (model["state"], model["release"], model["cause"]["operation"]) == ("requested", 2, newer)


async def test_nothing_of_a_deleted_model_is_told_as_if_it_were_there(gateway: Gateway) -> None:
    await live(gateway)
    delete = await asked(gateway, "delete")
    await gateway.hear(deployer.ModelDeleted(project="churn", request=2), delete)
    model = await gateway.read("/v1/models/churn")
    assert facts(model) == dict.fromkeys(RELEASE_1) | {"state": "deleted"}
    assert model["cause"]["operation"] == delete


async def test_a_start_tells_the_source_of_the_image_it_starts(gateway: Gateway) -> None:
    await live(gateway)
    stop = await asked(gateway, "stop")
    await gateway.hear(deployer.ModelStopped(project="churn", release=1, request=2), stop)
    start = await asked(gateway, "start")
    await gateway.hear_all((accepted_start(request=3), started(request=3)), start)
    assert (await gateway.read(f"/v1/operations/{start}"))["source"] == SOURCE
    model = await gateway.read("/v1/models/churn")
    assert (facts(model), model["cause"]["operation"]) == (RELEASE_1, start)


async def test_a_failed_request_for_the_release_that_serves_leaves_it_serving(gateway: Gateway) -> None:
    await live(gateway)
    operation = await asked(gateway, "start")
    overtaken = failed(release=1, request=2)
    await gateway.hear(overtaken, operation)
    model = await gateway.read("/v1/models/churn")
    assert (model["state"], model["url"]) == ("live", "http://placet/models/churn")


async def test_a_model_that_is_being_mended_is_not_called_live_before_it_is(gateway: Gateway) -> None:
    await live(gateway)
    stop, start = await asked(gateway, "stop"), await asked(gateway, "start")
    await gateway.hear(deployer.ModelStopped(project="churn", release=1, request=2), stop)
    await gateway.hear_all((accepted_start(request=3), started(request=3)), start)

    diverged = deployer.ModelDiverged(project="churn", release=1, why="it does not run here")
    for _ in range(2):
        await gateway.hear(diverged, "the deploy")
    (listed,) = (await gateway.read("/v1/models"))["models"]
    model = await gateway.read("/v1/models/churn")
    for each in (listed, model):
        assert (each["state"], each["detail"]) == ("certified", "starting again: it does not run here")
    assert model["url"] == RELEASE_1["url"]

    await gateway.hear(started(request=3, endpoints=("http://127.0.0.1:2",)), "the deploy")
    model = await gateway.read("/v1/models/churn")
    assert (facts(model), model["detail"], model["cause"]["operation"]) == (RELEASE_1, None, start)


async def test_a_project_of_which_nothing_serves_yet_says_what_it_waits_for(gateway: Gateway) -> None:
    operation = await asked(gateway, "deploy")
    await gateway.hear_all(
        (*DEPLOY[1:-1], changed(accepted_start(), delayed="the engine is away")), operation
    )
    (listed,) = (await gateway.read("/v1/models"))["models"]
    assert (listed["state"], listed["detail"]) == ("certified", "tried again: the engine is away")
    await gateway.hear(accepted_start(), operation)
    assert (await gateway.read("/v1/models/churn"))["detail"] is None
    await gateway.hear(started(), operation)
    assert (await gateway.read("/v1/models/churn"))["detail"] is None


async def test_what_diverged_and_was_stopped_or_replaced_is_not_being_mended(gateway: Gateway) -> None:
    await live(gateway)
    await gateway.hear(deployer.ModelDiverged(project="churn", release=2, why="of another release"), "x")
    assert await state(gateway) == "live"
    await gateway.hear(deployer.ModelDiverged(project="churn", release=1, why="it ended"), "x")
    await gateway.hear(
        deployer.ModelStopped(project="churn", release=1, request=2), await asked(gateway, "stop")
    )
    model = await gateway.read("/v1/models/churn")
    assert (model["state"], model["detail"]) == ("stopped", None)


async def test_a_live_release_that_was_given_up_serves_no_more(gateway: Gateway) -> None:
    operation = await live(gateway)
    await gateway.hear(failed(release=1, request=1), operation)
    model = await gateway.read("/v1/models/churn")
    assert (model["state"], model["url"]) == ("failed", None)
    assert model["refusals"] == [{"rule": None, "why": "the answer differs", "fix": "look at it"}]

    again = await asked(gateway, "start")
    await gateway.hear(
        failed(release=1, request=2), again
    )  # leaves it as it is, and is that operation's own story
    await gateway.hear(started(request=3), again)
    assert (await gateway.read("/v1/models/churn"))["refusals"] == []


async def test_what_is_started_again_answers_the_later_request(gateway: Gateway) -> None:
    await live(gateway)
    operation = await asked(gateway, "start")
    await gateway.hear(started(request=2), operation)
    await gateway.hear(failed(request=1), operation)  # the old request's end means nothing any more
    assert await state(gateway) == "live"


async def test_a_model_that_lost_its_certificate_is_quarantined_until_it_is_started(gateway: Gateway) -> None:
    operation = await live(gateway)
    lapsed = deployer.ModelQuarantined(project="churn", release=1, certificate=CERTIFICATE, why="it lapsed")
    await gateway.hear(lapsed, operation)
    model = await gateway.read("/v1/models/churn")
    assert (model["state"], model["url"]) == ("quarantined", None)
    assert [refusal["why"] for refusal in model["refusals"]] == ["it lapsed"]
    renewed = await asked(gateway)
    await gateway.hear(cleared(release=2), renewed)
    assert await state(gateway) == "quarantined"
    await gateway.hear(started(release=2, request=2), renewed)
    assert await state(gateway) == "live"


async def test_who_asks_a_quarantined_model_is_told_which_certificate_and_which_rule(
    gateway: Gateway,
) -> None:
    operation = await live(gateway)
    lapsed = deployer.ModelQuarantined(
        project="churn",
        release=1,
        certificate=CERTIFICATE,
        why="it drifts",
        rule="operate.drift",
        fix="train it",
    )
    await gateway.hear(lapsed, operation)
    async with gateway.http() as http:
        answer = await http.post("/models/churn/predict", json={"inputs": [[1]]})
    assert answer.status_code == 503
    problem = answer.json()
    assert (problem["rule"], problem["fix"]) == ("operate.drift", "train it")
    assert CERTIFICATE in problem["detail"]
    assert "it drifts" in problem["detail"]
    [refusal] = (await gateway.read("/v1/models/churn"))["refusals"]
    assert refusal == {"rule": "operate.drift", "why": "it drifts", "fix": "train it"}


GROUND = Ground(rule="operate.drift", why="it drifts", fix="train it")


async def test_a_certificate_is_shown_with_what_there_is_against_it(gateway: Gateway) -> None:
    operation = await live(gateway)
    gateway.envelopes.envelopes["models/churn", f"sha256:{'d' * 64}"] = {"payload": "e30="}
    of: dict[str, Any] = {"certificate": CERTIFICATE, "project": "churn", "release": 1}

    async def standing() -> tuple[str, list[Any], str]:
        [image] = (await gateway.read("/v1/images"))["images"]
        shown = await gateway.read(f"/v1/certificates/{CERTIFICATE}")
        [listed] = (await gateway.read("/v1/models"))["models"]
        assert listed["certificateState"] == image["certificateState"]
        return shown["state"], shown["grounds"], image["certificateState"]

    assert await standing() == ("valid", [], "valid")
    await gateway.hear(certifier.CertificateSuspended(**of, grounds=(GROUND,)), operation)
    told = [{"rule": "operate.drift", "why": "it drifts", "fix": "train it", "measured": []}]
    assert await standing() == ("suspended", told, "suspended")
    assert len((await gateway.read("/v1/images?certificate=suspended"))["images"]) == 1
    assert (await gateway.read("/v1/images?certificate=valid"))["images"] == []
    await gateway.hear(certifier.CertificateReinstated(**of), operation)
    assert await standing() == ("valid", [], "valid")


async def test_stopped_then_deleted_then_deployed_anew(gateway: Gateway) -> None:
    await live(gateway)
    stop = await asked(gateway, "stop")
    await gateway.hear(deployer.ModelStopped(project="churn", release=1, request=2), stop)
    assert await state(gateway) == "stopped"
    delete = await asked(gateway, "delete")
    await gateway.hear(deployer.ModelDeleted(project="churn", request=3), delete)
    assert await state(gateway) == "deleted"
    assert len((await gateway.read("/v1/models"))["models"]) == 1
    assert (await gateway.read("/v1/models?deleted=false"))["models"] == []
    again = await asked(gateway)
    assert await state(gateway) == "requested"
    assert len((await gateway.read("/v1/models?deleted=false"))["models"]) == 1
    await gateway.hear(cleared(release=2), again)
    assert await state(gateway) == "cleared"


async def test_a_late_deletion_does_not_forget_the_certificate_of_what_came_after_it(
    gateway: Gateway,
) -> None:
    await live(gateway)
    delete = await asked(gateway, "delete")
    again = await asked(gateway)
    await gateway.hear(certified(release=2, certificate="certificate:2"), again)
    await gateway.hear(deployer.ModelDeleted(project="churn", request=2), delete)
    assert (await gateway.command({"command": "start", "project": "churn"}))["release"] == 2


async def test_events_of_one_deploy_may_come_backwards(gateway: Gateway) -> None:
    operation = await asked(gateway)
    for event in reversed(DEPLOY[1:]):
        await gateway.hear(event, operation)
    model = await gateway.read("/v1/models/churn")
    assert (model["state"], model["operation"]["state"]) == ("live", "live")
    (image,) = (await gateway.read("/v1/images"))["images"]
    assert image["certificate"] == CERTIFICATE
    assert (await gateway.command({"command": "start", "project": "churn"}))["release"] == 1


async def test_an_image_that_another_project_uses_too_shows_the_certificate_of_its_own(
    gateway: Gateway,
) -> None:
    await live(gateway)
    other = await asked(gateway, source={"image": IMAGE}, project="other-churn")
    road = (
        cleared(project="other-churn"),
        reused(project="other-churn"),
        indexed(project="other-churn"),
        certified(project="other-churn", certificate="certificate:other"),
    )
    await gateway.hear_all(road, other)
    assert await certificates_by_project(gateway) == {
        "churn": CERTIFICATE,
        "other-churn": "certificate:other",
    }
    await gateway.hear(certified(release=2, certificate="certificate:2"), await asked(gateway))
    assert await certificates_by_project(gateway) == {
        "churn": "certificate:2",
        "other-churn": "certificate:other",
    }
    image = await gateway.read(f"/v1/images/{IMAGE}")
    assert (image["project"], image["certificate"]) == ("churn", "certificate:2")


async def certificates_by_project(gateway: Gateway) -> dict[str, Any]:
    shown = (await gateway.read("/v1/images"))["images"]
    assert {image["image"] for image in shown} == {IMAGE}
    return {image["project"]: image["certificate"] for image in shown}


async def test_an_image_serves_under_the_name_of_the_project_that_serves_it(gateway: Gateway) -> None:
    operation = await live(gateway)
    other = await asked(gateway, source={"image": IMAGE}, project="other-churn")
    for name in ("churn", "other-churn"):
        gateway.clock.pass_(timedelta(seconds=1))
        await gateway.hear(indexed(project=name), other)

    async def served() -> dict[str, Any]:
        shown = (await gateway.read("/v1/images"))["images"]
        return {image["project"]: image["served"] for image in shown}

    assert await served() == {"churn": "now", "other-churn": "never"}
    await gateway.hear(started(project="other-churn"), other)
    await gateway.hear(deployer.ModelStopped(project="churn", release=1, request=2), operation)
    assert await served() == {"churn": "before", "other-churn": "now"}
    await gateway.hear(vanished(), operation)
    assert [image["vanished"] for image in (await gateway.read("/v1/images"))["images"]] == [True, True]


async def test_another_project_s_certificate_is_not_shown_though_it_was_heard_of_before_the_image(
    gateway: Gateway,
) -> None:
    operation = await asked(gateway)
    await gateway.hear(certified(project="other-churn", certificate="certificate:other"), "other's")
    await gateway.hear(indexed(), operation)
    (image,) = (await gateway.read("/v1/images"))["images"]
    assert (image["project"], image["certificate"]) == ("churn", None)


async def test_what_belongs_to_no_operation_moves_models_only(gateway: Gateway) -> None:
    await live(gateway)
    await gateway.hear(started(endpoints=("http://127.0.0.1:2",)), "caused-by-a-clock")
    assert await state(gateway) == "live"
    assert len((await gateway.read("/v1/operations"))["operations"]) == 1


# silence


async def test_silence_is_named_for_the_operation_and_its_model_and_ends_with_the_next_word(
    gateway: Gateway,
) -> None:
    operation = await asked(gateway)
    await gateway.hear(cleared(), operation)
    name_silence = next(each for each in gateway.service.periodic if each.name == "name silence")
    await name_silence.run()
    assert await state(gateway) == "cleared"
    gateway.clock.pass_(timedelta(seconds=901))
    await name_silence.run()
    assert await state(gateway) == "stalled"
    assert (await gateway.read(f"/v1/operations/{operation}"))["state"] == "stalled"
    await gateway.hear(reserved(), operation)
    assert await state(gateway) == "reserved"
    assert (await gateway.read(f"/v1/operations/{operation}"))["state"] == "reserved"


def ended(command: str, state: str) -> float:
    """How many operations, as Prometheus is told."""
    [family] = OPERATIONS.collect()
    [count] = [
        each.value
        for each in family.samples
        if each.name.endswith("_count") and each.labels == {"command": command, "state": state}
    ]
    return count


async def test_what_stalls_is_counted_once_and_so_is_its_end_thereafter(gateway: Gateway) -> None:
    before = {state: ended("deploy", state) for state in ("stalled", "refused")}
    operation = await asked(gateway)
    name_silence = next(each for each in gateway.service.periodic if each.name == "name silence")
    gateway.clock.pass_(timedelta(seconds=901))
    for _ in range(2):
        await name_silence.run()
    await gateway.hear(refused("submit", verdict("model.card", "submit", "fail")), operation)
    assert {state: ended("deploy", state) - many for state, many in before.items()} == {
        "stalled": 1,
        "refused": 1,
    }


async def test_what_is_over_does_not_stall(gateway: Gateway) -> None:
    operation = await live(gateway)
    gateway.clock.pass_(timedelta(days=2))
    for periodic in gateway.service.periodic:
        await periodic.run()
    assert (await gateway.read(f"/v1/operations/{operation}"))["state"] == "live"


def observed(requests: int, *, release: int = 1, psi: float | None = None) -> deployer.ModelObserved:
    drift = (
        Drift(since="2026-01-01T00:00:00.000Z", rows=200, psi=psi, column="age", columns=()) if psi else None
    )
    return deployer.ModelObserved(
        project="churn",
        release=release,
        since="2026-01-01T00:00:00.000Z",
        until="2026-01-01T00:01:00.000Z",
        requests=requests,
        refused=2,
        errors=1,
        rows=requests,
        p50_ms=0.5,
        p99_ms=2.5,
        drift=drift,
    )


async def test_a_model_shows_what_it_was_asked_last_and_the_last_drift_that_was_told(
    gateway: Gateway,
) -> None:
    operation = await live(gateway)
    assert (await gateway.read("/v1/models/churn"))["observed"] is None
    await gateway.hear(observed(300, psi=0.3), operation)
    await gateway.hear(observed(20), operation)

    shown = (await gateway.read("/v1/models/churn"))["observed"]

    assert (shown["requests"], shown["refused"], shown["errors"], shown["p99_ms"]) == (20, 2, 1, 2.5)
    assert (shown["drift"]["psi"], shown["drift"]["column"]) == (0.3, "age")
    assert "parts" not in shown["drift"]
    assert (await gateway.read("/v1/models/churn"))["operation"]["state"] == "live"


async def test_a_model_keeps_its_last_windows_and_a_list_tells_as_many_as_are_asked_for(
    gateway: Gateway,
) -> None:
    operation = await live(gateway)
    for number in range(WINDOWS + 4):
        await gateway.hear(observed(number, psi=0.1 if number % 2 else None), operation)

    windows = (await gateway.read("/v1/models/churn"))["windows"]

    assert [each["requests"] for each in windows] == list(range(4, WINDOWS + 4))
    assert [each["psi"] for each in windows[:2]] == [None, 0.1]
    assert (windows[0]["errors"], windows[0]["p99_ms"], windows[0]["release"]) == (1, 2.5, 1)
    (told,) = (await gateway.read("/v1/models?windows=2"))["models"]
    assert told["windows"] == windows[-2:]
    (told,) = (await gateway.read("/v1/models"))["models"]
    assert "windows" not in told


@pytest.mark.parametrize(
    ("query", "is_found"),
    [
        ("search=hur", True), ("search=churn-x", False), ("search=c_urn", None), ("search=%25", None),
        ("state=live", True), ("state=stopped", False), ("search=ch&state=live&deleted=false", True),
    ],
)  # fmt: skip
async def test_models_are_searched_by_a_part_of_their_name_and_by_state(
    gateway: Gateway, query: str, is_found: bool | None
) -> None:
    await live(gateway)
    async with gateway.http() as http:
        answer = await http.get(f"/v1/models?{query}")
    if is_found is None:
        assert answer.status_code == 400
    else:
        assert [each["project"] for each in answer.json()["models"]] == ["churn"] * is_found


async def test_a_model_shows_what_is_to_be_looked_at_while_it_serves(gateway: Gateway) -> None:
    operation = await live(gateway)
    assert (await gateway.read("/v1/models/churn"))["warnings"] == []
    warning = Ground(rule="operation.warnings-heeded", why="errors is 0.5, over 0.1", fix="see its log")
    of: dict[str, Any] = {"certificate": CERTIFICATE, "project": "churn", "release": 1}
    await gateway.hear(certifier.CertificateWarned(**of, warnings=(warning,)), operation)

    (shown,) = (await gateway.read("/v1/models/churn"))["warnings"]
    assert (shown["rule"], shown["why"], shown["fix"]) == (warning.rule, warning.why, warning.fix)
    await gateway.hear(deployer.ModelStopped(project="churn", release=1), operation)
    assert (await gateway.read("/v1/models/churn"))["warnings"] == []
    await gateway.hear(certifier.CertificateWarned(**of, warnings=()), operation)


async def test_what_another_release_was_asked_is_not_the_live_ones(gateway: Gateway) -> None:
    operation = await live(gateway)
    await gateway.hear(observed(300, release=2, psi=0.3), operation)
    assert (await gateway.read("/v1/models/churn"))["observed"] is None
    await gateway.hear(observed(20), operation)
    assert (await gateway.read("/v1/models/churn"))["observed"]["drift"] is None


async def test_an_image_that_vanished_is_shown_as_such_until_it_is_indexed_again(gateway: Gateway) -> None:
    operation = await live(gateway)
    before = await gateway.read(f"/v1/operations/{operation}")
    seen = []
    for event in (vanished(), vanished(), indexed()):
        await gateway.hear(event, operation)
        (image,) = (await gateway.read("/v1/images"))["images"]
        seen.append(image["vanished"])
    assert seen == [True, True, False]
    assert await gateway.read(f"/v1/operations/{operation}") == before


async def test_an_image_that_vanished_is_built_anew_from_its_source_and_refused_without_one(
    gateway: Gateway,
) -> None:
    await gateway.hear(vanished(), await live(gateway))
    body = {"command": "deploy", "source": {"image": IMAGE}}
    assert (await gateway.command(body))["source"] == SOURCE
    gateway.sources.archives.clear()
    async with gateway.http() as http:
        answer = await http.post("/v1/commands", json=body)
    assert answer.status_code == 422
    assert "vanished from the registry" in answer.json()["detail"]
    assert "list --images" in answer.json()["fix"]


async def test_what_was_collected_is_forgotten_and_can_be_sent_again(gateway: Gateway) -> None:
    await live(gateway)
    image = indexer.ImageCollected(
        project="churn", release=1, image=IMAGE, repository="models/churn", why="nothing needs it"
    )
    await gateway.hear(image, "collection")
    await gateway.hear(
        indexer.SourceCollected(project="churn", source=SOURCE, why="nothing needs it"), "collection"
    )
    assert (await gateway.read("/v1/images"))["images"] == []
    async with gateway.http() as http:
        body = {"command": "deploy", "source": {"digest": SOURCE}}
        assert (await http.post("/v1/commands", json=body)).status_code == 404
    await gateway.hear(indexed(), "another")
    assert [each["vanished"] for each in (await gateway.read("/v1/images"))["images"]] == [False]


@pytest.mark.parametrize("after", [None, ("churn", 2)])
def test_what_waits_is_found_without_reading_past_what_waited_once(after: tuple[str, int] | None) -> None:
    engine = sa.create_engine("sqlite://")
    with engine.begin() as connection:
        awaited_table.create(connection)
        rows = [
            {"project": project, "release": number, "operation": "o", "state": state, "awaited": b""}
            for project in ("bees", "churn")
            for number, state in enumerate(("awaiting", "certified", "refused", "awaiting"), start=1)
        ]
        connection.execute(awaited_table.insert(), rows)
        query = waiting_anywhere(after, 3)
        found = [(each.project, each.release) for each in connection.execute(query)]
        text = query.compile(engine, compile_kwargs={"literal_binds": True})
        plan = str(connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}").fetchall())
    assert found == ([("churn", 4)] if after else [("bees", 1), ("bees", 4), ("churn", 1)])
    assert "awaited_by_state (state=?" in plan
    assert "SCAN" not in plan
    assert "TEMP B-TREE" not in plan
