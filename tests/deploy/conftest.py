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

from tests.deploy.containers_of_models import a_name
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
