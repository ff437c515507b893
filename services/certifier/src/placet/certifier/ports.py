"""What the certifier needs from outside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from placet.certifier.domain import Asked, Declared, Signed
from placet.events.contracts.certifier import ReleaseCleared
from placet.events.contracts.indexer import ImageIndexed
from placet.events.contracts.shapes import PolicyRef, Stage, Verdict

Facts = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class SourceEvidence:
    declared: Declared
    facts: Facts


class Sources(Protocol):
    async def examine(self, source: str, now: datetime) -> SourceEvidence:
        """What the rules of stage submit see of a source.

        Raises Unavailable while the registry is away, Refused where the source cannot be read as a project.
        """


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """`policies` are those in force, by digest."""

    policies: tuple[PolicyRef, ...]
    verdicts: tuple[Verdict, ...]


class Rules(Protocol):
    async def judge(self, stage: Stage, facts: Facts) -> Judgement: ...

    def image_facts(self, cleared: ReleaseCleared, indexed: ImageIndexed, now: datetime) -> Facts:
        """What the rules of stage certify see of an image."""


class Notary(Protocol):
    async def sign(
        self,
        asked: Asked,
        indexed: ImageIndexed,
        judgement: Judgement,
        *,
        certificate: str,
        at: datetime,
        trial: bool = False,
    ) -> Signed:
        """Sign a certificate and lay it beside the image. The same arguments give the same bytes.

        One of a trial ends sooner.
        """


@dataclass(frozen=True, kw_only=True)
class Ports:
    sources: Sources
    rules: Rules
    notary: Notary
