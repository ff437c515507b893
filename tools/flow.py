"""How an event goes through the services: `docs/reference`, generated, and held to the code with `--check`.

Everything comes from the code: who hears and says what from each service's `subscriptions.py`, which function
says it from the service's sources, what it carries from the contracts. Only the order in which a reader wants
to see it, `ROADS`, is written down here, and every step of it must be one that the services really take.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from placet.events import asyncapi
from placet.events.catalog import contract_of
from placet.events.contracts import CATALOG, builder, certifier, deployer, gateway, indexer, metadata

from tools import reference, workspace

REFERENCE = workspace.ROOT / "docs" / "reference"
COMMAND = "make flow"
SERVICES = ("gateway", "certifier", "builder", "indexer", "deployer", "metadata")
HEARS_ALL = "metadata"
FOLDS = "gateway"

NOBODY_ACTS: Mapping[type, str] = {
    gateway.ExceptionRequested: "it asks people: nothing is excepted before somebody else grants it",
    gateway.RetentionApplied: "for the log: the gateway has removed by itself what was over its time",
    gateway.HoldPlaced: "the gateway keeps by itself what is held",
    gateway.HoldLifted: "the gateway removes by itself what is held no more, once its time is over",
    gateway.PersonErased: "for the log: the gateway has removed by itself what lay in the registry",
    **dict.fromkeys(
        (each.AccessDenied for each in (gateway, certifier, builder, indexer, deployer, metadata)),
        "for people, who read it in the log or are told by whatever subscribes to it",
    ),
    gateway.TokenIssued: "a token proves itself by its signature; only its end has to be told",
    gateway.ReviewGiven: "the gateway shows the review as owed no more; what was served is over by then, or stands",
    certifier.ReviewOwed: "it asks people: the gateway shows it until somebody has looked",
    certifier.CertificateUpheld: "for the log: on what it stands is asked of the log",
    certifier.CertificateLapsing: "the gateway shows it: whether it is renewed is for people to say",
    certifier.CertificateExpired: "for the log: whoever relies on a certificate knows its end from its own bytes",
    certifier.CertificateWarned: "the gateway shows it: a warning takes nothing off its route",
    certifier.KeyRotated: "the gateway publishes it; who checks certificates has the history as a file",
    certifier.KeyCompromised: "the certifier revokes by itself what it signed, and the gateway publishes it",
    certifier.PolicyPublished: "the certifier judges by it itself, and the gateway shows it and asks it of uploads",
    certifier.PolicyRejected: "the gateway says so to who submitted it",
    certifier.AdvisoriesPublished: "the certifier matches packages with it itself, and the gateway shows it",
    certifier.AdvisoriesRejected: "the gateway says so to who sent it",
    certifier.ApprovalReminded: "for people, who are told by whatever subscribes to it: nothing is decided by it",
    certifier.AssessmentScored: "the certifier shows it to its rules itself, and the gateway shows it",
    certifier.AssessmentRejected: "the gateway says so to who answered",
    builder.BuildAccepted: "who waits sees that it was taken on",
    indexer.ImageUnknown: "nothing here starts it; whoever watches the log asks who pushed it",
    indexer.ImageCollected: "the gateway shows it no more",
    indexer.SourceCollected: "the gateway forgets it, and takes it again",
    indexer.TagMoved: "images are known by digest here; who deploys by tags elsewhere wants to know",
    deployer.ResourcesQueued: "the deployer asks for it again by itself, and the gateway says its place to who waits",
    deployer.ResourcesRefused: "the end of the operation: the gateway says so to who asked",
    deployer.ResourcesReleased: "the deployer's own account of what is free",
    deployer.ModelFailed: "the end of the operation: the gateway says so to who asked",
    deployer.ScaleAccepted: "the deployer's own account of what is free",
    deployer.ModelScaled: "the gateway shares requests among them, where no edge does; the deployer moved that",
    deployer.CanaryWeighted: "the gateway sends it its share, where no edge does; the deployer moved that",
    deployer.ChangeRefused: "the end of the operation: the gateway says so to who asked",
    deployer.ModelDiverged: "the gateway shows that it does not serve, until the deployer has mended it by itself",
    metadata.GapDetected: "for those who watch the log",
    metadata.WebhookAdded: "for the log: who has what happens told outside, since when and until when",
    metadata.WebhookRotated: "for the log: who receives gets the secret from whom it was told to",
    metadata.WebhookDisabled: "for people, who are told by whatever else subscribes: somebody hears nothing any more",
    metadata.WebhookEnabled: "for the log: it is metadata itself that sends",
    metadata.WebhookRemoved: "for the log: it is metadata itself that sends no more",
}
"""Events on which only the gateway or the audit log act, each with the reason why that is right."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One service reacts: with one of `says`, which go on along the road, or one of `ends`, which leave it."""

    hears: tuple[type, ...]
    says: tuple[type, ...]
    ends: tuple[type, ...] = ()
    does: str
    job: str | None = None
    """`module:function` of the long part, where there is one: below `placet.<service>`."""

    @property
    def service(self) -> str:
        return contract_of(self.says[0]).producer


