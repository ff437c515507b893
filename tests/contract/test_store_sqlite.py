"""The contract of the event store, over SQLite files."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from placet.errors import Conflict
from placet.events.adapters.sql_store import SqlStore
from placet.events.adapters.sqlite_store import open_sqlite_store
from placet.events.store import Put, Run, Unit
from placet.events.testing import CountingIds

from tests.contract.store_contract import (
    CODEC,
    LOGS,
    TABLES,
    Administrator,
    OpenStore,
    StoreContract,
    appending,
    rooms,
)
from tests.support.administrator import change_sqlite
from tests.support.eventually import eventually


@pytest.fixture
async def open_store(tmp_path: Path) -> AsyncIterator[OpenStore]:
    ids = CountingIds()
    stores: list[SqlStore] = []

    async def open_one() -> SqlStore:
        store = await open_sqlite_store(
            tmp_path / "tester.db", codec=CODEC, ids=ids, tables=TABLES, logs=LOGS
        )
        stores.append(store)
        return store

    yield open_one
    for store in stores:
        await store.close()


@pytest.fixture
def administrator(tmp_path: Path) -> Administrator:
    async def change(statement: str) -> None:
        change_sqlite(tmp_path / "tester.db", statement)

    return change


class TestSqliteStore(StoreContract):
    async def test_a_reader_that_is_cancelled_twice_leaves_no_task_behind(
        self, open_store: OpenStore
    ) -> None:
        """A caller's scope is cancelled again and again until it is left, also while the connection is closed."""
        store = await open_store()
        begun, may_end = threading.Event(), threading.Event()

        def held() -> int:
            begun.set()
            may_end.wait(60)
            return 1

        engine = store._reader.sync_engine
        await store._reader.dispose()
        sa.event.listen(engine, "connect", lambda driver, _: driver.create_function("held", 0, held))
        before = asyncio.all_tasks()
        reading = asyncio.create_task(store.rows(sa.select(sa.func.held())))
        await eventually(begun.is_set)
        reading.cancel()
        await eventually(lambda: len(asyncio.all_tasks() - before) > 1)  # the connection is being closed
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        closing = asyncio.create_task(store.close())
        may_end.set()
        await closing
        assert asyncio.all_tasks() - before == set()

    @pytest.mark.parametrize("may_open", [True, False])
    async def test_a_connection_that_nobody_waits_for_any_more_is_over_before_the_store_is(
        self, open_store: OpenStore, *, may_open: bool
    ) -> None:
        """Its thread would tell a loop that may be closed by then, and end with a traceback."""
        store = await open_store()
        begun, may_go_on, closed = threading.Event(), threading.Event(), threading.Event()

        class Held(sqlite3.Connection):
            def __init__(self, *arguments: Any, **named: Any) -> None:
                begun.set()
                may_go_on.wait(60)
                if not may_open:
                    raise sqlite3.OperationalError("unable to open database file")
                super().__init__(*arguments, **named)

            def close(self) -> None:
                super().close()
                closed.set()

        def held(_: object, __: object, ___: object, named: dict[str, Any]) -> None:
            named["factory"] = Held

        await store._reader.dispose()
        sa.event.listen(store._reader.sync_engine, "do_connect", held)
        before, threads = asyncio.all_tasks(), set(threading.enumerate())
        reading = asyncio.create_task(store.rows(sa.select(1)))
        await eventually(begun.is_set)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        (opens,) = {
            each for each in set(threading.enumerate()) - threads if "_connection_worker" in each.name
        }
        closing = asyncio.create_task(store.close())
        may_go_on.set()
        await closing
        assert closed.is_set() == may_open
        assert (
            may_open or not opens.is_alive()
        )  # what was opened said that it is closed, which is the last it says
        assert asyncio.all_tasks() - before == set()

    async def test_an_index_that_a_later_version_has_of_a_table_is_made(
        self, open_store: OpenStore, tmp_path: Path
    ) -> None:
        await (await open_store()).close()
        change_sqlite(tmp_path / "tester.db", "DROP INDEX rooms_guest")
        await open_store()
        with closing(sqlite3.connect(tmp_path / "tester.db")) as connection:
            plan = connection.execute("EXPLAIN QUERY PLAN SELECT * FROM rooms WHERE guest = 'a'").fetchall()
        assert "rooms_guest" in str(plan)

    async def test_what_was_deleted_or_changed_is_in_no_file_once_it_is_scrubbed(
        self, store: SqlStore, tmp_path: Path
    ) -> None:
        def files() -> bytes:
            return b"".join(each.read_bytes() for each in tmp_path.glob("tester.db*"))

        for number in range(100):
            row = {"name": f"room {number}", "guest": f"Lovelace {number}"}
            await store.commit(Unit(writes=(Put(table=rooms, row=row),)))
        assert b"Lovelace" in files()
        await store.commit(Unit(writes=(Run(statement=sa.update(rooms).values(guest="nobody")),)))
        await store.commit(Unit(writes=(Run(statement=sa.delete(rooms).where(rooms.c.name < "room 5")),)))
        assert b"Lovelace" in files(), "the log ahead has it still"

        assert await store.scrub([rooms])

        assert b"Lovelace" not in files()
        assert b"nobody" in files()

    async def test_a_row_is_not_replaced_either(self, store: SqlStore) -> None:
        await store.commit(appending("a", "1"))
        replaced = sa.text(
            "INSERT OR REPLACE INTO events SELECT position, 'x', stream, version, raw FROM events"
        )
        with pytest.raises(Conflict, match="rows of events are written once"):
            await store.commit(Unit(writes=(Run(statement=replaced),)))


async def test_who_is_alone_is_so_from_the_beginning(open_store: OpenStore, tmp_path: Path) -> None:
    """Before it has looked at anything: what it was told is the end, is."""
    store = await open_store()
    with closing(sqlite3.connect(tmp_path / "tester.db", timeout=0, isolation_level=None)) as another:
        async with store.alone():
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                another.execute("BEGIN IMMEDIATE")
        another.execute("BEGIN IMMEDIATE")
        another.execute("ROLLBACK")
