"""The main job with a Docker Engine: from a folder to a URL, and what becomes of it, with models as containers."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
from placet.oci import open_registry

from tests.deploy.containers_of_models import SUBNETS, a_name, copy_base
from tests.support.eventually import eventually
from tests.support.platforms import Platform, embedded
from tests.support.servers import DockerEngine, Registry
from tests.system.models import write_project
from tests.system.scenarios import MainJob, answers, ask, deploy, is_so, predict, printed


class TestContainers(MainJob):
    """The same scenarios as with processes."""

    @pytest.fixture(scope="class")
    @classmethod
    def platform(
        cls,
        docker_engine: DockerEngine,
        client: docker.DockerClient,
        registry: Registry,
        base: str,
        tmp_path_factory: pytest.TempPathFactory,
    ) -> Iterator[Platform]:
        folder = tmp_path_factory.mktemp("containers")
        with a_name(client) as name:
            settings = asyncio.run(with_containers(docker_engine, registry, base, name, folder))
            with embedded(folder, settings) as platform:
                yield platform


async def test_a_model_outlives_its_container_and_its_platform(
    docker_engine: DockerEngine,
    client: docker.DockerClient,
    registry: Registry,
    base: str,
    name: str,
    tmp_path: Path,
) -> None:
    settings = await with_containers(docker_engine, registry, base, name, tmp_path)
    with embedded(tmp_path, settings) as platform:
        first = await deploy(platform, write_project(tmp_path / "one", "churn"))
        assert first.state == "live", first.refusals
        assert await predict(platform, "churn", 5.0) == pytest.approx(10.0)
        [container] = client.containers.list(
            ignore_removed=True, filters={"label": f"io.placet.platform={name}"}
        )
        assert container.name == f"{name}-churn-1"

        container.kill()
        await eventually(lambda: is_so(lambda: answers(platform, "churn"), True))

        second = await deploy(platform, write_project(tmp_path / "two", "churn", weight=3.0))
        assert second.state == "live", second.refusals
        assert await predict(platform, "churn", 5.0) == pytest.approx(15.0)
        await eventually(lambda: names(client, name) == [f"{name}-churn-2"])

        assert '"event":"serving"' in await printed(platform, "logs", "churn")
        assert (await ask(platform, "stop", "churn")).state == "stopped"
        await eventually(lambda: names(client, name) == [])
        assert (await ask(platform, "start", "churn")).state == "live"
        assert await predict(platform, "churn", 5.0) == pytest.approx(15.0)
    assert names(client, name) == []  # `placet up` ends them with itself

    with embedded(tmp_path, settings) as platform:
        await eventually(lambda: is_so(lambda: answers(platform, "churn"), True))
        assert (await ask(platform, "delete", "churn")).state == "deleted"
        await eventually(lambda: not client.networks.list(names=[f"{name}-churn"]))


async def with_containers(
    engine: DockerEngine, registry: Registry, base: str, name: str, folder: Path
) -> dict[str, str]:
    """The settings of a platform in the folder, which has the base."""
    async with open_registry(registry.url) as images, open_registry(str(folder / "data" / "registry")) as own:
        await copy_base(base, images, own)
    return {
        "PLACET_MODEL_HOST": "docker",
        "PLACET_DOCKER_HOST": engine.address or os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock"),
        "PLACET_DOCKER_NAME": name,
        "PLACET_DOCKER_SUBNETS": str(SUBNETS),
        "PLACET_BASE_IMAGE": base,
    }


def names(client: docker.DockerClient, name: str) -> list[str]:
    """Of the containers that run."""
    running = client.containers.list(ignore_removed=True, filters={"label": f"io.placet.platform={name}"})
    return sorted(str(each.name) for each in running)
