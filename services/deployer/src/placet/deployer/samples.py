"""Does a model answer its own sample as the project says it should? Compares; asks nobody.

What is expected is a part of the answer: an object may hold more keys, a list may not hold more entries.
Numbers may differ by the tolerance, absolutely or relatively, whichever is wider.
"""

from __future__ import annotations

import math
from typing import Any


def difference(expected: Any, got: Any, tolerance: float, *, at: str = "") -> str | None:
    """Where and how `got` is not what was expected, in words, or None if it is."""
    where = f"{at or 'the answer':.200}"  # an event has to hold it, and keys are as long as somebody likes
    if isinstance(expected, dict):
        if not isinstance(got, dict):
            return _differs(where, expected, got)
        for key, value in expected.items():
            if key not in got:
                return f"at {where} {key!r:.200} is missing"
            found = difference(value, got[key], tolerance, at=f"{at}.{key}" if at else str(key))
            if found:
                return found
        return None
    if isinstance(expected, list):
        if not isinstance(got, list):
            return _differs(where, expected, got)
        if len(expected) != len(got):
            return f"at {where} expected {len(expected)} entries, got {len(got)}"
        for index, (wanted, value) in enumerate(zip(expected, got, strict=True)):
            found = difference(wanted, value, tolerance, at=f"{at}[{index}]")
            if found:
                return found
        return None
    if _is_number(expected) and _is_number(got):
        return None if _is_close(expected, got, tolerance) else _differs(where, expected, got)
    is_same = type(expected) is type(got) and expected == got
    return None if is_same else _differs(where, expected, got)


def _is_close(expected: float, got: float, tolerance: float) -> bool:
    try:
        return math.isclose(expected, got, rel_tol=tolerance, abs_tol=tolerance)
    except OverflowError:  # whole numbers beyond what a float holds
        return expected == got


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _differs(where: str, expected: Any, got: Any) -> str:
    return f"at {where} expected {expected!r:.200}, got {got!r:.200}"
