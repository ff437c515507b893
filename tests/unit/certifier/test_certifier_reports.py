"""Reports are added up as who reports them says, in whatever order they are heard: what rules see is the same."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from placet.certifier.reports import Report, counting, in_use, of_release
from placet.events.contracts.gateway import MetadataReported
from placet.events.contracts.shapes import (
    DataCheck,
    DatasetRef,
    ReportedEvaluation,
    ReportedIncident,
    ReportedMetric,
    ReportedMonitoring,
    ReportedRun,
    RunState,
    RunStep,
)
from placet.gateway.lineage import report_of
from placet.gateway.reports import About
from placet.rules import Engine, Policy, load_policy, offered_files

EXAMPLE = Path(__file__).parents[3] / "examples/tumours/lineage"
NOW = datetime(2026, 11, 27, tzinfo=UTC)
SOURCE = f"sha256:{'5' * 64}"
HELD, BROKEN = DataCheck(assertion="not null", passed=True), DataCheck(assertion="not null", passed=False)


def report(number: int = 1, *, minute: int = 0, **said: Any) -> Report:
    at = f"2026-11-26T10:{minute:02}:00.000Z"
    what = {"project": "churn", "release": None, "source": None, "reported_by": "person:ada", **said}
    return Report(
        said=MetadataReported(report=f"report:{number:03}", at=at, **what),
        at=at,
        heard_at=f"2026-11-26T11:{number % 60:02}:00.000Z",
    )


def run(name: str, step: RunStep, state: RunState = "complete", **data: Any) -> ReportedRun:
    return ReportedRun(run=name, job=f"job of {step}", step=step, state=state, **data)


def data(version: str | None = "1", *checks: DataCheck, name: str = "lake/rows") -> DatasetRef:
    return DatasetRef(dataset=name, version=version, checks=checks)


def training(reports: Iterable[Report]) -> Any:
    return of_release(reports, NOW)["training"]


def journey(*checks: DataCheck, verified: str | None = "1", read: str | None = "1") -> list[Report]:
    return [
        report(1, minute=1, run=run("v", "verification", inputs=(data(verified, *checks),))),
        report(2, minute=2, run=run("t", "training", inputs=(data(read),))),
    ]


def test_events_of_a_run_add_up_to_one() -> None:
    seen = of_release(
        [
            report(1, minute=1, run=run("t", "training", "start", inputs=(data(),))),
            report(2, minute=5, run=run("t", "other", outputs=(data(name="lake/model"),))),
            report(3, minute=9, run=run("t", "other", "other", inputs=(data(name="lake/more"),))),
        ],
        NOW,
    )["runs"]
    assert [(each["run"], each["step"], each["state"]) for each in seen] == [("t", "training", "complete")]
    assert [each["dataset"] for each in seen[0]["inputs"]] == ["lake/more", "lake/rows"]
    assert [each["dataset"] for each in seen[0]["outputs"]] == ["lake/model"]
    assert (seen[0]["at"], seen[0]["heardAt"]) == ("2026-11-26T10:05:00.000Z", "2026-11-26T11:03:00.000Z")


def test_a_training_that_read_what_passed_verification_names_it() -> None:
    [found] = training(journey(HELD))
    assert found["unverified"] == []
    assert found["inputs"][0]["verifiedBy"] == ["v"]


@pytest.mark.parametrize(
    ("reports", "unverified"),
    [
        (journey(), ["lake/rows 1"]),
        (journey(HELD, BROKEN), ["lake/rows 1"]),
        (journey(HELD, verified="0"), ["lake/rows 1"]),
        (journey(HELD, verified=None, read=None), ["lake/rows of no version"]),
        (
            [*journey(HELD)[1:], report(1, run=run("v", "verification", "fail", inputs=(data("1", HELD),)))],
            ["lake/rows 1"],
        ),
        (
            [*journey(HELD)[1:], report(1, run=run("v", "evaluation", inputs=(data("1", HELD),)))],
            ["lake/rows 1"],
        ),
        (
            [
                *journey(HELD),
                report(3, minute=9, run=run("w", "verification", inputs=(data("1", BROKEN),))),
            ],
            ["lake/rows 1"],
        ),
    ],
    ids=["unchecked", "broken", "another version", "no version", "failed", "another step", "broken since"],
)
def test_what_no_verification_passed_is_named(reports: list[Report], unverified: list[str]) -> None:
    assert [each["unverified"] for each in training(reports)] == [unverified]


def test_what_was_broken_and_passed_since_is_verified() -> None:
    again = report(3, minute=1, run=run("w", "verification", outputs=(data("1", HELD),)))
    reports = [*journey(BROKEN), again]
    assert training(reports)[0]["inputs"][0]["verifiedBy"] == ["w"]


def test_a_dataset_that_is_told_of_again_without_its_version_is_the_same() -> None:
    reports = [*journey(HELD), report(3, run=run("t", "training", "start", inputs=(data(None),)))]
    assert [each["version"] for each in training(reports)[0]["inputs"]] == ["1"]
    both = report(4, run=run("t", "training", "running", inputs=(data("2"),)))
    assert training([*reports, both])[0]["unverified"] == ["lake/rows of no version", "lake/rows 2"]


def test_the_training_that_counts_is_the_last_complete_one_and_of_the_release_before_the_projects() -> None:
    first = report(1, minute=1, release=2, run=run("own", "training"))
    later = report(2, minute=2, run=run("project", "training"))
    ended = report(3, minute=3, run=run("broken", "training", "fail"))
    assert training([ended]) == []
    assert [each["run"] for each in training([later, ended])] == ["project"]
    assert [(each["run"], each["about"]) for each in training([first, later, ended])] == [("own", "release")]


def test_of_an_incident_the_last_word_counts_and_of_one_moment_that_it_is_open() -> None:
    def told(number: int, minute: int, status: Any, name: str = "INC-1", severity: Any = "high") -> Report:
        incident = ReportedIncident(incident=name, severity=severity, status=status)
        return report(number, minute=minute, incident=incident)

    seen = [
        told(1, 1, "open"),
        told(2, 2, "resolved"),
        told(3, 0, "open", "INC-2", "low"),
        told(5, 3, "open", "INC-3"),
        told(4, 3, "resolved", "INC-3"),
    ]
    incidents = in_use(seen, NOW)["incidents"]
    assert [(each["incident"], each["status"]) for each in incidents] == [
        ("INC-3", "open"),
        ("INC-2", "open"),
        ("INC-1", "resolved"),
    ]
    assert incidents[0]["ageDays"] == 0


def test_what_counts_is_of_the_project_this_release_or_this_source() -> None:
    assert report().counts_for(3, SOURCE)
    assert report(release=3).counts_for(3, SOURCE)
    assert report(source=SOURCE).counts_for(3, SOURCE)
    assert not report(release=2).counts_for(3, SOURCE)
    assert not report(source=f"sha256:{'6' * 64}").counts_for(3, SOURCE)


def test_of_more_than_can_be_seen_what_is_open_is_and_the_rest_is_known_to_be_there() -> None:
    open_ = report(1, incident=ReportedIncident(incident="INC-0", severity="critical", status="open"))
    later = [
        report(
            n,
            minute=n,
            incident=ReportedIncident(incident=f"INC-{n}", severity="critical", status="resolved"),
        )
        for n in range(2, 6)
    ]
    seen, partial = counting([*later, open_], 1, SOURCE, most=3)
    assert [each["incident"] for each in in_use(seen, NOW)["incidents"]] == ["INC-0", "INC-5", "INC-4"]
    assert partial == ["incidents"]
    assert counting([*later, open_], 1, SOURCE, most=5)[1] == []


def test_what_is_not_told_is_an_empty_text_or_nothing() -> None:
    metric = ReportedMetric(metric="psi", value=0.3)
    watched = report(1, monitoring=ReportedMonitoring(since=None, metrics=(metric,)))
    evaluated = report(2, evaluation=ReportedEvaluation(of=data(None), split=None, metrics=(metric,)))
    told = {"metric": "psi", "value": 0.3, "slice": "", "samples": None}
    [monitoring] = in_use([watched, evaluated], NOW)["monitoring"]
    assert (monitoring["since"], monitoring["metrics"]) == ("", [told])
    [evaluation] = of_release([watched, evaluated], NOW)["evaluations"]
    assert (evaluation["version"], evaluation["split"], evaluation["metrics"]) == ("", "", [told])
    nothing = of_release([], NOW)
    assert nothing == {"runs": [], "training": [], "evaluations": [], "incidents": []}


# In any order

CHECKS = st.builds(DataCheck, assertion=st.sampled_from("ab"), passed=st.booleans())
DATA = st.builds(
    DatasetRef,
    dataset=st.sampled_from(["x", "y"]),
    version=st.sampled_from([None, "1", "2"]),
    checks=st.lists(CHECKS, max_size=2).map(tuple),
)
SOME = st.lists(DATA, max_size=2).map(tuple)
SAID = st.one_of(
    st.builds(
        ReportedRun,
        run=st.sampled_from("rst"),
        job=st.sampled_from("jk"),
        step=st.sampled_from(["verification", "training", "other"]),
        state=st.sampled_from(["start", "complete", "fail", "other"]),
        inputs=SOME,
        outputs=SOME,
    ).map(lambda said: {"run": said}),
    st.builds(
        ReportedIncident,
        incident=st.sampled_from("ij"),
        severity=st.sampled_from(["low", "critical"]),
        status=st.sampled_from(["open", "resolved"]),
    ).map(lambda said: {"incident": said}),
    st.builds(ReportedEvaluation, of=DATA, split=st.none(), metrics=st.just(())).map(
        lambda said: {"evaluation": said}
    ),
    st.builds(ReportedMonitoring, since=st.none(), metrics=st.just(())).map(
        lambda said: {"monitoring": said}
    ),
)


@given(st.data(), st.lists(st.tuples(st.integers(0, 2), st.sampled_from([None, 1]), SAID), max_size=9))
def test_the_order_in_which_they_are_heard_makes_no_difference(
    draw: st.DataObject, told: list[tuple[int, int | None, dict[str, Any]]]
) -> None:
    reports = [
        report(number, minute=minute, release=release, **said)
        for number, (minute, release, said) in enumerate(told)
    ]
    heard = draw.draw(st.permutations(reports))
    assert of_release(heard, NOW) == of_release(reports, NOW)
    assert in_use(heard, NOW) == in_use(reports, NOW)
    for most in (1, 9):
        one, other = (counting(each, 1, SOURCE, most=most) for each in (heard, reports))
        assert in_use(one[0], NOW) == in_use(other[0], NOW)
        assert one[1] == other[1]


# The example


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine(workers=1) as engine:
        yield engine


def told_by_the_example(*, without: str = "") -> list[Report]:
    """Its OpenLineage events, as the gateway reads them."""
    events = [json.loads(line) for line in (EXAMPLE / "lineage.ndjson").read_text().splitlines()]
    left = [each for each in events if each["job"]["name"] != without]
    return [report(n, minute=n, run=report_of(each, "", About()).content) for n, each in enumerate(left)]


def policies(engine: Engine) -> list[Policy]:
    files = [(EXAMPLE / "policy.yaml").read_bytes(), offered_files()["data-lineage.yaml"]]
    return [load_policy(file, engine=engine) for file in files]


def asked(engine: Engine, reports: list[Report]) -> dict[str, Any]:
    facts = {
        "now": "2026-11-27T00:00:00.000Z",
        "project": {"name": "tumours"},
        "governance": {"trial": False},
        "reports": of_release(reports, NOW),
    }
    return {each.rule: each for each in engine.evaluate_sync(policies(engine), "certify", facts)}


def test_the_examples_rule_holds_of_the_examples_events(engine: Engine) -> None:
    assert {each.result for each in asked(engine, told_by_the_example()).values()} == {"pass"}


def test_it_fails_and_says_of_which_dataset_once_the_verification_is_taken_away(engine: Engine) -> None:
    said = asked(engine, told_by_the_example(without="check-features"))
    broken = {
        "lineage.verified-data": "features.parquet sha256:91c0",
        "tumours.nothing-else-read": "features.parquet sha256:91c0",
        "tumours.verified-data": "read only what passed verification",
    }
    assert {rule for rule, each in said.items() if each.result == "fail"} == set(broken)
    assert [rule for rule, words in broken.items() if words not in str(said[rule].why)] == []


def test_it_fails_of_a_project_of_which_nothing_is_reported(engine: Engine) -> None:
    failed = {rule for rule, each in asked(engine, []).items() if each.result == "fail"}
    assert failed == {"tumours.verified-data", "lineage.training-reported"}
