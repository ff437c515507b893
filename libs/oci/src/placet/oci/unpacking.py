"""Lay an image's files out on disk, once per layer, for whoever runs them without a container engine.

    <cache>/layers/<diff id>/   one layer's files, with layer.json: what it takes away from those below
    <cache>/trees/<key>/        layers joined by hard links; the key names their diff ids in order
    <cache>/partial/            work under way

A layer that was unpacked before is not even downloaded, and a tree that was joined before is used as it
is, so starting the same image again costs one look into a folder. Every layer is checked twice: the
download against its digest, the files against the configuration's diff id.

Layers are hostile until they are unpacked: absolute paths, `..`, links, devices, sparse files, a file given
twice and anything over the limits are `Refused`. Links are refused rather than judged, since nothing that
placet builds holds one. Many processes may share a cache, and one that crashes leaves only work under way,
which the next one sweeps. It is not synced to disk file by file: after a power failure, remove the folder.
The files are linked, not copied, so they are read-only for everybody but root. Whatever the umask, everybody may
read them: who reaches them is up to the folders above the cache.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from gzip import BadGzipFile
from pathlib import Path, PurePosixPath
from typing import IO, Protocol

from isal import igzip
from isal.isal_zlib import IsalError

from placet.errors import PlacetError, Refused, TooLarge, Unavailable, Unreadable
from placet.oci.content import (
    DOCKER_LAYER_GZIP,
    OCI_LAYER,
    OCI_LAYER_GZIP,
    Descriptor,
    ImageConfig,
    Manifest,
)
from placet.oci.files import PIECE, in_thread, new_folder, sweep
from placet.oci.registry import Registry
from placet.oci.together import together

_HEADER_LIMIT = 1024 * 1024
_DEEPEST = 64
_EXTENDED_HEADERS = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)
_DAMAGE: tuple[type[Exception], ...] = (
    tarfile.TarError,
    EOFError,
    BadGzipFile,
    IsalError,  # type: ignore[assignment]  # its stub takes the class for an instance
)


@dataclass(frozen=True, kw_only=True)
class UnpackLimits:
    """What one layer may unpack to, and how many layers there may be."""

    size: int = 16 * 1024**3
    files: int = 500_000
    layers: int = 127


async def unpack_layers(
    registry: Registry,
    repository: str,
    manifest: Manifest,
    cache: Path,
    *,
    skip: int = 0,
    limits: UnpackLimits = UnpackLimits(),
) -> Path:
    """The folder that holds the image's files from layer `skip` on (the layers before are a base's).

    It is shared by everybody who runs these layers. `Refused` if a layer is hostile or not what the
    configuration says, `Unreadable` if it is no archive.
    """
    if manifest.config is None:
        raise Refused(f"{manifest.digest} is no image: it has no configuration")
    config = ImageConfig.parse(await registry.read_blob(repository, manifest.config.digest))
    if len(config.diff_ids) != len(manifest.layers) or len(manifest.layers) > limits.layers:
        raise Refused(f"image {manifest.digest} does not name each of its layers, or has too many")
    diff_ids = config.diff_ids[skip:]
    key = hashlib.sha256("\n".join(diff_ids).encode()).hexdigest()
    tree = cache / "trees" / key
    if await in_thread(tree.is_dir):
        return tree
    wanted = dict(zip(diff_ids, manifest.layers[skip:], strict=True))
    await _in_thread(cache, lambda: _prepare(cache))
    await together(
        *(_unpack(registry, repository, layer, diff_id, cache, limits) for diff_id, layer in wanted.items())
    )
    folders = [_layer_folder(cache, diff_id) for diff_id in diff_ids]
    await _in_thread(cache, lambda: _join(folders, tree, cache))
    return tree


async def _unpack(
    registry: Registry,
    repository: str,
    layer: Descriptor,
    diff_id: str,
    cache: Path,
    limits: UnpackLimits,
) -> None:
    unpacked = _layer_folder(cache, diff_id)
    if await in_thread(unpacked.is_dir):
        return
    if layer.media_type not in (OCI_LAYER, OCI_LAYER_GZIP, DOCKER_LAYER_GZIP):
        raise Refused(f"layer {layer.digest} is {layer.media_type}, which this host cannot unpack")
    if layer.size > limits.size:
        raise TooLarge(f"layer {layer.digest} has {layer.size} bytes; the limit is {limits.size}")
    with new_folder(cache / "partial") as work:
        blob, files = work / "blob", work / "layer"
        await registry.save_blob(repository, layer.digest, blob)
        is_packed = layer.media_type != OCI_LAYER
        await _in_thread(cache, lambda: _extract(blob, is_packed, files, layer.digest, diff_id, limits))
        await _in_thread(cache, lambda: _settle(files, unpacked))


async def _in_thread(cache: Path, work: _Work) -> None:
    try:
        await in_thread(work)
    except PlacetError:
        raise
    except OSError as error:
        raise Unavailable(f"the cache folder {cache} does not work: {error}") from error


class _Work(Protocol):
    def __call__(self) -> None: ...


def _layer_folder(cache: Path, diff_id: str) -> Path:
    return cache / "layers" / diff_id.removeprefix("sha256:")


def _prepare(cache: Path) -> None:
    for name in ("layers", "trees", "partial"):
        (cache / name).mkdir(parents=True, exist_ok=True)
    sweep(cache / "partial")


def _settle(work: Path, final: Path) -> None:
    """Give finished work its name; if somebody else was faster, theirs is as good."""
    try:
        os.rename(work, final)
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
            raise


# -- one layer --------------------------------------------------------------------------------------


class _Header(tarfile.TarInfo):
    """A header, refused before its long form is read into memory."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _Header:
        header = super().frombuf(buf, encoding, errors)
        if header.type in _EXTENDED_HEADERS and header.size > _HEADER_LIMIT:
            raise TooLarge(f"an archive header of {header.size} bytes")
        return header


