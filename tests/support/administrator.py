"""Whoever has the database's file, or its owner's password: changes what a service wrote, past all that it has against
that.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import asyncpg


def change_sqlite(file: Path, *statements: str, values: Sequence[Any] = ()) -> None:
    """Run each of `statements`, with `values`, and leave the file without its triggers."""
    database = sqlite3.connect(file)
    with database:
        for (trigger,) in database.execute(
            "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        ).fetchall():
            database.execute(f"DROP TRIGGER {trigger}")
        for statement in statements:
            database.execute(statement, values)
    database.close()


async def change_postgresql(url: str, schema: str, *statements: str) -> None:
    connection = await asyncpg.connect(url, server_settings={"search_path": schema})
    await connection.execute("SET session_replication_role = replica")  # in which triggers rest
    for statement in statements:
        await connection.execute(statement)
    await connection.close()
