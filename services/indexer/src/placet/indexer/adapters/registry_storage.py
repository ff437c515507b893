"""What images and sources take in an OCI registry, and their removal from it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime

from placet.errors import Unknown
from placet.indexer.ports import Weighed
from placet.oci import Descriptor, Registry
from placet.oci.content import EMPTY

SOURCES = "sources"


class RegistryStorage:
    """The `Storage` port."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def weigh(self, repository: str, image: str, *, alone: bool = False) -> Weighed | None:
        try:
            manifest = await self._registry.manifest(repository, image)
        except Unknown:
            return None
        blobs = {blob.digest: blob.size for blob in manifest.blobs}
        beside = set()
        if alone:
            return Weighed(blobs=blobs, beside=frozenset())
        async for referrer in self._speaking_of(repository, image):
            beside.add(referrer.artifact_type or "")
            of_it = await self._registry.manifest(repository, referrer.digest)
            # Without the empty configuration, which all artifacts share.
            blobs |= {blob.digest: blob.size for blob in of_it.blobs if blob.digest != EMPTY.digest}
        return Weighed(blobs=blobs, beside=frozenset(beside))

    async def remove(self, repository: str, image: str) -> None:
        speaking = [each async for each in self._speaking_of(repository, image)]
        for digest in (*(each.digest for each in reversed(speaking)), image):
            await self._delete(repository, digest)

    async def remove_source(self, source: str) -> None:
        manifest = await self._registry.resolve(SOURCES, source.removeprefix("sha256:"))
        if manifest is not None:
            await self._delete(SOURCES, manifest)

    async def sweep(self, repository: str, before: datetime) -> int:
        return await self._registry.sweep(repository, before=before)

    async def _speaking_of(self, repository: str, subject: str) -> AsyncIterator[Descriptor]:
        """What refers to it, and what refers to that, outermost last."""
        left, seen = [subject], {subject}
        while left:
            for each in await self._registry.referrers(repository, left.pop(0)):
                if each.digest not in seen:
                    seen.add(each.digest)
                    left.append(each.digest)
                    yield each

    async def _delete(self, repository: str, digest: str) -> None:
        try:
            await self._registry.delete_manifest(repository, digest)
        except Unknown:
            return  # somebody else was first, or a collection before this one
