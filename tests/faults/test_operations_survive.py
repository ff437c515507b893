"""Whatever dies in the middle, every operation ends in its right state, once, and the log has all of it.

Six real processes over a real broker, database, registry and edge. A fault is injected while a deploy is
under way; then the operation is followed to its end, and the audit log is compared byte for byte with the
stores of the six producers.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterator
from itertools import count
from pathlib import Path

import httpx
import pytest
from placet.client import Operation
from placet.projects import pack

from tests.support.comparison import Comparison, compare, effects
from tests.support.eventually import eventually
from tests.support.platforms import SERVICES, DistributedPlatform, Platform, distributed, model_processes
from tests.support.servers import CaddyServer, PostgreSQL, RabbitMQ, Registry
from tests.system.models import write_project
from tests.system.scenarios import client_of, predict

_numbers = count(1)

ONCE = (
    "gateway.deploy.requested",
    "certifier.release.cleared",
    "deployer.resources.reserved",
    "builder.image.built",
    "indexer.image.indexed",
    "certifier.certificate.issued",
    "deployer.start.accepted",
    "deployer.model.started",
)
"""What a deploy of a new source says, each exactly once."""


@pytest.fixture(scope="module")
def running(
    tmp_path_factory: pytest.TempPathFactory,
    rabbitmq: RabbitMQ,
    postgres: PostgreSQL,
    registry: Registry,
    caddy: CaddyServer,
) -> Iterator[DistributedPlatform]:
    with distributed(
        tmp_path_factory.mktemp("faults"),
        rabbitmq=rabbitmq,
        postgres=postgres,
        registry=registry,
        caddy=caddy,
    ) as platform:
        yield platform


@pytest.fixture
def project() -> str:
    return f"fault-{next(_numbers):03d}"


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("step", ["requested", "cleared", "built"])
async def test_a_service_killed_in_the_middle(
    running: DistributedPlatform, tmp_path: Path, project: str, service: str, step: str
) -> None:
    """SIGKILL while the operation is at `step`, then started again."""

    async def kill() -> None:
        running.processes[service].kill()
        running.processes[service].start()

    await deploy_through(running, tmp_path, project, step, kill)


async def test_the_broker_restarted(
    running: DistributedPlatform, rabbitmq: RabbitMQ, tmp_path: Path, project: str
) -> None:
    async def restart() -> None:
        rabbitmq.restart()

    await deploy_through(running, tmp_path, project, "requested", restart)


async def test_the_broker_emptied(running: DistributedPlatform, tmp_path: Path, project: str) -> None:
    """Queues, exchanges, bindings and messages are gone, as after a lost disk."""

    async def empty() -> None:
        running.broker.empty()

    await deploy_through(running, tmp_path, project, "requested", empty)


async def test_the_database_restarted(
    running: DistributedPlatform, postgres: PostgreSQL, tmp_path: Path, project: str
) -> None:
    async def restart() -> None:
        postgres.restart()

    await deploy_through(running, tmp_path, project, "requested", restart)


async def test_the_database_killed(
    running: DistributedPlatform, postgres: PostgreSQL, tmp_path: Path, project: str
) -> None:
    async def kill() -> None:
        postgres.kill()
        postgres.start()

    await deploy_through(running, tmp_path, project, "cleared", kill)


async def deploy_through(
    running: DistributedPlatform,
    tmp_path: Path,
    project: str,
    step: str,
    fault: Callable[[], Awaitable[None]],
) -> None:
    """Deploy a new source, inject `fault` when `step` is reached, and hold everybody to the promise."""
    platform = running.platform
    folder = write_project(tmp_path / "p", project, weight=float(next(_numbers)) + 1.5)
    asked = await begin(platform, folder)
    await until_step(platform, asked, step)
    await fault()
    ended = await finish(platform, asked)
    assert ended.state == "live", ended
    assert await answers(platform, project) == pytest.approx(sample_of(folder))
    comparison = await settled(running)
    mine = [
        event
        for producer in comparison.said.values()
        for event in (json.loads(raw) for _, raw in producer)
        if event["correlationid"] == ended.operation
    ]
    happened = effects(mine)
    for name in ONCE:
        assert happened[str(ended.operation), f"placet.{name}.v1"] == 1, name
    assert len(model_processes(running.folder / "deployer", project)) == 1


async def begin(platform: Platform, folder: Path) -> str:
    archive = folder.with_suffix(".tar")
    packed = pack(folder, archive)
    async with client_of(platform) as client:
        await client.upload(archive, packed.digest)
        asked = await client.command("deploy", digest=packed.digest)
    assert asked.operation is not None
    return asked.operation


async def until_step(platform: Platform, operation: str, step: str) -> None:
    async with client_of(platform) as client:
        async for seen in client.follow(operation):
            if any(each.name == step and each.state == "done" for each in seen.steps):
                return


async def finish(platform: Platform, operation: str) -> Operation:
    """Its end, however often the way to it breaks."""

    async def over() -> Operation | None:
        async with platform.http() as http:
            try:
                answer = await http.get(f"/v1/operations/{operation}", headers=platform.authorized())
            except httpx.TransportError as error:
                raise AssertionError(f"not now: {error}") from error
        assert answer.status_code == 200, answer.status_code
        state = answer.json()["state"]
        assert state in ("live", "failed", "refused", "stalled"), state
        async with client_of(platform) as client:
            return await client.operation(operation)

    ended = await eventually(over, within=120, every=0.2)
    assert ended is not None
    return ended


async def answers(platform: Platform, project: str) -> float:
    async def answer() -> float:
        try:
            return await predict(platform, project, 3.0)
        except httpx.TransportError as error:
            raise AssertionError(f"not now: {error}") from error

    return await eventually(answer, within=60, every=0.2)


async def settled(running: DistributedPlatform) -> Comparison:
    """The comparison once nothing is missing any more; then it must be exact."""

    async def complete() -> Comparison:
        found = await compare(running.database_url)
        assert not found.missing, f"not alike: {found.missing} {found.differing}"
        return found

    comparison = await eventually(complete, within=120, every=0.3)
    comparison.assert_complete()
    return comparison


def sample_of(folder: Path) -> float:
    sample = json.loads((folder / "sample.json").read_text())
    return float(sample["response"]["outputs"][0][0])
