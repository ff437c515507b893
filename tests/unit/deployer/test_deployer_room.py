"""Room that all projects share is never given away twice, on either database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from opentelemetry import trace
from placet.deployer import projections as p
from placet.deployer import queries
from placet.deployer.placements import Placements
from placet.deployer.placing import Reserve
from placet.deployer.projections import TABLES
from placet.deployer.room import KINDS, Amount, Holding, Quota, Room, Waiter, no_room
from placet.events import Context, UnitOfWork, Wiring, transact
from placet.events.adapters.in_process_bus import InProcessBus, InProcessHub
from placet.events.adapters.postgresql_store import open_postgresql_store
from placet.events.adapters.sqlite_store import open_sqlite_store
from placet.events.clocks import SystemClock, TimeOrderedIds
from placet.events.codec import Codec
from placet.events.contracts import CATALOG
from placet.events.contracts.shapes import Resources
from placet.events.envelope import Actor
from placet.events.store import EVENTS, EventStore
from placet.events.tables import LIBRARY

FITS = 5
ASKING = 24


class RoomIsGivenOnce:
    """Two processes that both believe they lead, many projects at once. A subclass gives their `stores`."""

    async def test_only_as_many_reservations_as_fit(self, stores: list[EventStore]) -> None:
        total = Amount(cpu_millis=FITS * 500 + 499, memory_bytes=2**40)
        names = [f"model-{number}" for number in range(ASKING)]
        said = await asyncio.gather(
            *(reserve(stores[index % len(stores)], name, total) for index, name in enumerate(names))
        )

        assert sorted(said) == ["ResourcesQueued"] * (ASKING - FITS) + ["ResourcesReserved"] * FITS
        room, _ = await queries.room(stores[0], total)
        assert len(room.held) == FITS
        places = [(each.turn, each.position) for each in await queries.queue(stores[0])]
        assert places == [(place, place) for place in range(1, ASKING - FITS + 1)]


async def reserve(store: EventStore, project: str, total: Amount) -> str:
    wiring = Wiring(
        store=store,
        bus=InProcessBus(InProcessHub(), "deployer"),
        codec=Codec(CATALOG),
        clock=SystemClock(),
        ids=TimeOrderedIds(),
        tracer=trace.get_tracer("test"),
    )
    placements = Placements(
        reads=store, total=total, reservation=timedelta(minutes=15), queue=timedelta(hours=1)
    )
    resources = Resources(cpu_millis=500, memory_bytes=2**20, gpus=0, min_replicas=1, max_replicas=1)

    def command(room: Room) -> Reserve:
        return Reserve(
            project=project,
            release=1,
            request=1,
            source=f"sha256:{'5' * 64}",
            image=None,
            resources=resources,
            room=room,
            patience=placements.patience(wiring.clock.now()),
            until=datetime(2026, 5, 4, tzinfo=UTC).isoformat(),
        )

    async def change(work: UnitOfWork) -> str:
        work.put(
            p.releases,
            project=project,
            release=1,
            source="",
            command="deploy",
            access="public",
            resources=msgspec.json.encode(resources),
        )
        (happened,) = await placements.decide_in_room(work, command)
        return type(happened).__name__

    context = Context(project=project, correlation=project, actor=Actor.service("deployer"))
    said, _ = await transact(wiring, "deployer", context, change)
    return said


class TestSqlite(RoomIsGivenOnce):
    @pytest.fixture
    async def stores(self, tmp_path: Path) -> AsyncIterator[list[EventStore]]:
        path = tmp_path / "deployer.db"
        opened: list[EventStore] = [
            await open_sqlite_store(
                path, codec=Codec(CATALOG), ids=TimeOrderedIds(), tables=(LIBRARY, TABLES), logs=(EVENTS,)
            )
            for _ in range(2)
        ]
        yield opened
        for store in opened:
            await store.close()


class TestPostgresql(RoomIsGivenOnce):
    @pytest.fixture
    async def stores(self, database_url: str) -> AsyncIterator[list[EventStore]]:
        opened: list[EventStore] = [
            await open_postgresql_store(
                database_url,
                schema="deployer",
                codec=Codec(CATALOG),
                ids=TimeOrderedIds(),
                tables=(LIBRARY, TABLES),
                logs=(EVENTS,),
            )
            for _ in range(2)
        ]
        yield opened
        for store in opened:
            await store.close()


GIB = 2**30


def test_a_gpu_that_there_is_not_and_all_else_that_is_too_much_are_told_together() -> None:
    room = Room(total=Amount(cpu_millis=4000, memory_bytes=8 * GIB))
    both = no_room("churn", Amount(cpu_millis=99000, memory_bytes=GIB, gpus=2), room)
    assert both is not None
    assert both.why == (
        "churn asks for 2 GPUs, and this platform has none;"
        " it asks for 99 CPU and 1024 MiB of memory, and this platform has 4 CPU and 8192 MiB of memory"
    )
    assert both.is_lasting
    one = no_room("churn", Amount(cpu_millis=1000, memory_bytes=GIB, gpus=1), room)
    assert one is not None
    assert one.why == "churn asks for a GPU, and this platform has none"
    assert one.fix.endswith("this platform has 4 CPU and 8192 MiB of memory, and no GPU, to give")


def test_what_can_never_run_beside_what_serves_is_told_so() -> None:
    serves = Holding(project="churn", release=1, amount=Amount(memory_bytes=6 * GIB), is_live=True)
    another = Holding(project="wine", release=1, amount=Amount(memory_bytes=GIB), is_live=True)
    room = Room(total=Amount(cpu_millis=4000, memory_bytes=8 * GIB), held=(serves, another))
    never = no_room("churn", Amount(cpu_millis=1000, memory_bytes=4 * GIB), room)
    assert never is not None
    assert never.why.endswith("beside what churn serves there is 4 CPU and 2048 MiB of memory")
    assert never.fix.startswith("stop churn first")


@pytest.mark.parametrize(
    ("limits", "step"),
    [
        ({"cpu_millis": 1000}, "--cpu 1500m"),
        ({"cpu_millis": 500, "memory_bytes": 5 * GIB}, "--cpu 1500m --memory 5Gi"),
        ({"memory_bytes": GIB, "models": 1}, "--memory 2049Mi --models 2"),
        ({"models": 1, "gpus": 0}, "--gpu 0 --models 2"),
    ],
)
def test_who_is_to_raise_a_quota_is_told_to_how_much(limits: dict[str, int], step: str) -> None:
    """With all that it bounds: what is set takes the place of what was before."""
    ordered = {kind: limits[kind] for kind in KINDS if kind in limits}
    room = Room(
        total=Amount(cpu_millis=8000, memory_bytes=64 * GIB),
        held=(Holding(project="fraud", release=1, amount=Amount(cpu_millis=1000, memory_bytes=GIB)),),
        quotas=(Quota(scope="team", of="bank", limits=ordered),),
        teams={"churn": "bank", "fraud": "bank"},
    )
    none = no_room("churn", Amount(cpu_millis=500, memory_bytes=GIB + 1), room)
    assert none is not None
    assert none.fix.endswith(f"have an operator raise its quota: placet quota set --team bank {step}")


def test_what_those_before_wait_for_of_a_quota_counts_among_what_it_is_raised_to() -> None:
    small = Amount(cpu_millis=500, memory_bytes=2**20)
    room = Room(
        total=Amount(cpu_millis=8000, memory_bytes=64 * GIB),
        held=(Holding(project="fraud", release=1, amount=small),),
        queue=(Waiter(project="wine", release=1, amount=small, turn=1),),
        quotas=(Quota(scope="team", of="bank", limits={"models": 1}),),
        teams={"churn": "bank", "fraud": "bank", "wine": "bank"},
    )
    none = no_room("churn", small, room)
    assert none is not None
    assert none.fix.endswith("--team bank --models 3")
