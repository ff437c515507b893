"""Images from sources in the registry: fetch, unpack, assemble, push; and a log of each build."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import TextIO

from anyio import to_thread

from placet.builder.assembly import (
    NO_BASE,
    BuiltImage,
    ImagePlan,
    assemble,
    host_platform,
    host_python,
    reuse_key,
)
from placet.builder.assembly_image import Base
from placet.builder.ports import Compiler, KnownImage, Packages
from placet.errors import PlacetError
from placet.events.contracts.builder import ImageBuilt
from placet.oci import Registry, open_registry
from placet.projects import MANIFEST_NAME, Manifest, parse_manifest, trusted_types, unpack

SOURCES = "sources"


class RegistryImages:
    """The `Images` port."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def exists(self, known: KnownImage) -> bool:
        return await self._registry.resolve(known.repository, known.image) is not None


class ImageWorkshop:
    """The `Workshop` port: images for this host's Python and platform, on one base."""

    def __init__(
        self, *, registry: Registry, base: str, data: Path, packages: Packages, compiler: Compiler
    ) -> None:
        self._registry = registry
        self._base = base
        self._data = data
        self._packages = packages
        self._compiler = compiler
        self._version = version("placet-builder")

    def reuse_key(self, source: str) -> str:
        return reuse_key(
            source=source,
            base=self._base,
            builder_version=self._version,
            python=host_python(),
            platform=host_platform(),
        )

    def log_of(self, project: str, release: int) -> Path:
        return self._data / "logs" / project / f"{release}.log"

    async def build(self, project: str, release: int, source: str) -> ImageBuilt:
        file = self.log_of(project, release)
        await to_thread.run_sync(lambda: file.parent.mkdir(parents=True, exist_ok=True))
        workspace = Path(await to_thread.run_sync(lambda: tempfile.mkdtemp(prefix="placet-build-")))
        try:
            with file.open("w", encoding="utf-8", buffering=1) as target:
                image = await self._build(project, source, workspace, lambda line: _write(target, line))
        finally:
            await asyncio.shield(to_thread.run_sync(lambda: shutil.rmtree(workspace, ignore_errors=True)))
        return ImageBuilt(
            project=project,
            release=release,
            source=source,
            image=image.digest,
            repository=image.repository,
            size=image.size,
            lock=image.lock_digest,
            base=image.base,
            python=image.python,
        )

    async def _build(
        self, project: str, source: str, workspace: Path, say: Callable[[str], None]
    ) -> BuiltImage:
        folder = await self._fetch(source, workspace)
        manifest = parse_manifest(await to_thread.run_sync((folder / MANIFEST_NAME).read_bytes))
        try:
            return await assemble(
                folder,
                self._plan(project, source, manifest),
                registry=self._registry,
                repository=f"models/{project}",
                base=_base(self._base, self._registry),
                cache_dir=self._data / "layers",
                python=host_python(),
                platform=host_platform(),
                packages=self._packages,
                compiler=self._compiler,
                log=say,
            )
        except PlacetError as error:
            say(f"failed: {error}")
            raise

    async def _fetch(self, source: str, workspace: Path) -> Path:
        archive, folder = workspace / "source.tar", workspace / "project"
        await self._registry.save_blob(SOURCES, source, archive)
        await to_thread.run_sync(unpack, archive, folder)
        return folder

    def _plan(self, project: str, source: str, manifest: Manifest) -> ImagePlan:
        return ImagePlan(
            project=project,
            source=source,
            format=manifest.model.format,
            model=manifest.model.path,
            sample=manifest.model.sample,
            reference=manifest.model.reference,
            requirements=manifest.requirements,
            trusted=trusted_types(),
            builder_version=self._version,
        )


def _write(log: TextIO, line: str) -> None:
    log.write(f"{line}\n")


def _base(name: str, registry: Registry) -> Base | None:
    if name == NO_BASE:
        return None
    address, _, digest = name.rpartition("@")
    host, slash, repository = address.partition("/")
    if slash and ("." in host or ":" in host):
        return Base(registry=open_registry(f"https://{host}"), repository=repository, digest=digest)
    return Base(registry=registry, repository=address, digest=digest)
