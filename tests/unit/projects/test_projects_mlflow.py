"""MLflow's model folders: read without MLflow, as it writes them today, and as nobody should write them."""

from __future__ import annotations

import json
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from placet.errors import Refused
from placet.projects import (
    DocumentRefused,
    Recognised,
    Served,
    dump_manifest,
    initial_manifest,
    inspect_archive,
    pack,
    parse_manifest,
    read_mlflow_model,
    recognise,
    recognise_at,
    served,
    trial_manifest,
)
from placet.projects.formats import SeveralModels
from placet.projects.manifest import Governance, Model

FOLDERS = Path(__file__).parents[2] / "mlflow_folders"
HERE = Model(format="mlflow", path=".")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(FOLDERS / "iris", tmp_path / "Iris Pipeline"))


def with_mlmodel(folder: Path, document: Any) -> Path:
    folder.mkdir(exist_ok=True)
    text = document if isinstance(document, str) else yaml.safe_dump(document)
    (folder / "MLmodel").write_text(text)
    return folder


@pytest.mark.parametrize(
    ("name", "file", "columns"),
    [
        (
            "iris",
            Served(format="sklearn", serialization="skops", path="model.skops"),
            [
                (f"{part} {side} (cm)", "double")
                for part in ("sepal", "petal")
                for side in ("length", "width")
            ],
        ),
        (
            "visits",
            Served(format="sklearn", serialization="skops", path="model.skops"),
            [("city", "string"), ("age", "long"), ("member", "boolean"), ("spent", "double")],
        ),
        (
            "iris-lightgbm",
            Served(format="sklearn", serialization="skops", path="model.skops"),
            [
                (f"{part} {side} (cm)", "double")
                for part in ("sepal", "petal")
                for side in ("length", "width")
            ],
        ),
        ("pickled", Served(format="sklearn", serialization="pickle", path="model.pkl"), []),
        (
            "iris-onnx",
            Served(format="onnx", serialization="onnx", path="model.onnx"),
            [(f"{part} {side} (cm)", "float") for part in ("sepal", "petal") for side in ("length", "width")],
        ),
    ],
)
def test_what_mlflow_writes_today_is_served_from_the_file_of_its_flavour(
    name: str, file: Served, columns: list[tuple[str, str]]
) -> None:
    found = served(FOLDERS / name, HERE)
    assert (found.format, found.serialization, found.path) == (file.format, file.serialization, file.path)
    assert [(column.name, column.type) for column in found.columns] == columns
    assert all(column.required for column in found.columns)


@pytest.mark.parametrize(
    ("flavour", "said", "path", "format"),
    [
        ("xgboost", {"data": "model.ubj", "model_format": "ubj"}, "model.ubj", "xgboost"),
        ("xgboost", {"data": "model.json", "model_format": "json"}, "model.json", "xgboost"),
        ("lightgbm", {"data": "model.lgb"}, "model.lgb", "lightgbm"),
        ("lightgbm", {"data": "model.skops", "serialization_format": "skops"}, "model.skops", "sklearn"),
        ("pytorch", {"model_data": "data", "pytorch_version": "2.9.1"}, "data/model.pt2", "pytorch"),
    ],
)
def test_a_librarys_own_file_is_what_is_served_of_its_flavour(
    flavour: str, said: dict[str, str], path: str, format: str, tmp_path: Path
) -> None:
    flavours = {flavour: said, "python_function": {"loader_module": f"mlflow.{flavour}", **said}}
    (artifact,) = read_mlflow_model(with_mlmodel(tmp_path / "m", {"flavors": flavours})).artifacts
    assert artifact.path == path
    assert format in artifact.formats


@pytest.mark.parametrize(
    ("flavour", "said", "predict_fn", "method"),
    [
        ("sklearn", {"pickled_model": "m"}, "predict", None),
        ("sklearn", {"pickled_model": "m"}, "predict_proba", "predict_proba"),
        ("sklearn", {"pickled_model": "m"}, "transform", "transform"),
        ("xgboost", {"data": "m", "model_class": "xgboost.core.Booster"}, "predict", "predict"),
        ("xgboost", {"data": "m", "model_class": "xgboost.sklearn.XGBClassifier"}, "predict", None),
        ("lightgbm", {"data": "m", "model_class": "lightgbm.basic.Booster"}, "predict", "predict"),
        ("lightgbm", {"data": "m"}, "predict", "predict"),
        ("lightgbm", {"data": "m", "model_class": "lightgbm.sklearn.LGBMClassifier"}, "predict", None),
        ("onnx", {"data": "m"}, "predict", None),
    ],
)
def test_a_model_is_asked_by_the_method_that_mlflow_would_ask(
    flavour: str, said: dict[str, str], predict_fn: str, method: str | None, tmp_path: Path
) -> None:
    flavours = {flavour: said, **function(predict_fn=predict_fn)}
    (artifact,) = read_mlflow_model(with_mlmodel(tmp_path / "m", {"flavors": flavours})).artifacts
    assert (artifact.method, artifact.problem) == (method, None)


