"""Pods of real images: what an image says is run, with this machine's Python in place of the image's own."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from placet.deployer.adapters.unpacked_images import UnpackedImages, read_whole_image
from placet.oci import open_registry

from tests.deploy.containers_of_models import SERVER
from tests.support.kubernetes.fields import Json


@dataclass(frozen=True)
class Program:
    """What a container runs."""

    command: list[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    """What the image sets, before what the container does."""
    folder: Path | None = None


async def small_server(container: Json, address: str) -> Program:
    """The same for every image, at the pod's address."""
    return Program([sys.executable, "-S", "-c", SERVER.replace("0.0.0.0", address)])


class RealImages:
    """Of the registry that an image's name begins with, unpacked into a folder. `mirrors` are others that are asked in
    its place, by name: `http(s)://host:port`, or a folder."""

    def __init__(self, folder: Path, mirrors: Mapping[str, str] | None = None) -> None:
        self._folder = folder
        self._mirrors = mirrors or {}

    async def __call__(self, container: Json, address: str) -> Program:
        host, _, name = container["image"].partition("/")
        repository, _, digest = name.partition("@")
        async with open_registry(self._mirrors.get(host, f"http://{host}")) as registry:
            _, config = await read_whole_image(registry, repository, digest)
            app = str(await UnpackedImages(registry, self._folder).root(repository, digest))
        here = {"python": sys.executable, "0.0.0.0": address}
        return Program(
            command=[here.get(each, each.replace("/app", app)) for each in config.cmd],
            environment={name: each.replace("/app", app) for name, each in config.env.items()},
            folder=Path(config.working_dir.replace("/app", app)),
        )
