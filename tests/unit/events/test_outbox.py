"""The relay publishes the whole log, in order, and again after every doubt."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from placet.errors import Unavailable, Unreadable
from placet.events import tables
from placet.events.bus import EpochBegan, HeadAnnounced, Note
from placet.events.chain import Chain
from placet.events.envelope import Recorded
from placet.events.outbox import RESEND_AT_MOST, WINDOW, Relay
from placet.events.store import EVENTS, PAGE, EventStore, Run, Signal, Unit
from placet.events.wiring import Wiring

from tests.support.eventually import eventually
from tests.unit.events.harness import FatefulStore, ScriptedBus, append, open_wiring, running


def numbers(count: int) -> list[str]:
    return [str(number) for number in range(1, count + 1)]


def forgetting(after: int) -> Unit:
    """As in a database that failed over to one that lacks what was committed last."""
    log, heads = sa.table(EVENTS, sa.column("position")), sa.table("log_heads", sa.column("position"))
    # What a database lost it did not delete: nothing had kept it from that.
    unbound = sa.text("DROP TRIGGER IF EXISTS events_no_delete")
    forget = (unbound, sa.delete(log).where(log.c.position > after), sa.update(heads).values(position=after))
    return Unit(writes=tuple(Run(statement=each) for each in forget))


async def is_idle(wiring: Wiring, position: int) -> bool:
    """Whether the relay has sent all up to there and gone to sleep: that it writes down, as its last."""
    rows = await wiring.store.rows(sa.select(tables.relay_cursor.c.position))
    return [row.position for row in rows] == [position]


def epochs_told(bus: ScriptedBus) -> Sequence[EpochBegan]:
    last = bus.notes[-1]
    return last.epochs if isinstance(last, HeadAnnounced) else ()


async def test_the_log_is_published_in_order_with_its_places(wiring: Wiring, bus: ScriptedBus) -> None:
    await wiring.store.commit(append("1", "2"))
    async with running(Relay("tester", wiring).run()):
        await eventually(lambda: len(bus.published) == 2)
        await wiring.store.commit(append("3"))
        await eventually(lambda: len(bus.published) == 3)

    epoch = (await wiring.store.head()).epoch
    assert [(each.id, each.position, each.epoch) for each in bus.published] == [
        ("1", 1, epoch),
        ("2", 2, epoch),
        ("3", 3, epoch),
    ]
    assert bus.published[0].routing_key == "tester.thing.kept.churn"
    assert [each.raw for each in bus.published] == [
        each.event.raw for each in await wiring.store.read("thing/1")
    ]


async def test_a_long_backlog_goes_out_in_windows(wiring: Wiring, bus: ScriptedBus) -> None:
    await wiring.store.commit(append(*numbers(2 * WINDOW + 5)))
    async with running(Relay("tester", wiring).run()):
        await eventually(lambda: len(bus.published) == 2 * WINDOW + 5)
    assert bus.windows == [WINDOW, WINDOW, 5]


async def test_it_advances_only_over_what_is_confirmed(wiring: Wiring, bus: ScriptedBus) -> None:
    await wiring.store.commit(append("1", "2"))
    head_goes_out, window_does_not = None, Unavailable("no confirm came")
    bus.trouble.extend([head_goes_out, window_does_not])
    relay = Relay("tester", wiring)
    async with running(relay.run()):
        await eventually(lambda: not bus.trouble and relay.backlog == 2)
        assert bus.published == []
        await eventually(lambda: bus.positions == [1, 2])
        await eventually(lambda: relay.backlog == 0)


async def test_while_the_broker_is_away_everything_waits(wiring: Wiring, bus: ScriptedBus) -> None:
    bus.is_away = True
    async with running(Relay("tester", wiring).run()):
        await wiring.store.commit(append("1"))
        await wiring.store.commit(append("2"))
        bus.is_away = False
        await eventually(lambda: bus.positions == [1, 2])


async def test_after_a_restart_it_goes_on_where_it_was_written_down(wiring: Wiring, bus: ScriptedBus) -> None:
    await wiring.store.commit(append("1", "2"))
    relay = Relay("tester", wiring)
    await relay.drain()
    await wiring.store.commit(append("3"))

    await Relay("tester", wiring).drain()
    assert bus.positions == [1, 2, 3]


async def test_after_a_crash_it_repeats_and_never_skips(wiring: Wiring, bus: ScriptedBus) -> None:
    await wiring.store.commit(append("1", "2"))
    forgetful = FatefulStore(wiring.store, ["lost"])
    await Relay("tester", replace(wiring, store=forgetful)).drain()  # published, and not written down

    await Relay("tester", wiring).drain()
    assert bus.positions == [1, 2, 1, 2]


async def test_a_relay_that_is_stopped_before_it_began_publishes_what_is_there(
    wiring: Wiring, bus: ScriptedBus
) -> None:
    await wiring.store.commit(append("1"))
    relay = Relay("tester", wiring)
    await relay.drain()
    await relay.drain()
    assert bus.positions == [1]


async def test_stopping_without_a_broker_leaves_the_rest_for_later(wiring: Wiring, bus: ScriptedBus) -> None:
    await wiring.store.commit(append("1"))
    bus.is_away = True
    await Relay("tester", wiring).drain()
    bus.is_away = False
    await Relay("tester", wiring).drain()
    assert bus.positions == [1]


async def test_what_a_newer_version_said_is_published_by_an_older_one(
    wiring: Wiring, bus: ScriptedBus
) -> None:
    """While replicas are upgraded one by one, an old one may lead and new ones append."""
    await wiring.store.commit(append("1", "2"))
    newer = sa.table(EVENTS, sa.column("position"), sa.column("raw"))
    raw = (await wiring.store.read_all(0, 1))[0].event.raw.replace(b"thing.kept.v1", b"thing.kept.v2")
    lifted = sa.update(newer).where(newer.c.position == 1).values(raw=raw)
    unbound = sa.text("DROP TRIGGER events_no_update")
    await wiring.store.commit(Unit(writes=(Run(statement=unbound), Run(statement=lifted))))
    with pytest.raises(Unreadable):
        await wiring.store.read_all(0, 1)

    await Relay("tester", wiring).drain()
    assert bus.positions == [1, 2]
    assert bus.published[0].raw == raw


async def test_a_log_that_went_back_ends_it_aloud(wiring: Wiring, bus: ScriptedBus) -> None:
    """The database was restored below a running service: what it says next would be taken for repetitions."""
    await wiring.store.commit(append("1", "2"))
    relay = Relay("tester", wiring)
    await relay.drain()
    await wiring.store.commit(forgetting(1))
    with pytest.raises(Unreadable, match="ends at 1, and 2 was sent"):
        await relay.run()


async def test_a_wish_is_met_up_to_a_bound_and_holds_up_nothing_new(wiring: Wiring, bus: ScriptedBus) -> None:
    await wiring.store.commit(append(*numbers(RESEND_AT_MOST + 300)))
    relay = Relay("tester", wiring)
    await relay.drain()
    bus.published.clear()
    relay.resend(0, 2**53 - 1)
    await wiring.store.commit(append("new"))
    async with running(relay.run()):
        await eventually(lambda: len(bus.published) == RESEND_AT_MOST + 1)
    assert bus.positions.index(RESEND_AT_MOST + 301) <= WINDOW


async def test_an_epoch_that_begins_while_it_runs_names_what_follows(
    wiring: Wiring, bus: ScriptedBus
) -> None:
    async with running(Relay("tester", wiring, announce_every=1e9).run()):
        await wiring.store.commit(append("1"))
        await eventually(lambda: len(bus.published) == 1)
        first, second = await wiring.store.head(), await wiring.store.begin_epoch()
        await wiring.store.commit(append("2"))
        await eventually(lambda: len(bus.published) == 2)
    assert [each.epoch for each in bus.published] == [first.epoch, second.epoch]


async def test_whoever_asks_for_something_is_told_the_head(wiring: Wiring, bus: ScriptedBus) -> None:
    relay = Relay("tester", wiring, announce_every=1e9)
    async with running(relay.run()):
        await wiring.store.commit(append("1"))
        await eventually(lambda: bus.published and bus.notes)
        relay.resend(1, 1)
        await eventually(lambda: len(bus.notes) == 2)
    last = bus.notes[-1]
    assert isinstance(last, HeadAnnounced)
    assert last.position == 1
    assert bus.positions == [1]


async def test_an_epoch_that_begins_behind_what_was_sent_is_sent_from_its_beginning(
    wiring: Wiring, bus: ScriptedBus
) -> None:
    relay = Relay("tester", wiring, announce_every=1e9)
    async with running(relay.run()):
        await wiring.store.commit(append("1", "2", "3"))
        await eventually(lambda: is_idle(wiring, 3))
        await wiring.store.commit(forgetting(1))
        await wiring.store.begin_epoch()
        relay.resend(0, 0)
        await eventually(lambda: len(epochs_told(bus)) == 2)
        await wiring.store.commit(append("2, again", "3, again", "4"))
        await eventually(lambda: len(bus.published) == 6)

    new = await wiring.store.head()
    assert [(each.id, each.epoch) for each in bus.published[3:]] == [
        ("2, again", new.epoch),
        ("3, again", new.epoch),
        ("4", new.epoch),
    ]
    last = bus.notes[-1]
    assert isinstance(last, HeadAnnounced)
    assert (last.position, last.end, last.epochs[-1].began_after) == (1, 1, 1)


class _NoticesFailovers(FatefulStore):
    """With each commit, as PostgreSQL's does with the first on a new connection."""

    async def commit(self, unit: Unit) -> tuple[Recorded[Any], ...]:
        if (await self.head()).position < self.position:
            self.position = 0
            await self.begin_epoch()
        return await super().commit(unit)

    position = 2


