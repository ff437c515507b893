"""Under constant load through a model's URL, nothing that is done to the platform loses a request.

Real processes: the embedded platform, whose gateway sends requests on, and six over a real broker, database and
registry behind the edge as it ships, with models that outlive the deployer. Each fault goes on until requests that
began after it were answered. The edge's own are in `test_edges_lose_no_request.py`.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from time import monotonic

import pytest

from tests.support.eventually import eventually
from tests.support.load import Load, constant_load
from tests.support.platforms import (
    SERVICES,
    DistributedPlatform,
    Platform,
    Process,
    distributed,
    embedded_process,
    model_processes,
)
from tests.support.servers import CaddyServer, PostgreSQL, RabbitMQ, Registry
from tests.system.models import write_project
from tests.system.scenarios import ask, deploy, placet, printed

EDGE_WAITS = 15
"""Seconds for a server that does not listen: `retries` of deploy/haproxy/haproxy.cfg, one a second."""

_numbers = count(1)


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A platform, and the folder of its deployer."""

    platform: Platform
    deployer: Path


class UnderLoad:
    """What people do. Subclass with a `loaded` fixture."""

    @pytest.fixture
    def project(self) -> str:
        return f"loaded-{next(_numbers):03d}"

    async def test_update_and_rollback(self, loaded: Loaded, tmp_path: Path, project: str) -> None:
        platform = loaded.platform
        async with load_on(platform, tmp_path, project, weights=(2.0, 7.0)) as load:
            second = await deploy(platform, write_project(tmp_path / "two", project, weight=7.0))
            assert second.state == "live", second.refusals
            await load.some_more()
            back = await placet(platform, "rollback", project)
            assert back["state"] == "live", back["refusals"]
            await eventually(lambda: len(model_processes(loaded.deployer, project)) == 1)
            await load.some_more()

    async def test_a_canary_that_is_promoted_and_one_that_is_aborted(
        self, loaded: Loaded, tmp_path: Path, project: str
    ) -> None:
        platform = loaded.platform
        async with load_on(platform, tmp_path, project, weights=(2.0, 7.0, 9.0)) as load:
            second = write_project(tmp_path / "two", project, weight=7.0)
            await placet(platform, "deploy", str(second), "--canary", "25")
            await load.some_more()
            await eventually(lambda: answered_lately(load) == {2.0, 7.0})
            await placet(platform, "promote", project, "--weight", "60")
            await load.some_more()
            await placet(platform, "promote", project)
            await eventually(lambda: len(model_processes(loaded.deployer, project)) == 1)
            await load.some_more()
            assert answered_lately(load) == {7.0}
            third = write_project(tmp_path / "three", project, weight=9.0)
            await placet(platform, "deploy", str(third), "--canary", "25")
            await load.some_more()
            await placet(platform, "abort", project)
            await eventually(lambda: len(model_processes(loaded.deployer, project)) == 1)
            await load.some_more()
            assert answered_lately(load) == {7.0}

    async def test_more_replicas_and_fewer(self, loaded: Loaded, tmp_path: Path, project: str) -> None:
        platform = loaded.platform
        async with load_on(platform, tmp_path, project, replicas=(1, 3)) as load:
            for replicas in (3, 1):
                await placet(platform, "scale", project, str(replicas))
                await eventually(partial(so_many_run, loaded, project, replicas))
                await load.some_more()

    async def test_a_certificate_that_is_revoked(self, loaded: Loaded, tmp_path: Path, project: str) -> None:
        """What was asked after `model.quarantined` was said is refused with the reason, and until then all answered."""
        platform = loaded.platform
        async with load_on(platform, tmp_path, project, refusal="is not served") as load:
            model = await placet(platform, "status", project)
            await placet(platform, "certificate", "revoke", model["certificate"], "--reason", "Under load")
            said = ("events", "--project", project, "--type", "placet.deployer.model.quarantined.*")
            await eventually(lambda: printed(platform, *said))
            quarantined = time.monotonic()
            await load.some_more()
            assert load.last_right < quarantined
            assert load.refused > 0


class TestEmbedded(UnderLoad):
    @pytest.fixture(scope="class")
    @classmethod
    def started(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Loaded, Process]]:
        folder = tmp_path_factory.mktemp("embedded")
        with embedded_process(folder) as (platform, process):
            yield Loaded(platform=platform, deployer=folder / "data" / "deployer"), process

    @pytest.fixture
    def loaded(self, started: tuple[Loaded, Process]) -> Loaded:
        return started[0]

    async def test_a_platform_that_is_started_again(
        self, started: tuple[Loaded, Process], tmp_path: Path, project: str
    ) -> None:
        """With SIGUSR2: as whom it runs stays, as what its models are."""
        loaded, process = started
        async with load_on(loaded.platform, tmp_path, project) as load:
            before = model_processes(loaded.deployer, project)
            for times in range(1, 3):
                process.start_again()
                await eventually(partial(was_up, process, times + 1))
                await load.some_more()
            assert model_processes(loaded.deployer, project) == before
            second = await deploy(loaded.platform, write_project(tmp_path / "two", project))
            assert second.state == "live", second.refusals
            await eventually(lambda: len(model_processes(loaded.deployer, project)) == 1)


