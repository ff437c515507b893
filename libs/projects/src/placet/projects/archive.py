"""The source archive: a project's folder as one file that is the same on every machine, and its safe reading.

`pack` writes a plain tar with sorted names, no times and no owners, so that equal folders have equal digests.
`inspect_archive`, `read_files` and `unpack` read what strangers send, plain or gzip-compressed. They accept files and
directories and nothing else, refuse every name that could mean two things, hold one block in memory, and
leave nothing behind when they refuse. The tar reader is our own and small on purpose: `tarfile` reads a
header's extension of any length into memory, follows GNU and PAX extensions that a source has no use for, and
tolerates damage.

The digest of an archive is the sha256 of its bytes as sent: the compressed ones, if they are compressed.
"""

from __future__ import annotations

import hashlib
import io
import math
import os
import re
import shutil
import tarfile
import tempfile
import unicodedata
import zlib
from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NoReturn

import msgspec
from pathspec import GitIgnoreSpec

from placet.errors import Refused, TooLarge
from placet.projects.documents import MAX_DOCUMENT_BYTES
from placet.projects.ignoring import IGNORE_FILE, MAX_IGNORE_BYTES, ignore_spec
from placet.projects.manifest import MANIFEST_NAME

# What a project's folder holds that is never part of the model; `!name` in .placetignore brings one back.
ALWAYS_IGNORED = (
    ".git/",
    ".hg/",
    ".svn/",
    "__pycache__/",
    "*.pyc",
    ".venv/",
    "venv/",
    ".env",
    ".tox/",
    ".mypy_cache/",
    ".ruff_cache/",
    ".pytest_cache/",
    ".ipynb_checkpoints/",
    ".idea/",
    ".vscode/",
    ".DS_Store",
    "node_modules/",
    ".dvc/cache/",
    "mlruns/",
)

_BLOCK = 512
_CHUNK = 64 * 1024
_GZIP_MAGIC = b"\x1f\x8b"
_NO_FILES = "it holds no files"


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How much an archive may be, in bytes. `max_ratio` is unpacked to packed, judged from `ratio_from` on."""

    max_archive: int = 1024**3
    max_unpacked: int = 2 * 1024**3
    max_file: int = 1024**3
    max_entries: int = 10_000
    max_path: int = 255
    max_depth: int = 16
    max_ratio: int = 200
    ratio_from: int = 16 * 1024**2
    max_extension: int = 16 * 1024


DEFAULT_LIMITS = Limits()


class SourceFile(msgspec.Struct, frozen=True, kw_only=True):
    path: str
    size: int


class PackedSource(msgspec.Struct, frozen=True, kw_only=True):
    """An archive that was written: its digest, its size in bytes, and the files in it."""

    digest: str
    size: int
    files: tuple[SourceFile, ...]


class SourceContents(msgspec.Struct, frozen=True, kw_only=True):
    """An archive that was read whole and found safe. `manifest` is placet.yaml's bytes, if it has one."""

    digest: str
    size: int
    unpacked: int
    files: tuple[SourceFile, ...]
    manifest: bytes | None


class ReadFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file of an archive as it was read: its size in bytes, its digest, and its content if that was asked for."""

    path: str
    size: int
    digest: str
    content: bytes | None = None


class Complaints:
    """What is wrong with a folder's files: raised as it is found, or gathered while each such file is left out."""

    def __init__(self, *, gathering: bool = False) -> None:
        self._gathering = gathering
        self.found: list[Refused] = []

    @contextmanager
    def file(self) -> Iterator[None]:
        """What is refused within is about one file."""
        try:
            yield
        except Refused as refusal:
            if not self._gathering:
                raise
            self.found.append(refusal)


def project_files(
    folder: Path, *, ignoring: bool = True, complaints: Complaints | None = None
) -> Iterator[Path]:
    """The files of a project as paths relative to its folder, sorted, without what is ignored.

    In an unpacked source nothing is to be ignored: what came in the archive is the project.
    A symbolic link or a special file that is not ignored is refused by name: it may lead to anybody's files.
    """
    spec = _ignore_spec(folder) if ignoring else GitIgnoreSpec.from_lines(())
    complaints = complaints or Complaints()
    found: list[PurePosixPath] = []
    for directory, names, files in os.walk(folder, onerror=_cannot_read):
        here = Path(directory).relative_to(folder)
        for name in list(names):
            path = here / name
            if spec.match_file(f"{path.as_posix()}/"):
                names.remove(name)
                continue
            with complaints.file():
                _refuse_link(folder, path)
        for name in files:
            path = here / name
            if spec.match_file(path.as_posix()):
                continue
            with complaints.file():
                _refuse_link(folder, path)
                if not (folder / path).is_file():
                    raise Refused(
                        f"{path.as_posix()} is neither a file nor a folder", fix=f"add it to {IGNORE_FILE}"
                    )
                found.append(PurePosixPath(path.as_posix()))
    return (Path(path) for path in sorted(found, key=_packed_order))


