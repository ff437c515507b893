"""Locked packages as layers: heavy ones in a layer each, so that images share them, the others in one.

Another set of packages then makes only its light layer anew, in little time: what is worth keeping is in the others.
How many layers an image may have is bounded by what container engines can mount.

Each package is installed alone into its own folder and never beside another, because a cached layer is
shared by every project that locks the package: what one wheel brings along must not get into the layer of
another. What names the machine that installed it (scripts with an interpreter's path, notes of the
installer) is left out; bytecode is put in.
"""

from __future__ import annotations

import asyncio
import csv
import hashlib
import io
import re
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path, PurePosixPath

import msgspec
from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression
from packaging.metadata import RawMetadata, parse_email
from packaging.utils import canonicalize_name

from placet.builder.layers import (
    Content,
    Files,
    Layer,
    archive_at_most,
    files_below,
    fingerprint,
    folders_of,
    sizes_of,
    write_layer,
)
from placet.builder.layers_cache import LayerCache
from placet.builder.locking import Locked
from placet.builder.ports import Compiler, Log, Packages, SourceFile, Span, Target, bytecode_at_most
from placet.errors import Refused
from placet.oci.files import digest_of_file, in_thread
from placet.oci.together import together

_HEAVY = 512 * 1024
_MOST_HEAVY = 40
_AT_ONCE = 8
_LONGEST_NAME = 100
_LONGEST_EXPRESSION = 500
_NAMING = re.compile(r"licen[cs]e", re.IGNORECASE)
_METADATA_READ = 1024 * 1024
_LEFT_OUT = frozenset({"REQUESTED", "direct_url.json", "uv_build.json", "uv_cache.json"})
_ROOT_LEFT_OUT = frozenset({"bin", ".lock"})
_DESCRIBED = re.compile(r"[^/]+\.dist-info/")
_NOT_THEIRS = frozenset({"placet", "sitecustomize", "usercustomize"}) | sys.stdlib_module_names
_CODE = frozenset({".py", ".pyc", ".so"})
_LEFT_LYING = frozenset({"benchmarks", "doc", "docs", "examples", "scripts", "test", "tests"})
MAKERS = (
    "layers.py",
    "layers_packages.py",
    "ports.py",
    "adapters/compile_files.py",
    "adapters/python_compiler.py",
    "adapters/uv_packages.py",
)
"""The code that a layer's bytes depend on, in this folder. The port of a compiler bounds the bytecode."""


@dataclass(frozen=True, kw_only=True)
class PackageFacts:
    """What has to be known of a package that is in a cached layer and is not installed again.

    `weight` is the size of its files in bytes; `most`, what a layer of it can have at most. `licence` is what its
    metadata declares, as an SPDX expression if `is_spdx`; empty if nothing.
    """

    weight: int
    most: int
    licence: str
    is_spdx: bool


@dataclass(frozen=True, kw_only=True)
class Overlay:
    """A path at which several packages bring a file, and not the same; or one of them a folder, if `is_folder`."""

    path: str
    packages: tuple[str, ...]
    is_folder: bool = False

    @property
    def is_code(self) -> bool:
        pure = PurePosixPath(self.path)
        # A library that others link against has its version behind the suffix: libgomp.so.1.0.0
        return (pure.suffix in _CODE or ".so" in pure.suffixes) and pure.parts[0] not in _LEFT_LYING


