"""A disk that may lose power, and may fail to sync: what a program finds on it afterwards is what it had synced.

`tests/faults/disk.c` is loaded into the program, and writes down what it does to the files of a folder. `cut_power`
then takes back what was not synced: all of it, none, what lies behind some place, or sectors here and there; with what
was there before, nothing, zeros or rubbish in their place. A name lasts once its folder was synced. What stood in
memory when a sync failed is taken for written by every later one, as Linux has it, and may be lost all the same.

It does not reorder what was synced, and loses nothing of that: such a disk is broken, and nothing is promised for it.
"""

from __future__ import annotations

import mmap
import os
import random
import shutil
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path

from tests.support.servers import sources

SOURCE = Path(__file__).parents[1] / "faults" / "disk.c"
SECTOR, SECTORS_OF_A_PAGE = 512, 8
"""A disk writes whole sectors, and Linux whole pages."""

_HEAD = struct.Struct("=QIIQqqq")
_MARK = 0x6469736B2D6A6E6C
_CONTROL = ("is_watching", "syncs_left", "failures", "error", "failed", "synced", "kept")


class _Kind(IntEnum):
    WRITTEN = 1
    SYNCED = 2
    NOT_SYNCED = 3
    CUT = 4
    REMOVED = 5
    RENAMED = 6
    CREATED = 7


@dataclass(frozen=True, slots=True)
class _Record:
    at: int
    kind: _Kind
    inode: int
    offset: int
    until: int
    size: int
    data: bytes


@dataclass(slots=True)
class _Doubtful:
    """A file of which something is not synced."""

    size: int
    """As it was when all of it was."""
    old: dict[int, bytes] = field(default_factory=dict)
    """Sectors that a power cut may bring back."""
    fresh: dict[int, int] = field(default_factory=dict)
    """Those of them that the next sync writes, each with its place in the journal."""


