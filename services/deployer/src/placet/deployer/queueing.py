"""Who waits for room, asked for again in their order whenever some may have become free.

Each asks as it did at first, in the name of the operation that it waits for, so whatever is decided is told there: it
has its room, its place is another one, a later request overtook it, or it has waited for long enough. Who waits is rows
of the database: a restart finds them. To ask in vain changes nothing, so nobody is asked for who would be told what
they were told before.
"""

from __future__ import annotations

from dataclasses import dataclass

from placet.deployer import queries
from placet.deployer.domain import PROJECT, Release, stream
from placet.deployer.handlers import accept, reserve, resume
from placet.deployer.placements import LET_IN, LetIn, Placements
from placet.deployer.project import Project
from placet.deployer.queries import Queued
from placet.deployer.room import Room, no_room
from placet.events import Context, Finish, Job, UnitOfWork, Wiring, Worker, transact
from placet.events.codec import moment
from placet.events.envelope import Actor

SERVICE = "deployer"


@dataclass(frozen=True, kw_only=True)
class Queueing:
    placements: Placements
    wiring: Wiring

    @property
    def worker(self) -> Worker[LetIn]:
        return Worker(kind=LET_IN, payload=LetIn, run=self._job, gave_up=self._gave_up, slots=1)

    async def run(self) -> None:
        """Ask for all that wait, the first one first. Raises `Unavailable`; the next round begins anew."""
        reads, total = self.placements.reads, self.placements.total
        room: Room | None = None
        for queued in await queries.queue(reads):
            if room is None:
                room, _ = await queries.room(reads, total)
            if self._has_news(queued, room):
                await self._ask_again(queued)
                room = None  # it may have taken some, or waits no more

    def _has_news(self, queued: Queued, room: Room) -> bool:
        """Whether asking for it may come to anything else than before."""
        if queued.is_over or moment(queued.until) <= self.wiring.clock.now():
            return True
        known = queued.known
        if known.cleared is None or (known.certified is not None and known.certified.grounds):
            return True
        theirs = room.without(known.project, known.release).before(known.project, queued.turn)
        none = no_room(known.project, queued.amount, theirs)
        return (
            none is None or none.is_lasting or (none.position, none.quota) != (queued.position, queued.quota)
        )

    async def _ask_again(self, queued: Queued) -> None:
        known = queued.known
        context = Context(project=known.project, correlation=queued.correlation, actor=Actor.service(SERVICE))

        async def ask(work: UnitOfWork) -> None:
            await ask_again(work, self.placements, queued)

        await transact(self.wiring, SERVICE, context, ask)

    async def _job(self, job: Job[LetIn]) -> Finish:
        await self.run()
        return _nothing

    def _gave_up(self, job: Job[LetIn], reason: str) -> Finish:
        return _nothing  # the next round asks for them all


async def ask_again(work: UnitOfWork, placements: Placements, queued: Queued) -> None:
    known = queued.known
    state: Project = await work.state(PROJECT, stream(known.project))
    certified = known.certified
    if state.waits(queued.request) is None or not await queries.is_queued(placements.reads, queued):
        return  # it was decided on since it was looked up, or somebody has emptied the tables, and all looks free
    if queued.request == state.asked and certified is not None and not certified.grounds:
        await resume(work, placements, known)
    elif queued.request == state.asked:
        await placements.decide(work, Release(project=known.project, release=known.release))
    elif certified is not None:
        await accept(work, placements, known, certified, queued.request, asker=queued.asker)
    elif known.cleared is not None:
        await reserve(work, placements, known, known.cleared, queued.request)


async def _nothing(work: UnitOfWork) -> None:
    """All was said where it belongs."""
