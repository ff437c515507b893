"""placet's own code in an image: the model server and the packages of placet that it declares.

These packages are on no index. Their files are taken from where this service has them installed, which may
be a wheel or a checkout; both give the same files.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, metadata, requires
from importlib.util import find_spec
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from placet.builder.layers import files_below, fingerprint
from placet.errors import Unavailable

_OWN = "placet-"
_BUILDER = "placet-builder"


@dataclass(frozen=True, kw_only=True)
class ServingCode:
    """The model server's files by their path below site-packages, and what they need from the index.

    `versions` are those of placet's own distributions in it.
    """

    files: dict[str, Path | bytes]
    requirements: tuple[str, ...]
    versions: dict[str, str]


def serving_code(distribution: str = "placet-runtime") -> ServingCode:
    """The code of `distribution` and of every `placet-…` distribution it declares, at any depth."""
    files: dict[str, Path | bytes] = {}
    requirements: set[str] = set()
    versions: dict[str, str] = {}
    waiting, seen = [distribution], {distribution}
    while waiting:
        name = waiting.pop()
        versions[name], found = _files(name)
        files |= found
        for text in requires(name) or ():
            requirement = Requirement(text)
            if requirement.marker is not None and "extra" in str(requirement.marker):
                continue
            needed = canonicalize_name(requirement.name)
            if not needed.startswith(_OWN):
                requirements.add(text)
            elif needed not in seen:
                seen.add(needed)
                waiting.append(needed)
    return ServingCode(files=files, requirements=tuple(sorted(requirements)), versions=versions)


def recipe() -> str:
    """A digest of all code of placet that an image is made of or made by.

    It takes the place of a number that somebody has to raise, and would forget to. The model server is a dependency of
    the builder.
    """
    return fingerprint(serving_code(_BUILDER).files)


def _files(distribution: str) -> tuple[str, dict[str, Path | bytes]]:
    short = distribution.removeprefix(_OWN)
    spec = find_spec(f"placet.{short}")
    try:
        version = metadata(distribution)["Version"]
    except PackageNotFoundError:
        spec = None
    if spec is None or spec.origin is None:
        raise Unavailable(
            f"{distribution} is not installed beside the builder",
            fix=f"install {distribution} with the builder",
        )
    described = f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n".encode()
    info = f"{distribution.replace('-', '_')}-{version}.dist-info"
    files: dict[str, Path | bytes] = {f"{info}/METADATA": described}
    if not spec.submodule_search_locations:
        return version, files | {f"placet/{Path(spec.origin).name}": Path(spec.origin)}
    found = files_below(Path(spec.origin).parent, under=f"placet/{short}/")
    kept = {path: source for path, source in found.items() if "__pycache__" not in path.split("/")}
    return version, files | kept
