"""What does a model in Python say of itself? Read from its source by Python's own parser; nothing is imported.

Such a model is a class with the name `Model`. It has the methods `load(self, folder)` and `predict(self, inputs)`, and
says in plain values what it takes and gives:

    class Model:
        inputs = {"text": "BYTES"}
        outputs = {"label": "BYTES", "probabilities": ("FP64", 3)}

A name stands for one value a row, or in parentheses for a row of that shape. The model server reads the same values
from the class itself.

A module of PyTorch, to which weights are loaded, is a class `Model` too. It has `forward` instead of both methods, and
derives from `torch.nn.Module`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

CLASS = "Model"
DATATYPES = (
    *("BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64"),
    *("FP16", "FP32", "FP64", "BYTES"),
)
_ITS_CLASS = re.compile(rb"^class[ \t]+Model\b", re.MULTILINE)
_LARGEST = 1024**2
_METHODS = {"load": "(self, folder)", "predict": "(self, inputs)"}
_OF_MODULE = {"forward": "(self, …)"}
_TENSORS = ("inputs", "outputs")


class PythonModel(msgspec.Struct, frozen=True, kw_only=True):
    """`problems` are what keeps the model server from serving it, in words; `imports` are the modules it names.

    `inputs` are the names of what it takes; none if it does not write them out itself.
    """

    problems: tuple[str, ...]
    imports: tuple[str, ...]
    inputs: tuple[str, ...] = ()
    datatypes: tuple[tuple[str, tuple[int, ...]], ...] = ()
    """Of each input, and the shape that a row of it has."""


def read_python(path: Path) -> PythonModel | None:
    """None for what is no Python, or has no class `Model`, or one that is a module of PyTorch."""
    found = _class(path)
    return None if found is None or _is_module(found[0]) else _read(*found, _METHODS)


def read_module(path: Path) -> PythonModel | None:
    """None for what is no Python, or has no class `Model` that is a module of PyTorch."""
    found = _class(path)
    return _read(*found, _OF_MODULE) if found is not None and _is_module(found[0]) else None


def no_python(path: Path) -> str:
    """Why nothing is read from a Python file that somebody calls a model, in words."""
    problem = syntax_problem(path)
    if problem is None and read_module(path) is not None:
        return (
            f"its class {CLASS} is a module of PyTorch, for model.module, and model.path is for its weights"
        )
    return problem or f"it has no class {CLASS}"


def read_imports(path: Path) -> tuple[str, ...]:
    """The top-level names of the modules that any Python file imports; none of what is no Python."""
    try:
        if path.stat().st_size > _LARGEST:
            return ()
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return ()
    return tuple(sorted(set(_imports(tree))))


def syntax_problem(path: Path) -> str | None:
    """Why Python cannot read a file, with the line; None if it can."""
    try:
        if path.stat().st_size > _LARGEST:
            return f"it is larger than {_LARGEST} bytes"
        ast.parse(path.read_bytes())
    except SyntaxError as error:
        return f"line {error.lineno or 1}: {type(error).__name__}: {error.msg}"
    except (ValueError, RecursionError, MemoryError):
        return "Python's parser cannot follow it"
    return None


def would_be_python(path: Path) -> bool:
    """Whether somebody began a class `Model` in it, of which nobody knows more."""
    try:
        return path.stat().st_size <= _LARGEST and _ITS_CLASS.search(path.read_bytes()) is not None
    except OSError:
        return False


def _read(model: ast.ClassDef, tree: ast.Module, methods: Mapping[str, str]) -> PythonModel:
    problems = tuple(_problems(model, methods))
    return PythonModel(
        problems=problems,
        imports=tuple(sorted(set(_imports(tree)))),
        inputs=() if problems else tuple(_inputs(model)),
        datatypes=() if problems else tuple(map(_tensor, _inputs(model).values())),
    )


def _is_module(model: ast.ClassDef) -> bool:
    """Says it by a base that is called so, or has what only a module has: `class Model(network.Net)` is one, too."""
    names = {each.name for each in model.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)}
    if any(_last_name(base) == "Module" for base in model.bases):
        return True
    return "forward" in names and not names & _METHODS.keys()


def _class(path: Path) -> tuple[ast.ClassDef, ast.Module] | None:
    try:
        if path.stat().st_size > _LARGEST:
            return None
        source = path.read_bytes()
        if _ITS_CLASS.search(source) is None:
            return None
        tree = ast.parse(source)
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    for statement in tree.body:
        if isinstance(statement, ast.ClassDef) and statement.name == CLASS:
            return statement, tree
    return None


def _problems(model: ast.ClassDef, wanted: Mapping[str, str]) -> Iterator[str]:
    methods = {
        each.name: each for each in model.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    for name, arguments in wanted.items():
        match methods.get(name):
            case None if not _inherits(model):
                yield f"class {CLASS} has no method {name}{arguments}"
            case ast.AsyncFunctionDef():
                yield f"{name} is a coroutine, which nobody awaits: write `def {name}`"
    for name in _TENSORS:
        yield from _wrong_tensors(name, model)


def _inherits(model: ast.ClassDef) -> bool:
    """From a class that may have what this one lacks, which PyTorch's own has not."""
    return any(_last_name(base) != "Module" for base in model.bases)


def _last_name(base: ast.expr) -> str:
    return ast.unparse(base).rpartition(".")[2]


def _wrong_tensors(name: str, model: ast.ClassDef) -> Iterator[str]:
    said = f'{name} = {{"name": "FP64"}}'
    assigned = _assigned(name, model)
    if assigned is None:
        if not _inherits(model):
            yield f"class {CLASS} does not say `{said}`"
        return
    try:
        tensors = ast.literal_eval(assigned)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        yield f"{name} is computed, and has to be written out, as `{said}`"
        return
    if not isinstance(tensors, dict) or not tensors:
        yield f"{name} is no mapping of names, as `{said}`"
        return
    for key, value in tensors.items():
        if not isinstance(key, str) or not key:
            yield f"{name} has the name {key!r:.100}, which is no text"
        elif not _is_tensor(value):
            yield f'{name} says {value!r:.100} of {key}, and not "FP64" or, for a row of 3, ("FP64", 3)'


def _inputs(model: ast.ClassDef) -> dict[str, Any]:
    assigned = _assigned("inputs", model)
    return {} if assigned is None else dict(ast.literal_eval(assigned))


def _tensor(said: Any) -> tuple[str, tuple[int, ...]]:
    return (said, ()) if isinstance(said, str) else (said[0], tuple(said[1:]))


def _assigned(name: str, model: ast.ClassDef) -> ast.expr | None:
    found = None
    for statement in model.body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=target)], value=value) if target == name:
                found = value
            case ast.AnnAssign(target=ast.Name(id=target), value=value) if target == name:
                found = value
    return found


def _is_tensor(value: Any) -> bool:
    match value:
        case str():
            return value in DATATYPES
        case (str() as datatype, *shape):
            return datatype in DATATYPES and all(
                type(size) is int and (size > 0 or size == -1) for size in shape
            )
    return False


def _imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]
