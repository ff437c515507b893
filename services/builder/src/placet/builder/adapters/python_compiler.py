"""Bytecode by the Python this service runs on: for all builds together as many processes as there are processors."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import accumulate
from pathlib import Path

import msgspec

from placet.builder.adapters.processes import Bounds, clean_environment, run
from placet.builder.ports import SourceFile, Span, Target, bytecode_at_most
from placet.builder.settings import DEFAULT_LIMITS, Limits
from placet.errors import Refused, Unavailable
from placet.oci.files import in_thread
from placet.oci.together import together

_PROGRAM = Path(__file__).with_name("compile_files.py")
_SECONDS = 900.0
_WORTH_A_PROCESS = 100


class PythonCompiler:
    """The `Compiler` port."""

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        self._bounds = Bounds(memory=limits.memory_bytes, file=limits.packages_bytes)
        self._processors = os.cpu_count() or 1
        self._turns = _Turns(self._processors)

    def fits(self, target: Target) -> bool:
        return target.python == f"cp{sys.version_info.major}{sys.version_info.minor}"

    async def compile(self, files: Sequence[SourceFile], folder: Path) -> Mapping[str, Span]:
        processes = min(self._processors, 1 + len(files) // _WORTH_A_PROCESS)
        compiled = await together(
            *(
                self._compile(files[start::processes], folder / f"bytecode-{start}")
                for start in range(processes)
            )
        )
        return {name: span for part in compiled for name, span in part.items()}

    async def _compile(self, files: Sequence[SourceFile], into: Path) -> Mapping[str, Span]:
        if not files:
            return {}
        async with self._turns.take(len(files)):
            listed = await in_thread(_listed, files)
            ended = await run(
                [sys.executable, "-I", "-S", "-X", "utf8", str(_PROGRAM), str(into)],
                environment=clean_environment(),
                folder=into.parent,
                given=listed,
                seconds=_SECONDS,
                bounds=self._bounds,
            )
        if ended.status == os.EX_TEMPFAIL:
            raise Unavailable(
                "the disk where packages are unpacked has no room for their bytecode",
                fix="an operator makes room where the builder keeps its data",
            )
        if ended.status != 0:
            raise Refused(f"Python's compiler gave up on one of the packages: {ended.errors[-500:]}")
        sizes = msgspec.json.decode(ended.output, type=list[int])
        starts = accumulate(sizes, initial=0)
        return {
            file.name: Span(file=into, start=start, size=size)
            for file, start, size in zip(files, starts, sizes, strict=False)
            if size
        }


class _Turns:
    """So many at once, and of those that wait the largest first: writing its layer takes longest, and meanwhile small
    ones are compiled."""

    def __init__(self, at_once: int) -> None:
        self._free = at_once
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._count = itertools.count()

    @asynccontextmanager
    async def take(self, size: int) -> AsyncIterator[None]:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (-size, next(self._count), turn))
        self._give()
        try:
            await turn
            yield
        finally:
            if not turn.cancelled():
                self._free += 1
                self._give()

    def _give(self) -> None:
        while self._free and self._waiting:
            *_, turn = heapq.heappop(self._waiting)
            if not turn.cancelled():
                self._free -= 1
                turn.set_result(None)


def _listed(files: Sequence[SourceFile]) -> bytes:
    return json.dumps(
        [[str(file.source), file.name, bytecode_at_most(file.source.stat().st_size)] for file in files]
    ).encode()
