"""What does a .placetignore leave out? Said with git's own patterns, in a time that grows with the names alone.

`pathspec` reads the patterns. It makes a regular expression of each, and Python's follows every way in which the
stars of `*a*a*a*b` could share a name out, which takes longer than anybody lives, and lets nothing else of the process
run meanwhile. Here each star takes the first place that will do, as `fnmatch` does it: what lies between two stars has
one length, so that a later place is never better. Patterns with many `**` are refused, and so are very many.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from pathspec import GitIgnoreSpec
from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

from placet.errors import Refused

IGNORE_FILE = ".placetignore"
MAX_IGNORE_BYTES = 64 * 1024
MAX_PATTERNS = 1000
"""Each name is held against each of them, at a microsecond."""
MAX_DOUBLE_STARS = 3
"""In one pattern: each multiplies the ways by the folders that a name lies in."""

_STAR, _ONE = "[^/]*", "[^/]"
"""What pathspec makes of `*` and `?`. No other part of a pattern becomes that: a bracket holds no slash."""
_NO_SLASH = "(?!/)"
_ESCAPE_OR_BRACKET = re.compile(r"\\.|\[\^?\]?[^\]]*\]", re.DOTALL)


class _FirstPlace(GitIgnoreSpecPattern):
    __slots__ = ()

    @classmethod
    def pattern_to_regex(cls, pattern: str) -> tuple[str | None, bool | None]:  # type: ignore[override]
        regex, include = super().pattern_to_regex(pattern)
        return (None if regex is None else _of_first_places(regex)), include


def ignore_spec(always: Sequence[str], said: bytes) -> GitIgnoreSpec:
    """What the lines of a .placetignore leave out, and what is `always` left out. Raises Refused."""
    if len(said) > MAX_IGNORE_BYTES:
        raise Refused(
            f"{IGNORE_FILE} has more than {MAX_IGNORE_BYTES} bytes",
            fix="name folders and endings (`data/`, `*.csv`) instead of single files",
        )
    lines = said.decode(errors="replace").splitlines()
    patterns = [line for line in lines if line.strip() and not line.startswith("#")]
    if len(patterns) > MAX_PATTERNS:
        raise Refused(
            f"{IGNORE_FILE} has {len(patterns)} patterns; the limit is {MAX_PATTERNS}",
            fix="name folders and endings (`data/`, `*.csv`) instead of single files",
        )
    for pattern in patterns:
        if pattern.rstrip().split("/").count("**") > MAX_DOUBLE_STARS:
            raise Refused(
                f"{IGNORE_FILE} has a pattern with more than {MAX_DOUBLE_STARS} `**`: {pattern!r:.100}",
                fix="name the folder that is meant, or write a pattern for each",
            )
    try:
        # Not the fastest expressions that happen to be installed: those know no first places.
        return GitIgnoreSpec.from_lines([*always, *patterns], _FirstPlace, backend="simple")
    except ValueError as error:
        raise Refused(f"{IGNORE_FILE} has a line that is no pattern: {error}") from error


def _of_first_places(regex: str) -> str:
    """With each star but the last of a name's part bound to the first place where what follows it fits."""
    first, *parts = _ESCAPE_OR_BRACKET.sub(_within_a_part, regex).split(_STAR)
    if not parts:
        return first
    *between, last = parts
    bound = (f"{_STAR}{part}" if _ends_a_part(part) else f"(?>{_STAR}?{part})" for part in between)
    return "".join((first, *bound, _STAR, last))


def _within_a_part(found: re.Match[str]) -> str:
    """`[!a]` is no slash, as git has it: or a name's parts could be told apart in many ways."""
    text = found[0]
    return text if text.startswith("\\") or text == _ONE else f"{_NO_SLASH}{text}"


def _ends_a_part(part: str) -> bool:
    return "/" in part.replace(_ONE, "").replace(_NO_SLASH, "")
