"""What does an object have that was not applied, or lack that was? Pure.

A cluster fills in what was left open, and nobody owns that; so what was not applied and has an owner was put there by
somebody. Lists are compared whole: another container, variable or volume beside ours is nobody's default.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from placet.deployer.adapters.kubernetes_cluster import FIELD_MANAGER, Json
from placet.deployer.adapters.kubernetes_room import quantity

_PARTS = ("spec", "data", "automountServiceAccountToken")
_COUNTED = "spec.replicas"
"""An autoscaler writes it."""


def drift(wanted: Json, found: Json | None) -> str | None:
    """One sentence, if there is any."""
    name = f"its {wanted['kind']}"
    if found is None or "deletionTimestamp" in found["metadata"]:
        return f"{name} was gone"
    where = _difference({part: wanted[part] for part in _PARTS if part in wanted}, found)
    where = where or _difference(_owners(wanted), _owners(found))
    if where is not None:
        return f"{name} was changed at {where}{_by(found)}"
    return next((f"{name} was changed at {at}, by {who}" for at, who in _added(found)), None)


def instead(wanted: Json, found: Json) -> Json:
    """What to put in its place, so that nothing is left that somebody added: what is wanted, and beside it what the
    cluster itself gave, an address or how many there are."""
    added = {path[1][2:] for path in _foreign(found) if len(path) > 1}
    given = {name: each for name, each in found.get("spec", {}).items() if name not in added}
    version = found["metadata"]["resourceVersion"]
    whole = {**wanted, "metadata": {**wanted["metadata"], "resourceVersion": version}}
    return {**whole, "spec": {**given, **wanted["spec"]}} if "spec" in wanted else whole


def _difference(wanted: Any, found: Any, where: str = "") -> str | None:
    """The first place where they differ."""
    match wanted, found:
        case dict(), dict():
            return _first(_difference(each, found.get(key), f"{where}.{key}") for key, each in wanted.items())
        case list(), list():
            if len(wanted) != len(found):
                return where.lstrip(".")
            theirs = _by_name(found) if wanted and _by_name(wanted) else None
            if theirs is not None:
                return _first(
                    _difference(each, theirs.get(each["name"]), f"{where}[{each['name']}]") for each in wanted
                )
            pairs = enumerate(zip(wanted, found, strict=True))
            return _first(_difference(one, other, f"{where}[{number}]") for number, (one, other) in pairs)
        case _:
            return None if _is_same(wanted, found) else where.lstrip(".")


def _first(found: Any) -> str | None:
    return next((each for each in found if each is not None), None)


def _by_name(items: Sequence[Any]) -> dict[str, Any] | None:
    if not all(isinstance(each, dict) and "name" in each for each in items):
        return None
    return {each["name"]: each for each in items}


def _is_same(wanted: Any, found: Any) -> bool:
    if wanted == found or (wanted in ("", [], {}) and found is None):  # what is empty is not kept
        return True
    one, other = quantity(wanted), quantity(found)
    return one is not None and one == other


def _owners(document: Json) -> Json:
    owners = document["metadata"].get("ownerReferences", [])
    return {"ownerReferences": [{"uid": each["uid"], "name": each["name"]} for each in owners]}


def _added(found: Json) -> Iterator[tuple[str, str]]:
    """What others own of it and we do not, each with whose it is."""
    for path, manager in _foreign(found).items():
        yield _written(path), manager


def _foreign(found: Json) -> Mapping[tuple[str, ...], str]:
    ours = {path for each in _entries(found) if each["manager"] == FIELD_MANAGER for path in _wrote(each)}
    return {
        path: str(each["manager"]) for each in _entries(found) for path in _wrote(each) if path not in ours
    }


def _paths(tree: Json, above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for step, below in tree.items():
        if step != "." and not below:
            yield (*above, step)
        elif step != ".":
            yield from _paths(below, (*above, step))


def _written(path: Sequence[str]) -> str:
    """`f:spec`, `k:{"name":"model"}` as `spec[model]`."""
    written = ""
    for step in path:
        kind, _, name = step.partition(":")
        if kind == "k":
            written += f"[{', '.join(str(each) for each in json.loads(name).values())}]"
        else:
            written += f".{name}"
    return written.lstrip(".")


def _by(found: Json) -> str:
    """Whose program changed it last, as far as the cluster says."""
    entries = [each for each in _entries(found) if each["manager"] != FIELD_MANAGER and any(_wrote(each))]
    if not entries:
        return ""
    return f", by {max(entries, key=lambda each: each.get('time') or '')['manager']}"


def _entries(found: Json) -> Sequence[Json]:
    return [each for each in found["metadata"].get("managedFields", ()) if not each.get("subresource")]


def _wrote(entry: Json) -> Iterator[tuple[str, ...]]:
    """What of it is for us to say."""
    for path in _paths(entry["fieldsV1"]):
        if path[0][2:] in _PARTS and _written(path) != _COUNTED:
            yield path
