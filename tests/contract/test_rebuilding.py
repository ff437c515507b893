"""Read models are made anew from the audit log while the service serves, over a SQLite file and a real PostgreSQL."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from opentelemetry import trace
from placet.errors import Refused, Unavailable, Unreadable
from placet.events import ByType, Heard, Service, UnitOfWork, transact
from placet.events.adapters.postgresql_store import open_postgresql_store
from placet.events.adapters.sql_store import SqlStore
from placet.events.adapters.sqlite_store import open_sqlite_store
from placet.events.inbox import Inbox
from placet.events.rebuilding import BRIEF_TRIES, COMPARED_AT_ONCE, HELD_FOR, Rebuild, Rebuilt
from placet.events.restoring import AsOf, Line
from placet.events.store import EVENTS, Alone, HoldableStore, Put, Run, Unit
from placet.events.tables import LIBRARY, NOT_TOLD, READ_MODEL, inbox
from placet.events.testing import CountingIds, ManualClock
from placet.events.wiring import Wiring

from tests.contract import projection_contract
from tests.contract.projection_contract import Killed
from tests.support.eventually import eventually
from tests.unit.events.harness import (
    CODEC,
    CONTEXT,
    AlphaDropped,
    AlphaNoted,
    ProducerLog,
    ScriptedBus,
    ThingKept,
    running,
)

MODELS = sa.MetaData()
shown = sa.Table(
    "shown",
    MODELS,
    sa.Column("text", sa.Text, primary_key=True),
    sa.Column("line", sa.Text, nullable=False),
    # Two never have the same.
    sa.Column("place", sa.Integer, unique=True, nullable=False),
    sa.Column("changes", sa.Integer, nullable=False, info=NOT_TOLD),
    info=READ_MODEL,
)
said = sa.Table("said", MODELS, sa.Column("text", sa.Text, primary_key=True), info=READ_MODEL)
words = sa.Table("words", MODELS, sa.Column("text", sa.Text, primary_key=True))
"""Of people, and in no event."""

MANY = COMPARED_AT_ONCE + 50
OpenStore = Callable[[], Awaitable[SqlStore]]


@pytest.fixture(params=["sqlite", "postgresql"])
async def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[OpenStore]:
    stores: list[SqlStore] = []
    opens: dict[str, Any] = {"codec": CODEC, "tables": (LIBRARY, MODELS), "logs": (EVENTS,)}
    url = request.getfixturevalue("database_url") if request.param == "postgresql" else ""

    async def open_one() -> SqlStore:
        store: SqlStore = (
            await open_postgresql_store(url, schema="tester", ids=CountingIds(), **opens)
            if url
            else await open_sqlite_store(tmp_path / "tester.db", ids=CountingIds(), **opens)
        )
        stores.append(store)
        return store

    yield open_one
    for store in stores:
        await store.close()


def service(store: Any, clock: AsOf) -> Service:
    """Shows what alpha noted until it drops it, and says so once; what it said it shows, too."""
    wiring = Wiring(
        store=store,
        bus=ScriptedBus(),
        codec=CODEC,
        clock=clock,
        ids=CountingIds(),
        tracer=trace.get_tracer("test"),
    )

    async def on_noted(heard: Heard[AlphaNoted], work: UnitOfWork) -> None:
        text = heard.data.text
        if text == "nobody can act on it":
            raise Unreadable("it cannot be read")
        stream = f"thing/{heard.event.partitionkey}"
        work.put(shown, text=text, line=f"noted {text}", place=heard.position, changes=1)
        for place in range(1000, 1000 + (MANY if text == "many" else 0)):
            work.put(shown, text=f"{place} of many", line="noted of many", place=place, changes=1)
        if not any(each.text == text for each in await work.history(stream)):
            work.stage(stream, [ThingKept(text=text)])
        await on_kept_text(text, work)

    async def on_dropped(heard: Heard[AlphaDropped], work: UnitOfWork) -> None:
        for table in (shown, said):
            work.run(sa.delete(table).where(table.c.text == heard.data.text))

    async def on_kept_text(text: str, work: UnitOfWork) -> None:
        work.put(said, text=text)

    async def on_kept(heard: Heard[ThingKept], work: UnitOfWork) -> None:
        await on_kept_text(heard.data.text, work)

    return Service(
        name="tester",
        wiring=wiring,
        hears=frozenset({"alpha"}),
        says=(ThingKept,),
        reaction=ByType({AlphaNoted: on_noted, AlphaDropped: on_dropped}),
        recalls=ByType({ThingKept: on_kept}),
    )


class Running:
    """A service that runs, what it hears, and the audit log of both."""

    def __init__(self, store: SqlStore) -> None:
        self.store = store
        self.service = service(store, AsOf(ManualClock()))
        self.inbox = Inbox("tester", self.service.wiring, self.service.reaction)
        self.alpha = ProducerLog("alpha")
        self._texts = itertools.count(1)

    async def hear(self, *payloads: Any, project: str = "churn") -> None:
        """Handles what alpha says."""
        await self.receive(*payloads, project=project)
        async with running(self.inbox.run()):
            await eventually(lambda: self.inbox.pending == 0)

    async def receive(self, *payloads: Any, project: str = "churn") -> None:
        for each in payloads:
            self.alpha.say(each, project)
        await self.inbox.hear(self.alpha.head)
        await self.inbox.receive(self.alpha.deliveries)

    async def say(self, text: str) -> None:
        """As for a person who asks for it."""

        async def change(work: UnitOfWork) -> None:
            stream = f"asked/{text}"
            await work.history(stream)
            work.stage(stream, [ThingKept(text=text)])
            work.put(said, text=text)

        await transact(self.service.wiring, "tester", CONTEXT, change)

    async def note(self, count: int) -> None:
        await self.hear(*(AlphaNoted(text=f"{next(self._texts)}") for _ in range(count)))

    async def log(self, *, alpha_first: bool = False) -> list[bytes]:
        """What the audit log has by now. Before what alpha said it has what the service did, or after."""
        own = [
            ("tester", (await self.store.head()).epoch, each.position, each.event.raw)
            for each in await self.store.read_all(0, 10_000)
        ]
        theirs = [("alpha", each.epoch, each.position, each.raw) for each in self.alpha.deliveries]
        return [
            _line(at, *each)
            for at, each in enumerate([*theirs, *own] if alpha_first else [*own, *theirs], start=1)
        ]

    async def shows(self) -> tuple[list[tuple[Any, ...]], list[str]]:
        rows = await self.store.rows(sa.select(shown).order_by(shown.c.place))
        others = await self.store.rows(sa.select(said).order_by(said.c.text))
        return [tuple(row) for row in rows], [row.text for row in others]


def _line(at: int, producer: str, epoch: str, position: int, raw: bytes) -> bytes:
    return msgspec.json.encode(
        {
            "position": at,
            "producer": producer,
            "epoch": epoch,
            "producerPosition": position,
            "event": msgspec.Raw(raw),
        }
    )


async def given(lines: Sequence[bytes]) -> AsyncIterator[bytes]:
    for line in lines:
        yield line


async def rebuild(
    folder: Path,
    live: HoldableStore,
    lines: AsyncIterator[bytes] | Sequence[bytes],
    held_for: float = HELD_FOR,
) -> Rebuilt:
    beside = await open_sqlite_store(
        folder / f"beside-{next(_numbers)}.db",
        codec=CODEC,
        ids=CountingIds(),
        tables=(LIBRARY, MODELS),
        logs=(EVENTS,),
        is_kept=False,
    )
    clock = AsOf(ManualClock())
    source = given(lines) if isinstance(lines, list) else lines
    try:
        again = Rebuild(service(beside, clock), beside, clock, live, (shown, said), held_for=held_for)
        return await again.run(source)  # type: ignore[arg-type]
    finally:
        await beside.close()


_numbers = itertools.count(1)


@pytest.fixture
async def live(open_store: OpenStore) -> Running:
    running = Running(await open_store())
    await running.note(3)
    await running.hear(AlphaDropped(text="2"))
    await running.say("asked")
    await running.store.commit(Unit(writes=(Put(table=words, row={"text": "of a person"}),)))
    return running


async def change(store: SqlStore, *statements: sa.Executable) -> None:
    """As somebody who has the database, or an older version that was wrong."""
    await store.commit(Unit(writes=tuple(Run(statement=each) for each in statements)))


async def test_what_is_as_the_log_says_stays(live: Running, tmp_path: Path) -> None:
    before = await live.shows()
    rebuilt = await rebuild(tmp_path, live.store, await live.log())
    assert rebuilt == Rebuilt(position=8, changed={"shown": 0, "said": 0})
    assert await live.shows() == before
    assert before == (
        [("1", "noted 1", 1, 1), ("3", "noted 3", 3, 1)],
        ["1", "3", "asked"],
    )


async def test_rows_that_are_other_are_replaced_and_no_others(live: Running, tmp_path: Path) -> None:
    before = await live.shows()
    at = sa.update(shown).where(shown.c.text == "1")
    await change(
        live.store,
        sa.update(shown).values(changes=7),
        at.values(line="broken", place=9),
        sa.update(shown).where(shown.c.text == "3").values(place=1),  # in the other's place
        sa.insert(shown).values(text="2", line="it was dropped", place=5, changes=1),
        sa.delete(said).where(said.c.text.in_(["1", "asked"])),
    )
    rebuilt = await rebuild(tmp_path, live.store, await live.log())
    assert rebuilt.changed == {"shown": 3, "said": 2}
    rows, others = await live.shows()
    assert [(*row[:3], 7) for row in before[0]] == rows, "what no event tells is kept"
    assert others == before[1]
    assert [row.text for row in await live.store.rows(sa.select(words))] == ["of a person"]


async def test_tables_that_were_emptied_are_filled_again(live: Running, tmp_path: Path) -> None:
    before = await live.shows()
    await change(live.store, sa.delete(shown), sa.delete(said))
    assert (await rebuild(tmp_path, live.store, await live.log())).changed == {"shown": 2, "said": 3}
    assert await live.shows() == before


async def test_causes_come_before_what_came_of_them(open_store: OpenStore, tmp_path: Path) -> None:
    """Whichever the audit log heard first: the service had said it before anybody could react."""
    live = Running(await open_store())
    await live.say("before")
    await live.say("asked")
    _, asked = await live.store.read_all(0, 2)
    live.alpha.say(AlphaDropped(text="before"))
    dropped = live.alpha.say(AlphaDropped(text="asked"))
    caused = msgspec.json.decode(dropped.raw) | {"causationid": asked.event.id}
    raw = msgspec.json.Encoder(order="sorted").encode(caused)
    live.alpha.deliveries = [replace(each, raw=raw) for each in live.alpha.deliveries[1:]]
    live.alpha.deliveries = [replace(each, position=1) for each in live.alpha.deliveries]
    await live.hear()
    assert await live.shows() == ([], ["before"])
    rebuilt = await rebuild(tmp_path, live.store, await live.log(alpha_first=True))
    assert rebuilt.changed == {"shown": 0, "said": 0}


async def test_what_waits_or_is_parked_or_comes_later_is_the_services(live: Running, tmp_path: Path) -> None:
    """The audit log has it, the service has not handled it: nobody does that in its place."""
    await live.hear(AlphaNoted(text="nobody can act on it"), project="fraud")
    await live.receive(AlphaNoted(text="it waits"))
    live.alpha.say(AlphaNoted(text="it never came"))
    assert [row.state for row in await live.store.rows(sa.select(inbox).order_by(inbox.c.position))] == [
        "parked",
        "waiting",
    ]
    assert (await rebuild(tmp_path, live.store, await live.log())).changed == {"shown": 0, "said": 0}
    await live.hear()
    rows, _ = await live.shows()
    assert [row[0] for row in rows] == ["1", "3", "it waits", "it never came"]


async def test_what_the_audit_log_has_not_heard_of_the_service_yet_is_shown(
    live: Running, tmp_path: Path
) -> None:
    lines = await live.log()
    await live.say("just now")
    before = await live.shows()
    await change(live.store, sa.delete(said))
    assert (await rebuild(tmp_path, live.store, lines)).changed == {"shown": 0, "said": 4}
    assert await live.shows() == before


async def test_a_log_that_ends_before_what_was_heard_is_refused(live: Running, tmp_path: Path) -> None:
    lines = await live.log()
    await live.hear(AlphaDropped(text="1"))
    await change(live.store, sa.update(shown).values(line="broken"))
    with pytest.raises(Refused, match="heard more") as refusal:
        await rebuild(tmp_path, live.store, lines)
    assert refusal.value.fix
    assert [row[1] for row in (await live.shows())[0]] == ["broken"]
    assert (await rebuild(tmp_path, live.store, await live.log())).changed["shown"] == 1


async def test_a_service_that_hears_all_the_time_is_held_for_a_moment(live: Running, tmp_path: Path) -> None:
    """The audit log is always one behind it, until nothing can be heard."""
    held = 0

    async def log() -> AsyncIterator[bytes]:
        nonlocal held
        told = await live.log()
        for line in told:
            yield line
        for number in itertools.count(len(told) + 1):
            if held == BRIEF_TRIES + 1:
                yield b""  # of what it has heard by now, nothing is missing here
                return
            held += 1
            await live.note(1)
            yield b"\n"
            last = live.alpha.deliveries[-1]
            yield _line(number, "alpha", last.epoch, last.position, last.raw)

    await change(live.store, sa.update(shown).values(line="broken"))
    rebuilt = await rebuild(tmp_path, live.store, log())
    assert rebuilt.changed == {"shown": 2, "said": 0}
    assert held == BRIEF_TRIES + 1
    assert len((await live.shows())[0]) == 2 + held


async def test_an_audit_log_that_stays_behind_is_not_waited_for(live: Running, tmp_path: Path) -> None:
    lines = await live.log()
    await live.hear(AlphaDropped(text="1"))

    async def log() -> AsyncIterator[bytes]:
        for line in lines:
            yield line
        while True:
            yield b""

    with pytest.raises(Unavailable, match="stays behind"):
        await rebuild(tmp_path, live.store, log(), held_for=0.01)


class Reader(projection_contract.Reader):
    """Asks all the time; keeps what it saw when that changed."""

    async def shown(self) -> tuple[int, set[str]]:
        rows = await self.store.rows(sa.select(shown))
        return len(rows), {row.line.partition(" ")[0] for row in rows}


async def test_who_reads_sees_the_old_rows_and_then_the_new_ones(
    live: Running, open_store: OpenStore, tmp_path: Path
) -> None:
    await live.hear(AlphaNoted(text="many"))
    await change(live.store, sa.update(shown).values(line="broken"))
    reader = Reader(await open_store())
    await reader.look()
    async with reader.asking():
        await rebuild(tmp_path, live.store, await live.log())
    assert reader.seen == [(MANY + 3, {"broken"}), (MANY + 3, {"noted"})]


async def test_who_writes_meanwhile_loses_nothing(
    live: Running, open_store: OpenStore, tmp_path: Path
) -> None:
    lines = await live.log()
    wrote = itertools.count(1)

    is_over = asyncio.Event()

    async def write() -> None:
        while not is_over.is_set():
            await live.say(f"meanwhile {next(wrote)}")

    another = await open_store()
    await change(live.store, sa.delete(said), sa.update(shown).values(line="broken"))
    writing = asyncio.create_task(write())
    await eventually(lambda: says(live, 2))
    await rebuild(tmp_path, another, lines)
    is_over.set()
    await writing
    _, others = await live.shows()
    events = {each.data.text for each in await live.store.read_all(0, 10_000)}
    assert set(others) == events - {"2"}
    assert (await rebuild(tmp_path, live.store, await live.log())).changed == {"shown": 0, "said": 0}


async def says(live: Running, count: int) -> bool:
    assert len((await live.shows())[1]) >= count
    return True


class DyingLive:
    """A service's store; whoever holds it dies at its change number `last`, or as it lets go."""

    def __init__(self, store: SqlStore, last: int) -> None:
        self._store = store
        self._last = last

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[Alone]:
        async with self._store.alone() as alone:
            dying = _Dying(alone, self._last)
            yield dying
            dying.step()