def pack(
    folder: Path,
    out: Path,
    limits: Limits = DEFAULT_LIMITS,
    *,
    manifest: bytes | None = None,
    complaints: Complaints | None = None,
) -> PackedSource:
    """Write the folder's files to `out` as a plain tar. Nothing is left at `out` when it is refused.

    `manifest` is the placet.yaml of a folder that has none: the archive is the one of the folder with that file.
    With `complaints` that gather, what is wrong with single files is found there, and the archive has the others.
    """
    if not folder.is_dir():
        raise Refused(f"{folder} is not a folder", fix="name the folder of a model project")
    complaints = complaints or Complaints()
    names = Names(limits)
    files: list[SourceFile] = []
    paths = [
        path
        for path in _files_to_pack(folder, manifest, complaints)
        if (folder / path).resolve() != out.resolve()
    ]
    _must_fit(folder, paths, limits)
    try:
        with out.open("wb") as raw:
            target = _Hashing(raw)
            with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as tar:
                for path in paths:
                    name = _packed_name(PurePosixPath(path))
                    with complaints.file():
                        if manifest is not None and name == MANIFEST_NAME:
                            files.append(_add_content(tar, manifest, names.file(name)))
                        else:
                            files.append(_add(tar, folder / path, names.file(name)))
                    check_total(sum(file.size for file in files), limits)
        _check_size(target.size, limits)
    except BaseException:
        out.unlink(missing_ok=True)
        raise
    return PackedSource(digest=target.digest, size=target.size, files=tuple(files))


def inspect_archive(path: Path, limits: Limits = DEFAULT_LIMITS) -> SourceContents:
    """Read the archive to its end and say what is in it, or refuse it with the member and the reason."""
    return _read(path, None, limits)


def read_one(path: Path, name: str, *, limit: int, limits: Limits = DEFAULT_LIMITS) -> bytes | None:
    """One file of an archive that was inspected; none if it is not there, or holds more than `limit` bytes."""
    with path.open("rb") as raw:
        body = _Body(raw, limits)
        names = Names(limits)
        for member in _members(body, limits):
            if member.is_directory:
                continue
            is_meant = names.file(member.name) == name
            if is_meant and member.size > limit:
                return None
            kept = _copy(body, member, None, keep=limit if is_meant else 0)
            if is_meant:
                return kept
    return None


def read_files(
    path: Path, limits: Limits = DEFAULT_LIMITS, *, keeping: Container[str] = (), keep: int = 0
) -> Iterator[ReadFile]:
    """Each file in the archive's order; of those in `keeping` that have at most `keep` bytes the content too.

    What is refused is refused where it stands: only who reads to the end knows that the archive is whole."""
    with path.open("rb") as raw:
        body = _Body(raw, limits)
        names = Names(limits)
        is_empty = True
        for member in _members(body, limits):
            if member.is_directory:
                if member.name not in ("", "."):
                    names.directory(member.name)
                continue
            name = names.file(member.name)
            kept = bytearray() if name in keeping and member.size <= keep else None
            is_empty, digest = False, hashlib.sha256()
            for piece in _pieces(body, member):
                digest.update(piece)
                if kept is not None:
                    kept += piece
            yield ReadFile(
                path=name,
                size=member.size,
                digest=f"sha256:{digest.hexdigest()}",
                content=None if kept is None else bytes(kept),
            )
        body.finish()
        if is_empty:
            raise _damaged(_NO_FILES)


def unpack(path: Path, into: Path, limits: Limits = DEFAULT_LIMITS) -> SourceContents:
    """Like `inspect_archive`, and put the files at `into`, which appears whole or not at all."""
    if into.exists():
        raise Refused(f"{into} exists already", fix="unpack into a folder that does not exist yet")
    into.parent.mkdir(parents=True, exist_ok=True)
    # Written beside its place and renamed: whoever sees `into` sees all of it.
    beside = Path(tempfile.mkdtemp(prefix=f".{into.name}.", dir=into.parent))
    try:
        contents = _read(path, beside, limits)
        beside.chmod(0o755)
        beside.rename(into)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    return contents