@dataclass(frozen=True, kw_only=True)
class Road:
    title: str
    asked: str
    steps: tuple[Step, ...]


_IMAGE = (
    Step(
        hears=(builder.ImageBuilt, builder.ImageReused),
        says=(indexer.ImageIndexed,),
        ends=(indexer.ImageVanished,),
        does="reads manifest, configuration and labels back from the registry, whoever pushed them",
    ),
    Step(
        hears=(indexer.ImageIndexed,),
        says=(certifier.CertificateIssued,),
        ends=(certifier.ReleaseRefused,),
        does="judges the image by the rules of stage `certify`, signs, and lays the certificate beside the image",
    ),
)
_BUILT = (builder.ImageBuilt, builder.ImageReused)
_JUDGED = Step(
    hears=(gateway.DeployRequested,),
    says=(certifier.ReleaseCleared,),
    ends=(certifier.ReleaseRefused,),
    does="fetches the source, gathers facts, judges them by the rules of stage `submit`",
    job="handlers:examine_worker",
)

ROADS = (
    Road(
        title="Deploy: from a model project to a URL",
        asked="POST /v1/commands {deploy}",
        steps=(
            Step(
                hears=(), says=(gateway.DeployRequested,), does="numbers the release and opens the operation"
            ),
            _JUDGED,
            Step(
                hears=(certifier.ReleaseCleared,),
                says=(deployer.ResourcesReserved,),
                ends=(deployer.ResourcesRefused,),
                does="holds room for it, with a deadline",
            ),
            Step(
                hears=(deployer.ResourcesReserved,),
                says=_BUILT,
                ends=(builder.BuildFailed,),
                does="finds the image of a known source, or builds and pushes one",
                job="jobs:Builds.image_of",
            ),
            *_IMAGE,
            Step(
                hears=(certifier.CertificateIssued,),
                says=(deployer.ModelStarted,),
                ends=(deployer.ModelFailed,),
                does="verifies the certificate, starts the release beside the old one, asks it the project's own "
                "sample, moves the route",
                job="jobs:Jobs.start",
            ),
        ),
    ),
    Road(
        title="Build: a certified image, and nothing runs",
        asked="POST /v1/commands {build}",
        steps=(
            Step(hears=(), says=(gateway.DeployRequested,), does="the same request, with `command: build`"),
            _JUDGED,
            Step(
                hears=(certifier.ReleaseCleared,),
                says=_BUILT,
                ends=(builder.BuildFailed,),
                does="builds at once: nothing is reserved for what will not run",
                job="jobs:Builds.image_of",
            ),
            *_IMAGE,
        ),
    ),
    Road(
        title="Start: a release that is certified already",
        asked="POST /v1/commands {start}",
        steps=(
            Step(hears=(), says=(gateway.StartRequested,), does="names the last certified release"),
            Step(
                hears=(gateway.StartRequested,),
                says=(deployer.ModelStarted,),
                ends=(deployer.ResourcesRefused, deployer.ModelFailed),
                does="verifies its certificate again, starts it, moves the route",
                job="jobs:Jobs.start",
            ),
        ),
    ),
    Road(
        title="Canary: a certified release gets a share of the requests",
        asked="POST /v1/commands {deploy, canary}",
        steps=(
            Step(hears=(), says=(certifier.CertificateIssued,), does="certifies it, as any release"),
            Step(
                hears=(certifier.CertificateIssued,),
                says=(deployer.CanaryStarted,),
                ends=(deployer.ModelFailed,),
                does="verifies the certificate, starts it beside what serves, asks it the sample, moves its share; "
                "aborts it when it fails or its certificate does not stand",
                job="jobs:Jobs.start",
            ),
        ),
    ),
    Road(
        title="Promote: the canary gets another share, or takes the place of what serves",
        asked="POST /v1/commands {promote}",
        steps=(
            Step(hears=(), says=(gateway.PromoteRequested,), does="asks"),
            Step(
                hears=(gateway.PromoteRequested,),
                says=(deployer.CanaryWeighted,),
                ends=(deployer.ChangeRefused, deployer.ModelStarted),
                does="moves the share; of all requests, what served before is ended",
            ),
        ),
    ),
    Road(
        title="Abort: the canary ends",
        asked="POST /v1/commands {abort}",
        steps=(
            Step(hears=(), says=(gateway.AbortRequested,), does="asks"),
            Step(
                hears=(gateway.AbortRequested,),
                says=(deployer.CanaryAborted,),
                ends=(deployer.ChangeRefused,),
                does="sends all requests to what serves, then ends it",
            ),
        ),
    ),
    Road(
        title="Scale: another number of replicas",
        asked="POST /v1/commands {scale}",
        steps=(
            Step(hears=(), says=(gateway.ScaleRequested,), does="asks"),
            Step(
                hears=(gateway.ScaleRequested,),
                says=(deployer.ScaleAccepted,),
                ends=(deployer.ChangeRefused,),
                does="holds room for them, starts those that are missing, shares requests among them, then ends those "
                "that are too many (`model.scaled`)",
                job="jobs:Jobs.scale",
            ),
        ),
    ),
    Road(
        title="Revoke: off its URL, for good",
        asked="POST /v1/certificates/{id}/revoke",
        steps=(
            Step(
                hears=(),
                says=(gateway.RevocationRequested,),
                does="asks, with a reason of which it keeps the words",
            ),
            Step(
                hears=(gateway.RevocationRequested,),
                says=(certifier.CertificateRevoked,),
                does="ends a certificate that is not over",
            ),
            Step(
                hears=(certifier.CertificateRevoked,),
                says=(deployer.ModelQuarantined,),
                does="takes the model off its route, then ends it",
            ),
        ),
    ),
    Road(
        title="Suspend: an exception that it stands on is withdrawn",
        asked="POST /v1/models/{project}/exceptions/{id}/withdraw",
        steps=(
            Step(hears=(), says=(gateway.ExceptionWithdrawn,), does="ends the exception"),
            Step(
                hears=(gateway.ExceptionWithdrawn,),
                says=(certifier.CertificateSuspended,),
                does="finds what stands on it",
            ),
            Step(
                hears=(certifier.CertificateSuspended,),
                says=(deployer.ModelQuarantined,),
                does="takes the model off its route, then ends it",
            ),
        ),
    ),
    Road(
        title="Reinstate: another exception is granted",
        asked="POST /v1/models/{project}/exceptions/{id}/grant",
        steps=(
            Step(hears=(), says=(gateway.ExceptionGranted,), does="grants it, by somebody else than asked"),
            Step(
                hears=(gateway.ExceptionGranted,),
                says=(certifier.CertificateReinstated,),
                does="lifts the ground, if another exception lasts as long as the certificate",
            ),
            Step(
                hears=(certifier.CertificateReinstated,),
                says=(deployer.ModelStarted,),
                ends=(deployer.ResourcesRefused, deployer.ModelFailed),
                does="starts it again where it was",
                job="jobs:Jobs.start",
            ),
        ),
    ),
    Road(
        title="Operate: what its certificate names is not kept",
        asked="every window in which a model was asked anything",
        steps=(
            Step(hears=(), says=(deployer.ModelObserved,), does="reads what the model counted"),
            Step(
                hears=(deployer.ModelObserved,),
                says=(certifier.CertificateSuspended,),
                does="judges conditions and rules of stage `operate`; it suspends, warns or lifts",
            ),
            Step(
                hears=(certifier.CertificateSuspended,),
                says=(deployer.ModelQuarantined,),
                does="takes the model off its route, then ends it",
            ),
        ),
    ),
    Road(
        title="Report: what happened to a model in use, as others say",
        asked="POST /v1/models/{project}/metadata, or `placet report`",
        steps=(
            Step(
                hears=(),
                says=(gateway.MetadataReported,),
                does="takes each report as what it is, and what is sent again as the same one",
            ),
            Step(
                hears=(gateway.MetadataReported,),
                says=(certifier.CertificateSuspended,),
                does="keeps it for the rules; an incident, or what was monitored, has those of stage `operate` asked",
            ),
            Step(
                hears=(certifier.CertificateSuspended,),
                says=(deployer.ModelQuarantined,),
                does="takes the model off its route, then ends it",
            ),
        ),
    ),
    Road(
        title="Publish: a policy judges what is deployed from then on",
        asked="POST /v1/policies",
        steps=(
            Step(
                hears=(),
                says=(gateway.PolicySubmitted,),
                does="runs the policy's own tests, and keeps its file in the registry by digest",
            ),
            Step(
                hears=(gateway.PolicySubmitted,),
                says=(certifier.PolicyPublished,),
                ends=(certifier.PolicyRejected,),
                does="fetches it and runs its tests again, and sees whether it fits to the others",
                job="publishing:publish_worker",
            ),
        ),
    ),
    Road(
        title="Know: packages are matched with a snapshot of advisories from then on",
        asked="PUT /v1/advisories/{digest}",
        steps=(
            Step(
                hears=(),
                says=(gateway.AdvisoriesSubmitted,),
                does="keeps it in the registry by digest",
            ),
            Step(
                hears=(gateway.AdvisoriesSubmitted,),
                says=(certifier.AdvisoriesPublished,),
                ends=(certifier.AdvisoriesRejected,),
                does="fetches and reads it, and sees whether it is newer than the one in use",
                job="advising:read_worker",
            ),
        ),
    ),
    Road(
        title="Stop",
        asked="POST /v1/commands {stop}",
        steps=(
            Step(hears=(), says=(gateway.StopRequested,), does="asks"),
            Step(
                hears=(gateway.StopRequested,),
                says=(deployer.ModelStopped,),
                does="takes it off its route, then ends it",
            ),
        ),
    ),
    Road(
        title="Delete",
        asked="POST /v1/commands {delete}",
        steps=(
            Step(hears=(), says=(gateway.DeleteRequested,), does="asks"),
            Step(
                hears=(gateway.DeleteRequested,),
                says=(deployer.ModelDeleted,),
                does="takes it off its route and gives up its releases",
            ),
        ),
    ),
)


