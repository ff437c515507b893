"""The store's promise on a real PostgreSQL, with writers in many processes, long transactions, kills and restarts.

*Positions are contiguous and in commit order; a reader never passes an event that is not yet visible.*
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence, Sized
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
import sqlalchemy as sa
from placet.errors import Conflict, PlacetError, Unavailable
from placet.events.adapters import postgresql_url
from placet.events.adapters.postgresql_store import PostgreSQLStore
from placet.events.adapters.sql_store import Row
from placet.events.clocks import TimeOrderedIds
from placet.events.envelope import Recorded
from placet.events.store import EVENTS, Claim, Run, Unit
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from tests.contract.store_contract import ARCHIVE, CODEC, LOGS, TABLES, Tail, appending, ids_of, whole_log
from tests.faults.store_writer import ids_of_writers, open_store, write
from tests.support.eventually import eventually
from tests.support.servers import PostgreSQL
from tests.support.tcp_proxy import tcp_proxy

SCHEMA = "tester"
GATE = 42
WITHIN = 240.0
"""Seconds: a bound for hangs, not a measure."""

PAUSES = """
CREATE FUNCTION tester.pause() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.id = 'slow' THEN PERFORM pg_advisory_xact_lock_shared({gate});
    ELSIF random() < {chance} THEN PERFORM pg_sleep(random() / 100);
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER pause BEFORE INSERT ON tester.events FOR EACH ROW EXECUTE FUNCTION tester.pause();
"""
"""Makes transactions pause between taking a position and committing; one with the id `slow` until the gate opens."""


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[PostgreSQLStore]:
    opened = await open_store(database_url, SCHEMA)
    yield opened
    await opened.close()


@pytest.fixture
async def beside(database_url: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """A connection of somebody else to the same database."""
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


async def set_for_all(beside: asyncpg.Connection[asyncpg.Record], setting: str) -> None:
    """Every connection to this database that is opened from now on has `setting`."""
    database = await beside.fetchval("SELECT current_database()")
    await beside.execute(f'ALTER DATABASE "{database}" SET {setting}')


async def cut_off_all_others(beside: asyncpg.Connection[asyncpg.Record]) -> None:
    await beside.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )


class SequenceStore(PostgreSQLStore):
    """What the promise is there to prevent: positions out of a sequence, and readers that follow `position >`."""

    @asynccontextmanager
    async def locked(self) -> AsyncIterator[AsyncConnection]:
        async with self._writer.begin() as connection:
            await connection.execute(sa.text("CREATE SEQUENCE IF NOT EXISTS numbers"))
            yield connection

    async def insert_events(
        self, connection: AsyncConnection, log: str, rows: Sequence[Row], position: int
    ) -> None:
        for row in rows:
            await connection.execute(
                sa.text(
                    "INSERT INTO events (position, id, stream, version, raw)"
                    " VALUES (nextval('numbers'), :id, :stream, :version, :raw)"
                ),
                {"id": row.id, "stream": row.stream, "version": row.version, "raw": row.raw},
            )

    async def read_all(
        self, after: int, limit: int, *, log: str = EVENTS, sealed: bool = False
    ) -> list[Recorded[Any]]:
        table = self._table(log)
        query = sa.select(table).where(table.c.position > after).order_by(table.c.position).limit(limit)
        return [
            Recorded(
                event=self._codec.read(row.raw), position=row.position, version=row.version, stream=row.stream
            )
            for row in await self.rows(query)
        ]


async def open_sequence_store(url: str) -> SequenceStore:
    engine = create_async_engine(
        sa.make_url(url).set(drivername="postgresql+asyncpg"),
        connect_args={"server_settings": {"search_path": SCHEMA}},
    )
    store = SequenceStore(
        writer=engine, reader=engine, codec=CODEC, ids=TimeOrderedIds(), tables=TABLES, logs=LOGS
    )
    store.schema = SCHEMA
    await store.prepare()
    return store


async def tail_while_one_commits_late(
    slow: PostgreSQLStore, quick: PostgreSQLStore, beside: asyncpg.Connection[asyncpg.Record]
) -> Tail:
    """`slow` has its position and does not commit until `quick` has had every chance to, with a reader looking on."""

    async def waiting_for_locks() -> int:
        return int(await beside.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"))

    await quick.commit(appending("a", "first"))
    await beside.execute(PAUSES.format(gate=GATE, chance=0))
    await beside.execute(f"SELECT pg_advisory_lock({GATE})")
    tail = Tail(quick)
    first = asyncio.create_task(slow.commit(appending("b", "slow")))
    await eventually(lambda: _is(waiting_for_locks, 1))
    second = asyncio.create_task(quick.commit(appending("c", "quick")))

    async def second_had_its_chance() -> bool:
        return second.done() or await waiting_for_locks() == 2

    await eventually(second_had_its_chance)
    while await tail.look():
        pass
    await beside.execute(f"SELECT pg_advisory_unlock({GATE})")
    await asyncio.gather(first, second)
    return tail


async def _is(count: Any, expected: int) -> bool:
    return bool(await count() == expected)


async def test_a_reader_does_not_pass_who_commits_late(
    database_url: str, store: PostgreSQLStore, beside: asyncpg.Connection[asyncpg.Record]
) -> None:
    other = await open_store(database_url, SCHEMA)
    tail = await tail_while_one_commits_late(store, other, beside)
    await other.close()

    await tail.must_have_seen(await whole_log(store))
    assert [id for _, id in tail.seen] == ["first", "slow", "quick"]


async def test_the_check_finds_a_store_with_positions_out_of_a_sequence(
    database_url: str, beside: asyncpg.Connection[asyncpg.Record]
) -> None:
    slow, quick = await open_sequence_store(database_url), await open_sequence_store(database_url)
    await quick.commit(appending("z", "warm up"))  # makes the sequence, which takes a lock of its own
    tail = await tail_while_one_commits_late(slow, quick, beside)
    log = await slow.read_all(0, 10)

    assert ids_of(log) == ["warm up", "first", "slow", "quick"]
    with pytest.raises(AssertionError):
        await tail.must_have_seen(log)
    await slow.close()
    await quick.close()


class Writers:
    """Writer processes and what they have acknowledged, by event id."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._processes: list[asyncio.subprocess.Process] = []
        self._listening: list[asyncio.Task[None]] = []
        self.acknowledged: dict[str, int] = {}
        self.contradictions: list[str] = []

    async def start(self, first: int, writers: int, units: int) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.faults.store_writer",
            self._url,
            SCHEMA,
            *map(str, (first, writers, units)),
            stdout=asyncio.subprocess.PIPE,
        )
        self._processes.append(process)
        self._listening.append(asyncio.create_task(self._listen(process)))
        return process

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            if not line.endswith(b"\n"):
                return  # it was killed while it said so
            id, position = line.decode().split()
            if self.acknowledged.setdefault(id, int(position)) != int(position):
                self.contradictions.append(id)

    async def all_ended(self) -> list[int]:
        """Exit statuses, once everything they said was heard."""
        async with asyncio.timeout(WITHIN):
            statuses = [await process.wait() for process in self._processes]
            await asyncio.gather(*self._listening)
        return statuses

    def must_agree_with(self, log: Sequence[Recorded[Any]], expected: set[str]) -> None:
        """What is acknowledged is there once, at the place that was told; nothing else is there."""
        assert not self.contradictions
        places = {each.event.id: each.position for each in log}
        assert len(places) == len(log)
        assert set(places) == expected
        assert self.acknowledged.items() <= places.items()

    async def kill(self) -> None:
        for process in self._processes:
            if process.returncode is None:
                process.kill()
        await asyncio.gather(*self._listening, return_exceptions=True)


