"""Checkpoints (C2SP tlog-checkpoint): how large a log is and which root its tree has, signed by the log.

Whoever holds two checkpoints of one log can have it proved that the later begins with the earlier. Who holds one can
tell a log that was rewritten from the one that it was. That takes somebody outside: a witness cosigns a checkpoint
(C2SP tlog-cosignature), which says that at its time this was the largest tree that it had seen of this log, and that
each one began with those before. What this module does not do: decide how many witnesses are enough.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from datetime import UTC, datetime

import msgspec

from placet.errors import Refused, Unreadable
from placet.trust import notes
from placet.trust.encoding import decoded
from placet.trust.keys import SigningKey
from placet.trust.merkle import EMPTY_ROOT, HASH_BYTES
from placet.trust.notes import COSIGNS, Note, NoteKey, Signature

_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")
_TIME_BYTES = 8
_COSIGNATURE_BYTES = _TIME_BYTES + 64


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """The tree of the log `origin` when it had `size` leaves."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"

    @classmethod
    def from_text(cls, text: str) -> Checkpoint:
        """Lines behind the third are extensions of others: signed, and of no meaning here.

        Raises Unreadable, and Refused for a tree without leaves that has a root of some: a witness answers 422 to it.
        """
        lines = text.split("\n")[:-1]
        if len(lines) < 3 or not all(lines):
            raise Unreadable("this is no checkpoint: three lines at least, with origin, size and root")
        origin, size, root = lines[:3]
        checkpoint = cls(origin=origin, size=size_in(size), root=decoded(root, "the root of a checkpoint"))
        if len(checkpoint.root) != HASH_BYTES:
            raise Unreadable(f"a root has {HASH_BYTES} bytes, this one {len(checkpoint.root)}")
        if checkpoint.size == 0 and checkpoint.root != EMPTY_ROOT:
            raise Refused("this checkpoint is of an empty tree, which has another root")
        return checkpoint


class Cosigned(msgspec.Struct, frozen=True, kw_only=True):
    """A witness saw it, at a time of the witness's clock."""

    by: NoteKey
    at: datetime


def size_in(text: str) -> int:
    """A tree's size in its one way to write it. Raises Unreadable."""
    if not _SIZE.fullmatch(text) or int(text) >= 2**63:
        raise Unreadable(f"{text[:30]!r} is no size of a tree")
    return int(text)


def sign(checkpoint: Checkpoint, key: SigningKey) -> Note:
    """As the log: its key is named as it is."""
    return Note(
        text=checkpoint.text, signatures=(notes.sign(checkpoint.text, name=checkpoint.origin, key=key),)
    )


def verify(note: Note, logs: Iterable[NoteKey]) -> tuple[Checkpoint, NoteKey]:
    """The checkpoint, and which of the keys of `logs` signed it. Raises Refused, and Unreadable for other notes.

    A key counts for the log that it is named after alone: whoever has several logs' keys takes none for another.
    """
    checkpoint = Checkpoint.from_text(note.text)
    signed = notes.verify(note, [each for each in logs if each.name == checkpoint.origin])
    if not signed:
        signers = ", ".join(sorted({each.name for each in note.signatures}))
        raise Refused(
            f"the checkpoint of {checkpoint.origin} is signed by {signers}, and by no key of that log that is known",
            fix="compare the log's verifier key with the one that you were given; if it was rotated, name both",
        )
    return checkpoint, signed[0]


def cosign(text: str, *, name: str, key: SigningKey, at: datetime) -> Signature:
    """As a witness, at a whole second."""
    seconds = int(at.timestamp())
    by = NoteKey(name=name, kind=COSIGNS, key=key.public)
    signature = key.sign(_cosigned(text, seconds))
    return Signature(name=name, id=by.id, raw=seconds.to_bytes(_TIME_BYTES, "big") + signature)


def cosigned(note: Note, witnesses: Iterable[NoteKey]) -> list[Cosigned]:
    """Which of `witnesses` cosigned it, and when. Raises Refused where a cosignature does not hold."""
    return [_verified(note, by, each) for by in witnesses for each in note.signatures if each.is_of(by)]


def _verified(note: Note, by: NoteKey, signature: Signature) -> Cosigned:
    if len(signature.raw) == _COSIGNATURE_BYTES:
        seconds = int.from_bytes(signature.raw[:_TIME_BYTES], "big")
        if by.key.verifies(signature.raw[_TIME_BYTES:], _cosigned(note.text, seconds)):
            return Cosigned(by=by, at=_moment(seconds))
    raise Refused(f"the cosignature of {by.name} ({by.key.kid}) does not hold: the checkpoint was changed")


def _cosigned(text: str, seconds: int) -> bytes:
    return f"cosignature/v1\ntime {seconds}\n{text}".encode()


def _moment(seconds: int) -> datetime:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError) as error:
        raise Unreadable(f"a cosignature of second {seconds}") from error
