"""Images in an OCI registry, read back by digest."""

from __future__ import annotations

from placet.errors import Refused, Unknown, Unreadable
from placet.indexer.domain import Found, Missing
from placet.oci import ImageConfig, Registry

MAX_CONFIG = 4 * 1024 * 1024


class RegistryImages:
    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def look_up(self, repository: str, image: str) -> Found | Missing:
        try:
            manifest = await self._registry.manifest(repository, image)
            if manifest.config is None:
                return Missing(why=f"{image} in {repository} is no image: it has no configuration")
            body = await self._registry.read_blob(repository, manifest.config.digest, limit=MAX_CONFIG)
            config = ImageConfig.parse(body)
        except Unknown:
            return Missing(why=f"the registry has no {image} in {repository}")
        except (Refused, Unreadable) as error:
            return Missing(why=f"{image} in {repository} is not what it says: {error.detail}")
        return Found(
            labels=config.labels,
            size=sum(layer.size for layer in manifest.layers),
            layers=len(manifest.layers),
        )
