"""A served model lives within the memory it has reserved, whatever it is sent."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.runtime.conftest import adder
from tests.contract.runtime.serving import Served, image, serving

RESERVED = 512 << 20
PACKED = {"Content-Encoding": "gzip"}
LISTS = b'{"inputs":[' + b"[]," * 11_000_000 + b"[]]}"
DEEP = b'{"inputs":[' + (b"[" * 500 + b"]" * 500 + b",") * 30_000 + b"0]}"
TEXTS = b'["' + b"a" * 1_000_000 + b'"' + b',""' * 100_000 + b"]"


@pytest.fixture(scope="module")
def bounded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    root = image(tmp_path_factory.mktemp("sums"), project="sums", format="onnx", path="model.onnx")
    adder(root / "project" / "model.onnx")
    with serving(root, {"PLACET_MEMORY": str(RESERVED)}) as served:
        yield served


def most_taken(served: Served) -> int:
    """Resident bytes, since the process began."""
    status = Path(f"/proc/{served.process.pid}/status").read_text()
    return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) << 10


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/predict", LISTS, 413),
        ("/predict", DEEP, 413),
        ("/v2/models/sums/infer", LISTS, 413),
        # numpy gives each text the room of the longest: 4 MB for each of 100,000
        ("/predict", b'{"inputs":{"a":%s,"b":%s}}' % (TEXTS, TEXTS), 422),
    ],
)
def test_a_small_body_that_grows_does_not_end_a_model(
    bounded: Served, path: str, body: bytes, status: int
) -> None:
    packed = gzip.compress(body)

    refused = [bounded.client.post(path, content=packed, headers=PACKED) for _ in range(3)]

    assert [each.status_code for each in refused] == [status] * 3
    assert bounded.client.get("/v2/health/live").status_code == 200
    assert most_taken(bounded) < RESERVED


def test_as_many_rows_as_fit_are_answered(bounded: Served) -> None:
    rows = b"[" + b"[1.5,2.5,3.5]," * 99_999 + b"[1.5,2.5,3.5]]"

    answer = bounded.client.post("/predict", content=b'{"inputs":{"a":%s,"b":%s}}' % (rows, rows))

    assert answer.status_code == 200
    assert answer.json()["outputs"][-1] == [3.0, 5.0, 7.0]
    assert most_taken(bounded) < RESERVED
