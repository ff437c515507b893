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
import mlflow.xgboost
import msgspec
import numpy as np
import pandas as pd
import pytest
import xgboost
from placet.projects import Served, served, trusted_types
from placet.projects.manifest import Model
from sklearn.datasets import load_iris
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
    more = {"trusted": trusted_types(), "columns": columns}
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
    mlflow.xgboost.save_model(booster, folder)


def saves_xgboost_classifier(folder: Path) -> None:
    model = xgboost.XGBClassifier(n_estimators=3).fit(ALL_IRIS.data, ALL_IRIS.target)
    mlflow.xgboost.save_model(model, folder)


def saves_lightgbm_booster(folder: Path) -> None:
    rows = lightgbm.Dataset(ALL_IRIS.data, label=ALL_IRIS.target)
    parameters = {"objective": "multiclass", "num_class": 3, "verbose": -1}
    mlflow.lightgbm.save_model(lightgbm.train(parameters, rows, num_boost_round=3), folder)


@pytest.mark.slow
@pytest.mark.parametrize("save", [saves_xgboost_booster, saves_xgboost_classifier, saves_lightgbm_booster])
def test_boosted_trees_answer_as_mlflow_does(
    save: Callable[[Path], None], tmp_path: Path, mlflows: Any
) -> None:
    """MLflow answers for a booster with the probabilities and for a classifier with the class; here both are told."""
    save(tmp_path / "saved")
    expected = np.array(mlflows(str(tmp_path / "saved")).predict(IRIS))
    classes = expected.argmax(axis=1) if expected.ndim == 2 else expected
    with serving(root_of(tmp_path / "root", tmp_path / "saved")) as server:
        answer = server.client.post("/predict", json={"inputs": IRIS.to_numpy().tolist()})
    assert answer.status_code == 200, answer.text
    assert answer.json()["outputs"] == classes.tolist()
    if expected.ndim == 2:
        assert np.array(answer.json()["probabilities"]) == pytest.approx(expected, abs=1e-6)
