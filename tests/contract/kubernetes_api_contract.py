"""What an API server does that hosts rely on. It is asked over the wire, as the deployer asks it, and held to on a real
one wherever there is one; what the tests' own does beyond this, nobody relies on."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

import pytest
from placet.deployer.adapters.kubernetes_cluster import (
    CONFIG_MAP,
    DEPLOYMENT,
    FIELD_MANAGER,
    SERVICE,
    Gone,
    Json,
    Kind,
    KubernetesCluster,
    Selection,
)
from placet.deployer.adapters.kubernetes_drift import drift
from placet.errors import Refused, Unavailable

from tests.support.eventually import eventually

LABELS = {"placet.io/test": "api"}
SOME = Selection(kind=CONFIG_MAP, labels="placet.io/test=api")


def config_map(name: str = "one", labels: dict[str, str] = LABELS, **data: str) -> Json:
    metadata = {"name": name, "labels": dict(labels)}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def deployment(**pod: Any) -> Json:
    container = {
        "name": "model",
        "image": "registry.example/one@sha256:" + "1" * 64,
        "resources": {"limits": {"cpu": "1000m", "memory": "512000000"}},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "one", "labels": dict(LABELS)},
        "spec": {
            "selector": {"matchLabels": LABELS},
            "template": {"metadata": {"labels": LABELS}, "spec": {"containers": [container], **pod}},
        },
    }


def service(name: str = "one", **more: str) -> Json:
    ports = [{"name": "http", "port": 8080, "protocol": "TCP"}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "labels": dict(LABELS)},
        "spec": {"selector": dict(LABELS), "ports": ports, **more},
    }


class ApiContract:
    """The cases. A subclass gives `api`, a cluster whose namespace has nothing else in it."""

    async def edit(
        self, api: KubernetesCluster, kind: Kind, patch: Json, manager: str = "kubectl-edit"
    ) -> Json:
        """As a person would."""
        path = kind.path(api.namespace, "one")
        return await api._ask(
            "PATCH", path, [("fieldManager", manager)], patch, "application/merge-patch+json"
        )

    async def test_applying_makes_it_and_applying_again_changes_nothing(self, api: KubernetesCluster) -> None:
        first = await api.apply(config_map(a="1"))
        again = await api.apply(config_map(a="1"))
        assert first["metadata"]["uid"] == again["metadata"]["uid"]
        assert first["metadata"]["resourceVersion"] == again["metadata"]["resourceVersion"]

    async def test_what_is_applied_no_more_is_gone(self, api: KubernetesCluster) -> None:
        await api.apply(config_map(a="1", b="2"))
        assert (await api.apply(config_map(a="1")))["data"] == {"a": "1"}

    async def test_what_others_wrote_stays_and_what_they_changed_is_ours_again(
        self, api: KubernetesCluster
    ) -> None:
        await api.apply(config_map(a="1"))
        await self.edit(api, CONFIG_MAP, {"data": {"a": "9", "c": "3"}})
        assert (await api.apply(config_map(a="1")))["data"] == {"a": "1", "c": "3"}

    async def test_who_wrote_what_is_known(self, api: KubernetesCluster) -> None:
        await api.apply(config_map(a="1", b="2"))
        changed = await self.edit(api, CONFIG_MAP, {"data": {"a": "9"}})
        owners = {
            each["manager"]: each["fieldsV1"].get("f:data", {})
            for each in changed["metadata"]["managedFields"]
        }
        assert "f:a" not in owners[FIELD_MANAGER]
        assert "f:b" in owners[FIELD_MANAGER]
        assert "f:a" in owners["kubectl-edit"]

    async def test_another_who_applies_is_told_of_a_conflict(self, api: KubernetesCluster) -> None:
        await api.apply(config_map(a="1"))
        status, _ = await api._answer(
            "PATCH",
            CONFIG_MAP.path(api.namespace, "one"),
            [("fieldManager", "another")],
            config_map(a="2"),
            "application/apply-patch+yaml",
        )
        assert status == 409

    async def test_replacing_leaves_nothing_of_what_was_added(self, api: KubernetesCluster) -> None:
        await api.apply(config_map(a="1"))
        found = await self.edit(api, CONFIG_MAP, {"data": {"c": "3"}})
        whole = config_map(a="1")
        whole["metadata"]["resourceVersion"] = found["metadata"]["resourceVersion"]
        assert (await api.replace(whole))["data"] == {"a": "1"}

    async def test_replacing_what_was_changed_meanwhile_is_a_conflict(self, api: KubernetesCluster) -> None:
        found = await api.apply(config_map(a="1"))
        await self.edit(api, CONFIG_MAP, {"data": {"c": "3"}})
        whole = config_map(a="2")
        whole["metadata"]["resourceVersion"] = found["metadata"]["resourceVersion"]
        with pytest.raises(Unavailable, match="409"):
            await api.replace(whole)

    async def test_a_service_that_is_replaced_keeps_its_address(self, api: KubernetesCluster) -> None:
        found = await api.apply(service())
        given = {key: each for key, each in found["spec"].items() if key != "ports"}
        whole = {**service(), "spec": {**given, **service()["spec"]}}
        whole["metadata"]["resourceVersion"] = found["metadata"]["resourceVersion"]
        assert (await api.replace(whole))["spec"]["clusterIP"] == found["spec"]["clusterIP"]

    async def test_a_service_gets_the_address_that_it_asks_for_and_keeps_it(
        self, api: KubernetesCluster
    ) -> None:
        before = await api.apply(service())
        address = before["spec"]["clusterIP"]
        await api.delete(SERVICE, "one", uid=before["metadata"]["uid"])
        again = await eventually(lambda: applied(api, service(clusterIP=address)))
        assert again["spec"]["clusterIP"] == address
        assert again["metadata"]["uid"] != before["metadata"]["uid"]
        # Who asks for it no more loses it no more.
        assert (await api.apply(service()))["spec"]["clusterIP"] == address

    async def test_an_address_that_another_service_has_is_refused(self, api: KubernetesCluster) -> None:
        address = (await api.apply(service()))["spec"]["clusterIP"]
        with pytest.raises(Refused, match="failed to allocate IP"):
            await api.apply(service("another", clusterIP=address))

    async def test_an_address_that_no_service_of_the_cluster_has_is_refused(
        self, api: KubernetesCluster
    ) -> None:
        with pytest.raises(Refused, match="failed to allocate IP"):
            await api.apply(service(clusterIP="192.0.2.1"))

    async def test_no_service_changes_its_address(self, api: KubernetesCluster) -> None:
        await api.apply(service())
        elsewhere = (await api.apply(service("another")))["spec"]["clusterIP"]
        another = await api.read(SERVICE, "another")
        assert another is not None
        await api.delete(SERVICE, "another", uid=another["metadata"]["uid"])
        with pytest.raises(Refused, match="may not change once set"):
            await api.apply(service(clusterIP=elsewhere))

    async def test_what_the_server_fills_in_and_rewrites_is_no_drift(self, api: KubernetesCluster) -> None:
        for each in (deployment(), service(), config_map(a="1")):
            assert drift(each, await api.apply(each)) is None

    async def test_a_field_that_somebody_added_is_drift_by_its_manager(self, api: KubernetesCluster) -> None:
        await api.apply(deployment())
        pod = {"spec": {"template": {"spec": {"priorityClassName": "", "hostPID": True}}}}
        found = await self.edit(api, DEPLOYMENT, pod)
        assert drift(deployment(), found) == (
            "its Deployment was changed at spec.template.spec.hostPID, by kubectl-edit"
        )

    async def test_how_many_there_are_is_scaled_beside_what_is_applied(self, api: KubernetesCluster) -> None:
        await api.apply(deployment())
        await api.scale("one", 3)
        again = await api.apply(deployment())
        assert again["spec"]["replicas"] == 3
        assert drift(deployment(), again) is None
        await api.scale("nobody", 3)  # changes nothing

    async def test_deleting_means_what_was_looked_at(self, api: KubernetesCluster) -> None:
        found = await api.apply(config_map(a="1"))
        assert await api.delete(CONFIG_MAP, "one", uid="00000000-0000-0000-0000-000000000000") is None
        assert await api.read(CONFIG_MAP, "one") is not None
        assert await api.delete(CONFIG_MAP, "one", uid=found["metadata"]["uid"]) is not None
        assert await api.delete(CONFIG_MAP, "one", uid=found["metadata"]["uid"]) is None
        assert await api.read(CONFIG_MAP, "one") is None

    async def test_what_is_owned_goes_with_its_owner(self, api: KubernetesCluster) -> None:
        owner = await api.apply(config_map("owner"))
        its = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"]}
        for each in (service(), deployment()):
            each["metadata"]["ownerReferences"] = [its]
            await api.apply(each)
        await api.delete(CONFIG_MAP, "owner", uid=owner["metadata"]["uid"])

        async def are_gone() -> bool:
            return await api.read(SERVICE, "one") is None and await api.read(DEPLOYMENT, "one") is None

        await eventually(are_gone)

    async def test_a_watch_tells_what_happened_since_a_version(self, api: KubernetesCluster) -> None:
        _, version = await api.listed(SOME)
        made = await api.apply(config_map(a="1"))
        await api.apply(config_map(a="2"))
        await api.delete(CONFIG_MAP, "one", uid=made["metadata"]["uid"])
        assert await heard(api, SOME, version, 3) == ["ADDED", "MODIFIED", "DELETED"]

    async def test_what_leaves_a_selection_is_deleted_to_its_watcher(self, api: KubernetesCluster) -> None:
        await api.apply(config_map(a="1"))
        _, version = await api.listed(SOME)
        await self.edit(api, CONFIG_MAP, {"metadata": {"labels": {"placet.io/test": "another"}}})
        await self.edit(api, CONFIG_MAP, {"metadata": {"labels": {"placet.io/test": "api"}}})
        assert await heard(api, SOME, version, 2) == ["DELETED", "ADDED"]

    async def test_a_list_is_whole_however_long(
        self, api: KubernetesCluster, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("placet.deployer.adapters.kubernetes_cluster.AT_ONCE", 2)
        for number in range(5):
            await api.apply(config_map(f"n{number}", a="1"))
        found, _ = await api.listed(SOME)
        assert sorted(each["metadata"]["name"] for each in found) == [f"n{number}" for number in range(5)]
        assert {each["kind"] for each in found} == {"ConfigMap"}

    async def test_what_is_no_object_is_refused(self, api: KubernetesCluster) -> None:
        with pytest.raises(Refused, match="the cluster refused it"):
            await api._ask(
                "PATCH",
                CONFIG_MAP.path(api.namespace, "one"),
                [],  # who applies must say who he is
                config_map(a="1"),
                "application/apply-patch+yaml",
            )

    async def test_a_namespace_that_is_not_there_is_told(self, api: KubernetesCluster) -> None:
        here, api.namespace = api.namespace, "nowhere"
        try:
            with pytest.raises(Unavailable, match="nowhere"):
                await api.apply(config_map(a="1"))
        finally:
            api.namespace = here

    async def test_a_kind_that_the_cluster_does_not_have_is_none_to_be_seen(
        self, api: KubernetesCluster
    ) -> None:
        assert await api.seen(Kind(api="example.org/v1", name="Nothing", plural="nothings")) is None


async def applied(api: KubernetesCluster, document: Json) -> Json:
    """A cluster may take a moment to give free what was deleted."""
    try:
        return await api.apply(document)
    except Refused:
        return {}


async def heard(api: KubernetesCluster, selection: Selection, version: str, count: int) -> list[str]:
    told: list[str] = []
    async with asyncio.timeout(60), aclosing(api.watched(selection, version)) as happened:
        async for what, _ in happened:
            told += [] if what == "BOOKMARK" else [what]
            if len(told) == count:
                break
    return told


async def is_too_old(api: KubernetesCluster, version: str) -> bool:
    try:
        async with asyncio.timeout(60), aclosing(api.watched(SOME, version)) as happened:
            async for _ in happened:
                return False
    except Gone:
        return True
    return False