def _ignore_spec(folder: Path) -> GitIgnoreSpec:
    own = folder / IGNORE_FILE
    try:
        if own.is_symlink() or not own.is_file():
            return GitIgnoreSpec.from_lines(ALWAYS_IGNORED)
        with own.open("rb") as file:
            said = file.read(MAX_IGNORE_BYTES + 1)
    except OSError as error:
        raise unreadable(error) from error
    return ignore_spec(ALWAYS_IGNORED, said)


def _files_to_pack(folder: Path, manifest: bytes | None, complaints: Complaints) -> Iterator[Path]:
    files = project_files(folder, complaints=complaints)
    if manifest is None:
        return files
    more = [PurePosixPath(MANIFEST_NAME), *map(PurePosixPath, files)]
    return (Path(path) for path in sorted(more, key=_packed_order))


def _packed_order(path: PurePosixPath) -> bytes:
    return _packed_name(path).encode(errors="surrogateescape")


def _packed_name(path: PurePosixPath) -> str:
    # One spelling of é on every file system, or the same folder would have two digests.
    return unicodedata.normalize("NFC", path.as_posix())


def unreadable(error: OSError) -> Refused:
    """What to say of a file or folder that this user may not read."""
    return Refused(
        f"{error.filename} cannot be read: {error.strerror}",
        fix=f"make it readable, or add it to {IGNORE_FILE}",
    )


def _cannot_read(error: OSError) -> NoReturn:
    raise unreadable(error) from error


def _refuse_link(folder: Path, path: Path) -> None:
    if (folder / path).is_symlink():
        raise Refused(
            f"{path.as_posix()} is a symbolic link, and links are not packed",
            fix=f"put the file itself there, or add it to {IGNORE_FILE}",
        )


def _add(tar: tarfile.TarFile, file: Path, name: str) -> SourceFile:
    try:
        content = file.open("rb")
    except OSError as error:
        raise unreadable(error) from error
    with content:
        stat = os.fstat(content.fileno())
        member = tarfile.TarInfo(name)
        member.size = stat.st_size
        member.mode = 0o755 if stat.st_mode & 0o100 else 0o644
        try:
            tar.addfile(member, content)
        except OSError as error:
            if error.errno is not None:
                raise  # the disk is full, say: nothing that is wrong with the file
            raise Refused(
                f"{name} changed while it was packed", fix="pack again when nothing writes it"
            ) from error
    return SourceFile(path=name, size=member.size)


def _add_content(tar: tarfile.TarFile, content: bytes, name: str) -> SourceFile:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(content), 0o644
    tar.addfile(member, io.BytesIO(content))
    return SourceFile(path=name, size=member.size)


def _must_fit(folder: Path, paths: Sequence[Path], limits: Limits) -> None:
    """Before anything is written: to pack what is too large takes long."""
    sizes = {path: (folder / path).stat().st_size for path in paths if (folder / path).exists()}
    if not sizes:
        return
    total, largest = sum(sizes.values()), max(sizes, key=sizes.__getitem__)
    if sizes[largest] > limits.max_file:
        raise _too_large(f"{largest.as_posix()} has {shown_size(sizes[largest])}", limits.max_file)
    if total > min(limits.max_archive, limits.max_unpacked):
        raise _too_large(
            f"the files have {shown_size(total)} together, {largest.as_posix()} alone {shown_size(sizes[largest])}",
            min(limits.max_archive, limits.max_unpacked),
        )


def shown_size(size: int) -> str:
    """In the units that limits are given in; rounded up, so that what is over a limit never looks like it."""
    for unit, name in ((1024**3, "GiB"), (1024**2, "MiB"), (1024, "KiB")):
        if size >= unit:
            return f"{math.ceil(size * 100 / unit) / 100:g} {name}"
    return f"{size} bytes"


def _check_size(size: int, limits: Limits) -> None:
    if size > limits.max_archive:
        raise _too_large(f"the archive has {shown_size(size)}", limits.max_archive)


def check_total(total: int, limits: Limits) -> None:
    if total > limits.max_unpacked:
        raise _too_large(
            f"the files have more than {shown_size(limits.max_unpacked)} together", limits.max_unpacked
        )


def _too_large(what: str, limit: int) -> TooLarge:
    return TooLarge(
        f"{what}; the limit is {shown_size(limit)}",
        fix=f"leave large files that are no model out by {IGNORE_FILE}",
    )


