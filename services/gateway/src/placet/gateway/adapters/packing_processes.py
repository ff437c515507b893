"""Folders of strangers, packed in bounded processes."""

from __future__ import annotations

from pathlib import Path

from placet.projects import Limits
from placet.projects.bounded import MEMORY_BYTES
from placet.projects.packing import SECONDS, Packed, packed


class PackingProcesses:
    """The `Packing` port. A process ends with who waits for it."""

    def __init__(self, *, memory: int = MEMORY_BYTES, seconds: int = SECONDS) -> None:
        self._memory = memory
        self._seconds = seconds

    async def pack(self, folder: Path, archive: Path, limits: Limits, *, sent: Path | None = None) -> Packed:
        return await packed(folder, archive, limits, sent=sent, memory=self._memory, seconds=self._seconds)
