"""A sample is refused beforehand where the model server would refuse it, of which the model's own file tells."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import onnx
import pytest
import xgboost
from onnx import TensorProto, helper
from placet.projects import Column, Served, onnx_graph
from placet.projects.onnx_files import _DATATYPES
from placet.rules import fitting
from placet.rules.fitting import answer_problems, learned, sample_problems
from placet.runtime import columns
from placet.runtime import model as models
from placet.runtime.formats import boosted_trees, lightgbm_native, onnx_runtime, xgboost_native
from placet.runtime.formats.boosted_trees import Meaning
from placet.runtime.model import CannotLoad
from placet.runtime.plain import PlainCodec
from placet.runtime.problems import Problem

from tests.support.torch_files import META, node, program, pt2

X = np.random.default_rng(7).random((60, 2))
CLASSES = np.arange(60) % 3
Y = (X[:, 0] > 0.5).astype(int)
NAMED = ("mean age", "size")


def of_xgboost(path: Path, names: Sequence[str] | None = NAMED, **parameters: Any) -> Served:
    asked = {"objective": "binary:logistic", "max_depth": 2, "nthread": 1} | parameters
    labels = CLASSES if "num_class" in asked else Y
    rows = xgboost.DMatrix(X, labels, feature_names=None if names is None else list(names))
    xgboost.train(asked, rows, num_boost_round=1).save_model(path)
    return Served(format="xgboost", serialization=path.suffix, path=path.name)


def of_lightgbm(path: Path, names: Sequence[str] | None = NAMED, **parameters: Any) -> Served:
    asked = {"objective": "binary", "num_leaves": 3, "min_data_in_leaf": 3, "num_threads": 1, "verbosity": -1}
    labels = CLASSES if "num_class" in parameters else Y
    data = lightgbm.Dataset(X, labels, feature_name="auto" if names is None else list(names))
    lightgbm.train(asked | parameters, data, num_boost_round=1).save_model(path)
    return Served(format="lightgbm", serialization="text", path=path.name)


def value(name: str, kind: int, shape: Sequence[int | str | None] | None) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


def of_onnx(path: Path, inputs: Sequence[Any], outputs: Sequence[Any] = (), **more: Any) -> Served:
    """A graph that hands each input on, or what is `given` for it."""
    outputs = outputs or [
        value(f"{each.name}_given", each.type.tensor_type.elem_type, None) for each in inputs
    ]
    names = [each.name for each in inputs]
    nodes = [
        helper.make_node("Identity", [names[min(number, len(names) - 1)]], [each.name])
        for number, each in enumerate(outputs)
    ]
    graph = helper.make_graph(nodes, "g", list(inputs), list(outputs), **more)
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=opset), path)
    return Served(format="onnx", serialization="onnx", path=path.name)


def codec(folder: Path, loaded: Served) -> PlainCodec:
    frame = [columns.Column(name=each.name, type=each.type) for each in loaded.columns]
    return PlainCodec(models.load(loaded.format, folder / loaded.path, (), frame).signature)


def is_taken(folder: Path, loaded: Served, rows: Any) -> bool:
    """What both say of it, who have to agree."""
    here = not sample_problems({"inputs": rows}, learned(folder, loaded).inputs)
    try:
        codec(folder, loaded).decode(json.dumps({"inputs": rows}).encode())
        there = True
    except Problem:
        there = False
    assert here is there, sample_problems({"inputs": rows}, learned(folder, loaded).inputs)
    return here


ROWS = [
    ([[1, 2.5]], True),
    ([[1, None], [2, 3]], True),
    ([[1, 2, 3]], False),
    ([[1]], False),
    ([1, 2], False),
    ([["1", 2]], False),
    ([[True, 2]], False),
]
BY_NAME = [
    ([{"mean age": 1, "size": 2}], True),
    ({"mean age": [1], "size": [2]}, True),
    ([{"mean age": 1}], False),
    ([{"mean age": 1, "size": 2, "x": 3}], False),
    ({"mean age": ["a"], "size": [2]}, False),
    ([{"age": 1, "size": 2}], False),
]


@pytest.mark.parametrize("name", ["model.json", "model.ubj"])
@pytest.mark.parametrize(("rows", "expected"), [*ROWS, *BY_NAME])
def test_a_sample_is_held_against_the_columns_in_xgboosts_file(
    name: str, rows: Any, expected: bool, tmp_path: Path
) -> None:
    loaded = of_xgboost(tmp_path / name)
    assert is_taken(tmp_path, loaded, rows) is expected


@pytest.mark.parametrize(("rows", "expected"), ROWS)
def test_a_sample_is_held_against_the_columns_in_lightgbms_file(
    rows: Any, expected: bool, tmp_path: Path
) -> None:
    assert is_taken(tmp_path, of_lightgbm(tmp_path / "model.txt"), rows) is expected


@pytest.mark.parametrize("make", [of_xgboost, of_lightgbm])
@pytest.mark.parametrize(
    ("rows", "expected"),
    [*ROWS, ([{"a": 1, "b": 2}], False), ({"input-0": [[1, 2]]}, True), ({"input-0": [[1]]}, False)],
)
def test_columns_without_names_are_counted(make: Any, rows: Any, expected: bool, tmp_path: Path) -> None:
    assert is_taken(tmp_path, make(tmp_path / "model.json", names=None), rows) is expected


@pytest.mark.parametrize("make", [of_xgboost, of_lightgbm])
@pytest.mark.parametrize(
    ("columns", "rows", "expected"),
    [
        (("size", "mean age"), [{"mean age": 1, "size": 2}], True),
        (("size", "mean age"), [[1, 2]], True),
        (("size", "age"), [{"age": 1, "size": 2}], False),
        (("size", "mean age", "x"), [[1, 2]], True),
    ],
)
def test_names_are_those_of_mlflows_signature_where_it_has_the_same_columns(
    make: Any, columns: Sequence[str], rows: Any, expected: bool, tmp_path: Path
) -> None:
    loaded = make(tmp_path / "model.json")
    said = tuple(Column(name=name, type="double") for name in columns)
    of_mlflow = Served(
        format=loaded.format, serialization=loaded.serialization, path=loaded.path, columns=said
    )
    assert is_taken(tmp_path, of_mlflow, rows) is expected


FLOAT, INT64, STRING = TensorProto.FLOAT, TensorProto.INT64, TensorProto.STRING
MATRIX = [value("X", FLOAT, ["n", 2])]
TWO = [value("age", INT64, [None, 1]), value("name", STRING, [None])]


@pytest.mark.parametrize(
    ("inputs", "rows", "expected"),
    [
        *((MATRIX, rows, expected) for rows, expected in ROWS),
        (MATRIX, {"X": [[1, 2]]}, True),
        (MATRIX, [{"X": [1, 2]}], True),
        (MATRIX, [{"Y": [1, 2]}], False),
        (TWO, [[1, "a"], [2, None]], True),
        (TWO, [[[1], "a"]], True),
        (TWO, [[1.5, "a"]], False),
        (TWO, [[None, "a"]], False),
        (TWO, [[1, 2]], False),
        (TWO, [[1]], False),
        (TWO, {"age": [1, 2], "name": ["a"]}, False),
        (TWO, {"age": [1]}, False),
        ([value("X", FLOAT, [1, 2])], [[1, 2]], True),
        ([value("X", FLOAT, [1, 2])], [[1, 2], [1, 2]], False),
        ([value("X", FLOAT, [2])], [1, 2], True),
        ([value("X", FLOAT, [2])], [[1], [2]], False),
        ([value("X", FLOAT, ["n", "m", 2])], [[[1, 2]], [[1, 2]]], True),
        ([value("X", FLOAT, ["n", "m", 2])], [[[1, 2]], [[1, 2], [3, 4]]], False),
        ([value("X", FLOAT, ["n", "m"])], [[1], [2]], True),
        ([value("X", FLOAT, ["n", "m"])], [[1], [2, 3]], False),
        ([value("X", FLOAT, ["n", "m"])], [1, 2], False),
        ([value("X", TensorProto.UINT8, ["n"])], [255], True),
        ([value("X", TensorProto.UINT8, ["n"])], [256], False),
        ([value("X", TensorProto.INT8, ["n"])], [-129], False),
        ([value("X", TensorProto.BOOL, ["n"])], [True], True),
        ([value("X", TensorProto.BOOL, ["n"])], [1], False),
        ([value("X", TensorProto.BOOL, ["n"])], [None], False),
        ([value("X", TensorProto.FLOAT16, ["n"])], [None, 1], True),
    ],
)  # fmt: skip
def test_a_sample_is_held_against_the_inputs_of_onnxs_graph(
    inputs: Sequence[Any], rows: Any, expected: bool, tmp_path: Path
) -> None:
    assert is_taken(tmp_path, of_onnx(tmp_path / "model.onnx", inputs), rows) is expected


def test_a_matrix_of_onnx_has_the_names_of_mlflows_signature(tmp_path: Path) -> None:
    columns = (Column(name="a", type="double"), Column(name="b", type="long"))
    of_mlflow = Served(format="onnx", serialization="onnx", path="model.onnx", columns=columns)
    of_onnx(tmp_path / "model.onnx", MATRIX)
    assert is_taken(tmp_path, of_mlflow, [{"a": 1, "b": 2}])
    assert not is_taken(tmp_path, of_mlflow, {"X": [[1, 2]]})
    of_onnx(tmp_path / "model.onnx", [value("X", FLOAT, ["n", 3])])
    assert not is_taken(tmp_path, of_mlflow, [{"a": 1, "b": 2}])


def test_weights_among_the_inputs_of_an_older_graph_are_nobodys_to_send(tmp_path: Path) -> None:
    weight = helper.make_tensor("w", FLOAT, [1], [0.5])
    loaded = of_onnx(
        tmp_path / "model.onnx",
        [*MATRIX, value("w", FLOAT, [1])],
        [value("X_given", FLOAT, ["n", 2])],
        initializer=[weight],
    )
    assert is_taken(tmp_path, loaded, [[1, 2]])


@pytest.mark.parametrize(
    "unfit",
    [
        helper.make_tensor_sequence_value_info("X", FLOAT, None),
        value("X", TensorProto.COMPLEX64, ["n"]),
        value("X", TensorProto.BFLOAT16, ["n"]),
    ],
)
def test_what_no_request_carries_is_told_of_the_graph(unfit: Any, tmp_path: Path) -> None:
    output = onnx.ValueInfoProto()
    output.CopyFrom(unfit)
    output.name = "Y"
    loaded = of_onnx(tmp_path / "model.onnx", [unfit], [output])
    assert learned(tmp_path, loaded).problems == (
        "X, which it takes, is no tensor that a request carries",
        "Y, which it gives, is no tensor that a request carries",
    )
    with pytest.raises(CannotLoad):
        codec(tmp_path, loaded)


def test_an_input_without_rows_is_told(tmp_path: Path) -> None:
    loaded = of_onnx(tmp_path / "model.onnx", [value("X", FLOAT, [])])
    assert learned(tmp_path, loaded).problems == ("X, which it takes, has no rows",)
    with pytest.raises(Problem):
        codec(tmp_path, loaded).decode(b'{"inputs": [1]}')


TWO_OF = [value("a", FLOAT, ["n"]), value("b", FLOAT, ["k"])]
LABELS, SHARES = value("label", INT64, ["n"]), value("probabilities", FLOAT, ["n", 2])


@pytest.mark.parametrize(
    ("outputs", "response", "said"),
    [
        ([LABELS, SHARES], {"outputs": [1, 2]}, None),
        ([LABELS, SHARES], {"outputs": [1, 2], "probabilities": [[0.1, 0.9], [0.5, None]]}, None),
        ([LABELS, SHARES], {"outputs": [1]}, "`outputs` of its response has 1 entries, and the request 2 rows"),
        ([LABELS, SHARES], {"probabilities": [[1], [1]]}, "is not a list of 2 values"),
        ([LABELS, SHARES], {"outputs": [[1], [2]]}, "entry 0 in `outputs` of its response is not a single value"),
        ([LABELS, SHARES], {"outputs": ["a", "b"]}, "is not a number"),
        ([LABELS, SHARES], {"outputs": {"label": [1, 2]}}, "`outputs` of its response is no list"),
        ([LABELS], {"probabilities": [[1], [1]]}, "has `probabilities`, which the model does not give"),
        ([LABELS], {"label": [1, 2]}, "its response has label, and an answer has `outputs`"),
        ([LABELS], [1, 2], "its response is no object with `outputs`"),
        (TWO_OF, {"outputs": {"a": [1, 2], "b": [1, 2, 3]}}, None),
        (TWO_OF, {"outputs": {"a": [1], "b": [1]}}, "a of its response has 1"),
        (TWO_OF, {"outputs": {"c": [1]}}, "has c, which the model does not give"),
        (TWO_OF, {"outputs": [1, 2]}, "has no object with a, b"),
        ([value("a", FLOAT, [1])], {"outputs": [1, 2]}, None),  # ONNX Runtime lets a graph give more than it says
        ([value("a", STRING, ["n"])], {"outputs": ["x", None]}, None),
        ([value("a", STRING, ["n"])], {"outputs": [1, 2]}, "is not a text"),
        ([value("a", TensorProto.BOOL, ["n"])], {"outputs": [True, 1]}, "entry 1 in `outputs` of its response is not"),
    ],
)  # fmt: skip
def test_an_answer_that_the_graph_cannot_give_is_told(
    outputs: Sequence[Any], response: Any, said: str | None, tmp_path: Path
) -> None:
    loaded = of_onnx(tmp_path / "model.onnx", [value("X", FLOAT, ["n", 2])], outputs)
    found = answer_problems(response, {"inputs": [[1, 2], [3, 4]]}, learned(tmp_path, loaded).outputs)
    assert bool(found) is (said is not None)
    assert (said or "") in "; ".join(found)


def test_what_a_zipmap_gives_is_a_matrix(tmp_path: Path) -> None:
    zipmap = helper.make_node(
        "ZipMap", ["X"], ["output_probability"], domain="ai.onnx.ml", classlabels_int64s=[0, 1]
    )
    label = helper.make_node("Identity", ["L"], ["output_label"])
    of_row = helper.make_map_type_proto(INT64, helper.make_tensor_type_proto(FLOAT, []))
    given = helper.make_value_info("output_probability", helper.make_sequence_type_proto(of_row))
    taken = [value("X", FLOAT, ["n", 2]), value("L", INT64, ["n"])]
    graph = helper.make_graph([zipmap, label], "g", taken, [value("output_label", INT64, ["n"]), given])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 1)]
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=opsets), tmp_path / "model.onnx")
    loaded = Served(format="onnx", serialization="onnx", path="model.onnx")
    told = learned(tmp_path, loaded)
    assert told.problems == ()
    assert told.outputs is not None
    assert (told.outputs.prediction, told.outputs.probabilities) == (
        fitting.Output(name="output_label", datatype="INT64", shape=()),
        fitting.Output(name="output_probability", datatype="FP32", shape=(-1,), rows=None),
    )
    assert codec(tmp_path, loaded).outputs == ("output_label", "output_probability")


@pytest.mark.parametrize(
    ("make", "parameters", "has_probabilities"),
    [
        (of_xgboost, {}, True),
        (of_xgboost, {"objective": "multi:softmax", "num_class": 3}, True),
        (of_xgboost, {"objective": "reg:squarederror"}, False),
        (of_xgboost, {"objective": "binary:hinge"}, False),
        (of_lightgbm, {}, True),
        (of_lightgbm, {"objective": "multiclassova", "num_class": 3}, True),
        (of_lightgbm, {"objective": "regression"}, False),
    ],
)
def test_only_what_has_classes_has_probabilities(
    make: Any, parameters: dict[str, Any], has_probabilities: bool, tmp_path: Path
) -> None:
    loaded = make(tmp_path / "model.json", **parameters)
    request = {"inputs": [[1, 2]]}
    outputs = learned(tmp_path, loaded).outputs
    found = answer_problems({"outputs": [1], "probabilities": [[0.5, 0.5]]}, request, outputs)
    assert (found == []) is has_probabilities
    assert ("predict_proba" in codec(tmp_path, loaded).outputs) is has_probabilities
    assert answer_problems({"outputs": [1, 0]}, request, outputs) == [
        "`outputs` of its response has 2 entries, and the request 1 rows"
    ]


def test_a_booster_that_is_asked_by_its_own_predict_gives_no_probabilities(tmp_path: Path) -> None:
    loaded = of_xgboost(tmp_path / "model.json")
    raw = Served(format="xgboost", serialization="json", path=loaded.path, method="predict")
    outputs = learned(tmp_path, raw).outputs
    assert outputs is not None
    assert outputs.probabilities is None


def typed(name: str, sizes: Sequence[int | str], dtype: int = 7) -> dict[str, Any]:
    said = [{"as_int": size} if isinstance(size, int) else {"as_expr": {"expr_str": size}} for size in sizes]
    return {name: META | {"dtype": dtype, "sizes": said}}


def of_torch(path: Path, *inputs: dict[str, Any], output: dict[str, Any]) -> Served:
    document = program(node("torch.ops.aten.relu.default", {"as_tensor": {"name": "x"}}))
    module = document["graph_module"]
    names = [name for each in inputs for name in each]
    module["graph"]["tensor_values"] = {
        name: said for each in (*inputs, output) for name, said in each.items()
    }
    module["signature"]["input_specs"] = [
        {"user_input": {"arg": {"as_tensor": {"name": name}}}} for name in names
    ]
    pt2(path, document)
    return Served(format="pytorch", serialization="pt2", path=path.name)


@pytest.mark.parametrize(
    ("sizes", "rows", "said"),
    [
        (("s0", 3), [[1, 2, 3], [4, 5, 6]], None),
        (("s0", 3), [[1, 2]], "its row 0, x, is no list of 3 values"),
        (("s0", 3), [[1, 2, "a"]], "its row 0, x, is not a number"),
        (("s0", 3), {"y": [[1, 2, 3]]}, "its request lacks x"),
        ((1, 3), [[1, 2, 3]], None),
        ((1, 3), [[1, 2, 3], [4, 5, 6]], "its request has 2 rows, and the model takes 1"),
        (("s0", 1, 2), [[[1, 2]]], None),
        (("s0", 1, 2), [[1, 2]], "its row 0, x, is of another shape"),
    ],
)
def test_a_sample_is_held_against_what_a_program_of_pytorch_takes(
    sizes: Sequence[int | str], rows: Any, said: str | None, tmp_path: Path
) -> None:
    loaded = of_torch(tmp_path / "model.pt2", typed("x", sizes), output=typed("y", sizes[:1]))
    found = sample_problems({"inputs": rows}, learned(tmp_path, loaded).inputs)
    assert bool(found) is (said is not None)
    assert (said or "") in "; ".join(found)


def test_a_program_of_pytorch_gives_a_row_for_each_that_it_takes(tmp_path: Path) -> None:
    loaded = of_torch(tmp_path / "model.pt2", typed("x", ("s0", 3)), output=typed("y", ("s0", 2)))
    outputs = learned(tmp_path, loaded).outputs
    request = {"inputs": [[1, 2, 3]]}
    assert answer_problems({"outputs": [[0.5, 0.5]]}, request, outputs) == []
    assert answer_problems({"outputs": [0.5]}, request, outputs) == [
        "entry 0 in `outputs` of its response is not a list of 2 values"
    ]
    other = of_torch(tmp_path / "other.pt2", typed("x", ("s0", 3)), output=typed("y", ("s0 + 1",)))
    assert learned(tmp_path, other).problems == ("output, which it gives, has other rows than what it takes",)


def test_numbers_that_a_program_is_given_are_no_tensors(tmp_path: Path) -> None:
    document = program()
    document["graph_module"]["signature"]["input_specs"].append({"user_input": {"arg": {"as_int": 3}}})
    pt2(tmp_path / "model.pt2", document)
    loaded = Served(format="pytorch", serialization="pt2", path="model.pt2")
    assert "as_int, which it takes, is no tensor that a request carries" in learned(tmp_path, loaded).problems


@pytest.mark.parametrize("content", [b"", b"{", b"tree\n", b"\x3a\xff\x01", b"PK"])
@pytest.mark.parametrize(
    ("format", "serialization"),
    [("xgboost", "json"), ("lightgbm", "text"), ("onnx", "onnx"), ("pytorch", "pt2"), ("sklearn", "skops")],
)
def test_a_file_that_cannot_be_followed_says_nothing(
    format: str, serialization: str, content: bytes, tmp_path: Path
) -> None:
    (tmp_path / "model").write_bytes(content)
    told = learned(tmp_path, Served(format=format, serialization=serialization, path="model"))
    assert (told.inputs, told.problems) == (None, ())


def test_a_made_up_number_of_columns_is_told(tmp_path: Path) -> None:
    loaded = of_xgboost(tmp_path / "model.json", names=None)
    said = json.loads((tmp_path / "model.json").read_text())
    said["learner"]["learner_model_param"]["num_feature"] = str(10**9)
    (tmp_path / "model.json").write_text(json.dumps(said))
    (problem,) = learned(tmp_path, loaded).problems
    assert problem.startswith("it takes 1000000000 columns")


def test_what_a_request_has_beside_its_inputs_is_told() -> None:
    assert sample_problems({"inputs": [[1]], "parameters": {}}, None) == [
        "its request has parameters beside `inputs`"
    ]


def test_lists_without_end_are_not_followed(tmp_path: Path) -> None:
    deep: Any = 1
    for _ in range(500):
        deep = [deep]
    loaded = of_onnx(tmp_path / "model.onnx", MATRIX)
    told = learned(tmp_path, loaded)
    assert sample_problems({"inputs": [deep]}, told.inputs) == ["its row 0, X, is no list of 2 values"]
    assert answer_problems({"outputs": [deep]}, {"inputs": [[1, 2]]}, told.outputs) == []


def test_what_is_known_here_of_formats_is_what_the_model_server_has() -> None:
    assert (fitting.MATRIX, fitting.MOST_FEATURES) == (boosted_trees.MATRIX, boosted_trees.MOST_FEATURES)
    for format, loader in (("xgboost", xgboost_native), ("lightgbm", lightgbm_native)):
        meanings = loader._MEANINGS
        has_classes = (Meaning.PROBABILITY, Meaning.PROBABILITIES)
        assert {name for name, meaning in meanings.items() if meaning in has_classes} == (
            fitting.WITH_PROBABILITIES[format]
        )
    assert fitting._LABELS == onnx_runtime._LABELS
    assert fitting._PROBABILITIES["onnx"] == onnx_runtime._PROBABILITIES
    assert set(_DATATYPES.values()) == set(onnx_runtime._DATATYPES.values())


def test_the_graph_of_a_real_model_is_read() -> None:
    graph = onnx_graph(Path(__file__).parents[3] / "examples/faces/model.onnx")
    assert graph is not None
    assert [(each.name, each.datatype, each.shape) for each in graph.inputs] == [
        ("image", "FP32", ("rows", 625))
    ]