@pytest.fixture
async def writers(database_url: str) -> AsyncIterator[Writers]:
    found = Writers(database_url)
    yield found
    await found.kill()


@asynccontextmanager
async def two_tails(store: PostgreSQLStore) -> AsyncIterator[tuple[Tail, Tail]]:
    """Readers that follow while something happens, and to the end when it is over."""
    tails, over = (Tail(store), Tail(store, limit=200)), asyncio.Event()
    reading = [asyncio.create_task(tail.follow(over)) for tail in tails]
    yield tails
    over.set()
    async with asyncio.timeout(WITHIN):
        await asyncio.gather(*reading)


async def test_with_32_interleaved_writers_no_reader_skips_or_reorders(
    store: PostgreSQLStore,
    writers: Writers,
    postgres: PostgreSQL,
    beside: asyncpg.Connection[asyncpg.Record],
) -> None:
    """Four processes of eight writers, with pauses inside and between transactions, and two who hold long ones."""
    await beside.execute(PAUSES.format(gate=GATE, chance=0.1))
    stranger = await asyncpg.connect(postgres.admin_url)  # in another database of the same server
    for idle in (beside, stranger):
        await idle.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        await idle.execute("CREATE TEMPORARY TABLE IF NOT EXISTS busy AS SELECT txid_current()")

    async with two_tails(store) as tails:
        for first in range(0, 32, 8):
            await writers.start(first, 8, 20)
        assert await writers.all_ended() == [0] * 4

    await stranger.close()
    log = await whole_log(store)
    assert len(log) == 32 * 20 * 2
    writers.must_agree_with(log, ids_of_writers(range(32), 20))
    assert len(writers.acknowledged) == len(log)
    for tail in tails:
        await tail.must_have_seen(log)


