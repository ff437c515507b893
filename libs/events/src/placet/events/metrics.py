"""What a process counts, and what is read from its services when somebody asks, for Prometheus.

Counted here is what has a duration: requests, events that were handled, jobs. All else is read from where it is kept
when `/metrics` is asked for, so that it is right after a restart, too. Replicas all tell what their common database
says: take the `max` of them, not the sum.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import sqlalchemy as sa
from prometheus_client import (
    CollectorRegistry,
    Histogram,
    ProcessCollector,
    Summary,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from placet.errors import Unavailable
from placet.events import tables
from placet.events.codec import moment
from placet.events.leases import shared_now
from placet.events.outcome import Done, Outcome, Park
from placet.events.parked import count_parked
from placet.events.traces import route_of

if TYPE_CHECKING:
    from placet.events.service import ServiceRunner

MEDIA_TYPE = CONTENT_TYPE_LATEST

_REQUEST_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_WORK_SECONDS = (0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0)

# Named as OpenTelemetry names it, so that dashboards for any server fit.
REQUESTS = Histogram(
    "http_server_request_duration_seconds",
    "from a request's head to its answer's end",
    ("http_request_method", "http_route", "http_response_status_code"),
    buckets=_REQUEST_SECONDS,
    registry=None,
)
HANDLED = Summary(
    "placet_handle_seconds",
    "an event that was handled, with others of its lane that were committed together",
    ("service", "type", "outcome"),
    registry=None,
)
WORKED = Histogram(
    "placet_job_seconds",
    "one run of a job: a build, a start, an examination",
    ("service", "kind", "outcome"),
    buckets=_WORK_SECONDS,
    registry=None,
)
_COUNTED: tuple[Collector, ...] = (REQUESTS, HANDLED, WORKED)

Samples = Iterable[tuple[Sequence[str], float]]
"""Values, each with those of its labels."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Measure:
    """Something that a service tells of itself. `read` gives the values of all `labels`; every one has `service` beside
    them. It raises Unavailable where that is not known at the moment, and is left out then."""

    name: str
    help: str
    labels: tuple[str, ...] = ()
    read: Callable[[], Awaitable[Samples]]


def outcome_of(outcome: Outcome) -> Literal["done", "retry", "park"]:
    """As a label."""
    if isinstance(outcome, Done):
        return "done"
    return "park" if isinstance(outcome, Park) else "retry"


class Exposition:
    """`/metrics` of a process: of one service, or of all that are embedded."""

    def __init__(self, runners: Sequence[ServiceRunner]) -> None:
        self._runners = runners
        self._registry = CollectorRegistry()
        for each in _COUNTED:
            self._registry.register(each)
        self._registry.register(_Counted([each for runner in runners for each in runner.service.counts]))
        ProcessCollector(registry=self._registry)

    async def text(self) -> bytes:
        read = CollectorRegistry()
        read.register(_Read(await _families(self._runners)))
        return generate_latest(self._registry) + generate_latest(read)


class _Counted(Collector):
    """What services count. What several of them count by one name is one family: Prometheus takes no second one."""

    def __init__(self, counts: Sequence[Collector]) -> None:
        self._counts = counts

    def collect(self) -> Iterable[Metric]:
        found: dict[str, Metric] = {}
        for family in (family for each in self._counts for family in each.collect()):
            if (first := found.setdefault(family.name, family)) is not family:
                first.samples.extend(family.samples)
        return found.values()


class _Read(Collector):
    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


async def _families(runners: Sequence[ServiceRunner]) -> list[Metric]:
    found: dict[str, GaugeMetricFamily] = {}
    for runner in runners:
        for measure in (*_of_every_service(runner), *runner.service.measures):
            family = found.get(measure.name)
            if family is None:
                family = found[measure.name] = GaugeMetricFamily(
                    measure.name, measure.help, labels=("service", *measure.labels)
                )
            try:
                samples = await measure.read()
            except Unavailable:
                continue
            for labels, value in samples:
                family.add_metric((runner.service.name, *labels), value)
    return list(found.values())


