"""What a benchmark says, one row for each number, and how rows become a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Row = dict[str, Any]
"""`name`, `value`, `unit`, and where we set ourselves one, `goal` (a number, or words) and whether it was `met`."""


def row(name: str, value: float, unit: str, *, goal: float | None = None) -> Row:
    """A number that is better the larger it is, if it has a goal."""
    return {
        "name": name,
        "value": value,
        "unit": unit,
        "goal": goal,
        "met": None if goal is None else value >= goal,
    }


def at_most(name: str, value: float, unit: str, *, goal: float) -> Row:
    """A number that is better the smaller it is."""
    return {"name": name, "value": value, "unit": unit, "goal": f"≤ {goal:,.10g}", "met": value <= goal}


def table(rows: Sequence[Row]) -> str:
    width = max(len(each["name"]) for each in rows)
    return "\n".join(_line(each, width) for each in rows)


def _line(each: Row, width: int) -> str:
    value = each["value"]
    shown = value if isinstance(value, str) else f"{value:>12,.10g}"
    line = f"{each['name']:<{width}}  {shown} {each['unit'] or ''}".rstrip()
    if each["goal"] is None:
        return line
    return f"{line:<{width + 30}}  goal {each['goal']}: {'met' if each['met'] else 'MISSED'}"
