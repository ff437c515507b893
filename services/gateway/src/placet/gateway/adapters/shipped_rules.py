"""The rules that ship with the platform, asked about a source that nobody has asked to deploy yet."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from placet.rules import Engine, Policy, Verdict
from placet.rules.examination import examined

AT_ONCE = 2
"""Each takes a process with a lot of memory, if its source is hostile."""


class ShippedRules:
    """The `Rules` port."""

    def __init__(self, policies: Sequence[Policy], engine: Engine) -> None:
        self._policies = tuple(policies)
        self._engine = engine
        self._turns = asyncio.Semaphore(AT_ONCE)

    @property
    def admit_exceptions(self) -> Mapping[str, bool]:
        return {rule.id: rule.exceptable for policy in self._policies for rule in policy.rules}

    async def judge(self, workspace: Path, now: datetime) -> Sequence[Verdict]:
        async with self._turns:
            # Whether Dockerfiles are allowed, the certifier alone knows.
            facts = await examined(workspace, now, dockerfiles=True)
        return await self._engine.evaluate(self._policies, "submit", facts)
