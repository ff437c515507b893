"""The plain `/predict`: rows or columns in, `outputs` and perhaps `probabilities` back.

`{"inputs": [[5.1, 3.5], …]}`, or `{"inputs": {"length": [5.1, …], "width": [3.5, …]}}` where the model knows the names.
Decoding is typed and quick; only when it fails is the body read again, slowly, to name the first value that is wrong.
Pure: bytes to arrays and back, no HTTP and no model.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeGuard

import msgspec
import numpy as np

from placet.runtime.problems import Problem, unacceptable, unreadable
from placet.runtime.signature import DATATYPES, Array, Signature, Tensor, Tensors

_encoder = msgspec.json.Encoder()


class PlainCodec:
    def __init__(self, signature: Signature) -> None:
        self._inputs = signature.inputs
        self._columns = signature.columns
        self._takes_missing = signature.takes_missing
        self._prediction = signature.prediction
        self._probabilities = signature.probabilities
        self.outputs = tuple(
            tensor.name
            for tensor in signature.outputs
            if signature.prediction is None or tensor.name in (signature.prediction, signature.probabilities)
        )
        self._body = msgspec.json.Decoder(_body_type(signature))

    def decode(self, body: bytes) -> Tensors:
        """Raises `Problem` 400 for what is not JSON and 422 for what this model cannot take."""
        try:
            inputs = self._body.decode(body).inputs
        except msgspec.ValidationError:
            inputs = self._explain(body)
        except msgspec.MsgspecError as error:
            if b"NaN" in body or b"Infinity" in body:
                raise unacceptable(
                    "NaN and Infinity are not JSON numbers", fix=self._missing_fix()
                ) from error
            raise unreadable(f"the body is not JSON: {error}", fix=f"send {self.example()}") from error
        if not inputs:
            raise unacceptable("inputs has no rows", fix=f"send {self.example()}")
        arrays = self._from_columns(inputs) if isinstance(inputs, dict) else self._from_rows(inputs)
        if not self._takes_missing:
            self._refuse_missing(arrays)
        return arrays

    def encode(self, outputs: Tensors) -> bytes:
        if self._prediction is None:
            return _encoder.encode({"outputs": {name: _plain(outputs[name]) for name in self.outputs}})
        answer = {"outputs": _plain(outputs[self._prediction])}
        if self._probabilities is not None:
            answer["probabilities"] = _plain(outputs[self._probabilities])
        return _encoder.encode(answer)

    def example(self) -> str:
        """A body of the right form with made-up values."""
        single = self._inputs[0]
        if len(self._inputs) > 1:
            row = ['"text"' if tensor.is_text else "0" for tensor in self._inputs]
            return (
                '{"inputs": {'
                + ", ".join(
                    f"{msgspec.json.encode(tensor.name).decode()}: [{value}]"
                    for tensor, value in zip(self._inputs, row, strict=True)
                )
                + "}}"
            )
        if len(single.shape) == 1:
            return '{"inputs": ["text"]}' if single.is_text else '{"inputs": [0]}'
        value: Any = "text" if single.is_text else 0
        for size in reversed(single.shape[1:]):
            value = [value] * max(size, 1)
        return msgspec.json.format(msgspec.json.encode({"inputs": [value]}), indent=0).decode()

    def _from_rows(self, rows: list[Any]) -> Tensors:
        if len(self._inputs) == 1:
            return {self._inputs[0].name: self._array(rows, self._inputs[0])}
        names = [tensor.name for tensor in self._inputs]
        for number, row in enumerate(rows):
            if len(row) != len(names):
                raise unacceptable(
                    f"row {number} has {len(row)} values; this model takes {len(names)}: {', '.join(names)}"
                )
        return {
            tensor.name: self._array(list(values), tensor)
            for tensor, values in zip(self._inputs, zip(*rows, strict=True), strict=True)
        }

    def _from_columns(self, columns: dict[str, Any]) -> Tensors:
        names = self._columns or tuple(tensor.name for tensor in self._inputs)
        missing = [name for name in names if name not in columns]
        extra = [name for name in columns if name not in names]
        if missing or extra:
            wrong = [
                f"{word} {', '.join(found)}"
                for word, found in (("lacks", missing), ("has extra", extra))
                if found
            ]
            raise unacceptable(f"inputs {' and '.join(wrong)}; this model takes {', '.join(names)}")
        lengths = {len(values) for values in columns.values()}
        if len(lengths) != 1 or lengths == {0}:
            raise unacceptable("the columns differ in length or are empty; each holds one value a row")
        if self._columns:
            rows = list(zip(*(columns[name] for name in names), strict=True))
            return {self._inputs[0].name: self._array(rows, self._inputs[0])}
        return {tensor.name: self._array(columns[tensor.name], tensor) for tensor in self._inputs}

    def _array(self, values: Sequence[Any], tensor: Tensor) -> Array:
        if tensor.is_text:
            array = np.empty(len(values), dtype=object)
            array[:] = values
            for number, value in enumerate(values):
                if not isinstance(value, str) and value is not None:
                    raise unacceptable(f"row {number}, {tensor.name}: expected a text, got {_shown(value)}")
        else:
            try:
                array = np.array(values, dtype=DATATYPES[tensor.datatype])
            except OverflowError as error:
                raise unacceptable(f"{tensor.name}: a number is too large for {tensor.datatype}") from error
            except (ValueError, TypeError) as error:
                raise self._why(values, tensor) from error
        if tensor.takes(array.shape):
            return array
        if tensor.is_column and array.size == len(values):
            return array.reshape(-1, *tensor.shape[1:])
        raise self._why(values, tensor)

    def _why(self, values: Sequence[Any], tensor: Tensor) -> Problem:
        width = tensor.shape[1] if len(tensor.shape) == 2 else None
        for number, row in enumerate(values):
            if width is not None and isinstance(row, Sequence) and len(row) != width:
                names = f": {', '.join(self._columns)}" if self._columns else ""
                return unacceptable(f"row {number} has {len(row)} values; this model takes {width}{names}")
            for index, value in enumerate(_leaves(row)):
                if isinstance(value, bool) or not isinstance(value, int | float | None):
                    return unacceptable(
                        f"row {number}, {self._place(tensor, index)}: expected a number, got {_shown(value)}"
                    )
                if not tensor.is_float and not isinstance(value, int):
                    return unacceptable(
                        f"row {number}, {self._place(tensor, index)}: expected a whole number, got {_shown(value)}"
                    )
        return unacceptable(
            f"inputs are not rows of {tensor.name}, whose shape is {list(tensor.shape)}",
            fix=f"send {self.example()}",
        )

    def _explain(self, body: bytes) -> Any:
        """The typed decoder refused: read without types, and let the checks find the place."""
        document = msgspec.json.decode(body)
        if not isinstance(document, dict) or "inputs" not in document:
            raise unacceptable("the body has no inputs", fix=f"send {self.example()}")
        extra = [name for name in document if name != "inputs"]
        if extra:
            raise unacceptable(f"the body has {', '.join(extra)} beside inputs", fix=f"send {self.example()}")
        inputs = document["inputs"]
        if isinstance(inputs, dict) and all(isinstance(values, list) for values in inputs.values()):
            for name, values in inputs.items():
                tensor = next((tensor for tensor in self._inputs if tensor.name == name), self._inputs[0])
                if not tensor.is_text and (self._columns or tensor.is_column):
                    for number, value in enumerate(values):
                        if not _is_number(value):
                            raise unacceptable(
                                f"row {number}, {name}: expected a number, got {_shown(value)}"
                            )
            return inputs
        if not isinstance(inputs, list):
            raise unacceptable("inputs is neither rows nor named columns", fix=f"send {self.example()}")
        if len(self._inputs) == 1 and not self._inputs[0].is_text:
            raise self._why(inputs, self._inputs[0])
        if len(self._inputs) > 1 and not all(isinstance(row, list) for row in inputs):
            raise unacceptable("inputs holds something that is no row", fix=f"send {self.example()}")
        return inputs

    def _place(self, tensor: Tensor, index: int) -> str:
        if self._columns and index < len(self._columns):
            return self._columns[index]
        return tensor.name if tensor.is_column else f"value {index}"

    def _refuse_missing(self, arrays: Tensors) -> None:
        for tensor in self._inputs:
            array = arrays[tensor.name]
            if tensor.is_float and np.isnan(array.sum()):
                found = np.argwhere(np.isnan(array.reshape(len(array), -1)))
                if len(found):
                    row, column = found[0].tolist()
                    raise unacceptable(
                        f"row {row}, {self._place(tensor, column)}: null, and this model takes no missing values"
                    )

    def _missing_fix(self) -> str:
        return (
            "write null for a missing value" if self._takes_missing else "this model takes no missing values"
        )


def _body_type(signature: Signature) -> Any:
    """The narrowest type that msgspec can check while it decodes."""
    if len(signature.inputs) > 1:
        inputs: Any = list[list[float | str | None]] | dict[str, list[Any]]
    else:
        tensor = signature.inputs[0]
        item: Any = str | None if tensor.is_text else float | None if tensor.is_float else int
        if tensor.datatype == "BOOL":
            item = bool
        rows = item
        for _ in tensor.shape:
            rows = list[rows]
        inputs = rows | dict[str, list[item]] if signature.columns else rows | dict[str, rows]
    return msgspec.defstruct("Body", [("inputs", inputs)], forbid_unknown_fields=True)


def _is_number(value: object) -> TypeGuard[int | float | None]:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _leaves(value: object) -> Iterable[object]:
    if isinstance(value, list | tuple):
        for item in value:
            yield from _leaves(item)
    else:
        yield value


def _shown(value: object) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 40 else f"{text[:37]}..."


def _plain(array: Array) -> list[Any]:
    if array.dtype.kind in "SO":
        return [
            item.decode("utf-8", "replace") if isinstance(item, bytes) else item for item in array.tolist()
        ]
    items: list[Any] = array.tolist()
    return items
