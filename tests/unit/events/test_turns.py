"""Few at once, and one person's many requests are one place in the queue."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st
from placet.events.turns import Turns


class Queue:
    """People who ask for a turn, by name; `served` is who got one, in order."""

    def __init__(self, at_once: int) -> None:
        self.turns = Turns(at_once)
        self.served: list[str] = []
        self._gates: list[asyncio.Event] = []
        self._asked: list[asyncio.Task[None]] = []

    async def ask(self, *people: str) -> Sequence[asyncio.Task[None]]:
        asked = [asyncio.create_task(self._have_a_turn(person)) for person in people]
        self._asked += asked
        await _all_that_can_happen()
        return asked

    async def end(self, count: int = 1) -> None:
        for _ in range(count):
            if self._gates:
                self._gates.pop(0).set()
            await _all_that_can_happen()

    async def empty(self) -> None:
        while self._gates:
            await self.end()
        assert all(task.done() for task in self._asked)

    async def _have_a_turn(self, person: str) -> None:
        async with self.turns.taken_by(person):
            self.served.append(person)
            gate = asyncio.Event()
            self._gates.append(gate)
            await gate.wait()


async def _all_that_can_happen() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_who_asks_for_one_waits_for_one_of_anothers_many() -> None:
    queue = Queue(at_once=2)
    await queue.ask(*["ada"] * 128, "grace", "edsger", "grace")
    assert queue.served == ["ada", "ada"]
    await queue.end(4)
    assert queue.served == ["ada", "ada", "ada", "grace", "edsger", "ada"]
    await queue.empty()
    assert len(queue.served) == 131


async def test_who_stops_waiting_takes_no_turn_with_them() -> None:
    queue = Queue(at_once=1)
    _, first, second, _ = await queue.ask("ada", "grace", "grace", "edsger")
    first.cancel()
    second.cancel()
    await queue.end()
    assert queue.served == ["ada", "edsger"]
    await queue.end()
    await queue.ask("ada")
    assert queue.served == ["ada", "edsger", "ada"]


async def test_a_turn_that_comes_as_its_asker_leaves_is_passed_on() -> None:
    queue = Queue(at_once=1)
    [holding, leaving, _] = await queue.ask("ada", "grace", "edsger")
    holding.cancel()
    await asyncio.sleep(0)  # grace is given the turn, and has not heard of it
    leaving.cancel()
    await _all_that_can_happen()
    assert queue.served == ["ada", "edsger"]


@given(steps=st.lists(st.sampled_from(["ada", "grace", "edsger", "barbara", "leave", None]), max_size=60))
def test_nobody_waits_for_more_turns_than_there_are_others(steps: list[str | None]) -> None:
    asyncio.run(_play(steps))


async def _play(steps: list[str | None]) -> None:
    queue = Queue(at_once=1)
    waiting: dict[str, list[asyncio.Task[None]]] = {who: [] for who in steps if who not in ("leave", None)}
    passed = dict.fromkeys(waiting, 0)
    for step in [*steps, *[None] * len(steps)]:
        before = len(queue.served)
        if step is None:
            await queue.end()
        elif step == "leave":
            if (theirs := next(filter(None, waiting.values()), None)) is not None:
                theirs.pop().cancel()
                await _all_that_can_happen()
        else:
            if not waiting[step]:
                passed[step] = 0
            waiting[step] += await queue.ask(step)
        for served in queue.served[before:]:
            waiting[served].pop(0)
            passed[served] = 0
            for other in (who for who, theirs in waiting.items() if theirs and who != served):
                passed[other] += 1
                assert passed[other] < len(waiting)
    await queue.empty()
