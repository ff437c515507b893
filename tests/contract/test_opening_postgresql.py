"""Opening a store on PostgreSQL: URLs as libpq writes them, and what no waiting cures said in one line."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
from placet.errors import Refused, Unavailable
from placet.events.adapters.postgresql_store import open_postgresql_store
from placet.events.adapters.sql_store import SqlStore
from placet.events.clocks import TimeOrderedIds

from tests.contract.store_contract import CODEC, LOGS, TABLES, appending

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


# What waiting cures, and what it does not.


@pytest.mark.parametrize(
    ("before", "after", "saying"),
    [
        (
            r"placet:placet@",
            "placet:secret@",
            'password authentication failed for user "placet"; correct the user',
        ),
        (
            r"placet:placet@",
            "nobody:secret@",
            'password authentication failed for user "nobody"; correct the user',
        ),
        (r"/test_", "/no_test_", "does not exist; create it, or correct PLACET_DATABASE_URL"),
        (r"$", "?sslmode=require", "rejected SSL upgrade; let it have a certificate, or set sslmode"),
        (
            r"$",
            "?sslmode=always",
            "must be one of: disable, allow, prefer, require, verify-ca, verify-full; correct",
        ),
        (
            r"$",
            "?options=-c%20colour%3Dgreen",
            'unrecognized configuration parameter "colour"; correct the options',
        ),
    ],
)
async def test_what_no_waiting_cures_is_refused_with_the_next_step(
    database_url: str, before: str, after: str, saying: str
) -> None:
    with pytest.raises(Refused) as refusal:
        await open_store(re.sub(before, after, database_url, count=1))
    assert saying in str(refusal.value)
    assert "secret" not in str(refusal.value)
    assert "\n" not in str(refusal.value)


async def test_a_server_that_is_starting_is_waited_for(
    database_url: str, beside: asyncpg.Connection[asyncpg.Record]
) -> None:
    database = await beside.fetchval("SELECT current_database()")
    await beside.execute(f'ALTER DATABASE "{database}" CONNECTION LIMIT 0')  # as good as full, and as passing
    role = "ordinary_" + database
    await beside.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'ordinary'")
    try:
        with pytest.raises(
            Unavailable, match="the database is away: too many connections for database"
        ) as away:
            await open_store(re.sub("//.*@", f"//{role}:ordinary@", database_url))
    finally:
        await beside.execute(f"DROP ROLE {role}")
    assert "\n" not in str(away.value)


@pytest.mark.parametrize(
    ("before", "after", "status", "saying"),
    [
        (
            "placet:placet@",
            "placet:secret@",
            2,
            'PostgreSQL: password authentication failed for user "placet"; ',
        ),
        (
            "127.0.0.1",
            "postgres.invalid",
            None,
            "builder waits: the database is away: no address of postgres.invalid",
        ),
    ],
)
async def test_a_service_ends_where_waiting_is_of_no_use_and_waits_where_it_is(
    database_url: str, tmp_path: Path, before: str, after: str, status: int | None, saying: str
) -> None:
    (tmp_path / "keys.json").write_text("[]")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "placet.builder"),
        stderr=PIPE,
        env={
            "PATH": os.environ["PATH"],
            "PLACET_AMQP_URL": "amqp://nobody@127.0.0.1:1/",
            "PLACET_DATABASE_URL": re.sub(before, after, database_url),
            "PLACET_REGISTRY": str(tmp_path),
            "PLACET_TOKEN_KEYS": str(tmp_path / "keys.json"),
            "PLACET_DATA_DIR": str(tmp_path),
        },
    )
    assert process.stderr is not None
    told = (await process.stderr.readline()).decode()
    if status is None:
        process.terminate()
    rest = (await process.stderr.read()).decode()
    assert saying in told
    assert rest == ""
    assert await process.wait() == (0 if status is None else status), "told to end while it waits, it does"


# Rights.


@pytest.fixture
async def ordinary(
    database_url: str, beside: asyncpg.Connection[asyncpg.Record]
) -> AsyncIterator[tuple[str, str]]:
    """The name of a role that may connect to the database and do nothing else there, and its URL."""
    role = "ordinary_" + await beside.fetchval("SELECT current_database()")
    await beside.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'ordinary'")
    yield role, re.sub("//.*@", f"//{role}:ordinary@", database_url)
    await beside.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


async def test_a_role_that_may_create_nothing_starts_on_what_is_there(
    database_url: str, beside: asyncpg.Connection[asyncpg.Record], ordinary: tuple[str, str]
) -> None:
    await (await open_store(database_url)).close()
    role, url = ordinary
    await beside.execute(
        f"GRANT USAGE ON SCHEMA {SCHEMA} TO {role};"
        f" GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {SCHEMA} TO {role}"
    )
    store = await open_store(url)
    assert len(await store.commit(appending("a", "1"))) == 1
    await store.close()


@pytest.mark.parametrize(
    ("granted", "saying"),
    [
        (
            "RESET ALL",
            "there is no schema tester, and {role} may not create it; CREATE SCHEMA tester AUTHORIZATION {role}",
        ),
        ("CREATE SCHEMA tester", "GRANT USAGE, CREATE ON SCHEMA tester TO {role}"),
        (
            "CREATE SCHEMA tester; GRANT USAGE ON SCHEMA tester TO {role}",
            "GRANT USAGE, CREATE ON SCHEMA tester TO {role}",
        ),
    ],
)
async def test_a_right_that_is_missing_is_named(
    beside: asyncpg.Connection[asyncpg.Record], ordinary: tuple[str, str], granted: str, saying: str
) -> None:
    role, url = ordinary
    await beside.execute(granted.format(role=role))
    with pytest.raises(Refused) as refusal:
        await open_store(url)
    assert saying.format(role=role) in str(refusal.value)
