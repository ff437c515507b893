"""What goes into a model and what comes out of it, in the words of its own file."""

from __future__ import annotations

import msgspec


class Tensor(msgspec.Struct, frozen=True, kw_only=True):
    """`datatype` is the protocol's word for it, and empty for what no request can carry.

    A number in `shape` is fixed. A text is the name of a size that a request chooses, which is the same wherever that
    name stands; an empty one has no name.
    """

    name: str
    datatype: str
    shape: tuple[int | str, ...]

    @property
    def rows(self) -> int | str | None:
        """How many; None of what has none."""
        return self.shape[0] if self.shape else None


class Graph(msgspec.Struct, frozen=True, kw_only=True):
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


class Booster(msgspec.Struct, frozen=True, kw_only=True):
    """Trees, or weights, over a matrix of so many columns; `names` are those of all its columns, or none."""

    columns: int
    names: tuple[str, ...]
    objective: str
