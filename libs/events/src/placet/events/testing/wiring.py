"""Time and ids that a test decides."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


class ManualClock:
    """Stands still until it is told to go on."""

    def __init__(self, at: datetime | None = None) -> None:
        self._now = at or datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self._now

    def pass_(self, span: timedelta) -> None:
        self._now += span


class CountingIds:
    """Ids that sort as they come: `00000000-0000-7000-8000-000000000001`, …2, …3."""

    def __init__(self) -> None:
        self._last = 0

    def new(self) -> str:
        self._last += 1
        return f"00000000-0000-7000-8000-{self._last:012d}"
