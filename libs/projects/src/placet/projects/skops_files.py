"""Which types does a .skops file name that nobody trusts? Read from its schema, without loading anything.

Skops loads a type only if it is trusted: by skops itself (kept as data, see `tools/write_skops_types.py`), or by
whoever loads it. The second list is the platform's and is never taken from a model. The schema is walked as a
whole, so what is reported is never less than what skops would load.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

SCHEMA = "schema.json"
_MAX_SCHEMA_BYTES = 64 * 1024**2
# Nodes that name a type and load none: what they stand for is plain JSON, or was seen elsewhere.
_HARMLESS_NODES = frozenset({"JsonNode", "SliceNode", "CachedNode"})
# A partial calls what it holds with arguments from the file, so that a trusted type in one is more than that type.
_IN_PARTIALS = frozenset({"sklearn.utils.validation.check_array"})


@cache
def trusted_types() -> tuple[str, ...]:
    """The types the platform trusts on top of skops' own, sorted: what a loader passes as `trusted`."""
    groups = yaml.safe_load(_data("trusted_types.yaml"))
    return tuple(sorted(name for group in groups for name in group["types"]))


@cache
def trusted_functions() -> frozenset[str]:
    """The universal functions of NumPy and SciPy, as `numpy.log1p`."""
    return frozenset(_skops_types()["nodes"]["FunctionNode"])


def untrusted_types(path: Path) -> list[str] | None:
    """The sorted names that neither skops nor the platform trusts; None if this is no .skops file we can read."""
    schema = _schema(path)
    known = _skops_types()
    if not isinstance(schema, dict) or schema.get("protocol") != known["protocol"]:
        return None
    untrusted = set(_untrusted(schema, known)) - set(trusted_types())
    # JSON's escapes can name half a character, which no other document can carry on.
    return sorted(name.encode("utf-8", "backslashreplace").decode() for name in untrusted)


def is_skops_file(path: Path) -> bool:
    """Whether skops would load it, whatever it is called; a schema that cannot be read may be one of skops."""
    try:
        with zipfile.ZipFile(path) as container:
            if SCHEMA not in container.namelist():
                return False
    except (zipfile.BadZipFile, OSError, ValueError):
        return False
    schema = _schema(path)
    return schema is None or (isinstance(schema, dict) and "__loader__" in schema)


def beyond_trust(names: Iterable[str]) -> list[str]:
    """Of the types that a model says should be trusted, those that neither skops nor the platform does, sorted."""
    by_skops = {name for of_node in _skops_types()["nodes"].values() for name in of_node}
    return sorted(set(names) - by_skops - set(trusted_types()))


def saved_with(path: Path) -> dict[str, str]:
    """The versions of skops and scikit-learn that saved the file, as far as it names them, and names one of each."""
    schema = _schema(path)
    if not isinstance(schema, dict):
        return {}
    found = {"skops": {str(schema["_skops_version"])}} if "_skops_version" in schema else {}
    if of_sklearn := set(_sklearn_versions(schema)):
        found["scikit-learn"] = of_sklearn
    return {name: versions.pop() for name, versions in found.items() if len(versions) == 1}


def needs_pandas(path: Path) -> bool:
    """Whether a step picks columns of a frame by their names, or answers with frames: on an array it fails."""
    return any(_picks_by_name(each) or _answers_frames(each) for each in _objects(_schema(path)))


def learned_from(path: Path) -> tuple[int | None, tuple[str, ...]]:
    """How many columns the estimator learned from, and their names where it learned from a frame; None where its state
    does not say it, as that of an estimator that asks another."""
    state = _state(_schema(path))
    for _ in range(_DEEPEST):
        if "steps" not in state or "n_features_in_" in state:
            break
        state = _state(_first_step(state))  # a pipeline takes what its first step takes
    count = _plain(state.get("n_features_in_"))
    names = [_plain(each) for each in _list(state.get("feature_names_in_"))]
    if not isinstance(count, int) or count < 1:
        return None, ()
    is_named = len(names) == count and all(isinstance(name, str) for name in names)
    return count, tuple(map(str, names)) if is_named else ()


_DEEPEST = 20


