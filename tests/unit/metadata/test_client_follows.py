"""The client that follows a real log on a real socket, from where it was."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest
from placet.client import Client, Connection, Event, FileCheckpoint, Mark
from placet.errors import Conflict
from placet.events.contracts import CATALOG
from placet.events.contracts.gateway import DeployRequested

from tests.support.eventually import eventually
from tests.unit.gateway.roads import asked, started
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

            await eventually(is_marked, within=30)
            process.kill()
            await process.communicate()
