"""Bytes to tensors and back: every datatype, both encodings, and bytes that no client would send."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from placet.runtime.inference_protocol import Inference, decode, encode
from placet.runtime.problems import Problem
from placet.runtime.signature import ANY, DATATYPES, Array, Signature, Tensor, datatype_of

NUMBERS = sorted(set(DATATYPES) - {"BYTES"})


def taking(datatype: str, shape: tuple[int, ...]) -> Signature:
    tensor = Tensor(name="x", datatype=datatype, shape=shape)
    return Signature(platform="test", inputs=(tensor,), outputs=(tensor,), prediction="x")


@st.composite
def tensors(draw: st.DrawFn) -> tuple[str, Array]:
    datatype = draw(st.sampled_from(sorted(DATATYPES)))
    shape = draw(arrays.array_shapes(min_dims=1, max_dims=3, max_side=3))
    if datatype == "BYTES":
        texts = st.text(st.characters(exclude_categories=["Cs"]))
        return datatype, draw(arrays.arrays(object, shape, elements=texts))
    finite = {"allow_nan": False} if datatype.startswith("FP") else {}
    return datatype, draw(
        arrays.arrays(
            DATATYPES[datatype], shape, elements=finite | {"allow_infinity": False} if finite else None
        )
    )


@given(tensors(), st.booleans())
def test_what_is_encoded_is_decoded_the_same(drawn: tuple[str, Array], binary: bool) -> None:
    datatype, array = drawn
    signature = taking(datatype, (ANY,) * array.ndim)
    told = Inference(id=None, inputs={}, outputs=("x",), binary=frozenset({"x"} if binary else ()))
    body, length = encode(told, {"x": array}, signature, project="p", release=None)
    header = json.loads(body[:length])
    request = json.dumps({"inputs": header["outputs"]}).encode()

    read = decode(
        request + (body[length:] if length else b""),
        str(len(request)).encode() if length else None,
        signature,
    )

    assert datatype_of(read.inputs["x"].dtype) == datatype
    assert read.inputs["x"].shape == array.shape
    assert read.inputs["x"].tolist() == array.tolist()


@given(st.binary(max_size=60), st.one_of(st.none(), st.integers(0, 80).map(lambda n: str(n).encode())))
def test_no_bytes_surprise_the_reader(body: bytes, length: bytes | None) -> None:
    with pytest.raises(Problem):
        decode(body, length, taking("FP64", (ANY, 2)))


def request(**tensor: object) -> bytes:
    return json.dumps({"inputs": [{"name": "x", "datatype": "FP64", "shape": [1, 2], **tensor}]}).encode()


@pytest.mark.parametrize("data", [[1, 2], [[1, 2]], [1.0, 2.0]])
def test_data_is_flat_or_nested(data: object) -> None:
    assert decode(request(data=data), None, taking("FP64", (ANY, 2))).inputs["x"].tolist() == [[1, 2]]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (request(), "neither data nor binary_data_size"),
        (request(data=[1, "2"]), "not FP64 data: Expected `float | null`, got `str`"),
        (request(data=[1, 2, 3]), r"3 values, which are not of shape \[1, 2\]"),
        (request(data=[[1], [2, 3]]), "cannot be FP64 of shape"),
        (request(data=[1, 2], shape=[-1, -2]), "not of shape"),
        (request(data=[], shape=[]), "not of shape"),
        (request(data=[1, 2], datatype="DOUBLE"), "DOUBLE; known are BOOL"),
        (request(data=[300, 1], datatype="UINT8"), "cannot be UINT8"),
        (request(parameters={"binary_data_size": 16}), "announces 16 bytes of data; 0 are left"),
        (request(parameters={"binary_data_size": -1}), "announces -1 bytes"),
        (b'{"inputs": []}', "the inputs are none; this model takes x"),
        (b'{"inputs": 3}', "not an inference request"),
    ],
)
def test_what_is_wrong_with_a_tensor_is_named(body: bytes, said: str) -> None:
    with pytest.raises(Problem, match=said):
        decode(body, None, taking("FP64", (ANY, 2)))


def binary(
    tail: bytes, *, size: int, datatype: str = "FP64", shape: tuple[int, ...] = (1, 2)
) -> tuple[bytes, bytes]:
    header = request(parameters={"binary_data_size": size}, datatype=datatype, shape=shape)
    return header + tail, str(len(header)).encode()


@pytest.mark.parametrize(
    ("sent", "takes", "said"),
    [
        (binary(bytes(15), size=15), "FP64", "15 bytes, no multiple"),
        (binary(bytes(20), size=16), "FP64", "4 bytes of the body belong to no input"),
        (binary(b"\x05\0\0\0ab", size=6, datatype="BYTES"), "BYTES", "not a BYTES tensor"),
        (binary(b"\x02\0\0\0\xff\xff", size=6, datatype="BYTES"), "BYTES", "not a BYTES tensor"),
        (binary(b"\x02\0", size=2, datatype="BYTES"), "BYTES", "not a BYTES tensor"),
        ((b"{}", b"9"), "FP64", "Inference-Header-Content-Length"),
        ((b"{}", b"-1"), "FP64", "Inference-Header-Content-Length"),
    ],
)
def test_what_is_wrong_with_raw_bytes_is_named(sent: tuple[bytes, bytes], takes: str, said: str) -> None:
    with pytest.raises(Problem, match=said):
        decode(*sent, taking(takes, (ANY, 2)))


@pytest.mark.parametrize(
    ("given", "wanted", "fits"),
    [
        ("FP64", "FP32", True),
        ("INT64", "FP32", True),
        ("UINT8", "INT64", True),
        ("INT64", "INT32", False),
        ("FP32", "INT64", False),
        ("BOOL", "FP64", False),
        ("INT8", "BOOL", False),
    ],
)
def test_numbers_are_converted_only_where_nothing_is_lost_but_precision(
    given: str, wanted: str, fits: bool
) -> None:
    data: list[object] = [True, False] if given == "BOOL" else [1, 0]
    body = request(data=data, datatype=given)
    signature = taking(wanted, (ANY, 2))

    if fits:
        assert decode(body, None, signature).inputs["x"].dtype == DATATYPES[wanted]
    else:
        with pytest.raises(Problem, match=f"is {given}; this model takes {wanted}"):
            decode(body, None, signature)


def test_a_missing_number_is_null_in_json() -> None:
    read = decode(request(data=[1, None]), None, taking("FP64", (ANY, 2))).inputs["x"]
    told = Inference(id=None, inputs={}, outputs=("x",), binary=frozenset())

    assert np.isnan(read[0, 1])
    assert b"[1.0,null]" in encode(told, {"x": read}, taking("FP64", (ANY, 2)), project="p", release=None)[0]


@pytest.mark.parametrize(
    "body",
    [
        json.dumps(
            {"inputs": [{"name": "x", "shape": [1] * 200_000, "datatype": "FP32", "data": [1]}]}
        ).encode(),
        b'{"inputs": ' + b"[" * 100_000,
        b'{"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "parameters": {"a": ' + b"[" * 100_000,
        b'{"inputs": [{"name": "\xff"}]}',
    ],
    ids=["many dimensions", "deep", "deep parameters", "not UTF-8"],
)
def test_what_would_break_a_reader_is_unreadable(body: bytes) -> None:
    with pytest.raises(Problem) as refused:
        decode(body, None, taking("FP32", (ANY,)))
    assert refused.value.status == 400


def test_a_header_of_absurd_length_is_unreadable() -> None:
    with pytest.raises(Problem, match="Inference-Header-Content-Length"):
        decode(b"{}", b"9" * 5000, taking("FP32", (ANY,)))
