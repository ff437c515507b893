"""What a model takes and gives, in the words of the Open Inference Protocol.

A signature is read from the model itself and never from a hand-written file, so that metadata, OpenAPI, the
docs page and the checks on a request cannot disagree with what is served. What a model cannot tell, the columns that
were saved with it may (`columns.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Tensors = dict[str, Array]

ANY = -1  # a dimension that a request chooses, the number of rows first of all

DATATYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype(np.uint8),
    "UINT16": np.dtype(np.uint16),
    "UINT32": np.dtype(np.uint32),
    "UINT64": np.dtype(np.uint64),
    "INT8": np.dtype(np.int8),
    "INT16": np.dtype(np.int16),
    "INT32": np.dtype(np.int32),
    "INT64": np.dtype(np.int64),
    "FP16": np.dtype(np.float16),
    "FP32": np.dtype(np.float32),
    "FP64": np.dtype(np.float64),
    "BYTES": np.dtype(np.object_),
}
_NAMES = {dtype: name for name, dtype in DATATYPES.items()}


def datatype_of(dtype: np.dtype[Any]) -> str:
    """The protocol's name; text of any width is BYTES."""
    return _NAMES.get(dtype) or _NAMES.get(dtype.newbyteorder("="), "BYTES")


@dataclass(frozen=True, kw_only=True, slots=True)
class Tensor:
    """One input or output. The first dimension counts rows.

    An input that `is_optional` may be left out, and is missing in every row then. One that `is_moment` is sent as text
    and given to the model as `datetime64[ns]`. Of one that `may_be_truths`, a column of a frame whose kind nobody wrote
    down, true and false are numbers where the column is named. One that `is_unread` the model knows and drops: in
    `/predict` it may be anything. `labels` are the classes that the columns of an output belong to, in order, where the
    model knows them.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    is_optional: bool = False
    is_moment: bool = False
    may_be_truths: bool = False
    is_unread: bool = False
    labels: tuple[str | float, ...] = ()

    @property
    def is_text(self) -> bool:
        return self.datatype == "BYTES"

    @property
    def is_float(self) -> bool:
        return self.datatype.startswith("FP")

    @property
    def is_column(self) -> bool:
        """One value a row: `[-1]` or `[-1, 1]`."""
        return self.shape in ((ANY,), (ANY, 1))

    def missing(self, rows: int) -> Array:
        """What stands for an optional input that was left out."""
        if self.is_moment:
            return np.full((rows,), np.datetime64("NaT", "ns"))
        return np.full((rows,), None if self.is_text else np.nan, dtype=DATATYPES[self.datatype])

    def takes(self, shape: tuple[int, ...]) -> bool:
        return len(shape) == len(self.shape) and all(
            want in (ANY, have) for want, have in zip(self.shape, shape, strict=True)
        )

    def metadata(self) -> dict[str, object]:
        known: dict[str, object] = {"name": self.name, "datatype": self.datatype, "shape": list(self.shape)}
        return known | ({"parameters": {"labels": list(self.labels)}} if self.labels else {})


@dataclass(frozen=True, kw_only=True, slots=True)
class Signature:
    """`prediction` and `probabilities` name the outputs that `/predict` answers with under its own names.

    `columns` are the names of the columns of a single matrix, where the model knows them. `prediction` is
    None for a model with several outputs of equal standing: `/predict` then answers them by name. A model that is not
    `is_by_row` may answer a row by the others of its request, or with another number of rows; of one where that is
    None, nobody knows before it is tried.
    """

    platform: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    prediction: str | None
    probabilities: str | None = None
    columns: tuple[str, ...] | None = None
    takes_missing: bool = False
    is_by_row: bool | None = None

    @property
    def named_inputs(self) -> tuple[Tensor, ...]:
        """What a request may name: the columns of a single matrix that has some, else the inputs themselves."""
        if self.columns is None:
            return self.inputs
        return tuple(replace(self.inputs[0], name=name, shape=(ANY,)) for name in self.columns)

    @property
    def batches(self) -> bool:
        """Whether rows of several requests may be put into one call, as far as is known."""
        return self.is_by_row is True and self.has_rows

    @property
    def has_rows(self) -> bool:
        """Whether every tensor may have any number of what its first dimension counts."""
        return all(tensor.shape[:1] == (ANY,) for tensor in self.inputs + self.outputs)
