"""The reader of the YAML that policies are written in reads what the platform reads, or says that it does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from placet.projects.documents import DocumentRefused, read_plain
from placet.rules.policy import offered_files, shipped_files
from placet.verifier.failures import Unsupported
from placet.verifier.policy_files import Yaml

SHIPPED = shipped_files() | offered_files()
EXAMPLES = sorted(Path("examples").rglob("*.yaml"))


def same(one: Any, two: Any) -> bool:
    """1 and 1.0 are two kinds of number in a condition."""
    if type(one) is not type(two):
        return False
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(same(one[key], two[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(two) and all(map(same, one, two))
    return bool(one == two)


def platform(data: bytes) -> Any:
    return read_plain(data, document="it", limit=10**6)


@pytest.mark.parametrize("name", SHIPPED)
def test_every_policy_that_ships_is_read_alike(name: str) -> None:
    assert same(Yaml(SHIPPED[name]).value(), platform(SHIPPED[name]))


@pytest.mark.parametrize("path", EXAMPLES, ids=str)
def test_so_is_every_document_of_the_examples(path: Path) -> None:
    assert same(Yaml(path.read_bytes()).value(), platform(path.read_bytes()))


WRITTEN = {
    "numbers": "a: 1\nb: -2\nc: 1.50\nd: 1e3\ne: 0x1\nf: 1.\ng: .5\nh: '1'\ni: 007\nj: 1_0\n",
    "words": "a: true\nb: yes\nc: null\nd: ~\ne:\nf: True\ng: ''\nh: \"\"\n",
    "lists": "a:\n- 1\n- - 2\n  - 3\n-  b: 4\n   c: 5\n-\n  - 6\nd: [1, [2, 3], {e: 4, f: }, g ]\n",
    "quotes": "a: 'it''s'\nb: \"\\\"\\n\\x41\\u00e9\\U0001F600\"\nc: 'two\n\n  lines'\nd: \"one\n  line\"\n",
    "blocks": "a: |\n  one\n   two\n\n  three\n\nb: >\n  one\n  two\n\n  three\nc: |-\n  end\nd: >+\n  end\n\n\ne: 1\n",
    "comments": "# first\na: 1 # one\n# between\nb: a#b # two\nc: 'x # y' # three\n- : 3\n",
    "plain": "a: one\n  two\n\n  three\nb: a:b\nc: -x\nd: http://e/f?g\nf: 2026-01-01\n",
    "keys": "'a b': 1\n\"c\": 2\nd e: 3\n? f\n: 4\n",
    "aliases": "a: &b 1\nc: *b\n",
    "tags": "a: !!str 1\n",
    "twice": "a: 1\na: 2\n",
    "two documents": "a: 1\n---\nb: 2\n",
    "nothing": "",
    "a text": "just words\n",
    "a tab": "a:\n\t- 1\n",
    "an open quote": "a: 'b\n",
    "an open bracket": "a: [1, 2\n",
    "an open mapping": "a: {b: 1\n",
}


@pytest.mark.parametrize("name", WRITTEN)
def test_what_is_read_is_what_the_platform_reads(name: str) -> None:
    read_alike_or_not(WRITTEN[name])


def read_alike_or_not(text: str) -> None:
    try:
        ours = Yaml(text.encode()).value()
    except Unsupported:
        return
    try:
        theirs = platform(text.encode())
    except DocumentRefused:
        return  # what is no policy was never published
    assert same(ours, theirs)


PIECES = st.sampled_from(
    [
        "'",
        '"',
        ":",
        ": ",
        "- ",
        "-",
        " ",
        "\n",
        "\n  ",
        "#",
        " #",
        "{",
        "}",
        "[",
        "]",
        ",",
        "|",
        ">",
        "|-\n",
        ">-\n",
        "?",
        "&a",
        "*a",
        "!t",
        "~",
        "null",
        "1",
        "1.5",
        "\\",
        "\\n",
        "é",
        "---\n",
        "%",
        "@",
        "`",
        "true",
        "\t",
        ">+\n",
    ]
)


@given(
    name=st.sampled_from(sorted(SHIPPED)),
    first=st.floats(0, 1),
    lines=st.integers(1, 14),
    changes=st.lists(st.tuples(st.floats(0, 1), PIECES, st.booleans()), max_size=4),
)
@settings(max_examples=600, deadline=None)
def test_a_policy_that_was_written_over_is_never_read_otherwise(
    name: str, first: float, lines: int, changes: list[tuple[float, str, bool]]
) -> None:
    whole = SHIPPED[name].decode().split("\n")
    start = int(first * len(whole))
    taken = whole[start : start + lines]
    indent = min((len(each) - len(each.lstrip()) for each in taken if each.strip()), default=0)
    text = "\n".join(each[indent:] for each in taken) + "\n"
    for where, piece, takes in changes:
        at = int(where * len(text))
        text = text[:at] + text[at + 1 :] if takes else text[:at] + piece + text[at:]
    read_alike_or_not(text)


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "a:\n "])
def test_a_file_that_nests_for_ever_is_refused(opening: str) -> None:
    with pytest.raises(Unsupported):
        Yaml((opening * 500).encode()).value()


def test_a_file_of_other_bytes_is_refused() -> None:
    with pytest.raises(Unsupported):
        Yaml(b"a: \xff\n").value()


def test_a_line_of_blanks_takes_no_longer_than_its_length() -> None:
    blanks = " " * 200_000
    assert Yaml(f"a: b{blanks}c\n".encode()).value() == {"a": f"b{blanks}c"}
    assert Yaml(f"a: b{blanks}\n".encode()).value() == {"a": "b"}
    assert Yaml(f"b{blanks}c\n".encode()).value() == f"b{blanks}c"
    with pytest.raises(Unsupported):
        Yaml(f"'b{blanks}c\n".encode()).value()
