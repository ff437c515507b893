"""What a card says was measured, as far as it says so in numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from placet.projects import Card, Measured, parse_card
from placet.projects.card import MAX_RESULTS

CARD = b"""---
license: apache-2.0
model-index:
- name: churn
  results:
  - task: {type: tabular-classification}
    dataset: {name: Telco, type: telco}
    metrics:
    - {type: accuracy, value: 0.93, name: Accuracy}
    - {type: f1, value: 1}
  - metrics:
    - {type: accuracy, value: 0.5}
---
It tells who leaves.
"""


def test_results_are_read_with_what_they_were_measured_on() -> None:
    assert parse_card(CARD).results == (
        Measured(metric="accuracy", value=0.93, dataset="Telco"),
        Measured(metric="f1", value=1.0, dataset="Telco"),
        Measured(metric="accuracy", value=0.5),
    )


@pytest.mark.parametrize(
    "index",
    [
        "{}",
        "7",
        "[7]",
        "[{results: 7}]",
        "[{results: [{metrics: {type: a, value: 1}}]}]",
        "[{results: [{metrics: [{type: accuracy, value: high}, {type: 7, value: 1}, {value: 1}]}]}]",
        "[{results: [{metrics: [{type: a, value: .nan}, {type: a, value: .inf}, {type: a, value: 1"
        + "0" * 400
        + "}, {type: a, value: true}]}]}]",
    ],
)
def test_what_is_no_result_is_left_alone(index: str) -> None:
    assert parse_card(f"---\nmodel-index: {index}\n---\nProse".encode()) == Card(prose="Prose")


def test_results_have_an_end() -> None:
    metrics = ", ".join("{type: a, value: 1}" for _ in range(MAX_RESULTS + 1))
    card = parse_card(f"---\nmodel-index: [{{results: [{{metrics: [{metrics}]}}]}}]\n---\n".encode())
    assert len(card.results) == MAX_RESULTS


@given(st.binary(max_size=200))
def test_whatever_stands_there_is_read_or_refused(index: bytes) -> None:
    from placet.projects import DocumentRefused

    try:
        parse_card(b"---\nmodel-index: " + index + b"\n---\n")
    except DocumentRefused:
        return
