"""Folders that only MLflow itself loads answer as `mlflow.pyfunc.load_model(folder).predict` does."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import mlflow.sklearn
import numpy as np
import pytest
from mlflow.models import ModelSignature, infer_signature
from mlflow.types import ColSpec, DataType, Schema, TensorSpec
from mlflow.types.schema import Array as ArrayType
from placet.projects import served
from placet.projects.manifest import Model
from placet.runtime.formats import mlflow_pyfunc
from placet.runtime.model import CannotLoad, WrongAnswer, load
from placet.runtime.model import Model as Loaded
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from tritonclient.http import InferenceServerClient, InferInput  # type: ignore[import-untyped]

from tests.contract.runtime.serving import Served as Server
from tests.contract.runtime.serving import command, image, serving
from tests.mlflow_folders import write
from tests.mlflow_folders.frames import BACK, SPENDING, VISITS

FOLDERS = Path(write.__file__).parent
NEEDED = ["cloudpickle"]
OWN_CODE = """
from sklearn.base import BaseEstimator, TransformerMixin

class Doubled(TransformerMixin, BaseEstimator):
    def fit(self, rows, y=None):
        return self

    def transform(self, rows):
        return rows * 2
"""


@pytest.fixture(autouse=True)
def mlflow_finds_its_environment_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading a folder tells MLflow to keep to itself, for the rest of the process that does nothing else."""
    for name in mlflow_pyfunc.to_itself():
        monkeypatch.setenv(name, os.environ.get(name, ""))


def root_of(tmp_path: Path, folder: Path) -> Path:
    """The image that the builder makes of it, without its packages."""
    found = served(folder, Model(format="mlflow", path="."))
    root = image(tmp_path, project="model", format=found.format, path=found.path, pickle=True)
    shutil.copytree(folder, root / "project", dirs_exist_ok=True)
    return root


