"""What Prometheus reads of a service: how it stands now, and what it did since it was started."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from fastapi import APIRouter
from placet.errors import Unavailable
from placet.events.http import http_app
from placet.events.jobs import Finish, Job, JobRunner, Worker
from placet.events.metrics import Measure, Samples, disk
from placet.events.reaction import ByType
from placet.events.service import Service, ServiceRunner
from placet.events.unit_of_work import UnitOfWork, transact
from placet.events.wiring import Wiring
from prometheus_client.parser import text_string_to_metric_families

from tests.support.eventually import eventually
from tests.unit.events.harness import CONTEXT, FatefulStore, ThingKept, running
from tests.unit.events.test_jobs import LEASE, LOOK_EVERY, Build, Building, enqueue, keep

Labels = frozenset[tuple[str, str]]
Read = dict[Labels, float]


def of(**labels: str) -> Labels:
    return frozenset(labels.items())


TESTER = of(service="tester")


class Away(FatefulStore):
    async def rows(
        self, query: sa.Select[Any], values: Mapping[str, Any] | None = None
    ) -> Sequence[sa.Row[Any]]:
        raise Unavailable("the database is away")


def service(wiring: Wiring, *measures: Measure) -> ServiceRunner:
    router = APIRouter()

    @router.get("/things/{name}")
    async def thing(name: str) -> str:
        return name

    return ServiceRunner(
        Service(
            name="tester",
            wiring=wiring,
            hears=frozenset(),
            reaction=ByType({}),
            says=(),
            measures=measures,
            routers=lambda: [router],
        )
    )


async def scraped(runner: ServiceRunner, *paths: str) -> dict[str, Read]:
    """The samples of `/metrics` after some requests, by name and then by the values of labels."""
    transport = httpx.ASGITransport(
        http_app("placet tester", [runner], version="1"), raise_app_exceptions=False
    )
    async with httpx.AsyncClient(transport=transport, base_url="http://tester") as client:
        for path in paths:
            await client.get(path)
        answer = await client.get("/metrics")
    assert answer.status_code == 200
    found: dict[str, Read] = {}
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[frozenset(sample.labels.items())] = sample.value
    return found


async def test_a_service_tells_how_it_stands(wiring: Wiring) -> None:
    async def answer() -> Samples:
        return [(("north",), 42.0)]

    found = await scraped(
        service(wiring, Measure(name="placet_things", help="things", labels=("side",), read=answer))
    )
    assert found["placet_things"] == {of(service="tester", side="north"): 42.0}
    for name in ("placet_ready", "placet_leads", "placet_outbox_backlog", "placet_parked"):
        assert found[name] == {TESTER: 0.0}
    assert found["process_resident_memory_bytes"][of()] > 0


async def test_what_is_not_known_is_left_out_and_the_rest_is_told(wiring: Wiring) -> None:
    async def away() -> Samples:
        raise Unavailable("the database is away")

    found = await scraped(service(wiring, Measure(name="placet_things", help="things", read=away)))
    assert "placet_things" not in found
    assert "placet_ready" in found

    found = await scraped(service(replace(wiring, store=Away(wiring.store))))
    assert "placet_parked" not in found
    assert "placet_ready" in found


async def test_a_folder_that_is_not_there_yet_is_on_the_disk_of_the_one_above(
    wiring: Wiring, tmp_path: Path
) -> None:
    """Or a platform that has built nothing yet would tell nothing at all."""
    there = (await scraped(service(wiring, disk(tmp_path))))["placet_disk_bytes"]
    later = (await scraped(service(wiring, disk(tmp_path / "made" / "later"))))["placet_disk_bytes"]
    assert later.keys() == there.keys() == {of(service="tester", state=each) for each in ("total", "free")}
    total = of(service="tester", state="total")
    assert later[total] == there[total] > 0


async def test_a_disk_that_says_nothing_is_left_out(wiring: Wiring, tmp_path: Path) -> None:
    found = await scraped(service(wiring, disk(tmp_path / ("n" * 300))))
    assert "placet_disk_bytes" not in found
    assert "placet_ready" in found


def request(route: str, status: str) -> Labels:
    return of(http_request_method="GET", http_route=route, http_response_status_code=status)


async def test_requests_are_counted_by_route_and_never_by_what_somebody_makes_up(wiring: Wiring) -> None:
    name = "http_server_request_duration_seconds_count"
    runner = service(wiring)
    before = (await scraped(runner))[name]
    after = (await scraped(runner, "/things/one", "/things/two", "/made-up/1", "/made-up/2"))[name]
    added = {labels: value - before.get(labels, 0.0) for labels, value in after.items()}
    assert added[request("/things/{name}", "200")] == 2
    assert added[request("", "404")] == 2
    assert not [labels for labels in after if any("made-up" in value for _, value in labels)]


async def test_a_job_is_counted_with_how_it_ended(wiring: Wiring) -> None:
    async def run(job: Job[Build]) -> Finish:
        if job.attempts == 0:
            raise Unavailable("the registry is away", retry_after=0.0)
        return keep("done")

    before = (await scraped(service(wiring))).get("placet_job_seconds_count", {})
    await enqueue(wiring, "churn")
    worker = Worker(kind="build", payload=Build, run=run, gave_up=Building().gave_up)
    async with running(
        JobRunner("tester", wiring, worker, owner="one", lease=LEASE, look_every=LOOK_EVERY).run()
    ):

        async def both() -> bool:
            now = (await scraped(service(wiring))).get("placet_job_seconds_count", {})
            ends = [of(service="tester", kind="build", outcome=outcome) for outcome in ("retry", "done")]
            return [now.get(end, 0.0) - before.get(end, 0.0) for end in ends] == [1.0, 1.0]

        await eventually(both)


async def test_jobs_that_wait_are_told_with_how_often_they_were_tried(wiring: Wiring) -> None:
    await enqueue(wiring, "churn")
    found = await scraped(service(wiring))
    assert found["placet_jobs"] == {of(service="tester", kind="build", state="waiting"): 1.0}
    assert found["placet_job_attempts"] == {of(service="tester", kind="build"): 0.0}


async def test_what_counts_is_done_once_after_the_commit(wiring: Wiring) -> None:
    counted: list[str] = []

    async def change(work: UnitOfWork) -> None:
        work.once_committed(lambda: counted.append("counted"))
        await work.history("thing/1")
        work.stage("thing/1", [ThingKept(text="here")])

    store = FatefulStore(wiring.store, ["lost"])
    with pytest.raises(Unavailable):
        await transact(replace(wiring, store=store), "tester", CONTEXT, change)
    assert counted == []
    await transact(wiring, "tester", CONTEXT, change)
    assert counted == ["counted"]