@dataclass(frozen=True, kw_only=True)
class Place:
    """A function in a service's sources."""

    file: Path
    function: str

    @classmethod
    def of(cls, function: Callable[..., object]) -> Place:
        return cls(file=Path(inspect.getfile(function)), function=function.__qualname__)

    def __str__(self) -> str:
        path = self.file.relative_to(workspace.ROOT)
        return f"[{self.file.name}](../../{path.as_posix()}) `{self.function}`"


@dataclass(frozen=True, kw_only=True)
class Edge:
    """What a service declares in its `subscriptions.py`. `hears` has the function that reacts."""

    service: str
    hears: Mapping[type, Place]
    says: tuple[type, ...]


def edges() -> list[Edge]:
    return [_edge(service) for service in SERVICES]


def _edge(service: str) -> Edge:
    declared = import_module(f"placet.{service}.subscriptions")
    if service == HEARS_ALL:
        place = Place.of(declared.handlers.on_events)
        heard = {event: place for event in CATALOG.types if contract_of(event).producer in declared.HEARS}
    else:
        heard = {event: Place.of(handler) for event, handler in declared.HEARS.items()}
    return Edge(service=service, hears=heard, says=declared.SAYS)


# What must be true of it.


def complaints(found: Sequence[Edge], roads: Sequence[Road] = ROADS) -> list[str]:
    """Where what the services hear and say does not fit together."""
    return [*_unsaid(found), *_unheard(found), *_false_steps(found, roads)]


