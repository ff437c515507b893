"""The main job with a cluster: from a folder to a URL, and what becomes of it, with models as Deployments.

On the tests' own cluster, whose pods are processes that run what the images say, and on the one that `KUBECONFIG`
names, where the addresses of its Services are reached from here.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from secrets import token_hex

import pytest
from placet.deployer.adapters.kubernetes_cluster import (
    POD,
    POLICY,
    ROUTE,
    SERVICE,
    KubernetesCluster,
    Selection,
)
from placet.deployer.adapters.kubernetes_objects import INSTANCE, SELECTOR
from placet.deployer.adapters.kubernetes_routes import PREFIX
from placet.oci import ImageConfig, Manifest, open_registry, sha256_digest
from placet.oci.content import OCI_CONFIG, OCI_LAYER
from placet.projects import pack

from tests.contract.model_host_small_image import layer
from tests.deploy.containers_of_models import HERE
from tests.faults.test_no_request_is_lost import load_on
from tests.support.eventually import eventually
from tests.support.kubernetes.standing import GATEWAY, standing_cluster
from tests.support.platforms import Platform, distributed, embedded
from tests.support.servers import CaddyServer, PostgreSQL, RabbitMQ, Registry, sources
from tests.system.models import write_project
from tests.system.scenarios import MainJob, client_of, finish

NAMESPACE_OF_A_POD = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
NODES_CALL_IT = "registry.example:5000"
CONNECTS_WITHIN = 10.0


class TestTheTestsOwnCluster(MainJob):
    """The same scenarios as with processes, and the routes that a Gateway gets meanwhile."""

    @pytest.fixture(scope="class")
    @classmethod
    def folder(cls, tmp_path_factory: pytest.TempPathFactory) -> Path:
        return tmp_path_factory.mktemp("platform")

    @pytest.fixture(scope="class")
    @classmethod
    def kubeconfig(cls, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
        mirrors = {NODES_CALL_IT: registry_of(folder)}
        with standing_cluster(tmp_path_factory.mktemp("cluster"), mirrors) as kubeconfig:
            yield kubeconfig

    @pytest.fixture(scope="class")
    @classmethod
    def platform(cls, folder: Path, kubeconfig: Path) -> Iterator[Platform]:
        settings = {
            "PLACET_MODEL_HOST": "kubernetes",
            "PLACET_ROUTER": "kubernetes",
            "PLACET_KUBERNETES_CONFIG": str(kubeconfig),
            "PLACET_KUBERNETES_GATEWAY": GATEWAY,
            "PLACET_KUBERNETES_REGISTRY": NODES_CALL_IT,
            "PLACET_KUBERNETES_CALLER_ADDRESSES": "192.0.2.7/32, 198.51.100.0/24",
            "PLACET_BASE_IMAGE": asyncio.run(push_base_of_this_python(registry_of(folder))),
        }
        with embedded(folder, settings) as platform:
            yield platform

    async def test_a_canary_gets_its_share_and_no_request_is_lost(
        self, platform: Platform, kubeconfig: Path, tmp_path: Path, project: str
    ) -> None:
        """Of those that come to the platform's own gateway, which goes by the same addresses as the route."""
        cluster = KubernetesCluster(namespace="placet-models", file=kubeconfig)
        first, second = f"{project}-1", f"{project}-2"
        async with (
            load_on(platform, tmp_path, project, weights=(2.0, 7.0)) as load,
            client_of(platform) as client,
        ):
            assert await shares_of(cluster, project) == {first: 1}
            assert await let_in(cluster, first) == ["192.0.2.7/32", "198.51.100.0/24"]
            canary = pack(write_project(tmp_path / "two", project, weight=7.0), tmp_path / "two.tar")
            await client.upload(tmp_path / "two.tar", canary.digest)
            await finish(client, await client.command("deploy", digest=canary.digest, canary=20))
            assert await shares_of(cluster, project) == {first: 4, second: 1}
            await load.some_more()
            await finish(client, await client.command("promote", project=project, weight=60))
            await eventually(lambda: has_shares(cluster, project, {first: 2, second: 3}))
            await load.some_more()
            await finish(client, await client.command("promote", project=project))
            await eventually(lambda: has_shares(cluster, project, {second: 1}))
            await eventually(lambda: has_pods(cluster, {second: 1}, first, second))
            await load.some_more()
        await eventually(lambda: has_shares(cluster, project, {}))
        await cluster.close()


