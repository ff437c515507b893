"""The evaluator that needs no library says of every condition what the engine says, or that it does not know."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import cel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from placet.rules.policy import expressions, offered_files, read_policy, shipped_files
from placet.rules.worker import evaluate
from placet.verifier.expressions import compiled, decided
from placet.verifier.failures import Unsupported

FACTS: dict[str, Any] = {
    "a": {
        "b": 1,
        "c": 1.0,
        "s": "héé",
        "l": [1, 2, 3],
        "e": [],
        "m": {"x": 1, "y": None},
        "t": True,
        "n": None,
        "u": 2**63 - 1,
        "neg": -5,
        "f": 2.5,
        "ds": ["a", "b"],
        "when": "2026-01-02T03:04:05Z",
    }
}
WRITTEN = Path(__file__).with_name("expressions.txt").read_text(encoding="utf-8").splitlines()
"""Each corner of the language that somebody looked at, those that are none too."""


def engine(expression: str) -> bool | None:
    """True, false, or none where it cannot be decided. Raises ValueError for what is no expression."""
    cel.compile(expression)
    return evaluate(expression, cel.Context(FACTS)).get("value")


@pytest.mark.parametrize("expression", WRITTEN)
def test_what_is_decided_is_what_the_engine_decides(expression: str) -> None:
    try:
        code = compiled(expression)
        ours = decided(code, FACTS)
    except Unsupported:
        return
    try:
        theirs = engine(expression)
    except ValueError:
        return  # no policy that was published has it
    assert ours is theirs


def test_most_of_what_was_looked_at_is_known() -> None:
    known = 0
    for expression in WRITTEN:
        try:
            decided(compiled(expression), FACTS)
        except Unsupported:
            continue
        known += 1
    assert known >= 0.8 * len(WRITTEN)


SHIPPED = {name: read_policy(data) for name, data in (shipped_files() | offered_files()).items()}


@pytest.mark.parametrize("name", SHIPPED)
def test_every_condition_that_ships_can_be_read(name: str) -> None:
    for each in expressions(SHIPPED[name]):
        compiled(each.text)


# generated

NUMBERS = [
    "0",
    "1",
    "-2",
    "3u",
    "1.0",
    "2.5",
    "9223372036854775807",
    "a.b",
    "a.c",
    "a.f",
    "a.u",
    "a.neg",
    "x",
]
TEXTS = ['"a"', "'é'", '""', "a.s", "a.when", "a.ds[0]", '"2026-01-02"', 'r"\\d"', '"(?i)A|b+"']
LISTS = ["a.l", "a.e", "a.ds", "[1, 2.0, 'a']", "a.m", "{'a': 1}", "[x]", "a.n"]
ODDS = [
    "true",
    "false",
    "null",
    "a.t",
    "a.n",
    "a.q",
    "a.m.x",
    "a.m.y",
    "has(a.q)",
    "has(a.m.y)",
    "a.l[5]",
    "zz",
]


SHAPES = (
    "({0} {sign} {1})",
    "!({0})",
    "-({0})",
    "({0} ? {1} : {2})",
    "{many}.{macro}(x, {0})",
    "{function}({0})",
    "({text}).{asks}({0})",
    "({0})[{1}]",
    "[{0}, {1}]",
    "{{{text}: {0}}}",
    "({0}).size()",
    "({0}).b",
    "has(({0}).b)",
    "timestamp({text}).{part}()",
)
WORDS = {
    "sign": ["==", "!=", "<", "<=", ">", ">=", "in", "+", "-", "*", "/", "%", "&&", "||"],
    "macro": ["all", "exists", "exists_one", "filter", "map"],
    "function": ["size", "int", "uint", "double", "string", "bytes", "timestamp", "duration", "bool"],
    "asks": ["contains", "startsWith", "endsWith", "matches"],
    "part": ["getFullYear", "getMonth", "getDate", "getDayOfWeek", "getHours"],
}


@st.composite
def conditions(draw: st.DrawFn, depth: int = 4) -> str:
    if depth == 0 or draw(st.integers(0, 3)) == 0:
        return draw(st.sampled_from([*NUMBERS, *TEXTS, *LISTS, *ODDS]))
    shape = draw(st.sampled_from(SHAPES))
    below = [draw(conditions(depth - 1)) if f"{{{number}}}" in shape else "" for number in range(3)]
    words = {name: draw(st.sampled_from(each)) for name, each in WORDS.items() if f"{{{name}}}" in shape}
    return shape.format(*below, **words, many=draw(st.sampled_from(LISTS)), text=draw(st.sampled_from(TEXTS)))


@given(expression=conditions())
@settings(max_examples=1500, deadline=None)
def test_generated_conditions_are_decided_alike(expression: str) -> None:
    try:
        ours = decided(compiled(expression), FACTS)
    except Unsupported:
        return
    try:
        theirs = engine(expression)
    except ValueError:
        return
    assert ours is theirs


ALPHABET = "aAbBkKsS01 _-.é\n\u212a\u017f"
ATOMS = st.sampled_from(
    [
        "a",
        "B",
        "k",
        "S",
        "1",
        "_",
        "-",
        ".",
        "\\.",
        "\\d",
        "\\w",
        "\\s",
        "\\D",
        "\\b",
        "[a-c]",
        "[^a-c]",
        "[\\d_]",
        "[-a]",
        "[]a]",
        "(?:ab)",
        "(a|b)",
        "(?i:k)",
        "(|a)",
        "^",
        "$",
        "\\A",
        "\\z",
        "\\x61",
        "\\-",
        "é",
    ]
)
REPEATED = st.builds(
    str.__add__, ATOMS, st.sampled_from(["", "", "*", "+", "?", "{2}", "{1,}", "{0,2}", "*?", "+?"])
)
PATTERNS = st.builds(
    lambda flags, parts: flags + "".join(parts),
    st.sampled_from(["", "", "(?i)", "(?s)", "(?is)"]),
    st.lists(REPEATED | st.just("|"), max_size=6),
)


@given(pattern=PATTERNS, text=st.text(ALPHABET, max_size=8))
@settings(max_examples=1500, deadline=None)
def test_generated_patterns_are_found_alike(pattern: str, text: str) -> None:
    expression = "text.matches(pattern)"
    facts = {"text": text, "pattern": pattern}
    try:
        ours = decided(compiled(expression), facts)
    except Unsupported:
        return
    assert ours is evaluate(expression, cel.Context(facts)).get("value")


def test_a_pattern_that_would_go_back_for_ever_takes_no_longer_than_its_text() -> None:
    facts = {"text": "a" * 5000 + "b", "pattern": "^(a+)+(a*)*$"}
    assert decided(compiled("text.matches(pattern)"), facts) is False


@pytest.mark.parametrize(
    "expression",
    ["!" * 1900 + "true", "-" * 1900 + "1 == 1", "1" + " + 1" * 400, "true ? true : " * 40 + "true"],
)
def test_long_conditions_need_no_more_room(expression: str) -> None:
    assert decided(compiled(expression), FACTS) is engine(expression)


@pytest.mark.parametrize(
    "expression",
    [
        "has(" * 16 + "a" + ".b)" * 16,
        "'''" + "\\" * 1900,
        '"""' + "\\" * 1901,
        '""" + "' * 200,
    ],
)
def test_what_is_read_takes_no_longer_than_its_text(expression: str) -> None:
    """It took twice as long with each bracket, or with every other sign."""
    with suppress(Unsupported):
        assert decided(compiled(expression), {"a": {}}) is None


def test_a_number_that_is_written_for_ever_is_none() -> None:
    facts = {"long": "1" * 100_000, "ones": [10**39]}
    assert decided(compiled("int(long) > 0"), facts) is None
    assert decided(compiled("uint(long) > 0u"), facts) is None
    with pytest.raises(Unsupported):
        decided(compiled("duration(long + 'h') > duration('1s')"), facts)


@pytest.mark.parametrize("expression", ["(" * 60 + "1" + ")" * 60, "a.b.c(", "\\", "'", "1 ~ 2", "x y", ""])
def test_what_is_no_condition_is_not_guessed(expression: str) -> None:
    with pytest.raises(Unsupported):
        compiled(expression)


def test_a_number_that_is_larger_than_any_fact_is_not_guessed() -> None:
    with pytest.raises(Unsupported):
        decided(compiled("a == 1"), {"a": 2**63})
