"""Value objects that several events carry. They change with their events: a new field here is a new version there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Command = Literal["deploy", "build"]
Stage = Literal["submit", "certify", "operate"]
Result = Literal["pass", "fail", "indeterminate"]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What one rule said. `why` and `fix` never hold personal data: rules may only fill in facts about things."""

    rule: str
    policy: str
    stage: Stage
    result: Result
    on_fail: Literal["deny", "suspend", "warn"]
    why: str | None = None
    fix: str | None = None


@dataclass(frozen=True, kw_only=True)
class PolicyRef:
    id: str
    version: int
    digest: str


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What one release asks for. CPU in thousandths of a core, memory in bytes, for each replica."""

    cpu_millis: int
    memory_bytes: int
    gpus: int
    min_replicas: int
    max_replicas: int
