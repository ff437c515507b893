"""A Kubernetes API server that is slow, errs, loses its answers or is away: the deployer goes on, and says what is so.

What serves meanwhile serves on; what was asked for comes, once; and when all is deleted nothing is left.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import httpx
import pytest
from placet.deployer.bootstrap import build
from placet.errors import Unavailable
from placet.events import ServiceRunner
from placet.events.http import http_app

from tests.contract.kubernetes_hosts import connected
from tests.faults.killed_at_every_step import MortalWorld, mortal_world
from tests.faults.test_a_deployer_killed_over_kubernetes import OnKubernetes
from tests.support.eventually import eventually
from tests.support.kubernetes import ApiServer, Cluster
from tests.support.kubernetes.api_server import Trouble

PATIENCE = 1.0
"""Seconds that the deployer waits for an answer, of a server that gives none. One that is well takes a hundredth."""


@dataclass
class World:
    deployer: MortalWorld
    server: ApiServer
    place: OnKubernetes

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
async def place(tmp_path: Path) -> AsyncIterator[OnKubernetes]:
    async with ApiServer() as server, Cluster(server, tmp_path) as cluster:
        yield OnKubernetes(server, cluster, answers_within=PATIENCE)


@pytest.fixture
async def world(place: OnKubernetes, tmp_path: Path) -> AsyncIterator[World]:
    async with mortal_world(place, tmp_path / "deployer") as deployer:

        async def has_begun() -> bool:
            try:
                await place.begin(deployer.mortal_host)
            except Unavailable:
                return False
            return True

        await eventually(has_begun)
        async with deployer.deployer():
            await deployer.deploy("churn", 1)
            await deployer.heard("model.started", "deploy churn 1")
            world = World(deployer=deployer, server=place.server, place=place)
            await eventually(world.answers)
            yield world
            place.server.faults.go_on()
            await deployer.request_delete("churn")
            await deployer.heard("model.deleted", "delete")
            await eventually(lambda: is_empty(place, deployer.folder))
        await place.vanish(deployer.mortal_host)


async def is_empty(place: OnKubernetes, folder: Path) -> bool:
    return await place.left(folder) == place.expected()


@pytest.mark.parametrize("trouble", ["errors", "loses its answers", "is slow"])
async def test_an_update_that_it_gets_in_the_way_of(world: World, trouble: Trouble) -> None:
    world.server.requests.clear()
    world.server.faults.trouble = trouble
    await world.deployer.deploy("churn", 2)
    await eventually(lambda: was_tried_again(world.server))
    assert await world.answers()
    assert (await world.deployer.state("churn")).live is not None
    world.server.faults.go_on()
    await world.deployer.heard("model.started", "deploy churn 2")
    await eventually(lambda: is_as_after_an_update(world))
    await eventually(world.answers)
    assert (await world.deployer.names()).count("model.started") == 2


async def test_a_server_that_goes_away_and_comes_back(world: World, caplog: pytest.LogCaptureFixture) -> None:
    await world.server.away()
    await world.deployer.deploy("churn", 2)
    await eventually(lambda: "the Kubernetes API server does not answer" in caplog.text)
    assert await world.answers()
    assert "model.diverged" not in await world.deployer.names()
    await world.server.back()
    await world.deployer.heard("model.started", "deploy churn 2")
    await eventually(lambda: is_as_after_an_update(world))
    await eventually(world.answers)


async def test_a_server_that_forgot_what_happened_while_it_was_away(world: World) -> None:
    """What became of the model meanwhile is found all the same."""
    await world.server.away()
    (pod,) = world.place.cluster.pods("churn-1")
    world.server.remove("ConfigMap", "churn-1")
    world.server.forget()
    await world.server.back()
    await world.deployer.heard("model.diverged", "deploy churn 1")
    await world.deployer.heard("model.started", "deploy churn 1", times=2)
    await eventually(lambda: is_as_after_a_start(world))
    assert world.place.cluster.pods("churn-1")[0]["metadata"]["uid"] != pod["metadata"]["uid"]
    await eventually(world.answers)


async def test_a_deployer_that_starts_while_its_server_is_away(place: OnKubernetes, tmp_path: Path) -> None:
    """Waits for it, and says so to who asks whether it is ready."""
    async with mortal_world(place, tmp_path / "deployer") as deployer:
        connected(place.server, tmp_path)
        await place.server.away()
        settings = deployer.settings.model_copy(
            update={
                "model_host": "kubernetes",
                "kubernetes_config": tmp_path / "kubeconfig",
                "registry": "http://registry.example:5000",
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
            assert said["why"].startswith("the Kubernetes API server does not answer: ")
            await place.server.back()
            await eventually(lambda: runner.is_leading)
            assert (await http.get("/readyz")).status_code == 200
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


def was_tried_again(server: ApiServer) -> bool:
    """Whether it was asked for the same more than twice: to look, where it fails that already, or to write."""
    return max(Counter(server.requests).values(), default=0) > 2


async def is_as_after_a_start(world: World) -> bool:
    return await world.place.left(world.deployer.folder) == world.place.expected(1)


async def is_as_after_an_update(world: World) -> bool:
    left = await world.place.left(world.deployer.folder)
    return left == world.place.expected(2, ended=(1,))
