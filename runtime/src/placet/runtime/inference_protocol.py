"""The Open Inference Protocol v2: tensors as JSON, or raw by the binary tensor data extension.

https://github.com/kserve/open-inference-protocol and, for the extension, Triton's `binary_tensor_data`: a
JSON header of `Inference-Header-Content-Length` bytes, then the tensors, little-endian, in its order.
Pure: bytes to arrays and back, no HTTP and no model.
"""

from __future__ import annotations

import struct
from contextlib import nullcontext, suppress
from functools import lru_cache
from math import prod
from typing import Annotated, Any, Literal

import msgspec
import numpy as np

from placet.runtime.columns import moments
from placet.runtime.problems import NO_NAN, missing_fix, unreadable
from placet.runtime.signature import DATATYPES, Array, Signature, Tensor, Tensors, datatype_of

Parameters = dict[str, Any] | None  # some clients write null for what they leave out
MOST_DIMENSIONS = 32


class InputTensor(msgspec.Struct):
    name: str
    datatype: str
    # Data are read by their nesting, and a client must not be able to say how deep that is.
    shape: Annotated[tuple[int, ...], msgspec.Meta(max_length=MOST_DIMENSIONS)]
    parameters: Parameters = None
    data: msgspec.Raw = msgspec.Raw()


class WantedOutput(msgspec.Struct):
    name: str
    parameters: Parameters = None


class InferRequest(msgspec.Struct):
    inputs: list[InputTensor]
    id: str | None = None
    parameters: Parameters = None
    outputs: list[WantedOutput] | None = None


class Inference(msgspec.Struct, frozen=True):
    """A request that fits the signature."""

    id: str | None
    inputs: Tensors
    outputs: tuple[str, ...]
    binary: frozenset[str]  # outputs that the client takes as raw bytes


_request = msgspec.json.Decoder(InferRequest)
_encoder = msgspec.json.Encoder()
_AS_READ = nullcontext()  # JSON's numbers are read as FP64: none of these is too small for them


def example(signature: Signature) -> bytes:
    """A request of the right form, of one row with made-up values."""
    return _encoder.encode({"inputs": [_made_up(tensor) for tensor in signature.inputs]})


def _made_up(tensor: Tensor) -> dict[str, object]:
    value: object = "text" if tensor.is_text else False if tensor.datatype == "BOOL" else 0
    if tensor.is_moment:
        value = "2026-01-31T12:00:00"
    shape = [max(size, 1) for size in tensor.shape]
    return {"name": tensor.name, "datatype": tensor.datatype, "shape": shape, "data": [value] * prod(shape)}


def decode(body: bytes, header_length: bytes | None, signature: Signature) -> Inference:
    """Raises `Problem` that names the input and what is expected of it."""
    header, tail = parted(body, header_length)
    try:
        request = _request.decode(header)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        is_malformed = not isinstance(error, msgspec.ValidationError)
        if is_malformed and (b"NaN" in header or b"Infinity" in header):
            raise unreadable(NO_NAN, fix=missing_fix(signature.takes_missing)) from error
        raise unreadable(f"not an inference request: {error}") from error
    expected = _expected([tensor.name for tensor in request.inputs], signature)
    inputs: Tensors = {}
    at = 0
    for tensor in request.inputs:
        size = _parameter(tensor, "binary_data_size")
        if size is None:
            array = _from_json(tensor)
        elif type(size) is int and 0 <= size <= len(tail) - at:
            array = _from_bytes(tensor, tail[at : at + size])
            at += size
        else:
            raise unreadable(f"input {tensor.name} announces {size} bytes of data; {len(tail) - at} are left")
        inputs[tensor.name] = fit(array, expected[tensor.name])
    if at != len(tail):
        raise unreadable(f"{len(tail) - at} bytes of the body belong to no input")
    if len(inputs) > 1 and len({len(array) for array in inputs.values()}) > 1:
        raise unreadable("the inputs differ in their number of rows")
    return _wanted(request, _completed(inputs, expected, signature), signature)


def encode(
    inference: Inference, outputs: Tensors, signature: Signature, *, project: str, release: str | None
) -> tuple[bytes, int | None]:
    """The body and, if any of it is binary, the length of its JSON header."""
    tensors: list[dict[str, object]] = []
    tail: list[bytes] = []
    for name in inference.outputs:
        array = outputs[name]
        datatype = datatype_of(array.dtype)
        tensor: dict[str, object] = {"name": name, "datatype": datatype, "shape": list(array.shape)}
        if name in inference.binary:
            raw = _to_bytes(array, datatype)
            tensor["parameters"] = {"binary_data_size": len(raw)}
            tail.append(raw)
        else:
            flat = array.ravel()
            tensor["data"] = [_text(item) for item in flat] if datatype == "BYTES" else flat.tolist()
        tensors.append(tensor)
    document: dict[str, object] = {"model_name": project, "outputs": tensors}
    if release is not None:
        document["model_version"] = release
    if inference.id is not None:
        document["id"] = inference.id
    header = _encoder.encode(document)
    return (b"".join((header, *tail)), len(header)) if tail else (header, None)


