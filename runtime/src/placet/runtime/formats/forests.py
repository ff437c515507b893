"""scikit-learn's forests, asked tree by tree.

`predict` of a forest hands each tree to joblib and checks it once more, which for a few rows takes some ten times as
long as the trees themselves. Here their own answers are summed up, in the same order, to the same numbers. What only
scikit-learn should judge (missing or infinite values, anything but a matrix of numbers, many rows that its threads
would share) is left to it; so is every forest whose trees, when tried, do not sum up to what it answers itself.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from placet.runtime.signature import Array

_FORESTS = "sklearn.ensemble._forest"
_KINDS = frozenset(
    {"ExtraTreesClassifier", "ExtraTreesRegressor", "RandomForestClassifier", "RandomForestRegressor"}
)
MOST_ROWS = 256
"""Of a forest that may use several threads."""
_TRIED = 8


class Forest:
    def __init__(self, trees: list[Any], width: int, most_rows: float) -> None:
        self._trees = trees
        self._width = width
        self._most_rows = most_rows

    def mean(self, rows: Any) -> Array | None:
        """What the trees answer on average, a line for each row; None for what scikit-learn has to be asked."""
        values = rows.to_numpy() if hasattr(rows, "to_numpy") else rows
        if (
            not isinstance(values, np.ndarray)
            or values.dtype.kind not in "fiu"
            or len(values) > self._most_rows
        ):
            return None
        with np.errstate(over="ignore"):
            narrow = values.astype(np.float32, copy=False)
        if not np.isfinite(narrow).all():
            return None
        total = np.zeros((len(values), self._width))
        for tree in self._trees:
            total += tree.predict(narrow)[:, : self._width]
        total /= len(self._trees)
        return total


def forest(estimator: Any) -> Forest | None:
    """None if it is not a forest of one target, or not one whose trees can be asked like this."""
    kind = type(estimator)
    if kind.__module__ != _FORESTS or kind.__name__ not in _KINDS or estimator.n_outputs_ != 1:
        return None
    is_classifier = hasattr(estimator, "classes_")
    is_alone = estimator.n_jobs in (None, 1)
    trees = [each.tree_ for each in estimator.estimators_]
    found = Forest(trees, len(estimator.classes_) if is_classifier else 1, np.inf if is_alone else MOST_ROWS)
    return found if _agrees(found, estimator, trees, is_classifier=is_classifier) else None


def _agrees(found: Forest, estimator: Any, trees: list[Any], *, is_classifier: bool) -> bool:
    """On some rows of the values that its trees part at; where values were missing, some part at infinity."""
    parted_at = np.concatenate([tree.threshold[tree.feature >= 0] for tree in trees[:_TRIED]])
    known = parted_at[np.isfinite(parted_at)]
    chosen = np.random.default_rng(0).choice(
        known if len(known) else np.zeros(1), (_TRIED, estimator.n_features_in_)
    )
    mean = found.mean(chosen)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the columns' names, which do not matter here
        right = estimator.predict_proba(chosen) if is_classifier else estimator.predict(chosen).reshape(-1, 1)
    return mean is not None and mean.shape == right.shape and np.allclose(mean, right, rtol=1e-12, atol=0)
