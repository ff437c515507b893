"""A project that comes as a browser has it: a folder file by file, or one zip. Written down, each name checked first.

Names are held to what an archive's are (`archive.py`), and bytes are counted as they are written, never believed: a
zip says how large its members are, and one that lies, or whose members share their bytes, is a bomb. What came is
then packed like any other folder, so that the same files have the same digest on every road. `zipfile` reads
the zip; what it would take on trust is bounded here.
"""

from __future__ import annotations

import io
import stat
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol

from placet.errors import Refused, TooLarge
from placet.projects.archive import DEFAULT_LIMITS, Limits, Names, check_total, shown_size, unpack, write_new

ZIP_MAGIC, GZIP_MAGIC = b"PK\x03\x04", b"\x1f\x8b"
TAR_MAGIC, TAR_MAGIC_AT = b"ustar", 257
LEFT_BY_MACOS = "__MACOSX"
"""What macOS's own archiver lays beside a folder that it packs; nothing of it is the folder's."""

_CHUNK = 64 * 1024
_DIRECTORY_BYTES = 4 * 1024**2
_READ_WHOLE = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # LZMA asks for as much memory as its header likes
_ENCRYPTED = 0x1
_UTF8 = 0x800


class Write(Protocol):
    def __call__(self, piece: bytes, /) -> None: ...


class IncomingFolder:
    """A folder that strangers fill. Raises Refused and TooLarge; whoever made the folder removes it."""

    def __init__(self, folder: Path, limits: Limits = DEFAULT_LIMITS) -> None:
        self._folder = folder
        self._limits = limits
        self._names = Names(limits)
        self.size = 0
        """Bytes that were written."""

    @contextmanager
    def file(self, name: str, *, is_executable: bool = False) -> Iterator[Write]:
        """A new file, and what appends to it."""
        path = self._folder / self._names.file(name)
        with write_new(path, is_executable) as out:

            def write(piece: bytes) -> None:
                self.size += len(piece)
                check_total(self.size, self._limits)
                out.write(piece)

            yield write

    def directory(self, name: str) -> None:
        (self._folder / self._names.directory(name)).mkdir(parents=True, exist_ok=True)


def unpack_sent(path: Path, into: Path, limits: Limits = DEFAULT_LIMITS) -> tuple[str, ...]:
    """Put what a zip or a tar holds at `into`, which must not exist; the names of what was left out of it.

    After a refusal `into` may hold what was unpacked before it.
    """
    with path.open("rb") as file:
        head = file.read(TAR_MAGIC_AT + len(TAR_MAGIC))
    if head.startswith(ZIP_MAGIC):
        return _unpack_zip(path, into, limits)
    try:
        unpack(path, into, limits)
    except Refused as error:
        if head.startswith(GZIP_MAGIC) or head.endswith(TAR_MAGIC):
            raise
        # Whoever sent a zip that is broken from its beginning on sent no tar.
        raise Refused(
            "this is neither a whole zip nor a whole tar archive", rule="source.safe-archive"
        ) from error
    return ()


def only_folder(folder: Path) -> Path:
    """The one folder in `folder` if that is all it holds: who packs or picks a folder sends it with its name."""
    found = list(folder.iterdir())
    return found[0] if len(found) == 1 and found[0].is_dir() else folder


def _unpack_zip(path: Path, into: Path, limits: Limits) -> tuple[str, ...]:
    into.mkdir()
    folder = IncomingFolder(into, limits)
    left_out = []
    size = path.stat().st_size
    try:
        with path.open("rb") as raw, zipfile.ZipFile(_InSmallPieces(raw)) as archive:
            members = archive.infolist()
            if len(members) > limits.max_entries:
                raise TooLarge(f"the archive has more than {limits.max_entries} members")
            _refuse_shared_bytes(members)
            for member in members:
                name = _name(member)
                if name.split("/", 1)[0] == LEFT_BY_MACOS:
                    left_out.append(name)
                elif name.endswith("/"):
                    folder.directory(name.removesuffix("/"))
                else:
                    _write_member(archive, member, name, folder, limits, size)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, UnicodeDecodeError) as error:
        raise Refused(f"this is not a whole zip archive: {error}", rule="source.safe-archive") from error
    return tuple(left_out)


def _write_member(
    archive: zipfile.ZipFile,
    member: zipfile.ZipInfo,
    name: str,
    folder: IncomingFolder,
    limits: Limits,
    archive_size: int,
) -> None:
    mode = member.external_attr >> 16
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        raise _refusal(name, "is a link, or neither a file nor a folder")
    if member.flag_bits & _ENCRYPTED:
        raise _refusal(name, "is encrypted")
    if member.compress_type not in _READ_WHOLE:
        raise _refusal(name, "is compressed in another way than a zip's usual one")
    if member.file_size > limits.max_file:
        raise TooLarge(
            f"the archive's member '{name}' has {shown_size(member.file_size)};"
            f" the limit is {shown_size(limits.max_file)}"
        )
    with folder.file(name, is_executable=bool(mode & 0o100)) as write, archive.open(member) as content:
        while piece := content.read(_CHUNK):
            unpacked = folder.size + len(piece)
            if unpacked > limits.ratio_from and unpacked > archive_size * limits.max_ratio:
                raise TooLarge(
                    f"the archive unpacks to more than {limits.max_ratio} times its size, like a bomb",
                    rule="source.safe-archive",
                )
            write(piece)


def _name(member: zipfile.ZipInfo) -> str:
    """As it was written; `zipfile` cuts one at a zero byte. macOS writes UTF-8 and does not say so."""
    name = member.orig_filename
    if not member.flag_bits & _UTF8:
        try:
            name = name.encode("cp437").decode()
        except UnicodeError:
            return name
    return unicodedata.normalize("NFC", name)


def _refuse_shared_bytes(members: list[zipfile.ZipInfo]) -> None:
    """A zip's directory may name the same bytes again and again, and each time they are another file."""
    end = 0
    for member in sorted(members, key=lambda each: each.header_offset):
        if member.header_offset < end:
            raise Refused(
                "two of the archive's members share their bytes, like a bomb", rule="source.safe-archive"
            )
        end = member.header_offset + member.compress_size


def _refusal(name: str, reason: str) -> Refused:
    return Refused(f"the archive's member {name!r:.120} {reason}", rule="source.safe-archive")


class _InSmallPieces(io.RawIOBase):
    """A file that gives no more than a directory of members may have at once: `zipfile` reads that whole."""

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        if size > _DIRECTORY_BYTES:
            raise TooLarge(f"the archive's directory has more than {_DIRECTORY_BYTES} bytes")
        return self._raw.read(size)

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        return self._raw.seek(offset, whence)

    def tell(self) -> int:
        return self._raw.tell()
