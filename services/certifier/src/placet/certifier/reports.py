"""What was reported of a model, as rules see it: added up from single reports, in whatever order they were heard. Pure.

Who reports says when it was, so the order is theirs, and what is told of the same moment counts in an order of its own.
Where two reports disagree, the worse one counts: a check that failed in a run stays failed in it, and of two states
of the same moment a failure is the last. Whether what is reported is true, nobody sees here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from placet.assessments import age_in_days
from placet.events.codec import moment
from placet.events.contracts.gateway import MetadataReported
from placet.events.contracts.shapes import (
    DatasetRef,
    ReportedEvaluation,
    ReportedIncident,
    ReportedMetric,
    ReportedMonitoring,
    ReportedRun,
)

Said = ReportedRun | ReportedEvaluation | ReportedMonitoring | ReportedIncident
State = tuple[str, str]
"""A dataset, and which of its states; an empty text where that is not told."""
Check = tuple[str, str]
"""An assertion, and the column that it is of; an empty text where it is of all."""
Checks = dict[Check, bool]

MOST_REPORTS = 100
"""Of each kind but runs, that rules see of a release."""
_STATES = ("other", "start", "running", "complete", "abort", "fail")
_SEVERITIES = ("low", "medium", "high", "critical")
_ABOUT = ("project", "release", "source")


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """`heard_at` is when the event says that it was heard; both times are RFC 3339 in UTC. `release_of` is the source
    of the release that it is of, where that is known."""

    said: MetadataReported
    at: str
    heard_at: str
    release_of: str | None = None

    @property
    def what(self) -> Said | None:
        """None of what a later version of the event may tell of."""
        said = self.said
        return said.run or said.evaluation or said.monitoring or said.incident

    @property
    def about(self) -> str:
        if self.said.source is not None:
            return "source"
        return "project" if self.said.release is None else "release"

    def counts_for(self, release: int, source: str) -> bool:
        """What went wrong with a release goes with its source: else another release of the same would get round it."""
        if self.said.incident is not None and self.release_of == source:
            return True
        return self.said.release in (None, release) and self.said.source in (None, source)


def key(of: Report) -> str:
    """What is told of by several reports, and else the report itself."""
    match of.what:
        case ReportedRun(run=run):
            return run
        case ReportedIncident(incident=incident):
            return incident
        case _:
            return of.said.report


def weight(of: Report) -> int:
    """What is to be seen first, whatever came later: incidents that are open, the most severe of them first."""
    match of.what:
        case ReportedIncident(severity=severity, status=status):
            return _SEVERITIES.index(severity) + (len(_SEVERITIES) if status == "open" else 0)
        case _:
            return 0


def of_release(reports: Iterable[Report], at: datetime) -> dict[str, Any]:
    """What the rules of stage certify see: how the model came about, how it was evaluated, and what happened."""
    all_ = list(reports)
    runs = _runs(each for each in all_ if each.said.run is not None)
    verified = _verified(runs)
    for run in runs:
        for each in run["inputs"]:
            each["verifiedBy"] = verified.get((each["dataset"], each["version"]), [])
        run["unverified"] = [_in_words(each) for each in run["inputs"] if not each["verifiedBy"]]
    return {
        "runs": runs,
        "training": _training(runs),
        "evaluations": [
            _evaluation(each, each.said.evaluation, verified)
            for each in _newest_first(all_)
            if each.said.evaluation is not None
        ],
        "incidents": _incidents(all_, at),
    }


def in_use(reports: Iterable[Report], at: datetime) -> dict[str, Any]:
    """What the rules of stage operate see: what others measured of the model, and what happened."""
    all_ = list(reports)
    return {
        "monitoring": [
            _monitoring(each, each.said.monitoring, at)
            for each in _newest_first(all_)
            if each.said.monitoring is not None
        ],
        "incidents": _incidents(all_, at),
    }


def counting(
    reports: Iterable[Report], release: int, source: str, *, most: int
) -> tuple[list[Report], list[str]]:
    """Of what is no run, the last that was told of each thing and counts for this release: of each kind the `most` that
    are to be seen first, and the kinds of which there is more."""
    last: dict[tuple[str, str], Report] = {}
    mine = (each for each in reports if each.counts_for(release, source))
    for report in sorted(mine, key=_turn):
        last[_kind(report), key(report)] = report
    seen: dict[str, list[Report]] = {}
    for report in sorted(last.values(), key=lambda each: (weight(each), *_turn(each)), reverse=True):
        seen.setdefault(_kind(report), []).append(report)
    partial = sorted(kind for kind, each in seen.items() if len(each) > most)
    return [report for each in seen.values() for report in each[:most]], partial


def _kind(of: Report) -> str:
    match of.what:
        case ReportedRun():
            return "runs"
        case ReportedEvaluation():
            return "evaluations"
        case ReportedMonitoring():
            return "monitoring"
        case ReportedIncident():
            return "incidents"
        case None:
            return ""


def _turn(of: Report) -> tuple[str, int, str]:
    return of.at, weight(of), of.said.report


def _newest_first(reports: Iterable[Report]) -> list[Report]:
    return sorted(reports, key=_turn, reverse=True)


def _runs(reports: Iterable[Report]) -> list[dict[str, Any]]:
    by_run: dict[str, list[Report]] = {}
    for report in reports:
        by_run.setdefault(key(report), []).append(report)
    runs = [_run(each) for each in by_run.values()]
    return sorted(runs, key=lambda each: (each["at"], each["run"]), reverse=True)


def _run(reports: Sequence[Report]) -> dict[str, Any]:
    """OpenLineage's `OTHER` tells more of a run, and is no state that it is in."""
    told = sorted(
        ((each, each.said.run) for each in reports if each.said.run is not None),
        key=lambda each: (each[0].at, _STATES.index(each[1].state), each[0].said.report),
    )
    last, run = next((each for each in reversed(told) if each[1].state != "other"), told[-1])
    return {
        "run": run.run,
        "job": run.job,
        "step": next((each.step for _, each in reversed(told) if each.step != "other"), "other"),
        "state": run.state,
        "about": max((each.about for each in reports), key=_ABOUT.index),
        "inputs": _datasets(each for _, run in told for each in run.inputs),
        "outputs": _datasets(each for _, run in told for each in run.outputs),
        "at": last.at,
        "heardAt": max(each.heard_at for each in reports),
    }


