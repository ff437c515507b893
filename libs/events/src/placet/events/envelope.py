"""One event as it is stored, hashed, published and audited: a CloudEvent 1.0 in structured mode.

`Event.raw` is the truth: the canonical bytes (RFC 8785), made once by `Codec.seal` and never again. The
attributes are what those bytes say; `data` is the payload in its newest version, so after an upcaster ran
it says more than `raw` does. The position is not in here: it is known only under the log's lock, and
belongs to `Recorded`.
"""

from __future__ import annotations

from typing import Generic, Literal, TypeVar

import msgspec

from placet.errors import Unreadable

Data = TypeVar("Data")

PLATFORM = "platform"
"""The `partitionkey` of an event that belongs to no project."""


class Actor(msgspec.Struct, frozen=True, kw_only=True):
    """Who caused an event: `person:<uuid>` for people (never a name or a mail), `service:<name>` otherwise."""

    id: str
    type: str
    """`user` or `service`, as in the CloudEvents extension for authorisation context."""

    @classmethod
    def service(cls, name: str) -> Actor:
        return cls(id=f"service:{name}", type="service")

    @classmethod
    def person(cls, person: str) -> Actor:
        return cls(id=person, type="user")


class Attributes(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The CloudEvent's context attributes: who said it, when, why, and whom it is about.

    Here as in `Event` the fields are in the order of the canonical bytes, so that each is found at the first look (that
    is a seventh of the time to decode one).
    """

    authid: str
    authtype: str
    causationid: str | None = None
    """The event that this was a reaction to; none where a person or a clock began it."""
    correlationid: str
    """The operation that this belongs to."""
    id: str
    partitionkey: str
    """The project, or `PLATFORM`: what keeps its order on the bus."""
    source: str
    """The producing service."""
    specversion: Literal["1.0"]
    time: str
    """RFC 3339, UTC, milliseconds."""
    traceparent: str | None = None


class Event(msgspec.Struct, Generic[Data], frozen=True, kw_only=True, gc=False):
    """An immutable fact: what happened (`type` and `data`), to what (`subject`, the stream it belongs to).

    That is all that a fold or a projection looks at, so it is all that a replay of millions makes. The other
    attributes are read out of `raw` when they are asked for, some half a microsecond each time; who needs several asks
    for `attributes` once. They are checked where an event comes in (`Codec.read`, `Codec.read_envelope`), so asking
    raises Unreadable only for bytes that were changed in the service's own log.
    """

    data: Data
    subject: str
    type: str
    raw: bytes = b""

    @property
    def attributes(self) -> Attributes:
        try:
            return _ATTRIBUTES.decode(self.raw)
        except BROKEN as error:
            raise no_cloud_event(error) from error

    @property
    def id(self) -> str:
        return self.attributes.id

    @property
    def producer(self) -> str:
        return self.attributes.source

    @property
    def actor(self) -> Actor:
        attributes = self.attributes
        return Actor(id=attributes.authid, type=attributes.authtype)

    @property
    def time(self) -> str:
        """RFC 3339, UTC, milliseconds."""
        return self.attributes.time

    @property
    def partitionkey(self) -> str:
        return self.attributes.partitionkey

    @property
    def correlationid(self) -> str:
        return self.attributes.correlationid

    @property
    def causationid(self) -> str | None:
        return self.attributes.causationid


_ATTRIBUTES = msgspec.json.Decoder(Attributes)
BROKEN = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What decoding raises for bytes that are not what they should be."""


def no_cloud_event(error: Exception) -> Unreadable:
    return Unreadable(f"not a CloudEvent 1.0 in structured mode: {error}")


class Recorded(msgspec.Struct, Generic[Data], frozen=True, kw_only=True, gc=False):
    """An event with the place its store gave it."""

    event: Event[Data]
    position: int
    """1, 2, 3 … without a gap over the whole log, in commit order."""
    version: int
    """1, 2, 3 … without a gap within the stream."""
    stream: str
    """The event's subject, or where a log of others' events put it."""

    @property
    def data(self) -> Data:
        return self.event.data
