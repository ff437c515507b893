"""What the operators and functions of expressions do."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from placet.verifier.failures import Unsupported
from placet.verifier.patterns import Pattern
from placet.verifier.values import (
    INT,
    Duration,
    Timestamp,
    UInt,
    Undecidable,
    Value,
    key_of,
    spend,
    tagged,
    weight,
)


def _is_number(value: Value) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def equal(one: Value, two: Value) -> bool:
    spend(weight(one))
    if _is_number(one) and _is_number(two):
        return bool(
            float(one) == float(two) if isinstance(one, float) or isinstance(two, float) else one == two
        )
    if isinstance(one, Timestamp) and isinstance(two, Timestamp):
        return one.nanos == two.nanos
    if isinstance(one, list) and isinstance(two, list):
        spend(8 * len(one))
        return len(one) == len(two) and all(equal(a, two[index]) for index, a in enumerate(one))
    if isinstance(one, dict) and isinstance(two, dict):
        spend(8 * len(one))
        first, second = tagged(one), tagged(two)
        return first.keys() == second.keys() and all(
            equal(value, second[key]) for key, value in first.items()
        )
    return type(one) is type(two) and bool(one == two)


def _compared(one: Value, two: Value) -> int:
    """Below, at or above nothing, as `one` is of `two`."""
    if _is_number(one) and _is_number(two):
        if isinstance(one, float) or isinstance(two, float):
            one, two = float(one), float(two)
            if math.isnan(one) or math.isnan(two):
                raise Undecidable
    elif isinstance(one, (Timestamp, Duration)) and type(one) is type(two):
        one, two = one.nanos, two.nanos
    elif not (type(one) is type(two) and isinstance(one, (str, bytes, bool))):
        raise Undecidable
    return int(one > two) - int(one < two)


def _contained(one: Value, many: Value) -> bool:
    if isinstance(many, list):
        return any(equal(one, each) for each in many)
    if isinstance(many, dict):
        spend(len(many))
        return key_of(one) in tagged(many)
    raise Undecidable


RELATIONS: dict[str, Callable[[Value, Value], Value]] = {
    "==": equal,
    "!=": lambda one, two: not equal(one, two),
    "<": lambda one, two: _compared(one, two) < 0,
    "<=": lambda one, two: _compared(one, two) <= 0,
    ">": lambda one, two: _compared(one, two) > 0,
    ">=": lambda one, two: _compared(one, two) >= 0,
    "in": _contained,
}


def _checked(value: int, kind: type) -> Value:
    if kind is UInt:
        if not 0 <= value < 2**64:
            raise Undecidable
        return UInt(value)
    if not INT[0] <= value <= INT[1]:
        raise Undecidable
    return int(value)


def _arithmetic(whole: Callable[[int, int], int], real: Callable[[float, float], float] | None) -> Any:
    def operate(one: Value, two: Value) -> Value:
        if type(one) is type(two) and type(one) in (int, UInt):
            return _checked(whole(int(one), int(two)), type(one))
        if isinstance(one, float) and isinstance(two, float) and real is not None:
            return real(one, two)
        raise Undecidable

    return operate


def _quotient(one: int, two: int) -> int:
    if two == 0:
        raise Undecidable
    found = abs(one) // abs(two)
    return found if (one < 0) == (two < 0) else -found


def _remainder(one: int, two: int) -> int:
    quotient = _quotient(one, two)
    if quotient > INT[1]:
        raise Undecidable  # the least number by -1
    return one - quotient * two


def _divided(one: float, two: float) -> float:
    if two != 0:
        return one / two
    if one == 0 or math.isnan(one):
        return math.nan
    return math.inf * math.copysign(1, one) * math.copysign(1, two)


_YEAR_1, _YEAR_10000 = -62_135_596_800 * 10**9, 253_402_300_800 * 10**9


def _moved(by: Timestamp, nanos: int) -> Timestamp:
    if not _YEAR_1 <= by.nanos + nanos < _YEAR_10000:
        raise Undecidable
    return Timestamp(by.nanos + nanos, by.offset)


def _lasting(nanos: int) -> Duration:
    if not INT[0] <= nanos <= INT[1]:
        raise Unsupported("a duration of centuries")
    return Duration(nanos)


def _plus(one: Value, two: Value) -> Value:
    if type(one) is type(two) and type(one) in (str, bytes, list):
        spend(weight(one) + weight(two))
        return one + two
    if isinstance(one, Timestamp) and isinstance(two, Duration):
        return _moved(one, two.nanos)
    if isinstance(one, Duration) and isinstance(two, Duration):
        return _lasting(one.nanos + two.nanos)
    return _add(one, two)


def _minus(one: Value, two: Value) -> Value:
    if isinstance(one, Timestamp) and isinstance(two, Timestamp):
        return _lasting(one.nanos - two.nanos)
    if isinstance(one, Timestamp) and isinstance(two, Duration):
        return _moved(one, -two.nanos)
    if isinstance(one, Duration) and isinstance(two, Duration):
        return _lasting(one.nanos - two.nanos)
    return _subtract(one, two)


_add = _arithmetic(lambda a, b: a + b, lambda a, b: a + b)
_subtract = _arithmetic(lambda a, b: a - b, lambda a, b: a - b)
SUMS: dict[str, Callable[[Value, Value], Value]] = {"+": _plus, "-": _minus}
PRODUCTS: dict[str, Callable[[Value, Value], Value]] = {
    "*": _arithmetic(lambda a, b: a * b, lambda a, b: a * b),
    "/": _arithmetic(_quotient, _divided),
    "%": _arithmetic(_remainder, None),
}


def _size(value: Value) -> int:
    if isinstance(value, str):
        return len(value.encode("utf-8", "surrogatepass"))
    if isinstance(value, (bytes, list, dict)):
        return len(value)
    raise Undecidable


def _of_texts(function: Callable[[str, str], bool]) -> Callable[[Value, Value], bool]:
    def call(one: Value, two: Value) -> bool:
        if not isinstance(one, str) or not isinstance(two, str):
            raise Undecidable
        return function(one, two)

    return call


def _whole_in(text: str, form: str) -> int:
    found = re.fullmatch(form, text, re.A)
    if found is None or len(found[1]) > 20:  # the largest that there is has twenty digits
        raise Undecidable
    return -int(found[1]) if text[0] == "-" else int(found[1])


def _int(value: Value) -> int:
    if isinstance(value, str):
        return int(_checked(_whole_in(value, r"[-+]?0*([0-9]+)"), int))
    if not _is_number(value) or (isinstance(value, float) and not -(2.0**63) < value < 2.0**63):
        raise Undecidable
    return int(_checked(int(value), int))


def _uint(value: Value) -> UInt:
    if isinstance(value, str):
        return UInt(_checked(_whole_in(value, r"\+?0*([0-9]+)"), UInt))
    if not _is_number(value) or value < 0 or (isinstance(value, float) and not value < 2.0**64):
        raise Undecidable
    return UInt(_checked(int(value), UInt))


_REAL = re.compile(r"[-+]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|inf|infinity|nan)", re.A | re.I)


def _double(value: Value) -> float:
    if isinstance(value, str):
        if not _REAL.fullmatch(value):
            raise Undecidable
        return float(value)
    if not _is_number(value):
        raise Undecidable
    return float(value)


def _string(value: Value) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        if math.isnan(value) or math.isinf(value):
            return "NaN" if math.isnan(value) else "inf" if value > 0 else "-inf"
        written = format(Decimal(repr(value)), "f")
        return written[:-2] if written.endswith(".0") else written
    if _is_number(value):
        return str(int(value))
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise Unsupported("bytes that are no text, as text") from None
    if isinstance(value, (Timestamp, Duration)):
        raise Unsupported("a time as text")
    raise Undecidable


def _bytes(value: Value) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, bytes):
        return value
    raise Undecidable


def _never(value: Value) -> Value:
    """The engine has no such function, and policies may name it: what asks it cannot be decided."""
    raise Undecidable


_RFC3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:[Zz]|([-+])(\d\d):(\d\d))", re.A
)


def _timestamp(value: Value) -> Timestamp:
    if isinstance(value, Timestamp):
        raise Unsupported("a time made of a time")
    if not isinstance(value, str):
        raise Undecidable
    found = _RFC3339.fullmatch(value)
    if found is None:
        if re.match(r"[-+]?\d{4,}-\d\d-\d\d[Tt _]*\d\d:\d\d:\d\d", value, re.A) or value != value.strip():
            raise Unsupported(f"the time {value!r}")
        raise Undecidable
    year, month, day, hour, minute, second = (int(found[number]) for number in range(1, 7))
    if second == 60 or year == 0:
        raise Unsupported(f"the time {value!r}")
    offset = 0 if found[8] is None else (int(found[9]) * 60 + int(found[10])) * (-1 if found[8] == "-" else 1)
    try:
        days = date(year, month, day).toordinal() - date(1970, 1, 1).toordinal()
    except ValueError:
        raise Undecidable from None
    if hour > 23 or minute > 59 or second > 59 or (found[8] and (int(found[9]) > 23 or int(found[10]) > 59)):
        raise Undecidable
    seconds = days * 86400 + hour * 3600 + (minute - offset) * 60 + second
    nanos = seconds * 10**9 + int((found[7] or "").ljust(9, "0"))
    if not _YEAR_1 + 86400 * 10**9 <= nanos < _YEAR_10000 - 86400 * 10**9:
        raise Unsupported("a time in the first or last day of all")
    return Timestamp(nanos, offset)


_UNITS = {"h": 3600 * 10**9, "m": 60 * 10**9, "s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
_SPAN = re.compile(r"([0-9]+)(?:\.([0-9]*))?(ms|us|ns|h|m|s)", re.A)


def _duration(value: Value) -> Duration:
    if isinstance(value, Duration):
        raise Unsupported("a duration made of a duration")
    if not isinstance(value, str):
        raise Undecidable
    text = value[1:] if value[:1] in "+-" else value
    if text == "0":
        return Duration(0)
    parts = list(_SPAN.finditer(text))
    if not parts or "".join(each[0] for each in parts) != text:
        if not re.match(r"[0-9.]", text, re.A):
            raise Undecidable
        raise Unsupported(f"the duration {value!r}")
    nanos = Decimal(0)
    for each in parts:
        nanos += Decimal(f"{each[1]}.{each[2] or 0}") * _UNITS[each[3]]
    if nanos > 2**62 or nanos != int(nanos):
        raise Unsupported(f"the duration {value!r}")
    return Duration(-int(nanos) if value[0] == "-" else int(nanos))


def _part_of_time(part: Callable[[datetime], int]) -> Callable[[Value], int]:
    def call(value: Value) -> int:
        if isinstance(value, Duration):
            raise Unsupported("such a part of a duration")
        if not isinstance(value, Timestamp):
            raise Undecidable
        seconds = value.nanos // 10**9 + value.offset * 60
        return part(datetime(1970, 1, 1) + timedelta(seconds=seconds))  # noqa: DTZ001 - as its clock shows it

    return call


FUNCTIONS: dict[str, Callable[..., Value]] = {
    "size": _size,
    "int": _int,
    "uint": _uint,
    "double": _double,
    "string": _string,
    "bytes": _bytes,
    "bool": _never,
    "min": _never,
    "max": _never,
    "timestamp": _timestamp,
    "duration": _duration,
}
TAKES_TEXT = frozenset({"contains", "startsWith", "endsWith", "matches"})


def _hours(value: Value) -> int:
    """Of a duration all that are over."""
    if isinstance(value, Duration):
        hours = abs(value.nanos) // (3600 * 10**9)
        return hours if value.nanos >= 0 else -hours
    return _part_of_time(lambda at: at.hour)(value)


def _matches(text: str, pattern: str) -> bool:
    return Pattern(pattern).is_in(text)


METHODS: dict[str, Callable[..., Value]] = {
    "size": _size,
    "contains": _of_texts(lambda text, part: part in text),
    "startsWith": _of_texts(str.startswith),
    "endsWith": _of_texts(str.endswith),
    "matches": _of_texts(_matches),
    "getFullYear": _part_of_time(lambda at: at.year),
    "getMonth": _part_of_time(lambda at: at.month - 1),
    "getDate": _part_of_time(lambda at: at.day),
    "getDayOfWeek": _part_of_time(lambda at: at.isoweekday() % 7),
    "getHours": _hours,
}
