"""What MLflow wrote is served from its files, and answers as MLflow itself does with the same model."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lightgbm
import mlflow.lightgbm
import mlflow.pyfunc
import mlflow.sklearn
import mlflow.xgboost
import msgspec
import numpy as np
import pandas as pd
import pytest
import xgboost
from mlflow.models import infer_signature
from placet.projects import Served, served, trusted_types
from placet.projects.manifest import Model
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tritonclient.http import InferenceServerClient, InferInput  # type: ignore[import-untyped]

from tests.contract.runtime.serving import Served as Server
from tests.contract.runtime.serving import image, serving
from tests.mlflow_folders import write
from tests.mlflow_folders.frames import VISITS

FOLDERS = Path(write.__file__).parent
EXAMPLE = Path(__file__).parents[3] / "examples" / "progression"
ALL_IRIS = load_iris(as_frame=True)
IRIS = ALL_IRIS.data.iloc[::30]


def root_of(tmp_path: Path, folder: Path, path: str = ".") -> Path:
    """The image that the builder makes of an MLflow folder, without its packages."""
    loaded: Served = served(folder, Model(format="mlflow", path=path))
    columns = msgspec.to_builtins(loaded.columns)
    more = {"trusted": trusted_types(), "columns": columns, "method": loaded.method}
    more["example"] = loaded.example or {}
    root = image(tmp_path, project="model", format=loaded.format, path=loaded.path, **more)
    shutil.copytree(folder, root / "project", dirs_exist_ok=True)
    return root


@pytest.fixture
def mlflows(monkeypatch: pytest.MonkeyPatch) -> Any:
    """MLflow's own way to load a folder. It takes skops for a pickle, since it trusts the types that a model names."""
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "true")
    return mlflow.pyfunc.load_model


