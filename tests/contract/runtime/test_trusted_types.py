"""What a skops file may ask for: what the platform's list holds, which is enough for scikit-learn's estimators."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import skops.io
from placet.projects import trusted_types
from placet.runtime.formats.scikit_learn import SklearnModel, load
from placet.runtime.model import CannotLoad
from sklearn.datasets import load_iris
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import all_estimators
from skops.io.exceptions import UnsupportedTypeException


def test_no_estimator_asks_for_a_type_beyond_the_list() -> None:
    features, target = load_iris(return_X_y=True)
    asked: dict[str, set[str]] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, kind in all_estimators():
            try:
                fitted = kind().fit(np.abs(features), target)
            except (TypeError, ValueError, AttributeError):
                continue  # needs arguments, or other data than these
            try:
                data = skops.io.dumps(fitted)
            except UnsupportedTypeException:
                continue
            asked[name] = set(skops.io.get_untrusted_types(data=data)) - set(trusted_types())

    assert len(asked) > 100
    assert {name: types for name, types in asked.items() if types} == {}


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
