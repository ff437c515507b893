"""What runs where: one project's reservations, starts and live model, decided from what happened to it.

Two things run beside each other while a release is replaced, so a project is a record of parts: what is reserved, what
waits, what is starting, what is serving, and the canary, which gets a share of its requests. Requests of a project are
counted as they were made (`request`); whoever asked last wins, in whatever order builds and certificates come in. The
room that all projects share is handed in as a `Room`; that two reservations never take the same room is seen to where
rows are written (`placements.py`). Who finds none at the moment waits, and asks again with the same command whenever
there may be some (`queueing.py`). Pure: no clock, no I/O.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import assert_never

from placet.deployer.room import Amount, NoRoom, Room, no_containers, no_room
from placet.errors import Unavailable
from placet.events.codec import timestamp
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
from placet.events.contracts.shapes import Resources, Sample
from placet.events.decider import Decider

ALL = 100
"""Of a hundred requests."""

ALONE = "what it ran beside serves no more"

LOOK_AGAIN = 60.0
"""Seconds after which a caller may ask again for a model that lost its certificate: it may be back by then."""

SILENT = "certifier.alive"
"""Stands for a rule where none is broken: the certifier is silent, and could not say so."""

# State: what a project is, after all that was said of it.


@dataclass(frozen=True, kw_only=True)
class Reservation:
    release: int
    until: str
    replicas: int = 1


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """A request that waits for room, until then. `is_over`: a later one was given some."""

    release: int
    request: int
    turn: int
    position: int
    quota: str | None
    until: str
    replicas: int = 1
    is_over: bool = False


@dataclass(frozen=True, kw_only=True)
class Starting:
    """A start that a job works on. `request` is the one it carries out."""

    release: int
    request: int
    image: str
    repository: str
    certificate: str
    trial: bool = False
    replicas: int = 1
    canary: int = 0
    """How many of a hundred requests it is to get beside what serves; none of none: it takes its place."""


@dataclass(frozen=True, kw_only=True)
class Idle:
    """Nothing serves, and `why`."""

    why: str = "it was never started"


@dataclass(frozen=True, kw_only=True)
class Live:
    release: int
    request: int
    image: str
    certificate: str
    url: str
    endpoints: tuple[str, ...]
    replicas: int = 1
    sample: Sample = "none"
    trial: bool = False
    diverged: bool = False
    """It does not run as it should, and nobody has seen it mended yet."""


@dataclass(frozen=True, kw_only=True)
class Canary:
    """A release that gets `weight` of a hundred requests, beside what serves."""

    live: Live
    weight: int


@dataclass(frozen=True, kw_only=True)
class Scaling:
    """To another number of replicas, which a job works on. `number` counts the project's scalings."""

    replicas: int
    number: int


@dataclass(frozen=True, kw_only=True)
class Quarantined:
    """Taken off its route; what it left stays as evidence."""

    release: int
    certificate: str
    why: str
    rule: str | None
    fix: str | None

    def told(self, project: str) -> Unavailable:
        """What callers of the model are told."""
        return Unavailable(
            f"{project} is not served: {self.certificate} does not stand, since {self.why}",
            rule=self.rule,
            fix=self.fix,
            retry_after=LOOK_AGAIN,
        )


Serving = Idle | Live | Quarantined