@pytest.fixture(scope="module")
def visits(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(root_of(tmp_path_factory.mktemp("visits"), FOLDERS / "visits")) as server:
        yield server


@pytest.mark.parametrize(("name", "frame"), [("iris", IRIS), ("visits", VISITS), ("iris-lightgbm", IRIS)])
def test_a_folder_answers_as_mlflow_does(
    name: str, frame: pd.DataFrame, tmp_path: Path, mlflows: Any
) -> None:
    expected = mlflows(str(FOLDERS / name)).predict(frame).tolist()
    with serving(root_of(tmp_path, FOLDERS / name)) as server:
        for inputs in (frame.to_dict("records"), frame.to_dict("list"), frame.to_numpy().tolist()):
            answer = server.client.post("/predict", json={"inputs": inputs})
            assert answer.status_code == 200, answer.text
            assert answer.json()["outputs"] == expected


def test_its_own_example_is_what_the_page_shows(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(FOLDERS / "iris", tmp_path / "iris"))
    (folder / "input_example.json").write_text(IRIS.head(2).to_json(orient="split", index=False))
    with serving(root_of(tmp_path / "root", folder)) as server:
        shown = server.client.get("/openapi.json").json()["paths"]["/predict"]["post"]["requestBody"]
    example = shown["content"]["application/json"]["example"]
    assert example == {"inputs": IRIS.head(2).to_dict("records")}


def test_a_graph_answers_as_mlflow_does(tmp_path: Path, mlflows: Any) -> None:
    frame = IRIS.astype(np.float32)
    session = mlflows(str(FOLDERS / "iris-onnx")).get_raw_model()
    label, probabilities = session.run(None, {session.get_inputs()[0].name: frame.to_numpy()})
    with serving(root_of(tmp_path, FOLDERS / "iris-onnx")) as server:
        answer = server.client.post("/predict", json={"inputs": frame.to_dict("records")})
    assert answer.json()["outputs"] == label.tolist()
    assert np.array(answer.json()["probabilities"]) == pytest.approx(probabilities)


def test_a_client_of_the_protocol_sends_a_tensor_for_each_column(visits: Server, mlflows: Any) -> None:
    kinds = {"city": "BYTES", "age": "INT64", "member": "BOOL", "spent": "FP64"}
    with InferenceServerClient(visits.address, connection_timeout=60, network_timeout=60) as client:
        metadata = client.get_model_metadata("model")
        assert {tensor["name"]: tensor["datatype"] for tensor in metadata["inputs"]} == kinds
        for binary in (True, False):
            tensors = []
            for name, datatype in kinds.items():
                values = VISITS[name].to_numpy()
                tensor = InferInput(name, [len(values)], datatype)
                given = values.astype(object) if datatype == "BYTES" else values
                tensor.set_data_from_numpy(given, binary_data=binary)
                tensors.append(tensor)
            answer = client.infer("model", tensors).as_numpy("predict")
            found = [text.decode() for text in answer]
            assert found == mlflows(str(FOLDERS / "visits")).predict(VISITS).tolist()


@pytest.mark.parametrize("value", [31.5, "31", None, True])
def test_a_value_that_mlflow_would_refuse_is_refused(visits: Server, value: Any) -> None:
    row = VISITS.to_dict("records")[0] | {"age": value}
    answer = visits.client.post("/predict", json={"inputs": [row]})
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith("row 0, age: expected a")


def test_the_example_answers_its_sample(tmp_path: Path) -> None:
    sample = json.loads((EXAMPLE / "sample.json").read_text())
    with serving(root_of(tmp_path, EXAMPLE, "model")) as server:
        answer = server.client.post("/predict", json=sample["request"])
    assert answer.json()["outputs"] == pytest.approx(sample["response"]["outputs"], abs=sample["tolerance"])


@pytest.mark.slow
def test_what_the_installed_mlflow_writes_is_served(tmp_path: Path, mlflows: Any) -> None:
    """The folders that are kept may be of an older MLflow."""
    write.iris(tmp_path / "iris")
    expected = mlflows(str(tmp_path / "iris")).predict(IRIS).tolist()
    with serving(root_of(tmp_path / "root", tmp_path / "iris")) as server:
        answer = server.client.post("/predict", json={"inputs": IRIS.to_dict("records")})
    assert answer.json()["outputs"] == expected


def saves_xgboost_booster(folder: Path) -> None:
    rows = xgboost.DMatrix(ALL_IRIS.data, label=ALL_IRIS.target)
    booster = xgboost.train({"objective": "multi:softprob", "num_class": 3}, rows, num_boost_round=3)
    mlflow.xgboost.save_model(booster, folder, pip_requirements=["xgboost"])


def saves_xgboost_classifier(folder: Path) -> None:
    model = xgboost.XGBClassifier(n_estimators=3).fit(ALL_IRIS.data, ALL_IRIS.target)
    mlflow.xgboost.save_model(model, folder, pip_requirements=["xgboost"])


def saves_lightgbm_booster(folder: Path) -> None:
    rows = lightgbm.Dataset(ALL_IRIS.data, label=ALL_IRIS.target)
    parameters = {"objective": "multiclass", "num_class": 3, "verbose": -1}
    mlflow.lightgbm.save_model(
        lightgbm.train(parameters, rows, num_boost_round=3), folder, pip_requirements=["lightgbm"]
    )


def saves_binary_boosters(library: str) -> Callable[[Path], None]:
    def saves(folder: Path) -> None:
        is_first = ALL_IRIS.target == 0
        if library == "xgboost":
            matrix = xgboost.DMatrix(ALL_IRIS.data, label=is_first)
            mlflow.xgboost.save_model(
                xgboost.train({"objective": "binary:logistic"}, matrix, 3),
                folder,
                pip_requirements=["xgboost"],
            )
        else:
            rows = lightgbm.Dataset(ALL_IRIS.data, label=is_first)
            parameters = {"objective": "binary", "verbose": -1}
            mlflow.lightgbm.save_model(
                lightgbm.train(parameters, rows, num_boost_round=3), folder, pip_requirements=["lightgbm"]
            )

    return saves


def saves_xgboost_softmax(folder: Path) -> None:
    rows = xgboost.DMatrix(ALL_IRIS.data, label=ALL_IRIS.target)
    booster = xgboost.train({"objective": "multi:softmax", "num_class": 3}, rows, num_boost_round=3)
    mlflow.xgboost.save_model(booster, folder, pip_requirements=["xgboost"])


@pytest.mark.slow
@pytest.mark.parametrize(
    "save",
    [
        saves_xgboost_booster,
        saves_xgboost_softmax,
        saves_binary_boosters("xgboost"),
        saves_xgboost_classifier,
        saves_lightgbm_booster,
        saves_binary_boosters("lightgbm"),
    ],
)
def test_boosted_trees_answer_as_mlflow_does(
    save: Callable[[Path], None], tmp_path: Path, mlflows: Any
) -> None:
    """For a booster with the probabilities alone; for a classifier with the class, beside which they are told."""
    save(tmp_path / "saved")
    expected = np.array(mlflows(str(tmp_path / "saved")).predict(IRIS))
    with serving(root_of(tmp_path / "root", tmp_path / "saved")) as server:
        answer = server.client.post("/predict", json={"inputs": IRIS.to_numpy().tolist()})
    assert answer.status_code == 200, answer.text
    assert np.array(answer.json()["outputs"]) == pytest.approx(expected, abs=1e-6)
    assert ("probabilities" in answer.json()) == (save is saves_xgboost_classifier)


CLASSIFIER = make_pipeline(StandardScaler(), LogisticRegression()).fit(ALL_IRIS.data, ALL_IRIS.target)
BAYES = GaussianNB().fit(ALL_IRIS.data, ALL_IRIS.target)
FOREST = RandomForestClassifier(5, random_state=0).fit(ALL_IRIS.data, ALL_IRIS.target)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("estimator", "method"),
    [
        (CLASSIFIER, "predict_proba"),
        (FOREST, "predict_proba"),
        (CLASSIFIER, "predict_log_proba"),
        (BAYES, "predict_joint_log_proba"),
    ],
)
def test_a_model_is_asked_by_the_method_that_it_was_saved_for(
    estimator: Any, method: str, tmp_path: Path, mlflows: Any
) -> None:
    mlflow.sklearn.save_model(
        estimator,
        tmp_path / "saved",
        input_example=IRIS,
        pyfunc_predict_fn=method,
        skops_trusted_types=["sklearn.tree._tree.Tree"],
        pip_requirements=["scikit-learn"],
    )
    expected = np.asarray(mlflows(str(tmp_path / "saved")).predict(IRIS))
    with serving(root_of(tmp_path / "root", tmp_path / "saved")) as server:
        answer = server.client.post("/predict", json={"inputs": IRIS.to_dict("records")})
        metadata = server.client.get("/v2/models/model").json()
    assert answer.status_code == 200, answer.text
    assert answer.json().keys() == {"outputs"}
    assert np.array(answer.json()["outputs"]) == pytest.approx(expected, abs=1e-12)
    told = {"name": method, "datatype": "FP64", "shape": [-1, 3], "parameters": {"labels": [0, 1, 2]}}
    assert metadata["outputs"] == [told]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("estimator", "method"),
    [(StandardScaler().fit(ALL_IRIS.data), "transform"), (CLASSIFIER, "decision_function")],
)
def test_what_mlflow_writes_and_cannot_ask_for_is_answered(
    estimator: Any, method: str, tmp_path: Path
) -> None:
    mlflow.sklearn.save_model(
        estimator,
        tmp_path / "saved",
        signature=infer_signature(IRIS),
        pyfunc_predict_fn=method,
        pip_requirements=["scikit-learn"],
    )
    with serving(root_of(tmp_path / "root", tmp_path / "saved")) as server:
        answer = server.client.post("/predict", json={"inputs": IRIS.to_dict("records")})
    assert answer.status_code == 200, answer.text
    assert np.array(answer.json()["outputs"]) == pytest.approx(getattr(estimator, method)(IRIS))
