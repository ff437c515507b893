"""init and check: a folder on this machine, and nothing sent."""

from __future__ import annotations

import json
import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
import skops.io
import xgboost
from lightgbm import LGBMClassifier
from placet.deployer.samples import difference
from placet.projects import parse_manifest, served, trusted_types
from placet.runtime.model import load
from placet.runtime.plain import PlainCodec
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_iris
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from xgboost import XGBClassifier, XGBRegressor

from tests.support.ordinary_user import an_ordinary_user
from tests.unit.cli.conftest import EXAMPLE, MANIFEST, Placet
from tests.unit.client.fake_platform import FakePlatform

MLFLOW = Path(__file__).parents[2] / "mlflow_folders"


def model_folder(path: Path) -> Path:
    path.mkdir()
    with zipfile.ZipFile(path / "model.skops", "w") as container:
        container.writestr("schema.json", "{}")
    return path


def test_init_writes_what_it_can_find_out_and_names_the_rest(placet: Placet, tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "Wine Quality")
    (folder / "requirements.txt").write_text("scikit-learn")
    ended = placet("init", str(folder), "--json")
    assert ended.status == 0
    written = parse_manifest((folder / "placet.yaml").read_bytes())
    assert (written.project, written.model.format, written.model.path) == (
        "wine-quality",
        "sklearn",
        "model.skops",
    )
    assert written.requirements == "requirements.txt"
    assert ended.document["path"] == str(folder / "placet.yaml")
    assert ended.document["missing"] == [
        "governance.purpose",
        "governance.riskClass",
        "governance.owner",
        "governance.data",
        "model.sample",
        "card",
    ]
    assert "governance.owner" in ended.err


def test_init_says_what_it_found(placet: Placet, tmp_path: Path) -> None:
    (tmp_path / "faces").mkdir()
    shutil.copy(EXAMPLE.parent / "faces" / "model.onnx", tmp_path / "faces")
    assert placet("init", str(tmp_path / "faces")).err.startswith("faces: an onnx model in model.onnx\n")


def copied(tmp_path: Path, name: str, *files: str) -> Path:
    """A folder with files of an example."""
    folder = tmp_path / name
    folder.mkdir()
    for file in files:
        shutil.copy(EXAMPLE.parent / name / file, folder)
    return folder


@pytest.mark.parametrize(
    ("name", "model", "said", "pinned"),
    [
        ("multiclass", "model.skops", "a sklearn model", ["scikit-learn==1.9.1", "skops==0.16.0"]),
        ("wine", "model.ubj", "an xgboost model", ["xgboost-cpu==3.2.0"]),
        ("tumours", "model.lgb", "a lightgbm model", ["lightgbm==4.7.0"]),
        ("faces", "model.onnx", "an onnx model", ["onnxruntime==1.32.0"]),
    ],
)
def test_init_pins_the_requirements_that_nobody_wrote_down_and_says_so(
    placet: Placet, tmp_path: Path, name: str, model: str, said: str, pinned: list[str]
) -> None:
    folder = copied(tmp_path, name, model)
    ended = placet("init", str(folder), "--json")
    assert ended.status == 0
    assert f"{name}: {said} in {model}\nwrote requirements.txt with {', '.join(pinned)}: " in ended.err
    assert ended.document["pinned"] == pinned
    assert "requirements" not in ended.document["missing"]
    assert (folder / "requirements.txt").read_text().splitlines()[1:] == pinned
    assert parse_manifest((folder / "placet.yaml").read_bytes()).requirements == "requirements.txt"
    checked = placet("check", str(folder), "--json").document
    passed = {verdict["rule"] for verdict in checked["verdicts"] if verdict["result"] == "pass"}
    assert {"build.requirements-pinned", "model.format-allowed", "model.file-matches"} <= passed


