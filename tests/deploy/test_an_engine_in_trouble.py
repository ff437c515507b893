"""A Docker Engine that is slow, errs, loses its answers or is away: the deployer goes on, and says what is wrong.

What serves meanwhile serves on; what was asked for comes, once; and when all is deleted nothing is left.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import aiohttp
import httpx
import pytest
from placet.deployer.bootstrap import build
from placet.events import ServiceRunner
from placet.events.http import http_app

from tests.deploy.test_a_deployer_killed_over_containers import Containers, place
from tests.faults.killed_at_every_step import MortalWorld, mortal_world
from tests.support.eventually import eventually
from tests.support.servers.local import private_directory
from tests.support.troubled_engine import Trouble, TroubledEngine, troubled_engine

__all__ = ["place"]


@dataclass
class World:
    deployer: MortalWorld
    engine: TroubledEngine
    place: Containers

    async def answers(self) -> bool:
        """The model, where callers are sent."""
        endpoint = self.deployer.router.endpoint("churn")
        assert endpoint is not None
        try:
            async with aiohttp.ClientSession() as http, http.get(endpoint) as answer:
                return answer.status == 200
        except aiohttp.ClientError:
            return False


@pytest.fixture
async def world(place: Containers, tmp_path: Path) -> AsyncIterator[World]:
    async with troubled_engine(place.address, private_directory("engine")) as engine:
        place.address = engine.address
        async with mortal_world(place, tmp_path / "deployer") as deployer:
            await place.begin(deployer.mortal_host)
            async with deployer.deployer():
                await deployer.deploy("churn", 1)
                await deployer.heard("model.started", "deploy churn 1")
                world = World(deployer=deployer, engine=engine, place=place)
                await eventually(world.answers)
                yield world
                engine.go_on()
                await engine.begin()
                await deployer.request_delete("churn")
                await deployer.heard("model.deleted", "delete")
                await eventually(lambda: is_empty(place, deployer.folder))
            await place.vanish(deployer.mortal_host)


async def is_empty(place: Containers, folder: Path) -> bool:
    return await place.left(folder) == place.expected()


@pytest.mark.parametrize("trouble", ["errors", "loses its answers", "is slow"])
async def test_an_update_that_it_gets_in_the_way_of(world: World, trouble: Trouble) -> None:
    before = world.engine.asked
    world.engine.trouble = trouble
    await world.deployer.deploy("churn", 2)
    await eventually(lambda: world.engine.asked > before + 5)
    assert await world.answers()
    assert (await world.deployer.state("churn")).live is not None
    world.engine.go_on()
    await world.deployer.heard("model.started", "deploy churn 2")
    await eventually(lambda: is_as_after_an_update(world))
    await eventually(world.answers)
    assert (await world.deployer.names()).count("model.started") == 2


async def test_an_engine_that_goes_away_for_a_minute_and_comes_back(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    await world.engine.go_away()
    await world.deployer.deploy("churn", 2)
    await world.deployer.heard("start.accepted", "deploy churn 2")
    await world.deployer.let_pass(timedelta(minutes=1))
    assert f"the Docker Engine at {world.engine.address} does not answer" in caplog.text
    assert "model.failed" not in await world.deployer.names()
    assert await world.answers()
    assert "model.diverged" not in await world.deployer.names()
    await world.engine.begin()
    await world.deployer.let_pass(timedelta(minutes=1))
    await world.deployer.heard("model.started", "deploy churn 2")
    await eventually(lambda: is_as_after_an_update(world))
    await eventually(world.answers)


async def test_a_deployer_that_starts_while_its_engine_is_away(place: Containers, tmp_path: Path) -> None:
    """Waits for it, and says so to who asks whether it is ready."""
    async with (
        troubled_engine(place.address, private_directory("engine")) as engine,
        mortal_world(place, tmp_path / "deployer") as deployer,
    ):
        await engine.go_away()
        settings = deployer.settings.model_copy(
            update={
                "model_host": "docker",
                "docker_host": engine.address,
                "docker_name": place.name,
                "memory": None,
            }
        )
        runner = ServiceRunner(await build(settings, deployer.wiring), lease_seconds=5.0)
        app = http_app("placet", [runner], version="1")
        transport = httpx.ASGITransport(app=app)
        running = asyncio.create_task(runner.run())
        async with httpx.AsyncClient(transport=transport, base_url="http://placet") as http:
            await eventually(lambda: runner.waits_for is not None)
            answer = await http.get("/readyz")
            said = answer.json()["services"]["deployer"]
            assert (answer.status_code, said["ready"]) == (503, False)
            assert said["why"].startswith(f"the Docker Engine at {engine.address} does not answer: ")
            await engine.begin()
            await eventually(lambda: runner.is_leading)
            assert (await http.get("/readyz")).status_code == 200
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def is_as_after_an_update(world: World) -> bool:
    left = await world.place.left(world.deployer.folder)
    return left == world.place.expected(2, ended=(1,))