class PackageLayers:
    """Makes the layers of one target's packages, for one build and in its workspace, before whose end it is left."""

    def __init__(
        self,
        *,
        packages: Packages,
        compiler: Compiler,
        cache: LayerCache,
        target: Target,
        workspace: Path,
        log: Log,
    ) -> None:
        self._compiler = compiler
        self._cache = cache
        self._target = target
        self._workspace = workspace
        self._log = log
        self._installed = _Installed(packages, target, workspace)

    async def facts(self, locked: Sequence[Locked]) -> dict[str, PackageFacts]:
        """What has to be known of each package, by name. Those that nobody has seen are fetched and installed."""
        known = await together(*(self._known_facts(package) for package in locked))
        unknown = [package for package, facts in zip(locked, known, strict=True) if facts is None]
        if len(unknown) > 1:
            self._log(f"fetching {len(unknown)} packages")
            await self._installed.fetch(unknown)
        found = dict(
            zip((each.name for each in unknown), await together(*map(self._facts, unknown)), strict=True)
        )
        return {
            package.name: facts or found[package.name] for package, facts in zip(locked, known, strict=True)
        }

    async def layers(
        self,
        locked: Sequence[Locked],
        root: str,
        facts: Mapping[str, PackageFacts],
        *,
        title: str,
        made: Callable[[Layer], Awaitable[None]],
        extra: Mapping[str, Path | bytes] | None = None,
    ) -> list[Layer]:
        """The layers that put `locked` below `root` (such as `app/deps/`); `extra` goes with the light ones.

        `made` is called with each as soon as it is there.
        """
        by_weight = sorted(locked, key=lambda package: (-facts[package.name].weight, package.name))
        # The heaviest first: they take longest, and the others fill the gaps.
        heavy = [one for one in by_weight[:_MOST_HEAVY] if facts[one.name].weight > _HEAVY]
        light = [package for package in locked if package not in heavy]
        wanted = [self._layer([package], root, package.name) for package in heavy]
        if light or extra:
            wanted.append(self._layer(light, root, title, extra))
        return await together(*(_then(one, made) for one in wanted))

    async def _known_facts(self, package: Locked) -> PackageFacts | None:
        return _facts(await in_thread(self._cache.fact, self._key("facts", [package])))

    async def _facts(self, package: Locked) -> PackageFacts:
        files = await self._installed.files(package)
        facts = await in_thread(lambda: package_facts(package.name, files, self._target))
        await in_thread(self._cache.remember, self._key("facts", [package]), asdict(facts))
        return facts

    async def check_overlays(self, locked: Sequence[Locked]) -> None:
        """`Refused` if two of these packages bring a module of the same name with other code, or a file and a folder.

        Unpacked into one folder the later would silently take the place of the earlier. Of other files, and of tests
        and the like that packages leave at the top, one is kept, and that is logged.
        """
        key = self._key("overlays", locked)
        found = _overlays(await in_thread(self._cache.fact, key))
        if found is None:
            found = await self._overlays(locked)
            await in_thread(self._cache.remember, key, [asdict(overlay) for overlay in found])
        for overlay in found:
            if overlay.is_code or overlay.is_folder:
                how = "one of them as a folder" if overlay.is_folder else "with other bytes"
                raise Refused(
                    f"the packages {' and '.join(overlay.packages)} bring {overlay.path}, {how}",
                    fix="leave all but one of them out of the requirements, and what needs the others",
                )
            self._log(
                f"{overlay.path} is brought with other bytes by {', '.join(overlay.packages)}; one is kept"
            )

    async def _overlays(self, locked: Sequence[Locked]) -> list[Overlay]:
        brought = await together(*(self._paths(package) for package in locked))
        bringing: dict[str, list[Locked]] = {}
        folders: dict[str, Locked] = {}
        for package, paths in zip(locked, brought, strict=True):
            for path in paths:
                bringing.setdefault(path, []).append(package)
            folders |= dict.fromkeys(folders_of(paths), package)
        both = [
            Overlay(path=path, packages=(bringing[path][0].name, folders[path].name), is_folder=True)
            for path in sorted(bringing.keys() & folders.keys())
        ]
        shared = {path: packages for path, packages in sorted(bringing.items()) if len(packages) > 1}
        involved = {package for packages in shared.values() for package in packages}
        installed = {package: await self._installed.files(package) for package in involved}

        def compare() -> list[Overlay]:
            return [
                Overlay(path=path, packages=tuple(package.name for package in packages))
                for path, packages in shared.items()
                if len({digest_of_file(installed[package][path]) for package in packages}) > 1
            ]

        return both + await in_thread(compare)

    async def _paths(self, package: Locked) -> list[str]:
        """What it puts into an image, without its own dist-info."""
        key = self._key("paths", [package])
        known = await in_thread(self._cache.fact, key)
        if isinstance(known, list):
            return [str(path) for path in known]
        files = await self._installed.files(package)
        paths = sorted(path for path in files if _is_kept(PurePosixPath(path)) and ".dist-info/" not in path)
        await in_thread(self._cache.remember, key, paths)
        return paths

    async def _layer(
        self,
        locked: Sequence[Locked],
        root: str,
        title: str,
        extra: Mapping[str, Path | bytes] | None = None,
    ) -> Layer:
        key = self._key(
            f"{root} {title} {self._compiler.fits(self._target)} {fingerprint(extra or {})}", locked
        )
        names = f"{title}: {', '.join(f'{one.name} {one.version}' for one in locked)}" if locked else title

        async def make() -> Layer:
            files: dict[str, Content] = dict(extra or {})
            installed = await together(*(self._installed.files(package) for package in locked))
            for found in installed:
                for path, content in (await in_thread(package_files, found)).items():
                    files.setdefault(path, content)
            name = hashlib.sha256(key.encode()).hexdigest()
            files |= await self._compiled(files, root, name)
            placed = {f"{root}{path}": content for path, content in files.items()}
            blob = self._workspace / f"{name}.layer"
            return await in_thread(lambda: write_layer(placed, blob, title=names))

        layer, was_there = await self._cache.layer(key, make)
        size = layer.descriptor.size / 1e6
        self._log(f"layer {'reused' if was_there else 'made'}: {names} ({size:.1f} MB)")
        return layer

    async def _compiled(self, files: Files, root: str, name: str) -> dict[str, Span]:
        if not self._compiler.fits(self._target):
            return {}
        folder = self._workspace / f"bytecode-{name}"
        await in_thread(folder.mkdir)
        sources = [
            SourceFile(source=content, name=f"/{root}{path}")
            for path, content in sorted(files.items())
            if isinstance(content, Path) and _is_compiled(path)
        ]
        made = await self._compiler.compile(sources, folder)
        return {bytecode_of(name.removeprefix(f"/{root}"), self._target): span for name, span in made.items()}

    def _key(self, kind: str, locked: Sequence[Locked]) -> str:
        return "\n".join((_recipe(), str(self._target), kind, *map(str, locked)))


