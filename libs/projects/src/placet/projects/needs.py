"""Which packages is a model served with, and from which version on? The builder adds what the requirements do not name
and holds the rest to these bounds; the rules tell beforehand what it would not take."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import PurePosixPath

import msgspec


class Need(msgspec.Struct, frozen=True):
    """A package, and the first version of it that will do; any, if there is none."""

    name: str
    since: str = ""

    def __str__(self) -> str:
        return f"{self.name}>={self.since}" if self.since else self.name


# ONNX Runtime reads a model's external data from anywhere before 1.24.1, and skops builds what nobody trusts
# before 0.13 (CVE-2025-54412, -54413, -54886): what a model must not do, its project must not bring along.
# What an estimator takes is asked by scikit-learn's `get_tags`, which is there since 1.6.
# MLflow takes the model server's NumPy since 2.16; of its packages the one that brings no server of its own will do.
# For XGBoost it is the package without what only a GPU needs: 188 MB installed instead of 866, and imported alike.
_OF_FORMATS = {
    "sklearn": (Need("scikit-learn", "1.6"),),
    "onnx": (Need("onnxruntime", "1.24.1"),),
    "xgboost": (Need("xgboost-cpu", "2.1"),),
    "lightgbm": (Need("lightgbm", "4.6"),),
    "pytorch": (Need("torch", "2.9"),),
    "mlflow": (Need("mlflow-skinny", "2.16"), Need("pandas")),
}
_OF_FILES = {".skops": Need("skops", "0.13"), ".safetensors": Need("safetensors", "0.5")}
# The same library under other names: which of them a project asks for, it gets.
_INSTEAD = {"xgboost-cpu": ("xgboost", "xgboost-cu12", "xgboost-cu13"), "mlflow-skinny": ("mlflow",)}
# Of these an image can have one only, since they bring the same files with other bytes; mlflow needs mlflow-skinny.
_ONE_OF = (("xgboost-cpu", *_INSTEAD["xgboost-cpu"]),)


def needs(format: str, path: str, asked: Collection[str]) -> tuple[Need, ...]:
    """What a model of this format, in this file, is served with. `asked` are the packages its project names."""
    of_file = _OF_FILES.get(PurePosixPath(path).suffix)
    found = (*_OF_FORMATS.get(format, ()), *((of_file,) if of_file else ()))
    return tuple(_as_asked(need, asked) for need in found)


def same_library(asked: Collection[str]) -> Iterator[tuple[str, list[str]]]:
    """Of names that are one library's, the one that is kept, and the others."""
    for names in _ONE_OF:
        kept, *others = [name for name in names if name in asked] or names[:1]
        if others:
            yield kept, others


def _as_asked(need: Need, asked: Collection[str]) -> Need:
    if need.name in asked:
        return need
    others = (name for name in _INSTEAD.get(need.name, ()) if name in asked)
    return Need(next(others, need.name), need.since)
