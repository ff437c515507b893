"""PyTorch's models: recognised, pinned and judged from their files alone, without PyTorch."""

from __future__ import annotations

import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from placet.errors import Refused
from placet.projects import (
    Pins,
    Recognised,
    dump_manifest,
    initial_manifest,
    parse_manifest,
    pins,
    program_problems,
    read_module,
    read_python,
    recognise,
    recognise_at,
    recognise_file,
    served,
    torch_operators,
)
from placet.projects.manifest import Model

from tests.support.torch_files import node, payload, program, pt2, safetensors

EXAMPLE = Path(__file__).parents[3] / "examples/handwriting"
X = {"as_tensor": {"name": "x"}}
RELU = node("torch.ops.aten.relu.default", X)
TENSOR = {"w": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}
NETWORK = """
import torch
class Model(torch.nn.Module):
    inputs = {"x": ("FP32", 3)}
    outputs = {"y": ("FP32", 2)}
    def forward(self, x):
        return x
"""


def problems(path: Path) -> list[str]:
    found = program_problems(path)
    assert found is not None
    return found


def test_an_exported_program_is_recognised_and_says_which_pytorch_exported_it(tmp_path: Path) -> None:
    pt2(tmp_path / "model.pt2", program(RELU))
    (tmp_path / "network.py").write_text(NETWORK)
    recognised = recognise(tmp_path)
    assert recognised == Recognised(format="pytorch", serialization="pt2", path="model.pt2")
    assert pins(tmp_path / "model.pt2", recognised) == Pins(requirements=("torch==2.14.1",), is_declared=True)
    assert problems(tmp_path / "model.pt2") == []
    manifest = initial_manifest(tmp_path)
    assert manifest.model == Model(format="pytorch", path="model.pt2")
    assert manifest.resources.memory == "1Gi", "PyTorch alone takes 520 MB"


def test_the_committed_example_is_data_and_says_nothing_of_where_it_was_made() -> None:
    assert recognise(EXAMPLE).serialization == "pt2"
    assert problems(EXAMPLE / "model.pt2") == []
    assert pins(EXAMPLE / "model.pt2", recognise(EXAMPLE)) == Pins(
        requirements=((EXAMPLE / "requirements.txt").read_text().strip(),), is_declared=True
    )
    with zipfile.ZipFile(EXAMPLE / "model.pt2") as archive:
        assert b"stack_trace" not in archive.read("model/models/model.json")


@pytest.mark.parametrize(
    ("target", "is_listed"),
    [
        ("torch.ops.aten.linear.default", True),
        ("torch.ops.aten._to_copy.default", True),
        ("_operator.floordiv", True),
        ("math.ceil", True),
        ("torch.ops.aten.from_file.default", False),
        ("torch.ops.aten.set_.source_Storage", False),
        ("torch.ops.aten.linear.default.__call__", False),
        ("torch.ops.aten.linear", False),
        ("torch.ops.mine.linear.default", False),
        ("torch.serialization.os.system", False),
        ("torch.load", False),
        ("_operator.attrgetter", False),
        ("_operator.methodcaller", False),
        ("math.factorial", False),
        ("os.system", False),
        ("#mine:linear", False),
        ("torch.ops.higher_order.cond", False),
    ],
)
def test_a_program_calls_what_is_listed_and_nothing_else(
    target: str, is_listed: bool, tmp_path: Path
) -> None:
    found = problems(pt2(tmp_path / "model.pt2", program(RELU, node(target, X))))
    assert found == ([] if is_listed else [f"it calls {target}, which nobody has listed as harmless"])


def test_no_operator_that_is_listed_reads_a_file_or_takes_memory_by_its_address() -> None:
    assert not torch_operators() & {"from_file", "set_", "set", "resize_", "save", "data", "warn"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"schema_version": {"major": 9}}, "version 9 of PyTorch's schema"),
        ({"byteorder": "big"}, "another order of bytes"),
        ({"data__aotinductor__model__a.so": b"\x7fELF"}, "compiled machine code"),
        ({"data__weights__model_weights_config.json": None}, "its weights are one pickle"),
        ({"data__constants__model_constants_config.json": None}, "its constants are one pickle"),
        (
            {
                "data__weights__model_weights_config.json": json.dumps(
                    {"config": {"w": payload("weight_0", use_pickle=True)}}
                )
            },
            "keeps w as a pickle",
        ),
        ({"data__weights__weight_0": None}, "the values of w are not in it"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_would_not_be_read_as_data_is_told(change: dict[str, Any], said: str, tmp_path: Path) -> None:
    document = program(RELU, **{key: value for key, value in change.items() if key == "schema_version"})
    members = {key: value for key, value in change.items() if key != "schema_version"}
    (found,) = problems(pt2(tmp_path / "model.pt2", document, **members))
    assert said in found


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda graph: graph["graph"]["nodes"][0]["inputs"][0].update(arg={"as_graph": {}}),
            "a graph within",
        ),
        (
            lambda graph: graph["graph"]["nodes"][0]["inputs"][0].update(arg={"as_operator": "x"}),
            "as a value",
        ),
        (
            lambda graph: graph["graph"]["nodes"][0]["inputs"][0].update(arg={"as_custom_obj": {}}),
            "custom_obj",
        ),
        (lambda graph: graph["signature"]["input_specs"].append({"custom_obj": {}}), "custom_obj"),
        (lambda graph: graph["signature"]["output_specs"].append({"buffer_mutation": {}}), "model.eval()"),
    ],
)
def test_a_program_that_is_more_than_tensors_is_told(change: Any, said: str, tmp_path: Path) -> None:
    document = program(RELU)
    change(document["graph_module"])
    (found,) = problems(pt2(tmp_path / "model.pt2", document))
    assert said in found


