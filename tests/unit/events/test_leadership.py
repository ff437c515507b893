"""One leads, the others stand by, and a lease says who."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

from placet.events.leadership import Leadership
from placet.events.testing import ManualClock
from placet.events.wiring import Wiring

from tests.support.eventually import eventually
from tests.unit.events.harness import FatefulStore, running

SECONDS = 4.0
"""Of a lease: a third of it is what a database has to answer in, on a machine that has more to do."""


def candidate(wiring: Wiring, owner: str) -> Leadership:
    return Leadership("tester", wiring, owner=owner, seconds=SECONDS)


async def test_the_first_leads_and_the_second_waits_until_the_lease_runs_out(
    wiring: Wiring, clock: ManualClock
) -> None:
    first, second = candidate(wiring, "one"), candidate(wiring, "two")
    await first.acquire()
    async with running(second.acquire()) as waiting:
        async with running(first.keep()):
            await _three_renewals(wiring)
            assert (first.is_held, second.is_held) == (True, False)
        clock.pass_(timedelta(seconds=2 * SECONDS))
        await eventually(waiting.done)
    assert second.is_held


async def test_of_many_that_ask_at_once_one_leads(wiring: Wiring) -> None:
    candidates = [candidate(wiring, str(n)) for n in range(5)]
    asking = [asyncio.create_task(each.acquire()) for each in candidates]
    await eventually(lambda: any(each.is_held for each in candidates))
    await _three_renewals(wiring)
    assert sum(each.is_held for each in candidates) == 1
    for task in asking:
        task.cancel()


async def test_a_lease_from_before_a_clock_was_set_back_holds_nobody_up(
    wiring: Wiring, clock: ManualClock
) -> None:
    await candidate(wiring, "one").acquire()
    clock.pass_(timedelta(hours=-1))
    second = candidate(wiring, "two")
    async with running(second.acquire()) as waiting:
        await eventually(waiting.done)
    assert second.is_held


async def test_a_leader_that_was_overtaken_stops_by_itself(wiring: Wiring, clock: ManualClock) -> None:
    first, second = candidate(wiring, "one"), candidate(wiring, "two")
    await first.acquire()
    clock.pass_(timedelta(seconds=2 * SECONDS))
    await second.acquire()

    await first.keep()
    assert not first.is_held


async def test_a_leader_that_cannot_renew_stops_by_itself(wiring: Wiring) -> None:
    away = FatefulStore(wiring.store)
    leader = candidate(replace(wiring, store=away), "one")
    await leader.acquire()
    away.script.extend(["lost"] * 1000)

    await leader.keep()
    assert not leader.is_held


async def test_a_leader_whose_database_hangs_stops_before_another_can_lead(wiring: Wiring) -> None:
    hung = FatefulStore(wiring.store)
    leader = candidate(replace(wiring, store=hung), "one")
    await leader.acquire()
    hung.script.append("held")

    async with running(leader.keep()) as keeping:
        await eventually(keeping.done)
    assert not leader.is_held


async def test_a_lease_that_ran_out_before_it_was_answered_is_asked_for_again(wiring: Wiring) -> None:
    slow = FatefulStore(wiring.store, ["heard", "held"])  # there is no row yet, so the second commit makes it
    leader = candidate(replace(wiring, store=slow), "one")
    asyncio.get_running_loop().call_later(2 * SECONDS, slow.released.set)

    await leader.acquire()
    assert leader.is_held
    assert wiring.store.committed.count == 2
    async with running(leader.keep()) as keeping:
        await _three_renewals(wiring)
        assert not keeping.done()


async def test_giving_back_does_not_wait_for_a_database_that_hangs(wiring: Wiring) -> None:
    hung = FatefulStore(wiring.store)
    leader = candidate(replace(wiring, store=hung), "one")
    await leader.acquire()
    hung.script.append("held")
    async with running(leader.release()) as releasing:
        await eventually(releasing.done)


async def test_a_lease_that_is_given_back_is_free_at_once(wiring: Wiring) -> None:
    first, second = candidate(wiring, "one"), candidate(wiring, "two")
    await first.acquire()
    await first.release()
    await second.acquire()
    assert (first.is_held, second.is_held) == (False, True)


async def test_giving_back_takes_nothing_from_another(wiring: Wiring, clock: ManualClock) -> None:
    first, second = candidate(wiring, "one"), candidate(wiring, "two")
    await first.acquire()
    clock.pass_(timedelta(seconds=2 * SECONDS))
    await second.acquire()
    await first.release()

    async with running(second.keep()) as keeping:
        await _three_renewals(wiring)
        assert not keeping.done()


async def test_asking_waits_for_the_database(wiring: Wiring) -> None:
    away = FatefulStore(wiring.store, ["lost"] * 3)
    leader = candidate(replace(wiring, store=away), "one")
    await leader.acquire()
    assert leader.is_held


async def _three_renewals(wiring: Wiring) -> None:
    for _ in range(3):
        seen = wiring.store.committed.count
        await wiring.store.committed.wait(SECONDS, after=seen)
