"""What a service is plugged into: its store, the bus, time, ids and traces.

`embedded` and `distributed` (in `placet.events.build`) make the two sets; services do not know which they
have. Nothing else in the platform may ask the machine for the time or for a random id.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

import uuid_utils
from opentelemetry import trace

if TYPE_CHECKING:
    from placet.events.bus import Bus
    from placet.events.codec import Codec
    from placet.events.store import EventStore


class Clock(Protocol):
    def now(self) -> datetime:
        """The time, with UTC as its zone."""


class Ids(Protocol):
    def new(self) -> str:
        """A UUIDv7: unique, and later ones sort after earlier ones of the same process."""


class SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)  # noqa: TID251 - this is the clock


class TimeOrderedIds:
    def new(self) -> str:
        return str(uuid_utils.uuid7())


@dataclass(frozen=True, kw_only=True, slots=True)
class Wiring:
    store: EventStore
    bus: Bus
    codec: Codec
    clock: Clock
    ids: Ids
    tracer: trace.Tracer
