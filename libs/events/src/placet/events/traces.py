"""Traces out of a process, by OpenTelemetry, where somebody said where they go.

`OTEL_EXPORTER_OTLP_ENDPOINT` turns traces on, with OpenTelemetry's other variables beside it. One operation is one
trace then: from the request that asked for it over each service that hears of it (events carry `traceparent`,
CloudEvents' extension for that, and messages of a broker have it as a header) to databases, registries and models
that are asked on the way. Where it is not set, nothing of this is loaded.

Databases have a span for each question at the store's port and none for each statement: what waits is a unit, which
shares its transaction with others.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from opentelemetry import context, propagate, trace
from sqlalchemy import Row, Select, Table
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from placet.errors import Unavailable
from placet.events.envelope import Recorded
from placet.events.store import EVENTS, PAGE, EventStore, Head, Unit

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.sampling import Sampler

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
# Asked every few seconds by machines, which nobody looks for in a trace.
_NOT_TRACED = frozenset({"/livez", "/readyz", "/metrics"})


def after(traceparent: str | None) -> context.Context | None:
    """The W3C trace context that an event or a job carries, to begin a span in; None for none."""
    return propagate.extract({"traceparent": traceparent}) if traceparent else None


def link_to(traceparent: str | None) -> trace.Link | None:
    """To the span of what is handled together with another."""
    found = trace.get_current_span(after(traceparent) or context.Context()).get_span_context()
    return trace.Link(found) if found.is_valid else None


def is_traced(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether somebody said where traces go."""
    is_off = environment.get("OTEL_SDK_DISABLED", "").lower() == "true"
    is_off |= environment.get("OTEL_TRACES_EXPORTER", "").lower() == "none"
    return not is_off and any(environment.get(name) for name in ENDPOINTS)


def trace_this_process(name: str, version: str) -> Callable[[], None]:
    """Have spans of the process go where the environment says, if it says so. Returns what sends the last ones."""
    if not is_traced():
        return lambda: None
    # The names of attributes that are settled; who wants the older ones beside them says so.
    os.environ.setdefault("OTEL_SEMCONV_STABILITY_OPT_IN", "http")
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.instrumentation.aiohttp_client import AioHttpClientInstrumentor
    from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    named = {"service.namespace": "placet", "service.name": name, "service.version": version}
    # OTEL_RESOURCE_ATTRIBUTES and OTEL_SERVICE_NAME count more.
    said = OTELResourceDetector().detect().attributes
    provider = TracerProvider(
        resource=Resource.create({key: value for key, value in named.items() if key not in said})
    )
    provider.sampler = not_lonely(provider.sampler)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    for instrumentor in (HTTPXClientInstrumentor, AioHttpClientInstrumentor):
        instrumentor().instrument(tracer_provider=provider)
    return provider.shutdown


def not_lonely(sampler: Sampler) -> Sampler:
    """`sampler`, but for what nobody's request or event led to: probes and looks for work, by the second."""
    from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult

    class NotLonely(Sampler):
        def should_sample(
            self,
            parent_context: Any,
            trace_id: int,
            name: str,
            kind: trace.SpanKind | None = None,
            *arguments: Any,
            **options: Any,
        ) -> SamplingResult:
            of = trace.get_current_span(parent_context).get_span_context()
            if kind not in (trace.SpanKind.SERVER, trace.SpanKind.CONSUMER) and not of.is_valid:
                return SamplingResult(Decision.DROP)
            return sampler.should_sample(parent_context, trace_id, name, kind, *arguments, **options)

        def get_description(self) -> str:
            return f"NotLonely{{{sampler.get_description()}}}"

    return NotLonely()


