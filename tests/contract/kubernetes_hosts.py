"""Hosts of models over the tests' own API server, and what is looked at in them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from placet.deployer.adapters.kubernetes_cluster import KubernetesCluster
from placet.deployer.adapters.kubernetes_models import KubernetesModels
from placet.deployer.adapters.kubernetes_objects import Terms
from placet.deployer.adapters.pulse import Allowance

from tests.support.eventually import eventually
from tests.support.kubernetes import ApiServer, Cluster

NAMESPACE = "placet-models"
TERMS = Terms(
    namespace=NAMESPACE,
    callers=["placet"],
    pull_secret="pull",
    gpu="nvidia.com/gpu",
    allowance=Allowance(loading=60.0, answer=2.0),
    stop_seconds=10.0,
    scratch_bytes=2**20,
)


def connected(
    server: ApiServer,
    folder: Path,
    *,
    answers_within: float = 30.0,
    kind: type[KubernetesCluster] = KubernetesCluster,
) -> KubernetesCluster:
    file = folder / "kubeconfig"
    file.write_text(json.dumps(server.kubeconfig()))
    return kind(namespace=NAMESPACE, file=file, answers_within=answers_within)


def kubernetes_host(
    api: KubernetesCluster, *, kind: type[KubernetesModels] = KubernetesModels, **options: Any
) -> KubernetesModels:
    async def reference(repository: str, image: str) -> tuple[str, int]:
        return f"registry.example:5000/{repository}@{image}", 65532

    def token_keys(endpoint: str) -> str:
        return json.dumps([{"for": endpoint}])

    given = {"reference": reference, "token_keys": token_keys, "terms": TERMS, "log_bytes": 2**16, **options}
    return kind(cluster=api, **given)


async def serves(cluster: Cluster, *ids: str) -> None:
    await eventually(lambda: all(map(cluster.serves, ids)))


def written(server: ApiServer) -> Sequence[tuple[str, str]]:
    """The requests that may have changed something."""
    return [each for each in server.requests if each[0] != "GET"]