def _unsaid(found: Sequence[Edge]) -> Iterator[str]:
    said = {event for edge in found for event in edge.says}
    for edge in found:
        for event in edge.says:
            if contract_of(event).producer != edge.service:
                yield f"{edge.service} says {name(event)}, which is {contract_of(event).producer}'s"
        for event in edge.hears:
            if event not in said:
                yield f"{edge.service} hears {name(event)}, which nobody says"
    for event in CATALOG.types:
        if event not in said:
            yield f"{name(event)} is in the catalogue, and no service says it"
        elif not places(contract_of(event).producer, event):
            yield f"{contract_of(event).producer} declares that it says {name(event)}, and has no line that makes one"


def _unheard(found: Sequence[Edge]) -> Iterator[str]:
    for event in CATALOG.types:
        acts = [
            edge.service for edge in found if event in edge.hears and edge.service not in (FOLDS, HEARS_ALL)
        ]
        if not acts and event not in NOBODY_ACTS:
            yield f"nobody acts on {name(event)}; say in tools/flow.py, NOBODY_ACTS, why that is right"
        if acts and event in NOBODY_ACTS:
            yield f"{', '.join(acts)} acts on {name(event)}; take it out of NOBODY_ACTS in tools/flow.py"


def _false_steps(found: Sequence[Edge], roads: Sequence[Road]) -> Iterator[str]:
    by_service = {edge.service: edge for edge in found}
    for road in roads:
        for step in road.steps:
            edge = by_service[step.service]
            for event in step.hears:
                if event not in edge.hears:
                    yield f"{road.title}: {step.service} does not hear {name(event)}"
            for event in (*step.says, *step.ends):
                if event not in edge.says:
                    yield f"{road.title}: {step.service} does not say {name(event)}"
        for before, after in zip(road.steps, road.steps[1:], strict=False):
            if before.says != after.hears:
                yield f"{road.title}: {before.service} and {after.service} do not meet"


