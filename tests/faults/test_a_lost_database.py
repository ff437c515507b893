"""A service loses its database for good, while the platform runs; it has it again from the audit log.

Six real processes over a real broker, database, registry and edge.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Iterator
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from placet.events.mending import read_models

from tests.faults.test_operations_survive import ONCE, settled
from tests.support.administrator import change_postgresql
from tests.support.comparison import Comparison, compare, effects
from tests.support.platforms import DistributedPlatform, distributed
from tests.support.servers import CaddyServer, PostgreSQL, RabbitMQ, Registry
from tests.system.models import write_project
from tests.system.scenarios import answers, ask, deploy, predict, printed

_numbers = count(1)
SERVICES = ("gateway", "certifier", "builder", "indexer", "deployer")


@pytest.fixture(scope="module")
def running(
    tmp_path_factory: pytest.TempPathFactory,
    rabbitmq: RabbitMQ,
    postgres: PostgreSQL,
    registry: Registry,
    caddy: CaddyServer,
) -> Iterator[DistributedPlatform]:
    with distributed(
        tmp_path_factory.mktemp("lost"), rabbitmq=rabbitmq, postgres=postgres, registry=registry, caddy=caddy
    ) as platform:
        yield platform


@pytest.mark.parametrize("service", ["deployer", "certifier", "builder", "indexer", "gateway"])
async def test_it_is_restored_and_the_platform_goes_on(
    running: DistributedPlatform, tmp_path: Path, service: str
) -> None:
    """What serves goes on serving, what was stopped stays stopped, and what is asked for from then on is done."""
    platform, project, stopped = running.platform, f"lost-{next(_numbers)}", f"lost-{next(_numbers)}"
    assert (await deploy(platform, write_project(tmp_path / "p", project))).state == "live"
    assert (await deploy(platform, write_project(tmp_path / "s", stopped))).state == "live"
    await ask(platform, "stop", project)
    await ask(platform, "start", project)
    await ask(platform, "stop", stopped)
    before = await killed_in_silence(running, service)
    said = len(before.kept[service])

    await change_postgresql(running.database_url, "public", f"DROP SCHEMA {service} CASCADE")
    assert await predict(platform, project, 5.0) == pytest.approx(10.0)
    told = await restore(running, service)
    assert f"{service}: 0 messages are left" in told
    running.processes[service].start()
    running.wait_until_ready(service)

    assert await predict(platform, project, 5.0) == pytest.approx(10.0)
    assert not await answers(platform, stopped)
    assert (await deploy(platform, write_project(tmp_path / "n", project, weight=3.0))).state == "live"
    assert await predict(platform, project, 5.0) == pytest.approx(15.0)
    await ask(platform, "start", stopped)
    assert await predict(platform, stopped, 5.0) == pytest.approx(10.0)
    after = await settled(running)
    assert after.kept[service][:said] == before.kept[service]
    assert not repeated(after, service, said), "what it had said it does not say again"
    verified = json.loads(await printed(platform, "audit", "verify", "--json"))
    assert verified["verified"] is True


@pytest.mark.parametrize("service", SERVICES)
async def test_its_read_models_are_made_anew_while_it_serves(
    running: DistributedPlatform, tmp_path: Path, service: str
) -> None:
    """What they show is what the log says. Emptied, they are filled again, while models are deployed."""
    platform, project = running.platform, f"anew-{next(_numbers)}"
    assert (await deploy(platform, write_project(tmp_path / "p", project))).state == "live"
    await settled(running)
    assert (await rebuilt(running, service))["changed"] == dict.fromkeys(names_of(service), 0)

    emptied = "; ".join(f"DELETE FROM {service}.{table}" for table in names_of(service))  # noqa: S608 - our own names
    await change_postgresql(running.database_url, "public", emptied)
    other = f"anew-{next(_numbers)}"
    deploying = asyncio.create_task(deploy(platform, write_project(tmp_path / "o", other, weight=3.0)))
    changed = (await rebuilt(running, service))["changed"]
    assert sum(changed.values()) > 0
    await deploying
    await ask(platform, "stop", project)
    await ask(platform, "start", project)
    assert await predict(platform, project, 5.0) == pytest.approx(10.0)
    await settled(running)
    assert (await rebuilt(running, service))["changed"] == dict.fromkeys(names_of(service), 0)


async def killed_in_silence(running: DistributedPlatform, service: str) -> Comparison:
    """While nothing of it is on its way: what was said and had not reached the log is lost with the database, or comes
    into the log behind what is restored. Services speak when they please, of what they observed say."""
    while True:
        before = await settled(running)
        running.processes[service].kill()
        if (await compare(running.database_url)).said[service] == before.kept[service]:
            return before
        running.processes[service].start()
        running.wait_until_ready(service)


def names_of(service: str) -> list[str]:
    tables: sa.MetaData = import_module(f"placet.{service}.projections").TABLES
    return [table.name for table in read_models((tables,))]


async def rebuilt(running: DistributedPlatform, service: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((await command(running, service, "rebuild", service, "--json"))[0])
    return told


async def restore(running: DistributedPlatform, service: str) -> str:
    """What is said of it, where the service runs."""
    output, errors = await command(running, service, "restore", service)
    assert f"{service} is restored from" in output
    return errors


async def command(running: DistributedPlatform, service: str, *words: str) -> tuple[str, str]:
    """`placet audit` there, with the service's own settings."""
    platform = running.platform
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "placet.cli", "audit", *words),
        env={
            **os.environ,
            **running.environment(service),
            **platform.environment(),
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    return output.decode(), errors.decode()


def repeated(comparison: Comparison, service: str, before: int) -> set[tuple[str, str]]:
    """What happens once in an operation, and was said of one from before once more since."""
    events = [json.loads(raw) for _, raw in comparison.kept[service]]
    once = {f"placet.{name}.v1" for name in ONCE}
    said, since = effects(events[:before]), effects(events[before:])
    return {each for each in since if each in said and each[1] in once}
