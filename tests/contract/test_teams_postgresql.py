"""Two replicas of a gateway at one team: what one disbands, the other gives no role any more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
import sqlalchemy as sa
from opentelemetry import trace
from placet.errors import Conflict, Unknown
from placet.events.adapters.postgresql_store import open_postgresql_store
from placet.events.clocks import TimeOrderedIds
from placet.events.codec import Codec
from placet.events.contracts import CATALOG
from placet.events.store import EVENTS
from placet.events.tables import LIBRARY
from placet.events.testing import ManualClock
from placet.events.wiring import Wiring
from placet.gateway import projections as p
from placet.gateway.granting import Granting
from placet.gateway.people import People

from tests.unit.events.harness import ScriptedBus

ADMIN = "person:00000000-0000-0000-0000-000000000001"
TIMES = 40


@pytest.fixture
async def replicas(database_url: str) -> AsyncIterator[list[Wiring]]:
    async with AsyncExitStack() as stack:
        wirings = []
        for _ in range(2):
            store = await open_postgresql_store(
                database_url,
                schema="gateway",
                codec=Codec(CATALOG),
                ids=TimeOrderedIds(),
                tables=(LIBRARY, p.TABLES),
                logs=(EVENTS,),
            )
            stack.push_async_callback(store.close)
            wirings.append(
                Wiring(
                    store=store,
                    bus=ScriptedBus(),
                    codec=Codec(CATALOG),
                    clock=ManualClock(),
                    ids=TimeOrderedIds(),
                    tracer=trace.get_tracer("test"),
                )
            )
        yield wirings


async def test_a_team_is_disbanded_or_has_its_role(replicas: list[Wiring]) -> None:
    here, there = (Granting(each, People(each.store)) for each in replicas)
    ended = set()
    for number in range(TIMES):
        team, project = f"team-{number}", f"project-{number}"
        await here.change_team(team, ADMIN, makes=True)
        disbanded, given = await asyncio.gather(
            here.disband(team, ADMIN),
            there.grant(project, f"team:{team}", "owner", ADMIN),
            return_exceptions=True,
        )
        ended.add((type(disbanded), type(given)))
        roles = await replicas[0].store.rows(
            sa.select(p.sharing.roles).where(p.sharing.roles.c.project == project)
        )
        is_team = await replicas[0].store.rows(sa.select(p.made_teams).where(p.made_teams.c.team == team))
        assert (bool(is_team), bool(roles)) in ((True, True), (False, False))
    assert ended <= {(type(None), Unknown), (Conflict, type(None))}


async def test_a_team_that_is_disbanded_does_not_come_back_with_who_leaves_it(replicas: list[Wiring]) -> None:
    here, there = (Granting(each, People(each.store)) for each in replicas)
    left = set()
    for number in range(TIMES):
        team = f"team-{number}"
        await here.change_team(team, ADMIN, makes=True)
        disbanded, leaving = await asyncio.gather(
            here.disband(team, ADMIN),
            there.leave_team(team, ADMIN, ADMIN),
            return_exceptions=True,
        )
        assert disbanded is None
        left.add(type(leaving))
        assert not await replicas[0].store.rows(sa.select(p.made_teams).where(p.made_teams.c.team == team))
    assert left <= {type(None), Unknown}
