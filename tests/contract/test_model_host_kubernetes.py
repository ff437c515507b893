"""The contract of a model host, over an API server of the tests' own, and what a cluster alone has to stand."""

from __future__ import annotations

import json
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
import yaml
from placet.deployer.adapters.kubernetes_cluster import FIELD_MANAGER, OURS, KubernetesCluster
from placet.deployer.adapters.kubernetes_models import KubernetesModels
from placet.deployer.adapters.kubernetes_objects import address_of, endpoint_of
from placet.deployer.ports import Replicas
from placet.deployer.room import Amount
from placet.errors import Refused, Unavailable

from tests.contract.kubernetes_hosts import connected, kubernetes_host, serves, written
from tests.contract.model_host_contract import ModelHostContract, find
from tests.support.eventually import eventually
from tests.support.kubernetes import ApiServer, Cluster, Fate
from tests.support.kubernetes.fields import Json

Make = Callable[..., KubernetesModels]


@pytest.fixture
async def server() -> AsyncIterator[ApiServer]:
    async with ApiServer() as server:
        yield server


@pytest.fixture
async def cluster(server: ApiServer, tmp_path: Path) -> AsyncIterator[Cluster]:
    async with Cluster(server, tmp_path) as cluster:
        yield cluster


@pytest.fixture
async def make(server: ApiServer, cluster: Cluster, tmp_path: Path) -> AsyncIterator[Make]:
    """Makes a host, or the one that comes after it was killed."""
    made: list[tuple[KubernetesModels, KubernetesCluster]] = []

    def host(*, answers_within: float = 30.0) -> KubernetesModels:
        api = connected(server, tmp_path, answers_within=answers_within)
        made.append((kubernetes_host(api), api))
        return made[-1][0]

    yield host
    for each, api in made:
        await each.close()
        await api.close()


@pytest.fixture
async def host(make: Make) -> KubernetesModels:
    host = make()
    await host.adopt()
    return host


@pytest.fixture
def impatient_host(host: KubernetesModels) -> KubernetesModels:
    return host


@pytest.fixture
def image() -> str:
    return f"sha256:{'1' * 64}"


@pytest.fixture
def kill(cluster: Cluster) -> Callable[[str], Awaitable[None]]:
    async def kill(id: str) -> None:
        await serves(cluster, id)
        await cluster.signal(id, signal.SIGKILL)

    return kill


@pytest.fixture
def hang(cluster: Cluster) -> Callable[[str], Awaitable[None]]:
    async def hang(id: str) -> None:
        await serves(cluster, id)
        await cluster.signal(id, signal.SIGSTOP)

    return hang


