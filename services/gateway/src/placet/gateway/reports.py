"""What can be reported of a model, as its senders write it: how each kind looks, and how much there may be of it. Pure.

Senders are programs of others, so every text, list and number is bounded, and a key that nobody knows is a mistake. The
event that is made of it carries the same under the same names (`placet.events.contracts.shapes`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from placet.events.codec import timestamp
from placet.events.contracts.shapes import (
    ReportedEvaluation,
    ReportedIncident,
    ReportedMonitoring,
    ReportedRun,
    RunState,
    RunStep,
    Severity,
)
from placet.projects.documents import Problem, differences

Kind = Literal["run", "evaluation", "monitoring", "incident"]
Content = ReportedRun | ReportedEvaluation | ReportedMonitoring | ReportedIncident

MAX_TEXT = 300
MAX_DATASET = 1000
MAX_DATASETS = 100
MAX_CHECKS = 200
MAX_METRICS = 200
MAX_SUMMARY = 2000
MAX_REPORT_BYTES = 48 * 1024
"""Of one report as JSON: an event holds it with its attributes."""

_HIDDEN = r"\u0000-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff"
_SEEN = rf"^(?=\s*\S)[^{_HIDDEN}]+(?![\s\S])"
"""Text on one line, with something to be seen in it, that no terminal is steered by. It ends where the text does."""
_SEEN_LINES = rf"^(?=\s*\S)(?:[^{_HIDDEN}]|\n)+(?![\s\S])"

Text = Annotated[str, Meta(max_length=MAX_TEXT, pattern=_SEEN)]
DatasetName = Annotated[str, Meta(max_length=MAX_DATASET, pattern=_SEEN)]
Time = Annotated[str, Meta(max_length=60, description="RFC 3339, with its zone")]
Digest = Annotated[str, Meta(pattern=r"^sha256:[0-9a-f]{64}(?![\s\S])")]

T = TypeVar("T")


class Check(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An assertion about a dataset, of one column if that is named, and whether it held."""

    assertion: Text
    passed: bool
    column: Text | None = None


