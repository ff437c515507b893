"""The rules that ship with the platform, asked about a source that nobody has asked to deploy yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from placet.rules import Engine, Policy, Verdict
from placet.rules.examination import examined


class ShippedRules:
    """The `Rules` port."""

    def __init__(self, policies: Sequence[Policy], engine: Engine) -> None:
        self._policies = tuple(policies)
        self._engine = engine

    @property
    def admit_exceptions(self) -> Mapping[str, bool]:
        return {rule.id: rule.exceptable for policy in self._policies for rule in policy.rules}

    async def judge(self, workspace: Path, now: datetime, *, partial: bool = False) -> Sequence[Verdict]:
        # Whether Dockerfiles are allowed, the certifier alone knows.
        facts = await examined(workspace, now, dockerfiles=True, partial=partial)
        return await self._engine.evaluate(self._policies, "submit", facts, partial=partial)
