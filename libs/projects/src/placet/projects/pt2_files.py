"""What is in a program that `torch.export.save` wrote, and can it be run as data? Read without PyTorch.

PyTorch's own loader unpickles, evaluates expressions and runs generated Python from names in the file, so it is no
loader for a stranger's file. The model server reads the same file itself and does no more than call operators by
name, with tensors and numbers. What it would not do is said here, before anything is sent: operators that nobody has
listed, tensors that are pickles, graphs within graphs. The example inputs in the file are a pickle that nobody reads.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec

from placet.projects.tensors import Graph, Tensor

_SCHEMA = 8  # the major version of how programs are written, since PyTorch 2.5
_MOST_MEMBERS = 100_000
_LARGEST_DOCUMENT = 256 * 1024**2
_MOST_TOLD = 10

_ATEN = "torch.ops.aten."
# Of sizes, which are plain numbers by the time they are computed.
_OF_NUMBERS = frozenset(
    {
        *(
            f"_operator.{name}"
            for name in ("eq", "ne", "le", "ge", "lt", "gt", "neg", "pos", "mul", "add", "sub")
        ),
        *(f"_operator.{name}" for name in ("floordiv", "mod", "pow", "truediv", "and_", "or_", "getitem")),
        *(f"torch.sym_{name}" for name in ("not", "int", "float", "ite", "max", "min", "sqrt", "sum")),
        *("math.trunc", "math.ceil", "math.floor"),
    }
)
_ARGUMENTS = frozenset(
    {
        *("as_none", "as_tensor", "as_tensors", "as_int", "as_ints", "as_float", "as_floats", "as_string"),
        *(
            "as_strings",
            "as_sym_int",
            "as_sym_ints",
            "as_scalar_type",
            "as_memory_format",
            "as_layout",
            "as_device",
        ),
        *("as_bool", "as_bools", "as_sym_bool", "as_sym_bools", "as_optional_tensor", "as_optional_tensors"),
        *(
            "as_sym_float",
            "as_sym_floats",
            "as_complex",
            "as_nested_tensors",
            "as_int_lists",
            "as_float_lists",
        ),
    }
)
_CALLED = {"as_graph": "a graph within its graph", "as_operator": "an operator as a value"}
# By PyTorch's numbers for them, as the model server carries them.
_DATATYPES = {
    **{
        1: "UINT8",
        2: "INT8",
        3: "INT16",
        4: "INT32",
        5: "INT64",
        6: "FP16",
        7: "FP32",
        8: "FP64",
        12: "BOOL",
    },
    **{13: "FP32", 28: "UINT16", 34: "UINT32", 35: "UINT64"},
}
_GIVEN = frozenset({"user_input", "parameter", "buffer", "tensor_constant", "constant_input"})


class _Payload(msgspec.Struct):
    path_name: str
    use_pickle: bool = False


class _Payloads(msgspec.Struct):
    config: dict[str, _Payload]


class _NamedArgument(msgspec.Struct):
    arg: dict[str, Any]


class _Node(msgspec.Struct):
    target: str
    inputs: list[_NamedArgument]


class _Graph(msgspec.Struct):
    nodes: list[_Node]


class _Signature(msgspec.Struct):
    input_specs: list[dict[str, Any]]
    output_specs: list[dict[str, Any]]


class _GraphModule(msgspec.Struct):
    graph: _Graph
    signature: _Signature


class _SchemaVersion(msgspec.Struct):
    major: int


class _Program(msgspec.Struct):
    graph_module: _GraphModule
    schema_version: _SchemaVersion
    torch_version: str = ""


class _Values(msgspec.Struct):
    tensor_values: dict[str, msgspec.Raw]  # there are thousands, and a few that matter


class _Call(msgspec.Struct):
    signature: Any


class _TypedModule(msgspec.Struct):
    graph: _Values
    signature: _Signature
    module_call_graph: list[msgspec.Raw]


class _TypedProgram(msgspec.Struct):
    graph_module: _TypedModule


class _Unreadable(Exception):
    pass


class _Archive:
    """Members by their name below the archive's own folder, which is the one that the first lies in."""

    def __init__(self, container: zipfile.ZipFile) -> None:
        self._container = container
        members = container.infolist()
        if not members or len(members) > _MOST_MEMBERS:
            raise _Unreadable
        root = members[0].filename.partition("/")[0] + "/"
        self._members = {each.filename.removeprefix(root): each for each in members}
        if len(self._members) < len(members):
            raise _Unreadable  # two of one name: which one is read depends on who reads

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self._members)

    def bytes(self, name: str) -> bytes:
        member = self._members.get(name)
        if member is None or member.file_size > _LARGEST_DOCUMENT:
            raise _Unreadable
        with self._container.open(member) as file:
            return file.read(_LARGEST_DOCUMENT)


