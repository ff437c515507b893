"""Programs that `torch.export.save` wrote, run operator by operator.

PyTorch's own loader is made for files one wrote oneself: it unpickles, evaluates texts as expressions and compiles
Python from names that the file gives. Here the graph is data. Its nodes are followed in their order, each calls one
operator of ATen with tensors and numbers, and only those that are listed: by the platform, whose list comes with the
image and is never taken from the file. How many threads an operator uses is up to `OMP_NUM_THREADS`.

What it does not do: graphs within graphs (control flow), operators of other libraries, gradients, a GPU.
"""

from __future__ import annotations

import json
import math
import operator
import zipfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch

from placet.runtime.model import CannotLoad
from placet.runtime.signature import ANY, Array, Signature, Tensor, Tensors

PROBABILITIES = "probabilities"

# PyTorch's numbers for its datatypes in a program, with what a request carries them as.
_DATATYPES: Mapping[int, tuple[torch.dtype, str | None]] = {
    1: (torch.uint8, "UINT8"),
    2: (torch.int8, "INT8"),
    3: (torch.int16, "INT16"),
    4: (torch.int32, "INT32"),
    5: (torch.int64, "INT64"),
    6: (torch.float16, "FP16"),
    7: (torch.float32, "FP32"),
    8: (torch.float64, "FP64"),
    9: (torch.complex32, None),
    10: (torch.complex64, None),
    11: (torch.complex128, None),
    12: (torch.bool, "BOOL"),
    13: (torch.bfloat16, "FP32"),  # which NumPy does not have
    28: (torch.uint16, "UINT16"),
    34: (torch.uint32, "UINT32"),
    35: (torch.uint64, "UINT64"),
}
_MEMORY_FORMATS = {
    1: torch.contiguous_format,
    2: torch.channels_last,
    3: torch.channels_last_3d,
    4: torch.preserve_format,
}
_STRIDED = 7
_POSITIONAL = 1

# Of sizes, which are plain numbers here.
_OF_NUMBERS: Mapping[str, Callable[..., Any]] = {
    **{
        f"_operator.{name}": getattr(operator, name)
        for name in ("eq", "ne", "le", "ge", "lt", "gt", "neg", "pos", "mul", "add", "sub", "floordiv", "mod")
    },
    **{f"_operator.{name}": getattr(operator, name) for name in ("pow", "truediv", "and_", "or_", "getitem")},
    "torch.sym_not": operator.not_,
    "torch.sym_int": int,
    "torch.sym_float": float,
    "torch.sym_ite": lambda is_so, then, otherwise: then if is_so else otherwise,
    "torch.sym_max": max,
    "torch.sym_min": min,
    "torch.sym_sqrt": math.sqrt,
    "torch.sym_sum": lambda *terms: sum(terms[0] if len(terms) == 1 else terms),
    "math.trunc": math.trunc,
    "math.ceil": math.ceil,
    "math.floor": math.floor,
}
_ATEN = "torch.ops.aten."
_NUMBERS = {"Infinity": math.inf, "-Infinity": -math.inf, "NaN": math.nan}  # as JSON cannot say them

Values = dict[str, Any]
Argument = Mapping[str, Any]  # of one key, which says what the value is


@dataclass(frozen=True, slots=True)
class _Step:
    """`values` gives the arguments, by position and by name; `keep` puts away what came of them."""

    call: Callable[..., Any]
    positional: tuple[Callable[[Values], Any], ...]
    named: tuple[tuple[str, Callable[[Values], Any]], ...]
    outputs: tuple[Argument, ...]
    last_use: tuple[str, ...]


