"""Work that takes long: whoever asks for much of it, or goes away, takes it from nobody else."""

from __future__ import annotations

import asyncio

import pytest
from placet.errors import Refused
from placet.gateway.console.asking import Platform
from placet.gateway.console.policies import redecided
from placet.rules.policy import load_shipped

from tests.support.eventually import eventually
from tests.unit.client.fake_platform import ADMIN, FakePlatform


class Workers:
    """Each works until it is told to end."""

    def __init__(self) -> None:
        self.platform = Platform("http://platform")
        self.at_work: list[str] = []

    async def work(self, person: str, end: asyncio.Event) -> None:
        async with self.platform.working(person):
            self.at_work.append(person)
            try:
                await end.wait()
            finally:
                self.at_work.remove(person)


async def test_who_asks_for_much_has_one_turn_and_leaves_the_other_to_others() -> None:
    workers, end = Workers(), asyncio.Event()
    tasks = [asyncio.create_task(workers.work("mallory", end)) for _ in range(50)]
    tasks.append(asyncio.create_task(workers.work("ada", end)))
    await eventually(lambda: sorted(workers.at_work) == ["ada", "mallory"], within=5)
    end.set()
    await asyncio.gather(*tasks)
    assert workers.at_work == []


async def test_whose_pages_are_left_has_a_turn_again() -> None:
    workers, end = Workers(), asyncio.Event()
    left = [asyncio.create_task(workers.work(person, end)) for person in ("mallory", "eve") * 20]
    await eventually(lambda: len(workers.at_work) == 2, within=5)
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    again = asyncio.create_task(workers.work("mallory", end))
    await eventually(lambda: workers.at_work == ["mallory"], within=5)
    end.set()
    await again


async def test_what_takes_seconds_waits_for_no_work_of_minutes() -> None:
    workers, end = Workers(), asyncio.Event()
    tasks = [asyncio.create_task(workers.work(person, end)) for person in ("mallory", "eve")]
    await eventually(lambda: len(workers.at_work) == 2, within=5)
    async with workers.platform.reading("mallory"), workers.platform.reading("eve"):
        third = asyncio.create_task(workers.platform.reading("ada").__aenter__())
        await asyncio.sleep(0)
        assert not third.done()
    await third
    end.set()
    await asyncio.gather(*tasks)


async def test_what_would_be_decided_again_for_hours_is_ended(platform: FakePlatform) -> None:
    asked = Platform(platform.url)
    await asked.start()
    policy = load_shipped()[0]
    async with asked.as_whom(ADMIN) as ask:
        with pytest.raises(Refused, match="more than 0 s"):
            await redecided(ask, policy, policy, lambda _: None, within=0)
    await asked.close()
