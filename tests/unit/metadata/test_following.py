"""Many follow the log: its end is read once for all of them, and each is exact to the position, however often it
comes back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, cast

import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient
from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st
from placet.errors import Unavailable
from placet.events import Recorded
from placet.events.clocks import SystemClock
from placet.events.store import EVENTS, EventStore
from placet.identity import Callers
from placet.metadata.access import Onlookers
from placet.metadata.api import router
from placet.metadata.following import Overtaken, Tail
from placet.metadata.projections import AUDIT
from placet.metadata.queries import Filter, Page, Queries
from placet.trust import KeySet, tokens

from tests.support.eventually import eventually
from tests.unit.events.harness import FatefulStore
from tests.unit.gateway.roads import asked
from tests.unit.metadata.logs import Metadata, a_log

OPEN = Filter()


class Counting(FatefulStore):
    """Counts what is read of the audit log."""

    def __init__(self, store: EventStore) -> None:
        super().__init__(store)
        self.looks = 0
        self.brought: list[int] = []
        self.is_away = False

    async def read_all(
        self, after: int, limit: int, *, log: str = EVENTS, sealed: bool = False
    ) -> list[Recorded[Any]]:
        if self.is_away:
            raise Unavailable("the database is away")
        page = await super().read_all(after, limit, log=log, sealed=sealed)
        if log == AUDIT:
            self.looks += 1
            self.brought += [each.position for each in page]
        return page


@dataclass
class Crowd:
    log: Metadata
    store: Counting
    tail: Tail
    told: list[list[int]] = field(default_factory=list)
    said: int = 0

    async def happen(self, *projects: str) -> None:
        for project in projects:
            self.said += 1
            await self.log.keep(self.log.heard(asked(project=project, release=self.said), self.said))

    @asynccontextmanager
    async def following(self, many: int, wanted: Filter = OPEN, after: int = 0) -> AsyncIterator[None]:
        self.told = [[] for _ in range(many)]
        running = [asyncio.create_task(self._follow(each, wanted, after)) for each in self.told]
        try:
            yield
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def _follow(self, told: list[int], wanted: Filter, after: int) -> None:
        async with aclosing(self.tail.follow(after, wanted)) as pages:
            async for page in pages:
                told.extend(each.position for each in page.events)

    async def all_are_told(self, *positions: int) -> None:
        await eventually(lambda: all(each == list(positions) for each in self.told))


@pytest.fixture
async def crowd(tmp_path: Path) -> AsyncIterator[Crowd]:
    async with a_log(tmp_path) as log:
        yield a_crowd(log)


def a_crowd(log: Metadata, **ring: int) -> Crowd:
    store = Counting(log.alone.wiring.store)
    return Crowd(log, store, Tail(Queries(store), store, **ring))


async def to_the_end(pages: AsyncGenerator[Page, None]) -> None:
    async for _ in pages:
        pass


# once for all


async def test_what_happens_is_read_once_however_many_follow(crowd: Crowd) -> None:
    await crowd.happen("churn", "churn")
    async with crowd.following(100, after=2):
        await eventually(
            lambda: crowd.store.looks > 100
        )  # each looked where the log ends, and the one for all
        await eventually(lambda: crowd.tail._in_memory(2, OPEN) is not None)
        for number in range(3, 9):
            await crowd.happen("churn")
            await crowd.all_are_told(*range(3, number + 1))
    assert crowd.store.brought == [3, 4, 5, 6, 7, 8]


@pytest.mark.parametrize("many", [1, 200])
async def test_how_often_is_looked_is_no_matter_of_how_many_follow(crowd: Crowd, many: int) -> None:
    async with crowd.following(1):
        await eventually(lambda: crowd.tail._in_memory(0, OPEN) is not None)
        crowd.store.committed.look_every = 1e6
        async with crowd.following(many):
            before = crowd.store.looks
            await crowd.happen(*["churn"] * 5)
            await crowd.all_are_told(1, 2, 3, 4, 5)
            # With each commit, and once more to see that there is nothing more.
            assert crowd.store.looks - before <= 12


async def test_an_event_is_encoded_once_for_all(crowd: Crowd) -> None:
    encoded: list[int] = []

    def encode(recorded: Recorded[Any]) -> bytes:
        encoded.append(recorded.position)
        return b"x"

    async with crowd.following(1):
        await eventually(lambda: crowd.tail._in_memory(0, OPEN) is not None)
        await crowd.happen("churn")
        await crowd.all_are_told(1)
        [event] = await crowd.store.read_all(0, 1, log=AUDIT)
        for _ in range(3):
            assert crowd.tail.once(event, encode) == b"x"
    assert encoded == [1]


async def test_nobody_reads_when_nobody_follows(crowd: Crowd) -> None:
    async with crowd.following(3):
        await crowd.happen("churn")
        await crowd.all_are_told(1)
    looks = crowd.store.looks
    await crowd.happen("churn", "churn")
    assert crowd.store.looks == looks
    async with crowd.following(2):
        await crowd.all_are_told(1, 2, 3)


async def test_filters_are_applied_to_what_is_in_memory(crowd: Crowd) -> None:
    async with crowd.log.indexing(), crowd.following(3, Filter(project="other", type="*.deploy.*")):
        await crowd.happen("churn", "other", "churn", "other")
        await crowd.all_are_told(2, 4)


async def test_a_database_that_is_away_ends_what_is_followed_and_who_comes_back_goes_on(crowd: Crowd) -> None:
    await crowd.happen("churn")
    async with aclosing(crowd.tail.follow(0, OPEN)) as pages:
        assert (await anext(pages)).next == 1
        crowd.store.is_away = True
        await crowd.happen("churn")
        with pytest.raises(Unavailable):
            await to_the_end(pages)
    crowd.store.is_away = False
    async with crowd.following(2, after=1):
        await crowd.all_are_told(2)


# who is slow


async def test_who_falls_behind_what_is_in_memory_is_cut_off_where_he_was(tmp_path: Path) -> None:
    async with a_log(tmp_path) as log:
        crowd = a_crowd(log, events=8)
        async with crowd.following(1):
            async with aclosing(crowd.tail.follow(0, OPEN, is_patient=False)) as pages:
                await crowd.happen("churn")
                await crowd.all_are_told(1)
                first = await anext(pages)
                assert [each.position for each in first.events] == [1]
                await crowd.happen("churn")
                await crowd.all_are_told(1, 2)
                second = await anext(pages)
                await crowd.happen(*["churn"] * 20)
                await crowd.all_are_told(*range(1, 23))
                with pytest.raises(Overtaken) as overtaken:
                    await anext(pages)
            assert overtaken.value.after == second.next == 2
            async with aclosing(crowd.tail.follow(2, OPEN, is_patient=False)) as pages:
                assert [each.position for each in (await anext(pages)).events] == list(range(3, 23))


async def test_one_who_is_waited_for_reads_by_himself(tmp_path: Path) -> None:
    async with a_log(tmp_path) as log:
        crowd = a_crowd(log, events=8)
        async with crowd.following(1), aclosing(crowd.tail.follow(0, OPEN)) as pages:
            await crowd.happen("churn")
            assert (await anext(pages)).next == 1
            await crowd.happen(*["churn"] * 20)
            await crowd.all_are_told(*range(1, 22))
            assert [each.position for each in (await anext(pages)).events] == list(range(2, 22))


async def test_what_is_in_memory_has_an_end_in_bytes_too(tmp_path: Path) -> None:
    async with a_log(tmp_path) as log:
        crowd = a_crowd(log, size=4000)
        async with crowd.following(1):
            await crowd.happen(*["churn"] * 20)
            await crowd.all_are_told(*range(1, 21))
            assert crowd.tail._bytes <= 4000
            assert 0 < len(crowd.tail._ring) < 20


async def test_a_stream_that_is_cut_off_says_so_and_where_to_go_on(crowd: Crowd) -> None:
    class Cut(Tail):
        async def follow(
            self, after: int, wanted: Filter, *, is_patient: bool = True, beat: float | None = None
        ) -> AsyncGenerator[Page, None]:
            assert not is_patient
            async with aclosing(super().follow(after, wanted)) as pages:
                yield await anext(pages)
            raise Overtaken(after + 1)

    async def everybody() -> AsyncIterator[tokens.Token]:
        now = SystemClock().now()
        auditor = frozenset[tokens.Role]({"auditor"})
        yield tokens.Token(id="1", person="person:1", roles=auditor, issued=now, expires=now, kid="1")

    await crowd.happen("churn")
    tail = Cut(Queries(crowd.store), crowd.store)
    app = FastAPI()
    queries = Queries(crowd.store)
    callers = Callers(KeySet, crowd.log.alone.clock)
    app.include_router(
        router(
            reader=cast(Any, everybody),
            onlookers=Onlookers(callers, queries),
            queries=queries,
            store=crowd.store,
            tail=tail,
        )
    )
    async with AsyncClient(transport=ASGITransport(app), base_url="http://x") as http:
        answer = await http.get("/v1/events", headers={"accept": "text/event-stream"})
    event, end = answer.text.replace("\r\n", "\n").strip().split("\n\n")
    assert event.startswith("id: 1\nevent: event\ndata: {")
    assert end == (
        'event: end\ndata: {"detail":"you read too slowly","fix":"go on with Last-Event-ID: 1"}\nretry: 1000'
    )


# exact


@for_all(
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("happen"), st.sampled_from(["churn", "other", "third"]), st.integers(1, 6)),
            st.tuples(st.just("take"), st.just(""), st.integers(1, 3)),
            st.tuples(st.just("leave"), st.just(""), st.just(0)),
        ),
        max_size=25,
    ),
    ring=st.integers(1, 6),
    glob=st.sampled_from([None, "*", "*.deploy.*", "nothing"]),
    project=st.sampled_from([None, "churn", "nobody"]),
    is_patient=st.booleans(),
)
@settings(max_examples=25, deadline=None)
async def test_however_often_one_comes_back_each_event_is_told_once_and_in_order(
    tmp_path_factory: pytest.TempPathFactory,
    steps: list[tuple[str, str, int]],
    ring: int,
    glob: str | None,
    project: str | None,
    is_patient: bool,
) -> None:
    wanted = Filter(type=glob, project=project)
    async with a_log(tmp_path_factory.mktemp("log")) as log:
        crowd = a_crowd(log, events=ring)
        said: list[str] = []
        told: list[int] = []
        after = 0
        async with log.indexing(), crowd.following(1):
            pages = crowd.tail.follow(after, wanted, is_patient=is_patient)

            async def take() -> None:
                nonlocal after, pages
                try:
                    page = await anext(pages)
                except Overtaken as overtaken:
                    after = overtaken.after
                    pages = crowd.tail.follow(after, wanted, is_patient=is_patient)
                    return
                assert page.next > after
                told.extend(each.position for each in page.events)
                after = page.next

            for what, name, count in steps:
                match what:
                    case "happen":
                        said += [name] * count
                        await crowd.happen(*[name] * count)
                    case "take":
                        for _ in range(count):
                            if after < len(said):
                                await take()
                    case _:
                        await pages.aclose()
                        pages = crowd.tail.follow(after, wanted, is_patient=is_patient)
            while after < len(said):
                await take()
            await pages.aclose()
    type = "placet.gateway.deploy.requested.v1"
    assert told == [
        position
        for position, name in enumerate(said, start=1)
        if (glob is None or fnmatchcase(type, glob)) and project in (None, name)
    ]


def test_what_is_hidden_is_hidden_in_memory_with_what_the_platform_says_about_it() -> None:
    wanted, time = Filter(hidden=frozenset({"churn"})), "2026-01-01T00:00:00.000Z"
    places = [
        ("churn", None),
        ("platform", "churn"),
        ("platform", "wine"),
        ("platform", None),
        ("wine", None),
    ]
    told = [each for each in places if wanted.admits(type="x", project=each[0], named=each[1], time=time)]
    assert told == places[2:]


@for_all(st.text("ab*", max_size=12), st.text("ab", max_size=12))
def test_a_glob_is_the_same_in_memory_as_everywhere(glob: str, text: str) -> None:
    admitted = Filter(type=glob).admits(
        type=text, project="churn", named=None, time="2026-01-01T00:00:00.000Z"
    )
    assert admitted == fnmatchcase(text, glob)