async def test_a_failover_that_nobody_committed_after_is_noticed_before_it_is_called_a_restore(
    wiring: Wiring, bus: ScriptedBus
) -> None:
    await wiring.store.commit(append("1", "2"))
    relay = Relay("tester", replace(wiring, store=_NoticesFailovers(wiring.store)))
    await relay.drain()
    await wiring.store.commit(forgetting(1))

    await relay.announce()
    last = bus.notes[-1]
    assert isinstance(last, HeadAnnounced)
    assert (last.position, last.end, len(last.epochs)) == (1, 1, 2)


class _FailsOverAtTheEnd(_NoticesFailovers):
    """When all is sent, and that is not written down yet."""

    async def read_all(
        self, after: int, limit: int, *, log: str = EVENTS, sealed: bool = False
    ) -> list[Recorded[Any]]:
        window = await super().read_all(after, limit, log=log, sealed=sealed)
        if not window:
            await self._store.commit(forgetting(1))
        return window


async def test_a_relay_that_ended_before_it_noticed_a_failover_holds_up_no_other(
    wiring: Wiring, bus: ScriptedBus
) -> None:
    await wiring.store.commit(append("1", "2"))
    await Relay("tester", replace(wiring, store=_FailsOverAtTheEnd(wiring.store))).drain()
    new = await wiring.store.head()
    assert (bus.positions, new.position, new.began_after) == ([1, 2], 1, 1)

    async with running(Relay("tester", wiring).run()):
        await eventually(lambda: bus.notes)
        await wiring.store.commit(append("2, again"))
        await eventually(lambda: len(bus.published) == 3)
    assert (bus.published[2].id, bus.published[2].epoch) == ("2, again", new.epoch)


