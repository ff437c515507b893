"""The event store in one SQLite file: for the embedded platform and for tests.

Write-ahead log with full synchronisation, so that a commit is on the disk when it returns. One connection
writes, and `BEGIN IMMEDIATE` takes the file's only write lock before anything is looked at: that is this
database's head lock. Readers have connections of their own and see the last commit.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from anyio import to_thread
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from placet.errors import Unavailable, Unreadable
from placet.events.adapters.sql_store import ALONE, GetPage, Page, Row, SqlStore
from placet.events.adapters.sqlite_at_once import Driver
from placet.events.clocks import Ids
from placet.events.codec import Codec
from placet.events.store import Put

_OF_THE_DISK = (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)
_AT_ONCE = 1024 * 1024


class SqliteStore(SqlStore):
    """Open it with `open_sqlite_store`."""

    file: Path
    driver: Driver
    look_every = 2.0
    """Embedded, one process has the file, and only a command beside it may write to it: an idle laptop stays cool."""

    async def close(self) -> None:
        await super().close()
        await self.driver.close()

    def locked(self) -> AbstractAsyncContextManager[AsyncConnection]:
        return self._writer.begin()  # BEGIN IMMEDIATE

    async def ends(
        self, connection: AsyncConnection, log: str, streams: Sequence[str]
    ) -> tuple[int, dict[str, int]]:
        position = await connection.scalar(sa.select(self._heads.c.position).where(self._heads.c.log == log))
        # One step into the (stream, version) index for each stream; max() with GROUP BY would walk them whole.
        table = self._table(log)
        names = sa.func.json_each(json.dumps(streams)).table_valued("value")
        last = (
            sa.select(sa.func.max(table.c.version)).where(table.c.stream == names.c.value).scalar_subquery()
        )
        found = (await connection.execute(sa.select(names.c.value, last))).all()
        return position or 0, {stream: version or 0 for stream, version in found}

    async def insert_events(
        self, connection: AsyncConnection, log: str, rows: Sequence[Row], position: int
    ) -> None:
        await connection.execute(
            self._table(log).insert(),
            [
                {
                    "position": row.position,
                    "id": row.id,
                    "stream": row.stream,
                    "version": row.version,
                    "raw": row.raw,
                }
                for row in rows
            ],
        )
        await connection.execute(
            self._heads.update().where(self._heads.c.log == log).values(position=position)
        )

    async def create_tables(self, connection: AsyncConnection) -> None:
        await connection.run_sync(_create_missing, self._tables)
        for table in self.append_only():
            for change in ("UPDATE", "DELETE"):
                await connection.exec_driver_sql(
                    f"CREATE TRIGGER IF NOT EXISTS {table}_no_{change.lower()} BEFORE {change} ON {table} "
                    f"BEGIN SELECT RAISE(ABORT, 'rows of {table} are written once'); END"
                )

    async def identity(self, connection: AsyncConnection) -> str | None:
        return None  # a file does not know that it is a copy

    @asynccontextmanager
    async def pages(self, log: str) -> AsyncIterator[GetPage]:
        table = self._table(log)
        columns = sa.select(table.c.position, table.c.version, table.c.stream, table.c.raw)
        head = sa.select(self._heads.c.position).where(self._heads.c.log == log)
        async with self._reader.connect() as connection:

            async def get(after: int, limit: int) -> Page:
                query = columns.where(table.c.position > after).order_by(table.c.position).limit(limit)
                rows = (await connection.execute(query)).all()
                end = await connection.scalar(head) or 0  # in the transaction that read the events
                await connection.rollback()  # what is committed from here on is for the next page to see
                if not rows:
                    return Page(after, (), (), (), end)
                positions, versions, streams, raws = zip(*rows, strict=True)
                return Page(positions[-1], versions, streams, raws, end)

            yield get

    def upsert(self, put: Put) -> sa.Insert:
        statement = insert(put.table)
        keys = [column.name for column in put.table.primary_key]
        changed = {
            name: statement.excluded[name] for name in put.row if name not in keys and name not in put.keep
        }
        if not changed:
            return statement.on_conflict_do_nothing(index_elements=keys)
        return statement.on_conflict_do_update(index_elements=keys, set_=changed)

    async def scrub(self, tables: Sequence[sa.Table]) -> bool:
        # What is deleted is overwritten at once (`secure_delete`), in pages of which the log ahead has older copies.
        async with self._available(), self._writer.connect() as connection:
            driver: Any = (await connection.get_raw_connection()).driver_connection
            try:
                async with driver.execute("PRAGMA wal_checkpoint(TRUNCATE)") as cursor:
                    is_busy, *_ = await cursor.fetchone()
            except sqlite3.OperationalError as error:
                raise Unavailable(
                    f"the database's log cannot be cut off: {error}", retry_after=1.0
                ) from error
        if is_busy:
            raise Unavailable("somebody reads the database, so its log cannot be cut off", retry_after=1.0)
        return True

    def is_away(self, error: DBAPIError) -> bool:
        # A locked or unreadable file and a full disk are OperationalErrors; so is a statement that makes no sense.
        code: int = getattr(error.orig, "sqlite_errorcode", sqlite3.SQLITE_OK)
        return isinstance(error, OperationalError) and code & 0xFF != sqlite3.SQLITE_ERROR

    def away(self, error: Exception) -> Unavailable:
        said = error.orig if isinstance(error, DBAPIError) else error
        code: int = getattr(said, "sqlite_errorcode", sqlite3.SQLITE_OK)
        if code & 0xFF not in _OF_THE_DISK:
            return super().away(error)
        return _disk_failed(self.file, f"{said}")


async def open_sqlite_store(
    file: Path,
    *,
    codec: Codec,
    ids: Ids,
    tables: Iterable[sa.MetaData],
    logs: Iterable[str],
    is_kept: bool = True,
) -> SqliteStore:
    """Open or create `file` and return the store. Raises Unavailable where the file cannot be opened.

    One that is not kept waits for no disk: it is of use to this process alone.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    await to_thread.run_sync(_write_again, file)
    driver = Driver()
    writer = create_async_engine(f"sqlite+aiosqlite:///{file}", pool_size=1, max_overflow=0, module=driver)
    reader = create_async_engine(f"sqlite+aiosqlite:///{file}", pool_size=6, max_overflow=0, module=driver)
    _prepare_connections(writer, takes_lock=True, is_kept=is_kept)
    _prepare_connections(reader, takes_lock=False, is_kept=is_kept)
    store = SqliteStore(writer=writer, reader=reader, codec=codec, ids=ids, tables=tables, logs=logs)
    store.file, store.driver = file, driver
    await store.prepare()
    if not is_kept:
        return store
    try:
        await to_thread.run_sync(_make_names_last, file)
    except Unavailable:
        await store.close()
        raise
    return store


