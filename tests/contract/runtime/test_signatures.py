"""The signature is read from the model itself, whatever kind of model it is, and the model answers to it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import onnx
import pandas as pd
import pytest
from onnx import TensorProto, helper
from placet.runtime.model import Model, load
from placet.runtime.plain import PlainCodec
from placet.runtime.problems import Problem
from placet.runtime.signature import datatype_of
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor, make_column_transformer
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    VotingClassifier,
)
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifier
from sklearn.model_selection import FixedThresholdClassifier, GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier

X = np.arange(24.0).reshape(8, 3)
Y = np.array([0, 1] * 4)
FRAME = pd.DataFrame({"city": ["Bern", "Basel"] * 4, "age": np.arange(8.0)})


def served(folder: Path, estimator: Any) -> Model:
    joblib.dump(estimator, folder / "model.joblib")
    return load("sklearn", folder / "model.joblib", (), may_unpickle=True)


def shape(
    model: Model,
) -> tuple[list[tuple[str, str, tuple[int, ...]]], list[tuple[str, str, tuple[int, ...]]]]:
    signature = model.signature
    return (
        [(tensor.name, tensor.datatype, tensor.shape) for tensor in signature.inputs],
        [(tensor.name, tensor.datatype, tensor.shape) for tensor in signature.outputs],
    )


MATRIX = [("input-0", "FP64", (-1, 3))]
PROBABILITIES = ("predict_proba", "FP64", (-1, 2))


@pytest.mark.parametrize(
    ("estimator", "inputs", "outputs"),
    [
        (LogisticRegression().fit(X, Y), MATRIX, [("predict", "INT64", (-1,)), PROBABILITIES]),
        (LogisticRegression().fit(X, Y == 1), MATRIX, [("predict", "BOOL", (-1,)), PROBABILITIES]),
        (RidgeClassifier().fit(X, Y.astype(str)), MATRIX, [("predict", "BYTES", (-1,))]),
        (LinearRegression().fit(X, Y), MATRIX, [("predict", "FP64", (-1,))]),
        (LinearRegression().fit(X, X[:, :2]), MATRIX, [("predict", "FP64", (-1, -1))]),
        (
            make_pipeline(StandardScaler(), LinearRegression()).fit(X, X),
            MATRIX,
            [("predict", "FP64", (-1, -1))],
        ),
        (KMeans(2, random_state=0).fit(X), MATRIX, [("predict", "INT32", (-1,))]),
        (
            RandomForestClassifier(3, random_state=0).fit(X, X[:, :2].astype(int)),
            MATRIX,
            [("predict", "INT64", (-1, -1))],
        ),
        (
            make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(["a good one", "bad"], [1, 0]),
            [("input-0", "BYTES", (-1,))],
            [("predict", "INT64", (-1,)), PROBABILITIES],
        ),
        (
            make_pipeline(
                make_column_transformer((OneHotEncoder(), ["city"]), (StandardScaler(), ["age"])),
                LogisticRegression(),
            ).fit(FRAME, Y),
            [("city", "BYTES", (-1,)), ("age", "FP64", (-1,))],
            [("predict", "INT64", (-1,)), PROBABILITIES],
        ),
        (
            make_pipeline(OneHotEncoder(), LogisticRegression()).fit(FRAME[["city"]].to_numpy(), Y),
            [("x0", "BYTES", (-1,))],
            [("predict", "INT64", (-1,)), PROBABILITIES],
        ),
    ],
    ids=[
        *(
            "classifier",
            "of truths",
            "without probabilities",
            "regressor",
            "of two",
            "of three in a pipeline",
        ),
        *("clusters", "of two targets", "texts", "frame", "text column"),
    ],
)
def test_inputs_and_outputs_are_what_the_model_answers(
    tmp_path: Path, estimator: Any, inputs: list[Any], outputs: list[Any]
) -> None:
    model = served(tmp_path, estimator)
    plain = PlainCodec(model.signature)
    arrays = plain.decode(plain.example())
    if inputs[0][0] == "city":
        arrays = plain.decode(b'{"inputs": {"city": ["Bern"], "age": [3]}}')
    elif inputs[0][0] == "x0":
        arrays = plain.decode(b'{"inputs": [["Basel"]]}')

    answers = model.predict(arrays, [tensor.name for tensor in model.signature.outputs])

    assert shape(model)[0] == inputs
    assert shape(model)[1] == outputs
    for tensor in model.signature.outputs:
        assert datatype_of(answers[tensor.name].dtype) == tensor.datatype
        assert tensor.takes(answers[tensor.name].shape)


def of_frames(last: Any = LogisticRegression) -> Pipeline:
    columns = make_column_transformer((OneHotEncoder(), ["city"]), (StandardScaler(), ["age"]))
    return make_pipeline(columns, last())


@pytest.mark.parametrize(
    "estimator",
    [
        GridSearchCV(of_frames(), {"logisticregression__C": [0.1, 1]}, cv=2),
        CalibratedClassifierCV(of_frames(), cv=2),
        VotingClassifier([("a", of_frames()), ("b", of_frames(DecisionTreeClassifier))]),
        FixedThresholdClassifier(of_frames()),
        OneVsRestClassifier(GridSearchCV(of_frames(), {}, cv=2)),
        TransformedTargetRegressor(of_frames(LinearRegression)),
        make_pipeline(FeatureUnion([("all", of_frames()[:1])]), LogisticRegression()),
        make_pipeline(ColumnTransformer([("all", of_frames()[:1], ["city", "age"])]), LogisticRegression()),
        make_pipeline(
            ColumnTransformer([("a", OneHotEncoder(), slice("city", "city")), ("b", StandardScaler(), [1])]),
            LogisticRegression(),
        ),
        HistGradientBoostingClassifier(min_samples_leaf=1),
    ],
    ids=lambda estimator: type(estimator[0] if isinstance(estimator, Pipeline) else estimator).__name__,
)
def test_what_asks_a_pipeline_takes_the_texts_that_it_takes(tmp_path: Path, estimator: Any) -> None:
    frame = FRAME.astype({"city": "category"}) if hasattr(estimator, "categorical_features") else FRAME
    model = served(tmp_path, estimator.fit(frame, Y))
    plain = PlainCodec(model.signature)
    rows = json.dumps({"inputs": FRAME.to_dict("records")}).encode()

    answer = json.loads(plain.encode(model.predict(plain.decode(rows), plain.outputs)))

    assert shape(model)[0] == [("city", "BYTES", (-1,)), ("age", "FP64", (-1,))]
    assert answer["outputs"] == pytest.approx(estimator.predict(frame).tolist())


@pytest.mark.parametrize("unread", ['"Ada"', "7", "true", "null"], ids=["text", "number", "truth", "missing"])
def test_a_column_that_is_dropped_may_hold_anything(tmp_path: Path, unread: str) -> None:
    people = FRAME.drop(columns="city").assign(name=list("abcdefgh"))
    columns = make_column_transformer((StandardScaler(), ["age"]))
    model = served(tmp_path, make_pipeline(columns, LogisticRegression()).fit(people, Y))
    plain = PlainCodec(model.signature)
    alone = make_pipeline(StandardScaler(), LogisticRegression()).fit(FRAME[["age"]], Y)

    asked = plain.decode(f'{{"inputs": [{{"age": 3, "name": {unread}}}]}}'.encode())
    answer = json.loads(plain.encode(model.predict(asked, plain.outputs)))

    assert answer["probabilities"] == alone.predict_proba(pd.DataFrame({"age": [3.0]})).tolist()
    with pytest.raises(Problem, match=r"row 0, name: expected a single value, got \{\}"):
        plain.decode(b'{"inputs": [{"age": 3, "name": {}}]}')


def test_a_search_over_a_pipeline_of_texts_takes_texts(tmp_path: Path) -> None:
    search = GridSearchCV(make_pipeline(TfidfVectorizer(), LogisticRegression()), {}, cv=2)

    model = served(tmp_path, search.fit(["a good one", "bad"] * 4, [1, 0] * 4))

    assert shape(model)[0] == [("input-0", "BYTES", (-1,))]


@pytest.mark.parametrize(
    ("estimator", "takes"),
    [
        (HistGradientBoostingRegressor(min_samples_leaf=1).fit(X, Y), True),
        (make_pipeline(SimpleImputer(), LinearRegression()).fit(X, Y), True),
        (LinearRegression().fit(X, Y), False),
    ],
)
def test_missing_values_are_taken_where_the_model_takes_them(
    tmp_path: Path, estimator: Any, takes: bool
) -> None:
    model = served(tmp_path, estimator)

    assert model.signature.takes_missing is takes


def test_the_likeliest_class_of_a_forest_is_its_prediction(tmp_path: Path) -> None:
    forest = RandomForestClassifier(5, random_state=1).fit(X, Y.astype(str))
    model = served(tmp_path, make_pipeline(StandardScaler().fit(X), forest))

    both = model.predict({"input-0": X}, ("predict", "predict_proba"))

    assert both["predict"].tolist() == model.predict({"input-0": X}, ("predict",))["predict"].tolist()


def test_a_zipmap_of_probabilities_is_a_matrix(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [
            helper.make_node("Identity", ["x"], ["kept"]),
            helper.make_node("ArgMax", ["kept"], ["label"], axis=1, keepdims=0),
            helper.make_node(
                "ZipMap", ["kept"], ["probabilities"], domain="ai.onnx.ml", classlabels_int64s=[7, 9]
            ),
        ],
        "zipped",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 2])],
        [
            helper.make_tensor_value_info("label", TensorProto.INT64, [None]),
            helper.make_value_info(
                "probabilities",
                helper.make_sequence_type_proto(
                    helper.make_map_type_proto(
                        TensorProto.INT64, helper.make_tensor_type_proto(TensorProto.FLOAT, None)
                    )
                ),
            ),
        ],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), tmp_path / "model.onnx")
    model = load("onnx", tmp_path / "model.onnx", ())
    plain = PlainCodec(model.signature)

    answer = plain.encode(model.predict(plain.decode(b'{"inputs": [[0.25, 0.75]]}'), plain.outputs))

    assert answer == b'{"outputs":[1],"probabilities":[[0.25,0.75]]}'
