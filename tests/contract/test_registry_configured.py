"""A real registry that is configured otherwise: one that calls the indexer, and one that allows no removals."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from fastapi import FastAPI
from placet.events import ServiceRunner
from placet.events import tables as library
from placet.events.contracts.indexer import ImageIndexed, ImageVanished
from placet.events.http import http_app
from placet.indexer.adapters.oci_registry import RegistryImages
from placet.indexer.adapters.registry_storage import RegistryStorage
from placet.indexer.bootstrap import build
from placet.indexer.garbage import Collection
from placet.indexer.ports import Ports
from placet.indexer.projections import TABLES
from placet.indexer.settings import IndexerSettings
from placet.oci import Registry, open_registry

from tests.contract.registry_garbage import AGE, OPERATOR
from tests.contract.registry_looks import TOKEN, put_model
from tests.support.eventually import eventually
from tests.support.servers import Registry as RegistryServer
from tests.support.servers import sources
from tests.support.servers.registry import can_run_locally, run_locally
from tests.support.serving import serving
from tests.unit.gateway.roads import built
from tests.unit.hearing import Alone, alone

pytestmark = pytest.mark.server


@pytest.fixture(autouse=True)
def of_this_machine() -> None:
    """A registry that each test configures cannot be one at an address, or one that others share."""
    if can_run_locally() is None:
        sources.cannot_be_had("registry", "these tests start docker-registry, which is not on this machine")


@asynccontextmanager
async def configured(
    start: Callable[[], RegistryServer], folder: Path
) -> AsyncIterator[tuple[Registry, Alone]]:
    """A registry of the test's own, and an indexer that looks at it."""
    server = await asyncio.to_thread(start)
    try:
        async with open_registry(server.url) as client:
            settings = IndexerSettings(registry=server.url, notification_token=TOKEN)
            ports = Ports(images=RegistryImages(client), storage=RegistryStorage(client))
            async with alone(
                "indexer", folder, lambda wiring: build(settings, wiring, ports), tables=(TABLES,)
            ) as indexer:
                yield client, indexer
    finally:
        await asyncio.to_thread(server.lifecycle.remove)


async def test_a_registry_that_notifies_has_the_indexer_look_at_once(tmp_path: Path) -> None:
    app = FastAPI()
    async with serving(app) as url:
        notifies = f"{url}/v1/registry/notifications"
        async with configured(lambda: run_locally(notifies=notifies, token=TOKEN), tmp_path) as (
            client,
            indexer,
        ):
            app.mount("/", http_app("placet", [ServiceRunner(indexer.service)], version="1"))
            image = await put_model(client)
            await indexer.hear(built(image=image))
            await eventually(lambda: is_asked_to_look(indexer))
            await indexer.work_off()
            assert [type(each) for each in await indexer.said()] == [ImageIndexed]

            await client.delete_manifest("models/churn", image)
            await eventually(lambda: is_asked_to_look(indexer))
            await indexer.work_off()
            assert [type(each) for each in await indexer.said()] == [ImageIndexed, ImageVanished]


async def test_a_registry_that_allows_no_removals_is_left_as_it_is(tmp_path: Path) -> None:
    async with configured(lambda: run_locally(deletes=False), tmp_path) as (client, indexer):
        image = await put_model(client)
        await indexer.hear(built(image=image))
        indexer.clock.pass_(AGE)
        collection = Collection(storage=RegistryStorage(client), wiring=indexer.wiring)
        for _ in range(2):
            collected = await collection.collect(AGE, OPERATOR)
            assert collected.removed == ()
            assert collected.stopped is not None
            assert "storage.delete.enabled" in str(collected.stopped)
        indexer.clock.pass_(timedelta(days=1))
        assert [type(each) for each in await indexer.said()] == [ImageIndexed]
        assert await client.has_manifest("models/churn", image)


async def is_asked_to_look(indexer: Alone) -> bool:
    return bool(await indexer.wiring.store.rows(sa.select(library.jobs.c.key)))
