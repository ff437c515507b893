"""Do the sample and the reference fit the model? Said from files alone: only where its inputs are written down.

A model in Python and an MLflow folder name their inputs, with their kinds; a skops file and LightGBM's how many there
are, and their names where they have some. What only the model itself can tell is left to its own process, which is held
to the sample before it goes live. Problems hold names of columns and counts, never a value.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from placet.projects import MLFLOW, Column, Served, learned_from, lightgbm_columns, read_python

# As in placet.runtime.reference, which tests hold this to.
LEAST_ROWS = 100
MOST_BYTES = 32 * 2**20
MAX_SAMPLE_BYTES = 8 * 1024**2
_LONGEST = 100
_MOST = 20
PYTHON, SKLEARN, LIGHTGBM = "python", "sklearn", "lightgbm"
_MOMENT = "moment"
_OF_COLUMNS = {
    **{"boolean": "BOOL", "string": "BYTES", "datetime": _MOMENT},
    **dict.fromkeys(("float", "double"), "FP64"),
}


class Input(msgspec.Struct, frozen=True, kw_only=True):
    """One of them: its kind is a datatype of the protocol, or not known; `shape` is a row's."""

    name: str
    datatype: str = ""
    shape: tuple[int, ...] = ()


class Inputs(msgspec.Struct, frozen=True, kw_only=True):
    """The names that a model's inputs have, and those that no request may leave out; in their order, where it is known
    what rows without names are."""

    names: frozenset[str]
    required: frozenset[str]
    in_order: tuple[Input, ...] = ()


def written_down(folder: Path, loaded: Served | None) -> Inputs | None:
    """What the model's own files say it takes; None where they say nothing."""
    if loaded is None:
        return None
    if loaded.format in (SKLEARN, MLFLOW) and loaded.columns:
        return Inputs(
            names=frozenset(column.name for column in loaded.columns),
            required=frozenset(
                column.name for column in loaded.columns if column.required or column.type == "boolean"
            ),
            in_order=tuple(Input(name=column.name, datatype=_datatype(column)) for column in loaded.columns),
        )
    code = read_python(folder / loaded.path) if loaded.format == PYTHON else None
    if code is None or code.problems or not code.inputs:
        return None
    in_order = tuple(
        Input(name=name, datatype=datatype, shape=shape)
        for name, (datatype, shape) in zip(code.inputs, code.datatypes, strict=True)
    )
    return Inputs(names=frozenset(code.inputs), required=frozenset(code.inputs), in_order=in_order)


def learned(folder: Path, loaded: Served | None) -> Inputs | None:
    """What the model was trained on, as its own file tells: how many columns, and perhaps their names."""
    if loaded is None:
        return None
    count: int | None = None
    names: tuple[str, ...] = ()
    if loaded.serialization == "skops":
        count, names = learned_from(folder / loaded.path)
    elif loaded.format == LIGHTGBM:
        names = lightgbm_columns(folder / loaded.path)
        count, names = len(names), () if names[:1] == ("Column_0",) else names
    if not count:
        return None
    in_order = tuple(Input(name=name) for name in names or [""] * count)
    return Inputs(names=frozenset(names), required=frozenset(names), in_order=in_order)


def sample_problems(request: Any, inputs: Inputs | None) -> list[str]:
    """What of a sample's request the model would refuse."""
    rows = request.get("inputs") if isinstance(request, dict) else None
    if not isinstance(rows, list | dict) or not rows:
        return ["its request has no `inputs` with rows or columns"]
    if inputs is None:
        return []
    names = _names(rows)
    strangers = list(_strangers(names, inputs, "its request")) if names and inputs.names else []
    return [*strangers, *islice(_misfits(rows, inputs.in_order), _MOST)]


def reference_problems(
    path: Path, request: Any, inputs: Inputs | None, *, may_lack_columns: bool
) -> list[str]:
    """What would keep the model server from comparing with a reference. `request` is the sample's.

    `may_lack_columns`: some may be optional, so that the sample does not tell which have to be there.
    """
    if path.suffix.lower() not in (".csv", ".json"):
        return ["it is neither .csv nor .json"]
    if path.stat().st_size > MOST_BYTES:
        return [f"it is larger than {MOST_BYTES} bytes; some thousand rows will do"]
    rows = request.get("inputs") if isinstance(request, dict) else None
    if inputs is None and not may_lack_columns and (names := _names(rows)):
        inputs = Inputs(names=names, required=names)
    if path.suffix.lower() == ".json":
        return list(_wrong_json(path.read_bytes(), inputs))
    width = len(rows[0]) if isinstance(rows, list) and rows and isinstance(rows[0], list) else 1
    return list(_wrong_csv(path.read_bytes(), inputs, width))


