"""What a model format has to provide, and where each format is found.

A format is one module in `formats/` with a function `load(path, trusted) -> Model`. It is imported only when
a model of that format is served, since its libraries are what is heavy. A new format is a new file and a
line here and in `settings.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast, runtime_checkable

from placet.runtime.columns import Column, of_names
from placet.runtime.signature import ANY, Signature, Tensors

PICKLES = frozenset({".joblib", ".pkl", ".pickle"})
FORMATS = {
    "sklearn": "placet.runtime.formats.scikit_learn",
    "onnx": "placet.runtime.formats.onnx_runtime",
    "xgboost": "placet.runtime.formats.xgboost_native",
    "lightgbm": "placet.runtime.formats.lightgbm_native",
    "pytorch": "placet.runtime.formats.exported_program",
    "python": "placet.runtime.formats.python_class",
    "mlflow": "placet.runtime.formats.mlflow_pyfunc",
}
OF_FOLDER = {"mlflow": "MLmodel"}
"""Formats whose artifact is a folder, and the file that is in each."""
WITH_MODULE = {"pytorch": "placet.runtime.formats.torch_module"}


class Model(Protocol):
    """Other people's code: `predict` may be slow and may raise anything."""

    @property
    def signature(self) -> Signature: ...

    def predict(self, inputs: Tensors, outputs: Collection[str]) -> Tensors:
        """The named outputs, from arrays of the signature's datatypes and shapes."""
        ...


@runtime_checkable
class TakesFrame(Protocol):
    """A model that can be given a frame, and does not know all there is to know of it."""

    def with_columns(self, columns: Sequence[Column]) -> Model:
        """The same model, taking a frame of these columns; or itself, if they are not those it was trained on."""
        ...


class Loader(Protocol):
    def load(self, path: Path, trusted: Collection[str]) -> Model:
        """`trusted` are types that the platform, never the model, allows beyond what the format itself does."""
        ...


class MethodLoader(Protocol):
    def load(self, path: Path, trusted: Collection[str], method: str) -> Model:
        """`method` is the one of the model whose answer alone is given."""
        ...


class CannotLoad(Exception):
    """The artifact is not a model that this runtime serves; the message says why and what to do."""


class WrongAnswer(Exception):
    """What the model gives is not what its signature says; the message says in which way, and shows no value of it."""


class WeightsLoader(Protocol):
    def load(self, path: Path, module: Path) -> Model:
        """`module` is the Python file of the project with the class that the weights at `path` belong to."""
        ...


def load(
    format_name: str,
    path: Path,
    trusted: Collection[str],
    columns: Sequence[Column] = (),
    module: Path | None = None,
    *,
    method: str | None = None,
    may_unpickle: bool = False,
) -> Model:
    """`columns` are those of the frame the model was trained on, and `method` is what it is asked by, where its project
    says them.

    Unpickling runs what is in the file: it is done only where whoever made the image says that it may be. What MLflow
    loads is unpickled or imported as its folder says.
    """
    if not (path / OF_FOLDER.get(format_name, "")).is_file():
        raise CannotLoad(f"{path.name} is not in the project's folder; `model.path` in placet.yaml names it")
    if (path.suffix in PICKLES or format_name in OF_FOLDER) and not may_unpickle:
        loaded = "what MLflow would unpickle or import" if format_name in OF_FOLDER else "a pickle"
        raise CannotLoad(
            f"{path.name} is {loaded}, and placet.json does not say that it may be loaded; save the model with skops, "
            "or have it built by a platform that excepts it"
        )
    try:
        if module is not None:
            return cast(WeightsLoader, import_module(WITH_MODULE[format_name])).load(path, module)
        loader = cast(Loader, import_module(FORMATS[format_name]))
    except ModuleNotFoundError as missing:
        raise CannotLoad(
            f"format {format_name} needs {missing.name}, which is not installed; add it to requirements.txt"
        ) from missing
    named = cast(MethodLoader, loader)
    model = loader.load(path, trusted) if method is None else named.load(path, trusted, method)
    if not columns:
        return model
    return model.with_columns(columns) if isinstance(model, TakesFrame) else _named(model, columns)


class _Named:
    """A model of one matrix, whose columns have names that its project knows better."""

    def __init__(self, model: Model, names: tuple[str, ...]) -> None:
        self._model = model
        self.signature = replace(model.signature, columns=names)

    def predict(self, inputs: Tensors, outputs: Collection[str]) -> Tensors:
        return self._model.predict(inputs, outputs)


def _named(model: Model, columns: Sequence[Column]) -> Model:
    inputs = model.signature.inputs
    is_matrix = len(inputs) == 1 and not inputs[0].is_text and inputs[0].takes((ANY, len(columns)))
    known = model.signature.columns
    chosen = columns if known is None else of_names(known, columns)
    if not is_matrix or chosen is None or not all(column.is_number for column in columns):
        return model
    return _Named(model, tuple(column.name for column in chosen))
