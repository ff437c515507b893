"""Pictures of numbers, as SVG that follows the page's colours and width; each says in words what it shows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup

from placet.events.codec import moment
from placet.gateway.console.rounding import number

Value = float | None
Span = tuple[str, str]
"""When what was measured began and ended, as RFC 3339."""
_WIDE, _HIGH = 100.0, 100.0
_NICE = (1, 2, 2.5, 5, 10)


def sparkline(
    values: Sequence[Value],
    *,
    what: str,
    limit: float | None = None,
    spans: Sequence[Span] | None = None,
    nothing: str = "nothing yet",
) -> Markup:
    """A line without a scale, oldest first; a gap where nothing was measured, and with `spans` where nothing was for
    longer than that took. `limit` is drawn in."""
    known = [each for each in values if each is not None]
    if not known:
        return Markup('<span class="soft">{}</span>').format(nothing)
    top = max([*known, *([limit] if limit is not None else [])]) or 1.0
    return _svg("spark", _said(what, known, "", limit), values, top, limit, axis_of(values, spans))


def chart(
    values: Sequence[Value],
    *,
    what: str,
    unit: str = "",
    limit: float | None = None,
    between: tuple[str, str] | None = None,
    spans: Sequence[Span] | None = None,
) -> Markup:
    """A line with its scale, oldest first, and the limit that a condition sets; `between` says from when until when it
    is. With `spans` each stands at its time, and the line ends where nothing was measured for a while."""
    known = [each for each in values if each is not None]
    if not known:
        return Markup('<p class="soft">Nothing was measured yet.</p>')
    top = _nice(max([*known, *([limit] if limit is not None else [])]))
    axis = axis_of(values, spans)
    drawn = _svg("lines", _said(what, known, unit, limit), values, top, limit, axis, is_ruled=True)
    return Markup(
        '<div class="chart"><div class="scale" aria-hidden="true"><span>{:g}</span><span>{:g}</span>'
        "<span>0</span></div>{}{}</div>"
    ).format(top, top / 2, drawn, _ends(between))


def _ends(between: tuple[str, str] | None) -> Markup:
    if between is None:
        return Markup("")
    return Markup('<div class="ends" aria-hidden="true"><span>{}</span><span>{}</span></div>').format(
        *between
    )


def _nice(most: float) -> float:
    """The end of a scale that people can read, at or above `most`."""
    if most <= 0 or not math.isfinite(most):
        return 1.0
    ten = 10.0 ** math.floor(math.log10(most))
    return next(each * ten for each in _NICE if each * ten >= most * (1 - 1e-9))


def _said(what: str, known: Sequence[float], unit: str, limit: float | None) -> str:
    says = f"{what}: last {number(known[-1])}{unit}, most {number(max(known))}{unit}"
    return says if limit is None else f"{says}, limit {number(limit)}{unit}"


@dataclass(frozen=True, kw_only=True)
class Axis:
    """Where each value stands, from 0 to 100; and which come after a silence, by their places in the row."""

    at: tuple[float, ...]
    after_silence: frozenset[int] = frozenset()


def axis_of(values: Sequence[Value], spans: Sequence[Span] | None) -> Axis:
    """At the middle of their spans, or one as far from the next as the other where those tell nothing. It is silent
    where half of what a span takes, or more, lies between two."""
    read = None if spans is None or len(spans) != len(values) else _read(spans)
    if read is None:
        step = _WIDE / max(1, len(values) - 1)
        return Axis(at=tuple(place * step for place in range(len(values))))
    begin, wide = read[0][0], read[-1][1] - read[0][0]
    silent = {
        place
        for place, (one, other) in enumerate(pairwise(read), 1)
        if other[0] - one[1] > min(one[1] - one[0], other[1] - other[0]) / 2
    }
    at = tuple(((since + until) / 2 - begin) / wide * _WIDE for since, until in read)
    return Axis(at=at, after_silence=frozenset(silent))


def _read(spans: Sequence[Span]) -> list[tuple[float, float]] | None:
    """In seconds; None where one is no time, or they are not one behind the other."""
    try:
        read = [(moment(since).timestamp(), moment(until).timestamp()) for since, until in spans]
    except ValueError:
        return None
    is_in_order = all(one[0] <= other[0] and one[1] <= other[1] for one, other in pairwise(read))
    return read if read and is_in_order and read[0][0] < read[-1][1] else None


def _svg(
    kind: str,
    says: str,
    values: Sequence[Value],
    top: float,
    limit: float | None,
    axis: Axis,
    *,
    is_ruled: bool = False,
) -> Markup:
    rules = (_across("grid", share * top, top) for share in (0.0, 0.5, 1.0)) if is_ruled else ()
    bound = Markup("") if limit is None else _across("limit", limit, top)
    return Markup(
        '<svg class="{}" viewBox="0 -2 100 104" preserveAspectRatio="none" role="img" aria-label="{}"><title>{}</title>'
        "{}{}{}</svg>"
    ).format(kind, says, says, Markup("").join(rules), bound, _line(values, top, axis))


def _line(values: Sequence[Value], top: float, axis: Axis) -> Markup:
    pieces: list[list[str]] = [[]]
    for place, (value, at) in enumerate(zip(values, axis.at, strict=True)):
        if value is None or place in axis.after_silence:
            pieces.append([])
        if value is not None:
            pieces[-1].append(f"{at:.2f},{_at(value, top):.2f}")
    drawn = Markup("")
    for each in pieces:
        if each[1:]:
            drawn += Markup('<polyline class="line" points="{}"/>').format(" ".join(each))
        elif each:  # a line to itself, which its round ends make a dot
            drawn += Markup('<polyline class="line point" points="{0} {0}"/>').format(each[0])
    return drawn


def _across(kind: str, value: float, top: float) -> Markup:
    at = f"{_at(value, top):.2f}"
    return Markup('<line class="{}" x1="0" x2="100" y1="{at}" y2="{at}"/>').format(kind, at=at)


def _at(value: float, top: float) -> float:
    return _HIGH - value / top * _HIGH


@dataclass(frozen=True, kw_only=True)
class Node:
    """`kind` is what it is, in words; `about` what is said of it to who looks closer; `link` a page of the console."""

    id: str
    kind: str
    name: str
    about: str | None = None
    link: str | None = None


@dataclass(frozen=True, kw_only=True)
class Graph:
    """Columns from left to right; an edge leads from a node to one further right."""

    columns: tuple[tuple[Node, ...], ...]
    edges: tuple[tuple[str, str], ...]


_BOX, _TALL, _GAP, _WAY = 184, 54, 16, 34
_LETTERS = 24
"""Of a name that fit into a box."""


def graph(shown: Graph, *, what: str) -> Markup:
    """Boxes in columns, with lines from each to what came of it."""
    rows = max((len(column) for column in shown.columns), default=0)
    high = max(1, rows) * (_TALL + _GAP) - _GAP
    wide = max(1, len(shown.columns)) * (_BOX + _WAY) - _WAY
    places = {
        node.id: (
            place * (_BOX + _WAY),
            (high - len(column) * (_TALL + _GAP) + _GAP) // 2 + row * (_TALL + _GAP),
        )
        for place, column in enumerate(shown.columns)
        for row, node in enumerate(column)
    }
    # For the words that say that there is more of it to the right, on screens that it is wider than.
    reach = {0: "", 1: "", 2: " two"}.get(len(shown.columns), " long")
    lines = Markup("").join(_edge(places[before], places[after]) for before, after in shown.edges)
    boxes = Markup("").join(_box(node, *places[node.id]) for column in shown.columns for node in column)
    return Markup(
        '<svg class="graph{}" width="{}" height="{}" viewBox="-2 -2 {} {}" role="group" aria-label="{}">{}{}</svg>'
    ).format(reach, wide + 4, high + 4, wide + 4, high + 4, what, lines, boxes)


def _edge(before: tuple[int, int], after: tuple[int, int]) -> Markup:
    x, y, to_x, to_y = before[0] + _BOX, before[1] + _TALL // 2, after[0], after[1] + _TALL // 2
    middle = (x + to_x) // 2
    return Markup('<path class="edge" d="M{} {}C{} {} {} {} {} {}"/>').format(
        x, y, middle, y, middle, to_y, to_x, to_y
    )


def _box(node: Node, x: int, y: int) -> Markup:
    name = node.name if len(node.name) <= _LETTERS else f"{node.name[: _LETTERS - 1]}\u2026"
    said = f"{node.kind}: {node.name}" + (f" ({node.about})" if node.about else "")
    drawn = Markup(
        '<g><title>{}</title><rect x="{}" y="{}" width="{}" height="{}" rx="6"/>'
        '<text class="kind" x="{tx}" y="{}">{}</text><text x="{tx}" y="{}">{}</text></g>'
    ).format(said, x, y, _BOX, _TALL, y + 20, node.kind[:_LETTERS], y + 40, name, tx=x + 10)
    return drawn if node.link is None else Markup('<a href="{}">{}</a>').format(node.link, drawn)