def _misfits(rows: Any, inputs: Sequence[Input]) -> Iterator[str]:
    """Values that are none of their input's, as the model server would say it of the first of them."""
    named = {each.name: each for each in inputs}
    if isinstance(rows, dict):
        for name, values in rows.items():
            if not isinstance(values, list):
                yield f"its column {name} is no list of values"
            elif name in named:
                yield from _wrong_values(enumerate(values), named[name])
        if len({len(values) for values in rows.values() if isinstance(values, list)}) > 1:
            yield "its columns differ in length"
    elif isinstance(rows[0], dict):
        for number, row in enumerate(rows):
            if not isinstance(row, dict):
                yield f"its row {number} is no object, as row 0 is"
                continue
            for name in row.keys() & named.keys():
                yield from _wrong_values([(number, row[name])], named[name])
    elif len(inputs) == 1:
        yield from _wrong_values(enumerate(rows), inputs[0])
    else:
        yield from _wrong_rows(rows, inputs)


def _wrong_rows(rows: Sequence[Any], inputs: Sequence[Input]) -> Iterator[str]:
    for number, row in enumerate(rows):
        if not isinstance(row, list):
            yield f"its row {number} is no list of {len(inputs)} values"
        elif len(row) != len(inputs):
            yield f"its row {number} has {len(row)} values, and the model takes {len(inputs)}"
        else:
            for value, each in zip(row, inputs, strict=True):
                yield from _wrong_values([(number, value)], each)


def _wrong_values(values: Iterable[tuple[int, Any]], wanted: Input) -> Iterator[str]:
    for number, value in values:
        where = f"its row {number}" + (f", {wanted.name}," if wanted.name else "")
        if wanted.shape in ((), (1,)) and isinstance(value, list) and len(value) == 1:
            (value,) = value  # of a single column, a row may be the value itself or a list of it
        if not _has_shape(value, () if wanted.shape == (1,) else wanted.shape):
            shape = f"no list of {wanted.shape[0]} values" if len(wanted.shape) == 1 else "of another shape"
            yield f"{where} is {shape}" if wanted.shape else f"{where} is no single value"
        elif expected := next(
            filter(None, (_expected(leaf, wanted.datatype) for leaf in _leaves(value))), None
        ):
            yield f"{where} is not {expected}"


def _has_shape(value: Any, shape: Sequence[int]) -> bool:
    if not shape:
        return not isinstance(value, list | dict)
    if not isinstance(value, list) or shape[0] not in (-1, len(value)):
        return False
    return all(_has_shape(each, shape[1:]) for each in value)


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, list):
        for each in value:
            yield from _leaves(each)
    else:
        yield value


def _expected(value: Any, datatype: str) -> str | None:
    """What this value should have been, if the model server takes it for wrong."""
    if not datatype or value is None:
        return None
    if datatype in ("BYTES", _MOMENT):
        return None if isinstance(value, str) else "a text"
    if datatype == "BOOL":
        return None if isinstance(value, bool) else "true or false"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "a number"
    return "a whole number" if isinstance(value, float) and not datatype.startswith("FP") else None


def _datatype(column: Column) -> str:
    # As in placet.runtime.columns: a whole number that may be missing is a float there.
    if column.type in ("integer", "long"):
        return "INT64" if column.required else "FP64"
    return _OF_COLUMNS[column.type]


def _names(rows: Any) -> frozenset[str] | None:
    """The names in a request's inputs, if it names them."""
    if isinstance(rows, dict):
        return frozenset(rows)
    first = rows[0] if isinstance(rows, list) and rows else None
    return frozenset(first) if isinstance(first, dict) else None


def _strangers(names: Iterable[str], inputs: Inputs, where: str) -> Iterator[str]:
    for word, strangers in (
        ("lacks", inputs.required - set(names)),
        ("has", set(names) - inputs.names),
    ):
        if strangers:
            yield f"{where} {word} {_listed(strangers)}" + (
                ", which the model does not take" if word == "has" else ""
            )


def _wrong_json(content: bytes, inputs: Inputs | None) -> Iterator[str]:
    try:
        document = msgspec.json.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        yield "it is no JSON"
        return
    rows = document.get("inputs") if isinstance(document, dict) else None
    if not isinstance(rows, list | dict) or not rows:
        yield "it is no request: it has no `inputs` with rows or columns"
        return
    names = _names(rows)
    if names is not None and inputs is not None:
        yield from _strangers(names, inputs, "it")
    column = next(iter(rows.values())) if isinstance(rows, dict) else rows
    yield from _too_few(len(column) if isinstance(column, list) else 0)


def _wrong_csv(content: bytes, inputs: Inputs | None, width: int) -> Iterator[str]:
    try:
        rows = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
        header = next(rows, [])
        count = 0
        for row in rows:
            if row and len(row) != len(header):
                yield f"its row {count} has {len(row)} values, its header {len(header)}"
                return
            count += bool(row)
    except (UnicodeDecodeError, csv.Error):
        yield "it is no CSV file in UTF-8"
        return
    if inputs is not None and len(inputs.names) > 1:
        # By name, whatever other columns there are.
        yield from _strangers(set(header) & inputs.names, inputs, "its header")
    elif inputs is None and len(header) < width:
        yield f"it has {len(header)} columns, and a row of the sample has {width} values"
    yield from _too_few(count)


def _too_few(rows: int) -> Iterator[str]:
    if rows < LEAST_ROWS:
        yield f"it has {rows} rows, of which nothing can be told; give {LEAST_ROWS} or more"


def _listed(names: Iterable[str]) -> str:
    text = ", ".join(sorted(names))
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
