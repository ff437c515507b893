"""A read model made from a log of the service's own, that tells how far it is and that it lives.

"Caught up" and "dead" look alike from outside, so a projection writes position and heartbeat together, also
when there is nothing to do. Its rows and its position move in one unit. A new `version` clears its tables
and reads the log again from the start; readers are told the position they see. An older version that still
runs, or runs again, waits: it never resets what a newer one has made.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from placet.errors import Conflict, Unavailable
from placet.events import tables
from placet.events.envelope import Recorded
from placet.events.store import EVENTS, Claim, ClaimLost, Put, Run, Unit
from placet.events.wiring import Wiring

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Projection:
    """`apply` turns events into rows: pure, and right to repeat from the start after `reset`."""

    name: str
    version: int
    apply: Callable[[Sequence[Recorded[Any]]], Sequence[Put | Run]]
    reset: tuple[Run, ...]
    log: str = EVENTS


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    name: str
    version: int
    position: int
    lag: int
    """Events of the log that its rows do not show yet."""
    beat_age: float
    """Seconds since it last said that it lives."""


class ProjectionRunner:
    """Keeps one projection up to date."""

    def __init__(
        self, service: str, wiring: Wiring, projection: Projection, *, beat_every: float = 5.0
    ) -> None:
        self._service = service
        self._wiring = wiring
        self._projection = projection
        self._beat_every = beat_every
        self._position = 0
        self.is_superseded = False
        """A newer version has the rows; this one waits until it is ended, or has them again."""

    async def run(self) -> None:
        """Follow the log until cancelled."""
        loaded = False
        beat = float("-inf")
        loop = asyncio.get_running_loop()
        while True:
            try:
                if not loaded:
                    loaded = await self._load()
                if not loaded:
                    await asyncio.sleep(self._beat_every)
                    continue
                seen = self._wiring.store.committed.count
                replay = self._wiring.store.replay(self._position, log=self._projection.log)
                async with aclosing(replay) as pages:
                    async for page in pages:
                        await self._move(page)
                        beat = loop.time()
                if loop.time() - beat >= self._beat_every:
                    await self._move(())
                    beat = loop.time()
                committed = self._wiring.store.committed
                await committed.wait(min(self._beat_every, committed.look_every), after=seen)
            except Unavailable as error:
                log.warning("%s: projection %s waits: %s", self._service, self._projection.name, error)
                await asyncio.sleep(0.5)
            except ClaimLost:
                loaded = False  # another process moved it: see where it is now

    async def progress(self) -> Progress:
        rows = await self._wiring.store.rows(sa.select(tables.projections).where(self._row()))
        head = await self._wiring.store.head(self._projection.log)
        version, position, beat_at = (
            (rows[0].version, rows[0].position, rows[0].beat_at)
            if rows
            else (self._projection.version, 0, 0.0)
        )
        return Progress(
            name=self._projection.name,
            version=version,
            position=position,
            lag=head.position - position,
            beat_age=self._now() - beat_at,
        )

    async def _load(self) -> bool:
        """See where it is, or begin. False where a newer version has the rows. Raises ClaimLost."""
        rows = await self._wiring.store.rows(sa.select(tables.projections).where(self._row()))
        found = rows[0].version if rows else None
        if found is not None and found > self._projection.version:
            if not self.is_superseded:
                log.warning(
                    "%s: projection %s is version %d here and waits: version %d has its rows",
                    *(self._service, self._projection.name, self._projection.version, found),
                )
            self.is_superseded = True
            return False
        self.is_superseded = False
        if found == self._projection.version:
            self._position = rows[0].position
        else:
            await self._begin(found)
            self._position = 0
        return True

    async def _begin(self, found: int | None) -> None:
        """Clear the tables, if the version there is still the one `found`: a newer one may have begun meanwhile."""
        table = tables.projections
        values = {"version": self._projection.version, "position": 0, "beat_at": self._now()}
        statement = (
            sa.insert(table).values(name=self._projection.name, **values)
            if found is None
            else sa.update(table).where(self._row(), table.c.version == found).values(**values)
        )
        try:
            await self._wiring.store.commit(
                Unit(claims=(Claim(statement=statement),), writes=self._projection.reset)
            )
        except ClaimLost:
            raise
        except Conflict as error:
            if found is not None:
                raise
            raise ClaimLost("another process began it") from error

    async def _move(self, page: Sequence[Recorded[Any]]) -> None:
        position = page[-1].position if page else self._position
        here = sa.and_(
            self._row(),
            tables.projections.c.version == self._projection.version,
            tables.projections.c.position == self._position,
        )
        moved = sa.update(tables.projections).where(here).values(position=position, beat_at=self._now())
        writes = tuple(self._projection.apply(page)) if page else ()
        await self._wiring.store.commit(Unit(claims=(Claim(statement=moved),), writes=writes))
        self._position = position

    def _row(self) -> sa.ColumnElement[bool]:
        return tables.projections.c.name == self._projection.name

    def _now(self) -> float:
        return self._wiring.clock.now().timestamp()
