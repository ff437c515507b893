"""Sources in the registry, fetched and looked through; nothing of a project is ever run or loaded."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from datetime import datetime
from pathlib import Path

from anyio import to_thread

from placet.assessments import data_digest, purpose_digest
from placet.certifier.domain import Declared
from placet.certifier.ports import Facts, SourceEvidence
from placet.events.contracts.shapes import Condition, Resources
from placet.oci import Registry
from placet.projects.bounded import MEMORY_BYTES
from placet.rules import examination

REPOSITORY = "sources"


class RegistrySources:
    """The `Sources` port. Each source is looked through in a process with so much memory and processor time."""

    def __init__(
        self,
        registry: Registry,
        *,
        dockerfiles: bool = False,
        memory: int = MEMORY_BYTES,
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
            facts = await examination.examined(
                workspace,
                now,
                dockerfiles=self._dockerfiles,
                memory=self._memory,
                seconds=self._seconds,
            )
        finally:
            await asyncio.shield(to_thread.run_sync(lambda: shutil.rmtree(workspace, ignore_errors=True)))
        return SourceEvidence(declared=_declared(facts), facts=facts)


def _declared(facts: Facts) -> Declared:
    asked, personal = facts["resources"], facts["personal"]
    sets = [
        (each["name"], origin, each["licence"], each.get("personalData"))
        for each, origin in zip(facts["data"]["sets"], personal["origins"], strict=True)
    ]
    return Declared(
        format=facts["model"]["format"],
        access=facts["project"]["access"],
        trial=facts["governance"]["trial"],
        risk_class=facts["governance"]["riskClass"],
        dockerfile=facts["build"]["dockerfile"] != "",
        purpose=purpose_digest(personal["purpose"]),
        data=data_digest(sets),
        conditions=tuple(
            Condition(
                metric=said["metric"],
                max=said["max"],
                recovery=said["recovery"],
                window=said["window"],
                min_samples=said["minSamples"],
                action=said["action"],
                retry_after=said["retryAfter"],
            )
            for said in facts["monitoring"]["conditions"]
        ),
        resources=Resources(
            cpu_millis=asked["millicores"],
            memory_bytes=asked["memory"],
            gpus=asked["gpu"],
            min_replicas=asked["minReplicas"],
            max_replicas=asked["maxReplicas"],
        ),
    )
