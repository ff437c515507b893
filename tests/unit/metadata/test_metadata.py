"""The audit log: every event, the same bytes, each producer's in order, and nothing skipped by who reads it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient
from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st
from placet.errors import Conflict, Unavailable, Unreadable
from placet.events import Gap, Heard, ServiceRunner
from placet.events.contracts.gateway import ErasureRequested, TokenRevoked
from placet.events.contracts.metadata import AccessDenied, GapDetected
from placet.events.http import http_app
from placet.events.problems import speak_problems
from placet.events.testing import given
from placet.identity import Callers
from placet.identity.denials import Denials
from placet.metadata.access import Onlookers, reader
from placet.metadata.api import router
from placet.metadata.domain import LOG, NoteGap
from placet.metadata.following import Tail
from placet.metadata.projections import AUDIT
from placet.metadata.queries import Filter, Queries
from placet.trust import KeySet

from tests.support.eventually import eventually
from tests.unit.gateway.roads import DEPLOY, asked, built, cleared, reserved
from tests.unit.metadata.logs import Metadata, a_log


@pytest.fixture
async def metadata(tmp_path: Path) -> AsyncIterator[Metadata]:
    async with a_log(tmp_path) as one:
        yield one


# gaps


NOTE = NoteGap(producer="builder", epoch="1", after=3, upto=5)
NOTED = GapDetected(producer="builder", epoch="1", after=3, upto=5)


def test_a_gap_is_told_once() -> None:
    given(LOG).when(NOTE).then(NOTED)
    given(LOG, NOTED).when(NOTE).then_nothing()
    given(LOG, NOTED).when(NoteGap(producer="builder", epoch="1", after=3, upto=9)).then_nothing()


def test_the_same_place_of_another_epoch_is_another_gap() -> None:
    other = NoteGap(producer="builder", epoch="2", after=3, upto=5)
    given(LOG, NOTED).when(other).then(GapDetected(producer="builder", epoch="2", after=3, upto=5))


async def test_a_gap_is_in_the_log_once_however_often_it_is_found(metadata: Metadata) -> None:
    tell = metadata.alone.service.on_gap
    assert tell is not None
    for _ in range(3):
        await tell(Gap(producer="builder", epoch="1", after=3, upto=5))
    assert await metadata.alone.said() == [NOTED]


# keeping


async def test_events_are_kept_with_their_bytes_and_places(metadata: Metadata) -> None:
    first, second = metadata.heard(asked(), 1), metadata.heard(asked(release=2), 2)
    await metadata.keep(first, second)
    kept = await metadata.alone.wiring.store.read_all(0, 10, log=AUDIT)
    assert [each.event.raw for each in kept] == [first.event.raw, second.event.raw]
    entries = (await metadata.read("/v1/audit/entries"))["entries"]
    assert [(each["position"], each["producer"], each["producerPosition"]) for each in entries] == [
        (1, "gateway", 1),
        (2, "gateway", 2),
    ]


@pytest.mark.parametrize("position", [1, 3, 7])
async def test_a_repetition_or_a_hole_is_refused_by_the_store_itself(
    metadata: Metadata, position: int
) -> None:
    await metadata.keep(metadata.heard(asked(), 1))
    with pytest.raises(Conflict):
        await metadata.keep(metadata.heard(asked(release=2), position))
    assert await metadata.queries.head() == 1


async def test_a_redelivered_event_is_kept_once(metadata: Metadata) -> None:
    heard = metadata.heard(asked(), 1)
    await metadata.keep(heard)
    await metadata.keep(heard)  # the store knows the id and the bytes
    assert await metadata.queries.head() == 1


async def test_a_producer_s_log_cannot_begin_in_the_middle(metadata: Metadata) -> None:
    with pytest.raises(Unreadable, match="would begin at its position 4"):
        await metadata.keep(metadata.heard(asked(), 4))
    assert await metadata.queries.head() == 0


async def test_a_producer_that_was_restored_goes_on_in_a_new_epoch(metadata: Metadata) -> None:
    await metadata.keep(*(metadata.heard(asked(release=number), number) for number in (1, 2, 3)))
    await metadata.keep(metadata.heard(asked(release=3), 3, epoch="2"))  # it forgot its third
    await metadata.keep(metadata.heard(asked(release=4), 4, epoch="2"))
    entries = (await metadata.read("/v1/audit/entries"))["entries"]
    assert [(each["epoch"], each["producerPosition"]) for each in entries] == [
        ("1", 1),
        ("1", 2),
        ("1", 3),
        ("2", 3),
        ("2", 4),
    ]


async def test_producers_do_not_wait_for_each_other(metadata: Metadata) -> None:
    await metadata.keep(metadata.heard(built(), 1))
    await metadata.keep(metadata.heard(asked(), 1))
    await metadata.keep(metadata.heard(asked(release=2), 2))
    entries = (await metadata.read("/v1/audit/entries"))["entries"]
    assert [(each["producer"], each["producerPosition"]) for each in entries] == [
        ("builder", 1),
        ("gateway", 1),
        ("gateway", 2),
    ]


async def test_an_event_newer_than_this_service_is_kept_all_the_same(metadata: Metadata) -> None:
    raw = metadata.heard(asked(), 1).event.raw.replace(b"requested.v1", b"requested.v9")
    future = metadata.alone.wiring.codec.read_envelope(raw)
    await metadata.keep(Heard(event=future, epoch="1", position=1))
    async with metadata.indexing():
        page = await metadata.read("/v1/events?type=*.v9")
    assert [event["type"] for event in page["events"]] == ["placet.gateway.deploy.requested.v9"]


# reading


async def test_an_event_is_shown_as_it_was_stored_with_its_position(metadata: Metadata) -> None:
    await metadata.keep_all(DEPLOY)
    page = await metadata.read("/v1/events?after=2&limit=2")
    assert [event["sequence"] for event in page["events"]] == [3, 4]
    assert page["next"] == 4
    kept = await metadata.alone.wiring.store.read_all(2, 1, log=AUDIT)
    assert {**json.loads(kept[0].event.raw), "sequence": 3} == page["events"][0]
    assert await metadata.read("/v1/events?after=100") == {"events": [], "next": 100}


async def test_events_are_found_by_glob_and_project(metadata: Metadata) -> None:
    await metadata.keep_all([asked(), asked(project="other"), built(), built("other"), reserved("other")])
    async with metadata.indexing():
        for query, found in {
            "type=placet.builder.*": [3, 4],
            "type=*.requested.v1": [1, 2],
            "type=placet.gateway.deploy.requested.v1&project=other": [2],
            "project=other": [2, 4, 5],
            "project=nobody": [],
            "type=%25": [],
            "type=placet_builder*": [],
            "type=" + "*a" * 40: [],
        }.items():
            page = await metadata.read(f"/v1/events?{query}")
            assert [event["sequence"] for event in page["events"]] == found, query
            assert page["next"] == 5


async def test_events_are_read_back_from_a_position_newest_first(metadata: Metadata) -> None:
    await metadata.keep_all([asked(), asked(project="other"), built(), built("other"), reserved("other")])
    async with metadata.indexing():
        for query, found, following in (
            ("before=100", [5, 4, 3, 2, 1], None),
            ("before=4&limit=2", [3, 2], 2),
            ("before=2&limit=2", [1], None),
            ("before=1", [], None),
            ("before=100&project=other&limit=2", [5, 4], 4),
            ("before=4&project=other&limit=2", [2], None),
            ("before=5&type=placet.builder.*", [4, 3], None),
        ):
            page = await metadata.read(f"/v1/events?{query}")
            assert [event["sequence"] for event in page["events"]] == found, query
            assert page["next"] == following, query


async def test_events_are_found_between_two_times_both_within(metadata: Metadata) -> None:
    times = []
    for number in range(4):
        await metadata.keep(metadata.heard(asked(), number + 1))
        times.append(metadata.alone.clock.now().isoformat().replace("+00:00", "Z"))
        metadata.alone.clock.pass_(timedelta(hours=1))
    async with metadata.indexing():
        for query, found in {
            f"since={times[1]}": [2, 3, 4],
            f"until={times[1]}": [1, 2],
            f"since={times[1]}&until={times[2]}": [2, 3],
            f"since={times[1].replace('Z', '-01:00')}": [3, 4],
            f"since={times[3]}&project=nobody": [],
            f"since={times[2]}&until={times[1]}": [],
        }.items():
            page = await metadata.read(f"/v1/events?{query}")
            assert [event["sequence"] for event in page["events"]] == found, query
            assert page["next"] == 4


async def test_a_filtered_page_goes_no_further_than_the_index(metadata: Metadata) -> None:
    await metadata.keep_all([asked()])
    async with metadata.indexing():
        pass
    await metadata.keep(metadata.heard(built(), 1))  # not indexed yet
    page = await metadata.read("/v1/events?type=placet.builder.*")
    assert (page["events"], page["next"]) == ([], 1)
    async with metadata.indexing():
        later = await metadata.read(f"/v1/events?type=placet.builder.*&after={page['next']}")
    assert [event["sequence"] for event in later["events"]] == [2]


def names() -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(["churn", "other", "third"]), min_size=1, max_size=60)


@for_all(
    projects=names(),
    limit=st.integers(1, 7),
    glob=st.sampled_from([None, "*", "placet.gateway.*", "*image*", "nothing"]),
    project=st.sampled_from([None, "churn", "nobody"]),
)
@settings(max_examples=12, deadline=None)
async def test_following_next_finds_everything_once(
    tmp_path_factory: pytest.TempPathFactory,
    projects: list[str],
    limit: int,
    glob: str | None,
    project: str | None,
) -> None:
    said = [asked(project=name) if index % 3 else built(name) for index, name in enumerate(projects)]
    async with a_log(tmp_path_factory.mktemp("log")) as metadata:
        await metadata.keep_all(said)
        wanted = Filter(type=glob, project=project)
        found: list[Any] = []
        after = 0
        async with metadata.indexing():
            while True:
                page = await metadata.queries.events(after, limit, wanted)
                assert len(page.events) <= limit
                found += page.events
                if page.next == after:
                    break
                after = page.next
        assert after == len(said)
    kept = [(each.position, each.event.type, each.event.partitionkey) for each in found]
    everything = [
        (
            position,
            "placet.gateway.deploy.requested.v1" if index % 3 else "placet.builder.image.built.v1",
            name,
        )
        for index, name in enumerate(projects)
        for position in (index + 1,)
    ]
    assert kept == [
        each
        for each in everything
        if (glob is None or fnmatchcase(each[1], glob)) and project in (None, each[2])
    ]


async def test_events_far_apart_are_read_each(metadata: Metadata) -> None:
    quiet = [asked(project="churn", release=number) for number in range(1, 60)]
    await metadata.keep_all([asked(project="rare"), *quiet, asked(project="rare"), built("rare")])
    async with metadata.indexing():
        page = await metadata.read("/v1/events?project=rare")
    assert [event["sequence"] for event in page["events"]] == [1, 61, 62]


SENSELESS = ["after=-1", f"after={2**63}", "after=x", "limit=0", "limit=1001", "project=%00", "from=-1"]


@pytest.mark.parametrize(
    "path",
    [
        *(f"{page}?{query}" for page in ("/v1/events", "/v1/audit/entries") for query in SENSELESS),
        "/v1/events?type=%00",
        "/v1/events?since=yesterday",
        "/v1/events?since=0001-01-01T00:00:00%2B14:00",
        "/v1/events?until=2026-11-27T12:00:00",
        f"/v1/events?type={'x' * 101}",
    ],
)
async def test_what_makes_no_sense_is_unreadable(metadata: Metadata, path: str) -> None:
    assert (await metadata.read(path, 400))["status"] == 400


@pytest.mark.parametrize("text", ["20260301", "1772323200", "-1", "1.5", "2026-03-01", "2026-060T12:00:00Z"])
async def test_digits_are_no_time(metadata: Metadata, text: str) -> None:
    """Read as seconds since 1970, a day that somebody wrote without its lines would be in August of that year."""
    for path in (
        f"/v1/events?since={text}",
        f"/v1/events?until={text}",
        f"/v1/audit/bundle?project=churn&at={text}",
    ):
        problem = await metadata.read(path, 400)
        assert "a time is in RFC 3339 with its zone, such as 2026-03-01T12:00:00Z" in problem["detail"], path


async def test_who_is_ahead_of_the_log_is_told_where_it_ends(metadata: Metadata) -> None:
    """He would wait without a word until it is as long: it was restored from an older copy, or is another one."""
    await metadata.keep(metadata.heard(asked(), 1))
    for path, headers in (
        ("/v1/events?follow=1&after=2", {}),
        ("/v1/events", {"Accept": "text/event-stream", "Last-Event-ID": "2"}),
    ):
        problem = await metadata.read(path, 404, **headers)
        assert problem["detail"] == "the audit log ends at position 1, and position 2 is still to come"
        assert problem["fix"].startswith("follow what comes behind position 1")
    assert (await metadata.read("/v1/events?after=2"))["events"] == []


@pytest.mark.parametrize("last", ["x", "-1", "9" * 30, "9" * 5000, ""])
async def test_a_last_event_that_is_no_position_is_unreadable(metadata: Metadata, last: str) -> None:
    problem = await metadata.read("/v1/events?follow=1", 400, **{"Last-Event-ID": last})
    assert "no position of this log" in problem["detail"]


# following


async def test_who_follows_gets_what_was_and_what_comes(metadata: Metadata) -> None:
    await metadata.keep_all([asked(), cleared()])
    following = Following(metadata, after=0)
    async with following:
        await eventually(lambda: following.positions == [1, 2])
        await metadata.keep(metadata.heard(asked(release=2), 2))
        await eventually(lambda: following.positions == [1, 2, 3])


async def test_who_comes_back_goes_on_where_it_was(metadata: Metadata) -> None:
    await metadata.keep_all([asked(), cleared(), built()])
    following = Following(metadata, after=0, last="2")
    async with following:
        await eventually(lambda: following.positions == [3])


class Following:
    """A reader of the event stream, fed by the application itself: the test client cannot read what never ends."""

    def __init__(self, metadata: Metadata, *, after: int, last: str | None = None) -> None:
        self._metadata = metadata
        self._headers = [
            (b"authorization", f"Bearer {metadata.token()}".encode()),
            (b"accept", b"text/event-stream"),
            *([(b"last-event-id", last.encode())] if last else []),
        ]
        self._query = f"after={after}".encode()
        self._text = b""

    @property
    def positions(self) -> list[int]:
        lines = self._text.decode().splitlines()
        return [int(line.removeprefix("id: ")) for line in lines if line.startswith("id: ")]

    async def __aenter__(self) -> None:
        app = http_app("placet", [ServiceRunner(self._metadata.alone.service)], version="1")
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": "/v1/events",
            "raw_path": b"/v1/events",
            "root_path": "",
            "query_string": self._query,
            "headers": self._headers,
            "client": ("127.0.0.1", 1),
            "server": ("placet", 80),
        }
        self._gone = asyncio.Event()
        self._running = asyncio.create_task(app(scope, self._receive, self._send))

    async def __aexit__(self, *_: object) -> None:
        self._gone.set()
        await self._running

    async def _receive(self) -> Any:
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        self._text += message.get("body", b"")


# who may read


async def test_the_log_is_for_those_with_a_token_that_was_not_revoked(metadata: Metadata) -> None:
    for path in ("/v1/events", "/v1/audit/entries", "/v1/events?follow=1"):
        async with metadata.alone.http() as http:
            assert (await http.get(path)).status_code == 401
    await metadata.read("/v1/events")
    await metadata.keep(metadata.heard(TokenRevoked(token="token-1"), 1, subject="token/token-1"))
    async with metadata.indexing():
        await metadata.read("/v1/events", 401)
        async with metadata.alone.http(metadata.token("token-2")) as http:
            assert (await http.get("/v1/events")).status_code == 200
            assert 'placet_denied_requests_total{reason="token.revoked"' in (await http.get("/metrics")).text


async def test_the_log_is_not_for_who_was_erased_by_whichever_token(metadata: Metadata) -> None:
    person = "person:00000000-0000-7000-8000-000000000001"
    erasure = ErasureRequested(person=person, requested_by="person:1", tokens=0, words=0)
    await metadata.read("/v1/events")
    await metadata.keep(metadata.heard(erasure, 1, subject=person.replace("person:", "person/")))
    async with metadata.indexing():
        await metadata.read("/v1/events", 401)
        async with metadata.alone.http(metadata.token("token-2")) as http:
            assert (await http.get("/v1/events")).status_code == 401


async def test_a_database_that_is_away_is_a_503(metadata: Metadata, tmp_path: Path) -> None:
    class Away:
        """The `Queries` of a database that is away."""

        async def rows(self, query: Any, values: Any = None) -> Any:
            raise Unavailable("the database is away", retry_after=1.0)

    app = FastAPI()
    speak_problems(app)
    away: Any = Away()
    keys, queries = KeySet.load(tmp_path / "tokens.json"), Queries(away)
    callers = Callers(lambda: keys, metadata.alone.clock)
    admitted = reader(
        callers=callers,
        queries=queries,
        denials=Denials(metadata.alone.wiring, AccessDenied),
    )
    store = metadata.alone.wiring.store
    app.include_router(
        router(
            reader=admitted,
            onlookers=Onlookers(callers, queries),
            queries=queries,
            store=store,
            tail=Tail(queries, store),
        )
    )
    headers = {"Authorization": f"Bearer {metadata.token()}"}
    async with AsyncClient(transport=ASGITransport(app), base_url="http://x", headers=headers) as http:
        answer = await http.get("/v1/events")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
