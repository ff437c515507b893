"""Moments that somebody asks about."""

from __future__ import annotations

from datetime import UTC, datetime


def in_utc(moment: datetime | None) -> datetime | None:
    """For parameters. Raises ValueError in the first or last hours that there are."""
    try:
        return None if moment is None else moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("there is no such time in UTC") from error
