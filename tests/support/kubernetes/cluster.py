"""What stands behind the API: the controller of Deployments, a scheduler, and a kubelet whose pods are real processes.

Each pod and each Service has an address of this machine's own, 127.x.y.z, at which it is reached. Seconds of probes, of
ends and of waiting after a crash go by `pace` times as fast, so that no test waits for them.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import secrets
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import aiohttp
from placet.deployer.adapters.kubernetes_room import quantity
from placet.errors import PlacetError

from tests.support.eventually import eventually
from tests.support.kubernetes.addresses import PORT
from tests.support.kubernetes.api_server import ApiServer, Change
from tests.support.kubernetes.fields import Json
from tests.support.kubernetes.images import Program, small_server
from tests.support.kubernetes.services import ServiceAddresses

PACE = 50.0
HASH = "pod-template-hash"
LOOKS_EVERY = 0.02
FIRST_BACK_OFF = 10.0


@dataclass(frozen=True)
class Fate:
    """What becomes of the pods of an image, where it is not that they run."""

    pull_error: str = ""
    exit_code: int | None = None
    """Of each of its containers, as soon as it began."""
    is_out_of_memory: bool = False
    """How the kernel ended it, whatever its status says."""
    is_slow_to_load: bool = False
    """Its container is made and never begins."""


@dataclass
class _Running:
    """One pod on its node."""

    name: str
    address: str
    log: Path
    process: asyncio.subprocess.Process | None = None
    is_ready: bool = False
    restarts: int = 0
    is_killed_for_silence: bool = False


def node(name: str = "node-1", *, cpu: str = "8", memory: str = "16Gi", **more: str) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name},
        "spec": {},
        "status": {"allocatable": {"cpu": cpu, "memory": memory, "pods": "110", **more}},
    }


class Cluster:
    """Run it as `async with Cluster(server, folder) as cluster:`. `pull` says what a container runs at an address,
    `ends_pace` how many times as fast ends go, if not as everything (programs that end by themselves take their time).
    """

    def __init__(
        self,
        server: ApiServer,
        folder: Path,
        *,
        pace: float = PACE,
        ends_pace: float | None = None,
        pull: Callable[[Json, str], Awaitable[Program]] = small_server,
    ) -> None:
        self.server = server
        self.fates: dict[str, Fate] = {}
        """By the digest of an image."""
        self.gateways: dict[str, str] = {}
        """`namespace/name` of those there are, each with why it takes no route, if it takes none."""
        self.no_pods_for: str = ""
        """Why no pod may be made, if none may."""
        self._folder = folder
        self._pace = pace
        self._ends_pace = pace if ends_pace is None else ends_pace
        self._pull_program = pull
        self._pods: dict[str, _Running] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._ending: dict[str, asyncio.Task[None]] = {}
        self._following: asyncio.Task[None] | None = None
        self._services = ServiceAddresses()
        self._event_count = 0
        server.reach = self._reach
        server.logs = self._logs
        server.graceful = lambda pod: pod["metadata"]["uid"] in self._tasks

    async def __aenter__(self) -> Cluster:
        if not self.server.all("Node"):
            self.server.create(node())
        self._following = asyncio.create_task(self._follow())
        return self

    async def __aexit__(self, *error: object) -> None:
        assert self._following is not None
        await _cancelled(self._following)
        await self._services.close()
        for task in [*self._tasks.values(), *self._ending.values()]:
            await _cancelled(task)
        for each in self._pods.values():
            await _killed(each)

    # For tests.

    def pods(self, instance: str) -> list[Json]:
        """Those that are not on their way out."""
        return [
            each
            for each in self.server.all("Pod")
            if each["metadata"]["labels"].get("placet.io/instance") == instance
            and "deletionTimestamp" not in each["metadata"]
        ]

    def serves(self, instance: str) -> bool:
        """Whether the address of its Service leads to the pods that are ready, of which there are some."""
        service = self.server.get("Service", instance)
        if service is None:
            return False
        ready = self._ready(service)
        return bool(ready) and self._services.pods_at(service["spec"]["clusterIP"]) == ready

    async def signal(self, instance: str, number: signal.Signals, *, pod: str | None = None) -> None:
        """To what runs in each of its pods, or in that one."""
        for each in self.pods(instance):
            if pod not in (None, each["metadata"]["name"]):
                continue
            running = self._pods.get(each["metadata"]["uid"])
            if running is not None and running.process is not None and running.process.returncode is None:
                running.process.send_signal(number)

    def is_at_rest(self) -> bool:
        """Whether all is as its controllers would have it, and nothing on its way out."""
        pods = self.server.all("Pod")
        living = [_owner(each) for each in pods if "deletionTimestamp" not in each["metadata"]]
        wanted = {each["metadata"]["uid"]: each["spec"]["replicas"] for each in self.server.all("Deployment")}
        return len(living) == len(pods) == sum(wanted.values()) and all(
            living.count(uid) == count for uid, count in wanted.items()
        )

    # The controller of Deployments.

    async def _follow(self) -> None:
        seen = 0
        self._reconcile()
        while True:
            happened, seen = await self.server.changes(seen)
            if any(each.resource.kind in _FOLLOWED for each in happened):
                self._reconcile()
                await self._services.lead(self._behind())

    def _reconcile(self) -> None:
        for deployment in self.server.all("Deployment"):
            self._make_so(deployment)
        for route in self.server.all("HTTPRoute"):
            self._take(route)
        for pod in self.server.all("Pod"):
            uid = pod["metadata"]["uid"]
            if "deletionTimestamp" in pod["metadata"]:
                if uid not in self._ending:
                    self._ending[uid] = asyncio.create_task(self._end(pod))
            elif uid not in self._tasks:
                self._tasks[uid] = asyncio.create_task(self._live(pod))

    def _make_so(self, deployment: Json) -> None:
        name = deployment["metadata"]["name"]
        template = deployment["spec"]["template"]
        wanted = deployment["spec"]["replicas"]
        version = hashlib.sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()[:10]
        mine = [each for each in self.server.all("Pod") if _owner(each) == deployment["metadata"]["uid"]]
        living = [each for each in mine if "deletionTimestamp" not in each["metadata"]]
        new = [each for each in living if each["metadata"]["labels"][HASH] == version]
        old = [each for each in living if each["metadata"]["labels"][HASH] != version]
        failed = [each for each in new if (each.get("status") or {}).get("phase") == "Failed"]
        if len(new) - len(failed) < wanted:
            self._say_replica_failure(name)
            if not self.no_pods_for:
                self._make(deployment, version)
            return
        ready = [each for each in new if _is_ready(each)]
        surplus = new[wanted:] + (old if len(ready) >= wanted else [])
        for each in surplus:
            self.server._delete(self.server.resource("Pod"), each)

    def _make(self, deployment: Json, version: str) -> None:
        template = deployment["spec"]["template"]
        name = f"{deployment['metadata']['name']}-{version}-{secrets.token_hex(3)[:5]}"
        owner = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",  # a ReplicaSet is in between, of which nobody here takes notice
            "name": deployment["metadata"]["name"],
            "uid": deployment["metadata"]["uid"],
            "controller": True,
        }
        metadata = {
            "name": name,
            "labels": {**template["metadata"]["labels"], HASH: version},
            "ownerReferences": [owner],
        }
        self.server.create(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": metadata,
                "spec": template["spec"],
                "status": {"phase": "Pending"},
            },
            deployment["metadata"]["namespace"],
        )

    def _say_replica_failure(self, name: str) -> None:
        condition = {
            "type": "ReplicaFailure",
            "status": "True",
            "reason": "FailedCreate",
            "message": self.no_pods_for,
        }

        def to(document: Json) -> None:
            conditions = [condition] if self.no_pods_for else []
            document["status"] = {**document.get("status", {}), "conditions": conditions}

        if self.no_pods_for or (self.server.get("Deployment", name) or {}).get("status", {}).get(
            "conditions"
        ):
            self.server.change("Deployment", name, to, manager="kube-controller-manager")

    # The controller of a Gateway.

    def _take(self, route: Json) -> None:
        (parent,) = route["spec"]["parentRefs"]
        gateway = f"{parent['namespace']}/{parent['name']}"
        if gateway not in self.gateways:
            return
        why = self.gateways[gateway]
        accepted = {
            "type": "Accepted",
            "status": "False" if why else "True",
            "reason": "NotAllowedByListeners" if why else "Accepted",
            "message": why,
            "observedGeneration": route["metadata"]["generation"],
        }
        status = {"parents": [{"parentRef": parent, "conditions": [accepted]}]}
        name = route["metadata"]["name"]
        self.server.change("HTTPRoute", name, lambda each: each.update(status=status), manager="gateway")

    # The scheduler and the kubelet.

    async def _live(self, pod: Json) -> None:
        name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]
        container = pod["spec"]["containers"][0]
        while (place := self._place(container)) is None:
            self._refuse_to_schedule(name)
            await self._another_node()
        self.server.change(
            "Pod", name, lambda each: each["spec"].update(nodeName=place), manager="kube-scheduler"
        )
        digest = container["image"].partition("@")[2]
        if self.fates.get(digest, Fate()).is_slow_to_load:
            self._waits(name, "ContainerCreating", "")
            self._event(name, "Warning", "FailedMount", 'MountVolume.SetUp failed for volume "scratch"')
            await asyncio.Event().wait()
        address = self.server.addresses.of_a_pod()
        program = await self._pull(name, container, address)
        running = _Running(name=name, address=address, log=self._folder / f"{uid}.log")
        self._pods[uid] = running
        back_off = 0.0
        while True:
            began = self.server.now()
            status = await self._run(running, program, container, self.fates.get(digest, Fate()))
            ended = {
                "exitCode": status,
                "reason": "OOMKilled" if self.fates.get(digest, Fate()).is_out_of_memory else "Error",
                "startedAt": began,
                "finishedAt": self.server.now(),
            }
            self._state(running, {"terminated": ended}, last=ended)
            running.restarts += 1
            if back_off:
                self._event(name, "Warning", "BackOff", "Back-off restarting failed container")
                waiting = {
                    "reason": "CrashLoopBackOff",
                    "message": f"back-off {back_off:g}s restarting failed",
                }
                self._state(running, {"waiting": waiting}, last=ended)
                await asyncio.sleep(back_off / self._pace)
            back_off = min(2 * back_off or FIRST_BACK_OFF, 300.0)

    def _place(self, container: Json) -> str | None:
        asked = container["resources"]["requests"]
        for each in self.server.all("Node"):
            has = each["status"]["allocatable"]
            if all(
                (quantity(has.get(name)) or 0) >= (quantity(amount) or 0) for name, amount in asked.items()
            ):
                return str(each["metadata"]["name"])
        return None

    async def _another_node(self) -> None:
        happened: list[Change] = []
        seen = max(int(each["metadata"]["resourceVersion"]) for each in self.server.all("Pod"))
        while not any(each.resource.kind == "Node" for each in happened):
            happened, seen = await self.server.changes(seen)

    def _refuse_to_schedule(self, name: str) -> None:
        count = len(self.server.all("Node"))
        message = (
            f"0/{count} nodes are available: {count} Insufficient cpu. preemption: 0/{count} nodes are available:"
            f" {count} No preemption victims found for incoming pod."
        )
        condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
        self.server.change(
            "Pod", name, lambda each: each.update(status={"phase": "Pending", "conditions": [condition]})
        )
        self._event(name, "Warning", "FailedScheduling", message)

    async def _pull(self, name: str, container: Json, address: str) -> Program:
        image = container["image"]
        while True:
            why = self.fates.get(image.partition("@")[2], Fate()).pull_error
            try:
                if not why:
                    return await self._pull_program(container, address)
            except PlacetError as error:
                why = str(error)
            said = f'Failed to pull image "{image}": {why}'
            self._event(name, "Warning", "Failed", said)
            self._waits(name, "ErrImagePull", said)
            await asyncio.sleep(LOOKS_EVERY)
            self._waits(name, "ImagePullBackOff", f'Back-off pulling image "{image}"')
            await asyncio.sleep(FIRST_BACK_OFF / self._pace)

    def _waits(self, name: str, reason: str, message: str) -> None:
        state = {"waiting": {"reason": reason, "message": message}}
        container = {"name": "model", "ready": False, "restartCount": 0, "state": state}
        self.server.change(
            "Pod",
            name,
            lambda each: each.update(status={"phase": "Pending", "containerStatuses": [container]}),
        )

    async def _run(self, running: _Running, program: Program, container: Json, fate: Fate) -> int:
        """Its status, as a shell counts."""
        environment = {each["name"]: each["value"] for each in container["env"]}
        if fate.exit_code is not None:
            running.log.write_bytes(b"the model cannot be loaded\n")
            self._state(running, {"running": {"startedAt": self.server.now()}})
            return fate.exit_code
        log = await asyncio.to_thread(running.log.open, "wb")
        with log:
            running.process = await asyncio.create_subprocess_exec(
                *program.command,
                env={**program.environment, **environment, **dict.fromkeys(_SCRATCH, str(self._folder))},
                cwd=program.folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        running.is_ready = running.is_killed_for_silence = False
        self._state(running, {"running": {"startedAt": self.server.now()}})
        probing = asyncio.create_task(self._probe(running, container))
        try:
            status = await running.process.wait()
        finally:
            await _cancelled(probing)
        running.is_ready = False
        return 128 - status if status < 0 else status

    async def _probe(self, running: _Running, container: Json) -> None:
        await eventually(partial(self._answers, running, container["startupProbe"]), within=600)
        running.is_ready = True
        self._state(running, {"running": {"startedAt": self.server.now()}})
        probe = container["livenessProbe"]
        silent = 0
        while True:
            await asyncio.sleep(probe["periodSeconds"] / self._pace)
            silent = 0 if await self._answers(running, probe) else silent + 1
            if silent >= probe["failureThreshold"]:
                self._event(
                    running.name, "Warning", "Unhealthy", "Liveness probe failed: context deadline exceeded"
                )
                message = "Container model failed liveness probe, will be restarted"
                self._event(running.name, "Normal", "Killing", message)
                assert running.process is not None
                running.process.kill()
                return

    async def _answers(self, running: _Running, probe: Json) -> bool:
        get = probe["httpGet"]
        timeout = aiohttp.ClientTimeout(total=max(0.05, probe["timeoutSeconds"] / self._pace))
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.get(f"http://{running.address}:{get['port']}{get['path']}") as answer,
            ):
                return answer.status < 400
        except (aiohttp.ClientError, TimeoutError):
            return False

    def _state(self, running: _Running, state: Json, *, last: Json | None = None) -> None:
        def to(pod: Json) -> None:
            known = (pod["status"].get("containerStatuses") or [{}])[0]
            before = {"terminated": last} if last else known.get("lastState") or {}
            container = {
                "name": "model",
                "ready": running.is_ready,
                "restartCount": running.restarts,
                "state": state,
                "lastState": before,
            }
            ready = {"type": "Ready", "status": str(running.is_ready)}
            pod["status"] = {
                "phase": "Running",
                "podIP": running.address,
                "conditions": [{"type": "PodScheduled", "status": "True"}, ready],
                "containerStatuses": [container],
            }

        self.server.change("Pod", running.name, to)

    async def _end(self, pod: Json) -> None:
        uid = pod["metadata"]["uid"]
        task = self._tasks.get(uid)
        running = self._pods.get(uid)
        if running is not None and running.process is not None and running.process.returncode is None:
            await asyncio.sleep(_goes_on(pod) / self._ends_pace)
            with suppress(ProcessLookupError):
                running.process.terminate()
            grace = pod["spec"].get("terminationGracePeriodSeconds", 30) / self._ends_pace
            with suppress(TimeoutError):
                await asyncio.wait_for(running.process.wait(), grace)
            await _killed(running)
        if task is not None:
            await _cancelled(task)
        if running is not None:
            await _killed(running)
        self.server.remove("Pod", pod["metadata"]["name"])

    def _event(self, pod: str, type: str, reason: str, message: str) -> None:
        self._event_count += 1
        live = self.server.get("Pod", pod)
        if live is None:
            return
        self.server.create(
            {
                "apiVersion": "v1",
                "kind": "Event",
                "metadata": {"name": f"{pod}.{self._event_count}"},
                "involvedObject": {"kind": "Pod", "name": pod, "uid": live["metadata"]["uid"]},
                "type": type,
                "reason": reason,
                "message": message,
                "lastTimestamp": self.server.now(),
            },
            live["metadata"]["namespace"],
        )

    # Services and logs.

    def _reach(self, service: Json) -> str | None:
        return next((f"http://{each}:{PORT}" for each in self._ready(service)), None)

    def _behind(self) -> Mapping[str, Sequence[str]]:
        """The pods that a Service leads to, by address, of those that lead to any."""
        found = {each["spec"]["clusterIP"]: self._ready(each) for each in self.server.all("Service")}
        return {address: pods for address, pods in found.items() if pods}

    def _ready(self, service: Json) -> Sequence[str]:
        chosen = service["spec"]["selector"]
        return [
            self._pods[pod["metadata"]["uid"]].address
            for pod in self.server.all("Pod")
            if pod["metadata"]["uid"] in self._pods
            and "deletionTimestamp" not in pod["metadata"]
            and _is_ready(pod)
            and all(pod["metadata"]["labels"].get(key) == each for key, each in chosen.items())
        ]

    async def _logs(self, pod: Json, query: Mapping[str, str]) -> AsyncIterator[bytes]:
        running = self._pods.get(pod["metadata"]["uid"])
        path = running.log if running is not None else None
        content = path.read_bytes() if path is not None and path.exists() else b""
        lines = content.splitlines(keepends=True)
        if "tailLines" in query:
            lines = lines[-int(query["tailLines"]) :] if int(query["tailLines"]) else []

        async def pieces() -> AsyncIterator[bytes]:
            for line in lines:
                yield line
            sent = len(content)
            while query.get("follow") == "true" and path is not None:
                await asyncio.sleep(LOOKS_EVERY)
                more = path.read_bytes()[sent:]
                sent += len(more)
                if more:
                    yield more

        return pieces()


_FOLLOWED = ("Deployment", "Pod", "Node", "Service", "HTTPRoute")
_SCRATCH = ("HOME", "TMPDIR")


def _goes_on(pod: Json) -> float:
    """Seconds that it does so after it was told to end."""
    hook = pod["spec"]["containers"][0].get("lifecycle", {}).get("preStop", {})
    return float(hook.get("sleep", {}).get("seconds", 0))


def _owner(pod: Json) -> str:
    owners = pod["metadata"].get("ownerReferences") or [{}]
    return str(owners[0].get("uid", ""))


def _is_ready(pod: Json) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait({task})


async def _killed(running: _Running) -> None:
    if running.process is not None and running.process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(running.process.pid, signal.SIGKILL)
        await running.process.wait()
