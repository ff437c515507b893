"""JSON, base64 and moments, read strictly: what has two readings has none."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import math
import re
from datetime import datetime, timezone
from typing import Any

from placet.verifier.failures import Wrong

_MAX_DIGITS = 40
"""Of a whole number: many more take long to read, and none that counts anything has so many."""
_HALF = re.compile(rb"\\u[dD][89a-fA-F]")
UTC = timezone.utc  # noqa: UP017 - so that it runs on Pythons that have no `datetime.UTC`


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Wrong("a key is there twice")
    return found


def _no_constant(name: str) -> Any:
    raise Wrong(f"{name} is no number")


def _whole(text: str) -> int:
    if len(text) > _MAX_DIGITS:
        raise Wrong(f"a number has {len(text)} digits")
    return int(text)


def _fraction(text: str) -> float:
    found = float(text)
    if math.isinf(found):
        raise Wrong(f"{text[:40]} is no number that there is room for")
    return found


def read_json(data: bytes, what: str) -> Any:
    try:
        found = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_once,
            parse_constant=_no_constant,
            parse_int=_whole,
            parse_float=_fraction,
        )
        if _HALF.search(data):
            json.dumps(found, ensure_ascii=False).encode()  # half a character is none
        return found
    except (ValueError, RecursionError) as error:
        raise Wrong(f"{what} cannot be read: {error}") from error
    except Wrong as error:
        raise Wrong(f"{what} cannot be read: {error}") from error


def read_object(data: bytes, what: str) -> dict[str, Any]:
    found = read_json(data, what)
    if not isinstance(found, dict):
        raise Wrong(f"{what} is no object")
    return found


def read_base64(text: str, what: str) -> bytes:
    try:
        found = base64.b64decode(text.encode(), validate=True)
    except (binascii.Error, ValueError) as error:
        raise Wrong(f"{what} is no base64") from error
    if base64.b64encode(found).decode() != text:
        raise Wrong(f"{what} is not canonical base64")
    return found


def sha256_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def write_moment(moment: datetime) -> str:
    """As events have it: in UTC, to the millisecond."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def read_moment(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(re.sub(r"[Zz]$", "+00:00", text))
        if found.tzinfo is None:
            raise Wrong(f"{text!r} has no time zone")
        return found.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise Wrong(f"{text!r} is no moment") from error
