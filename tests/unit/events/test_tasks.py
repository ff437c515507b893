"""Who is cancelled while a group of theirs ends by a failure stays cancelled, on every version of Python."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from placet.events.tasks import TaskGroup, to_the_end

from tests.support.eventually import eventually


class Expected(Exception):
    pass


class Owner:
    """Has a group that a failure of one task ends, and goes on behind it; the other task takes its time to end."""

    def __init__(self) -> None:
        self.is_ending = False
        self.went_on = False
        self.free = asyncio.Event()

    async def run(self) -> None:
        with suppress(BaseExceptionGroup):
            async with TaskGroup() as tasks:
                tasks.create_task(self._slow())
                tasks.create_task(self._failing())
        await asyncio.sleep(0)
        self.went_on = True

    async def _failing(self) -> None:
        await asyncio.sleep(0)
        raise Expected

    async def _slow(self) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            self.is_ending = True
            await self.free.wait()


@asynccontextmanager
async def ending(owner: Owner) -> AsyncIterator[asyncio.Task[None]]:
    """Its task, at the point where one of the group has failed and the other is not at its end."""
    task = asyncio.create_task(owner.run())
    await eventually(lambda: owner.is_ending)
    yield task
    owner.free.set()
    await asyncio.wait((task,))


async def test_who_is_cancelled_while_a_group_ends_by_a_failure_stays_cancelled() -> None:
    owner = Owner()
    async with ending(owner) as task:
        task.cancel()
    assert task.cancelled()
    assert not owner.went_on


async def test_who_is_not_cancelled_goes_on() -> None:
    owner = Owner()
    async with ending(owner) as task:
        pass
    assert not task.cancelled()
    assert owner.went_on


async def test_a_failure_in_a_group_within_a_group_cancels_nobody_else() -> None:
    async def fail() -> None:
        raise Expected

    async def run() -> None:
        async with TaskGroup() as outer:
            outer.create_task(asyncio.sleep(0))
            async with TaskGroup() as inner:
                inner.create_task(fail())

    with pytest.RaisesGroup(Expected, flatten_subgroups=True):
        await run()
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_who_has_two_groups_that_fail_within_one_another_goes_on() -> None:
    """The failure in the outer group interrupts whoever waits in the inner one; nobody else asked for that."""

    async def fail() -> None:
        raise Expected

    async def fail_at_its_end() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise Expected

    async def run() -> str:
        try:
            async with TaskGroup() as outer:
                outer.create_task(fail())
                async with TaskGroup() as inner:
                    inner.create_task(fail_at_its_end())
        except* Expected:
            pass
        await asyncio.sleep(0)
        return "went on"

    assert await run() == "went on"
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_what_is_to_be_done_to_the_end_is_waited_for_and_given_up_by_who_is_told_twice() -> None:
    is_cut = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            is_cut.set()

    task = asyncio.create_task(to_the_end(work(), within=1e6))
    for _ in range(2):
        await asyncio.sleep(0)
        assert not is_cut.is_set()
        task.cancel()
    await eventually(is_cut.is_set)
    assert task.cancelled()


async def test_a_timeout_around_a_group_that_fails_is_a_timeout() -> None:
    owner = Owner()

    async def expire(limit: asyncio.Timeout) -> None:
        await eventually(lambda: owner.is_ending)
        limit.reschedule(0)
        await asyncio.sleep(0)
        owner.free.set()

    async def run() -> None:
        async with asyncio.timeout(None) as limit:
            expiring = asyncio.create_task(expire(limit))
            await owner.run()
            await expiring

    with pytest.raises(TimeoutError):
        await run()
    assert not owner.went_on
