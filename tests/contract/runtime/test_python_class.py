"""A model that is a class of the project: what it says is served, and what is wrong with it is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from placet.runtime.model import CannotLoad, Model, WrongAnswer, load
from placet.runtime.plain import PlainCodec

from tests.contract.runtime.serving import image, serving
from tests.contract.runtime.test_process import ends

DOUBLE = """
from beside import FACTOR

class Model:
    inputs = {"x": "FP64"}
    outputs = {"y": "FP64"}

    def load(self, folder):
        self.more = float((folder / "more").read_text())

    def predict(self, inputs):
        if (inputs["x"] < 0).any():
            raise ValueError("below zero")
        if (inputs["x"] > 1000).any():
            raise OSError("a thousand is too much")
        return {"y": inputs["x"] * FACTOR + self.more}
"""


def model_py(
    folder: Path, *, inputs: str = '{"x": "FP64"}', outputs: str = '{"y": "FP64"}', gives: str = "inputs['x']"
) -> Path:
    path = folder / "model.py"
    path.write_text(
        f"import numpy as np\nclass Model:\n    inputs = {inputs}\n    outputs = {outputs}\n"
        f"    def load(self, folder): pass\n    def predict(self, inputs): return {gives}\n"
    )
    return path


def asked(model: Model, body: str) -> Any:
    plain = PlainCodec(model.signature)
    return plain.encode(model.predict(plain.decode(body.encode()), plain.outputs)).decode()


def test_it_is_loaded_once_from_its_folder_and_answers(tmp_path: Path) -> None:
    root = image(tmp_path, project="double", format="python", path="src/model.py")
    (root / "project" / "src").mkdir()
    (root / "project" / "src" / "model.py").write_text(DOUBLE)
    (root / "project" / "src" / "beside.py").write_text("FACTOR = 2\n")
    (root / "project" / "src" / "more").write_text("1")
    with serving(root) as served:
        good = served.client.post("/predict", json={"inputs": [[1], [2.5]]})
        refused = served.client.post("/predict", json={"inputs": [[-1]]})
        failed = served.client.post("/predict", json={"inputs": [[1001]]})
        page = served.client.get("/docs").text
        schema = served.client.get("/openapi.json").json()
        log = str(served.events())

    assert good.json() == {"outputs": [3.0, 6.0]}
    assert (refused.status_code, refused.json()["detail"]) == (
        422,
        "the model refuses these inputs: below zero",
    )
    assert (failed.status_code, failed.json()["detail"]) == (500, "the model failed with OSError")
    assert "a thousand is too much" in log
    assert "served from python" in page
    assert "<code>x</code></td><td>FP64</td>" in page
    assert schema["info"]["description"] == "Served from python."


def test_texts_rows_and_probabilities_are_what_it_says_of_them(tmp_path: Path) -> None:
    path = model_py(
        tmp_path,
        inputs='{"word": "BYTES", "pixels": ("FP32", 2)}',
        outputs='{"label": "BYTES", "probabilities": ("FP64", 2)}',
        gives='{"label": inputs["word"], "probabilities": inputs["pixels"] / 4, "more": 1}',
    )
    model = load("python", path, ())

    answer = asked(model, '{"inputs": {"word": ["a", "b"], "pixels": [[1, 2], [3, 4]]}}')

    assert answer == '{"outputs":["a","b"],"probabilities":[[0.25,0.5],[0.75,1.0]]}'


@pytest.mark.parametrize("gives", ["inputs['x'].tolist()", "inputs['x'][:, None]", "{'y': inputs['x']}"])
def test_one_output_may_be_given_as_it_is(tmp_path: Path, gives: str) -> None:
    assert asked(load("python", model_py(tmp_path, gives=gives), ()), '{"inputs": [[1], [2]]}') == (
        '{"outputs":[1.0,2.0]}'
    )


def test_several_outputs_are_answered_by_name(tmp_path: Path) -> None:
    path = model_py(tmp_path, outputs='{"y": "FP64", "z": "INT64"}', gives="{'y': inputs['x'], 'z': [1]}")
    assert asked(load("python", path, ()), '{"inputs": [[2]]}') == '{"outputs":{"y":[2.0],"z":[1]}}'


def test_missing_values_are_taken_by_who_says_so(tmp_path: Path) -> None:
    path = model_py(tmp_path)
    assert load("python", path, ()).signature.takes_missing is False
    path.write_text(path.read_text().replace("    inputs", "    takes_missing = True\n    inputs", 1))
    assert load("python", path, ()).signature.takes_missing is True


@pytest.mark.parametrize(
    ("outputs", "gives", "said"),
    [
        ('{"y": "FP64"}', "{'z': 1}", "predict gave no y"),
        ('{"y": "FP64"}', "None", "predict gave a y that is no array of FP64: "),
        ('{"y": "FP64"}', "['a', 'b']", "predict gave a y that is no array of FP64: "),
        ('{"y": "INT64"}', "[0.5, 1]", "predict gave a y that is no array of INT64: "),
        ('{"y": "FP64"}', "[[1], [2, 3]]", "predict gave a y that is no array of FP64: "),
        ('{"y": "FP64"}', "[1.0]", "predict gave y in the shape [1], and not [2]"),
        ('{"y": "FP64"}', "1.0", "predict gave y in the shape [], and not [2]"),
        ('{"y": ("FP64", 3)}', "np.ones((2, 2))", "predict gave y in the shape [2, 2], and not [2, 3]"),
        ('{"y": "BYTES"}', "[1, 2]", "predict gave a y that holds other values than texts"),
        ('{"y": "FP64", "z": "FP64"}', "[1, 2]", "predict gave a list, and not a dictionary of y, z"),
    ],
)
def test_an_answer_that_is_not_what_it_says_is_named(
    tmp_path: Path, outputs: str, gives: str, said: str
) -> None:
    model = load("python", model_py(tmp_path, outputs=outputs, gives=gives), ())
    with pytest.raises(WrongAnswer) as wrong:
        model.predict({"x": np.array([1.0, 2.0])}, [tensor.name for tensor in model.signature.outputs])
    assert str(wrong.value).startswith(said)


def test_a_wrong_answer_is_the_models_failure_and_said_to_who_asked(tmp_path: Path) -> None:
    root = image(tmp_path, project="p", format="python", path="model.py")
    model_py(root / "project", gives="{'z': 1}")
    with serving(root) as served:
        answer = served.client.post("/predict", json={"inputs": [[1]]})
        events = [event["event"] for event in served.events()]

    assert answer.status_code == 500
    assert answer.json()["detail"] == "the model is not what it says: predict gave no y"
    assert events == ["model loaded", "serving", "prediction failed"]


@pytest.mark.parametrize(
    ("said", "instead", "told"),
    [
        ("class Model", "class Other", "model.py has no class Model"),
        ("def load", "def lode", "class Model in model.py has no method load"),
        ("def predict", "def ask", "class Model in model.py has no method predict"),
        ("inputs = ", "takes = ", "class Model in model.py does not say its inputs: write `inputs = "),
        ("outputs = ", "gives = ", "class Model in model.py does not say its outputs: write `outputs = "),
        ('"FP64"', '"float"', "inputs of class Model in model.py says 'float' of x, and not \"FP64\""),
        ('"FP64"', '("FP64", "3")', "inputs of class Model in model.py says ('FP64', '3') of x"),
        (
            "def load(self, folder): pass",
            "def load(self, folder): (folder / 'weights').read_text()",
            "loading the Model in model.py failed with FileNotFoundError: ",
        ),
        ("def load(self, folder)", "def load(self)", "loading the Model in model.py failed with TypeError: "),
        ("pass", "raise SystemExit(3)", "loading the Model in model.py failed with SystemExit: 3 (model.py, line 5)"),
        (
            "import numpy",
            "import no_such_module, numpy",
            "ModuleNotFoundError: No module named 'no_such_module' (model.py, line 1); name its package in "
            "requirements.txt",
        ),
        ("import numpy as np", "1 / 0", "model.py cannot be imported: ZeroDivisionError: division by zero "
            "(model.py, line 1)"),
        ("class Model:", "class Model", "model.py cannot be imported: SyntaxError: expected ':'"),
    ],
)  # fmt: skip
def test_what_keeps_it_from_being_served_is_one_line_and_status_1(
    tmp_path: Path, said: str, instead: str, told: str
) -> None:
    root = image(tmp_path, project="p", format="python", path="model.py")
    path = model_py(root / "project")
    assert said in path.read_text()
    path.write_text(path.read_text().replace(said, instead, 1))

    status, error = ends(root)

    assert status == 1
    assert error.startswith(f"placet.runtime: {told}")
    assert error.count("\n") == 1


def test_a_file_that_is_not_pythons_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.txt").touch()
    with pytest.raises(CannotLoad, match=r"model\.txt is not Python's"):
        load("python", tmp_path / "model.txt", ())


HOSTILE = """
class Odd(ValueError):
    def __str__(self):
        raise SystemExit(1)


class Model:
    inputs = {"x": "FP64"}
    outputs = {"y": "FP64"}

    def load(self, folder):
        pass

    def predict(self, inputs):
        match int(inputs["x"][0]):
            case 1:
                raise ValueError("\\ud800")
            case 2:
                raise ValueError("x" * 10**6)
            case 3:
                raise Odd
            case 4:
                next(iter(()))
        return inputs["x"]
"""


def test_whatever_a_model_raises_its_client_gets_a_problem_and_the_next_one_an_answer(tmp_path: Path) -> None:
    root = image(tmp_path, project="p", format="python", path="model.py")
    (root / "project" / "model.py").write_text(HOSTILE)
    with serving(root) as served:
        answers = [served.client.post("/predict", json={"inputs": [[number]]}) for number in (1, 2, 3, 4, 0)]

    *problems, last = answers
    assert [each.status_code for each in problems] == [422, 422, 422, 500]
    details = [each.json()["detail"] for each in problems]
    assert details[0] == "the model refuses these inputs: \\ud800"
    assert len(problems[1].content) < 10_000
    assert details[2] == "the model refuses these inputs: Odd"
    assert "StopIteration" in details[3]
    assert last.json() == {"outputs": [0.0]}