class TestSixServices(UnderLoad):
    @pytest.fixture(scope="class")
    @classmethod
    def running(
        cls,
        tmp_path_factory: pytest.TempPathFactory,
        rabbitmq: RabbitMQ,
        postgres: PostgreSQL,
        registry: Registry,
        caddy: CaddyServer,
    ) -> Iterator[DistributedPlatform]:
        with distributed(
            tmp_path_factory.mktemp("loaded"),
            rabbitmq=rabbitmq,
            postgres=postgres,
            registry=registry,
            caddy=caddy,
            settings={"deployer": {"STOP_MODELS_ON_EXIT": "false"}},
        ) as platform:
            yield platform
        for each in model_processes(platform.folder / "deployer", ""):
            os.kill(each, signal.SIGKILL)

    @pytest.fixture
    def loaded(self, running: DistributedPlatform) -> Loaded:
        return Loaded(platform=running.platform, deployer=running.folder / "deployer")

    async def test_each_service_is_started_again(
        self, running: DistributedPlatform, loaded: Loaded, tmp_path: Path, project: str
    ) -> None:
        """After SIGKILL, and those that are nearest to models after SIGTERM, too. No model's request passes one."""
        ends = [(service, Process.kill) for service in SERVICES]
        async with load_on(loaded.platform, tmp_path, project) as load:
            before = model_processes(loaded.deployer, project)
            for service, end in [*ends, ("gateway", Process.stop), ("deployer", Process.stop)]:
                process = running.processes[service]
                await asyncio.to_thread(end, process)
                await load.some_more()
                process.start()
                await asyncio.to_thread(running.wait_until_ready, service)
                await load.some_more()
            assert model_processes(loaded.deployer, project) == before

    async def test_broker_and_database_are_started_again(
        self,
        running: DistributedPlatform,
        loaded: Loaded,
        rabbitmq: RabbitMQ,
        postgres: PostgreSQL,
        tmp_path: Path,
        project: str,
    ) -> None:
        async with load_on(loaded.platform, tmp_path, project) as load:
            for server in (rabbitmq, postgres):
                await asyncio.to_thread(server.stop)
                await load.some_more()
                await asyncio.to_thread(server.start)
                for service in SERVICES:
                    await asyncio.to_thread(running.wait_until_ready, service)
                await load.some_more()

    async def test_who_asks_the_platform_while_its_gateway_is_started_again_waits(
        self, running: DistributedPlatform, loaded: Loaded
    ) -> None:
        """At the edge, for what has no body; as long as the edge waits, which a start on a busy machine may take."""
        gateway = running.processes["gateway"]
        for _ in range(5):
            await asyncio.to_thread(gateway.stop)
            async with loaded.platform.http() as http:
                asking = asyncio.create_task(http.get("/v1/models", headers=loaded.platform.authorized()))
                began = monotonic()
                gateway.start()
                await asyncio.to_thread(running.wait_until_ready, "gateway")
                took = monotonic() - began
                status = (await asking).status_code
            if status == 200:
                return
            assert (status, took > EDGE_WAITS) == (503, True)
        pytest.fail(f"none of five starts took less than {EDGE_WAITS} seconds")


@asynccontextmanager
async def load_on(
    platform: Platform,
    tmp_path: Path,
    project: str,
    *,
    weights: tuple[float, ...] = (2.0,),
    refusal: str | None = None,
    replicas: tuple[int, int] = (1, 1),
) -> AsyncIterator[Load]:
    """A model under load, of which no request may be lost by the end; it answers with one of the weights, or is off its
    route for a reason that has `refusal` in it."""
    live = await deploy(
        platform, write_project(tmp_path / "one", project, weight=weights[0], replicas=replicas)
    )
    assert live.state == "live", live.refusals
    expected = [[[weight]] for weight in weights]
    async with constant_load(
        f"{platform.url}/models/{project}/predict",
        {"inputs": [[1.0]]},
        is_right=lambda said: said["outputs"] in expected,
        refusal=refusal,
    ) as load:
        yield load
    assert load.lost == {}
    assert (await ask(platform, "delete", project)).state == "deleted"


def answered_lately(load: Load) -> set[float]:
    return {said["outputs"][0][0] for said in load.seen}


def so_many_run(loaded: Loaded, project: str, replicas: int) -> bool:
    return len(model_processes(loaded.deployer, project)) == replicas


def was_up(process: Process, times: int) -> bool:
    """As it said itself."""
    return process.log.read_text().count("the platform is up") == times
