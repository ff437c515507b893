"""Checkpoints as files on storage that is written once: a mount that forgets nothing, of somebody else's."""

from __future__ import annotations

import os
from pathlib import Path

from anyio import to_thread

from placet.errors import Refused, Unavailable
from placet.trust.checkpoints import Checkpoint
from placet.trust.notes import Note
from placet.trust.proofs import ConsistencyProof


class CheckpointFolder:
    """The `Witness` port, without a signature: a new file for each, named by its size.

    `00000000000000001234.checkpoint`: so that they sort as they were signed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def name(self) -> str:
        return str(self._folder)

    async def show(self, proof: ConsistencyProof) -> None:
        await to_thread.run_sync(self._keep, proof.checkpoint)

    def _keep(self, note: Note) -> None:
        file = self._folder / f"{Checkpoint.from_text(note.text).size:020}.checkpoint"
        try:
            self._write(file, note.to_bytes())
        except FileExistsError:
            self._compare(file, note)
        except OSError as error:
            raise Unavailable(f"{file} cannot be written: {error.strerror}") from error

    def _write(self, file: Path, data: bytes) -> None:
        """Under its name from the start, since such storage lets nobody rename; never over what is there."""
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o444)
        with os.fdopen(descriptor, "wb") as opened:
            opened.write(data)
            opened.flush()
            os.fsync(opened.fileno())

    def _compare(self, file: Path, note: Note) -> None:
        try:
            there = file.read_bytes()
        except OSError as error:
            raise Unavailable(f"{file} cannot be read: {error.strerror}") from error
        if not there.startswith(note.text.encode()) and not note.to_bytes().startswith(there):
            raise Refused(
                f"{file} holds another checkpoint of {note.text.splitlines()[1]} events: the log was rewritten",
                fix="find out which of the two is true, with `placet audit verify`",
            )
