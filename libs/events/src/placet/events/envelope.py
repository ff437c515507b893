"""One event as it is stored, hashed, published and audited: a CloudEvent 1.0 in structured mode.

`Event.raw` is the truth: the canonical bytes (RFC 8785), made once by `Codec.seal` and never again. The
attributes are what those bytes say; `data` is the payload in its newest version, so after an upcaster ran
it says more than `raw` does. The position is not in here: it is known only under the log's lock, and
belongs to `Recorded`.
"""

from __future__ import annotations

from typing import Generic, Literal, TypeVar

import msgspec

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


class Event(msgspec.Struct, Generic[Data], frozen=True, kw_only=True, gc=False):
    """An immutable fact. `source` is the producing service, `subject` the stream it belongs to.

    Its fields are the CloudEvent's own attributes, so that reading one is a single step; in the order of the canonical
    bytes, so that each is found at the first look (that is a seventh of the time to decode one).
    """

    authid: str
    authtype: str
    causationid: str | None = None
    """The event that this was a reaction to; none where a person or a clock began it."""
    correlationid: str
    """The operation that this belongs to."""
    data: Data
    id: str
    partitionkey: str
    """The project, or `PLATFORM`: what keeps its order on the bus."""
    source: str
    specversion: Literal["1.0"]
    subject: str
    time: str
    """RFC 3339, UTC, milliseconds."""
    traceparent: str | None = None
    type: str
    raw: bytes = b""

    @property
    def producer(self) -> str:
        return self.source

    @property
    def actor(self) -> Actor:
        return Actor(id=self.authid, type=self.authtype)


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
