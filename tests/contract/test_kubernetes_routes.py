"""The routes that the deployer keeps in a cluster, as HTTPRoutes that a Gateway takes or does not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from placet.deployer.adapters.kubernetes_objects import MANAGED, NAME, OURS, address_of, endpoint_of
from placet.deployer.adapters.kubernetes_routes import Gateway, KubernetesRoutes
from placet.deployer.ports import Target
from placet.errors import Unavailable

from tests.contract.kubernetes_hosts import connected, written
from tests.support.eventually import eventually
from tests.support.kubernetes import ApiServer, Cluster

GATEWAY = Gateway.parse("edge/public/https")


@pytest.fixture
async def server() -> AsyncIterator[ApiServer]:
    async with ApiServer() as server:
        yield server


@pytest.fixture
async def cluster(server: ApiServer, tmp_path: Path) -> AsyncIterator[Cluster]:
    async with Cluster(server, tmp_path) as cluster:
        cluster.gateways = {"edge/public": ""}
        yield cluster


def serve(server: ApiServer, name: str, *, weight: int = 1) -> Target:
    """Where a Service is that a model host would have made."""
    labels = {MANAGED: OURS, NAME: "model"}
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "labels": labels},
        "spec": {"selector": {"placet.io/instance": name}},
    }
    return Target(endpoint=endpoint_of(address_of(server.create(service))), weight=weight)


@pytest.fixture
def first(server: ApiServer) -> Target:
    return serve(server, "churn-1")


@pytest.fixture
def second(server: ApiServer) -> Target:
    return serve(server, "churn-2", weight=9)


@pytest.fixture
async def router(server: ApiServer, cluster: Cluster, tmp_path: Path) -> AsyncIterator[KubernetesRoutes]:
    api = connected(server, tmp_path)
    router = KubernetesRoutes(api, GATEWAY, accepted_within=30.0)
    await router.begin()
    yield router
    await router.close()
    await api.close()


def rule(server: ApiServer, project: str = "churn") -> Any:
    route = server.get("HTTPRoute", f"model-{project}")
    assert route is not None
    return route["spec"]["rules"][0]


async def test_a_route_leads_to_the_service_and_is_told(
    router: KubernetesRoutes, server: ApiServer, first: Target
) -> None:
    await router.route("churn", [first], access="token")
    assert await router.routes() == {"churn": frozenset({first})}
    (backend,) = rule(server)["backendRefs"]
    assert (backend["kind"], backend["name"], backend["port"]) == ("Service", "churn-1", 8080)
    assert rule(server)["matches"] == [{"path": {"type": "PathPrefix", "value": "/models/churn"}}]


async def test_requests_are_shared_by_weight(
    router: KubernetesRoutes, server: ApiServer, first: Target, second: Target
) -> None:
    await router.route("churn", [second, first], access="token")
    assert {each["name"]: each["weight"] for each in rule(server)["backendRefs"]} == {
        "churn-1": 1,
        "churn-2": 9,
    }
    assert await router.routes() == {"churn": frozenset({first, second})}
    await router.route("churn", [second], access="token")
    assert await router.routes() == {"churn": frozenset({second})}


async def test_a_route_that_is_there_is_not_written_again(
    router: KubernetesRoutes, server: ApiServer, first: Target
) -> None:
    await router.route("churn", [first], access="token")
    server.requests.clear()
    await router.route("churn", [first], access="token")
    assert written(server) == []


async def test_a_model_sees_no_cookie_and_no_token_it_does_not_ask_for(
    router: KubernetesRoutes, server: ApiServer, first: Target
) -> None:
    def removed() -> list[str]:
        filters = {each["type"]: each for each in rule(server)["filters"]}
        return list(filters["RequestHeaderModifier"]["requestHeaderModifier"]["remove"])

    await router.route("churn", [first], access="token")
    assert removed() == ["Cookie"]
    await router.route("churn", [first], access="public")
    assert removed() == ["Cookie", "Authorization"]


async def test_its_answers_are_sandboxed(router: KubernetesRoutes, server: ApiServer, first: Target) -> None:
    await router.route("churn", [first], access="token")
    filters = {each["type"]: each for each in rule(server)["filters"]}
    answers = filters["ResponseHeaderModifier"]["responseHeaderModifier"]
    assert "Set-Cookie" in answers["remove"]
    assert answers["add"][0]["value"].startswith("sandbox ")


async def test_what_is_stopped_or_quarantined_leaves_its_route(
    router: KubernetesRoutes, server: ApiServer, first: Target
) -> None:
    await router.route("churn", [first], access="token")
    await router.unroute("churn", why=Unavailable("it does not stand"))
    assert await router.routes() == {}
    assert server.get("HTTPRoute", "model-churn") is None
    await router.unroute("churn")
    await router.unroute("nobody")


async def test_a_route_that_somebody_changed_is_seen_and_mended(
    router: KubernetesRoutes, server: ApiServer, first: Target
) -> None:
    await router.route("churn", [first], access="token")
    server.change(
        "HTTPRoute",
        "model-churn",
        lambda each: each["spec"]["rules"][0]["filters"].pop(),
        manager="kubectl-edit",
    )

    async def is_seen() -> bool:
        return (await router.routes())["churn"] == frozenset()

    await eventually(is_seen)
    await router.route("churn", [first], access="token")
    assert await router.routes() == {"churn": frozenset({first})}

    server.change(
        "HTTPRoute", "model-churn", lambda each: each["spec"].update(hostnames=["x.org"]), manager="me"
    )
    await eventually(is_seen)
    await router.route("churn", [first], access="token")
    assert "hostnames" not in (server.get("HTTPRoute", "model-churn") or {})["spec"]


async def test_a_service_that_was_just_made_is_waited_for(
    router: KubernetesRoutes, server: ApiServer, first: Target
) -> None:
    server.remove("Service", "churn-1")
    await eventually(lambda: is_nowhere(router, first))
    routing = asyncio.create_task(router.route("churn", [first], access="token"))
    assert serve(server, "churn-1") == first
    await routing
    assert await router.routes() == {"churn": frozenset({first})}


async def is_nowhere(router: KubernetesRoutes, target: Target) -> bool:
    return target.endpoint not in router._services()


async def test_a_route_whose_service_is_gone_leads_nowhere(
    server: ApiServer, cluster: Cluster, tmp_path: Path, first: Target, second: Target
) -> None:
    api = connected(server, tmp_path)
    router = KubernetesRoutes(api, GATEWAY, accepted_within=6.0)
    await router.begin()
    await router.route("churn", [first, second], access="token")
    server.remove("Service", "churn-2")

    async def is_seen() -> bool:
        return await router.routes() == {"churn": frozenset()}

    await eventually(is_seen)
    with pytest.raises(Unavailable, match="no Service of the namespace placet-models is at") as told:
        await router.route("churn", [first, second], access="token")
    assert second.endpoint in told.value.detail
    assert first.endpoint not in told.value.detail
    await router.route("churn", [first], access="token")
    assert await router.routes() == {"churn": frozenset({first})}
    await router.close()
    await api.close()


async def test_a_route_that_no_gateway_takes_is_told(
    server: ApiServer, cluster: Cluster, tmp_path: Path, first: Target
) -> None:
    cluster.gateways = {}
    api = connected(server, tmp_path)
    router = KubernetesRoutes(api, GATEWAY, accepted_within=0.1)
    await router.begin()
    with pytest.raises(Unavailable, match="no Gateway took the route model-churn") as told:
        await router.route("churn", [first], access="token")
    assert "PLACET_KUBERNETES_GATEWAY" in (told.value.fix or "")
    await router.close()
    await api.close()


async def test_a_route_that_a_gateway_refuses_says_why(
    router: KubernetesRoutes, cluster: Cluster, first: Target
) -> None:
    cluster.gateways = {"edge/public": "no listener takes routes of placet-models"}
    with pytest.raises(Unavailable, match="no listener takes routes of placet-models"):
        await router.route("churn", [first], access="token")


async def test_a_cluster_without_the_gateway_api_is_told(server: ApiServer, tmp_path: Path) -> None:
    server.resources = [each for each in server.resources if each.kind != "HTTPRoute"]
    api = connected(server, tmp_path)
    with pytest.raises(Unavailable, match="could not find the requested resource") as told:
        await KubernetesRoutes(api, GATEWAY).begin()
    assert "install the Gateway API" in (told.value.fix or "")
    await api.close()
