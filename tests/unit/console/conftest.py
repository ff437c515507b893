from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
from placet.events.clocks import SystemClock
from placet.gateway.console.app import Console

from tests.unit.client.fake_platform import FakePlatform, running


@pytest.fixture
def platform() -> Iterator[FakePlatform]:
    with running(FakePlatform()) as platform:
        yield platform


@pytest.fixture
async def browser(platform: FakePlatform) -> AsyncIterator[httpx.AsyncClient]:
    """Nobody yet: with a browser's cookies, and its words about where a request comes from."""
    console = Console(platform.url, SystemClock())
    await console.start()
    headers = {"Sec-Fetch-Site": "same-origin"}
    transport = httpx.ASGITransport(app=console.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://console", headers=headers) as http:
        yield http
    await console.close()
