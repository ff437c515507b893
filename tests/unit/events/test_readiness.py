"""`/readyz` says no, and why, when a service cannot do what it is for."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from placet.errors import Unavailable
from placet.events import tables
from placet.events.bus import Receiver, Subscription
from placet.events.envelope import Recorded
from placet.events.http import http_app
from placet.events.parked import all_parked
from placet.events.reaction import ByType
from placet.events.service import Periodic, Service, ServiceRunner
from placet.events.store import Run, Unit
from placet.events.wiring import Wiring

from tests.support.eventually import eventually
from tests.unit.events.harness import FatefulStore, ScriptedBus, running


class Listening(ScriptedBus):
    """A bus on which nothing comes."""

    async def consume(self, subscription: Subscription, receiver: Receiver) -> None:
        await asyncio.get_running_loop().create_future()


class Watched(FatefulStore):
    """A store that remembers what it was asked for."""

    queries: list[sa.Select[Any]]

    async def rows(
        self, query: sa.Select[Any], values: Mapping[str, Any] | None = None
    ) -> Sequence[sa.Row[Any]]:
        self.queries.append(query)
        return await super().rows(query, values)


@pytest.fixture
def bus() -> ScriptedBus:
    return Listening()


def runner(wiring: Wiring, *, lease_seconds: float = 10.0) -> ServiceRunner:
    service = Service(name="tester", wiring=wiring, hears=frozenset({"alpha"}), reaction=ByType({}), says=())
    return ServiceRunner(service, lease_seconds=lease_seconds)


async def readyz(runner: ServiceRunner) -> tuple[int, dict[str, Any]]:
    transport = httpx.ASGITransport(http_app("placet tester", [runner], version="1"))
    async with httpx.AsyncClient(transport=transport, base_url="http://tester") as client:
        answer = await client.get("/readyz")
    return answer.status_code, answer.json()["services"]["tester"]


async def test_a_leader_that_cannot_hear_is_not_ready_and_says_why(wiring: Wiring, bus: ScriptedBus) -> None:
    only = runner(wiring)
    async with running(only.run()):
        await eventually(lambda: only.is_leading)
        assert (await readyz(only))[0] == 200

        bus.impediment = "hears nothing for 7 s: RabbitMQ: ACCESS_REFUSED"
        status, state = await readyz(only)
        assert (status, state["ready"]) == (503, False)
        assert state["why"] == "hears nothing for 7 s: RabbitMQ: ACCESS_REFUSED"
        assert state["leads"]

        bus.impediment = None
        assert (await readyz(only))[0] == 200


async def test_what_is_away_beside_that_is_told_and_takes_nobody_off(
    wiring: Wiring, bus: ScriptedBus
) -> None:
    """A container engine, say: models serve on without it, and their requests pass here."""
    away: list[str] = ["the engine does not answer"]

    async def look() -> None:
        if away:
            raise Unavailable(away[0], fix="start it")

    periodic = Periodic(name="reconcile", every=0.01, run=look)
    only = ServiceRunner(replace(runner(wiring).service, periodic=(periodic,)))

    async def hampered() -> dict[str, str] | None:
        status, state = await readyz(only)
        assert (status, state["ready"]) == (200, True)
        told: dict[str, str] | None = state.get("hampered")
        return told

    async def is_told() -> bool:
        return await hampered() == {"reconcile": "the engine does not answer; start it"}

    async def is_over() -> bool:
        return await hampered() is None

    async with running(only.run()):
        await eventually(lambda: only.is_leading)
        await eventually(is_told)
        away.clear()
        await eventually(is_over)
        away.append("it is gone again")
        await eventually(lambda: only.hampered)
    assert not only.hampered  # who leads next says so


class Closable(FatefulStore):
    """A database that answers readers and, while it is closed, takes nothing: it is full, or a standby."""

    is_closed = False

    async def commit(self, unit: Unit) -> tuple[Recorded[Any], ...]:
        if self.is_closed:
            raise Unavailable("the database is closed for writing")
        return await super().commit(unit)


async def test_who_cannot_ask_to_lead_is_not_ready_and_says_why(wiring: Wiring, bus: ScriptedBus) -> None:
    """Or every replica would look healthy, and none would hear or say anything."""
    store = Closable(wiring.store)
    only = runner(replace(wiring, store=store), lease_seconds=0.5)
    async with running(only.run()):
        await eventually(lambda: only.is_leading)
        store.is_closed = True
        await eventually(lambda: not only.is_leading and only.impediment is not None)
        status, state = await readyz(only)
        assert (status, state["ready"], state["leads"]) == (503, False, False)
        assert state["why"] == "cannot ask for the lease: the database is closed for writing"

        store.is_closed = False
        await eventually(lambda: only.is_leading)
        assert (await readyz(only))[0] == 200


async def test_who_stands_by_needs_no_broker(wiring: Wiring, bus: ScriptedBus) -> None:
    first, second = runner(wiring), runner(wiring)
    async with running(first.run()):
        await eventually(lambda: first.is_leading)
        async with running(second.run()):
            await eventually(lambda: second.is_started)
            bus.impediment = "says nothing for 7 s: RabbitMQ hung up"
            assert (await readyz(second))[0] == 200


async def test_without_a_database_it_is_not_ready(wiring: Wiring) -> None:
    class Away(FatefulStore):
        async def rows(
            self, query: sa.Select[Any], values: Mapping[str, Any] | None = None
        ) -> Sequence[sa.Row[Any]]:
            raise Unavailable("the database is away")

    status, state = await readyz(runner(replace(wiring, store=Away(wiring.store))))
    assert status == 503
    assert state == {"ready": False, "why": "the database is away"}


async def test_what_is_parked_is_counted_without_reading_it(wiring: Wiring) -> None:
    event = {
        "producer": "alpha",
        "epoch": "e",
        "routing_key": "k",
        "lane": "k",
        "raw": b"x",
        "attempts": 1,
        "next_at": 0.0,
    }
    stray = {"id": "1", "sender": None, "routing_key": "k", "raw": b"x", "reason": "r", "received_at": 0.0}
    rows = [
        {**event, "position": position, "state": state, "reason": "r", "received_at": 0.0}
        for position, state in ((1, "parked"), (2, "parked"), (3, "waiting"))
    ]
    insert = (
        Run(statement=sa.insert(tables.inbox), parameters=rows),
        Run(statement=sa.insert(tables.strays), parameters=[stray]),
    )
    await wiring.store.commit(Unit(writes=insert))
    watched = Watched(wiring.store)
    watched.queries = []

    _, state = await readyz(runner(replace(wiring, store=watched)))
    assert state["parked"] == 3
    assert [len(await wiring.store.rows(query)) for query in watched.queries] == [1]

    assert len(await all_parked(watched)) == 3
    read = {column.name for query in watched.queries for column in query.selected_columns}
    assert "raw" not in read