@dataclass(frozen=True, kw_only=True)
class Project:
    """`asked` is the last request that was carried out, `deleted` the last one that deleted the project; `failed` is
    the last start that failed. There is a canary, or a scaling, only of what is live. What is over in `waiting` stays
    there until that was said of it.
    """

    asked: int = 0
    deleted: int = 0
    reserved: tuple[Reservation, ...] = ()
    waiting: tuple[Waiting, ...] = ()
    starting: Starting | None = None
    serving: Serving = Idle()
    canary: Canary | None = None
    scaling: Scaling | None = None
    scalings: int = 0
    failed: ModelFailed | None = None

    @property
    def ready(self) -> Sequence[Live]:
        """What requests are sent to."""
        canary = None if self.canary is None else self.canary.live
        return [each for each in (self.live, canary) if each is not None]

    @property
    def running(self) -> Sequence[Starting | Live]:
        """What instances should exist of."""
        return self.ready if self.starting is None else [self.starting, *self.ready]

    @property
    def live(self) -> Live | None:
        return self.serving if isinstance(self.serving, Live) else None

    @property
    def holds(self) -> frozenset[int]:
        """The releases that room is held for. While one replaces another, both are."""
        return self.runs | {reservation.release for reservation in self.reserved}

    @property
    def runs(self) -> frozenset[int]:
        """The releases that an instance should exist of."""
        return frozenset(each.release for each in self.running)

    def is_overtaken(self, request: int) -> bool:
        """Whether a later request was carried out, or waits for that."""
        latest = max((each.request for each in self.waiting), default=0)
        return request <= self.asked or request < latest

    def waits(self, request: int) -> Waiting | None:
        return next((each for each in self.waiting if each.request == request), None)

    def waits_in_vain(self, waiting: Waiting) -> bool:
        """Whether nothing is to come of it any more. What was quarantined waits for the request that is carried out."""
        if isinstance(self.serving, Quarantined) and waiting.request == self.asked:
            return waiting.is_over or self.starting is not None
        return waiting.is_over or self.is_overtaken(waiting.request)

    def replicas_to_place(self, request: int, asked: Resources) -> int:
        """Who waits goes on waiting for as many as it did at first."""
        waiting = self.waits(request)
        return waiting.replicas if waiting else self.replicas_for(asked)

    def wants(self, release: int, replica: int) -> bool:
        """Whether an instance of it should exist."""
        return release in self.runs and replica <= self.replicas_of(release)

    def replicas_of(self, release: int) -> int:
        """That room is held for; none of what is not held."""
        held = [each.replicas for each in (*self.running, *self.reserved) if each.release == release]
        if self.scaling is not None and self.live is not None and self.live.release == release:
            held.append(self.scaling.replicas)
        return max(held, default=0)

    def replicas_for(self, asked: Resources) -> int:
        """A release begins with as many as serve, as far as it allows."""
        at_present = self.live.replicas if self.live else asked.min_replicas
        return min(max(at_present, asked.min_replicas), asked.max_replicas)

    def reservation(self, release: int) -> Reservation | None:
        return next((each for each in self.reserved if each.release == release), None)


# Commands.


@dataclass(frozen=True, kw_only=True)
class Patience:
    """Until when who begins to wait for room `now` waits; none does where that is now."""

    now: datetime
    until: datetime


@dataclass(frozen=True, kw_only=True)
class Reserve:
    """A release was cleared. `request` is the one that asked for it; `runs_here`: this platform can run its image."""

    project: str
    release: int
    request: int
    source: str
    image: str | None
    resources: Resources
    room: Room
    patience: Patience
    until: str
    runs_here: bool = True
    asker: str | None = None


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
class AcceptStart:
    """Start a certified release: because it was deployed and certified now, or because somebody asked again.

    `request` is the one to carry out, `deployed_by` the one that asked for this release's deploy or build.
    """

    project: str
    release: int
    request: int
    deployed_by: int
    image: str
    repository: str
    certificate: str
    resources: Resources
    room: Room
    patience: Patience
    trial: bool = False
    asker: str | None = None
    canary: int = 0


@dataclass(frozen=True, kw_only=True)
class RejectStart:
    """There is nothing that could be started."""

    project: str
    release: int
    request: int
    why: str
    fix: str | None


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
class Promote:
    """Give the canary so many of a hundred requests; all of them: put it in the place of what it runs beside."""

    project: str
    weight: int


@dataclass(frozen=True, kw_only=True)
class Abort:
    """End the canary; of one `release` where something is wrong with that."""

    project: str
    why: str
    fix: str | None
    release: int | None = None


@dataclass(frozen=True, kw_only=True)
class Scale:
    """Run so many replicas of what serves, of which each takes `resources`."""

    project: str
    replicas: int
    resources: Resources | None
    room: Room


@dataclass(frozen=True, kw_only=True)
class ReportScaled:
    """They are ready, and the route points to them."""

    project: str
    scaling: int
    endpoints: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class ReportNotScaled:
    project: str
    scaling: int
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


