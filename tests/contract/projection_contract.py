"""What a read model's readers may rely on while it is made anew, whatever database is below."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa
from opentelemetry import trace
from placet.errors import Conflict
from placet.events.adapters.sql_store import SqlStore
from placet.events.envelope import Recorded
from placet.events.projection import Progress, Projection, ProjectionRunner
from placet.events.store import PAGE, Put, Run, Unit
from placet.events.tables import LIBRARY, generations
from placet.events.testing import CountingIds, ManualClock
from placet.events.wiring import Wiring

from tests.contract.store_contract import CODEC, appending
from tests.support.eventually import eventually
from tests.unit.events.harness import FatefulStore, ScriptedBus

SHOWN = sa.MetaData()
lines = sa.Table(
    "lines",
    SHOWN,
    sa.Column("generation", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("line", sa.Text, nullable=False),
)
TABLES = (LIBRARY, SHOWN)
SAID = PAGE + 200
"""Events: more than a page."""

OpenStore = Callable[[], Awaitable[SqlStore]]


def by_version(version: int) -> Projection:
    def apply(events: Sequence[Recorded[Any]], generation: int) -> list[Put | Run]:
        rows = [{"generation": generation, "number": each.position, "line": f"{version}"} for each in events]
        return [Run(statement=sa.insert(lines), parameters=rows)]

    return Projection(name="lines", version=version, apply=apply, tables=(lines,))


class Reader:
    """Asks all the time, in one select as readers do; keeps what it saw when that changed."""

    def __init__(self, store: SqlStore) -> None:
        self.store = store
        self.seen: list[tuple[int, set[str]]] = []

    async def shown(self) -> tuple[int, set[str]]:
        """How many rows there are, and of which kinds."""
        query = sa.select(lines.c.line, sa.func.count().label("rows"))
        mine = lines.c.generation == by_version(1).serving()
        rows = await self.store.rows(query.where(mine).group_by(lines.c.line))
        return sum(row.rows for row in rows), {row.line for row in rows}

    async def look(self) -> None:
        now = await self.shown()
        if not self.seen or self.seen[-1] != now:
            self.seen.append(now)

    @asynccontextmanager
    async def asking(self) -> AsyncIterator[None]:
        async def ask() -> None:
            while True:
                await self.look()

        task = asyncio.create_task(ask())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await self.look()

    def must_have_seen_no_hole(self, least: int) -> None:
        """Never fewer rows than before, never rows of two versions together, and no old ones after new ones."""
        assert all(len(versions) == 1 for _, versions in self.seen), self.seen
        assert [count for count, _ in self.seen] == sorted(count for count, _ in self.seen)
        assert self.seen[0][0] >= least
        versions = [next(iter(each)) for _, each in self.seen]
        assert versions == sorted(versions)


class Killed(BaseException):
    """The process is gone: nothing that catches errors sees this."""


class Dying(FatefulStore):
    """Dies at its commit number `last`: before it, or after it when `after` says so."""

    def __init__(self, store: SqlStore, last: int, *, after: bool) -> None:
        super().__init__(store)
        self._commits = itertools.count(1)
        self._last = last
        self._after = after
        self.is_dead = False

    async def commit(self, unit: Unit) -> tuple[Recorded[Any], ...]:
        dies = next(self._commits) >= self._last
        if dies and not self._after:
            self.is_dead = True
            raise Killed
        answer = await super().commit(unit)
        if dies:
            self.is_dead = True
            raise Killed
        return answer


class ProjectionContract:
    @pytest.fixture
    async def store(self, open_store: OpenStore) -> SqlStore:
        store = await open_store()
        await store.commit(appending("thing/1", *(f"{number}" for number in range(SAID))))
        await made(store, 1)
        return store

    async def test_a_new_version_is_built_beside_and_swapped(
        self, store: SqlStore, open_store: OpenStore
    ) -> None:
        reader = Reader(await open_store())
        await reader.look()
        async with reader.asking():
            await made(store, 2)
        reader.must_have_seen_no_hole(SAID)
        assert reader.seen[-1] == (SAID, {"2"})
        assert await generations_with_rows(store) == 1

    async def test_it_catches_up_with_what_is_said_meanwhile(
        self, store: SqlStore, open_store: OpenStore
    ) -> None:
        """The older version goes on in another process, and the new one takes its place when it shows no less."""
        reader, older, speaker = Reader(await open_store()), await open_store(), await open_store()
        await reader.look()
        async with reader.asking(), running(older, 1), running(store, 2):
            for number in range(20):
                await speaker.commit(appending("thing/2", f"more {number}"))
            await eventually(lambda: serves(store, 2, SAID + 20))
        reader.must_have_seen_no_hole(SAID)
        assert reader.seen[-1] == (SAID + 20, {"2"})

    @pytest.mark.parametrize("after", [False, True])
    async def test_whoever_dies_at_any_step_is_gone_on_for(
        self, store: SqlStore, open_store: OpenStore, after: bool
    ) -> None:
        reader = Reader(await open_store())
        await reader.look()
        for version, step in enumerate(range(1, 9), start=2):
            dying = Dying(store, step, after=after)
            with suppress(Killed):
                await runner(store, version, dying).rebuild()
            await reader.look()
            if step <= 4:
                assert dying.is_dead
        await made(store, version)
        await reader.look()
        assert reader.seen[-1] == (SAID, {f"{version}"})
        assert [count for count, _ in reader.seen] == [SAID] * len(reader.seen)
        assert await generations_with_rows(store) == 1

    async def test_the_same_version_is_rebuilt_when_somebody_asks(
        self, store: SqlStore, open_store: OpenStore, administrator: Callable[[str], Awaitable[None]]
    ) -> None:
        """Rows that somebody broke are right again, and the service that runs goes on with the new ones.

        Which of the two makes a page is open: who asked is done when it is done.
        """
        await administrator("UPDATE lines SET line = 'broken'")
        service, speaker = await open_store(), await open_store()
        async with running(service, 1):
            await runner(store, 1).rebuild()
            await speaker.commit(appending("thing/2", "more"))
            await eventually(lambda: serves(store, 1, SAID + 1))
        reader = Reader(speaker)
        await reader.look()
        assert reader.seen == [(SAID + 1, {"1"})]

    async def test_who_rebuilds_is_told_how_far_it_is(self, store: SqlStore) -> None:
        told: list[Progress] = []
        await runner(store, 1).rebuild(told.append)
        assert [each.building.lag for each in told if each.building] == [SAID - PAGE, 0]
        assert [each.building.position for each in told if each.building] == [PAGE, SAID]

    async def test_a_version_that_came_later_is_not_touched(
        self, store: SqlStore, open_store: OpenStore
    ) -> None:
        await made(store, 3)
        with pytest.raises(Conflict, match="newer version"):
            await runner(store, 2).rebuild()
        reader = Reader(await open_store())
        await reader.look()
        assert reader.seen == [(SAID, {"3"})]

    async def test_two_that_rebuild_at_once_make_one(self, store: SqlStore, open_store: OpenStore) -> None:
        others = [await open_store() for _ in range(3)]
        await asyncio.gather(*(runner(each, 2).rebuild() for each in others))
        reader = Reader(store)
        await reader.look()
        assert reader.seen == [(SAID, {"2"})]
        assert await generations_with_rows(store) == 1


def runner(store: SqlStore, version: int, through: FatefulStore | None = None) -> ProjectionRunner:
    wiring = Wiring(
        store=store,
        bus=ScriptedBus(),
        codec=CODEC,
        clock=ManualClock(),
        ids=CountingIds(),
        tracer=trace.get_tracer("test"),
    )
    return ProjectionRunner(
        "tester", replace(wiring, store=through or store), by_version(version), beat_every=0.05
    )


@asynccontextmanager
async def running(store: SqlStore, version: int) -> AsyncIterator[None]:
    task = asyncio.create_task(runner(store, version).run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def made(store: SqlStore, version: int) -> None:
    """By a service that runs until its rows serve and nothing is left of others."""
    async with running(store, version):
        await eventually(lambda: serves(store, version, SAID))


async def serves(store: SqlStore, version: int, position: int) -> bool:
    rows = await store.rows(sa.select(generations))
    assert [(row.version, row.state, row.position) for row in rows] == [(version, "serves", position)]
    return True


async def generations_with_rows(store: SqlStore) -> int:
    return len(await store.rows(sa.select(lines.c.generation).distinct()))
