"""A service that lost its database has it again from the audit log, over a SQLite file and over a real PostgreSQL."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from opentelemetry import trace
from placet.errors import PlacetError, Refused, Unavailable, Unreadable
from placet.events import ByType, Heard, Service, UnitOfWork
from placet.events.adapters.postgresql_store import open_postgresql_store
from placet.events.adapters.sql_store import SqlStore
from placet.events.adapters.sqlite_store import open_sqlite_store
from placet.events.envelope import Recorded
from placet.events.leadership import Leadership
from placet.events.restoring import AsOf, Restoration, must_not_be_half_restored
from placet.events.store import EVENTS, RestorableStore, Unit
from placet.events.tables import LIBRARY, inbox, inbox_cursors, jobs, recalled, relay_cursor, restoring
from placet.events.testing import CountingIds, ManualClock
from placet.events.wiring import Wiring

from tests.contract.projection_contract import Dying, Killed
from tests.unit.events.harness import (
    CODEC,
    OWN,
    AlphaDropped,
    AlphaNoted,
    BetaNoted,
    ScriptedBus,
    ThingKept,
    kept,
    seal,
)

OpenStore = Callable[[], Awaitable[SqlStore]]
LOST, NEXT = "01890000-0000-7000-8000-000000000001", "01890000-0000-7000-8000-000000000002"
"""Epochs of the service."""


@pytest.fixture(params=["sqlite", "postgresql"])
async def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[OpenStore]:
    stores: list[SqlStore] = []
    opens: dict[str, Any] = {
        "codec": CODEC,
        "ids": CountingIds(),
        "tables": (LIBRARY, OWN),
        "logs": (EVENTS,),
    }
    url = request.getfixturevalue("database_url") if request.param == "postgresql" else ""

    async def open_one() -> SqlStore:
        store: SqlStore = (
            await open_postgresql_store(url, schema="tester", **opens)
            if url
            else await open_sqlite_store(tmp_path / "tester.db", **opens)
        )
        stores.append(store)
        return store

    yield open_one
    for store in stores:
        await store.close()


class AuditLog:
    """What was said, in the order in which the audit log has it."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self._positions: dict[tuple[str, str], int] = {}

    def say(
        self, payload: Any, *, project: str = "churn", after: str | None = None, epoch: str | None = None
    ) -> str:
        """Returns the event's id. `after` is the event that caused it."""
        producer = type(payload).__name__.removesuffix("Noted").removesuffix("Dropped").lower()
        producer = {"thingkept": "tester"}.get(producer, producer)
        place = producer, epoch or (LOST if producer == "tester" else f"{producer}-1")
        position = self._positions[place] = self._positions.get(place, self._end(producer)) + 1
        id = f"{place[1]}/{position}"
        sealed = seal(payload, id, project=project, subject=f"thing/{project}")
        event = json.loads(sealed.raw)
        raw = sealed.raw if after is None else _canonical({**event, "causationid": after})
        self.lines.append(
            msgspec.json.encode(
                {
                    "position": len(self.lines) + 1,
                    "producer": producer,
                    "epoch": place[1],
                    "producerPosition": position,
                    "event": msgspec.Raw(raw),
                }
            )
        )
        return id

    def begin_epoch(self, epoch: str, after: int) -> None:
        """As the service did after a restore from a backup that ended at `after`."""
        self._positions["tester", epoch] = after

    def _end(self, producer: str) -> int:
        return max((last for (name, _), last in self._positions.items() if name == producer), default=0)

    async def read(self) -> AsyncIterator[bytes]:
        for line in self.lines:
            yield line


def _canonical(event: dict[str, Any]) -> bytes:
    return msgspec.json.Encoder(order="sorted").encode(event)


class DyingStore(Dying):
    def __init__(self, store: SqlStore, last: int, *, after: bool) -> None:
        super().__init__(store, last, after=after)
        self._whole = store

    async def take_up_epochs(self, epochs: Sequence[tuple[str, int]], log: str = EVENTS) -> None:
        await self._whole.take_up_epochs(epochs, log)


def service(store: RestorableStore) -> tuple[Service, AsOf]:
    """Notes what alpha says, says so, and enqueues what it drops; what it said itself it recalls as a row."""
    clock = AsOf(ManualClock())
    wiring = Wiring(
        store=store,
        bus=ScriptedBus(),
        codec=CODEC,
        clock=clock,
        ids=CountingIds(),
        tracer=trace.get_tracer("test"),
    )

    async def on_noted(heard: Heard[AlphaNoted], work: UnitOfWork) -> None:
        stream = f"thing/{heard.event.partitionkey}"
        history = await work.history(stream)
        _number(work, 100 + heard.position, f"heard {heard.data.text}")
        if not any(each.text == heard.data.text for each in history):
            work.stage(stream, [ThingKept(text=heard.data.text)])

    async def on_dropped(heard: Heard[AlphaDropped], work: UnitOfWork) -> None:
        work.enqueue("drop", heard.data.text, {"text": heard.data.text})

    async def on_kept(heard: Heard[ThingKept], work: UnitOfWork) -> None:
        _number(work, heard.position, f"kept {heard.data.text} at {work.now:%Y}")

    alone = Service(
        name="tester",
        wiring=wiring,
        hears=frozenset({"alpha"}),
        says=(ThingKept,),
        reaction=ByType({AlphaNoted: on_noted, AlphaDropped: on_dropped}),
        recalls=ByType({ThingKept: on_kept}),
    )
    return alone, clock


