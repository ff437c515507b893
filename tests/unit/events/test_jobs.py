"""Long work is leased: a crash hands it on, and only who holds the lease says what came of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
import sqlalchemy as sa
from placet.errors import Refused, TooLarge, Unavailable
from placet.events import tables
from placet.events.jobs import Finish, Job, JobRunner, Worker
from placet.events.outcome import MAX_ATTEMPTS
from placet.events.store import Run, Unit
from placet.events.testing import ManualClock
from placet.events.unit_of_work import UnitOfWork, transact
from placet.events.wiring import Wiring

from tests.support.eventually import eventually
from tests.unit.events.harness import CONTEXT, Fate, FatefulStore, HastyClock, kept, open_wiring, running

LEASE = 1e9
"""Seconds: nothing is renewed and nothing runs out unless the test's clock says so."""
LOOK_EVERY = 0.02


@dataclass(frozen=True, kw_only=True)
class Build:
    what: str


@dataclass
class Building:
    """The long part waits for `gate` if there is one; `says` are errors of the first attempts."""

    gate: asyncio.Event | None = None
    says: list[Exception] = field(default_factory=list)
    begun: list[tuple[str, int]] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0

    async def run(self, job: Job[Build]) -> Finish:
        self.begun.append((job.payload.what, job.attempts))
        self.at_once += 1
        self.most_at_once = max(self.at_once, self.most_at_once)
        try:
            if self.gate is not None:
                await self.gate.wait()
        finally:
            self.at_once -= 1
        if self.says:
            raise self.says.pop(0)
        return keep(f"built {job.payload.what}")

    def gave_up(self, job: Job[Build], why: str) -> Finish:
        return keep(f"gave up {job.payload.what}: {why.splitlines()[0]}")

    def worker(self, slots: int = 2) -> Worker[Build]:
        return Worker(kind="build", payload=Build, run=self.run, gave_up=self.gave_up, slots=slots)


def keep(what: str) -> Callable[[UnitOfWork], Awaitable[None]]:
    async def finish(work: UnitOfWork) -> None:
        next_number = sa.select(sa.func.coalesce(sa.func.max(kept.c.number), 0) + 1).scalar_subquery()
        work.run(sa.insert(kept).values(number=next_number, place=what))

    return finish


async def enqueue(wiring: Wiring, *keys: str) -> None:
    async def change(work: UnitOfWork) -> None:
        for key in keys:
            work.enqueue("build", key, Build(what=key))

    await transact(wiring, "tester", CONTEXT, change)


def runner(wiring: Wiring, building: Building, *, owner: str = "one", slots: int = 2) -> JobRunner:
    return JobRunner(
        "tester", wiring, building.worker(slots), owner=owner, lease=LEASE, look_every=LOOK_EVERY
    )


async def results(wiring: Wiring) -> list[str]:
    return [row.place for row in await wiring.store.rows(sa.select(kept).order_by(kept.c.number))]


async def jobs_left(wiring: Wiring) -> list[tuple[str, str | None]]:
    return [(row.key, row.leased_by) for row in await wiring.store.rows(sa.select(tables.jobs))]


async def is_left(wiring: Wiring, *expected: tuple[str, str | None]) -> bool:
    return await jobs_left(wiring) == list(expected)


async def is_result(wiring: Wiring, *expected: str) -> None:
    async def is_there() -> bool:
        found = await results(wiring)
        assert sorted(found) == sorted(expected)
        return True

    await eventually(is_there)


async def test_a_job_is_done_once_and_gone(wiring: Wiring) -> None:
    building = Building()
    async with running(runner(wiring, building).run()):
        await enqueue(wiring, "churn")
        await is_result(wiring, "built churn")
    assert building.begun == [("churn", 0)]
    assert await jobs_left(wiring) == []


async def test_a_job_of_another_version_stays_for_one_and_holds_nobody_up(tmp_path: Path) -> None:
    clock = ManualClock()
    wiring = await open_wiring(tmp_path / "tester.db", clock=clock)
    await enqueue(wiring, "old", "new")
    row = sa.update(tables.jobs).where(tables.jobs.c.key == "old")
    await wiring.store.commit(Unit(writes=(Run(statement=row.values(payload=b'{"which":"old"}')),)))
    async with running(runner(wiring, Building()).run()):
        await is_result(wiring, "built new")
        assert "another version" in await reason_of(wiring, "old")
        await wiring.store.commit(Unit(writes=(Run(statement=row.values(payload=b'{"what":"old"}')),)))
        clock.pass_(timedelta(minutes=1))
        await is_result(wiring, "built new", "built old")
    assert await jobs_left(wiring) == []
    await wiring.store.close()


