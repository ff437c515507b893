"""Value objects that several events carry. They change with their events: a new field here is a new version there."""

from __future__ import annotations

from collections.abc import Sequence
from math import log
from typing import Literal

import msgspec

Command = Literal["deploy", "build"]
QuotaScope = Literal["team", "project"]
ProjectRole = Literal["owner", "deployer", "viewer"]
Stage = Literal["submit", "certify", "operate"]
Sample = Literal["answered", "none"]
Result = Literal["pass", "fail", "indeterminate"]
KeyWhy = Literal["scheduled", "staff", "lost", "compromised"]
"""Why a key signs no more: a routine, somebody who could reach it left, it is gone, somebody else may have it."""
Metric = Literal["psi", "errors", "refusals"]
RunStep = Literal[
    "ingestion", "verification", "feature-extraction", "training", "evaluation", "packaging", "other"
]
RunState = Literal["start", "running", "complete", "abort", "fail", "other"]
Severity = Literal["low", "medium", "high", "critical"]


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


class Condition(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What holds for a certified model while it serves: a metric over `window` seconds is at most `max`.

    Of fewer than `min_samples` nothing is judged. What was over `max` is kept again once it is at most `recovery`.
    After `retry_after` seconds a model that was suspended for it serves on trial; null: only if people say so.
    """

    metric: Metric
    max: float
    recovery: float
    window: int
    min_samples: int
    action: Literal["warn", "suspend"]
    retry_after: int | None = None


class Measured(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A condition that was not kept: what was measured over `window` seconds in so many samples, and its limit then.

    `column` is the one that drifts most, where it is drift.
    """

    metric: Metric
    value: float
    limit: float
    window: int
    samples: int
    column: str | None = None


class Ground(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Why a certificate does not stand: a rule that is not kept any more, or what somebody decided.

    `measured` are the conditions that are not kept, where it is for those.
    """

    rule: str
    why: str
    fix: str | None = None
    measured: tuple[Measured, ...] = ()


class RecordedFacts(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What rules saw, by the sha256 of its bytes in the registry (repositories `facts` and `personal`).

    `personal` is what of it is about people, with a salt: who erases that leaves the rest, and its digest, as it is.
    """

    facts: str
    personal: str | None = None


class PolicyRef(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    id: str
    version: int
    digest: str


class Binding(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What an approval is of. `digest` is over all the rest, and over project and release: of anything else, if only by
    a policy, it is another one. `inputs` is the digest of what the rules of both stages saw, but for approvals.
    """

    digest: str
    source: str
    image: str
    inputs: str
    policies: tuple[PolicyRef, ...]


class ApprovalUsed(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An approval that counted. `given_by` is a person's opaque id, `roles` those that they approved in. `break_glass`:
    to have it served for a day, whatever is awaited."""

    approval: str
    given_by: str
    roles: tuple[str, ...]
    at: str
    break_glass: bool = False


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


class ColumnParts(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How many rows fell into each part of a column: of the reference, and of what was asked."""

    column: str
    reference: tuple[int, ...]
    counts: tuple[int, ...]


class Drift(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """`psi` is the largest of all columns and `column` has it; `columns` names no more than the fifty most drifted.

    `parts` is what it was told from, so that whoever hears several can tell the drift over all of them: of the first
    columns, in the model's own order, as far as an event holds them.
    """

    since: str
    rows: int
    psi: float
    column: str
    columns: tuple[ColumnDrift, ...]
    parts: tuple[ColumnParts, ...] = ()


class DataCheck(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An assertion about a dataset, of one column if that is named, and whether it held."""

    assertion: str
    passed: bool
    column: str | None = None


class DatasetRef(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """`dataset` is OpenLineage's namespace and name, with a slash between; `version` is whatever says which of its
    states it was, a digest at best."""

    dataset: str
    version: str | None = None
    checks: tuple[DataCheck, ...] = ()


class ReportedRun(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One state of a run of a job on the model's way. Of one `run` several are told, and they add up."""

    run: str
    job: str
    step: RunStep
    state: RunState
    inputs: tuple[DatasetRef, ...] = ()
    outputs: tuple[DatasetRef, ...] = ()


class ReportedMetric(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """`slice` is the part of the data that it is of, such as `sex=female`; none: of all of it."""

    metric: str
    value: float
    slice: str | None = None
    samples: int | None = None


class ReportedEvaluation(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    of: DatasetRef
    split: str | None
    metrics: tuple[ReportedMetric, ...]


class ReportedMonitoring(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What somebody else than the platform measured of a model in use, over the time from `since` to the report's."""

    since: str | None
    metrics: tuple[ReportedMetric, ...]


class ReportedIncident(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Of one `incident` several are told, and the last counts. What it was is for people, and no part of the event."""

    incident: str
    severity: Severity
    status: Literal["open", "resolved"]


class Denial(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What every service says of those that it did not let in, each as an event of its own.

    In the order of the canonical bytes, as `event` puts the fields of others.
    """

    count: int
    denial: str
    method: str | None
    origin: str | None
    person: str | None
    project: str | None
    reason: str
    route: str | None
    since: str
    status: int
    until: str


NOTHING = 0.5
"""Rows that a part without any counts as, where the other side has some: half of what could have been seen."""


def stability(reference: Sequence[int], counts: Sequence[int]) -> float:
    """The population stability index. 0 where either side has no rows at all."""
    of_reference, of_counts = sum(reference), sum(counts)
    if of_reference == 0 or of_counts == 0:
        return 0.0
    index = 0.0
    for expected, found in zip(reference, counts, strict=False):
        if expected or found:
            p, q = max(expected, NOTHING) / of_reference, max(found, NOTHING) / of_counts
            index += (q - p) * log(q / p)
    return index