@cache
def _recipe() -> str:
    """What layers are made by. With other code the same packages may make other layers, which are not those cached."""
    here = Path(__file__).parent
    return fingerprint({name: here / name for name in MAKERS})


async def _then(making: Awaitable[Layer], made: Callable[[Layer], Awaitable[None]]) -> Layer:
    layer = await making
    await made(layer)
    return layer


def _facts(kept: object) -> PackageFacts | None:
    try:
        return msgspec.convert(kept, PackageFacts)
    except msgspec.ValidationError:
        return None


def _overlays(kept: object) -> list[Overlay] | None:
    try:
        return msgspec.convert(kept, list[Overlay])
    except msgspec.ValidationError:
        return None


def _is_compiled(path: str) -> bool:
    """Nobody starts a server with a package's tests, and they are a third of its files."""
    return path.endswith(".py") and "tests" not in path.split("/")


def bytecode_of(path: str, target: Target) -> str:
    """Where Python looks for the bytecode of a file."""
    pure = PurePosixPath(path)
    return str(pure.parent / "__pycache__" / f"{pure.stem}.cpython-{target.python.removeprefix('cp')}.pyc")


def at_most(sizes: Mapping[str, int], target: Target) -> int:
    """How many bytes a layer of files with these sizes and their bytecode can have at most."""
    bytecode = {
        bytecode_of(path, target): bytecode_at_most(sizes[path]) for path in sizes if _is_compiled(path)
    }
    return archive_at_most({**sizes, **bytecode})


class _Installed:
    """The packages of one build, each installed once and only if somebody needs its files."""

    def __init__(self, packages: Packages, target: Target, workspace: Path) -> None:
        self._packages = packages
        self._target = target
        self._workspace = workspace
        self._at_once = asyncio.Semaphore(_AT_ONCE)
        self._locks: dict[str, asyncio.Lock] = {}
        self._files: dict[str, Mapping[str, Path]] = {}

    async def fetch(self, locked: Sequence[Locked]) -> None:
        await self._packages.fetch([str(package) for package in locked], self._target, self._workspace)

    async def files(self, package: Locked) -> Mapping[str, Path]:
        """What it brings, by the path below site-packages."""
        async with self._locks.setdefault(package.name, asyncio.Lock()):
            if package.name not in self._files:
                folder = self._workspace / f"package-{package.name}"
                async with self._at_once:
                    await self._packages.install(str(package), self._target, folder, self._workspace)
                self._files[package.name] = await in_thread(files_below, folder)
        return self._files[package.name]


