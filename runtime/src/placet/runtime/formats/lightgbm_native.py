"""LightGBM models in LightGBM's own text file.

Such a file holds trees and no code. How many threads LightGBM uses is up to `OMP_NUM_THREADS`.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

import numpy as np

from placet.runtime.formats.boosted_trees import BoostedTrees, Meaning
from placet.runtime.model import CannotLoad
from placet.runtime.signature import Array

try:
    import lightgbm
except OSError as error:  # its library asks for the machine's own libgomp
    raise CannotLoad(f"LightGBM cannot start: {error}; the machine, or the image's base, needs it") from error

_ADVICE = "save it again with `save_model('model.lgb')`, and pin that version in requirements.txt"
_MEANINGS = {
    "binary": Meaning.PROBABILITY,
    "multiclass": Meaning.PROBABILITIES,
    "multiclassova": Meaning.PROBABILITIES,
}


def load(path: Path, trusted: Collection[str], method: str | None = None) -> BoostedTrees:
    """There is nothing to trust. `method` is none, or `Booster.predict`."""
    lightgbm.register_logger(_Silent())
    text = path.read_text(encoding="utf-8", errors="surrogateescape")
    if not _is_whole(text):  # of some that are not, LightGBM ends the process
        raise CannotLoad(f"LightGBM refuses {path.name}: it is none of its models, or was cut off; {_ADVICE}")
    try:
        return _model(lightgbm.Booster(model_str=text), _objective(text) if method is None else "")
    except (lightgbm.basic.LightGBMError, ValueError, KeyError, MemoryError) as error:
        raise CannotLoad(
            f"LightGBM {lightgbm.__version__} refuses {path.name}: {error or type(error).__name__}; {_ADVICE}"
        ) from error


def _model(booster: lightgbm.Booster, objective: str) -> BoostedTrees:
    def scores(rows: Array) -> Array:
        return np.asarray(booster.predict(rows))

    names = booster.feature_name()
    return BoostedTrees(
        scores,
        _MEANINGS.get(objective, Meaning.VALUE),
        platform="lightgbm_native",
        datatype="FP64",
        features=booster.num_feature(),
        names=None if names == [f"Column_{index}" for index in range(len(names))] else names,
    )


def _is_whole(text: str) -> bool:
    has_parameters = "\nparameters:" in text
    return "\nend of trees" in text and ("\nend of parameters" in text or not has_parameters)


def _objective(text: str) -> str:
    """`binary` of the line `objective=binary sigmoid:1` in front of the trees; empty for one of somebody's own."""
    head = text.partition("\nTree=")[0]
    found = re.search(r"^objective=(\w+)", head, re.MULTILINE)
    return found[1] if found else ""


class _Silent:
    """What goes wrong is raised as well."""

    def info(self, message: str) -> None:
        pass

    def warning(self, message: str) -> None:
        pass
