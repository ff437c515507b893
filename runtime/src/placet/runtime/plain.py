"""The plain `/predict`: rows or columns in, `outputs` and perhaps `probabilities` back.

`{"inputs": [[5.1, 3.5], …]}`; where names are known also `{"inputs": [{"length": 5.1, "width": 3.5}, …]}` or
`{"inputs": {"length": [5.1, …], "width": [3.5, …]}}`.
Values become arrays in one quick step; only when that fails are they walked one by one, to name the first
that is wrong. Pure: bytes to arrays and back, no HTTP and no model.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

import msgspec
import numpy as np

from placet.runtime.columns import moments, wrong_moment
from placet.runtime.problems import NO_NAN, Problem, missing_fix, unacceptable, unreadable
from placet.runtime.signature import ANY, DATATYPES, Array, Signature, Tensor, Tensors

Values = Sequence[Any]
SHOWN = 20
"""Names of a client's that a refusal repeats."""

_NAME_IT = "send 1 or 0, or rows as objects that name their columns, where true and false are taken"


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    inputs: list[Any] | dict[str, list[Any]]


_decoder = msgspec.json.Decoder(_Body)
_encoder = msgspec.json.Encoder()


class _Doubts(NamedTuple):
    """What may be among numbers, so that every value is looked at: numpy would take true for a 1, and gives to every
    text the room of the longest."""

    truths: bool
    texts: bool  # beyond the one name `inputs`


