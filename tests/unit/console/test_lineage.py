"""Where a model comes from, as boxes in columns with lines between."""

from __future__ import annotations

from typing import Any

import pytest
from placet.client import Card, Certificate, ModelDetail, Person, Report
from placet.gateway.console.charts import graph
from placet.gateway.console.lineage import Origins, graph_of

SOURCE, IMAGE = "sha256:" + "a" * 64, "sha256:" + "b" * 64
CERTIFICATE = Certificate(
    certificate="certificate:1",
    project="wine",
    release=1,
    image=IMAGE,
    state="valid",
    not_after="",
    envelope={},
    statement={},
)


def model(**said: Any) -> ModelDetail:
    return ModelDetail(
        **{"project": "wine", "state": "live", "release": 1, "source": SOURCE, "image": IMAGE, **said}
    )


def run(number: int, *inputs: str) -> Report:
    return Report(
        report=f"r{number}",
        project="wine",
        kind="run",
        at="2026-01-01T00:00:00Z",
        heard_at="2026-01-01T00:00:00Z",
        reported_by=Person(person="p"),
        content={
            "job": f"job {number}",
            "step": "train",
            "state": "complete",
            "inputs": [{"dataset": name} for name in inputs],
        },
    )


def drawn(**said: Any) -> Any:
    origins = {"model": model(), "origin": None, "card": None, "certificate": CERTIFICATE, "runs": ()}
    return graph_of(Origins(**{**origins, **said}))


def test_from_data_over_a_run_to_what_serves() -> None:
    found = drawn(card=Card(datasets=("wines", "unused")), runs=[run(1, "wines", "soils")])
    assert [[node.name for node in column] for column in found.columns] == [
        ["wines", "unused", "soils"], ["job 1"], ["sha256:aaaaaaaaaaaa"], ["sha256:bbbbbbbbbbbb"], ["certificate:1"],
        ["wine"],
    ]  # fmt: skip
    assert set(found.edges) == {
        ("data:wines", "run:r1"), ("data:soils", "run:r1"), ("run:r1", "source"), ("data:unused", "source"),
        ("source", "image"), ("image", "certificate"), ("certificate", "model"),
    }  # fmt: skip


@pytest.mark.parametrize(
    "said",
    [
        {"certificate": None},
        {"model": model(image=None), "certificate": None},
        {"model": model(source=None, release=None)},
    ],
)
def test_what_is_not_there_has_no_box_and_no_line(said: dict[str, Any]) -> None:
    found = drawn(**said)
    there = {node.id for column in found.columns for node in column}
    assert all({before, after} <= there for before, after in found.edges)
    assert all(found.columns)


def test_of_very_many_runs_the_newest_are_shown() -> None:
    found = drawn(runs=[run(number) for number in range(50)])
    assert [node.name for node in found.columns[0]] == [f"job {number}" for number in range(8)]


@pytest.mark.parametrize(
    ("said", "reach"),
    [
        ({"model": model(image=None, release=None), "certificate": None}, "graph"),
        ({"model": model(release=None), "certificate": None}, "graph two"),
        ({}, "graph long"),
    ],
)
def test_how_far_a_picture_reaches_is_known_to_the_words_that_it_goes_on(
    said: dict[str, Any], reach: str
) -> None:
    assert f'<svg class="{reach}"' in str(graph(drawn(**said), what="x"))


def test_names_of_others_are_words_in_the_picture() -> None:
    name = '<script>"x"</script>' * 5
    picture = str(graph(drawn(card=Card(datasets=(name,)), runs=[run(1, name)]), what=name))
    assert "<script" not in picture
    assert picture.count("<path") == 5
    assert picture.count("<rect") == 6
