"""What a model's supervisor reads over HTTP, and who may."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from placet.deployer.adapters.http_probe import HttpProbe

from tests.contract.runtime.conftest import adder
from tests.contract.runtime.serving import Served, image, serving
from tests.contract.runtime.test_access import KEY, encoded, token

ONES = {"a": [[1, 1, 1]], "b": [[1, 1, 1]]}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = image(tmp_path, project="sums", format="onnx", path="model.onnx", reference="data/reference.json")
    adder(root / "project" / "model.onnx")
    (root / "project" / "data").mkdir()
    steps = np.arange(300.0).reshape(100, 3).tolist()
    (root / "project" / "data" / "reference.json").write_text(
        json.dumps({"inputs": {"a": steps, "b": steps}})
    )
    return root


@pytest.fixture
def supervised(root: Path) -> Iterator[Served]:
    keys = json.dumps([{"kid": "k1", "x": encoded(KEY.public_key().public_bytes_raw())}])
    with serving(root, {"PLACET_TOKEN_KEYS": keys}) as served:
        served.client.get("/v2/health/ready")  # waits until it is; the deployer's probe would not
        yield served


def told(served: Served) -> dict[str, Any]:
    answer = served.client.get("/observations", headers={"authorization": f"Bearer {token()}"})
    document: dict[str, Any] = answer.json()
    return document


def predict(
    served: Served, inputs: Mapping[str, Any], headers: Mapping[str, str] | None = None
) -> httpx.Response:
    return served.client.post("/predict", json={"inputs": inputs}, headers=headers)


def test_requests_and_rows_are_counted_by_column(supervised: Served) -> None:
    predict(supervised, ONES)
    predict(supervised, {"a": [[1e9, 1, 1], [1e9, 1, None]], "b": [[1, 1, 1], [1, 1, 1]]})
    predict(supervised, {"a": [[1]]})
    tensors = [
        {"name": name, "datatype": "FP32", "shape": [1, 3], "data": [150, 150, 150]} for name in ("a", "b")
    ]
    supervised.client.post("/v2/models/sums/infer", json={"inputs": tensors})
    supervised.client.get("/v2/models/sums")

    counted = told(supervised)

    assert (counted["requests"], counted["refused"], counted["failed"], counted["rows"]) == (4, 1, 0, 4)
    assert sum(counted["seconds"]["counts"]) == 3
    columns = {column["name"]: column for column in counted["columns"]}
    assert list(columns) == ["a[0]", "a[1]", "a[2]", "b[0]", "b[1]", "b[2]"]
    assert {sum(column["counts"]) for column in columns.values()} == {4}
    assert {sum(column["reference"]) for column in columns.values()} == {100}
    assert columns["a[0]"]["counts"][-2:] == [2, 0]  # beyond all that the reference has
    assert columns["a[2]"]["counts"][-2:] == [0, 1]  # missing


def test_only_who_holds_a_token_may_read_them_also_of_a_public_model(supervised: Served) -> None:
    assert predict(supervised, ONES).status_code == 200
    refused = supervised.client.get("/observations")

    assert refused.status_code == 401
    assert refused.headers["content-type"] == "application/problem+json"
    assert supervised.client.get("/metrics").status_code == 200


def test_what_its_supervisor_asks_to_try_it_is_not_counted(supervised: Served) -> None:
    assert predict(supervised, ONES, {"placet-probe": "sample"}).status_code == 200
    assert told(supervised)["requests"] == 1  # anybody could say so

    trying = {"placet-probe": "sample", "authorization": f"Bearer {token()}"}
    assert predict(supervised, ONES, trying).status_code == 200
    assert (told(supervised)["requests"], told(supervised)["rows"]) == (1, 1)


def test_the_deployer_reads_them(supervised: Served) -> None:
    probe, endpoint = HttpProbe(token=lambda endpoint: token()), f"http://{supervised.address}"
    before = asyncio.run(probe.counters(endpoint))
    predict(supervised, ONES)
    asyncio.run(probe.predict(endpoint, {"inputs": ONES}))
    after = asyncio.run(probe.counters(endpoint))

    assert before is not None
    assert after is not None
    assert (before.requests, after.requests, after.started) == (0, 1, before.started)
    assert [column.name for column in after.columns] == ["a[0]", "a[1]", "a[2]", "b[0]", "b[1]", "b[2]"]


def test_a_reference_that_is_no_good_stops_the_start(root: Path) -> None:
    (root / "project" / "data" / "reference.json").write_text('{"inputs": {"a": [[1, 2, 3]]}}')
    with serving(root) as served:
        assert served.process.wait(60) == 1
    assert served.log.read_text() == (
        "placet.runtime: reference reference.json: inputs lacks b; this model takes a, b\n"
    )


def test_whoever_is_not_let_in_or_asks_nothing_changes_no_count(root: Path) -> None:
    keys = json.dumps([{"kid": "k1", "x": encoded(KEY.public_key().public_bytes_raw())}])
    with serving(root, {"PLACET_TOKEN_KEYS": keys, "PLACET_ACCESS": "token"}) as served:
        served.client.get("/v2/health/ready")
        assert predict(served, ONES).status_code == 401
        ours = {"authorization": f"Bearer {token()}"}
        assert served.client.get("/predict", headers=ours).status_code == 405
        assert predict(served, ONES, ours).status_code == 200

        counted = told(served)

    assert (counted["requests"], counted["refused"]) == (1, 0)