async def test_a_writer_that_is_killed_loses_nothing_it_acknowledged_and_stops_nobody(
    store: PostgreSQLStore, writers: Writers, beside: asyncpg.Connection[asyncpg.Record]
) -> None:
    await beside.execute(PAUSES.format(gate=GATE, chance=0.1))
    async with two_tails(store) as tails:
        victim = await writers.start(0, 8, 100_000)
        await writers.start(8, 8, 20)
        await eventually(
            lambda: len([id for id in writers.acknowledged if _writer(id) < 8]) > 50, within=WITHIN
        )
        victim.kill()
        assert await writers.all_ended() == [-9, 0]
        await asyncio.gather(*(store.commit(appending("after", f"after-{n}")) for n in range(4)))

    log = await whole_log(store)
    told = set(writers.acknowledged)
    assert ids_of_writers(range(8, 16), 20) <= told
    # Of each unit all or nothing is there, and at most the one in hand of each writer was not acknowledged.
    unheard = [each.event.id for each in log if each.event.id not in told and each.event.subject != "after"]
    assert all(_writer(id) < 8 for id in unheard)
    assert len({_writer(id) for id in unheard}) * 2 >= len(unheard)
    for tail in tails:
        await tail.must_have_seen(log)


async def test_a_killed_writer_that_starts_again_with_the_same_ids_ends_with_each_event_once(
    store: PostgreSQLStore, writers: Writers
) -> None:
    victim = await writers.start(0, 8, 60)
    await eventually(lambda: len(writers.acknowledged) > 100, within=WITHIN)
    with suppress(ProcessLookupError):  # it was quick
        victim.kill()
    await victim.wait()
    await writers.start(0, 8, 60)
    await writers.all_ended()

    writers.must_agree_with(await whole_log(store), ids_of_writers(range(8), 60))
    assert set(writers.acknowledged) == ids_of_writers(range(8), 60)


