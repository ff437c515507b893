"""A read model follows the log, says how far it is, and is made anew when its version changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from placet.errors import Conflict
from placet.events.envelope import Recorded
from placet.events.projection import Projection, ProjectionRunner
from placet.events.store import ClaimLost, Put, Run, Unit
from placet.events.testing import ManualClock
from placet.events.wiring import Wiring

from tests.support.eventually import eventually
from tests.unit.events.harness import FatefulStore, append, running, shown_things


def by_text(version: int, prefix: str = "") -> Projection:
    def apply(events: Sequence[Recorded[Any]], generation: int) -> list[Put | Run]:
        return [
            Put(
                table=shown_things,
                row={
                    "generation": generation,
                    "number": each.position,
                    "place": prefix + each.data.text,
                },
            )
            for each in events
        ]

    return Projection(name="things", version=version, apply=apply, tables=(shown_things,))


def runner(wiring: Wiring, projection: Projection, *, beat_every: float = 5.0) -> ProjectionRunner:
    return ProjectionRunner("tester", wiring, projection, beat_every=beat_every)


async def shown(wiring: Wiring) -> list[str]:
    mine = shown_things.c.generation == by_text(1).serving()
    rows = await wiring.store.rows(sa.select(shown_things).where(mine).order_by(shown_things.c.number))
    return [row.place for row in rows]


async def until_shown(wiring: Wiring, *expected: str) -> None:
    async def is_shown() -> bool:
        found = await shown(wiring)
        assert found == list(expected)
        return True

    await eventually(is_shown)


async def test_it_shows_what_is_there_and_what_comes(wiring: Wiring) -> None:
    await wiring.store.commit(append("a", "b"))
    async with running(runner(wiring, by_text(1)).run()):
        await until_shown(wiring, "a", "b")
        await wiring.store.commit(append("c"))
        await until_shown(wiring, "a", "b", "c")


async def test_it_says_how_far_behind_it_is(wiring: Wiring) -> None:
    only = runner(wiring, by_text(1))
    await wiring.store.commit(append("a", "b"))
    assert (await only.progress()).lag == 2
    async with running(only.run()):
        await until_shown(wiring, "a", "b")
    await wiring.store.commit(append("c"))

    progress = await only.progress()
    assert (progress.name, progress.version, progress.position, progress.lag) == ("things", 1, 2, 1)


async def test_it_goes_on_where_it_was_after_a_restart(wiring: Wiring) -> None:
    await wiring.store.commit(append("a"))
    async with running(runner(wiring, by_text(1)).run()):
        await until_shown(wiring, "a")
    await wiring.store.commit(append("b"))
    async with running(runner(wiring, by_text(1, "later ")).run()):
        await until_shown(wiring, "a", "later b")


async def test_a_new_version_begins_anew(wiring: Wiring) -> None:
    await wiring.store.commit(append("a", "b"))
    async with running(runner(wiring, by_text(1)).run()):
        await until_shown(wiring, "a", "b")
    async with running(runner(wiring, by_text(2, "new ")).run()):
        await until_shown(wiring, "new a", "new b")
    assert (await runner(wiring, by_text(2)).progress()).version == 2


async def test_an_old_version_that_still_runs_writes_nothing_more(wiring: Wiring) -> None:
    await wiring.store.commit(append("a"))
    async with running(runner(wiring, by_text(1)).run()):
        await until_shown(wiring, "a")
    old = runner(wiring, by_text(1))
    await old._load()
    async with running(runner(wiring, by_text(2, "new ")).run()):
        await until_shown(wiring, "new a")
    await wiring.store.commit(append("b"))

    page = await wiring.store.read_all(1, 10)
    assert old._serving is not None
    with pytest.raises(Conflict):
        await old._move(old._serving, page)
    assert await shown(wiring) == ["new a"]


async def test_an_older_version_waits_and_leaves_the_newer_ones_rows_alone(wiring: Wiring) -> None:
    await wiring.store.commit(append("a"))
    async with running(runner(wiring, by_text(2, "new ")).run()):
        await until_shown(wiring, "new a")
    old = runner(wiring, by_text(1), beat_every=0.01)
    async with running(old.run()) as task:
        await eventually(lambda: old.is_superseded)
        await wiring.store.commit(append("b"))
        assert not task.done()
    assert await shown(wiring) == ["new a"]
    assert ((await old.progress()).version, (await old.progress()).position) == (2, 1)

    async with running(runner(wiring, by_text(2, "new ")).run()):
        await until_shown(wiring, "new a", "new b")


async def test_who_was_overtaken_between_looking_and_beginning_anew_wipes_nothing(wiring: Wiring) -> None:
    class Overtaken(FatefulStore):
        """Somebody with a newer version begins whenever somebody has looked."""

        async def rows(
            self, query: sa.Select[Any], values: Mapping[str, Any] | None = None
        ) -> Sequence[sa.Row[Any]]:
            seen = await super().rows(query, values)
            await runner(wiring, by_text(3))._load()
            return seen

    await wiring.store.commit(append("a"))
    await runner(wiring, by_text(1))._load()
    for _ in range(2):
        with suppress(ClaimLost):
            await runner(replace(wiring, store=Overtaken(wiring.store)), by_text(2))._load()
        building = (await runner(wiring, by_text(3)).progress()).building
        assert building is not None
        assert building.version == 3


async def test_it_says_that_it_lives_when_there_is_nothing_to_do(wiring: Wiring, clock: ManualClock) -> None:
    only = runner(wiring, by_text(1), beat_every=0.01)
    async with running(only.run()):
        await eventually(lambda: _beat_age(only, 0.0))
        clock.pass_(timedelta(minutes=5))
        await eventually(lambda: _beat_age(only, 0.0))
    clock.pass_(timedelta(minutes=5))
    assert (await only.progress()).beat_age == 300.0


async def _beat_age(only: ProjectionRunner, expected: float) -> bool:
    return (await only.progress()).beat_age == expected


async def test_rows_and_position_move_together_through_every_doubt(wiring: Wiring) -> None:
    await wiring.store.commit(append("a"))
    unsure = FatefulStore(wiring.store, ["heard", "unheard", "lost"])
    async with running(runner(replace(wiring, store=unsure), by_text(1)).run()):
        await until_shown(wiring, "a")
        await wiring.store.commit(append("b"))
        await until_shown(wiring, "a", "b")


async def test_a_row_that_can_never_be_written_ends_it_aloud(wiring: Wiring) -> None:
    def apply(events: Sequence[Recorded[Any]], generation: int) -> list[Put | Run]:
        row = {"generation": generation, "number": 1, "place": "same"}
        return [Run(statement=sa.insert(shown_things).values(row)) for _ in events]

    await wiring.store.commit(append("a", "b"))
    with pytest.raises(Conflict):
        await runner(wiring, replace(by_text(1), apply=apply)).run()
    assert await wiring.store.commit(Unit()) == ()