async def test_a_window_of_a_new_epoch_does_not_hide_what_came_before_it(
    wiring: Wiring, bus: ScriptedBus
) -> None:
    await wiring.store.commit(append("1", "2"))
    relay = Relay("tester", wiring)
    await relay.drain()
    await wiring.store.commit(forgetting(1))
    new = await wiring.store.begin_epoch()
    await wiring.store.commit(append("2, again", "3"))

    await relay.drain()
    assert {"2, again", "3"} <= {each.id for each in bus.published if each.epoch == new.epoch}


class _FailsOver(FatefulStore):
    """Behind a window, to a database that lacks what is in it and has said something else instead."""

    is_due = True

    async def read_all(
        self, after: int, limit: int, *, log: str = EVENTS, sealed: bool = False
    ) -> list[Recorded[Any]]:
        window = await super().read_all(after, limit, log=log, sealed=sealed)
        if window and self.is_due:
            self.is_due = False
            await self.commit(forgetting(1))
            await self.begin_epoch()
            await self.commit(append("2, again"))
        return window


async def test_what_a_failover_lost_is_not_said_in_the_new_epoch(wiring: Wiring, bus: ScriptedBus) -> None:
    await wiring.store.commit(append("1", "2", "3"))
    await Relay("tester", replace(wiring, store=_FailsOver(wiring.store))).drain()
    old, new = await wiring.store.epochs()
    assert [(each.id, each.epoch) for each in bus.published] == [("1", old.epoch), ("2, again", new.epoch)]


