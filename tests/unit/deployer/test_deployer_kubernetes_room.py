"""How much room a cluster has, from its nodes and its quotas, as far as they are to be seen."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from placet.deployer.adapters.kubernetes_cluster import KubernetesCluster
from placet.deployer.adapters.kubernetes_room import largest, room
from placet.deployer.room import Amount
from placet.errors import Refused

from tests.contract.kubernetes_hosts import connected
from tests.support.kubernetes import ApiServer
from tests.support.kubernetes.cluster import node

GPU = "nvidia.com/gpu"
GIB = 2**30


@pytest.fixture
async def server() -> AsyncIterator[ApiServer]:
    async with ApiServer() as server:
        yield server


@pytest.fixture
async def api(server: ApiServer, tmp_path: Path) -> AsyncIterator[KubernetesCluster]:
    api = connected(server, tmp_path)
    yield api
    await api.close()


def quota(server: ApiServer, name: str = "models", **hard: str) -> None:
    spec = {"hard": {key.replace("__", ".").replace("_gpu", f".{GPU}"): each for key, each in hard.items()}}
    server.create({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": name}, "spec": spec})


def with_rule(plural: str) -> list[dict[str, Any]]:
    return [{"apiGroups": [""], "resources": [plural], "verbs": ["list"]}]


async def test_it_is_what_the_nodes_have_that_take_pods(server: ApiServer, api: KubernetesCluster) -> None:
    server.create(node("a", cpu="3900m", memory="8Gi", **{GPU: "2"}))
    server.create(node("b", cpu="2", memory="4096Mi"))
    server.create({**node("cordoned"), "spec": {"unschedulable": True}})
    server.create({**node("control"), "spec": {"taints": [{"key": "control-plane", "effect": "NoSchedule"}]}})
    assert await room(api, GPU) == Amount(cpu_millis=5900, memory_bytes=12 * GIB, gpus=2)
    assert await largest(api, GPU) == Amount(cpu_millis=3900, memory_bytes=8 * GIB, gpus=2)


async def test_a_quota_bounds_it(server: ApiServer, api: KubernetesCluster) -> None:
    server.create(node("a", cpu="64", memory="256Gi", **{GPU: "8"}))
    quota(server, requests__cpu="10", limits__memory="20Gi", requests_gpu="1")
    quota(server, "another", limits__cpu="12", memory="30Gi")
    assert await room(api, GPU) == Amount(cpu_millis=10_000, memory_bytes=20 * GIB, gpus=1)


async def test_a_quota_says_it_where_nodes_are_not_to_be_seen(
    server: ApiServer, api: KubernetesCluster
) -> None:
    quota(server, cpu="4", memory="8G")
    server.rules = with_rule("resourcequotas")
    assert await room(api, GPU) == Amount(cpu_millis=4000, memory_bytes=8 * 10**9)
    assert await largest(api, GPU) is None


async def test_what_nobody_says_must_be_set(server: ApiServer, api: KubernetesCluster) -> None:
    quota(server, pods="10")
    server.rules = with_rule("resourcequotas")
    with pytest.raises(Refused, match="how much room there is in the cluster is not known") as told:
        await room(api, GPU)
    assert "PLACET_CPU" in (told.value.fix or "")
