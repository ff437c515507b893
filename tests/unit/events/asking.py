"""People ask for jobs and a worker with one slot does them, step by step: who had to wait for how many others?"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from placet.events.jobs import Finish, Job, JobRunner, Worker
from placet.events.testing import ManualClock
from placet.events.unit_of_work import UnitOfWork, transact
from placet.events.wiring import Wiring

from tests.unit.events.harness import CONTEXT, running

WITHIN = 20.0
LEASE, LOOK_EVERY = 1e9, 0.02

Step = str | None
"""Whoever asks for another job, or none: the job that runs ends."""


@dataclass
class Turns:
    """`begun`: whose jobs begin, in order; `waited`: how many of others' begun meanwhile, at most."""

    begun: list[str] = field(default_factory=list)
    waited: dict[str, int] = field(default_factory=lambda: defaultdict(int))


async def turns_of(wiring: Wiring, clock: ManualClock, steps: Sequence[Step]) -> Turns:
    """Play the steps, then end all that is left. Fails if somebody's own jobs do not begin in their order."""
    turns = Turns()
    ended, begun = asyncio.Semaphore(0), asyncio.Queue[tuple[str, int]]()
    waiting: dict[str, list[int]] = defaultdict(list)
    passed: dict[str, int] = defaultdict(int)
    is_busy = False

    async def run(job: Job[tuple[str, int]]) -> Finish:
        begun.put_nowait(job.payload)
        await ended.acquire()
        return _nothing

    async def one_begins() -> None:
        nonlocal is_busy
        async with asyncio.timeout(WITHIN):
            asker, number = await begun.get()
        assert waiting[asker].pop(0) == number
        turns.begun.append(asker)
        passed[asker] = 0
        for other in (each for each, theirs in waiting.items() if theirs and each != asker):
            passed[other] += 1
            turns.waited[other] = max(turns.waited[other], passed[other])
        is_busy = True

    async def ask(asker: str, number: int) -> None:
        async def change(work: UnitOfWork) -> None:
            work.enqueue("work", f"{number}", (asker, number), asker=asker)

        if not waiting[asker]:
            passed[asker] = 0
        waiting[asker].append(number)
        clock.pass_(timedelta(seconds=1))
        await transact(wiring, "tester", CONTEXT, change)

    async def end() -> None:
        nonlocal is_busy
        if is_busy:
            is_busy = False
            ended.release()
            if any(waiting.values()):
                await one_begins()

    worker = Worker(kind="work", payload=tuple[str, int], run=run, gave_up=lambda job, why: _nothing, slots=1)
    async with running(
        JobRunner("tester", wiring, worker, owner="one", lease=LEASE, look_every=LOOK_EVERY).run()
    ):
        for number, step in enumerate(steps):
            if step is None:
                await end()
            else:
                await ask(step, number)
                if not is_busy:
                    await one_begins()
        while is_busy:
            await end()
    return turns


async def _nothing(work: UnitOfWork) -> None:
    """There is nothing to say."""
