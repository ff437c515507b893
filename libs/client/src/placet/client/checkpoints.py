"""Where a follower of the audit log was, so that it goes on there after a crash.

A mark is a position and the id of the event there: a log that was restored from an older copy may have another event at
that position, or none, and a follower that went on behind it would miss what happened instead without a word.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

import msgspec
from anyio import to_thread

from placet.errors import Unreadable


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """The last event that was done with."""

    position: int
    event: str


class Checkpoint(Protocol):
    """Keeps a mark: in a file, or where you keep what you make of the events, in the same transaction."""

    async def load(self) -> Mark | None:
        """None: it has followed nothing yet."""

    async def save(self, mark: Mark) -> None: ...


class FileCheckpoint:
    """A file of its own for each follower, written whole or not at all, and on the disk once `save` returns."""

    def __init__(self, path: Path | str) -> None:
        self._path = Path(path)

    async def load(self) -> Mark | None:
        return await to_thread.run_sync(self._load)

    async def save(self, mark: Mark) -> None:
        await to_thread.run_sync(self._save, mark)

    def _load(self) -> Mark | None:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=Mark)
        except FileNotFoundError:
            return None
        except (msgspec.MsgspecError, UnicodeDecodeError, OSError) as error:
            raise Unreadable(
                f"{self._path} says nothing of where a follower was: {error}",
                fix="remove it to follow from the beginning, or name another file",
            ) from error

    def _save(self, mark: Mark) -> None:
        draft = self._path.with_name(f".{self._path.name}.draft")
        with draft.open("wb") as file:
            file.write(msgspec.json.encode(mark))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._path)