@pytest.mark.parametrize(
    ("flavour", "key", "predict_fn"),
    [
        ("sklearn", "pickled_model", "score"),
        ("sklearn", "pickled_model", "__class__"),
        ("sklearn", "pickled_model", ["predict"]),
        ("xgboost", "data", "predict_proba"),
        ("onnx", "data", "run"),
    ],
)
def test_a_method_that_cannot_be_asked_is_a_problem_and_never_left_out(
    flavour: str, key: str, predict_fn: Any, tmp_path: Path
) -> None:
    flavours = {flavour: {key: "m"}, **function(predict_fn=predict_fn)}
    (artifact,) = read_mlflow_model(with_mlmodel(tmp_path / "m", {"flavors": flavours})).artifacts
    assert artifact.problem is not None
    assert "save it with pyfunc_predict_fn=predict" in artifact.problem


@pytest.mark.parametrize(
    ("name", "paths", "columns"),
    [
        (
            "prices",
            ("prices_model.py", "artifacts/rate.txt"),
            [("city", "string"), ("age", "long"), ("member", "boolean"), ("spent", "double")],
        ),
        ("spending", ("model.statsmodels",), [("age", "double"), ("visits", "double")]),
    ],
)
def test_what_no_library_of_ours_loads_is_served_as_the_whole_folder_by_mlflow(
    name: str, paths: tuple[str, ...], columns: list[tuple[str, str]]
) -> None:
    assert recognise(FOLDERS / name) == Recognised(format="mlflow", serialization="pyfunc", path=".")
    found = served(FOLDERS / name, HERE)
    assert (found.format, found.serialization, found.path) == ("mlflow", "pyfunc", ".")
    assert [(column.name, column.type) for column in found.columns] == columns
    assert found.function is not None
    assert found.function.paths == paths
    assert found.function.problems == ()


def function(**more: Any) -> dict[str, Any]:
    return {"python_function": {"loader_module": "mlflow.pyfunc.model", **more}}