def is_program(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as container:
            archive = _Archive(container)
            return archive.bytes("archive_format").strip() == b"pt2" and "models/model.json" in archive.names
    except _ERRORS:
        return False


def exported_with(path: Path) -> str | None:
    """The version of PyTorch that exported it, as `2.14.1`, without the word for its hardware."""
    try:
        with zipfile.ZipFile(path) as container:
            said = msgspec.json.decode(_Archive(container).bytes("models/model.json"), type=_Program)
    except _ERRORS:
        return None
    return said.torch_version.partition("+")[0] or None


def program_graph(path: Path) -> Graph | None:
    """What it takes and gives; None if it does not say it, or cannot be followed."""
    try:
        with zipfile.ZipFile(path) as container:
            said = msgspec.json.decode(_Archive(container).bytes("models/model.json"), type=_TypedProgram)
        return _graph(said.graph_module)
    except (*_ERRORS, KeyError, IndexError, TypeError, ValueError, AttributeError):
        return None


def program_problems(path: Path) -> list[str] | None:
    """What keeps the model server from running it, in words; None if it cannot be followed."""
    try:
        with zipfile.ZipFile(path) as container:
            archive = _Archive(container)
            program = msgspec.json.decode(archive.bytes("models/model.json"), type=_Program)
            return [*_of_archive(archive), *_of_program(program)]
    except _ERRORS:
        return None


_ERRORS = (
    *(_Unreadable, zipfile.BadZipFile, zlib.error, OSError, msgspec.MsgspecError, UnicodeDecodeError),
    *(NotImplementedError, RuntimeError, RecursionError),
)


def _graph(module: _TypedModule) -> Graph:
    values, signature = module.graph.tensor_values, module.signature
    asked = [spec["user_input"]["arg"] for spec in signature.input_specs if "user_input" in spec]
    given = [spec["user_output"]["arg"] for spec in signature.output_specs]
    names = _names_of_outputs(module, len(given))
    return Graph(
        inputs=tuple(_tensor(_name(each), each, values) for each in asked),
        outputs=tuple(_tensor(name, each, values) for name, each in zip(names, given, strict=True)),
    )


def _name(argument: dict[str, Any]) -> str:
    return str(argument["as_tensor"]["name"]) if "as_tensor" in argument else next(iter(argument))


def _tensor(name: str, argument: dict[str, Any], values: dict[str, msgspec.Raw]) -> Tensor:
    """What is no tensor has no datatype."""
    if "as_tensor" not in argument:
        return Tensor(name=name, datatype="", shape=("",))
    said = msgspec.json.decode(values[argument["as_tensor"]["name"]])
    shape = tuple(
        int(size["as_int"]) if "as_int" in size else str(size["as_expr"]["expr_str"])
        for size in said["sizes"]
    )
    return Tensor(name=name, datatype=_DATATYPES.get(said["dtype"], ""), shape=shape)


def _names_of_outputs(module: _TypedModule, count: int) -> list[str]:
    """As the model server names them."""
    call = msgspec.json.decode(module.module_call_graph[0], type=_Call)
    spec = msgspec.json.decode(call.signature["out_spec"])[1]
    if spec["type"] == "builtins.dict":
        names = msgspec.json.decode(spec["context"])
        is_flat = all(not child["children_spec"] for child in spec["children_spec"])
        if is_flat and len(names) == count and all(isinstance(name, str) for name in names):
            return list(names)
    return ["output"] if count == 1 else [f"output-{index}" for index in range(count)]


def _of_archive(archive: _Archive) -> Iterator[str]:
    if "byteorder" in archive.names and archive.bytes("byteorder").strip() != b"little":
        yield "it was saved on a machine with another order of bytes"
    if any(name.startswith("data/aotinductor/") for name in archive.names):
        yield "it holds compiled machine code"
    for kind in ("weights", "constants"):
        document = f"data/{kind}/model_{kind}_config.json"
        if document not in archive.names:
            yield f"its {kind} are one pickle, as older versions of PyTorch wrote them"
            continue
        said = msgspec.json.decode(archive.bytes(document), type=_Payloads).config
        pickles = [name for name, payload in said.items() if payload.use_pickle]
        if pickles:
            yield f"it keeps {_told(pickles)} as a pickle"
        lost = [name for name, each in said.items() if f"data/{kind}/{each.path_name}" not in archive.names]
        if lost:
            yield f"the values of {_told(lost)} are not in it"


def _of_program(program: _Program) -> Iterator[str]:
    major = program.schema_version.major
    if major != _SCHEMA:
        yield f"it is written in version {major} of PyTorch's schema, and {_SCHEMA} is what is read"
    nodes = program.graph_module.graph.nodes
    unlisted = {node.target for node in nodes if not is_listed(node.target)}
    if unlisted:
        yield f"it calls {_told(sorted(unlisted))}, which nobody has listed as harmless"
    kinds = {kind for node in nodes for argument in node.inputs for kind in argument.arg}
    if strange := kinds - _ARGUMENTS:
        yield f"it hands on {_told(sorted(_CALLED.get(kind, kind) for kind in strange))}"
    signature = program.graph_module.signature
    if strange := {kind for spec in signature.input_specs for kind in spec} - _GIVEN:
        yield f"it is given {_told(sorted(strange))}, which is no tensor"
    if {kind for spec in signature.output_specs for kind in spec} - {"user_output"}:
        yield "it changes its own weights as it answers: export `model.eval()`"


def is_listed(target: str) -> bool:
    if target in _OF_NUMBERS:
        return True
    name, _, overload = target.removeprefix(_ATEN).partition(".")
    return target.startswith(_ATEN) and overload.isidentifier() and name in torch_operators()


@cache
def torch_operators() -> frozenset[str]:
    """The operators of ATen that the platform lists, as `linear`."""
    text = (resources.files("placet.projects") / "data/torch_operators.txt").read_text(encoding="utf-8")
    return frozenset(text.split())


def _told(names: list[str]) -> str:
    more = f" and {len(names) - _MOST_TOLD} more" if len(names) > _MOST_TOLD else ""
    said = ", ".join(f"{name:.100}" for name in names[:_MOST_TOLD])
    # JSON's escapes can name half a character, which no other document can carry on.
    return said.encode("utf-8", "backslashreplace").decode() + more
