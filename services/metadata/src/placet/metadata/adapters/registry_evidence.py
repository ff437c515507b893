"""What the log names by digest, out of the registry."""

from __future__ import annotations

from placet.errors import Refused, Unknown, Unreadable
from placet.metadata.ports import Kept
from placet.oci import Registry, fetch_artifact

MAX_BYTES = 16 * 1024**2


class RegistryEvidence:
    """The `Evidence` port. What is not there any more was erased, or collected, and is not evidence of anything."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def blob(self, repository: str, digest: str) -> bytes | None:
        try:
            return await self._registry.read_blob(repository, digest, limit=MAX_BYTES)
        except (Unknown, Unreadable, Refused):
            return None

    async def tagged(self, repository: str, digest: str) -> bytes | None:
        # A registry forgets a blob later than its tag, and what was erased is not to be seen from then on.
        if await self._registry.resolve(repository, digest.removeprefix("sha256:")) is None:
            return None
        return await self.blob(repository, digest)

    async def artifact(self, repository: str, digest: str) -> Kept | None:
        try:
            found = await fetch_artifact(self._registry, repository, digest, limit=MAX_BYTES)
        except (Unknown, Unreadable, Refused):
            return None
        return Kept(manifest=found.manifest.body, content=b"".join(found.contents[:1]))
