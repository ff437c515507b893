"""Locked packages as layers: heavy ones in a layer each, so that images share them, the others in one.

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
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from placet.builder.layers import Files, Layer, files_below, write_layer
from placet.builder.layers_cache import LayerCache
from placet.builder.locking import Locked
from placet.builder.ports import Compiler, Packages, SourceFile, Target
from placet.oci.together import together

Log = Callable[[str], None]

_RECIPE = "1"
"""Raised when this module makes other layers from the same packages."""
_HEAVY = 8 * 1024 * 1024
_AT_ONCE = 4
_LEFT_OUT = frozenset({"REQUESTED", "direct_url.json", "uv_build.json", "uv_cache.json"})
_ROOT_LEFT_OUT = frozenset({"bin", ".lock"})


@dataclass(frozen=True, kw_only=True)
class PackageLayers:
    """Makes the layers of one target's packages."""

    packages: Packages
    compiler: Compiler
    cache: LayerCache
    target: Target
    log: Log

    async def layers(
        self, locked: Sequence[Locked], root: str, workspace: Path, *, title: str, extra: Files | None = None
    ) -> list[Layer]:
        """The layers that put `locked` below `root` (such as `app/deps/`); `extra` goes with the light ones."""
        installed = _Installed(self, workspace)
        weights = await together(*(self._weight(package, installed) for package in locked))
        light = [package for package, weight in zip(locked, weights, strict=True) if weight <= _HEAVY]
        heavy = [package for package in locked if package not in light]
        wanted = [self._layer([package], root, workspace, installed, package.name) for package in heavy]
        if light or extra:
            wanted.append(self._layer(light, root, workspace, installed, title, extra or {}))
        return await together(*wanted)

    async def _weight(self, package: Locked, installed: _Installed) -> int:
        key = self._key("weight", [package])
        known = self.cache.fact(key)
        if isinstance(known, int):
            return known
        files = files_below(await installed.folder(package))
        weight = sum(path.stat().st_size for path in files.values())
        self.cache.remember(key, weight)
        return weight

    async def _layer(
        self,
        locked: Sequence[Locked],
        root: str,
        workspace: Path,
        installed: _Installed,
        title: str,
        extra: Files | None = None,
    ) -> Layer:
        key = self._key(f"{root} {title} {self.compiler.fits(self.target)} {_fingerprint(extra)}", locked)
        names = f"{title}: {', '.join(f'{one.name} {one.version}' for one in locked)}" if locked else title

        async def make() -> Layer:
            files: dict[str, Path | bytes] = dict(extra or {})
            for package in locked:
                found = await installed.folder(package)
                for path, content in (await asyncio.to_thread(package_files, found)).items():
                    files.setdefault(path, content)
            compiled = workspace / f"bytecode-{hashlib.sha256(key.encode()).hexdigest()}"
            files |= await self._compiled(files, root, compiled)
            placed = {f"{root}{path}": content for path, content in files.items()}
            blob = workspace / f"{compiled.name}.layer"
            return await asyncio.to_thread(lambda: write_layer(placed, blob, title=names))

        layer, was_there = await self.cache.layer(key, make)
        size = layer.descriptor.size / 1e6
        self.log(f"layer {'reused' if was_there else 'made'}: {names} ({size:.1f} MB)")
        return layer

    async def _compiled(self, files: Files, root: str, folder: Path) -> dict[str, Path]:
        if not self.compiler.fits(self.target):
            return {}
        await asyncio.to_thread(folder.mkdir)
        cache_tag = f"cpython-{self.target.python.removeprefix('cp')}"
        sources = []
        for path, content in sorted(files.items()):
            pure = PurePosixPath(path)
            # Nobody starts a server with a package's tests, and they are a third of its files.
            if isinstance(content, bytes) or pure.suffix != ".py" or "tests" in pure.parts:
                continue
            bytecode = str(pure.parent / "__pycache__" / f"{pure.stem}.{cache_tag}.pyc")
            name = f"/{root}{path}"
            sources.append((bytecode, SourceFile(source=content, name=name, bytecode=folder / bytecode)))
        await self.compiler.compile([source for _, source in sources], folder)
        return {path: source.bytecode for path, source in sources if source.bytecode.is_file()}

    def _key(self, kind: str, locked: Sequence[Locked]) -> str:
        return "\n".join((_RECIPE, str(self.target), kind, *map(str, locked)))


class _Installed:
    """The packages of one build, each installed once and only if somebody needs its files."""

    def __init__(self, layers: PackageLayers, workspace: Path) -> None:
        self._layers = layers
        self._workspace = workspace
        self._at_once = asyncio.Semaphore(_AT_ONCE)
        self._locks: dict[str, asyncio.Lock] = {}

    async def folder(self, package: Locked) -> Path:
        folder = self._workspace / f"package-{package.name}"
        async with self._locks.setdefault(package.name, asyncio.Lock()):
            if not await asyncio.to_thread(folder.is_dir):
                async with self._at_once:
                    await self._layers.packages.install(
                        str(package), self._layers.target, folder, self._workspace
                    )
        return folder


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