def _number(work: UnitOfWork, number: int, place: str) -> None:
    work.put(kept, number=number, place=place)


async def restore(store: RestorableStore, log: AuditLog) -> int:
    """Returns how many messages are left to the service."""
    alone, clock = service(store)
    return (await Restoration(alone, store, clock).run(log.read())).left


@pytest.fixture
def log() -> AuditLog:
    log = AuditLog()
    asked = log.say(AlphaNoted(text="a"))
    log.say(BetaNoted(text="nobody here hears this"))
    log.say(ThingKept(text="a"), after=asked)
    dropped = log.say(AlphaDropped(text="done"))
    log.say(ThingKept(text="dropped"), after=dropped)
    log.say(AlphaDropped(text="open"), project="fraud")
    log.say(AlphaNoted(text="not handled yet"), project="fraud")
    log.say(AlphaNoted(text="behind it"), project="fraud")
    return log


async def rows_of(store: SqlStore, table: sa.Table) -> Sequence[Any]:
    return await store.rows(sa.select(table).order_by(*table.primary_key))


async def test_its_log_is_what_it_was_and_a_new_epoch_begins(open_store: OpenStore, log: AuditLog) -> None:
    store = await open_store()
    await restore(store, log)

    own = [json.loads(line) for line in log.lines if json.loads(line)["producer"] == "tester"]
    found = await store.read_all(0, 10)
    assert [each.event.raw for each in found] == [_canonical(each["event"]) for each in own]
    assert [each.position for each in found] == [each["producerPosition"] for each in own]
    before, after = await store.epochs()
    assert (before.epoch, before.began_after) == (LOST, 0)
    assert (after.epoch > LOST, after.began_after) == (True, 2)
    assert [row.position for row in await rows_of(store, relay_cursor)] == [2]


async def test_what_it_knew_comes_back_and_what_was_open_is_left_to_it(
    open_store: OpenStore, log: AuditLog
) -> None:
    store = await open_store()
    assert await restore(store, log) == 2
    assert [(row.number, row.place) for row in await rows_of(store, kept)] == [
        (1, "kept a at 2026"),
        (2, "kept dropped at 2026"),
        (101, "heard a"),
    ]
    assert [row.key for row in await rows_of(store, jobs)] == ["open"], "what came of the other is known"
    assert [(row.position, row.state, row.lane) for row in await rows_of(store, inbox)] == [
        (4, "waiting", "fraud"),
        (5, "waiting", "fraud"),
    ]
    assert [(row.producer, row.epoch, row.position) for row in await rows_of(store, inbox_cursors)] == [
        ("alpha", "alpha-1", 5)
    ]
    assert await rows_of(store, recalled) == []
    await must_not_be_half_restored("tester", store)


async def test_what_it_had_forgotten_before_stays_forgotten(open_store: OpenStore, log: AuditLog) -> None:
    """It was restored from a backup once: others know more of the older epoch than it did."""
    log.begin_epoch(NEXT, after=1)
    log.say(ThingKept(text="instead"), epoch=NEXT)
    store = await open_store()
    await restore(store, log)
    assert [each.data.text for each in await store.read_all(0, 10)] == ["a", "instead"]
    assert [(each.epoch, each.began_after) for each in await store.epochs()][:2] == [(LOST, 0), (NEXT, 1)]


@pytest.mark.parametrize("after", [False, True])
async def test_whoever_dies_at_any_step_goes_on(open_store: OpenStore, log: AuditLog, after: bool) -> None:
    store = await open_store()
    deaths = 0
    while True:
        try:
            left = await restore(DyingStore(store, 2, after=after), log)
        except Killed:
            deaths += 1
        except Refused:
            break  # the last step had been done, and there is nothing to go on with
        else:
            assert left == 2
            break
    assert deaths > 5
    await must_not_be_half_restored("tester", store)
    assert len(await store.read_all(0, 10)) == 2
    assert len(await rows_of(store, kept)) == 3
    assert len(await rows_of(store, jobs)) == 1


class Overtaken(DyingStore):
    """Before its commit number `last`, once, somebody else does something to the same database."""

    def __init__(self, store: SqlStore, last: int, other: Callable[[], Awaitable[None]]) -> None:
        super().__init__(store, last, after=False)
        self._other = other

    async def commit(self, unit: Unit) -> tuple[Recorded[Any], ...]:
        try:
            return await super().commit(unit)
        except Killed:
            self.is_dead, self._last = False, sys.maxsize
            await self._other()
            return await self._whole.commit(unit)


