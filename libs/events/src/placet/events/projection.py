"""A read model made from a log of the service's own, that tells how far it is and that it lives.

"Caught up" and "dead" look alike from outside, so a projection writes position and heartbeat together, also
when there is nothing to do. Its rows and its position move in one unit.

Its rows carry a *generation*. A new `version`, and a rebuild that somebody asked for, is a generation beside the one
that serves: it reads the log from the start while readers see the old rows, and takes their place in one unit once it
shows what they show, and all that there is. What it replaced is removed afterwards. Whatever dies in between, the next
one goes on from the rows that say how far it was. An older version that still runs, or runs again, waits: it never
touches what a newer one has made.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from placet.errors import Conflict, Unavailable
from placet.events.envelope import Recorded
from placet.events.store import EVENTS, PAGE, Claim, ClaimLost, Put, Run, Unit
from placet.events.tables import generations
from placet.events.wiring import Wiring

log = logging.getLogger(__name__)

REMOVE_AT_ONCE = 5000
"""Rows of a generation that was left, in one unit: nobody who commits waits for the removal of millions."""

Apply = Callable[[Sequence[Recorded[Any]], int], Sequence[Put | Run]]
"""Called with events and the generation that their rows are of."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Projection:
    """`apply` turns events into rows: pure, and the same from the start for each generation.

    Each of `tables` has a column `generation`, first in its primary key, and holds rows of nothing else.
    """

    name: str
    version: int
    apply: Apply
    tables: tuple[sa.Table, ...]
    log: str = EVENTS

    def serving(self) -> sa.ScalarSelect[Any]:
        """The generation that readers are to see: a part of their own select, so that one select sees one of them."""
        mine = sa.and_(generations.c.name == self.name, generations.c.state == "serves")
        return sa.select(generations.c.generation).where(mine).scalar_subquery()


@dataclass(frozen=True, kw_only=True, slots=True)
class Building:
    """A generation that is being made beside the one that serves."""

    version: int
    position: int
    lag: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """Of the generation that serves."""

    name: str
    version: int
    position: int
    lag: int
    """Events of the log that its rows do not show yet."""
    beat_age: float
    """Seconds since it last said that it lives."""
    building: Building | None = None


def progress_of(
    projection: Projection, rows: Mapping[str, tuple[int, int, float]], *, head: int, now: float
) -> Progress:
    """Of a projection whose generations have these rows: by state the version, the position, and when it last said that
    it lives. `head` is that of its log."""
    version, position, _ = rows.get("serves", (projection.version, 0, 0.0))
    building = rows.get("builds")
    return Progress(
        name=projection.name,
        version=version,
        position=position,
        lag=head - position,
        beat_age=now - max((beat_at for _, _, beat_at in rows.values()), default=0.0),
        building=None
        if building is None
        else Building(version=building[0], position=building[1], lag=head - building[1]),
    )


@dataclass(slots=True)
class _Generation:
    number: int
    position: int
    state: str


