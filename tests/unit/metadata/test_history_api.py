"""What was so at another time, over HTTP: at a time and at a position, whole and by project, in lines and in pages."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st
from placet.events import Heard
from placet.events.codec import timestamp
from placet.events.contracts import gateway
from placet.events.testing import changed
from placet.metadata import histories, history_api
from placet.metadata.histories import Histories, Until
from placet.metadata.history_standing import documents

from tests.unit.gateway.roads import (
    CERTIFICATE,
    DEPLOY,
    STOP,
    asked,
    built,
    certified,
    cleared,
    refused,
    verdict,
)
from tests.unit.metadata.histories import (
    APPROVER,
    EXCEPTION,
    governed,
    granted_exception,
    requested_exception,
    revoked,
    suspended,
)
from tests.unit.metadata.logs import Metadata, a_log
from tests.unit.metadata.test_sealing import Sealed

HOUR = timedelta(hours=1)
DIGEST = f"sha256:{'d' * 64}"


@pytest.fixture
async def metadata(tmp_path: Path) -> AsyncIterator[Metadata]:
    async with a_log(tmp_path) as one:
        yield one


async def keep_by_the_hour(metadata: Metadata, events: Sequence[Any]) -> list[str]:
    """When each was said, an hour after the one before."""
    times: list[str] = []
    last: dict[str, int] = {}
    for event in events:
        heard = metadata.heard(event, 0)
        position = last[heard.event.producer] = last.get(heard.event.producer, 0) + 1
        await metadata.keep(Heard(event=heard.event, epoch="1", position=position))
        times.append(timestamp(metadata.alone.clock.now()))
        metadata.alone.clock.pass_(HOUR)
    return times


async def lines(metadata: Metadata, path: str) -> list[Any]:
    async with metadata.alone.http(metadata.token()) as http:
        answer = await http.get(path, headers={"accept": "application/jsonl"})
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


# state


async def test_a_state_is_told_as_lines_behind_one_that_says_of_when_it_is(metadata: Metadata) -> None:
    await keep_by_the_hour(metadata, governed())
    async with metadata.indexing():
        head, *entities = await lines(metadata, "/v1/audit/state")
    assert (head["kind"], head["position"], head["unread"]) == ("log", 12, [])
    assert [(each["kind"], each["state"]) for each in entities] == [
        ("approval", "known"),
        ("certificate", "valid"),
        ("exception", "granted"),
        ("policy", "in-force"),
        ("project", "live"),
        ("release", "live"),
    ]


async def test_a_state_is_of_a_position_or_of_a_time(metadata: Metadata) -> None:
    times = await keep_by_the_hour(metadata, [*DEPLOY, suspended(), *STOP])
    async with metadata.indexing():
        for query, states in {
            f"position={len(DEPLOY)}": ("live", "valid"),
            f"at={times[8]}": ("live", "valid"),
            f"position={len(DEPLOY) + 1}": ("live", "suspended"),
            f"at={times[9]}": ("live", "suspended"),
            f"at={times[9].replace('Z', '-01:00')}": ("live", "suspended"),
            f"at={times[11]}": ("stopped", "suspended"),
            "": ("stopped", "suspended"),
            "project=churn": ("stopped", "suspended"),
        }.items():
            _, *entities = await lines(metadata, f"/v1/audit/state?{query}")
            found = {each["kind"]: each["state"] for each in entities}
            assert (found["project"], found["certificate"]) == states, query


async def test_pages_of_a_state_have_everything_once(metadata: Metadata) -> None:
    other = [asked(project="other", release=number) for number in range(1, 12)]
    await keep_by_the_hour(metadata, [*governed(), *other])
    async with metadata.indexing():
        _, *entities = await lines(metadata, "/v1/audit/state")
        found: list[Any] = []
        query = ""
        while True:
            page = await metadata.read(f"/v1/audit/state?limit=5{query}")
            found += page["entities"]
            if page["next"] is None:
                break
            query = f"&after={page['next'].replace(' ', '%20')}"
        assert found == entities
        [release] = (await metadata.read("/v1/audit/state?project=other&release=3"))["entities"]
        assert (release["id"], release["said"]["requestedAt"]) == ("other/3", 15)
        assert [each["release"] for each in found if each["kind"] == "release"] == [1, *range(1, 12)]


async def test_other_projects_are_no_part_of_a_project_s_state(metadata: Metadata) -> None:
    """Nor are policies: which are in force, the events of one project do not say."""
    await keep_by_the_hour(metadata, [*DEPLOY, asked(project="other"), cleared(project="other")])
    async with metadata.indexing():
        _, *entities = await lines(metadata, "/v1/audit/state?project=other")
        page = await metadata.read("/v1/audit/state?project=other")
    assert [each["kind"] for each in entities] == ["project", "release"]
    assert {each["project"] for each in page["entities"]} == {"other"}


async def test_what_belongs_to_no_project_is_told_alone(metadata: Metadata) -> None:
    snapshot = gateway.AdvisoriesSubmitted(digest=DIGEST, size=7, submitted_by=APPROVER)
    await keep_by_the_hour(metadata, [*governed(), snapshot])
    async with metadata.indexing():
        _, *own = await lines(metadata, "/v1/audit/state?own=true")
    assert [(each["kind"], each["id"]) for each in own] == [("advisories", DIGEST)]


async def test_projects_are_told_by_name_each_as_its_model_stood(metadata: Metadata) -> None:
    others = [asked(project=name) for name in ("other", "zebra", "another")]
    await keep_by_the_hour(metadata, [*DEPLOY, *others, asked(project="other", release=2), *STOP])
    stands = len(DEPLOY) + len(others)
    async with metadata.indexing():
        found = await metadata.read("/v1/audit/projects")
        then = await metadata.read(f"/v1/audit/projects?position={stands - 1}")
        paged: list[Any] = []
        after = ""
        while True:
            page = await metadata.read(f"/v1/audit/projects?limit=1{after}")
            paged += page["projects"]
            if page["next"] is None:
                break
            after = f"&after={page['next']}"
        entities = (await metadata.read("/v1/audit/state?limit=500"))["entities"]
    assert [(each["id"], each["state"], each.get("live"), each["releases"]) for each in then["projects"]] == [
        ("churn", "live", 1, 1),
        ("other", "requested", None, 1),
        ("zebra", "requested", None, 1),
    ]
    assert then["position"] == stands - 1
    assert [(each["id"], each["state"], each["releases"]) for each in found["projects"]] == [
        ("another", "requested", 1),
        ("churn", "stopped", 1),
        ("other", "requested", 2),
        ("zebra", "requested", 1),
    ]
    assert [each["certificateState"] for each in found["projects"]] == [None, "valid", None, None]
    assert paged == found["projects"]
    added = {"certificateState", "releases"}
    assert [
        {name: value for name, value in each.items() if name not in added} for each in found["projects"]
    ] == [each for each in entities if each["kind"] == "project"]


async def test_projects_that_came_later_than_what_is_asked_for_are_passed_over(
    metadata: Metadata, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"p{number:02}" for number in range(30)]
    await keep_by_the_hour(metadata, [asked(project="zebra"), *(asked(project=name) for name in names)])
    async with metadata.indexing():
        found = await metadata.read("/v1/audit/projects?position=1&limit=4")
        assert ([each["id"] for each in found["projects"]], found["next"]) == (["zebra"], None)
        monkeypatch.setattr(history_api, "MOST_ROUNDS", 2)
        found = await metadata.read("/v1/audit/projects?position=1&limit=4")
        assert (found["projects"], found["next"]) == ([], "p07")


async def test_what_a_newer_service_said_is_named_and_not_passed_over(metadata: Metadata) -> None:
    raw = metadata.heard(asked(), 1).event.raw.replace(b"requested.v1", b"requested.v9")
    future = metadata.alone.wiring.codec.read_envelope(raw)
    await metadata.keep(Heard(event=future, epoch="1", position=1))
    await metadata.keep(metadata.heard(asked(), 2))
    async with metadata.indexing():
        head, *_ = await lines(metadata, "/v1/audit/state")
        found = await metadata.read("/v1/audit/why?project=churn")
    assert head["unread"] == found["unread"] == ["placet.gateway.deploy.requested.v9"]
    assert "cannot read: placet.gateway.deploy.requested.v9" in found["note"]


@for_all(
    rare=st.lists(st.sampled_from([*governed(), suspended(), *STOP]), min_size=1, max_size=12),
    often=st.integers(0, 6),
    cut=st.integers(1, 80),
    span=st.integers(1, 9),
    page=st.integers(1, 4),
)
@settings(max_examples=6, deadline=None)
async def test_the_state_at_a_position_is_the_state_of_the_log_up_to_there(
    tmp_path_factory: pytest.TempPathFactory, rare: list[Any], often: int, cut: int, span: int, page: int
) -> None:
    """However the log is read: in pages and spans of any size."""
    events = [event for each in rare for event in (each, *[built("other")] * often)]
    cut = min(cut, len(events))
    found = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(histories, "SPAN", span)
        patch.setattr(histories, "PAGE", page)
        for kept, until in ((events, Until(position=cut)), (events[:cut], Until())):
            async with a_log(tmp_path_factory.mktemp("log")) as metadata:
                await metadata.keep_all(kept)
                reading = Histories(metadata.alone.wiring.store, metadata.queries)
                now = metadata.alone.clock.now().astimezone(UTC)
                async with metadata.indexing():
                    told = await reading.state(until, now)
            found.append([{**each, "said": each["said"]} for each in documents(told.state, now)])
    assert found[0] == found[1]


# why


async def test_one_answer_for_a_moment_with_what_covers_it(metadata: Metadata) -> None:
    times = await keep_by_the_hour(metadata, [*governed(), suspended(), revoked()])
    async with metadata.indexing():
        first = await metadata.read(f"/v1/audit/why?project=churn&at={times[11]}")
        second = await metadata.read(f"/v1/audit/why?project=churn&at={times[12]}")
        third = await metadata.read("/v1/audit/why?project=churn")
    assert [each["reason"] for each in (first, second, third)] == ["certified", "suspended", "revoked"]
    assert [each["kind"] for each in first["later"]] == ["suspended", "revoked"]
    assert [each["kind"] for each in second["later"]] == ["revoked"]
    assert third["later"] == []
    assert [each["lastPosition"] for each in (first, second, third)] == [14, 14, 14]
    assert first["checkpoint"] is None  # nothing was signed yet


async def test_the_first_checkpoint_that_covers_all_is_named(metadata: Metadata) -> None:
    await keep_by_the_hour(metadata, DEPLOY)
    seal = next(each for each in metadata.alone.service.periodic if each.name == "seal")
    await seal.run()
    await metadata.keep(metadata.heard(asked(project="other"), 2))
    await seal.run()
    async with metadata.indexing():
        found = await metadata.read("/v1/audit/why?project=churn")
    assert (found["lastPosition"], found["checkpoint"]) == (9, 9)


async def test_a_day_is_taken_up_to_its_end(metadata: Metadata) -> None:
    times = await keep_by_the_hour(metadata, DEPLOY)
    day = times[0][:10]
    metadata.alone.clock.pass_(timedelta(days=3))
    async with metadata.indexing():
        found = await metadata.read(f"/v1/audit/why?project=churn&at={day}")
    assert found["at"] == f"{day}T23:59:59.999Z"
    assert f"{day} is taken up to its end in UTC" in found["note"]


async def test_a_moment_before_anything_was_asked_for_is_answered(metadata: Metadata) -> None:
    await keep_by_the_hour(metadata, DEPLOY)
    async with metadata.indexing():
        found = await metadata.read("/v1/audit/why?project=churn&at=2000-01-01")
    assert (found["allowed"], found["reason"], found["release"]) == (False, "never-certified", None)
    assert "the log speaks of it first at position 1" in found["note"]


async def test_a_moment_to_come_is_answered_from_what_is_known(metadata: Metadata) -> None:
    await keep_by_the_hour(metadata, DEPLOY)
    async with metadata.indexing():
        found = await metadata.read("/v1/audit/why?project=churn&at=2100-01-01")
    assert (found["reason"], found["allowed"]) == ("expired", False)
    assert found["ran"] is None  # nobody knows that yet
    assert "still to come" in found["note"]


# lists


async def test_who_approved_what_and_which_certificate_counted_it(metadata: Metadata) -> None:
    await keep_by_the_hour(metadata, [*governed(), asked(release=2)])
    async with metadata.indexing():
        [approval] = (await metadata.read("/v1/audit/approvals?project=churn"))["approvals"]
        none = await metadata.read("/v1/audit/approvals?project=churn&release=2")
    assert (approval["givenBy"], approval["roles"], approval["release"]) == (APPROVER, ["approver"], 1)
    assert approval["countedFor"] == [CERTIFICATE]
    assert none["approvals"] == []


async def test_exceptions_are_told_as_they_stood(metadata: Metadata) -> None:
    times = await keep_by_the_hour(metadata, governed())
    async with metadata.indexing():
        for query, state in {
            f"at={times[0]}": "requested",
            f"at={times[1]}": "granted",
            "": "granted",
            "at=2026-12-01": "expired",
            "state=granted": "granted",
        }.items():
            [found] = (await metadata.read(f"/v1/audit/exceptions?{query}"))["exceptions"]
            assert (found["id"], found["state"]) == (EXCEPTION, state), query
        assert found["usedBy"] == [CERTIFICATE]
        assert (await metadata.read("/v1/audit/exceptions?state=withdrawn"))["exceptions"] == []


async def test_an_event_that_somebody_removed_is_named(metadata: Metadata) -> None:
    await keep_by_the_hour(metadata, DEPLOY)
    async with metadata.indexing():
        Sealed(metadata, metadata.folder).as_administrator("DELETE FROM audit WHERE position = 5")
        problem = await metadata.read("/v1/audit/state?position=9", 400)
    assert "has no position 5" in problem["detail"]


async def test_lists_are_told_in_pages(metadata: Metadata) -> None:
    asked_for = [changed(requested_exception(), exception=f"exception:{number}") for number in range(5)]
    await keep_by_the_hour(metadata, [*asked_for, changed(granted_exception(), exception="exception:0")])
    async with metadata.indexing():
        found: list[str] = []
        query = ""
        for _ in range(3):
            page = await metadata.read(f"/v1/audit/exceptions?limit=2{query}")
            found += [each["id"] for each in page["exceptions"]]
            query = f"&after={page['next']}"
        assert found == [f"exception:{number}" for number in range(5)]
        assert page["next"] is None
        assert (await metadata.read("/v1/audit/exceptions?after=nowhere", 400))["fix"]


async def test_what_ends_soon_is_told_with_what_serves_on_it(metadata: Metadata) -> None:
    later = changed(certified(release=2, certificate="certificate:2"), not_after="2027-01-01T00:00:00.000Z")
    gone = changed(certified(release=3, certificate="certificate:3"))
    revocation = changed(revoked(), certificate="certificate:3", release=3)
    await keep_by_the_hour(metadata, [*DEPLOY, later, gone, revocation])
    async with metadata.indexing():
        for at, ending in (("2026-02-01", []), ("2026-03-20", [CERTIFICATE]), ("2026-05-01", [])):
            found = await metadata.read(f"/v1/audit/expiring?at={at}&within=2592000")
            assert [each["certificate"] for each in found["certificates"]] == ending, at
        found = await metadata.read("/v1/audit/expiring?within=31622400")
    ends = [(each["certificate"], each["serves"], each["state"]) for each in found["certificates"]]
    assert ends == [(CERTIFICATE, True, "valid"), ("certificate:2", False, "valid")]


async def test_at_the_end_of_all_years_every_certificate_has_ended(metadata: Metadata) -> None:
    await keep_by_the_hour(metadata, DEPLOY)
    async with metadata.indexing():
        for at in ("9999-12-31", "9999-12-31T23:59:59.999999Z"):
            found = await metadata.read(f"/v1/audit/expiring?at={at}&within=31622400")
            assert (found["certificates"], "still to come" in found["note"]) == ([], True)


# what makes no sense, and who may ask


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/audit/state?at=yesterday", 400),
        ("/v1/audit/state?at=2026-02-30", 400),
        ("/v1/audit/state?at=2026-03-01T12:00:00", 400),
        ("/v1/audit/state?at=0001-01-01T00:00:00%2B14:00", 400),
        ("/v1/audit/state?at=2026-03-01&position=3", 400),
        ("/v1/audit/state?release=1", 400),
        ("/v1/audit/state?position=0", 400),
        ("/v1/audit/state?position=99", 404),
        ("/v1/audit/state?project=nobody", 404),
        ("/v1/audit/state?nonsense=1", 400),
        ("/v1/audit/state?after=nowhere", 400),
        ("/v1/audit/state?own=true&project=churn", 400),
        ("/v1/audit/projects?position=99", 404),
        ("/v1/audit/projects?at=2026-03-01&position=3", 400),
        ("/v1/audit/projects?after=NoName", 400),
        ("/v1/audit/why", 400),
        ("/v1/audit/why?project=nobody", 404),
        ("/v1/audit/why?project=Nobody", 400),
        ("/v1/audit/state?project=churn&release=2", 404),
        ("/v1/audit/approvals?project=nobody", 404),
        ("/v1/audit/approvals?project=churn&release=2", 404),
        ("/v1/audit/exceptions?state=lost", 400),
        ("/v1/audit/expiring?within=0", 400),
        ("/v1/audit/state?at=2026-W09-7", 400),
        ("/v1/audit/state?at=20260301", 400),
        ("/v1/audit/state?at=%D9%A2026-03-01", 400),
        ("/v1/audit/why?project=churn&at=9999-12-31T23:59:59-23:59", 400),
    ],
)
async def test_what_makes_no_sense_is_refused_with_what_to_do(
    metadata: Metadata, path: str, status: int
) -> None:
    await keep_by_the_hour(
        metadata, [asked(), cleared(), refused("certify", verdict("a", "certify", "fail"))]
    )
    async with metadata.indexing():
        problem = await metadata.read(path, status)
    assert problem["status"] == status
    assert problem["detail"]


@pytest.mark.parametrize(
    "path", ["state", "projects", "why?project=churn", "approvals", "exceptions", "expiring"]
)
@pytest.mark.parametrize(("role", "status"), [("scientist", 403), ("compliance", 200), ("admin", 200)])
async def test_the_past_is_for_compliance_auditors_and_admins(
    metadata: Metadata, path: str, role: Any, status: int
) -> None:
    await keep_by_the_hour(metadata, DEPLOY)
    async with metadata.indexing(), metadata.alone.http(metadata.token(role=role)) as http:
        assert (await http.get(f"/v1/audit/{path}")).status_code == status


async def test_an_index_that_is_far_behind_is_waited_for_and_then_said(
    metadata: Metadata, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(histories, "LOOK_EVERY", 0.001)
    await keep_by_the_hour(metadata, [asked()])
    problem = await metadata.read("/v1/audit/state", 503)
    assert "behind its position 1" in problem["detail"]
