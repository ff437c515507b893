"""What a witness has cosigned, on disk: one file for each log, which is whole and there before anybody hears of it.

A witness that forgets can be led onto another tree, so nothing here is taken for "never seen": a file that cannot be
read, and a key without the folder that it signed with, end the start. A folder that was put back from an older copy
looks as it should, and nobody can tell; copies of it are for reading.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Protocol

import msgspec

from placet.errors import Refused, Unavailable, Unreadable
from placet.trust import checkpoints
from placet.trust.checkpoints import Checkpoint
from placet.trust.notes import Note, NoteKey

MAX_EVIDENCE = 100
"""Files of each kind of misbehaviour of a log. The first ones say all, and it could sign as many more as it likes."""

_RECORD = re.compile(r"[0-9a-f]{64}\.checkpoint")
_EVIDENCE = re.compile(r"[a-z]+-[0-9a-f]{64}-[0-9a-f]{64}\.json")


class Disk(Protocol):
    """The three steps that make a file whole and lasting. Each raises OSError."""

    def write(self, file: Path, data: bytes) -> None:
        """Lasting bytes, below a name that may not last."""

    def rename(self, file: Path, to: Path) -> None: ...

    def sync_names(self, folder: Path) -> None:
        """Lasting names."""


class LocalDisk:
    def write(self, file: Path, data: bytes) -> None:
        with file.open("wb") as opened:
            opened.write(data)
            opened.flush()
            os.fsync(opened.fileno())

    def rename(self, file: Path, to: Path) -> None:
        file.replace(to)

    def sync_names(self, folder: Path) -> None:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """The last checkpoint of a log that was cosigned, as `note` says it with that cosignature, and when that was."""

    checkpoint: Checkpoint
    note: Note
    at: datetime


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """What a log signed and should not have. `known` and `offered` are signed notes, `hashes` are in hex."""

    origin: str
    kind: str
    at: datetime
    known: str | None
    offered: str
    old: int
    hashes: tuple[str, ...]
    why: str


def origin_hash(origin: str) -> str:
    """What a log is called in paths."""
    return sha256(origin.encode()).hexdigest()


class Records:
    """The folder of one witness. One process has it, which is not this module's to see to."""

    def __init__(self, folder: Path, seen: Mapping[str, Seen], disk: Disk) -> None:
        self._folder = folder
        self._seen = dict(seen)
        self._disk = disk
        self._misbehaviour = folder / "misbehaviour"
        kept = self._misbehaviour.iterdir() if self._misbehaviour.is_dir() else ()
        self._kept = {file.name for file in kept if _EVIDENCE.fullmatch(file.name)}

    @classmethod
    def open(cls, folder: Path, own: NoteKey, disk: Disk, *, is_new: bool) -> Records:
        """What `own` has cosigned so far. `is_new` says that the key was only just made. Raises Refused, Unreadable."""
        _be_of(folder, own, disk, is_new=is_new)
        found = [_read(file, own) for file in sorted(folder.iterdir()) if _RECORD.fullmatch(file.name)]
        return cls(folder, {origin_hash(each.checkpoint.origin): each for each in found}, disk)

    def of(self, origin: str) -> Seen | None:
        return self._seen.get(origin_hash(origin))

    def by_hash(self, hashed: str) -> Seen | None:
        return self._seen.get(hashed)

    def keep(self, seen: Seen) -> None:
        """On disk first, and for others after that. Raises Unavailable; then it counts as not seen."""
        hashed = origin_hash(seen.checkpoint.origin)
        self._write(self._folder / f"{hashed}.checkpoint", seen.note.to_bytes())
        self._seen[hashed] = seen

    def keep_evidence(self, evidence: Evidence) -> Path | None:
        """Where it is, if it is new and there is room. Raises Unavailable."""
        # Named after what the log signed, so that whoever sends it again, with another proof, fills nothing.
        text, _, _ = evidence.offered.rpartition("\n\n")
        of_its_kind = f"{evidence.kind}-{origin_hash(evidence.origin)}-"
        name = f"{of_its_kind}{sha256(text.encode()).hexdigest()}.json"
        if name in self._kept or sum(each.startswith(of_its_kind) for each in self._kept) >= MAX_EVIDENCE:
            return None
        self._misbehaviour.mkdir(mode=0o700, exist_ok=True)
        self._write(self._misbehaviour / name, msgspec.json.format(msgspec.json.encode(evidence)) + b"\n")
        self._kept.add(name)
        return self._misbehaviour / name

    def _write(self, file: Path, data: bytes) -> None:
        try:
            _replace(self._disk, file, data)
        except OSError as error:
            raise Unavailable(
                f"{file.name} cannot be written ({error.strerror}), so nothing is signed",
                fix="see to the disk of the witness, and ask again",
            ) from error


def _replace(disk: Disk, file: Path, data: bytes) -> None:
    unfinished = file.with_name(f".{file.name}.unfinished")
    disk.write(unfinished, data)
    disk.rename(unfinished, file)
    disk.sync_names(file.parent)


def _be_of(folder: Path, own: NoteKey, disk: Disk, *, is_new: bool) -> None:
    """One folder, one key: a witness that begins anew with a key that is known contradicts itself."""
    mine = folder / "vkey"
    if mine.exists():
        told = mine.read_text(encoding="utf-8", errors="backslashreplace").strip()
        if told != own.vkey:
            raise Refused(
                f"the folder {folder} is that of the witness {told}, and not of {own.vkey}",
                fix="give the name and the key that it began with, or another folder",
            )
        return
    if not is_new:
        raise Refused(
            f"the key of {own.name} is there, and nothing in {folder} says what it has cosigned",
            fix="name the folder that it signed with. If that is lost, or if it never signed, remove the key: the next "
            "start makes another one, for logs and trust policies to take up as that of a new witness",
        )
    _replace(disk, mine, f"{own.vkey}\n".encode())


def _read(file: Path, own: NoteKey) -> Seen:
    try:
        note = Note.from_bytes(file.read_bytes())
        checkpoint = Checkpoint.from_text(note.text)
        cosigned = checkpoints.cosigned(note, [own])
    except (OSError, Refused, Unreadable) as error:
        raise _torn(file, str(error)) from error
    if not cosigned or file.stem != origin_hash(checkpoint.origin):
        raise _torn(file, "it is not what this witness wrote there")
    return Seen(checkpoint=checkpoint, note=note, at=cosigned[-1].at)


def _torn(file: Path, why: str) -> Unreadable:
    return Unreadable(
        f"{file} cannot be read: {why}",
        fix="put in its place the last checkpoint of this log with a cosignature of this witness, which the log has. "
        "Do not remove it: the witness would sign another history of that log",
    )