async def test_what_a_failover_lost_is_not_sent_again_in_the_new_epoch(
    wiring: Wiring, bus: ScriptedBus
) -> None:
    await wiring.store.commit(append("1", "2", "3"))
    store = _FailsOver(wiring.store)
    store.is_due = False
    relay = Relay("tester", replace(wiring, store=store), announce_every=1e9)
    async with running(relay.run()):
        await eventually(lambda: is_idle(wiring, 3))
        store.is_due = True
        relay.resend(0, 3)
        await eventually(lambda: len(bus.published) > 3)
    new = await wiring.store.head()
    assert [(each.id, each.epoch) for each in bus.published[3:]] == [("2, again", new.epoch)]


async def test_what_is_asked_for_is_sent_again(wiring: Wiring, bus: ScriptedBus) -> None:
    await wiring.store.commit(append(*numbers(9)))
    relay = Relay("tester", wiring)
    async with running(relay.run()):
        await eventually(lambda: relay.backlog == 0 and len(bus.published) == 9)
        bus.published.clear()
        relay.resend(2, 5)
        relay.resend(4, 7)
        await eventually(lambda: bus.positions == [3, 4, 5, 6, 7])
        relay.resend(8, 1000)
        await eventually(lambda: bus.positions == [3, 4, 5, 6, 7, 9])


async def test_every_epoch_is_announced_and_each_event_carries_its_own(
    wiring: Wiring, bus: ScriptedBus
) -> None:
    await wiring.store.commit(append("1", "2"))
    await wiring.store.begin_epoch()
    await wiring.store.commit(append("3"))
    old, new = await wiring.store.epochs()

    relay = Relay("tester", wiring)
    await relay.drain()
    await relay.announce()

    assert [each.epoch for each in bus.published] == [old.epoch, old.epoch, new.epoch]
    assert bus.notes == [
        HeadAnnounced(
            producer="tester",
            position=3,
            end=3,
            epochs=(EpochBegan(epoch=old.epoch, began_after=0), EpochBegan(epoch=new.epoch, began_after=2)),
        )
    ]


def chained(bus: ScriptedBus) -> tuple[int, str]:
    """What was said last of what the store holds."""
    said = [each for each in bus.notes if isinstance(each, HeadAnnounced) and each.chain is not None]
    assert said, "nothing yet"
    return said[-1].position, str(said[-1].chain)


async def chain_of(wiring: Wiring, epoch: int = -1) -> tuple[int, str]:
    head = (await wiring.store.epochs())[epoch]
    chain = Chain.begin("tester", head.epoch, head.began_after)
    for each in await wiring.store.read_all(head.began_after, 10_000):
        chain.extend(each.event.raw)
    return chain.position, chain.value.hex()


@pytest.mark.parametrize("count", [1, 3, PAGE, PAGE + 1])
async def test_who_hears_the_head_is_told_what_the_store_holds(
    wiring: Wiring, bus: ScriptedBus, count: int
) -> None:
    await wiring.store.commit(append(*numbers(count)))
    async with running(Relay("tester", wiring, announce_every=0).run()):
        await eventually(lambda: chained(bus)[0] == count)
        assert chained(bus) == await chain_of(wiring)
        await wiring.store.commit(append("more"))
        await eventually(lambda: chained(bus)[0] == count + 1)
    assert chained(bus) == await chain_of(wiring)


