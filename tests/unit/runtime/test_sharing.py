"""Whether requests may share a call of a model of which only trying can tell."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from placet.runtime.sharing import answers_by_row
from placet.runtime.signature import Array, Tensors


async def shares(model: Callable[[Array], Array], sample: Array) -> bool:
    async def ask(inputs: Tensors) -> Tensors:
        return {"y": model(inputs["x"])}

    return await answers_by_row(ask, {"x": sample})


def refuses_others(rows: Array) -> Array:
    if (rows != 2).any():
        raise ValueError("only two is known")
    return rows[:, 0]


def one_request_only(rows: Array) -> Array:
    if len(rows) > 1:
        raise ValueError("one row")
    return rows[:, 0]


NUMBERS = np.array([[2.0, 3.0]], dtype=np.float32)
TEXTS = np.array([["a"], ["b"]], dtype=object)


@pytest.mark.parametrize(
    ("model", "sample", "does"),
    [
        (lambda rows: rows.sum(axis=1), NUMBERS, True),
        (lambda rows: rows.sum(axis=1) * (1 + 1e-7 * len(rows)), NUMBERS, True),
        (lambda rows: rows.sum(axis=1) * np.nan, NUMBERS, True),
        (lambda rows: rows[:, 0], TEXTS, True),
        (refuses_others, NUMBERS[:, :1], True),
        (lambda rows: np.cumsum(rows, axis=0), NUMBERS, False),
        (lambda rows: rows - rows.mean(axis=0), NUMBERS, False),
        (lambda rows: rows[::-1], NUMBERS, False),
        (lambda rows: rows[:1], NUMBERS, False),
        (lambda rows: np.arange(len(rows)), TEXTS, False),
        (one_request_only, NUMBERS, False),
    ],
    ids=range(11),
)
async def test_calls_are_shared_where_rows_answer_beside_others_as_they_do_alone(
    model: Callable[[Array], Array], sample: Array, does: bool
) -> None:
    assert await shares(model, sample) is does
