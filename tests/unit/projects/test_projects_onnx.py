"""Where an ONNX model's tensors may have their data, said from its bytes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from placet.projects import Graph, onnx_graph, outside_data

SECRET = "../../keys/tokens.pem"


def external(location: str) -> Any:
    tensor = TensorProto(name="w", data_type=TensorProto.UINT8, dims=[64], data_location=TensorProto.EXTERNAL)
    for key, value in (("location", location), ("offset", "0"), ("length", "64")):
        tensor.external_data.add(key=key, value=value)
    return tensor


def graph(*nodes: Any, initializer: tuple[Any, ...] = ()) -> Any:
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    return helper.make_graph(list(nodes), "g", [], [y], list(initializer))


def in_initializer(tensor: Any) -> Any:
    return helper.make_model(graph(initializer=(tensor,)))


def in_attribute(tensor: Any) -> Any:
    return helper.make_model(graph(helper.make_node("Constant", [], ["y"], value=tensor)))


def in_inner_graph(tensor: Any) -> Any:
    inner = graph(helper.make_node("Constant", [], ["y"], value=tensor))
    return helper.make_model(
        graph(helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=inner))
    )


def in_function(tensor: Any) -> Any:
    node = helper.make_node("Constant", [], ["y"], value=tensor)
    function = helper.make_function("d", "F", [], ["y"], [node], [helper.make_opsetid("", 17)])
    return helper.make_model(graph(helper.make_node("F", [], ["y"], domain="d")), functions=[function])


def in_sparse(tensor: Any) -> Any:
    model = helper.make_model(graph())
    model.graph.sparse_initializer.add().values.CopyFrom(tensor)
    return model


def in_training(tensor: Any) -> Any:
    model = helper.make_model(graph())
    model.training_info.add().algorithm.CopyFrom(graph(initializer=(tensor,)))
    return model


PLACES = (in_initializer, in_attribute, in_inner_graph, in_function, in_sparse, in_training)


def read(tmp_path: Path, content: bytes) -> list[str] | None:
    (tmp_path / "model.onnx").write_bytes(content)
    return outside_data(tmp_path / "model.onnx")


@pytest.mark.parametrize("place", PLACES)
def test_data_outside_is_found_wherever_a_tensor_can_be(tmp_path: Path, place: Callable[[Any], Any]) -> None:
    assert read(tmp_path, place(external(SECRET)).SerializeToString()) == [SECRET]


@pytest.mark.parametrize(
    "location", ["/etc/passwd", "..", "a/../../b", "..\\b", "C:b", "*/_ORT_MEM_ADDR_/*", "a\0b"]
)
def test_names_that_lead_outside(tmp_path: Path, location: str) -> None:
    assert read(tmp_path, in_initializer(external(location)).SerializeToString()) == [location]


@pytest.mark.parametrize("location", ["weights.bin", "data/weights.bin", "a..b", "..."])
def test_data_beside_the_model_are_its_own(tmp_path: Path, location: str) -> None:
    assert read(tmp_path, in_initializer(external(location)).SerializeToString()) == []


def test_a_real_model_reads_nothing_else() -> None:
    assert outside_data(Path(__file__).parents[3] / "examples" / "faces" / "model.onnx") == []


def test_a_field_number_that_some_readers_cut_is_not_passed_over(tmp_path: Path) -> None:
    inner = graph(initializer=(external(SECRET),)).SerializeToString()
    key = (7 << 3 | 2) + 2**32
    assert read(tmp_path, b"\x08\x08" + varint(key) + varint(len(inner)) + inner) is None


@pytest.mark.parametrize("content", [b"\x3a\xff\x01", b"\x3a", b"\x0b", b"\xff" * 20])
def test_what_cannot_be_followed_is_said(tmp_path: Path, content: bytes) -> None:
    assert read(tmp_path, content) is None


def test_graphs_without_end_are_not_followed(tmp_path: Path) -> None:
    content = b""
    for _ in range(400):  # an attribute with a graph, in a node, in a graph
        for field in (6, 5, 1):
            content = varint(field << 3 | 2) + varint(len(content)) + content
    assert read(tmp_path, varint(7 << 3 | 2) + varint(len(content)) + content) is None


@settings(max_examples=200, deadline=None)
@given(content=st.binary(max_size=200))
def test_any_bytes_are_survived(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    found = read(tmp_path_factory.getbasetemp(), content)
    assert found is None or isinstance(found, list)
    assert isinstance(onnx_graph(tmp_path_factory.getbasetemp() / "model.onnx"), Graph | None)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_a_graph_with_a_spoilt_byte_is_read_without_an_error(
    tmp_path_factory: pytest.TempPathFactory, data: Any
) -> None:
    whole = Path(__file__).parents[2] / "mlflow_folders/iris-onnx/model.onnx"
    content = bytearray(whole.read_bytes())
    content[-data.draw(st.integers(1, 400))] = data.draw(
        st.integers(0, 255)
    )  # where its inputs and outputs are
    path = tmp_path_factory.getbasetemp() / "model.onnx"
    path.write_bytes(bytes(content))
    assert isinstance(onnx_graph(path), Graph | None)


@settings(max_examples=100, deadline=None)
@given(place=st.sampled_from(PLACES), name=st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
def test_what_onnx_reads_is_never_missed(
    tmp_path_factory: pytest.TempPathFactory, place: Callable[[Any], Any], name: str
) -> None:
    model = place(external(f"../{name}"))
    assert onnx.load_model_from_string(model.SerializeToString(), format="protobuf") == model
    assert read(tmp_path_factory.getbasetemp(), model.SerializeToString()) == [f"../{name}"]


def varint(value: int) -> bytes:
    written = b""
    while value > 0x7F:
        written += bytes([value & 0x7F | 0x80])
        value >>= 7
    return written + bytes([value])
