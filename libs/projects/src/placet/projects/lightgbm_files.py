"""Did LightGBM save this file? Read from its text, without loading anything.

Its native file is lines of `name=value` below the word `tree`, then the trees, then `end of trees`, then what it was
trained with. Which version of LightGBM wrote it, it does not say: only how the file is written (`v4`).
"""

from __future__ import annotations

import mmap
import re
from pathlib import Path

from placet.projects.tensors import Booster

_FIRST = (b"tree\n", b"tree\r\n")
_LAST = b"\nend of trees"
_PARAMETERS, _LAST_PARAMETER = b"\nparameters:", b"\nend of parameters"  # of its training, behind the trees
_NEEDED = frozenset({b"version", b"num_class", b"num_tree_per_iteration", b"max_feature_idx"})
_LARGEST_HEAD = 64 * 1024**2


def file_version(path: Path) -> str | None:
    """How the file is written, as `v4`; None if it is no model of LightGBM, or was cut off."""
    try:
        with path.open("rb") as file:
            if not file.read(6).startswith(_FIRST):
                return None
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                if data.find(_LAST) < 0 or (data.find(_PARAMETERS) >= 0 and data.find(_LAST_PARAMETER) < 0):
                    return None
                first = data.find(b"\nTree=")
                return _version(data[: min(first if first >= 0 else data.find(_LAST), _LARGEST_HEAD)])
    except (OSError, ValueError):
        return None


def booster(path: Path) -> Booster | None:
    """What the file says of its columns and its objective; None where it does not say it."""
    try:
        with path.open("rb") as file:
            head = file.read(_LARGEST_HEAD).partition(b"\nTree=")[0]
    except OSError:
        return None
    values = dict(line.strip().split(b"=", 1) for line in head.splitlines() if b"=" in line)
    names = tuple(values.get(b"feature_names", b"").decode("utf-8", "backslashreplace").split(" "))
    if values.get(b"max_feature_idx") != str(len(names) - 1).encode():
        return None
    is_named = any(
        name != f"Column_{index}" for index, name in enumerate(names)
    )  # as it names those without one
    objective = re.match(rb"\w*", values.get(b"objective", b""))
    return Booster(
        columns=len(names),
        names=names if is_named else (),
        objective=objective[0].decode("ascii", "replace") if objective else "",
    )


def _version(head: bytes) -> str | None:
    values = dict(line.strip().split(b"=", 1) for line in head.splitlines() if b"=" in line)
    if not values.keys() >= _NEEDED:
        return None
    return values[b"version"].decode("ascii", "replace")
