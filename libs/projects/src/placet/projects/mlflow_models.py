"""What does an MLflow model folder hold? Said by its `MLmodel` file, which is read without MLflow.

Importing MLflow takes seconds, and its loaders run what is in the folder. Here the file is a document that a stranger
wrote: data only, within limits, and every path in it stays inside the folder. MLflow may add keys as it likes; only
those that say what the model is made of are looked at. Which of its files can be served is said by `formats`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

import msgspec

from placet.projects.documents import DocumentRefused, Problem, differences, read_plain
from placet.projects.manifest import RelativePath

MLMODEL = "MLmodel"
MAX_MLMODEL_BYTES = 1024**2
"""The signature of a frame with ten thousand columns stands in it."""
MAX_COLUMNS = 10_000

ColumnType = Literal["boolean", "integer", "long", "float", "double", "string", "datetime"]
_COLUMN_TYPES = get_args(ColumnType)

T = TypeVar("T")


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """A column of the frame that the model wants: `type` in MLflow's words, and whether each request must have it."""

    name: str
    type: ColumnType
    required: bool = True


class Flavour(msgspec.Struct, frozen=True, kw_only=True):
    """A flavour whose file its own library loads: `key` names the file in MLmodel, or the folder that it lies `inside`
    of, `formats` what placet calls it. Estimators with scikit-learn's interface are saved as scikit-learn's are."""

    name: str
    key: str
    formats: tuple[str, ...]
    inside: str | None = None


class Artifact(msgspec.Struct, frozen=True, kw_only=True):
    """A file that a flavour was saved to, relative to the model's folder, and the formats that it may have."""

    path: str
    formats: tuple[str, ...]


class MlflowModel(msgspec.Struct, frozen=True, kw_only=True):
    """`artifacts` are those of `FLAVOURS`, in that order; `columns` are none where the model takes no frame of plain
    columns with names."""

    flavours: tuple[str, ...]
    artifacts: tuple[Artifact, ...]
    columns: tuple[Column, ...]


# What we would rather serve comes first. `python_function` is there as well, and needs MLflow to be served.
FLAVOURS = (
    Flavour(name="sklearn", key="pickled_model", formats=("sklearn",)),
    Flavour(name="xgboost", key="data", formats=("xgboost", "sklearn")),
    Flavour(name="lightgbm", key="data", formats=("lightgbm", "sklearn")),
    Flavour(name="onnx", key="data", formats=("onnx",)),
    Flavour(name="pytorch", key="model_data", formats=("pytorch",), inside="model.pt2"),
)


class _Signature(msgspec.Struct):
    """`inputs` is JSON in a text."""

    inputs: str | None = None


class _Document(msgspec.Struct):
    flavors: dict[str, dict[str, Any]]
    signature: _Signature | None = None


class _Input(msgspec.Struct):
    type: str
    name: str | int | None = None
    required: bool | None = True


def read_mlflow_model(folder: Path) -> MlflowModel:
    """What `MLmodel` in the folder says. `DocumentRefused` names what is wrong with it."""
    with (folder / MLMODEL).open("rb") as file:
        data = file.read(MAX_MLMODEL_BYTES + 1)
    plain = read_plain(data, document=MLMODEL, limit=MAX_MLMODEL_BYTES)
    said = _converted(plain, _Document, "")
    return MlflowModel(
        flavours=tuple(said.flavors),
        artifacts=tuple(_artifacts(said.flavors)),
        columns=_columns(said.signature),
    )


def _artifacts(said: dict[str, dict[str, Any]]) -> Iterator[Artifact]:
    for flavour in FLAVOURS:
        if flavour.name in said:
            path: Any = said[flavour.name].get(flavour.key)
            wrong = differences(path, RelativePath)
            if wrong:
                raise _refused(f"flavors.{flavour.name}.{flavour.key}", wrong[0].detail)
            file = path if flavour.inside is None else f"{path}/{flavour.inside}"
            yield Artifact(path=file, formats=flavour.formats)


def _columns(signature: _Signature | None) -> tuple[Column, ...]:
    """Tensors, nested objects and bytes are no plain columns: such a model is asked by its own signature."""
    if signature is None or signature.inputs is None:
        return ()
    where = "signature.inputs"
    try:
        plain = msgspec.json.decode(signature.inputs)
    except (msgspec.DecodeError, RecursionError) as error:
        raise _refused(where, f"this is not JSON: {error}") from error
    inputs = _converted(plain, list[_Input], where)
    if len(inputs) > MAX_COLUMNS:
        raise _refused(where, f"{len(inputs)} columns are over the limit of {MAX_COLUMNS}")
    names = [given.name for given in inputs]
    if not all(isinstance(given.name, str) and given.type in _COLUMN_TYPES for given in inputs):
        return ()
    if len(set(names)) < len(names):
        raise _refused(where, "two columns have the same name")
    return tuple(
        Column(name=str(given.name), type=given.type, required=given.required is not False)  # type: ignore[arg-type]
        for given in inputs
    )


def _converted(value: Any, kind: type[T], path: str) -> T:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise _refused(path, str(error)) from error


def _refused(path: str, detail: str) -> DocumentRefused:
    return DocumentRefused(MLMODEL, (Problem(path, detail, "save the model with MLflow again"),))
