"""What is in a trace: whoever asked, what was waited for, and nothing that nobody asked for."""

from __future__ import annotations

from dataclasses import replace

import httpx
import pytest
import sqlalchemy as sa
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import SpanKind, StatusCode, Tracer
from placet.errors import Conflict, Unavailable
from placet.events.store import Append, Unit
from placet.events.traces import TracedStore, after, is_traced, link_to, not_lonely, traced
from placet.events.unit_of_work import UnitOfWork, transact
from placet.events.wiring import Wiring
from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send

from tests.unit.events.harness import CONTEXT, FatefulStore, ThingKept, kept, seal

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"


@pytest.fixture
def spans() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def provider(spans: InMemorySpanExporter) -> TracerProvider:
    provider = TracerProvider(sampler=not_lonely(ALWAYS_ON))
    provider.add_span_processor(SimpleSpanProcessor(spans))
    return provider


@pytest.fixture
def tracer(provider: TracerProvider) -> Tracer:
    return provider.get_tracer("tried")


@pytest.fixture
def seen(wiring: Wiring, tracer: Tracer) -> Wiring:
    """Wiring whose store is traced."""
    store = TracedStore(wiring.store, tracer, system="sqlite", namespace="tester")
    return replace(wiring, store=store, tracer=tracer)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318/v1/traces"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "OTEL_SDK_DISABLED": "TRUE"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "OTEL_TRACES_EXPORTER": "none"}, False),
    ],
)
def test_traces_go_where_somebody_said(environment: dict[str, str], expected: bool) -> None:
    assert is_traced(environment) is expected


async def keep(work: UnitOfWork) -> None:
    await work.history("thing/1")
    work.stage("thing/1", [ThingKept(text="here")])
    work.put(kept, number=1, place="here")


async def test_who_waits_for_the_database_sees_it(
    seen: Wiring, tracer: Tracer, spans: InMemorySpanExporter
) -> None:
    with tracer.start_as_current_span("asking", context=after(PARENT)) as asking:
        await transact(seen, "tester", CONTEXT, keep)
        assert await seen.store.rows(sa.select(kept.c.number)) == [(1,)]
    read, commit, select, _ = spans.get_finished_spans()
    assert [each.name for each in (read, commit, select)] == [
        "read tester",
        "commit tester",
        "select tester",
    ]
    for each in (read, commit, select):
        assert each.kind is SpanKind.CLIENT
        assert each.parent == asking.get_span_context()
        assert each.attributes is not None
        assert each.attributes["db.system.name"] == "sqlite"
    assert commit.attributes is not None
    assert commit.attributes["placet.events"] == ("placet.tester.thing.kept.v1",)
    assert commit.attributes["placet.position"] == 1
    assert select.attributes is not None
    assert select.attributes["db.collection.name"] == "kept"


async def test_what_nobody_asked_for_has_no_trace(seen: Wiring, spans: InMemorySpanExporter) -> None:
    await transact(seen, "tester", CONTEXT, keep)
    await seen.store.head()
    assert spans.get_finished_spans() == ()


def test_what_nobody_led_to_is_dropped(tracer: Tracer, spans: InMemorySpanExporter) -> None:
    for kind in (SpanKind.CLIENT, SpanKind.INTERNAL):
        with tracer.start_as_current_span("looking for work", kind=kind):
            pass
    with (
        tracer.start_as_current_span("asked", kind=SpanKind.SERVER),
        tracer.start_as_current_span("asking on", kind=SpanKind.CLIENT),
    ):
        pass
    assert [each.name for each in spans.get_finished_spans()] == ["asking on", "asked"]


async def test_that_nobody_answers_is_an_error_and_that_somebody_was_first_is_none(
    wiring: Wiring, tracer: Tracer, spans: InMemorySpanExporter
) -> None:
    away = TracedStore(FatefulStore(wiring.store, ["lost"]), tracer, system="sqlite", namespace="tester")
    with tracer.start_as_current_span("asking", kind=SpanKind.SERVER):
        with pytest.raises(Unavailable, match="the database is away"):
            await transact(replace(wiring, store=away), "tester", CONTEXT, keep)
        there = TracedStore(wiring.store, tracer, system="sqlite", namespace="tester")
        await transact(replace(wiring, store=there), "tester", CONTEXT, keep)
        late = Append(stream="thing/1", expected=0, events=(seal(ThingKept(text="late"), "late"),))
        with pytest.raises(Conflict):
            await there.commit(Unit(appends=(late,)))
    codes = [each.status.status_code for each in spans.get_finished_spans() if each.name == "commit tester"]
    assert codes == [StatusCode.ERROR, StatusCode.UNSET, StatusCode.UNSET]


def test_what_is_handled_together_is_linked() -> None:
    link = link_to(PARENT)
    assert link is not None
    assert f"{link.context.trace_id:032x}" == TRACE
    assert link_to(None) is None
    assert link_to("nonsense") is None


async def test_a_request_goes_on_with_its_callers_trace_and_is_named_by_its_route(
    provider: TracerProvider, spans: InMemorySpanExporter
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope["mounted"] = "/models/{path}"
        await Starlette()(scope, receive, send)

    transport = httpx.ASGITransport(app=traced(app, provider))
    async with httpx.AsyncClient(transport=transport, base_url="http://placet") as http:
        await http.get("/models/churn/predict", headers={"traceparent": PARENT})
        await http.get("/livez")
    [span] = spans.get_finished_spans()
    assert span.name == "GET /models/{path}"
    assert f"{span.context.trace_id:032x}" == TRACE


def test_a_process_that_nobody_traces_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    app = Starlette()
    assert traced(app) is app
