"""The deployer as a whole, with models and routes in a cluster of the tests' own: what happens there is said here."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from placet.deployer.adapters.kubernetes_objects import address_of, endpoint_of
from placet.deployer.adapters.kubernetes_routes import Gateway, KubernetesRoutes
from placet.deployer.bootstrap import build
from placet.errors import Refused
from placet.events import Service

from tests.contract.kubernetes_hosts import connected, kubernetes_host
from tests.support.eventually import eventually
from tests.support.kubernetes import ApiServer, Cluster, Fate
from tests.unit.deployer.harness import IMAGE, World
from tests.unit.deployer.test_deployer_api import authorized


@pytest.fixture
async def server() -> AsyncIterator[ApiServer]:
    async with ApiServer() as server:
        yield server


@pytest.fixture
async def cluster(server: ApiServer, tmp_path: Path) -> AsyncIterator[Cluster]:
    async with Cluster(server, tmp_path) as cluster:
        cluster.gateways = {"edge/public": ""}
        yield cluster


@pytest.fixture
async def world(
    idle_world: World, server: ApiServer, cluster: Cluster, tmp_path: Path
) -> AsyncIterator[World]:
    api = connected(server, tmp_path)
    host: Any = kubernetes_host(api)
    routes: Any = KubernetesRoutes(api, Gateway(namespace="edge", name="public"))
    await host.adopt()
    await routes.begin()
    idle_world.host, idle_world.router = host, routes
    idle_world.probe.is_ready_at = lambda endpoint: is_ready(cluster, endpoint)
    async with idle_world.deployer():
        yield idle_world
    await host.close()
    await routes.close()
    await api.close()


def is_ready(cluster: Cluster, endpoint: str) -> bool:
    """As a probe would find it, through its Service."""
    services = [each for each in cluster.server.all("Service") if endpoint_of(address_of(each)) == endpoint]
    return any(cluster.server.reach(each) is not None for each in services)


def backends(server: ApiServer) -> list[str]:
    route = server.get("HTTPRoute", "model-churn")
    return [] if route is None else [each["name"] for each in route["spec"]["rules"][0]["backendRefs"]]


async def test_a_certified_release_is_live_at_its_route(
    world: World, server: ApiServer, cluster: Cluster
) -> None:
    await world.deploy_and_wait(replicas=(2, 3))
    assert backends(server) == ["churn-1"]
    await eventually(lambda: len(cluster.pods("churn-1")) == 2)
    assert server.get("HorizontalPodAutoscaler", "churn-1") is not None


async def test_the_new_release_replaces_the_old_one(
    world: World, server: ApiServer, cluster: Cluster
) -> None:
    await world.deploy_and_wait()
    await world.deploy_and_wait(release=2)
    assert backends(server) == ["churn-2"]
    await eventually(lambda: not cluster.pods("churn-1"))
    assert cluster.pods("churn-2")


async def test_a_start_that_comes_to_nothing_says_what_the_cluster_says(
    world: World, cluster: Cluster
) -> None:
    cluster.fates[IMAGE] = Fate(pull_error="manifest unknown: not found")
    await world.deploy()
    failed = await world.heard("model.failed", "deploy churn 1")
    assert failed.why.startswith("churn did not start: image cannot be pulled: manifest unknown: not found")


async def test_what_somebody_changed_is_said_and_mended(world: World, server: ApiServer) -> None:
    await world.deploy_and_wait()
    server.change(
        "NetworkPolicy", "churn-1", lambda each: each["spec"].update(egress=[{}]), manager="kubectl-edit"
    )
    diverged = await world.heard("model.diverged", "deploy churn 1")
    assert diverged.why == "its NetworkPolicy was changed at spec.egress, by kubectl-edit"
    await world.heard("model.started", "deploy churn 1", times=2)
    policy = server.get("NetworkPolicy", "churn-1")
    assert policy is not None
    assert policy["spec"]["egress"] == []


async def test_a_canary_that_somebody_changed_is_aborted_and_what_it_ran_beside_serves(
    world: World, server: ApiServer
) -> None:
    await world.deploy_and_wait()
    await world.request_deploy(release=2, canary=20)
    await world.clear(release=2)
    await world.certify(release=2)
    await world.heard("canary.started", "deploy churn 2")
    assert backends(server) == ["churn-1", "churn-2"]

    server.remove("Service", "churn-2")
    aborted = await world.heard("canary.aborted", "deploy churn 2")
    assert aborted.why == "its Service was gone"
    await eventually(lambda: backends(server) == ["churn-1"])
    await world.settled()
    state = await world.state()
    assert state.live is not None
    assert (state.live.release, state.canary) == (1, None)


async def test_a_route_that_somebody_removed_is_back(world: World, server: ApiServer) -> None:
    await world.deploy_and_wait()
    server.remove("HTTPRoute", "model-churn")
    diverged = await world.heard("model.diverged", "deploy churn 1")
    assert "route" in diverged.why
    await eventually(lambda: backends(server) == ["churn-1"])


async def test_one_that_crashes_again_and_again_is_given_up(
    world: World, server: ApiServer, cluster: Cluster
) -> None:
    await world.deploy_and_wait()
    cluster.fates[IMAGE] = Fate(exit_code=1)
    server.remove("Pod", cluster.pods("churn-1")[0]["metadata"]["name"])
    failed = await world.heard("model.failed", "deploy churn 1")
    assert "ended 5 times in a row: it ended with status 1" in failed.why
    assert "the model cannot be loaded" in failed.why
    await eventually(lambda: backends(server) == [])


async def test_deleting_leaves_nothing_in_the_cluster(world: World, server: ApiServer) -> None:
    await world.deploy_and_wait()
    await world.request_delete()

    def left() -> list[Any]:
        kinds = ("ConfigMap", "Deployment", "Service", "Pod", "NetworkPolicy", "ServiceAccount", "HTTPRoute")
        return [each for kind in kinds for each in server.all(kind)]

    await eventually(lambda: not left())


async def capacity(service: Service, world: World) -> dict[str, int]:
    app = FastAPI()
    for each in service.routers():
        app.include_router(each)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://deployer") as client:
        answer = await client.get("/v1/capacity", headers=authorized(world))
    total: dict[str, int] = answer.json()["total"]
    return total


async def test_models_that_end_with_the_deployer_have_as_long_as_any_other(idle_world: World) -> None:
    settings = idle_world.settings.model_copy(update={"stop_seconds": 50.0})
    stopping = settings.model_copy(update={"stop_models_on_exit": True})
    assert (await build(settings, idle_world.wiring, idle_world.ports)).close_seconds < 50.0
    assert (await build(stopping, idle_world.wiring, idle_world.ports)).close_seconds > 50.0


async def test_the_settings_lead_to_the_cluster(
    idle_world: World, server: ApiServer, cluster: Cluster, tmp_path: Path
) -> None:
    connected(server, tmp_path)
    server.change(
        "Node", "node-1", lambda each: each["status"]["allocatable"].update({"nvidia.com/gpu": "2"})
    )
    quota = {"hard": {"requests.cpu": "6", "limits.memory": "8Gi"}}
    server.create(
        {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "models"}, "spec": quota}
    )
    settings = idle_world.settings.model_copy(
        update={
            "model_host": "kubernetes",
            "router": "kubernetes",
            "kubernetes_config": tmp_path / "kubeconfig",
            "kubernetes_gateway": "edge/public",
            "registry": "http://registry.example:5000",
            "cpu": None,
            "memory": None,
        }
    )
    service = await build(settings, idle_world.wiring)
    for each in service.start:
        await each()
    assert await capacity(service, idle_world) == {"cpuMillis": 6000, "memoryBytes": 8 * 2**30, "gpus": 2}
    server.change("ResourceQuota", "models", lambda each: each["spec"]["hard"].update({"requests.cpu": "3"}))
    (again,) = [each for each in service.periodic if each.name == "room"]
    await again.run()
    assert (await capacity(service, idle_world))["cpuMillis"] == 3000
    for each in reversed(service.close):
        await each()
    looked = {path.partition("?")[0].rpartition("/")[2] for _, path in server.requests}
    assert {"nodes", "resourcequotas", "deployments", "pods", "httproutes"} <= looked

    folder = settings.model_copy(update={"registry": str(tmp_path / "registry")})
    with pytest.raises(Refused, match="is a folder, which no node of a cluster pulls from"):
        await build(folder, idle_world.wiring)
    nowhere = settings.model_copy(update={"kubernetes_gateway": None})
    with pytest.raises(Refused, match="no Gateway is named"):
        await build(nowhere, idle_world.wiring)
