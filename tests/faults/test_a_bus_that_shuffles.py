"""Every message twice and in shuffled order, some of them never: nobody notices."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.test_operations_survive import settled
from tests.support.platforms import DistributedPlatform, Platform, distributed
from tests.support.servers import CaddyServer, PostgreSQL, RabbitMQ, Registry
from tests.system.models import write_project
from tests.system.scenarios import ask, deploy, predict

MODULE = "tests.support.shuffled"


@pytest.fixture(scope="module")
def shuffled(
    tmp_path_factory: pytest.TempPathFactory,
    rabbitmq: RabbitMQ,
    postgres: PostgreSQL,
    registry: Registry,
    caddy: CaddyServer,
) -> Iterator[DistributedPlatform]:
    with distributed(
        tmp_path_factory.mktemp("shuffled"),
        rabbitmq=rabbitmq,
        postgres=postgres,
        registry=registry,
        caddy=caddy,
        module=MODULE,
    ) as platform:
        yield platform


async def test_operations_end_as_they_should_and_the_log_is_complete(
    shuffled: DistributedPlatform, tmp_path: Path
) -> None:
    platform: Platform = shuffled.platform
    for number in range(4):
        project = f"shuffled-{number}"
        first = await deploy(platform, write_project(tmp_path / f"a{number}", project, weight=2.0 + number))
        assert first.state == "live", first
        stopped = await ask(platform, "stop", project)
        assert stopped.state == "stopped", stopped
        started = await ask(platform, "start", project)
        assert started.state == "live", started
        second = await deploy(platform, write_project(tmp_path / f"b{number}", project, weight=20.0 + number))
        assert (second.state, second.release) == ("live", 2), second
        assert await predict(platform, project, 1.0) == pytest.approx(20.0 + number)
    deleted = await ask(platform, "delete", "shuffled-0")
    assert deleted.state == "deleted", deleted
    await settled(shuffled)
