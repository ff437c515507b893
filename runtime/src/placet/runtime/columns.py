"""The columns of the frame that a model was trained on, where its project says them: MLflow's signature does.

Most models tell by themselves what they take. What a scikit-learn pipeline cannot tell is which of its columns are
whole numbers, truths or moments, and which may be left out. A request carries a tensor for each column; moments
travel as text in ISO 8601.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Literal

import msgspec
import numpy as np

from placet.runtime.signature import ANY, Array, Tensor

_DATATYPES = {
    "boolean": "BOOL",
    "integer": "INT32",
    "long": "INT64",
    "float": "FP32",
    "double": "FP64",
    "string": "BYTES",
    "datetime": "BYTES",
}
_NUMBERS = ("integer", "long", "float", "double")
_YEARS = range(1678, 2262)  # what nanoseconds since 1970 reach in 64 bits


ColumnType = Literal["boolean", "integer", "long", "float", "double", "string", "datetime"]


class Column(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`type` is MLflow's word."""

    name: str
    type: ColumnType
    required: bool = True

    @property
    def is_number(self) -> bool:
        return self.type in _NUMBERS

    def tensor(self) -> Tensor:
        """One value a row. Truths have no value that stands for a missing one, so theirs cannot be left out; whole
        numbers that can are floats, as in the frame."""
        is_optional = not self.required and self.type != "boolean"
        is_whole = self.type in ("integer", "long")
        return Tensor(
            name=self.name,
            datatype="FP64" if is_optional and is_whole else _DATATYPES[self.type],
            shape=(ANY,),
            is_optional=is_optional,
            is_moment=self.type == "datetime",
        )


def matrix_datatype(columns: Sequence[Column]) -> str | None:
    """The datatype of all columns in one matrix; None if they differ, are no numbers, or can be left out."""
    types = {column.type for column in columns}
    if len(types) > 1 or not all(column.is_number and column.required for column in columns):
        return None
    return _DATATYPES[types.pop()]


def of_names(names: Sequence[str], columns: Sequence[Column]) -> tuple[Column, ...] | None:
    """The columns that the model knows by these names, in its order; None if one is not there.

    LightGBM keeps names with underscores for spaces.
    """
    by_name = {column.name.replace(" ", "_"): column for column in columns}
    by_name |= {column.name: column for column in columns}
    found = tuple(by_name[name] for name in names if name in by_name)
    return found if len(set(found)) == len(names) else None


def moments(texts: Iterable[str | None]) -> Array:
    """ISO 8601 texts as `datetime64[ns]` without a zone: those with an offset in UTC. Raises ValueError."""
    return np.fromiter((_moment(text) for text in texts), dtype="datetime64[ns]")


def wrong_moment(text: object) -> bool:
    try:
        _moment(text)
    except (ValueError, TypeError):
        return True
    return False


def _moment(text: object) -> np.datetime64:
    if text is None:
        return np.datetime64("NaT", "ns")
    if not isinstance(text, str):
        raise TypeError(f"{text!r} is no text")
    at = datetime.fromisoformat(text)
    if at.year not in _YEARS:
        raise ValueError(f"{text} is out of the years that can be counted in nanoseconds")
    if at.tzinfo is not None:
        at = at.astimezone(UTC).replace(tzinfo=None)
    return np.datetime64(at, "ns")