class _Watched:
    """A stream that is hashed as it is read, and ends in `TooLarge` rather than fill the disk."""

    def __init__(self, stream: IO[bytes], limit: int) -> None:
        self._stream = stream
        self._left = limit
        self.seen = hashlib.sha256()

    def read(self, size: int = PIECE) -> bytes:
        piece = self._stream.read(size)
        self._left -= len(piece)
        if self._left < 0:
            raise TooLarge("a layer unpacks to more than the limit")
        self.seen.update(piece)
        return piece

    def drain(self) -> None:
        while self.read():
            pass


def _extract(
    blob: Path, is_packed: bool, into: Path, digest: str, diff_id: str, limits: UnpackLimits
) -> None:
    taken_away: list[str] = []
    emptied: list[str] = []
    root = into / "files"
    root.mkdir(parents=True)
    with _opened(blob, is_packed) as stream:
        watched = _Watched(stream, limits.size)
        try:
            for number, (path, member, content) in enumerate(_members(watched, digest)):
                if number >= limits.files:
                    raise TooLarge(f"layer {digest} holds more than {limits.files} entries")
                if path.name == ".wh..wh..opq":
                    emptied.append(str(path.parent))
                elif path.name.startswith(".wh."):
                    taken_away.append(str(path.parent / _whited_out(path, digest)))
                else:
                    _write(root / path, member, content, digest)
            watched.drain()
        except _DAMAGE as error:
            raise Unreadable(f"layer {digest} is no archive: {error}") from error
    if f"sha256:{watched.seen.hexdigest()}" != diff_id:
        raise Refused(f"layer {digest} does not unpack to {diff_id}")
    (into / "layer.json").write_text(json.dumps({"taken_away": taken_away, "emptied": emptied}))


@contextmanager
def _opened(blob: Path, is_packed: bool) -> Iterator[IO[bytes]]:
    with blob.open("rb") as file:
        if not is_packed:
            yield file
            return
        open_gzip: Callable[[IO[bytes]], IO[bytes]] = igzip.open
        with open_gzip(file) as unpacked:
            yield unpacked


def _members(
    stream: _Watched, digest: str
) -> Iterator[tuple[PurePosixPath, tarfile.TarInfo, IO[bytes] | None]]:
    with tarfile.open(fileobj=stream, mode="r|", bufsize=PIECE, tarinfo=_Header) as archive:  # type: ignore[call-overload]
        for member in archive:
            archive.members.clear()  # a stream is read once; its members need not all stay in memory
            path = PurePosixPath(member.name)
            if path == PurePosixPath("."):
                continue
            if path.is_absolute() or ".." in path.parts or "\0" in member.name or len(path.parts) > _DEEPEST:
                raise Refused(f"layer {digest} holds the path {member.name!r:.200}, which leaves its folder")
            if not (member.isdir() or (member.isreg() and member.sparse is None)):
                raise Refused(
                    f"layer {digest} holds {member.name!r:.200}, which is neither a file nor a folder",
                    fix="run the image in a container engine",
                )
            yield path, member, archive.extractfile(member) if member.isreg() else None


def _whited_out(path: PurePosixPath, digest: str) -> str:
    name = path.name.removeprefix(".wh.")
    if name in ("", ".", ".."):
        raise Refused(f"layer {digest} takes away {str(path)!r}, which is no name")
    return name


def _write(path: Path, member: tarfile.TarInfo, content: IO[bytes] | None, digest: str) -> None:
    try:
        if content is None:
            path.mkdir(parents=True, exist_ok=True)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        mode = 0o555 if member.mode & 0o100 else 0o444
        with open(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode), "wb") as file:
            os.fchmod(file.fileno(), mode)
            shutil.copyfileobj(content, file, PIECE)
    except (FileExistsError, NotADirectoryError, UnicodeError) as error:
        raise Refused(f"layer {digest} holds {member.name!r:.200} twice, or as file and folder") from error
    except OSError as error:
        if error.errno in (errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ):
            raise Refused(f"layer {digest} holds the impossible name {member.name!r:.200}") from error
        raise


# -- all layers -------------------------------------------------------------------------------------


def _join(layers: list[Path], tree: Path, cache: Path) -> None:
    with new_folder(cache / "partial") as work:
        root = work / "tree"
        root.mkdir()
        for layer in layers:
            below = json.loads((layer / "layer.json").read_bytes())
            for path in below["emptied"]:
                _remove_contents(root / path)
            for path in below["taken_away"]:
                _remove(root / path)
            link_tree(layer / "files", root)
        _settle(root, tree)


def link_tree(source: Path, target: Path) -> None:
    """Lay the files below `source` over those below `target`, by hard links where the file systems allow it."""
    target.mkdir(exist_ok=True)
    target.chmod(0o755)
    with os.scandir(source) as entries:
        for entry in entries:
            there = target / entry.name
            if entry.is_dir(follow_symlinks=False):
                if there.is_file():
                    there.unlink()
                link_tree(Path(entry.path), there)
            else:
                try:
                    _link(entry.path, there)
                except FileExistsError:
                    _remove(there)
                    _link(entry.path, there)


def _link(source: str, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP):
            raise
        shutil.copy(source, target)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        with suppress(FileNotFoundError, NotADirectoryError):
            path.unlink()


def _remove_contents(folder: Path) -> None:
    if folder.is_dir():
        for path in folder.iterdir():
            _remove(path)
