"""What a .placetignore leaves out: what git would, and in no more time for a hostile one."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pathspec import GitIgnoreSpec
from placet.errors import Refused
from placet.projects import project_files
from placet.projects.ignoring import ignore_spec

PATTERNS = st.lists(
    st.sampled_from(["a", "b", "*", "*", "?", "/", "**/", "/**", "[ab]", "\\*", ".", "!"]), max_size=10
).map("".join)
NAMES = st.lists(st.text("ab.*", min_size=1, max_size=7), min_size=1, max_size=4).map("/".join)


@given(PATTERNS, st.lists(NAMES, min_size=1), st.sampled_from(["", "/"]))
def test_a_pattern_leaves_out_what_it_always_did(pattern: str, names: list[str], end: str) -> None:
    try:
        own, plain = ignore_spec((), pattern.encode()), GitIgnoreSpec.from_lines([pattern])
    except (Refused, ValueError):
        return
    for name in names:
        assert own.match_file(name + end) == plain.match_file(name + end), (pattern, name + end)


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("*a" * 14 + "b", "a" * 200),
        ("*a" * 60 + "b", "a" * 255),
        ("*a*a*a*b/" * 14 + "c", "/".join(["a" * 15] * 16)),
        ("*[!b]*[!b]*/" * 20 + "c", "/".join(["a"] * 100)),
        ("a/**/a/**/a/**/b", "/".join(["a"] * 100)),
    ],
)
def test_no_pattern_is_followed_in_every_way_it_could_match(pattern: str, name: str) -> None:
    """Each of these would take longer than the tests may, if it were; the first took a gateway with it."""
    assert not ignore_spec((), pattern.encode()).match_file(name)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("\n".join(f"{number:x}" for number in range(1001)), "has 1001 patterns; the limit is 1000"),
        ("#" * 65_537, "has more than 65536 bytes"),
        ("**/a/**/b/**/c/**/d", r"has a pattern with more than 3 `\*\*`: '\*\*/a"),
        ("a\\", "has a line that is no pattern"),
    ],
)
def test_more_than_anybody_needs_is_refused(said: str, why: str, tmp_path: Path) -> None:
    (tmp_path / ".placetignore").write_text(said)
    with pytest.raises(Refused, match=rf"\.placetignore {why}"):
        list(project_files(tmp_path))


def test_comments_and_empty_lines_are_no_patterns() -> None:
    assert ignore_spec((), b"# note\n\n" * 1001 + b"*.csv\n").match_file("a/b.csv")
