"""Metadata over REST: taken whole or not at all, the same however often it is sent, and words that can be forgotten."""

from __future__ import annotations

import asyncio
import gzip
import hmac
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from placet.events.codec import timestamp
from placet.events.contracts.gateway import MetadataReported
from placet.events.contracts.shapes import ReportedIncident
from placet.events.store import Run, Unit
from placet.gateway import projections as p
from placet.gateway.cloud_events import BATCH, PLAIN, SINGLE
from placet.gateway.reasons import GIVEN, salt_in, words_in
from placet.gateway.reports_api import MAX_BODY

from tests.unit.gateway.harness import Gateway, a_gateway, asked
from tests.unit.gateway.roads import SOURCE
from tests.unit.gateway.test_gateway_api import is_problem
from tests.unit.gateway.test_reports_reading import OPENLINEAGE, RUN, SAID, cloud_event

PATH = "/v1/models/churn/metadata"
ADA = "person:00000000-0000-7000-8000-000000000001"


def now(gateway: Gateway, event: dict[str, Any]) -> dict[str, Any]:
    """An event as it happened a minute ago."""
    name = "eventTime" if "eventTime" in event else "time"
    return event | {name: timestamp(gateway.clock.now() - timedelta(minutes=1))}


async def send(
    gateway: Gateway,
    sent: Any,
    form: str = PLAIN,
    *,
    to: str = PATH,
    token: str | None = None,
    **headers: str,
) -> httpx.Response:
    body = sent if isinstance(sent, bytes) else json.dumps(sent, ensure_ascii=False).encode()
    async with gateway.http(token) as http:
        return await http.post(to, content=body, headers={"Content-Type": form, **headers})


async def heard(gateway: Gateway) -> list[MetadataReported]:
    return [each for each in await gateway.said() if isinstance(each, MetadataReported)]


async def test_an_incident_is_an_event_and_is_listed(gateway: Gateway) -> None:
    async with gateway.http() as http:
        token = (await http.post("/v1/tokens", json={"as": "Ada", "roles": ["operator"]})).json()["token"]
    event = now(gateway, cloud_event())
    answer = await send(gateway, event, SINGLE, token=token)
    assert answer.status_code == 201, answer.text
    [told] = answer.json()["reports"]
    [said] = await heard(gateway)
    assert said == MetadataReported(
        report=told["report"],
        project="churn",
        release=None,
        source=None,
        at=event["time"],
        reported_by=told["reportedBy"]["person"],
        summary=said.summary,
        incident=ReportedIncident(incident="INC-7", severity="high", status="open"),
    )
    assert told == {
        "report": said.report,
        "project": "churn",
        "kind": "incident",
        "release": None,
        "source": None,
        "at": event["time"],
        "heardAt": timestamp(gateway.clock.now()),
        "reportedBy": {"person": said.reported_by, "name": "Ada"},
        "content": {"incident": "INC-7", "severity": "high", "status": "open"},
        "summary": "wrong\nfor minors",
    }
    assert await gateway.read(PATH) == {"reports": [told], "next": None}


async def test_the_summary_is_told_to_people_and_no_event_has_it(gateway: Gateway) -> None:
    await send(gateway, now(gateway, cloud_event()))
    recorded = await gateway.wiring.store.read_all(0, 100)
    assert not any(b"minors" in each.event.raw for each in recorded)
    [said] = await heard(gateway)
    [row] = await gateway.wiring.store.rows(GIVEN)
    salt, words = salt_in(row), words_in(row)
    assert salt is not None
    assert words is not None
    digest = hmac.digest(bytes.fromhex(salt), words.encode(), "sha256").hex()
    assert said.summary == f"hmac-sha256:{digest}"
    await gateway.wiring.store.commit(Unit(writes=(Run(statement=sa.update(p.reasons).values(sealed=None)),)))
    assert (await gateway.read(PATH))["reports"][0]["summary"] == "erased"
    again = await send(gateway, now(gateway, cloud_event()))
    assert again.status_code == 200, "nobody knows the first words"


async def test_what_the_openlineage_client_posts_is_taken(gateway: Gateway) -> None:
    """As it comes over HTTP, packed or not, with no more than an API key."""
    gateway.clock.pass_(timedelta(days=365 * 10))  # the test's clock stands long before the recorded event
    token = gateway.token("scientist", person=ADA)
    answer = await send(gateway, OPENLINEAGE, token=token)
    assert answer.status_code == 201, answer.text
    packed = gzip.compress(json.dumps(OPENLINEAGE).encode(), compresslevel=3)
    again = await send(gateway, packed, token=token, **{"Content-Encoding": "gzip"})
    assert (again.status_code, again.json()) == (200, answer.json())
    [said] = await heard(gateway)
    assert (said.run, said.at, said.reported_by) == (RUN, "2026-11-20T07:30:00.123Z", ADA)


