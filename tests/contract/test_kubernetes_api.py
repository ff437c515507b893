"""The tests' own API server does what a real one does, and what only it can be told to do."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from kubernetes.aio import client, config
from kubernetes.aio.dynamic import DynamicClient
from placet.deployer.adapters.kubernetes_cluster import KubernetesCluster
from placet.errors import Unavailable

from tests.contract.kubernetes_api_contract import ApiContract, config_map, is_too_old
from tests.support.kubernetes import ApiServer


@pytest.fixture
async def server() -> AsyncIterator[ApiServer]:
    async with ApiServer() as server:
        yield server


@pytest.fixture
def file(server: ApiServer, tmp_path: Path) -> Path:
    file = tmp_path / "kubeconfig"
    file.write_text(json.dumps(server.kubeconfig()))
    return file


@pytest.fixture
async def api(file: Path) -> AsyncIterator[KubernetesCluster]:
    api = KubernetesCluster(namespace="placet-models", file=file)
    yield api
    await api.close()


class TestApiServer(ApiContract):
    async def test_others_clients_find_their_way(self, server: ApiServer, file: Path) -> None:
        """Discovery, and lists, by the official dynamic client."""
        server.create(config_map(a="1"))
        await config.load_kube_config(config_file=str(file))
        async with client.ApiClient() as opened:
            dynamic = await DynamicClient(opened)
            kind = await dynamic.resources.get(api_version="v1", kind="ConfigMap")
            found = await dynamic.get(kind, namespace="placet-models")
        assert [each.metadata.name for each in found.items] == ["one"]

    async def test_a_version_that_was_forgotten_is_gone(
        self, server: ApiServer, api: KubernetesCluster
    ) -> None:
        made = await api.apply(config_map(a="1"))
        server.forget()
        assert await is_too_old(api, made["metadata"]["resourceVersion"])

    async def test_a_token_that_counts_no_more_is_read_anew(
        self, server: ApiServer, api: KubernetesCluster
    ) -> None:
        server.faults.errors = [401]
        with pytest.raises(Unavailable, match="does not let"):
            await api.apply(config_map(a="1"))
        await api.apply(config_map(a="1"))

    async def test_a_configuration_that_is_not_there_is_told(self, tmp_path: Path) -> None:
        api = KubernetesCluster(namespace="placet-models", file=tmp_path / "nothing")
        with pytest.raises(Unavailable, match="configuration for the cluster cannot be read") as told:
            await api.apply(config_map(a="1"))
        assert "PLACET_KUBERNETES_CONFIG" in (told.value.fix or "")
