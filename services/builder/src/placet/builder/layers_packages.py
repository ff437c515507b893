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
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression
from packaging.metadata import parse_email
from packaging.utils import canonicalize_name

from placet.builder.layers import Files, Layer, files_below, write_layer
from placet.builder.layers_cache import LayerCache
from placet.builder.locking import Locked
from placet.builder.ports import Compiler, Log, Packages, SourceFile, Target
from placet.errors import Refused
from placet.oci.together import together

_RECIPE = "3"
"""Raised when this module makes other layers from the same packages."""
_HEAVY = 512 * 1024
_MOST_HEAVY = 40
_FOLDER = "package-"
_AT_ONCE = 4
_LONGEST_NAME = 100
_LONGEST_EXPRESSION = 500
_METADATA_READ = 1024 * 1024
_LEFT_OUT = frozenset({"REQUESTED", "direct_url.json", "uv_build.json", "uv_cache.json"})
_ROOT_LEFT_OUT = frozenset({"bin", ".lock"})
_NOT_THEIRS = frozenset({"placet", "sitecustomize", "usercustomize"}) | sys.stdlib_module_names
_CODE = frozenset({".py", ".pyc", ".so"})


@dataclass(frozen=True, kw_only=True)
class PackageFacts:
    """What has to be known of a package that is in a cached layer and is not installed again.

    `weight` is the size of its files in bytes. `licence` is what its metadata declares, as an SPDX expression if
    `is_spdx`; empty if nothing.
    """

    weight: int
    licence: str
    is_spdx: bool


class PackageLayers:
    """Makes the layers of one target's packages, for one build and in its workspace."""

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
        """What has to be known of each package, by name. Those that nobody has seen are installed."""
        found = await together(*(self._facts(package) for package in locked))
        return {package.name: each for package, each in zip(locked, found, strict=True)}

    async def layers(
        self,
        locked: Sequence[Locked],
        root: str,
        facts: Mapping[str, PackageFacts],
        *,
        title: str,
        extra: Files | None = None,
    ) -> list[Layer]:
        """The layers that put `locked` below `root` (such as `app/deps/`); `extra` goes with the light ones."""
        by_weight = sorted(locked, key=lambda package: (-facts[package.name].weight, package.name))
        # The heaviest first: they take longest, and the others fill the gaps.
        heavy = [one for one in by_weight[:_MOST_HEAVY] if facts[one.name].weight > _HEAVY]
        light = [package for package in locked if package not in heavy]
        wanted = [self._layer([package], root, package.name) for package in heavy]
        if light or extra:
            wanted.append(self._layer(light, root, title, extra or {}))
        return await together(*wanted)

    async def _facts(self, package: Locked) -> PackageFacts:
        key = self._key("facts", [package])
        match self._cache.fact(key):
            case {"weight": int(weight), "licence": str(licence), "is_spdx": bool(is_spdx)}:
                return PackageFacts(weight=weight, licence=licence, is_spdx=is_spdx)
        facts = await asyncio.to_thread(package_facts, await self._installed.folder(package))
        self._cache.remember(key, asdict(facts))
        return facts

    async def _layer(
        self,
        locked: Sequence[Locked],
        root: str,
        title: str,
        extra: Files | None = None,
    ) -> Layer:
        key = self._key(f"{root} {title} {self._compiler.fits(self._target)} {_fingerprint(extra)}", locked)
        names = f"{title}: {', '.join(f'{one.name} {one.version}' for one in locked)}" if locked else title

        async def make() -> Layer:
            files: dict[str, Path | bytes] = dict(extra or {})
            folders = await together(*(self._installed.folder(package) for package in locked))
            for folder in folders:
                for path, content in (await asyncio.to_thread(package_files, folder)).items():
                    files.setdefault(path, content)
            compiled = self._workspace / f"bytecode-{hashlib.sha256(key.encode()).hexdigest()}"
            files |= await self._compiled(files, root, compiled)
            placed = {f"{root}{path}": content for path, content in files.items()}
            blob = self._workspace / f"{compiled.name}.layer"
            return await asyncio.to_thread(lambda: write_layer(placed, blob, title=names))

        layer, was_there = await self._cache.layer(key, make)
        size = layer.descriptor.size / 1e6
        self._log(f"layer {'reused' if was_there else 'made'}: {names} ({size:.1f} MB)")
        return layer

    async def _compiled(self, files: Files, root: str, folder: Path) -> dict[str, Path]:
        if not self._compiler.fits(self._target):
            return {}
        await asyncio.to_thread(folder.mkdir)
        cache_tag = f"cpython-{self._target.python.removeprefix('cp')}"
        sources = []
        for path, content in sorted(files.items()):
            pure = PurePosixPath(path)
            # Nobody starts a server with a package's tests, and they are a third of its files.
            if isinstance(content, bytes) or pure.suffix != ".py" or "tests" in pure.parts:
                continue
            bytecode = str(pure.parent / "__pycache__" / f"{pure.stem}.{cache_tag}.pyc")
            name = f"/{root}{path}"
            sources.append((bytecode, SourceFile(source=content, name=name, bytecode=folder / bytecode)))
        await self._compiler.compile([source for _, source in sources], folder)
        return {path: source.bytecode for path, source in sources if source.bytecode.is_file()}

    def _key(self, kind: str, locked: Sequence[Locked]) -> str:
        return "\n".join((_RECIPE, str(self._target), kind, *map(str, locked)))