async def test_a_cloud_event_may_come_with_its_attributes_in_headers(gateway: Gateway) -> None:
    event = now(gateway, cloud_event())
    headers = {f"ce-{name}": str(event[name]) for name in ("specversion", "id", "source", "type", "time")}
    answer = await send(gateway, SAID["incident"], **headers)
    assert answer.status_code == 201, answer.text
    whole = await send(gateway, event, SINGLE)
    assert (whole.status_code, whole.json()) == (200, answer.json())


async def test_attributes_in_headers_that_are_no_text_are_refused(gateway: Gateway) -> None:
    attributes = {
        "ce-specversion": "1.0",
        "ce-id": "%FF",
        "ce-source": "ci",
        "ce-type": "placet.report.run.v1",
    }
    answer = await send(gateway, {}, **{"Content-Type": "application/json"}, **attributes)
    is_problem(answer, 400, "the header ce-id is no text in UTF-8")


async def test_the_same_sent_again_is_the_same_report_whoever_sends_it(gateway: Gateway) -> None:
    event = now(gateway, cloud_event())
    first = await send(gateway, event, token=gateway.token("scientist"))
    again = await send(gateway, [event, event], token=gateway.token("operator"))
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json()["reports"] == first.json()["reports"] * 2
    assert len(await heard(gateway)) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"data": SAID["incident"] | {"severity": "low"}},
        {"data": SAID["incident"] | {"summary": "something else"}},
        {"data": {name: value for name, value in SAID["incident"].items() if name != "summary"}},
        {"time": "2020-01-01T00:00:00Z"},
        {"placetsource": SOURCE},
        {"type": "placet.report.run.v1", "data": SAID["run"]},
    ],
    ids=str,
)
async def test_the_same_id_with_other_content_is_a_conflict(
    gateway: Gateway, changes: dict[str, Any]
) -> None:
    event = cloud_event()
    assert (await send(gateway, event)).status_code == 201
    other = event | changes
    is_problem(await send(gateway, other), 409, "said something else, which stays", "an id of its own")
    is_problem(
        await send(gateway, [cloud_event(id="2"), other], BATCH), 409, "what was sent, [1]: this event"
    )
    is_problem(
        await send(gateway, [cloud_event(id="3"), event, other | {"id": "3"}], BATCH), 409, "also at [0]"
    )
    assert len(await heard(gateway)) == 1, "all or nothing"


async def test_the_same_id_for_another_project_or_by_another_sender_is_another_report(
    gateway: Gateway,
) -> None:
    event = now(gateway, cloud_event())
    answers = [
        await send(gateway, event),
        await send(gateway, event, to="/v1/models/wine/metadata"),
        await send(gateway, event | {"source": "somebody-else"}),
    ]
    assert [each.status_code for each in answers] == [201, 201, 201]
    assert len({each.report for each in await heard(gateway)}) == 3


async def test_sent_at_once_it_is_one_report(gateway: Gateway) -> None:
    event = now(gateway, cloud_event())
    answers = await asyncio.gather(*(send(gateway, event) for _ in range(8)))
    assert sorted(each.status_code for each in answers) == [*[200] * 7, 201]
    assert len(await heard(gateway)) == 1


async def test_one_bad_event_refuses_all_of_a_list(gateway: Gateway) -> None:
    good = now(gateway, cloud_event())
    bad = now(gateway, cloud_event(id="2", data=SAID["incident"] | {"severity": "awful"}))
    problem = is_problem(await send(gateway, [good, bad, 7], BATCH), 422)
    assert [each["why"].split(":")[0] for each in problem["refusals"]] == [
        "what was sent, [1].data.severity",
        "what was sent, [2]",
    ]
    assert await heard(gateway) == []
    assert (await gateway.read(PATH))["reports"] == []


async def test_what_has_not_happened_is_refused(gateway: Gateway) -> None:
    event = cloud_event(time=timestamp(gateway.clock.now() + timedelta(seconds=61)))
    is_problem(await send(gateway, event), 422, "has not come yet", "is the clock right")


async def test_a_report_is_of_a_release_that_is_there(gateway: Gateway) -> None:
    event = now(gateway, cloud_event())
    is_problem(await send(gateway, event, to=f"{PATH}?release=1"), 404, "there is no release 1 of churn yet")
    is_problem(await send(gateway, event | {"placetrelease": 1}), 404, "there is no release 1 of churn yet")
    await asked(gateway)
    answer = await send(gateway, event, to=f"{PATH}?release=1")
    assert answer.json()["reports"][0]["release"] == 1
    is_problem(await send(gateway, event | {"id": "2"}, to=f"{PATH}?release=2"), 404)


async def test_a_report_may_be_of_a_source_that_is_not_here_yet(gateway: Gateway) -> None:
    answer = await send(gateway, now(gateway, cloud_event()), to=f"{PATH}?source={SOURCE}")
    assert answer.json()["reports"][0]["source"] == SOURCE
    is_problem(await send(gateway, b"{}", to=f"{PATH}?source={SOURCE}&release=1"), 422, "of one release")
    is_problem(await send(gateway, b"{}", to=f"{PATH}?source=sha256:5"), 400)
    is_problem(await send(gateway, b"{}", to=f"{PATH}?relaese=1"), 400, "'release'")


