"""The inbox: whatever the bus loses, repeats and shuffles, each wanted message is handled once and in order."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from placet.errors import Refused, Unavailable
from placet.events import tables
from placet.events.bus import Delivery, ResendAsked
from placet.events.inbox import MAX_EARLY, MAX_STRAYS, Inbox
from placet.events.lanes import WINDOW
from placet.events.outcome import MAX_ATTEMPTS, MAX_REASON, Outcome, Park, Retry
from placet.events.parked import all_parked, retry_all
from placet.events.reaction import ByType, Everything, Heard, Reaction
from placet.events.store import Run, Unit
from placet.events.testing import CountingIds, ManualClock
from placet.events.unit_of_work import UnitOfWork
from placet.events.wiring import Wiring

from tests.support.eventually import eventually
from tests.unit.events.harness import (
    AlphaDropped,
    AlphaNoted,
    BetaNoted,
    Fate,
    FatefulStore,
    HastyClock,
    ProducerLog,
    ScriptedBus,
    kept,
    open_wiring,
)

NEXT = sa.select(sa.func.coalesce(sa.func.max(kept.c.number), 0) + 1).scalar_subquery()


def place_of(heard: Heard[Any] | Delivery) -> str:
    producer = heard.event.producer if isinstance(heard, Heard) else heard.producer
    return f"{producer} {heard.epoch} {heard.position}"


@dataclass
class Handling:
    """Keeps what it handles; before that, answers with what `says` has for a place, once each."""

    says: dict[str, list[Outcome | Exception]] = field(default_factory=dict)
    tried: list[str] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)

    async def one(self, heard: Heard[Any], work: UnitOfWork) -> Outcome | None:
        return await self.many([heard], work)

    async def many(self, heard: Sequence[Heard[Any]], work: UnitOfWork) -> Outcome | None:
        self.sizes.append(len(heard))
        self.tried.extend(place_of(each) for each in heard)
        for each in heard:
            if answers := self.says.get(place_of(each)):
                match answers.pop(0):
                    case Exception() as error:
                        raise error
                    case outcome:
                        return outcome
        for each in heard:
            work.run(sa.insert(kept).values(number=NEXT, place=place_of(each)))
        return None

    def by_type(self) -> ByType:
        return ByType({AlphaNoted: self.one, BetaNoted: self.one})

    def everything(self) -> Everything:
        return Everything(self.many)


async def kept_places(wiring: Wiring) -> list[str]:
    return [row.place for row in await wiring.store.rows(sa.select(kept).order_by(kept.c.number))]


async def rows_left(wiring: Wiring) -> list[tuple[str, int, str]]:
    rows = await wiring.store.rows(sa.select(tables.inbox).order_by(tables.inbox.c.position))
    return [(row.producer, row.position, row.state) for row in rows]


@asynccontextmanager
async def running(wiring: Wiring, reaction: Reaction, *, ask_after: float = 0.5) -> AsyncIterator[Inbox]:
    inbox = Inbox("tester", wiring, reaction, ask_after=ask_after)
    await inbox.load()
    task = asyncio.create_task(inbox.run())
    yield inbox
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def all_kept(wiring: Wiring, count: int) -> bool:
    return len(await kept_places(wiring)) == count


async def until_kept(wiring: Wiring, places: Sequence[str]) -> None:
    async def is_kept() -> bool:
        found = await kept_places(wiring)
        assert found == list(places)
        return True

    await eventually(is_kept)


async def hand_over(inbox: Inbox, deliveries: Sequence[Delivery]) -> None:
    """As a bus does: again until it is taken."""
    while True:
        try:
            return await inbox.receive(deliveries)
        except Unavailable:
            continue


async def announce(inbox: Inbox, producer: ProducerLog) -> None:
    while True:
        try:
            return await inbox.hear(producer.head)
        except Unavailable:
            continue


@pytest.fixture
def bus() -> ScriptedBus:
    return ScriptedBus()


@pytest.fixture
async def wiring(tmp_path: Path, bus: ScriptedBus) -> AsyncIterator[Wiring]:
    opened = await open_wiring(tmp_path / "tester.db", clock=HastyClock(), bus=bus)
    yield opened
    await opened.store.close()


@pytest.fixture
def alpha() -> ProducerLog:
    return ProducerLog("alpha")


# Order and holes.


async def test_messages_are_handled_in_their_producers_order(wiring: Wiring, alpha: ProducerLog) -> None:
    said = [alpha.say(AlphaNoted(text=str(n))) for n in range(5)]
    async with running(wiring, Handling().by_type()) as inbox:
        await inbox.hear(alpha.head)
        await inbox.receive([said[3], said[1]])
        await inbox.receive([said[4], said[0]])
        await inbox.receive([said[2], said[0]])

        await until_kept(wiring, [place_of(each) for each in said])
        await eventually(lambda: inbox.pending == 0)
    assert await rows_left(wiring) == []


async def test_nothing_behind_a_hole_is_handled_and_the_hole_is_asked_for(
    wiring: Wiring, bus: ScriptedBus, alpha: ProducerLog
) -> None:
    said = [alpha.say(AlphaNoted(text=str(n))) for n in range(4)]
    async with running(wiring, Handling().by_type()) as inbox:
        await inbox.receive([said[0], said[3]])
        await inbox.hear(alpha.head)

        await until_kept(wiring, [place_of(said[0])])
        assert inbox.lag() == {"alpha": 3}
        await eventually(lambda: ResendAsked(asker="tester", producer="alpha", after=1, upto=4) in bus.notes)
        await inbox.receive(alpha.positions(1, 4))
        await until_kept(wiring, [place_of(each) for each in said])
        assert inbox.lag() == {"alpha": 0}


async def test_what_was_asked_for_and_did_not_come_is_asked_for_again(
    wiring: Wiring, bus: ScriptedBus, alpha: ProducerLog
) -> None:
    alpha.say(AlphaNoted(text="1"))
    async with running(wiring, Handling().by_type()) as inbox:
        await inbox.hear(alpha.head)
        await eventually(lambda: len(bus.notes) > 2)
    assert set(bus.notes) == {ResendAsked(asker="tester", producer="alpha", after=0, upto=1)}


async def test_asking_survives_a_broker_that_is_away(
    wiring: Wiring, bus: ScriptedBus, alpha: ProducerLog
) -> None:
    alpha.say(AlphaNoted(text="1"))
    async with running(wiring, Handling().by_type()) as inbox:
        bus.is_away = True
        await inbox.hear(alpha.head)
        bus.is_away = False
        await inbox.hear(alpha.head)
        await eventually(lambda: len(bus.notes) > 0)


async def test_a_message_that_nobody_wants_leaves_no_hole_and_no_row(
    wiring: Wiring, alpha: ProducerLog
) -> None:
    said = [
        alpha.say(AlphaDropped(text="1")),
        alpha.say(AlphaDropped(text="2")),
        alpha.say(AlphaNoted(text="3")),
    ]
    async with running(wiring, Handling().by_type()) as inbox:
        await inbox.hear(alpha.head)
        await inbox.receive([said[1]])
        await inbox.receive([said[2], said[0]])
        await until_kept(wiring, [place_of(said[2])])
    assert await rows_left(wiring) == []


async def test_messages_behind_a_hole_keep_their_order_over_a_restart(
    wiring: Wiring, alpha: ProducerLog
) -> None:
    """What came early was received before what filled the hole, and must still be handled after it."""
    said = [alpha.say(AlphaNoted(text=str(n))) for n in range(3)]
    inbox = Inbox("tester", wiring, Handling().by_type())
    await inbox.hear(alpha.head)
    await inbox.receive([said[2]])
    await inbox.receive([said[1]])
    await inbox.receive([said[0]])

    async with running(wiring, Handling().by_type()):
        await until_kept(wiring, [place_of(each) for each in said])


async def test_a_hole_that_stays_fills_neither_memory_nor_the_database(
    wiring: Wiring, bus: ScriptedBus, alpha: ProducerLog
) -> None:
    for number in range(2 * MAX_EARLY):
        alpha.say(AlphaDropped(text=str(number)))
    last = alpha.say(AlphaNoted(text="last"))
    async with running(wiring, Handling().by_type()) as inbox:
        await inbox.hear(alpha.head)
        for after in range(1, 2 * MAX_EARLY, 100):
            await inbox.receive(alpha.positions(after, after + 100))
        assert [state for *_, state in await rows_left(wiring)] == ["early"] * MAX_EARLY

        await inbox.receive(alpha.positions(0, 1))
        assert inbox.lag() == {"alpha": MAX_EARLY}
        assert await rows_left(wiring) == []
        wish = ResendAsked(asker="tester", producer="alpha", after=MAX_EARLY + 1, upto=2 * MAX_EARLY + 1)
        await eventually(lambda: wish in bus.notes)
        await inbox.receive(alpha.positions(wish.after, wish.upto))
        await until_kept(wiring, [place_of(last)])


async def test_early_messages_survive_a_restart(wiring: Wiring, alpha: ProducerLog) -> None:
    said = [alpha.say(AlphaNoted(text=str(n))) for n in range(3)]
    before = Inbox("tester", wiring, Handling().by_type())
    await before.receive([said[1], said[2]])

    async with running(wiring, Handling().by_type()) as inbox:
        await inbox.hear(alpha.head)
        await inbox.receive([said[0]])
        await until_kept(wiring, [place_of(each) for each in said])


# Once.


async def test_a_repeated_message_changes_nothing(wiring: Wiring, alpha: ProducerLog) -> None:
    said = alpha.say(AlphaNoted(text="1"))
    handling = Handling()
    async with running(wiring, handling.by_type()) as inbox:
        await inbox.hear(alpha.head)
        for _ in range(3):
            await inbox.receive([said, said])
            await until_kept(wiring, [place_of(said)])
    async with running(wiring, handling.by_type()) as inbox:
        await inbox.receive([said])
    assert handling.tried == [place_of(said)]


async def test_a_message_that_was_handled_and_not_acknowledged_is_not_handled_again(
    wiring: Wiring, alpha: ProducerLog
) -> None:
    said = alpha.say(AlphaNoted(text="1"))
    unsure = FatefulStore(wiring.store)
    handling = Handling()
    async with running(replace(wiring, store=unsure), handling.by_type()) as inbox:
        await inbox.hear(alpha.head)
        unsure.script.extend(["heard", "unheard"])  # the message is stored; handling it is not heard of
        await inbox.receive([said])
        await eventually(lambda: inbox.pending == 0)
    assert handling.tried == [place_of(said)] * 2
    assert await kept_places(wiring) == [place_of(said)]


@pytest.mark.parametrize("fate", ["lost", "unheard"])
async def test_a_head_that_came_while_the_database_was_away_counts_when_it_comes_again(
    wiring: Wiring, alpha: ProducerLog, fate: Fate
) -> None:
    said = alpha.say(AlphaNoted(text="1"))
    unsure = FatefulStore(wiring.store)
    async with running(replace(wiring, store=unsure), Handling().by_type()) as inbox:
        await inbox.receive([said])
        unsure.script.append(fate)
        await announce(inbox, alpha)
        await until_kept(wiring, [place_of(said)])


async def test_a_batch_that_is_handled_in_part_is_handled_to_the_end(
    wiring: Wiring, alpha: ProducerLog
) -> None:
    """The first batch is committed and not heard of; the next holds some of the same and some new ones."""
    said = [alpha.say(AlphaNoted(text=str(n))) for n in range(8)]
    unsure = FatefulStore(wiring.store)
    inbox = Inbox("tester", replace(wiring, store=unsure), Handling().everything())
    await inbox.hear(alpha.head)
    await inbox.receive(said[:4])
    unsure.script.append("unheard")
    task = asyncio.create_task(inbox.run())
    await eventually(lambda: not unsure.script)
    await inbox.receive(said[4:])
    await eventually(lambda: inbox.pending == 0)
    task.cancel()

    await until_kept(wiring, [place_of(each) for each in said])
    assert await rows_left(wiring) == []


async def test_a_second_leader_does_not_hide_what_the_first_has_received(
    wiring: Wiring, alpha: ProducerLog
) -> None:
    """Two lead for a moment: to the second, what the first has in order lies behind a hole."""
    said = [alpha.say(AlphaNoted(text=str(n))) for n in range(3)]
    first = Inbox("tester", wiring, Handling().by_type())
    second = Inbox("tester", wiring, Handling().by_type())
    await first.hear(alpha.head)
    await second.load()
    await first.receive(said)

    with pytest.raises(Unavailable):
        await second.receive([said[2]])

    assert [state for *_, state in await rows_left(wiring)] == ["waiting"] * 3
    task = asyncio.create_task(first.run())
    await until_kept(wiring, [place_of(each) for each in said])
    task.cancel()


# Outcomes.


async def test_a_retry_holds_back_its_own_project_only(wiring: Wiring, alpha: ProducerLog) -> None:
    gate = asyncio.Event()
    late, after_it, other = (
        alpha.say(AlphaNoted(text="late"), "churn"),
        alpha.say(AlphaNoted(text="after"), "churn"),
        alpha.say(AlphaNoted(text="other"), "fraud"),
    )
    handling = Handling()

    async def patiently(heard: Heard[Any], work: UnitOfWork) -> Outcome | None:
        if place_of(heard) == place_of(late) and not gate.is_set():
            return Retry(after=0.01, reason="not yet")
        return await handling.one(heard, work)

    async with running(wiring, ByType({AlphaNoted: patiently})) as inbox:
        await inbox.hear(alpha.head)
        await inbox.receive([late, after_it, other])
        await until_kept(wiring, [place_of(other)])
        gate.set()
        await until_kept(wiring, [place_of(each) for each in (other, late, after_it)])


@pytest.mark.parametrize(
    "no", [Park(reason="nobody knows"), Refused("nobody knows")], ids=["by outcome", "by exception"]
)
async def test_a_parked_message_is_visible_lets_others_pass_and_can_be_handed_back(
    wiring: Wiring, alpha: ProducerLog, no: Outcome | Exception
) -> None:
    bad, good = alpha.say(AlphaNoted(text="bad")), alpha.say(AlphaNoted(text="good"))
    handling = Handling(says={place_of(bad): [no]})
    async with running(wiring, handling.by_type()) as inbox:
        await inbox.hear(alpha.head)
        await inbox.receive([bad, good])
        await until_kept(wiring, [place_of(good)])

        (parked,) = await all_parked(wiring.store)
        assert (parked.producer, parked.epoch, parked.position) == ("alpha", "alpha-1", 1)
        assert (parked.attempts, parked.reason) == (1, "nobody knows")
        assert await retry_all(wiring.store) == 1
        await inbox.load()
        await until_kept(wiring, [place_of(good), place_of(bad)])
        assert await all_parked(wiring.store) == []
        assert await retry_all(wiring.store) == 0


async def test_a_parked_message_stays_parked_over_a_restart_and_a_repetition(
    wiring: Wiring, alpha: ProducerLog
) -> None:
    bad = alpha.say(AlphaNoted(text="bad"))
    handling = Handling(says={place_of(bad): [Park(reason="no")]})
    async with running(wiring, handling.by_type()) as inbox:
        await inbox.hear(alpha.head)
        await inbox.receive([bad])
        await eventually(lambda: all_parked(wiring.store))
    async with running(wiring, handling.by_type()) as inbox:
        await inbox.receive([bad])
        assert len(await all_parked(wiring.store)) == 1
    assert handling.tried == [place_of(bad)]


async def test_waiting_does_not_count_among_the_failures(wiring: Wiring, alpha: ProducerLog) -> None:
    said = alpha.say(AlphaNoted(text="1"))
    waits: list[Outcome | Exception] = [Unavailable("not yet", retry_after=1.0)] * (MAX_ATTEMPTS + 3)
    async with running(
        wiring, Handling(says={place_of(said): [*waits, ValueError("once")]}).by_type()
    ) as inbox:
        await inbox.hear(alpha.head)
        await inbox.receive([said])
        await until_kept(wiring, [place_of(said)])


@pytest.mark.parametrize("reason", ["a name \udce9", "a \0 in it", "long " * 10_000])
async def test_a_message_is_parked_whatever_the_reason_is_made_of(
    wiring: Wiring, alpha: ProducerLog, reason: str
) -> None:
    said = alpha.say(AlphaNoted(text="1"))
    async with running(wiring, Handling(says={place_of(said): [Refused(reason)]}).by_type()) as inbox:
        await inbox.hear(alpha.head)
        await inbox.receive([said])
        await eventually(lambda: rows_are(wiring, [("alpha", 1, "parked")]))
        (parked,) = await all_parked(wiring.store)
    assert parked.reason.isprintable()
    assert len(parked.reason) <= MAX_REASON


async def rows_are(wiring: Wiring, expected: list[tuple[str, int, str]]) -> bool:
    return await rows_left(wiring) == expected


async def test_a_bug_is_tried_some_times_and_then_parked(wiring: Wiring, alpha: ProducerLog) -> None:
    bad = alpha.say(AlphaNoted(text="bad"))
    handling = Handling(says={place_of(bad): [ValueError("a bug")] * 100})
    async with running(wiring, handling.by_type()) as inbox:
        await inbox.hear(alpha.head)
        await inbox.receive([bad])
        (parked,) = await eventually(lambda: all_parked(wiring.store))
    assert parked.attempts == len(handling.tried) == MAX_ATTEMPTS
    assert "ValueError: a bug" in parked.reason


async def test_failures_are_remembered_over_a_restart(tmp_path: Path, alpha: ProducerLog) -> None:
    bad, clock = alpha.say(AlphaNoted(text="bad")), ManualClock()
    wiring = await open_wiring(tmp_path / "patient.db", clock=clock)
    handling = Handling(says={place_of(bad): [ValueError("a bug"), Park(reason="no")]})
    async with running(wiring, handling.by_type()) as inbox:
        await inbox.hear(alpha.head)
        await inbox.receive([bad])
        await eventually(lambda: len(handling.tried) == 1)
    clock.pass_(timedelta(minutes=1))
    async with running(wiring, handling.by_type()) as inbox:
        (parked,) = await eventually(lambda: all_parked(wiring.store))
    await wiring.store.close()
    assert parked.attempts == 2


async def test_data_that_breaks_its_contract_is_parked(wiring: Wiring, alpha: ProducerLog) -> None:
    said = alpha.say(AlphaNoted(text="x"))
    broken = replace(said, raw=said.raw.replace(b'{"text":"x"}', b'{"text":1234}'))
    async with running(wiring, Handling().by_type()) as inbox:
        await inbox.hear(alpha.head)
        await inbox.receive([broken])
        (parked,) = await eventually(lambda: all_parked(wiring.store))
    assert "breaks its contract" in parked.reason


async def test_one_bad_message_of_a_batch_is_found_and_the_others_are_handled(
    wiring: Wiring, alpha: ProducerLog
) -> None:
    said = [alpha.say(AlphaNoted(text=str(n))) for n in range(6)]
    handling = Handling(says={place_of(said[2]): [Refused("no"), Refused("no")]})
    inbox = Inbox("tester", wiring, handling.everything())
    await inbox.hear(alpha.head)
    await inbox.receive(said)
    task = asyncio.create_task(inbox.run())
    await eventually(lambda: inbox.pending == 0)
    task.cancel()

    assert handling.sizes[0] == 6
    assert await kept_places(wiring) == [place_of(each) for each in said if each is not said[2]]
    assert [parked.position for parked in await all_parked(wiring.store)] == [3]


# Strays.


async def test_why_a_stray_is_one_can_be_kept_by_any_database(wiring: Wiring, alpha: ProducerLog) -> None:
    said = alpha.say(AlphaNoted(text="1"))
    async with running(wiring, Handling().by_type()) as inbox:
        await inbox.receive(
            [
                replace(
                    said,
                    raw=said.raw.replace(b'"source":"alpha"', b'"source":"a\\u0000' + b"b" * 9999 + b'"'),
                )
            ]
        )
        (stray,) = await all_parked(wiring.store)
        assert stray.reason.isprintable()
        assert len(stray.reason) < 500


async def test_a_type_of_another_service_under_a_key_of_ones_own_is_handled_by_nobody(
    wiring: Wiring, alpha: ProducerLog
) -> None:
    """The broker lets alpha publish under alpha's keys, and looks at nothing else."""
    said = alpha.say(AlphaNoted(text="1"))
    forged = said.raw.replace(b"placet.alpha.thing.noted", b"placet.beta.thing.noted")
    handling = Handling()
    async with running(wiring, handling.by_type()) as inbox:
        await inbox.hear(alpha.head)
        await inbox.receive([replace(said, raw=forged)])
        (stray,) = await all_parked(wiring.store)
    assert "placet.beta.thing.noted.v1" in stray.reason
    assert handling.tried == []