class _Dying:
    def __init__(self, alone: Alone, last: int) -> None:
        self._alone = alone
        self._steps = itertools.count(1)
        self._last = last

    def step(self) -> None:
        if next(self._steps) == self._last:
            raise Killed

    async def rows(self, query: sa.Select[Any]) -> Sequence[sa.Row[Any]]:
        return await self._alone.rows(query)

    async def run(
        self, statement: sa.Executable, parameters: Sequence[Mapping[str, Any]] | None = None
    ) -> None:
        self.step()
        await self._alone.run(statement, parameters)


async def test_whoever_dies_at_any_step_leaves_what_was_there(live: Running, tmp_path: Path) -> None:
    right = await live.shows()
    await change(live.store, sa.delete(said), sa.update(shown).values(line="broken"))
    wrong = await live.shows()
    lines = await live.log()
    deaths = 0
    for step in itertools.count(1):
        try:
            await rebuild(tmp_path, DyingLive(live.store, step), lines)
        except Killed:
            deaths += 1
            assert await live.shows() == wrong
        else:
            break
    assert deaths == 4, (
        "what is other is removed and written again, what is missing is written, and it lets go"
    )
    assert await live.shows() == right


async def test_two_at_once_come_to_the_same(live: Running, open_store: OpenStore, tmp_path: Path) -> None:
    """The second waits for the first, and finds nothing to do."""
    right, lines, another = await live.shows(), await live.log(), await open_store()
    await change(live.store, sa.delete(said), sa.update(shown).values(line="broken"))
    both = await asyncio.gather(
        rebuild(tmp_path, live.store, list(lines)), rebuild(tmp_path, another, list(lines))
    )
    assert sorted(sum(each.changed.values()) for each in both) == [0, 5]
    assert await live.shows() == right


