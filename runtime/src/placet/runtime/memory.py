"""How much memory the requests of this process may take together, and how much of it a body takes once it is read.

JSON grows: `[],` is three bytes and a list of a hundred, and 33 MB of them are sent in 32 kB of gzip. So a body's
objects are counted before they are made. The estimate is the most that reading may take at its peak, arrays included,
by the sizes of CPython's objects (tests/unit/runtime/test_memory.py measures them). What the model itself takes is not
known here.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from placet.runtime.signature import Tensors

LARGEST_BODY = 32 << 20
"""Bytes, where there is memory for four of it."""
SMALL = 8192
"""Bytes of a body that nobody has to look at: it becomes half a MiB at most."""
MUCH = 1 << 20
"""Bytes of memory for an answer from which on somebody has to look whether they are there."""
UNBOUNDED = 1 << 30
"""Bytes for requests, where nobody says how much memory there is."""

LEAST = 4 << 20
"""Bytes for requests, where a model leaves none: it is not for this to end it."""

_LIST = 128
_DICT = 208
_KEY = 50  # its place, with what a growing dictionary holds twice
_ITEM = 56  # a number, its place in a list, and in the arrays that are made of it
_QUOTE = 12  # two of a string's head, beyond an item
_WIDEST = 4  # bytes of a character, once one of its string is beyond the first 256
_BINARY_TEXT = 16  # times the bytes of texts behind their lengths
_ANSWERED = (
    96  # a number as an object, its place, and as text, twice: while that grows, is compressed or sent
)
_PIECE = 1 << 20
_COUNTED = b'[{:,"'


def of_json(body: bytes) -> int:
    """Bytes of memory that reading it takes at most."""
    lists, dicts, keys, items, quotes = _count(body)
    widest = 1 if body.isascii() and b"\\u" not in body else _WIDEST
    return (
        _LIST * lists
        + _DICT * dicts
        + _KEY * keys
        + _ITEM * (items + 1)
        + _QUOTE * quotes
        + widest * len(body)
    )


def of_binary(header: bytes, tail: int) -> int:
    """The same for the protocol's binary extension; its `tail` is that many bytes of tensors behind the header."""
    may_be_text = b"BYTES" in header or b"\\" in header
    return of_json(header) + tail * (_BINARY_TEXT if may_be_text else 2)


def of_answer(outputs: Tensors) -> int:
    """Bytes of memory that writing it as JSON takes at most, where its texts are short."""
    return _ANSWERED * sum(array.size for array in outputs.values())


def held(inputs: Tensors) -> int:
    """Bytes that arrays take while their request waits. Objects count as short texts, since arrays do not know them."""
    return sum(
        array.size * (_ITEM + 2 * _QUOTE) if array.dtype.hasobject else array.nbytes
        for array in inputs.values()
    )


def of_container(cgroup: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Bytes that this container may take, None if there is no bound or no container."""
    try:
        return int((cgroup / "memory.max").read_text())
    except (OSError, ValueError):  # no cgroup of version 2, or `max`
        return None


def for_requests(most: int | None) -> int:
    """Of `most` that the process may take, what is left once the model is loaded, less an eighth for its computing and
    for what is given back late."""
    return UNBOUNDED if most is None else max(most - most // 8 - _taken(), LEAST)


def _count(body: bytes) -> list[int]:
    """How often each of `_COUNTED` is there; `bytes.count` takes thrice as long where there are many."""
    counts = [0] * len(_COUNTED)
    for at in range(0, len(body), _PIECE):
        piece = np.frombuffer(body, np.uint8, min(_PIECE, len(body) - at), at)
        for place, byte in enumerate(_COUNTED):
            counts[place] += int(np.count_nonzero(piece == byte))
    return counts


def _taken() -> int:
    """Resident bytes of this process."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:  # not Linux
        return 0