class TestKubernetesModels(ModelHostContract):
    async def test_a_new_deployer_takes_over_what_runs(self, make: Make, image: str) -> None:
        before = make()
        await before.adopt()
        running = await before.start(self.spec(image))
        stopped = await before.start(self.spec(image, release=2))
        await before.stop(stopped.id, why="its certificate ended")

        after = make()
        await after.adopt()
        assert [(each.id, each.is_running, each.why) for each in await after.list()] == [
            ("churn-1", True, ""),
            ("churn-2", False, "its certificate ended"),
        ]
        assert await after.start(self.spec(image)) == running

    async def test_starting_what_runs_writes_nothing(
        self, host: KubernetesModels, server: ApiServer, image: str
    ) -> None:
        await host.start(self.spec(image))
        server.requests.clear()
        await host.start(self.spec(image))
        assert written(server) == []

    async def test_its_state_is_watched_and_not_asked_for(
        self, host: KubernetesModels, cluster: Cluster, image: str
    ) -> None:
        await host.start(self.spec(image))
        await serves(cluster, "churn-1")
        cluster.server.requests.clear()
        for _ in range(20):
            await host.list()
        assert cluster.server.requests == []

    async def test_only_ours_are_looked_at(self, host: KubernetesModels, server: ApiServer) -> None:
        for method, path in server.requests:
            looks_at_all = "events" in path or "labelSelector" in path
            assert method != "GET" or looks_at_all, path

    async def test_what_a_crash_left_half_made_is_removed(
        self, host: KubernetesModels, make: Make, server: ApiServer, image: str
    ) -> None:
        await host.start(self.spec(image))
        record = server.get("ConfigMap", "churn-1")
        assert record is not None
        half = {**record, "metadata": {"name": "wine-1", "labels": record["metadata"]["labels"]}}
        server.create(half)

        after = make()
        await after.adopt()
        assert [each.id for each in await after.list()] == ["churn-1"]
        assert server.get("ConfigMap", "wine-1") is None

    async def test_deleting_its_record_deletes_all_of_it(
        self, host: KubernetesModels, server: ApiServer, image: str
    ) -> None:
        await host.start(replace(self.spec(image), replicas=Replicas(min=1, max=3)))
        assert all(server.get(kind.name, "churn-1") for kind in OURS)
        server.remove("ConfigMap", "churn-1")

        def is_gone() -> bool:
            return not any(server.get(kind.name, "churn-1") for kind in OURS) and not server.all("Pod")

        await eventually(is_gone)
        assert await eventually(lambda: is_empty(host))

    async def test_a_release_runs_as_often_as_it_asks_and_is_one_instance(
        self, host: KubernetesModels, cluster: Cluster, image: str
    ) -> None:
        spec = replace(self.spec(image), replicas=Replicas(min=2, max=4))
        await host.start(spec)
        await eventually(lambda: len(cluster.pods("churn-1")) == 2)
        assert [each.id for each in await host.list()] == ["churn-1"]
        cluster.server.change(
            "Deployment", "churn-1", lambda each: each["spec"].update(replicas=4), manager="hpa"
        )
        await eventually(lambda: len(cluster.pods("churn-1")) == 4)
        assert [each.drift for each in await host.list()] == [""]
        await host.start(spec)
        assert len(cluster.pods("churn-1")) == 4  # how many the autoscaler wants is left to it

        await host.start(replace(spec, replicas=Replicas(min=3, max=3)))
        await eventually(lambda: len(cluster.pods("churn-1")) == 3)
        assert cluster.server.get("HorizontalPodAutoscaler", "churn-1") is None

    async def test_one_replica_of_several_that_crashes_is_the_cluster_s_matter(
        self, host: KubernetesModels, cluster: Cluster, image: str
    ) -> None:
        await host.start(replace(self.spec(image), replicas=Replicas(min=2, max=2)))
        await eventually(lambda: len(cluster.pods("churn-1")) == 2)
        await serves(cluster, "churn-1")
        first = cluster.pods("churn-1")[0]["metadata"]["name"]
        await cluster.signal("churn-1", signal.SIGKILL, pod=first)
        await eventually(lambda: restarted(cluster, first))
        assert (await find(host, "churn-1")).is_running

    async def test_a_crash_is_over_with_the_start_that_follows(
        self,
        host: KubernetesModels,
        cluster: Cluster,
        make: Make,
        image: str,
        kill: Callable[[str], Awaitable[None]],
    ) -> None:
        await host.start(self.spec(image))
        await kill("churn-1")
        assert await ended(host, "churn-1") == "it was ended by SIGKILL"
        await host.start(self.spec(image))
        assert (await find(host, "churn-1")).is_running
        after = make()
        await after.adopt()
        assert (await find(after, "churn-1")).is_running

    # Where it listens.

    async def test_it_listens_at_the_address_of_its_service(
        self, host: KubernetesModels, server: ApiServer, cluster: Cluster, image: str
    ) -> None:
        started = await host.start(self.spec(image))
        await serves(cluster, "churn-1")
        assert started.endpoint == endpoint_of(address_of(the_service(server)))
        assert await answers(started.endpoint) == 200
        (container,) = cluster.pods("churn-1")[0]["spec"]["containers"]
        (keys,) = [each["value"] for each in container["env"] if each["name"] == "PLACET_TOKEN_KEYS"]
        assert json.loads(keys) == [{"for": started.endpoint}]

    async def test_a_service_that_somebody_removed_comes_back_where_it_was(
        self, host: KubernetesModels, server: ApiServer, cluster: Cluster, image: str
    ) -> None:
        started = await host.start(self.spec(image))
        server.remove("Service", "churn-1")
        await eventually(lambda: drifted(host, "churn-1"))
        again = await host.start(self.spec(image, endpoint=started.endpoint))
        assert again == started
        assert len(cluster.pods("churn-1")) == 1  # none was made anew for it

    async def test_one_whose_address_somebody_else_has_by_now_gets_another(
        self, host: KubernetesModels, server: ApiServer, cluster: Cluster, image: str
    ) -> None:
        started = await host.start(self.spec(image))
        address = urlsplit(started.endpoint).hostname
        server.remove("Service", "churn-1")
        serve_somebody(server, clusterIP=address)
        await eventually(lambda: drifted(host, "churn-1"))
        again = await host.start(self.spec(image, endpoint=started.endpoint))
        assert again.endpoint != started.endpoint
        assert (await find(host, "churn-1")).endpoint == again.endpoint
        assert (await find(host, "churn-1")).drift == ""
        assert address_of(the_service(server, "somebody")) == address
        await eventually(lambda: takes_keys_for(cluster, again.endpoint))
        assert await eventually(lambda: answers(again.endpoint)) == 200

    async def test_a_service_that_somebody_made_anew_elsewhere_is_replaced(
        self, host: KubernetesModels, server: ApiServer, image: str
    ) -> None:
        started = await host.start(self.spec(image))
        before = the_service(server)
        server.remove("Service", "churn-1")
        serve_somebody(server, clusterIP=address_of(before))
        made = {**before, "metadata": {"name": "churn-1", "labels": before["metadata"]["labels"]}}
        made["spec"] = {"selector": {"app": "something else"}, "ports": before["spec"]["ports"]}
        server.create(made)
        assert await eventually(lambda: drifted(host, "churn-1"))
        again = await host.start(self.spec(image, endpoint=started.endpoint))
        assert (await find(host, "churn-1")).drift == ""
        assert the_service(server)["spec"]["selector"] == before["spec"]["selector"]
        assert again.endpoint == endpoint_of(address_of(the_service(server)))

    async def test_all_of_one_that_somebody_deleted_comes_back_where_it_was(
        self, host: KubernetesModels, server: ApiServer, cluster: Cluster, image: str
    ) -> None:
        started = await host.start(self.spec(image))
        server.remove("ConfigMap", "churn-1")
        await eventually(lambda: is_empty(host))
        again = await host.start(self.spec(image, endpoint=started.endpoint))
        assert again == started

    async def test_a_write_that_came_through_late_is_told_and_mended(
        self, host: KubernetesModels, server: ApiServer, image: str
    ) -> None:
        """The first of a start, which knows no address yet."""
        started = await host.start(self.spec(image))

        def as_at_first(record: Json) -> None:
            said = json.loads(record["data"]["record"])
            record["data"]["record"] = json.dumps({**said, "endpoint": ""})

        server.change("ConfigMap", "churn-1", as_at_first, manager=FIELD_MANAGER)
        told = await eventually(lambda: drifted(host, "churn-1"))
        assert told == "its ConfigMap was changed: it does not say where it listens"
        assert await host.start(self.spec(image, endpoint=started.endpoint)) == started
        assert (await find(host, "churn-1")).drift == ""

    # What is the matter.

    async def test_an_image_that_cannot_be_pulled_is_told(
        self, host: KubernetesModels, cluster: Cluster, image: str
    ) -> None:
        cluster.fates[image] = Fate(pull_error="manifest unknown: not found")
        await host.start(self.spec(image))
        assert await ended(host, "churn-1") == "image cannot be pulled: manifest unknown: not found"
        cluster.fates.clear()
        await host.start(self.spec(image))
        await serves(cluster, "churn-1")
        assert (await find(host, "churn-1")).is_running

    async def test_one_that_no_node_has_room_for_is_told(
        self, host: KubernetesModels, cluster: Cluster, server: ApiServer, image: str
    ) -> None:
        server.change("Node", "node-1", lambda each: each["status"]["allocatable"].update(cpu="1"))
        await host.start(replace(self.spec(image), amount=Amount(cpu_millis=2000, memory_bytes=2**28)))
        assert await ended(host, "churn-1") == "needs 2 CPU, largest node has 1"

    async def test_one_that_crashes_again_and_again_is_told_with_its_last_words(
        self, host: KubernetesModels, cluster: Cluster, image: str
    ) -> None:
        cluster.fates[image] = Fate(exit_code=1)
        await host.start(self.spec(image))
        assert await ended(host, "churn-1") == "it ended with status 1"
        assert await host.last_words("churn-1") == "the model cannot be loaded"
        cluster.fates.clear()
        await host.start(self.spec(image))
        await serves(cluster, "churn-1")
        assert (await find(host, "churn-1")).is_running

    async def test_one_that_takes_too_much_memory_is_told(
        self, host: KubernetesModels, cluster: Cluster, image: str
    ) -> None:
        cluster.fates[image] = Fate(exit_code=137, is_out_of_memory=True)
        await host.start(self.spec(image))
        assert await ended(host, "churn-1") == "it took more than the 512 MiB of memory that it had reserved"

    async def test_a_quota_that_lets_no_pod_be_made_is_told(
        self, host: KubernetesModels, cluster: Cluster, image: str
    ) -> None:
        cluster.no_pods_for = 'pods "churn-1-x" is forbidden: exceeded quota: models'
        await host.start(self.spec(image))
        assert (await ended(host, "churn-1")).endswith("exceeded quota: models")

    async def test_one_that_never_begins_says_what_the_cluster_complains_of(
        self, host: KubernetesModels, cluster: Cluster, image: str
    ) -> None:
        cluster.fates[image] = Fate(is_slow_to_load=True)
        await host.start(self.spec(image))
        told = await eventually(lambda: host.last_words("churn-1"))
        assert told.startswith("FailedMount: ")
        assert (await find(host, "churn-1")).is_running

    async def test_its_log_is_followed_until_the_caller_goes(
        self, host: KubernetesModels, cluster: Cluster, image: str
    ) -> None:
        await host.start(self.spec(image))
        await serves(cluster, "churn-1")
        pieces = host.log("churn-1", tail=None, follow=True)
        assert b"here is churn 1" in await anext(pieces)
        await pieces.aclose()  # type: ignore[attr-defined]

    # Drift.

    @pytest.mark.parametrize(
        ("kind", "change", "where"),
        [
            ("Deployment", {"template": {"spec": {"hostNetwork": True}}}, "spec.template.spec.hostNetwork"),
            ("NetworkPolicy", {"egress": [{}]}, "spec.egress"),
            ("Service", {"externalIPs": ["192.0.2.1"]}, "spec.externalIPs"),
            ("PodDisruptionBudget", {"maxUnavailable": 3}, "spec.maxUnavailable"),
        ],
    )
    async def test_what_somebody_changed_is_told_and_mended(
        self, host: KubernetesModels, server: ApiServer, image: str, kind: str, change: Any, where: str
    ) -> None:
        await host.start(self.spec(image))
        server.change(kind, "churn-1", lambda each: merge(each["spec"], change), manager="kubectl-edit")
        told = await eventually(lambda: drifted(host, "churn-1"))
        assert told == f"its {kind} was changed at {where}, by kubectl-edit"
        assert (await find(host, "churn-1")).is_running

        await host.start(self.spec(image))
        assert (await find(host, "churn-1")).drift == ""

    @pytest.mark.parametrize("kind", ["Service", "NetworkPolicy", "ServiceAccount"])
    async def test_what_somebody_removed_is_told_and_made_again(
        self, host: KubernetesModels, server: ApiServer, image: str, kind: str
    ) -> None:
        await host.start(self.spec(image))
        server.remove(kind, "churn-1")
        assert await eventually(lambda: drifted(host, "churn-1")) == f"its {kind} was gone"
        await host.start(self.spec(image))
        assert server.get(kind, "churn-1") is not None
        assert (await find(host, "churn-1")).drift == ""

    async def test_a_deployment_that_somebody_removed_does_not_run(
        self, host: KubernetesModels, server: ApiServer, cluster: Cluster, image: str
    ) -> None:
        await host.start(self.spec(image))
        server.remove("Deployment", "churn-1")
        assert await ended(host, "churn-1") == "its Deployment was gone"
        await host.start(self.spec(image))
        await serves(cluster, "churn-1")
        assert (await find(host, "churn-1")).is_running

    async def test_one_that_somebody_scaled_away_is_told_and_mended(
        self, host: KubernetesModels, server: ApiServer, cluster: Cluster, image: str
    ) -> None:
        await host.start(self.spec(image))
        server.change(
            "Deployment", "churn-1", lambda each: each["spec"].update(replicas=0), manager="kubectl"
        )
        told = await eventually(lambda: drifted(host, "churn-1"))
        assert told == "its Deployment was scaled to 0, and 1 to 1 are wanted"
        await host.start(self.spec(image))
        await serves(cluster, "churn-1")

    async def test_what_is_another_s_is_left_alone(
        self, host: KubernetesModels, server: ApiServer, image: str
    ) -> None:
        foreign = server.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "churn-1"}})
        with pytest.raises(Refused, match=r"a ConfigMap churn-1 that is not this platform's"):
            await host.start(self.spec(image))
        assert server.get("ConfigMap", "churn-1") == foreign

    # A server that is away, errs, is slow, or forgets.

    async def test_a_server_that_is_away_is_told_and_what_ran_is_there_after(
        self, host: KubernetesModels, server: ApiServer, cluster: Cluster, image: str
    ) -> None:
        await host.start(self.spec(image))
        await serves(cluster, "churn-1")
        await server.away()
        await eventually(lambda: is_unavailable(host))
        with pytest.raises(Unavailable, match="does not answer"):
            await host.start(self.spec(image, release=2))
        await server.back()
        await eventually(lambda: is_listed(host, "churn-1"))
        assert [each.id for each in await host.list()] == ["churn-1"]
        await host.start(self.spec(image, release=2))
        assert len(await host.list()) == 2

    @pytest.mark.parametrize("code", [429, 500, 503])
    async def test_a_start_that_the_server_fails_anywhere_is_whole_when_repeated(
        self, host: KubernetesModels, server: ApiServer, cluster: Cluster, image: str, code: int
    ) -> None:
        calls = 0
        for before in range(30):
            server.requests.clear()
            server.faults.errors = [0] * before + [code]
            try:
                await host.start(self.spec(image))
            except Unavailable as told:
                assert str(code) in told.detail  # noqa: PT017 - one of many, as the last one does not fail
                continue
            calls = before
            break
        server.faults.errors.clear()
        assert calls > len(OURS)
        await serves(cluster, "churn-1")
        assert all(len(server.all(kind.name)) == 1 for kind in OURS if kind.name != "HorizontalPodAutoscaler")
        assert [each.id for each in await host.list() if each.is_running] == ["churn-1"]

    async def test_answers_that_are_lost_double_nothing(
        self, host: KubernetesModels, server: ApiServer, cluster: Cluster, image: str
    ) -> None:
        server.faults.cut_after_write = 5
        while server.faults.cut_after_write:
            with pytest.raises(Unavailable):
                await host.start(self.spec(image))
        await host.start(self.spec(image))
        await serves(cluster, "churn-1")
        assert len(cluster.pods("churn-1")) == 1
        assert len(await host.list()) == 1

    async def test_a_stop_that_was_cut_short_is_carried_through(
        self, host: KubernetesModels, make: Make, server: ApiServer, cluster: Cluster, image: str
    ) -> None:
        await host.start(self.spec(image))
        await serves(cluster, "churn-1")
        server.faults.errors = [0, 0, 500]  # its log, the record with its end; then it is to be scaled
        with pytest.raises(Unavailable):
            await host.stop("churn-1", why="it is not wanted")
        after = make()
        await after.adopt()
        assert (await find(after, "churn-1")).is_running  # so that it is found, and ended
        await after.stop("churn-1", why="again")
        await eventually(lambda: not cluster.pods("churn-1"))
        assert (await find(after, "churn-1")).why == "it is not wanted"

    async def test_a_server_that_is_slow_is_told(self, make: Make, server: ApiServer, image: str) -> None:
        host = make(answers_within=5.0)
        await host.adopt()
        server.faults.seconds = 600.0
        with pytest.raises(Unavailable, match="does not answer"):
            await host.start(self.spec(image))
        server.faults.seconds = 0.0

    async def test_a_watch_that_is_cut_misses_nothing(
        self, host: KubernetesModels, server: ApiServer, image: str
    ) -> None:
        await host.start(self.spec(image))
        server.cut_watches()
        server.remove("ConfigMap", "churn-1")
        await eventually(lambda: is_empty(host))

    async def test_what_a_server_forgot_is_listed_anew(
        self, host: KubernetesModels, server: ApiServer, image: str
    ) -> None:
        await host.start(self.spec(image))
        await server.away()
        server.remove("ConfigMap", "churn-1")
        server.forget()
        await server.back()
        await eventually(lambda: is_empty(host))

    async def test_a_deployer_that_may_not_is_told_what_to_apply(
        self, make: Make, server: ApiServer, image: str
    ) -> None:
        server.rules = []
        with pytest.raises(Unavailable, match="is forbidden") as told:
            await make().adopt()
        assert "deploy/kubernetes/deployer.yaml" in (told.value.fix or "")

    async def test_the_roles_that_are_shipped_are_enough(
        self, make: Make, server: ApiServer, cluster: Cluster, image: str
    ) -> None:
        server.rules = shipped_rules()
        host = make()
        await host.adopt()
        await host.start(replace(self.spec(image), replicas=Replicas(min=1, max=3)))
        await serves(cluster, "churn-1")
        server.change(
            "Service", "churn-1", lambda each: each["spec"].update(externalIPs=["192.0.2.1"]), manager="me"
        )
        await eventually(lambda: drifted(host, "churn-1"))
        await host.start(self.spec(image))
        await eventually(lambda: host.last_words("churn-1"))
        await host.stop("churn-1")
        await host.forget("churn-1")
        assert await host.list() == []