async def test_of_strays_the_newest_are_kept(wiring: Wiring, alpha: ProducerLog) -> None:
    said = alpha.say(AlphaNoted(text="1"))
    async with running(wiring, Handling().by_type()) as inbox:
        await inbox.receive([replace(said, sender=f"stranger-{number}") for number in range(MAX_STRAYS + 2)])
        senders = [stray.producer for stray in await all_parked(wiring.store)]
        assert senders == [f"stranger-{number}" for number in range(2, MAX_STRAYS + 2)]


@pytest.mark.parametrize(
    ("change", "saying"),
    [
        ({"sender": "beta"}, "sent by beta, but says it is alpha's"),
        ({"sender": None}, "sent by nobody known"),
        ({"epoch": ""}, "no epoch"),
        ({"position": 0}, "no position"),
        ({"raw": b"{}"}, "not a CloudEvent"),
        ({"routing_key": "beta.thing.noted.churn", "sender": "beta"}, "its sender is beta"),
        ({"routing_key": "alpha.thing.dropped.churn"}, "its routing key says otherwise"),
        ({"routing_key": "alpha.thing.noted.fraud"}, "its routing key says otherwise"),
    ],
)
async def test_what_is_not_what_it_says_is_put_aside_and_fills_no_hole(
    wiring: Wiring, alpha: ProducerLog, change: dict[str, Any], saying: str
) -> None:
    said = alpha.say(AlphaNoted(text="1"))
    handling = Handling()
    async with running(wiring, handling.by_type()) as inbox:
        await inbox.hear(alpha.head)
        await inbox.receive([replace(said, **change)])
        (stray,) = await all_parked(wiring.store)
        assert saying in stray.reason
        assert handling.tried == []
        await inbox.receive([said])
        await until_kept(wiring, [place_of(said)])


