"""Each service says how it stands to whoever has a token, and operators hand back what it put aside, once each."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from placet.errors import Unauthenticated, Unavailable
from placet.events import tables
from placet.events.bus import Subscription
from placet.events.http import Face, http_app
from placet.events.inbox import Inbox
from placet.events.outcome import Park
from placet.events.projection import Projection
from placet.events.reaction import ByType, Heard
from placet.events.service import Caller, Service, ServiceRunner
from placet.events.store import EVENTS, Head, Run, Unit
from placet.events.testing import ManualClock
from placet.events.unit_of_work import UnitOfWork
from placet.events.wiring import Wiring
from starlette.requests import Request

from tests.support.eventually import eventually
from tests.unit.events.harness import (
    AlphaNoted,
    FatefulStore,
    ProducerLog,
    ScriptedBus,
    append,
    running,
)

PROJECTS = ("churn", "fraud", "wine")
SECRET = "what a message says is nobody's to see"


@dataclass(frozen=True)
class Somebody:
    person: str
    roles: frozenset[str]


@asynccontextmanager
async def admits(request: Request) -> AsyncIterator[Caller]:
    """Whoever names a role has it."""
    role = request.headers.get("authorization", "").removeprefix("Bearer ")
    if not role:
        raise Unauthenticated("this call needs a token")
    yield Somebody(f"person:{role}", frozenset({role}))


class Handing(ScriptedBus):
    """A bus that hands over what a test has put there."""

    def __init__(self, log: ProducerLog) -> None:
        super().__init__()
        self._log = log

    async def consume(self, subscription: Subscription, receiver: Any) -> None:
        assert isinstance(receiver, Inbox)
        await receiver.hear(self._log.head)
        await receiver.receive(self._log.deliveries)
        await asyncio.get_running_loop().create_future()


@dataclass
class World:
    wiring: Wiring
    log: ProducerLog = field(default_factory=lambda: ProducerLog("alpha"))
    handled: list[str] = field(default_factory=list)
    refuses: bool = True
    app: Face | None = None

    def __post_init__(self) -> None:
        self.wiring = replace(self.wiring, bus=Handing(self.log))
        service = Service(
            name="tester",
            wiring=self.wiring,
            hears=frozenset({"alpha", "beta"}),
            reaction=ByType({AlphaNoted: self._on_noted}),
            says=(),
            admits=admits,
        )
        self.runner = ServiceRunner(service)
        self.silent = ServiceRunner(replace(service, name="silent", admits=None))

    async def _on_noted(self, heard: Heard[AlphaNoted], work: UnitOfWork) -> Park | None:
        if self.refuses:
            return Park(reason=f"no {heard.event.partitionkey} today")
        self.handled.append(heard.event.partitionkey)
        return None

    async def ask(self, method: str, path: str, role: str | None = "operator") -> httpx.Response:
        self.app = self.app or http_app("placet tester", [self.runner, self.silent], version="1")
        transport = httpx.ASGITransport(self.app)
        headers = {"Authorization": f"Bearer {role}"} if role else {}
        async with httpx.AsyncClient(transport=transport, base_url="http://tester", headers=headers) as http:
            return await http.request(method, f"/v1/services/{path}")

    async def told(self, path: str, role: str = "operator") -> Any:
        answer = await self.ask("GET", path, role)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def parked(self) -> list[dict[str, Any]]:
        parked: list[dict[str, Any]] = (await self.told("tester/parked"))["parked"]
        return parked

    async def post(self, path: str) -> int:
        answer = await self.ask("POST", path)
        assert answer.status_code == 202, answer.text
        return int(answer.json()["retried"])

    def _are_parked(self, number: int) -> Any:
        async def are() -> bool:
            return len(await self.parked()) == number

        return are

    @asynccontextmanager
    async def at_work(self, *projects: str) -> AsyncIterator[None]:
        """As a leader that has heard of these, and put them aside."""
        for project in projects:
            self.log.say(AlphaNoted(text=SECRET), project)
        async with running(self.runner.run()):
            await eventually(self._are_parked(len(projects)))
            yield


@pytest.fixture
def world(wiring: Wiring) -> World:
    return World(wiring)


async def test_what_is_parked_is_told_with_its_reason_and_nothing_of_what_it_says(world: World) -> None:
    async with world.at_work("churn"):
        (parked,) = await world.parked()
        text = (await world.ask("GET", "tester/parked")).text
    assert parked == {
        "id": "alpha.alpha-1.1",
        "producer": "alpha",
        "epoch": "alpha-1",
        "position": 1,
        "event": "alpha-1-1",
        "type": "placet.alpha.thing.noted.v1",
        "project": "churn",
        "routingKey": "alpha.thing.noted.churn",
        "reason": "no churn today",
        "attempts": 1,
        "receivedAt": "2026-01-01T00:00:00.000Z",
        "parkedAt": "2026-01-01T00:00:00.000Z",
        "stray": False,
    }
    assert SECRET not in text


async def test_what_is_parked_comes_in_pages(world: World) -> None:
    stray = {
        "id": "7",
        "sender": "beta",
        "routing_key": "k",
        "raw": b"x",
        "reason": "sent by beta",
        "received_at": 0.0,
    }
    await world.wiring.store.commit(
        Unit(writes=(Run(statement=sa.insert(tables.strays), parameters=[stray]),))
    )
    world.log.say(AlphaNoted(text="1"), "churn")
    world.log.say(AlphaNoted(text="2"), "fraud")
    async with running(world.runner.run()):
        await eventually(world._are_parked(3))
        seen, after = [], ""
        while True:
            page = await world.told(f"tester/parked?limit=1{after}")
            seen += page["parked"]
            if page["next"] is None:
                break
            after = f"&after={page['next']}"
        assert [each["project"] for each in seen] == ["churn", "fraud", None]
        assert [each["stray"] for each in seen] == [False, False, True]
        assert seen[2]["event"] is None
        refused = await world.ask("POST", f"tester/parked/{seen[2]['id']}/retry")
        assert (refused.status_code, "never handled" in refused.text) == (422, True)


async def test_one_is_handed_back_and_handled_once_however_often_that_is_asked(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    async with world.at_work(*PROJECTS):
        world.refuses = False
        with caplog.at_level(logging.WARNING, "placet.events.services_api"):
            both = await asyncio.gather(
                *[world.post("tester/parked/alpha.alpha-1.2/retry") for _ in range(2)]
            )
        assert sorted(both) == [0, 1]
        await eventually(lambda: world.handled == ["fraud"])
        assert [each["project"] for each in await world.parked()] == ["churn", "wine"]
        assert await world.post("tester/parked/alpha.alpha-1.2/retry") == 0
        assert world.handled == ["fraud"]
    (line,) = [each.getMessage() for each in caplog.records if each.name == "placet.events.services_api"]
    assert line == "tester: person:operator hands back alpha.alpha-1.2"


async def test_all_are_handed_back_at_once_and_counted_once(world: World) -> None:
    async with world.at_work(*PROJECTS):
        world.refuses = False
        both = await asyncio.gather(*[world.post("tester/parked/retry") for _ in range(2)])
        assert sorted(both) == [0, 3]
        await eventually(lambda: sorted(world.handled) == sorted(PROJECTS))
        assert await world.parked() == []
        assert (await world.told("tester"))["parked"] == 0


async def test_what_fails_again_is_parked_again(world: World) -> None:
    async with world.at_work("churn"):
        retried: list[int] = []

        async def is_back() -> bool:
            return len(retried) == 1 and [each["reason"] for each in await world.parked()] == [
                "no churn today"
            ]

        retried.append(await world.post("tester/parked/retry"))
        await eventually(is_back)
        assert retried == [1]
        assert world.handled == []


@pytest.mark.parametrize(
    ("id", "status"),
    [
        ("alpha.alpha-1.9", 404), ("gamma.g.1", 404), ("alpha.alpha-2.1", 404), ("nonsense", 400), ("a.b.c", 400),
        ("a.b.-1", 400),
    ],
)  # fmt: skip
async def test_what_was_never_heard_is_told_to_be_unknown(world: World, id: str, status: int) -> None:
    async with world.at_work("churn"):
        answer = await world.ask("POST", f"tester/parked/{id}/retry")
        assert (answer.status_code, "fix" in answer.json()) == (status, True)
        assert len(await world.parked()) == 1


@pytest.mark.parametrize("after", ["nonsense", "alpha.alpha-1.x"])
async def test_a_page_begins_behind_what_is_an_id(world: World, after: str) -> None:
    assert (await world.ask("GET", f"tester/parked?after={after}")).status_code == 400


@pytest.mark.parametrize(
    ("role", "how_it_stands", "parked"),
    [
        ("operator", 200, 200), ("admin", 200, 200), ("scientist", 200, 403), ("auditor", 200, 403),
        ("compliance", 200, 403), (None, 401, 401),
    ],
)  # fmt: skip
async def test_who_may_see_what(world: World, role: str | None, how_it_stands: int, parked: int) -> None:
    assert (await world.ask("GET", "tester", role)).status_code == how_it_stands
    assert (await world.ask("GET", "tester/parked", role)).status_code == parked
    posted = [
        (await world.ask("POST", path, role)).status_code
        for path in ("tester/parked/retry", "tester/parked/alpha.alpha-1.1/retry")
    ]
    allowed = role in ("operator", "admin")
    assert posted == ([202, 404] if allowed else [parked, parked])


@pytest.mark.parametrize("name", ["builder", "silent"])
async def test_who_is_not_here_is_told_who_is(world: World, name: str) -> None:
    answer = await world.ask("GET", name)
    assert answer.status_code == 404
    assert "here answers tester" in answer.json()["fix"]


async def test_a_service_tells_how_far_it_is_from_its_database(world: World, bus: ScriptedBus) -> None:
    for project in PROJECTS:
        world.log.say(AlphaNoted(text="1"), project)
    async with running(world.runner.run()):
        await eventually(world._are_parked(3))
        await world.wiring.store.commit(append("a", "b"))
        await eventually(lambda: world.runner.outbox_sent == 2)
        told = await world.told("tester", "auditor")
    assert told["ready"]
    assert told["leads"]
    assert told["parked"] == 3
    assert told["outbox"] == {"position": 2, "waiting": 0, "since": None}
    assert told["hears"] == [
        {"producer": "alpha", "position": 3, "behind": 0, "waiting": 0, "since": None, "attempts": 0},
        {"producer": "beta", "position": 0, "behind": 0, "waiting": 0, "since": None, "attempts": 0},
    ]


async def test_what_is_still_to_be_sent_and_to_be_handled_is_told_with_its_age(world: World) -> None:
    await world.wiring.store.commit(append("a", "b"))
    row = {
        "producer": "alpha", "epoch": "alpha-1", "position": 1, "routing_key": "alpha.thing.noted.churn",
        "lane": "churn", "raw": b"x", "state": "waiting", "attempts": 2, "next_at": 0.0, "reason": "r",
        "received_at": 1.5,
    }  # fmt: skip
    job = {
        "kind": "build", "asker": "a", "context": b"", "payload": b"", "attempts": 3, "next_at": 0.0,
        "reason": None, "leased_until": 0.0,
    }  # fmt: skip
    jobs = [
        {**job, "key": "1", "leased_by": None},
        {**job, "key": "2", "leased_by": "me", "leased_until": 9e9},
    ]
    await world.wiring.store.commit(
        Unit(
            writes=(
                Run(statement=sa.insert(tables.inbox), parameters=[row]),
                Run(statement=sa.insert(tables.jobs), parameters=jobs),
            )
        )
    )
    told = await world.told("tester")
    assert not told["ready"]
    assert told["outbox"] == {"position": 2, "waiting": 2, "since": "2026-01-01T00:00:00.000Z"}
    assert told["hears"][0] == {
        "producer": "alpha", "position": 0, "behind": None, "waiting": 1,
        "since": "1970-01-01T00:00:01.500Z", "attempts": 2,
    }  # fmt: skip
    assert told["jobs"] == [{"kind": "build", "running": 1, "waiting": 1, "failed": 2}]


async def test_its_read_models_are_told_with_the_ones_that_are_made_beside_them(
    world: World, clock: ManualClock
) -> None:
    await world.wiring.store.commit(append("a", "b", "c"))
    models = [
        Projection(name=name, version=3, apply=lambda page, generation: (), tables=())
        for name in ("cards", "new")
    ]
    world.runner = ServiceRunner(replace(world.runner.service, projections=tuple(models)))
    beat = clock.now().timestamp() - 4
    row = {"name": "cards", "beat_at": beat}
    rows = [
        {**row, "generation": 1, "version": 2, "state": "serves", "position": 2},
        {**row, "generation": 2, "version": 3, "state": "builds", "position": 1},
        {**row, "generation": 0, "version": 1, "state": "left", "position": 9, "beat_at": 0.0},
    ]
    insert = Run(statement=sa.insert(tables.generations), parameters=rows)
    await world.wiring.store.commit(Unit(writes=(insert,)))
    cards, new = (await world.told("tester"))["projections"]
    assert cards == {
        "name": "cards", "version": 2, "position": 2, "lag": 1, "beatAge": 4.0,
        "building": {"version": 3, "position": 1, "lag": 2},
    }  # fmt: skip
    assert (new["version"], new["position"], new["lag"], new["building"]) == (3, 0, 3, None)


async def test_how_a_service_stands_is_one_question_and_one_for_its_log(world: World) -> None:
    """Six services tell it at once for one page, and each question waits for its turn."""
    asked: list[sa.Select[Any]] = []

    class Counting(FatefulStore):
        async def rows(self, query: sa.Select[Any], values: Any = None) -> Any:
            asked.append(query)
            return await super().rows(query, values)

        async def head(self, log: str = EVENTS) -> Head:
            asked.append(sa.select(sa.literal(log)))
            return await super().head(log)

    models = [
        Projection(name=f"model-{number}", version=1, apply=lambda page, generation: (), tables=())
        for number in range(5)
    ]
    counting = replace(world.wiring, store=Counting(world.wiring.store))
    service = replace(world.runner.service, wiring=counting, projections=tuple(models))
    world.runner = ServiceRunner(service)
    assert len((await world.told("tester"))["projections"]) == 5
    assert len(asked) == 2


async def test_without_a_database_a_service_tells_that(world: World) -> None:
    class Away(FatefulStore):
        async def rows(self, query: sa.Select[Any], values: Any = None) -> Any:
            raise Unavailable("the database is away")

    away = replace(world.wiring, store=Away(world.wiring.store))
    world.runner = ServiceRunner(replace(world.runner.service, wiring=away))
    told = await world.told("tester")
    assert (told["ready"], told["why"], told["parked"]) == (False, "the database is away", None)
