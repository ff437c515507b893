"""Numbers as people round and read them, the same wherever one is shown."""

from __future__ import annotations

import math
from decimal import ROUND_HALF_UP, Decimal

NOTHING = "\u2013"
"""Where there is nothing to say."""


def number(value: float | None, digits: int = 3) -> str:
    """With so many digits that say something, a half rounded up; with narrow spaces between thousands, at which no line
    breaks, and no digit that says nothing."""
    if value is None:
        return NOTHING
    if not math.isfinite(value):
        return str(value)
    if isinstance(value, int) or value.is_integer():
        return f"{int(value):,}".replace(",", "\u202f")
    least = Decimal(repr(value)).adjusted() - digits + 1
    rounded = _rounded(value, min(least, 0))
    return number(int(rounded)) if abs(rounded) >= 10**digits else f"{float(rounded):.{digits}g}"


def _rounded(value: float, place: int) -> Decimal:
    """To that power of ten. What is written is what counts: 0.9245 is a half, whatever binary number stands for it."""
    return Decimal(repr(value)).quantize(Decimal(1).scaleb(place), ROUND_HALF_UP)
