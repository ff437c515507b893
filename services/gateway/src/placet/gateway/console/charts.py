"""Pictures of numbers, as SVG that follows the page's colours; each says in words what it shows."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

Value = float | None


def sparkline(values: Sequence[Value], *, what: str, limit: float | None = None) -> Markup:
    """A line without axes, oldest first; a gap where nothing was measured. `limit` is drawn in."""
    wide, high = 120, 28
    known = [each for each in values if each is not None]
    if not known:
        return Markup('<span class="soft">nothing yet</span>')
    top = max([*known, *([limit] if limit is not None else [])]) or 1.0
    inner = _limit(limit, top, wide, high, 2) + _line(values, top, wide, high, 2)
    says = f"{what}: last {known[-1]:.3g}, most {max(known):.3g}"
    return _svg("spark", wide, high, says, inner)


def chart(values: Sequence[Value], *, what: str, unit: str = "", limit: float | None = None) -> Markup:
    """A line with its scale, oldest first, and the limit that a condition sets."""
    wide, high, left = 640, 160, 48
    known = [each for each in values if each is not None]
    if not known:
        return Markup('<p class="soft">Nothing was measured yet.</p>')
    top = (max([*known, *([limit] if limit is not None else [])]) or 1.0) * 1.1
    scale = Markup("").join(
        Markup(
            '<line class="grid" x1="{}" x2="{}" y1="{y}" y2="{y}"/><text x="{}" y="{}">{:.3g}</text>'
        ).format(left, wide, left - 6, at + 4, top * share, y=f"{at:.1f}")
        for share in (0.0, 0.5, 1.0)
        for at in ((high - 8) - share * (high - 16),)
    )
    inner = scale + _limit(limit, top, wide, high, 8, left) + _line(values, top, wide, high, 8, left)
    says = f"{what}: last {known[-1]:.3g}{unit}, most {max(known):.3g}{unit}"
    if limit is not None:
        says += f", limit {limit:.3g}{unit}"
    return _svg("chart", wide, high, says, inner)


def _svg(kind: str, wide: int, high: int, says: str, inner: Markup) -> Markup:
    return Markup(
        '<svg class="{}" viewBox="0 0 {} {}" role="img" aria-label="{}"><title>{}</title>{}</svg>'
    ).format(kind, wide, high, says, says, inner)


def _line(values: Sequence[Value], top: float, wide: int, high: int, pad: int, left: int = 0) -> Markup:
    step = (wide - left - 2 * pad) / max(1, len(values) - 1)
    pieces: list[list[str]] = [[]]
    for place, value in enumerate(values):
        if value is None:
            pieces.append([])
            continue
        at = (high - pad) - value / top * (high - 2 * pad)
        pieces[-1].append(f"{left + pad + place * step:.1f},{at:.1f}")
    drawn = Markup("")
    for each in pieces:
        if len(each) == 1:
            x, y = each[0].split(",")
            drawn += Markup('<circle class="line" cx="{}" cy="{}" r="2"/>').format(x, y)
        elif each:
            drawn += Markup('<polyline class="line" points="{}"/>').format(" ".join(each))
    return drawn


def _limit(limit: float | None, top: float, wide: int, high: int, pad: int, left: int = 0) -> Markup:
    if limit is None:
        return Markup("")
    at = (high - pad) - limit / top * (high - 2 * pad)
    return Markup('<line class="limit" x1="{}" x2="{}" y1="{y}" y2="{y}"/>').format(left, wide, y=f"{at:.1f}")
