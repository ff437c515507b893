"""Images in an OCI registry, read back by digest and listed as far as the registry lets."""

from __future__ import annotations

from collections.abc import Sequence

from placet.errors import Forbidden, Refused, Unknown, Unreadable
from placet.indexer.domain import Found, Missing
from placet.indexer.ports import Listed
from placet.oci import ImageConfig, Manifest, Registry
from placet.oci.content import DOCKER_CONFIG, OCI_CONFIG

MAX_CONFIG = 4 * 1024 * 1024
MODELS = "models/"


class RegistryImages:
    """The `Images` port."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._images: dict[str, bool] = {}
        """Whether a digest is an image: what it names never changes, so each is asked for once."""

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

    async def is_there(self, repository: str, image: str) -> bool:
        return await self._registry.has_manifest(repository, image)

    async def repositories(self) -> Sequence[str] | None:
        try:
            found = await self._registry.repositories()
        except (Unknown, Forbidden, Refused, Unreadable):
            return None  # many registries have no catalog, or not for everybody
        return [repository for repository in found if repository.startswith(MODELS)]

    async def listed(self, repository: str) -> Sequence[Listed]:
        return [
            Listed(image=digest, tag=tag)
            for tag, digest in await self._registry.entries(repository)
            if await self.is_image(repository, digest)
        ]

    async def is_image(self, repository: str, digest: str) -> bool:
        if digest not in self._images:
            try:
                manifest = await self._registry.manifest(repository, digest)
            except (Unknown, Refused, Unreadable):
                return False
            self._images[digest] = _is_image(manifest)
        return self._images[digest]


def _is_image(manifest: Manifest) -> bool:
    """An index is one for several platforms."""
    if manifest.is_index or manifest.config is None:
        return manifest.is_index
    is_about_another = manifest.subject is not None or manifest.artifact_type is not None
    return not is_about_another and manifest.config.media_type in (OCI_CONFIG, DOCKER_CONFIG)