def _datasets(told: Iterable[DatasetRef]) -> list[dict[str, Any]]:
    found: dict[State, Checks] = {}
    for each in told:
        state = each.dataset, each.version or ""
        _add(found, state, [((check.assertion, check.column or ""), check.passed) for check in each.checks])
    for dataset in [name for name, version in found if not version]:
        versions = [version for name, version in found if name == dataset and version]
        if len(versions) == 1:  # told of again without its version: there is only one that it can be
            _add(found, (dataset, versions[0]), found.pop((dataset, "")).items())
    return [_dataset(state, checks) for state, checks in sorted(found.items())]


def _add(found: dict[State, Checks], state: State, checks: Iterable[tuple[Check, bool]]) -> None:
    known = found.setdefault(state, {})
    for check, passed in checks:
        known[check] = known.get(check, True) and passed


def _dataset(state: State, checks: Checks) -> dict[str, Any]:
    return {
        "dataset": state[0],
        "version": state[1],
        "checks": [
            {"assertion": assertion, "column": column, "passed": passed}
            for (assertion, column), passed in sorted(checks.items())
        ],
        "passed": bool(checks) and all(checks.values()),
    }


def _verified(runs: Sequence[Mapping[str, Any]]) -> Mapping[State, list[str]]:
    """Which completed verifications each dataset passed, since the last that it did not pass.

    Of a dataset without a version nobody can say that it is the very same.
    """
    verified: dict[State, list[str]] = {}
    for run in reversed(runs):
        if run["step"] != "verification" or run["state"] != "complete":
            continue
        passed: dict[State, bool] = {}
        for each in (*run["inputs"], *run["outputs"]):
            if each["checks"] and each["version"]:
                state = each["dataset"], each["version"]
                passed[state] = passed.get(state, True) and each["passed"]
        for state, is_passed in passed.items():
            verified[state] = [*verified.get(state, []), run["run"]] if is_passed else []
    return verified


def _training(runs: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The last that is complete, if there is one; of this very release or source before any of the whole project."""
    complete = [each for each in runs if each["step"] == "training" and each["state"] == "complete"]
    own = [each for each in complete if each["about"] != "project"]
    return [*own, *complete][:1]


def _in_words(dataset: Mapping[str, Any]) -> str:
    return f"{dataset['dataset']} {dataset['version'] or 'of no version'}"


def _evaluation(
    report: Report, evaluation: ReportedEvaluation, verified: Mapping[State, list[str]]
) -> dict[str, Any]:
    dataset, version = evaluation.of.dataset, evaluation.of.version or ""
    return {
        "report": report.said.report,
        "about": report.about,
        "dataset": dataset,
        "version": version,
        "verifiedBy": verified.get((dataset, version), []),
        "split": evaluation.split or "",
        "metrics": _metrics(evaluation.metrics),
        "at": report.at,
        "heardAt": report.heard_at,
    }


def _monitoring(report: Report, monitoring: ReportedMonitoring, at: datetime) -> dict[str, Any]:
    return {
        "report": report.said.report,
        "about": report.about,
        "since": monitoring.since or "",
        "metrics": _metrics(monitoring.metrics),
        "at": report.at,
        "heardAt": report.heard_at,
        "ageDays": age_in_days(moment(report.at), at),
    }


def _metrics(told: Iterable[ReportedMetric]) -> list[dict[str, Any]]:
    return [
        {
            "metric": each.metric,
            "value": each.value,
            "slice": each.slice or "",
            # None where it is not told: what asks for enough of them cannot be decided.
            "samples": each.samples,
        }
        for each in told
    ]


def _incidents(reports: Iterable[Report], at: datetime) -> list[dict[str, Any]]:
    last: dict[str, tuple[Report, ReportedIncident]] = {}
    for report in sorted(reports, key=_turn):
        if report.said.incident is not None:
            last[key(report)] = report, report.said.incident
    first = sorted(
        last.values(), key=lambda each: (weight(each[0]), each[0].at, each[1].incident), reverse=True
    )
    return [_incident(report, incident, at) for report, incident in first]


def _incident(report: Report, incident: ReportedIncident, at: datetime) -> dict[str, Any]:
    return {
        "incident": incident.incident,
        "about": report.about,
        "severity": incident.severity,
        "status": incident.status,
        "at": report.at,
        "heardAt": report.heard_at,
        "ageDays": age_in_days(moment(report.at), at),
    }
