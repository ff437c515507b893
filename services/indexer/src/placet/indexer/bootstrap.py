"""Put the indexer together. Starts nothing; tests call `build` with ports of their own."""

from __future__ import annotations

from placet.events import Service, Wiring
from placet.events.catalog import contract_of
from placet.indexer.adapters.oci_registry import RegistryImages
from placet.indexer.ports import Ports
from placet.indexer.settings import IndexerSettings
from placet.indexer.subscriptions import HEARS, SAYS, reaction
from placet.oci import open_registry


async def build(settings: IndexerSettings, wiring: Wiring, ports: Ports | None = None) -> Service:
    close = []
    if ports is None:
        registry = open_registry(settings.registry)
        close.append(registry.close)
        ports = Ports(images=RegistryImages(registry))
    return Service(
        name="indexer",
        wiring=wiring,
        hears=frozenset(contract_of(event).producer for event in HEARS),
        says=SAYS,
        reaction=reaction(ports),
        close=tuple(close),
    )
