"""The project's reference: rows of what the model was made for, which what it is asked is compared with.

A CSV file with a header, or a JSON file that is a request of `/predict`; read through the same checks as a request,
so that its columns are the model's. Of many rows some are taken, evenly. Nothing of it is shown to anybody.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import msgspec

from placet.runtime.model import CannotLoad
from placet.runtime.plain import PlainCodec
from placet.runtime.problems import Problem
from placet.runtime.signature import ANY, Signature, Tensor, Tensors

LEAST_ROWS = 100
"""Of fewer, how often each part is met is anybody's guess."""
MOST_ROWS = 10_000
MOST_BYTES = 32 * 2**20
_TRUTHS = {"true": True, "false": False, "1": True, "0": False}


def read(path: Path, signature: Signature) -> Tensors:
    """As the model would be given them. Raises `CannotLoad` with what is wrong and where."""
    body = _body(path, signature)
    try:
        tensors = PlainCodec(signature).decode(body)
    except Problem as problem:
        raise CannotLoad(f"reference {path.name}: {problem.detail}") from problem
    rows = len(next(iter(tensors.values())))
    if rows < LEAST_ROWS:
        raise CannotLoad(
            f"reference {path.name} has {rows} rows, of which nothing can be told; give {LEAST_ROWS} or more"
        )
    return {name: array[:: -(-rows // MOST_ROWS)] for name, array in tensors.items()}


def _body(path: Path, signature: Signature) -> bytes:
    try:
        content = path.read_bytes() if path.stat().st_size <= MOST_BYTES else None
    except OSError as error:
        raise CannotLoad(f"reference {path.name} cannot be read: {error.strerror}") from error
    if content is None:
        raise CannotLoad(
            f"reference {path.name} is larger than {MOST_BYTES} bytes; some thousand rows will do"
        )
    match path.suffix.lower():
        case ".json":
            return content
        case ".csv":
            return msgspec.json.encode({"inputs": _from_csv(content, path.name, signature)})
    raise CannotLoad(f"reference {path.name} is neither .csv nor .json")


def _from_csv(content: bytes, name: str, signature: Signature) -> list[list[Any]] | dict[str, list[Any]]:
    """Columns by name where the model knows names, whatever others there are; else rows, in the file's order."""
    try:
        rows = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
        header = next(rows, [])
        lines = [row for row in rows if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise CannotLoad(f"reference {name} is no CSV file in UTF-8: {error}") from error
    for number, row in enumerate(lines):
        if len(row) != len(header):
            raise CannotLoad(
                f"reference {name}: row {number} has {len(row)} values, its header {len(header)}"
            )
    single = signature.inputs[0]
    if len(signature.inputs) == 1 and not signature.columns:
        values = [[_value(text, single) for text in row] for row in lines]
        return [row[0] for row in values] if single.shape == (ANY,) and len(header) == 1 else values
    wanted = {tensor.name: tensor for tensor in signature.named_inputs}
    return {
        column: [_value(row[at], wanted[column]) for row in lines]
        for at, column in enumerate(header)
        if column in wanted
    }


def _value(text: str, tensor: Tensor) -> Any:
    """As JSON has it; what is no such value stays a text, which is then refused in the words of a request."""
    if tensor.is_text:
        return text or None
    if tensor.datatype == "BOOL":
        return _TRUTHS.get(text.strip().lower(), text)
    if not text.strip():
        return None
    if tensor.may_be_truths and text.strip().lower() in ("true", "false"):
        return _TRUTHS[text.strip().lower()]
    try:
        return float(text) if tensor.is_float else int(text)
    except ValueError:
        return text
