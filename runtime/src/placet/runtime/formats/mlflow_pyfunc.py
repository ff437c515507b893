"""Folders of MLflow that none of the other formats can load, by `mlflow.pyfunc`: what it would answer is answered.

Its loaders unpickle or import what the folder names, so that such a folder is code; whether it may be served is the
certifier's decision. What goes in and comes out is said by the signature that the model was saved with. MLflow is not
left to find a server of its own here: whatever it, or the model, would log stays in this process's temporary folder.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, cast, get_args

import numpy as np

from placet.runtime.columns import Column, ColumnType, matrix_datatype
from placet.runtime.formats.python_class import array_of, told
from placet.runtime.model import OF_FOLDER, CannotLoad, WrongAnswer
from placet.runtime.signature import ANY, Array, Signature, Tensor, Tensors, datatype_of

MLMODEL = OF_FOLDER["mlflow"]
MATRIX = "input-0"  # the name that clients of other servers of this protocol already use
PREDICT = "predict"


class PyfuncModel:
    """`given` is what its `predict` takes, made of the arrays of a request."""

    def __init__(
        self, model: Any, signature: Signature, given: Callable[[Tensors], Any], moments: Collection[str]
    ) -> None:
        self._model = model
        self._given = given
        self._moments = moments
        self.signature = signature

    def predict(self, inputs: Tensors, outputs: Collection[str]) -> Tensors:
        tensors = self.signature.outputs
        answer = _by_name(self._model.predict(self._given(inputs)), tensors)
        return {tensor.name: self._array(answer, tensor) for tensor in tensors if tensor.name in outputs}

    def _array(self, answer: Mapping[Any, Any], tensor: Tensor) -> Array:
        if tensor.name not in answer:
            raise WrongAnswer(f"predict gave no {tensor.name}")
        value = answer[tensor.name]
        array = array_of(_times(value) if tensor.name in self._moments else value, tensor)
        if tensor.is_column and array.shape[1:] in ((), (1,)):
            array = array.reshape(-1, *tensor.shape[1:])
        if not tensor.takes(array.shape):
            raise WrongAnswer(
                f"predict gave {tensor.name} in the shape {list(array.shape)}, and not {list(tensor.shape)}"
            )
        return array


def load(path: Path, trusted: Collection[str]) -> PyfuncModel:
    """`path` is the folder. Nothing here is trusted: whoever runs this process confines it."""
    os.environ |= to_itself()
    try:
        import mlflow.pyfunc
        import mlflow.tracing

        mlflow.tracing.disable()
        model = mlflow.pyfunc.load_model(str(path))
    except (Exception, SystemExit) as error:
        raise CannotLoad(_why(error, path)) from error
    inputs, outputs = model.metadata.get_input_schema(), model.metadata.get_output_schema()
    if inputs is None or outputs is None:
        raise CannotLoad(
            f"the signature in {MLMODEL} does not say what the model takes and gives; save it with an input_example"
        )
    tensors, columns, given = _takes(list(inputs.inputs), inputs.is_tensor_spec())
    answers, moments = _gives(list(outputs.inputs))
    for each in (tensors, answers):
        names = [tensor.name for tensor in each]
        if len(set(names)) < len(names):
            raise CannotLoad(f"the signature in {MLMODEL} has the same name twice: {', '.join(names):.200}")
    signature = Signature(
        platform="mlflow_pyfunc",
        inputs=tensors,
        outputs=answers,
        prediction=answers[0].name if len(answers) == 1 else None,
        columns=columns,
        takes_missing=any(tensor.is_float or tensor.is_optional for tensor in tensors),
        is_by_row=False,
    )
    return PyfuncModel(model, signature, given, moments)


def to_itself() -> Mapping[str, str]:
    """What MLflow reads of the environment as it is imported, and later. That a pickle may be loaded is decided by
    then."""
    return {
        "MLFLOW_TRACKING_URI": f"sqlite:///{tempfile.gettempdir()}/mlflow.db",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "true",
        "GIT_PYTHON_REFRESH": "quiet",
        "MPLCONFIGDIR": tempfile.gettempdir(),
    }


def _why(error: BaseException, path: Path) -> str:
    """What went wrong at first, which MLflow may have wrapped, and at which line of the folder's own."""
    while error.__cause__ is not None:
        error = error.__cause__
    said = told(error, path / MLMODEL)
    if isinstance(error, ModuleNotFoundError):
        return f"MLflow cannot load the folder of {MLMODEL}: {said}; name its package in requirements.txt"
    return f"MLflow cannot load the folder of {MLMODEL}: {said}"


def _takes(
    specs: list[Any], are_tensors: bool
) -> tuple[tuple[Tensor, ...], tuple[str, ...] | None, Callable[[Tensors], Any]]:
    """The inputs, the names of the columns of a single matrix, and what is made of a request's arrays."""
    if are_tensors:
        tensors = tuple(_tensor(spec, spec.name or MATRIX) for spec in specs)
        if len(specs) == 1 and not specs[0].name:
            return tensors, None, lambda arrays: arrays[MATRIX]
        return tensors, None, lambda arrays: dict(arrays)
    if len(specs) == 1 and specs[0].name is None:
        (column,) = _columns(specs, MATRIX)
        return (column.tensor(),), None, lambda arrays: arrays[MATRIX].tolist()
    columns = _columns(specs, None)
    names = [spec.name for spec in specs]
    datatype = matrix_datatype(columns) if len(columns) > 1 and None not in names else None
    if datatype is not None:
        matrix = Tensor(name=MATRIX, datatype=datatype, shape=(ANY, len(columns)))
        return (matrix,), tuple(column.name for column in columns), _matrix_frame(names)
    return tuple(column.tensor() for column in columns), None, _columns_frame(columns, names)


