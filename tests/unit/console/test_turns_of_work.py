"""Work that takes long: whoever asks for much of it, or goes away, takes it from nobody else."""

from __future__ import annotations

import asyncio
import sys
import threading
from types import FrameType

import httpx
import pytest
from placet.errors import Refused
from placet.gateway.console import session, shipping
from placet.gateway.console.asking import Platform
from placet.gateway.console.policies import redecided
from placet.rules.policy import load_shipped, read_policy, shipped_files

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
    await eventually(lambda: sorted(workers.at_work) == ["ada", "mallory"])
    end.set()
    await asyncio.gather(*tasks)
    assert workers.at_work == []


async def test_whose_pages_are_left_has_a_turn_again() -> None:
    workers, end = Workers(), asyncio.Event()
    left = [asyncio.create_task(workers.work(person, end)) for person in ("mallory", "eve") * 20]
    await eventually(lambda: len(workers.at_work) == 2)
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    again = asyncio.create_task(workers.work("mallory", end))
    await eventually(lambda: workers.at_work == ["mallory"])
    end.set()
    await again


async def test_what_takes_seconds_waits_for_no_work_of_minutes() -> None:
    workers, end = Workers(), asyncio.Event()
    tasks = [asyncio.create_task(workers.work(person, end)) for person in ("mallory", "eve")]
    await eventually(lambda: len(workers.at_work) == 2)
    async with workers.platform.comparing("mallory"), workers.platform.comparing("eve"):
        third = asyncio.create_task(workers.platform.comparing("ada").__aenter__())
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


class Reading:
    """Notes what of YAML is read in this process."""

    def __init__(self) -> None:
        self.noted: list[str] = []

    def __enter__(self) -> list[str]:
        threading.setprofile(self._note)
        sys.setprofile(self._note)
        return self.noted

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)
        threading.setprofile(None)

    def _note(self, frame: FrameType, event: str, argument: object) -> None:
        if event == "call" and frame.f_code.co_name in ("compose_node", "read_document"):
            self.noted.append(frame.f_code.co_name)


async def test_policies_are_read_for_pages_in_another_process_and_once(
    browser: httpx.AsyncClient, platform: FakePlatform
) -> None:
    """To read a large one takes seconds, in which a thread would let nobody else be answered. Those that come with the
    platform are ours, and small: they are read here, once."""
    shipping.shipped()
    shipping.offered()
    file = shipped_files()["licences.yaml"].decode()
    policy = load_shipped()[[each.id for each in load_shipped()].index("licences")]
    other = file.replace("\ntitle:", "\nowner: somebody else\ntitle:", 1).replace(
        f"\nowner: {policy.owner}", "", 1
    )
    await browser.post("/console/sign-in", data={"token": ADMIN})
    proof = {"proof": session.proof_of(ADMIN)}
    authorized = {"Authorization": f"Bearer {ADMIN}"}
    async with httpx.AsyncClient(base_url=platform.url, timeout=60, headers=authorized) as http:
        assert (await http.post("/v1/policies", content=file.encode())).status_code == 202
    with Reading() as noted:
        page = await browser.get("/console/governance/policies/licences")
        assert policy.rules[0].title in page.text
        effect = await browser.post("/console/governance/policies/effect", data={**proof, "file": other})
        assert effect.status_code == 200
        wrong = await browser.post(
            "/console/governance/policies/effect", data={**proof, "file": file.replace("rules:", "ruless:")}
        )
        assert "ruless" in wrong.text
    assert noted == []


async def test_reading_a_policy_waits_for_nobodys_long_work() -> None:
    workers, end = Workers(), asyncio.Event()
    tasks = [asyncio.create_task(workers.work(person, end)) for person in ("ada", "eve")]
    await eventually(lambda: len(workers.at_work) == 2)
    file = shipped_files()["python-models.yaml"]
    first = await workers.platform.policy("ada", file)
    assert first == read_policy(file)
    assert await workers.platform.policy("eve", file) is first  # it was read once
    end.set()
    await asyncio.gather(*tasks)