@dataclass(frozen=True, kw_only=True)
class Resume:
    """Its certificate stands again: start what was quarantined for that, unless somebody wanted otherwise since."""

    project: str
    release: int
    image: str
    repository: str
    certificate: str
    resources: Resources
    room: Room
    patience: Patience
    trial: bool = False
    asker: str | None = None


Command = (
    Reserve
    | Release
    | Expire
    | AcceptStart
    | RejectStart
    | ReportStarted
    | ReportFailed
    | ReportDiverged
    | ReportMended
    | GiveUp
    | Promote
    | Abort
    | Scale
    | ReportScaled
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
            return [_as_it_is(command.project, replace(live, endpoints=command.endpoints))]
        case GiveUp():
            live = project.live
            if live is None or live.release != command.release:
                return []
            aborted = _aborted(project, command.project, ALONE)
            return [*aborted, _failed(command, live.request, command.why, command.fix)]
        case Promote():
            return _promote(command, project)
        case Abort():
            return _abort(command, project)
        case Scale():
            return _scale(command, project)
        case ReportScaled():
            return _scaled(command, project)
        case ReportNotScaled():
            scaling = project.scaling
            if scaling is None or scaling.number != command.scaling:
                return [_another_scaling(command)]
            return [_refused_change(command.project, command.why, command.fix, scaling=scaling.number)]
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
    if _is_too_late(command, project):
        return [_overtaken(command)]
    if not command.runs_here:  # before its image is built, which may take long
        return [_refused(command, command.request, no_containers(command.project))]
    replicas = project.replicas_to_place(command.request, command.resources)
    none = _none_for(command, command.request, replicas, project)
    if none is not None:
        return _queued(command, command.request, replicas, none, project)
    reserved = ResourcesReserved(
        project=command.project,
        release=command.release,
        source=command.source,
        image=command.image,
        resources=command.resources,
        until=command.until,
        asker=command.asker,
        replicas=replicas,
    )
    return [reserved]


def _accept(command: AcceptStart, project: Project) -> Sequence[Happened]:
    live, starting = project.live, project.starting
    if command.request in {each.request for each in project.running}:
        return []
    if command.deployed_by <= project.deleted:
        why = f"release {command.release} went with {command.project} when it was deleted"
        return [_failed(command, command.request, why, "deploy it again")]
    if _is_too_late(command, project):
        return [_overtaken(command)]
    if live is not None and live.release == command.release and not live.diverged:
        return [_as_it_is(command.project, replace(live, request=command.request))]
    if command.canary and live is None:
        return [_failed(command, command.request, *_nothing_beside(command.project))]
    if command.trial and any(each is not None and not each.trial for each in (live, starting)):
        why = f"release {command.release} is a trial, and {command.project} has a release that people answer for"
        fix = f"stop {command.project} first, or deploy the trial under another name"
        return [_failed(command, command.request, why, fix)]
    reservation = project.reservation(command.release)
    if reservation is not None:
        return [_begun(command, command.request, reservation.replicas)]
    return _placed(command, command.request, project)


def _quarantine(command: Quarantine, project: Project) -> Sequence[Happened]:
    starting = project.starting
    if starting is not None and starting.certificate == command.certificate:
        why = f"its certificate {command.certificate} does not stand: {command.why}"
        return [_failed(command, starting.request, why, command.fix)]
    canary = project.canary
    if canary is not None and canary.live.certificate == command.certificate:
        why = f"its certificate {command.certificate} does not stand: {command.why}"
        return _aborted(project, command.project, why, command.fix)
    if not _is_live(project, command.release) and not _is_off_for_less(command, project):
        return []
    return [
        *_aborted(project, command.project, ALONE),
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
    return _placed(command, request, project)


def _placed(command: AcceptStart | Resume, request: int, project: Project) -> Sequence[Happened]:
    """It begins where there is room, and else waits for some."""
    replicas = project.replicas_to_place(request, command.resources)
    none = _none_for(command, request, replicas, project)
    if none is None:
        return [_begun(command, request, replicas)]
    return _queued(command, request, replicas, none, project)


def _is_too_late(command: Reserve | AcceptStart, project: Project) -> bool:
    waiting = project.waits(command.request)
    return project.is_overtaken(command.request) or (waiting is not None and waiting.is_over)


def _none_for(
    command: Reserve | AcceptStart | Resume, request: int, replicas: int, project: Project
) -> NoRoom | None:
    waiting = project.waits(request)
    turn = waiting.turn if waiting else command.room.next_turn
    room = command.room.without(command.project, command.release).before(command.project, turn)
    return no_room(command.project, Amount.of(command.resources) * replicas, room)


def _queued(
    command: Reserve | AcceptStart | Resume, request: int, replicas: int, none: NoRoom, project: Project
) -> Sequence[Happened]:
    """It waits, or goes on doing so. That is said again where its place or what it waits for is another one."""
    waiting, patience = project.waits(request), command.patience
    until = datetime.fromisoformat(waiting.until) if waiting else patience.until
    if none.is_lasting:
        return [_refused(command, request, none)]
    if until <= patience.now:
        in_vain = "it waited until now in vain: " if waiting else ""
        return [_refused(command, request, replace(none, why=f"{in_vain}{none.why}"))]
    if waiting is not None and (waiting.position, waiting.quota) == (none.position, none.quota):
        return []
    queued = ResourcesQueued(
        project=command.project,
        release=command.release,
        request=request,
        turn=waiting.turn if waiting else command.room.next_turn,
        position=none.position,
        quota=none.quota,
        why=none.why,
        fix=none.fix,
        until=waiting.until if waiting else timestamp(patience.until),
        asker=command.asker,
        replicas=replicas,
    )
    return [queued]


def _begun(command: AcceptStart | Resume, request: int, replicas: int) -> StartAccepted:
    return StartAccepted(
        project=command.project,
        release=command.release,
        image=command.image,
        repository=command.repository,
        certificate=command.certificate,
        request=request,
        trial=command.trial,
        replicas=replicas,
        canary=command.canary if isinstance(command, AcceptStart) else 0,
    )


def _started(command: ReportStarted, project: Project) -> Sequence[Happened]:
    live, starting = project.live, project.starting
    if starting is not None and starting.request == command.request:
        if starting.canary and live is None:
            return [_failed(command, command.request, *_nothing_beside(command.project))]
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
            _as_canary(command.project, started, starting.canary)
            if starting.canary
            else _as_it_is(command.project, started)
        )
        return [*_aborted(project, command.project, f"release {command.release} took its place"), said]
    if live is not None and live.request == command.request:
        moved = replace(live, endpoints=command.endpoints)
        return [] if moved == live else [_as_it_is(command.project, moved)]
    return _ended(command, project)


def _ended(command: ReportStarted | ReportFailed, project: Project) -> Sequence[Happened]:
    """Of a start that is none any more: what ended it, also for who asked for it, who may not have heard that."""
    failed = project.failed
    return [failed if failed is not None and failed.request == command.request else _overtaken(command)]


def _as_it_is(project: str, live: Live) -> ModelStarted:
    return ModelStarted(
        project=project,
        release=live.release,
        image=live.image,
        certificate=live.certificate,
        url=live.url,
        endpoints=live.endpoints,
        replicas=live.replicas,
        request=live.request,
        sample=live.sample,
    )


def _as_canary(project: str, live: Live, weight: int) -> CanaryStarted:
    return CanaryStarted(
        project=project,
        release=live.release,
        image=live.image,
        certificate=live.certificate,
        url=live.url,
        endpoints=live.endpoints,
        replicas=live.replicas,
        weight=weight,
        request=live.request,
        sample=live.sample,
    )


def _promote(command: Promote, project: Project) -> Sequence[Happened]:
    canary = project.canary
    if canary is None:
        return [_refused_change(command.project, *_no_canary(command.project))]
    if command.weight < ALL:
        return [CanaryWeighted(project=command.project, release=canary.live.release, weight=command.weight)]
    return [_as_it_is(command.project, canary.live)]


def _abort(command: Abort, project: Project) -> Sequence[Happened]:
    if command.release is not None:
        is_meant = project.canary is not None and project.canary.live.release == command.release
        return _aborted(project, command.project, command.why, command.fix) if is_meant else []
    if project.canary is None:
        return [_refused_change(command.project, *_no_canary(command.project))]
    return _aborted(project, command.project, command.why, command.fix)


def _aborted(project: Project, name: str, why: str, fix: str | None = None) -> list[Happened]:
    """The canary's end, if there is one."""
    if project.canary is None:
        return []
    return [CanaryAborted(project=name, release=project.canary.live.release, why=why, fix=fix)]


def _without_what_serves(name: str, project: Project) -> Sequence[Happened]:
    """What goes with it when it is stopped or deleted."""
    return [*_released(name, project.reserved), *_aborted(project, name, ALONE)]


def _scale(command: Scale, project: Project) -> Sequence[Happened]:
    name, live, asked = command.project, project.live, command.resources
    if live is None or asked is None:
        return [_refused_change(name, f"{name} serves nothing that could be scaled", f"placet start {name}")]
    if not asked.min_replicas <= command.replicas <= asked.max_replicas:
        why = f"{name} runs {asked.min_replicas} to {asked.max_replicas} replicas, as its placet.yaml says"
        return [_refused_change(name, why, "set resources.replicas there, and deploy it")]
    if command.replicas > project.replicas_of(live.release):
        # Who waits for room was there before; a quota counts all that the project holds then.
        room = command.room.without(name, live.release).before(name, command.room.next_turn)
        none = no_room(name, Amount.of(asked) * command.replicas, room)
        if none is not None:
            return [_refused_change(name, none.why, none.fix)]
    return [
        ScaleAccepted(
            project=name, release=live.release, replicas=command.replicas, scaling=project.scalings + 1
        )
    ]


def _scaled(command: ReportScaled, project: Project) -> Sequence[Happened]:
    live, scaling = project.live, project.scaling
    if live is None or scaling is None or scaling.number != command.scaling:
        return [_another_scaling(command)]
    return [
        ModelScaled(
            project=command.project,
            release=live.release,
            replicas=scaling.replicas,
            endpoints=command.endpoints,
            scaling=scaling.number,
        )
    ]


def _another_scaling(command: ReportScaled | ReportNotScaled) -> ChangeRefused:
    why = f"what {command.project} serves, or how many replicas of it are wanted, changed meanwhile"
    return _refused_change(command.project, why, "scale it again, if that is still wanted")


def _refused_change(project: str, why: str, fix: str | None, *, scaling: int = 0) -> ChangeRefused:
    return ChangeRefused(project=project, why=why, fix=fix, scaling=scaling)


def _no_canary(project: str) -> tuple[str, str]:
    return f"{project} has no canary", f"`placet status {project}` says what serves"


def _nothing_beside(project: str) -> tuple[str, str]:
    return f"{project} serves nothing that a canary could run beside", "deploy it without a canary"


def _refused(command: Reserve | AcceptStart | Resume, request: int, none: NoRoom) -> ResourcesRefused:
    return ResourcesRefused(
        project=command.project, release=command.release, why=none.why, fix=none.fix, request=request
    )


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
            )
            return replace(
                project,
                asked=max(project.asked, event.request),
                reserved=_without(project, event.release),
                waiting=_waiting(project, but=event.request),
                starting=starting,
            )
        case ModelStarted():
            started = Live(
                release=event.release,
                request=event.request,
                image=event.image,
                certificate=event.certificate,
                url=event.url,
                endpoints=event.endpoints,
                replicas=event.replicas,
                sample=event.sample,
                trial=_is_trial(project, event),
            )
            later = project.starting if _is_after(project.starting, event.request) else None
            canary, live = project.canary, project.live
            return replace(
                project,
                asked=max(project.asked, event.request),
                waiting=_waiting(project, but=event.request),
                starting=later,
                serving=started,
                canary=None if canary is None or canary.live.release == event.release else canary,
                scaling=project.scaling if live is not None and live.release == event.release else None,
            )
        case CanaryStarted():
            started = Live(
                release=event.release,
                request=event.request,
                image=event.image,
                certificate=event.certificate,
                url=event.url,
                endpoints=event.endpoints,
                replicas=event.replicas,
                sample=event.sample,
                trial=_is_trial(project, event),
            )
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
            scaling = Scaling(replicas=event.replicas, number=event.scaling)
            return replace(project, scaling=scaling, scalings=event.scaling)
        case ModelScaled():
            live = project.live
            if live is None:
                return project
            scaled = replace(live, replicas=event.replicas, endpoints=event.endpoints)
            return replace(project, serving=scaled, scaling=None)
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
