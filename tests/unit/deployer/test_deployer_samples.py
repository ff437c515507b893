"""Is an answer the one the project expects?"""

from __future__ import annotations

from typing import Any

import pytest
from placet.deployer.samples import difference


@pytest.mark.parametrize(
    ("expected", "got"),
    [
        ({"outputs": [1.0]}, {"outputs": [1.0 + 1e-9], "probabilities": [[0.1]]}),
        ({"outputs": [2]}, {"outputs": [2.0]}),
        ({"outputs": [1e12]}, {"outputs": [1e12 + 1]}),
        ({"outputs": ["a", None, True]}, {"outputs": ["a", None, True]}),
        ({}, {"anything": 1}),
    ],
)
def test_what_is_expected_is_a_part_of_the_answer(expected: Any, got: Any) -> None:
    assert difference(expected, got, 1e-6) is None


@pytest.mark.parametrize(
    ("expected", "got", "words"),
    [
        ({"outputs": [1, 2]}, {"outputs": [1, 3]}, "at outputs[1] expected 2, got 3"),
        ({"outputs": [[1.0]]}, {"outputs": [[1.1]]}, "at outputs[0][0] expected 1.0, got 1.1"),
        ({"outputs": [1]}, {"outputs": [1, 1]}, "at outputs expected 1 entries, got 2"),
        ({"outputs": [1]}, {"error": "no"}, "at the answer 'outputs' is missing"),
        ({"a": {"b": 1}}, {"a": {}}, "at a 'b' is missing"),
        ([1], {"a": 1}, "at the answer expected [1], got {'a': 1}"),
        ({"outputs": [1]}, [1], "at the answer expected {'outputs': [1]}, got [1]"),
        ({"outputs": [True]}, {"outputs": [1]}, "at outputs[0] expected True, got 1"),
        ({"outputs": [1.0]}, {"outputs": [float("nan")]}, "at outputs[0] expected 1.0, got nan"),
    ],
)
def test_a_difference_is_named_with_its_place(expected: Any, got: Any, words: str) -> None:
    assert difference(expected, got, 1e-6) == words


def test_the_project_says_how_far_numbers_may_be_off() -> None:
    assert difference([100.0], [101.0], 0.01) is None
    assert difference([100.0], [101.0], 0.001) is not None


def test_numbers_that_no_float_holds_are_compared_as_they_are() -> None:
    assert difference([10**400], [10**400], 1e-6) is None
    assert difference([10**400], [1.0], 1e-6) is not None


@pytest.mark.parametrize("got", [{}, {"k" * 100_000: {}}, {"k" * 100_000: {"l" * 100_000: 2}}])
def test_a_difference_is_told_in_so_many_words_however_long_the_keys_are(got: Any) -> None:
    said = difference({"k" * 100_000: {"l" * 100_000: 1}}, got, 0.1)

    assert said is not None
    assert len(said) < 1000