# Who says it: the functions that make an event, or give its type to what makes it, read from the sources.

_MAKES = frozenset({"Denials"})
"""Of libraries: they make events of the types that they are given."""


@cache
def _makers(service: str) -> Mapping[str, tuple[Place, ...]]:
    """By class name: the functions of a service that call it, or give it to what does."""
    found: dict[str, list[Place]] = {}
    sources = workspace.ROOT / "services" / service / "src"
    for file in sorted(sources.rglob("*.py")):
        for function, called in _calls(ast.parse(file.read_text())):
            place = Place(file=file, function=function)
            if place not in found.setdefault(called, []):
                found[called].append(place)
    return {called: tuple(makers) for called, makers in found.items()}


def _calls(tree: ast.AST, inside: str = "") -> Iterator[tuple[str, str]]:
    for node in ast.iter_child_nodes(tree):
        match node:
            case ast.Call(func=ast.Name(id=called) | ast.Attribute(attr=called)) if inside:
                yield inside, called
                if called in _MAKES:
                    yield from ((inside, given.id) for given in node.args if isinstance(given, ast.Name))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not inside.endswith(
            ")"
        ):
            yield from _calls(node, f"{inside}.{node.name}" if inside else node.name)
        else:
            yield from _calls(node, inside)


def places(service: str, event: type) -> tuple[Place, ...]:
    return _makers(service).get(event.__name__, ())


# The page.


def name(event: type) -> str:
    contract = contract_of(event)
    return f"{contract.producer}.{contract.name}"


def _short(event: type) -> str:
    return contract_of(event).name


def _link(event: type) -> str:
    return f"[`{name(event)}`](events.md#{reference.anchor(name(event))})"


def _job(step: Step) -> Place | None:
    if step.job is None:
        return None
    module, _, function = step.job.partition(":")
    found: Any = import_module(f"placet.{step.service}.{module}")
    for part in function.split("."):
        found = getattr(found, part)
    return Place.of(found)


def flow_page(found: Sequence[Edge]) -> str:
    by_service = {edge.service: edge for edge in found}
    return "\n".join(
        [
            "# How an event goes through the services",
            "",
            reference.generated_by(
                COMMAND, "each service's `subscriptions.py` and the functions that it names"
            ),
            "",
            "Six services share events and nothing else. This page follows them: each step names who hears what, the",
            "function that reacts, and the functions that make what is said next. `gateway` hears everything that",
            "belongs to an operation and folds it, in one `match`, into where the operation stands:",
            "[operations.py](../../services/gateway/src/placet/gateway/operations.py) `advance`, which is the file to",
            "read first. `metadata` appends every event to the audit log.",
            "",
            *(line for road in ROADS for line in _road(road, by_service)),
            *_services(found),
            *_events(found),
        ]
    )