@pytest.fixture(scope="module")
def prices(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(root_of(tmp_path_factory.mktemp("prices"), FOLDERS / "prices")) as server:
        yield server


def test_a_model_from_code_answers_as_mlflow_does(prices: Server) -> None:
    expected = mlflow.pyfunc.load_model(str(FOLDERS / "prices")).predict(VISITS).to_dict("list")
    for inputs in (VISITS.to_dict("records"), VISITS.to_dict("list"), VISITS.to_numpy().tolist()):
        answer = prices.client.post("/predict", json={"inputs": inputs})
        assert answer.json() == {"outputs": expected}, answer.text


def test_a_client_of_the_protocol_has_a_tensor_for_each_column_in_and_out(prices: Server) -> None:
    expected = mlflow.pyfunc.load_model(str(FOLDERS / "prices")).predict(VISITS)
    kinds = {"city": "BYTES", "age": "INT64", "member": "BOOL", "spent": "FP64"}
    with InferenceServerClient(prices.address, connection_timeout=60, network_timeout=60) as client:
        metadata = client.get_model_metadata("model")
        assert {tensor["name"]: tensor["datatype"] for tensor in metadata["inputs"]} == kinds
        tensors = []
        for name, datatype in kinds.items():
            values = VISITS[name].to_numpy()
            tensor = InferInput(name, [len(values)], datatype)
            tensor.set_data_from_numpy(values.astype(object) if datatype == "BYTES" else values)
            tensors.append(tensor)
        answer = client.infer("model", tensors)
    assert answer.as_numpy("price").tolist() == expected["price"].tolist()
    assert [text.decode() for text in answer.as_numpy("city")] == expected["city"].tolist()


@pytest.mark.parametrize("value", [31.5, "31", None, True])
def test_a_value_that_mlflow_would_refuse_is_refused(prices: Server, value: Any) -> None:
    row = VISITS.to_dict("records")[0] | {"age": value}
    answer = prices.client.post("/predict", json={"inputs": [row]})
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith("row 0, age: expected a")


def test_it_has_no_server_of_its_own_and_writes_to_its_temporary_folder_alone(tmp_path: Path) -> None:
    code = """
import mlflow
import pandas as pd

class Told(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return [mlflow.get_tracking_uri()] * len(model_input)

mlflow.models.set_model(Told())
"""
    texts = infer_signature(["a"], ["b"])
    root = root_of(tmp_path / "root", from_code(tmp_path, code, texts))
    scratch, home = tmp_path / "tmp", tmp_path / "home"
    scratch.mkdir()
    home.mkdir()
    before = {path: path.stat().st_mtime_ns for path in (root / "project").rglob("*")}
    given = {"HOME": str(home), "TMPDIR": str(scratch), "PYTHONDONTWRITEBYTECODE": "1"}
    with serving(root, given) as server:
        answer = server.client.post("/predict", json={"inputs": ["a", "b"]})
    assert answer.json()["outputs"] == [f"sqlite:///{scratch}/mlflow.db"] * 2
    assert {path: path.stat().st_mtime_ns for path in (root / "project").rglob("*")} == before
    assert list(home.iterdir()) == []


def from_code(tmp_path: Path, code: str, signature: ModelSignature, **more: Any) -> Path:
    """A folder as MLflow keeps it for a model in a script."""
    script = tmp_path / "script.py"
    script.write_text(code)
    folder = tmp_path / "saved"
    mlflow.pyfunc.save_model(
        folder, python_model=str(script), signature=signature, pip_requirements=NEEDED, **more
    )
    return folder


def loaded(folder: Path) -> Loaded:
    found = served(folder, Model(format="mlflow", path="."))
    assert found.serialization == "pyfunc"
    assert found.function is not None
    assert found.function.problems == ()
    return load(found.format, folder / found.path, (), may_unpickle=True)


def answers(model: Loaded, **inputs: Any) -> dict[str, Any]:
    given = {
        name.replace("_", "-") if name == "input_0" else name: np.asarray(each)
        for name, each in inputs.items()
    }
    names = [tensor.name for tensor in model.signature.outputs]
    return {name: array.tolist() for name, array in model.predict(given, names).items()}


def test_a_model_of_a_notebook_answers_as_mlflow_does_and_each_request_for_itself(tmp_path: Path) -> None:
    """It adds the rows up: whose rows they are makes a difference."""
    write.shifted(tmp_path / "shifted")
    rows = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    model = loaded(tmp_path / "shifted")
    expected = mlflow.pyfunc.load_model(str(tmp_path / "shifted")).predict(rows)
    assert answers(model, input_0=rows) == {"predict": expected.tolist()}
    assert [tensor.shape for tensor in (*model.signature.inputs, *model.signature.outputs)] == [(-1, 2)] * 2
    assert not model.signature.batches


def test_a_model_of_a_library_answers_as_mlflow_does() -> None:
    rows = SPENDING.drop(columns="spent")
    model = loaded(FOLDERS / "spending")
    assert model.signature.columns == ("age", "visits")
    expected = mlflow.pyfunc.load_model(str(FOLDERS / "spending")).predict(rows)
    assert answers(model, input_0=rows.to_numpy()) == {"predict": expected.tolist()}


def test_a_pickle_of_scikit_learn_with_code_of_its_own_answers_as_mlflow_does(tmp_path: Path) -> None:
    """scikit-learn's own way to load it would not find the class."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "own_steps.py").write_text(OWN_CODE)
    sys.path.insert(0, str(tmp_path / "code"))
    try:
        doubled = import_module("own_steps").Doubled()
        numbers = VISITS[["age", "spent"]].astype(float)
        pipeline = make_pipeline(doubled, LogisticRegression()).fit(numbers, BACK)
        mlflow.sklearn.save_model(
            pipeline,
            tmp_path / "saved",
            code_paths=[str(tmp_path / "code" / "own_steps.py")],
            serialization_format="pickle",
            signature=infer_signature(numbers, BACK),
            pip_requirements=["scikit-learn"],
        )
    finally:
        sys.path.remove(str(tmp_path / "code"))
        sys.modules.pop("own_steps", None)
    model = loaded(tmp_path / "saved")
    assert answers(model, input_0=numbers.to_numpy()) == {"predict": pipeline.predict(numbers).tolist()}


ECHO = """
import mlflow
import numpy as np
import pandas as pd

class Echo(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return {answer}

mlflow.models.set_model(Echo())
"""


def frame_of(**types: DataType) -> Schema:
    return Schema([ColSpec(kind, name) for name, kind in types.items()])


NUMBERS = frame_of(a=DataType.double)


@pytest.mark.parametrize(
    ("answer", "gives", "expected"),
    [
        ('model_input["a"]', Schema([ColSpec(DataType.double)]), {"predict": [1.5, 2.5]}),
        ('model_input["a"].tolist()', Schema([ColSpec(DataType.double)]), {"predict": [1.5, 2.5]}),
        ("model_input", Schema([ColSpec(DataType.double)]), {"predict": [1.5, 2.5]}),
        ('model_input["a"].to_numpy() > 2', Schema([ColSpec(DataType.boolean)]), {"predict": [False, True]}),
        (
            'pd.DataFrame({"y": model_input["a"], "at": pd.Timestamp("2026-01-31T12:00:00")})',
            frame_of(y=DataType.double, at=DataType.datetime),
            {"y": [1.5, 2.5], "at": ["2026-01-31T12:00:00"] * 2},
        ),
        (
            '[{"y": each, "kind": "x"} for each in model_input["a"]]',
            frame_of(y=DataType.double, kind=DataType.string),
            {"y": [1.5, 2.5], "kind": ["x", "x"]},
        ),
        (
            '{"y": model_input.to_numpy(), "n": np.array([7])}',
            Schema(
                [TensorSpec(np.dtype("float64"), (-1, 1), "y"), TensorSpec(np.dtype("int64"), (-1,), "n")]
            ),
            {"y": [[1.5], [2.5]], "n": [7]},
        ),
        (
            "np.stack([model_input['a'], model_input['a'] * 2], axis=1)",
            Schema([ColSpec(DataType.double), ColSpec(DataType.double)]),
            {"0": [1.5, 2.5], "1": [3.0, 5.0]},
        ),
    ],
    ids=["series", "list", "frame of one", "truths", "frame", "records", "named arrays", "matrix of columns"],
)
def test_whatever_a_model_gives_is_told_by_the_names_of_its_signature(
    answer: str, gives: Schema, expected: dict[str, Any], tmp_path: Path
) -> None:
    signature = ModelSignature(inputs=NUMBERS, outputs=gives)
    model = loaded(from_code(tmp_path, ECHO.replace("{answer}", answer), signature))
    assert answers(model, a=[1.5, 2.5]) == expected


@pytest.mark.parametrize(
    ("answer", "gives", "said"),
    [
        ('{"z": [1.0]}', frame_of(y=DataType.double), "predict gave no y"),
        ("model_input", frame_of(y=DataType.double, z=DataType.double), "predict gave no y"),
        (
            'pd.DataFrame({"z": model_input["a"], "r": model_input["a"]})',
            frame_of(y=DataType.double, z=DataType.double),
            "predict gave no y",
        ),
        (
            "np.ma.masked_array([1.0, 2.0], [False, True])",
            Schema([ColSpec(DataType.double)]),
            "gave a predict with masked values",
        ),
        (
            "np.ma.masked_array([[1.0, 2.0]], [[False, True]])",
            frame_of(y=DataType.double, z=DataType.double),
            "gave a z with masked values",
        ),
        (
            "np.ma.masked_array(np.array(['2026-01-31'], 'datetime64[ns]'), [True])",
            frame_of(at=DataType.datetime),
            "gave a at that holds other values than texts",
        ),
        ('["x"]', Schema([ColSpec(DataType.double)]), "is no array of FP64"),
        ("[[1.0, 2.0]]", Schema([ColSpec(DataType.double)]), r"in the shape \[1, 2\], and not \[-1\]"),
        ("[1.0]", Schema([ColSpec(DataType.double)] * 2), r"a list of shape \[1\], and not 0, 1"),
    ],
)
def test_what_is_not_as_the_signature_says_is_a_wrong_answer(
    answer: str, gives: Schema, said: str, tmp_path: Path
) -> None:
    signature = ModelSignature(inputs=NUMBERS, outputs=gives)
    model = loaded(from_code(tmp_path, ECHO.replace("{answer}", answer), signature))
    with pytest.raises(WrongAnswer, match=said):
        answers(model, a=[1.5, 2.5])


def test_the_frame_has_mlflows_types_and_lacks_what_was_left_out(tmp_path: Path) -> None:
    answer = "[' '.join(f'{name}:{kind}' for name, kind in model_input.dtypes.items())]"
    takes = Schema(
        [
            ColSpec(DataType.integer, "i", required=False),
            ColSpec(DataType.long, "n", required=False),
            ColSpec(DataType.float, "f"),
            ColSpec(DataType.boolean, "b"),
            ColSpec(DataType.datetime, "at"),
        ]
    )
    signature = ModelSignature(inputs=takes, outputs=Schema([ColSpec(DataType.string)]))
    model = loaded(from_code(tmp_path, ECHO.replace("{answer}", answer), signature))
    datatypes = {tensor.name: tensor.datatype for tensor in model.signature.inputs}
    assert datatypes == {"i": "FP64", "n": "FP64", "f": "FP32", "b": "BOOL", "at": "BYTES"}
    given = {
        "i": np.array([1.0]),
        "n": np.array([np.nan]),
        "f": np.array([1.5], dtype=np.float32),
        "b": np.array([True]),
        "at": np.array(["2026-01-31"], dtype="datetime64[ns]"),
    }
    assert answers(model, **given)["predict"] == ["i:int32 f:float32 b:bool at:datetime64[ns]"]


def test_a_list_is_what_a_model_of_a_single_unnamed_column_is_given(tmp_path: Path) -> None:
    code = """
import mlflow

class Shout(mlflow.pyfunc.PythonModel):
    def predict(self, model_input: list[str], params=None) -> list[str]:
        return [each.upper() for each in model_input]

mlflow.models.set_model(Shout())
"""
    script = tmp_path / "script.py"
    script.write_text(code)
    mlflow.pyfunc.save_model(tmp_path / "saved", python_model=str(script), pip_requirements=NEEDED)
    model = loaded(tmp_path / "saved")
    assert answers(model, input_0=np.array(["a", "b"], dtype=object)) == {"predict": ["A", "B"]}


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (
            "import nowhere",
            r"No module named 'nowhere' \(script\.py, line 1\); name its package in requirements",
        ),
        ("\nraise ValueError('no weights')", r"ValueError: no weights \(script\.py, line 2\)"),
        ("raise SystemExit(0)", r"SystemExit: 0 \(script\.py, line 1\)"),
    ],
)
def test_what_cannot_be_loaded_says_why_and_where(code: str, said: str, tmp_path: Path) -> None:
    signature = ModelSignature(inputs=NUMBERS, outputs=NUMBERS)
    folder = from_code(tmp_path, ECHO.replace("{answer}", "model_input"), signature)
    (folder / "script.py").write_text(code)
    with pytest.raises(CannotLoad, match=said):
        loaded(folder)


@pytest.mark.parametrize(
    ("takes", "gives", "said"),
    [
        (NUMBERS, None, "does not say what the model takes and gives"),
        (Schema([ColSpec(ArrayType(DataType.double), "a")]), NUMBERS, "a is of type Array"),
        (Schema([TensorSpec(np.dtype("datetime64[ns]"), (-1,))]), NUMBERS, "is an array of datetime64"),
        (NUMBERS, Schema([ColSpec(DataType.double, "y")] * 2), "has the same name twice: y, y"),
    ],
)
def test_what_no_tensor_holds_is_refused_as_it_is_loaded(
    takes: Schema, gives: Schema | None, said: str, tmp_path: Path
) -> None:
    """`placet check` says so before."""
    signature = ModelSignature(inputs=takes, outputs=gives)
    folder = from_code(tmp_path, ECHO.replace("{answer}", "model_input"), signature)
    found = served(folder, Model(format="mlflow", path="."))
    assert found.function is not None
    assert len(found.function.problems) == 1
    with pytest.raises(CannotLoad, match=said):
        load("mlflow", folder, (), may_unpickle=True)


def test_a_folder_without_its_document_is_none(tmp_path: Path) -> None:
    with pytest.raises(CannotLoad, match=r"is not in the project's folder"):
        load("mlflow", tmp_path, (), may_unpickle=True)


def test_readiness_says_what_failed(tmp_path: Path) -> None:
    signature = ModelSignature(inputs=NUMBERS, outputs=NUMBERS)
    root = root_of(tmp_path / "root", from_code(tmp_path, ECHO.replace("{answer}", "model_input"), signature))
    (root / "project" / "script.py").write_text("import nowhere")
    done = subprocess.run(command(root, "--port", "0"), capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(
        "placet.runtime: MLflow cannot load the folder of MLmodel: ModuleNotFoundError: No module named 'nowhere'"
    )


def test_nothing_is_loaded_unless_the_image_says_that_it_may_be() -> None:
    with pytest.raises(
        CannotLoad, match=r"is what MLflow would unpickle or import, and placet\.json does not say"
    ):
        load("mlflow", FOLDERS / "spending", ())
