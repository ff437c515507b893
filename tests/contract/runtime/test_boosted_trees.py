"""XGBoost's and LightGBM's own files: what they say of themselves, and that they answer as the libraries do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pytest
import xgboost
from placet.runtime.model import CannotLoad, Model, load
from placet.runtime.plain import PlainCodec
from placet.runtime.problems import Problem
from placet.runtime.signature import datatype_of

from tests.contract.runtime.serving import image, serving

GENERATOR = np.random.default_rng(3)
X = GENERATOR.random((60, 3))
TWO = (X[:, 0] > 0.5).astype(int)
THREE = (X[:, 1] * 3).astype(int)
NAMES = ["length", "width", "weight"]
ASKED = np.where(GENERATOR.random((9, 3)) < 0.2, np.nan, GENERATOR.random((9, 3)))
"""Some of it missing."""


def trained(target: Any, *, names: list[str] | None = None, **parameters: Any) -> xgboost.Booster:
    rows = xgboost.DMatrix(X, target, feature_names=names)
    return xgboost.train({"max_depth": 2, "nthread": 1, **parameters}, rows, num_boost_round=3)


def served(folder: Path, booster: xgboost.Booster, name: str = "model.ubj") -> Model:
    booster.save_model(folder / name)
    return load("xgboost", folder / name, ())


def answers(model: Model, rows: Any = ASKED) -> dict[str, Any]:
    """What the model gives for rows as JSON has them, and that it is what its signature says."""
    plain = PlainCodec(model.signature)
    asked = [[None if np.isnan(value) else value for value in row] for row in rows.tolist()]
    given = model.predict(
        plain.decode(json.dumps({"inputs": asked}).encode()),
        [tensor.name for tensor in model.signature.outputs],
    )
    for tensor in model.signature.outputs:
        assert datatype_of(given[tensor.name].dtype) == tensor.datatype
        assert tensor.takes(given[tensor.name].shape)
        assert len(given[tensor.name]) == len(rows)
    return given


def expected(booster: xgboost.Booster, **options: Any) -> Any:
    return booster.predict(xgboost.DMatrix(ASKED, feature_names=booster.feature_names), **options)


@pytest.mark.parametrize("name", ["model.ubj", "model.json", "model.bin"])
def test_a_model_of_two_classes_gives_the_class_and_both_probabilities(tmp_path: Path, name: str) -> None:
    booster = trained(TWO, objective="binary:logistic", names=NAMES)
    model = served(tmp_path, booster, name)

    given = answers(model)

    assert model.signature.platform == "xgboost_native"
    assert model.signature.columns == tuple(NAMES)
    assert [(each.datatype, each.shape) for each in model.signature.inputs] == [("FP32", (-1, 3))]
    assert [(each.datatype, each.shape) for each in model.signature.outputs] == [
        ("INT64", (-1,)),
        ("FP32", (-1, 2)),
    ]
    np.testing.assert_allclose(given["predict_proba"][:, 1], expected(booster))
    np.testing.assert_allclose(given["predict_proba"].sum(axis=1), 1, rtol=1e-6)
    assert given["predict"].tolist() == (expected(booster) > 0.5).astype(int).tolist()


@pytest.mark.parametrize("objective", ["multi:softprob", "multi:softmax"])
def test_a_model_of_several_classes_gives_the_likeliest_and_every_probability(
    tmp_path: Path, objective: str
) -> None:
    booster = trained(THREE, objective=objective, num_class=3)
    model = served(tmp_path, booster)

    given = answers(model)

    assert model.signature.columns is None
    booster.set_param({"objective": "multi:softprob"})
    np.testing.assert_allclose(given["predict_proba"], expected(booster), rtol=1e-5)
    assert given["predict"].tolist() == expected(booster).argmax(axis=1).tolist()


@pytest.mark.parametrize(
    ("objective", "target"),
    [
        ("reg:squarederror", X[:, 2]),
        ("count:poisson", THREE),
        ("reg:logistic", X[:, 2]),
        ("binary:logitraw", TWO),
        ("reg:squarederror", X[:, 1:]),
    ],
    ids=["regression", "counts", "shares", "scores", "of two targets"],
)
def test_any_other_model_gives_what_the_library_gives(tmp_path: Path, objective: str, target: Any) -> None:
    booster = trained(target, objective=objective)
    model = served(tmp_path, booster)

    np.testing.assert_allclose(answers(model)["predict"], expected(booster), rtol=1e-6)
    assert model.signature.probabilities is None


def test_a_model_that_decides_gives_the_class_alone(tmp_path: Path) -> None:
    booster = trained(TWO, objective="binary:hinge")
    assert answers(served(tmp_path, booster)) == {"predict": pytest.approx(expected(booster))}


def test_a_row_with_several_labels_gets_each_of_them(tmp_path: Path) -> None:
    booster = trained(np.stack([TWO, 1 - TWO], axis=1), objective="binary:logistic")
    given = answers(served(tmp_path, booster))
    np.testing.assert_allclose(given["predict_proba"], expected(booster))
    assert given["predict"].tolist() == (expected(booster) > 0.5).astype(int).tolist()


@pytest.mark.parametrize(
    "parameters",
    [
        {"booster": "dart", "rate_drop": 0.5},
        {"multi_strategy": "multi_output_tree", "tree_method": "hist"},
        {"num_parallel_tree": 4, "subsample": 0.5},
    ],
    ids=["dart", "trees of several outputs", "forests"],
)
def test_rows_however_they_lie_in_memory_give_what_the_library_gives_and_keep_it(
    tmp_path: Path, parameters: dict[str, Any]
) -> None:
    booster = trained(X[:, :2], objective="reg:squarederror", **parameters)
    model = served(tmp_path, booster)
    lying = np.asfortranarray(ASKED, dtype=np.float32)

    first = model.predict({"input-0": lying}, ["predict"])["predict"]
    model.predict({"input-0": np.zeros((9, 3), dtype=np.float32)}, ["predict"])

    np.testing.assert_allclose(first, expected(booster), rtol=1e-6)


def test_a_linear_model_is_one_too(tmp_path: Path) -> None:
    booster = trained(X[:, 2], booster="gblinear", objective="reg:squarederror", max_depth=None, names=NAMES)
    model = served(tmp_path, booster)
    np.testing.assert_allclose(answers(model)["predict"], expected(booster), rtol=1e-5)


def test_a_classifier_answers_up_to_its_best_iteration_as_it_did_where_it_was_trained(tmp_path: Path) -> None:
    classifier = xgboost.XGBClassifier(n_estimators=50, max_depth=2, early_stopping_rounds=2, n_jobs=1)
    classifier.fit(X[:30], GENERATOR.integers(0, 2, 30), eval_set=[(X[30:], TWO[30:])], verbose=False)
    assert classifier.best_iteration + 1 < classifier.get_booster().num_boosted_rounds()
    classifier.save_model(tmp_path / "model.ubj")
    model = load("xgboost", tmp_path / "model.ubj", ())
    np.testing.assert_allclose(answers(model)["predict_proba"], classifier.predict_proba(ASKED), rtol=1e-5)


def test_a_native_model_answers_with_all_its_trees_as_it_did_where_it_was_trained(tmp_path: Path) -> None:
    booster = trained(TWO, objective="binary:logistic")
    booster.set_attr(best_iteration="0")
    model = served(tmp_path, booster)
    np.testing.assert_allclose(answers(model)["predict_proba"][:, 1], expected(booster))


@pytest.mark.parametrize(
    "content",
    [b"no model", b'{"learner":{}}', b"{L\x7f\xff\xff\xff\xff\xff\xff\xff"],
    ids=["text", "without trees", "endless"],
)
def test_what_xgboost_cannot_read_is_refused_in_a_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.ubj").write_bytes(content)
    with pytest.raises(CannotLoad) as refused:
        load("xgboost", tmp_path / "model.ubj", ())
    assert str(refused.value).startswith(f"XGBoost {xgboost.__version__} refuses model.ubj: ")
    assert "\n" not in str(refused.value)


def test_a_number_of_columns_that_nobody_can_send_is_refused_before_memory_is_taken(tmp_path: Path) -> None:
    features = "4000000000"
    model = json.loads(trained(TWO, objective="binary:logistic").save_raw("json"))
    model["learner"]["learner_model_param"]["num_feature"] = features
    (tmp_path / "model.json").write_text(json.dumps(model))
    with pytest.raises(CannotLoad, match=f"the model says that it takes {features} columns"):
        load("xgboost", tmp_path / "model.json", ())


@pytest.mark.parametrize(("kept", "said"), [(0.5, r"refuses model\.ubj"), (0, r"model\.ubj is empty")])
def test_a_model_that_was_cut_off_is_refused(tmp_path: Path, kept: float, said: str) -> None:
    whole = bytes(trained(TWO, objective="binary:logistic").save_raw("ubj"))
    (tmp_path / "model.ubj").write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(CannotLoad, match=said):
        load("xgboost", tmp_path / "model.ubj", ())


def test_a_served_model_takes_named_columns_and_no_more_threads_than_it_may(tmp_path: Path) -> None:
    root = image(tmp_path, project="p", format="xgboost", path="model.ubj")
    trained(TWO, objective="binary:logistic", names=NAMES).save_model(root / "project" / "model.ubj")
    with serving(root, {"OMP_NUM_THREADS": "1"}) as running:
        narrow = running.client.post("/predict", json={"inputs": [[1, 2]]})
        named = running.client.post(
            "/predict", json={"inputs": {"width": [1], "weight": [2], "length": [None]}}
        )
        threads = list(Path(f"/proc/{running.process.pid}/task").iterdir())
        events = [event["event"] for event in running.events()]

    assert narrow.status_code == 422
    assert narrow.json()["detail"] == "row 0 has 2 values; this model takes 3: length, width, weight"
    assert named.status_code == 200
    assert events == ["model loaded", "serving"]
    assert len(threads) <= 3, "the server's own, the worker's, and none of a pool"


def grown(target: Any, *, names: Any = "auto", **parameters: Any) -> lightgbm.Booster:
    small = {"num_leaves": 4, "min_data_in_leaf": 3, "num_threads": 1, "verbosity": -1}
    return lightgbm.train(
        {**small, **parameters}, lightgbm.Dataset(X, target, feature_name=names), num_boost_round=3
    )


def of_lightgbm(folder: Path, booster: lightgbm.Booster) -> Model:
    booster.save_model(folder / "model.lgb")
    return load("lightgbm", folder / "model.lgb", ())


def test_a_lightgbm_model_of_two_classes_gives_the_class_and_both_probabilities(tmp_path: Path) -> None:
    booster = grown(TWO, objective="binary", names=NAMES)
    model = of_lightgbm(tmp_path, booster)

    given = answers(model)

    assert model.signature.platform == "lightgbm_native"
    assert model.signature.columns == tuple(NAMES)
    assert [(each.datatype, each.shape) for each in model.signature.inputs] == [("FP64", (-1, 3))]
    assert [(each.datatype, each.shape) for each in model.signature.outputs] == [
        ("INT64", (-1,)),
        ("FP64", (-1, 2)),
    ]
    likely = np.asarray(booster.predict(ASKED))
    np.testing.assert_allclose(given["predict_proba"], np.stack([1 - likely, likely], axis=1))
    assert given["predict"].tolist() == (likely > 0.5).astype(int).tolist()


@pytest.mark.parametrize("objective", ["multiclass", "multiclassova"])
def test_a_lightgbm_model_of_several_classes_gives_every_probability(tmp_path: Path, objective: str) -> None:
    booster = grown(THREE, objective=objective, num_class=3)
    model = of_lightgbm(tmp_path, booster)

    given = answers(model)

    assert model.signature.columns is None
    assert [tensor.labels for tensor in model.signature.outputs] == [(), (0, 1, 2)]
    np.testing.assert_allclose(given["predict_proba"], booster.predict(ASKED))
    assert given["predict"].tolist() == np.asarray(booster.predict(ASKED)).argmax(axis=1).tolist()


@pytest.mark.parametrize(
    ("objective", "target"),
    [("regression", X[:, 2]), ("poisson", THREE), ("cross_entropy", X[:, 2])],
)
def test_any_other_lightgbm_model_gives_what_the_library_gives(
    tmp_path: Path, objective: str, target: Any
) -> None:
    booster = grown(target, objective=objective)
    model = of_lightgbm(tmp_path, booster)
    np.testing.assert_allclose(answers(model)["predict"], booster.predict(ASKED))
    assert model.signature.probabilities is None


def test_a_lightgbm_model_with_an_objective_of_its_own_gives_its_scores(tmp_path: Path) -> None:
    booster = grown(X[:, 2], objective=lambda scores, rows: (scores - rows.get_label(), np.ones_like(scores)))
    np.testing.assert_allclose(answers(of_lightgbm(tmp_path, booster))["predict"], booster.predict(ASKED))


@pytest.mark.parametrize("library", ["xgboost", "lightgbm"])
def test_a_column_of_truths_is_asked_by_its_name_as_its_frame_tells_it(tmp_path: Path, library: str) -> None:
    if library == "xgboost":
        model = served(tmp_path, trained(TWO, objective="binary:logistic", names=NAMES))
    else:
        model = of_lightgbm(tmp_path, grown(TWO, objective="binary", names=NAMES))
    plain = PlainCodec(model.signature)
    truths, numbers = (
        plain.decode(json.dumps({"inputs": [{"length": each, "width": None, "weight": 0.5}]}).encode())
        for each in (True, 1)
    )

    np.testing.assert_array_equal(truths["input-0"], numbers["input-0"])
    with pytest.raises(Problem, match=r"row 0, length: expected a number, got true"):
        plain.decode(b'{"inputs": [[true, null, 0.5]]}')


@pytest.mark.parametrize("kept", [0, 0.1, 0.6])
def test_a_lightgbm_model_that_was_cut_off_is_refused_in_a_line(tmp_path: Path, kept: float) -> None:
    whole = grown(TWO, objective="binary").model_to_string()
    (tmp_path / "model.lgb").write_text(whole[: int(len(whole) * kept)])
    with pytest.raises(CannotLoad) as refused:
        load("lightgbm", tmp_path / "model.lgb", ())
    assert str(refused.value).startswith(
        "LightGBM refuses model.lgb: it is none of its models, or was cut off; "
    )


def test_what_lightgbm_itself_cannot_read_is_refused_in_its_words(tmp_path: Path) -> None:
    (tmp_path / "model.lgb").write_text("tree\nversion=v4\n\nend of trees\n")
    with pytest.raises(
        CannotLoad, match=rf"LightGBM {lightgbm.__version__} refuses model\.lgb: .*number of classes"
    ):
        load("lightgbm", tmp_path / "model.lgb", ())


def test_a_served_lightgbm_model_writes_nothing_but_its_log_and_takes_no_more_threads_than_it_may(
    tmp_path: Path,
) -> None:
    root = image(tmp_path, project="p", format="lightgbm", path="model.lgb")
    grown(TWO, objective="binary", names=NAMES).save_model(root / "project" / "model.lgb")
    with serving(root, {"OMP_NUM_THREADS": "1"}) as running:
        named = running.client.post(
            "/predict", json={"inputs": {"width": [1], "weight": [2], "length": [None]}}
        )
        threads = list(Path(f"/proc/{running.process.pid}/task").iterdir())
        events = [event["event"] for event in running.events()]

    assert named.status_code == 200
    assert events == ["model loaded", "serving"]
    assert len(threads) <= 3, "the server's own, the worker's, and none of a pool"