def _matrix_frame(names: list[str]) -> Callable[[Tensors], Any]:
    import pandas as pd

    index = pd.Index(names)
    return lambda arrays: pd.DataFrame(arrays[MATRIX], columns=index)


def _columns_frame(columns: list[Column], names: list[str | None]) -> Callable[[Tensors], Any]:
    """What is missing in every row is no column of the frame, as MLflow has it."""
    import pandas as pd

    def frame(arrays: Tensors) -> Any:
        given = {
            number if name is None else name: _whole(arrays[column.name], column)
            for number, (column, name) in enumerate(zip(columns, names, strict=True))
            if column.required or not pd.isna(arrays[column.name]).all()
        }
        return pd.DataFrame(given)

    return frame


def _whole(array: Array, column: Column) -> Array:
    """Whole numbers that could be left out came as floats, to hold what is missing."""
    if column.type in ("integer", "long") and array.dtype.kind == "f" and not np.isnan(array).any():
        return array.astype(np.int32 if column.type == "integer" else np.int64)
    return array


def _columns(specs: list[Any], name: str | None) -> list[Column]:
    return [
        Column(name=name or _name(spec, number), type=_type(spec, number), required=bool(spec.required))
        for number, spec in enumerate(specs)
    ]


def _gives(specs: list[Any]) -> tuple[tuple[Tensor, ...], frozenset[str]]:
    """The outputs, and the names of those that are times, which travel as text."""
    names = [
        PREDICT if len(specs) == 1 and not spec.name else _name(spec, at) for at, spec in enumerate(specs)
    ]
    if hasattr(specs[0], "shape"):
        return tuple(_tensor(spec, name) for spec, name in zip(specs, names, strict=True)), frozenset()
    columns = [
        Column(name=name, type=_type(spec, at))
        for at, (spec, name) in enumerate(zip(specs, names, strict=True))
    ]
    tensors = tuple(column.tensor() for column in columns)
    return tensors, frozenset(tensor.name for tensor in tensors if tensor.is_moment)


def _name(spec: Any, number: int) -> str:
    return str(number) if spec.name is None else str(spec.name)


def _type(spec: Any, number: int) -> ColumnType:
    name = getattr(spec.type, "name", type(spec.type).__name__)
    if name not in get_args(ColumnType):
        raise CannotLoad(
            f"{_name(spec, number)} is of type {name}, which the Open Inference Protocol cannot carry"
        )
    return cast(ColumnType, name)


def _tensor(spec: Any, name: str) -> Tensor:
    if spec.type.kind not in "biufUSO" or not spec.shape:
        raise CannotLoad(
            f"{name} is an array of {spec.type} and shape {list(spec.shape)}, which the Open Inference Protocol does "
            "not carry"
        )
    return Tensor(name=name, datatype=datatype_of(spec.type), shape=tuple(int(size) for size in spec.shape))


def _by_name(answer: Any, tensors: Sequence[Tensor]) -> Mapping[Any, Any]:
    """Whatever a model of MLflow may give, by the names of the outputs; what only has an order, in theirs."""
    import pandas as pd

    names = [tensor.name for tensor in tensors]
    if isinstance(answer, list) and answer and all(isinstance(row, Mapping) for row in answer):
        answer = pd.DataFrame(answer)
    if isinstance(answer, pd.DataFrame):
        return _columns_of(answer, tensors)
    if isinstance(answer, Mapping):
        return answer
    if len(tensors) == 1:
        return {names[0]: _values(answer)}
    array = np.asanyarray(_values(answer))  # what is masked stays so
    if array.ndim != 2 or array.shape[1] != len(names):
        raise WrongAnswer(
            f"predict gave a {type(answer).__name__} of shape {list(array.shape)}, and not {', '.join(names)}"
        )
    return dict(zip(names, array.T, strict=True))


def _columns_of(frame: Any, tensors: Sequence[Tensor]) -> Mapping[Any, Any]:
    """By order only where no name is known: in the other's place a column would be a wrong answer that looks right."""
    names = [tensor.name for tensor in tensors]
    known = set(names) & set(frame.columns)
    if not known and len(names) == frame.shape[1]:
        return {name: _values(frame.iloc[:, at]) for at, name in enumerate(names)}
    if not known and len(names) == 1:
        return {names[0]: _values(frame)}
    return {name: _values(frame[name]) for name in known}


def _values(given: Any) -> Any:
    """The array of a Series or a frame, or the dense one of a sparse matrix."""
    if hasattr(given, "to_numpy"):
        return given.to_numpy()
    return given.toarray() if hasattr(given, "toarray") else given


def _times(given: Any) -> Any:
    """In ISO 8601, as a request has them."""
    import pandas as pd

    times = np.asarray(np.ma.filled(given, np.datetime64("NaT"))).reshape(-1)
    return [None if pd.isna(each) else pd.Timestamp(each).isoformat() for each in times]