def _create_missing(connection: sa.Connection, each: Iterable[sa.MetaData]) -> None:
    """Also an index that a later version has of a table that is there."""
    # Looked up all at once: `create_all` looks for each by itself, which is half of what opening a file takes.
    listed = connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type IN ('table', 'index')")
    names = {str(name) for (name,) in listed}
    for tables in each:
        missing = [table for table in tables.sorted_tables if table.name not in names]
        tables.create_all(connection, missing, checkfirst=False)
        for table in tables.sorted_tables:
            if table not in missing:
                for index in table.indexes:
                    if index.name not in names:
                        index.create(connection)
        names.update(table.name for table in missing)


def _write_again(file: Path) -> None:
    """Bring to the disk what an earlier process may have left in memory only. Raises Unavailable.

    Linux reports once that a sync failed, and takes what was to be written for written from then on. Whoever opens the
    file next finds commits that were never acknowledged whole in its write-ahead log, and would add its own behind
    what the disk does not have: after a power cut these were gone (`tests/faults/test_audit_tree.py`).
    """
    ahead = file.with_name(f"{file.name}-wal")
    try:
        if not ahead.exists() or ahead.stat().st_size == 0:
            return  # it was closed in order
        with closing(sqlite3.connect(file, isolation_level=None, timeout=0)) as connection:
            connection.execute("PRAGMA locking_mode=EXCLUSIVE")  # before the first look, so that it is alone
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("BEGIN IMMEDIATE")
            _write_the_same(ahead)
            connection.execute("COMMIT")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise _disk_failed(file, str(error)) from error
        # Another process has the file: it did so itself, and knows which of its syncs failed.
    except OSError as error:
        raise _disk_failed(file, error.strerror or str(error)) from error


