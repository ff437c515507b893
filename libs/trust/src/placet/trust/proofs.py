"""Proofs as text: that a leaf is in a log (C2SP tlog-proof), and that a log goes on from an earlier checkpoint.

A tlog-proof holds by itself: with the leaf's bytes and the keys of log and witnesses nothing else is needed. The
second kind is what a witness is sent (C2SP tlog-witness, `add-checkpoint`), and serves whoever kept a checkpoint as
well.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Sequence

import msgspec

from placet.errors import Unreadable
from placet.trust import checkpoints
from placet.trust.checkpoints import Checkpoint, size_in
from placet.trust.encoding import decoded
from placet.trust.merkle import HASH_BYTES, MAX_PROOF_HASHES, leaf_hash, verify_consistency, verify_inclusion
from placet.trust.notes import MAX_NOTE_BYTES, Note, NoteKey

MEDIA_TYPE = "text/plain; charset=utf-8"
HEADER = "c2sp.org/tlog-proof@v1"
MAX_PROOF_BYTES = 2 * MAX_NOTE_BYTES

_INCLUSION = re.compile(rf"{re.escape(HEADER)}\n(?:extra (\S*)\n)?index (\S+)\n((?:\S+\n)*)\n(.*)", re.DOTALL)
_CONSISTENCY = re.compile(r"old (\S+)\n((?:\S+\n)*)\n(.*)", re.DOTALL)


class InclusionProof(msgspec.Struct, frozen=True, kw_only=True):
    """That leaf `index` (from 0) is in the tree of the checkpoint. Nobody signs `extra`."""

    index: int
    hashes: tuple[bytes, ...]
    checkpoint: Note
    extra: bytes | None = None

    def __str__(self) -> str:
        extra = "" if self.extra is None else f"extra {base64.b64encode(self.extra).decode()}\n"
        return f"{HEADER}\n{extra}index {self.index}\n{_lines(self.hashes)}\n{self.checkpoint}"

    @classmethod
    def from_bytes(cls, data: bytes) -> InclusionProof:
        """Raises Unreadable."""
        found = _INCLUSION.fullmatch(_text(data))
        if found is None:
            raise Unreadable(
                f"this is no proof of inclusion: it does not begin with {HEADER}, an index and hashes"
            )
        return cls(
            extra=None if found[1] is None else decoded(found[1], "the extra data of a proof"),
            index=size_in(found[2]),
            hashes=_hashes(found[3]),
            checkpoint=Note.from_bytes(found[4].encode()),
        )

    def verify(self, leaf: bytes, logs: Iterable[NoteKey]) -> Checkpoint:
        """The checkpoint of a log in `logs` whose tree holds `leaf`. Raises Refused."""
        checkpoint, _ = checkpoints.verify(self.checkpoint, logs)
        verify_inclusion(leaf_hash(leaf), self.index, checkpoint.size, self.hashes, checkpoint.root)
        return checkpoint


class ConsistencyProof(msgspec.Struct, frozen=True, kw_only=True):
    """That the tree of the checkpoint begins with the one that had `old` leaves."""

    old: int
    hashes: tuple[bytes, ...]
    checkpoint: Note

    def __str__(self) -> str:
        return f"old {self.old}\n{_lines(self.hashes)}\n{self.checkpoint}"

    @classmethod
    def from_bytes(cls, data: bytes) -> ConsistencyProof:
        """Raises Unreadable."""
        found = _CONSISTENCY.fullmatch(_text(data))
        if found is None:
            raise Unreadable(
                "this is no proof of consistency: a line with the old size, hashes, and a checkpoint"
            )
        return cls(
            old=size_in(found[1]), hashes=_hashes(found[2]), checkpoint=Note.from_bytes(found[3].encode())
        )

    def verify(self, known: Checkpoint, logs: Iterable[NoteKey]) -> Checkpoint:
        """The later checkpoint, of the same log as `known`. Raises Refused."""
        checkpoint, _ = checkpoints.verify(
            self.checkpoint, [each for each in logs if each.name == known.origin]
        )
        verify_consistency(known.size, known.root, checkpoint.size, checkpoint.root, self.hashes)
        return checkpoint


def _lines(hashes: Sequence[bytes]) -> str:
    return "".join(f"{base64.b64encode(each).decode()}\n" for each in hashes)


def _hashes(lines: str) -> tuple[bytes, ...]:
    hashes = tuple(decoded(each, "a hash of a proof") for each in lines.split())
    if len(hashes) > MAX_PROOF_HASHES or any(len(each) != HASH_BYTES for each in hashes):
        raise Unreadable(f"a proof has at most {MAX_PROOF_HASHES} hashes, of {HASH_BYTES} bytes each")
    return hashes


def _text(data: bytes) -> str:
    if len(data) > MAX_PROOF_BYTES:
        raise Unreadable(f"a proof of {len(data)} bytes is over the limit of {MAX_PROOF_BYTES}")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise Unreadable("this is no proof: it is not UTF-8") from error