class ExportedProgram:
    def __init__(self, document: Any, tensors: Mapping[str, torch.Tensor], trusted: Collection[str]) -> None:
        module = document["graph_module"]
        graph = module["graph"]
        self._constants: Values = {}
        self._inputs: list[str] = []
        for spec in module["signature"]["input_specs"]:
            self._take(spec, tensors)
        given = [_only(spec, "user_output")["arg"] for spec in module["signature"]["output_specs"]]
        self._results = [_only(argument, "as_tensor")["name"] for argument in given]
        self._types = {name: graph["tensor_values"][name] for name in (*self._inputs, *self._results)}
        self._casts = {name: _datatype(self._types[name])[0] for name in self._inputs}
        names = _names_of_outputs(module, self._results)
        self._names = dict(zip(names, self._results, strict=True))
        self._steps = _steps(graph["nodes"], frozenset(self._results), frozenset(self._constants), trusted)
        others = [name for name in names if name != PROBABILITIES]
        has_one = len(others) == 1
        self.signature = Signature(
            platform="pytorch_exported",
            inputs=tuple(_tensor(name, self._types[name]) for name in self._inputs),
            outputs=tuple(_tensor(name, self._types[result]) for name, result in self._names.items()),
            prediction=others[0] if has_one else None,
            probabilities=PROBABILITIES if has_one and len(names) > 1 else None,
            takes_missing=any(_datatype(self._types[name])[0].is_floating_point for name in self._inputs),
        )
        self._check_rows()

    def predict(self, inputs: Tensors, outputs: Collection[str]) -> Tensors:
        with torch.inference_mode():
            values = dict(self._constants)
            for name in self._inputs:
                values[name] = torch.tensor(inputs[name]).to(
                    self._casts[name]
                )  # a copy: a step may write into it
            for step in self._steps:
                answer = step.call(
                    *(value(values) for value in step.positional),
                    **{name: value(values) for name, value in step.named},
                )
                _keep(answer, step.outputs, values)
                for name in step.last_use:
                    values.pop(name, None)
            return {name: _array(values[self._names[name]]) for name in outputs}

    def _take(self, spec: Argument, tensors: Mapping[str, torch.Tensor]) -> None:
        ((kind, said),) = spec.items()
        match kind:
            case "user_input":
                self._inputs.append(_only(said["arg"], "as_tensor")["name"])
            case "parameter" | "buffer" | "tensor_constant":
                self._constants[said["arg"]["name"]] = tensors[said[f"{kind}_name"]]
            case "constant_input":
                self._constants[said["name"]] = None
            case _:
                raise CannotLoad(f"the program is given a {kind}, which is no tensor")

    def _check_rows(self) -> None:
        """An output has a row for each row of the inputs, or says how many it has."""
        rows = {_rows(self._types[name]) for name in self._inputs}
        for name, result in self._names.items():
            said = _rows(self._types[result])
            if isinstance(said, str) and said not in rows:
                raise CannotLoad(
                    f"the program's output {name} has other rows than its inputs; have it answer with one for each"
                )


def load(path: Path, trusted: Collection[str]) -> ExportedProgram:
    """`trusted` are the operators of ATen that may be called."""
    try:
        with zipfile.ZipFile(path) as archive:
            root = archive.namelist()[0].partition("/")[0]
            document = json.loads(archive.read(f"{root}/models/model.json"))
            tensors = dict(_tensors(archive, root))
        return ExportedProgram(document, tensors, trusted)
    except (
        zipfile.BadZipFile,
        ValueError,
        KeyError,
        IndexError,
        TypeError,
        RuntimeError,
        RecursionError,
    ) as error:
        raise CannotLoad(
            f"{path.name} is no exported program that can be read: {type(error).__name__}: {error}".splitlines()[
                0
            ]
            + "; save it again with `torch.export.save(torch.export.export(model.eval(), (example,)), 'model.pt2')`"
        ) from error


def _tensors(archive: zipfile.ZipFile, root: str) -> Iterator[tuple[str, torch.Tensor]]:
    stored: dict[str, bytearray] = {}
    for kind in ("weights", "constants"):
        said = msgspec.json.decode(archive.read(f"{root}/data/{kind}/model_{kind}_config.json"))
        for name, payload in said["config"].items():
            if payload["use_pickle"]:
                raise CannotLoad(f"the program keeps {name} as a pickle, which is never loaded")
            file = f"{root}/data/{kind}/{payload['path_name']}"
            if file not in stored:
                stored[file] = bytearray(archive.read(file))
            yield name, _stored(stored[file], payload["tensor_meta"])


