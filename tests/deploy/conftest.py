"""An engine, and a base image that it can run: made once, since both take their time."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from secrets import token_hex

import docker
import pytest

from tests.deploy.compose_stack import Stack, booted, compose_plugin
from tests.deploy.containers_of_models import a_name
from tests.deploy.images_of_services import Images, made_offline
from tests.support.servers import DockerEngine, Registry, sources

BASE_SCRIPT = Path(__file__).parents[2] / "deploy" / "offline" / "base_image.py"


@pytest.fixture(scope="session")
def a_cluster() -> Path:
    """The configuration for it."""
    file = os.environ.get("KUBECONFIG")
    if not file:
        sources.cannot_be_had("kubernetes", "set KUBECONFIG to the configuration for a cluster")
    return Path(file)


@pytest.fixture(scope="session")
def cluster_that_pulls() -> Path:
    """The same of one whose nodes run the images of these tests."""
    file = os.environ.get("KUBECONFIG")
    if not file or "PLACET_TEST_REGISTRY" not in os.environ:
        sources.cannot_be_had(
            "kubernetes",
            "set KUBECONFIG to the configuration for a cluster, and PLACET_TEST_REGISTRY to a registry that its nodes"
            " pull from, http(s)://host:port",
        )
    return Path(file)


@pytest.fixture(scope="session")
def base(registry: Registry) -> str:
    """A base image of this machine's distribution, in the registry: `repository@digest`."""
    if shutil.which("apt-get") is None:
        sources.cannot_be_had(
            "docker", "there is no image to run: bases are made of Debian's packages, on Debian"
        )
    made = subprocess.run(
        [sys.executable, BASE_SCRIPT, registry.url], capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stderr
    return made.stdout.strip()


@pytest.fixture(scope="session")
def client(docker_engine: DockerEngine) -> Iterator[docker.DockerClient]:
    client = docker_engine.client()
    yield client
    client.close()


@pytest.fixture(scope="session")
def engine_with_networks() -> Iterator[DockerEngine]:
    if shutil.which("apt-get") is None:
        sources.cannot_be_had(
            "docker", "there is no image to run: bases are made of Debian's packages, on Debian"
        )
    with sources.DOCKER_WITH_NETWORKS.running() as engine:
        yield engine


@pytest.fixture(scope="session")
def images(engine_with_networks: DockerEngine) -> Iterator[Images]:
    """Of the six services, with the tag `one`, and of all that they need."""
    client = engine_with_networks.client()
    images = Images(
        client=client,
        prefix=f"placet-{token_hex(4)}-",
        engine=engine_with_networks,
        bases=made_offline(engine_with_networks),
    )
    images.build(tag="one")
    yield images
    if not engine_with_networks.is_private:  # else it goes with all that is in it
        for image in client.images.list():
            if any(tag.startswith(images.prefix) for tag in image.tags):
                client.images.remove(image.id, force=True)
    client.close()


@pytest.fixture(scope="module")
def stack(compose: str, images: Images, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The whole platform as docker-compose.yml has it."""
    with booted(compose, images, tmp_path_factory.mktemp("compose")) as stack:
        yield stack


@pytest.fixture(scope="session")
def compose() -> str:
    """The program whose plugin it is."""
    return compose_plugin()


@pytest.fixture
def network(client: docker.DockerClient) -> Iterator[str]:
    made = client.networks.create(f"placet-{token_hex(4)}", internal=True)
    yield str(made.name)
    made.remove()


@pytest.fixture
def name(client: docker.DockerClient) -> Iterator[str]:
    """What the containers of a platform of its own are called, of which nothing is left."""
    with a_name(client) as name:
        yield name