def _road(road: Road, by_service: Mapping[str, Edge]) -> Iterator[str]:
    yield f"## {road.title}"
    yield ""
    yield "```mermaid"
    yield from _diagram(road)
    yield "```"
    yield ""
    for number, step in enumerate(road.steps, start=1):
        yield f"{number}. **{step.service}** {step.does}."
        yield ""
        for event in step.hears:
            yield f"   - hears {_link(event)} in {by_service[step.service].hears[event]}"
        job = _job(step)
        if job is not None:
            yield f"   - does the long part, as a job, in {job}"
        for event in step.says:
            yield f"   - says {_link(event)}, made in {_made(event)}"
        for event in step.ends:
            yield f"   - or says {_link(event)}, made in {_made(event)}"
        yield ""


def _made(event: type) -> str:
    return ", ".join(map(str, places(contract_of(event).producer, event)))


def _diagram(road: Road) -> Iterator[str]:
    taking_part = dict.fromkeys(["gateway", *(step.service for step in road.steps)])
    yield "sequenceDiagram"
    yield "    actor you"
    for service in taking_part:
        yield f"    participant {service}"
    yield f"    you->>gateway: {road.asked}"
    nexts = [*(step.service for step in road.steps[1:]), "gateway"]
    for step, after in zip(road.steps, nexts, strict=True):
        said = " or ".join(map(_short, step.says))
        yield f"    {step.service}->>{after}: {said}"
        for event in step.ends:
            yield f"    {step.service}--xgateway: or {_short(event)}"
    yield "    gateway-->>you: GET /v1/operations/{id}/events"


def _services(found: Sequence[Edge]) -> Iterator[str]:
    yield "## Every service"
    yield ""
    yield "| service | hears from | says |"
    yield "|---|---|---|"
    for edge in found:
        producers = list(dict.fromkeys(contract_of(event).producer for event in edge.hears))
        heard = "everybody" if edge.service == HEARS_ALL else ", ".join(f"`{each}`" for each in producers)
        page = f"[{edge.service}](../../services/{edge.service}/README.md)"
        yield f"| {page} | {heard} | {', '.join(map(_link, edge.says))} |"
    yield ""


def _events(found: Sequence[Edge]) -> Iterator[str]:
    yield "## Every event"
    yield ""
    yield "`metadata` hears every one, and is left out."
    yield ""
    yield "| event | made in | heard by |"
    yield "|---|---|---|"
    for event in CATALOG.types:
        hearers = [edge for edge in found if event in edge.hears and edge.service != HEARS_ALL]
        heard = "<br>".join(f"{edge.service}: {edge.hears[event]}" for edge in hearers)
        reason = NOBODY_ACTS.get(event)
        if reason:
            heard = f"{heard}<br>*{reason}*" if heard else f"*{reason}*"
        made = "<br>".join(map(str, places(contract_of(event).producer, event)))
        yield f"| {_link(event)} | {made} | {heard} |"
    yield ""


# All pages.


def pages(found: Sequence[Edge]) -> dict[Path, str]:
    """Every generated page and its text."""
    return {
        REFERENCE / "flow.md": flow_page(found),
        REFERENCE / "events.md": reference.events_page(COMMAND, _hearers(found)),
        REFERENCE / "settings.md": reference.settings_page(COMMAND, SERVICES),
        REFERENCE / "cli.md": reference.cli_page(COMMAND),
        REFERENCE / "policies.md": reference.policies_page(COMMAND),
        REFERENCE / "asyncapi.json": json.dumps(asyncapi.document(CATALOG), indent=2, ensure_ascii=False)
        + "\n",
    }


def _hearers(found: Sequence[Edge]) -> Mapping[type, Sequence[str]]:
    return {event: [edge.service for edge in found if event in edge.hears] for event in CATALOG.types}


def stale(generated: Mapping[Path, str]) -> list[str]:
    return [
        f"{file.relative_to(workspace.ROOT)} is not what the code says; run `{COMMAND}`"
        for file, text in generated.items()
        if not file.exists() or file.read_text() != text
    ]


def write(generated: Mapping[Path, str]) -> Iterable[str]:
    for file, text in generated.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        yield str(file.relative_to(workspace.ROOT))


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tools.flow", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument(
        "--check", action="store_true", help="change nothing; fail where a page is out of date"
    )
    is_check = parser.parse_args(arguments).check
    found = edges()
    wrong = complaints(found)
    generated = pages(found)
    if is_check:
        wrong += stale(generated)
    else:
        sys.stdout.writelines(f"{file}\n" for file in write(generated))
    sys.stderr.writelines(f"{complaint}\n" for complaint in wrong)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
