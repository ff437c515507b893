"""Garbage of a folder, and of a real registry over the network."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from placet.oci import ImageLayout, Registry, open_registry

from tests.contract.registry_garbage import CollectsGarbage
from tests.support.servers import Registry as RegistryServer


class TestGarbageOfAFolder(CollectsGarbage):
    @pytest.fixture
    def client(self, tmp_path: Path) -> Registry:
        return ImageLayout(tmp_path / "registry")


class TestGarbageOfADistribution(CollectsGarbage):
    @pytest.fixture
    async def client(self, registry: RegistryServer) -> AsyncIterator[Registry]:
        registry.start()
        async with open_registry(f"{registry.url}/test-{secrets.token_hex(6)}") as opened:
            yield opened
