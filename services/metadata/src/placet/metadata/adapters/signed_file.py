"""The last signed checkpoint, in a file beside the signing key."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from anyio import to_thread

from placet.errors import Refused, Unavailable, Unreadable
from placet.trust.checkpoints import Checkpoint


class SignedFile:
    """The `SignedBefore` port: whoever takes the database back has not taken this back with it."""

    def __init__(self, file: Path) -> None:
        self._file = file

    async def last(self) -> Checkpoint | None:
        return await to_thread.run_sync(self._last)

    async def keep(self, checkpoint: Checkpoint) -> None:
        await to_thread.run_sync(self._keep, checkpoint)

    def _last(self) -> Checkpoint | None:
        try:
            return Checkpoint.from_text(self._file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError, Unreadable) as error:
            raise Refused(
                f"the last signed checkpoint {self._file} cannot be read: {error}",
                fix="see who changed it; if it is lost, remove it: witnesses know what was signed, too",
            ) from error

    def _keep(self, checkpoint: Checkpoint) -> None:
        try:
            with _alone_in(self._file.parent) as folder:
                # Who led until a moment ago may come late, with less: that takes nothing back.
                last = self._last()
                if last is None or last.origin != checkpoint.origin or last.size <= checkpoint.size:
                    self._write(checkpoint, folder)
        except OSError as error:
            raise Unavailable(
                f"no checkpoint is signed: {self._file} cannot be written: {error.strerror}"
            ) from error

    def _write(self, checkpoint: Checkpoint, folder: int) -> None:
        unfinished = self._file.with_name(f".{self._file.name}.unfinished")
        with unfinished.open("w", encoding="utf-8") as file:
            file.write(checkpoint.text)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(self._file)
        os.fsync(folder)  # a name is on the disk only once its folder is


@contextmanager
def _alone_in(folder: Path) -> Iterator[int]:
    """One process at a time writes there; the lock ends with the process that has it."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)