def _state(node: Any) -> dict[str, Any]:
    try:
        state = node["content"]["content"]
    except (KeyError, TypeError):
        return {}
    return state if isinstance(state, dict) else {}


def _first_step(state: dict[str, Any]) -> Any:
    first = next(iter(_list(state["steps"])), None)
    return next(iter(_list(first)[1:]), None)


def _list(node: Any) -> list[Any]:
    content = node.get("content") if isinstance(node, dict) else None
    return content if isinstance(content, list) else []


def _plain(node: Any) -> Any:
    if not isinstance(node, dict) or node.get("__loader__") != "JsonNode":
        return None
    try:
        return json.loads(node["content"])
    except (KeyError, TypeError, ValueError, RecursionError):
        return None


def _schema(path: Path) -> Any:
    """None if there is none that can be read."""
    try:
        with zipfile.ZipFile(path) as container:
            if container.getinfo(SCHEMA).file_size > _MAX_SCHEMA_BYTES:
                return None
            with container.open(SCHEMA) as file:
                return json.loads(file.read(_MAX_SCHEMA_BYTES))
    except (zipfile.BadZipFile, KeyError, OSError, ValueError, zlib.error, RuntimeError, RecursionError):
        return None


def _objects(schema: Any) -> Iterator[dict[str, Any]]:
    """Every object of it, however deep."""
    left = [schema]
    while left:
        value = left.pop()
        if isinstance(value, list):
            left += value
        elif isinstance(value, dict):
            left += value.values()
            yield value


def _sklearn_versions(schema: Any) -> Iterator[str]:
    """Each estimator's own, which scikit-learn keeps in its state."""
    for each in _objects(schema):
        version = each.get("_sklearn_version")
        if isinstance(version, dict):
            yield str(version.get("content")).strip('"')


def _picks_by_name(state: dict[str, Any]) -> bool:
    """Of a ColumnTransformer that learned from a frame: whether any of its steps does not pick columns by number."""
    return "feature_names_in_" in state and any(map(_is_name, _objects(state.get("_columns"))))


def _is_name(node: dict[str, Any]) -> bool:
    content = node.get("content")
    match node.get("__loader__"):
        case "SliceNode" if isinstance(content, dict):
            return any(isinstance(bound, str) for bound in content.values())
        case "JsonNode":
            return isinstance(content, str) and content.startswith('"')
    return node.get("type") == "numpy"  # in a file of its own; on a frame, numbers pick as well as names do


def _answers_frames(state: dict[str, Any]) -> bool:
    """`set_output(transform="pandas")` was called of it."""
    return any(each.get("content") == '"pandas"' for each in _objects(state.get("_sklearn_output_config")))


def _untrusted(schema: Any, known: Any) -> Iterator[str]:
    for each in _objects(schema):
        if "__loader__" in each:
            yield from _untrusted_names(each, known)


def _untrusted_names(node: dict[str, Any], known: Any) -> Iterator[str]:
    loader = str(node["__loader__"])
    name = _name(node)
    if loader in _HARMLESS_NODES:
        return
    if name not in known["nodes"].get(loader, ()):
        yield name
    content = node.get("content")
    if loader == "PartialNode":
        held = content.get("func") if isinstance(content, dict) else None
        if _name(held) not in _IN_PARTIALS:
            yield f"{name} of {_name(held)}"
    if loader == "MethodNode":
        yield f"{name}.{content.get('func') if isinstance(content, dict) else None}"
    if loader == "RandomGeneratorNode":
        generator = _bit_generator(content)
        if f"numpy.random.{generator}" not in known["bitGenerators"]:
            yield f"numpy.random.{generator}"


def _name(node: Any) -> str:
    return f"{node.get('__module__')}.{node.get('__class__')}" if isinstance(node, dict) else "nothing"


def _bit_generator(content: Any) -> Any:
    # The class is an ordinary string in the generator's state, and skops looks it up and calls it.
    try:
        return json.loads(content["bit_generator"]["content"]["bit_generator"]["content"])
    except (KeyError, TypeError, ValueError):
        return None


@cache
def _skops_types() -> Any:
    return json.loads(_data("skops_types.json"))


def _data(name: str) -> str:
    return (resources.files("placet.projects") / "data" / name).read_text(encoding="utf-8")
