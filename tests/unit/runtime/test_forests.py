"""A forest that is asked tree by tree answers as scikit-learn does, to the last bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from placet.runtime.formats.forests import MOST_ROWS, forest
from placet.runtime.formats.scikit_learn import MATRIX, SklearnModel
from sklearn.datasets import make_classification, make_regression
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

X, Y = make_classification(200, 6, n_informative=4, n_classes=3, random_state=0)
Z = make_regression(200, 6, random_state=0)[1]
NAMES = np.array(["ash", "birch", "cedar"])
SIZE: dict[str, Any] = {"n_estimators": 20, "random_state": 0}


class Contrary(DecisionTreeClassifier):  # type: ignore[misc]
    """A tree that answers otherwise than what it holds."""

    def predict_proba(self, X: Any, check_input: bool = True) -> Any:
        return super().predict_proba(X, check_input)[:, ::-1]


@pytest.mark.parametrize(
    "estimator",
    [
        RandomForestClassifier(**SIZE).fit(X, Y),
        RandomForestClassifier(**SIZE).fit(X, Y > 0),
        ExtraTreesClassifier(**SIZE).fit(X, NAMES[Y]),
        RandomForestRegressor(**SIZE).fit(X, Z),
        ExtraTreesRegressor(**SIZE).fit(X, Z),
        make_pipeline(StandardScaler(), RandomForestClassifier(**SIZE)).fit(X, Y),
        RandomForestClassifier(**SIZE).fit(pd.DataFrame(X, columns=list("abcdef")), Y),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
@pytest.mark.parametrize("rows", [1, 7, 200])
def test_every_output_is_scikit_learns(estimator: Any, rows: int) -> None:
    model = SklearnModel(estimator, platform="sklearn")
    outputs = [tensor.name for tensor in model.signature.outputs]
    given = X[:rows]
    asked = pd.DataFrame(given, columns=list("abcdef")) if hasattr(estimator, "feature_names_in_") else given

    answer = model.predict({MATRIX: given}, outputs)

    for name in outputs:
        right = getattr(estimator, name)(asked)
        assert answer[name].dtype == right.dtype
        np.testing.assert_array_equal(answer[name], right)


def test_missing_and_infinite_values_are_scikit_learns_to_judge() -> None:
    holes = np.where(np.arange(X.size).reshape(X.shape) % 7 == 0, np.nan, X)
    estimator = RandomForestClassifier(**SIZE).fit(holes, Y)
    model = SklearnModel(estimator, platform="sklearn")
    answer = model.predict({MATRIX: holes}, ["predict"])
    np.testing.assert_array_equal(answer["predict"], estimator.predict(holes))

    for endless in (np.inf, -1e39):
        with pytest.raises(ValueError, match="infinity or a value too large"):
            model.predict({MATRIX: np.full((1, 6), endless)}, ["predict"])


def test_many_rows_are_left_to_a_forest_of_several_threads() -> None:
    found = forest(RandomForestClassifier(**SIZE, n_jobs=2).fit(X, Y))
    assert found is not None
    assert found.mean(np.zeros((MOST_ROWS, 6))) is not None
    assert found.mean(np.zeros((MOST_ROWS + 1, 6))) is None


def test_what_is_no_sum_of_its_trees_is_asked_itself() -> None:
    contrary = RandomForestClassifier(**SIZE).fit(X, Y)
    contrary.estimators_[0] = Contrary(max_depth=1).fit(X, Y)
    several_targets = RandomForestRegressor(**SIZE).fit(X, X[:, :2])
    for estimator in (contrary, several_targets, GradientBoostingClassifier(n_estimators=2).fit(X, Y)):
        assert forest(estimator) is None
    answer = SklearnModel(contrary, platform="sklearn").predict({MATRIX: X}, ["predict_proba"])
    np.testing.assert_array_equal(answer["predict_proba"], contrary.predict_proba(X))
