"""The contract of the event store, over a real PostgreSQL."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest
import sqlalchemy as sa
from placet.errors import Refused
from placet.events.adapters.postgresql_store import open_postgresql_store
from placet.events.adapters.sql_store import SqlStore
from placet.events.store import EVENTS
from placet.events.tables import APPEND_ONLY
from placet.events.testing import CountingIds

from tests.contract.store_contract import (
    ARCHIVE,
    CODEC,
    LOGS,
    TABLES,
    Administrator,
    OpenStore,
    StoreContract,
    appending,
)
from tests.support.administrator import change_postgresql

WRITTEN = sa.MetaData()
sa.Table("written", WRITTEN, sa.Column("name", sa.Text, primary_key=True), info=APPEND_ONLY)


@pytest.fixture
def role_url(database_url: str) -> str:
    """As whom stores are opened: the owner."""
    return database_url


@pytest.fixture
async def open_store(role_url: str) -> AsyncIterator[OpenStore]:
    ids = CountingIds()
    stores: list[SqlStore] = []

    async def open_one() -> SqlStore:
        store = await open_postgresql_store(
            role_url, schema="tester", codec=CODEC, ids=ids, tables=TABLES, logs=LOGS
        )
        stores.append(store)
        return store

    yield open_one
    for store in stores:
        await store.close()


@pytest.fixture
def administrator(database_url: str) -> Administrator:
    async def change(statement: str) -> None:
        await change_postgresql(database_url, "tester", statement)

    return change


class TestPostgreSQLStore(StoreContract):
    pass


class TestPostgreSQLStoreAsARole(StoreContract):
    """As a role that owns nothing, and was granted what a service needs."""

    owns_its_tables = False

    @pytest.fixture
    async def role_url(self, database_url: str) -> AsyncIterator[str]:
        owner = await open_postgresql_store(
            database_url, schema="tester", codec=CODEC, ids=CountingIds(), tables=TABLES, logs=LOGS
        )
        async with a_role(database_url) as (role, url):
            await owner.grant(role)
            yield url
        await owner.close()


@asynccontextmanager
async def a_role(database_url: str) -> AsyncIterator[tuple[str, str]]:
    """The name of a role that may log in and do nothing else, and its URL."""
    beside = await asyncpg.connect(database_url)
    role = "role_" + await beside.fetchval("SELECT current_database()")
    await beside.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'role'")
    try:
        yield role, re.sub("//.*@", f"//{role}:role@", database_url)
    finally:
        await beside.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")
        await beside.close()


FORBIDDEN = (
    "UPDATE {table} SET {column} = {column}",
    "DELETE FROM {table}",
    "TRUNCATE {table}",
    "DROP TABLE {table}",
    "ALTER TABLE {table} DISABLE TRIGGER ALL",
    "ALTER TABLE {table} ADD COLUMN more text",
    "CREATE TRIGGER other BEFORE INSERT ON {table} EXECUTE FUNCTION written_once()",
    "CREATE RULE other AS ON INSERT TO {table} DO INSTEAD NOTHING",
)


async def test_a_role_changes_nothing_that_is_written_once(database_url: str, open_store: OpenStore) -> None:
    """Every table that a service marks so, each in every way."""
    owner = await open_postgresql_store(
        database_url, schema="tester", codec=CODEC, ids=CountingIds(), tables=(*TABLES, WRITTEN), logs=LOGS
    )
    await owner.commit(appending("a", "1"))
    tables = owner.append_only()
    assert {EVENTS, ARCHIVE, "written"} <= set(tables)
    async with a_role(database_url) as (role, url):
        granted = await owner.grant(role)
        assert await owner.grant(role) == granted, "and again, after an upgrade"
        connection = await asyncpg.connect(url, server_settings={"search_path": "tester"})
        for table in tables:
            column = await connection.fetchval(
                "SELECT column_name FROM information_schema.columns WHERE table_name = $1 LIMIT 1", table
            )
            for statement in FORBIDDEN:
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await connection.execute(statement.format(table=table, column=column))
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("CREATE TABLE tester.other (id int)")
        await connection.close()
    await owner.close()


async def test_even_the_owner_has_to_take_the_trigger_away_first(
    database_url: str, open_store: OpenStore
) -> None:
    store = await open_store()
    await store.commit(appending("a", "1"))
    owner = await asyncpg.connect(database_url, server_settings={"search_path": "tester"})
    for statement in ("UPDATE events SET id = id", "DELETE FROM events", "TRUNCATE events"):
        with pytest.raises(asyncpg.RaiseError, match="rows of events are written once"):
            await owner.execute(statement)
    await owner.close()


async def test_tables_that_were_made_before_are_written_once_from_the_next_start_on(
    database_url: str, open_store: OpenStore
) -> None:
    await open_store()
    owner = await asyncpg.connect(database_url, server_settings={"search_path": "tester"})
    await owner.execute("DROP FUNCTION written_once CASCADE")
    await open_store()
    with pytest.raises(asyncpg.RaiseError, match="written once"):
        await owner.execute("DELETE FROM archive")
    await owner.close()


async def test_an_index_that_a_later_version_has_of_a_table_is_made_by_who_owns_it(
    database_url: str, open_store: OpenStore
) -> None:
    store: Any = await open_store()
    owner = await asyncpg.connect(database_url, server_settings={"search_path": "tester"})
    await owner.execute("DROP INDEX rooms_guest")
    async with a_role(database_url) as (role, url):
        await store.grant(role)
        with pytest.raises(Refused) as refused:
            await open_postgresql_store(
                url, schema="tester", codec=CODEC, ids=CountingIds(), tables=TABLES, logs=LOGS
            )
        assert "indexes are missing" in str(refused.value)
        assert f"python -m placet.tester --prepare-database {role}" in str(refused.value.fix)
    await open_store()
    assert await owner.fetchval("SELECT to_regclass('tester.rooms_guest') IS NOT NULL")
    await owner.close()


async def test_a_role_that_finds_rows_which_could_be_changed_is_told_who_sees_to_it(
    database_url: str, open_store: OpenStore
) -> None:
    store: Any = await open_store()
    async with a_role(database_url) as (role, url):
        await store.grant(role)
        owner = await asyncpg.connect(database_url, server_settings={"search_path": "tester"})
        await owner.execute("DROP FUNCTION written_once CASCADE")
        await owner.close()
        with pytest.raises(Refused) as refused:
            await open_postgresql_store(
                url, schema="tester", codec=CODEC, ids=CountingIds(), tables=TABLES, logs=LOGS
            )
        assert "rows of" in str(refused.value)
        assert f"python -m placet.tester --prepare-database {role}" in str(refused.value)


@pytest.mark.parametrize(
    ("role", "saying"),
    [
        ("nobody_at_all", "there is no role nobody_at_all"),
        ("{owner}", "{owner} is a superuser, and may change what is written once"),
        ("{member}", "{member} is {owner}, who owns the tables, or a member of it"),
    ],
)
async def test_a_role_that_could_do_more_all_the_same_is_refused(
    database_url: str, open_store: OpenStore, role: str, saying: str
) -> None:
    store: Any = await open_store()
    beside = await asyncpg.connect(database_url)
    owner = await beside.fetchval("SELECT current_user")
    async with a_role(database_url) as (member, _):
        await beside.execute(f"GRANT {owner} TO {member}")
        names = {"owner": owner, "member": member}
        with pytest.raises(Refused) as refused:
            await store.grant(role.format(**names))
        assert saying.format(**names) in str(refused.value)
        assert refused.value.fix
    await beside.close()
