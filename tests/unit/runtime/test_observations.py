"""What a model counts of what it is asked: every row once, in the part of the reference that it belongs to."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from placet.runtime.observations import AT_ONCE, BOUNDS, Observations, Sketch
from placet.runtime.signature import ANY, Array, Signature, Tensor, Tensors

PLACE = Tensor(name="place", datatype="BYTES", shape=(ANY,))
SIZE = Tensor(name="size", datatype="FP64", shape=(ANY, 1))
MATRIX = Tensor(name="input-0", datatype="FP32", shape=(ANY, 2))
IMAGE = Tensor(name="image", datatype="UINT8", shape=(ANY, 8, 8))


def taking(*inputs: Tensor, columns: tuple[str, ...] | None = None) -> Signature:
    return Signature(platform="test", inputs=inputs, outputs=inputs, prediction=None, columns=columns)


def texts(*values: str | None) -> Array:
    return np.array(values, dtype=object)


def counts(sketch: Sketch) -> dict[str, list[int]]:
    return {column["name"]: column["counts"] for column in sketch.document()}


def reference(sketch: Sketch) -> dict[str, list[int]]:
    return {column["name"]: column["reference"] for column in sketch.document()}


def test_numbers_are_counted_by_the_references_deciles_and_beyond_its_ends() -> None:
    sketch = Sketch(taking(SIZE), {"size": np.arange(1000.0).reshape(-1, 1)})

    assert reference(sketch) == {"size": [0, *[100] * 10, 0, 0]}
    sketch.take({"size": np.array([[-1.0], [0.0], [5.0], [450.0], [999.0], [1000.0], [np.nan], [np.inf]])})
    assert counts(sketch) == {"size": [1, 2, 0, 0, 0, 1, 0, 0, 0, 0, 1, 2, 1]}


def test_few_values_have_a_part_each_and_what_lies_between_has_its_own() -> None:
    sketch = Sketch(taking(MATRIX), {"input-0": np.tile(np.array([[0.1, 7]], np.float32), (100, 1))})

    assert reference(sketch) == {"input-0[0]": [0, 100, 0, 0], "input-0[1]": [0, 100, 0, 0]}
    sketch.take({"input-0": np.array([[0.1, 6], [0.2, 7]], np.float32)})
    assert counts(sketch) == {"input-0[0]": [0, 1, 1, 0], "input-0[1]": [1, 1, 0, 0]}


def test_texts_are_counted_by_the_most_frequent_and_all_others_together() -> None:
    known = texts(*["bank"] * 60, *["bakery"] * 39, None)
    sketch = Sketch(taking(PLACE), {"place": known})

    assert reference(sketch) == {"place": [60, 39, 0, 1]}
    sketch.take({"place": texts("bakery", "casino", "casino", None, "bank")})
    assert counts(sketch) == {"place": [1, 1, 2, 1]}


def test_texts_of_which_hardly_one_comes_twice_are_no_column_and_neither_are_images() -> None:
    sketch = Sketch(
        taking(PLACE, IMAGE, SIZE),
        {
            "place": texts(*(f"a story {number}" for number in range(100))),
            "image": np.zeros((100, 8, 8), np.uint8),
            "size": np.ones((100, 1)),
        },
    )

    assert list(counts(sketch)) == ["size"]


def test_a_reference_of_missing_values_and_infinities_only_is_one() -> None:
    values = np.array([np.nan] * 60 + [np.inf] * 40).reshape(-1, 1)
    sketch = Sketch(taking(SIZE), {"size": values})

    assert reference(sketch) == {"size": [40, 60]}


@given(
    st.lists(st.lists(st.floats(width=32), min_size=1, max_size=30), max_size=30),
    st.lists(st.floats(width=32), min_size=1, max_size=60),
)
def test_every_row_is_counted_once_however_they_come(asked: list[list[float]], known: list[float]) -> None:
    def rows(values: list[float]) -> Tensors:
        array = np.array(values)
        return {"input-0": np.column_stack([array, -array]).astype(np.float32)}

    together, apart = (Sketch(taking(MATRIX), rows(known)) for _ in range(2))
    for values in asked:
        if together.take(rows(values)):
            together.count()
        for value in values:
            apart.take(rows([value]))
    total = sum(len(values) for values in asked)

    assert [sum(each) for each in counts(together).values()] == [total, total]
    assert counts(together) == counts(apart)
    assert [sum(each) for each in reference(together).values()] == [len(known), len(known)]


def test_of_a_large_request_some_rows_are_counted_from_all_over_it() -> None:
    sketch = Sketch(taking(SIZE), {"size": np.arange(1000.0).reshape(-1, 1)})

    assert sketch.take({"size": np.arange(0, 1000, 0.1).reshape(-1, 1)})

    parts = counts(sketch)["size"]
    assert AT_ONCE // 2 < sum(parts) <= AT_ONCE
    assert max(parts[1:11]) - min(parts[1:11]) <= 1


def test_a_thousand_columns_are_counted_as_far_as_is_worth_it() -> None:
    wide = Tensor(name="x", datatype="FP32", shape=(ANY, 1000))
    sketch = Sketch(taking(wide), {"x": np.zeros((100, 1000), np.float32)})

    sketch.take({"x": np.zeros((1, 1000), np.float32)})
    assert len(counts(sketch)) == 256


def document(observations: Observations) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(observations.document())
    return told


def test_requests_are_counted_by_what_became_of_them() -> None:
    observations = Observations(None, started=5.0)
    for status in (200, 200, 422, 413, 503, 500):
        observations.answered(status, 0.0001)
    observations.answered(200, 3600)
    observations.took({"size": np.ones((7, 1))})

    told = document(observations)
    assert (told["requests"], told["refused"], told["failed"], told["rows"]) == (7, 2, 2, 7)
    assert told["started"] == 5.0
    assert told["columns"] == []
    assert told["seconds"]["bounds"] == list(BOUNDS)
    assert told["seconds"]["counts"] == [2, *[0] * (len(BOUNDS) - 1), 1]


def test_nothing_that_was_asked_is_told() -> None:
    known = {"place": texts(*["Ada Lovelace"] * 100), "size": np.full((100, 1), 1234.5)}
    observations = Observations(Sketch(taking(PLACE, SIZE), known), started=0.0)
    observations.took({"place": texts("Grace Hopper"), "size": np.array([[6789.5]])})

    told = observations.document()
    assert [column["name"] for column in document(observations)["columns"]] == ["place", "size"]
    for secret in (b"Ada", b"Grace", b"1234", b"6789"):
        assert secret not in told


def test_a_columns_name_is_shown_as_far_as_it_can_be() -> None:
    sketch = Sketch(
        taking(MATRIX, columns=("a\nb\x00", "ü" * 1000)), {"input-0": np.zeros((100, 2), np.float32)}
    )

    assert list(counts(sketch)) == ["a?b?", "ü" * 200]