@pytest.mark.parametrize("missing", [1, -3])
async def test_a_log_with_a_hole_is_refused_before_anything_is_touched(
    live: Running, tmp_path: Path, missing: int
) -> None:
    """Of the log itself, or of what a producer said."""
    await change(live.store, sa.update(shown).values(line="broken"))
    lines = await live.log()
    del lines[missing]
    with pytest.raises(Unreadable, match="the audit log has no position"):
        await rebuild(tmp_path, live.store, lines)
    renumbered = [
        msgspec.json.encode({**msgspec.json.decode(line), "event": msgspec.Raw(_event(line)), "position": at})
        for at, line in enumerate(lines, start=1)
    ]
    with pytest.raises(Unreadable, match=r"the audit log has no position . of (tester|alpha)"):
        await rebuild(tmp_path, live.store, renumbered)
    assert {row[1] for row in (await live.shows())[0]} == {"broken"}


def _event(line: bytes) -> bytes:
    return bytes(msgspec.json.decode(line, type=Line).event)


async def test_the_log_of_another_platform_is_refused_before_anything_is_touched(
    live: Running, tmp_path: Path
) -> None:
    """It is longer, and its epochs are older: all of it would be taken for what the service heard."""
    before = await live.shows()
    other = Running(await _another(tmp_path))
    try:
        await other.note(9)
        lines = [each.replace(b'"epoch":"', b'"epoch":"0') for each in await other.log()]
    finally:
        await other.store.close()
    with pytest.raises(Refused, match="is not what this tester says"):
        await rebuild(tmp_path, live.store, lines)
    assert await live.shows() == before


