"""May this checkpoint be cosigned? Decided from the request and from the last one that was, without input or output.

What a cosignature says follows from these rules alone: of one log, no two that were given contradict each other, and
none is of a smaller tree than one before it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from placet.errors import Forbidden, Refused, Unknown, Unreadable
from placet.trust import checkpoints
from placet.trust.checkpoints import Checkpoint
from placet.trust.merkle import EMPTY_ROOT, verify_consistency
from placet.trust.notes import Note, NoteKey
from placet.trust.proofs import ConsistencyProof

MAX_HASHES = 63
"""Of a proof in a request, as the specification has it."""

MAX_CHECKPOINT_BYTES = 32 * 1024
"""With its log's signatures: half of what a note may have, since with one more, ours, it has to be read again."""

Logs = Mapping[str, Sequence[NoteKey]]
"""The keys of each log by its origin: more than one while a log changes its key."""


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """A checkpoint that its log signed. `note` has that log's signatures only: what strangers wrote is not kept."""

    checkpoint: Checkpoint
    note: Note
    old: int
    hashes: tuple[bytes, ...]


class Agreed(msgspec.Struct, frozen=True):
    """It goes on from what is known, and may be cosigned."""


class Stale(msgspec.Struct, frozen=True, kw_only=True):
    """The log takes the witness to be at another size than `size`."""

    size: int


class Inconsistent(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing shows that the tree begins with the known one."""

    why: str


def offered(body: bytes, logs: Logs) -> Offer:
    """Read a request and check who signed it. Raises Unreadable (400), Unknown (404), Forbidden (403), Refused (422).

    No log's state is needed for that, so strangers hold up nobody.
    """
    request = ConsistencyProof.from_bytes(body)
    if len(request.hashes) > MAX_HASHES:
        raise Unreadable(f"a request has at most {MAX_HASHES} hashes")
    checkpoint = Checkpoint.from_text(request.checkpoint.text)
    keys = logs.get(checkpoint.origin)
    if not keys:
        raise Unknown(
            f"the log {checkpoint.origin[:200]!r} is not witnessed here",
            fix="hand its verifier key to the operator of this witness",
        )
    try:
        checkpoints.verify(request.checkpoint, keys)
    except Refused as error:
        raise Forbidden(error.detail, fix=error.fix) from error
    if request.old > checkpoint.size:
        raise Unreadable(f"a tree of {checkpoint.size} leaves goes on from none of {request.old}")
    # One of each key: a log can sign the same as often as it likes, each time differently.
    by_key = {(each.name, each.id): each for each in request.checkpoint.signatures}
    signatures = tuple(each for each in by_key.values() if any(each.is_of(key) for key in keys))
    note = Note(text=request.checkpoint.text, signatures=signatures)
    if len(note.to_bytes()) > MAX_CHECKPOINT_BYTES:
        raise Unreadable(
            f"a checkpoint of {len(note.to_bytes())} bytes is over this witness's limit of {MAX_CHECKPOINT_BYTES}",
            fix="leave out what extends it: origin, size and root are enough",
        )
    return Offer(checkpoint=checkpoint, note=note, old=request.old, hashes=request.hashes)


def decide(known: Checkpoint | None, offer: Offer) -> Agreed | Stale | Inconsistent:
    """`known` is the last checkpoint of this log that was cosigned."""
    size, root = (known.size, known.root) if known is not None else (0, EMPTY_ROOT)
    if offer.old != size:
        return Stale(size=size)
    try:
        verify_consistency(size, root, offer.checkpoint.size, offer.checkpoint.root, offer.hashes)
    except Refused as error:
        return Inconsistent(why=error.detail)
    return Agreed()


def is_fork(known: Checkpoint | None, offer: Offer) -> bool:
    """Whether the log signed two trees of one size: with both in hand, anybody can tell, whoever brought them."""
    return known is not None and known.size == offer.checkpoint.size and known.root != offer.checkpoint.root
