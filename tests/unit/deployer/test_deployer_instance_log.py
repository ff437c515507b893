"""A log is read while its process writes it and the host cuts it."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from pathlib import Path

import pytest
from placet.deployer.adapters.instance_log import follow, tail


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log"
    path.write_bytes(b"one\ntwo\nthree\n")
    return path


def append(log: Path, content: bytes) -> None:
    with log.open("ab") as file:
        file.write(content)


def cut(log: Path, kept: bytes) -> None:
    log.write_bytes(kept)


def remove(log: Path) -> None:
    log.unlink()


def test_the_tail_is_so_many_lines(log: Path) -> None:
    assert tail(log, 2, at_most=2**20) == b"two\nthree\n"
    assert tail(log, 0, at_most=2**20) == b""
    assert tail(log, None, at_most=2**20) == b"one\ntwo\nthree\n"
    assert tail(log.with_name("none"), None, at_most=2**20) == b""


async def test_what_is_added_follows_the_tail(log: Path) -> None:
    async with aclosing(follow(log, 1, at_most=2**20)) as pieces:  # type: ignore[type-var]
        assert await anext(pieces) == b"three\n"
        append(log, b"four\n")
        assert await anext(pieces) == b"four\n"


async def test_a_cut_repeats_nothing(log: Path) -> None:
    async with aclosing(follow(log, 0, at_most=2**20)) as pieces:  # type: ignore[type-var]
        assert await anext(pieces) == b""
        cut(log, b"three\n")
        following = asyncio.ensure_future(anext(pieces))
        await asyncio.sleep(0)
        while not following.done():
            append(log, b"four\n")
            await asyncio.wait({following}, timeout=0.1)
        assert set((await following).splitlines()) == {b"four"}


async def test_it_ends_with_its_file(log: Path) -> None:
    async with aclosing(follow(log, None, at_most=2**20)) as pieces:  # type: ignore[type-var]
        await anext(pieces)
        remove(log)
        with pytest.raises(StopAsyncIteration):
            await anext(pieces)
