"""What the model was asked and how it answered, as numbers that only grow while this process lives.

For whoever supervises it: requests, how long they took, and, where the project has a reference, how often each column
of the inputs fell into each part of what the reference holds. Parts are numbered; neither their bounds nor any value
leave this process. Whoever reads twice has what came between, and who misses a reading has lost nothing.

Rows are only copied where they are answered, and counted some hundred at a time, all columns at once.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from placet.runtime.signature import Array, Signature, Tensor, Tensors

BOUNDS = tuple(round(0.0001 * 1.25**step, 7) for step in range(67))
"""Seconds: the upper ends of the parts that durations are counted in, up to four minutes."""
AT_ONCE = 512
"""Rows that are counted together, and the most, evenly spread, that are taken of one request."""
MOST_COLUMNS = 256
FEW_VALUES = 10
"""A column of no more distinct numbers has a part for each; one of texts for so many, and one for all others."""
LONGEST_NAME = 200
_DECILES = np.arange(1, 10) / 10


class Observations:
    """`started`, in seconds since 1970, tells this process's numbers from an earlier one's."""

    def __init__(self, sketch: Sketch | None, *, started: float) -> None:
        self._sketch = sketch
        self._started = started
        self._rows = 0
        self._requests = 0
        self._refused = 0
        self._failed = 0
        self._seconds = [0] * (len(BOUNDS) + 1)

    def answered(self, status: int, seconds: float) -> None:
        """A request for a prediction, whatever became of it."""
        self._requests += 1
        if status < 400:
            self._seconds[bisect_left(BOUNDS, seconds)] += 1
        elif status < 500:
            self._refused += 1
        else:
            self._failed += 1

    def took(self, inputs: Tensors) -> bool:
        """The model answered these. True if `count` is due, when there is time."""
        self._rows += len(next(iter(inputs.values())))
        return self._sketch is not None and self._sketch.take(inputs)

    def count(self) -> None:
        if self._sketch is not None:
            self._sketch.count()

    def document(self) -> bytes:
        return msgspec.json.encode(
            {
                "started": self._started,
                "requests": self._requests,
                "refused": self._refused,
                "failed": self._failed,
                "rows": self._rows,
                "seconds": {"bounds": BOUNDS, "counts": self._seconds},
                "columns": [] if self._sketch is None else self._sketch.document(),
            }
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Block:
    """Columns that one tensor brings: itself, or each of a matrix. Texts are known by number, if they are."""

    tensor: Tensor
    names: tuple[str, ...]
    texts: dict[str | None, float] | None = None


class Sketch:
    """How often each column fell into each of its parts: in the reference, and since the start.

    The parts of a column lie between its edges; one more is for what is missing.
    """

    def __init__(self, signature: Signature, reference: Tensors) -> None:
        self._blocks = tuple(_blocks(signature, reference))
        self._names = [name for block in self._blocks for name in block.names]
        rows = len(next(iter(reference.values())))
        coded = self._coded(reference, np.empty((rows, len(self._names))))
        texts = [block.texts for block in self._blocks for _ in block.names]
        edges = [
            _edges_of_numbers(values) if known is None else np.arange(len(known) - 1) + 0.5
            for values, known in zip(coded.T, texts, strict=True)
        ]
        self._parts = [len(each) + 2 for each in edges]
        self._edges = np.full((max(self._parts, default=2) - 2, len(edges)), np.inf)
        for at, each in enumerate(edges):
            self._edges[: len(each), at] = each
        self._reference = self._counted(coded)
        self._counts = np.zeros_like(self._reference)
        self._rows = np.empty((AT_ONCE, len(self._names)))
        self._filled = 0

    def take(self, inputs: Tensors) -> bool:
        """Copy the rows. True once they should be counted; what then finds no room is why they are."""
        rows = len(next(iter(inputs.values())))
        if rows > AT_ONCE:
            step = -(-rows // AT_ONCE)
            inputs = {name: array[::step] for name, array in inputs.items()}
            rows = len(next(iter(inputs.values())))
        if self._filled + rows > AT_ONCE:
            self.count()
        self._coded(inputs, self._rows[self._filled : self._filled + rows])
        self._filled += rows
        return self._filled >= AT_ONCE // 2

    def count(self) -> None:
        if self._filled:
            self._counts += self._counted(self._rows[: self._filled])
            self._filled = 0

    def document(self) -> list[dict[str, Any]]:
        self.count()
        return [
            {
                "name": _shown(name),
                "reference": self._reference[at, :parts].tolist(),
                "counts": self._counts[at, :parts].tolist(),
            }
            for at, (name, parts) in enumerate(zip(self._names, self._parts, strict=True))
        ]

    def _coded(self, tensors: Tensors, into: Array) -> Array:
        at = 0
        for block in self._blocks:
            array = tensors[block.tensor.name]
            if block.texts is not None:
                others = len(block.texts) - 1.0
                into[:, at] = [block.texts.get(text, others) for text in array.ravel().tolist()]
            else:
                into[:, at : at + len(block.names)] = array.reshape(len(array), -1)[:, : len(block.names)]
            at += len(block.names)
        return into

    def _counted(self, rows: Array) -> Array:
        """How many rows fell into each part, a line for each column."""
        columns, width = rows.shape[1], len(self._edges) + 2
        parts = np.zeros(rows.shape, np.intp)
        for edges in self._edges:
            parts += rows > edges
        missing = np.isnan(rows)
        if missing.any():
            ends = np.broadcast_to(np.array(self._parts, np.intp) - 1, rows.shape)
            parts[missing] = ends[missing]
        parts += np.arange(columns) * width
        return np.bincount(parts.ravel(), minlength=columns * width).reshape(columns, width)


def _shown(name: str) -> str:
    return "".join(each if each.isprintable() else "?" for each in name[:LONGEST_NAME])


def _blocks(signature: Signature, reference: Tensors) -> Iterator[_Block]:
    left = MOST_COLUMNS
    for tensor in signature.inputs:
        names: tuple[str, ...] = ()
        texts = None
        if tensor.is_unread:
            continue
        if tensor.is_text:
            texts = _numbered(reference[tensor.name]) if tensor.is_column else None
            names = (tensor.name,) if texts is not None else ()
        elif tensor.is_column:
            names = (tensor.name,)
        elif len(tensor.shape) == 2 and tensor.shape[1] > 0:
            width = tensor.shape[1]
            names = signature.columns or tuple(f"{tensor.name}[{place}]" for place in range(width))
        names = names[:left]
        left -= len(names)
        if names:
            yield _Block(tensor=tensor, names=names, texts=texts)


def _numbered(texts: Array) -> dict[str | None, float] | None:
    """Numbers of the most frequent texts, and none of what is missing; nothing where hardly any comes twice."""
    counted = Counter(text for text in texts.ravel().tolist() if text is not None)
    if 2 * len(counted) > texts.size:
        return None
    known: dict[str | None, float] = {
        text: float(number) for number, (text, _) in enumerate(counted.most_common(FEW_VALUES))
    }
    return known | {None: np.nan}


def _edges_of_numbers(values: Array) -> Array:
    """Around each value where there are few; else the deciles, and the ends of what was ever seen."""
    known = values[np.isfinite(values)]
    distinct = np.unique(known)
    if len(distinct) <= FEW_VALUES:
        return np.unique(np.concatenate([np.nextafter(distinct, -np.inf), distinct]))
    inner = np.quantile(known, _DECILES)
    return np.unique(np.concatenate([[np.nextafter(distinct[0], -np.inf)], inner, [distinct[-1]]]))
