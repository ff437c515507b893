"""Pictures of numbers, as SVG that follows the page's colours and width; each says in words what it shows."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup

Value = float | None
_WIDE, _HIGH = 100.0, 100.0
_NICE = (1, 2, 2.5, 5, 10)


def sparkline(values: Sequence[Value], *, what: str, limit: float | None = None) -> Markup:
    """A line without a scale, oldest first; a gap where nothing was measured. `limit` is drawn in."""
    known = [each for each in values if each is not None]
    if not known:
        return Markup('<span class="soft">nothing yet</span>')
    top = max([*known, *([limit] if limit is not None else [])]) or 1.0
    return _svg("spark", _said(what, known, "", limit), values, top, limit)


def chart(values: Sequence[Value], *, what: str, unit: str = "", limit: float | None = None) -> Markup:
    """A line with its scale, oldest first, and the limit that a condition sets."""
    known = [each for each in values if each is not None]
    if not known:
        return Markup('<p class="soft">Nothing was measured yet.</p>')
    top = _nice(max([*known, *([limit] if limit is not None else [])]))
    drawn = _svg("lines", _said(what, known, unit, limit), values, top, limit, is_ruled=True)
    return Markup(
        '<div class="chart"><div class="scale" aria-hidden="true"><span>{:g}</span><span>{:g}</span>'
        "<span>0</span></div>{}</div>"
    ).format(top, top / 2, drawn)


def _nice(most: float) -> float:
    """The end of a scale that people can read, at or above `most`."""
    if most <= 0 or not math.isfinite(most):
        return 1.0
    ten = 10.0 ** math.floor(math.log10(most))
    return next(each * ten for each in _NICE if each * ten >= most * (1 - 1e-9))


def _said(what: str, known: Sequence[float], unit: str, limit: float | None) -> str:
    says = f"{what}: last {known[-1]:.3g}{unit}, most {max(known):.3g}{unit}"
    return says if limit is None else f"{says}, limit {limit:.3g}{unit}"


def _svg(
    kind: str, says: str, values: Sequence[Value], top: float, limit: float | None, *, is_ruled: bool = False
) -> Markup:
    rules = (_across("grid", share * top, top) for share in (0.0, 0.5, 1.0)) if is_ruled else ()
    bound = Markup("") if limit is None else _across("limit", limit, top)
    return Markup(
        '<svg class="{}" viewBox="0 -2 100 104" preserveAspectRatio="none" role="img" aria-label="{}"><title>{}</title>'
        "{}{}{}</svg>"
    ).format(kind, says, says, Markup("").join(rules), bound, _line(values, top))


def _line(values: Sequence[Value], top: float) -> Markup:
    step = _WIDE / max(1, len(values) - 1)
    pieces: list[list[str]] = [[]]
    for place, value in enumerate(values):
        if value is None:
            pieces.append([])
        else:
            pieces[-1].append(f"{place * step:.2f},{_at(value, top):.2f}")
    drawn = Markup("")
    for each in pieces:
        if each:  # of a single point a line to itself, which its round ends make a dot
            drawn += Markup('<polyline class="line" points="{}"/>').format(
                " ".join(each if each[1:] else each * 2)
            )
    return drawn


def _across(kind: str, value: float, top: float) -> Markup:
    at = f"{_at(value, top):.2f}"
    return Markup('<line class="{}" x1="0" x2="100" y1="{at}" y2="{at}"/>').format(kind, at=at)


def _at(value: float, top: float) -> float:
    return _HIGH - value / top * _HIGH
