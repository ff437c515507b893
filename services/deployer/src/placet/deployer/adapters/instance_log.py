"""Reading a log that somebody else writes and sometimes cuts."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

LOOK_EVERY = 0.2
PIECE = 2**16


def tail(path: Path, lines: int | None, *, at_most: int) -> bytes:
    """Of the last `at_most` bytes the last `lines` lines, or all for None; nothing if there is no such file."""
    content, _ = _content(path, at_most)
    return _last(content, lines)


def cut(path: Path, at_most: int) -> None:
    """Keep the newer half of a log that is larger. Who writes it appends, and goes on at its new end."""
    with suppress(FileNotFoundError), path.open("r+b") as file, path.open("ab") as appending:
        if file.seek(0, os.SEEK_END) <= at_most:
            return
        # The kernel lets nobody change a file's times in the midst of a write, so what is read now ends with a whole
        # one. Else the rest of a write that is under way would be cut away with what was read.
        os.utime(file.fileno())
        file.seek(-(at_most // 2), os.SEEK_END)
        half = file.read()
        os.truncate(file.fileno(), 0)
        appending.write(half[half.find(b"\n") + 1 :] or half)  # behind what was written meanwhile


async def follow(path: Path, lines: int | None, *, at_most: int) -> AsyncIterator[bytes]:
    """The same, and then what is added, until the caller goes or the file does."""
    content, position = await asyncio.to_thread(_content, path, at_most)
    yield _last(content, lines)
    while (size := await asyncio.to_thread(_size, path)) is not None:
        if size < position:  # it was cut: what was kept has been read already
            position = size
        if size > position:
            piece = await asyncio.to_thread(_read, path, position)
            position += len(piece)
            yield piece
        else:
            await asyncio.sleep(LOOK_EVERY)


def _content(path: Path, at_most: int) -> tuple[bytes, int]:
    """The end of the file, and where that is. Somebody else writes it, faster than it is cut if he likes."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - at_most))
            content = file.read(at_most)
            return content, file.tell()
    except FileNotFoundError:
        return b"", 0


def _last(content: bytes, lines: int | None) -> bytes:
    if lines is None:
        return content
    return b"".join(content.splitlines(keepends=True)[-lines:]) if lines else b""


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None


def _read(path: Path, position: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(position)
            return file.read(PIECE)
    except FileNotFoundError:
        return b""
