"""From layers to an image in a registry: configuration, manifest, and sending only what is missing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from placet.builder.assembly_bom import MEDIA_TYPE as BOM_TYPE
from placet.builder.assembly_provenance import MEDIA_TYPE as PROVENANCE_TYPE
from placet.builder.assembly_provenance import PREDICATE_TYPE
from placet.builder.layers import Layer
from placet.builder.layers_cache import LayerCache
from placet.errors import Refused
from placet.oci import ArtifactFile, Descriptor, ImageConfig, Manifest, Platform, Registry, push_artifact
from placet.oci.content import NOTHING, OCI_CONFIG
from placet.oci.files import in_thread
from placet.oci.together import together

_AT_ONCE = 4


@dataclass(frozen=True, kw_only=True)
class Base:
    """A base image, by digest, in a registry that may be another than the one built for."""

    registry: Registry
    repository: str
    digest: str

    def __str__(self) -> str:
        return f"{self.repository}@{self.digest}"


@dataclass(frozen=True, kw_only=True)
class BaseLayers:
    """What of a base goes into an image; empty for an image without one."""

    layers: tuple[Descriptor, ...] = ()
    diff_ids: tuple[str, ...] = ()
    history: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=lambda: NOTHING)


async def read_base(base: Base, platform: Platform) -> BaseLayers:
    """The base's layers for a platform. `Refused` if it is made for another."""
    manifest = await base.registry.manifest(base.repository, base.digest)
    if manifest.is_index:
        fitting = [
            entry
            for entry in manifest.manifests
            if entry.platform is not None
            and (entry.platform.os, entry.platform.architecture) == (platform.os, platform.architecture)
        ]
        if not fitting:
            raise Refused(f"the base image {base} is not made for {platform}", fix="choose another base")
        manifest = await base.registry.manifest(base.repository, fitting[0].digest)
    if manifest.config is None:
        raise Refused(f"the base {base} is no image", fix="give the digest of an image")
    config = ImageConfig.parse(await base.registry.read_blob(base.repository, manifest.config.digest))
    if (config.platform.os, config.platform.architecture) != (platform.os, platform.architecture):
        raise Refused(f"the base image {base} is made for {config.platform}, not for {platform}")
    if len(config.diff_ids) != len(manifest.layers):
        raise Refused(f"the base image {base} does not name each of its layers")
    history = (
        config.history if len(config.history) == len(config.diff_ids) else (str(base),) * len(config.diff_ids)
    )
    return BaseLayers(layers=manifest.layers, diff_ids=config.diff_ids, history=history, env=config.env)


def image_config(
    base: BaseLayers, layers: Sequence[Layer], *, platform: Platform, labels: Mapping[str, str]
) -> ImageConfig:
    """How the image is run: the model server on port 8080, as nobody."""
    return ImageConfig(
        platform=platform,
        diff_ids=(*base.diff_ids, *(layer.diff_id for layer in layers)),
        # The model server first: no package of a project's stands in the place of what serves it.
        env={**base.env, "PYTHONPATH": "/app/serving:/app/deps"},
        # Nothing runs that nobody asked for: no sitecustomize of a package, no module of the folder it starts in. And a
        # container's own loopback is reached by nobody.
        cmd=(
            *("python", "-S", "-s", "-P", "-m", "placet.runtime", "--root", "/app"),
            *("--host", "0.0.0.0", "--port", "8080"),  # noqa: S104
        ),
        user="65532",
        working_dir="/app/project",
        ports=("8080/tcp",),
        labels=labels,
        history=(*base.history, *(f"placet: {layer.title}" for layer in layers)),
    )


class Push:
    """An image on its way: what the registry does not have is sent, what another repository has is mounted.

    Layers may be sent while others are still being made. Until a manifest names them they are no image, and the
    registry collects them as garbage.
    """

    def __init__(
        self,
        registry: Registry,
        repository: str,
        *,
        cache: LayerCache,
        base: Base | None = None,
        base_layers: BaseLayers | None = None,
    ) -> None:
        self._registry = registry
        self._repository = repository
        self._cache = cache
        self._base = base
        self._base_layers = base_layers or BaseLayers()
        self._at_once = asyncio.Semaphore(_AT_ONCE)
        self._done: set[str] = set()
        self.sent = 0
        """Bytes of layers that had to go over."""

    async def send(self, layer: Layer) -> None:
        """One of the layers. Twice is as good as once."""
        await self._once(
            layer.descriptor.digest, lambda: _send(self._registry, self._repository, layer, self._cache)
        )

    async def take_base_over(self) -> None:
        if (base := self._base) is not None:
            await together(*(self._take_over(layer, base) for layer in self._base_layers.layers))

    async def finish(self, config: bytes, layers: Sequence[Layer]) -> Manifest:
        """Whatever was not sent yet, and what makes an image of it."""
        await together(self.take_base_over(), *(self.send(layer) for layer in layers))
        described = await self._registry.put_blob(self._repository, config, media_type=OCI_CONFIG)
        manifest = Manifest.image(
            config=described, layers=(*self._base_layers.layers, *(layer.descriptor for layer in layers))
        )
        await self._registry.put_manifest(self._repository, manifest)
        return manifest

    async def _take_over(self, layer: Descriptor, base: Base) -> None:
        await self._once(
            layer.digest, lambda: _take_over(self._registry, self._repository, layer, base, self._cache)
        )

    async def _once(self, digest: str, send: Callable[[], Awaitable[int]]) -> None:
        async with self._at_once:
            if digest not in self._done:
                self.sent += await send()
                self._done.add(digest)


async def attach(
    registry: Registry, repository: str, image: str, *, bom: bytes, provenance: bytes
) -> tuple[str, str]:
    """Lay beside the image what it is made of and how: the digests of both artifacts. Twice is as good as once."""
    kept = await together(
        *(
            push_artifact(
                registry,
                repository,
                artifact_type=media_type,
                files=(ArtifactFile(content=document, media_type=media_type, name=name),),
                subject=image,
                annotations=annotations,
            )
            for document, media_type, name, annotations in (
                (bom, BOM_TYPE, "bom.cdx.json", {}),
                (
                    provenance,
                    PROVENANCE_TYPE,
                    "provenance.json",
                    {"in-toto.io/predicate-type": PREDICATE_TYPE},
                ),
            )
        )
    )
    return kept[0].digest, kept[1].digest


async def _send(registry: Registry, repository: str, layer: Layer, cache: LayerCache) -> int:
    digest = layer.descriptor.digest
    if await registry.blob_exists(repository, digest):
        return 0
    key = f"repository of {digest} in {registry.address}"
    elsewhere = cache.fact(key)
    is_elsewhere = isinstance(elsewhere, str) and elsewhere != repository
    if is_elsewhere and await registry.mount_blob(repository, digest, source=str(elsewhere)):
        return 0
    await registry.put_blob(repository, layer.blob, digest=digest)
    await in_thread(cache.remember, key, repository)
    return layer.descriptor.size


async def _take_over(
    registry: Registry, repository: str, layer: Descriptor, base: Base, cache: LayerCache
) -> int:
    if await registry.blob_exists(repository, layer.digest):
        return 0
    if registry.address == base.registry.address and await registry.mount_blob(
        repository, layer.digest, source=base.repository
    ):
        return 0
    with cache.workspace() as workspace:
        blob: Path = workspace / "blob"
        await base.registry.save_blob(base.repository, layer.digest, blob)
        await registry.put_blob(repository, blob, digest=layer.digest)
    return layer.size