# Epochs.


async def test_after_a_restore_the_new_epoch_is_heard_from_where_the_old_one_ended(
    wiring: Wiring, alpha: ProducerLog
) -> None:
    old = [alpha.say(AlphaNoted(text=str(n))) for n in range(3)]
    async with running(wiring, Handling().by_type()) as inbox:
        await inbox.hear(alpha.head)
        await inbox.receive(old)
        alpha.restore(3)
        new = alpha.say(AlphaNoted(text="new"))
        await inbox.receive([new])  # before anybody told of its epoch
        await until_kept(wiring, [place_of(each) for each in old])
        await inbox.hear(alpha.head)
        await until_kept(wiring, [place_of(each) for each in (*old, new)])


async def test_a_producer_that_forgot_what_was_heard_is_heard_from_there_on(
    wiring: Wiring, alpha: ProducerLog
) -> None:
    old = [alpha.say(AlphaNoted(text=str(n))) for n in range(5)]
    async with running(wiring, Handling().by_type()) as inbox:
        await inbox.hear(alpha.head)
        await inbox.receive([old[0], old[1], old[2], old[4]])
        await until_kept(wiring, [place_of(each) for each in old[:3]])
        alpha.restore(2)
        new = [alpha.say(AlphaNoted(text=f"new {n}")) for n in range(2)]
        await inbox.hear(alpha.head)
        await inbox.receive([*new, old[3]])
        await until_kept(wiring, [place_of(each) for each in (*old[:3], *new)])
    assert await rows_left(wiring) == []


