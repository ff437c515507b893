"""What does an MLflow model folder hold? Said by its `MLmodel` file, which is read without MLflow.

Importing MLflow takes seconds, and its loaders run what is in the folder. Here the file is a document that a stranger
wrote: data only, within limits, and every path in it stays inside the folder. MLflow may add keys as it likes; only
those that say what the model is made of are looked at. Which of its files can be served is said by `formats`; where
none can, MLflow itself has to, and what that would load is said here, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
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
_TENSOR_TYPES = re.compile(r"bool|u?int(8|16|32|64)|float(16|32|64)|str|object")
_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)
_VERSION = re.compile(r"[0-9]{1,3}\.[0-9]{1,3}(\.[0-9A-Za-z.+]{1,20})?")
MAX_ARTIFACTS = 1000
MAX_EXAMPLE_BYTES = 20_000
"""People read it, and it is in the image's settings."""
PYTHON_FUNCTION = "python_function"
_TRUSTED = "skops_trusted_types"
PREDICT = "predict"
_METHODS = ("predict_proba", "predict_log_proba", "predict_joint_log_proba", "decision_function", "transform")
_BOOSTERS = {"xgboost": "xgboost.core.Booster", "lightgbm": "lightgbm.basic.Booster"}

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
    """A file that a flavour was saved to, relative to the model's folder, and the formats that it may have.

    `method` is the one of the model's methods whose answer MLflow gives, where that is not the class or the value that
    its kind of model is asked for anyway. `problem` is what keeps that from being served.
    """

    path: str
    formats: tuple[str, ...]
    method: str | None = None
    problem: str | None = None


class PythonFunction(msgspec.Struct, frozen=True, kw_only=True):
    """What `mlflow.pyfunc` loads: a module by its name, which unpickles or imports what lies at `paths`.

    `code` is the folder whose Python it can import. `pickled` is the file that cloudpickle wrote, with the bytecode of
    the `python` that it ran in. `problems` are what keeps its inputs and outputs from being named and carried.
    """

    loader: str
    paths: tuple[str, ...]
    code: str | None = None
    pickled: str | None = None
    python: str | None = None
    problems: tuple[str, ...] = ()


class MlflowModel(msgspec.Struct, frozen=True, kw_only=True):
    """`artifacts` are those of `FLAVOURS`, in that order; `columns` are none where the model takes no frame of plain
    columns with names; `function` is what MLflow itself would load. `logged_as` is the id that a tracking store
    gave the model, or before MLflow 3 its run."""

    flavours: tuple[str, ...]
    artifacts: tuple[Artifact, ...]
    columns: tuple[Column, ...]
    function: PythonFunction | None = None
    logged_as: str | None = None


# What we would rather serve comes first. `python_function` is there as well: what of it is served needs MLflow.
FLAVOURS = (
    Flavour(name="sklearn", key="pickled_model", formats=("sklearn",)),
    Flavour(name="xgboost", key="data", formats=("xgboost", "sklearn")),
    Flavour(name="lightgbm", key="data", formats=("lightgbm", "sklearn")),
    Flavour(name="onnx", key="data", formats=("onnx",)),
    Flavour(name="pytorch", key="model_data", formats=("pytorch",), inside="model.pt2"),
)


class _Signature(msgspec.Struct):
    """Both are JSON in a text."""

    inputs: str | None = None
    outputs: str | None = None


class _Document(msgspec.Struct):
    flavors: dict[str, dict[str, Any]]
    saved_input_example_info: Any = None
    signature: _Signature | None = None
    model_id: Any = None
    run_id: Any = None


class _TensorSpec(msgspec.Struct):
    dtype: str
    shape: list[int]


class _Spec(msgspec.Struct):
    """A column or a tensor that goes in or comes out."""

    type: str
    name: str | int | None = None
    required: bool | None = True
    tensor: _TensorSpec | None = msgspec.field(name="tensor-spec", default=None)


def read_mlflow_model(folder: Path) -> MlflowModel:
    """What `MLmodel` in the folder says. `DocumentRefused` names what is wrong with it."""
    with (folder / MLMODEL).open("rb") as file:
        data = file.read(MAX_MLMODEL_BYTES + 1)
    plain = read_plain(data, document=MLMODEL, limit=MAX_MLMODEL_BYTES)
    said = _converted(plain, _Document, "")
    signature = said.signature or _Signature()
    inputs = _specs(signature.inputs, "signature.inputs")
    outputs = _specs(signature.outputs, "signature.outputs")
    return MlflowModel(
        flavours=tuple(said.flavors),
        artifacts=tuple(_artifacts(said.flavors)),
        columns=_columns(inputs),
        function=_function(said.flavors, inputs, outputs),
        logged_as=next(
            (each for each in (said.model_id, said.run_id) if each and isinstance(each, str)), None
        ),
    )