class PlainCodec:
    def __init__(self, signature: Signature) -> None:
        self._signature = signature
        # either one matrix whose columns have names, or a tensor for each name
        self._columns = signature.named_inputs if signature.columns else ()
        self._named = {tensor.name: tensor for tensor in signature.named_inputs}
        self._required = {tensor.name for tensor in signature.named_inputs if not tensor.is_optional}
        named = (signature.prediction, signature.probabilities)
        self.outputs = tuple(
            tensor.name
            for tensor in signature.outputs
            if signature.prediction is None or tensor.name in named
        )

    def decode(self, body: bytes) -> Tensors:
        """Raises `Problem` 400 for what is not JSON and 422 for what this model cannot take."""
        try:
            inputs = _decoder.decode(body).inputs
        except msgspec.ValidationError as error:
            raise unacceptable(f"the body is not a request: {error}", fix=self._fix()) from error
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            if b"NaN" in body or b"Infinity" in body:
                raise unacceptable(NO_NAN, fix=missing_fix(self._signature.takes_missing)) from error
            raise unreadable(f"the body is not JSON: {error}", fix=self._fix()) from error
        if not inputs:
            raise unacceptable("inputs has no rows", fix=self._fix())
        doubts = _Doubts(truths=b"true" in body or b"false" in body, texts=body.count(b'"') > len('""'))
        if isinstance(inputs, dict):
            arrays = self._from_columns(inputs, doubts=doubts)
        else:
            arrays = self._from_rows(inputs, doubts=doubts)
        if not self._signature.takes_missing:
            self._refuse_missing(arrays)
        return arrays

    def encode(self, outputs: Tensors) -> bytes:
        prediction, probabilities = self._signature.prediction, self._signature.probabilities
        if prediction is None:
            return _encoder.encode({"outputs": {name: _plain(outputs[name]) for name in self.outputs}})
        answer = {"outputs": _plain(outputs[prediction])}
        if probabilities is not None:
            answer["probabilities"] = _plain(outputs[probabilities])
        return _encoder.encode(answer)

    def example(self) -> bytes:
        """A body of the right form, with made-up values."""
        tensors = self._signature.inputs
        if len(tensors) > 1:
            return _encoder.encode({"inputs": {tensor.name: [_made_up(tensor)] for tensor in tensors}})
        return _encoder.encode({"inputs": [_made_up(tensors[0])]})

    def _from_rows(self, rows: list[Any], *, doubts: _Doubts) -> Tensors:
        if isinstance(rows[0], dict):
            return self._from_objects(rows, doubts=doubts)
        tensors = self._signature.inputs
        if len(tensors) == 1:
            return {tensors[0].name: self._array(rows, tensors[0], doubts=doubts)}
        names = ", ".join(tensor.name for tensor in tensors)
        for number, row in enumerate(rows):
            if not isinstance(row, list) or len(row) != len(tensors):
                raise unacceptable(f"row {number} is not a list of {len(tensors)} values: {names}")
        by_column = zip(*rows, strict=True)
        return {
            tensor.name: self._array(values, tensor, doubts=doubts)
            for tensor, values in zip(tensors, by_column, strict=True)
        }

    def _from_objects(self, rows: list[Any], *, doubts: _Doubts) -> Tensors:
        for number, row in enumerate(rows):
            if not isinstance(row, dict):
                raise unacceptable(f"row {number} is no object, as row 0 is")
            self._refuse_strangers(row, f"row {number}")
        given = [name for name in self._named if any(name in row for row in rows)] or list(self._named)
        return self._from_columns({name: [row.get(name) for row in rows] for name in given}, doubts=doubts)

    def _from_columns(self, given: dict[str, list[Any]], *, doubts: _Doubts) -> Tensors:
        self._refuse_strangers(given, "inputs")
        rows = _same_length(given)
        arrays = {
            name: self._array(given[name], tensor, doubts=doubts) if name in given else tensor.missing(rows)
            for name, tensor in self._named.items()
        }
        if self._columns:
            return {self._signature.inputs[0].name: np.column_stack(list(arrays.values()))}
        return arrays

    def _refuse_strangers(self, given: dict[str, Any], where: str) -> None:
        lacking = sorted(self._required - given.keys())
        extra = (name for name in given if name not in self._named)  # there may be millions
        # Both in one sentence: what is extra is most likely what is lacking, misspelt.
        said = " and ".join(
            f"{word} {_some(strangers)}"
            for word, strangers in (("lacks", lacking), ("has extra", list(islice(extra, SHOWN + 1))))
            if strangers
        )
        if said:
            raise unacceptable(f"{where} {said}; this model takes {', '.join(self._named)}")

    def _array(self, values: Values, tensor: Tensor, *, doubts: _Doubts) -> Array:
        array = _texts(values, tensor) if tensor.is_text else _numbers(values, tensor, doubts=doubts)
        if array is not None and tensor.is_column and array.size == len(values):
            array = array.reshape(-1, *tensor.shape[1:])
        if array is None or not tensor.takes(array.shape):
            raise self._wrong(values, tensor)
        return moments(array) if tensor.is_moment else array

    def _wrong(self, values: Values, tensor: Tensor) -> Problem:
        """Names the first value that made an array impossible."""
        width = tensor.shape[1] if len(tensor.shape) == 2 else ANY
        names = f": {', '.join(column.name for column in self._columns)}" if self._columns else ""
        for number, row in enumerate(values):
            if isinstance(row, list) and len(row) != width != ANY and len(tensor.shape) == 2:
                return unacceptable(f"row {number} has {len(row)} values; this model takes {width}{names}")
            for index, value in enumerate(_leaves(row)):
                expected = _expected(value, tensor)
                if expected:
                    shown = _encoder.encode(value).decode()
                    where = f"row {number}, {self._place(tensor, index)}"
                    fix = _NAME_IT if isinstance(value, bool) and tensor.may_be_truths else None
                    return unacceptable(f"{where}: expected {expected}, got {shown[:60]}", fix=fix)
        return unacceptable(f"inputs are not rows of shape {list(tensor.shape[1:])}", fix=self._fix())

    def _refuse_missing(self, arrays: Tensors) -> None:
        for tensor in self._signature.inputs:
            array = arrays[tensor.name]
            if tensor.is_float and np.isnan(array).any():
                row, column = np.argwhere(np.isnan(array.reshape(len(array), -1)))[0].tolist()
                said = missing_fix(self._signature.takes_missing)
                raise unacceptable(f"row {row}, {self._place(tensor, column)}: null; {said}", fix=self._fix())

    def _place(self, tensor: Tensor, index: int) -> str:
        if self._columns and tensor in self._signature.inputs and index < len(self._columns):
            return self._columns[index].name
        return tensor.name if tensor.is_column else f"value {index}"

    def _fix(self) -> str:
        shown = self.example().decode()
        return f"send JSON like {shown}" if len(shown) < 200 else f"send JSON like {shown[:200]}…"