async def test_a_producer_whose_database_was_made_anew_is_heard_from_its_beginning(
    wiring: Wiring, alpha: ProducerLog
) -> None:
    old = [alpha.say(AlphaNoted(text=str(n))) for n in range(4)]
    stale = alpha.head
    async with running(wiring, Handling().by_type()) as inbox:
        await inbox.hear(alpha.head)
        await inbox.receive([old[0], old[1], old[3]])
        await until_kept(wiring, [place_of(each) for each in old[:2]])
        alpha.make_anew()
        new = [alpha.say(AlphaNoted(text=f"new {n}")) for n in range(3)]
        await inbox.receive(new[:2])  # before anybody told of its epoch
        await inbox.hear(alpha.head)
        await until_kept(wiring, [place_of(each) for each in (*old[:2], *new[:2])])
        await inbox.hear(stale)
        await inbox.receive([old[2], new[2]])
        await until_kept(wiring, [place_of(each) for each in (*old[:2], *new)])
        await inbox.hear(alpha.head)
    assert await rows_left(wiring) == []


async def test_a_new_hearer_hears_every_epoch(wiring: Wiring, alpha: ProducerLog) -> None:
    said = [alpha.say(AlphaNoted(text=str(n))) for n in range(2)]
    alpha.restore(2)
    said.append(alpha.say(AlphaNoted(text="new")))
    async with running(wiring, Handling().by_type()) as inbox:
        await inbox.receive(list(reversed(said)))
        await inbox.hear(alpha.head)
        await until_kept(wiring, [place_of(each) for each in said])


