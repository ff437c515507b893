from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from placet.events.contracts.gateway import TokenIssued

from tests.unit.gateway.harness import Gateway, a_gateway


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    async with a_gateway(tmp_path) as gateway:
        yield gateway


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def unmoved(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    """One for all tests of a file that it refuses what they ask for. They run in the module's loop.

    It says at its end whether one of them changed it after all.
    """
    async with a_gateway(tmp_path_factory.mktemp("unmoved")) as gateway:
        yield gateway
        [first] = await gateway.said()
        assert isinstance(first, TokenIssued)
        assert gateway.sources.archives == {}
