"""What runs where: one project's reservations, starts and live model, decided from what happened to it.

Two things run beside each other while a release is replaced, so a project is a record of parts (`project.py`): what is
reserved, what waits, what is starting, what is serving, and the canary, which gets a share of its requests. Requests of
a project are counted as they were made (`request`); whoever asked last wins, in whatever order builds and certificates
come in. What is decided of room, canaries and replicas alone is beside this: `placing.py`, `canaries.py`, `scaling.py`.
Pure: no clock, no I/O.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import assert_never

from placet.deployer import canaries, scaling
from placet.deployer.canaries import Abort, Promote
from placet.deployer.placing import AcceptStart, Reserve, Resume, begun, is_too_late, placed, reserve
from placet.deployer.project import (
    Canary,
    Idle,
    Live,
    Project,
    Quarantined,
    Reservation,
    Scaling,
    Starting,
    Waiting,
)
from placet.deployer.scaling import ReportNotScaled, ReportScaled, ReportScalingDelayed, Scale
from placet.events.contracts.deployer import (
    CanaryAborted,
    CanaryStarted,
    CanaryWeighted,
    ChangeRefused,
    ModelDeleted,
    ModelDiverged,
    ModelFailed,
    ModelQuarantined,
    ModelScaled,
    ModelStarted,
    ModelStopped,
    ResourcesQueued,
    ResourcesRefused,
    ResourcesReleased,
    ResourcesReserved,
    ScaleAccepted,
    StartAccepted,
)
from placet.events.contracts.shapes import Sample
from placet.events.decider import Decider

SILENT = "certifier.alive"
"""Stands for a rule where none is broken: the certifier is silent, and could not say so."""

# Commands.


@dataclass(frozen=True, kw_only=True)
class Release:
    """It will not be certified soon, if at all: it was refused or waits for people, or its build failed."""

    project: str
    release: int


@dataclass(frozen=True, kw_only=True)
class Expire:
    """End reservations whose time is over."""

    project: str
    now: datetime


@dataclass(frozen=True, kw_only=True)
class RejectStart:
    """There is nothing that could be started."""

    project: str
    release: int
    request: int
    why: str
    fix: str | None


@dataclass(frozen=True, kw_only=True)
class ReportDelayed:
    """Something that a start needs is away, and it is tried again; null: it goes on."""

    project: str
    request: int
    delayed: str | None


@dataclass(frozen=True, kw_only=True)
class ReportStarted:
    """It answered its sample request, if it has one, and the route points to it; or it listens elsewhere now."""

    project: str
    release: int
    request: int
    url: str
    endpoints: tuple[str, ...]
    sample: Sample = "none"


@dataclass(frozen=True, kw_only=True)
class ReportFailed:
    """A start came to nothing."""

    project: str
    release: int
    request: int
    why: str
    fix: str | None


@dataclass(frozen=True, kw_only=True)
class ReportDiverged:
    """The live release does not run as it should. `serves`: some of it does meanwhile."""

    project: str
    release: int
    why: str
    serves: bool = False


@dataclass(frozen=True, kw_only=True)
class ReportMended:
    """The live release is ready where it listens, and its route points there."""

    project: str
    release: int
    endpoints: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class GiveUp:
    """The live release cannot be kept running."""

    project: str
    release: int
    why: str
    fix: str | None


@dataclass(frozen=True, kw_only=True)
class Stop:
    project: str
    request: int


@dataclass(frozen=True, kw_only=True)
class Delete:
    project: str
    request: int


@dataclass(frozen=True, kw_only=True)
class Quarantine:
    """Its certificate does not stand: what is live leaves its route, and what is starting does not get there."""

    project: str
    release: int
    certificate: str
    why: str
    rule: str | None = None
    fix: str | None = None


Command = (
    Reserve
    | Release
    | Expire
    | AcceptStart
    | RejectStart
    | ReportDelayed
    | ReportStarted
    | ReportFailed
    | ReportDiverged
    | ReportMended
    | GiveUp
    | Promote
    | Abort
    | Scale
    | ReportScaled
    | ReportScalingDelayed
    | ReportNotScaled
    | Stop
    | Delete
    | Quarantine
    | Resume
)

Happened = (
    ResourcesReserved
    | ResourcesQueued
    | ResourcesRefused
    | ResourcesReleased
    | StartAccepted
    | ModelStarted
    | ModelFailed
    | ModelStopped
    | ModelDeleted
    | ModelQuarantined
    | ModelDiverged
    | CanaryStarted
    | CanaryWeighted
    | CanaryAborted
    | ScaleAccepted
    | ModelScaled
    | ChangeRefused
)


# Deciding.


def decide(command: Command, project: Project) -> Sequence[Happened]:
    match command:
        case Reserve():
            return _reserve(command, project)
        case Release():
            held: list[Reservation | Waiting] = [*project.reserved, *project.waiting]
            theirs = [each for each in held if each.release == command.release]
            return _released(command.project, theirs[:1])
        case Expire():
            over = (each for each in project.reserved if datetime.fromisoformat(each.until) <= command.now)
            return _released(command.project, over)
        case AcceptStart():
            return _accept(command, project)
        case RejectStart():
            return [_failed(command, command.request, command.why, command.fix)]
        case ReportDelayed():
            return _delayed(command, project)
        case ReportStarted():
            return _started(command, project)
        case ReportFailed():
            if project.starting is None or project.starting.request != command.request:
                return _ended(command, project)
            return [_failed(command, command.request, command.why, command.fix)]
        case ReportDiverged():
            if not _is_live(project, command.release):
                return []
            diverged = ModelDiverged(
                project=command.project, release=command.release, why=command.why, serves=command.serves
            )
            return [diverged]
        case ReportMended():
            live = project.live
            if live is None or live.release != command.release or not live.diverged:
                return []
            return [replace(live, endpoints=command.endpoints).told(command.project)]
        case GiveUp():
            live = project.live
            if live is None or live.release != command.release:
                return []
            aborted = canaries.aborted(project, command.project, canaries.ALONE)
            return [*aborted, _failed(command, live.request, command.why, command.fix)]
        case Promote():
            return canaries.promote(command, project)
        case Abort():
            return canaries.abort(command, project)
        case Scale():
            return scaling.scale(command, project)
        case ReportScaled():
            return scaling.scaled(command, project)
        case ReportScalingDelayed():
            return scaling.delayed(command, project)
        case ReportNotScaled():
            return scaling.not_scaled(command, project)
        case Stop():
            release = project.live.release if project.live else None
            stopped = ModelStopped(project=command.project, release=release, request=command.request)
            return [*_without_what_serves(command.project, project), stopped]
        case Delete():
            deleted = ModelDeleted(project=command.project, request=command.request)
            return [*_without_what_serves(command.project, project), deleted]
        case Quarantine():
            return _quarantine(command, project)
        case Resume():
            return _resume(command, project)
    assert_never(command)


def _reserve(command: Reserve, project: Project) -> Sequence[Happened]:
    if command.release in project.holds:
        return []
    if is_too_late(command, project):
        return [_overtaken(command)]
    return reserve(command, project)


def _accept(command: AcceptStart, project: Project) -> Sequence[Happened]:
    live, starting = project.live, project.starting
    if command.request in {each.request for each in project.running}:
        return []
    if command.deployed_by <= project.deleted:
        why = f"release {command.release} went with {command.project} when it was deleted"
        return [_failed(command, command.request, why, "deploy it again")]
    if is_too_late(command, project):
        return [_overtaken(command)]
    if live is not None and live.release == command.release and not live.diverged:
        return [replace(live, request=command.request).told(command.project)]
    if command.canary and live is None:
        return [_failed(command, command.request, *canaries.nothing_beside(command.project))]
    if command.trial and any(each is not None and not each.trial for each in (live, starting)):
        why = f"release {command.release} is a trial, and {command.project} has a release that people answer for"
        fix = f"stop {command.project} first, or deploy the trial under another name"
        return [_failed(command, command.request, why, fix)]
    reservation = project.reservation(command.release)
    if reservation is not None:
        return [begun(command, command.request, reservation.replicas)]
    return placed(command, command.request, project)


def _quarantine(command: Quarantine, project: Project) -> Sequence[Happened]:
    starting = project.starting
    if starting is not None and starting.certificate == command.certificate:
        why = f"its certificate {command.certificate} does not stand: {command.why}"
        return [_failed(command, starting.request, why, command.fix)]
    canary = project.canary
    if canary is not None and canary.live.certificate == command.certificate:
        why = f"its certificate {command.certificate} does not stand: {command.why}"
        return canaries.aborted(project, command.project, why, command.fix)
    if not _is_live(project, command.release) and not _is_off_for_less(command, project):
        return []
    return [
        *canaries.aborted(project, command.project, canaries.ALONE),
        ModelQuarantined(
            project=command.project,
            release=command.release,
            certificate=command.certificate,
            why=command.why,
            rule=command.rule,
            fix=command.fix,
        ),
    ]


def _is_off_for_less(command: Quarantine, project: Project) -> bool:
    """It is off its route for what no rule says, and a rule does now: callers are told that."""
    was = project.serving
    return (
        isinstance(was, Quarantined)
        and was.certificate == command.certificate
        and was.rule == SILENT != command.rule
        and command.rule is not None
    )


def _resume(command: Resume, project: Project) -> Sequence[Happened]:
    """For the request that brought it there. Where its room was given away meanwhile, it waits for some."""
    was, request = project.serving, project.asked
    waiting = project.waits(request)
    is_of_another = not isinstance(was, Quarantined) or was.certificate != command.certificate
    if project.starting or is_of_another or (waiting is not None and waiting.is_over):
        return _released(command.project, [waiting] if waiting else [])
    return placed(command, request, project)


def _started(command: ReportStarted, project: Project) -> Sequence[Happened]:
    live, starting = project.live, project.starting
    if starting is not None and starting.request == command.request:
        if starting.canary and live is None:
            return [_failed(command, command.request, *canaries.nothing_beside(command.project))]
        started = Live(
            release=command.release,
            request=command.request,
            image=starting.image,
            certificate=starting.certificate,
            url=command.url,
            endpoints=command.endpoints,
            replicas=starting.replicas,
            sample=command.sample,
        )
        said = (
            canaries.begun(command.project, started, starting.canary)
            if starting.canary
            else started.told(command.project)
        )
        return [
            *canaries.aborted(project, command.project, f"release {command.release} took its place"),
            said,
        ]
    if live is not None and live.request == command.request:
        moved = replace(live, endpoints=command.endpoints)
        return [] if moved == live else [moved.told(command.project)]
    return _ended(command, project)


def _delayed(command: ReportDelayed, project: Project) -> Sequence[StartAccepted]:
    starting = project.starting
    if starting is None or starting.request != command.request:
        return []  # its end says so
    if starting.delayed == command.delayed:
        return []
    return [replace(starting, delayed=command.delayed).told(command.project)]


def _ended(command: ReportStarted | ReportFailed, project: Project) -> Sequence[Happened]:
    """Of a start that is none any more: what ended it, also for who asked for it, who may not have heard that."""
    failed = project.failed
    return [failed if failed is not None and failed.request == command.request else _overtaken(command)]


def _without_what_serves(name: str, project: Project) -> Sequence[Happened]:
    """What goes with it when it is stopped or deleted."""
    return [*_released(name, project.reserved), *canaries.aborted(project, name, canaries.ALONE)]


def _failed(
    command: Reserve | AcceptStart | RejectStart | ReportStarted | ReportFailed | GiveUp | Quarantine,
    request: int,
    why: str,
    fix: str | None,
) -> ModelFailed:
    return ModelFailed(project=command.project, release=command.release, why=why, fix=fix, request=request)


def _overtaken(command: Reserve | AcceptStart | ReportStarted | ReportFailed) -> ModelFailed:
    why = f"a later request for {command.project} overtook release {command.release}"
    return _failed(command, command.request, why, "start it, or deploy it again, if it is still wanted")


def _released(project: str, given_back: Iterable[Reservation | Waiting]) -> list[Happened]:
    return [ResourcesReleased(project=project, release=each.release) for each in given_back]


def _is_live(project: Project, release: int) -> bool:
    return project.live is not None and project.live.release == release


# Evolving.


def evolve(project: Project, event: Happened) -> Project:
    match event:
        case ResourcesReserved():
            reservation = Reservation(release=event.release, until=event.until, replicas=event.replicas)
            others = (each for each in project.waiting if each.release != event.release)
            return replace(
                project,
                reserved=(*_without(project, event.release), reservation),
                waiting=tuple(replace(each, is_over=True) for each in others),
            )
        case ResourcesQueued():
            waiting = Waiting(
                release=event.release,
                request=event.request,
                turn=event.turn,
                position=event.position,
                quota=event.quota,
                until=event.until,
                replicas=event.replicas,
            )
            return replace(project, waiting=(*_waiting(project, but=event.request), waiting))
        case ResourcesReleased():
            waiting_on = tuple(each for each in project.waiting if each.release != event.release)
            return replace(project, reserved=_without(project, event.release), waiting=waiting_on)
        case ResourcesRefused():
            return replace(
                project,
                reserved=_without(project, event.release),
                waiting=_waiting(project, but=event.request),
            )
        case StartAccepted():
            starting = Starting(
                release=event.release,
                request=event.request,
                image=event.image,
                repository=event.repository,
                certificate=event.certificate,
                trial=event.trial,
                replicas=event.replicas,
                canary=event.canary,
                delayed=event.delayed,
            )
            return replace(
                project,
                asked=max(project.asked, event.request),
                reserved=_without(project, event.release),
                waiting=_waiting(project, but=event.request),
                starting=starting,
            )
        case ModelStarted():
            started = Live.of(event, trial=_is_trial(project, event))
            later = project.starting if _is_after(project.starting, event.request) else None
            canary, live = project.canary, project.live
            return replace(
                project,
                asked=max(project.asked, event.request),
                waiting=_waiting(project, but=event.request),
                starting=later,
                serving=started,
                served=started.replicas,
                canary=None if canary is None or canary.live.release == event.release else canary,
                scaling=project.scaling if live is not None and live.release == event.release else None,
            )
        case CanaryStarted():
            started = Live.of(event, trial=_is_trial(project, event))
            return replace(
                project,
                asked=max(project.asked, event.request),
                waiting=_waiting(project, but=event.request),
                starting=project.starting if _is_after(project.starting, event.request) else None,
                canary=Canary(live=started, weight=event.weight),
            )
        case CanaryWeighted():
            canary = project.canary
            return replace(project, canary=None if canary is None else replace(canary, weight=event.weight))
        case CanaryAborted():
            return replace(project, canary=None)
        case ScaleAccepted():
            scaling = Scaling(replicas=event.replicas, number=event.scaling, delayed=event.delayed)
            return replace(project, scaling=scaling, scalings=event.scaling)
        case ModelScaled():
            live = project.live
            if live is None:
                return project
            scaled = replace(live, replicas=event.replicas, endpoints=event.endpoints)
            return replace(project, serving=scaled, served=scaled.replicas, scaling=None)
        case ChangeRefused():
            is_it = project.scaling is not None and project.scaling.number == event.scaling
            return replace(project, scaling=None if is_it else project.scaling)
        case ModelFailed():
            given_up = project.live is not None and project.live.request == event.request
            ended = project.starting is not None and project.starting.request == event.request
            return replace(
                project,
                reserved=_without(project, event.release),
                waiting=_waiting(project, but=event.request),
                starting=None if ended else project.starting,
                failed=event if ended else project.failed,
                serving=Idle(why="it could not be kept running") if given_up else project.serving,
                scaling=None if given_up else project.scaling,
            )
        case ModelStopped():
            asked = max(project.asked, event.request)
            return Project(
                asked=asked,
                deleted=project.deleted,
                waiting=project.waiting,
                serving=Idle(why="it was stopped"),
                served=project.served,
                scalings=project.scalings,
            )
        case ModelDeleted():
            asked = max(project.asked, event.request)
            return Project(
                asked=asked,
                deleted=event.request,
                waiting=project.waiting,
                serving=Idle(why="it was deleted"),
                scalings=project.scalings,
            )
        case ModelQuarantined():
            held = Quarantined(
                release=event.release,
                certificate=event.certificate,
                why=event.why,
                rule=event.rule,
                fix=event.fix,
            )
            return replace(project, serving=held, scaling=None)
        case ModelDiverged():
            live = project.live
            if live is None or live.release != event.release:
                return project
            return replace(project, serving=replace(live, diverged=True))
    assert_never(event)


def _without(project: Project, release: int) -> tuple[Reservation, ...]:
    return tuple(each for each in project.reserved if each.release != release)


def _waiting(project: Project, *, but: int) -> tuple[Waiting, ...]:
    """What waits besides this request."""
    return tuple(each for each in project.waiting if each.request != but)


def _is_trial(project: Project, event: ModelStarted | CanaryStarted) -> bool:
    """Whether what started is one, which was said when the start of that release was accepted."""
    return any(each.trial for each in project.running if each.release == event.release)


def _is_after(starting: Starting | None, request: int) -> bool:
    return starting is not None and starting.request > request


PROJECT: Decider[Command, Project, Happened] = Decider(initial=Project(), decide=decide, evolve=evolve)


def stream(project: str) -> str:
    return f"project/{project}"
