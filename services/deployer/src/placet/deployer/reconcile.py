"""Compares what should run with what runs, again and again, and says `model.diverged` before it is mended.

Also here, since they come with time and not with a message: reservations that end, certificates that end, a certifier
that is silent. What is mended is `settle`'s, and told (`model.started`) once it is ready; a model that dies again and
again is given up and taken off its route. How often one died is remembered only while this process lives.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import sqlalchemy as sa

from placet.deployer import projections as p
from placet.deployer import queries
from placet.deployer.canaries import Abort
from placet.deployer.domain import (
    PROJECT,
    SILENT,
    Expire,
    GiveUp,
    Quarantine,
    ReportDiverged,
    ReportMended,
    stream,
)
from placet.deployer.handlers import resume, route
from placet.deployer.observations import together
from placet.deployer.placements import Placements, Settle, settle
from placet.deployer.ports import Instance, Ports, Target, instance_id
from placet.deployer.project import Project
from placet.deployer.queries import Known
from placet.deployer.remedies import remedy
from placet.deployer.room import in_mebibytes
from placet.deployer.shares import shares, shares_with
from placet.deployer.vigil import Vigil, silence
from placet.errors import Unavailable, Unreadable
from placet.events import Context, UnitOfWork, Wiring, transact
from placet.events.codec import moment, timestamp
from placet.events.envelope import Actor

log = logging.getLogger(__name__)

Routes = Mapping[str, frozenset[Target]]

SERVICE = "deployer"
DEATHS = 5
"""So many without `QUIET` seconds of life between them, and a model is given up."""
QUIET = 60.0
LONGEST_PAUSE = 30.0
FAILED = 0.1
"""The share of its requests that a canary may not fail, once it had `LEAST_REQUESTS`."""
LEAST_REQUESTS = 10
_SEE_LOGS = "see its log, mend it, and deploy it again"


@dataclass(slots=True)
class _Trouble:
    """What a live release went through lately. Times are monotonic seconds."""

    release: int
    deaths: int = 0
    last: float = float("-inf")
    look_again: float = float("-inf")


@dataclass(frozen=True, kw_only=True)
class _Objection:
    why: str
    fix: str
    rule: str | None = None


@dataclass(kw_only=True)
class Reconciliation:
    """`grace` is how many seconds what left its route may need to end."""

    ports: Ports
    placements: Placements
    wiring: Wiring
    grace: float
    vigil: Vigil
    pause: float = 0.5
    """Seconds before an instance that died is looked at again; twice as many each time."""
    _troubles: dict[str, _Trouble] = field(default_factory=dict)
    _unwanted: dict[str, float] = field(default_factory=dict)
    _astray: dict[str, tuple[frozenset[Target], frozenset[Target]]] = field(default_factory=dict)
    """Where routes of projects led at the last look, and should have led."""
    _ends: dict[str, datetime] = field(default_factory=dict)
    """When the certificate of each live model ends, as of the last round."""

    async def run(self) -> None:
        """One round. Raises `Unavailable`; the next round begins anew."""
        now = self.wiring.clock.now()
        try:
            await self._round(now)
        except Unavailable:
            await self._close_what_ended(now)
            raise

    async def _round(self, now: datetime) -> None:
        await self._end_reservations(now)
        # First what should run, then what does: what was live and does not run is looked up once more by `_mend`.
        live = await queries.live(self.placements.reads)
        since = await self.vigil.silent_while_awake()
        self._ends = {each.project: moment(each.certified.not_after) for each in live if each.certified}
        instances = {each.id: each for each in await self.ports.host.list()}
        routes = await self.ports.router.routes()
        disowned = await self._disowned(now)
        for known in await queries.canaries(self.placements.reads):
            why = self._objection(known, now, since) or disowned.get((known.project, known.release))
            why = why or await self._failing(known, instances)
            if why is not None:
                await self._abort(known, why)
        for known in live:
            why = self._objection(known, now, since) or disowned.get((known.project, known.release))
            if known.certified and why is not None:
                await self._quarantine(known, known.certified, why)
            else:
                await self._compare(known, instances, routes)
        if since is None:
            await self._resume_what_was_silenced()
        await self._tell_what_is_mended(instances, routes)
        await self._end_what_nobody_wants(instances, routes)

    async def _close_what_ended(self, now: datetime) -> None:
        """Without a database nothing can be said or looked up; what is known to have ended leaves its route all the
        same, and what that comes to is said once there is one again."""
        is_silent = self.vigil.silent_as_remembered() is not None
        for project in [project for project, ends in self._ends.items() if is_silent or ends <= now]:
            await self.ports.router.unroute(project)

    def _objection(self, known: Known, now: datetime, since: datetime | None) -> _Objection | None:
        """Why what is live may not be, as far as that is known here: nobody has to say it."""
        certified = known.certified
        if certified is not None and moment(certified.not_after) <= now:
            why = f"its certificate {certified.certificate} ended at {certified.not_after}"
            return _Objection(why=why, fix="deploy it again, so that it is certified anew")
        if since is not None:
            fix = "start the certifier, or look why it is not heard: what it left is back by itself then"
            return _Objection(why=silence(since), fix=fix, rule=SILENT)
        return None

    async def _disowned(self, now: datetime) -> Mapping[tuple[str, int], _Objection]:
        """What a compromised key certified, as (project, release): the certifier may not be there to end that.

        No round waits for a file that cannot be read. Nothing starts without it, and what runs was checked with it.
        """
        try:
            compromised = await self.ports.certificates.compromised(now)
        except (Unavailable, Unreadable) as trouble:
            log.warning("whether a key was compromised is not known: %s", trouble)
            return {}
        if not compromised:
            return {}
        signed = await queries.signers(self.placements.reads, compromised)
        return {
            its: _Objection(
                why=f"the key {key}, which signed its certificate, was compromised, and counts for nothing since"
                f" {timestamp(compromised[key])}",
                fix="deploy it again, so that it is signed with another key",
            )
            for its, key in signed.items()
        }

    async def _resume_what_was_silenced(self) -> None:
        """What has grounds against it by now waits for the certifier to lift them."""
        for known in await queries.silenced(self.placements.reads):

            async def back(work: UnitOfWork, known: Known = known) -> None:
                work.run(sa.delete(p.silenced).where(p.silenced.c.project == known.project))
                if known.certified is not None and not known.certified.grounds:
                    await resume(work, self.placements, known)

            await self._transact(known, back)

    async def _end_reservations(self, now: datetime) -> None:
        for project, release in await queries.expired(self.placements.reads, timestamp(now)):
            known = await queries.known(self.placements.reads, project, release)

            async def expire(work: UnitOfWork, project: str = project) -> None:
                await self.placements.decide(work, Expire(project=project, now=now))

            await self._transact(known, expire)

    async def _quarantine(self, known: Known, certified: queries.Certified, objection: _Objection) -> None:
        """Traffic stops before anybody is told."""
        await self.ports.router.unroute(known.project)

        async def quarantine(work: UnitOfWork) -> None:
            await self.placements.decide(
                work,
                Quarantine(
                    project=known.project,
                    release=known.release,
                    certificate=certified.certificate,
                    why=objection.why,
                    rule=objection.rule,
                    fix=objection.fix,
                ),
            )
            if objection.rule == SILENT:
                work.put(p.silenced, project=known.project, release=known.release)

        await self._transact(known, quarantine)

    async def _compare(self, known: Known, instances: Mapping[str, Instance], routes: Routes | None) -> None:
        ids = self._ids(known)
        found = {id: await self._death_of(known, instances.get(id)) for id in ids}
        deaths = {id: why for id, why in found.items() if why is not None}
        if deaths:
            id, why = next(iter(deaths.items()))
            said = why if len(ids) == 1 else f"{len(deaths)} of {len(ids)} replicas are down: {id}: {why}"
            await self._mend(known, said, is_death=True, serves=len(deaths) < len(ids))
        elif drift := next((instances[id].drift for id in ids if instances[id].drift), ""):
            await self._mend(known, drift, is_death=False)
        elif routes is not None:
            await self._compare_route(
                known, [instances[id].endpoint for id in ids], routes.get(known.project)
            )

    async def _compare_route(
        self, known: Known, endpoints: Sequence[str], found: frozenset[Target] | None
    ) -> None:
        if found == frozenset(shares(endpoints)):
            return
        state = await self._state(known.project)
        wanted = frozenset(shares_with(endpoints, state.canary))
        if found == wanted or state.live is None or state.live.diverged:
            return
        # One that leads elsewhere may be about to be moved, or what moved it may not have said so yet.
        if found is not None and await self._is_being_moved(known.project, state, (found, wanted)):
            return
        await self._mend(known, "its route was gone or led elsewhere", is_death=False)

    async def _is_being_moved(
        self, project: str, state: Project, way: tuple[frozenset[Target], frozenset[Target]]
    ) -> bool:
        """Whether a job does, or may just have done: then it is looked at once more."""
        is_new = self._astray.get(project) != way
        self._astray[project] = way
        is_under_way = state.starting is not None or state.scaling is not None
        return is_new or is_under_way or await queries.is_settling(self.placements.reads, project)

    async def _failing(self, known: Known, instances: Mapping[str, Instance]) -> _Objection | None:
        """What is wrong with a canary: it died, or takes too much, or was changed, or fails what it is asked."""
        for id in self._ids(known):
            why = await self._death_of(known, instances.get(id))
            if why is not None:
                words = await self.ports.host.last_words(id)
                return _Objection(why=f"{why}; it said last:\n{words}" if words else why, fix=_SEE_LOGS)
        theirs = [instances[id] for id in self._ids(known)]
        if drift := next((each.drift for each in theirs if each.drift), ""):
            return _Objection(why=drift, fix="look who changed it, and deploy it again")
        counted = await asyncio.gather(*(self.ports.probe.counters(each.endpoint) for each in theirs))
        total = together(each for each in counted if each is not None)
        if total is None or total.requests < LEAST_REQUESTS or total.failed < FAILED * total.requests:
            return None
        return _Objection(why=f"it failed {total.failed} of {total.requests} requests", fix=_SEE_LOGS)

    async def _abort(self, known: Known, objection: _Objection) -> None:
        """Traffic stops before anybody is told."""
        state = await self._state(known.project)
        if state.live is not None:
            await route(self.placements, self.ports, known.project, state.live)

        async def abort(work: UnitOfWork) -> None:
            wrong = Abort(project=known.project, release=known.release, why=objection.why, fix=objection.fix)
            await self.placements.decide(work, wrong)

        await self._transact(known, abort)

    def _ids(self, known: Known) -> Sequence[str]:
        """Of the instances that should run of a release."""
        replicas = 1 if self.ports.host.scales else known.replicas
        return [instance_id(known.project, known.release, number) for number in range(1, replicas + 1)]

    async def _death_of(self, known: Known, instance: Instance | None) -> str | None:
        """Why it does not run, if it does not; what takes too much is ended for that."""
        if instance is None:
            return "it does not run here"
        if not instance.is_running:
            return instance.why or "it ended"
        if not self._takes_too_much(known, instance):
            return None
        why = f"it took {in_mebibytes(instance.memory_bytes)} of memory, more than it had reserved"
        await self.ports.host.stop(instance.id, why=why)
        return why

    def _takes_too_much(self, known: Known, instance: Instance) -> bool:
        return known.cleared is not None and instance.memory_bytes > known.cleared.resources.memory_bytes

    async def _mend(self, known: Known, why: str, *, is_death: bool, serves: bool = False) -> None:
        trouble = self._troubles.get(known.project)
        if trouble is None or trouble.release != known.release:  # what came of another is nothing of its own
            trouble = self._troubles[known.project] = _Trouble(release=known.release)
        now = time.monotonic()
        if now < trouble.look_again or not await self._is_live(known):
            return
        if now - trouble.last > QUIET:
            trouble.deaths = 0
        trouble.deaths += is_death
        trouble.last = now
        trouble.look_again = now + min(self.pause * 2**trouble.deaths, LONGEST_PAUSE)
        if trouble.deaths >= DEATHS:
            del self._troubles[known.project]
            await self._give_up(known, why)
            return

        async def diverge(work: UnitOfWork) -> None:
            diverged = ReportDiverged(project=known.project, release=known.release, why=why, serves=serves)
            if await self.placements.decide(work, diverged):
                settle(work, Settle(project=known.project, mend=True), asker=known.asker)

        await self._transact(known, diverge)

    async def _tell_what_is_mended(self, instances: Mapping[str, Instance], routes: Routes | None) -> None:
        """What runs again does not serve before it is loaded. All are asked at once: each may take long to say no."""
        running = []
        for known in await queries.diverged(self.placements.reads):
            theirs = [instances.get(id) for id in self._ids(known)]
            run = [each for each in theirs if each is not None and each.is_running]
            if len(run) == len(theirs):
                running.append((known, run))
        ready = await asyncio.gather(*(self._are_ready(run) for _, run in running))
        for known, run in (each for each, are_ready in zip(running, ready, strict=True) if are_ready):
            state = await self._state(known.project)
            wanted = frozenset(shares_with([each.endpoint for each in run], state.canary))
            is_elsewhere = routes is not None and routes.get(known.project) != wanted
            if is_elsewhere or any(each.drift for each in run):
                await self._settle_again(known)  # told at the next round
                continue
            mended = ReportMended(
                project=known.project,
                release=known.release,
                endpoints=tuple(each.endpoint for each in run),
            )

            async def tell(
                work: UnitOfWork, mended: ReportMended = mended, asker: str | None = known.asker
            ) -> None:
                await self.placements.decide(work, mended, asker=asker)

            await self._transact(known, tell)

    async def _settle_again(self, known: Known) -> None:
        async def change(work: UnitOfWork) -> None:
            settle(work, Settle(project=known.project, mend=True), asker=known.asker)

        await self._transact(known, change)

    async def _are_ready(self, instances: Sequence[Instance]) -> bool:
        return all(await asyncio.gather(*(self.ports.probe.is_ready(each.endpoint) for each in instances)))

    async def _give_up(self, known: Known, why: str) -> None:
        words = await self._last_words(known)
        await self.ports.router.unroute(known.project)

        async def give_up(work: UnitOfWork) -> None:
            await self.placements.decide(
                work,
                GiveUp(
                    project=known.project,
                    release=known.release,
                    why=f"{known.project} ended {DEATHS} times in a row: {why}"
                    + (f"; it said last:\n{words}" if words else ""),
                    fix=remedy(why, words, known.project),
                ),
            )

        await self._transact(known, give_up)

    async def _last_words(self, known: Known) -> str:
        """Of an instance that ended, if one did."""
        ids = set(self._ids(known))
        mine = sorted(
            (each for each in await self.ports.host.list() if each.id in ids),
            key=lambda each: each.is_running,
        )
        return await self.ports.host.last_words(mine[0].id) if mine else ""

    async def _end_what_nobody_wants(self, instances: Mapping[str, Instance], routes: Routes | None) -> None:
        """What stays unwanted for longer than a drain takes was left by a crash."""
        wanted = await queries.running(self.placements.reads)
        unwanted = {
            each.project
            for each in instances.values()
            if each.is_running and each.replica > wanted.get((each.project, each.release), 0)
        } | (set(routes or ()) - {project for project, _ in wanted})
        now = time.monotonic()
        self._unwanted = {project: self._unwanted.get(project, now) for project in unwanted}
        for project, since in sorted(self._unwanted.items()):
            if now - since < self.grace:
                continue
            del self._unwanted[project]

            async def end(work: UnitOfWork, project: str = project) -> None:
                settle(work, Settle(project=project), asker=None)

            await self._transact(Known(project=project, release=0), end)

    async def _is_live(self, known: Known) -> bool:
        """Still: it may have been replaced or stopped since it was looked up."""
        live = (await self._state(known.project)).live
        return live is not None and live.release == known.release

    async def _state(self, project: str) -> Project:
        recorded = await self.wiring.store.read(stream(project))
        return PROJECT.fold(each.data for each in recorded)

    async def _transact(self, known: Known, change: Callable[[UnitOfWork], Awaitable[None]]) -> None:
        """In the name of the operation that deployed the release, since its life goes on here."""
        context = Context(
            project=known.project,
            correlation=known.correlation or self.wiring.ids.new(),
            actor=Actor.service(SERVICE),
        )
        await transact(self.wiring, SERVICE, context, change)