class Dataset(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`version` is whatever says which of its states it was, a digest at best."""

    dataset: DatasetName
    version: Text | None = None
    checks: Annotated[tuple[Check, ...], Meta(max_length=MAX_CHECKS)] = ()


Datasets = Annotated[tuple[Dataset, ...], Meta(max_length=MAX_DATASETS)]


class RunData(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One state of a run of a job on the model's way. Of one `run` several are told, and they add up."""

    run: Text
    job: DatasetName
    step: RunStep
    state: RunState
    inputs: Datasets = ()
    outputs: Datasets = ()


class Metric(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`slice` is the part of the data that it is of, such as `sex=female`; none: of all of it."""

    metric: Text
    value: float
    slice: Text | None = None
    samples: Annotated[int, Meta(ge=0, le=2**53 - 1)] | None = None


Metrics = Annotated[tuple[Metric, ...], Meta(min_length=1, max_length=MAX_METRICS)]


class EvaluationData(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was measured of the model on a dataset, `of`, or on a `split` of it."""

    of: Dataset
    metrics: Metrics
    split: Text | None = None


class MonitoringData(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was measured of the model in use, from `since` to the time of the event."""

    metrics: Metrics
    since: Time | None = None


class IncidentData(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of one `incident` several are told, and the last counts. `summary` is for people, and in no event of the log."""

    incident: Text
    severity: Severity
    status: Literal["open", "resolved"]
    summary: Annotated[str, Meta(max_length=MAX_SUMMARY, pattern=_SEEN_LINES)] | None = None


Data = RunData | EvaluationData | MonitoringData | IncidentData
DATA: Mapping[Kind, type[Data]] = {
    "run": RunData,
    "evaluation": EvaluationData,
    "monitoring": MonitoringData,
    "incident": IncidentData,
}


@dataclass(frozen=True, kw_only=True)
class About:
    """What a report is of: one release, one source, or the whole project if neither is named."""

    release: int | None = None
    source: str | None = None


@dataclass(frozen=True, kw_only=True)
class Report:
    """One report. `sent_as` is what its sender calls it, the same each time that it is sent."""

    sent_as: tuple[str, ...]
    at: datetime
    about: About
    content: Content
    summary: str | None = None


class Mistake(Exception):
    """What is wrong with one event. `path` is where in it, in JSON's own names; `others` is what else is."""

    def __init__(
        self, path: str, detail: str, fix: str | None = None, *, others: Sequence[Problem] = ()
    ) -> None:
        super().__init__(detail)
        self.problems = (Problem(path, detail, fix), *others)


def kind_of(content: Content) -> Kind:
    match content:
        case ReportedRun():
            return "run"
        case ReportedEvaluation():
            return "evaluation"
        case ReportedMonitoring():
            return "monitoring"
        case ReportedIncident():
            return "incident"


def schema_of(kind: Kind) -> dict[str, Any]:
    """The JSON Schema of the `data` of a CloudEvent of this kind."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": f"placet.report.{kind}.v1"}
    return schema | msgspec.json.schema(DATA[kind])


def read_data(kind: Kind, data: Any, path: str, at: datetime) -> tuple[Content, str | None]:
    """What `data` says, and the words in it that are for people. Raises Mistake."""
    said = converted(
        data, DATA[kind], path, fix=f"`placet report --schema {kind}` prints what `data` may have"
    )
    plain = msgspec.to_builtins(said)
    match said:
        case RunData():
            return msgspec.convert(plain, ReportedRun), None
        case EvaluationData():
            return msgspec.convert(plain, ReportedEvaluation), None
        case MonitoringData():
            since = None if said.since is None else moment_of(said.since, f"{path}.since")
            if since is not None and since > at:
                raise Mistake(f"{path}.since", "is later than the event's time", "it is when measuring began")
            return msgspec.convert({**plain, "since": since and timestamp(since)}, ReportedMonitoring), None
        case IncidentData():
            return msgspec.convert(plain, ReportedIncident), said.summary


def converted(value: Any, kind: type[T], path: str, *, fix: str | None = None) -> T:
    """A plain value as a `kind`. Raises Mistake, of a `kind` of ours with all that is wrong."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        if kind in DATA.values() and (
            found := [_problem(each, path, fix) for each in differences(value, kind)]
        ):
            first, *others = found
            raise Mistake(first.path, first.detail, first.fix, others=others) from error
        detail, _, where = str(error).partition(" - at `$")
        below = f"{path}{where.removesuffix('`')}".lstrip(".")
        raise Mistake(below, _said(detail), fix) from error
    except (OverflowError, RecursionError) as error:
        raise Mistake(path, "holds a number or a nesting that is beyond all bounds") from error


def _problem(found: Problem, path: str, fix: str | None) -> Problem:
    """In JSON's words: a document of YAML would have its lists and patterns explained otherwise."""
    place = f"{path}.{found.path}".rstrip(".")
    if "text of the form" in found.detail:
        return Problem(place, _said(f"regex {found.detail}"), fix)
    return Problem(place, found.detail, fix if found.fix is None or "`- `" in found.fix else found.fix)


_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,20})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def moment_of(text: str, path: str) -> datetime:
    """The time in UTC. Raises Mistake."""
    if not _RFC_3339.fullmatch(text):
        raise Mistake(
            path, f"{text[:60]!r} is no time in RFC 3339 with its zone", "write it as 2027-01-31T12:00:00Z"
        )
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise Mistake(path, f"{text!r} is no time of the years 1 to 9999, in UTC") from error


def _said(detail: str) -> str:
    """msgspec shows a pattern as it is, which tells people nothing."""
    if "regex" in detail and "sha256" in detail:
        return "is no digest, which is sha256: and 64 digits"
    return "is no text without control characters" if "regex" in detail else detail
