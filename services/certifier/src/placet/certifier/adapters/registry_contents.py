"""The bills of materials that lie beside an image in the registry."""

from __future__ import annotations

from anyio import to_thread

from placet.certifier.ports import Facts
from placet.errors import Refused, Unreadable
from placet.oci import Registry, fetch_artifact
from placet.rules.contents import MAX_BOM_BYTES, contained

BOM_TYPE = "application/vnd.cyclonedx+json"


class RegistryContents:
    """The `Contents` port."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def of_image(self, repository: str, image: str) -> Facts:
        bills: dict[str, bytes] = {}
        for each in await self._registry.referrers(repository, image, artifact_type=BOM_TYPE):
            try:
                artifact = await fetch_artifact(self._registry, repository, each.digest, limit=MAX_BOM_BYTES)
            except (Refused, Unreadable):  # also one that is gone, or too large
                bills[each.digest] = b""
            else:
                bills[each.digest] = b"".join(artifact.contents[:1])
        return await to_thread.run_sync(contained, bills)
