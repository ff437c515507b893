"""Snapshots of advisories that were submitted, in the registry by the digests of their files."""

from __future__ import annotations

import tempfile
from pathlib import Path

from anyio import to_thread

from placet.certifier.ports import ReadSnapshot
from placet.oci import Registry
from placet.rules.advisories import Snapshot, compiled

REPOSITORY = "advisories"


class RegistrySnapshots:
    """The `Snapshots` port. Each is read in a process of its own."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def read(self, digest: str) -> ReadSnapshot:
        with tempfile.TemporaryDirectory(prefix="placet-advisories-") as folder:
            file, into = Path(folder) / "snapshot.zip", Path(folder) / "index"
            await self._registry.save_blob(REPOSITORY, digest, file)
            await compiled(file, into)
            return await to_thread.run_sync(_read, into)


def _read(into: Path) -> ReadSnapshot:
    written = into.read_bytes()
    snapshot = Snapshot.parse(written)
    return ReadSnapshot(
        taken=snapshot.taken,
        advisories=snapshot.advisories,
        packages=len(snapshot.by_package),
        compiled=written,
    )
