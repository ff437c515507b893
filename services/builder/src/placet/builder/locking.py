"""Which packages, in which versions, with which hashes: from requirements to a lock.

A project's requirements are read strictly, since a requirements file can also name indexes, folders,
repositories and options: here it names packages of the index and nothing else. The project's and the
runtime's requirements are resolved together, so that they fit, and then told apart: what the project needs
goes into its own layers, what only the runtime needs into the serving layer. The lock says nothing about
where packages come from, only what they are. This module asks a `Packages` port and does nothing else
outside.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from placet.builder.ports import Packages, Target
from placet.errors import Refused, TooLarge, Unreadable
from placet.oci import sha256_digest
from placet.projects import same_library

PROJECT = "project.txt"
RUNTIME = "runtime.txt"
OF_PROJECT, OF_RUNTIME = f"-r {PROJECT}", f"-r {RUNTIME}"

_LIMIT = 1024 * 1024
_HASH = re.compile(r"--hash[= ](sha256:[0-9a-f]{64})")
_ARCHIVES = (".whl", ".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz")
_COMMENT = re.compile(r"(^|\s)#.*$")
_LOCKED = re.compile(
    r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)==(?P<version>[^\s;\\]+)(?:\s*;\s*(?P<marker>[^\\]*))?"
)


@dataclass(frozen=True, kw_only=True)
class AskedFor:
    """One requirement of a project, and the hashes it insists on, if any."""

    requirement: str
    name: str
    hashes: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Locked:
    """One package of a lock. `is_serving`: only the runtime needs it.

    `asked_by` names the packages that need it, and the lists of requirements that do (`-r project.txt`).
    """

    name: str
    version: str
    marker: str
    hashes: tuple[str, ...]
    is_serving: bool
    asked_by: tuple[str, ...] = ()

    def __str__(self) -> str:
        """One line of a requirements file."""
        marker = f" ; {self.marker}" if self.marker else ""
        hashes = " ".join(f"--hash={one}" for one in self.hashes)
        return f"{self.name}=={self.version}{marker} {hashes}"


@dataclass(frozen=True, kw_only=True)
class Lock:
    """All packages of an image, by name."""

    packages: tuple[Locked, ...]

    @property
    def project(self) -> tuple[Locked, ...]:
        return tuple(package for package in self.packages if not package.is_serving)

    @property
    def serving(self) -> tuple[Locked, ...]:
        return tuple(package for package in self.packages if package.is_serving)

    @property
    def text(self) -> str:
        """A requirements file, which pip and uv can install."""
        return "".join(
            f"# {title}\n" + "".join(f"{package}\n" for package in packages)
            for title, packages in [("the project", self.project), ("serving", self.serving)]
        )

    @property
    def digest(self) -> str:
        return sha256_digest(self.text.encode())


def read_requirements(path: Path) -> tuple[AskedFor, ...]:
    """What a requirements file asks for. `Refused`, with the line, for anything but packages of the index."""
    content = path.read_bytes()
    if len(content) > _LIMIT:
        raise TooLarge(f"{path.name} has {len(content)} bytes; the limit is {_LIMIT}")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Unreadable(f"{path.name} is not written in UTF-8", fix="save it as UTF-8") from error
    return parse_requirements(text, path.name)


def parse_requirements(text: str, file_name: str) -> tuple[AskedFor, ...]:
    """See `read_requirements`."""
    return tuple(_asked_for(line, f"{file_name}, line {number}") for number, line in _lines(text))


def readable_requirements(text: str, file_name: str) -> tuple[AskedFor, ...]:
    """Those of its lines that ask for packages of the index, whatever the others are."""
    found = []
    for number, line in _lines(text):
        with suppress(Refused):
            found.append(_asked_for(line, f"{file_name}, line {number}"))
    return tuple(found)


def asked_once(asked: Sequence[AskedFor]) -> tuple[AskedFor, ...]:
    """The requirements without those that ask for the same version of a library by another of its names.

    MLflow writes `xgboost` into what it saves, and beside it the `xgboost-cpu` that is installed. Of two versions both
    stay: which one is meant only a person knows.
    """
    wanted: dict[str, set[tuple[str, str]]] = {}
    for one in asked:
        parsed = Requirement(one.requirement)
        wanted.setdefault(one.name, set()).add((str(parsed.specifier), str(parsed.marker)))
    again = {name for kept, others in same_library(wanted) for name in others if wanted[name] == wanted[kept]}
    return tuple(one for one in asked if one.name not in again)


def with_needed(
    asked: Sequence[AskedFor], needed: Iterable[str]
) -> tuple[tuple[AskedFor, ...], tuple[str, ...]]:
    """The requirements with what the model's format needs as well, and the names of what was added.

    A bound in what is needed holds beside the project's own.
    """
    names = {one.name for one in asked}
    wanted = [Requirement(one) for one in needed]
    missing = [one for one in wanted if canonicalize_name(one.name) not in names]
    bounds = [one for one in wanted if one.specifier and one not in missing]
    more = (AskedFor(requirement=str(one), name=canonicalize_name(one.name)) for one in (*missing, *bounds))
    return (*asked, *more), tuple(one.name for one in missing)


async def lock(
    project: Sequence[AskedFor],
    runtime: Sequence[str],
    target: Target,
    *,
    packages: Packages,
    workspace: Path,
) -> Lock:
    """Versions and hashes for a project and the runtime beside it. `Refused` if nothing fits both."""
    text = await packages.resolve(
        sorted({one.requirement for one in project}), sorted(set(runtime)), target, workspace
    )
    return _insisted(_parse_lock(text), project)


def _lines(text: str) -> Iterable[tuple[int, str]]:
    """The logical lines, with the number of the line each begins at."""
    begun, start = "", 0
    for number, line in enumerate(text.splitlines(), start=1):
        start = start if begun else number
        begun += _COMMENT.sub("", line)
        if begun.endswith("\\"):
            begun = f"{begun[:-1]} "
            continue
        if begun.strip():
            yield start, begun.strip()
        begun = ""
    if begun.strip():
        yield start, begun.strip()


def _asked_for(line: str, place: str) -> AskedFor:
    hashes = frozenset(_HASH.findall(line))
    wanted = _HASH.sub("", line).strip()
    only_packages = "name packages of the index only, such as scikit-learn==1.9.1"
    if wanted.startswith("-") or " -" in wanted:
        option = next(word for word in wanted.split() if word.startswith("-"))
        raise Refused(f"{place}: the option {option} is not taken", fix=only_packages)
    try:
        requirement = Requirement(wanted)
    except (InvalidRequirement, RecursionError) as error:
        raise Refused(f"{place}: {wanted!r:.200} is no requirement", fix=only_packages) from error
    if requirement.url is not None:
        raise Refused(f"{place}: {requirement.name} is asked for by an address", fix=only_packages)
    if requirement.name.lower().endswith(_ARCHIVES):
        raise Refused(f"{place}: {requirement.name} is a file", fix=only_packages)
    return AskedFor(requirement=str(requirement), name=canonicalize_name(requirement.name), hashes=hashes)


def _parse_lock(text: str) -> Lock:
    found: dict[str, tuple[str, str, tuple[str, ...]]] = {}
    asked_by: dict[str, set[str]] = {}
    name = ""
    for line in text.splitlines():
        if via := re.match(r"\s*# via (.*)", line):
            asked_by[name] = {one.strip() for one in via.group(1).split(",")}
        elif locked := _LOCKED.match(line):
            name = canonicalize_name(locked["name"])
            found[name] = (locked["version"], (locked["marker"] or "").strip(), ())
        if hashes := _HASH.findall(line):
            version, marker, before = found[name]
            found[name] = (version, marker, (*before, *hashes))
    of_project = _reached({OF_PROJECT}, asked_by)
    return Lock(
        packages=tuple(
            Locked(
                name=name,
                version=version,
                marker=marker,
                hashes=tuple(sorted(hashes)),
                is_serving=name not in of_project,
                asked_by=tuple(sorted(asked_by.get(name, ()))),
            )
            for name, (version, marker, hashes) in sorted(found.items())
        )
    )


def _reached(roots: set[str], asked_by: dict[str, set[str]]) -> set[str]:
    reached = set(roots)
    while more := {name for name, askers in asked_by.items() if askers & reached} - reached:
        reached |= more
    return reached


def _insisted(resolved: Lock, project: Sequence[AskedFor]) -> Lock:
    """The lock with only those hashes that the project's own requirements allow."""
    allowed = {one.name: one.hashes for one in project if one.hashes}
    packages = []
    for package in resolved.packages:
        hashes = package.hashes
        if package.name in allowed:
            hashes = tuple(one for one in hashes if one in allowed[package.name])
        if not hashes:
            raise Refused(
                f"no file of {package.name} {package.version} has a hash that the requirements name",
                fix="update the hashes, or leave them out: placet locks them by itself",
            )
        packages.append(replace(package, hashes=hashes))
    return Lock(packages=tuple(packages))
