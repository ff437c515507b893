"""From an HTTP answer to the kind of error a caller can act on.

The body is problem+json (RFC 9457) where the platform wrote it; a proxy's page in its place is not shown,
since it says nothing about placet.
"""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import msgspec

from placet.client.connection import Connection
from placet.client.documents import Refusal
from placet.errors import (
    Conflict,
    Forbidden,
    PlacetError,
    Refused,
    TooLarge,
    TooMany,
    Unauthenticated,
    Unavailable,
    Unknown,
    Unreadable,
)

PASSING = frozenset({429, 502, 503, 504})
"""Answers that a repetition may change; a 500 is a defect and comes back the same."""

_REFUSALS: dict[int, type[Refused]] = {
    401: Unauthenticated,
    403: Forbidden,
    404: Unknown,
    409: Conflict,
    413: TooLarge,
}


class RefusedForMore(Refused):
    """Refused for several things at once, of which each has its own next step."""

    def __init__(
        self, detail: str, *, fix: str | None = None, rule: str | None = None, parts: Sequence[PlacetError]
    ) -> None:
        super().__init__(detail, fix=fix, rule=rule)
        self._parts = tuple(parts)

    @property
    def parts(self) -> tuple[PlacetError, ...]:
        return self._parts


def no_answer(connection: Connection, error: Exception) -> Unavailable:
    """A platform that cannot be reached, told by what is likely to be wrong with its address."""
    url = connection.url
    for cause in _causes(error):
        if isinstance(cause, socket.gaierror):
            return Unavailable(
                f"no machine is known as {urlsplit(url).hostname}",
                fix="set PLACET_URL to the platform's address",
            )
        if isinstance(cause, ssl.SSLError):
            reason = getattr(cause, "verify_message", None) or cause.reason or str(cause)
            return Unavailable(
                f"{url} answers, but not in TLS that holds: {reason}",
                fix="set PLACET_URL to http:// if it speaks no TLS, or SSL_CERT_FILE to who signs for it",
            )
    return Unavailable(
        f"nothing answers at {url}", fix="is `placet up` running? PLACET_URL says where else to look"
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def problem(status: int, headers: Mapping[str, str], body: bytes) -> PlacetError:
    document = _read(body)
    said = {key: value for key, value in document.items() if isinstance(value, str)}
    detail = said.get("detail") or said.get("title") or _reason(status)
    fix, rule = said.get("fix"), said.get("rule")
    if status == 401 and fix is None:
        fix = "set PLACET_TOKEN to a valid token; an admin makes one with `placet token create`"
    if not said and fix is None and status not in PASSING:
        fix = "is PLACET_URL really the address of a platform?"
    if status in PASSING or status >= 500:
        kind = TooMany if status == 429 else Unavailable
        return kind(detail, fix=fix, rule=rule, retry_after=_seconds(headers.get("retry-after")))
    if status == 400:
        return Unreadable(detail, fix=fix, rule=rule)
    if status not in _REFUSALS and (parts := _parts(document.get("refusals"))):
        return RefusedForMore(detail, fix=fix, rule=rule, parts=parts)
    return _REFUSALS.get(status, Refused)(detail, fix=fix, rule=rule)


def _parts(refusals: Any) -> list[Refused]:
    try:
        said = msgspec.convert(refusals, list[Refusal])
    except msgspec.ValidationError:
        return []
    return [Refused(each.why, fix=each.fix, rule=each.rule) for each in said]


def _read(body: bytes) -> dict[str, Any]:
    try:
        said: Any = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def _reason(status: int) -> str:
    try:
        return f"the platform answered {status} {HTTPStatus(status).phrase}"
    except ValueError:
        return f"the platform answered {status}"


def _seconds(retry_after: str | None) -> float | None:
    """Seconds to wait; the header's other form, a date, is not used by placet and counts as unsaid."""
    try:
        return max(0.0, float(retry_after)) if retry_after else None
    except ValueError:
        return None