async def reason_of(wiring: Wiring, key: str) -> str:
    async def reason() -> str | None:
        rows = await wiring.store.rows(sa.select(tables.jobs.c.reason).where(tables.jobs.c.key == key))
        return rows[0].reason if rows else None

    return await eventually(reason) or ""


async def test_a_job_keeps_why_it_is_done(wiring: Wiring) -> None:
    seen = []

    async def run(job: Job[Build]) -> Finish:
        seen.append(job.context)
        return keep("done")

    worker = Worker(kind="build", payload=Build, run=run, gave_up=Building().gave_up)
    async with running(
        JobRunner("tester", wiring, worker, owner="one", lease=LEASE, look_every=LOOK_EVERY).run()
    ):
        await enqueue(wiring, "churn")
        await is_result(wiring, "done")
    assert seen == [CONTEXT]


async def test_no_more_run_at_once_than_there_are_slots(wiring: Wiring) -> None:
    building = Building(gate=asyncio.Event())
    async with running(runner(wiring, building, slots=2).run()):
        await enqueue(wiring, *"abcde")
        await eventually(lambda: building.at_once == 2)
        assert building.gate is not None
        building.gate.set()
        await is_result(wiring, *(f"built {key}" for key in "abcde"))
    assert building.most_at_once == 2


async def test_a_lease_is_not_taken_while_it_holds(wiring: Wiring) -> None:
    holding, other = Building(gate=asyncio.Event()), Building()
    await enqueue(wiring, "churn")
    async with running(runner(wiring, holding, slots=1).run()):
        await eventually(lambda: holding.begun)
        async with running(runner(wiring, other, owner="two").run()):
            await enqueue(wiring, "fraud")
            await is_result(wiring, "built fraud")
    assert other.begun == [("fraud", 0)]


async def test_after_a_crash_the_lease_runs_out_and_another_takes_the_job(
    wiring: Wiring, clock: ManualClock
) -> None:
    crashing, other = Building(gate=asyncio.Event()), Building()
    away = FatefulStore(wiring.store)
    await enqueue(wiring, "churn")
    async with running(runner(replace(wiring, store=away), crashing).run()):
        await eventually(lambda: crashing.begun)
        away.script.extend(["lost"] * 10)  # not even the lease can be given back
    assert await jobs_left(wiring) == [("churn", "one")]

    clock.pass_(timedelta(seconds=LEASE))
    async with running(runner(wiring, other, owner="two").run()):
        await is_result(wiring, "built churn")


async def test_who_lost_the_lease_commits_nothing(wiring: Wiring, clock: ManualClock) -> None:
    slow, other = Building(gate=asyncio.Event()), Building()
    await enqueue(wiring, "churn")
    loser = runner(wiring, slow, slots=1)
    async with running(loser.run()) as task:
        await eventually(lambda: slow.begun)
        clock.pass_(timedelta(seconds=LEASE))
        async with running(runner(wiring, other, owner="two").run()):
            await is_result(wiring, "built churn")
        assert slow.gate is not None
        slow.gate.set()
        await eventually(lambda: loser.running == 0)
        assert not task.done()
    assert await results(wiring) == ["built churn"]


@pytest.mark.parametrize("error", [Unavailable("registry"), Refused("no"), ValueError("a bug")])
async def test_who_lost_the_lease_and_fails_ends_neither_the_job_nor_the_service(
    wiring: Wiring, clock: ManualClock, error: Exception
) -> None:
    slow, holding = Building(gate=asyncio.Event(), says=[error]), Building(gate=asyncio.Event())
    await enqueue(wiring, "churn")
    loser = runner(wiring, slow, slots=1)
    async with running(loser.run()) as task:
        await eventually(lambda: slow.begun)
        clock.pass_(timedelta(seconds=LEASE))
        async with running(runner(wiring, holding, owner="two").run()):
            await eventually(lambda: holding.begun)
            assert slow.gate is not None
            slow.gate.set()
            await eventually(lambda: loser.running == 0)
            assert not task.done()
            assert await jobs_left(wiring) == [("churn", "two")]
            assert await results(wiring) == []  # later it may be the loser's again


