"""Leases on PostgreSQL run by its clock: processes whose own clocks disagree do not both have one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import pytest
from opentelemetry import trace
from placet.events.adapters.postgresql_store import open_postgresql_store
from placet.events.jobs import Finish, Job, JobRunner, Worker
from placet.events.leadership import Leadership
from placet.events.store import EVENTS
from placet.events.tables import LIBRARY
from placet.events.testing import CountingIds, ManualClock
from placet.events.unit_of_work import UnitOfWork, transact
from placet.events.wiring import Wiring

from tests.support.eventually import eventually
from tests.unit.events.harness import CODEC, CONTEXT, FatefulStore, ScriptedBus, running

SECONDS = 0.6
FAR = [timedelta(days=-1), timedelta(days=1)]


@pytest.fixture
async def here(database_url: str) -> AsyncIterator[Wiring]:
    store = await open_postgresql_store(
        database_url, schema="tester", codec=CODEC, ids=CountingIds(), tables=(LIBRARY,), logs=(EVENTS,)
    )
    yield wired(FatefulStore(store), timedelta())
    await store.close()


def wired(store: Any, ahead: timedelta) -> Wiring:
    clock = ManualClock()
    clock.pass_(ahead)
    return Wiring(
        store=store,
        bus=ScriptedBus(),
        codec=CODEC,
        clock=clock,
        ids=CountingIds(),
        tracer=trace.get_tracer("test"),
    )


@pytest.mark.parametrize("ahead", FAR)
async def test_one_leads_however_far_apart_the_clocks_are(here: Wiring, ahead: timedelta) -> None:
    asked = FatefulStore(here.store, ["heard"] * 1000)
    first = Leadership("tester", here, owner="one", seconds=SECONDS)
    second = Leadership("tester", wired(asked, ahead), owner="two", seconds=SECONDS)
    await first.acquire()
    async with running(first.keep()) as keeping, running(second.acquire()) as waiting:
        await eventually(lambda: len(asked.script) <= 1000 - 12)  # for more than two leases
        assert (first.is_held, second.is_held) == (True, False)
        keeping.cancel()
        await eventually(waiting.done)  # and no longer than it has to
    assert second.is_held


@pytest.mark.parametrize("ahead", FAR)
async def test_one_works_on_a_job_however_far_apart_the_clocks_are(here: Wiring, ahead: timedelta) -> None:
    there = wired(here.store, ahead)
    gate, begun = asyncio.Event(), list[str]()

    def worker(name: str) -> Worker[str]:
        async def run(job: Job[str]) -> Finish:
            begun.append(f"{name}: {job.payload}")
            if job.payload == "long":
                await gate.wait()
            return nothing

        return Worker(kind="work", payload=str, run=run, gave_up=lambda job, why: nothing)

    async def enqueue(wiring: Wiring, payload: str) -> None:
        async def change(work: UnitOfWork) -> None:
            work.enqueue("work", payload, payload)

        await transact(wiring, "tester", CONTEXT, change)

    def runner(wiring: Wiring, name: str) -> JobRunner:
        return JobRunner("tester", wiring, worker(name), owner=name, lease=SECONDS)

    async with running(runner(here, "here").run()):
        await enqueue(there, "long")
        await eventually(lambda: begun == ["here: long"])
        async with running(runner(there, "there").run()):
            for number in range(4):
                await enqueue(here, f"short {number}")
                await eventually(_has(begun, number + 2))
    assert [each for each in begun if each.endswith("long")] == ["here: long"]


def _has(found: list[str], count: int) -> Callable[[], bool]:
    return lambda: len(found) == count


async def nothing(work: UnitOfWork) -> None:
    """There is nothing to say."""
