"""Put the indexer together. Starts nothing; tests call `build` with ports of their own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from urllib.parse import urlsplit

from anyio import to_thread
from fastapi import APIRouter

from placet.events import Periodic, Service, Wiring
from placet.events.catalog import contract_of
from placet.events.contracts.indexer import AccessDenied
from placet.events.service import Admits
from placet.identity import Callers, provider_of
from placet.identity.denials import Denials
from placet.indexer.adapters.oci_registry import RegistryImages
from placet.indexer.adapters.registry_storage import RegistryStorage
from placet.indexer.api import garbage_router, reader_of, router
from placet.indexer.garbage import Collection
from placet.indexer.ports import Ports
from placet.indexer.reconcile import SERVICE, Reconciliation, look_worker
from placet.indexer.settings import IndexerSettings
from placet.indexer.subscriptions import HEARS, RECALLS, SAYS, SHOWS, reaction
from placet.oci import open_registry
from placet.trust import KeySet


async def build(settings: IndexerSettings, wiring: Wiring, ports: Ports | None = None) -> Service:
    close: list[Callable[[], Awaitable[None]]] = []
    if ports is None:
        registry = open_registry(settings.registry)
        close.append(registry.close)
        ports = Ports(images=RegistryImages(registry), storage=RegistryStorage(registry))
    reconciliation = Reconciliation(
        images=ports.images, wiring=wiring, patience=timedelta(seconds=settings.announce_seconds)
    )
    denials = Denials(wiring, AccessDenied)
    collection = Collection(storage=ports.storage, wiring=wiring)
    asked: list[Callable[[], APIRouter]] = []
    if settings.notification_token is not None:
        asked.append(
            partial(
                router,
                token=settings.notification_token,
                prefix=_prefix(settings.registry),
                wiring=wiring,
                denials=denials,
            )
        )
    admits: Admits | None = None
    if settings.token_keys is not None:
        keys = await to_thread.run_sync(KeySet.load, settings.token_keys)
        callers = Callers(lambda: keys, wiring.clock, provider_of(settings, wiring.clock))
        close.append(callers.close)
        reader = reader_of(callers=callers, store=wiring.store, denials=denials)
        asked.append(partial(garbage_router, reader=reader, collection=collection))
        admits = asynccontextmanager(reader)
    days = settings.collect_days

    async def collect() -> None:
        if days is not None:
            await collection.by_itself(timedelta(days=days))

    collecting = () if days is None else (Periodic(name="collect", every=86400.0, run=collect),)
    return Service(
        name=SERVICE,
        wiring=wiring,
        hears=frozenset(contract_of(event).producer for event in HEARS),
        says=SAYS,
        reaction=reaction(ports, wiring.store),
        recalls=reaction(ports, wiring.store, RECALLS),
        shows=reaction(ports, wiring.store, SHOWS),
        workers=() if settings.notification_token is None else (look_worker(reconciliation),),
        periodic=(Periodic(name="look", every=settings.look_seconds, run=reconciliation.run), *collecting),
        routers=lambda: [made() for made in asked],
        admits=admits,
        counts=(denials,),
        start=(denials.start,),
        close=(*close, denials.close),
    )


def _prefix(registry: str) -> str:
    """What the registry itself has in front of the names that are used here."""
    path = urlsplit(registry).path.strip("/") if "://" in registry else ""
    return f"{path}/" if path else ""