def _make_names_last(file: Path) -> None:
    """Of the file and of its write-ahead log, which is there for as long as a connection is. Raises Unavailable.

    SQLite syncs the folder itself, and goes on where that fails: a commit would be on the disk without a name.
    """
    try:
        descriptor = os.open(file.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise _disk_failed(file, error.strerror or str(error)) from error


def _write_the_same(file: Path) -> None:
    with file.open("r+b") as opened:
        while data := opened.read(_AT_ONCE):
            opened.seek(-len(data), os.SEEK_CUR)
            opened.write(data)
            opened.flush()
        os.fsync(opened.fileno())


def _disk_failed(file: Path, why: str) -> Unavailable:
    return Unavailable(
        f"the database {file} cannot be read or written: {why}",
        fix="see to the disk that it is on; what was acknowledged is there, and the rest may be asked for again",
        retry_after=1.0,
    )


class _Held:
    """Mixed into a column's type: a file takes a text where a number belongs, and here nobody goes on with that.

    Whoever may write to it past the service would otherwise have it end in a `TypeError` somewhere else.
    """

    holds: tuple[type, ...]

    def result_processor(self, dialect: object, coltype: object) -> Callable[[Any], Any]:
        holds = self.holds

        def looked_at(value: Any) -> Any:
            if value is None or isinstance(value, holds):
                return value
            raise Unreadable(
                f"the database holds {repr(value)[:100]} where {holds[0].__name__} belongs: somebody changed it",
                fix="restore the newest copy of the database from before",
            )

        return looked_at


class _HeldNumber(_Held, sa.Integer):
    holds = (int,)


class _HeldFraction(_Held, sa.Float[float]):
    holds = (float, int)


class _HeldText(_Held, sa.String):
    holds = (str,)


class _HeldBytes(_Held, sa.LargeBinary):
    holds = (bytes,)


_HELD = {
    sa.Integer: _HeldNumber,
    sa.Float: _HeldFraction,
    sa.String: _HeldText,
    sa.LargeBinary: _HeldBytes,
}


def _prepare_connections(engine: AsyncEngine, *, takes_lock: bool, is_kept: bool) -> None:
    engine.dialect.colspecs = {**engine.dialect.colspecs, **_HELD}

    @sa.event.listens_for(engine.sync_engine, "connect")
    def configure(connection: Any, _: object) -> None:
        connection.isolation_level = None  # the driver's own idea of when to begin is in the way
        cursor = connection.cursor()
        synchronous = "FULL" if is_kept else "OFF"
        for pragma in (
            f"synchronous={synchronous}",
            "journal_mode=WAL",
            "busy_timeout=10000",
            "foreign_keys=ON",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.execute("PRAGMA secure_delete=ON")  # as `scrub` promises
        cursor.execute("PRAGMA recursive_triggers=ON")  # or INSERT OR REPLACE removes rows, and fires none
        cursor.close()

    @sa.event.listens_for(engine.sync_engine, "begin")
    def start(connection: sa.Connection) -> None:
        if connection.get_execution_options().get(ALONE):
            return
        if takes_lock:
            connection.exec_driver_sql("BEGIN IMMEDIATE")  # now: whoever is told that it is held goes by that
        else:
            driver: Any = connection.connection.dbapi_connection
            driver.begin("BEGIN")
