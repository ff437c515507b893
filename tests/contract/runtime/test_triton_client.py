"""There is no conformance suite for the Open Inference Protocol: a real client of it is the suite."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from tritonclient.http import (  # type: ignore[import-untyped]
    InferenceServerClient,
    InferInput,
    InferRequestedOutput,
)
from tritonclient.utils import InferenceServerException  # type: ignore[import-untyped]

from tests.contract.runtime.serving import Served

ROWS = np.array([[0.2, 0.1], [9.0, 9.0]])


@pytest.fixture
def of_points(points: Served) -> Iterator[InferenceServerClient]:
    with InferenceServerClient(points.address, connection_timeout=60, network_timeout=60) as client:
        yield client


@pytest.fixture
def of_sums(sums: Served) -> Iterator[InferenceServerClient]:
    with InferenceServerClient(sums.address, connection_timeout=60, network_timeout=60) as client:
        yield client


def tensor(name: str, array: np.ndarray, datatype: str, *, binary: bool = True) -> InferInput:
    given = InferInput(name, list(array.shape), datatype)
    given.set_data_from_numpy(array, binary_data=binary)
    return given


def test_it_finds_the_server_the_model_and_its_tensors(of_points: InferenceServerClient) -> None:
    assert of_points.is_server_live()
    assert of_points.is_server_ready()
    assert of_points.is_model_ready("points")
    assert of_points.is_model_ready("points", "3")
    assert of_points.get_server_metadata()["extensions"] == ["binary_tensor_data"]
    assert of_points.get_model_metadata("points") == {
        "name": "points",
        "versions": ["3"],
        "platform": "sklearn_skops",
        "inputs": [{"name": "input-0", "datatype": "FP64", "shape": [-1, 2]}],
        "outputs": [
            {"name": "predict", "datatype": "BYTES", "shape": [-1]},
            {
                "name": "predict_proba",
                "datatype": "FP64",
                "shape": [-1, 2],
                "parameters": {"labels": ["far", "near"]},
            },
        ],
    }


@pytest.mark.parametrize("binary_in", [True, False], ids=["binary in", "json in"])
@pytest.mark.parametrize("binary_out", [True, False], ids=["binary out", "json out"])
@pytest.mark.parametrize("version", ["", "3"], ids=["any version", "one version"])
def test_it_gets_the_same_answer_in_every_encoding(
    of_points: InferenceServerClient, binary_in: bool, binary_out: bool, version: str
) -> None:
    wanted = [
        InferRequestedOutput("predict", binary_data=binary_out),
        InferRequestedOutput("predict_proba", binary_data=binary_out),
    ]

    answer = of_points.infer(
        "points",
        [tensor("input-0", ROWS, "FP64", binary=binary_in)],
        outputs=wanted,
        model_version=version,
        request_id="r1",
    )

    labels = answer.as_numpy("predict")
    assert [label.decode() if isinstance(label, bytes) else label for label in labels] == ["near", "far"]
    assert answer.as_numpy("predict_proba").shape == (2, 2)
    assert answer.as_numpy("predict_proba").sum(axis=1) == pytest.approx([1, 1])
    assert answer.get_response()["id"] == "r1"


def test_all_outputs_come_back_raw_if_none_is_named(of_points: InferenceServerClient) -> None:
    answer = of_points.infer("points", [tensor("input-0", ROWS.astype(np.float32), "FP32")])

    assert answer.as_numpy("predict").tolist() == [b"near", b"far"]
    assert {output["name"] for output in answer.get_response()["outputs"]} == {"predict", "predict_proba"}


def test_compressed_requests_are_understood(of_points: InferenceServerClient) -> None:
    for algorithm in ("gzip", "deflate"):
        answer = of_points.infer(
            "points", [tensor("input-0", ROWS, "FP64")], request_compression_algorithm=algorithm
        )
        assert answer.as_numpy("predict").tolist() == [b"near", b"far"]


def test_several_inputs_go_to_an_onnx_graph(of_sums: InferenceServerClient) -> None:
    ones = np.ones((2, 3), np.float32)

    answer = of_sums.infer("sums", [tensor("b", ones * 2, "FP32"), tensor("a", ones, "FP32", binary=False)])

    assert answer.as_numpy("sum").dtype == np.float32
    assert answer.as_numpy("sum").tolist() == [[3, 3, 3], [3, 3, 3]]


def test_text_columns_travel_as_bytes(shops: Served) -> None:
    kinds = np.array(["bakery", "bank"], dtype=object)
    with InferenceServerClient(shops.address, connection_timeout=60, network_timeout=60) as client:
        for binary in (True, False):
            answer = client.infer(
                "shops",
                [tensor("x0", kinds, "BYTES", binary=binary), tensor("x1", np.array([1.0, 9.0]), "FP64")],
            )
            assert answer.as_numpy("predict").tolist() == [0, 1]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (tensor("rows", ROWS, "FP64"), "the inputs are rows; this model takes input-0"),
        (tensor("input-0", np.ones((1, 3)), "FP64"), r"shape \[1, 3\]; this model takes \[-1, 2\]"),
        (tensor("input-0", np.ones((1, 2), bool), "BOOL"), "is BOOL; this model takes FP64"),
        (tensor("input-0", np.array([["a", "b"]], object), "BYTES"), "is BYTES; this model takes FP64"),
        (tensor("input-0", np.ones((0, 2)), "FP64"), "no rows"),
        (tensor("input-0", np.array([[1.0, np.nan]]), "FP64"), "the model refuses these inputs"),
    ],
    ids=["name", "shape", "datatype", "text", "empty", "missing"],
)
def test_its_mistakes_are_named(of_points: InferenceServerClient, given: InferInput, said: str) -> None:
    with pytest.raises(InferenceServerException, match=said):
        of_points.infer("points", [given])


def test_an_unknown_model_version_or_output_is_named(of_points: InferenceServerClient) -> None:
    with pytest.raises(InferenceServerException, match="this server has points, version 3"):
        of_points.get_model_metadata("other")
    with pytest.raises(InferenceServerException, match="this server has points, version 3"):
        of_points.infer("points", [tensor("input-0", ROWS, "FP64")], model_version="4")
    with pytest.raises(InferenceServerException, match="logits is no output of this model"):
        of_points.infer("points", [tensor("input-0", ROWS, "FP64")], outputs=[InferRequestedOutput("logits")])
