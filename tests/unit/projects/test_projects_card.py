"""What a card says was measured, as far as it says so in numbers; its sections; and the form of its metadata."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from placet.projects import Card, DocumentRefused, Measured, card_schema, parse_card
from placet.projects.card import MAX_RESULTS

EXAMPLES = sorted((Path(__file__).parents[3] / "examples").glob("*/README.md"))

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
    try:
        parse_card(b"---\nmodel-index: " + index + b"\n---\n")
    except DocumentRefused:
        return


TEMPLATE = """---
license: mit
---
# Model Card for churn

## Uses

<!-- Address questions around how the model is intended to be used. -->

### Direct Use

[More Information Needed]

### Out-of-Scope Use

- **Nobody's job:** it is no judgement of a person.

## Bias, Risks, and Limitations

```
# Results
```

## Training Details

### Training Data

<!-- This should link to a Dataset Card. -->

- **Source:** [More Information Needed]

## Evaluation

---
"""


def test_a_section_is_a_heading_with_words_below_it() -> None:
    """What Hugging Face's template brings along is no words: remarks, and its mark for what is left to write."""
    assert parse_card(TEMPLATE.encode()).sections == ("use", "limits")
    filled = TEMPLATE.replace("[More Information Needed]", "Ten thousand calls of 2025.")
    assert parse_card(filled.encode()).sections == ("use", "limits", "data")
    assert parse_card((filled + "AUC is 0.9.").encode()).sections == ("use", "limits", "data", "results")


@pytest.mark.parametrize(
    ("prose", "sections"),
    [
        ("## Limits of use\nNot for people.", ("limits",)),
        ("## Use and evaluation\nAs it is.", ("use", "results")),
        ("Use\nIt has no heading.", ()),
        ("# Because\n####### Use\n#Use\nThese are none.", ()),
        ("## Use\n<!-- it never\nends", ()),
        ("## Use <!-- of --> ##\n<!-- a --> b <!-- c -->", ("use",)),
        ("# Use\n## Limits\n# Data\nWords", ("data",)),
        ("## Use\n~~~\n# code\n~~~", ("use",)),
    ],
)
def test_a_heading_is_known_by_its_words(prose: str, sections: tuple[str, ...]) -> None:
    assert parse_card(prose.encode()).sections == sections


@pytest.mark.parametrize("part", ["<!--", "<!-- -->", "# Use\n", "#", "## Use\n##### Limits\na\n", "`"])
def test_the_sections_of_a_long_card_are_found_at_once(part: str) -> None:
    card = Card(prose=part * (1024**2 // len(part)))
    assert set(card.sections) <= {"use", "limits"}


VALIDATOR = Draft202012Validator(card_schema())


def accepted(metadata: Any) -> bool:
    try:
        parse_card(f"---\n{yaml.safe_dump(metadata, allow_unicode=True)}---\nProse".encode())
    except DocumentRefused:
        return False
    return True


def test_the_schema_of_a_card_is_one() -> None:
    Draft202012Validator.check_schema(card_schema())
    assert json.loads(json.dumps(card_schema())) == card_schema()


@pytest.mark.parametrize("card", EXAMPLES, ids=[card.parent.name for card in EXAMPLES])
def test_the_card_of_every_example_is_of_its_form(card: Path) -> None:
    parse_card(card.read_bytes())
    VALIDATOR.validate(yaml.safe_load(card.read_text().split("---\n")[1]))


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"license": None, "tags": None},
        {"license": ""},
        {"language": "en", "tags": ["a", "b"], "datasets": [], "metrics": "f1"},
        {"model-index": 7, "library_name": ["sklearn"], "whatever": {"people": "like"}},
    ],
)
def test_the_schema_holds_of_what_is_read(metadata: dict[str, Any]) -> None:
    assert accepted(metadata)
    assert VALIDATOR.is_valid(metadata)


@pytest.mark.parametrize(
    "metadata",
    [
        [],
        "words",
        {"license": ["mit"]},
        {"license": 2},
        {"tags": {"a": "b"}},
        {"datasets": [1]},
        {"metrics": [None]},
        {"language": True},
    ],
)
def test_the_schema_does_not_hold_of_what_is_refused(metadata: Any) -> None:
    assert not accepted(metadata)
    assert not VALIDATOR.is_valid(metadata)


_TEXTS = st.text(alphabet="abc -:7é", max_size=8)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 99) | _TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS, inner, max_size=3),
    max_leaves=6,
)
_KEYS = st.sampled_from([*card_schema()["properties"], "other"])


@given(st.dictionaries(_KEYS, _VALUES, max_size=4) | _VALUES.filter(lambda value: value is not None))
def test_the_schema_and_the_reader_agree(metadata: Any) -> None:
    assert accepted(metadata) is VALIDATOR.is_valid(metadata)


def test_the_schema_tells_what_a_result_is() -> None:
    """It refuses none, since the reader leaves alone what is no result; so editors are told the form of one."""
    form = Draft202012Validator({**card_schema()["$defs"]["index"], "$schema": card_schema()["$schema"]})
    metadata = yaml.safe_load(CARD.decode().split("---\n")[1])
    form.validate(metadata["model-index"])
    assert not form.is_valid([{"results": [{"metrics": [{"type": "accuracy", "value": "high"}]}]}])