@pytest.mark.parametrize("how", ["restart", "kill"])
async def test_what_was_acknowledged_survives_postgresql_and_what_was_not_can_be_asked_again(
    store: PostgreSQLStore, postgres: PostgreSQL, how: str
) -> None:
    acknowledged: dict[str, int] = {}
    contradictions: list[str] = []

    def hear(id: str, position: int) -> None:
        if acknowledged.setdefault(id, position) != position:
            contradictions.append(id)

    writing = [asyncio.create_task(write(store, writer, 40, hear)) for writer in range(16)]
    for enough in (200, 600):
        await eventually(partial(_has_more_than, enough, acknowledged), within=WITHIN)
        if how == "kill":
            await asyncio.to_thread(postgres.kill)
            await asyncio.to_thread(postgres.start)
        else:
            await asyncio.to_thread(postgres.restart)
    async with asyncio.timeout(WITHIN):
        await asyncio.gather(*writing)

    log = await whole_log(store)
    assert not contradictions
    assert {each.event.id: each.position for each in log} == acknowledged
    assert len(log) == len(acknowledged) == 16 * 40 * 2
    # Whoever asks first may have a connection from before the last fault.
    again: dict[str, int] = {}
    await asyncio.gather(*(write(store, writer, 1, again.__setitem__) for writer in range(16)))
    assert again == {id: position for id, position in acknowledged.items() if id.split("-")[1] == "0"}


async def test_an_absent_postgresql_is_unavailable_to_everybody_and_back_when_it_is_back(
    store: PostgreSQLStore, postgres: PostgreSQL
) -> None:
    await store.commit(appending("a", "1"))
    await asyncio.to_thread(postgres.stop)
    for asking in (
        store.commit(appending("a", "2")),
        store.read("a"),
        store.read_all(0, 10),
        store.head(),
        store.begin_epoch(),
        open_store(postgres.admin_url, SCHEMA),
    ):
        with pytest.raises(Unavailable):
            await asking
    await asyncio.to_thread(postgres.start)

    async def is_back() -> bool:
        try:
            return ids_of(await store.read("a")) == ["1"] and bool(await store.commit(appending("a", "2")))
        except Unavailable:
            return False

    await eventually(is_back)


async def test_a_host_without_an_address_is_unavailable() -> None:
    with pytest.raises(Unavailable):
        await open_store("postgresql://placet@postgres.invalid/placet", SCHEMA)


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
async def test_writers_wait_for_each_other_whatever_isolation_the_database_has_by_default(
    database_url: str, beside: asyncpg.Connection[asyncpg.Record], level: str
) -> None:
    await set_for_all(beside, f"default_transaction_isolation = '{level}'")
    stores = [await open_store(database_url, SCHEMA) for _ in range(3)]
    for number in range(10):
        await asyncio.gather(*(each.commit(appending("a", f"{number}-{n}")) for n, each in enumerate(stores)))

    assert len(await whole_log(stores[0])) == 30
    for each in stores:
        await each.close()


async def test_a_database_that_is_closed_for_writing_is_unavailable_to_writers(
    store: PostgreSQLStore, beside: asyncpg.Connection[asyncpg.Record]
) -> None:
    await store.commit(appending("a", "1"))
    await set_for_all(beside, "default_transaction_read_only = on")
    await cut_off_all_others(beside)

    async def refusal() -> bool:
        with pytest.raises(Unavailable) as raised:
            await store.commit(appending("a", "2"))
        return "read-only" in str(raised.value)

    await eventually(refusal)
    assert ids_of(await whole_log(store)) == ["1"]


@pytest.mark.parametrize("where", ["a claim", "a row", "an event"])
async def test_a_unit_that_takes_too_long_does_so_alone(
    database_url: str, beside: asyncpg.Connection[asyncpg.Record], where: str
) -> None:
    await set_for_all(beside, "statement_timeout = '5s'")
    store = await open_store(database_url, SCHEMA)
    await beside.execute(PAUSES.format(gate=GATE, chance=0))
    await beside.execute(f"SELECT pg_advisory_lock({GATE})")
    sleep = sa.text("SELECT pg_sleep(60)")
    slow = {
        "a claim": Unit(claims=(Claim(statement=sleep),), appends=appending("b", "bad").appends),
        "a row": Unit(appends=appending("b", "bad").appends, writes=(Run(statement=sleep),)),
        "an event": appending("b", "slow"),
    }[where]

    outcomes = await asyncio.gather(
        *(store.commit(slow if n == 5 else appending("a", str(n))) for n in range(16)), return_exceptions=True
    )

    assert [n for n, each in enumerate(outcomes) if not isinstance(each, tuple)] == [5]
    assert isinstance(outcomes[5], Unavailable)
    assert outcomes[5].retry_after is None
    assert len(await whole_log(store)) == 15
    await store.close()


