"""Seconds from a project's folder to a pushed image: nothing cached, a new set of known wheels, one changed line.

The packages are scikit-learn, numpy and pandas, the registry is the tests' own. What an image cannot be made without
is measured beside it, one after the other and each as fast as we know: `uv pip install --target`, bytecode, one pass
of archive, hash and compression, and the push. The goal is against those of the packages that were asked for; the image
has those that the model server needs, too, and the same parts of all of them are told beside it. Whole and parts take
turns, since the index is the machine's and cold numbers hold its speed; what counts is the middle of each.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path, PurePosixPath
from statistics import median

from placet.builder.adapters.python_compiler import PythonCompiler
from placet.builder.adapters.remembered_locks import RememberedLocks
from placet.builder.adapters.uv_packages import UvPackages
from placet.builder.assembly import ImagePlan, assemble, host_platform, host_python
from placet.builder.layers import files_below, write_layer
from placet.builder.layers_runtime import serving_code
from placet.builder.locking import lock, parse_requirements
from placet.builder.ports import Packages, SourceFile, Target
from placet.builder.settings import LOCK_SECONDS
from placet.oci import Registry, open_registry

from benchmarks.rows import Row
from tests.support.servers import sources

PACKAGES = "scikit-learn\nnumpy\npandas\n"
ONE_MORE = "tabulate\n"
TARGET = Target(python=host_python(), platform=host_platform())
ROUNDS, COLD_ROUNDS = 5, 3
INDEX, COMPILER = RememberedLocks(UvPackages(), seconds=LOCK_SECONDS), PythonCompiler()
"""One of each for all builds, as a service has them. What is cold has a memory of its own."""
PLAN = ImagePlan(
    project="bench",
    source=f"sha256:{'5' * 64}",
    format="python",
    model="model.bin",
    sample=None,
    requirements="requirements.txt",
    trusted=(),
    builder_version="1",
)
MODEL_BYTES = 8 * 1024**2


async def run() -> list[Row]:
    with sources.REGISTRY.running() as server, tempfile.TemporaryDirectory(prefix="placet-bench-") as folder:
        async with open_registry(f"{server.url}/bench-{secrets.token_hex(4)}") as registry:
            return await _measure(registry, Path(folder))


async def _measure(registry: Registry, folder: Path) -> list[Row]:
    project = _project(folder / "project")
    rounds: list[dict[str, float]] = []
    wholes: list[float] = []
    colds: list[float] = []
    for number in range(COLD_ROUNDS):
        apart = folder / f"round {number}"
        for name in ("parts", "all parts"):
            (apart / name).mkdir(parents=True)
        with empty_cache(apart / "uv of parts"):
            rounds.append(await _parts(registry, apart / "parts", served=()))
        with empty_cache(apart / "uv of all parts"):
            every = await _parts(registry, apart / "all parts", served=serving_code().requirements)
            wholes.append(sum(every.values()))
        with empty_cache(apart / "uv"):
            colds.append(await _build(registry, apart, project, f"cold-{number}", index=_new_index()))
    parts = {name: median(each[name] for each in rounds) for name in rounds[0]}
    alone, cold = sum(parts.values()), median(colds)
    with empty_cache(apart / "uv"):
        (project / "requirements.txt").write_text(PACKAGES + ONE_MORE)
        new_set = await _build(registry, apart, project, "new-set")
        known = [await _build(registry, apart, project, f"known-{number}") for number in range(ROUNDS)]
        lines, models = [], []
        for number in range(ROUNDS):
            (project / "code.py").write_text(f"x = {number}\n")
            lines.append(await _build(registry, apart, project, "new-set"))
        for _ in range(ROUNDS):
            (project / "model.bin").write_bytes(os.urandom(MODEL_BYTES))
            models.append(await _build(registry, apart, project, "new-set"))
    transfer = await _transfer(registry, folder)
    return [
        *(_row(f"image's parts alone, cold: {name}", seconds) for name, seconds in parts.items()),
        _row("image of a new set of packages, nothing cached", cold, at_most=1.3 * alone),
        _row(
            "image's parts alone, cold: all of those, the model server's packages with them", median(wholes)
        ),
        _row("image of a new set of known wheels and one more", new_set, at_most=3.0),
        _row("image of a known set, another project", median(known), at_most=1.0),
        _row("image with one changed line", median(lines), at_most=1.0),
        _row(
            f"image with another model of {MODEL_BYTES / 1e6:.0f} MB", median(models), at_most=1.0 + transfer
        ),
    ]


def _new_index() -> RememberedLocks:
    return RememberedLocks(UvPackages(), seconds=LOCK_SECONDS)


async def _parts(registry: Registry, workspace: Path, *, served: Sequence[str]) -> dict[str, float]:
    """What has to be done at least, in seconds, for the packages that are asked for and those `served` with them."""
    packages = UvPackages()
    asked = parse_requirements(PACKAGES, "requirements.txt")
    locked = await lock(asked, served, TARGET, packages=packages, workspace=workspace)
    installed, compiled, blob = workspace / "installed", workspace / "compiled", workspace / "blob"
    compiled.mkdir()
    parts: dict[str, float] = {}
    # One `uv pip install` for all of them: a requirements file has a line for each.
    async with _timed(parts, "uv pip install --target"):
        await packages.install("\n".join(map(str, locked.packages)), TARGET, installed, workspace)
    files = files_below(installed)
    async with _timed(parts, "bytecode"):
        bytecode = await PythonCompiler().compile(
            [
                SourceFile(source=source, name=f"/app/deps/{path}")
                for path, source in files.items()
                if path.endswith(".py") and "tests" not in PurePosixPath(path).parts
            ],
            compiled,
        )
    async with _timed(parts, "archive, hash, compress"):
        layer = await asyncio.to_thread(
            lambda: write_layer(
                files | {f"{name}c": span for name, span in bytecode.items()}, blob, title="everything"
            )
        )
    async with _timed(parts, "push"):
        await registry.put_blob(
            f"models/parts-{secrets.token_hex(4)}", layer.blob, digest=layer.descriptor.digest
        )
    return parts


async def _build(
    registry: Registry, folder: Path, project: Path, name: str, *, index: Packages = INDEX
) -> float:
    began = time.perf_counter()
    await assemble(
        project,
        replace(PLAN, project=name),
        registry=registry,
        repository=f"models/{name}",
        base=None,
        cache_dir=folder / "layers",
        python=TARGET.python,
        platform=TARGET.platform,
        packages=index,
        compiler=COMPILER,
        log=lambda line: None,
    )
    return time.perf_counter() - began


async def _transfer(registry: Registry, folder: Path) -> float:
    model = folder / "another model"
    model.write_bytes(os.urandom(MODEL_BYTES))
    began = time.perf_counter()
    await registry.put_blob("models/parts", model)
    return time.perf_counter() - began


def _project(folder: Path) -> Path:
    folder.mkdir()
    (folder / "requirements.txt").write_text(PACKAGES)
    (folder / "model.bin").write_bytes(os.urandom(MODEL_BYTES))
    (folder / "code.py").write_text("x = 0\n")
    return folder


@contextmanager
def empty_cache(folder: Path) -> Iterator[None]:
    before = os.environ.get("UV_CACHE_DIR")
    os.environ["UV_CACHE_DIR"] = str(folder)
    try:
        yield
    finally:
        del os.environ["UV_CACHE_DIR"]
        if before is not None:
            os.environ["UV_CACHE_DIR"] = before


@asynccontextmanager
async def _timed(parts: dict[str, float], name: str) -> AsyncIterator[None]:
    began = time.perf_counter()
    yield
    parts[name] = time.perf_counter() - began


def _row(name: str, seconds: float, *, at_most: float | None = None) -> Row:
    return {
        "name": name,
        "value": round(seconds, 2),
        "unit": "s",
        "goal": None if at_most is None else f"≤ {at_most:.2f}",
        "met": None if at_most is None else seconds <= at_most,
    }
