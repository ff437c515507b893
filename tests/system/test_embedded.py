"""The scenarios on `placet up`: one process, nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from tests.support.platforms import Platform, embedded
from tests.system.scenarios import Scenarios


class TestEmbedded(Scenarios):
    @pytest.fixture(scope="class")
    @classmethod
    def platform(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
        with embedded(tmp_path_factory.mktemp("embedded")) as platform:
            yield platform

    async def test_a_request_whose_head_does_not_end_is_cut_off(self, platform: Platform) -> None:
        """It needs no token, so it must not cost memory."""
        where = urlsplit(platform.url)
        _, writer = await asyncio.open_connection(where.hostname, where.port)
        writer.write(b"GET /livez HTTP/1.1\r\nHost: placet\r\nX-Endless: ")
        with pytest.raises(ConnectionError):
            await _write_without_end(writer)
        async with platform.http() as http:
            assert (await http.get("/livez")).status_code == 200


async def _write_without_end(writer: asyncio.StreamWriter) -> None:
    for _ in range(1000):
        writer.write(b"x" * 2**20)
        await writer.drain()
