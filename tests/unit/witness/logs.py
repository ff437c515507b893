"""A log that grows, and may be made to lie: what a witness is sent, and a folder that it keeps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from placet.trust import SigningKey, checkpoints, merkle
from placet.trust.checkpoints import Checkpoint
from placet.trust.merkle import leaf_hash, root_of
from placet.trust.notes import COSIGNS, SIGNS, NoteKey
from placet.trust.proofs import ConsistencyProof
from placet.witness import Witness, open_witness
from placet.witness.records import Disk

ORIGIN = "placet.example/audit"
NAME = "witness.example/w1"
AT = datetime(2026, 11, 27, 12, 0, 5, tzinfo=UTC)
LOG, OTHER = SigningKey.generate(), SigningKey.generate()
KNOWN = NoteKey(name=ORIGIN, kind=SIGNS, key=LOG.public)


def leaves(count: int, *, kind: str = "leaf", after: Sequence[bytes] = ()) -> list[bytes]:
    """Hashes of so many leaves, of which the first are those of `after`."""
    return [*after, *(leaf_hash(f"{kind} {at}".encode()) for at in range(len(after), count))][:count]


def checkpoint(tree: Sequence[bytes], *, origin: str = ORIGIN) -> Checkpoint:
    return Checkpoint(origin=origin, size=len(tree), root=root_of(tree))


def proof(tree: Sequence[bytes], old: int) -> tuple[bytes, ...]:
    return tuple(root_of(tree[start:end]) for start, end in merkle.consistency(old, len(tree)))


def request(
    tree: Sequence[bytes],
    old: int,
    *,
    key: SigningKey = LOG,
    origin: str = ORIGIN,
    hashes: Sequence[bytes] | None = None,
) -> bytes:
    """As an honest log would ask, unless `hashes` are others."""
    if hashes is None:
        hashes = proof(tree, old) if old <= len(tree) else ()
    note = checkpoints.sign(checkpoint(tree, origin=origin), key)
    return str(ConsistencyProof(old=old, hashes=tuple(hashes), checkpoint=note)).encode()


@dataclass
class Clock:
    at: datetime = AT

    def now(self) -> datetime:
        return self.at

    def turn(self, **by: float) -> None:
        self.at += timedelta(**by)


@dataclass
class Opened:
    """A witness on `folder`, opened as often as one likes."""

    folder: Path
    clock: Clock = field(default_factory=Clock)
    told: list[str] = field(default_factory=list)
    logs: Sequence[NoteKey] = (KNOWN,)
    name: str = NAME

    def open(self, disk: Disk | None = None) -> Witness:
        return open_witness(
            name=self.name,
            logs=self.logs,
            key=self.folder / "witness.pem",
            state=self.folder,
            now=self.clock.now,
            tell=self.told.append,
            disk=disk,
        )

    @property
    def own(self) -> NoteKey:
        key = SigningKey.load(self.folder / "witness.pem")
        return NoteKey(name=self.name, kind=COSIGNS, key=key.public)

    @property
    def evidence(self) -> list[Path]:
        return sorted((self.folder / "misbehaviour").glob("[!.]*"))
