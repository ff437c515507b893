"""Models of each kind, saved once and served by one process each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
import skops.io
from onnx import TensorProto, helper
from placet.projects import trusted_types
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from tests.contract.runtime.serving import Served, image, serving

NAMES = np.array(["length", "width"], dtype=object)
POINTS = np.array([[0.0, 0.0], [1.0, 0.5], [8.0, 9.0], [9.0, 8.0]])
KINDS = np.array(["near", "near", "far", "far"])


@pytest.fixture(scope="session")
def points(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A classifier of two numbers with named columns, release 3, mounted below /models/points."""
    root = image(
        tmp_path_factory.mktemp("points"),
        project="points",
        format="sklearn",
        path="model.skops",
        trusted=trusted_types(),
    )
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(POINTS, KINDS)
    model[0].feature_names_in_ = NAMES
    skops.io.dump(model, root / "project" / "model.skops")
    with serving(root, {"PLACET_RELEASE": "3", "PLACET_ROOT_PATH": "/models/points"}) as served:
        yield served


@pytest.fixture(scope="session")
def shops(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A classifier of a text column and a number column, without names of its own."""
    root = image(
        tmp_path_factory.mktemp("shops"),
        project="shops",
        format="sklearn",
        path="model.skops",
        trusted=trusted_types(),
    )
    columns = ColumnTransformer([("kind", OneHotEncoder(), [0]), ("size", StandardScaler(), [1])])
    rows = np.array([["bakery", 1.0], ["bakery", 2.0], ["bank", 8.0], ["bank", 9.0]], dtype=object)
    skops.io.dump(
        make_pipeline(columns, LogisticRegression()).fit(rows, [0, 0, 1, 1]), root / "project" / "model.skops"
    )
    with serving(root) as served:
        yield served


@pytest.fixture(scope="session")
def sums(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """An ONNX graph that adds two matrices of three columns."""
    root = image(tmp_path_factory.mktemp("sums"), project="sums", format="onnx", path="model.onnx")
    adder(root / "project" / "model.onnx")
    with serving(root) as served:
        yield served


TYPES = {
    "BOOL": TensorProto.BOOL,
    "UINT8": TensorProto.UINT8,
    "UINT16": TensorProto.UINT16,
    "UINT32": TensorProto.UINT32,
    "UINT64": TensorProto.UINT64,
    "INT8": TensorProto.INT8,
    "INT16": TensorProto.INT16,
    "INT32": TensorProto.INT32,
    "INT64": TensorProto.INT64,
    "FP16": TensorProto.FLOAT16,
    "FP32": TensorProto.FLOAT,
    "FP64": TensorProto.DOUBLE,
    "BYTES": TensorProto.STRING,
}


@pytest.fixture(scope="session")
def echo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """An ONNX graph that answers `out-FP16` with what it was given as `FP16`, and so for every datatype."""
    root = image(tmp_path_factory.mktemp("echo"), project="echo", format="onnx", path="model.onnx")
    given = [helper.make_tensor_value_info(name, kind, ["rows", 2]) for name, kind in TYPES.items()]
    answered = [
        helper.make_tensor_value_info(f"out-{name}", kind, ["rows", 2]) for name, kind in TYPES.items()
    ]
    nodes = [helper.make_node("Identity", [name], [f"out-{name}"]) for name in TYPES]
    graph = helper.make_graph(nodes, "echo", given, answered)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, root / "project" / "model.onnx")
    with serving(root, {"PLACET_RELEASE": "2"}) as served:
        yield served


def adder(path: Path, rows: str | int = "rows") -> None:
    def matrix(name: str) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, [rows, 3])

    graph = helper.make_graph(
        [helper.make_node("Add", ["a", "b"], ["sum"])], "adder", [matrix("a"), matrix("b")], [matrix("sum")]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)
