"""Moments as events have them: in UTC, to the millisecond, with a Z."""

from __future__ import annotations

from datetime import UTC, datetime


def written(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
