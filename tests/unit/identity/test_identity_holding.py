"""A log that is followed ends with the right to read it, whether or not something comes of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from placet.errors import Forbidden, PlacetError, Unauthenticated, Unavailable
from placet.identity.holding import while_allowed

from tests.support.eventually import eventually


@dataclass
class Log:
    written: asyncio.Queue[bytes | None] = field(default_factory=asyncio.Queue)
    is_left: bool = False
    refusal: PlacetError | None = None
    asked: int = 0

    async def pieces(self) -> AsyncIterator[bytes]:
        task = asyncio.current_task()
        try:
            while (piece := await self.written.get()) is not None:
                yield piece
        finally:
            self.is_left = asyncio.current_task() is task

    async def must(self) -> None:
        self.asked += 1
        if self.refusal is not None:
            raise self.refusal


@pytest.fixture
async def log() -> Log:
    return Log()


@dataclass
class Read:
    got: list[bytes] = field(default_factory=list)

    async def follow(self, log: Log) -> None:
        async for piece in while_allowed(log.pieces(), log.must, every=0.01):
            self.got.append(piece)


async def test_it_is_told_to_its_end(log: Log) -> None:
    read = Read()
    for piece in (b"a", b"b", None):
        log.written.put_nowait(piece)
    await read.follow(log)
    assert read.got == [b"a", b"b"]


@pytest.mark.parametrize("refusal", [Unauthenticated("revoked"), Forbidden("private")])
async def test_who_may_no_more_is_told_no_more_though_nothing_comes(log: Log, refusal: PlacetError) -> None:
    read = Read()
    following = asyncio.create_task(read.follow(log))
    log.written.put_nowait(b"a")
    await eventually(lambda: read.got == [b"a"])
    log.refusal = refusal
    await following
    assert log.is_left
    log.written.put_nowait(b"b")
    assert read.got == [b"a"]


async def test_it_goes_on_while_nobody_knows(log: Log) -> None:
    read, log.refusal = Read(), Unavailable("the database is away")
    following = asyncio.create_task(read.follow(log))
    await eventually(lambda: log.asked > 3)
    for piece in (b"a", None):
        log.written.put_nowait(piece)
    await following
    assert read.got == [b"a"]


async def test_who_goes_leaves_nobody_asking(log: Log) -> None:
    following = asyncio.create_task(Read().follow(log))
    await eventually(lambda: log.asked > 0)
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    assert log.is_left
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_what_fails_fails(log: Log) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"a"
        raise TimeoutError("it was silent")

    with pytest.raises(TimeoutError, match="silent"):
        async for _ in while_allowed(broken(), log.must):
            pass
