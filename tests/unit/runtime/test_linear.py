"""A linear model that is asked by its own arithmetic answers as scikit-learn does, to the last bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from placet.runtime.formats.scikit_learn import MATRIX, SklearnModel
from sklearn.datasets import make_classification, make_regression
from sklearn.decomposition import PCA
from sklearn.linear_model import (
    ElasticNet,
    LinearRegression,
    LogisticRegression,
    Perceptron,
    PoissonRegressor,
    Ridge,
    SGDClassifier,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

X, Y = make_classification(200, 6, n_informative=4, n_classes=3, random_state=0)
Z = make_regression(200, 6, random_state=0)[1]
NAMES = np.array(["ash", "birch", "cedar"])
FRAME = pd.DataFrame(X, columns=list("abcdef"))


class Contrary(LogisticRegression):  # type: ignore[misc]
    """Answers otherwise than its coefficients say."""

    def predict(self, X: Any) -> Any:
        return super().predict(X)[::-1]


class Shifted(StandardScaler):  # type: ignore[misc]
    def transform(self, X: Any, copy: Any = None) -> Any:
        return super().transform(X, copy) + 1


def by_hand(estimator: Any, **attributes: Any) -> Any:
    """As whoever takes weights from elsewhere sets them."""
    for name, value in attributes.items():
        setattr(estimator, name, value)
    return estimator


@pytest.mark.parametrize(
    "estimator",
    [
        LogisticRegression().fit(X, Y),
        LogisticRegression().fit(X, Y > 0),
        LogisticRegression().fit(X, NAMES[Y]),
        make_pipeline(StandardScaler(), LogisticRegression()).fit(X, Y),
        make_pipeline(make_pipeline(StandardScaler(with_std=False)), MinMaxScaler(), LinearSVC()).fit(
            X, NAMES[Y]
        ),
        make_pipeline(StandardScaler(), LogisticRegression()).fit(FRAME, Y),
        Perceptron().fit(X, Y > 0),
        LinearRegression().fit(X, Z),
        Ridge().fit(X, np.stack([Z, -Z], axis=1)),
        ElasticNet(fit_intercept=False).fit(X, Z),
        make_pipeline(StandardScaler(with_mean=False), Ridge()).fit(FRAME, Z),
    ],
    ids=range(11),
)
@pytest.mark.parametrize("rows", [1, 7, 200])
def test_every_output_is_scikit_learns(estimator: Any, rows: int) -> None:
    model = SklearnModel(estimator, platform="sklearn")
    outputs = [tensor.name for tensor in model.signature.outputs]
    is_framed = hasattr(estimator, "feature_names_in_")
    # a frame that copies turns its rows into columns, and BLAS sums those up in another order
    asked = pd.DataFrame(X[:rows], columns=FRAME.columns, copy=False) if is_framed else X[:rows]

    answer = model.predict({MATRIX: X[:rows]}, outputs)

    assert _is_spared(estimator)
    for name in outputs:
        right = getattr(estimator, name)(asked)
        assert answer[name].dtype == right.dtype
        np.testing.assert_array_equal(answer[name], right)


@pytest.mark.parametrize(
    "estimator",
    [
        Contrary().fit(X, Y),
        make_pipeline(Shifted(), LogisticRegression()).fit(X, Y),
        make_pipeline(PCA(2), LogisticRegression()).fit(X, Y),
        make_pipeline(MinMaxScaler(clip=True), LogisticRegression()).fit(X, Y),
        SGDClassifier(loss="log_loss", random_state=0).fit(X, Y),
        LogisticRegression().fit(X, Y).sparsify(),
        PoissonRegressor().fit(X, Z - Z.min()),
        DecisionTreeClassifier(max_depth=2, random_state=0).fit(X, Y),
        by_hand(
            LogisticRegression(), coef_=np.ones((1, 6)), intercept_=np.zeros(1), classes_=np.array([0, 1])
        ),
        by_hand(LinearRegression(), coef_=np.ones(6), intercept_=0.5),
        by_hand(LogisticRegression().fit(X, Y), coef_=np.asmatrix(np.ones((3, 6)))),
        by_hand(LogisticRegression().fit(X, Y), coef_=np.ones((3, 6), dtype=object)),
    ],
    ids=range(12),
)
def test_what_is_more_than_its_coefficients_is_asked_itself(estimator: Any) -> None:
    assert not _is_spared(estimator)
    answer = SklearnModel(estimator, platform="sklearn").predict({MATRIX: X}, ["predict"])
    np.testing.assert_array_equal(answer["predict"], estimator.predict(X))


def test_coefficients_that_were_changed_behind_its_methods_are_found_out() -> None:
    estimator = LogisticRegression().fit(X, Y)
    estimator.predict_proba = lambda rows: np.zeros((len(rows), 3))
    assert not _is_spared(estimator)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_missing_and_infinite_values_are_scikit_learns_to_judge(value: float) -> None:
    model = SklearnModel(make_pipeline(StandardScaler(), LogisticRegression()).fit(X, Y), platform="sklearn")
    rows = X[:2].copy()
    rows[1, 3] = value
    with pytest.raises(ValueError, match=r"NaN|infinity"):
        model.predict({MATRIX: rows}, ["predict"])


def test_what_grows_too_large_in_a_scaler_is_refused_by_scikit_learn() -> None:
    tiny = make_pipeline(StandardScaler(), LogisticRegression()).fit(X * 1e-5, Y)
    with pytest.raises(ValueError, match="infinity"), np.errstate(over="ignore"):
        SklearnModel(tiny, platform="sklearn").predict({MATRIX: np.full((1, 6), 1e305)}, ["predict"])


def _is_spared(estimator: Any) -> bool:
    return SklearnModel(estimator, platform="sklearn")._linear is not None
