"""Which files outside of its own folder would an ONNX model read? Found in its bytes, without loading anything.

A tensor may keep its data in another file, which it names. Versions of ONNX Runtime before 1.24 follow such a name
wherever it leads, and a model whose weights are somebody's private key answers with it. So every tensor of the model
is looked at: in graphs within graphs, attributes, functions and training information. Only the few protobuf fields
that lead to tensors are followed; content is skipped, so a large model costs no memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import BinaryIO

_DEEPEST = 100
_LONGEST_NAME = 500
_MOST_NAMES = 20

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


def _leads_outside(name: str) -> bool:
    # A star is in the name by which ONNX Runtime calls its own memory, and in no file's.
    return name.startswith("/") or ".." in PurePosixPath(name).parts or any(sign in name for sign in "\\*:\0")


def _values(file: BinaryIO, end: int, message: str, depth: int) -> Iterator[str]:
    if depth > _DEEPEST:
        raise _Unreadable
    follow = _FIELDS[message]
    while file.tell() < end:
        key = _varint(file)
        if key >= _LARGEST_KEY:
            raise _Unreadable
        match key & 7:  # the wire type
            case 0:
                _varint(file)
            case 1:
                _skip(file, 8, end)
            case 5:
                _skip(file, 4, end)
            case 2:
                size = _varint(file)
                after = file.tell() + size
                if after > end:
                    raise _Unreadable
                match follow.get(key >> 3):
                    case None:
                        file.seek(after)
                    case "value":
                        yield _text(file, size)
                    case kind:
                        yield from _values(file, after, kind, depth + 1)
            case _:
                raise _Unreadable
    if file.tell() != end:
        raise _Unreadable


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
