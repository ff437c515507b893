"""A model's log, as people read it: what placet's own runtime writes is told apart, and all else stands as it was.

A line is the runtime's if it is a JSON object with `time`, `level` and `event`; what else is in it follows. Whoever
wants each byte has the lines as they were written (`raw=1`), and a shell has them by `placet logs`. Lines are words
from outside: `static/console.js` does the same with those that come later.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

LONGEST = 1 << 16
"""Characters of a line that is looked into; the client hands over longer ones in parts, which are no JSON."""
_OWN = ("time", "level", "event")
_IN_UTC = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d(?:\.\d{1,9})?)(?:\+00:00|Z)")
_PLAIN = re.compile(r"[\w.:/@+%-]+", re.ASCII)
_TONES = {"warning": "warn", "error": "bad", "critical": "bad"}


@dataclass(frozen=True, kw_only=True)
class Line:
    """`event` is the whole line where it is not the runtime's, and `level` None. `fields` stand behind it as they are
    written there, `texts` have lines of their own, each with its name."""

    event: str
    time: str = ""
    level: str | None = None
    tone: str = "soft"
    fields: tuple[str, ...] = ()
    texts: tuple[tuple[str, str], ...] = ()


def line_of(written: str) -> Line:
    said = _said(written)
    if said is None:
        return Line(event=written)
    more = {name: value for name, value in said.items() if name not in _OWN}
    texts = {name: value for name, value in more.items() if isinstance(value, str) and "\n" in value}
    return Line(
        event=said["event"],
        time=_read(said["time"]),
        level=said["level"],
        tone=_TONES.get(said["level"], "soft"),
        fields=tuple(f"{name}={_told(value)}" for name, value in more.items() if name not in texts),
        texts=tuple(texts.items()),
    )


def _said(written: str) -> dict[str, Any] | None:
    if not written.startswith("{") or len(written) > LONGEST:
        return None
    try:
        said = json.loads(written)
    except (ValueError, RecursionError):
        return None
    is_ours = isinstance(said, dict) and all(isinstance(said.get(name), str) for name in _OWN)
    return said if is_ours else None


def _read(time: str) -> str:
    found = _IN_UTC.fullmatch(time)
    return time if found is None else f"{found[1]} {found[2]}"


def _told(value: Any) -> str:
    if isinstance(value, str) and _PLAIN.fullmatch(value):
        return value
    return json.dumps(value, ensure_ascii=False)
