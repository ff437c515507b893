"""The client that follows a real log on a real socket, from where it was."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import msgspec
import pytest
from placet.client import CertificateThen, Client, Connection, Event, FileCheckpoint, Mark
from placet.errors import Conflict, Unknown
from placet.events.contracts import CATALOG
from placet.events.contracts.gateway import DeployRequested

from tests.support.eventually import eventually
from tests.unit.gateway.roads import asked, started
from tests.unit.metadata.histories import governed, incident, revoked, suspended
from tests.unit.metadata.logs import Metadata, a_log
from tests.unit.metadata.test_webhooks_api import served

HOW_TO = Path(__file__).parents[3] / "docs" / "how-to" / "follow-with-python.md"


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[Metadata]:
    async with a_log(tmp_path / "log") as one:
        yield one


class Remembered:
    """A checkpoint of the test's own."""

    def __init__(self, mark: Mark | None = None) -> None:
        self.marks = [mark]

    async def load(self) -> Mark | None:
        return self.marks[-1]

    async def save(self, mark: Mark) -> None:
        self.marks.append(mark)


async def take(platform: Client, checkpoint: Remembered, count: int, *, each: int = 1) -> list[Event]:
    """So many, and die while the last one is in hand."""
    taken: list[Event] = []
    async with aclosing(platform.follow_events(checkpoint, each=each)) as events:
        async for event in events:
            taken.append(event)
            if len(taken) == count:
                break
    return taken


async def happen(log: Metadata, *positions: int) -> None:
    for position in positions:
        await log.keep(log.heard(asked(release=position), position))


async def test_a_follower_goes_on_with_what_it_was_not_done_with(log: Metadata) -> None:
    await happen(log, *range(1, 6))
    checkpoint = Remembered()
    async with served(log) as url, Client(Connection(url=url, token=log.token())) as platform:
        first = await take(platform, checkpoint, 3)
        assert [event.position for event in first] == [1, 2, 3]
        assert checkpoint.marks[-1] == Mark(position=2, event=first[1].id)
        second = await take(platform, checkpoint, 3)
        assert [event.position for event in second] == [3, 4, 5]
        assert second[0].typed(CATALOG) == asked(release=3)
        assert isinstance(second[0].typed(CATALOG), DeployRequested)


async def test_marks_can_be_fewer(log: Metadata) -> None:
    await happen(log, *range(1, 8))
    checkpoint = Remembered()
    async with served(log) as url, Client(Connection(url=url, token=log.token())) as platform:
        await take(platform, checkpoint, 6, each=2)
    assert [mark.position for mark in checkpoint.marks if mark is not None] == [2, 4]


@pytest.mark.parametrize("mark", [Mark(position=2, event="another"), Mark(position=99, event="gone")])
async def test_a_log_that_is_not_the_one_that_was_followed_is_told(log: Metadata, mark: Mark) -> None:
    await happen(log, 1, 2, 3)
    async with served(log) as url, Client(Connection(url=url, token=log.token())) as platform:
        with pytest.raises(Conflict, match=f"position {mark.position} of the log is not event"):
            await take(platform, Remembered(mark), 1)


async def test_the_how_to_follows_and_goes_on(log: Metadata, tmp_path: Path) -> None:
    """The very snippet, killed in between."""
    [snippet] = re.findall(r"```python\n(.*?)```", HOW_TO.read_text("utf-8"), re.DOTALL)
    checkpoint = FileCheckpoint(tmp_path / "deployments.json")
    async with served(log) as url, log.indexing():
        for number in (1, 2):
            said = started(release=number)
            await log.keep(log.heard(said, number))
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", snippet),
                cwd=tmp_path,
                env={"PATH": os.environ["PATH"], "PLACET_URL": url, "PLACET_TOKEN": log.token()},
                stdout=asyncio.subprocess.PIPE,
            )
            assert process.stdout is not None
            async with asyncio.timeout(60):
                line = (await process.stdout.readline()).decode()
            assert f"{said.project} {number} at {said.url}" in line

            async def is_marked(position: int = number) -> bool:
                mark = await checkpoint.load()
                return mark is not None and mark.position == position

            await eventually(is_marked)
            process.kill()
            await process.communicate()


async def test_a_follower_that_is_ahead_of_the_log_is_told_so_at_once(log: Metadata) -> None:
    await happen(log, 1)
    async with served(log) as url, Client(Connection(url=url, token=log.token())) as platform:
        with pytest.raises(Unknown, match="ends at position 1, and position 7 is still to come"):
            async for _ in platform.events(after=7, follow=True):
                pass


async def test_what_was_so_comes_as_types_with_all_that_the_platform_says(log: Metadata) -> None:
    """Written again, it is what came: nothing that is told is left out of a type."""
    await log.keep_all([*governed(), suspended(), revoked(), incident("open"), asked(release=2)])
    async with log.indexing(), served(log) as url, Client(Connection(url=url, token=log.token())) as platform:
        why = await platform.why("churn")
        assert msgspec.json.encode(why) == msgspec.json.encode(await log.read("/v1/audit/why?project=churn"))
        assert isinstance(why.certificate, CertificateThen)
        assert (why.allowed, why.certificate.state, why.attempts[0].release) == (False, "revoked", 2)

        async with platform.state(project="churn") as state:
            entities = [each.to_json() async for each in state.entities]
        page = await log.read("/v1/audit/state?project=churn&limit=1000")
        assert entities == page["entities"]
        assert (state.as_of.at, state.as_of.position) == (page["at"], page["position"])

        for name, found in (
            ("approvals", await platform.approvals_in_log(project="churn")),
            ("exceptions", await platform.exceptions_in_log(project="churn")),
        ):
            shown = await log.read(f"/v1/audit/{name}?project=churn")
            assert [each.to_json() for each in found] == shown[name] != []
        expiring = await platform.expiring(within=31622400, at="2026-01-01T12:00:00Z")
        shown = await log.read("/v1/audit/expiring?within=31622400&at=2026-01-01T12:00:00Z")
        assert [each.to_json() for each in expiring] == shown["certificates"]
        assert expiring.as_of.asked == "2026-01-01T12:00:00Z"