async def test_a_lease_is_renewed_while_the_work_goes_on(wiring: Wiring, clock: ManualClock) -> None:
    building = Building(gate=asyncio.Event())
    await enqueue(wiring, "churn")

    async def leased_until() -> float:
        (row,) = await wiring.store.rows(sa.select(tables.jobs.c.leased_until))
        return float(row.leased_until)

    worker = building.worker()
    async with running(
        JobRunner("tester", wiring, worker, owner="one", lease=0.03, look_every=LOOK_EVERY).run()
    ):
        await eventually(lambda: building.begun)
        before = await leased_until()
        clock.pass_(timedelta(seconds=0.02))

        async def is_renewed() -> bool:
            return await leased_until() > before

        await eventually(is_renewed)


@pytest.mark.parametrize("fate", ["held", "lost"])
async def test_who_cannot_renew_ends_the_work_before_another_takes_it(wiring: Wiring, fate: Fate) -> None:
    building = Building(gate=asyncio.Event())
    away = FatefulStore(wiring.store)
    await enqueue(wiring, "churn")
    worker = building.worker(slots=1)
    only = JobRunner(
        "tester", replace(wiring, store=away), worker, owner="one", lease=0.1, look_every=LOOK_EVERY
    )
    async with running(only.run()) as task:
        await eventually(lambda: building.at_once == 1)
        away.script.extend([fate] * 1000)
        await eventually(lambda: building.at_once == 0)
        await eventually(lambda: only.running == 0)
        assert not task.done()


async def test_an_absent_thing_is_tried_again(tmp_path: Path) -> None:
    wiring = await open_wiring(tmp_path / "hasty.db", clock=HastyClock())
    building = Building(says=[Unavailable("registry", retry_after=1.0)] * 5)
    await enqueue(wiring, "churn")
    async with running(runner(wiring, building).run()):
        await is_result(wiring, "built churn")
    assert [attempts for _, attempts in building.begun] == list(range(6))
    await wiring.store.close()


async def test_whatever_goes_wrong_is_given_up_aloud_after_enough_attempts(tmp_path: Path) -> None:
    for error in (ValueError("a bug"), Unavailable("registry", retry_after=1.0)):
        wiring = await open_wiring(tmp_path / f"{type(error).__name__}.db", clock=HastyClock())
        building = Building(says=[error] * 100)
        await enqueue(wiring, "churn")
        async with running(runner(wiring, building).run()):
            (said,) = await eventually(partial(results, wiring))
        assert said.startswith("gave up churn: ")
        assert len(building.begun) == MAX_ATTEMPTS
        assert await jobs_left(wiring) == []
        await wiring.store.close()


async def test_a_refusal_is_given_up_at_once(wiring: Wiring) -> None:
    building = Building(says=[Refused("the lock names no such package")])
    await enqueue(wiring, "churn")
    async with running(runner(wiring, building).run()):
        await is_result(wiring, "gave up churn: the lock names no such package")


def _too_long(_: UnitOfWork) -> None:
    raise TooLarge("an event is at most 65536 bytes")


def _refused(_: UnitOfWork) -> None:
    raise Refused("already answered")


def _buggy(_: UnitOfWork) -> None:
    raise KeyError("a bug")


@pytest.mark.parametrize("fails", [_too_long, _refused, _buggy])
async def test_a_job_that_cannot_be_given_up_stays_with_its_reason_and_holds_nobody_up(
    tmp_path: Path, fails: Callable[[UnitOfWork], None]
) -> None:
    clock = ManualClock()
    wiring = await open_wiring(tmp_path / "tester.db", clock=clock)
    building = Building(says=[Refused("no such package")])

    def gave_up(job: Job[Build], why: str) -> Finish:
        async def finish(work: UnitOfWork) -> None:
            fails(work)

        return finish

    worker = replace(building.worker(slots=1), gave_up=gave_up)
    await enqueue(wiring, "churn")
    async with running(
        JobRunner("tester", wiring, worker, owner="one", lease=LEASE, look_every=LOOK_EVERY).run()
    ) as task:
        reason = await reason_of(wiring, "churn")
        assert "cannot be given up" in reason
        assert "no such package" in reason
        assert await jobs_left(wiring) == [("churn", None)]
        await enqueue(wiring, "fraud")
        await is_result(wiring, "built fraud")
        assert not task.done()
        clock.pass_(timedelta(minutes=1))
        await is_result(wiring, "built fraud", "built churn")
    assert [attempts for what, attempts in building.begun if what == "churn"] == [0, 1]
    await wiring.store.close()


