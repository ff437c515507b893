"""Time and ids: the only two places where the platform asks the machine for either."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Protocol

import uuid_utils


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
