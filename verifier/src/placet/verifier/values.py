"""What conditions are about: values of facts, and those that only an expression can make."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, NamedTuple

from placet.verifier.failures import Unsupported


class Undecidable(Exception):
    """The condition fails: a fact is missing, of another kind, too large."""


class _Effort:
    def __init__(self) -> None:
        self.left = MAX_EFFORT


MAX_EFFORT = 2_000_000
"""How much work one rule may make: entries that are looked at, and room for what they are made into.

The platform ends a rule after a second, and says that it cannot be decided. Clocks differ, so here it is counted.
"""
_effort: ContextVar[_Effort] = ContextVar("effort")


def bounded(decide: Callable[..., Any], *given: Any) -> Any:
    """What `decide` gives. Raises Unsupported where that takes more work than somebody waits for."""
    before = _effort.set(_Effort())
    try:
        return decide(*given)
    finally:
        _effort.reset(before)


def spend(much: int) -> None:
    effort = _effort.get(None)
    if effort is not None:
        effort.left -= much
        if effort.left < 0:
            raise Unsupported("it takes more work than is done here for one rule")


def weight(value: Value) -> int:
    """How much work it is to look at all of a text, or to write it down once more."""
    return 1 + (len(value) // 16 if isinstance(value, (str, bytes, list)) else 0)


class UInt(int):
    """A number without a sign, which is of another kind than one with."""


class Timestamp(NamedTuple):
    nanos: int
    """Since 1970, in UTC."""
    offset: int
    """In minutes, for who asks for the hour."""


class Duration(NamedTuple):
    nanos: int


class Keyed(dict):  # type: ignore[type-arg]
    """A mapping written in an expression: its keys are of kinds, by (kind, value)."""


Value = Any
Env = Mapping[str, Value]
Code = Callable[[Env], Value]

INT = (-(2**63), 2**63 - 1)

NOTHING = object()
"""What a mapping gives for a key that it has not."""
UNTOLD = object()
"""Stands for facts that were there once, and are not told here."""


def fact(value: Value) -> Value:
    if value is UNTOLD:
        raise Unsupported("it asks about people, and what was known of them is not in the bundle")
    if isinstance(value, int) and not isinstance(value, (bool, UInt)) and not INT[0] <= value <= INT[1]:
        raise Unsupported("a fact that is a number of more than 64 bits")
    return value


def key_of(value: Value) -> tuple[str, Value]:
    if isinstance(value, bool):
        return "bool", value
    if isinstance(value, UInt):
        return "uint", int(value)
    if isinstance(value, int):
        return "int", value
    if isinstance(value, str):
        return "text", value
    raise Undecidable


def tagged(value: dict[Any, Any]) -> dict[Any, Any]:
    return value if isinstance(value, Keyed) else {("text", key): each for key, each in value.items()}
