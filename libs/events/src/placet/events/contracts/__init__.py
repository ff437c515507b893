"""The platform's event contracts, one module for each producer, and their catalogue."""

from placet.events.catalog import Catalog
from placet.events.contracts import builder, certifier, deployer, gateway, indexer, metadata

CATALOG = Catalog.of(gateway, certifier, builder, indexer, deployer, metadata)

__all__ = ["CATALOG", "builder", "certifier", "deployer", "gateway", "indexer", "metadata"]
