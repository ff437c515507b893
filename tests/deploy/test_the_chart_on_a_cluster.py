"""The chart, installed in the cluster that `KUBECONFIG` names, by `make test-kubernetes`: its API takes every object,
whatever admits pods there lets the pods of all of them be made, and what is taken away is gone.

Nothing serves: images and servers are a site's own, and pods wait for theirs.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from secrets import token_hex

import pytest
from placet.deployer.adapters.kubernetes_cluster import DEPLOYMENT, KubernetesCluster

from tests.support import helm
from tests.support.eventually import eventually

PATIENCE = 120.0
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}


@pytest.fixture
async def api(a_cluster: Path) -> AsyncIterator[KubernetesCluster]:
    """A namespace whose pods must keep to the restricted standard; that of models is the chart's to make."""
    name = f"placet-test-{token_hex(4)}"
    api = KubernetesCluster(namespace=name, file=a_cluster)
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": RESTRICTED}}
    await api._ask("POST", "/api/v1/namespaces", [], namespace)
    yield api
    for each in (name, f"{name}-models"):
        await api._answer("DELETE", f"/api/v1/namespaces/{each}")
    await api.close()


async def test_a_cluster_takes_all_of_it_and_gives_it_back(api: KubernetesCluster, a_cluster: Path) -> None:
    values = {
        "databases": {"prepare": False},  # there is none
        "models": {"namespace": f"{api.namespace}-models"},
        "images": {"pullPolicy": "Never"},
    }
    parts = [each["metadata"]["name"] for each in helm.rendered(values).all("Deployment")]
    assert len(parts) == 7

    for verb in ("install", "upgrade"):
        await asyncio.to_thread(helm.changed, verb, values, namespace=api.namespace, configuration=a_cluster)
        await eventually(lambda: all_have_their_pods(api, parts), within=PATIENCE, every=0.5)

    await asyncio.to_thread(helm.changed, "uninstall", {}, namespace=api.namespace, configuration=a_cluster)
    for name in parts:
        assert await api.read(DEPLOYMENT, name) is None


async def all_have_their_pods(api: KubernetesCluster, names: list[str]) -> bool:
    return all([await has_its_pods(api, name) for name in names])


async def has_its_pods(api: KubernetesCluster, name: str) -> bool:
    """Whatever admits pods there let them be made."""
    found = await api.read(DEPLOYMENT, name)
    assert found is not None
    status = found.get("status", {})
    conditions = {each["type"]: each for each in status.get("conditions", ())}
    assert conditions.get("ReplicaFailure", {}).get("status") != "True", conditions["ReplicaFailure"]
    return bool(status.get("replicas", 0) >= found["spec"]["replicas"])
