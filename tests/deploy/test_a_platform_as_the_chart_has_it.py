"""What the chart takes for granted of the code: that a gateway which only stands by sends requests on to models, behind
the edge that the chart ships, while models change; and that an administrator's token is made where a gateway runs.

The six services are processes here, over real servers; in a cluster they are pods of the same.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from tests.faults.test_no_request_is_lost import load_on
from tests.support.eventually import eventually
from tests.support.helm import rendered
from tests.support.platforms import DistributedPlatform, Platform, Process, distributed
from tests.support.servers import CaddyServer, PostgreSQL, RabbitMQ, Registry, haproxy, sources
from tests.support.servers.local import free_port, poll
from tests.system.models import write_project
from tests.system.scenarios import client_of, deploy, is_so, predict

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def services(
    tmp_path_factory: pytest.TempPathFactory,
    rabbitmq: RabbitMQ,
    postgres: PostgreSQL,
    registry: Registry,
    caddy: CaddyServer,
) -> Iterator[DistributedPlatform]:
    """With the settings for routes that the chart gives."""
    told = rendered().the("ConfigMap", "placet-deployer")["data"]
    deployer = {name: told[f"PLACET_{name}"] for name in ("ROUTER", "DRAIN_SECONDS")}
    assert deployer["ROUTER"] == "gateway"
    with distributed(
        tmp_path_factory.mktemp("chart"),
        rabbitmq=rabbitmq,
        postgres=postgres,
        registry=registry,
        caddy=caddy,
        settings={"deployer": deployer},
    ) as platform:
        yield platform


@pytest.fixture(scope="module")
def standby(services: DistributedPlatform) -> Iterator[str]:
    """The address of a second gateway, which has no file for a token, as in a pod."""
    port = free_port()
    environment = services.environment("gateway")
    del environment["PLACET_ADMIN_TOKEN_FILE"]
    process = Process(
        [sys.executable, "-m", "placet.gateway"],
        {**environment, "PLACET_HTTP_PORT": str(port)},
        services.folder / "standby.log",
    )
    process.start()

    def stands_by() -> bool:
        try:
            answer = httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=2, trust_env=False)
        except httpx.HTTPError:
            return False
        return answer.status_code == 200 and not answer.json()["services"]["gateway"]["leads"]

    poll(stands_by, or_give_up=lambda: None if process.is_running else process.last_words())
    yield f"127.0.0.1:{port}"
    process.stop()


@pytest.fixture(scope="module")
def platform(services: DistributedPlatform, standby: str) -> Iterator[Platform]:
    """Behind the chart's edge, which knows the gateway that stands by and no other."""
    configuration = services.folder / "haproxy.cfg"
    configuration.write_text(rendered().the("ConfigMap", "placet-edge")["data"]["haproxy.cfg"])
    port = free_port()
    addresses = {f"PLACET_{name.upper()}": f"127.0.0.1:{number}" for name, number in services.ports.items()}
    edge = haproxy.run_locally(
        sources.program("haproxy"), port, {**addresses, "PLACET_GATEWAY": standby}, configuration
    )
    yield replace(services.platform, url=f"http://127.0.0.1:{port}")
    edge.remove()


async def test_models_are_reached_by_a_gateway_that_stands_by(platform: Platform, tmp_path: Path) -> None:
    live = await deploy(platform, write_project(tmp_path / "p", "standing", weight=3.0))
    assert live.state == "live", live.refusals
    assert await predict(platform, "standing", 2.0) == 6.0


async def test_no_request_is_lost_while_a_release_takes_the_place_of_another(
    platform: Platform, tmp_path: Path
) -> None:
    async with load_on(platform, tmp_path, "moving", weights=(2.0, 7.0)) as load:
        live = await deploy(platform, write_project(tmp_path / "two", "moving", weight=7.0))
        assert live.state == "live", live.refusals
        # A gateway that stands by knows a route for a tenth of a second.
        await eventually(lambda: is_so(lambda: predict(platform, "moving", 1.0), 7.0))
        await load.some_more()


async def test_who_may_start_programs_beside_a_gateway_makes_an_administrators_token(
    services: DistributedPlatform, platform: Platform
) -> None:
    """Each time another; it is taken everywhere, and the log has it from the platform itself."""
    made = [await asyncio.to_thread(admin_token, services) for _ in range(2)]
    assert made[0] != made[1]
    for token in made:
        async with client_of(replace(platform, token=token)) as administrator:

            async def answers() -> set[str]:
                told = await administrator.services(within=60.0)
                return {each.service for each in told if each.answers}

            await eventually(lambda: is_so(answers, set(services.ports)))

    async def issued() -> list[dict[str, object]]:
        async with platform.http() as http:
            answer = await http.get(
                "/v1/events", params={"type": "placet.gateway.token.issued.v1"}, headers=platform.authorized()
            )
        return [each for each in answer.json()["events"] if each["data"]["roles"] == ["admin"]]

    async def all_are_in_the_log() -> bool:
        return len(await issued()) >= 3  # the first was written to a file

    await eventually(all_are_in_the_log)
    assert {each["authtype"] for each in await issued()} == {"service"}


def admin_token(services: DistributedPlatform) -> str:
    done = run_admin_token(services.environment("gateway"))
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    (token,) = done.stdout.splitlines()
    return token


def run_admin_token(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "placet.gateway.admin_token"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_what_is_set_wrong_is_said_and_nothing_is_made(services: DistributedPlatform) -> None:
    environment = services.environment("gateway")
    del environment["PLACET_DATABASE_URL"]
    done = run_admin_token(environment)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "PLACET_DATABASE_URL" in done.stderr
