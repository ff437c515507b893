"""The contract of projections, over a SQLite file and over a real PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from placet.events.adapters.postgresql_store import open_postgresql_store
from placet.events.adapters.sql_store import SqlStore
from placet.events.adapters.sqlite_store import open_sqlite_store
from placet.events.store import EVENTS
from placet.events.testing import CountingIds

from tests.contract.projection_contract import TABLES, OpenStore, ProjectionContract
from tests.contract.store_contract import CODEC, Administrator
from tests.support.administrator import change_postgresql, change_sqlite


class TestInAFile(ProjectionContract):
    @pytest.fixture
    async def open_store(self, tmp_path: Path) -> AsyncIterator[OpenStore]:
        ids, stores = CountingIds(), []

        async def open_one() -> SqlStore:
            store = await open_sqlite_store(
                tmp_path / "tester.db", codec=CODEC, ids=ids, tables=TABLES, logs=(EVENTS,)
            )
            store.committed.look_every = 0.05  # other processes write to this file
            stores.append(store)
            return store

        yield open_one
        for store in stores:
            await store.close()

    @pytest.fixture
    def administrator(self, tmp_path: Path) -> Administrator:
        async def change(statement: str) -> None:
            change_sqlite(tmp_path / "tester.db", statement)

        return change


class TestInPostgreSQL(ProjectionContract):
    @pytest.fixture
    async def open_store(self, database_url: str) -> AsyncIterator[OpenStore]:
        ids, stores = CountingIds(), []

        async def open_one() -> SqlStore:
            store = await open_postgresql_store(
                database_url, schema="tester", codec=CODEC, ids=ids, tables=TABLES, logs=(EVENTS,)
            )
            stores.append(store)
            return store

        yield open_one
        for store in stores:
            await store.close()

    @pytest.fixture
    def administrator(self, database_url: str) -> Administrator:
        async def change(statement: str) -> None:
            await change_postgresql(database_url, "tester", statement)

        return change