def test_two_members_of_one_name_cannot_be_followed(tmp_path: Path) -> None:
    path = pt2(tmp_path / "model.pt2", program(RELU))
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("model/models/model.json", json.dumps(program(node("os.system"))))
    assert program_problems(path) is None
    assert recognise_file(path) is None


@pytest.mark.parametrize(
    "document", ["", "[]", "[" * 100_000, "{}", '{"graph_module": {"graph": 5}}', b"\xff"]
)
def test_a_program_that_is_none_cannot_be_followed(document: str | bytes, tmp_path: Path) -> None:
    path = pt2(tmp_path / "model.pt2", document)
    assert program_problems(path) is None
    recognised = recognise_file(path)
    assert recognised is not None
    assert pins(path, recognised) is None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(content=st.binary(max_size=100))
def test_any_bytes_are_looked_at_without_an_error(content: bytes, tmp_path: Path) -> None:
    for name in ("a.pt2", "a.pt", "a.safetensors"):
        (tmp_path / name).write_bytes(content)
        recognise_file(tmp_path / name)
        program_problems(tmp_path / name)


@pytest.mark.parametrize("name", ["model.pt", "model.pth", "best.PTH"])
@pytest.mark.parametrize("is_zip", [True, False])
def test_a_pickle_of_pytorch_is_refused_with_how_to_export_it(
    name: str, is_zip: bool, tmp_path: Path
) -> None:
    if is_zip:
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr("model/data.pkl", pickle.dumps({}))
    else:
        (tmp_path / name).write_bytes(pickle.dumps({}))
    for asked in (
        lambda: recognise(tmp_path),
        lambda: recognise_at(tmp_path, name),
        lambda: served(tmp_path, Model(format="pytorch", path=name)),
    ):
        with pytest.raises(Refused, match=f"{name} is a pickle of PyTorch") as no:
            asked()
        assert no.value.fix is not None
        assert "torch.export.save" in no.value.fix
        assert "safetensors" in no.value.fix


def test_a_checkpoint_beside_the_model_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "last.pth").write_bytes(pickle.dumps({}))
    pt2(tmp_path / "model.pt2", program(RELU))
    assert recognise(tmp_path).path == "model.pt2"


def test_weights_are_recognised_with_the_module_they_belong_to(tmp_path: Path) -> None:
    safetensors(tmp_path / "model.safetensors", TENSOR | {"__metadata__": {"format": "pt"}}, bytes(24))
    (tmp_path / "network.py").write_text(NETWORK)
    recognised = recognise(tmp_path)
    assert recognised == Recognised(format="pytorch", serialization="safetensors", path="model.safetensors")
    manifest = initial_manifest(tmp_path)
    assert manifest.model.module == "network.py"
    assert parse_manifest(dump_manifest(manifest).encode()) == manifest
    said = pins(tmp_path / "model.safetensors", recognised)
    assert said is not None
    assert [each.partition("==")[0] for each in said.requirements] == ["safetensors", "torch"]
    assert not said.is_declared
    (tmp_path / "other.py").write_text(NETWORK)
    assert initial_manifest(tmp_path).model.module is None


@pytest.mark.parametrize(
    ("header", "data"),
    [
        (TENSOR, b""),
        (TENSOR, bytes(23)),
        ({}, b""),
        ([], b""),
        (b"{", b""),
        ({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 24]}}, bytes(24)),
        ({"w": {"dtype": "F99", "shape": [6], "data_offsets": [0, 24]}}, bytes(24)),
        ({"w": {"dtype": "F32", "shape": [-2, -3], "data_offsets": [0, 24]}}, bytes(24)),
        ({"w": {"dtype": "F32", "shape": [6], "data_offsets": [-24, 0]}}, bytes(24)),
    ],
    ids=repr,
)
def test_a_file_that_is_not_whole_is_no_safetensors(header: Any, data: bytes, tmp_path: Path) -> None:
    assert recognise_file(safetensors(tmp_path / "model.safetensors", header, data)) is None


def test_a_module_is_told_from_a_model_in_python(tmp_path: Path) -> None:
    path = tmp_path / "network.py"
    path.write_text(NETWORK)
    found = read_module(path)
    assert found is not None
    assert (found.problems, found.imports) == ((), ("torch",))
    assert read_python(path) is None
    path.write_text("class Model(Net):\n    def forward(self, x): ...\n")
    assert read_module(path) is not None
    path.write_text("class Model(Net):\n    def predict(self, inputs): ...\n")
    assert read_module(path) is None
    assert read_python(path) is not None


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (
            "class Model(nn.Module):\n    inputs = outputs = {'x': 'FP32'}\n",
            "class Model has no method forward(self, …)",
        ),
        (NETWORK.replace('("FP32", 3)', "shape()"), "inputs is computed"),
        (NETWORK.replace("inputs", "takes"), "class Model does not say `inputs"),
        (NETWORK.replace("def forward", "async def forward"), "forward is a coroutine"),
    ],
)
def test_what_a_module_lacks_is_told(source: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "network.py").write_text(source)
    found = read_module(tmp_path / "network.py")
    assert found is not None
    assert said in "; ".join(found.problems)
