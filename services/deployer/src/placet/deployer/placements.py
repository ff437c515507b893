"""One decision on a project, with the rows and the jobs that follow from it, staged in one unit.

Everything that changes a project goes through `Placements.decide`, so that `holdings` always agrees with the
streams. Room is shared by all projects and each project has its own stream, so streams cannot keep two
reservations from taking the same room; `room_taken` does. A taking moves its number on from the one that was
read together with the room, or breaks a constraint, which is a conflict: the handler runs again and sees what
is left.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec
import sqlalchemy as sa

from placet.deployer import projections as p
from placet.deployer import queries
from placet.deployer.domain import PROJECT, Command, Happened, ReportDelayed, stream
from placet.deployer.placing import Patience
from placet.deployer.ports import Reads
from placet.deployer.project import Project
from placet.deployer.room import Amount, Room
from placet.deployer.scaling import ReportScalingDelayed
from placet.events import UnitOfWork
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
    ResourcesReserved,
    ScaleAccepted,
    StartAccepted,
)

START = "start"
SCALE = "scale"
AWAIT_CERTIFICATE = "await certificate"
LET_IN = "let in"
TAKES = ResourcesReserved | ResourcesQueued | StartAccepted | ScaleAccepted | ModelDiverged
"""After these nobody has more room than before."""


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """The job to bring up a release that was accepted for `request`."""

    project: str
    release: int
    request: int


class Rescale(msgspec.Struct, frozen=True, kw_only=True):
    """The job to bring what serves to another number of replicas."""

    project: str
    scaling: int


class Settle(msgspec.Struct, frozen=True, kw_only=True):
    """The job to make a project's route and instances what they should be; to `mend` starts what ended, too."""

    project: str
    mend: bool = False


class AwaitCertificate(msgspec.Struct, frozen=True, kw_only=True):
    """The job to start a release once its certificate was heard of, until a moment (seconds since 1970)."""

    project: str
    release: int
    request: int
    until: float


class LetIn(msgspec.Struct, frozen=True, kw_only=True):
    """The job to ask for who waits for room, since there may be some. `project` gave it back, or has another quota."""

    project: str


@dataclass(kw_only=True)
class Placements:
    """`total` is the room that the platform has, which a start may have to find out; `reservation` how long room is
    held for an uncertified release, `queue` how long a release waits for room.

    `has_containers`: whatever an image holds can be run; else only placet's own model server can.
    """

    reads: Reads
    total: Amount
    reservation: timedelta
    queue: timedelta = timedelta()
    has_containers: bool = False

    def patience(self, now: datetime) -> Patience:
        return Patience(now=now, until=now + self.queue)

    async def decide(
        self, work: UnitOfWork, command: Command, *, asker: str | None = None
    ) -> Sequence[Happened]:
        """Decide what takes no room. What is to be done then takes a turn of `asker`'s, of the project's if none."""
        return await self._stage(work, command, asker)

    async def decide_in_room(
        self, work: UnitOfWork, command: Callable[[Room], Command], *, asker: str | None = None
    ) -> Sequence[Happened]:
        """Decide what may take room, on the room as it is."""
        room, number = await queries.room(self.reads, self.total)
        asked = command(room)
        before: Project = await work.state(PROJECT, stream(asked.project))
        happened = await self._stage(work, asked, asker)
        after: Project = await work.state(PROJECT, stream(asked.project))
        is_queued = any(isinstance(each, ResourcesQueued) for each in happened)
        if is_queued or any(after.replicas_of(each) > before.replicas_of(each) for each in after.holds):
            work.run(_move_on(number))
        return happened

    async def _stage(self, work: UnitOfWork, command: Command, asker: str | None) -> Sequence[Happened]:
        happened = await work.decide(PROJECT, stream(command.project), command)
        if happened:
            await keep_holdings(work, command.project)
        for event in happened:
            if isinstance(event, ResourcesQueued):
                await keep_queued(work, event, correlation=work.context.correlation)
            if not isinstance(command, ReportDelayed | ReportScalingDelayed):  # by the job that is at it
                _enqueue_what_follows(work, event, asker or command.project)
        if any(not isinstance(event, TAKES) for event in happened):
            await self.let_in(work, command.project)
        return happened

    async def let_in(self, work: UnitOfWork, project: str) -> None:
        """Have those asked for who wait, if somebody does."""
        if await queries.is_waited_for(self.reads):
            work.enqueue(LET_IN, work.new_id(), LetIn(project=project))