def fit(array: Array, tensor: Tensor) -> Array:
    """The array in the tensor's datatype and shape; a float may lose precision, nothing else is lost."""
    wanted = DATATYPES[tensor.datatype]
    if array.dtype == wanted and len(array) and not tensor.is_moment and tensor.takes(array.shape):
        return array
    casting: Literal["same_kind", "safe"] = "same_kind" if tensor.is_float else "safe"
    is_other_kind = array.dtype.kind in "bO" and array.dtype != wanted
    if is_other_kind or not np.can_cast(array.dtype, wanted, casting):
        raise unreadable(
            f"input {tensor.name} is {datatype_of(array.dtype)}; this model takes {tensor.datatype}"
        )
    if not tensor.takes(array.shape):
        column = (
            array.reshape(-1, *tensor.shape[1:]) if tensor.is_column and array.size == len(array) else None
        )
        if column is None:
            raise unreadable(
                f"input {tensor.name} has shape {list(array.shape)}; this model takes {list(tensor.shape)}, "
                "where -1 is any number"
            )
        array = column
    if len(array) == 0:
        raise unreadable(f"input {tensor.name} has no rows")
    if tensor.is_moment:
        return _moments(array, tensor)
    if array.dtype == wanted or wanted.kind != "f":
        return array.astype(wanted, copy=False)
    return _narrowed(array, tensor)


def _moments(array: Array, tensor: Tensor) -> Array:
    try:
        return moments(array)
    except (ValueError, TypeError) as error:
        raise unreadable(f"input {tensor.name} holds what is no time in ISO 8601: {error}") from error


def _expected(given: list[str], signature: Signature) -> dict[str, Tensor]:
    """The tensors that the names given stand for, and those that may be left out."""
    if given == [tensor.name for tensor in signature.inputs]:
        return dict(zip(given, signature.inputs, strict=True))
    expected = {tensor.name: tensor for tensor in _meant(given, signature)}
    lacking = sorted(
        name for name, tensor in expected.items() if not tensor.is_optional and name not in given
    )
    if lacking and len(expected) > 1 and set(given) < set(expected):
        raise unreadable(f"the inputs lack {_listed(lacking)}; this model takes {_listed(expected)}")
    if lacking or not set(given) <= set(expected) or len(set(given)) < len(given):
        raise unreadable(f"the inputs are {_listed(given)}; this model takes {_listed(expected)}")
    return expected


def _meant(given: list[str], signature: Signature) -> tuple[Tensor, ...]:
    """A matrix whose columns have names is sent whole, or as a tensor for each column."""
    if signature.columns is None or given == [signature.inputs[0].name]:
        return signature.inputs
    return signature.named_inputs if set(given) & set(signature.columns) else signature.inputs


def _completed(inputs: Tensors, expected: dict[str, Tensor], signature: Signature) -> Tensors:
    """The model's inputs, in its order: with those that were left out, and columns put together to their matrix."""
    matrix = signature.inputs[0].name
    if len(expected) == 1 and matrix in inputs:
        return inputs
    rows = len(next(iter(inputs.values()))) if inputs else 1
    whole = {name: inputs[name] if name in inputs else expected[name].missing(rows) for name in expected}
    return (
        whole if matrix in whole or not signature.columns else {matrix: np.column_stack(list(whole.values()))}
    )


def _narrowed(array: Array, tensor: Tensor) -> Array:
    """In the tensor's kind of float, which may be too small for a number."""
    with np.errstate(over="ignore"):
        narrow = array.astype(DATATYPES[tensor.datatype])
    lost = np.isinf(narrow) & np.isfinite(array)
    if lost.any():
        raise unreadable(
            f"input {tensor.name} has {array[lost][0]}, as {datatype_of(array.dtype)}; this model takes "
            f"{tensor.datatype}, which ends at {np.finfo(narrow.dtype).max}"
        )
    return narrow


def parted(body: bytes, header_length: bytes | None) -> tuple[bytes, memoryview]:
    """The JSON, and the tensors behind it."""
    if header_length is None:
        return body, memoryview(b"")
    if not header_length.isdigit() or len(header_length) > 18 or int(header_length) > len(body):
        raise unreadable("Inference-Header-Content-Length is not the length of the body's JSON header")
    length = int(header_length)
    return body[:length], memoryview(body)[length:]


def _wanted(request: InferRequest, inputs: Tensors, signature: Signature) -> Inference:
    known = [tensor.name for tensor in signature.outputs]
    wanted = request.outputs if request.outputs else [WantedOutput(name) for name in known]
    names = [output.name for output in wanted]
    strangers = [name for name in names if name not in known]
    if strangers:
        raise unreadable(f"{_listed(strangers)} is no output of this model; it has {_listed(known)}")
    default = _parameter(request, "binary_data_output")
    binary = [output.name for output in wanted if _parameter(output, "binary_data", default) is True]
    return Inference(
        id=request.id, inputs=inputs, outputs=tuple(dict.fromkeys(names)), binary=frozenset(binary)
    )


def _parameter(of: InputTensor | WantedOutput | InferRequest, name: str, default: Any = None) -> Any:
    """Whatever else a client says there is for other servers."""
    return default if of.parameters is None else of.parameters.get(name, default)