async def test_whoever_hears_of_an_epoch_that_nobody_told_of_asks_at_once(
    wiring: Wiring, bus: ScriptedBus, alpha: ProducerLog
) -> None:
    """The first message of a producer that was announced before this service came, and is next in ten minutes."""
    said = alpha.say(AlphaNoted(text="first"))
    async with running(wiring, Handling().by_type(), ask_after=600) as inbox:
        await inbox.receive([said])
        await eventually(
            lambda: bus.notes == [ResendAsked(asker="tester", producer="alpha", after=0, upto=0)]
        )
        await inbox.hear(alpha.head)
        await until_kept(wiring, [place_of(said)])


async def test_an_epoch_that_is_never_told_of_makes_no_question_of_each_message(
    wiring: Wiring, bus: ScriptedBus, alpha: ProducerLog
) -> None:
    """Each would be answered with an announcement to everybody."""
    said = [alpha.say(AlphaNoted(text=str(n))) for n in range(20)]
    frozen = replace(wiring, clock=ManualClock())
    async with running(frozen, Handling().by_type()) as inbox:
        await inbox.hear(replace(alpha.head, position=0))
        await inbox.receive([replace(said[0], epoch="alpha-9")])
        await eventually(lambda: len(bus.notes) == 1)
        for count, each in enumerate(said, start=1):
            await inbox.receive([each])
            await until_kept(wiring, [place_of(each) for each in said[:count]])
    assert len(bus.notes) == 1