@pytest.mark.parametrize("role", ["scientist", "operator", "compliance", "admin"])
async def test_who_runs_something_or_is_told_of_it_may_report(gateway: Gateway, role: Any) -> None:
    assert (await send(gateway, now(gateway, cloud_event()), token=gateway.token(role))).status_code == 201


@pytest.mark.parametrize("role", ["approver", "auditor"])
async def test_who_looks_on_may_read_and_not_report(gateway: Gateway, role: Any) -> None:
    token = gateway.token(role)
    is_problem(await send(gateway, b"no JSON at all", token=token), 403, "compliance, operator, scientist")
    async with gateway.http(token) as http:
        assert (await http.get(PATH)).status_code == 200


@pytest.mark.parametrize("project", ["platform", "Churn", "a", "churn-"])
async def test_a_project_has_a_project_s_name(gateway: Gateway, project: str) -> None:
    is_problem(await send(gateway, cloud_event(), to=f"/v1/models/{project}/metadata"), 400)


async def test_the_list_is_paged_and_filtered(gateway: Gateway) -> None:
    await asked(gateway)
    kinds = ("run", "evaluation", "monitoring", "incident")
    events = [now(gateway, cloud_event(kind, id=kind)) for kind in kinds]
    await send(gateway, events, BATCH, to=f"{PATH}?release=1")
    gateway.clock.pass_(timedelta(minutes=5))
    await send(gateway, now(gateway, cloud_event("run", id="later")))
    told = (await gateway.read(PATH))["reports"]
    assert [each["kind"] for each in told] == ["run", *kinds[::-1]]
    pages, after = [], ""
    while True:
        page = await gateway.read(f"{PATH}?limit=2{after}")
        pages += page["reports"]
        if page["next"] is None:
            break
        after = f"&after={page['next']}"
    assert pages == told
    assert (await gateway.read(f"{PATH}?kind=run"))["reports"] == [told[0], told[-1]]
    assert (await gateway.read(f"{PATH}?release=1"))["reports"] == told[1:]
    assert (await gateway.read(f"{PATH}?release=1&kind=run"))["reports"] == told[-1:]
    assert (await gateway.read("/v1/models/wine/metadata"))["reports"] == []


async def test_a_noisy_pipeline_is_stopped_and_keeps_nobody_from_telling_an_incident(tmp_path: Path) -> None:
    async with a_gateway(tmp_path, reports_per_day=3) as gateway:
        runs = [now(gateway, cloud_event("run", id=f"run {number}")) for number in range(4)]
        assert (await send(gateway, runs[:2], BATCH)).status_code == 201
        said = "2 reports of kind run were heard of churn within a day"
        is_problem(await send(gateway, runs, BATCH), 409, said, "no more than 3")
        assert (await send(gateway, runs[:3], BATCH)).status_code == 201
        is_problem(await send(gateway, runs[3]), 409)
        assert (await send(gateway, runs[0])).status_code == 200, "what is there already is no more"
        assert (await send(gateway, now(gateway, cloud_event()))).status_code == 201
        gateway.clock.pass_(timedelta(days=1, seconds=1))
        assert (await send(gateway, runs[3])).status_code == 201


async def test_a_body_has_a_bound_packed_or_not(gateway: Gateway) -> None:
    large = b" " * (MAX_BODY + 1)
    is_problem(await send(gateway, large), 413, "in several requests")
    packed = {"Content-Encoding": "gzip"}
    is_problem(await send(gateway, gzip.compress(b" " * MAX_BODY * 50), **packed), 413)
    is_problem(await send(gateway, b"not packed", **packed), 400, "not packed by gzip")
    is_problem(await send(gateway, gzip.compress(b"{}")[:-4], **packed), 400, "ends too early")
    whole = gzip.compress(json.dumps(now(gateway, OPENLINEAGE)).encode())
    for rest in (b"?", gzip.compress(b"{}")):
        is_problem(await send(gateway, whole + rest, **packed), 400, "goes on after its end")
    is_problem(await send(gateway, b"{}", **{"Content-Encoding": "br"}), 400, "packed by 'br'")


async def test_a_list_that_fills_the_body_is_taken(gateway: Gateway) -> None:
    """No event that is read is too large for the log."""
    metrics = [{"metric": "m" * 100, "value": 0.5, "slice": "é" * 40}] * 200
    large = now(gateway, cloud_event("evaluation", data=SAID["evaluation"] | {"metrics": metrics}))
    answer = await send(gateway, [large | {"id": f"{number}"} for number in range(15)], BATCH)
    assert answer.status_code == 201, answer.text


async def test_each_kind_has_its_schema(gateway: Gateway) -> None:
    schema = await gateway.read("/v1/metadata/schemas/incident")
    assert schema["$defs"]["IncidentData"]["required"] == ["incident", "severity", "status"]
    async with gateway.http() as http:
        is_problem(await http.get("/v1/metadata/schemas/rumour"), 400)
