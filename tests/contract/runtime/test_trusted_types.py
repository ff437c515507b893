"""What a skops file may ask for: what the platform's list holds, which is enough for scikit-learn's estimators."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import skops.io
from lightgbm import LGBMClassifier, LGBMRegressor
from placet.projects import trusted_types, untrusted_types
from placet.runtime.formats.scikit_learn import SklearnModel, load
from placet.runtime.model import CannotLoad
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.datasets import load_iris
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.utils import all_estimators
from skops.io.exceptions import UnsupportedTypeException
from xgboost import XGBClassifier, XGBRegressor, XGBRFClassifier, XGBRFRegressor

FEW = {"n_estimators": 3, "max_iter": 3}
"""Which types a file has does not depend on how well it was fitted."""
LEAST = {"TSNE": {"max_iter": 250}}
"""Where fewer are refused."""


def test_no_estimator_asks_for_a_type_beyond_the_list() -> None:
    features, target = load_iris(return_X_y=True)
    asked: dict[str, set[str]] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, kind in all_estimators():
            try:
                estimator = kind()
                known = estimator.get_params()
                few = {each: number for each, number in FEW.items() if each in known} | LEAST.get(name, {})
                fitted = estimator.set_params(**few).fit(np.abs(features), target)
            except (TypeError, ValueError, AttributeError):
                continue  # needs arguments, or other data than these
            try:
                data = skops.io.dumps(fitted)
            except UnsupportedTypeException:
                continue
            asked[name] = set(skops.io.get_untrusted_types(data=data)) - set(trusted_types())

    assert len(asked) > 100
    assert {name: types for name, types in asked.items() if types} == {}


def with_categories() -> tuple[Any, Any]:
    frame = pd.DataFrame({"length": range(60), "kind": pd.Categorical(list("xyz") * 20)})
    return HistGradientBoostingClassifier(categorical_features="from_dtype", max_iter=3), frame


def by_dtype() -> tuple[Any, Any]:
    frame = pd.DataFrame({"length": range(60), "kind": pd.Series(list("xyz") * 20, dtype=object)})
    steps = make_column_transformer(
        (StandardScaler(), make_column_selector(dtype_include=np.number)),
        (OneHotEncoder(), make_column_selector(dtype_include=object)),
    )
    return make_pipeline(steps, LogisticRegression()), frame


def behind_a_scaler(kind: Callable[..., Any]) -> tuple[Any, Any]:
    return make_pipeline(StandardScaler(), kind(n_estimators=3)), np.arange(120.0).reshape(60, 2)


@pytest.mark.parametrize(
    "made",
    [
        with_categories,
        by_dtype,
        *(
            partial(behind_a_scaler, kind)
            for kind in (XGBClassifier, XGBRegressor, XGBRFClassifier, XGBRFRegressor)
        ),
        *(partial(behind_a_scaler, kind) for kind in (LGBMClassifier, LGBMRegressor)),
    ],
    ids=[
        "categories",
        "columns by dtype",
        "xgb",
        "xgb values",
        "xgb forest",
        "xgb forest values",
        "lgbm",
        "lgbm values",
    ],
)
def test_pipelines_that_people_make_ask_for_nothing_beyond_the_list(
    tmp_path: Path, made: Callable[[], tuple[Any, Any]]
) -> None:
    estimator, rows = made()
    target = np.arange(60) % 2
    estimator.fit(rows, target)
    path = tmp_path / "model.skops"
    skops.io.dump(estimator, path)

    assert untrusted_types(path) == []
    assert isinstance(load(path, trusted_types()), SklearnModel)
    again = skops.io.load(path, trusted=list(trusted_types()))
    np.testing.assert_array_equal(again.predict(rows), estimator.predict(rows))


def saved(folder: Path, function: Callable[..., object]) -> Path:
    path = folder / "model.skops"
    skops.io.dump(make_pipeline(FunctionTransformer(function), LinearRegression()), path)
    return path


def test_a_model_that_asks_for_more_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(CannotLoad, match=r"asks for types that are not trusted: \S*system"):
        load(saved(tmp_path, os.system), trusted_types())


def test_the_platform_can_trust_more_for_itself(tmp_path: Path) -> None:
    path = saved(tmp_path, np.log1p)
    needed = skops.io.get_untrusted_types(file=path)

    assert isinstance(load(path, needed), SklearnModel)
