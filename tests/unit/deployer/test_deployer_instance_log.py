"""A log is read while its process writes it and the host cuts it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from contextlib import aclosing
from pathlib import Path

import pytest
from placet.deployer.adapters.instance_log import cut, follow, tail


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log"
    path.write_bytes(b"one\ntwo\nthree\n")
    return path


def append(log: Path, content: bytes) -> None:
    with log.open("ab") as file:
        file.write(content)


def replace(log: Path, kept: bytes) -> None:
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
        replace(log, b"three\n")
        following = asyncio.ensure_future(anext(pieces))
        await asyncio.sleep(0)
        while not following.done():
            append(log, b"four\n")
            await asyncio.wait({following}, timeout=0.1)
        assert set((await following).splitlines()) == {b"four"}


def test_a_cut_keeps_the_newer_half_from_a_line_on(log: Path) -> None:
    cut(log, 14)
    assert log.read_bytes() == b"one\ntwo\nthree\n"
    cut(log, 13)
    assert log.read_bytes() == b"three\n"
    cut(log.with_name("none"), 13)


def test_a_cut_in_the_midst_of_a_write_loses_nothing_of_its_end(log: Path) -> None:
    code = "import os; os.write(1, b'x' * 20_000_000 + b'the end')"
    for _ in range(10):
        with log.open("ab") as output:
            writer = subprocess.Popen([sys.executable, "-S", "-I", "-c", code], stdout=output)
        while writer.poll() is None:
            cut(log, 2**16)
        cut(log, 2**16)
        assert log.read_bytes().endswith(b"the end")
        assert log.stat().st_size <= 2**16


async def test_it_ends_with_its_file(log: Path) -> None:
    async with aclosing(follow(log, None, at_most=2**20)) as pieces:  # type: ignore[type-var]
        await anext(pieces)
        remove(log)
        with pytest.raises(StopAsyncIteration):
            await anext(pieces)