@dataclass(frozen=True, slots=True)
class _Named:
    """A name that a power cut may take back."""

    name: Path
    inode: int
    before: Path | None = None
    """What was given that name, if it had another."""
    kept: Path | None = None
    """What had the name until then."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Lost:
    sectors: int
    names: int


def built(into: Path) -> Path:
    """The library to load. Skips the test where no C compiler is there."""
    compiler = shutil.which("cc")
    if compiler is None:
        sources.cannot_be_had("cc", "it is not installed (`make servers`)")
    library = into / "disk.so"
    command = [
        compiler,
        "-shared",
        "-fPIC",
        "-O1",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-o",
        str(library),
        str(SOURCE),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return library


class BrittleDisk:
    """Below `folder`; what it needs to know is beside it, in `beside`. The library is loaded by `environment`.

    Without `names` every name lasts at once: PostgreSQL leaves those of its tables to the file system. Without
    `forgets` the next sync writes what a failed one did not.
    """

    def __init__(self, folder: Path, beside: Path, *, names: bool = True, forgets: bool = True) -> None:
        self._folder = folder.resolve()
        self._journal = beside.resolve() / "journal"
        self._control_file = beside.resolve() / "control"
        self._names = names
        self._forgets = forgets
        if not self._control_file.exists():
            self._control_file.write_bytes(bytes(4 * len(_CONTROL)))
            self._journal.touch()
            for each in (self._control_file, self._journal):
                each.chmod(0o666)  # PostgreSQL is another user
        with self._control_file.open("r+b") as opened:
            self._control = memoryview(mmap.mmap(opened.fileno(), 0)).cast("i")

    def environment(self, library: Path) -> dict[str, str]:
        return {
            "LD_PRELOAD": str(library),
            "DISK_FOLDER": str(self._folder),
            "DISK_CONTROL": str(self._control_file),
            "DISK_JOURNAL": str(self._journal),
        }

    def watch(self) -> None:
        self._control[_CONTROL.index("is_watching")] = 1

    def fail_later(self, syncs: int, times: int, error: int) -> None:
        """After so many syncs, so many of them fail, with an `errno`."""
        self._control[_CONTROL.index("failures")] = 0
        self._control[_CONTROL.index("error")] = error
        self._control[_CONTROL.index("syncs_left")] = syncs
        self._control[_CONTROL.index("failures")] = times

    def mend(self) -> None:
        self._control[_CONTROL.index("failures")] = 0

    @property
    def failed(self) -> int:
        """Syncs, since the beginning."""
        return self._control[_CONTROL.index("failed")]

    @property
    def synced(self) -> int:
        return self._control[_CONTROL.index("synced")]

    def cut_power(self, chance: random.Random, *, is_worst: bool = False) -> Lost:
        """Take back what may be lost, once nobody has a file open any more; all of it where that `is_worst`."""
        self._control[_CONTROL.index("is_watching")] = 0
        self.mend()
        files, names = self._doubts(chance, 1.0 if is_worst else 0.5)
        found = {each.stat().st_ino: each for each in self._folder.rglob("*") if each.is_file()}
        sectors = sum(
            _tear(found[inode], file, 0 if is_worst else chance.randrange(4), chance)
            for inode, file in files.items()
            if inode in found and file.old
        )
        first = 0 if is_worst else chance.randrange(len(names) + 1)
        lost = names[first:] if self._names else []
        for each in reversed(lost):  # a journal of names is written in order
            _take_back(each)
        for shared in self._folder.rglob("*-shm"):
            shared.unlink()  # no more than memory that processes share
        for kept in self._journal.parent.glob(f"{self._journal.name}.*"):
            kept.unlink()
        os.truncate(self._journal, 0)
        return Lost(sectors=sectors, names=len(lost))

    def _doubts(self, chance: random.Random, forgotten: float) -> tuple[dict[int, _Doubtful], list[_Named]]:
        files: dict[int, _Doubtful] = {}
        names: list[_Named] = []
        for record in _records(self._journal.read_bytes()):
            file = files.get(record.inode)
            match record.kind:
                case _Kind.WRITTEN:
                    _write(files.setdefault(record.inode, _Doubtful(record.size)), record)
                case _Kind.SYNCED:
                    names = [each for each in names if _inode(each.name.parent) != record.inode]
                    if file is not None:
                        for sector in _begun_before(file, record.offset):
                            del file.old[sector], file.fresh[sector]
                        file.size = record.size
                        if not file.old:
                            del files[record.inode]
                case _Kind.NOT_SYNCED if file is not None and self._forgets:
                    for sector in _begun_before(file, record.offset):
                        del file.fresh[sector]  # Linux says so once, and takes it for written from then on
                        if chance.random() >= forgotten:
                            del file.old[sector]
                case _Kind.CUT if file is not None:
                    file.size = min(file.size, record.size)
                    for sector in [each for each in file.old if each * SECTOR >= record.size]:
                        del file.old[sector]
                        file.fresh.pop(sector, None)
                case _Kind.REMOVED:
                    files.pop(record.inode, None)
                    names = [each for each in names if each.inode != record.inode]
                case _Kind.RENAMED:
                    before, name, kept = record.data.decode().split("\n")
                    replaced = Path(kept) if kept else None
                    names.append(_Named(Path(name), record.inode, Path(before), replaced))
                case _Kind.CREATED:
                    names.append(_Named(Path(record.data.decode()), record.inode))
                case _:
                    pass  # nothing of that file was in doubt
        return files, names


def _records(journal: bytes) -> Iterator[_Record]:
    mark, at = struct.pack("=Q", _MARK), 0
    while at + _HEAD.size <= len(journal):
        _, kind, length, inode, offset, until, size = _HEAD.unpack_from(journal, at)
        end = at + _HEAD.size + length
        if end == len(journal) or journal.startswith(mark, end):
            yield _Record(at, _Kind(kind), inode, offset, until, size, journal[at + _HEAD.size : end])
        else:  # who wrote it was killed, before it did what it was about to do
            end = journal.find(mark, at + 1)
            if end < 0:
                return
        at = end


def _write(file: _Doubtful, record: _Record) -> None:
    first = record.offset // SECTOR
    sectors = range(first, -(-record.until // SECTOR))
    for sector in sectors:
        start = (sector - first) * SECTOR
        file.old.setdefault(sector, record.data[start : start + SECTOR])
    # What lies in the same page is written with it, also where an earlier sync failed.
    page = range(
        sectors.start // SECTORS_OF_A_PAGE * SECTORS_OF_A_PAGE,
        -(-sectors.stop // SECTORS_OF_A_PAGE) * SECTORS_OF_A_PAGE,
    )
    file.fresh.update(dict.fromkeys((each for each in page if each in file.old), record.at))


def _begun_before(file: _Doubtful, at: int) -> list[int]:
    return [sector for sector, begun in file.fresh.items() if begun < at]


def _tear(path: Path, file: _Doubtful, how: int, chance: random.Random) -> int:
    """Returns how many sectors are lost."""
    doubtful = sorted(file.old)
    match how:
        case 0:
            lost = doubtful
        case 1:
            lost = []
        case 2:
            lost = doubtful[chance.randrange(len(doubtful)) :]
        case _:
            lost = [each for each in doubtful if chance.random() < 0.5]
    size = path.stat().st_size
    beyond = chance.choice((b"", bytes(SECTOR), chance.randbytes(SECTOR) if _is_log(path) else b""))
    with path.open("r+b") as opened:
        for sector in lost:
            start = sector * SECTOR
            if start >= size:
                break
            old = file.old[sector][: size - start]
            new = old + beyond[len(old) : size - start]
            opened.seek(start)
            opened.write(new)
        if not beyond:
            kept = [each for each in doubtful if each not in set(lost)]
            end = min((kept[-1] + 1) * SECTOR, size) if kept else 0
            opened.truncate(min(max(file.size, end), size))
    return len(lost)


def _is_log(path: Path) -> bool:
    """What is read as far as it makes sense. Of tables' files a file system has zeros where nothing was written yet."""
    return path.name.endswith("-wal") or path.parent.name == "pg_wal"


def _take_back(named: _Named) -> None:
    if _inode(named.name) != named.inode:
        return  # it has been given to something else
    if named.before is None:
        named.name.unlink()
        return
    named.name.rename(named.before)
    if named.kept is not None:
        named.kept.rename(named.name)


def _inode(path: Path) -> int | None:
    try:
        return path.lstat().st_ino
    except FileNotFoundError:
        return None
