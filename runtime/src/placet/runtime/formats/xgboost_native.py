"""XGBoost models in XGBoost's own files, UBJSON or JSON, by XGBoost on the CPU.

Such a file holds trees or weights and no code. How many threads XGBoost uses is up to `OMP_NUM_THREADS`. Its C
interface is asked directly: through the Python interface, asking after a row's type costs more than answering it.
"""

from __future__ import annotations

import ctypes
import json
import math
from collections.abc import Callable, Collection
from pathlib import Path

import numpy as np
import xgboost
from xgboost.libpath import find_lib_path

from placet.runtime.formats.boosted_trees import BoostedTrees, Meaning
from placet.runtime.model import CannotLoad
from placet.runtime.signature import Array

_ARRAY = b'{"data":[%d,true],"shape":[%d,%d],"strides":null,"typestr":"<f4","version":3}'
"""NumPy's array interface as XGBoost reads it."""
_MEANINGS = {
    "binary:logistic": Meaning.PROBABILITY,
    "binary:hinge": Meaning.CLASS,
    "multi:softprob": Meaning.PROBABILITIES,
    "multi:softmax": Meaning.PROBABILITIES,
}


def load(path: Path, trusted: Collection[str], method: str | None = None) -> BoostedTrees:
    """There is nothing to trust. `method` is none, or `Booster.predict`."""
    xgboost.set_config(verbosity=0)
    # as bytes: from a name, XGBoost would take the suffix for how the file is written
    content = bytearray(path.read_bytes())
    if not content:
        raise CannotLoad(f"{path.name} is empty")  # XGBoost ends the process instead
    try:
        return _model(xgboost.Booster(model_file=content), is_raw=method is not None)
    except (xgboost.core.XGBoostError, ValueError, KeyError, TypeError, MemoryError) as error:
        raise CannotLoad(
            f"XGBoost {xgboost.__version__} refuses {path.name}: {_in_a_line(error)}; "
            "save it again with `save_model('model.ubj')`, and pin that version in requirements.txt"
        ) from error


def _model(booster: xgboost.Booster, *, is_raw: bool) -> BoostedTrees:
    learner = json.loads(booster.save_config())["learner"]
    objective = learner["objective"]["name"]
    return BoostedTrees(
        _scores(booster, "" if is_raw else objective, learner["gradient_booster"]["name"]),
        Meaning.VALUE if is_raw else _MEANINGS.get(objective, Meaning.VALUE),
        platform="xgboost_native",
        datatype="FP32",
        features=booster.num_features(),
        names=booster.feature_names,
    )


def _scores(booster: xgboost.Booster, objective: str, kind: str) -> Callable[[Array], Array]:
    is_margin = objective == "multi:softmax"  # which would answer with the class alone
    dense = None if kind == "gblinear" else _Dense(booster, is_margin)  # the one that does not take arrays

    def scores(rows: Array) -> Array:
        if dense is not None:
            answer = dense(rows)
        else:
            matrix = xgboost.DMatrix(rows, feature_names=booster.feature_names)
            answer = booster.predict(matrix, output_margin=is_margin)
        return _softmax(answer) if is_margin else np.asarray(answer)

    return scores


class _Dense:
    """`Booster.inplace_predict` for a matrix of FP32, by the documented XGBoosterPredictFromDense."""

    def __init__(self, booster: xgboost.Booster, is_margin: bool) -> None:
        self._library = ctypes.CDLL(find_lib_path()[0])  # loaded already: the same one
        self._library.XGBGetLastError.restype = ctypes.c_char_p
        self._ask = self._library.XGBoosterPredictFromDense
        self._ask.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p, *[ctypes.c_void_p] * 4]
        self._booster = booster  # which frees what its handle is of
        begin, end = _trees(booster)
        how = {"type": int(is_margin), "training": False, "iteration_begin": begin, "iteration_end": end}
        self._how = json.dumps({**how, "missing": math.nan, "strict_shape": False, "cache_id": 0}).encode()

    def __call__(self, rows: Array) -> Array:
        rows = np.ascontiguousarray(rows, dtype=np.float32)
        shape, dimensions = ctypes.POINTER(ctypes.c_uint64)(), ctypes.c_uint64()
        answer = ctypes.POINTER(ctypes.c_float)()
        failed = self._ask(
            self._booster.handle,
            _ARRAY % (rows.ctypes.data, *rows.shape),
            self._how,
            None,
            ctypes.byref(shape),
            ctypes.byref(dimensions),
            ctypes.byref(answer),
        )
        if failed:
            raise xgboost.core.XGBoostError(self._library.XGBGetLastError().decode())
        sizes = shape[: dimensions.value]
        content = ctypes.string_at(answer, 4 * math.prod(sizes))  # a copy: the next call writes over it
        return np.frombuffer(content, dtype=np.float32).reshape(sizes)


def _trees(booster: xgboost.Booster) -> tuple[int, int]:
    """A model of XGBoost's scikit-learn interface predicts up to its best iteration, one of the native with all."""
    best = booster.attr("best_iteration")
    if best is None or booster.attr("scikit_learn") is None:
        return 0, 0
    return 0, int(best) + 1


def _softmax(margins: Array) -> Array:
    powers = np.exp(margins - margins.max(axis=1, keepdims=True))
    likely: Array = powers / powers.sum(axis=1, keepdims=True)
    return likely


def _in_a_line(error: Exception) -> str:
    """What XGBoost says, without the clock, the place in its own source and the stack behind it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = lines[0] if lines else type(error).__name__
    return said.split(": ", 1)[1] if said.startswith("[") and ": " in said else said
