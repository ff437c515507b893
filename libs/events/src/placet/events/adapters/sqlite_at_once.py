"""aiosqlite, with one way to its thread and back for a statement, where it has four.

A cursor, its statement, its rows and its end each wait for the thread, and then for their turn in the event loop, and
so do a transaction's begin and end. On a platform that is all in one process, and busy, that is most of what a
statement takes. SQLAlchemy reads all rows at once in any case, so all is done in the thread together.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Callable
from types import ModuleType
from typing import Any

import aiosqlite
from sqlalchemy.dialects.sqlite.aiosqlite import (
    AsyncAdapt_aiosqlite_connection,
    AsyncAdapt_aiosqlite_cursor,
    AsyncAdapt_aiosqlite_dbapi,
)


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

    def _has_to_end(self) -> bool:
        is_within, self._begin, self.is_within = self.is_within, None, False
        return is_within


class _Driver(AsyncAdapt_aiosqlite_dbapi):
    def connect(self, *arguments: Any, **named: Any) -> Connection:
        made = super().connect(*arguments, **named)
        return Connection(self, made._connection)


def _module() -> ModuleType:
    return _Driver(aiosqlite, sqlite3)  # type: ignore[return-value]


DRIVER = _module()
"""The `module` of an engine."""
