"""Payloads that a test needs with one field otherwise."""

from __future__ import annotations

from typing import Any, TypeVar, cast

import msgspec

Payload = TypeVar("Payload")


def changed(payload: Payload, **fields: Any) -> Payload:
    """`payload` with `fields`. Type checkers take an event for a dataclass; it is a struct."""
    return cast(Payload, msgspec.structs.replace(cast(Any, payload), **fields))
