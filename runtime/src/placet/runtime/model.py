"""What a model format has to provide, and where each format is found.

A format is one module in `formats/` with a function `load(path, trusted) -> Model`. It is imported only when
a model of that format is served, since its libraries are what is heavy. A new format is a new file and a
line here and in `settings.py`.
"""

from __future__ import annotations

from collections.abc import Collection
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

from placet.runtime.signature import Signature, Tensors

FORMATS = {
    "sklearn": "placet.runtime.formats.scikit_learn",
    "onnx": "placet.runtime.formats.onnx_runtime",
    "xgboost": "placet.runtime.formats.xgboost_native",
    "lightgbm": "placet.runtime.formats.lightgbm_native",
    "python": "placet.runtime.formats.python_class",
}


class Model(Protocol):
    """Other people's code: `predict` may be slow and may raise anything."""

    @property
    def signature(self) -> Signature: ...

    def predict(self, inputs: Tensors, outputs: Collection[str]) -> Tensors:
        """The named outputs, from arrays of the signature's datatypes and shapes."""
        ...


class Loader(Protocol):
    def load(self, path: Path, trusted: Collection[str]) -> Model:
        """`trusted` are types that the platform, never the model, allows beyond what the format itself does."""
        ...


class CannotLoad(Exception):
    """The artifact is not a model that this runtime serves; the message says why and what to do."""


class WrongAnswer(Exception):
    """What the model gives is not what its signature says; the message says in which way, and shows no value of it."""


def load(format_name: str, path: Path, trusted: Collection[str]) -> Model:
    if not path.is_file():
        raise CannotLoad(f"{path.name} is not in the project's folder; `model.path` in placet.yaml names it")
    try:
        loader = cast(Loader, import_module(FORMATS[format_name]))
    except ModuleNotFoundError as missing:
        raise CannotLoad(
            f"format {format_name} needs {missing.name}, which is not installed; add it to requirements.txt"
        ) from missing
    return loader.load(path, trusted)
