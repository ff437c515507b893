"""XGBoost models in XGBoost's own files, UBJSON or JSON, by XGBoost on the CPU.

Such a file holds trees or weights and no code. How many threads XGBoost uses is up to `OMP_NUM_THREADS`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from pathlib import Path

import numpy as np
import xgboost

from placet.runtime.formats.boosted_trees import BoostedTrees, Meaning
from placet.runtime.model import CannotLoad
from placet.runtime.signature import Array

_MEANINGS = {
    "binary:logistic": Meaning.PROBABILITY,
    "binary:hinge": Meaning.CLASS,
    "multi:softprob": Meaning.PROBABILITIES,
    "multi:softmax": Meaning.PROBABILITIES,
}


def load(path: Path, trusted: Collection[str]) -> BoostedTrees:
    """There is nothing to trust."""
    xgboost.set_config(verbosity=0)
    # as bytes: from a name, XGBoost would take the suffix for how the file is written
    content = bytearray(path.read_bytes())
    if not content:
        raise CannotLoad(f"{path.name} is empty")  # XGBoost ends the process instead
    try:
        return _model(xgboost.Booster(model_file=content))
    except (xgboost.core.XGBoostError, ValueError, KeyError, TypeError, MemoryError) as error:
        raise CannotLoad(
            f"XGBoost {xgboost.__version__} refuses {path.name}: {_in_a_line(error)}; "
            "save it again with `save_model('model.ubj')`, and pin that version in requirements.txt"
        ) from error


def _model(booster: xgboost.Booster) -> BoostedTrees:
    learner = json.loads(booster.save_config())["learner"]
    objective = learner["objective"]["name"]
    return BoostedTrees(
        _scores(booster, objective, learner["gradient_booster"]["name"]),
        _MEANINGS.get(objective, Meaning.VALUE),
        platform="xgboost_native",
        datatype="FP32",
        features=booster.num_features(),
        names=booster.feature_names,
    )


def _scores(booster: xgboost.Booster, objective: str, kind: str) -> Callable[[Array], Array]:
    trees = _trees(booster)
    is_margin = objective == "multi:softmax"  # which would answer with the class alone

    def scores(rows: Array) -> Array:
        if kind == "gblinear":  # the one that does not take arrays as they are
            matrix = xgboost.DMatrix(rows, feature_names=booster.feature_names)
            answer = booster.predict(matrix, output_margin=is_margin)
        else:
            wanted = "margin" if is_margin else "value"
            answer = booster.inplace_predict(rows, iteration_range=trees, predict_type=wanted)
        return _softmax(answer) if is_margin else np.asarray(answer)

    return scores


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