class _Hashing(io.RawIOBase):
    """Counts and hashes what is written through it."""

    def __init__(self, target: BinaryIO) -> None:
        self._target = target
        self._sha256 = hashlib.sha256()
        self.size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self._sha256.update(data)
        self.size += len(data)
        return self._target.write(data)

    def tell(self) -> int:
        return self.size

    @property
    def digest(self) -> str:
        return f"sha256:{self._sha256.hexdigest()}"


class Names:
    """Every name of an archive, each checked, each meaning one file on every file system."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._files: set[str] = set()
        self._spelling: dict[str, str] = {}
        self._count = 0

    def file(self, name: str) -> str:
        path = self._checked(name)
        if path in self._files:
            raise _refusal(name, "is in the archive twice")
        if self._spelling.get(_folded(path)) == path:
            raise _refusal(name, "is a folder and a file at once")
        self._take(path)
        self._files.add(path)
        return path

    def directory(self, name: str) -> str:
        path = self._checked(name)
        self._take(path)
        if path in self._files:
            raise _refusal(name, "is a file and a folder at once")
        return path

    def _checked(self, name: str) -> str:
        self._count += 1
        if self._count > self._limits.max_entries:
            raise TooLarge(f"the archive has more than {self._limits.max_entries} members")
        if not name or name.startswith("/"):
            raise _refusal(name, "is an absolute name")
        if "\\" in name or not name.isprintable():
            raise _refusal(name, "has a backslash or a control character in its name")
        if re.match(r"^[A-Za-z]:", name):
            raise _refusal(name, "begins like a drive")
        if len(name.encode()) > self._limits.max_path:
            raise _refusal(name, f"has a name of more than {self._limits.max_path} bytes")
        parts = name.split("/")
        if any(part in ("", ".", "..") for part in parts):
            raise _refusal(name, "leads out of its folder, or has an empty part in its name")
        if len(parts) > self._limits.max_depth:
            raise _refusal(name, f"lies more than {self._limits.max_depth} folders deep")
        return name

    def _take(self, path: str) -> None:
        for known in (path, *(parent.as_posix() for parent in PurePosixPath(path).parents)):
            if known != path and known in self._files:
                raise _refusal(path, f"lies below {known}, which is a file")
            spelling = self._spelling.setdefault(_folded(known), known)
            if spelling != known:
                raise _refusal(
                    path,
                    f"differs from {_printable(spelling)} only in upper and lower case or accents' spelling",
                )


def _folded(path: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFKD", path).casefold())


def _printable(name: str) -> str:
    shown = name.encode("unicode_escape").decode()
    return shown if len(shown) <= 120 else shown[:117] + "..."


def _refusal(name: str, reason: str) -> Refused:
    return Refused(f"the archive's member '{_printable(name)}' {reason}", rule="source.safe-archive")


def _damaged(reason: str) -> Refused:
    return Refused(f"this is not a whole tar archive: {reason}", rule="source.safe-archive")


class _Body:
    """The archive's bytes, hashed as they come, decompressed if they are gzip, never more than asked for."""

    def __init__(self, raw: BinaryIO, limits: Limits) -> None:
        self._raw = raw
        self._limits = limits
        self._sha256 = hashlib.sha256()
        self.size = 0
        self.unpacked = 0
        self._gzip = zlib.decompressobj(wbits=31) if raw.read(2) == _GZIP_MAGIC else None
        raw.seek(0)

    def read(self, count: int) -> bytes:
        """Exactly `count` bytes, or fewer at the end."""
        pieces = []
        while count:
            piece = self._inflated(count) if self._gzip else self._sent(count)
            if not piece:
                break
            self.unpacked += len(piece)
            if self.unpacked > self._limits.max_unpacked:
                raise _too_large("the archive unpacks to too many bytes", self._limits.max_unpacked)
            pieces.append(piece)
            count -= len(piece)
        return b"".join(pieces)

    def finish(self) -> str:
        """Read on to the end and give the digest. Behind the archive's end there may be only padding."""
        while piece := self.read(_CHUNK):
            if piece.strip(b"\0"):
                raise _damaged("there is something behind its end")
        if self._gzip is not None and not self._gzip.eof:
            raise _damaged("its gzip stream is cut off")
        return f"sha256:{self._sha256.hexdigest()}"

    def _sent(self, count: int) -> bytes:
        piece = self._raw.read(min(count, _CHUNK))
        self._sha256.update(piece)
        self.size += len(piece)
        if self.size > self._limits.max_archive:
            raise _too_large("the archive is too large", self._limits.max_archive)
        return piece

    def _inflated(self, count: int) -> bytes:
        stream = self._gzip
        assert stream is not None  # noqa: S101 - for the type checker: read() asked
        try:
            while not stream.eof:
                piece = stream.unconsumed_tail or self._sent(_CHUNK)
                inflated = stream.decompress(piece, min(count, _CHUNK))
                if inflated:
                    self._check_ratio(len(inflated))
                    return inflated
                if not piece:
                    raise _damaged("its gzip stream is cut off")
        except zlib.error as error:
            raise _damaged("its gzip stream is broken") from error
        if stream.unused_data.strip(b"\0") or self._sent(_CHUNK).strip(b"\0"):
            raise _damaged("there is something behind its gzip stream")
        return b""

    def _check_ratio(self, more: int) -> None:
        unpacked = self.unpacked + more
        if unpacked > self._limits.ratio_from and unpacked > self.size * self._limits.max_ratio:
            raise TooLarge(
                f"the archive unpacks to more than {self._limits.max_ratio} times its size, like a bomb",
                rule="source.safe-archive",
            )


