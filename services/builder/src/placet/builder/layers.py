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
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from isal import isal_zlib

from placet.errors import Refused
from placet.oci.content import OCI_LAYER_GZIP, Descriptor

_PIECE = 1024 * 1024
_GZIP = 31  # window bits that ask for a gzip header, which holds neither name nor time

Files = Mapping[str, "Path | bytes"]
"""What lies where below the layer's root: a file to take or the bytes themselves, by POSIX path."""


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
            mode="w|",
            format=tarfile.PAX_FORMAT,
            bufsize=_PIECE,
            copybufsize=_PIECE,
        ) as archive:
            for folder in _folders(files):
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
    return {f"{under}{path.relative_to(folder).as_posix()}": path for path in _walk(folder)}


def _walk(folder: Path) -> Iterator[Path]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(Path(entry.path))
            elif entry.is_file(follow_symlinks=False):
                yield Path(entry.path)
            else:
                raise Refused(
                    f"{entry.name} is neither a file nor a folder", fix="replace links by what they point at"
                )


def _folders(files: Files) -> list[str]:
    folders = {str(parent) for name in files for parent in PurePosixPath(name).parents}
    return sorted(folders - {"."})


def _add(archive: tarfile.TarFile, name: str, content: Path | bytes) -> None:
    if isinstance(content, bytes):
        archive.addfile(_header(name, tarfile.REGTYPE, 0o644, len(content)), io.BytesIO(content))
        return
    with content.open("rb") as file:
        found = os.fstat(file.fileno())
        mode = 0o755 if found.st_mode & stat.S_IXUSR else 0o644
        archive.addfile(_header(name, tarfile.REGTYPE, mode, found.st_size), file)


def _header(name: str, kind: bytes, mode: int, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.mode, member.size = kind, mode, size
    return member


class _Sink:
    """Takes the archive's bytes, compresses them and keeps both digests."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._compressor = isal_zlib.compressobj(1, isal_zlib.DEFLATED, _GZIP)
        self.plain = hashlib.sha256()
        self.packed = hashlib.sha256()
        self.size = 0

    def write(self, piece: bytes) -> int:
        self.plain.update(piece)
        self._keep(self._compressor.compress(piece))
        return len(piece)

    def layer(self, blob: Path, title: str) -> Layer:
        """What was written, finished."""
        self._keep(self._compressor.flush())
        return Layer(
            title=title,
            descriptor=Descriptor(
                media_type=OCI_LAYER_GZIP, digest=f"sha256:{self.packed.hexdigest()}", size=self.size
            ),
            diff_id=f"sha256:{self.plain.hexdigest()}",
            blob=blob,
        )

    def _keep(self, packed: bytes) -> None:
        self.packed.update(packed)
        self.size += len(packed)
        self._file.write(packed)
