"""The contract of the event store, over a real PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from placet.events.adapters.postgresql_store import open_postgresql_store
from placet.events.adapters.sql_store import SqlStore
from placet.events.testing import CountingIds

from tests.contract.store_contract import CODEC, LOGS, TABLES, OpenStore, StoreContract


@pytest.fixture
async def open_store(database_url: str) -> AsyncIterator[OpenStore]:
    ids = CountingIds()
    stores: list[SqlStore] = []

    async def open_one() -> SqlStore:
        store = await open_postgresql_store(
            database_url, schema="tester", codec=CODEC, ids=ids, tables=TABLES, logs=LOGS
        )
        stores.append(store)
        return store

    yield open_one
    for store in stores:
        await store.close()


class TestPostgreSQLStore(StoreContract):
    pass