@pytest.mark.parametrize(
    ("name", "files", "told", "first"),
    [
        ("multiclass", ["model.skops"], "rows of 64 values, which have no names", ("", "", [])),
        (
            "wine",
            ["model.ubj"],
            "alcohol (FP32), malic_acid (FP32), ash (FP32), alcalinity_of_ash (FP32), magnesium (FP32), "
            "total_phenols (FP32), flavanoids (FP32), nonflavanoid_phenols (FP32) and 5 more",
            ("alcohol", "FP32", []),
        ),
        ("faces", ["model.onnx"], "image (FP32, 625 a row)", ("image", "FP32", [625])),
        (
            "iris",
            ["model.py", "averages.json"],
            "sepal_length (FP64), sepal_width (FP64), petal_length (FP64), petal_width (FP64)",
            ("sepal_length", "FP64", []),
        ),
        ("handwriting", ["model.pt2"], "pixels (FP32, 64 a row)", ("pixels", "FP32", [64])),
    ],
)
def test_init_says_what_the_model_takes(
    placet: Placet, tmp_path: Path, name: str, files: list[str], told: str, first: tuple[str, str, list[int]]
) -> None:
    ended = placet("init", str(copied(tmp_path, name, *files)), "--json")
    assert f"it takes {told}\n" in ended.err
    named, datatype, shape = first
    assert ended.document["takes"][0] == {"name": named, "datatype": datatype, "shape": shape}


@pytest.mark.parametrize(
    ("name", "files", "remark"),
    [
        (
            "multiclass",
            ["model.skops"],
            [
                "inputs:",
                "  rows of 64 values, which have no names",
                "outputs:",
                "  predict",
                "  predict_proba",
            ],
        ),
        (
            "faces",
            ["model.onnx"],
            [
                "inputs:",
                "  image (FP32, 625 a row)",
                "outputs:",
                "  label (INT64)",
                "  probabilities (FP32, 2 a row)",
            ],
        ),
        (
            "handwriting",
            ["model.pt2"],
            [
                "inputs:",
                "  pixels (FP32, 64 a row)",
                "outputs:",
                "  digit (INT64)",
                "  probabilities (FP32, 10 a row)",
            ],
        ),
    ],
)
def test_init_writes_down_the_signature(
    placet: Placet, tmp_path: Path, name: str, files: list[str], remark: list[str]
) -> None:
    folder = copied(tmp_path, name, *files)
    ended = placet("init", str(folder), "--json")
    lines = (folder / "placet.yaml").read_text().splitlines()
    assert lines[-len(remark) - 1].startswith("# What the model takes and gives, as its files say;")
    assert lines[-len(remark) :] == [f"# {line}" for line in remark]
    outputs = remark[remark.index("outputs:") + 1 :]
    assert [each["name"] for each in ended.document["gives"]] == [line.split()[0] for line in outputs]


def test_no_name_of_an_input_gets_into_the_manifest(placet: Placet, tmp_path: Path) -> None:
    name = "age\nproject: another\u2028access: public\x85x\r"
    frame = pd.DataFrame({name: np.arange(4.0)})
    skops.io.dump(LogisticRegression().fit(frame, [0, 0, 1, 1]), tmp_path / "model.skops")
    assert placet("init", str(tmp_path)).status == 0
    text = (tmp_path / "placet.yaml").read_text()
    assert "\n#   age project: another access: public x \n" in text
    assert parse_manifest(text.encode()).access == "token"


def test_of_thousands_of_inputs_the_manifest_has_the_first(placet: Placet, tmp_path: Path) -> None:
    frame = pd.DataFrame({f"column {number}": np.arange(4.0) for number in range(203)})
    skops.io.dump(LogisticRegression().fit(frame, [0, 0, 1, 1]), tmp_path / "model.skops")
    assert placet("init", str(tmp_path)).status == 0
    assert "\n#   column 199\n#   and 3 more\n" in (tmp_path / "placet.yaml").read_text()


def test_init_says_of_very_many_columns_how_many_more_there_are(placet: Placet, tmp_path: Path) -> None:
    frame = pd.DataFrame({f"column {number}": np.arange(4.0) for number in range(10)})
    skops.io.dump(LogisticRegression().fit(frame, [0, 0, 1, 1]), tmp_path / "model.skops")
    ended = placet("init", str(tmp_path), "--json")
    assert "it takes column 0, column 1, " in ended.err
    assert "column 7 and 2 more\n" in ended.err
    assert len(ended.document["takes"]) == 10


