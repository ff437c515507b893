"""Which packages does a model need, and in which versions? Said from its file alone, without loading anything.

Some formats say which version of their library saved them, and that one it shall be. For those that do not, but are
read alike by every version of their library, it is the version that placet itself is tested with; whoever writes that
down says so. Where neither holds, only a person knows.
"""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

import msgspec

from placet.projects.formats import Recognised
from placet.projects.pt2_files import exported_with
from placet.projects.skops_files import needs_pandas, saved_with
from placet.projects.xgboost_files import Version, json_version, ubjson_version

# tools/requirements.py holds these to requirements/dev.txt and large.txt.
TESTED_WITH = {
    "lightgbm": "4.7.0",
    "onnxruntime": "1.32.0",
    "pandas": "3.1.1",
    "safetensors": "0.8.0",
    "torch": "2.15.0",
}

_RELEASE = re.compile(r"[0-9]{1,6}(?:\.[0-9]{1,6}){1,3}(?:\.post[0-9]{1,3})?")
# From where on there is xgboost-cpu, too: the same without what only a GPU needs.
_WITHOUT_GPU_SINCE = (2, 1, 1)


class Pins(msgspec.Struct, frozen=True, kw_only=True):
    """`requirements` as `name==version`. `is_declared`: the model says so itself; `besides` is where those come from of
    which it does not."""

    requirements: tuple[str, ...]
    is_declared: bool
    besides: str | None = None


def pins(path: Path, recognised: Recognised) -> Pins | None:
    """None where the model's file says nothing that could be relied on."""
    match recognised.serialization:
        case "skops":
            return _of_skops(path)
        case "ubjson":
            return _declared(_xgboost(ubjson_version(path)))
        case "json":
            return _declared(_xgboost(json_version(path)))
        case "text":
            return _tested("lightgbm")
        case "onnx":
            return _tested("onnxruntime")
        case "pt2":
            version = exported_with(path)
            return _declared({} if version is None else {"torch": version})
        case "safetensors":
            return _tested("safetensors", "torch")
    return None


def requirements_text(found: Pins, model: str) -> str:
    """A requirements.txt, with a word on where the versions come from."""
    return f"# Written by `placet init`: {origin(found, model)}.\n" + "".join(
        f"{each}\n" for each in found.requirements
    )


def origin(found: Pins, model: str) -> str:
    if found.is_declared:
        besides = f", and {found.besides}" if found.besides else ""
        return f"what {model} says it was saved with{besides}"
    return f"what placet is tested with, since {model} does not say what it was saved with"


def _declared(versions: dict[str, str]) -> Pins | None:
    """The file is a stranger's: what is no release's number stays out of a file that an installer reads."""
    named = tuple(
        f"{name}=={version}" for name, version in sorted(versions.items()) if _RELEASE.fullmatch(version)
    )
    return Pins(requirements=named, is_declared=True) if named else None


def _of_skops(path: Path) -> Pins | None:
    """The file does not say which pandas made its frames: where somebody has it, they have trained with that one."""
    declared = _declared(saved_with(path))
    if declared is None or not needs_pandas(path):
        return declared
    here = _installed("pandas")
    return Pins(
        requirements=(f"pandas=={here or TESTED_WITH['pandas']}", *declared.requirements),
        is_declared=True,
        besides=f"pandas, whose frames it takes, as {'it is installed here' if here else 'placet is tested with'}",
    )


def _installed(name: str) -> str | None:
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
    return version if _RELEASE.fullmatch(version) else None


def _tested(*names: str) -> Pins:
    return Pins(requirements=tuple(f"{name}=={TESTED_WITH[name]}" for name in names), is_declared=False)


def _xgboost(version: Version | None) -> dict[str, str]:
    if not version:
        return {}
    name = "xgboost-cpu" if version >= _WITHOUT_GPU_SINCE else "xgboost"
    return {name: ".".join(map(str, version))}