def the_service(server: ApiServer, name: str = "churn-1") -> Json:
    service = server.get("Service", name)
    assert service is not None
    return service


def serve_somebody(server: ApiServer, **where: Any) -> None:
    spec = {"selector": {"app": "somebody"}, "ports": [{"port": 80, "protocol": "TCP"}], **where}
    server.create({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "somebody"}, "spec": spec})


async def answers(endpoint: str) -> int:
    try:
        async with aiohttp.ClientSession() as session, session.get(endpoint) as answer:
            return answer.status
    except aiohttp.ClientError:
        return 0


def takes_keys_for(cluster: Cluster, endpoint: str) -> bool:
    pods = cluster.pods("churn-1")
    return bool(pods) and all(endpoint in json.dumps(each["spec"]) for each in pods)


def merge(into: Json, change: Json) -> None:
    for key, each in change.items():
        if isinstance(each, dict) and isinstance(into.get(key), dict):
            merge(into[key], each)
        else:
            into[key] = each


async def ended(host: KubernetesModels, id: str) -> str:
    async def why() -> str:
        return (await find(host, id)).why

    return await eventually(why)


async def drifted(host: KubernetesModels, id: str) -> str:
    return (await find(host, id)).drift


async def is_empty(host: KubernetesModels) -> bool:
    try:
        return await host.list() == []
    except Unavailable:
        return False


async def is_listed(host: KubernetesModels, id: str) -> bool:
    try:
        return id in {each.id for each in await host.list()}
    except Unavailable:
        return False


async def is_unavailable(host: KubernetesModels) -> bool:
    try:
        await host.list()
    except Unavailable:
        return True
    return False


def restarted(cluster: Cluster, name: str) -> bool:
    pod = cluster.server.get("Pod", name)
    return pod is not None and bool(pod["status"]["containerStatuses"][0]["restartCount"])


def shipped_rules() -> list[Json]:
    file = Path(__file__).parents[2] / "deploy" / "kubernetes" / "deployer.yaml"
    documents = [each for each in yaml.safe_load_all(file.read_text()) if each]
    return [rule for each in documents if each["kind"] in ("Role", "ClusterRole") for rule in each["rules"]]
