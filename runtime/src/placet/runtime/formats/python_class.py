"""Models that are Python code of the project: a class `Model` with `load` and `predict`.

    class Model:
        inputs = {"text": "BYTES"}
        outputs = {"label": "BYTES", "probabilities": ("FP64", 3)}

        def load(self, folder): ...      # once; the folder that this file lies in
        def predict(self, inputs): ...   # arrays by name in, arrays or lists by name out, an entry a row

A name stands for one value a row, or in parentheses for a row of that shape. This is the one format whose artifact is
code on purpose, and this process is the only place where it runs.
"""

from __future__ import annotations

import importlib.util
import sys
import traceback
from collections.abc import Collection, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from placet.runtime.model import CannotLoad, WrongAnswer
from placet.runtime.signature import ANY, DATATYPES, Array, Signature, Tensor, Tensors

CLASS = "Model"
PROBABILITIES = "probabilities"


class PythonModel:
    def __init__(self, model: Any, signature: Signature) -> None:
        self._model = model
        self.signature = signature

    def predict(self, inputs: Tensors, outputs: Collection[str]) -> Tensors:
        rows = len(next(iter(inputs.values())))
        answer = self._model.predict(inputs)
        tensors = self.signature.outputs
        if not isinstance(answer, Mapping):
            if len(tensors) > 1:
                names = ", ".join(tensor.name for tensor in tensors)
                raise WrongAnswer(f"predict gave a {type(answer).__name__}, and not a dictionary of {names}")
            answer = {tensors[0].name: answer}
        return {tensor.name: _array(answer, tensor, rows) for tensor in tensors if tensor.name in outputs}


def load(path: Path, trusted: Collection[str]) -> PythonModel:
    """Nothing here is trusted: whoever runs this process confines it."""
    kind = getattr(imported(path), CLASS, None)
    if not isinstance(kind, type):
        raise CannotLoad(f"{path.name} has no class {CLASS}")
    for method in ("load", "predict"):
        if not callable(getattr(kind, method, None)):
            raise CannotLoad(f"class {CLASS} in {path.name} has no method {method}")
    said = signature(kind, path)
    try:
        model = kind()
        model.load(path.parent)
    except (Exception, SystemExit) as error:
        raise CannotLoad(f"loading the {CLASS} in {path.name} failed with {told(error, path)}") from error
    return PythonModel(model, said)


def imported(path: Path) -> ModuleType:
    """As Python imports a script: what lies beside it can be imported, too."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise CannotLoad(f"{path.name} is not Python's; a model of format python is a file such as model.py")
    sys.path.insert(0, str(path.parent))
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(path.stem, module)
    try:
        spec.loader.exec_module(module)
    except ModuleNotFoundError as missing:
        raise CannotLoad(f"{told(missing, path)}; name its package in requirements.txt") from missing
    except (Exception, SystemExit) as error:
        raise CannotLoad(f"{path.name} cannot be imported: {told(error, path)}") from error
    return module


def told(error: BaseException, path: Path) -> str:
    """`KeyError: 'a' (model.py, line 7)`, the line that is the last one of the project's own."""
    frames = [
        f"{Path(frame.filename).relative_to(path.parent)}, line {frame.lineno}"
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).is_relative_to(path.parent)
    ]
    said = f"{type(error).__name__}: {error}".splitlines()[0]
    return f"{said} ({frames[-1]})" if frames else said


def signature(kind: type, path: Path, *, platform: str = "python") -> Signature:
    outputs = _tensors(kind, "outputs", path)
    others = [tensor.name for tensor in outputs if tensor.name != PROBABILITIES]
    has_one = len(others) == 1
    return Signature(
        platform=platform,
        inputs=_tensors(kind, "inputs", path),
        outputs=outputs,
        prediction=others[0] if has_one else None,
        probabilities=PROBABILITIES if has_one and len(outputs) > 1 else None,
        takes_missing=bool(getattr(kind, "takes_missing", False)),
    )


def _tensors(kind: type, name: str, path: Path) -> tuple[Tensor, ...]:
    said = getattr(kind, name, None)
    if not isinstance(said, dict) or not said:
        raise CannotLoad(
            f'class {CLASS} in {path.name} does not say its {name}: write `{name} = {{"name": "FP64"}}`'
        )
    return tuple(_tensor(key, value, name, path) for key, value in said.items())


def _tensor(key: object, value: Any, name: str, path: Path) -> Tensor:
    match value:
        case str() as datatype if datatype in DATATYPES:
            return Tensor(name=str(key), datatype=datatype, shape=(ANY,))
        case (str() as datatype, *shape) if datatype in DATATYPES and all(map(_is_size, shape)):
            return Tensor(name=str(key), datatype=datatype, shape=(ANY, *shape))
    raise CannotLoad(
        f'{name} of class {CLASS} in {path.name} says {value!r:.100} of {key}, and not "FP64" or, for a row '
        f'of 3, ("FP64", 3)'
    )


def _is_size(size: object) -> bool:
    return type(size) is int and (size > 0 or size == ANY)


def _array(answer: Mapping[Any, Any], tensor: Tensor, rows: int) -> Array:
    if tensor.name not in answer:
        raise WrongAnswer(f"predict gave no {tensor.name}")
    array = array_of(answer[tensor.name], tensor)
    if tensor.is_column and array.size == rows:
        array = array.reshape(-1)
    if not tensor.takes(array.shape) or len(array) != rows:
        wanted = [rows, *tensor.shape[1:]]
        raise WrongAnswer(f"predict gave {tensor.name} in the shape {list(array.shape)}, and not {wanted}")
    return array


def array_of(given: Any, tensor: Tensor) -> Array:
    """What `predict` gave of an output as an array of its datatype, in the shape that it came in."""
    if np.ma.is_masked(given):  # below a mask lies anything
        raise WrongAnswer(f"predict gave a {tensor.name} with masked values; fill them")
    try:
        array = np.asarray(given, dtype=object if tensor.is_text else None)
        array = array if tensor.is_text else array.astype(DATATYPES[tensor.datatype], casting="same_kind")
    except (ValueError, TypeError) as error:
        raise WrongAnswer(
            f"predict gave a {tensor.name} that is no array of {tensor.datatype}: {error}"
        ) from error
    if tensor.is_text and not all(isinstance(value, str | bytes) for value in array.flat):
        raise WrongAnswer(f"predict gave a {tensor.name} that holds other values than texts")
    return array