def traced(app: ASGIApp, provider: TracerProvider | None = None) -> ASGIApp:
    """`app`, with a span for each request, which goes on with the caller's trace. Where nothing is traced: `app`."""
    if provider is None and not is_traced():
        return app
    from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware

    async def named(scope: Scope, receive: Receive, send: Send) -> None:
        """By what is asked for, not by whose: names of spans are counted."""
        span = trace.get_current_span()

        async def begin(message: Message) -> None:
            # Who answers is known by now, and the span ends with the answer's last piece.
            if message["type"] == "http.response.start" and (template := route_of(scope)) is not None:
                span.update_name(f"{scope['method']} {template}")
                span.set_attribute("http.route", template)
            await send(message)

        await app(scope, receive, begin)

    with_spans: ASGIApp = OpenTelemetryMiddleware(
        named,
        default_span_details=lambda scope: (scope.get("method", scope["type"]), {}),
        tracer_provider=provider,
        exclude_spans=["receive", "send"],  # a stream has one for each piece of it
    )

    async def looking(scope: Scope, receive: Receive, send: Send) -> None:
        await (app if scope.get("path") in _NOT_TRACED else with_spans)(scope, receive, send)

    return looking


def route_of(scope: Scope) -> str | None:
    """The path's template, of a request that was answered; None where nothing answers there."""
    if scope["type"] != "http":
        return None
    path: str | None = getattr(scope.get("route"), "path", None) or scope.get("mounted")
    return path


class TracedStore:
    """A store whose callers see in their trace how long they waited for it. Who has no trace has no span."""

    def __init__(self, store: EventStore, tracer: trace.Tracer, *, system: str, namespace: str) -> None:
        self._store = store
        self.committed = store.committed
        self._tracer = tracer
        self._attributes = {"db.system.name": system, "db.namespace": namespace}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)  # what an adapter can do beyond the port

    async def commit(self, unit: Unit) -> tuple[Recorded[Any], ...]:
        with self._span("commit") as span:
            recorded = await self._store.commit(unit)
            if recorded:
                span.set_attribute("placet.events", [each.event.type for each in recorded])
                span.set_attribute("placet.position", recorded[-1].position)
            return recorded

    async def read(self, stream: str, *, after: int = 0, log: str = EVENTS) -> list[Recorded[Any]]:
        with self._span("read", log):
            return await self._store.read(stream, after=after, log=log)

    async def read_many(
        self, streams: Collection[str], *, log: str = EVENTS
    ) -> dict[str, list[Recorded[Any]]]:
        with self._span("read", log):
            return await self._store.read_many(streams, log=log)

    async def read_all(
        self, after: int, limit: int, *, log: str = EVENTS, sealed: bool = False
    ) -> list[Recorded[Any]]:
        with self._span("read", log):
            return await self._store.read_all(after, limit, log=log, sealed=sealed)

    def replay(
        self, after: int = 0, *, limit: int = PAGE, log: str = EVENTS
    ) -> AsyncGenerator[list[Recorded[Any]], None]:
        return self._store.replay(after, limit=limit, log=log)

    async def head(self, log: str = EVENTS) -> Head:
        with self._span("head", log):
            return await self._store.head(log)

    async def epochs(self, log: str = EVENTS) -> list[Head]:
        return await self._store.epochs(log)

    async def begin_epoch(self, log: str = EVENTS) -> Head:
        return await self._store.begin_epoch(log)

    async def rows(self, query: Select[Any], values: Mapping[str, Any] | None = None) -> Sequence[Row[Any]]:
        with self._span("select") as span:
            if span.is_recording():
                tables = (getattr(each, "name", None) for each in query.get_final_froms())
                span.set_attribute("db.collection.name", ", ".join(name for name in tables if name))
            found = await self._store.rows(query, values)
            span.set_attribute("db.response.returned_rows", len(found))
            return found

    async def scrub(self, tables: Sequence[Table]) -> bool:
        return await self._store.scrub(tables)

    async def close(self) -> None:
        await self._store.close()

    @contextmanager
    def _span(self, operation: str, log: str | None = None) -> Iterator[trace.Span]:
        if not trace.get_current_span().is_recording():
            yield trace.INVALID_SPAN
            return
        named = (
            self._attributes | {"db.operation.name": operation} | ({"db.collection.name": log} if log else {})
        )
        # What is refused or came second is an ordinary answer; that nobody answers is not.
        with self._tracer.start_as_current_span(
            f"{operation} {self._attributes['db.namespace']}",
            kind=trace.SpanKind.CLIENT,
            attributes=named,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield span
            except Unavailable as error:
                span.set_status(trace.StatusCode.ERROR, str(error))
                raise
