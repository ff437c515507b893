"""What is reported is kept for the release that it is of, and rules see as much of it as is whole."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Sequence
from pathlib import Path
from typing import Any

import pytest
from placet.certifier import queries
from placet.certifier.bootstrap import build
from placet.certifier.projections import TABLES, reports
from placet.certifier.queries import HeardReports
from placet.certifier.reports import MOST_REPORTS
from placet.certifier.settings import CertifierSettings
from placet.errors import Unreadable
from placet.events import Service, Wiring
from placet.events.contracts.gateway import MetadataReported
from placet.events.contracts.shapes import DatasetRef, ReportedIncident, ReportedMonitoring, ReportedRun
from placet.events.testing import changed

from tests.unit.gateway.roads import SOURCE, cleared
from tests.unit.hearing import Alone, alone

RELEASE = cleared()


@pytest.fixture
async def certifier(tmp_path: Path) -> AsyncIterator[Alone]:
    settings = CertifierSettings(registry=str(tmp_path), signing_key=tmp_path / "key.pem")

    def put_together(wiring: Wiring) -> Awaitable[Service]:
        return build(settings, wiring)

    async with alone("certifier", tmp_path, put_together, tables=(TABLES,)) as service:
        yield service


def told(number: int, name: str = "run:1", *, inputs: Sequence[str] = (), **about: Any) -> MetadataReported:
    return MetadataReported(
        **{
            "report": f"report:{number}",
            "project": "churn",
            "release": None,
            "source": None,
            "at": f"2026-01-01T{number // 60:02}:{number % 60:02}:00+00:00",
            "reported_by": "person:ada",
            "run": ReportedRun(
                run=name,
                job="train",
                step="training",
                state="complete",
                inputs=tuple(DatasetRef(dataset=each, version="1") for each in inputs),
            ),
            **about,
        }
    )


async def seen(certifier: Alone, **of: Any) -> Any:
    reports = HeardReports(certifier.wiring.store)
    return await reports.of_release(changed(RELEASE, **of), certifier.clock.now())


async def test_runs_of_the_project_the_release_and_the_source_are_seen_and_of_no_other(
    certifier: Alone,
) -> None:
    await certifier.hear(told(1, "of the project"))
    await certifier.hear(told(2, "of the release", release=1))
    await certifier.hear(told(3, "of the source", source=SOURCE))
    await certifier.hear(told(4, "of another release", release=2))
    await certifier.hear(told(5, "of another source", source=f"sha256:{'9' * 64}"))
    await certifier.hear(told(6, "of another project", project="wine"))
    found = await seen(certifier)
    assert [each["run"] for each in found["runs"]] == ["of the source", "of the release", "of the project"]
    assert [each["about"] for each in found["runs"]] == ["source", "release", "project"]
    assert found["partial"] == []


async def test_what_is_heard_again_is_kept_once_and_as_it_was_first_heard(certifier: Alone) -> None:
    await certifier.hear(told(1))
    before = await seen(certifier)
    await certifier.hear(told(1))
    assert await seen(certifier) == before


async def test_a_time_that_is_none_is_told(certifier: Alone) -> None:
    heard = certifier.heard(told(1, at="yesterday"))
    with pytest.raises(Unreadable, match="yesterday"):
        await certifier.handle(heard)


async def test_of_too_many_runs_the_newest_are_seen(certifier: Alone) -> None:
    for number in range(queries.MOST_RUNS + 1):
        await certifier.hear(told(number, f"run:{number}"))
    found = await seen(certifier)
    assert len(found["runs"]) == queries.MOST_RUNS
    assert (found["runs"][-1]["run"], found["partial"]) == ("run:1", ["runs"])


async def test_a_run_of_which_more_is_told_than_can_be_seen_is_not_seen_by_half(certifier: Alone) -> None:
    await certifier.hear(told(1, "small", inputs=["lake/rows"]))
    for number in range(2, 14):
        await certifier.hear(told(number, "large", inputs=[f"{number}/{n}/{'x' * 200}" for n in range(240)]))
    found = await seen(certifier)
    assert ([each["run"] for each in found["runs"]], found["partial"]) == (["small"], ["runs"])


async def test_an_incident_that_is_open_is_seen_however_many_came_after_it(certifier: Alone) -> None:
    def incident(number: int, status: Any) -> MetadataReported:
        what = ReportedIncident(incident=f"INC-{number}", severity="low", status=status)
        return told(number, run=None, incident=what)

    await certifier.hear(incident(0, "open"))
    for number in range(1, MOST_REPORTS + 2):
        await certifier.hear(incident(number, "resolved"))
    found = await seen(certifier)
    assert (found["incidents"][0]["incident"], found["partial"]) == ("INC-0", ["incidents"])
    assert len(found["incidents"]) == MOST_REPORTS


async def test_what_was_monitored_is_kept_as_far_as_it_is_seen(certifier: Alone) -> None:
    def monitored(number: int, release: int = 1) -> MetadataReported:
        what = ReportedMonitoring(since=None, metrics=())
        return told(number, run=None, monitoring=what, release=release)

    await certifier.hear(monitored(0, release=2))
    for number in (*reversed(range(1, MOST_REPORTS + 4)), 1):
        await certifier.hear(monitored(number))
    rows = await certifier.wiring.store.rows(reports.select().order_by(reports.c.at))
    assert [row.report for row in rows] == [
        "report:0",
        *(f"report:{number}" for number in range(3, MOST_REPORTS + 4)),
    ]


async def test_what_was_reported_is_made_anew_as_rules_saw_it(certifier: Alone) -> None:
    await certifier.hear(told(1, release=1))
    await certifier.hear(told(2, source=SOURCE))
    for number in range(MOST_REPORTS + 5):
        monitored = ReportedMonitoring(since=None, metrics=())
        await certifier.hear(told(number + 3, release=1, run=None, monitoring=monitored))
    await certifier.hear(told(1, "said again", release=1))
    before = await certifier.shown()
    assert await certifier.rebuild() == {}
    await certifier.empty()
    assert await certifier.rebuild() == {"reports": 2 + MOST_REPORTS + 1}
    assert await certifier.shown() == before
