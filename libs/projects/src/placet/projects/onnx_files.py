"""Which files outside of its own folder would an ONNX model read, and what does it take and give? Found in its bytes,
without loading anything.

A tensor may keep its data in another file, which it names. Versions of ONNX Runtime before 1.24 follow such a name
wherever it leads, and a model whose weights are somebody's private key answers with it. So every tensor of the model
is looked at: in graphs within graphs, attributes, functions and training information. Only the few protobuf fields
that lead to tensors are followed; content is skipped, so a large model costs no memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from placet.projects.tensors import Graph, Tensor

_DEEPEST = 100
_LONGEST_NAME = 500
_MOST_NAMES = 20
_MOST_TENSORS = 10_000
_MOST_DIMENSIONS = 100

# By message, the fields to follow and what is in them (onnx.proto, IR version 13).
_FIELDS: Mapping[str, Mapping[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse tensor"},
    "node": {5: "attribute"},
    "attribute": {
        5: "tensor",
        6: "graph",
        10: "tensor",
        11: "graph",
        22: "sparse tensor",
        23: "sparse tensor",
    },
    "sparse tensor": {1: "tensor", 2: "tensor"},
    "tensor": {13: "external data"},
    "external data": {2: "value"},
}
Shape = tuple[int | str, ...]
_GRAPH = 7
# By the number of an element's type in a TensorProto.
_DATATYPES = {
    **{
        1: "FP32",
        2: "UINT8",
        3: "INT8",
        4: "UINT16",
        5: "INT16",
        6: "INT32",
        7: "INT64",
        8: "BYTES",
        9: "BOOL",
    },
    **{10: "FP16", 11: "FP64", 12: "UINT32", 13: "UINT64"},
}
_OF_CLASSES = (7, 8)
_LARGEST_KEY = 2**32  # beyond it some readers see another field than we would


class _Unreadable(Exception):
    pass


def outside_data(path: Path) -> list[str] | None:
    """The sorted names of data outside of the model's folder; None if this is no ONNX file we can follow.

    Every value of a tensor's external data is taken for a name, since readers differ in which one counts.
    """
    found: set[str] = set()
    try:
        with path.open("rb") as file:
            for value in _values(file, path.stat().st_size, "model", 0):
                if _leads_outside(value):
                    found.add(value)
                if len(found) >= _MOST_NAMES:
                    break
    except (_Unreadable, OSError):
        return None
    return sorted(found)


def graph(path: Path) -> Graph | None:
    """What the model takes and gives; None if this is no ONNX file we can follow."""
    try:
        with path.open("rb") as file:
            found = [_read_graph(file, end) for end in _contents(file, path.stat().st_size, _GRAPH)]
    except (_Unreadable, OSError, RecursionError):
        return None
    return found[-1] if found else None


def _leads_outside(name: str) -> bool:
    # A star is in the name by which ONNX Runtime calls its own memory, and in no file's.
    return name.startswith("/") or ".." in PurePosixPath(name).parts or any(sign in name for sign in "\\*:\0")


def _values(file: BinaryIO, end: int, message: str, depth: int) -> Iterator[str]:
    if depth > _DEEPEST:
        raise _Unreadable
    follow = _FIELDS[message]
    for field, size, is_content in _fields(file, end):
        match follow.get(field) if is_content else None:
            case None:
                continue
            case "value":
                yield _text(file, size)
            case kind:
                yield from _values(file, file.tell() + size, kind, depth + 1)


def _fields(file: BinaryIO, end: int) -> Iterator[tuple[int, int, bool]]:
    """The number of each field up to there, with its value; or with the size of its content, which the file is at then,
    and behind afterwards."""
    while file.tell() < end:
        key = _varint(file)
        if key >= _LARGEST_KEY:
            raise _Unreadable
        match key & 7:  # the wire type
            case 0:
                yield key >> 3, _varint(file), False
            case 1:
                _skip(file, 8, end)
            case 5:
                _skip(file, 4, end)
            case 2:
                size = _varint(file)
                after = file.tell() + size
                if after > end:
                    raise _Unreadable
                yield key >> 3, size, True
                file.seek(after)
            case _:
                raise _Unreadable
    if file.tell() != end:
        raise _Unreadable


def _contents(file: BinaryIO, end: int, wanted: int) -> Iterator[int]:
    """Where the content of each field of this number ends, at whose beginning the file is."""
    for field, size, is_content in _fields(file, end):
        if is_content and field == wanted:
            yield file.tell() + size


def _read_graph(file: BinaryIO, end: int) -> Graph:
    inputs: dict[str, Tensor] = {}
    outputs: dict[str, Tensor] = {}
    filled: set[str] = set()
    for field, size, is_content in _fields(file, end):
        after = file.tell() + size
        match field if is_content else None:
            case 5:
                filled.update(_names(file, after))
            case 15:
                for values in _contents(file, after, 1):
                    filled.update(_names(file, values))
            case 11 | 12:
                tensor = _read_tensor(file, after)
                (inputs if field == 11 else outputs)[tensor.name] = tensor
        if len(inputs) + len(outputs) > _MOST_TENSORS:
            raise _Unreadable
    # Older versions of ONNX name the weights among the inputs, too; nobody is asked for them.
    asked = (tensor for name, tensor in inputs.items() if name not in filled)
    return Graph(inputs=tuple(asked), outputs=tuple(outputs.values()))


def _names(file: BinaryIO, end: int) -> Iterator[str]:
    for after in _contents(file, end, 8):
        yield _text(file, after - file.tell())


def _read_tensor(file: BinaryIO, end: int) -> Tensor:
    """A ValueInfoProto."""
    name, datatype = "", ""
    shape: Shape = ()
    for field, size, is_content in _fields(file, end):
        match field if is_content else None:
            case 1:
                name = _text(file, size)
            case 2:
                datatype, shape = _read_type(file, file.tell() + size)
    return Tensor(name=name, datatype=datatype, shape=shape)


def _read_type(file: BinaryIO, end: int) -> tuple[str, Shape]:
    """A TypeProto: a tensor, or a map for each row, which is a matrix to whoever asks."""
    datatype = ""
    shape: Shape = ()
    for field, size, is_content in _fields(file, end):
        after = file.tell() + size
        match field if is_content else None:
            case 1:
                datatype, shape = _read_tensor_type(file, after)
            case 4 if any(
                _is_of_numbers(file, map_)
                for element in _contents(file, after, 1)
                for map_ in _contents(file, element, 5)
            ):
                datatype, shape = "FP32", ("", "")
    return datatype, shape


def _read_tensor_type(file: BinaryIO, end: int) -> tuple[str, Shape]:
    kind = 0
    shape: list[int | str] = []
    for field, value, is_content in _fields(file, end):
        if field == 1 and not is_content:
            kind = value
        elif field == 2 and is_content:
            for after in _contents(file, file.tell() + value, 1):
                shape.append(_read_dimension(file, after))
                if len(shape) > _MOST_DIMENSIONS:
                    raise _Unreadable
    return _DATATYPES.get(kind, ""), tuple(shape)


def _read_dimension(file: BinaryIO, end: int) -> int | str:
    said: int | str = ""
    for field, value, is_content in _fields(file, end):
        match field, is_content:
            case 1, False:
                said = value if 0 < value < 2**63 else ""
            case 2, True:
                said = _text(file, value)
    return said


def _is_of_numbers(file: BinaryIO, end: int) -> bool:
    """Whether a map leads from classes, by number or name, to numbers."""
    key, kinds = 0, []
    for field, value, is_content in _fields(file, end):
        match field, is_content:
            case 1, False:
                key = value
            case 2, True:
                kinds.append(_read_type(file, file.tell() + value)[0])
    return key in _OF_CLASSES and kinds == ["FP32"]


def _skip(file: BinaryIO, size: int, end: int) -> None:
    if file.tell() + size > end:
        raise _Unreadable
    file.seek(size, 1)


def _text(file: BinaryIO, size: int) -> str:
    if size > _LONGEST_NAME:
        raise _Unreadable
    return file.read(size).decode("utf-8", "backslashreplace")


def _varint(file: BinaryIO) -> int:
    value = 0
    for shift in range(0, 70, 7):
        byte = file.read(1)
        if not byte:
            raise _Unreadable
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
    raise _Unreadable
