"""PyTorch for real: what it writes is read as data, answers as it does itself, and goes live embedded.

Run by `make test-large`, with PyTorch beside the tests. Images get theirs from the package index, some gigabytes, once.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from placet.projects import program_problems, torch_operators
from placet.runtime.model import CannotLoad, load
from sklearn.datasets import load_digits

from tests.support.platforms import ROOT, Platform, embedded
from tests.support.torch_files import node, program, pt2
from tests.system.scenarios import deploy, placet

torch: Any = pytest.importorskip("torch")
pytestmark = pytest.mark.large

EXAMPLE = ROOT / "examples" / "handwriting"
PIXELS = load_digits().data[::40].astype(np.float32)
NETWORK = """
import torch

class Model(torch.nn.Module):
    inputs = {"pixels": ("FP32", 64)}
    outputs = {"digit": "INT64", "scores": ("FP32", 10)}

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(64, 10)

    def forward(self, pixels):
        scores = self.layer(pixels)
        return {"digit": scores.argmax(1), "scores": scores}
"""


def rows(*shape: int) -> Any:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(7))


def words(*shape: int) -> Any:
    return torch.randint(0, 100, shape, generator=torch.Generator().manual_seed(7))


class Sentences(torch.nn.Module):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.words = torch.nn.Embedding(100, 16)
        layer = torch.nn.TransformerEncoderLayer(16, 4, 32, batch_first=True)
        self.encoder = torch.nn.TransformerEncoder(layer, 2)
        self.score = torch.nn.Linear(16, 3)

    def forward(self, tokens: Any) -> Any:
        return self.score(self.encoder(self.words(tokens)).mean(1))


class Pictures(torch.nn.Module):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Conv2d(1, 4, 3, padding=1),
            torch.nn.BatchNorm2d(4),
            torch.nn.ReLU(inplace=True),
            torch.nn.MaxPool2d(2),
            torch.nn.Flatten(),
            torch.nn.Dropout(),
            torch.nn.Linear(64, 10),
        )

    def forward(self, image: Any) -> Any:
        scores = self.layers(image.reshape(image.shape[0], 1, 8, 8))
        best, which = scores.topk(2)
        first, second = scores.chunk(2, 1)
        return best, which, first * second


class Series(torch.nn.Module):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.memory = torch.nn.LSTM(4, 8, 2, batch_first=True)

    def forward(self, series: Any) -> Any:
        return self.memory(series)[0][:, -1]


class Halves(torch.nn.Module):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(4, 8).to(torch.bfloat16)

    def forward(self, x: Any, scale: Any) -> Any:
        largest = torch.where(x > 0, x, float("-inf")).amax(1)
        return {"y": self.layer(x.to(torch.bfloat16)) * scale[:, None], "largest": largest}


def exported(model: Any, given: tuple[Any, ...], path: Path, *, is_decomposed: bool = False) -> Path:
    any_rows = tuple({0: torch.export.Dim.AUTO} for _ in given)
    whole = torch.export.export(model, given, dynamic_shapes=any_rows)
    torch.export.save(whole.run_decompositions() if is_decomposed else whole, path)
    return path


@pytest.mark.parametrize("is_decomposed", [False, True])
@pytest.mark.parametrize(
    ("kind", "given"),
    [
        (Sentences, lambda n: (words(n, 7),)),
        (Pictures, lambda n: (rows(n, 64),)),
        (Series, lambda n: (rows(n, 5, 4),)),
        (Halves, lambda n: (rows(n, 4), rows(n))),
    ],
)
def test_a_program_answers_like_the_model_it_was_exported_from(
    kind: Any, given: Any, is_decomposed: bool, tmp_path: Path
) -> None:
    torch.manual_seed(7)
    model = kind().eval()
    path = exported(model, given(4), tmp_path / "model.pt2", is_decomposed=is_decomposed)
    assert program_problems(path) == []
    served = load("pytorch", path, torch_operators())
    assert served.signature.has_rows
    for count in (1, 4, 9):
        said = given(count)
        names = [tensor.name for tensor in served.signature.inputs]
        outputs = [tensor.name for tensor in served.signature.outputs]
        arrays = {name: tensor.numpy() for name, tensor in zip(names, said, strict=True)}
        answers = served.predict(arrays, outputs)
        with torch.inference_mode():
            expected = model(*said)
        if not isinstance(expected, tuple):
            expected = tuple(expected.values()) if isinstance(expected, dict) else (expected,)
        for output, wanted in zip(served.signature.outputs, expected, strict=True):
            answer = answers[output.name]
            assert output.takes(answer.shape)
            np.testing.assert_allclose(answer, wanted.float().numpy(), rtol=1e-5, atol=1e-6)


def hostile(path: Path, mark: Path) -> Path:
    """PyTorch's own loader runs this: an expression that is a dimension."""
    document = program(node("torch.ops.aten.relu.default", {"as_tensor": {"name": "x"}}))
    said = f"__import__('pathlib').Path({str(mark)!r}).touch() or 4"
    sizes = [{"as_expr": {"expr_str": said, "hint": {"as_int": 4}}}]
    values = document["graph_module"]["graph"]["tensor_values"]
    for name in values:
        values[name] = values[name] | {"sizes": sizes}
    return pt2(path, document)


