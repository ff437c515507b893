"""Killed at every step of what it does with a cluster, the deployer leaves no object and no pod beside those that are
wanted."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from placet.deployer.adapters.kubernetes_cluster import OURS, KubernetesCluster
from placet.deployer.adapters.kubernetes_models import KubernetesModels
from placet.deployer.ports import Instance, ModelHost

from tests.contract.kubernetes_hosts import NAMESPACE, connected, kubernetes_host
from tests.faults.killed_at_every_step import KilledAtEveryStep
from tests.faults.mortal import Killed, Life
from tests.support.eventually import eventually
from tests.support.kubernetes import ApiServer, Cluster


class MortalCluster(KubernetesCluster):
    """Every request to the API server but a look is a step."""

    life = Life()

    async def _answer(self, method: str, path: str, *more: Any) -> tuple[int, bytes]:
        self.life.must_last()
        answer = await super()._answer(method, path, *more)
        if method != "GET":
            self.life.step(f"{method} {path.partition(f'/namespaces/{NAMESPACE}/')[2]}")
        return answer


class LookingModels(KubernetesModels):
    """Lists what there is without taking it over first."""

    async def list(self) -> Sequence[Instance]:
        await self._mirror.begin()
        return await super().list()


@dataclass
class OnKubernetes:
    server: ApiServer
    cluster: Cluster
    image: str = f"sha256:{'1' * 64}"
    answers_within: float = 30.0
    counts_commits: bool = False
    """Those are the same for every host, and processes are sooner there."""
    _made: list[tuple[KubernetesModels, KubernetesCluster]] = field(default_factory=list)

    def host(self, folder: Path, life: Life) -> ModelHost:
        api = connected(self.server, folder, answers_within=self.answers_within, kind=MortalCluster)
        assert isinstance(api, MortalCluster)
        api.life = life
        host = kubernetes_host(api, kind=LookingModels)
        self._made.append((host, api))
        return host

    async def begin(self, host: ModelHost) -> None:
        assert isinstance(host, KubernetesModels)
        await host.adopt()

    async def vanish(self, host: ModelHost) -> None:
        while self._made:
            each, api = self._made.pop()
            with suppress(Killed):
                await each.close()
            await api.close()

    async def left(self, folder: Path) -> Sequence[str]:
        """Once the cluster has done what was asked of it."""
        await eventually(self.cluster.is_at_rest)
        objects = [
            f"{kind.name} {each['metadata']['name']}" for kind in OURS for each in self.server.all(kind.name)
        ]
        pods = Counter(each["metadata"]["labels"]["placet.io/instance"] for each in self.server.all("Pod"))
        return sorted([*objects, *(f"{count} pods of {id}" for id, count in pods.items())])

    def expected(self, *releases: int, ended: Sequence[int] = ()) -> Sequence[str]:
        """What has ended keeps its name and its address, and has no pod."""
        objects = [
            f"{kind.name} churn-{release}"
            for kind in OURS
            if kind.name != "HorizontalPodAutoscaler"
            for release in (*releases, *ended)
        ]
        return sorted([*objects, *(f"1 pods of churn-{release}" for release in releases)])


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[OnKubernetes]:
    async with ApiServer() as server, Cluster(server, tmp_path) as cluster:
        yield OnKubernetes(server, cluster)


class TestKubernetes(KilledAtEveryStep):
    """On the tests' own cluster."""
