"""Images by digest in a Docker Engine: pulled from the registry, or handed over where the registry is a folder.

By digest in both: what the engine pulls it checks against the digest that it is asked for, and what it is handed has
the digest of the configuration that the image's own manifest names.
"""

from __future__ import annotations

import asyncio
import io
import json
import tarfile
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote, urlsplit

import docker
from docker.errors import APIError

from placet.deployer.adapters.docker_engine import DockerEngine, if_there
from placet.deployer.adapters.unpacked_images import read_whole_image
from placet.errors import Refused, Unavailable
from placet.oci import Descriptor, Manifest, Registry

HANDED_OVER = "placet.local"
"""Stands for a registry in the names of images that were handed over: nobody pulls from there."""
_MISSING = ("not found", "manifest unknown")


class DockerImages:
    """`address` is the registry's as the deployer has it, a URL or a folder, `seen_as` what the engine calls it, if
    that is another."""

    def __init__(
        self, engine: DockerEngine, registry: Registry, address: str, *, seen_as: str | None = None
    ) -> None:
        self._engine = engine
        self._registry = registry
        server, self._auth = _server(address)
        self._server = seen_as or server
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def present(self, repository: str, image: str) -> str:
        """The name by which the engine runs the image, which it has then. Raises `Refused` for one that no engine can
        run."""
        async with self._turns[image]:
            if self._server is not None:
                name = f"{self._server}/{repository}@{image}"
                if await self._engine.run(_id_of, name) is None:
                    await self._check(repository, image)
                    await self._engine.run(_pull, name, self._auth)
                return name
            return await self._hand_over(repository, image)

    async def _check(self, repository: str, image: str) -> Manifest:
        manifest, _ = await read_whole_image(self._registry, repository, image)
        return manifest

    async def _hand_over(self, repository: str, image: str) -> str:
        manifest = await self._check(repository, image)
        name = f"{HANDED_OVER}/{repository}:{image.replace(':', '-')}"
        configured = manifest.config.digest if manifest.config else ""
        if await self._engine.run(_id_of, name) in (configured, image):
            return name
        with tempfile.TemporaryDirectory(prefix="placet-image-") as folder:
            archive = Path(folder) / "image.tar"
            blobs = [each for each in (manifest.config, *manifest.layers) if each is not None]
            for blob in {each.digest: each for each in blobs}.values():
                await self._registry.save_blob(repository, blob.digest, Path(folder) / _file_of(blob))
            await asyncio.to_thread(_pack, archive, Path(folder), blobs, name)
            await self._engine.run(_load, archive)
        if await self._engine.run(_id_of, name) is None:
            raise Unavailable(f"the Docker Engine took {image} and does not have it")
        return name


def _server(address: str) -> tuple[str | None, dict[str, str] | None]:
    """As an engine writes it, and what it logs in with."""
    if "://" not in address:
        return None, None
    url = urlsplit(address)
    server = f"{url.netloc.rpartition('@')[2]}{url.path.rstrip('/')}"
    if url.username is None:
        return server, None
    return server, {"username": unquote(url.username), "password": unquote(url.password or "")}


def _id_of(api: docker.APIClient, name: str) -> str | None:
    found = if_there(lambda: api.inspect_image(name))
    return found["Id"] if found else None


def _pull(api: docker.APIClient, name: str, auth: dict[str, str] | None) -> None:
    try:
        lines = list(api.pull(name, stream=True, decode=True, auth_config=auth))
    except APIError as error:
        raise _in_vain(name, str(error.explanation or error)) from error
    for line in lines:
        if "error" in line:
            raise _in_vain(name, str(line["error"]))


def _in_vain(name: str, why: str) -> Refused | Unavailable:
    said = f"image cannot be pulled: {why}"
    if any(each in why.lower() for each in _MISSING):
        return Refused(said, fix="build it again: the registry does not have it any more")
    return Unavailable(
        said, fix=f"let the Docker Engine reach {name.partition('/')[0]}, which it pulls images from"
    )


def _file_of(blob: Descriptor) -> str:
    return blob.digest.partition(":")[2]


def _pack(archive: Path, folder: Path, blobs: Sequence[Descriptor], name: str) -> None:
    """As `docker save` writes it, which every engine loads; layers may be compressed."""
    config, *layers = [_file_of(each) for each in blobs]
    index = [{"Config": f"{config}.json", "RepoTags": [name], "Layers": [f"{each}.tar" for each in layers]}]
    with tarfile.open(archive, "w") as into:
        _add(into, "manifest.json", json.dumps(index).encode())
        into.add(folder / config, f"{config}.json")
        for layer in dict.fromkeys(layers):
            into.add(folder / layer, f"{layer}.tar")


def _add(into: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    into.addfile(member, io.BytesIO(content))


def _load(api: docker.APIClient, archive: Path) -> None:
    with archive.open("rb") as file:
        data: IO[bytes] = file
        said: list[dict[str, Any]] = list(api.load_image(data))
    for line in said:
        if "error" in line:
            raise Refused(f"the Docker Engine cannot load the image: {line['error']}")
