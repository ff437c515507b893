"""What is sent as metadata, and what is made of it: reports, or mistakes with their places."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from placet.errors import PlacetError, Unreadable
from placet.events.contracts.shapes import (
    DataCheck,
    DatasetRef,
    ReportedEvaluation,
    ReportedIncident,
    ReportedMetric,
    ReportedMonitoring,
    ReportedRun,
)
from placet.gateway.cloud_events import BATCH, MAX_EVENTS, PLAIN, SINGLE, read_events, reports_of
from placet.gateway.reports import DATA, MAX_CHECKS, MAX_DATASETS, About, Report, schema_of
from placet.projects.documents import DocumentRefused

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
SOURCE = f"sha256:{'5' * 64}"

OPENLINEAGE: dict[str, Any] = json.loads(
    # As openlineage-python 1.54 posts it over HTTP.
    """
    {"eventTime": "2026-11-20T08:30:00.123456+01:00", "eventType": "COMPLETE", "inputs": [{"facets": {"version":
    {"_producer": "https://github.com/OpenLineage/OpenLineage/tree/1.54.0/client/python",
    "_schemaURL": "https://openlineage.io/spec/facets/1-0-1/DatasetVersionDatasetFacet.json#/$defs/DatasetVersionDatasetFacet",
    "datasetVersion": "sha256:1111111111111111111111111111111111111111111111111111111111111111"}},
    "inputFacets": {"dataQualityAssertions":
    {"_producer": "https://github.com/OpenLineage/OpenLineage/tree/1.54.0/client/python",
    "_schemaURL": "https://openlineage.io/spec/facets/1-1-0/DataQualityAssertionsDatasetFacet.json#/$defs/DataQualityAssertionsDatasetFacet",
    "assertions": [{"assertion": "not_null", "column": "age", "params": {}, "success": true},
    {"assertion": "row_count", "params": {}, "success": false}]}}, "name": "churn/2026-11", "namespace": "s3://lake"}],
    "job": {"facets": {"jobType":
    {"_producer": "https://github.com/OpenLineage/OpenLineage/tree/1.54.0/client/python",
    "_schemaURL": "https://openlineage.io/spec/facets/2-0-4/JobTypeJobFacet.json#/$defs/JobTypeJobFacet",
    "integration": "AIRFLOW", "jobType": "TRAINING", "processingType": "BATCH"}}, "name": "churn.train",
    "namespace": "pipelines"}, "outputs": [{"facets": {}, "name": "model.skops", "namespace": "file",
    "outputFacets": {}}], "producer": "https://example.org/pipelines", "run": {"facets": {"tags":
    {"_producer": "https://github.com/OpenLineage/OpenLineage/tree/1.54.0/client/python",
    "_schemaURL": "https://openlineage.io/spec/facets/1-0-0/TagsRunFacet.json#/$defs/TagsRunFacet",
    "tags": [{"key": "openlineage_client_version", "source": "OPENLINEAGE_CLIENT", "value": "1.54.0"}]}},
    "runId": "0197a8a0-1d2c-7f5e-8d3a-7f0f6f6d1c11"},
    "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"}
    """
)
RUN = ReportedRun(
    run="0197a8a0-1d2c-7f5e-8d3a-7f0f6f6d1c11",
    job="pipelines/churn.train",
    step="training",
    state="complete",
    inputs=(
        DatasetRef(
            dataset="s3://lake/churn/2026-11",
            version=f"sha256:{'1' * 64}",
            checks=(
                DataCheck(assertion="not_null", passed=True, column="age"),
                DataCheck(assertion="row_count", passed=False),
            ),
        ),
    ),
    outputs=(DatasetRef(dataset="file/model.skops"),),
)
SAID: dict[str, dict[str, Any]] = {
    "run": {"run": "r1", "job": "train", "step": "training", "state": "start"},
    "evaluation": {
        "of": {"dataset": "holdout", "version": "v3", "checks": [{"assertion": "fresh", "passed": True}]},
        "split": "test",
        "metrics": [{"metric": "auc", "value": 0.91, "slice": "sex=female", "samples": 400}],
    },
    "monitoring": {
        "since": "2025-11-19T00:00:00+01:00",
        "metrics": [{"metric": "latency_p99_ms", "value": 12}],
    },
    "incident": {"incident": "INC-7", "severity": "high", "status": "open", "summary": "wrong\nfor minors"},
}


def cloud_event(kind: str = "incident", **changes: Any) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": "1",
        "source": "https://example.org/pipeline",
        "type": f"placet.report.{kind}.v1",
        "time": "2025-11-20T08:30:00Z",
        "datacontenttype": "application/json",
        "data": SAID[kind],
    } | changes


def lineage(**changes: Any) -> dict[str, Any]:
    return OPENLINEAGE | changes


def read(sent: Any, form: str = PLAIN, about: About = About()) -> list[Report]:  # noqa: B008 - frozen
    return reports_of(read_events(json.dumps(sent).encode(), form, {}), about, NOW)


def mistakes(sent: Any, form: str = PLAIN, about: About = About()) -> list[str]:  # noqa: B008 - frozen
    with pytest.raises(DocumentRefused) as refused:
        read(sent, form, about)
    return [str(problem) for problem in refused.value.problems]


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("run", ReportedRun(run="r1", job="train", step="training", state="start")),
        (
            "evaluation",
            ReportedEvaluation(
                of=DatasetRef(
                    dataset="holdout", version="v3", checks=(DataCheck(assertion="fresh", passed=True),)
                ),
                split="test",
                metrics=(ReportedMetric(metric="auc", value=0.91, slice="sex=female", samples=400),),
            ),
        ),
        (
            "monitoring",
            ReportedMonitoring(
                since="2025-11-18T23:00:00.000Z",
                metrics=(ReportedMetric(metric="latency_p99_ms", value=12.0),),
            ),
        ),
        ("incident", ReportedIncident(incident="INC-7", severity="high", status="open")),
    ],
)
def test_each_of_our_own_types_is_read_as_what_it_says(kind: str, content: Any) -> None:
    [report] = read(cloud_event(kind), SINGLE)
    assert report.content == content
    assert report.at == datetime(2025, 11, 20, 8, 30, tzinfo=UTC)
    assert report.summary == ("wrong\nfor minors" if kind == "incident" else None)


def test_what_the_openlineage_client_posts_is_a_run() -> None:
    [report] = read(OPENLINEAGE)
    assert report.content == RUN
    assert report.at == datetime(2026, 11, 20, 7, 30, 0, 123456, tzinfo=UTC)


@pytest.mark.parametrize("type", ["io.openlineage.run", "io.openlineage.run.v2", "io.openlineage.RunEvent"])
def test_a_run_event_may_be_the_data_of_a_cloud_event(type: str) -> None:
    [report] = read(cloud_event(type=type, data=OPENLINEAGE), SINGLE)
    assert report.content == RUN
    assert report.sent_as == ("cloudevent", "https://example.org/pipeline", "1")


def test_both_may_be_in_one_list() -> None:
    kinds = [
        type(report.content) for report in read([OPENLINEAGE, cloud_event(), cloud_event("run", id="2")])
    ]
    assert kinds == [ReportedRun, ReportedIncident, ReportedRun]


@pytest.mark.parametrize(
    ("facets", "step"),
    [
        ({"placet_step": {"step": "ingestion", "_producer": "x"}}, "ingestion"),
        ({"placet_step": {"step": "verification"}, "jobType": {"jobType": "TRAINING"}}, "verification"),
        ({"jobType": {"jobType": "FEATURE_EXTRACTION", "processingType": "BATCH"}}, "feature-extraction"),
        ({"jobType": {"jobType": "TASK", "integration": "AIRFLOW"}}, "other"),
        ({"jobType": {"processingType": "BATCH"}}, "other"),
        ({"jobType": {"_deleted": True}}, "other"),
        ({"somebodys": {"step": "training"}}, "other"),
        (None, "other"),
    ],
    ids=str,
)
def test_a_step_is_what_a_facet_says_and_never_a_guess(facets: Any, step: str) -> None:
    [report] = read(lineage(job={"namespace": "n", "name": "training", "facets": facets}))
    assert isinstance(report.content, ReportedRun)
    assert report.content.step == step


def test_what_a_facet_no_longer_says_is_not_said() -> None:
    dataset = {"namespace": "n", "name": "d", "facets": {"version": {"_deleted": True}}}
    [report] = read(lineage(inputs=[dataset], outputs=None))
    assert isinstance(report.content, ReportedRun)
    assert report.content.inputs == (DatasetRef(dataset="n/d"),)


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (
            cloud_event(data=SAID["incident"] | {"severity": "awful"}),
            "data.severity: 'awful' is not one of critical, high, low, medium; `placet report --schema incident`",
        ),
        (
            cloud_event(data=SAID["incident"] | {"owner": "Ada"}),
            "data.owner: nobody knows this key; the nearest known one is",
        ),
        (
            cloud_event(data=SAID["incident"] | {"summary": "a\x1b[2J"}),
            "data.summary: is no text without control",
        ),
        (
            cloud_event(data=SAID["incident"] | {"incident": "  "}),
            "data.incident: is no text without control",
        ),
        (
            cloud_event(data=SAID["incident"] | {"incident": "a\n"}),
            "data.incident: is no text without control",
        ),
        (cloud_event(data=[]), "data: a list is not a mapping; known keys are"),
        (
            cloud_event("evaluation", data=SAID["evaluation"] | {"metrics": []}),
            "data.metrics: Expected `array`",
        ),
        (
            cloud_event("monitoring", data=SAID["monitoring"] | {"since": "2025-11-21T00:00:00Z"}),
            "data.since: is later than the event's time",
        ),
        (cloud_event(type="com.example.pushed"), "type: 'com.example.pushed' is no type that is read here"),
        (cloud_event(specversion="0.3"), "specversion: Invalid enum value '0.3'"),
        (cloud_event(time=None), "time: is missing"),
        (cloud_event(time="2026-11-20T08:30:00"), "time: '2026-11-20T08:30:00' is no time in RFC 3339"),
        (cloud_event(time="2026-02-30T08:30:00Z"), "time: '2026-02-30T08:30:00Z' is no time of the years"),
        (cloud_event(time="0001-01-01T00:00:00+02:00"), "is no time of the years"),
        (cloud_event(time="2026-11-27T12:01:01Z"), "has not come yet: here it is 2026-11-27T12:00:00+00:00"),
        (cloud_event(datacontenttype="application/xml"), "datacontenttype: 'application/xml' is not read"),
        ({**cloud_event(data_base64="e30="), "data": None}, "data: nothing is not a mapping; known keys are"),
        ({k: v for k, v in cloud_event().items() if k != "data"}, "data: is missing"),
        ({k: v for k, v in cloud_event().items() if k != "id"}, "Object missing required field `id`"),
        (cloud_event(placetrelease="03"), "placetrelease: is no text"),
        (cloud_event(placetrelease=0), "placetrelease: Expected `int` >= 1"),
        (cloud_event(placetsource="sha256:5"), "placetsource: is no digest"),
        (cloud_event(placetrelease=3, placetsource=SOURCE), "is given together with `placetsource`"),
        (lineage(eventType="DONE"), "eventType: Invalid enum value 'DONE'"),
        (lineage(run={}), "run: Object missing required field `runId`"),
        (lineage(eventTime="yesterday"), "eventTime: 'yesterday' is no time"),
        (lineage(inputs=[{"name": "d"}]), "inputs[0]: Object missing required field `namespace`"),
        (
            lineage(inputs=[{"namespace": "n", "name": "d", "facets": {"version": {"datasetVersion": 3}}}]),
            "inputs[0].facets.version.datasetVersion: Expected `str`, got `int`",
        ),
        (
            lineage(job={"namespace": "n", "name": "d", "facets": {"placet_step": {"step": "cooking"}}}),
            "job.facets.placet_step.step: Invalid enum value 'cooking'",
        ),
        (
            lineage(job={"namespace": "n" * 600, "name": "d" * 600}),
            "job: namespace and name are 1201 characters",
        ),
        ({"eventTime": "2026-11-20T08:30:00Z", "dataset": {}}, "is neither a CloudEvent"),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_what_is_wrong_is_told_by_its_place(sent: dict[str, Any], said: str) -> None:
    [problem] = mistakes(sent)
    assert said in problem


def test_everything_that_is_wrong_in_one_event_is_told() -> None:
    metrics = [{"metric": "auc", "value": 0.9, "samples": "x"}, {"metrc": "auc", "value": "high"}]
    data = {"of": {"dataset": "lake"}, "splt": "test", "metrics": metrics}
    schema = "`placet report --schema evaluation` prints what `data` may have"
    assert mistakes(cloud_event("evaluation", data=data)) == [
        "data.splt: nobody knows this key; the nearest known one is 'split'",
        f"data.metrics[0].samples: 'x' is not a whole number; {schema}",
        "data.metrics[1].metrc: nobody knows this key; the nearest known one is 'metric'",
        f"data.metrics[1].value: 'high' is not a number; {schema}",
    ]


def test_everything_that_is_wrong_in_a_list_is_told() -> None:
    sent = [cloud_event(), cloud_event(id="2", data=[]), 7, lineage(eventType="DONE")]
    places = [problem.split(":")[0] for problem in mistakes(sent, BATCH)]
    assert places == ["[1].data", "[2]", "[3].eventType"]


def test_a_clock_may_be_a_little_ahead() -> None:
    assert read(cloud_event(time=(NOW + timedelta(seconds=60)).isoformat()))


@pytest.mark.parametrize(
    ("body", "form", "said"),
    [
        (b"", PLAIN, "no JSON"),
        (b'{"a": NaN}', PLAIN, "no JSON"),
        (b'{"a": 1e999}', PLAIN, "no JSON"),
        (b'{"a": Infinity}', PLAIN, "no JSON"),
        (b'"\xff"', PLAIN, "no JSON"),
        (b'"\\ud800"', PLAIN, "no JSON"),
        (b"[" * 100_000, PLAIN, "nested too deep"),
        (b"[]", PLAIN, "0 events were sent"),
        (b"[" + b"{}," * MAX_EVENTS + b"{}]", BATCH, f"{MAX_EVENTS + 1} events were sent"),
        (b"[{}]", SINGLE, "one event, which is a JSON object"),
        (b"{}", BATCH, "a list of events"),
        (b"7", PLAIN, "or a list of them"),
        (b"{}", "text/plain", "nothing is read here as 'text/plain'"),
    ],
)
def test_what_cannot_be_read_at_all_is_said_to_be(body: bytes, form: str, said: str) -> None:
    with pytest.raises(Unreadable, match=said.replace("(", r"\(")) as refused:
        read_events(body, form, {})
    assert refused.value.fix


@pytest.mark.parametrize(
    "sent",
    [
        lineage(inputs=[{"namespace": "n", "name": f"d{number}"} for number in range(MAX_DATASETS + 1)]),
        lineage(
            inputs=[
                {
                    "namespace": "n",
                    "name": "d",
                    "inputFacets": {
                        "dataQualityAssertions": {
                            "assertions": [{"assertion": "a", "success": True}] * (MAX_CHECKS + 1)
                        }
                    },
                }
            ]
        ),
        lineage(inputs=[{"namespace": "n" * 400, "name": "d" * 400}] * 80),
        cloud_event(data=SAID["incident"] | {"summary": "a" * 2001}),
        cloud_event("evaluation", data=SAID["evaluation"] | {"metrics": [{"metric": "a", "value": 1}] * 201}),
        cloud_event(
            "evaluation", data=SAID["evaluation"] | {"metrics": [{"metric": "a", "value": 10**25 * 10**300}]}
        ),
        cloud_event(
            "evaluation",
            data=SAID["evaluation"] | {"metrics": [{"metric": "a", "value": 1, "samples": 2**53}]},
        ),
        cloud_event(id="a" * 301),
    ],
    ids=range(8),
)
def test_everything_has_a_bound(sent: dict[str, Any]) -> None:
    assert len(mistakes(sent)) == 1


def test_what_a_report_is_of_is_said_by_the_event_or_by_the_request() -> None:
    of_three, of_source = About(release=3), About(source=SOURCE)
    assert read(cloud_event(), about=of_three)[0].about == of_three
    assert read(cloud_event(placetrelease=3))[0].about == of_three
    assert read(cloud_event(placetrelease="3"), about=of_three)[0].about == of_three
    assert read(cloud_event(placetsource=SOURCE))[0].about == of_source
    assert "of something else" in mistakes(cloud_event(placetrelease=4), about=of_three)[0]


def test_an_event_with_its_attributes_in_headers_is_the_same() -> None:
    whole = cloud_event(placetrelease="3")
    attributes = {name: value for name, value in whole.items() if name != "data"}
    sent = read_events(json.dumps(whole["data"]).encode(), PLAIN, attributes)
    assert reports_of(sent, About(), NOW) == read(whole, SINGLE)


def test_each_kind_has_a_schema_that_says_no_less_than_what_is_read() -> None:
    for kind in DATA:
        schema = schema_of(kind)
        name = schema["$ref"].removeprefix("#/$defs/")
        assert schema["$defs"][name]["additionalProperties"] is False
        assert set(SAID[kind]) == set(schema["$defs"][name]["properties"]) - (
            {"inputs", "outputs"} if kind == "run" else set()
        )


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda below: st.lists(below, max_size=4) | st.dictionaries(st.text(), below, max_size=4),
    max_leaves=12,
)
_WHOLE = st.sampled_from([OPENLINEAGE, *(cloud_event(kind) for kind in DATA)])


@st.composite
def _spoilt(draw: st.DrawFn) -> Any:
    """An event that could be read, with something else at a place in it."""
    event = json.loads(json.dumps(draw(_WHOLE)))
    at: Any = event
    while True:
        key = draw(st.sampled_from(list(at) if isinstance(at, dict) else range(len(at))))
        below = at[key]
        if not isinstance(below, dict | list) or not below or draw(st.booleans()):
            at[key] = draw(_VALUES)
            return event
        at = below


@given(
    st.one_of(_VALUES, _spoilt(), st.lists(_spoilt(), min_size=1, max_size=3)),
    st.sampled_from([SINGLE, BATCH, PLAIN]),
)
def test_any_json_is_typed_reports_or_an_error_that_says_why(sent: Any, form: str) -> None:
    try:
        reports = reports_of(read_events(msgspec.json.encode(sent), form, {}), About(), NOW)
    except PlacetError:
        return
    for report in reports:
        assert isinstance(
            report.content, ReportedRun | ReportedEvaluation | ReportedMonitoring | ReportedIncident
        )
        msgspec.convert(msgspec.to_builtins(report.content), type(report.content))
