"""JSON, base64 and moments, read strictly: what has two readings has none."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from datetime import datetime, timezone
from typing import Any

from placet.verifier.failures import Wrong

UTC = timezone.utc  # noqa: UP017 - so that it runs on Pythons that have no `datetime.UTC`


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Wrong("a key is there twice")
    return found


def _no_constant(name: str) -> Any:
    raise Wrong(f"{name} is no number")


def read_json(data: bytes, what: str) -> Any:
    try:
        return json.loads(data.decode("utf-8"), object_pairs_hook=_once, parse_constant=_no_constant)
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


def read_moment(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(re.sub(r"[Zz]$", "+00:00", text))
    except ValueError as error:
        raise Wrong(f"{text!r} is no moment") from error
    if found.tzinfo is None:
        raise Wrong(f"{text!r} has no time zone")
    return found.astimezone(UTC)
