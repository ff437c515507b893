"""Killed at every step of what it does with a Docker Engine, the deployer leaves no container, network or file beside
those that are wanted."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import docker
import pytest
from placet.deployer.adapters.docker_containers import DockerContainers
from placet.deployer.ports import ModelHost
from placet.oci import Registry, open_registry

from tests.deploy.containers_of_models import container_host, push_container_image
from tests.faults.killed_at_every_step import KilledAtEveryStep
from tests.faults.mortal import Life, MortalEngine
from tests.support import servers


@dataclass
class Containers:
    registry: Registry
    address: str
    client: docker.DockerClient
    name: str
    image: str
    counts_commits: bool = False
    """Those are the same for every host, and processes are sooner there."""

    def __post_init__(self) -> None:
        self._engines: list[MortalEngine] = []

    def host(self, folder: Path, life: Life) -> ModelHost:
        self._engines.append(MortalEngine(self.address, life))
        return container_host(self._engines[-1], self.registry, folder, self.name)

    async def begin(self, host: ModelHost) -> None:
        assert isinstance(host, DockerContainers)
        await host.adopt()

    async def vanish(self, host: ModelHost) -> None:
        while self._engines:
            await self._engines.pop().close()

    async def left(self, folder: Path) -> Sequence[str]:
        return await asyncio.to_thread(self._left, folder)

    def _left(self, folder: Path) -> Sequence[str]:
        ours = {"label": f"io.placet.platform={self.name}"}
        api = self.client.api
        return [
            *sorted(
                f"{each['Names'][0][1:]} {each['State']}" for each in api.containers(all=True, filters=ours)
            ),
            *sorted(f"network {each['Name']}" for each in api.networks(filters=ours)),
            *sorted(each.name for each in (folder / "containers").iterdir()),
        ]

    def expected(self, *releases: int, ended: Sequence[int] = ()) -> Sequence[str]:
        states = {**dict.fromkeys(releases, "running"), **dict.fromkeys(ended, "exited")}
        return [
            *(f"{self.name}-churn-{release} {state}" for release, state in sorted(states.items())),
            *([f"network {self.name}-churn"] if states else []),
            *(f"churn-{release}.json" for release in ended),
        ]


@pytest.fixture
async def place(
    docker_engine: servers.DockerEngine,
    registry: servers.Registry,
    client: docker.DockerClient,
    base: str,
    name: str,
) -> AsyncIterator[Containers]:
    address = docker_engine.address or os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    async with open_registry(registry.url) as images:
        image = await push_container_image(images, base)
        kept = f"{registry.url.removeprefix('http://')}/models/churn@{image}"
        await asyncio.to_thread(client.images.pull, kept)
        # Of somebody else, so that the image stays while releases come and go.
        holder = await asyncio.to_thread(client.containers.create, kept)
        yield Containers(registry=images, address=address, client=client, name=name, image=image)
        await asyncio.to_thread(holder.remove)


class TestContainers(KilledAtEveryStep):
    """On a real engine."""
