"""A line of a log says of whose work it is, and one of JSON is one line whatever was logged."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from placet.events.jobs import Finish, Job, JobRunner, Worker
from placet.events.logs import JsonLines, working_for
from placet.events.unit_of_work import UnitOfWork, transact
from placet.events.wiring import Wiring

from tests.support.eventually import eventually
from tests.unit.events.harness import CONTEXT, running
from tests.unit.events.test_jobs import LEASE, LOOK_EVERY, Build, Building, enqueue, keep

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """What the logger `placet.tried` writes, as a service with JSON logs does."""
    lines = io.StringIO()
    handler = logging.StreamHandler(lines)
    handler.setFormatter(JsonLines("indexer"))
    tried = logging.getLogger("placet.tried")
    tried.addHandler(handler)
    tried.setLevel(logging.INFO)
    yield lines
    tried.removeHandler(handler)


def log_lines(written: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in written.getvalue().splitlines()]


def test_a_line_is_an_object_whatever_is_in_it(written: io.StringIO) -> None:
    log = logging.getLogger("placet.tried")
    log.info("%s\nand %s", "ä", '"\x00\u2028')
    try:
        int("no\nway")
    except ValueError:
        log.exception("it failed")
    said, failed = log_lines(written)
    assert said.pop("time").endswith("+00:00")
    assert said == {
        "level": "info",
        "service": "indexer",
        "logger": "placet.tried",
        "message": 'ä\nand "\x00\u2028',
    }
    assert (failed["level"], failed["message"]) == ("error", "it failed")
    assert failed["error"].splitlines()[0] == "Traceback (most recent call last):"
    assert "operation" not in failed


def test_what_is_logged_meanwhile_is_of_an_operation_and_a_trace(written: io.StringIO) -> None:
    log = logging.getLogger("placet.tried")
    tracer = TracerProvider().get_tracer("tried")
    with working_for(CONTEXT), tracer.start_as_current_span("build") as span:
        log.info("inside")
    log.info("outside")
    inside, outside = log_lines(written)
    assert (inside["project"], inside["operation"]) == ("churn", "operation-1")
    assert inside["trace"] == f"{span.get_span_context().trace_id:032x}"
    assert inside["span"] == f"{span.get_span_context().span_id:016x}"
    assert not {"project", "operation", "trace", "span"} & outside.keys()


async def test_a_job_logs_for_its_operation_and_goes_on_with_its_trace(
    wiring: Wiring, written: io.StringIO
) -> None:
    spans = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))

    async def run(job: Job[Build]) -> Finish:
        logging.getLogger("placet.tried").info("building %s", job.payload.what)
        return keep("done")

    async def change(work: UnitOfWork) -> None:
        work.enqueue("build", "churn", Build(what="churn"))

    await transact(wiring, "tester", msgspec.structs.replace(CONTEXT, traceparent=PARENT), change)
    traced = replace(wiring, tracer=provider.get_tracer("tried"))
    worker = Worker(kind="build", payload=Build, run=run, gave_up=Building().gave_up)
    async with running(
        JobRunner("tester", traced, worker, owner="one", lease=LEASE, look_every=LOOK_EVERY).run()
    ):
        await eventually(spans.get_finished_spans)
    [span] = spans.get_finished_spans()
    assert (span.name, f"{span.context.trace_id:032x}") == ("tester build", TRACE)
    assert span.attributes == {
        "placet.project": "churn",
        "placet.operation": "operation-1",
        "placet.job": "churn",
        "placet.attempt": 1,
    }
    [line] = log_lines(written)
    assert (line["operation"], line["trace"], line["message"]) == ("operation-1", TRACE, "building churn")


async def test_a_job_that_nobody_traces_has_no_parent(wiring: Wiring) -> None:
    spans = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    await enqueue(wiring, "churn")
    traced = replace(wiring, tracer=provider.get_tracer("tried"))
    building = Building().worker()
    async with running(
        JobRunner("tester", traced, building, owner="one", lease=LEASE, look_every=LOOK_EVERY).run()
    ):
        await eventually(spans.get_finished_spans)
    assert spans.get_finished_spans()[0].parent is None


@pytest.mark.parametrize("format", ["text", "json"])
def test_a_service_logs_as_it_is_told(format: str) -> None:
    """Which ends at once: it may not reach the database that it is given."""
    done = subprocess.run(
        [sys.executable, "-m", "placet.indexer", "--parked"],
        env={
            **os.environ,
            "PLACET_LOG_FORMAT": format,
            "PLACET_LOG_LEVEL": "debug",
            "PLACET_AMQP_URL": "amqp://nobody@127.0.0.1:9/",
            "PLACET_DATABASE_URL": "postgresql://nobody@127.0.0.1:9/none",
            "PLACET_REGISTRY": "http://127.0.0.1:9",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    logged = [line for line in done.stderr.splitlines() if "asyncio" in line]
    assert logged
    assert [line.startswith("{") for line in logged] == [format == "json"] * len(logged)
