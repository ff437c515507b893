"""The contract of a registry, over a real one that speaks the distribution API."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator

import pytest
from placet.oci import Registry, open_registry

from tests.contract.registry_contract import RegistryContract
from tests.support.servers import Registry as RegistryServer


@pytest.fixture
async def client(registry: RegistryServer) -> AsyncIterator[Registry]:
    async with open_registry(f"{registry.url}/test-{secrets.token_hex(6)}") as opened:
        yield opened


class TestDistributionRegistry(RegistryContract):
    pass