class ProjectionRunner:
    """Keeps one projection up to date."""

    def __init__(
        self, service: str, wiring: Wiring, projection: Projection, *, beat_every: float = 5.0
    ) -> None:
        self._service = service
        self._wiring = wiring
        self._projection = projection
        self._beat_every = beat_every
        self._serving: _Generation | None = None
        """None where an older version made what serves: its rows are left as they are until they are replaced."""
        self._building: _Generation | None = None
        self._left: tuple[int, ...] = ()
        self._is_moved = False
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
                await self._follow()
                await self._build()
                await self._remove_what_is_left()
                if self._is_moved:
                    beat, self._is_moved = loop.time(), False
                if loop.time() - beat >= self._beat_every:
                    await self._beat()
                    beat = loop.time()
                committed = self._wiring.store.committed
                await committed.wait(min(self._beat_every, committed.look_every), after=seen)
            except Unavailable as error:
                log.warning("%s: projection %s waits: %s", self._service, self._projection.name, error)
                await asyncio.sleep(0.5)
            except ClaimLost:
                loaded = False  # another process moved it: see where it is now

    async def rebuild(self, tell: Callable[[Progress], None] = lambda _: None) -> None:
        """Make a generation of this version beside the one that serves, and put it in its place; a service that runs
        goes on meanwhile. One that was begun is gone on with. Raises Conflict where a newer version has the rows.
        """
        is_asked = True
        while True:
            try:
                if not await self._load():
                    raise Conflict(
                        f"a newer version of {self._service} has the rows of {self._projection.name}",
                        fix="rebuild with that version",
                    )
                if is_asked and self._building is None:
                    await self._begin()
                is_asked = False
                await self._build(tell)
                await self._remove_what_is_left()
            except ClaimLost:
                continue  # whoever else works on it did that step
            if self._building is None and not self._left:
                return

    async def progress(self) -> Progress:
        rows = {row.state: (row.version, row.position, row.beat_at) for row in await self._rows()}
        head = (await self._wiring.store.head(self._projection.log)).position
        return progress_of(self._projection, rows, head=head, now=self._now())

    # Which generation is whose.

    async def _load(self) -> bool:
        """See where it is, or begin. False where a newer version has the rows. Raises ClaimLost."""
        rows = await self._rows()
        serving = next((row for row in rows if row.state == "serves"), None)
        building = next((row for row in rows if row.state == "builds"), None)
        version = self._projection.version
        if serving is not None and serving.version > version:
            if not self.is_superseded:
                log.warning(
                    "%s: projection %s is version %d here and waits: version %d has its rows",
                    *(self._service, self._projection.name, version, serving.version),
                )
            self.is_superseded = True
            return False
        self.is_superseded = False
        if serving is None:
            await self._add("serves", _next(rows))
            return await self._load()
        if building is not None and building.version < version:
            unfinished = sa.and_(self._is(building.generation), generations.c.state == "builds")
            leave = Claim(statement=sa.update(generations).where(unfinished).values(state="left"))
            await self._wiring.store.commit(Unit(claims=(leave,)))
            return await self._load()
        self._left = tuple(row.generation for row in rows if row.state == "left")
        self._serving = _generation(serving) if serving.version == version else None
        self._building = (
            _generation(building) if building is not None and building.version == version else None
        )
        if self._serving is None and self._building is None:
            if building is not None:
                return False  # a newer version builds, and what serves until then is an older one's
            await self._begin()
        return True

    async def _begin(self) -> None:
        """Begin a generation beside the one that serves."""
        await self._add("builds", _next(await self._rows()))
        await self._load()

    async def _add(self, state: str, number: int) -> None:
        row = {"version": self._projection.version, "state": state, "position": 0, "beat_at": self._now()}
        new = sa.insert(generations).values(name=self._projection.name, generation=number, **row)
        try:
            await self._wiring.store.commit(Unit(claims=(Claim(statement=new),)))
        except ClaimLost:
            raise
        except Conflict as error:
            raise ClaimLost("another process began it") from error

    # Moving on.

    async def _follow(self) -> None:
        if self._serving is not None:
            async for _ in self._replay(self._serving):
                pass

    async def _build(self, tell: Callable[[Progress], None] | None = None) -> None:
        """Bring what is built beside up to the end of the log, and let it serve."""
        if self._building is None:
            return
        async for is_full in self._replay(self._building):
            if tell is not None:
                tell(await self.progress())
            if is_full and tell is None:
                await (
                    self._follow()
                )  # readers do not wait for the new rows; behind the last page they need not
        await self._swap(self._building)

    async def _replay(self, generation: _Generation) -> AsyncGenerator[bool, None]:
        """Move over all that there is now; yields after each page whether there may be more."""
        replay = self._wiring.store.replay(generation.position, log=self._projection.log)
        async with aclosing(replay) as pages:
            async for page in pages:
                await self._move(generation, page)
                yield len(page) == PAGE

    async def _move(self, generation: _Generation, page: Sequence[Recorded[Any]]) -> None:
        position = page[-1].position if page else generation.position
        moved = sa.update(generations).where(self._is_at(generation))
        claim = Claim(statement=moved.values(position=position, beat_at=self._now()))
        writes = tuple(self._projection.apply(page, generation.number)) if page else ()
        await self._wiring.store.commit(Unit(claims=(claim,), writes=writes))
        generation.position = position
        self._is_moved = True

    async def _beat(self) -> None:
        for generation in (self._serving, self._building):
            if generation is not None:
                await self._move(generation, ())

    async def _swap(self, built: _Generation) -> None:
        """Readers see the new rows from here on. Raises ClaimLost where the old ones show more by now."""
        shows_no_more = sa.and_(
            generations.c.name == self._projection.name,
            generations.c.state == "serves",
            generations.c.version <= self._projection.version,
            generations.c.position <= built.position,
        )
        leave = sa.update(generations).where(shows_no_more).values(state="left")
        serve = sa.update(generations).where(self._is_at(built)).values(state="serves", beat_at=self._now())
        await self._wiring.store.commit(Unit(claims=(Claim(statement=leave), Claim(statement=serve))))
        log.info(
            "%s: projection %s serves as version %d, generation %d",
            *(self._service, self._projection.name, self._projection.version, built.number),
        )
        await self._load()

    async def _remove_what_is_left(self) -> None:
        """Nobody writes to these any more, and nobody reads them who began to since."""
        for number in self._left:
            for table in self._projection.tables:
                await self._remove(table, number)
            gone = sa.and_(self._is(number), generations.c.state == "left")
            await self._wiring.store.commit(Unit(writes=(Run(statement=sa.delete(generations).where(gone)),)))
        self._left = ()

    async def _remove(self, table: sa.Table, number: int) -> None:
        rows = sa.select(*table.primary_key).where(table.c.generation == number).limit(REMOVE_AT_ONCE)
        slice_ = sa.delete(table).where(sa.tuple_(*table.primary_key).in_(rows))
        while await self._wiring.store.rows(rows.limit(1)):
            await self._wiring.store.commit(Unit(writes=(Run(statement=slice_),)))

    # Its rows of `generations`.

    async def _rows(self) -> Sequence[sa.Row[Any]]:
        mine = generations.c.name == self._projection.name
        return await self._wiring.store.rows(sa.select(generations).where(mine))

    def _is(self, number: int) -> sa.ColumnElement[bool]:
        return sa.and_(generations.c.name == self._projection.name, generations.c.generation == number)

    def _is_at(self, generation: _Generation) -> sa.ColumnElement[bool]:
        return sa.and_(
            self._is(generation.number),
            generations.c.version == self._projection.version,
            generations.c.state == generation.state,
            generations.c.position == generation.position,
        )

    def _now(self) -> float:
        return self._wiring.clock.now().timestamp()


def _generation(row: sa.Row[Any]) -> _Generation:
    return _Generation(number=row.generation, position=row.position, state=row.state)


def _next(rows: Sequence[sa.Row[Any]]) -> int:
    return max((row.generation for row in rows), default=0) + 1
