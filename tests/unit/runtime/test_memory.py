"""A body's estimate is no less than what reading it takes, for the bodies that grow most."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from placet.runtime import inference_protocol, memory
from placet.runtime.exchange import Request, Room
from placet.runtime.plain import PlainCodec
from placet.runtime.problems import Problem
from placet.runtime.signature import ANY, Signature, Tensor

ROWS = 20_000


def taking(*tensors: Tensor, columns: tuple[str, ...] | None = None) -> Signature:
    output = Tensor(name="y", datatype="FP64", shape=(ANY,))
    return Signature(platform="test", inputs=tensors, outputs=(output,), prediction="y", columns=columns)


def one(datatype: str, *shape: int) -> Signature:
    return taking(Tensor(name="x", datatype=datatype, shape=shape))


MATRIX = taking(Tensor(name="x", datatype="FP64", shape=(ANY, 4)), columns=("a", "b", "c", "d"))
FOUR = taking(*(Tensor(name=name, datatype="FP64", shape=(ANY,)) for name in "abcd"))
TEXTS = one("BYTES", ANY)
MOMENTS = taking(Tensor(name="x", datatype="BYTES", shape=(ANY,), is_moment=True))


def rows(row: str, times: int = ROWS) -> bytes:
    return ('{"inputs":[' + ",".join([row] * times) + "]}").encode()


def named(row: Callable[[int], str]) -> bytes:
    return ('{"inputs":{' + ",".join(f'"{number:x}":{row(number)}' for number in range(ROWS)) + "}}").encode()


def tensor(item: str, datatype: str, shape: list[int], last: str = "") -> bytes:
    data = ",".join([item] * (shape[0] - bool(last)) + [last] * bool(last))
    return f'{{"inputs":[{{"name":"x","datatype":"{datatype}","shape":{shape},"data":[{data}]}}]}}'.encode()


HONEST = {
    "rows": (rows("[5.1,3.5,1.4,0.2]"), MATRIX),
    "rows for four tensors": (rows("[5.1,3.5,1.4,0.2]"), FOUR),
    "whole numbers": (rows("[5,3,1,0]"), one("INT64", ANY, 4)),
    "objects": (rows('{"a":5.1,"b":3.5,"c":1.4,"d":0.2}'), MATRIX),
    "wide rows": (rows("[" + ",".join(["0.123456"] * 64) + "]", ROWS // 16), one("FP32", ANY, 64)),
}
PLAIN = HONEST | {
    "empty lists": (rows("[]"), MATRIX),
    "lists of one": (rows("[0.1]"), MATRIX),
    "deep lists": (rows("[" * 20 + "]" * 20), MATRIX),
    "empty objects": (rows("{}"), MATRIX),
    "objects of one": (rows('{"a":1}'), MATRIX),
    "objects, no two alike": (
        ('{"inputs":[' + ",".join(f'{{"{n:x}":1,"{n + ROWS:x}":2}}' for n in range(ROWS)) + "]}").encode(),
        MATRIX,
    ),
    "an object of many": (('{"inputs":[' + named(lambda _: "0").decode()[10:-1] + "]}").encode(), MATRIX),
    "names of many columns": (named(lambda _: "[]"), MATRIX),
    "truths": (rows("[true,0,0,0]"), MATRIX),
    "missing numbers": (rows("[null,1,1,1]"), MATRIX),
    "great numbers": (rows("1152921504606846976"), MATRIX),
    "texts": (rows('"ab"'), TEXTS),
    "wide texts": (rows('"ab\U0001f600"'), TEXTS),
    "escaped texts": (rows('"abcdefghijklmnop\\ud83d\\ude00"'), TEXTS),
    "rows of texts": (rows('["ab","cd"]'), one("BYTES", ANY, 2)),
    "texts for numbers, one of them long": (rows('"a"')[:-2] + b',"' + b"b" * 100_000 + b'"]}', MATRIX),
    "rows of texts for numbers": (rows('["a"]')[:-2] + b',["' + b"b" * 100_000 + b'"]]}', MATRIX),
    "moments": (rows('"2026-01-31T12:00:00+01:00"'), MOMENTS),
}
PROTOCOL = {
    "flat": (tensor("0.5", "FP64", [ROWS, 1]), one("FP64", ANY, 1)),
    "nested": (tensor("[0.5]", "FP64", [ROWS, 1]), one("FP64", ANY, 1)),
    "empty lists": (tensor("[]", "FP64", [ROWS, 0]), one("FP64", ANY, 1)),
    "whole numbers but for one": (tensor("[1]", "INT64", [ROWS, 1], "[1.0]"), one("INT64", ANY, 1)),
    "texts": (tensor('"ab"', "BYTES", [ROWS]), TEXTS),
    "parameters": (b'{"inputs":[],"parameters":{"a":[' + b"[]," * ROWS + b"[]]}}", TEXTS),
}


def peak(read: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        read()
    except Problem:
        pass
    finally:
        taken = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return taken


@pytest.mark.parametrize(("body", "signature"), PLAIN.values(), ids=PLAIN)
def test_plain_bodies_take_no_more_than_the_estimate(body: bytes, signature: Signature) -> None:
    codec = PlainCodec(signature)

    assert peak(lambda: codec.decode(body)) <= memory.of_json(body)


@pytest.mark.parametrize(("body", "signature"), PROTOCOL.values(), ids=PROTOCOL)
def test_bodies_of_the_protocol_take_no_more_than_the_estimate(body: bytes, signature: Signature) -> None:
    assert peak(lambda: inference_protocol.decode(body, None, signature)) <= memory.of_json(body)


@pytest.mark.parametrize("text", [b"\2\0\0\0ab", "\4\0\0\0\U0001f600".encode(), b"\0\0\0\0"])
def test_binary_texts_take_no_more_than_the_estimate(text: bytes) -> None:
    tail = text * ROWS
    header = json.dumps(
        {
            "inputs": [
                {
                    "name": "x",
                    "datatype": "BYTES",
                    "shape": [ROWS],
                    "parameters": {"binary_data_size": len(tail)},
                }
            ]
        }
    ).encode()
    length = str(len(header)).encode()

    body = header + tail

    assert peak(lambda: inference_protocol.decode(body, length, TEXTS)) <= memory.of_binary(header, len(tail))


@pytest.mark.parametrize(("body", "signature"), HONEST.values(), ids=HONEST)
def test_rows_that_fit_are_not_refused_for_an_estimate_far_off(body: bytes, signature: Signature) -> None:
    codec = PlainCodec(signature)

    assert memory.of_json(body) < 2.5 * peak(lambda: codec.decode(body))


def test_an_answer_takes_no_more_than_the_estimate() -> None:
    codec = PlainCodec(one("FP64", ANY, 1))
    outputs = {"y": np.random.default_rng(1).random((ROWS, 3))}

    assert peak(lambda: codec.encode(outputs)) <= memory.of_answer(outputs)


def test_a_container_says_how_much_there_is(tmp_path: Path) -> None:
    said = tmp_path / "memory.max"

    assert memory.of_container(tmp_path) is None
    said.write_text("max\n")
    assert memory.of_container(tmp_path) is None
    said.write_text("536870912\n")
    assert memory.of_container(tmp_path) == 2**29


def test_room_is_what_the_process_leaves_and_never_nothing() -> None:
    assert memory.for_requests(None) == memory.UNBOUNDED
    assert 0 < memory.for_requests(2**40) < 2**40 - 2**37
    assert memory.for_requests(1) == memory.LEAST


async def test_what_never_fits_is_told_so_and_what_does_not_fit_now_to_come_back() -> None:
    room = Room(10 << 20)
    packed = gzip.compress(b" " * (1 << 20))
    first, second = (requested(packed, room) for _ in range(2))
    await first.body()

    with pytest.raises(Problem, match=r"it may take 10 MiB of memory, and 9 MiB are there for it") as never:
        first.expect(10 << 20, "it")
    first.take(6 << 20)
    with pytest.raises(Problem, match=r"it may take 5 MiB of memory, which other requests") as later:
        second.expect(5 << 20, "it")
    first.end()
    second.expect(10 << 20, "it")

    assert (never.value.status, later.value.status) == (413, 503)
    assert later.value.headers["Retry-After"] == "1"
    assert room.free == room.total


def requested(body: bytes, room: Room) -> Request:
    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": body}

    return Request({"path": "/", "headers": [(b"content-encoding", b"gzip")]}, receive, 2 << 20, room)
