"""Folders of strangers, packed in bounded processes, few at a time."""

from __future__ import annotations

import asyncio
from pathlib import Path

from placet.projects import Limits
from placet.projects.bounded import MEMORY_BYTES
from placet.projects.packing import SECONDS, Packed, packed

AT_ONCE = 2
"""Each takes a process with a lot of memory, if what it packs is hostile."""


class PackingProcesses:
    """The `Packing` port. A turn is given back when its process ends, and that ends with who waits for it."""

    def __init__(self, *, memory: int = MEMORY_BYTES, seconds: int = SECONDS) -> None:
        self._memory = memory
        self._seconds = seconds
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def pack(self, folder: Path, archive: Path, limits: Limits, *, sent: Path | None = None) -> Packed:
        async with self._turns:
            return await packed(
                folder, archive, limits, sent=sent, memory=self._memory, seconds=self._seconds
            )