def _same_length(columns: dict[str, list[Any]]) -> int:
    lengths = {name: len(values) for name, values in columns.items()}
    longest, shortest = max(lengths, key=lengths.__getitem__), min(lengths, key=lengths.__getitem__)
    if lengths[shortest] < lengths[longest]:
        raise unacceptable(
            f"the columns differ in length: {longest} has {lengths[longest]} values and {shortest} has "
            f"{lengths[shortest]}; each holds one value a row"
        )
    if not lengths[longest]:
        raise unacceptable(f"the column {longest} is empty; each holds one value a row")
    return lengths[longest]


def _numbers(values: Values, tensor: Tensor, *, doubts: _Doubts) -> Array | None:
    """None if they are not numbers of the tensor's kind, or not of one shape."""
    wanted = DATATYPES[tensor.datatype]
    try:
        if doubts.texts and _has_text(values):
            return None
        found = np.array(values)  # without a dtype, or numpy would read numbers from texts
        if doubts.truths or found.dtype.kind == "O":
            if any(_expected(value, tensor) for value in _leaves(values)):
                return None
            return np.array(values, dtype=wanted)
        if found.dtype.kind in ("f" if tensor.is_float else "") + ("b" if wanted.kind == "b" else ""):
            return found.astype(wanted, copy=False)
        return np.array(values, dtype=wanted) if found.dtype.kind in "iu" and wanted.kind != "b" else None
    except (ValueError, TypeError, OverflowError):
        return None


def _has_text(values: Values) -> bool:
    kinds = set(map(type, values))
    return str in kinds or (list in kinds and any(_has_text(row) for row in values if isinstance(row, list)))


def _texts(values: Values, tensor: Tensor) -> Array | None:
    array = np.array(values, dtype=object)
    return None if any(_expected(value, tensor) for value in array.flat) else array


def _expected(value: object, tensor: Tensor) -> str | None:
    """What this value should have been, if it is wrong."""
    if tensor.is_unread:
        return "a single value" if isinstance(value, dict) else None
    if tensor.is_moment:
        return "a time in ISO 8601, such as 2026-01-31T12:00:00" if wrong_moment(value) else None
    if tensor.is_text:
        return None if isinstance(value, str | None) else "a text"
    if tensor.datatype == "BOOL":
        return None if isinstance(value, bool) else "true or false"
    if isinstance(value, bool) and tensor.may_be_truths and tensor.is_column:
        return None  # so a frame made of such rows has it, too
    if isinstance(value, bool) or not isinstance(value, int | float | None):
        return "a number"
    if tensor.is_float:
        return None
    if not isinstance(value, int):
        return "a whole number"
    limits = np.iinfo(DATATYPES[tensor.datatype])
    return None if limits.min <= value <= limits.max else f"a number between {limits.min} and {limits.max}"


def _some(names: list[str]) -> str:
    shown = ", ".join(name[:60] for name in names[:SHOWN])
    return f"{shown}, …" if len(names) > SHOWN else shown


def _leaves(value: object) -> Iterator[object]:
    if isinstance(value, list | tuple):
        for item in value:
            yield from _leaves(item)
    else:
        yield value


def _made_up(tensor: Tensor) -> Any:
    value: Any = "text" if tensor.is_text else False if tensor.datatype == "BOOL" else 0
    if tensor.is_moment:
        value = "2026-01-31T12:00:00"
    for size in reversed(tensor.shape[1:]):
        value = [value] * max(size, 1)
    return value


def _plain(array: Array) -> list[Any]:
    items: list[Any] = array.tolist()
    if array.dtype.kind in "SO":
        return [item.decode("utf-8", "replace") if isinstance(item, bytes) else item for item in items]
    return items
