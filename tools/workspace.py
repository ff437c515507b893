"""Which packages this repository holds, and what they declare: read from their `pyproject.toml` files."""

from __future__ import annotations

import tomllib
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, kw_only=True)
class Package:
    name: str
    version: str
    path: Path
    declared: tuple[Requirement, ...]
    """Its dependencies, without those that it has only with an extra."""
    optional: Mapping[str, tuple[Requirement, ...]]
    """Those that it has only with an extra, by the name of that."""
    build: tuple[Requirement, ...]

    def needs(self, *extras: str) -> list[Requirement]:
        """To be there, with these extras."""
        return [*self.declared, *chain(*(self.optional[extra] for extra in extras))]

    @property
    def sources(self) -> Path:
        return self.path / "src"

    @property
    def modules(self) -> list[str]:
        """Every module in it, by its full name."""
        found = []
        for file in sorted(self.sources.rglob("*.py")):
            parts = file.relative_to(self.sources).with_suffix("").parts
            found.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
        return found


def root() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def packages() -> list[Package]:
    """The members of the workspace, in the order of their paths."""
    members = root()["tool"]["uv"]["workspace"]["members"]
    return [read(path) for path in sorted(path for pattern in members for path in ROOT.glob(pattern))]


def read(path: Path) -> Package:
    pyproject = tomllib.loads((path / "pyproject.toml").read_text())
    return Package(
        name=pyproject["project"]["name"],
        version=pyproject["project"]["version"],
        path=path,
        declared=tuple(map(Requirement, pyproject["project"].get("dependencies", []))),
        optional={
            extra: tuple(map(Requirement, lines))
            for extra, lines in pyproject["project"].get("optional-dependencies", {}).items()
        },
        build=tuple(map(Requirement, pyproject["build-system"]["requires"])),
    )


def group(name: str) -> list[Requirement]:
    """A dependency group of the repository itself."""
    return [Requirement(line) for line in root()["dependency-groups"][name]]


def third_party(requirements: list[Requirement]) -> list[Requirement]:
    own = {canonicalize_name(package.name) for package in packages()}
    return [found for found in requirements if canonicalize_name(found.name) not in own]


def needed_by_the_platform() -> list[Requirement]:
    """To install every package of the workspace and run it."""
    declared = [
        found for package in packages() for found in (*package.needs(*package.optional), *package.build)
    ]
    return third_party(declared) + group("install")


SERVICES = ("gateway", "certifier", "builder", "indexer", "deployer", "metadata")


def closure(name: str) -> list[Package]:
    """A package of the workspace and those that it declares, directly or not, in the order of their paths."""
    own = {canonicalize_name(package.name): package for package in packages()}
    found = [canonicalize_name(name)]
    for each in found:
        declared = (canonicalize_name(requirement.name) for requirement in own[each].declared)
        found.extend(needed for needed in declared if needed in own and needed not in found)
    return [package for key, package in own.items() if key in found]


def needed_by_service(name: str) -> list[Requirement]:
    """To run this service, and nothing else."""
    packages, asked = closure(f"placet-{name}"), defaultdict[str, set[str]](set)
    for each in chain(*(package.declared for package in packages)):
        asked[canonicalize_name(each.name)] |= each.extras
    return third_party(
        [each for package in packages for each in package.needs(*asked[canonicalize_name(package.name)])]
    )


def needed_to_make_images() -> list[Requirement]:
    """What installs the packages of one, and makes those of the workspace."""
    return [Requirement("uv"), *third_party([each for package in packages() for each in package.build])]


def needed_by_development() -> list[Requirement]:
    return needed_by_the_platform() + group("dev")


def needed_by_large_tests() -> list[Requirement]:
    """On top of what development needs."""
    return group("large")
