"""The contracts of an API server and of a model host, over the cluster that `KUBECONFIG` names: `make test-kubernetes`.

Each test has a namespace of its own, which goes with it. Models are asked through the API server, since tests run
outside the cluster; the image is pushed to the registry that `PLACET_TEST_REGISTRY` names, which the nodes reach.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from secrets import token_hex

import pytest
from placet.deployer.adapters.kubernetes_cluster import SERVICE, KubernetesCluster
from placet.deployer.adapters.kubernetes_images import KubernetesImages
from placet.deployer.adapters.kubernetes_models import KubernetesModels
from placet.deployer.adapters.kubernetes_objects import PORT, Terms
from placet.deployer.adapters.pulse import TIMES_AT_WORK, Allowance
from placet.deployer.ports import InstanceSpec, ModelHost
from placet.errors import PlacetError
from placet.oci import Registry, open_registry

from tests.contract.kubernetes_api_contract import ApiContract
from tests.contract.model_host_contract import ROOM, ModelHostContract, find
from tests.deploy.containers_of_models import push_container_image
from tests.support import servers
from tests.support.eventually import eventually

PATIENCE = 180.0
"""Seconds: nodes pull the image with the first test."""

PROGRAM = """
import os, signal, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

child = os.fork()  # the first process of a container is deaf to what it sends itself
if child:
    signal.signal(signal.SIGTERM, lambda *_: os.kill(child, signal.SIGTERM))
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    sys.exit(128 - status if status < 0 else status)
print("here is", os.environ["PLACET_PROJECT"], os.environ["PLACET_RELEASE"], flush=True)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
        if self.path == "/die":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.path == "/hang":
            os.kill(os.getpid(), signal.SIGSTOP)

    def log_message(self, *arguments):
        pass

ThreadingHTTPServer(("0.0.0.0", 8080), Handler).serve_forever()
"""


@pytest.fixture
async def api(a_cluster: Path) -> AsyncIterator[KubernetesCluster]:
    """A namespace of the test's own, with the rules that models' namespaces have."""
    name = f"placet-test-{token_hex(4)}"
    api = KubernetesCluster(namespace=name, file=a_cluster)
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
    await api._ask("POST", "/api/v1/namespaces", [], namespace)
    yield api
    await api._answer("DELETE", f"/api/v1/namespaces/{name}")
    await api.close()


class TestTheCluster(ApiContract):
    pass


@pytest.fixture
async def images(registry: servers.Registry) -> AsyncIterator[Registry]:
    opened = open_registry(registry.url)
    yield opened
    await opened.close()


@pytest.fixture
async def image(api: KubernetesCluster, images: Registry, base: str) -> str:
    return await push_container_image(images, base, PROGRAM)


@pytest.fixture
async def host(api: KubernetesCluster, images: Registry, image: str) -> AsyncIterator[KubernetesModels]:
    host = KubernetesModels(
        cluster=api,
        reference=KubernetesImages(images, images.address).reference,
        token_keys=lambda endpoint: json.dumps([{"for": endpoint}]),
        terms=Terms(
            namespace=api.namespace,
            callers=[api.namespace],
            pull_secret=None,
            gpu="nvidia.com/gpu",
            allowance=Allowance(loading=60.0, answer=1.0),
            stop_seconds=2.0,
            scratch_bytes=2**20,
        ),
        log_bytes=2**16,
    )
    await host.adopt()
    first = InstanceSpec(
        project="first", release=1, image=image, repository="models/churn", access="public", amount=ROOM
    )
    await host.start(first)
    await serves(api, first.id)
    await host.forget(first.id)
    yield host
    await host.close()


@pytest.fixture
def impatient_host(host: KubernetesModels) -> KubernetesModels:
    return host


async def asked(api: KubernetesCluster, id: str, path: str) -> int:
    """What its Service answers, through the API server."""
    status, _ = await api._answer("GET", SERVICE.path(api.namespace, f"http:{id}:{PORT}", "proxy", path))
    return status


async def serves(api: KubernetesCluster, id: str) -> None:
    async def answers() -> bool:
        return await asked(api, id, "v2/health/ready") == 200

    await eventually(answers, within=PATIENCE)


def told_to(api: KubernetesCluster, path: str) -> Callable[[str], Awaitable[None]]:
    async def tell(id: str) -> None:
        await serves(api, id)
        try:
            await asked(api, id, path)
        except PlacetError:
            return  # it died before its answer went through

    return tell


@pytest.fixture
def kill(api: KubernetesCluster) -> Callable[[str], Awaitable[None]]:
    return told_to(api, "die")


@pytest.fixture
def hang(api: KubernetesCluster) -> Callable[[str], Awaitable[None]]:
    return told_to(api, "hang")


@pytest.mark.usefixtures("cluster_that_pulls")  # the first: without one nothing else is begun
class TestModelsOnTheCluster(ModelHostContract):
    async def test_what_hangs_is_ended_with_its_reason(
        self, impatient_host: ModelHost, image: str, hang: Callable[[str], Awaitable[None]]
    ) -> None:
        """As the contract has it, with the time that kubelets take."""
        started = await impatient_host.start(self.spec(image))
        await hang(started.id)

        async def is_down() -> bool:
            return not (await find(impatient_host, started.id)).is_running

        await eventually(is_down, within=PATIENCE + 10 * TIMES_AT_WORK)
        assert (await find(impatient_host, started.id)).why.startswith("it hung: ")
        assert (await impatient_host.start(self.spec(image))).is_running