@pytest.mark.parametrize(
    ("said", "key"),
    [
        *(
            ({key: path}, key)
            for key in ("code", "data", "model_path", "python_model", "model_code_path")
            for path in ("..", 5)
        ),
        ({"data": "/etc/passwd"}, "data"),
        ({"artifacts": {"rate": {"path": "../rate.txt"}}}, "artifacts.rate.path"),
        ({"artifacts": {"rate": {"uri": "rate.txt"}}}, "artifacts.rate.path"),
        ({"artifacts": ["rate.txt"]}, "artifacts"),
        ({"artifacts": {str(number): {"path": "a"} for number in range(1001)}}, "artifacts"),
        ({"loader_module": "os; import sys"}, "loader_module"),
        ({"loader_module": None}, "loader_module"),
        ({"python_version": 3}, "python_version"),
        ({"python_version": "3.11\nrm"}, "python_version"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_mlflow_would_load_lies_in_the_folder_and_has_a_name(
    said: dict[str, Any], key: str, tmp_path: Path
) -> None:
    with_mlmodel(tmp_path / "m", {"flavors": function(**said)})
    with pytest.raises(DocumentRefused, match=rf"flavors\.python_function\.{key}"):
        read_mlflow_model(tmp_path / "m")


def test_a_script_is_looked_for_in_the_folder_wherever_it_was_saved_from(tmp_path: Path) -> None:
    with_mlmodel(tmp_path / "m", {"flavors": function(model_code_path="/elsewhere/model.py")})
    with pytest.raises(Refused, match=r"there is no model\.py, which MLmodel says is loaded"):
        recognise(tmp_path / "m")
    (tmp_path / "m" / "model.py").touch()
    assert recognise(tmp_path / "m").serialization == "pyfunc"


def test_a_pickle_is_left_to_mlflow_where_its_classes_lie_in_the_folders_own_code(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(FOLDERS / "pickled", tmp_path / "m"))
    document = yaml.safe_load((folder / "MLmodel").read_text())
    document["flavors"]["python_function"]["code"] = "code"
    with_mlmodel(folder, document)
    with pytest.raises(Refused, match="there is no code, which MLmodel says is loaded"):
        served(folder, HERE)
    (folder / "code").mkdir()
    assert served(folder, HERE).serialization == "pyfunc"


@pytest.mark.parametrize(
    ("inputs", "outputs", "said"),
    [
        (None, [{"type": "long"}], ["does not say what the model takes"]),
        ([{"type": "long"}], [], ["does not say what the model gives"]),
        (
            [{"type": "object", "properties": {}, "name": "a"}, {"type": "double", "name": "b"}],
            [{"type": "array", "items": {"type": "long"}}],
            ["a, which it takes, is of type object", "0, which it gives, is of type array"],
        ),
        (
            [{"type": "tensor", "tensor-spec": {"dtype": "datetime64[ns]", "shape": [-1]}}],
            [{"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": []}}],
            ["0, which it takes, is no array of rows", "0, which it gives, is no array of rows"],
        ),
        (
            [{"type": "tensor", "tensor-spec": {"dtype": "str", "shape": [-1]}}],
            [{"type": "double", "name": "y"}, {"type": "long", "name": "y"}],
            ["y, which it gives, is the name of another, too"],
        ),
        (
            [{"type": "tensor", "tensor-spec": {"dtype": "str", "shape": [-1]}}],
            [{"type": "datetime", "name": "at"}],
            [],
        ),
    ],
    ids=["no inputs", "no outputs", "nested", "arrays", "twice", "carried"],
)
def test_what_no_request_and_no_answer_could_hold_is_told(
    inputs: Any, outputs: Any, said: list[str], tmp_path: Path
) -> None:
    signature = {
        key: json.dumps(value)
        for key, value in (("inputs", inputs), ("outputs", outputs))
        if value is not None
    }
    with_mlmodel(tmp_path / "m", {"flavors": function(), "signature": signature})
    found = read_mlflow_model(tmp_path / "m").function
    assert found is not None
    assert len(found.problems) == len(said)
    assert all(part in problem for part, problem in zip(said, found.problems, strict=True))


def test_a_folder_of_mlflow_is_one_model_whatever_else_lies_in_it(folder: Path) -> None:
    assert recognise(folder) == Recognised(format="mlflow", serialization="skops", path=".")
    assert recognise(folder, ".").path == "."
    shutil.copy(folder / "model.skops", folder / "copy.skops")
    assert recognise(folder).path == "."


def test_a_folder_of_mlflow_may_lie_in_a_project(folder: Path, tmp_path: Path) -> None:
    project = tmp_path / "project"
    shutil.copytree(folder, project / "models" / "iris")
    manifest = initial_manifest(project)
    assert (manifest.model.format, manifest.model.path) == ("mlflow", "models/iris")
    assert manifest.requirements == "models/iris/requirements.txt"
    assert served(project, manifest.model).path == "models/iris/model.skops"
    assert recognise_at(project, "models/iris") == recognise(project)
    shutil.copy(folder / "model.skops", project)
    with pytest.raises(SeveralModels, match=r"models/iris, model\.skops"):
        recognise(project)


def test_its_first_manifest_leaves_out_only_what_people_know(folder: Path) -> None:
    manifest = initial_manifest(folder)
    assert manifest.project == "iris-pipeline"
    assert manifest.model == HERE
    assert manifest.requirements == "requirements.txt"
    assert manifest.governance == Governance()
    assert parse_manifest(dump_manifest(manifest).encode()) == manifest


@pytest.mark.parametrize(
    ("saved", "request_of_it"),
    [
        ('{"columns": ["a"], "data": [[1], [null]]}', {"inputs": [{"a": 1}, {"a": None}]}),
        ("[[1.0, 2.0]]", {"inputs": [[1.0, 2.0]]}),
        ('{"inputs": [[1.0]]}', {"inputs": [[1.0]]}),
        ('{"inputs": {"a": [1], "b": [[2]]}}', {"inputs": {"a": [1], "b": [[2]]}}),
        ('{"inputs": {"a": 1}}', None),
        ('"a text"', None),
        ("{", None),
        ("[" * 20_001, None),
    ],
)
def test_the_example_of_a_folder_is_a_request(folder: Path, saved: str, request_of_it: Any) -> None:
    (folder / "input_example.json").unlink(missing_ok=True)
    (folder / "serving_input_example.json").unlink()
    assert served(folder, HERE).example is None
    (folder / "input_example.json").write_text(saved)
    assert served(folder, HERE).example == request_of_it


@pytest.mark.parametrize(
    ("sent", "request_of_it"),
    [
        ('{"dataframe_split": {"columns": ["a"], "data": [[1]]}}', {"inputs": [{"a": 1}]}),
        ('{"dataframe_records": [{"a": 1}]}', {"inputs": [{"a": 1}]}),
        ('{"instances": [[1.0]]}', {"inputs": [[1.0]]}),
        ('{"inputs": {"x": [[1.0]]}}', {"inputs": {"x": [[1.0]]}}),
        ("[", None),
    ],
)
def test_what_mlflow_would_send_to_its_own_server_stands_in_for_an_example(
    folder: Path, sent: str, request_of_it: Any
) -> None:
    (folder / "input_example.json").write_text('"of a kind that is not read"')
    (folder / "serving_input_example.json").write_text(sent)
    assert served(folder, HERE).example == request_of_it


def test_an_example_that_is_small_by_its_form_alone_is_none(folder: Path) -> None:
    small = {"columns": ["a" * 5000], "data": [[1]] * 2000}
    (folder / "serving_input_example.json").unlink()
    (folder / "input_example.json").write_text(json.dumps(small, separators=(",", ":")))
    assert served(folder, HERE).example is None


def test_an_example_without_its_answer_is_no_sample(folder: Path) -> None:
    """MLflow keeps a request. What the model should answer to it, only people can say."""
    assert (folder / "serving_input_example.json").is_file()
    assert initial_manifest(folder).model.sample is None


def test_a_folder_without_a_manifest_is_tried_out(folder: Path, tmp_path: Path) -> None:
    manifest = trial_manifest(folder)
    assert manifest is not None
    assert manifest.governance == Governance(trial=True)
    assert parse_manifest(dump_manifest(manifest).encode()) == manifest
    assert trial_manifest(tmp_path) is None


@pytest.mark.parametrize(
    ("place", "said", "name"),
    [
        ("models/m-0e3f1b6c/artifacts", "model_id: m-0e3f1b6c\nrun_id: ec93c7e3", "m-0e3f1b6c"),
        ("ec93c7e3/artifacts/model", "run_id: ec93c7e3", "ec93c7e3"),
        ("ec93c7e3/artifacts/wine", "model_id: m-0e3f1b6c\nrun_id: ec93c7e3", "wine"),
        ("wine/model", "model_id: null", "model"),
        ("wine/model", "model_id: [3]\nrun_id: 7", "model"),
    ],
)
def test_a_folder_that_mlflow_named_like_everybodys_is_tried_out_under_the_models_own_name(
    folder: Path, tmp_path: Path, place: str, said: str, name: str
) -> None:
    logged = tmp_path / "store" / place
    shutil.copytree(folder, logged)
    text = (logged / "MLmodel").read_text().replace("model_id: null\n", "")
    (logged / "MLmodel").write_text(f"{text}{said}\n")
    manifest = trial_manifest(logged)
    assert manifest is not None
    assert manifest.project == name == initial_manifest(logged).project


def test_of_a_folder_that_is_tried_out_no_other_model_is_read(folder: Path) -> None:
    expected = trial_manifest(folder)
    (folder / "other").mkdir()
    (folder / "other" / "MLmodel").symlink_to("/nowhere")
    assert trial_manifest(folder) == expected


def test_a_manifest_that_goes_along_makes_the_archive_of_a_folder_that_has_it(
    folder: Path, tmp_path: Path
) -> None:
    manifest = dump_manifest(initial_manifest(folder)).encode()
    sent = pack(folder, tmp_path / "sent.tar", manifest=manifest)
    (folder / "placet.yaml").write_bytes(manifest)
    assert sent == pack(folder, tmp_path / "own.tar")
    assert inspect_archive(tmp_path / "sent.tar").manifest == manifest


@pytest.mark.parametrize(
    "path",
    ["../model.skops", "/etc/passwd", "a/../../b", "", "a\\b", "model.skops\n", None, 5, ["model.skops"]],
)
def test_a_path_that_leads_out_of_the_folder_is_refused(path: Any, tmp_path: Path) -> None:
    with_mlmodel(tmp_path / "m", {"flavors": {"sklearn": {"pickled_model": path}}})
    with pytest.raises(DocumentRefused, match=r"flavors\.sklearn\.pickled_model"):
        read_mlflow_model(tmp_path / "m")


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ("", "Expected `object`"),
        ("- a", "Expected `object`"),
        ("flavors: 5", "flavors"),
        ("flavors: {sklearn: 5}", "flavors"),
        ("a: &a [1]\nflavors: {sklearn: *a}", "aliases"),
        ("flavors: !!python/object/apply:os.system [true]", "tags"),
        ("flavors: {}\nflavors: {}", "given twice"),
        ("flavors: " + "[" * 100, "deep"),
        ("flavors: {}\nsignature: {inputs: '['}", "this is not JSON"),
        ("flavors: {}\nsignature: {inputs: '" + "[" * 100_000 + "'}", "this is not JSON"),
        ("flavors: {}\nsignature: {inputs: '[1]'}", "Expected `object`"),
        ("flavors: {}\nsignature: {inputs: [a]}", "signature.inputs"),
        ("x" * (1024**2 + 1), "over the limit"),
        ("flavors: [" + "a," * 500_000 + "]", "more than 20000 keys and values"),
        ("\ufffe", "not YAML"),
    ],
    ids=lambda value: value[:30],
)
def test_a_hostile_document_is_refused_with_its_reason(document: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(DocumentRefused) as no:
        read_mlflow_model(with_mlmodel(tmp_path / "m", document))
    assert said in str(no.value)
    assert str(no.value).startswith("one mistake in MLmodel")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(content=st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "MLmodel").write_bytes(content)
    with suppress(DocumentRefused):
        read_mlflow_model(tmp_path)


@pytest.mark.parametrize(
    ("inputs", "columns"),
    [
        ([{"type": "long", "name": "a", "required": False}], [("a", False)]),
        ([{"type": "long", "name": "a", "more": 1}], [("a", True)]),
        ([{"type": "long"}, {"type": "double"}], []),
        ([{"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1, 4]}}], []),
        ([{"type": "array", "items": {"type": "long"}, "name": "a"}], []),
        ([{"type": "binary", "name": "a"}], []),
        ([{"type": "long", "name": 1}], []),
    ],
    ids=str,
)
def test_only_plain_columns_with_names_make_a_frame(
    inputs: list[Any], columns: list[tuple[str, bool]], tmp_path: Path
) -> None:
    document = {"flavors": {}, "signature": {"inputs": json.dumps(inputs), "outputs": None}}
    read = read_mlflow_model(with_mlmodel(tmp_path / "m", document))
    assert [(column.name, column.required) for column in read.columns] == columns


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ([{"type": "long", "name": "a"}] * 2, "two columns have the same name"),
        ([{"type": "long", "name": str(number)} for number in range(10_001)], "over the limit of 10000"),
    ],
    ids=["twice", "many"],
)
def test_a_frame_that_could_not_be_asked_for_is_refused(inputs: list[Any], said: str, tmp_path: Path) -> None:
    document = {"flavors": {}, "signature": {"inputs": json.dumps(inputs)}}
    with pytest.raises(DocumentRefused, match=said):
        read_mlflow_model(with_mlmodel(tmp_path / "m", document))


@pytest.mark.parametrize(
    ("flavours", "said"),
    [
        ({}, "MLmodel has no flavour, of which none"),
        (
            {"keras": {"data": "data"}},
            "MLmodel has keras, of which none has a file that can be served, and no python_function",
        ),
        ({"sklearn": {"pickled_model": "gone.skops"}}, "none has a file that can be served"),
        ({"onnx": {"data": "model.skops"}}, "none has a file that can be served"),
        ({"sklearn": {"pickled_model": "é" * 200}}, "none has a file that can be served"),
    ],
    ids=str,
)
def test_a_folder_of_which_nothing_can_be_served_says_what_it_has(
    flavours: dict[str, Any], said: str, folder: Path
) -> None:
    with_mlmodel(folder, {"flavors": flavours})
    with pytest.raises(Refused, match=said) as no:
        recognise(folder)
    assert no.value.fix is not None
    assert "sklearn, " in no.value.fix
    with pytest.raises(Refused, match=said):
        served(folder, HERE)


def test_a_folder_that_is_none_of_mlflows_is_not_served_as_one(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="there is no MLmodel"):
        served(tmp_path, HERE)
    assert recognise_at(tmp_path, ".") is None