def package_named(metadata: bytes) -> tuple[str, str]:
    """Name and version that a package's METADATA gives; empty where it gives none."""
    said = _said(metadata)
    return canonicalize_name(said.get("name") or ""), said.get("version") or ""


def package_facts(name: str, files: Mapping[str, Path], target: Target) -> PackageFacts:
    """See `PackageFacts`, of an installed package. `Refused` if it stands in the place of Python's own, or of ours, or
    describes another.
    """
    described = sorted({path.partition("/")[0] for path in files if _DESCRIBED.match(path)})
    if len(described) > 1:
        raise Refused(
            f"the wheel of {name} brings {' and '.join(described)}, and may describe itself only",
            fix="leave it out of the requirements, or take a version that is one package",
        )
    if taken := _not_its_own(files):
        raise Refused(
            f"the package {name} brings {taken}, which would run instead of Python's own"
            " or the model server's",
            fix="leave it out of the requirements, or take a version without it",
        )
    sizes = sizes_of(files)
    metadata = files.get(f"{described[0]}/METADATA") if described else None
    licence, is_spdx = licence_of(_beginning(metadata)) if metadata else ("", False)
    return PackageFacts(
        weight=sum(sizes.values()),
        most=at_most(sizes, target),
        licence=licence,
        is_spdx=is_spdx,
    )


def _not_its_own(files: Files) -> str:
    """The first of its modules that has the name of one that is there already; packages come first on the path."""
    for path in sorted(files):
        pure = PurePosixPath(path)
        module = pure.parts[0].partition(".")[0]
        if pure.suffix in _CODE and module in _NOT_THEIRS and not pure.parts[0].endswith(".data"):
            return path
    return ""


def _beginning(file: Path) -> bytes:
    with file.open("rb") as opened:
        return opened.read(_METADATA_READ)


def _said(metadata: bytes) -> RawMetadata:
    """What a METADATA says; nothing if it is a mail inside a mail inside a mail, deeper than anybody can follow."""
    try:
        return parse_email(metadata)[0]
    except RecursionError:
        return {}


def licence_of(metadata: bytes) -> tuple[str, bool]:
    """The licence that a wheel declares, and whether SPDX knows it. Many still declare one in words of their own."""
    said = _said(metadata)
    stated, classifiers = said.get("license", ""), said.get("classifiers", [])
    for text in (said.get("license_expression", ""), stated):
        if text and (known := spdx(text)):
            return known, True
    classified = [text.rpartition(" :: ")[2] for text in classifiers if text.startswith("License :: ")]
    # The field often holds a licence's whole text, which names it in its title.
    titles = [line.strip(" \t|") for line in stated.splitlines() if _NAMING.search(line)]
    told = (stated, *classified, *titles[:1])
    words = [text for text in told if text.isprintable() and 0 < len(text) <= _LONGEST_NAME]
    return (words[0], False) if words else ("", False)


def spdx(text: str) -> str | None:
    """The SPDX expression as SPDX spells it, or None if the text is none."""
    if len(text) > _LONGEST_EXPRESSION:
        return None
    try:
        return canonicalize_license_expression(text)
    except InvalidLicenseExpression:
        return None


def package_files(installed: Mapping[str, Path]) -> dict[str, Path | bytes]:
    """The files of an installed package that are the same wherever it is installed."""
    files: dict[str, Path | bytes] = {}
    for path, source in installed.items():
        pure = PurePosixPath(path)
        if not _is_kept(pure):
            continue
        # Written by the installer, which is why it can be read; others inside of packages are theirs, and any bytes.
        is_record = len(pure.parts) == 2 and pure.match("*.dist-info/RECORD")
        files[path] = _record(source.read_text(encoding="utf-8")) if is_record else source
    return files


def _is_kept(path: PurePosixPath) -> bool:
    if path.parts[0] in _ROOT_LEFT_OUT or path.suffix == ".pyc":
        return False
    return not (path.name in _LEFT_OUT and path.parent.name.endswith(".dist-info"))


def _record(text: str) -> bytes:
    """A RECORD that lists only what is kept, sorted."""
    rows = [row for row in csv.reader(io.StringIO(text)) if row and _is_kept(PurePosixPath(row[0]))]
    written = io.StringIO()
    csv.writer(written, lineterminator="\n").writerows(sorted(rows))
    return written.getvalue().encode()