class _Installed:
    """The packages of one build, each installed once and only if somebody needs its files."""

    def __init__(self, packages: Packages, target: Target, workspace: Path) -> None:
        self._packages = packages
        self._target = target
        self._workspace = workspace
        self._at_once = asyncio.Semaphore(_AT_ONCE)
        self._locks: dict[str, asyncio.Lock] = {}

    async def folder(self, package: Locked) -> Path:
        folder = self._workspace / f"{_FOLDER}{package.name}"
        async with self._locks.setdefault(package.name, asyncio.Lock()):
            if not await asyncio.to_thread(folder.is_dir):
                async with self._at_once:
                    await self._packages.install(str(package), self._target, folder, self._workspace)
        return folder


def package_named(metadata: bytes) -> tuple[str, str]:
    """Name and version that a package's METADATA gives; empty where it gives none."""
    said, _ = parse_email(metadata)
    return canonicalize_name(said.get("name") or ""), said.get("version") or ""


def package_facts(folder: Path) -> PackageFacts:
    """See `PackageFacts`, of an installed package. `Refused` if it stands in the place of Python's own, or of ours."""
    files = files_below(folder)
    if taken := _not_its_own(files):
        raise Refused(
            f"the package {folder.name.removeprefix(_FOLDER)} brings {taken}, which would run instead of Python's own"
            " or the model server's",
            fix="leave it out of the requirements, or take a version without it",
        )
    described = sorted(path for path in files if re.fullmatch(r"[^/]+\.dist-info/METADATA", path))
    licence, is_spdx = licence_of(_beginning(files[described[0]])) if described else ("", False)
    return PackageFacts(
        weight=sum(path.stat().st_size for path in files.values()), licence=licence, is_spdx=is_spdx
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


def licence_of(metadata: bytes) -> tuple[str, bool]:
    """The licence that a wheel declares, and whether SPDX knows it. Many still declare one in words of their own."""
    said, _ = parse_email(metadata)
    stated, classifiers = said.get("license", ""), said.get("classifiers", [])
    for text in (said.get("license_expression", ""), stated):
        if text and (known := spdx(text)):
            return known, True
    classified = [text.rpartition(" :: ")[2] for text in classifiers if text.startswith("License :: ")]
    # The field often holds a licence's whole text.
    words = [stated] if stated and len(stated) <= _LONGEST_NAME and "\n" not in stated else classified
    return (words[0], False) if words else ("", False)


def spdx(text: str) -> str | None:
    """The SPDX expression as SPDX spells it, or None if the text is none."""
    if len(text) > _LONGEST_EXPRESSION:
        return None
    try:
        return canonicalize_license_expression(text)
    except InvalidLicenseExpression:
        return None


def package_files(folder: Path) -> dict[str, Path | bytes]:
    """The files of an installed package that are the same wherever it is installed."""
    files: dict[str, Path | bytes] = {}
    for path, source in files_below(folder).items():
        pure = PurePosixPath(path)
        if not _is_kept(pure):
            continue
        is_record = pure.name == "RECORD" and pure.parent.name.endswith(".dist-info")
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


def _fingerprint(files: Files | None) -> str:
    seen = hashlib.sha256()
    for path, content in sorted((files or {}).items()):
        body = content if isinstance(content, bytes) else content.read_bytes()
        seen.update(f"{path}\0{hashlib.sha256(body).hexdigest()}\n".encode())
    return seen.hexdigest()
