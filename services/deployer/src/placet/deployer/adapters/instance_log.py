"""Reading a log that somebody else writes and sometimes cuts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

LOOK_EVERY = 0.2
PIECE = 2**16


def tail(path: Path, lines: int | None) -> bytes:
    """The last `lines` lines, or all of them for None; nothing if there is no such file."""
    return _last(_content(path), lines)


async def follow(path: Path, lines: int | None) -> AsyncIterator[bytes]:
    """The same, and then what is added, until the caller goes or the file does."""
    content = await asyncio.to_thread(_content, path)
    position = len(content)
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


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


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
