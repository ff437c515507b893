"""Moments that somebody asks about."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import Annotated

from fastapi import Query
from pydantic import AfterValidator, AwareDatetime, BeforeValidator

from placet.events.codec import moment

_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


def is_day(text: str | None) -> bool:
    return text is not None and _DAY.fullmatch(text) is not None


def day(text: str) -> date | None:
    """None of what is not written as one. Raises ValueError for a day that there is not."""
    return date.fromisoformat(text) if is_day(text) else None


def time(text: str) -> datetime:
    """Raises ValueError for what is not in RFC 3339, with its zone."""
    _must_be_written_so(text)
    return moment(text)


def _must_be_written_so(text: object) -> object:
    """Else pydantic takes digits for seconds since 1970: 20260301 would be a day in August of that year."""
    if isinstance(text, str) and not _RFC_3339.fullmatch(text):
        raise ValueError("a time is in RFC 3339 with its zone, such as 2026-03-01T12:00:00Z")
    return text


def _in_utc(moment: datetime | None) -> datetime | None:
    """Raises ValueError in the first or last hours that there are."""
    try:
        return None if moment is None else moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("there is no such time in UTC") from error


Moment = Annotated[
    AwareDatetime | None, BeforeValidator(_must_be_written_so), AfterValidator(_in_utc), Query()
]
"""A parameter of a call, in RFC 3339."""