def trusted_by_model(path: Path) -> list[str]:
    """The types that an `MLmodel` has skops trust, in whichever flavour. `DocumentRefused` if it cannot be read."""
    with path.open("rb") as file:
        data = file.read(MAX_MLMODEL_BYTES + 1)
    said = _converted(read_plain(data, document=MLMODEL, limit=MAX_MLMODEL_BYTES), _Document, "")
    lists = (flavour.get(_TRUSTED) for flavour in said.flavors.values())
    return [str(name) for names in lists if names for name in (names if isinstance(names, list) else [names])]


def input_example(folder: Path) -> dict[str, Any] | None:
    """The request that the folder's `input_example` makes, a frame or arrays; None where it has none that is read
    without MLflow. What MLflow would send to a server of its own says the same, in case."""
    try:
        with (folder / MLMODEL).open("rb") as file:
            plain = read_plain(file.read(MAX_MLMODEL_BYTES), document=MLMODEL, limit=MAX_MLMODEL_BYTES)
        said = _converted(plain, _Document, "").saved_input_example_info
    except (DocumentRefused, OSError):
        return None
    named = (
        [said.get(key) for key in ("artifact_path", "serving_input_path")] if isinstance(said, dict) else []
    )
    return next(filter(None, (_request(_example(folder, path)) for path in named)), None)


def _example(folder: Path, path: Any) -> Any:
    try:
        with (folder / _inside(path, "")).open("rb") as file:
            return msgspec.json.decode(file.read(MAX_EXAMPLE_BYTES + 1))
    except (DocumentRefused, OSError, ValueError, RecursionError):
        return None


def _request(saved: Any) -> dict[str, Any] | None:
    match saved:
        case {"columns": [*names], "data": [*rows]} | {
            "dataframe_split": {"columns": [*names], "data": [*rows]}
        }:
            return {
                "inputs": [
                    dict(zip(map(str, names), row, strict=False)) for row in rows if isinstance(row, list)
                ]
            }
        case [*rows] | {"inputs": [*rows]} | {"instances": [*rows]} | {"dataframe_records": [*rows]}:
            return {"inputs": rows}
        case {"inputs": {**columns}} if all(isinstance(values, list) for values in columns.values()):
            return {"inputs": columns}
    return None


def _artifacts(said: dict[str, dict[str, Any]]) -> Iterator[Artifact]:
    for flavour in FLAVOURS:
        if flavour.name in said:
            path = _inside(said[flavour.name].get(flavour.key), f"flavors.{flavour.name}.{flavour.key}")
            file = path if flavour.inside is None else f"{path}/{flavour.inside}"
            method = _method(flavour, said)
            yield Artifact(
                path=file, formats=flavour.formats, method=method, problem=_unanswered(flavour, method)
            )


def _method(flavour: Flavour, said: dict[str, dict[str, Any]]) -> str | None:
    """A booster of `xgboost.train` or `lightgbm.train` predicts what its trees sum up to: probabilities, no class."""
    asked = said.get(PYTHON_FUNCTION, {}).get("predict_fn", PREDICT)
    if asked != PREDICT:
        return str(asked)
    booster = _BOOSTERS.get(flavour.name)
    is_booster = booster is not None and said[flavour.name].get("model_class", booster) == booster
    return PREDICT if is_booster else None


def _unanswered(flavour: Flavour, method: str | None) -> str | None:
    if method in (None, PREDICT) or (flavour.name == "sklearn" and method in _METHODS):
        return None
    # short: a rule cuts what it repeats
    known = f"{PREDICT} or {_METHODS[0]}" if flavour.name == "sklearn" else PREDICT
    return f"its predict_fn {method!r:.40} answers no rows here; save it with pyfunc_predict_fn={known}"