def test_init_never_writes_over_requirements(placet: Placet, tmp_path: Path) -> None:
    folder = copied(tmp_path, "wine", "model.ubj")
    (folder / "requirements.txt").write_text("mine")
    assert placet("init", str(folder)).status == 0
    ended = placet("init", str(folder), "--force", "--json")
    assert "wrote" not in ended.err
    assert ended.document["pinned"] == []
    assert (folder / "requirements.txt").read_text() == "mine"


def test_init_writes_no_requirements_through_a_link(placet: Placet, tmp_path: Path) -> None:
    folder = copied(tmp_path, "wine", "model.ubj")
    (folder / ".placetignore").write_text("requirements.txt\n")
    (folder / "requirements.txt").symlink_to(tmp_path / "elsewhere")
    assert placet("init", str(folder)).status == 1
    assert not (tmp_path / "elsewhere").exists()


def test_init_invents_no_sample_and_says_where_one_comes_from(placet: Placet, tmp_path: Path) -> None:
    folder = copied(tmp_path, "wine", "model.ubj")
    assert 'Path("sample.json").write_text(json.dumps(sample))' in placet("init", str(folder)).err
    assert not (folder / "sample.json").exists()
    shutil.copy(EXAMPLE.parent / "wine" / "sample.json", folder)
    assert "json.dumps" not in placet("init", str(folder), "--force").err


def test_init_takes_the_request_that_mlflow_kept_and_asks_for_its_answer(
    placet: Placet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(shutil.copytree(MLFLOW / "iris", tmp_path / "iris"))
    ended = placet("init", str(folder), "--json")
    kept = json.loads((folder / "input_example.json").read_text())
    rows = [dict(zip(kept["columns"], row, strict=True)) for row in kept["data"]]
    assert json.loads((folder / "sample.json").read_text()) == {"request": {"inputs": rows}}
    assert parse_manifest((folder / "placet.yaml").read_bytes()).model.sample == "sample.json"
    assert "model.sample" in ended.document["missing"]
    assert (
        "wrote sample.json with the input example that MLflow kept, which has no answer beside it"
        in ended.err
    )
    assert "`response` in sample.json, the answer that is expected" in ended.err
    refusals = {
        each["rule"]: each["why"] for each in placet("check", str(folder), "--json").document["refusals"]
    }
    assert refusals["model.sample-present"].startswith("the sample request sample.json has no `response`")

    monkeypatch.chdir(folder)
    lines = [
        line.strip()
        for line in ended.err.split("where it was trained:\n")[1].splitlines()
        if line[:2] == "  "
    ]
    model = skops.io.load(folder / "model.skops")
    exec("\n".join(lines), {"model": model, "json": json, "Path": Path, "numpy": np, "pandas": pd})  # noqa: S102
    sample = json.loads((folder / "sample.json").read_text())
    assert sample == {"request": {"inputs": rows}, "response": {"outputs": [0, 0]}}
    again = placet("init", str(folder), "--force", "--json")
    assert "model.sample" not in again.document["missing"]
    left = placet("check", str(folder), "--json").document["refusals"]
    assert "model.sample-present" not in {each["rule"] for each in left}


def test_init_takes_no_example_that_the_model_would_refuse_and_writes_over_no_sample(
    placet: Placet, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(MLFLOW / "iris", tmp_path / "iris"))
    for name in ("input_example.json", "serving_input_example.json"):
        (folder / name).write_text('[["a", "b"]]')
    assert "a file with a request and its expected answer" in placet("init", str(folder)).err
    assert not (folder / "sample.json").exists()
    (folder / "sample.json").write_text('{"request": {"inputs": [[1]]}}')
    assert "`response` in sample.json" in placet("init", str(folder), "--force").err
    assert (folder / "sample.json").read_text() == '{"request": {"inputs": [[1]]}}'


NUMBERS = pd.DataFrame({"a": np.arange(40.0), "b": np.arange(40.0) % 3})
CLASSES = np.where(NUMBERS["a"] < 20, 3, 7)


def of_sklearn(folder: Path) -> Any:
    picks = ColumnTransformer([("all", StandardScaler(), ["a", "b"])])
    model = make_pipeline(picks, LogisticRegression()).fit(NUMBERS, CLASSES)
    skops.io.dump(model, folder / "model.skops")
    return model, NUMBERS.head(3)


def of_sklearn_with_missing_values(folder: Path) -> Any:
    rows = NUMBERS.assign(c=np.array(["x", "y"])[np.arange(40) % 2])
    rows.loc[1] = np.nan
    fills = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder())
    picks = ColumnTransformer([("numbers", SimpleImputer(), ["a", "b"]), ("texts", fills, ["c"])])
    model = make_pipeline(picks, LogisticRegression()).fit(rows, CLASSES)
    skops.io.dump(model, folder / "model.skops")
    return model, rows.head(3)