async def _another(folder: Path) -> SqlStore:
    opens: dict[str, Any] = {"codec": CODEC, "tables": (LIBRARY, MODELS), "logs": (EVENTS,)}
    return await open_sqlite_store(folder / "another.db", ids=CountingIds(), **opens)


async def test_a_changed_entry_is_refused_before_anything_is_touched(live: Running, tmp_path: Path) -> None:
    await change(live.store, sa.update(shown).values(line="broken"))
    lines = await live.log()
    lines[-1] = lines[-1].replace(b'"text":"2"', b'"text": "2"')
    with pytest.raises(Unreadable, match="not as it was said"):
        await rebuild(tmp_path, live.store, lines)
    assert {row[1] for row in (await live.shows())[0]} == {"broken"}


async def test_what_cannot_be_folded_again_is_named_and_nothing_is_changed(
    live: Running, tmp_path: Path
) -> None:
    """It was parked, and somebody removed it there."""
    await live.hear(AlphaNoted(text="nobody can act on it"))
    await change(live.store, sa.delete(inbox), sa.update(shown).values(line="broken"))
    with pytest.raises(Refused, match=r"alpha.thing.noted.churn \(alpha-1-5\) cannot be folded again"):
        await rebuild(tmp_path, live.store, await live.log())
    assert {row[1] for row in (await live.shows())[0]} == {"broken"}