async def test_what_the_store_holds_is_read_and_not_remembered(wiring: Wiring, bus: ScriptedBus) -> None:
    """Whoever changes the store behind the relay's back is found out at its next start, at the latest."""
    await wiring.store.commit(append("1", "2", "3"))
    async with running(Relay("tester", wiring, announce_every=0).run()):
        await eventually(lambda: chained(bus)[0] == 3)
    before = chained(bus)
    log = sa.table(EVENTS, sa.column("position"), sa.column("raw"))
    [second] = await wiring.store.read_all(1, 1)
    changed = sa.update(log).where(log.c.position == 2).values(raw=second.event.raw + b" ")
    unbound = sa.text("DROP TRIGGER IF EXISTS events_no_update")
    await wiring.store.commit(Unit(writes=(Run(statement=unbound), Run(statement=changed))))
    bus.notes.clear()
    async with running(Relay("tester", wiring, announce_every=0).run()):
        await eventually(lambda: chained(bus)[0] == 3)
    assert chained(bus) == await chain_of(wiring)
    assert chained(bus) != before


async def test_a_new_epoch_is_told_of_by_itself(wiring: Wiring, bus: ScriptedBus) -> None:
    await wiring.store.commit(append("1", "2"))
    async with running(Relay("tester", wiring, announce_every=0).run()):
        await eventually(lambda: chained(bus)[0] == 2)
        await wiring.store.begin_epoch()
        await wiring.store.commit(append("3"))
        await eventually(lambda: chained(bus)[0] == 3)
    assert chained(bus) == await chain_of(wiring)


class _Witness(ScriptedBus):
    """Compares each announcement with what had been sent by then."""

    def __init__(self) -> None:
        super().__init__()
        self.early: list[Note] = []

    async def tell(self, note: Note) -> None:
        await super().tell(note)
        if isinstance(note, HeadAnnounced) and note.position > len(self.published):
            self.early.append(note)


async def test_a_head_never_names_what_was_not_sent_yet(wiring: Wiring) -> None:
    """Or all hearers would take what is on its way for a hole, and ask for it again."""
    bus = _Witness()
    await wiring.store.commit(append(*numbers(3 * WINDOW)))
    async with running(Relay("tester", replace(wiring, bus=bus), announce_every=0).run()):
        await eventually(lambda: len(bus.published) == 3 * WINDOW)
    assert bus.notes
    assert bus.early == []


async def test_a_commit_between_looking_and_waiting_is_not_slept_through() -> None:
    signal = Signal()
    seen = signal.count
    signal.fire()
    async with asyncio.timeout(30):
        await signal.wait(3600, after=seen)


class StoreThatCounts(FatefulStore):
    def __init__(self, store: EventStore) -> None:
        super().__init__(store)
        self.pages = 0

    async def read_all(
        self, after: int, limit: int, *, log: str = EVENTS, sealed: bool = False
    ) -> list[Recorded[Any]]:
        self.pages += 1
        return await super().read_all(after, limit, log=log, sealed=sealed)


async def test_who_was_just_told_where_the_log_ends_does_not_look_for_more(
    wiring: Wiring, bus: ScriptedBus
) -> None:
    """An idle service asks its database once for each announcement."""
    await wiring.store.commit(append("1"))
    store = StoreThatCounts(wiring.store)
    async with running(Relay("tester", replace(wiring, store=store), announce_every=0.01).run()):
        await eventually(lambda: bus.positions == [1] and len(bus.notes) >= 2)
        pages, notes = store.pages, len(bus.notes)
        await eventually(lambda: len(bus.notes) >= notes + 10)
        assert store.pages - pages <= 1  # the one that found nothing behind the first


async def test_what_another_process_commits_is_found_by_the_next_announcement(
    wiring: Wiring, bus: ScriptedBus, tmp_path: Path
) -> None:
    beside = await open_wiring(tmp_path / "tester.db")
    async with running(Relay("tester", wiring, announce_every=0.01).run()):
        await eventually(lambda: bus.notes)
        await beside.store.commit(append("1"))
        await eventually(lambda: bus.positions == [1])
    await beside.store.close()