def of_lightgbm(folder: Path) -> Any:
    model = LGBMClassifier(n_estimators=2, verbose=-1, n_jobs=1).fit(NUMBERS, CLASSES)
    model.booster_.save_model(folder / "model.lgb")
    return model, NUMBERS.head(3)


def of_xgboost(folder: Path) -> Any:
    model = XGBRegressor(n_estimators=2, n_jobs=1).fit(NUMBERS, CLASSES)
    model.save_model(folder / "model.ubj")
    return model, NUMBERS.head(3).to_numpy()


def of_onnx(folder: Path) -> Any:
    shutil.copy(EXAMPLE.parent / "faces" / "model.onnx", folder)
    asked = json.loads((EXAMPLE.parent / "faces" / "sample.json").read_bytes())["request"]["inputs"]
    return None, np.array(asked, dtype=np.float32)


def of_a_lightgbm_booster_in_mlflow(folder: Path) -> Any:
    model, rows = of_lightgbm(folder)
    (folder / "MLmodel").write_text("flavors: {lightgbm: {data: model.lgb}}")
    return model.booster_, rows


def of_probabilities_in_mlflow(folder: Path) -> Any:
    model, rows = of_sklearn(folder)
    flavours = "{sklearn: {pickled_model: model.skops}, python_function: {loader_module: m, predict_fn: predict_proba}}"
    (folder / "MLmodel").write_text(f"flavors: {flavours}")
    return model, rows


def of_an_xgboost_booster_in_mlflow(folder: Path) -> Any:
    found = of_an_xgboost_booster(folder)
    (folder / "MLmodel").write_text("flavors: {xgboost: {data: model.ubj}}")
    return found


def of_onnx_in_mlflow(folder: Path) -> Any:
    shutil.copytree(MLFLOW / "iris-onnx", folder, dirs_exist_ok=True)
    return None, load_iris().data[[0, 70, 140]].astype(np.float32)


def of_onnx_with_several_outputs(folder: Path) -> Any:
    x = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [None, 2])
    outputs = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [None, 2]) for name in ("up", "down")
    ]
    nodes = [onnx.helper.make_node("Abs", ["x"], ["up"]), onnx.helper.make_node("Neg", ["x"], ["down"])]
    graph = onnx.helper.make_graph(nodes, "both", [x], outputs)
    opset = [onnx.helper.make_opsetid("", 20)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=10), folder / "model.onnx")
    return None, np.array([[1, -2], [-3, 4]], dtype=np.float32)


CATEGORIES = NUMBERS.assign(c=pd.Categorical(np.array(["x", "y", "z"])[np.arange(40) % 3]), d=CLASSES > 3)


def of_xgboost_with_categories(folder: Path) -> Any:
    model = XGBClassifier(n_estimators=5, n_jobs=1, enable_categorical=True)
    model.fit(CATEGORIES, (CATEGORIES["c"] == "y").astype(int))
    model.save_model(folder / "model.ubj")
    return model, CATEGORIES.head(3)


def of_an_xgboost_booster(folder: Path) -> Any:
    model = xgboost.train(
        {"objective": "multi:softprob", "num_class": 3, "nthread": 1},
        xgboost.DMatrix(CATEGORIES, label=np.arange(40) % 3, enable_categorical=True),
        num_boost_round=5,
    )
    model.save_model(folder / "model.ubj")
    return model, CATEGORIES.head(3)


def of_lightgbm_with_categories(folder: Path) -> Any:
    model = LGBMClassifier(n_estimators=5, min_child_samples=1, verbose=-1, n_jobs=1)
    model.fit(CATEGORIES, np.array(["no", "yes", "no"])[np.arange(40) % 3])
    model.booster_.save_model(folder / "model.lgb")
    return model, CATEGORIES.head(3)


