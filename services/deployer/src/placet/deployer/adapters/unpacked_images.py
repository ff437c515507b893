"""Images as folders: unpacked once, without their base, for whoever runs them with this machine's Python."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated, Any

import msgspec

from placet.deployer.ports import Sample
from placet.errors import Refused
from placet.oci import ImageConfig, Manifest, Registry, unpack_layers

PYTHON_LABEL = "io.placet.python"
ROAD_LABEL = "io.placet.road"
BASE_LABEL = "io.placet.base"
BASE_LAYERS_LABEL = "io.placet.base.layers"
PYTHON_HERE = f"cp{sys.version_info.major}{sys.version_info.minor}"
TOLERANCE = 1e-6


class _Runtime(msgspec.Struct, frozen=True):
    """What of `placet.json` matters here."""

    sample: str | None = None


class _Sample(msgspec.Struct, frozen=True):
    request: Any
    response: Any
    tolerance: Annotated[float, msgspec.Meta(ge=0)] = TOLERANCE


class UnpackedImages:
    """An `Images`, and where `LocalProcesses` finds what it runs."""

    def __init__(self, registry: Registry, cache: Path) -> None:
        self._registry = registry
        self._cache = cache

    async def root(self, repository: str, image: str) -> Path:
        """The folder that is `/app` in the image. Raises `Refused` for an image that this Python cannot run."""
        manifest, config = await read_image(self._registry, repository, image)
        if config.labels.get(ROAD_LABEL) == "dockerfile":
            raise Refused(
                f"{image} is built from a Dockerfile and brings a server of its own, which no process here runs",
                fix="deploy it where a container platform runs it",
            )
        python = config.labels.get(PYTHON_LABEL, "an unknown Python")
        if python != PYTHON_HERE:
            raise Refused(
                f"{image} was built for {python}, and this host runs {PYTHON_HERE}",
                fix="build it for this Python, or deploy it where a container engine runs it",
            )
        return await self._unpacked(repository, manifest, config)

    async def sample(self, repository: str, image: str) -> Sample | None:
        """None, too, for an image of a Dockerfile: it has what its steps put there."""
        manifest, config = await read_image(self._registry, repository, image)
        if config.labels.get(ROAD_LABEL) == "dockerfile":
            return None
        return await asyncio.to_thread(_sample, await self._unpacked(repository, manifest, config))

    async def _unpacked(self, repository: str, manifest: Manifest, config: ImageConfig) -> Path:
        skip = _layers_of_base(config)
        return await unpack_layers(self._registry, repository, manifest, self._cache, skip=skip) / "app"


async def read_image(registry: Registry, repository: str, image: str) -> tuple[Manifest, ImageConfig]:
    """Its manifest and configuration. Raises `Refused` where it is none."""
    manifest = await registry.manifest(repository, image)
    if manifest.config is None:
        raise Refused(f"{image} is no image")
    return manifest, ImageConfig.parse(await registry.read_blob(repository, manifest.config.digest))


async def read_whole_image(registry: Registry, repository: str, image: str) -> tuple[Manifest, ImageConfig]:
    """The same of an image that a container can be. Raises `Refused` for one that needs the host's Python."""
    manifest, config = await read_image(registry, repository, image)
    if config.labels.get(BASE_LABEL) == "none" and config.labels.get(ROAD_LABEL) != "dockerfile":
        raise Refused(
            f"{image} was built without a base image: it has no Python of its own, which a container needs",
            fix="set PLACET_BASE_IMAGE for the builder, then deploy again",
        )
    return manifest, config


def _layers_of_base(config: ImageConfig) -> int:
    if config.labels.get(BASE_LABEL, "none") == "none":
        return 0
    count = config.labels.get(BASE_LAYERS_LABEL, "")
    if not count.isdigit():
        raise Refused(
            f"the image does not say how many of its layers are its base's (label {BASE_LAYERS_LABEL})",
            fix="build it with the base `none`, or deploy it where a container engine runs it",
        )
    return int(count)


def _sample(root: Path) -> Sample | None:
    name: str | None = None
    try:
        name = msgspec.json.decode((root / "placet.json").read_bytes(), type=_Runtime).sample
        if name is None:
            return None
        path = (root / "project" / name).resolve()
        if not path.is_relative_to(root.resolve()):
            raise Refused(f"the sample {name} is not in the project's folder")
        found = msgspec.json.decode(path.read_bytes(), type=_Sample)
    except OSError as error:
        raise Refused(f"the image has no {name or 'placet.json'}: {error.strerror}") from error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Refused(f"{name or 'placet.json'} in the image cannot be read: {error}") from error
    return Sample(request=found.request, response=found.response, tolerance=found.tolerance)