@pytest.mark.usefixtures("cluster_that_pulls")  # the first: without one nothing else is begun
class TestTheCluster(MainJob):
    """Where there is one: six services, as they would be in it."""

    @pytest.fixture(scope="class")
    @classmethod
    def namespace(cls, cluster_that_pulls: Path) -> Iterator[str]:
        name = f"placet-test-{token_hex(4)}"
        asyncio.run(with_namespace(name, cluster_that_pulls))
        yield name
        asyncio.run(without_namespace(name, cluster_that_pulls))

    @pytest.fixture(scope="class")
    @classmethod
    def platform(
        cls,
        cluster_that_pulls: Path,
        namespace: str,
        base: str,
        tmp_path_factory: pytest.TempPathFactory,
        rabbitmq: RabbitMQ,
        postgres: PostgreSQL,
        registry: Registry,
        caddy: CaddyServer,
    ) -> Iterator[Platform]:
        # A pod's own namespace may reach models; who runs beside pods is no pod of any.
        callers = NAMESPACE_OF_A_POD.read_text() if NAMESPACE_OF_A_POD.exists() else "default"
        deployer = {
            "MODEL_HOST": "kubernetes",
            "KUBERNETES_CONFIG": str(cluster_that_pulls),
            "KUBERNETES_NAMESPACE": namespace,
            "KUBERNETES_CALLERS": callers,
            "READY_SECONDS": "180",  # nodes pull each layer for the first time
        }
        with distributed(
            tmp_path_factory.mktemp("platform"),
            rabbitmq=rabbitmq,
            postgres=postgres,
            registry=registry,
            caddy=caddy,
            settings={"builder": {"BASE_IMAGE": base}, "deployer": deployer},
        ) as platform:
            yield platform.platform


async def shares_of(cluster: KubernetesCluster, project: str) -> dict[str, int]:
    """By Service, of the project's route."""
    route = await cluster.read(ROUTE, f"{PREFIX}{project}")
    if route is None:
        return {}
    (rule,) = route["spec"]["rules"]
    return {each["name"]: each["weight"] for each in rule["backendRefs"]}


async def let_in(cluster: KubernetesCluster, id: str) -> list[str]:
    """The networks outside that may reach it."""
    policy = await cluster.read(POLICY, id)
    assert policy is not None
    (rule,) = policy["spec"]["ingress"]
    return [each["ipBlock"]["cidr"] for each in rule["from"] if "ipBlock" in each]


async def has_shares(cluster: KubernetesCluster, project: str, wanted: dict[str, int]) -> bool:
    return await shares_of(cluster, project) == wanted


async def has_pods(cluster: KubernetesCluster, wanted: dict[str, int], *ids: str) -> bool:
    """By instance, ready or on their way out."""
    pods, _ = await cluster.listed(Selection(kind=POD, labels=SELECTOR))
    found = Counter(each["metadata"]["labels"][INSTANCE] for each in pods)
    return {id: found[id] for id in ids if found[id]} == wanted


def registry_of(folder: Path) -> str:
    """Of the platform there."""
    return str(folder / "data" / "registry")


async def push_base_of_this_python(address: str) -> str:
    """A base that says nothing but where programs are: pods of the tests' own cluster have this machine's Python."""
    repository, content = (
        "bases/this-python",
        layer({"etc/placet": "a pod runs with this machine's Python\n"}),
    )
    async with open_registry(address) as images:
        kept = await images.put_blob(repository, content, media_type=OCI_LAYER)
        config = ImageConfig(
            platform=HERE,
            diff_ids=(sha256_digest(content),),
            env={"PATH": os.defpath, "LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"},
        )
        configured = await images.put_blob(repository, config.encode(), media_type=OCI_CONFIG)
        digest = await images.put_manifest(repository, Manifest.image(config=configured, layers=[kept]))
    return f"{repository}@{digest}"


async def with_namespace(name: str, file: Path) -> None:
    """One of the tests' own, in a cluster whose Services are reached from here."""
    api = KubernetesCluster(namespace="default", file=file)
    try:
        server = await api.read(SERVICE, "kubernetes")
        assert server is not None
        where = (server["spec"]["clusterIP"], server["spec"]["ports"][0]["port"])
        if not await asyncio.to_thread(takes_connections, where):
            sources.cannot_be_had(
                "kubernetes",
                f"the addresses of Services are not reached from here ({where[0]} is one): run the tests in a pod of"
                " the cluster that KUBECONFIG names, or on one of its nodes",
            )
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
        await api._ask("POST", "/api/v1/namespaces", [], namespace)
    finally:
        await api.close()


async def without_namespace(name: str, file: Path) -> None:
    api = KubernetesCluster(namespace=name, file=file)
    await api._answer("DELETE", f"/api/v1/namespaces/{name}")
    await api.close()


def takes_connections(where: tuple[str, int]) -> bool:
    with suppress(OSError), socket.create_connection(where, timeout=CONNECTS_WITHIN):
        return True
    return False