@pytest.mark.parametrize(
    "trained",
    [
        of_sklearn,
        of_sklearn_with_missing_values,
        of_lightgbm,
        of_lightgbm_with_categories,
        of_a_lightgbm_booster_in_mlflow,
        of_probabilities_in_mlflow,
        of_an_xgboost_booster_in_mlflow,
        of_xgboost,
        of_xgboost_with_categories,
        of_an_xgboost_booster,
        of_onnx,
        of_onnx_in_mlflow,
        of_onnx_with_several_outputs,
    ],
)
def test_what_init_says_of_a_sample_makes_one_that_the_model_answers(
    placet: Placet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trained: Callable[[Path], Any]
) -> None:
    model, rows = trained(tmp_path)
    said = placet("init", str(tmp_path)).err.split("where it was trained:\n")[1]
    monkeypatch.chdir(tmp_path)
    lines = [line.strip() for line in said.splitlines() if line.startswith("  ")]
    known = {"model": model, "rows": rows, "json": json, "Path": Path, "numpy": np}
    exec("\n".join(lines), known | {"onnxruntime": onnxruntime, "xgboost": xgboost})  # noqa: S102 - as its reader would

    loaded = served(tmp_path, parse_manifest((tmp_path / "placet.yaml").read_bytes()).model)
    serving = load(loaded.format, tmp_path / loaded.path, trusted_types(), method=loaded.method)
    codec = PlainCodec(serving.signature)
    sample = json.loads((tmp_path / "sample.json").read_bytes())
    asked = codec.decode(json.dumps(sample["request"]).encode())
    answer = json.loads(codec.encode(serving.predict(asked, codec.outputs)))
    assert difference(sample["response"], answer, 1e-6) is None


@pytest.mark.parametrize(
    ("name", "file", "fix"),
    [
        ("model.joblib", "model.joblib", "skops.io.dump"),
        ("wine", "wine/model.pkl", 'serialization_format="skops"'),
    ],
)
def test_init_says_first_that_a_pickle_will_be_refused(
    placet: Placet, tmp_path: Path, name: str, file: str, fix: str
) -> None:
    folder = tmp_path / "pickled"
    folder.mkdir()
    if name == "wine":
        shutil.copytree(MLFLOW / "pickled", folder / "wine")
    else:
        (folder / name).write_bytes(pickle.dumps([1]))
    said = placet("init", str(folder)).err
    assert said.startswith(f"placet: model.pickle-by-exception: {file} is written as ")
    assert "and will be refused" in said
    assert fix in said.partition("still to fill in")[0]


def test_init_says_that_a_folder_which_only_mlflow_loads_needs_an_exception(
    placet: Placet, tmp_path: Path
) -> None:
    shutil.copytree(MLFLOW / "spending", tmp_path / "project" / "spending")
    said = placet("init", str(tmp_path / "project")).err
    assert said.startswith(
        "placet: model.pickle-by-exception: only MLflow itself loads spending, which runs what is in it"
    )
    assert "project: an mlflow model in spending" in said
    assert 'mlflow.pyfunc.load_model("spending").predict(rows)' in said
    manifest = parse_manifest((tmp_path / "project" / "placet.yaml").read_bytes())
    assert (manifest.model.format, manifest.requirements) == ("mlflow", "spending/requirements.txt")


def test_init_tells_what_the_code_of_a_model_says_and_runs_none_of_it(placet: Placet, tmp_path: Path) -> None:
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "beside.py").touch()
    (folder / "model.py").write_text(
        "import json, beside, torch\nfrom numpy import ones\nopen('run', 'w')\n"
        "class Model:\n    inputs = {'x': 'FP64'}\n    outputs = {'y': 'FP64'}\n    def load(self, folder): ...\n"
    )
    ended = placet("init", str(folder), "--json")
    assert ended.err.startswith(
        "code: a python model in model.py\n"
        "wrote requirements.txt, which names no package yet; a model that needs none leaves it so\n"
        "it imports numpy, torch: their packages belong in requirements.txt\n"
        "it cannot be served yet: class Model has no method predict(self, inputs)\n"
    )
    assert "requirements" not in ended.document["missing"]
    assert (folder / "requirements.txt").read_text().startswith("# Written by `placet init`")
    assert "imports torch, which requirements.txt does not name" in placet("check", str(folder)).err
    assert not (folder / "run").exists()
    assert not (tmp_path / "run").exists()


