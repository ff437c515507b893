"""scikit-learn's linear models, behind scalers or not, asked by their own arithmetic.

At each step of a pipeline scikit-learn looks its input through and asks what kind of array it is, which for a few rows
takes some hundred times as long as the products and sums themselves. Here those are computed as scikit-learn does, in
the same order, to the same bits. What only scikit-learn should judge (missing or infinite values, anything but a matrix
of its own precision) is left to it; so is every model that overrides a method which is spared here, and every one that
answers itself otherwise, in a single bit, when it is tried.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np
from scipy.special import expit  # type: ignore[import-untyped]

from placet.runtime.signature import Array, Tensors

PREDICT, PROBABILITIES = "predict", "predict_proba"
_TRIED = (1, 8)
"""Rows at once: BLAS has another routine for a single one."""

Step = Callable[[Array], Array]


class Linear:
    """`classes` are none of a model that answers with the numbers themselves."""

    def __init__(self, steps: Sequence[Step], estimator: Any, classes: Array | None) -> None:
        self._steps = steps
        self._coefficients = estimator.coef_.T
        self._intercept = estimator.intercept_
        self._columns = estimator.n_features_in_
        self._classes = classes

    def answer(self, rows: Any, outputs: Collection[str]) -> Tensors | None:
        """None for what scikit-learn has to be asked."""
        if not isinstance(rows, np.ndarray) or rows.dtype != np.float64 or rows.shape[1:] != (self._columns,):
            return None
        for step in self._steps:
            rows = step(rows)
        if not np.isfinite(rows).all():  # what is not finite before a scaler is not so behind it
            return None
        scores = rows @ self._coefficients + self._intercept
        answer: Tensors = {}
        if self._classes is None:
            answer[PREDICT] = scores
            return answer
        if scores.ndim > 1 and scores.shape[1] == 1:
            scores = scores.reshape(-1)
        if PROBABILITIES in outputs:
            answer[PROBABILITIES] = _likely(scores)
        if PREDICT in outputs:
            answer[PREDICT] = self._classes.take(scores.argmax(axis=1) if scores.ndim > 1 else scores > 0)
        return answer


def linear(steps: Sequence[Any], estimator: Any, outputs: Collection[str]) -> Linear | None:
    """None unless all steps are scalers, the estimator behind them is linear, and both together answer as scikit-learn.

    `outputs` are all that the model has.
    """
    try:
        found = _linear(steps, estimator, outputs)
        return found if found is not None and _agrees(found, steps, estimator, outputs) else None
    except Exception:  # noqa: BLE001 -- set by hand, its attributes may be missing or anything; it is asked itself
        return None


def _linear(steps: Sequence[Any], estimator: Any, outputs: Collection[str]) -> Linear | None:
    kind = type(estimator)
    if not isinstance(getattr(estimator, "coef_", None), np.ndarray):
        return None
    scalers = [scaler for step in steps if (scaler := _scaler(step)) is not None]
    if len(scalers) < len(steps):
        return None
    if _sums_up(kind):
        return Linear(scalers, estimator, None)
    if _classifies(kind, has_probabilities=PROBABILITIES in outputs):
        return Linear(scalers, estimator, estimator.classes_)
    return None


def _sums_up(kind: type[Any]) -> bool:
    """Whether both are scikit-learn's own; which of its linear regressions do more than sum up, trying them shows."""
    methods = (getattr(kind, name, None) for name in ("predict", "_decision_function"))
    return all(getattr(method, "__module__", "").startswith("sklearn.linear_model.") for method in methods)


def _classifies(kind: type[Any], *, has_probabilities: bool) -> bool:
    # Imported already if the model is one of these; for others, ten megabytes.
    from sklearn.linear_model import LogisticRegression
    from sklearn.linear_model._base import LinearClassifierMixin

    return (
        getattr(kind, "predict", None) is LinearClassifierMixin.predict
        and kind.decision_function is LinearClassifierMixin.decision_function
        and (not has_probabilities or kind.predict_proba is LogisticRegression.predict_proba)
    )


def _scaler(step: Any) -> Step | None:
    from sklearn.preprocessing import MinMaxScaler, StandardScaler

    transform = getattr(type(step), "transform", None)
    if transform is StandardScaler.transform:
        return _standard(step.mean_ if step.with_mean else None, step.scale_ if step.with_std else None)
    if transform is MinMaxScaler.transform and not step.clip:
        return lambda rows: rows * step.scale_ + step.min_
    return None


def _standard(mean: Array | None, scale: Array | None) -> Step:
    def scaled(rows: Array) -> Array:
        if mean is not None:
            rows = rows - mean
        return rows if scale is None else rows / scale

    return scaled


def _likely(scores: Array) -> Array:
    """What logistic regression makes of its scores."""
    if scores.ndim == 1:
        second = expit(scores)
        return np.stack([1 - second, second], axis=1)
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    likely: Array = powers / powers.sum(axis=1, keepdims=True)
    return likely


def _agrees(found: Linear, steps: Sequence[Any], estimator: Any, outputs: Collection[str]) -> bool:
    random = np.random.default_rng(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the columns' names, which do not matter here
        for count in _TRIED:
            rows = random.normal(scale=3.0, size=(count, estimator.n_features_in_))
            answer = found.answer(rows, outputs)
            for step in steps:
                rows = step.transform(rows)
            if answer is None or not all(
                _same(answer[each], getattr(estimator, each)(rows)) for each in outputs
            ):
                return False
    return True


def _same(ours: Array, theirs: Any) -> bool:
    return isinstance(theirs, np.ndarray) and ours.dtype == theirs.dtype and np.array_equal(ours, theirs)
