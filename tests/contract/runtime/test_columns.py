"""Columns that a project says of its model's frame: each has its kind, and the model gets the frame it knows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import onnx
import pandas as pd
import pytest
from placet.runtime import inference_protocol, openapi, reference
from placet.runtime.columns import Column
from placet.runtime.model import Model, load
from placet.runtime.plain import PlainCodec
from placet.runtime.problems import Problem
from sklearn.base import BaseEstimator
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from tests.contract.runtime.conftest import adder

FRAME = pd.DataFrame(
    {
        "city": ["Bern", "Basel"] * 4,
        "age": np.arange(8),
        "member": [True, False, False, True] * 2,
        "weight": np.linspace(0.5, 4.0, 8),
        "since": pd.date_range("2026-01-01T06:30", periods=8, freq="D").astype("datetime64[ns]"),
    }
)
COLUMNS = (
    Column("city", "string"),
    Column("age", "long"),
    Column("member", "boolean"),
    Column("weight", "double"),
    Column("since", "datetime"),
)
ROWS = [
    {"city": "Bern", "age": 3, "member": True, "weight": 1.5, "since": "2026-01-01T06:30:00"},
    {"city": "Chur", "age": 7, "member": False, "weight": 2, "since": "2026-01-01T08:30:00+02:00"},
]


class Frames(BaseEstimator):  # type: ignore[misc]
    """Answers with what it was given."""

    feature_names_in_ = np.array(list(FRAME), dtype=object)
    n_features_in_ = len(feature_names_in_)

    def predict(self, frame: Any) -> Any:
        self.seen_ = frame
        return np.arange(len(frame), dtype=float)


def served(folder: Path, estimator: Any, columns: tuple[Column, ...] = COLUMNS) -> Model:
    joblib.dump(estimator, folder / "model.joblib")
    return load("sklearn", folder / "model.joblib", (), columns, may_unpickle=True)


def predict(model: Model, inputs: object) -> Any:
    """What `/predict` does."""
    codec = PlainCodec(model.signature)
    arrays = codec.decode(json.dumps({"inputs": inputs}).encode())
    return json.loads(codec.encode(model.predict(arrays, codec.outputs)))["outputs"]


def infer(model: Model, *tensors: tuple[str, str, list[Any]]) -> Any:
    """What `/v2/models/…/infer` does with tensors of one value a row."""
    inputs = [
        {"name": name, "datatype": datatype, "shape": [len(data)], "data": data}
        for name, datatype, data in tensors
    ]
    inference = inference_protocol.decode(json.dumps({"inputs": inputs}).encode(), None, model.signature)
    return model.predict(inference.inputs, inference.outputs)


def frame_of(model: Any) -> pd.DataFrame:
    frame: pd.DataFrame = model._final.seen_
    return frame


def test_each_column_is_a_tensor_of_its_kind(tmp_path: Path) -> None:
    inputs = served(tmp_path, Frames()).signature.inputs
    assert [(tensor.name, tensor.datatype, tensor.shape) for tensor in inputs] == [
        ("city", "BYTES", (-1,)),
        ("age", "INT64", (-1,)),
        ("member", "BOOL", (-1,)),
        ("weight", "FP64", (-1,)),
        ("since", "BYTES", (-1,)),
    ]


@pytest.mark.parametrize(
    "inputs",
    [
        ROWS,
        [dict(reversed(row.items())) for row in ROWS],
        {name: [row[name] for row in ROWS] for name in ROWS[0]},
        [list(row.values()) for row in ROWS],
    ],
    ids=["objects", "objects in another order", "columns", "lists"],
)
def test_the_model_gets_the_frame_it_was_trained_on(tmp_path: Path, inputs: Any) -> None:
    model = served(tmp_path, Frames())
    assert predict(model, inputs) == [0, 1]
    frame = frame_of(model)
    pd.testing.assert_series_equal(frame.dtypes, FRAME.dtypes)
    assert frame["city"].tolist() == ["Bern", "Chur"]
    assert frame["member"].tolist() == [True, False]
    assert frame["since"].tolist() == [pd.Timestamp("2026-01-01T06:30:00")] * 2  # an offset is counted to UTC


def test_a_tensor_for_each_column_makes_the_same_frame(tmp_path: Path) -> None:
    model = served(tmp_path, Frames())
    predict(model, ROWS)
    expected = frame_of(model)
    infer(
        model,
        ("since", "BYTES", [row["since"] for row in ROWS]),
        ("city", "BYTES", ["Bern", "Chur"]),
        ("age", "INT32", [3, 7]),
        ("member", "BOOL", [True, False]),
        ("weight", "FP32", [1.5, 2]),
    )
    pd.testing.assert_frame_equal(frame_of(model), expected)


def test_a_pipeline_answers_as_it_does_in_the_notebook(tmp_path: Path) -> None:
    columns = make_column_transformer(
        (OneHotEncoder(), ["city", "member"]), (StandardScaler(), ["age", "weight"])
    )
    pipeline = make_pipeline(columns, LogisticRegression()).fit(FRAME, FRAME["age"] > 3)
    model = served(tmp_path, pipeline)
    rows = FRAME.assign(since=FRAME["since"].dt.strftime("%Y-%m-%dT%H:%M:%S")).to_dict("records")
    assert predict(model, rows) == pipeline.predict(FRAME).tolist()


@pytest.mark.parametrize(
    "encoder", [OneHotEncoder(), make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder())]
)
@pytest.mark.parametrize("picked", [["city"], []])
def test_without_a_word_on_kinds_records_are_answered_as_in_the_notebook(
    tmp_path: Path, encoder: Any, picked: list[str]
) -> None:
    frame = FRAME[[*picked, "age", "member"]].astype({"age": float})
    columns = make_column_transformer(
        (encoder, picked), ("passthrough", ["member"]), (StandardScaler(), ["age"])
    )
    pipeline = make_pipeline(columns, LogisticRegression()).fit(frame, FRAME["age"] % 3 > 0)
    model = served(tmp_path, pipeline, ())
    rows = frame.to_dict("records")
    assert {type(row["member"]) for row in rows} == {bool}
    assert predict(model, rows) == pipeline.predict(frame).tolist()
    assert predict(model, frame.to_dict("list")) == pipeline.predict(frame).tolist()
    assert predict(model, [{**row, "member": int(row["member"])} for row in rows]) == predict(model, rows)
    (tmp_path / "rows.csv").write_text(pd.concat([frame] * 20).to_csv())
    assert len(next(iter(reference.read(tmp_path / "rows.csv", model.signature).values()))) == 160


def test_a_truth_in_a_row_without_names_is_no_number_and_what_to_send_is_said(tmp_path: Path) -> None:
    frame = FRAME[["age", "member"]]
    model = served(tmp_path, LogisticRegression().fit(frame, FRAME["age"] > 3), ())
    with pytest.raises(Problem, match="row 1, member: expected a number, got true") as caught:
        predict(model, [[1, 0], [2, True]])
    assert caught.value.fix == (
        "send 1 or 0, or rows as objects that name their columns, where true and false are taken"
    )
    assert predict(model, [{"age": 1, "member": False}, {"age": 2, "member": True}]) == [False, False]
    plain = served(tmp_path, LogisticRegression().fit(frame.to_numpy(float), FRAME["age"] > 3), ())
    with pytest.raises(Problem, match="expected a number, got true"):
        predict(plain, [[2, True]])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"age": 3.5}, "row 0, age: expected a whole number, got 3.5"),
        ({"age": None}, "row 0, age: expected a whole number, got null"),
        ({"age": "3"}, 'row 0, age: expected a number, got "3"'),
        ({"member": 1}, "row 0, member: expected true or false, got 1"),
        ({"weight": "a"}, 'row 0, weight: expected a number, got "a"'),
        ({"city": 5}, "row 0, city: expected a text, got 5"),
        ({"since": "yesterday"}, "row 0, since: expected a time in ISO 8601, such as"),
        ({"since": "3000-01-01"}, "row 0, since: expected a time in ISO 8601, such as"),
        ({"since": 5}, "row 0, since: expected a time in ISO 8601, such as"),
    ],
    ids=str,
)
def test_a_value_of_another_kind_is_named_with_its_column(
    tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    with pytest.raises(Problem) as no:
        predict(served(tmp_path, Frames()), [ROWS[0] | change])
    assert no.value.status == 422
    assert str(no.value.detail).startswith(said)


def test_columns_that_are_missing_are_named(tmp_path: Path) -> None:
    model = served(tmp_path, Frames())
    short = {name: value for name, value in ROWS[0].items() if name not in ("age", "city")}
    with pytest.raises(Problem) as no:
        predict(model, [ROWS[0], short])
    assert no.value.detail == "row 1 lacks age, city; this model takes city, age, member, weight, since"
    with pytest.raises(Problem) as no:
        infer(model, ("city", "BYTES", ["Bern"]), ("age", "INT64", [3]))
    assert no.value.status == 400
    assert (
        no.value.detail
        == "the inputs lack member, since, weight; this model takes city, age, member, weight, since"
    )


def test_a_tensor_that_is_no_time_is_named(tmp_path: Path) -> None:
    tensors: list[tuple[str, str, list[Any]]] = [
        ("city", "BYTES", ["a"]),
        ("age", "INT64", [3]),
        ("member", "BOOL", [True]),
    ]
    with pytest.raises(Problem, match="input since holds what is no time"):
        infer(served(tmp_path, Frames()), *tensors, ("weight", "FP64", [1]), ("since", "BYTES", ["soon"]))


def optional() -> tuple[Column, ...]:
    return tuple(Column(column.name, column.type, required=column.name == "member") for column in COLUMNS)


def test_what_may_be_left_out_is_missing_in_the_frame(tmp_path: Path) -> None:
    model = served(tmp_path, Frames(), optional())
    predict(model, [{"member": True}, {"member": False, "age": 3}])
    frame = frame_of(model)
    assert frame.drop(columns=["member", "age"]).isna().all(axis=None)
    assert frame["age"].tolist()[1] == 3.0
    infer(model, ("member", "BOOL", [True, False]))
    assert frame_of(model).drop(columns="member").isna().all(axis=None)
    with pytest.raises(Problem, match="row 0 lacks member"):
        predict(model, [{"age": 3}])


def test_numbers_of_one_kind_stay_one_matrix_whose_columns_have_names(tmp_path: Path) -> None:
    frame = FRAME[["weight"]].assign(height=FRAME["weight"] * 2)
    pipeline = LinearRegression().fit(frame, FRAME["age"])
    model = served(tmp_path, pipeline, (Column("height", "double"), Column("weight", "double")))
    (matrix,) = model.signature.inputs
    assert (matrix.name, matrix.datatype, matrix.shape) == ("input-0", "FP64", (-1, 2))
    assert model.signature.columns == ("weight", "height")
    expected = pytest.approx(pipeline.predict(frame.head(1)).tolist())
    assert predict(model, [[0.5, 1.0]]) == expected
    assert predict(model, [{"height": 1.0, "weight": 0.5}]) == expected
    assert infer(model, ("height", "FP64", [1.0]), ("weight", "FP32", [0.5]))["predict"].tolist() == expected
    with pytest.raises(Problem, match="the inputs lack weight; this model takes weight, height"):
        infer(model, ("height", "FP64", [1.0]))


def test_columns_that_the_model_was_not_trained_on_change_nothing(tmp_path: Path) -> None:
    pipeline = LinearRegression().fit(FRAME[["weight"]], FRAME["age"])
    model = served(tmp_path, pipeline, (Column("height", "double"),))
    assert model.signature.columns == ("weight",)
    assert served(tmp_path, LinearRegression().fit([[1], [2]], [1, 2]), COLUMNS).signature.columns is None


def test_a_graphs_matrix_gets_the_names_that_its_project_knows(tmp_path: Path) -> None:
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("ReduceSum", ["x"], ["y"], keepdims=0)],
        "total",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [None, 2])],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [])],
    )
    opset = [onnx.helper.make_opsetid("", 17)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=8), tmp_path / "model.onnx")
    named = load("onnx", tmp_path / "model.onnx", (), (Column("a", "double"), Column("b", "long")))
    assert named.signature.columns == ("a", "b")
    assert named.signature.inputs[0].name == "x"
    inference = infer(named, ("b", "FP32", [2.0]), ("a", "FP32", [1.0]))
    assert inference["y"].tolist() == 3.0


def test_a_graph_that_takes_something_else_is_asked_by_its_own_signature(tmp_path: Path) -> None:
    adder(tmp_path / "model.onnx")
    own = load("onnx", tmp_path / "model.onnx", ())
    columns = (Column("a", "double"), Column("b", "double"), Column("c", "double"))
    assert load("onnx", tmp_path / "model.onnx", (), columns).signature == own.signature


def test_openapi_tells_kinds_times_and_what_may_be_left_out(tmp_path: Path) -> None:
    model = served(tmp_path, Frames(), optional())
    codec = PlainCodec(model.signature)
    document = json.loads(
        openapi.document(
            model.signature,
            project="p",
            release=None,
            root_path="",
            example=codec.example(),
            needs_token=False,
        )
    )
    content = document["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]
    columns, rows = content["schema"]["properties"]["inputs"]["oneOf"]
    assert columns["required"] == rows["items"]["required"] == ["member"]
    assert rows["items"]["properties"] == {
        "city": {"type": ["string", "null"]},
        "age": {"type": ["number", "null"]},
        "member": {"type": "boolean"},
        "weight": {"type": ["number", "null"]},
        "since": {"type": ["string", "null"], "format": "date-time"},
    }
    assert predict(model, content["example"]["inputs"]) == [0]


@pytest.mark.parametrize("missing", [None, np.nan])
def test_a_missing_text_is_what_the_imputer_fills_alone_and_among_others(
    tmp_path: Path, missing: Any
) -> None:
    texts = pd.Series(["x", missing, "y", "x"], dtype=object)
    frame = pd.DataFrame({"size": [1.0, 2.0, 3.0, 4.0], "kind": texts})
    fills = make_pipeline(SimpleImputer(missing_values=missing, strategy="most_frequent"), OneHotEncoder())
    picks = make_column_transformer(("passthrough", ["size"]), (fills, ["kind"]))
    model = served(tmp_path, make_pipeline(picks, LogisticRegression()).fit(frame, [0, 1, 1, 0]), ())
    for rows in ([[1, None]], [[1, None], [1, "x"]]):
        assert predict(model, rows)[0] == predict(model, [[1, "x"]])[0]


def test_names_that_a_library_spells_with_underscores_are_the_projects(tmp_path: Path) -> None:
    frame = pd.DataFrame({"petal width": [1.0, 2.0, 3.0], "length": [2.0, 4.0, 7.0]})
    estimator = LinearRegression().fit(frame.rename(columns={"petal width": "petal_width"}), [1, 2, 3])
    columns = (Column("length", "double"), Column("petal width", "double"))
    assert served(tmp_path, estimator, columns).signature.columns == ("petal width", "length")
