"""A layer: files in an archive whose bytes depend on the files' names, contents and executable bits alone.

Names are sorted, times are the epoch, owners are root, modes are 0644 or 0755. The uncompressed bytes (the
diff id) are promised to be the same everywhere; the compressed ones are, with the same version of isal.
Only plain files go in.
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from isal import isal_zlib

from placet.builder.ports import Span
from placet.errors import Refused
from placet.oci.content import OCI_LAYER_GZIP, Descriptor

_PIECE = 1024 * 1024
_NAMED = 3072  # a header, one more for a long name, and what fills both and the content up to whole blocks
_LAYER_AT_MOST = 64 * 1024  # how an archive and a gzip begin and end, and the folders it lies in
_GZIP = 31  # window bits that ask for a gzip header, which holds neither name nor time

Content = Path | Span | bytes
Files = Mapping[str, Content]
"""What lies where below the layer's root: a file to take, a part of one, or the bytes themselves, by POSIX path."""


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A finished layer, compressed, as a file. `title` says to people what is in it."""

    title: str
    descriptor: Descriptor
    diff_id: str
    blob: Path


def write_layer(files: Files, into: Path, *, title: str) -> Layer:
    """Write the compressed archive of `files` to the file `into`."""
    with into.open("wb") as file:
        sink = _Sink(file)
        with tarfile.open(
            fileobj=sink,  # type: ignore[call-overload]
            mode="w",
            format=tarfile.PAX_FORMAT,
            copybufsize=_PIECE,
        ) as archive:
            for folder in folders_of(files):
                archive.addfile(_header(folder, tarfile.DIRTYPE, 0o755, 0))
            for name, content in sorted(files.items()):
                _add(archive, name, content)
        return sink.layer(into, title)


def take_layer(archive: IO[bytes], into: Path, *, title: str) -> Layer:
    """A layer whose archive somebody else wrote, compressed to the file `into`."""
    with into.open("wb") as file:
        sink = _Sink(file)
        while piece := archive.read(_PIECE):
            sink.write(piece)
        return sink.layer(into, title)


def files_below(folder: Path, *, under: str = "") -> dict[str, Path]:
    """All files below a folder by their path, with `under` in front. `Refused` for links and devices."""
    return dict(_walk(folder, under))


def archive_at_most(sizes: Mapping[str, int]) -> int:
    """No layer of files with these sizes, by their paths, has more bytes, however badly it compresses."""
    named = sum(_NAMED + len(name.encode(errors="replace")) for name in (*sizes, *folders_of(sizes)))
    return _LAYER_AT_MOST + int(1.01 * (named + sum(sizes.values())))


def fingerprint(files: Mapping[str, Path | bytes]) -> str:
    """A digest of names and contents."""
    seen = hashlib.sha256()
    for path, content in sorted(files.items()):
        body = content if isinstance(content, bytes) else content.read_bytes()
        seen.update(f"{path}\0{hashlib.sha256(body).hexdigest()}\n".encode())
    return seen.hexdigest()


def sizes_of(files: Files) -> dict[str, int]:
    """The size of each, in bytes."""
    return {path: _size(content) for path, content in files.items()}


def _size(content: Content) -> int:
    match content:
        case bytes():
            return len(content)
        case Span():
            return content.size
        case Path():
            return content.stat().st_size


def _walk(folder: Path | str, under: str) -> Iterator[tuple[str, Path]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(entry.path, f"{under}{entry.name}/")
            elif entry.is_file(follow_symlinks=False):
                yield f"{under}{entry.name}", Path(entry.path)
            else:
                raise Refused(
                    f"{entry.name} is neither a file nor a folder", fix="replace links by what they point at"
                )


def folders_of(files: Iterable[str]) -> list[str]:
    """The folders that these lie in, at any depth."""
    folders: set[str] = set()
    for name in files:
        folder = name.rpartition("/")[0]
        while folder and folder not in folders:
            folders.add(folder)
            folder = folder.rpartition("/")[0]
    return sorted(folders)


def _add(archive: tarfile.TarFile, name: str, content: Content) -> None:
    match content:
        case bytes():
            archive.addfile(_header(name, tarfile.REGTYPE, 0o644, len(content)), io.BytesIO(content))
        case Span():
            with content.file.open("rb") as file:
                file.seek(content.start)
                archive.addfile(_header(name, tarfile.REGTYPE, 0o644, content.size), file)
        case Path():
            with content.open("rb") as file:
                found = os.fstat(file.fileno())
                mode = 0o755 if found.st_mode & stat.S_IXUSR else 0o644
                archive.addfile(_header(name, tarfile.REGTYPE, mode, found.st_size), file)


def _header(name: str, kind: bytes, mode: int, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.mode, member.size = kind, mode, size
    return member


class _Sink:
    """Takes the archive's bytes, compresses them in pieces of one size, and keeps both digests."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._compressor = isal_zlib.compressobj(1, isal_zlib.DEFLATED, _GZIP)
        self.plain = hashlib.sha256()
        self.packed = hashlib.sha256()
        self.size = 0
        self._waiting = bytearray()

    def tell(self) -> int:
        """Where an archive begins, which is all that is asked."""
        return 0

    def write(self, piece: bytes) -> int:
        self._waiting += piece
        while len(self._waiting) >= _PIECE:
            with memoryview(self._waiting)[:_PIECE] as whole:
                self._pack(whole)
            del self._waiting[:_PIECE]
        return len(piece)

    def layer(self, blob: Path, title: str) -> Layer:
        """What was written, finished."""
        self._pack(self._waiting)
        self._keep(self._compressor.flush())
        return Layer(
            title=title,
            descriptor=Descriptor(
                media_type=OCI_LAYER_GZIP, digest=f"sha256:{self.packed.hexdigest()}", size=self.size
            ),
            diff_id=f"sha256:{self.plain.hexdigest()}",
            blob=blob,
        )

    def _pack(self, piece: bytearray | memoryview) -> None:
        self.plain.update(piece)
        self._keep(self._compressor.compress(piece))

    def _keep(self, packed: bytes) -> None:
        self.packed.update(packed)
        self.size += len(packed)
        self._file.write(packed)