def _stored(content: bytearray, said: Mapping[str, Any]) -> torch.Tensor:
    dtype = _datatype(said)[0]
    sizes, strides = ([_only(size, "as_int") for size in said[key]] for key in ("sizes", "strides"))
    if not content:
        return torch.zeros(sizes, dtype=dtype)
    # beyond the bytes of the file, as_strided raises
    return torch.frombuffer(content, dtype=dtype).as_strided(
        sizes, strides, _only(said["storage_offset"], "as_int")
    )


def _steps(
    nodes: Sequence[Mapping[str, Any]],
    results: frozenset[str],
    constants: frozenset[str],
    trusted: Collection[str],
) -> tuple[_Step, ...]:
    """In their order; a value is let go after the last step that wants it."""
    listed = frozenset(trusted)
    wanted = set(results | constants)
    steps: list[_Step] = []
    for node in reversed(nodes):
        used = {name for argument in node["inputs"] for name in _used(argument["arg"])}
        kept = {name for argument in node["outputs"] for name in _used(argument)}
        steps.append(_step(node, tuple((used | kept) - wanted), listed))
        wanted |= used
    return tuple(reversed(steps))


def _step(node: Mapping[str, Any], last_use: tuple[str, ...], listed: frozenset[str]) -> _Step:
    call = _operator(node["target"], listed)
    is_of_aten = isinstance(call, torch._ops.OpOverload)
    positional, named = [], []
    for argument in node["inputs"]:
        value = _value(argument["arg"])
        if is_of_aten and argument.get("kind") != _POSITIONAL:
            named.append((argument["name"], value))
        else:
            positional.append(value)
    return _Step(call, tuple(positional), tuple(named), tuple(node["outputs"]), last_use)


def _operator(target: str, listed: frozenset[str]) -> Callable[..., Any]:
    if target in _OF_NUMBERS:
        return _OF_NUMBERS[target]
    name, _, overload = target.removeprefix(_ATEN).partition(".")
    if not target.startswith(_ATEN) or name not in listed or not overload.isidentifier():
        raise CannotLoad(f"the program calls {target}, which this platform does not list")
    found = getattr(getattr(torch.ops.aten, name, None), overload, None)
    if not isinstance(found, torch._ops.OpOverload):
        raise CannotLoad(
            f"PyTorch {torch.__version__} has no operator {target}; pin the version that exported the program"
        )
    call: Callable[..., Any] = found
    return call


def _value(argument: Argument) -> Callable[[Values], Any]:
    """How to get it, once the values before it are there."""
    ((kind, said),) = argument.items()
    match kind:
        case "as_tensor":
            return operator.itemgetter(said["name"])
        case "as_tensors":
            names = [each["name"] for each in said]
            return lambda values: [values[name] for name in names]
        case "as_nested_tensors":
            nested = [[each["name"] for each in inner] for inner in said]
            return lambda values: [[values[name] for name in inner] for inner in nested]
        case "as_optional_tensor" | "as_sym_int" | "as_sym_float" | "as_sym_bool":
            return _value_of_choice(said)
        case "as_optional_tensors" | "as_sym_ints" | "as_sym_floats" | "as_sym_bools":
            each_of = [_value_of_choice(each) for each in said]
            return lambda values: [each(values) for each in each_of]
    plain = _plain(kind, said)
    return lambda values: plain


def _value_of_choice(said: Argument) -> Callable[[Values], Any]:
    ((kind, value),) = said.items()
    match kind:
        case "as_name":
            return operator.itemgetter(value)
        case "as_tensor":
            return operator.itemgetter(value["name"])
    plain = _plain(kind, value)
    return lambda values: plain


