"""Reads what the live models count, again and again, and says `model.observed` of each that was asked anything: of
canaries, too, so that one which drifts is judged before it is promoted.

Their own counters only grow, so nothing is lost by a reading that fails: the next one covers it. How far a model was
told of is kept with what was said, so nothing is told twice either.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

import msgspec
import sqlalchemy as sa

from placet.deployer import projections as p
from placet.deployer import queries
from placet.deployer.measures import count, forget
from placet.deployer.observations import Readings, Watched, Window, observe
from placet.deployer.placements import Placements
from placet.deployer.ports import Instance, Ports
from placet.deployer.queries import Known
from placet.deployer.reconcile import SERVICE
from placet.events import Context, UnitOfWork, Wiring, transact
from placet.events.codec import timestamp
from placet.events.envelope import Actor

AT_ONCE = 16
"""Models that are asked side by side."""


@dataclass(kw_only=True)
class Observing:
    """`every` is the seconds between two rounds: a model that was never looked at is told of from one round before."""

    ports: Ports
    placements: Placements
    wiring: Wiring
    every: float
    _looked: dict[tuple[str, int], datetime] = field(default_factory=dict)
    _is_first: bool = True

    async def run(self) -> None:
        """One round. Raises `Unavailable`; the next round tells what this one did not."""
        reads = self.placements.reads
        live = [*await queries.live(reads), *await queries.canaries(reads)]
        running = [each for each in await self.ports.host.list() if each.is_running]
        for at in range(0, len(live), AT_ONCE):
            some = live[at : at + AT_ONCE]
            readings = await asyncio.gather(*(self._read(known, running) for known in some))
            for known, counters in zip(some, readings, strict=True):
                if counters:
                    await self._tell(
                        known, counters, [each.release for each in live if each.project == known.project]
                    )
        lives = {_key(each) for each in live}
        forget(self._looked.keys() - lives)
        self._looked = {key: moment for key, moment in self._looked.items() if key in lives}
        self._is_first = False

    async def _read(self, known: Known, running: Sequence[Instance]) -> Readings:
        """What those of its replicas say that say anything."""
        its = [each for each in running if (each.project, each.release) == _key(known)]
        counted = await asyncio.gather(*(self.ports.probe.counters(each.endpoint) for each in its))
        return {each.replica: said for each, said in zip(its, counted, strict=True) if said is not None}

    async def _tell(self, known: Known, counters: Readings, serving: Sequence[int]) -> None:
        """`serving` are the project's releases that do: how far others were told of is forgotten."""
        now = self.wiring.clock.now()
        before = await queries.watched(self.placements.reads, known.project, known.release)
        window = Window(
            project=known.project,
            release=known.release,
            since=timestamp(self._last_look(known, before) or now - timedelta(seconds=self.every)),
            until=timestamp(now),
        )
        told = observe(window, counters, before)
        if told is not None:
            observed, watched = told

            async def tell(work: UnitOfWork) -> None:
                work.once_committed(partial(count, observed))
                work.report(f"observed/{known.project}/{known.release}", observed)
                its = p.observed.c.project == known.project
                work.run(sa.delete(p.observed).where(its, p.observed.c.release.not_in(serving)))
                work.put(
                    p.observed,
                    project=known.project,
                    release=known.release,
                    watched=msgspec.json.encode(watched),
                )

            await transact(self.wiring, SERVICE, self._context(known), tell)
        self._looked[_key(known)] = now

    def _last_look(self, known: Known, before: Watched | None) -> datetime | None:
        """At a model that runs since then: ours, or in the first round that of the deployer before us."""
        looked = self._looked.get(_key(known))
        if looked is None and self._is_first and before is not None:
            return datetime.fromisoformat(before.until)
        return looked

    def _context(self, known: Known) -> Context:
        """In the name of the operation that deployed the release, since its life goes on here."""
        return Context(
            project=known.project,
            correlation=known.correlation or self.wiring.ids.new(),
            actor=Actor.service(SERVICE),
        )


def _key(known: Known) -> tuple[str, int]:
    return known.project, known.release
