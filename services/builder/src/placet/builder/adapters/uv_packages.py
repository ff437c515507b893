"""Packages by `uv`, in a process of its own: wheels only, so nothing of any package runs.

uv takes its index and its cache from its own settings (`UV_*`, `uv.toml` of the user or the system), which
are passed on; an index that the builder is given takes the place of all of them. Nothing of the project can
change any of it, since uv runs in an empty folder and reads only what is written here. Messages lose the
addresses in them: an index's address may hold a password.
"""

from __future__ import annotations

import re
import shutil
import sys
import tomllib
from collections.abc import Mapping, Sequence, Set
from contextlib import suppress
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name
from uv import find_uv_bin

from placet.builder.adapters.processes import Bounds, Ended, clean_environment, run
from placet.builder.adapters.wheel_metadata import metadata_of
from placet.builder.locking import PROJECT, RUNTIME, Lock
from placet.builder.ports import Target
from placet.builder.settings import DEFAULT_LIMITS, Limits
from placet.errors import PlacetError, Refused, Unavailable
from placet.oci.files import in_thread

_PLATFORMS = {
    "linux/amd64": "x86_64-manylinux_2_28",
    "linux/arm64": "aarch64-manylinux_2_28",
    "darwin/amd64": "x86_64-apple-darwin",
    "darwin/arm64": "aarch64-apple-darwin",
}
_SECONDS = 900.0
_LOCKED = "locked.txt"
_FETCHED = "fetched"
_LOCKS_SEEN = 256
_NAMED = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)==")
_HASH = re.compile(r"\s+--hash=(sha256:[0-9a-f]{64})")
_ADDRESS = re.compile(r"[a-z+]+://\S+")
# A transfer that was broken off is told in other words, in which a body is mentioned.
_BROKEN = re.compile(
    r"Failed to extract archive|Invalid zip file|`RECORD` file is invalid|The wheel is invalid"
    r"|\.dist-info/(RECORD|WHEEL|METADATA)`: No such file"
)
_FULL = re.compile(r"\(os error (28|122)\)")
"""No room on the disk, or in a quota."""
_PACKAGE = re.compile(r"[`(]([A-Za-z0-9][A-Za-z0-9._-]*==[^`)\s]+)[`)]")
_WHEEL = re.compile(r"[^\s/`]+\.whl")
_FOLDERS = re.compile(r"(?<=`)/[^`]*/(?=[^/`]+/[^/`]+`)")
_WHEELS_ONLY = ("--only-binary", ":all:", "--no-progress", "--color", "never")


# What names other places than the index that was set, and would be asked beside it.
_OTHER_PLACES = (
    "UV_DEFAULT_INDEX",
    "UV_EXTRA_INDEX_URL",
    "UV_FIND_LINKS",
    "UV_INDEX",
    "UV_INDEX_URL",
    "UV_NO_INDEX",
)


Hashes = Mapping[str, Set[str]]
"""Of files, by the name of their package."""


