"""The rules in force, asked about a source that nobody has asked to deploy yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from placet.rules import Engine, PolicySet, Verdict
from placet.rules.examination import examined


class PolicyRules:
    """The `Rules` port."""

    def __init__(self, policies: PolicySet, engine: Engine) -> None:
        self._policies = policies
        self._engine = engine

    async def admit_exceptions(self, now: datetime) -> Mapping[str, bool]:
        return {
            rule.id: rule.exceptable for policy in await self._policies.in_force(now) for rule in policy.rules
        }

    async def judge(self, workspace: Path, now: datetime, *, partial: bool = False) -> Sequence[Verdict]:
        # Whether Dockerfiles are allowed, the certifier alone knows.
        facts = await examined(workspace, now, dockerfiles=True, partial=partial)
        policies = await self._policies.in_force(now)
        return await self._engine.evaluate(policies, "submit", facts, partial=partial)
