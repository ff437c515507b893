"""Is this a file of safetensors? Said from its header, which is JSON behind its length; tensors are not looked at.

It holds weights by name and no more, so that the module they belong to has to be said by somebody else.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import msgspec

_LARGEST_HEADER = 100_000_000  # what the library itself takes
_BITS = {
    "F4": 4,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
    "BOOL": 8,
    "U8": 8,
    "I8": 8,
    "F8_E5M2": 8,
    "F8_E4M3": 8,
    "F8_E8M0": 8,
} | {
    **dict.fromkeys(("I16", "U16", "F16", "BF16"), 16),
    **dict.fromkeys(("I32", "U32", "F32"), 32),
    **dict.fromkeys(("I64", "U64", "F64", "C64"), 64),
}


class _Tensor(msgspec.Struct):
    dtype: str
    shape: list[int]
    data_offsets: tuple[int, int]


def is_safetensors(path: Path) -> bool:
    """Whether the header is one, and every tensor of it has its bytes in the file."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= _LARGEST_HEADER:
                return False
            header = msgspec.json.decode(file.read(length), type=dict[str, Any])
            header.pop("__metadata__", None)
            tensors = msgspec.convert(header, dict[str, _Tensor])
        rest = path.stat().st_size - 8 - length
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    return bool(tensors) and all(_is_whole(tensor, rest) for tensor in tensors.values())


def _is_whole(tensor: _Tensor, rest: int) -> bool:
    start, end = tensor.data_offsets
    bits = _BITS.get(tensor.dtype)
    if bits is None or len(tensor.shape) > 64 or any(size < 0 for size in tensor.shape):
        return False
    return 0 <= start <= end <= rest and (end - start) * 8 == math.prod(tensor.shape) * bits
