"""What the audit log's tree is over: for each event a record of its place, its name and the digest of its bytes.

The event's bytes are not in it, so that a proof tells nothing of what was said. The place in the producer's own log
is: that nothing of a producer is missing must not depend on columns beside the tree.
"""

from __future__ import annotations

from hashlib import sha256

import msgspec

from placet.errors import Unreadable


class Leaf(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True, gc=False):
    """The fields are in the order of the canonical bytes (RFC 8785)."""

    digest: str
    """Of the event's canonical bytes: `sha256:…`."""
    epoch: str
    """Which life of the producer's log."""
    id: str
    position: int
    """In the audit log, from 1 on; the leaf's index in the tree is one less."""
    producer: str
    producer_position: int
    """In the producer's own log, from 1 on."""
    type: str

    @classmethod
    def of(cls, raw: bytes, *, position: int, producer: str, epoch: str, producer_position: int) -> Leaf:
        """The record of the event whose canonical bytes are `raw`.

        Raises Unreadable where they are no event, or one that somebody else than `producer` said.
        """
        try:
            named = _NAMED.decode(raw)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise Unreadable(f"position {position} of the audit log holds no event: {error}") from error
        if named.source != producer:
            raise Unreadable(
                f"position {position} of the audit log is kept as an event of {producer}, and {named.source} said it"
            )
        return cls(
            digest=f"sha256:{sha256(raw).hexdigest()}",
            epoch=epoch,
            id=named.id,
            position=position,
            producer=producer,
            producer_position=producer_position,
            type=named.type,
        )

    def to_bytes(self) -> bytes:
        """What is hashed into the tree."""
        return _ENCODER.encode(self)

    @classmethod
    def from_bytes(cls, data: bytes) -> Leaf:
        """Raises Unreadable, for other ways to write the same too."""
        try:
            leaf = msgspec.json.decode(data, type=cls)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise Unreadable(f"this is no leaf of an audit log: {error}") from error
        if leaf.to_bytes() != data:
            raise Unreadable("this leaf of an audit log is not written canonically")
        return leaf


class _Named(msgspec.Struct, frozen=True, gc=False):
    id: str
    source: str
    type: str


_NAMED = msgspec.json.Decoder(_Named)
_ENCODER = msgspec.json.Encoder()