async def test_a_producer_that_was_restored_twice_is_heard(wiring: Wiring, alpha: ProducerLog) -> None:
    """The second backup is older than the first restore: the epoch that is being heard is forgotten."""
    said = [alpha.say(AlphaNoted(text=str(n))) for n in range(6)]
    async with running(wiring, Handling().by_type()) as inbox:
        await inbox.hear(alpha.head)
        await inbox.receive(said)
        alpha.restore(5)
        said += [alpha.say(AlphaNoted(text=f"second {n}")) for n in range(2)]
        await inbox.hear(alpha.head)
        await inbox.receive(said[-2:])
        await until_kept(wiring, [place_of(each) for each in said])
        alpha.restore(5)
        alpha.forget_epoch(-2)
        said += [alpha.say(AlphaNoted(text=f"third {n}")) for n in range(3)]
        await inbox.receive(said[-2:])
        await inbox.hear(alpha.head)
        await inbox.receive(said[-3:-2])
        await until_kept(wiring, [place_of(each) for each in said])
        assert inbox.lag() == {"alpha": 0}


async def test_a_log_that_went_back_without_a_new_epoch_is_told(
    wiring: Wiring, alpha: ProducerLog, caplog: pytest.LogCaptureFixture
) -> None:
    said = [alpha.say(AlphaNoted(text=str(n))) for n in range(3)]
    clock = ManualClock()
    async with running(replace(wiring, clock=clock), Handling().by_type()) as inbox:
        await inbox.hear(alpha.head)
        await inbox.receive(said)
        del alpha.deliveries[1:]
        for _ in range(3):
            await inbox.hear(alpha.head)
            clock.pass_(timedelta(seconds=2))
    told = [each.getMessage() for each in caplog.records if "--begin-epoch" in each.getMessage()]
    assert len(told) == 1
    assert "alpha says that its log ends at 1, and 3 was heard" in told[0]