class UvPackages:
    """The `Packages` port.

    `index` is an address (`https://…/simple`) or a folder of wheels, and then the only place that packages come
    from; none leaves it to uv's own settings.
    """

    def __init__(self, index: str | None = None, limits: Limits = DEFAULT_LIMITS) -> None:
        self._bounds = Bounds(memory=limits.memory_bytes, file=limits.packages_bytes)
        self._index = index
        self._seen: dict[str, Hashes] = {}
        self._trusts_cache = True

    async def resolve(
        self, project: Sequence[str], runtime: Sequence[str], target: Target, workspace: Path
    ) -> str:
        for name, lines in ((PROJECT, project), (RUNTIME, runtime)):
            (workspace / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        text = await self._uv(
            "compile",
            *("--generate-hashes", "--annotation-style", "line"),
            *("--no-header", "--no-emit-index-url", "--no-emit-find-links", "--strip-extras"),
            *(PROJECT, RUNTIME),
            target=target,
            workspace=workspace,
        )
        return _only(text, await self._fitting(text, target, workspace))

    async def fetch(self, requirements: Sequence[str], target: Target, workspace: Path) -> None:
        # uv has no command that fills its cache and does nothing else.
        into = workspace / _FETCHED
        installing = self._installing("\n".join(requirements), into)
        with suppress(PlacetError):
            await self._ended(*installing, target=target, workspace=workspace)
        await in_thread(lambda: shutil.rmtree(into, ignore_errors=True))

    async def install(self, requirement: str, target: Target, into: Path, workspace: Path) -> None:
        installing = self._installing(requirement, into)
        # Whoever need not ask the index does not have to be able to: that is most of the time a small wheel takes.
        ended = await self._ended(*installing, "--offline", target=target, workspace=workspace)
        if ended.status != 0:
            await self._uv(*installing, target=target, workspace=workspace)

    async def metadata(self, lock: Lock, target: Target, workspace: Path) -> Mapping[str, bytes]:
        """The METADATA of the packages of a lock, by their names, as far as the index tells it without whole wheels."""
        wheels: dict[str, str] = {
            canonicalize_name(package["name"]): _place(wheel, workspace)
            for package in await self._described(lock.text, target, workspace)
            for wheel in package.get("wheels", ())[:1]
        }
        return await metadata_of(wheels)

    async def _fitting(self, text: str, target: Target, workspace: Path) -> Hashes:
        """Of each package in a lock the hashes of the wheels that the target can take.

        A lock names every file of a version, also those for other machines. With them it would change, and the image
        with it, when somebody adds a wheel for a Python of next year to a version that is locked already.
        """
        key = f"{target}\n{text}"
        if key not in self._seen:
            if len(self._seen) >= _LOCKS_SEEN:
                self._seen.clear()
            self._seen[key] = {
                canonicalize_name(package["name"]): {
                    f"sha256:{wheel['hashes']['sha256']}" for wheel in package.get("wheels", ())
                }
                for package in await self._described(text, target, workspace)
            }
        return self._seen[key]

    async def _described(self, text: str, target: Target, workspace: Path) -> Sequence[Mapping[str, Any]]:
        """The packages of a lock as a pylock.toml has them, with the wheels that the target can take."""
        (workspace / _LOCKED).write_text(text, encoding="utf-8")
        describe = ("compile", "--format", "pylock.toml", "--no-deps", "--no-header", _LOCKED)
        # What uv resolved just now is in its cache, unless it is told to have none.
        ended = await self._ended(*describe, "--offline", target=target, workspace=workspace)
        described = (
            ended.output
            if ended.status == 0
            else await self._uv(*describe, target=target, workspace=workspace)
        )
        packages: Sequence[Mapping[str, Any]] = tomllib.loads(described).get("packages", ())
        return packages

    def _installing(self, requirements: str, into: Path) -> tuple[str, ...]:
        listed = into.with_name(f"{into.name}.txt")
        listed.write_text(f"{requirements}\n", encoding="utf-8")
        exactly = ("--no-deps", "--require-hashes", "--no-compile")
        return ("install", "--target", str(into), *exactly, "--requirements", listed.name)

    async def _uv(self, command: str, *arguments: str, target: Target, workspace: Path) -> str:
        # uv keeps what an index said of a wheel before it knows the wheel's hash: after a failure it asks again.
        refresh = () if self._trusts_cache or command != "compile" else ("--refresh",)
        ended = await self._ended(command, *arguments, *refresh, target=target, workspace=workspace)
        if ended.status != 0:
            self._trusts_cache = False
            raise failure(ended.errors, target)
        if refresh:
            self._trusts_cache = True
        return ended.output

    async def _ended(self, command: str, *arguments: str, target: Target, workspace: Path) -> Ended:
        if target.platform not in _PLATFORMS:
            raise Refused(f"no wheels are known for {target.platform}", fix=f"choose of {sorted(_PLATFORMS)}")
        options, environment = _only_from(self._index)
        return await run(
            [
                *(find_uv_bin(), "pip", command, *arguments, *_WHEELS_ONLY, *options),
                *("--python", sys.executable, "--python-version", target.version),
                *("--python-platform", _PLATFORMS[target.platform]),
            ],
            environment=environment,
            folder=workspace,
            seconds=_SECONDS,
            bounds=self._bounds,
        )


def _place(wheel: Mapping[str, str], workspace: Path) -> str:
    return wheel["url"] if "url" in wheel else str(workspace / wheel["path"])


def _only(text: str, fitting: Hashes) -> str:
    """The lock with only these hashes. uv writes each on a line of its own, below the package's."""
    kept, name = [], ""
    for line in text.splitlines(keepends=True):
        if named := _NAMED.match(line):
            name = canonicalize_name(named[1])
        found = _HASH.match(line)
        if found is None or not fitting.get(name) or found[1] in fitting[name]:
            kept.append(line)
    return "".join(kept)


def _only_from(index: str | None) -> tuple[tuple[str, ...], dict[str, str]]:
    """uv's options and environment. An address goes into the environment, where other users do not see it."""
    environment = clean_environment(prefixes=("UV_",)) | {"UV_PYTHON_DOWNLOADS": "never"}
    if index is None:
        return (), environment
    environment = {name: value for name, value in environment.items() if name not in _OTHER_PLACES}
    if index.startswith(("http://", "https://")):
        return ("--no-config",), environment | {"UV_DEFAULT_INDEX": index}
    folder = Path(index.removeprefix("file://")).absolute()
    return ("--no-config", "--no-index", "--find-links", str(folder)), environment


def failure(said: str, target: Target) -> Refused | Unavailable:
    """uv's words as an error for people: what does not fit, and what to do about it."""
    text = _ADDRESS.sub("the package index", said)
    lines = [re.sub(r"^\s*(error|cause|hint):\s*", "", line).strip() for line in text.splitlines()]
    told = " ".join(line for line in lines if line and not line.startswith("warning"))
    if "No solution found" in text:
        told = told.replace("No solution found when resolving dependencies", "").strip(" :")
        return Refused(
            f"the requirements do not fit together for {target}: {told}", fix=_advice(told, target)
        )
    if "Couldn't parse requirement" in text:
        # Where uv is stricter than the standard's own library, which read the requirements before.
        said = told.partition("at position ")[2].lstrip("0123456789 ")
        return Refused(
            f"a requirement cannot be read: {said}", fix="name versions of the index, such as numpy==2.3.5"
        )
    if "hash" in text.lower() and ("mismatch" in text.lower() or "no hash" in text.lower()):
        return Refused(f"a package does not have its locked hash: {told}", fix="lock the requirements again")
    if _FULL.search(text):
        return Unavailable(
            "the disk where packages are unpacked has no room for them",
            fix="an operator makes room where the builder keeps its data and its package cache",
        )
    if _BROKEN.search(text) and "response body" not in text:
        return _broken(text, lines)
    return Unavailable(f"the package index cannot be used: {told[:2000]}", fix="try again later")


def _broken(text: str, lines: Sequence[str]) -> Refused:
    """A wheel that came whole and is none: to ask again changes nothing."""
    package, file = _PACKAGE.search(text), _WHEEL.search(text)
    name = package[1] if package else "a package"
    where = f", {file[0]}," if file else ""
    cause = _FOLDERS.sub("", next(line for line in reversed(lines) if line))
    return Refused(
        f"the wheel of {name} on the package index{where} is broken: {cause}",
        fix=f"choose another version than {name}, or have its file on the index replaced",
    )


def _advice(told: str, target: Target) -> str:
    if "not found in the" in told:
        return "correct the package's name in the requirements, or ask for it to be put on the index"
    if "was invalid" in told:
        return "choose another version of what is invalid, or have its file on the index replaced"
    if "wheel" in told or "binary" in told:
        return f"choose a version that has a wheel for {target}; nothing is built from source"
    return "loosen or change one of the requirements it names"
