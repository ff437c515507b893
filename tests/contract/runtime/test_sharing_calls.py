"""Requests that come at once, to models that answer rows by themselves, and to one that does not."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from tests.contract.runtime.serving import Served, image, serving

AT_ONCE = 16


def saved(folder: Path, operator: str) -> Path:
    """A model of ONNX that adds up: each row (`ReduceSum`), or all rows so far (`CumSum`)."""
    root = image(folder, project="p", format="onnx", path="model.onnx", sample="sample.json")
    axis = helper.make_tensor(
        "axis", TensorProto.INT64, [1] if operator == "ReduceSum" else [], [operator == "ReduceSum"]
    )
    graph = helper.make_graph(
        [helper.make_node(operator, ["x", "axis"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", "m"])],
        [axis],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)])
    model.ir_version = 8
    onnx.save(model, root / "project" / "model.onnx")
    (root / "project" / "sample.json").write_text(json.dumps({"request": {"inputs": [[1, 2]]}}))
    return root


def answered(served: Served, number: int) -> object:
    return served.client.post("/predict", json={"inputs": [[number, 1], [number, 1]]}).json()["outputs"]


@pytest.mark.parametrize(
    ("operator", "alone"),
    [
        ("ReduceSum", lambda number: [[number + 1.0], [number + 1.0]]),
        ("CumSum", lambda number: [[number, 1.0], [2.0 * number, 2.0]]),
    ],
)
def test_what_is_asked_at_once_is_answered_as_it_is_alone(
    tmp_path: Path, operator: str, alone: object
) -> None:
    assert callable(alone)
    with serving(saved(tmp_path, operator)) as served, ThreadPoolExecutor(AT_ONCE) as pool:
        numbers = [number % 7 for number in range(AT_ONCE * 10)]
        answers = list(pool.map(lambda number: answered(served, number), numbers))
        said = [event["event"] for event in served.events()]

    assert answers == [alone(number) for number in numbers]
    is_alone = "each request is computed alone: together, rows are answered otherwise" in said
    assert is_alone == (operator == "CumSum")
