"""Do the sample and the reference fit the model? Said from files alone: only where its inputs are written down.

A model in Python and an MLflow folder name their inputs; of others the sample does, which is one request that the model
is held to before it goes live. What only the model itself can tell (kinds of values, widths of a matrix) is
left to its own process. Problems hold names of columns and counts, never a value.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from placet.projects import MLFLOW, Served, read_python

# As in placet.runtime.reference, which tests hold this to.
LEAST_ROWS = 100
MOST_BYTES = 32 * 2**20
MAX_SAMPLE_BYTES = 8 * 1024**2
_LONGEST = 100
PYTHON, SKLEARN = "python", "sklearn"


class Inputs(msgspec.Struct, frozen=True, kw_only=True):
    """The names that a model's inputs have, and those that no request may leave out."""

    names: frozenset[str]
    required: frozenset[str]


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
        )
    code = read_python(folder / loaded.path) if loaded.format == PYTHON else None
    if code is None or code.problems or not code.inputs:
        return None
    return Inputs(names=frozenset(code.inputs), required=frozenset(code.inputs))


def sample_problems(request: Any, inputs: Inputs | None) -> list[str]:
    """What of a sample's request the model would refuse."""
    rows = request.get("inputs") if isinstance(request, dict) else None
    if not isinstance(rows, list | dict) or not rows:
        return ["its request has no `inputs` with rows or columns"]
    names = _names(rows)
    if names is None or inputs is None:
        return []
    return list(_strangers(names, inputs, "its request"))


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