class _Member(msgspec.Struct, frozen=True):
    name: str
    size: int
    is_directory: bool
    is_executable: bool


def _read(path: Path, into: Path | None, limits: Limits) -> SourceContents:
    with path.open("rb") as raw:
        body = _Body(raw, limits)
        files: list[SourceFile] = []
        manifest = None
        names = Names(limits)
        for member in _members(body, limits):
            if member.is_directory:
                if member.name not in ("", "."):
                    directory = names.directory(member.name)
                    if into is not None:
                        (into / directory).mkdir(parents=True, exist_ok=True)
                continue
            name = names.file(member.name)
            is_manifest = name == MANIFEST_NAME
            kept = _copy(
                body,
                member,
                into / name if into is not None else None,
                keep=MAX_DOCUMENT_BYTES if is_manifest else 0,
            )
            if is_manifest:
                manifest = kept
            files.append(SourceFile(path=name, size=member.size))
        digest = body.finish()
        if not files:
            raise _damaged(_NO_FILES)
        return SourceContents(
            digest=digest, size=body.size, unpacked=body.unpacked, files=tuple(files), manifest=manifest
        )


def _copy(body: _Body, member: _Member, target: Path | None, *, keep: int) -> bytes:
    """Copy a file's content; what is returned is its beginning, and whole if it has at most `keep` bytes."""
    kept = b""
    with _target(target, member.is_executable) as out:
        for piece in _pieces(body, member):
            out.write(piece)
            if keep and len(kept) <= keep:
                kept += piece
    return kept


def _pieces(body: _Body, member: _Member) -> Iterator[bytes]:
    """A file's content to its end, and past what fills its last block."""
    left = member.size
    while left:
        piece = body.read(min(left, _CHUNK))
        if not piece:
            raise _refusal(member.name, "is cut off")
        left -= len(piece)
        yield piece
    _skip_padding(body, member)


def _target(path: Path | None, is_executable: bool) -> BinaryIO:
    return open(os.devnull, "wb") if path is None else write_new(path, is_executable)


def write_new(path: Path, is_executable: bool) -> BinaryIO:
    """A file that was not there, open for writing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # O_EXCL and O_NOFOLLOW: nothing that is there already is written to, whatever the checks above missed.
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    return os.fdopen(os.open(path, flags, 0o755 if is_executable else 0o644), "wb")


def _skip_padding(body: _Body, member: _Member) -> None:
    padding = -member.size % _BLOCK
    if len(body.read(padding)) != padding:
        raise _refusal(member.name, "is cut off")


def _members(body: _Body, limits: Limits) -> Iterator[_Member]:
    """The headers in order; the caller reads each file's content and padding before the next."""
    extended: str | None = None
    count = 0
    while True:
        header = body.read(_BLOCK)
        if len(header) < _BLOCK:
            raise _damaged("its end is missing")
        if not any(header):
            if extended is not None:
                raise _refusal(extended, "is named and then missing")
            if any(body.read(_BLOCK)):
                raise _damaged("an empty block stands between its members")
            return
        count += 1
        if count > 3 * limits.max_entries:
            raise TooLarge(f"the archive has more than {limits.max_entries} members")
        kind = header[156:157]
        size = _checked_header(header)
        match kind:
            case b"x" | b"L":
                if extended is not None:
                    raise _refusal(extended, "is named twice")
                extended = _extended_name(_extension(body, size, limits), kind)
            case b"g":
                _refuse_unless_comment(_extension(body, size, limits))
            case b"0" | b"\0" | b"5":
                name = extended if extended else _short_name(header)
                extended = None
                yield _member(name, size, kind, header, limits)
            case _:
                raise _refusal(
                    extended or _short_name(header), f"is {_KINDS.get(kind, 'of an unknown kind')}"
                )


