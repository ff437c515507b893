"""A queue is shared by who asks: one person's two hundred jobs are one turn among the others'."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from placet.events.testing import ManualClock
from placet.events.wiring import Wiring

from tests.unit.events.asking import Step, Turns, turns_of
from tests.unit.events.harness import open_wiring


async def test_who_asks_for_one_waits_for_one_of_anothers_two_hundred(
    wiring: Wiring, clock: ManualClock
) -> None:
    turns = await turns_of(wiring, clock, [*["ada"] * 200, "grace", "edsger"])
    assert turns.begun == ["ada", "grace", "edsger", *["ada"] * 199]


async def test_askers_take_turns_however_much_each_has(wiring: Wiring, clock: ManualClock) -> None:
    turns = await turns_of(wiring, clock, [*["ada"] * 3, *["grace"] * 3, *["edsger"] * 2])
    assert turns.begun == ["ada", "grace", "edsger", "ada", "grace", "edsger", "ada", "grace"]


async def test_who_was_not_served_for_longest_is_next(wiring: Wiring, clock: ManualClock) -> None:
    """Ending a queue and coming back is no way to the front of it, and leaving a turn out is none to its end."""
    steps: list[Step] = ["ada", "ada", "grace", None, None, "grace", "ada", "edsger", None, None]
    turns = await turns_of(wiring, clock, steps)
    assert turns.begun == ["ada", "grace", "ada", "edsger", "grace", "ada"]


@settings(max_examples=60)
@given(steps=st.lists(st.sampled_from(["ada", "grace", "edsger", "barbara", None]), max_size=40))
def test_nobody_waits_for_more_turns_than_there_are_others(steps: list[Step]) -> None:
    others = len(set(steps) - {None}) - 1
    assert all(waited <= others for waited in asyncio.run(_played(steps)).waited.values())


async def _played(steps: list[Step]) -> Turns:
    clock = ManualClock()
    with tempfile.TemporaryDirectory() as folder:
        wiring = await open_wiring(Path(folder) / "tester.db", clock=clock)
        try:
            return await turns_of(wiring, clock, steps)
        finally:
            await wiring.store.close()
