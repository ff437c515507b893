"""Sources in the registry, fetched and looked through; nothing of a project is ever run or loaded."""

from __future__ import annotations

import asyncio
import shutil
import signal
import sys
import tempfile
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
from anyio import to_thread

from placet.certifier.adapters import examination
from placet.certifier.domain import Declared
from placet.certifier.ports import Facts, SourceEvidence
from placet.errors import Refused
from placet.events.contracts.shapes import Resources
from placet.oci import Registry

REPOSITORY = "sources"


class RegistrySources:
    """The `Sources` port. Each source is looked through in a process with so much memory and processor time."""

    def __init__(
        self,
        registry: Registry,
        *,
        dockerfiles: bool = False,
        memory: int = examination.MEMORY_BYTES,
        seconds: int = examination.SECONDS,
    ) -> None:
        self._registry = registry
        self._dockerfiles = dockerfiles
        self._memory = memory
        self._seconds = seconds

    async def examine(self, source: str, now: datetime) -> SourceEvidence:
        workspace = Path(await to_thread.run_sync(lambda: tempfile.mkdtemp(prefix="placet-examine-")))
        try:
            await self._registry.save_blob(REPOSITORY, source, workspace / examination.ARCHIVE)
            answer = await self._examined(workspace, now)
        finally:
            await asyncio.shield(to_thread.run_sync(lambda: shutil.rmtree(workspace, ignore_errors=True)))
        if "refused" in answer:
            raise Refused(answer["refused"], fix=answer["fix"])
        return SourceEvidence(declared=_declared(answer["facts"]), facts=answer["facts"])

    async def _examined(self, workspace: Path, now: datetime) -> dict[str, Any]:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", examination.__name__),
            *(str(workspace), now.isoformat(), str(self._memory), str(self._seconds)),
            *(("dockerfiles",) if self._dockerfiles else ()),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            output, errors = await process.communicate()
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        if process.returncode == -signal.SIGXCPU:
            return examination.too_much(f"{self._seconds} s of processor time")
        if process.returncode != 0:
            raise RuntimeError(
                f"the examination ended with {process.returncode}: {errors.decode(errors='replace')}"
            )
        answer: dict[str, Any] = msgspec.json.decode(output)
        return answer


def _declared(facts: Facts) -> Declared:
    asked = facts["resources"]
    return Declared(
        format=facts["model"]["format"],
        access=facts["project"]["access"],
        trial=facts["governance"]["trial"],
        dockerfile=facts["build"]["dockerfile"] != "",
        resources=Resources(
            cpu_millis=asked["millicores"],
            memory_bytes=asked["memory"],
            gpus=asked["gpu"],
            min_replicas=asked["minReplicas"],
            max_replicas=asked["maxReplicas"],
        ),
    )