def _of_every_service(runner: ServiceRunner) -> Iterator[Measure]:
    store, clock = runner.service.wiring.store, runner.service.wiring.clock

    def known(name: str, help: str, value: Callable[[], float]) -> Measure:
        async def read() -> Samples:
            return [((), value())]

        return Measure(name=name, help=help, read=read)

    yield known(
        "placet_ready",
        "1 where nothing keeps the service from its work",
        lambda: float(runner.is_started and runner.impediment is None),
    )
    yield known("placet_leads", "1 on the replica that hears and publishes", lambda: runner.is_leading)
    yield known(
        "placet_outbox_backlog",
        "events committed and not yet confirmed by the broker",
        lambda: runner.outbox_backlog,
    )
    yield known(
        "placet_inbox_pending",
        "messages received and not yet handled or parked",
        lambda: runner.inbox_pending,
    )
    yield known("placet_jobs_running", "leased jobs in this process", lambda: runner.jobs_running)

    async def behind() -> Samples:
        return [((producer,), lag) for producer, lag in runner.inbox_lag.items()]

    yield Measure(
        name="placet_inbox_behind",
        help="positions a producer is known to have that have not arrived",
        labels=("producer",),
        read=behind,
    )

    async def hampered() -> Samples:
        return [((what,), 1.0) for what in runner.hampered]

    yield Measure(
        name="placet_hampered",
        help="1 for what could not be done the last time since something is away; /readyz says what",
        labels=("what",),
        read=hampered,
    )

    async def outbox_age() -> Samples:
        """Of the leader: it alone knows how far was sent."""
        if (sent := runner.outbox_sent) is None:
            return []
        oldest = await store.read_all(sent, 1, sealed=True)
        return [((), (clock.now() - moment(oldest[0].event.time)).total_seconds() if oldest else 0.0)]

    yield Measure(
        name="placet_outbox_age_seconds",
        help="since when the oldest event waits that the broker has not confirmed",
        read=outbox_age,
    )

    async def parked() -> Samples:
        return [((), await count_parked(store))]

    yield Measure(
        name="placet_parked", help="messages that were put aside, and wait for a person", read=parked
    )

    async def inbox_age() -> Samples:
        waiting = tables.inbox.c.state != "parked"
        (row,) = await store.rows(
            sa.select(sa.func.min(tables.inbox.c.received_at).label("at")).where(waiting)
        )
        return [((), 0.0 if row.at is None else max(0.0, clock.now().timestamp() - row.at))]

    yield Measure(
        name="placet_inbox_age_seconds",
        help="since when the oldest message waits that is neither handled nor parked",
        read=inbox_age,
    )

    async def jobs() -> Samples:
        now = shared_now(clock.now())
        kind, leased = tables.jobs.c.kind, tables.jobs.c.leased_until > now
        counted = await store.rows(
            sa.select(kind, leased.label("leased"), sa.func.count().label("many")).group_by(kind, "leased")
        )
        kinds = {worker.kind for worker in runner.service.workers}
        values = {(each, state): 0.0 for each in sorted(kinds) for state in ("waiting", "leased")}
        values |= {(row.kind, "leased" if row.leased else "waiting"): float(row.many) for row in counted}
        return list(values.items())

    yield Measure(
        name="placet_jobs",
        help="long work that was asked for and is not over",
        labels=("kind", "state"),
        read=jobs,
    )

    async def attempts() -> Samples:
        of = sa.func.max(tables.jobs.c.attempts).label("most")
        rows = await store.rows(sa.select(tables.jobs.c.kind, of).group_by(tables.jobs.c.kind))
        return [((row.kind,), row.most) for row in rows]

    yield Measure(
        name="placet_job_attempts",
        help="how often the most often tried of the jobs that are not over was tried",
        labels=("kind",),
        read=attempts,
    )

    async def lag() -> Samples:
        return [((each.name,), each.lag) for each in await runner.projections()]

    async def beat() -> Samples:
        return [
            ((each.name,), each.beat_age) for each in await runner.projections() if each.beat_age is not None
        ]

    if runner.service.projections:
        yield Measure(
            name="placet_projection_lag",
            help="events that a projection has not shown yet",
            labels=("projection",),
            read=lag,
        )
        yield Measure(
            name="placet_projection_beat_age_seconds",
            help="since a projection gave its last sign of life",
            labels=("projection",),
            read=beat,
        )


def disk(folder: Path) -> Measure:
    """Of who keeps files there: layers, caches, unpacked images."""

    async def read() -> Samples:
        try:
            usage = await asyncio.to_thread(_usage, folder)
        except OSError as error:
            raise Unavailable(f"the disk of {folder} tells nothing: {error}") from error
        return [(("total",), float(usage.total)), (("free",), float(usage.free))]

    return Measure(
        name="placet_disk_bytes",
        help="of the disk that the service keeps its files on",
        labels=("state",),
        read=read,
    )


def _usage(folder: Path) -> Any:
    """A folder that is made with the first file in it is on the disk of the one above."""
    there = next((each for each in (folder, *folder.absolute().parents) if each.exists()), folder)
    return shutil.disk_usage(there)


def measured(app: ASGIApp) -> ASGIApp:
    """`app`, whose requests are counted by route and status."""

    async def counted(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        status = 500  # of one whose answer was never begun
        began = time.perf_counter()

        async def begin(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await app(scope, receive, begin)
        except asyncio.CancelledError:
            status = 499 if status == 500 else status  # who asked has left
            raise
        finally:
            # What nobody answers is one route: whoever makes names up makes no series of them.
            method = scope["method"] if scope["method"] in _METHODS else "_OTHER"
            REQUESTS.labels(method, route_of(scope) or "", str(status)).observe(time.perf_counter() - began)

    return counted


_METHODS: Mapping[str, None] = dict.fromkeys(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
