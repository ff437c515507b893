"""Value objects that several events carry. They change with their events: a new field here is a new version there."""

from __future__ import annotations

from typing import Literal

import msgspec

Command = Literal["deploy", "build"]
Stage = Literal["submit", "certify", "operate"]
Sample = Literal["answered", "none"]
Result = Literal["pass", "fail", "indeterminate"]


class Verdict(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What one rule said. `why` and `fix` never hold personal data: rules may only fill in facts about things.

    `exception` names the one by which the rule forbids nothing here; its result is what it would be without.
    """

    rule: str
    policy: str
    stage: Stage
    result: Result
    on_fail: Literal["deny", "suspend", "warn"]
    why: str | None = None
    fix: str | None = None
    exception: str | None = None


class ExceptionUsed(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An exception that a verdict names. `granted_by` is a person's opaque id."""

    exception: str
    rule: str
    until: str
    granted_by: str


class Ground(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Why a certificate does not stand: a rule that is not kept any more, or what somebody decided."""

    rule: str
    why: str
    fix: str | None = None


class PolicyRef(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    id: str
    version: int
    digest: str


class RuleRef(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A rule of a policy, and when it is asked."""

    id: str
    stage: Stage


class PolicyProblem(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Why a policy is not published."""

    why: str
    fix: str | None = None


class Resources(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What one release asks for. CPU in thousandths of a core, memory in bytes, for each replica."""

    cpu_millis: int
    memory_bytes: int
    gpus: int
    min_replicas: int
    max_replicas: int


class ColumnDrift(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One column of a model's inputs against the reference in its image, by the population stability index."""

    column: str
    psi: float


class Drift(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """`psi` is the largest of all columns and `column` has it; `columns` names no more than the fifty most drifted."""

    since: str
    rows: int
    psi: float
    column: str
    columns: tuple[ColumnDrift, ...]
