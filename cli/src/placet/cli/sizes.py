"""Sizes, moments and spans of time as people read them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


def in_bytes(size: int) -> str:
    amount, units = float(size), ["B", "kB", "MB", "GB"]
    while amount >= 1000 and len(units) > 1:
        amount /= 1000
        units.pop(0)
    return f"{amount:.0f} {units[0]}" if units[0] == "B" else f"{amount:.1f} {units[0]}"


def counted(number: int, one: str, many: str | None = None) -> str:
    """`1 event`, `2 events`; `many` where that is not the word with an s."""
    return f"{number} {one if number == 1 else many or f'{one}s'}"


def in_utc(moment: datetime) -> str:
    """As events have it, to the millisecond."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def in_days(span: timedelta) -> str:
    """How far off it is; hours where days would say too little."""
    hours = int(span / timedelta(hours=1))
    if hours < 1:
        return "within the hour"
    return f"in {counted(hours // 24, 'day') if hours >= 48 else counted(hours, 'hour')}"