async def keep_holdings(work: UnitOfWork, project: str) -> None:
    """From the stream's state alone: rows read at another moment may know of less than the state does."""
    state: Project = await work.state(PROJECT, stream(project))
    work.run(sa.delete(p.holdings).where(p.holdings.c.project == project))
    live = state.live
    for release in sorted(state.holds):
        reservation = state.reservation(release)
        is_live = live is not None and live.release == release
        is_canary = state.canary is not None and state.canary.live.release == release
        work.put(
            p.holdings,
            project=project,
            release=release,
            replicas=state.replicas_of(release),
            ready=next((each.replicas for each in state.ready if each.release == release), 0),
            until=reservation.until if reservation else None,
            is_live=is_live,
            is_canary=is_canary,
            is_diverged=is_live and live is not None and live.diverged,
        )
    theirs = p.queued.c.project == project
    waiting = [each.request for each in state.waiting]
    work.run(sa.delete(p.queued).where(theirs, p.queued.c.request.not_in(waiting)))
    over = [each.request for each in state.waiting if state.waits_in_vain(each)]
    if over:
        work.run(sa.update(p.queued).where(theirs, p.queued.c.request.in_(over)).values(is_over=True))


async def keep_queued(work: UnitOfWork, queued: ResourcesQueued, *, correlation: str) -> None:
    """As it was said, with the operation that it was said in; nothing of what does not wait any more."""
    state: Project = await work.state(PROJECT, stream(queued.project))
    waiting = state.waits(queued.request)
    if waiting is None:
        return
    work.put(
        p.queued,
        project=queued.project,
        request=queued.request,
        release=queued.release,
        turn=queued.turn,
        position=queued.position,
        quota=queued.quota,
        why=queued.why,
        until=queued.until,
        replicas=queued.replicas,
        asker=queued.asker,
        correlation=correlation,
        is_over=state.waits_in_vain(waiting),
    )


def settle(work: UnitOfWork, job: Settle, *, asker: str | None) -> None:
    """Enqueue it beside those that are under way: to replace one would end it, and it may be waiting for a drain."""
    work.enqueue(queries.SETTLE, f"{job.project}/{work.new_id()}", job, asker=asker or job.project)


def _move_on(number: int) -> sa.Executable:
    """Move the number on from `number`, or break a constraint: its key, or NOT NULL."""
    table = p.room_taken
    if number == 0:
        return sa.insert(table).values(id=1, number=1)
    return sa.update(table).values(number=sa.case((table.c.number == number, number + 1), else_=sa.null()))


def enqueue_start(work: UnitOfWork, accepted: StartAccepted, *, asker: str) -> None:
    project, release, request = accepted.project, accepted.release, accepted.request
    work.enqueue(
        START, f"{project}/{request}", Start(project=project, release=release, request=request), asker=asker
    )


def enqueue_scaling(work: UnitOfWork, accepted: ScaleAccepted, *, asker: str) -> None:
    project, scaling = accepted.project, accepted.scaling
    work.enqueue(SCALE, f"{project}/{scaling}", Rescale(project=project, scaling=scaling), asker=asker)


def _enqueue_what_follows(work: UnitOfWork, event: Happened, asker: str) -> None:
    match event:
        case StartAccepted():
            enqueue_start(work, event, asker=asker)
        case ScaleAccepted():
            enqueue_scaling(work, event, asker=asker)
        case (
            ModelStarted(project=project)
            | ModelFailed(project=project)
            | ModelStopped(project=project)
            | ModelDeleted(project=project)
            | ModelQuarantined(project=project)
            | ModelScaled(project=project)
            | CanaryStarted(project=project)
            | CanaryWeighted(project=project)
            | CanaryAborted(project=project)
            | ChangeRefused(project=project)
        ):
            settle(work, Settle(project=project), asker=asker)
        case _:
            return
