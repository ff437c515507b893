"""The scenarios on six processes over RabbitMQ, PostgreSQL and a registry, with Caddy as the edge."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from tests.support.collector import Collector
from tests.support.oidc_provider import OidcProvider
from tests.support.platforms import Platform, distributed
from tests.support.servers import CaddyServer, PostgreSQL, RabbitMQ, Registry
from tests.system.audit import AuditedPlatform
from tests.system.console import ConsoleStories
from tests.system.console_audit import AuditStories
from tests.system.console_governance import GovernanceStories
from tests.system.console_oidc import TAKE_TOKENS, ProvidersStories, known_by
from tests.system.console_platform import PlatformStories
from tests.system.scenarios import Scenarios
from tests.system.story import WholeStory
from tests.system.traces import TracedStories


class TestDistributed(
    Scenarios,
    WholeStory,
    AuditedPlatform,
    ConsoleStories,
    GovernanceStories,
    AuditStories,
    PlatformStories,
    ProvidersStories,
    TracedStories,
):
    @pytest.fixture(scope="class")
    @classmethod
    def platform(
        cls,
        tmp_path_factory: pytest.TempPathFactory,
        rabbitmq: RabbitMQ,
        postgres: PostgreSQL,
        registry: Registry,
        caddy: CaddyServer,
        provider: OidcProvider,
        collector: Collector,
    ) -> Iterator[Platform]:
        folder = tmp_path_factory.mktemp("distributed")
        known = known_by(provider, folder / "provider")
        with distributed(
            folder,
            rabbitmq=rabbitmq,
            postgres=postgres,
            registry=registry,
            caddy=caddy,
            settings=dict.fromkeys(TAKE_TOKENS, known),
            variables=collector.environment,
        ) as platform:
            yield platform.platform

    @pytest.mark.parametrize(
        ("begun", "told"),
        [(b"", b""), (b"GET /livez HTTP/1.1\r\nHost: placet\r\nX-Slow: ", b"HTTP/1.1 408 ")],
    )
    async def test_who_does_not_finish_a_request_s_head_is_cut_off(
        self, platform: Platform, begun: bytes, told: bytes
    ) -> None:
        """By the edge, which holds a descriptor for each."""
        where = urlsplit(platform.url)
        reader, writer = await asyncio.open_connection(where.hostname, where.port)
        writer.write(begun)
        answer = await asyncio.wait_for(reader.read(), 30)
        assert answer[:13] == told
        writer.close()
