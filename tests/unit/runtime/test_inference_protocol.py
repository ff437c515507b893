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
        (request(data=[1, float("nan")]), "JSON has no NaN and no Infinity"),
        (b'{"inputs": "NaN"}', "not an inference request"),
        (request(data=[1, 2, 3]), r"3 values, which are not of shape \[1, 2\]"),
        (request(data=[[1], [2, 3]]), "cannot be FP64 of shape"),
        (request(data=[1, 2], shape=[-1, -2]), "not of shape"),
        (request(data=[], shape=[]), "not of shape"),
        (request(data=[], shape=[0, 2**60]), rf"input x has 0 values, which are not of shape \[0, {2**60}\]"),
        (request(data=[], shape=[2**70, 0]), "input x has 0 values, which are not of shape"),
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
        (binary(b"", size=0, shape=(0, 2**60)), "FP64", "input x has 0 values, which are not of shape"),
        (binary(bytes(15), size=15), "FP64", "15 bytes, no multiple"),
        (binary(bytes(20), size=16), "FP64", "4 bytes of the body belong to no input"),
        (binary(b"\x05\0\0\0ab", size=6, datatype="BYTES"), "BYTES", "not a BYTES tensor"),
        (binary(b"\x02\0\0\0\xff\xff", size=6, datatype="BYTES"), "BYTES", "not a BYTES tensor"),
        (binary(b"\x02\0", size=2, datatype="BYTES"), "BYTES", "not a BYTES tensor"),
        (binary(b"\x01\x02", size=2, datatype="BOOL"), "BOOL", "neither 0 nor 1"),
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


def outcome(body: bytes, length: bytes | None, wanted: str) -> Array | Problem:
    try:
        return decode(body, length, taking(wanted, (ANY, 2))).inputs["x"]
    except Problem as problem:
        return problem


def is_named(problem: Problem, datatype: str) -> bool:
    """The tensor, and what was expected of it: its datatype or its shape."""
    told = datatype in problem.detail or "not of shape [1, 2]" in problem.detail
    return problem.status == 400 and problem.detail.startswith("input x ") and told


# What a client may take for data: of the right kind or not, at every datatype's edges.
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.builds(
        lambda sign, bits, step: sign * 2**bits + step,
        st.sampled_from([1, -1]),
        st.sampled_from([7, 8, 15, 16, 31, 32, 63, 64]),
        st.integers(-1, 1),
    ),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=3),
)


@given(
    st.sampled_from(sorted(DATATYPES)),
    st.sampled_from(sorted(DATATYPES)),
    st.one_of(SCALARS, st.lists(SCALARS, min_size=2, max_size=2), st.lists(st.lists(SCALARS), max_size=3)),
)
def test_data_are_taken_whole_or_refused_by_name(given: str, wanted: str, data: object) -> None:
    read = outcome(request(datatype=given, data=data), None, wanted)

    if isinstance(read, Problem):
        assert is_named(read, given)
        return
    assert read.dtype == DATATYPES[wanted]
    assert read.shape == (1, 2)
    values = np.array(data, dtype=object).ravel()
    for value, got in zip(values, read.ravel().tolist(), strict=True):
        if wanted.startswith("FP"):
            tolerance = float(np.finfo(DATATYPES[wanted]).eps)
            assert np.isnan(got) if value is None else got == pytest.approx(value, rel=tolerance, abs=1e-7)
        else:
            assert got == value


@given(st.sampled_from(sorted(DATATYPES)), st.sampled_from(sorted(DATATYPES)), st.binary(max_size=40))
def test_raw_data_are_taken_whole_or_refused_by_name(given: str, wanted: str, tail: bytes) -> None:
    read = outcome(*binary(tail, size=len(tail), datatype=given), wanted)

    if isinstance(read, Problem):
        assert is_named(read, given)
        return
    assert read.dtype == DATATYPES[wanted]
    if given == wanted != "BYTES":
        assert read.tobytes() == tail


@pytest.mark.parametrize(
    ("given", "data", "wanted", "said"),
    [
        ("FP16", [65505, 1e5], "FP16", "input x has a number that no FP16 holds: it ends at 65504"),
        ("FP32", [1e39, 0], "FP32", "no FP32 holds"),
        ("FP64", [1e300, 0], "FP32", r"input x has 1e\+300, as FP64; this model takes FP32, which ends at"),
        ("INT64", [70000, 0], "FP16", "input x has 70000, as INT64; this model takes FP16"),
    ],
)
def test_a_number_that_becomes_infinite_is_refused(
    given: str, data: list[float], wanted: str, said: str
) -> None:
    with pytest.raises(Problem, match=said):
        decode(request(datatype=given, data=data), None, taking(wanted, (ANY, 2)))


def test_a_number_that_is_whole_or_says_true_is_taken_for_it_and_no_other() -> None:
    def read(datatype: str, data: object) -> object:
        body = request(datatype=datatype, data=data)
        return decode(body, None, taking(datatype, (ANY, 2))).inputs["x"].tolist()

    assert read("BOOL", [1, 0.0]) == [[True, False]]
    assert read("INT8", [[-1.0, 3]]) == [[-1, 3]]
    with pytest.raises(Problem, match="input x is not BOOL data: Expected `bool`, got `int`"):
        read("BOOL", [2, True])
    with pytest.raises(Problem, match="input x is not INT8 data: Expected `int`, got `float`"):
        read("INT8", [1.5, 1])
    with pytest.raises(Problem, match="input x cannot be INT8"):
        read("INT8", [300.0, 1])


def test_infinity_itself_goes_through_raw() -> None:
    sent, length = binary(np.array([np.inf, -np.inf]).tobytes(), size=16)
    assert decode(sent, length, taking("FP32", (ANY, 2))).inputs["x"].tolist() == [[np.inf, -np.inf]]


def test_what_clients_write_for_other_servers_is_left_alone() -> None:
    sent = json.dumps(
        {
            "id": None,
            "parameters": {"content_type": "np", "headers": {"a": [1]}},
            "inputs": [
                {"name": "x", "datatype": "FP64", "shape": [1, 2], "data": [1, 2], "parameters": None}
            ],
            "outputs": [{"name": "x", "parameters": {"content_type": "np"}}],
            "unknown": True,
        }
    ).encode()

    assert decode(sent, None, taking("FP64", (ANY, 2))).binary == frozenset()


def test_bytes_of_a_model_come_out_as_they_are() -> None:
    told = Inference(id=None, inputs={}, outputs=("x",), binary=frozenset({"x"}))
    answer = {"x": np.array([b"\xff\x00", "π"], dtype=object)}

    body, length = encode(told, answer, taking("BYTES", (ANY,)), project="p", release=None)

    assert body[length:] == b"\x02\0\0\0\xff\x00\x02\0\0\0\xcf\x80"


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