def test_an_expression_in_a_program_is_never_evaluated(tmp_path: Path) -> None:
    path = hostile(tmp_path / "model.pt2", tmp_path / "ran")
    served = load("pytorch", path, torch_operators())
    assert served.predict({"x": np.array([-1, 2], dtype=np.float32)}, ["output"])["output"].tolist() == [0, 2]
    assert not (tmp_path / "ran").exists()


def test_an_operator_that_reads_files_is_not_called_whatever_the_certifier_said(tmp_path: Path) -> None:
    document = program(node("torch.ops.aten.from_file.default", {"as_string": "/etc/passwd"}))
    with pytest.raises(CannotLoad, match=r"from_file\.default, which this platform does not list"):
        load("pytorch", pt2(tmp_path / "model.pt2", document), torch_operators())


def test_weights_answer_through_the_module_that_they_belong_to(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    (tmp_path / "network.py").write_text(NETWORK)
    layer = torch.nn.Linear(64, 10)
    weights = tmp_path / "model.safetensors"
    save_file({"layer.weight": layer.weight.data, "layer.bias": layer.bias.data}, weights)
    served = load("pytorch", weights, (), module=tmp_path / "network.py")
    answers = served.predict({"pixels": PIXELS}, ["digit", "scores"])
    with torch.inference_mode():
        expected = layer(torch.from_numpy(PIXELS))
    np.testing.assert_allclose(answers["scores"], expected.numpy(), rtol=1e-5, atol=1e-5)
    assert answers["digit"].tolist() == expected.argmax(1).tolist()
    save_file({"layer.weight": layer.weight.data}, weights)
    with pytest.raises(CannotLoad, match=r"model\.safetensors does not fit the Model in network\.py"):
        load("pytorch", weights, (), module=tmp_path / "network.py")


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    folder = tmp_path_factory.mktemp("large")
    with embedded(folder) as platform:
        yield platform
    shutil.rmtree(folder, ignore_errors=True)  # some ten gigabytes


@pytest.mark.timeout(1800)
async def test_the_example_goes_live_and_answers_like_the_network(platform: Platform, tmp_path: Path) -> None:
    live = await deploy(platform, Path(shutil.copytree(EXAMPLE, tmp_path / "handwriting")))
    assert live.state == "live", live.refusals
    network = torch.export.load(EXAMPLE / "model.pt2").module()  # our own file
    async with platform.http() as http:
        answer = await http.post("/models/handwriting/predict", json={"inputs": PIXELS.tolist()})
    with torch.inference_mode():
        expected = network(torch.from_numpy(PIXELS))
    assert answer.json()["outputs"] == expected["digit"].tolist()
    probabilities = np.array(answer.json()["probabilities"])
    np.testing.assert_allclose(probabilities, expected["probabilities"].numpy(), atol=1e-5)


@pytest.mark.timeout(1800)
async def test_a_folder_as_mlflow_writes_it_goes_live_with_nothing_added(
    platform: Platform, tmp_path: Path
) -> None:
    os.environ.setdefault("MLFLOW_TRACKING_URI", (tmp_path / "mlruns").as_uri())
    import mlflow.pytorch

    model = torch.nn.Sequential(torch.nn.Linear(64, 16), torch.nn.ReLU(), torch.nn.Linear(16, 3)).eval()
    folder = tmp_path / "by-mlflow"
    mlflow.pytorch.save_model(model, folder, input_example=PIXELS[:4])
    live = await placet(platform, "deploy", str(folder))
    assert (live["state"], live["refusals"]) == ("live", [])
    async with platform.http() as http:
        answer = await http.post(
            "/models/by-mlflow/predict", json={"inputs": PIXELS.tolist()}, headers=platform.authorized()
        )
    with torch.inference_mode():
        expected = model(torch.from_numpy(PIXELS)).numpy()
    np.testing.assert_allclose(np.array(answer.json()["outputs"]), expected, rtol=1e-4, atol=1e-5)


def test_what_mlflow_pickles_is_refused_with_how_to_save_it(tmp_path: Path) -> None:
    import mlflow.pytorch
    from placet.errors import Refused
    from placet.projects import recognise

    folder = tmp_path / "pickled"
    mlflow.pytorch.save_model(torch.nn.Linear(4, 1), folder, serialization_format="pickle")
    with pytest.raises(Refused, match=r"no exported program data/model\.pt2") as no:
        recognise(folder)
    assert "serialization_format='pt2'" in (no.value.fix or "")


def test_the_sample_of_the_example_is_what_its_network_answers() -> None:
    sample = json.loads((EXAMPLE / "sample.json").read_text())
    served = load("pytorch", EXAMPLE / "model.pt2", torch_operators())
    asked = np.array(sample["request"]["inputs"], dtype=np.float32)
    assert served.predict({"pixels": asked}, ["digit"])["digit"].tolist() == sample["response"]["outputs"]