def _plain(kind: str, said: Any) -> Any:
    match kind:
        case "as_none":
            return None
        case "as_int" | "as_bool" | "as_string" | "as_ints" | "as_bools" | "as_strings" | "as_int_lists":
            return said
        case "as_float":
            return _NUMBERS.get(said, said)
        case "as_floats":
            return [_NUMBERS.get(each, each) for each in said]
        case "as_float_lists":
            return [[_NUMBERS.get(each, each) for each in inner] for inner in said]
        case "as_complex":
            return complex(said["real"], said["imag"])
        case "as_scalar_type":
            return _DATATYPES[said][0]
        case "as_memory_format":
            return _MEMORY_FORMATS[said]
        case "as_layout" if said == _STRIDED:
            return torch.strided
        case "as_device":  # whatever it was exported on
            return torch.device("cpu")
    raise CannotLoad(f"the program hands on a value of the kind {kind}, which the model server does not take")


def _used(argument: Any) -> Iterator[str]:
    """The names of values in an argument, however deep."""
    if isinstance(argument, list):
        for each in argument:
            yield from _used(each)
    elif isinstance(argument, dict):
        for key, value in argument.items():
            if key in ("name", "as_name") and isinstance(value, str):
                yield value
            else:
                yield from _used(value)


def _keep(answer: Any, outputs: Sequence[Argument], values: Values) -> None:
    if len(outputs) == 1:
        _keep_one(answer, outputs[0], values)
        return
    for each, output in zip(answer if outputs else (), outputs, strict=True):
        _keep_one(each, output, values)


def _keep_one(answer: Any, output: Argument, values: Values) -> None:
    ((kind, said),) = output.items()
    match kind:
        case "as_tensor":
            values[said["name"]] = answer
        case "as_tensors":
            values.update(zip((each["name"] for each in said), answer, strict=True))
        case "as_sym_int" | "as_sym_float" | "as_sym_bool":
            values[said["as_name"]] = answer


def _only(argument: Argument, kind: str) -> Any:
    if set(argument) != {kind}:
        said = ", ".join(argument)
        raise CannotLoad(
            f"the program has {said} where the model server takes {kind} alone; export it with tensors"
        )
    return argument[kind]


def _datatype(said: Mapping[str, Any]) -> tuple[torch.dtype, str | None]:
    found = _DATATYPES.get(said["dtype"])
    if found is None:
        raise CannotLoad(
            f"the program has a tensor of PyTorch's type {said['dtype']}, which nobody can carry"
        )
    return found


def _tensor(name: str, said: Mapping[str, Any]) -> Tensor:
    datatype = _datatype(said)[1]
    if datatype is None:
        raise CannotLoad(f"{name} holds complex numbers, which the Open Inference Protocol cannot carry")
    return Tensor(
        name=name, datatype=datatype, shape=tuple(size.get("as_int", ANY) for size in said["sizes"])
    )


def _rows(said: Mapping[str, Any]) -> int | str | None:
    """How many, or by which expression they are counted; None where there are none."""
    if not said["sizes"]:
        return None
    first = said["sizes"][0]
    rows: int | str = first["as_int"] if "as_int" in first else first["as_expr"]["expr_str"]
    return rows


def _names_of_outputs(module: Mapping[str, Any], results: Sequence[str]) -> list[str]:
    """The keys of the dictionary that the model returns; for a tuple `output-0` and so on, for a tensor `output`."""
    spec = json.loads(module["module_call_graph"][0]["signature"]["out_spec"])[1]
    if spec["type"] == "builtins.dict":
        names = json.loads(spec["context"])
        is_flat = all(not child["children_spec"] for child in spec["children_spec"])
        if is_flat and len(names) == len(results) and all(isinstance(name, str) for name in names):
            return list(names)
    return ["output"] if len(results) == 1 else [f"output-{index}" for index in range(len(results))]


def _array(tensor: torch.Tensor) -> Array:
    found = tensor.to(torch.float32) if tensor.dtype is torch.bfloat16 else tensor
    return np.ascontiguousarray(found.resolve_conj().resolve_neg().numpy())
