from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
from placet.client import Client, Connection

from tests.unit.client.fake_platform import ADMIN, FakePlatform, running


@pytest.fixture
def platform() -> Iterator[FakePlatform]:
    with running(FakePlatform()) as platform:
        yield platform


@pytest.fixture
async def client(platform: FakePlatform) -> AsyncIterator[Client]:
    async with Client(Connection(url=platform.url, token=ADMIN)) as client:
        yield client
