"""Who owns which fields of an object: server-side apply, and what updates take from others. Pure.

A path is a tuple of steps: `f:name` into a map, `k:{…}` to the item of a list that has these keys. Lists without keys
are one value, as atomic ones are.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Json = dict[str, Any]
Path = tuple[str, ...]

KEYS: Mapping[str, tuple[str, ...]] = {
    "ownerReferences": ("uid",),
    "containers": ("name",),
    "initContainers": ("name",),
    "env": ("name",),
    "volumes": ("name",),
    "volumeMounts": ("mountPath",),
    "imagePullSecrets": ("name",),
    "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
    "conditions": ("type",),
}
PORTS = {"Service": ("port", "protocol"), "Deployment": ("containerPort", "protocol")}
_NOBODY_S = {("f:apiVersion",), ("f:kind",), ("f:metadata", "f:name"), ("f:metadata", "f:namespace")}
_SERVER_S = (
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "managedFields",
    "deletionTimestamp",
)


class Conflict(Exception):
    """Fields that others own, by manager."""

    def __init__(self, owners: Mapping[str, set[Path]]) -> None:
        super().__init__(owners)
        self.owners = owners


def leaves(document: Json) -> dict[Path, Any]:
    """Every field with its value. Empty maps are fields of their own."""
    kind = document.get("kind", "")
    found = dict(_leaves(document, (), kind, ""))
    return {path: value for path, value in found.items() if not _is_server_s(path)}


def _is_server_s(path: Path) -> bool:
    return (
        path in _NOBODY_S
        or path[:1] == ("f:status",)
        or (path[0] == "f:metadata" and len(path) > 1 and path[1][2:] in _SERVER_S)
    )


def _leaves(value: Any, path: Path, kind: str, name: str) -> Iterator[tuple[Path, Any]]:
    keys = _keys(kind, name, value)
    if isinstance(value, dict) and value:
        for key, each in value.items():
            yield from _leaves(each, (*path, f"f:{key}"), kind, key)
    elif keys is not None:
        for each in value:
            step = (*path, _step(each, keys))
            yield step, None
            yield from _leaves(each, step, kind, "")
    else:
        yield path, value


def _keys(kind: str, name: str, value: Any) -> tuple[str, ...] | None:
    keys = PORTS.get(kind) if name == "ports" else KEYS.get(name)
    if keys is None or not isinstance(value, list) or not value:
        return None
    return keys if all(isinstance(each, dict) and keys[0] in each for each in value) else None


def _step(item: Json, keys: Sequence[str]) -> str:
    return "k:" + json.dumps({key: item[key] for key in keys if key in item}, separators=(",", ":"))


def apply(live: Json | None, wanted: Json, *, manager: str, force: bool, now: str) -> Json:
    """The object after `manager` applied what it wants of it. Raises `Conflict`."""
    entries = _entries(live)
    mine = (manager, "Apply", "")
    asked = leaves(wanted)
    there = leaves(live or {"kind": wanted["kind"]})
    others: dict[str, set[Path]] = {}
    for (other, operation, part), owned in entries.items():
        if (other, operation, part) == mine:
            continue
        taken = {path for path in owned & asked.keys() if path in there and there[path] != asked[path]}
        if taken:
            others.setdefault(other, set()).update(taken)
            owned -= taken
    if others and not force:
        raise Conflict(others)
    result = _merged(live or {}, wanted, wanted["kind"], "")
    dropped = entries.get(mine, set()) - asked.keys()
    still = set().union(*(owned for who, owned in entries.items() if who != mine), set(asked))
    for path in sorted(dropped, key=len, reverse=True):
        if not any(each[: len(path)] == path for each in still):
            _remove(result, path)
    entries[mine] = set(asked)
    return _with_entries(result, entries, live, now)


def update(live: Json, changed: Json, *, manager: str, now: str, part: str = "") -> Json:
    """The object after `manager` wrote it as a whole: what it changed is its own now, and nobody else's."""
    before, after = leaves(live), leaves(changed)
    touched = {path for path, value in after.items() if path not in before or before[path] != value}
    gone = before.keys() - after.keys()
    entries = _entries(live)
    for owned in entries.values():
        owned -= touched | gone
    if touched:
        entries.setdefault((manager, "Update", part), set()).update(touched)
    return _with_entries(changed, entries, live, now)


def _merged(live: Any, wanted: Any, kind: str, name: str) -> Any:
    keys = _keys(kind, name, wanted)
    if isinstance(wanted, dict) and isinstance(live, dict):
        result = copy.deepcopy(live)
        for key, each in wanted.items():
            result[key] = _merged(live.get(key), each, kind, key)
        return result
    if keys is not None and isinstance(live, list):
        items: list[Any] = copy.deepcopy(live)
        for each in wanted:
            step = _step(each, keys)
            number = next((n for n, one in enumerate(items) if _step(one, keys) == step), None)
            if number is None:
                items.append(copy.deepcopy(each))
            else:
                items[number] = _merged(items[number], each, kind, "")
        return items
    return copy.deepcopy(wanted)


def _remove(document: Any, path: Path) -> None:
    *above, last = path
    for step in above:
        document = _into(document, step)
        if document is None:
            return
    if last.startswith("f:") and isinstance(document, dict):
        document.pop(last[2:], None)
    elif isinstance(document, list):
        keys = json.loads(last[2:])
        document[:] = [each for each in document if {key: each.get(key) for key in keys} != keys]


def _into(document: Any, step: str) -> Any:
    if step.startswith("f:"):
        return document.get(step[2:]) if isinstance(document, dict) else None
    keys = json.loads(step[2:])
    return next((each for each in document or () if {key: each.get(key) for key in keys} == keys), None)


# Managed fields, as they are written.


def _entries(live: Json | None) -> dict[tuple[str, str, str], set[Path]]:
    listed = (live or {}).get("metadata", {}).get("managedFields", ())
    return {
        (each["manager"], each["operation"], each.get("subresource", "")): set(_paths(each["fieldsV1"], ()))
        for each in listed
    }


def _paths(tree: Json, path: Path) -> Iterator[Path]:
    for step, below in tree.items():
        if step == ".":
            yield path
        elif not below:
            yield (*path, step)
        else:
            yield from _paths(below, (*path, step))


def _with_entries(
    result: Json, entries: Mapping[tuple[str, str, str], set[Path]], live: Json | None, now: str
) -> Json:
    before = {
        (each["manager"], each["operation"], each.get("subresource", "")): each
        for each in (live or {}).get("metadata", {}).get("managedFields", ())
    }
    listed = []
    for who, owned in entries.items():
        manager, operation, part = who
        if not owned:
            continue
        tree = _tree(owned)
        is_same = who in before and before[who]["fieldsV1"] == tree
        listed.append(
            {
                "manager": manager,
                "operation": operation,
                "apiVersion": result["apiVersion"],
                "time": before[who]["time"] if is_same else now,
                "fieldsType": "FieldsV1",
                "fieldsV1": tree,
                **({"subresource": part} if part else {}),
            }
        )
    return {**result, "metadata": {**result["metadata"], "managedFields": listed}}


def _tree(owned: set[Path]) -> Json:
    tree: Json = {}
    for path in sorted(owned):
        at = tree
        for step in path:
            at = at.setdefault(step, {})
        if path[-1].startswith("k:"):
            at["."] = {}
    return tree
