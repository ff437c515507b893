"""aiosqlite, with one way to its thread and back for a statement, where it has four.

A cursor, its statement, its rows and its end each wait for the thread, and then for their turn in the event loop, and
so do a transaction's begin and end. On a platform that is all in one process, and busy, that is most of what a
statement takes. SQLAlchemy reads all rows at once in any case, so all is done in the thread together.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import aiosqlite
from sqlalchemy.dialects.sqlite.aiosqlite import (
    AsyncAdapt_aiosqlite_connection,
    AsyncAdapt_aiosqlite_cursor,
    AsyncAdapt_aiosqlite_dbapi,
)
from sqlalchemy.util.concurrency import await_, in_greenlet

log = logging.getLogger(__name__)

_T = TypeVar("_T")


class _Cursor(AsyncAdapt_aiosqlite_cursor):
    """What SQLAlchemy takes for a cursor; there is one of SQLite's for as long as a statement runs."""

    __slots__ = ("_description", "_lastrowid", "_rowcount")

    def _make_new_cursor(self, connection: Any) -> Any:
        self._description: Any = None
        self._rowcount = self._lastrowid = -1
        return None

    def _aenter_cursor(self, cursor: Any) -> Any:
        return None

    @property
    def description(self) -> Any:
        return self._description

    @property
    def rowcount(self) -> int:
        return self._rowcount

    @property
    def lastrowid(self) -> int:
        return self._lastrowid

    async def _async_soft_close(self) -> None:
        """It is closed."""

    async def _execute_async(self, operation: Any, parameters: Any) -> None:
        await self._done(lambda cursor: cursor.execute(operation, parameters or ()))

    async def _executemany_async(self, operation: Any, seq_of_parameters: Any) -> None:
        await self._done(lambda cursor: cursor.executemany(operation, seq_of_parameters))

    async def _done(self, statement: Callable[[sqlite3.Cursor], Any]) -> None:
        driver: Any = self._connection

        def at_once() -> tuple[Any, list[Any], int, int]:
            cursor = driver._conn.cursor()
            try:
                if begin is not None:
                    cursor.execute(begin)
                statement(cursor)
                rows = cursor.fetchall() if cursor.description else []
                return cursor.description, rows, cursor.rowcount, cursor.lastrowid
            finally:
                cursor.close()

        connection: Any = self._adapt_connection
        async with connection._execute_mutex:
            begin = connection.begun()
            self._description, rows, self._rowcount, self._lastrowid = await driver._execute(at_once)
            connection.is_within = driver.in_transaction
        self._rows = deque(rows)


class Connection(AsyncAdapt_aiosqlite_connection):
    """A transaction of which nobody else is to notice anything begins together with its first statement; what did not
    begin needs no end."""

    __slots__ = ("_begin", "is_within")

    _cursor_cls = _Cursor

    def __init__(self, dbapi: Any, connection: Any) -> None:
        super().__init__(dbapi, connection)
        self._begin: str | None = None
        self.is_within = False
        """Whether there is a transaction that has to be ended, as far as is known."""

    def begin(self, statement: str) -> None:
        """Run `statement` before the next one."""
        self._begin = statement

    def begun(self) -> str | None:
        """What is to be run first, now."""
        begin, self._begin = self._begin, None
        self.is_within = self.is_within or begin is not None
        return begin

    def rollback(self) -> None:
        if self._has_to_end():
            super().rollback()

    def commit(self) -> None:
        if self._has_to_end():
            super().commit()

    def terminate(self) -> None:
        """Close it, where what it was used for was cancelled, and whoever cancelled waits for that.

        They may cancel again meanwhile, as an anyio scope does until it is left. SQLAlchemy then stops aiosqlite's
        thread under the close that is under way, which waits for an answer that comes no more: a task that is pending
        for ever. So the close is left to itself instead, and whoever closes the store waits for it
        (`test_a_reader_that_is_cancelled_twice_leaves_no_task_behind`).
        """
        if not in_greenlet():  # collected as garbage: nobody can wait
            self._terminate_force_close()
            return
        await_(asyncio.shield(self.dbapi.left_to_close(self._connection)))

    def _has_to_end(self) -> bool:
        is_within, self._begin, self.is_within = self.is_within, None, False
        return is_within


class Driver(AsyncAdapt_aiosqlite_dbapi):
    """The `module` of a store's engines: it knows which of their connections are being opened or closed, also where
    nobody waits for it any more."""

    def __init__(self) -> None:
        super().__init__(aiosqlite, sqlite3)
        self._under_way: set[asyncio.Task[Any]] = set()

    def left_to_close(self, connection: aiosqlite.Connection) -> asyncio.Task[None]:
        return self._left(_closed(connection))

    async def close(self) -> None:
        """Wait until none is being opened or closed any more."""
        while self._under_way:
            await asyncio.wait(self._under_way)

    def connect(self, *arguments: Any, **named: Any) -> Connection:
        """Raises sqlite3.OperationalError. Who is cancelled meanwhile leaves it to be opened, and closed: aiosqlite
        would leave its thread to tell a loop that may be over by then, which ends the thread with a traceback."""
        opening = self._left(_opened(aiosqlite.connect(*arguments, **named)))
        try:
            opened: aiosqlite.Connection = await_(asyncio.shield(opening))
        except asyncio.CancelledError:
            self._left(_closed_once(opening))
            raise
        return Connection(self, opened)

    def _left(self, work: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
        task = asyncio.ensure_future(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return task


async def _opened(connection: aiosqlite.Connection) -> aiosqlite.Connection:
    thread = connection._thread
    thread.daemon = True  # as SQLAlchemy has it: a process that ends does not wait for it
    try:
        return await connection
    except BaseException:
        await asyncio.to_thread(thread.join)  # it ends by itself, and tells the loop that it did
        raise


async def _closed_once(opening: asyncio.Task[aiosqlite.Connection]) -> None:
    await asyncio.wait([opening])
    if not opening.cancelled() and opening.exception() is None:  # else there is nothing to close
        await _closed(opening.result())


async def _closed(connection: aiosqlite.Connection) -> None:
    try:
        await connection.close()
    except (sqlite3.Error, ValueError) as error:  # ValueError: somebody else closed it
        log.warning("a connection to SQLite was not closed: %s", error)
