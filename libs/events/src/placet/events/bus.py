"""The port to the broker: what travels between services, and what each side may rely on.

A bus may lose, repeat and reorder; it must say who a message is from. Everything stronger is made by the
outbox and the inbox: each producer's positions are contiguous and heads are announced, so every hearer
knows what it has not got and asks for it. Notes are not events: nobody stores or audits them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from placet.errors import Unreadable

EXCHANGE = "placet.events"
STREAM = "placet.events.stream"


@dataclass(frozen=True, kw_only=True, slots=True)
class Outgoing:
    """An event on its way out, with its place in the producer's log."""

    id: str
    routing_key: str
    epoch: str
    position: int
    raw: bytes
    traceparent: str | None = None
    """The event's own, for who reads it where a broker's messages have it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """An event as it came. `sender` is who the broker vouches for; `producer` is the routing key's first word."""

    sender: str | None
    routing_key: str
    epoch: str
    position: int
    raw: bytes

    @property
    def producer(self) -> str:
        return self.routing_key.partition(".")[0]


@dataclass(frozen=True, kw_only=True, slots=True)
class EpochBegan:
    """A producer's epoch holds the positions above `began_after`, up to where the next one began."""

    epoch: str
    began_after: int


@dataclass(frozen=True, kw_only=True, slots=True)
class HeadAnnounced:
    """A producer says up to where it has sent its log and which epochs it has had, so that who has less can ask.

    `end` is where the log ends: whoever heard more of the same epoch knows that the producer forgot something. `chain`
    is the digest, in hex, over what its store has of the last epoch up to `position` (`chain.py`); none while it is
    still reading.
    """

    producer: str
    position: int
    end: int
    epochs: tuple[EpochBegan, ...]
    chain: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ResendAsked:
    """`asker` lacks `after` + 1 to `upto` of `producer`'s log."""

    asker: str
    producer: str
    after: int
    upto: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Alive:
    """A producer that others rely on to object in time says that it hears and can judge."""

    producer: str


Note = HeadAnnounced | ResendAsked | Alive


@dataclass(frozen=True, kw_only=True, slots=True)
class Subscription:
    """A service hears whole producers, so that it can tell a hole from a type it does not care for."""

    service: str
    producers: frozenset[str]


class Receiver(Protocol):
    async def receive(self, deliveries: Sequence[Delivery]) -> None:
        """Take these on; they are acknowledged when this returns, and come again if it raises."""

    async def hear(self, note: Note) -> None: ...


class Bus(Protocol):
    @property
    def impediment(self) -> str | None:
        """What of hearing and saying does not work now, for how long and why; None when all does that was asked for."""

    async def publish(self, window: Sequence[Outgoing]) -> None:
        """Return when every message is confirmed. Raises Unavailable when one is not; any may then have arrived."""

    async def tell(self, note: Note) -> None:
        """Broadcast to whoever listens now; a note that is lost is told again. Raises Unavailable."""

    async def consume(self, subscription: Subscription, receiver: Receiver) -> None:
        """Hand over what comes until cancelled. Connects again by itself; rests while `receive` raises Unavailable."""

    async def close(self) -> None: ...


def routing_key(event_type: str, partitionkey: str) -> str:
    """`<producer>.<noun>.<verb>.<project>`: always four words, which no note has. Raises Unreadable."""
    words = event_type.split(".")
    if len(words) != 5:
        raise Unreadable(f"{event_type!r:.100} is no event's type: placet.<producer>.<noun>.<verb>.v<n>")
    return ".".join((*words[1:4], partitionkey))
