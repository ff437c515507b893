"""The client that is generated from the protocol's own specification: what it reads is what the protocol promises."""

from __future__ import annotations

from typing import Any

import pytest
from open_inference.openapi import errors
from open_inference.openapi.client import OpenInferenceClient
from open_inference.openapi.core.api_error import ApiError
from open_inference.openapi.types import InferenceRequest, InferenceResponse

from tests.contract.runtime.conftest import TYPES
from tests.contract.runtime.serving import Served

# Whatever looks like a number is one of 64 bits to this client, before it sends and after it reads.
VALUES: dict[str, list[list[Any]]] = {name: [[1.0, 0.0], [0.0, 1.0]] for name in TYPES}
VALUES["BYTES"] = [["a", "π"], ["", "x y"]]


@pytest.fixture
def client(echo: Served) -> OpenInferenceClient:
    return OpenInferenceClient(base_url=f"http://{echo.address}")


def request(*wanted: str) -> InferenceRequest:
    tensors = [
        {"name": name, "datatype": name, "shape": [2, 2], "data": data, "parameters": {"content_type": "np"}}
        for name, data in VALUES.items()
    ]
    outputs = [{"name": name} for name in wanted] or None
    return InferenceRequest.parse_obj({"id": "r1", "inputs": tensors, "outputs": outputs})


def tensors(answer: InferenceResponse) -> dict[str, tuple[str, list[int], list[Any]]]:
    return {each.name: (each.datatype, each.shape, each.dict()["data"]) for each in answer.outputs}


def test_it_finds_the_server_the_model_and_each_version(client: OpenInferenceClient) -> None:
    client.check_server_liveness()
    client.check_server_readiness()
    client.check_model_readiness("echo")
    client.check_model_version_readiness("echo", "2")
    assert client.read_server_metadata().name == "placet"
    model = client.read_model_version_metadata("echo", "2")
    assert model == client.read_model_metadata("echo")
    assert (model.name, model.versions, model.platform) == ("echo", ["2"], "onnxruntime_onnx")
    assert model.inputs is not None
    assert {tensor.name: (tensor.datatype, tensor.shape) for tensor in model.inputs} == {
        name: (name, [-1, 2]) for name in VALUES
    }


def test_it_infers_every_datatype_of_either_path(client: OpenInferenceClient) -> None:
    for answer in (
        client.model_infer("echo", request=request()),
        client.model_version_infer("echo", "2", request=request()),
    ):
        assert (answer.model_name, answer.model_version, answer.id) == ("echo", "2", "r1")
        assert tensors(answer) == {
            f"out-{name}": (name, [2, 2], [value for row in data for value in row])
            for name, data in VALUES.items()
        }


def test_it_gets_the_outputs_that_it_chooses(client: OpenInferenceClient) -> None:
    answer = client.model_infer("echo", request=request("out-INT8", "out-BYTES"))

    assert [output.name for output in answer.outputs] == ["out-INT8", "out-BYTES"]


def test_it_reads_what_is_wrong(client: OpenInferenceClient) -> None:
    with pytest.raises(errors.BadRequestError) as refused:
        client.model_infer("echo", request=request("out-FP8"))
    assert refused.value.body["error"].startswith("out-FP8 is no output of this model; it has out-BOOL")
    with pytest.raises(ApiError) as unknown:
        client.read_model_metadata("other")
    assert unknown.value.status_code == 404