def test_init_of_a_folder_with_several_models_asks_which_one_is_meant(placet: Placet, tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "wine")
    (folder / "model.pkl").write_bytes(b"\x80\x04N.")
    ended = placet("init", str(folder))
    assert ended.status == 2
    assert ended.err.startswith(
        f"placet: {folder} holds several models: model.skops, model.pkl\n"
        f"  fix: say which one is meant: `placet init {folder} --model model.skops`\n"
        "usage: placet init "
    )
    assert not (folder / "placet.yaml").exists()
    assert placet("init", str(folder), "--model", "model.pkl").status == 0
    assert parse_manifest((folder / "placet.yaml").read_bytes()).model.path == "model.pkl"


def test_init_writes_over_nothing_unless_told_to(placet: Placet, tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "wine")
    (folder / "placet.yaml").write_text("mine")
    ended = placet("init", str(folder))
    assert ended.status == 2
    assert "--force" in ended.err
    assert (folder / "placet.yaml").read_text() == "mine"
    assert placet("init", str(folder), "--force").out == f"{folder / 'placet.yaml'}\n"


@pytest.mark.parametrize("name", [None, "model.h5"])
def test_init_of_a_folder_without_a_model_says_what_it_looked_for(
    placet: Placet, tmp_path: Path, name: str | None
) -> None:
    folder = tmp_path / "wine"
    folder.mkdir()
    if name is not None:
        (folder / name).write_bytes(b"?")
    ended = placet("init", str(folder), "--json")
    assert ended.status == 1
    assert ended.err == (
        f"placet: {folder} holds no model that is recognised\n"
        "  fix: save one there in a file that ends in .skops, .onnx, .ubj, .lgb, .lgbm, .pt2, .safetensors, "
        ".joblib, .pkl, .pickle, or in the native file of XGBoost or LightGBM with any other ending, "
        "or write a class Model in Python\n"
    )
    assert ended.document["error"]["detail"] == f"{folder} holds no model that is recognised"
    assert not (folder / "placet.yaml").exists()


@pytest.mark.parametrize("verb", ["init", "check", "deploy"])
def test_a_folder_that_is_none_is_wrong_usage(
    placet: Placet, platform: FakePlatform, tmp_path: Path, verb: str
) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "nowhere", tmp_path / "file"):
        ended = placet(verb, str(path))
        assert ended.status == 2
        assert f"usage: placet {verb}" in ended.err


def test_hints_can_be_pasted_whatever_the_folder_is_called(placet: Placet, tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "Über modell; 42")
    assert f"`placet check '{folder}'`" in placet("init", str(folder)).err
    assert f"`placet check '{folder}'`" in placet("init", str(folder)).err


@pytest.mark.parametrize("verb", ["init", "check", "deploy"])
@pytest.mark.parametrize("name", ["model.skops", "."])
def test_what_this_user_may_not_read_is_an_error_and_no_traceback(
    placet: Placet, platform: FakePlatform, tmp_path: Path, verb: str, name: str
) -> None:
    folder = model_folder(tmp_path / "wine")
    if verb != "init":
        (folder / "placet.yaml").write_text(MANIFEST)
    (folder / name).chmod(0)
    try:
        with an_ordinary_user():
            ended = placet(verb, str(folder))
    finally:
        (folder / name).chmod(0o700)
    assert ended.status == 1
    assert "Permission denied" in ended.err
    assert str(folder / name) in ended.err
    assert {path for _, path in platform.requests} <= {"/v1/me", "/v1/policies", "/v1/capacity"}


def test_what_this_user_may_not_write_is_an_error_and_no_traceback(placet: Placet, tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "wine")
    folder.chmod(0o500)
    with an_ordinary_user():
        ended = placet("init", str(folder), "--json")
    assert ended.status == 1
    assert ended.document["error"]["detail"] == f"{folder / 'placet.yaml'}: Permission denied"
