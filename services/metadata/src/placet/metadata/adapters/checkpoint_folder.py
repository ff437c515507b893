"""Checkpoints as files on storage that is written once: a mount that forgets nothing, of somebody else's."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from datetime import timedelta
from itertools import count
from pathlib import Path

from anyio import to_thread

from placet.errors import Refused, Unavailable, Unreadable
from placet.trust.checkpoints import Checkpoint
from placet.trust.notes import Note
from placet.trust.proofs import ConsistencyProof


class CheckpointFolder:
    """The `Witness` port, without a signature: a new file for each, named by its size.

    `00000000000000001234.checkpoint`: so that they sort as they were signed. Who died while it was written may have
    left half of it there, for good on such storage, and nobody knows whether what looks whole is on the disk: the
    checkpoint is written once more beside it then, as `00000000000000001234.2.checkpoint`.
    """

    def __init__(self, folder: Path, pace: timedelta = timedelta()) -> None:
        self._folder = folder
        self.pace = pace
        self._lasting: Path | None = None
        """The last that is known to be on the disk."""

    @property
    def name(self) -> str:
        return str(self._folder)

    async def show(self, proof: ConsistencyProof) -> None:
        await to_thread.run_sync(self._keep, proof.checkpoint)

    def _keep(self, note: Note) -> None:
        size = Checkpoint.from_text(note.text).size
        for number in count(1):
            file = self._folder / f"{size:020}{'' if number == 1 else f'.{number}'}.checkpoint"
            try:
                self._write(file, note.to_bytes())
            except FileExistsError:
                self._compare(file, note)
            except OSError as error:
                raise Unavailable(
                    f"{file} cannot be written: {error.strerror}", fix="see to the disk that it is on"
                ) from error
            else:
                self._lasting = file
            if file == self._lasting:
                return

    def _write(self, file: Path, data: bytes) -> None:
        """Under its name from the start, since such storage lets nobody rename; never over what is there."""
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o444)
        try:
            with os.fdopen(descriptor, "wb") as opened:
                opened.write(data)
                opened.flush()
                os.fsync(opened.fileno())
            _sync_names(self._folder)
        except OSError:
            # Where it can be removed, tries that fail leave no heap of halves.
            with suppress(OSError):
                file.unlink()
            raise

    def _compare(self, file: Path, note: Note) -> None:
        """Raises Refused where it is whole, and of another tree."""
        try:
            there = file.read_bytes()
        except OSError as error:
            raise Unavailable(f"{file} cannot be read: {error.strerror}") from error
        try:
            text = Note.from_bytes(there).text
        except Unreadable:
            return
        if text != note.text:
            raise Refused(
                f"{file} holds another checkpoint of {note.text.splitlines()[1]} events: the log was rewritten",
                fix="find out which of the two is true, with `placet audit verify`",
            )


def _sync_names(folder: Path) -> None:
    """A name is on the disk only once its folder is; some storage has no folders that could be synced."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)
