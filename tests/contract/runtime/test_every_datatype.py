"""Every datatype of the Open Inference Protocol, in and out, as JSON and raw, by a client that others wrote."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from tritonclient.http import (  # type: ignore[import-untyped]
    InferenceServerClient,
    InferInput,
    InferRequestedOutput,
    InferResult,
)

from tests.contract.runtime.conftest import TYPES
from tests.contract.runtime.serving import Served

FLOATS = [[0.5, -1.5], [65504.0, 0.0]]  # the largest number of FP16
VALUES = {
    "BOOL": np.array([[True, False], [False, True]]),
    **{
        name: np.array([[limits.min, limits.max], [0, 1]], dtype=limits.dtype)
        for name in TYPES
        if "INT" in name
        for limits in (np.iinfo(name.lower()),)
    },
    "FP16": np.array(FLOATS, np.float16),
    "FP32": np.array(FLOATS, np.float32),
    "FP64": np.array(FLOATS, np.float64),
    "BYTES": np.array([["", "placet"], ["π ☂", "a\nb"]], dtype=object),
}


@pytest.fixture
def client(echo: Served) -> Iterator[InferenceServerClient]:
    with InferenceServerClient(echo.address, connection_timeout=60, network_timeout=60) as client:
        yield client


def inputs(*, binary: bool, values: dict[str, np.ndarray] = VALUES) -> list[InferInput]:
    given = []
    for name, array in values.items():
        tensor = InferInput(name, list(array.shape), name)
        tensor.set_data_from_numpy(array, binary_data=binary)
        given.append(tensor)
    return given


def texts(array: np.ndarray) -> list[list[str]]:
    return [[item.decode() if isinstance(item, bytes) else item for item in row] for row in array]


def is_whole(answer: InferResult, name: str) -> bool:
    array = answer.as_numpy(f"out-{name}")
    if name == "BYTES":
        return bool(texts(array) == VALUES[name].tolist())
    return bool(array.dtype == VALUES[name].dtype and array.tolist() == VALUES[name].tolist())


@pytest.mark.parametrize("binary_in", [True, False], ids=["binary in", "json in"])
@pytest.mark.parametrize("binary_out", [True, False], ids=["binary out", "json out"])
def test_every_datatype_comes_back_as_it_was_sent(
    client: InferenceServerClient, binary_in: bool, binary_out: bool
) -> None:
    wanted = [InferRequestedOutput(f"out-{name}", binary_data=binary_out) for name in TYPES]

    answer = client.infer("echo", inputs(binary=binary_in), outputs=wanted, model_version="2")

    assert {name for name in TYPES if is_whole(answer, name)} == set(TYPES)
    assert {each["name"]: each["datatype"] for each in answer.get_response()["outputs"]} == {
        f"out-{name}": name for name in TYPES
    }


@pytest.mark.parametrize("request_as", [None, "gzip", "deflate"])
@pytest.mark.parametrize("response_as", [None, "gzip", "deflate"])
def test_compressed_requests_and_answers_carry_the_same(
    client: InferenceServerClient, request_as: str | None, response_as: str | None
) -> None:
    values = {name: np.tile(array, (500, 1)) for name, array in VALUES.items()}

    answer = client.infer(
        "echo",
        inputs(binary=True, values=values),
        request_compression_algorithm=request_as,
        response_compression_algorithm=response_as,
    )

    assert texts(answer.as_numpy("out-BYTES")) == values["BYTES"].tolist()
    assert answer.as_numpy("out-INT64").tolist() == values["INT64"].tolist()


def test_an_answer_is_compressed_only_where_it_is_long_and_asked_for(echo: Served) -> None:
    def asked(accepted: str, rows: int) -> str | None:
        tensors = [
            {"name": name, "datatype": name, "shape": [rows, 2], "data": array[:1].tolist() * rows}
            for name, array in VALUES.items()
        ]
        answer = echo.client.post(
            "/v2/models/echo/infer", json={"inputs": tensors}, headers={"accept-encoding": accepted}
        )
        assert answer.json()["outputs"][0]["shape"] == [rows, 2]
        encoding: str | None = answer.headers.get("content-encoding")
        return encoding

    assert asked("gzip, deflate", 500) == "gzip"
    assert asked("deflate;q=0.5, br", 2000) == "deflate"
    assert asked("gzip, deflate", 1) is None
    assert asked("identity", 500) is None
    assert asked("gzip;q=0, br", 500) is None


def test_outputs_are_chosen_one_by_one_or_all_raw(echo: Served) -> None:
    tensors = [
        {"name": name, "datatype": name, "shape": [2, 2], "data": array.tolist()}
        for name, array in VALUES.items()
    ]
    chosen = echo.client.post(
        "/v2/models/echo/infer",
        json={
            "id": "r1",
            "parameters": {"binary_data_output": True, "of_another_server": {"deep": [1]}},
            "inputs": tensors,
            "outputs": [
                {"name": "out-UINT8", "parameters": {"binary_data": False, "classification": 3}},
                {"name": "out-FP16", "parameters": None},
            ],
        },
    )

    header = chosen.content[: int(chosen.headers["inference-header-content-length"])]
    assert header == (
        b'{"model_name":"echo","outputs":['
        b'{"name":"out-UINT8","datatype":"UINT8","shape":[2,2],"data":[0,255,0,1]},'
        b'{"name":"out-FP16","datatype":"FP16","shape":[2,2],"parameters":{"binary_data_size":8}}],'
        b'"model_version":"2","id":"r1"}'
    )
    assert chosen.content[len(header) :] == VALUES["FP16"].tobytes()