@pytest.mark.parametrize("setting", ["lock_timeout = '100ms'", "statement_timeout = '5s'"])
async def test_a_lock_that_is_not_to_be_had_is_unavailable_to_all_who_wait(
    database_url: str, beside: asyncpg.Connection[asyncpg.Record], setting: str
) -> None:
    await set_for_all(beside, setting)
    store = await open_store(database_url, SCHEMA)
    await beside.execute(f"BEGIN; SELECT FROM {SCHEMA}.log_heads FOR UPDATE")
    outcomes = await asyncio.gather(
        *(store.commit(appending("a", str(n))) for n in range(3)), return_exceptions=True
    )
    await beside.execute("ROLLBACK")

    assert [getattr(each, "retry_after", None) for each in outcomes] == [1.0] * 3
    assert len(await store.commit(appending("a", "1"))) == 1
    await store.close()


async def test_who_vanishes_in_the_middle_keeps_nobody_waiting(
    database_url: str, store: PostgreSQLStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a machine does that loses its power: the server hears nothing of it, and it had locked the log."""
    monkeypatch.setattr(postgresql_url, "VANISHED_AFTER", 1)
    where = urlsplit(database_url)
    assert where.port is not None
    async with tcp_proxy(where.port) as proxy:
        netloc = f"{where.username}:{where.password}@127.0.0.1:{proxy.port}"
        connect = postgresql_url.connecting(urlunsplit(where._replace(netloc=netloc)), schema=SCHEMA)
        vanished = await connect()
        await vanished.execute("BEGIN; SELECT FROM log_heads FOR UPDATE")
        proxy.fall_silent()
        assert len(await store.commit(appending("a", "1"))) == 1
        vanished.terminate()


async def test_a_store_is_closed_though_its_server_says_nothing(database_url: str) -> None:
    """Some connections idle, a query and a commit on their way: none is waited for as long as for an answer."""
    where = urlsplit(database_url)
    assert where.port is not None
    async with tcp_proxy(where.port) as proxy:
        netloc = f"{where.username}:{where.password}@127.0.0.1:{proxy.port}"
        store = await open_store(urlunsplit(where._replace(netloc=netloc)), SCHEMA)
        await store.commit(appending("a", "1"))
        await asyncio.gather(*(store.head() for _ in range(8)))
        proxy.fall_silent()
        asking = [asyncio.create_task(store.head()), asyncio.create_task(store.commit(appending("a", "2")))]
        await eventually(lambda: store._appender._running is not None)
        async with asyncio.timeout(postgresql_url.ANSWER_WITHIN - 5):
            await store.close()
        for outcome in await asyncio.gather(*asking, return_exceptions=True):
            assert isinstance(outcome, Unavailable)
        with pytest.raises(Unavailable):
            await store.commit(appending("a", "3"))


async def test_a_statement_of_the_stores_own_that_the_database_refuses_is_unavailable(
    store: PostgreSQLStore, beside: asyncpg.Connection[asyncpg.Record]
) -> None:
    await beside.execute(f"ALTER TABLE {SCHEMA}.events RENAME TO elsewhere")
    for asking in (
        store.read_all(0, 10),
        store.commit(appending("a", "1")),
        store.commit(appending("a", "2")),
    ):
        with pytest.raises(Unavailable, match="events"):
            await asking
    await beside.execute(f"ALTER TABLE {SCHEMA}.elsewhere RENAME TO events")
    assert len(await store.commit(appending("a", "1"))) == 1


async def test_text_that_no_database_can_hold_hurts_only_who_says_it(store: PostgreSQLStore) -> None:
    outcomes = await asyncio.gather(
        *(store.commit(appending("a\0" if n == 3 else "a", str(n))) for n in range(8)), return_exceptions=True
    )

    assert [n for n, each in enumerate(outcomes) if isinstance(each, Unavailable)] == [3]
    assert len(await whole_log(store)) == 7


async def test_a_log_that_wakes_up_in_another_database_begins_a_new_epoch_of_itself(
    database_url: str,
    store: PostgreSQLStore,
    beside: asyncpg.Connection[asyncpg.Record],
    caplog: pytest.LogCaptureFixture,
) -> None:
    await store.commit(appending("a", "1", "2"))
    (first,) = await store.epochs()
    here = await beside.fetchval("SELECT database FROM tester.log_epochs WHERE log = 'events'")
    # What a restored log says of itself: the name of the database that it was in before.
    await beside.execute("UPDATE tester.log_epochs SET database = '7/1'")
    for opened in await asyncio.gather(*(open_store(database_url, SCHEMA) for _ in range(3))):
        await opened.close()

    assert "/" in here
    assert f"was in database 7/1 and is in {here}" in caplog.text
    old, new = await store.epochs()
    assert (old.epoch, old.position) == (first.epoch, 2)
    assert (new.began_after, new.position) == (2, 2)
    assert new.epoch != old.epoch
    assert len(await store.epochs(ARCHIVE)) == 2


async def test_a_log_whose_database_changes_below_a_running_service_begins_an_epoch_before_the_next_commit(
    database_url: str, store: PostgreSQLStore, beside: asyncpg.Connection[asyncpg.Record]
) -> None:
    other = await open_store(database_url, SCHEMA)
    await store.commit(appending("a", "1", "2"))
    await other.commit(appending("a", "3"))
    (first,) = await store.epochs()
    await beside.execute("UPDATE tester.log_epochs SET database = '7/1'")
    await store.commit(appending("a", "4"))
    assert await store.epochs() == [replace(first, position=4)]  # it is not asked again for every commit

    await cut_off_all_others(beside)
    for number, each in enumerate((store, other)):
        await eventually(partial(_is_committed, each, f"after {number}"))

    await eventually(partial(_is_read, store))  # on connections that were cut, too
    old, new = await store.epochs()
    assert (old.epoch, old.position, new.began_after, new.position) == (first.epoch, 4, 4, 6)
    assert len(await store.epochs(ARCHIVE)) == 2
    await other.close()


async def test_a_conflict_on_a_new_connection_does_not_take_its_epoch_back(
    store: PostgreSQLStore, beside: asyncpg.Connection[asyncpg.Record]
) -> None:
    await store.commit(appending("a", "1"))
    await beside.execute("UPDATE tester.log_epochs SET database = '7/1'")
    await cut_off_all_others(beside)

    async def is_refused() -> bool:
        with pytest.raises(PlacetError) as raised:
            await store.commit(appending("a", "2", expected=0))
        return isinstance(raised.value, Conflict)

    await eventually(is_refused)
    await eventually(partial(_is_read, store))
    assert [each.began_after for each in await store.epochs()] == [0, 1]


async def test_a_log_from_before_databases_had_names_goes_on_in_its_epoch(
    database_url: str, store: PostgreSQLStore, beside: asyncpg.Connection[asyncpg.Record]
) -> None:
    before = await store.epochs()
    await beside.execute(f"ALTER TABLE {SCHEMA}.log_epochs DROP COLUMN database")
    again = await open_store(database_url, SCHEMA)

    assert await again.epochs() == before
    assert await beside.fetchval("SELECT count(database) FROM tester.log_epochs") == len(LOGS)
    await again.close()


async def test_an_epoch_begun_by_hand_knows_its_database(database_url: str, store: PostgreSQLStore) -> None:
    await store.begin_epoch()
    again = await open_store(database_url, SCHEMA)

    assert len(await again.epochs()) == 2
    await again.close()


def _has_more_than(count: int, found: Sized) -> bool:
    return len(found) > count


async def _is_committed(store: PostgreSQLStore, id: str) -> bool:
    try:
        return bool(await store.commit(appending("a", id)))
    except Unavailable:
        return False


async def _is_read(store: PostgreSQLStore) -> bool:
    with suppress(Unavailable):
        return bool(await store.epochs())
    return False


def _writer(id: str) -> int:
    return int(id.partition("-")[0])