_KINDS = {
    b"1": "a hard link",
    b"2": "a symbolic link",
    b"3": "a character device",
    b"4": "a block device",
    b"6": "a named pipe",
    b"7": "a contiguous file",
    b"D": "a GNU directory dump",
    b"K": "a long link",
    b"M": "a part of a file",
    b"N": "an old GNU name",
    b"S": "a sparse file",
    b"V": "a volume label",
}


def _member(name: str, size: int, kind: bytes, header: bytes, limits: Limits) -> _Member:
    is_directory = kind == b"5"
    plain = name.removeprefix("./")
    if is_directory:
        if size:
            raise _refusal(name, "is a folder with content")
        return _Member(plain.removesuffix("/"), 0, True, True)
    if size > limits.max_file:
        raise _too_large(f"the archive's member '{_printable(name)}' has {shown_size(size)}", limits.max_file)
    return _Member(plain, size, False, bool(_octal(header[100:108], "mode") & 0o100))


def _checked_header(header: bytes) -> int:
    """The size in a header whose checksum holds."""
    said = _octal(header[148:156], "checksum")
    if said != sum(header[:148]) + sum(header[156:]) + 8 * 0x20:
        raise _damaged("a header's checksum is wrong")
    return _octal(header[124:136], "size")


def _octal(field: bytes, what: str) -> int:
    # GNU's binary numbers (first bit set) carry sizes that no source needs, and negative ones.
    digits = field.strip(b" \0")
    if not re.fullmatch(rb"[0-7]*", digits):
        raise _damaged(f"a header's {what} is no octal number")
    return int(digits or b"0", 8)


def _short_name(header: bytes) -> str:
    name = _text(header[:100].split(b"\0", 1)[0])
    # Only POSIX headers have a prefix; GNU's older form keeps times there.
    prefix = _text(header[345:500].split(b"\0", 1)[0]) if header[257:263] == b"ustar\0" else ""
    return f"{prefix}/{name}" if prefix else name


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise _refusal(raw.decode("ascii", "backslashreplace"), "has a name that is not UTF-8") from error


def _extension(body: _Body, size: int, limits: Limits) -> bytes:
    if size > limits.max_extension:
        raise TooLarge(
            f"the archive has a header extension of {size} bytes; the limit is {limits.max_extension}"
        )
    padded = size + -size % _BLOCK
    data = body.read(padded)
    if len(data) != padded:
        raise _damaged("a header extension is cut off")
    return data[:size]


def _extended_name(data: bytes, kind: bytes) -> str:
    if kind == b"L":
        return _text(data.removesuffix(b"\0"))
    name = ""
    for key, value in _records(data):
        if key == "path":
            name = _text(value)
        elif key not in _HARMLESS and not key.startswith(("LIBARCHIVE.", "SCHILY.")):
            raise _refusal(
                name or key, f"carries the extension {_printable(key)}, which a source has no use for"
            )
    return name


# Times and owners are read past; whatever changes a name, a size or a kind is not.
_HARMLESS = frozenset({"mtime", "atime", "ctime", "uid", "gid", "uname", "gname", "comment"})


def _refuse_unless_comment(data: bytes) -> None:
    # `git archive` notes the commit in a global comment; other globals would rename or resize what follows.
    for key, _ in _records(data):
        if key != "comment":
            raise _damaged(f"a global header sets {_printable(key)}")


def _records(data: bytes) -> Iterator[tuple[str, bytes]]:
    seen: set[str] = set()
    while data:
        found = re.match(rb"([0-9]{1,5}) ([^=\n]+)=", data)
        length = int(found[1]) if found else 0
        if found is None or length <= found.end() or length > len(data) or data[length - 1 : length] != b"\n":
            raise _damaged("a header extension is malformed")
        key = _text(found[2])
        if key in seen:
            raise _damaged(f"a header extension sets {_printable(key)} twice")
        seen.add(key)
        yield key, data[found.end() : length - 1]
        data = data[length:]
