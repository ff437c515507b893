"""Bytecode by the Python this service runs on: for all builds together as many processes as there are processors."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from placet.builder.adapters.processes import Bounds, clean_environment, run
from placet.builder.ports import SourceFile, Target
from placet.builder.settings import DEFAULT_LIMITS, Limits
from placet.errors import Refused
from placet.oci.together import together

_PROGRAM = Path(__file__).with_name("compile_files.py")
_SECONDS = 900.0


class PythonCompiler:
    """The `Compiler` port."""

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        self._bounds = Bounds(memory=limits.memory_bytes, file=limits.packages_bytes)
        self._processors = os.cpu_count() or 1
        self._at_once = asyncio.Semaphore(self._processors)

    def fits(self, target: Target) -> bool:
        return target.python == f"cp{sys.version_info.major}{sys.version_info.minor}"

    async def compile(self, files: Sequence[SourceFile], workspace: Path) -> None:
        processes = min(self._processors, 1 + len(files) // 50)
        await together(*(self._compile(files[start::processes], workspace) for start in range(processes)))

    async def _compile(self, files: Sequence[SourceFile], workspace: Path) -> None:
        listed = [[str(file.source), file.name, str(file.bytecode)] for file in files]
        async with self._at_once:
            ended = await run(
                [sys.executable, "-I", "-S", "-X", "utf8", str(_PROGRAM)],
                environment=clean_environment(),
                folder=workspace,
                given=json.dumps(listed).encode(),
                seconds=_SECONDS,
                bounds=self._bounds,
            )
        if ended.status != 0:
            raise Refused(f"Python's compiler gave up on one of the packages: {ended.errors[-500:]}")
