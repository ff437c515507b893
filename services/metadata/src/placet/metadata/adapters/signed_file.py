"""The last signed checkpoint, in a file beside the signing key."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import mkstemp

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
            # A name of its own: two containers may both be process 1 on one folder.
            descriptor, unfinished = mkstemp(prefix=f".{self._file.name}.", dir=self._file.parent)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(checkpoint.text)
                file.flush()
                os.fsync(file.fileno())
            Path(unfinished).replace(self._file)
            _fsync_folder(self._file.parent)
        except OSError as error:
            raise Unavailable(
                f"no checkpoint is signed: {self._file} cannot be written: {error.strerror}"
            ) from error


def _fsync_folder(folder: Path) -> None:
    """A name is on the disk only once its folder is."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