@lru_cache(maxsize=256)
def _nested(datatype: str, depth: int) -> tuple[Any, msgspec.json.Decoder[Any]]:
    """The type of data nested so deeply, and what decodes it."""
    item: Any = float if datatype.startswith("FP") else {"BOOL": bool, "BYTES": str}.get(datatype, int)
    if datatype.startswith("FP"):
        item = item | None  # JSON has no NaN: null is the missing number
    for _ in range(depth):
        item = list[item]
    return item, msgspec.json.Decoder(item)


def _decoded(raw: bytes, datatype: str, depth: int) -> Any:
    kind, decoder = _nested(datatype, depth)
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError:
        if "INT" not in datatype and datatype != "BOOL":
            raise
        return msgspec.convert(_as_meant(msgspec.json.decode(raw), datatype), kind)


def _as_meant(value: Any, datatype: str) -> Any:
    """Some clients, the one generated from the protocol's own description among them, write 1.0 for 1 and for true."""
    if isinstance(value, list):
        for at, each in enumerate(value):  # in place: there may be millions
            value[at] = _as_meant(each, datatype)
        return value
    if datatype == "BOOL":
        return bool(value) if isinstance(value, int | float) and value in (0, 1) else value
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _from_json(tensor: InputTensor) -> Array:
    """`data` is either flat or nested as `shape` says; both are in the protocol."""
    dtype = _dtype(tensor)
    raw = bytes(tensor.data)
    if not raw:
        raise unreadable(f"input {tensor.name} has neither data nor binary_data_size")
    depth = len(tensor.shape) if raw[1:16].lstrip()[:1] == b"[" else 1
    try:
        with _AS_READ if dtype == np.float64 else np.errstate(over="ignore"):
            array = np.array(_decoded(raw, tensor.datatype, depth), dtype=dtype)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise unreadable(f"input {tensor.name} is not {tensor.datatype} data: {error}") from error
    except (ValueError, OverflowError) as error:
        raise unreadable(
            f"input {tensor.name} cannot be {tensor.datatype} of shape {list(tensor.shape)}"
        ) from error
    if dtype.kind == "f" and np.count_nonzero(np.isinf(array)):  # JSON has no Infinity
        raise unreadable(
            f"input {tensor.name} has a number that no {tensor.datatype} holds: it ends at {np.finfo(dtype).max}"
        )
    return _shaped(array, tensor)


def _from_bytes(tensor: InputTensor, raw: memoryview) -> Array:
    dtype = _dtype(tensor)
    if tensor.datatype == "BYTES":
        return _shaped(_texts(tensor, raw), tensor)
    if len(raw) % dtype.itemsize:
        raise unreadable(
            f"input {tensor.name} has {len(raw)} bytes, no multiple of {tensor.datatype}'s {dtype.itemsize}"
        )
    array = np.frombuffer(raw, dtype=dtype.newbyteorder("<"))
    if dtype.kind == "b" and (array.view(np.uint8) > 1).any():
        raise unreadable(f"input {tensor.name} has a byte that is neither 0 nor 1, and is BOOL")
    return _shaped(array, tensor)


def _dtype(tensor: InputTensor) -> np.dtype[Any]:
    if tensor.datatype not in DATATYPES:
        raise unreadable(f"input {tensor.name} is {tensor.datatype}; known are {_listed(DATATYPES)}")
    return DATATYPES[tensor.datatype]


def _shaped(array: Array, tensor: InputTensor) -> Array:
    if tensor.shape and min(tensor.shape) >= 0 and prod(tensor.shape) == array.size:
        with suppress(
            ValueError, OverflowError
        ):  # of [0, 2**60], whose other dimensions are too many to count
            return array.reshape(tensor.shape)
    raise unreadable(
        f"input {tensor.name} has {array.size} values, which are not of shape {list(tensor.shape)}"
    )


def _texts(tensor: InputTensor, raw: memoryview) -> Array:
    """Each text behind its length, four bytes little-endian."""
    texts: list[str] = []
    at = 0
    try:
        while at < len(raw):
            (length,) = struct.unpack_from("<I", raw, at)
            (text,) = struct.unpack_from(f"{length}s", raw, at + 4)
            texts.append(text.decode())
            at += 4 + length
    except (struct.error, UnicodeDecodeError) as error:
        raise unreadable(f"input {tensor.name} is not a BYTES tensor of UTF-8 texts: {error}") from error
    return np.array(texts, dtype=object)


def _to_bytes(array: Array, datatype: str) -> bytes:
    if datatype != "BYTES":
        return np.ascontiguousarray(array, dtype=DATATYPES[datatype].newbyteorder("<")).tobytes()
    items = [item if isinstance(item, bytes) else str(item).encode() for item in array.ravel()]
    return b"".join(struct.pack("<I", len(item)) + item for item in items)


def _text(item: object) -> str:
    return item.decode("utf-8", "replace") if isinstance(item, bytes) else str(item)


def _listed(names: Any) -> str:
    return ", ".join(names) or "none"
