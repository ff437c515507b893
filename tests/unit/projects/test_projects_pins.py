"""The versions that a model was saved with, said by its file; or those that placet is tested with, and said so."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sklearn
import skops
import skops.io
from placet.projects import Pins, pins, recognise, requirements_text
from placet.projects.pins import TESTED_WITH
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from tools import requirements

EXAMPLES = Path(__file__).parents[3] / "examples"


def found(folder: Path) -> Pins | None:
    recognised = recognise(folder)
    return pins(folder / recognised.path, recognised)


def with_versions(folder: Path, sklearn_versions: list[Any], skops_version: Any = "0.16.0") -> Path:
    steps = [
        {"_sklearn_version": {"__loader__": "JsonNode", "content": json.dumps(each)}}
        for each in sklearn_versions
    ]
    with zipfile.ZipFile(folder / "model.skops", "w") as container:
        container.writestr("schema.json", json.dumps({"content": steps, "_skops_version": skops_version}))
    return folder


def test_a_skops_file_says_what_it_was_saved_with(tmp_path: Path) -> None:
    model = make_pipeline(StandardScaler(), LinearRegression()).fit(np.eye(3), np.arange(3))
    skops.io.dump(model, tmp_path / "model.skops")
    assert found(tmp_path) == Pins(
        requirements=(f"scikit-learn=={sklearn.__version__}", f"skops=={skops.__version__}"), is_declared=True
    )


FRAME = pd.DataFrame({"age": [18.0, 40.0, 70.0], "city": ["Rome", "Oslo", "Rome"]})


@pytest.mark.parametrize(
    ("age", "city", "needs"),
    [
        (["age"], "city", True),
        (slice("age", "age"), [1], True),
        (np.array(["age"], dtype=object), [1], True),
        (np.array(["age"]), [1], True),
        (make_column_selector(dtype_include=float), [1], True),
        ([0], [1], False),
        (slice(0, 1), [False, True], False),
    ],
)
@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
def test_pandas_is_pinned_for_a_model_that_picks_columns_by_name(
    tmp_path: Path, age: Any, city: Any, needs: bool
) -> None:
    city_step = CountVectorizer() if isinstance(city, str) else OneHotEncoder()
    picks = ColumnTransformer([("age", StandardScaler(), age), ("city", city_step, city)])
    model = make_pipeline(picks, LinearRegression()).fit(FRAME, np.arange(3))
    skops.io.dump(model, tmp_path / "model.skops")
    said = found(tmp_path)
    assert said is not None
    assert (f"pandas=={pd.__version__}" in said.requirements) is needs
    if needs:
        with pytest.raises(ValueError, match="only supported for dataframes"):
            model.predict(FRAME.to_numpy())
        assert "and pandas, whose frames it takes, as it is installed here" in requirements_text(
            said, "model.skops"
        )
    else:
        model.predict(FRAME.to_numpy())


def test_pandas_is_pinned_for_a_step_that_answers_with_frames(tmp_path: Path) -> None:
    scaler = StandardScaler().set_output(transform="pandas")
    skops.io.dump(
        make_pipeline(scaler, LinearRegression()).fit(np.eye(3), np.arange(3)), tmp_path / "model.skops"
    )
    said = found(tmp_path)
    assert said is not None
    assert said.requirements[0] == f"pandas=={pd.__version__}"


def test_a_model_made_of_several_versions_is_pinned_to_none_of_them(tmp_path: Path) -> None:
    said = found(with_versions(tmp_path, ["1.8.0", "1.9.1", "1.9.1"]))
    assert said == Pins(requirements=("skops==0.16.0",), is_declared=True)


@pytest.mark.parametrize(
    "version", ["1.0\n--index-url x", "1.9.dev0", "1.9 ; x", "", " 1.9.1", "latest", None, [], "9" * 5000]
)
def test_what_is_no_release_is_never_written_down(tmp_path: Path, version: Any) -> None:
    assert found(with_versions(tmp_path, [version], skops_version=version)) is None


def test_a_schema_that_says_nothing_pins_nothing(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "model.skops", "w") as container:
        container.writestr("schema.json", "[]")
    assert found(tmp_path) is None


@pytest.mark.parametrize(
    ("version", "pinned"),
    [
        ([3, 2, 0], "xgboost-cpu==3.2.0"),
        ([2, 1, 1], "xgboost-cpu==2.1.1"),
        ([2, 1, 0], "xgboost==2.1.0"),
        ([1, 7, 6], "xgboost==1.7.6"),
        ([], None),
        ([3], None),
        ([-3, 1, 0], None),
    ],
)
def test_xgboost_is_pinned_to_the_version_that_saved_the_model(
    tmp_path: Path, version: list[int], pinned: str | None
) -> None:
    learner: dict[str, dict[str, str]] = {"gradient_booster": {}, "learner_model_param": {}, "objective": {}}
    (tmp_path / "model.json").write_text(json.dumps({"learner": learner, "version": version}))
    said = found(tmp_path)
    assert said == (Pins(requirements=(pinned,), is_declared=True) if pinned else None)


def test_the_examples_pin_what_their_files_say() -> None:
    assert found(EXAMPLES / "wine") == Pins(requirements=("xgboost-cpu==3.2.0",), is_declared=True)
    assert found(EXAMPLES / "multiclass") == Pins(
        requirements=("scikit-learn==1.9.1", "skops==0.16.0"), is_declared=True
    )
    for name in ("tumours", "faces"):
        said = found(EXAMPLES / name)
        assert said is not None
        assert not said.is_declared
    assert found(EXAMPLES / "iris") is None


def test_what_placet_is_tested_with_is_what_its_tests_are_locked_to(monkeypatch: pytest.MonkeyPatch) -> None:
    assert requirements.untested() == []
    monkeypatch.setitem(TESTED_WITH, "torch", "0.1")
    (complaint,) = requirements.untested()
    assert "torch" in complaint


def test_a_requirements_file_says_where_its_versions_come_from() -> None:
    said = requirements_text(Pins(requirements=("a==1.0", "b==2.0"), is_declared=True), "model.skops")
    assert said == "# Written by `placet init`: what model.skops says it was saved with.\na==1.0\nb==2.0\n"
    tested = requirements_text(Pins(requirements=("a==1.0",), is_declared=False), "model.lgb")
    assert tested.startswith(
        "# Written by `placet init`: what placet is tested with, since model.lgb does not say"
    )