async def test_a_bug_in_making_the_last_word_does_not_end_the_service(wiring: Wiring) -> None:
    def gave_up(job: Job[Build], why: str) -> Finish:
        raise KeyError("a bug")

    worker = replace(Building(says=[Refused("no")]).worker(), gave_up=gave_up)
    await enqueue(wiring, "churn")
    async with running(
        JobRunner("tester", wiring, worker, owner="one", lease=LEASE, look_every=LOOK_EVERY).run()
    ) as task:
        assert "KeyError" in await reason_of(wiring, "churn")
        assert not task.done()


@pytest.mark.parametrize("text", ["caf\udce9", "a\0b", "x" * 70_000])
async def test_a_reason_of_any_text_can_be_kept_and_said(wiring: Wiring, text: str) -> None:
    given_up_for: list[str] = []

    def gave_up(job: Job[Build], why: str) -> Finish:
        given_up_for.append(why)
        return keep("gave up")

    worker = replace(Building(says=[Unavailable(text), Refused(text)]).worker(slots=1), gave_up=gave_up)
    await enqueue(wiring, "later", "never")
    async with running(
        JobRunner("tester", wiring, worker, owner="one", lease=LEASE, look_every=LOOK_EVERY).run()
    ) as task:
        await is_result(wiring, "gave up")
        reasons = [await reason_of(wiring, "later"), *given_up_for]
        assert not task.done()
    for reason in reasons:
        assert reason.encode()
        assert "\0" not in reason
        assert len(reason) <= 4000


async def test_stopping_gives_the_lease_back(wiring: Wiring) -> None:
    building, next_one = Building(gate=asyncio.Event()), Building()
    await enqueue(wiring, "churn")
    async with running(runner(wiring, building).run()):
        await eventually(lambda: building.begun)
    assert await jobs_left(wiring) == [("churn", None)]

    async with running(runner(wiring, next_one, owner="two").run()):
        await is_result(wiring, "built churn")
    assert next_one.begun == [("churn", 0)]


@pytest.mark.parametrize("fate", ["silent", "unheard"])
async def test_stopping_gives_a_lease_back_of_which_it_has_not_heard(wiring: Wiring, fate: Fate) -> None:
    building, unsure = Building(), FatefulStore(wiring.store, [fate])
    await enqueue(wiring, "churn")
    patient = runner(replace(wiring, store=unsure), building)
    async with running(patient.run()):
        await eventually(lambda: is_left(wiring, ("churn", "one")))
    assert await jobs_left(wiring) == [("churn", None)]
    assert building.begun == []


async def test_an_end_that_is_not_heard_of_counts_once(wiring: Wiring) -> None:
    building = Building(gate=asyncio.Event())
    unsure = FatefulStore(wiring.store)
    await enqueue(wiring, "churn")
    only = runner(replace(wiring, store=unsure), building)
    async with running(only.run()):
        await eventually(lambda: building.begun)
        unsure.script.append("unheard")
        assert building.gate is not None
        building.gate.set()
        await eventually(lambda: only.running == 0)
        assert await results(wiring) == ["built churn"]
    assert await jobs_left(wiring) == []


async def test_what_is_asked_for_anew_while_it_runs_is_done_anew_after_it(wiring: Wiring) -> None:
    building = Building(gate=asyncio.Event())
    await enqueue(wiring, "churn")
    async with running(runner(wiring, building).run()):
        await eventually(lambda: building.at_once == 1)
        await enqueue(wiring, "churn")
        assert building.gate is not None
        building.gate.set()
        await is_result(wiring, "built churn")
        await eventually(lambda: len(building.begun) == 2)
    assert building.most_at_once == 1
    assert await jobs_left(wiring) == []


async def test_what_is_asked_for_anew_while_it_is_taken_is_done_as_it_was_asked_last(wiring: Wiring) -> None:
    building = Building()
    late = FatefulStore(wiring.store, ["held"])
    await enqueue(wiring, "churn")
    async with running(runner(replace(wiring, store=late), building).run()):
        await eventually(lambda: not late.script)

        async def change(work: UnitOfWork) -> None:
            work.enqueue("build", "churn", Build(what="the second"))

        await transact(wiring, "tester", CONTEXT, change)
        late.released.set()
        await is_result(wiring, "built the second")
    assert building.begun == [("the second", 0)]
    assert await jobs_left(wiring) == []