async def test_announcements_that_were_overtaken_are_no_log_that_went_back(
    wiring: Wiring, alpha: ProducerLog, caplog: pytest.LogCaptureFixture
) -> None:
    """By what was said after them: they come by another queue."""
    said = [alpha.say(AlphaNoted(text="0"))]
    clock = ManualClock()
    async with running(replace(wiring, clock=clock), Handling().by_type()) as inbox:
        await inbox.receive(said)
        for n in range(1, 4):
            before = alpha.head
            await inbox.receive([alpha.say(AlphaNoted(text=str(n)))])
            await inbox.hear(before)
            await inbox.hear(before)
            clock.pass_(timedelta(seconds=2))
            await inbox.hear(alpha.head)
    assert not [each for each in caplog.records if "--begin-epoch" in each.getMessage()]


# Much.


async def test_a_project_that_must_wait_holds_up_no_other(wiring: Wiring, alpha: ProducerLog) -> None:
    stuck = [alpha.say(AlphaNoted(text=str(n)), "stuck") for n in range(WINDOW + 20)]
    other = alpha.say(AlphaNoted(text="other"), "churn")
    handling = Handling(says={place_of(stuck[0]): [Retry(after=1e9, reason="not today")]})
    async with running(wiring, handling.by_type()) as inbox:
        await inbox.hear(alpha.head)
        await inbox.receive(stuck)
        await inbox.receive([other])
        await until_kept(wiring, [place_of(other)])
        await eventually(lambda: inbox.pending == len(stuck))
    await wiring.store.commit(Unit(writes=(Run(statement=sa.update(tables.inbox).values(next_at=0.0)),)))
    async with running(wiring, Handling().by_type()):
        await eventually(lambda: all_kept(wiring, len(stuck) + 1))
    places = await kept_places(wiring)
    assert places == [place_of(each) for each in (other, *stuck)]
    assert await rows_left(wiring) == []


# Everything at once.

_runs = itertools.count()

Move = tuple[str, Any]
moves = st.lists(
    st.one_of(
        st.tuples(st.just("deliver"), st.lists(st.tuples(st.booleans(), st.integers(0, 11)), max_size=8)),
        st.tuples(st.just("announce"), st.booleans()),
        st.tuples(st.just("restart"), st.none()),
    ),
    max_size=12,
)
fates = st.lists(st.sampled_from(["heard", "heard", "heard", "lost", "unheard"]), max_size=40)
everything_at_once = settings(
    max_examples=40,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # shrinking what is asynchronous takes minutes
    suppress_health_check=list(HealthCheck),  # each run has a file of its own
)


def two_logs(kinds: list[tuple[bool, bool]]) -> tuple[ProducerLog, ProducerLog]:
    alpha, beta = ProducerLog("alpha"), ProducerLog("beta")
    for number, (is_wanted, is_churn) in enumerate(kinds):
        project = "churn" if is_churn else "fraud"
        alpha.say(AlphaNoted(text=str(number)) if is_wanted else AlphaDropped(text=str(number)), project)
        beta.say(BetaNoted(text=str(number)), project)
    return alpha, beta


async def play(
    logs: tuple[ProducerLog, ProducerLog],
    script: list[Move],
    inbox: Inbox,
    restart: Callable[[], Awaitable[Inbox]],
) -> Inbox:
    for kind, what in script:
        match kind:
            case "deliver":
                found = [
                    logs[of_beta].deliveries[n] for of_beta, n in what if n < len(logs[of_beta].deliveries)
                ]
                await hand_over(inbox, found)
            case "announce":
                await announce(inbox, logs[what])
            case "restart":
                inbox = await restart()
    return inbox


async def send_again_what_is_asked_for(
    inboxes: Sequence[Inbox],
    logs: Sequence[ProducerLog],
    bus: ScriptedBus,
    is_over: Callable[[], Awaitable[bool]],
) -> None:
    async def came() -> bool:
        for inbox in inboxes:
            for log in logs:
                await announce(inbox, log)
            asked, bus.notes = bus.notes, []
            for note in asked:
                assert isinstance(note, ResendAsked)
                log = next(each for each in logs if each.name == note.producer)
                await hand_over(inbox, log.positions(note.after, note.upto))
        return await is_over()  # of which an inbox that has heard of no head knows little

    await eventually(came, within=60, every=0.001)


