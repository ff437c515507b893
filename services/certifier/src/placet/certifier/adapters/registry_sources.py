"""Sources in the registry, fetched and looked through; nothing of a project is ever run or loaded."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from datetime import datetime
from pathlib import Path

from anyio import to_thread

from placet.certifier.domain import Declared
from placet.certifier.ports import SourceEvidence
from placet.errors import Refused
from placet.events.contracts.shapes import Resources
from placet.oci import Registry
from placet.projects import Manifest, parse_manifest, unpack
from placet.rules import gather_submit_facts

REPOSITORY = "sources"


class RegistrySources:
    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def examine(self, source: str, now: datetime) -> SourceEvidence:
        workspace = Path(await to_thread.run_sync(lambda: tempfile.mkdtemp(prefix="placet-examine-")))
        try:
            await self._registry.save_blob(REPOSITORY, source, workspace / "source.tar")
            return await to_thread.run_sync(_examine, workspace, now)
        finally:
            await asyncio.shield(to_thread.run_sync(lambda: shutil.rmtree(workspace, ignore_errors=True)))


def _examine(workspace: Path, now: datetime) -> SourceEvidence:
    folder = workspace / "project"
    contents = unpack(workspace / "source.tar", folder)
    if contents.manifest is None:
        raise Refused("the source holds no placet.yaml", fix="run `placet init` in the project's folder")
    manifest = parse_manifest(contents.manifest)
    return SourceEvidence(declared=_declared(manifest), facts=gather_submit_facts(folder, manifest, now=now))


def _declared(manifest: Manifest) -> Declared:
    asked = manifest.resources
    return Declared(
        format=manifest.model.format,
        access=manifest.access,
        resources=Resources(
            cpu_millis=asked.millicores,
            memory_bytes=asked.memory_bytes,
            gpus=asked.gpu,
            min_replicas=asked.replicas.min,
            max_replicas=asked.replicas.max,
        ),
    )