@pytest.mark.parametrize("at", range(1, 15))
async def test_of_two_at_once_one_goes_on_and_the_other_is_told(
    open_store: OpenStore, log: AuditLog, at: int
) -> None:
    store, beside = await open_store(), await open_store()

    async def whole() -> None:
        assert await restore(beside, log) == 2

    overtaken = Overtaken(store, at, whole)
    with pytest.raises(Refused, match=r"at the same time|is not empty") as refusal:
        await restore(overtaken, log)
    assert refusal.value.fix
    await holds_what_it_knew(store)


@pytest.mark.parametrize("other", [2, 3, 5, 7])
async def test_whoever_is_overtaken_by_one_that_dies_leaves_it_to_the_next(
    open_store: OpenStore, log: AuditLog, other: int
) -> None:
    store, beside = await open_store(), await open_store()

    async def a_part() -> None:
        with suppress(Killed, Refused):
            await restore(DyingStore(beside, other, after=True), log)

    for at in range(1, 6):
        with suppress(Refused):
            await restore(Overtaken(store, at, a_part), log)
    with suppress(Refused):  # it may be at its end by now
        await restore(store, log)
    await holds_what_it_knew(store)


async def holds_what_it_knew(store: SqlStore) -> None:
    """Each thing once, whoever restored it."""
    await must_not_be_half_restored("tester", store)
    assert [each.data.text for each in await store.read_all(0, 10)] == ["a", "dropped"]
    assert len(await rows_of(store, kept)) == 3
    assert len(await rows_of(store, jobs)) == 1
    assert [row.position for row in await rows_of(store, inbox)] == [4, 5]
    assert await rows_of(store, recalled) == []


async def test_a_service_that_runs_is_not_restored_over(open_store: OpenStore, log: AuditLog) -> None:
    store = await open_store()
    runs = Leadership("tester", service(store)[0].wiring, owner="it", seconds=60.0)
    await runs.acquire()
    with pytest.raises(Refused, match="tester runs on the database"):
        await restore(store, log)
    assert await rows_of(store, restoring) == []
    await runs.release()
    assert await restore(store, log) == 2


async def test_a_database_that_holds_something_is_left_alone(open_store: OpenStore, log: AuditLog) -> None:
    store = await open_store()
    await restore(store, log)
    with pytest.raises(Refused, match="not empty: its log ends at 2") as refusal:
        await restore(store, log)
    assert "--begin-epoch" in (refusal.value.fix or "")


async def test_a_service_does_not_run_on_half_of_it(open_store: OpenStore, log: AuditLog) -> None:
    store = await open_store()
    with pytest.raises(Killed):
        await restore(DyingStore(store, 3, after=True), log)
    with pytest.raises(Refused, match="did not come to its end"):
        await must_not_be_half_restored("tester", store)


def without(log: AuditLog, index: int) -> None:
    del log.lines[index]


def renumbered(log: AuditLog, index: int) -> None:
    """Removed from the audit log as well as it can be."""
    del log.lines[index]
    for at, line in enumerate(log.lines, start=1):
        log.lines[at - 1] = msgspec.json.encode({**json.loads(line), "position": at})


def changed(log: AuditLog, index: int) -> None:
    log.lines[index] = log.lines[index].replace(b'"text":"a"', b'"text": "a"')


def cut(log: AuditLog, index: int) -> None:
    log.lines[index] = log.lines[index][:-20]


@pytest.mark.parametrize(
    ("tamper", "index", "told"),
    [
        (without, 3, "no position 4, but 5"),
        (renumbered, 2, "no position 1 of tester"),
        (renumbered, 3, "no position 2 of alpha"),
        (changed, 2, "at 3 .* is not as it was said"),
        (cut, 7, "no entry of an audit log"),
    ],
)
async def test_a_log_that_is_not_whole_is_refused_by_name(
    open_store: OpenStore,
    log: AuditLog,
    tamper: Callable[[AuditLog, int], None],
    index: int,
    told: str,
) -> None:
    store = await open_store()
    tamper(log, index)
    with pytest.raises(Unreadable, match=told) as refusal:
        await restore(store, log)
    assert isinstance(refusal.value, PlacetError)
    assert refusal.value.fix
    assert (await store.head()).position == 0


@pytest.mark.parametrize("read", [3, 8])
async def test_one_log_to_begin_with_and_another_to_go_on_is_refused(
    open_store: OpenStore, log: AuditLog, read: int
) -> None:
    """Whoever serves the log breaks off behind an event of his own, and shows the true one to who goes on with it."""
    store, true = await open_store(), list(log.lines)
    log.lines[2] = true[2].replace(b'"text":"a"', b'"text":"his"')
    del log.lines[read:]
    alone, clock = service(store)
    with pytest.raises(Unavailable, match="broke off"):
        await Restoration(alone, store, clock).run(log.read(), until=9)
    for lines in (true, true[read:], [*log.lines[:2], *true[2:]]):
        log.lines = lines
        with pytest.raises(Refused, match="before is not what is given now") as refusal:
            await restore(store, log)
        assert "drop the schema tester" in str(refusal.value.fix)
    assert (await store.head()).position == 0


async def test_nothing_is_no_log(open_store: OpenStore) -> None:
    with pytest.raises(Refused, match="is empty"):
        await restore(await open_store(), AuditLog())
