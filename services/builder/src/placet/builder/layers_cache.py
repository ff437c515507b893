"""Finished layers, kept by what they were made from, so that the second build of a lock makes nothing.

    <folder>/blobs/<hex>      a layer, by its digest        <folder>/layers/<key>    which blob a key stands for
    <folder>/known/<key>      small facts, as JSON          <folder>/work/           work under way

Processes may share a folder. Everything appears whole or not at all; an entry that is damaged, or whose blob
is gone, is no entry, and the layer is made again. Nothing is ever taken out: remove the folder to make room.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from placet.builder.layers import Layer
from placet.errors import Unavailable
from placet.oci.content import OCI_LAYER_GZIP, Descriptor, encode_json, is_digest
from placet.oci.files import in_thread, new_folder, sweep, written_aside


class LayerCache:
    """The cache in one folder, which is made when it is first used."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextmanager
    def workspace(self) -> Iterator[Path]:
        """An empty folder on the cache's file system, gone at the end."""
        work = self._folder / "work"
        work.mkdir(parents=True, exist_ok=True)
        sweep(work)
        with new_folder(work) as folder:
            yield folder

    async def layer(self, key: str, make: Callable[[], Awaitable[Layer]]) -> tuple[Layer, bool]:
        """The layer that `key` stands for, and whether it was there already."""
        found = await in_thread(self._find, key)
        if found is not None:
            return found, True
        made = await make()
        return await in_thread(self._keep, key, made), False

    def fact(self, key: str) -> object:
        """What was remembered under `key`, or None."""
        try:
            return json.loads((self._folder / "known" / _name(key)).read_bytes())
        except (FileNotFoundError, ValueError):
            return None

    def remember(self, key: str, fact: object) -> None:
        with written_aside(self._folder / "known" / _name(key)) as file:
            file.write(encode_json(fact))

    def _find(self, key: str) -> Layer | None:
        try:
            entry = json.loads((self._folder / "layers" / _name(key)).read_bytes())
        except (FileNotFoundError, ValueError):
            return None
        match entry:
            case {"title": str(title), "digest": str(digest), "size": int(size), "diff_id": str(diff_id)} if (
                is_digest(digest) and is_digest(diff_id)
            ):
                blob = self._blob(digest)
                if blob.is_file() and blob.stat().st_size == size:
                    descriptor = Descriptor(media_type=OCI_LAYER_GZIP, digest=digest, size=size)
                    return Layer(title=title, descriptor=descriptor, diff_id=diff_id, blob=blob)
        return None

    def _keep(self, key: str, layer: Layer) -> Layer:
        blob = self._blob(layer.descriptor.digest)
        blob.parent.mkdir(parents=True, exist_ok=True)
        with layer.blob.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(layer.blob, blob)
        entry = {
            "title": layer.title,
            "digest": layer.descriptor.digest,
            "size": layer.descriptor.size,
            "diff_id": layer.diff_id,
        }
        with written_aside(self._folder / "layers" / _name(key)) as file:
            file.write(encode_json(entry))
        return Layer(title=layer.title, descriptor=layer.descriptor, diff_id=layer.diff_id, blob=blob)

    def _blob(self, digest: str) -> Path:
        return self._folder / "blobs" / digest.removeprefix("sha256:")


def _name(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


@contextmanager
def works_on_disk(folder: Path) -> Iterator[None]:
    """A full or unwritable disk is `Unavailable`, not a defect of the project."""
    try:
        yield
    except OSError as error:
        fix = (
            "see that the builder may write there"
            if error.errno in _OF_THE_FOLDER
            else "make room on the disk"
        )
        raise Unavailable(f"the builder's folder {folder} does not work: {error}", fix=fix) from error


_OF_THE_FOLDER = (errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.EROFS)