@everything_at_once
@example(
    kinds=[(False, False), (False, True)],
    script=[("deliver", [(False, 1)])],
    fate=[],
    troubles={},
    in_batches=False,
)
@given(
    kinds=st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=12),
    script=moves,
    fate=fates,
    troubles=st.dictionaries(
        st.tuples(st.sampled_from(["alpha", "beta"]), st.integers(1, 12)), st.integers(1, 2)
    ),
    in_batches=st.booleans(),
)
async def test_whatever_happens_each_wanted_message_is_handled_once_and_in_order(
    tmp_path_factory: pytest.TempPathFactory,
    kinds: list[tuple[bool, bool]],
    script: list[Move],
    fate: list[Fate],
    troubles: dict[tuple[str, int], int],
    in_batches: bool,
) -> None:
    logs, bus = two_logs(kinds), ScriptedBus()
    sound = await open_wiring(tmp_path_factory.mktemp("inbox") / "tester.db", clock=HastyClock(), bus=bus)
    wiring = replace(sound, store=FatefulStore(sound.store, fate))
    handling = Handling(
        says={
            f"{name} {name}-1 {n}": [Unavailable("not now")] * times for (name, n), times in troubles.items()
        }
    )
    reaction: Reaction = handling.everything() if in_batches else handling.by_type()
    task: asyncio.Task[None] | None = None

    async def restart() -> Inbox:
        nonlocal task
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        inbox = Inbox("tester", wiring, reaction)
        await inbox.load()
        task = asyncio.create_task(inbox.run())
        return inbox

    expected = {place_of(each) for log in logs for each in log.deliveries if reaction.wants(each.routing_key)}
    inbox = await play(logs, script, await restart(), restart)

    async def is_over() -> bool:
        # What nobody wants may wait behind a hole, too, and goes when that is closed.
        is_whole = inbox.pending == 0 and not await rows_left(sound)
        return is_whole and expected <= set(await kept_places(sound))

    await send_again_what_is_asked_for([inbox], logs, bus, is_over)
    assert task is not None
    task.cancel()

    done = await kept_places(sound)
    assert sorted(done) == sorted(expected)
    for log in logs:
        for project in ("churn", "fraud"):
            own = [place_of(each) for each in log.deliveries if each.routing_key.endswith(project)]
            assert [place for place in done if place in own] == [place for place in own if place in expected]
    assert await rows_left(sound) == []
    await sound.store.close()


@everything_at_once
@example(
    kinds=[(False, False), (False, True)],
    scripts=([("deliver", [(False, 1)])], []),
    fate=[],
    in_batches=False,
)
@example(
    kinds=[(False, False), (False, True)],
    scripts=(
        [("deliver", [(False, 1)]), *[("announce", True)] * 6],
        [("announce", True), ("deliver", [(True, 0), (True, 1)])],
    ),
    fate=[],
    in_batches=False,
)
@given(
    kinds=st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=12),
    scripts=st.tuples(moves, moves),
    fate=fates,
    in_batches=st.booleans(),
)
async def test_two_that_both_believe_they_lead_handle_each_message_once(
    tmp_path_factory: pytest.TempPathFactory,
    kinds: list[tuple[bool, bool]],
    scripts: tuple[list[Move], list[Move]],
    fate: list[Fate],
    in_batches: bool,
) -> None:
    logs, bus = two_logs(kinds), ScriptedBus()
    file = tmp_path_factory.mktemp("inbox") / "tester.db"
    ids, clock = CountingIds(), HastyClock()
    opened = [await open_wiring(file, clock=clock, bus=bus, ids=ids) for _ in range(2)]
    handling = Handling()
    reaction: Reaction = handling.everything() if in_batches else handling.by_type()
    inboxes = [
        Inbox("tester", replace(each, store=FatefulStore(each.store, fate)), reaction) for each in opened
    ]
    tasks = [asyncio.create_task(inbox.run()) for inbox in inboxes]

    async def play_for(inbox: Inbox, script: list[Move]) -> None:
        async def stay() -> Inbox:
            return inbox

        await play(logs, script, inbox, stay)

    await asyncio.gather(*(play_for(inbox, script) for inbox, script in zip(inboxes, scripts, strict=True)))

    expected = sorted(
        place_of(each) for log in logs for each in log.deliveries if reaction.wants(each.routing_key)
    )

    async def is_over() -> bool:
        # One of them has passed all holes, also those before what nobody wants.
        is_whole = any(not any(inbox.lag().values()) for inbox in inboxes)
        is_handled = all(inbox.pending == 0 for inbox in inboxes)
        return is_whole and is_handled and len(await kept_places(opened[0])) == len(expected)

    await send_again_what_is_asked_for(inboxes, logs, bus, is_over)
    for task in tasks:
        task.cancel()

    assert sorted(await kept_places(opened[0])) == expected
    # What one had stored as early, and the other passed without a look at it, goes when it is next met.
    await inboxes[0].load()
    for log in logs:
        await announce(inboxes[0], log)
    assert await rows_left(opened[0]) == []
    for each in opened:
        await each.store.close()