def _function(
    flavours: dict[str, dict[str, Any]], inputs: list[_Spec] | None, outputs: list[_Spec] | None
) -> PythonFunction | None:
    """By the keys that MLflow's own loading reads."""
    said = flavours.get(PYTHON_FUNCTION)
    if said is None:
        return None
    where = f"flavors.{PYTHON_FUNCTION}"
    loader, version = said.get("loader_module"), said.get("python_version")
    if not isinstance(loader, str) or not _MODULE.fullmatch(loader):
        raise _refused(f"{where}.loader_module", "this is no name of a module")
    if version is not None and not (isinstance(version, str) and _VERSION.fullmatch(version)):
        raise _refused(f"{where}.python_version", "this is no version of Python, such as 3.11.7")
    keys = ("code", "data", "model_path", "python_model")
    paths = {key: _inside(said[key], f"{where}.{key}") for key in keys if said.get(key) is not None}
    if (script := said.get("model_code_path")) is not None:
        # Where it was saved from. MLflow looks for a file of that name in its folder.
        name = PurePosixPath(script).name if isinstance(script, str) else script
        paths["model_code_path"] = _inside(name, f"{where}.model_code_path")
    more = tuple(_kept(said.get("artifacts"), f"{where}.artifacts"))
    pickled = paths.get("python_model")
    return PythonFunction(
        loader=loader,
        paths=(*paths.values(), *more),
        code=paths.get("code"),
        pickled=pickled,
        python=version if pickled else None,
        problems=(*_not_carried(inputs, "takes"), *_not_carried(outputs, "gives")),
    )


def _kept(artifacts: Any, where: str) -> Iterator[str]:
    """The files and folders that a model was saved with, by names of its own."""
    kept = _converted({} if artifacts is None else artifacts, dict[str, dict[str, Any]], where)
    if len(kept) > MAX_ARTIFACTS:
        raise _refused(where, f"{len(kept)} artifacts are over the limit of {MAX_ARTIFACTS}")
    for name, artifact in kept.items():
        yield _inside(artifact.get("path"), f"{where}.{name}.path")


def _not_carried(specs: list[_Spec] | None, verb: str) -> Iterator[str]:
    """What of a signature no tensor of a request or an answer can be."""
    if not specs:
        yield (
            f"its signature does not say what the model {verb}: save it with an input_example, or with "
            "signature=infer_signature(inputs, outputs)"
        )
        return
    seen: set[str] = set()
    for number, spec in enumerate(specs):
        whole = str(number if spec.name is None else spec.name)
        name = whole[:60]
        if whole in seen:
            yield f"{name}, which it {verb}, is the name of another, too"
        seen.add(whole)
        if spec.tensor is None and spec.type not in _COLUMN_TYPES:
            yield f"{name}, which it {verb}, is of type {spec.type[:40]}, which no tensor holds"
        elif spec.tensor is not None and not _is_carried(spec.tensor):
            yield f"{name}, which it {verb}, is no array of rows of numbers or texts"


def _is_carried(tensor: _TensorSpec) -> bool:
    return len(tensor.shape) > 0 and _TENSOR_TYPES.fullmatch(tensor.dtype) is not None


def _specs(text: str | None, where: str) -> list[_Spec] | None:
    if text is None:
        return None
    try:
        plain = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise _refused(where, f"this is not JSON: {error}") from error
    specs = _converted(plain, list[_Spec], where)
    if len(specs) > MAX_COLUMNS:
        raise _refused(where, f"{len(specs)} columns are over the limit of {MAX_COLUMNS}")
    return specs


def _columns(inputs: list[_Spec] | None) -> tuple[Column, ...]:
    """Tensors, nested objects and bytes are no plain columns: such a model is asked by its own signature."""
    if inputs is None:
        return ()
    names = [given.name for given in inputs]
    if not all(isinstance(given.name, str) and given.type in _COLUMN_TYPES for given in inputs):
        return ()
    if len(set(names)) < len(names):
        raise _refused("signature.inputs", "two columns have the same name")
    return tuple(
        Column(name=str(given.name), type=given.type, required=given.required is not False)  # type: ignore[arg-type]
        for given in inputs
    )


def _inside(path: Any, where: str) -> str:
    """A path that cannot lead out of the folder."""
    wrong = differences(path, RelativePath)
    if wrong:
        raise _refused(where, wrong[0].detail)
    return str(path)


def _converted(value: Any, kind: type[T], path: str) -> T:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise _refused(path, str(error)) from error


def _refused(path: str, detail: str) -> DocumentRefused:
    return DocumentRefused(MLMODEL, (Problem(path, detail, "save the model with MLflow again"),))
