"""Opening a store on PostgreSQL: URLs as libpq writes them, and what no waiting cures said in one line."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest
from placet.errors import Refused
from placet.events.adapters.postgresql_store import open_postgresql_store
from placet.events.adapters.sql_store import SqlStore
from placet.events.clocks import TimeOrderedIds

from tests.contract.store_contract import CODEC, LOGS, TABLES

SCHEMA = "tester"


async def open_store(url: str) -> SqlStore:
    return await open_postgresql_store(
        url, schema=SCHEMA, codec=CODEC, ids=TimeOrderedIds(), tables=TABLES, logs=LOGS
    )


@pytest.fixture
async def beside(database_url: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """A connection of somebody else to the same database."""
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


# Options.


@pytest.mark.parametrize(
    "options",
    [
        "sslmode=disable",
        "sslmode=prefer&connect_timeout=5&target_session_attrs=read-write",
        "application_name=mine&options=-c%20statement_timeout%3D7s",
    ],
)
async def test_libpqs_options_are_understood(
    database_url: str, beside: asyncpg.Connection[asyncpg.Record], options: str
) -> None:
    store = await open_store(f"{database_url}?{options}")
    await store.head()
    names = await beside.fetch(
        "SELECT DISTINCT application_name FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
    )
    await store.close()
    assert [row[0] for row in names] == ["mine" if "mine" in options else "placet tester"]


@pytest.mark.parametrize(
    ("options", "saying"),
    [
        ("sslmode=verify-full&sslrootcert=/nowhere/ca.pem", "sslrootcert: there is no file /nowhere/ca.pem"),
        ("channel_binding=require", "channel_binding is not understood"),
        ("connect_timeout=soon", "connect_timeout: 'soon' is no number of seconds"),
        ("sslmode", "no list of name=value"),
    ],
)
async def test_options_that_nobody_here_understands_are_told(options: str, saying: str) -> None:
    with pytest.raises(Refused) as refusal:
        await open_store(f"postgresql://placet:secret@127.0.0.1:1/placet?{options}")
    assert saying in str(refusal.value)
    assert "PLACET_DATABASE_URL" in str(refusal.value)
    assert "\n" not in str(refusal.value)
