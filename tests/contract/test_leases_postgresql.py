"""Leases on PostgreSQL run by its clock: processes whose own clocks disagree do not both have one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial
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
from tests.unit.events.asking import turns_of
from tests.unit.events.harness import CODEC, CONTEXT, FatefulStore, ScriptedBus, running

SECONDS = 10.0
DAY = timedelta(days=1)


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


async def test_one_leads_however_far_apart_the_clocks_are(here: Wiring) -> None:
    first = Leadership("tester", here, owner="here", seconds=SECONDS)
    stores = [FatefulStore(here.store, ["heard"] * 1000) for _ in range(2)]
    late, early = (
        Leadership("tester", wired(store, ahead), owner=str(ahead), seconds=SECONDS)
        for store, ahead in zip(stores, (-DAY, DAY), strict=True)
    )
    await first.acquire()
    async with running(first.keep()) as keeping, running(late.acquire()), running(early.acquire()):
        await eventually(
            lambda: all(len(each.script) <= 997 for each in stores)
        )  # asked, and heard twice at least
        assert (first.is_held, late.is_held, early.is_held) == (True, False, False)
        keeping.cancel()
        await eventually(lambda: late.is_held or early.is_held)  # and none waits for a day
    assert not (late.is_held and early.is_held)


async def test_one_works_on_a_job_however_far_apart_the_clocks_are(here: Wiring) -> None:
    late, early = wired(here.store, -DAY), wired(here.store, DAY)
    gate, begun = asyncio.Event(), list[str]()

    async def run(job: Job[str]) -> Finish:
        begun.append(job.payload)
        if job.payload == "long":
            await gate.wait()
        return nothing

    async def enqueue(wiring: Wiring, payload: str) -> None:
        async def change(work: UnitOfWork) -> None:
            work.enqueue("work", payload, payload)

        await transact(wiring, "tester", CONTEXT, change)

    def runner(wiring: Wiring, owner: str) -> JobRunner:
        worker = Worker(kind="work", payload=str, run=run, gave_up=lambda job, why: nothing, slots=1)
        return JobRunner("tester", wiring, worker, owner=owner, lease=SECONDS)

    async with running(runner(here, "here").run()):
        await enqueue(early, "long")
        await eventually(lambda: begun == ["long"])
        async with running(runner(late, "late").run()), running(runner(early, "early").run()):
            for number in range(4):  # each of which both look for
                await enqueue(here, f"short {number}")
                await eventually(partial(begun.__contains__, f"short {number}"))
    assert sorted(begun) == ["long", *(f"short {number}" for number in range(4))]


async def test_jobs_are_shared_by_who_asks_for_them(here: Wiring) -> None:
    turns = await turns_of(here, ManualClock(), [*["ada"] * 20, "grace", None, "edsger", "grace"])
    assert turns.begun == ["ada", "grace", "edsger", "ada", "grace", *["ada"] * 18]


async def nothing(work: UnitOfWork) -> None:
    """There is nothing to say."""
