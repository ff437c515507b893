"""Who finds room begins, and who finds none at the moment waits for it, or is refused. Pure: no clock, no I/O.

What room there is at one moment is told by `room.py`. That two never take the same is seen to where rows are written
(`placements.py`); whoever waits asks again with the same command whenever there may be some (`queueing.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from placet.deployer.project import Project
from placet.deployer.room import Amount, NoRoom, Room, no_containers, no_room
from placet.events.codec import timestamp
from placet.events.contracts.deployer import (
    ResourcesQueued,
    ResourcesRefused,
    ResourcesReserved,
    StartAccepted,
)
from placet.events.contracts.shapes import Resources


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
    canary: int = 0


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


def reserve(
    command: Reserve, project: Project
) -> Sequence[ResourcesReserved | ResourcesQueued | ResourcesRefused]:
    """Room for a release that is not certified yet, before its image is built, which may take long."""
    if not command.runs_here:
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


def placed(
    command: AcceptStart | Resume, request: int, project: Project
) -> Sequence[StartAccepted | ResourcesQueued | ResourcesRefused]:
    """It begins where there is room, and else waits for some."""
    replicas = project.replicas_to_place(request, command.resources)
    none = _none_for(command, request, replicas, project)
    if none is None:
        return [begun(command, request, replicas)]
    return _queued(command, request, replicas, none, project)


def is_too_late(command: Reserve | AcceptStart, project: Project) -> bool:
    waiting = project.waits(command.request)
    return project.is_overtaken(command.request) or (waiting is not None and waiting.is_over)


def _none_for(
    command: Reserve | AcceptStart | Resume, request: int, replicas: int, project: Project
) -> NoRoom | None:
    waiting = project.waits(request)
    turn = waiting.turn if waiting else command.room.next_turn
    room = command.room.without(command.project, command.release).before(command.project, turn)
    is_canary = not isinstance(command, Resume) and command.canary > 0
    return no_room(command.project, Amount.of(command.resources) * replicas, room, canary=is_canary)


def _queued(
    command: Reserve | AcceptStart | Resume, request: int, replicas: int, none: NoRoom, project: Project
) -> Sequence[ResourcesQueued | ResourcesRefused]:
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


def begun(command: AcceptStart | Resume, request: int, replicas: int) -> StartAccepted:
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


def _refused(command: Reserve | AcceptStart | Resume, request: int, none: NoRoom) -> ResourcesRefused:
    return ResourcesRefused(
        project=command.project, release=command.release, why=none.why, fix=none.fix, request=request
    )
