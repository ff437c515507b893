"""The scenarios on six processes over RabbitMQ, PostgreSQL and a registry, with Caddy as the edge."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.platforms import Platform, distributed
from tests.support.servers import CaddyServer, PostgreSQL, RabbitMQ, Registry
from tests.system.scenarios import Scenarios


class TestDistributed(Scenarios):
    @pytest.fixture(scope="class")
    @classmethod
    def platform(
        cls,
        tmp_path_factory: pytest.TempPathFactory,
        rabbitmq: RabbitMQ,
        postgres: PostgreSQL,
        registry: Registry,
        caddy: CaddyServer,
    ) -> Iterator[Platform]:
        with distributed(
            tmp_path_factory.mktemp("distributed"),
            rabbitmq=rabbitmq,
            postgres=postgres,
            registry=registry,
            caddy=caddy,
        ) as platform:
            yield platform.platform
