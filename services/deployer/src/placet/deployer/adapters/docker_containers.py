"""The `docker` host: an image as it is, run by a Docker Engine as a container of its own.

A container here is nobody's user, without rights, writes to a bounded scratch folder in memory alone, has the memory,
processors and processes of its release and no more, and is on its project's network, which leads nowhere else
(`docker_networks.py`). The kernel sees to all of that. When it is started again is for the deployer to say, and never
for the engine: nothing runs whose certificate was not looked at.

All that is known of an instance is written on its container, so models outlive a killed deployer and are taken over by
the next one; why one was ended lies in a file beside, since a container that was made cannot be written on.

    <folder>/<id>.json   why the instance was ended, and which life of which container that was
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import docker
import msgspec
from docker.errors import APIError, ImageNotFound
from docker.types import DeviceRequest, LogConfig, Ulimit

from placet.deployer.adapters.docker_engine import DockerEngine, if_there
from placet.deployer.adapters.docker_images import DockerImages
from placet.deployer.adapters.docker_networks import DockerNetworks, free_address
from placet.deployer.adapters.pulse import Allowance, Pulse
from placet.deployer.adapters.telling import LAST_WORDS, ended_by, ended_with, in_a_container, last_words
from placet.deployer.ports import Instance, InstanceSpec
from placet.deployer.room import Amount, in_mebibytes
from placet.errors import PlacetError, Refused, Unavailable

PORT = 8080
NOBODY = "65532:65532"
SCRATCH = "/tmp"  # noqa: S108 - in the container, where it is the only place to write to
PROCESSES = 256
"""And threads, of one instance."""
DESCRIPTORS = 4096
LOG_FILES = 2

PLATFORM = "io.placet.platform"
INSTANCE = "io.placet.instance"
PROJECT = "io.placet.project"
RELEASE = "io.placet.release"
REPLICA = "io.placet.replica"
IMAGE = "io.placet.image"
ADDRESS = "io.placet.address"
MEMORY = "io.placet.memory"

_RUNS = ("running", "paused", "restarting")


class _End(msgspec.Struct, frozen=True, kw_only=True):
    """Why one life of a container ended."""

    container: str
    began: str
    why: str


class DockerContainers:
    """A `ModelHost`. Call `adopt` once before anything else; `token_keys` gives what the model at an endpoint checks
    tokens with, `is_alive` asks an endpoint for any answer within some seconds.

    `name` is what containers and networks of this platform are called by, and known by.
    """

    def __init__(
        self,
        *,
        engine: DockerEngine,
        images: DockerImages,
        folder: Path,
        name: str,
        subnets: IPv4Network,
        token_keys: Callable[[str], str],
        is_alive: Callable[[str, float], Awaitable[bool]],
        allowance: Allowance,
        stop_seconds: float,
        log_bytes: int,
        scratch_bytes: int,
    ) -> None:
        self._engine = engine
        self._images = images
        self._folder = folder
        self._name = name
        self._networks = DockerNetworks(name, subnets, {PLATFORM: name})
        self._token_keys = token_keys
        self._is_alive = is_alive
        self._allowance = allowance
        self._stop_seconds = stop_seconds
        self._log_bytes = log_bytes
        self._scratch_bytes = scratch_bytes
        self._pulses: dict[str, Pulse] = {}
        self._turns: defaultdict[str, threading.RLock] = defaultdict(threading.RLock)
        """One project's containers, addresses and network are changed by one at a time."""

    # The port.

    scales = False

    async def start(self, spec: InstanceSpec) -> Instance:
        found = await self._engine.run(self._find, spec.id)
        if found is not None and _runs(found) and found["Config"]["Labels"].get(IMAGE) == spec.image:
            return self._instance(found)
        image = await self._images.present(spec.repository, spec.image)
        return await self._engine.run(self._start, spec, image)

    async def stop(self, id: str, *, why: str = "") -> None:
        await self._engine.run(self._stop, id, why or "it was stopped")

    async def list(self) -> Sequence[Instance]:
        return await self._engine.run(self._list)

    async def find(self, id: str) -> Instance | None:
        return await self._engine.run(self._look, id)

    async def check(self) -> None:
        await self._engine.run(self._let_callers_in)
        running = [each for each in await self._engine.run(self._lives) if each["State"]["Running"]]
        known = {each["Id"] for each in running}
        self._pulses = {id: pulse for id, pulse in self._pulses.items() if id in known}
        asked = (
            self._is_alive(_endpoint(each["Config"]["Labels"]), self._allowance.answer) for each in running
        )
        for each, is_answered in zip(running, await asyncio.gather(*asked), strict=True):
            await self._engine.run(self._judge, each, is_answered)

    async def forget(self, id: str) -> None:
        await self._engine.run(self._forget, id)

    async def last_words(self, id: str) -> str:
        return last_words(await self._engine.run(self._written, id, LAST_WORDS))

    async def log(self, id: str, *, tail: int | None, follow: bool) -> AsyncIterator[bytes]:
        if not follow:
            yield await self._engine.run(self._written, id, tail)
        elif await self._engine.run(self._find, id) is not None:
            name = self._container(id)
            lines = "all" if tail is None else tail
            ask = partial(docker.APIClient.logs, container=name, stream=True, follow=True, tail=lines)
            async for piece in self._engine.pieces(ask):
                yield piece

    # Beginning and end of the deployer.

    async def adopt(self) -> None:
        """Remove what a crash left half made; what runs goes on."""
        await self._engine.run(self._adopt)

    async def stop_all(self) -> None:
        running = [each.id for each in await self.list() if each.is_running]
        await asyncio.gather(*(self.stop(id, why="the platform was stopped") for id in running))

    def _adopt(self, api: docker.APIClient) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        found = self._all(api)
        for each in found:
            if each["State"] == "created":
                if_there(partial(api.remove_container, each["Id"], force=True, v=True))
        ids = {each["Labels"][INSTANCE] for each in found if each["State"] != "created"}
        for file in self._folder.glob("*.json"):
            if file.stem not in ids:
                file.unlink(missing_ok=True)
        projects = {each["Labels"][PROJECT] for each in found if each["State"] != "created"}
        for project in set(self._networks.left(api)) - projects:
            self._networks.remove(api, project)

    # Starting.

    def _start(self, api: docker.APIClient, spec: InstanceSpec, image: str) -> Instance:
        with self._turns[spec.project]:
            found = self._find(api, spec.id)
            if found is not None and _runs(found) and found["Config"]["Labels"].get(IMAGE) == spec.image:
                return self._instance(found)
            if found is not None:
                self._remove(api, found)
            subnet = self._networks.of(api, spec.project)
            wanted = urlsplit(spec.endpoint).hostname if spec.endpoint else None
            taken = self._taken(api, spec.project)
            self._networks.let_in(api, spec.project, taken)
            address = free_address(subnet, taken | self._networks.callers(api, spec.project), wanted)
            try:
                made = self._create(api, spec, image, address)
            except ImageNotFound as error:  # with the last instance that needed it, since we looked
                raise Unavailable(f"{image} was removed meanwhile") from error
            try:
                api.start(made)
            except APIError as error:
                if_there(partial(api.remove_container, made, force=True, v=True))
                raise _not_started(error) from error
            return self._instance(api.inspect_container(made))

    def _create(self, api: docker.APIClient, spec: InstanceSpec, image: str, address: IPv4Address) -> str:
        labels = {
            PLATFORM: self._name,
            INSTANCE: spec.id,
            PROJECT: spec.project,
            RELEASE: str(spec.release),
            REPLICA: str(spec.replica),
            IMAGE: spec.image,
            ADDRESS: str(address),
            MEMORY: str(spec.amount.memory_bytes),
        }
        network = self._networks.name(spec.project)
        on = api.create_networking_config({network: api.create_endpoint_config(ipv4_address=str(address))})
        made = api.create_container(
            image,
            use_config_proxy=False,  # of who runs the deployer: nothing of ours is passed on
            name=self._container(spec.id),
            hostname=spec.id[:63],
            user=_user(api.inspect_image(image)),
            environment=in_a_container(spec, self._token_keys(_endpoint(labels)), scratch=SCRATCH),
            labels=labels,
            networking_config=on,
            # Asked by the deployer over HTTP: a check of the engine's would start a process each time.
            healthcheck={"test": ["NONE"]},
            host_config=self._bounds(api, spec.amount, network),
        )
        return str(made["Id"])

    def _bounds(self, api: docker.APIClient, amount: Amount, network: str) -> Mapping[str, Any]:
        bounds: Mapping[str, Any] = api.create_host_config(
            network_mode=network,
            read_only=True,
            tmpfs={SCRATCH: f"rw,nosuid,nodev,size={self._scratch_bytes},mode=1777"},
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            pids_limit=PROCESSES,
            mem_limit=amount.memory_bytes,
            memswap_limit=amount.memory_bytes,  # both together: no swap
            nano_cpus=amount.cpu_millis * 10**6,
            ulimits=[
                Ulimit(name="nofile", soft=DESCRIPTORS, hard=DESCRIPTORS),
                Ulimit(name="core", soft=0, hard=0),
            ],
            restart_policy={"Name": "no"},
            log_config=LogConfig(
                type="json-file",
                config={"max-size": str(self._log_bytes // LOG_FILES), "max-file": str(LOG_FILES)},
            ),
            device_requests=[DeviceRequest(count=amount.gpus, capabilities=[["gpu"]])]
            if amount.gpus
            else None,
        )
        return bounds

    def _let_callers_in(self, api: docker.APIClient) -> None:
        for project in self._networks.kept_out(api):
            with self._turns[project]:
                self._networks.let_in(api, project, self._taken(api, project))

    # Looking.

    def _all(self, api: docker.APIClient) -> Sequence[Mapping[str, Any]]:
        found: Sequence[Mapping[str, Any]] = api.containers(
            all=True, filters={"label": [f"{PLATFORM}={self._name}", INSTANCE]}
        )
        return found

    def _list(self, api: docker.APIClient) -> Sequence[Instance]:
        listed = []
        for each in self._all(api):
            if each["State"] in _RUNS:
                listed.append(_running(each["Labels"]))
            elif (found := if_there(partial(api.inspect_container, each["Id"]))) is not None:
                listed.append(self._instance(found))
        return sorted(listed, key=lambda each: each.id)

    def _look(self, api: docker.APIClient, id: str) -> Instance | None:
        found = self._find(api, id)
        return None if found is None else self._instance(found)

    def _lives(self, api: docker.APIClient) -> Sequence[Mapping[str, Any]]:
        running = [each for each in self._all(api) if each["State"] in _RUNS]
        found = (if_there(partial(api.inspect_container, each["Id"])) for each in running)
        return [each for each in found if each is not None]

    def _find(self, api: docker.APIClient, id: str) -> Mapping[str, Any] | None:
        found: Mapping[str, Any] | None = if_there(partial(api.inspect_container, self._container(id)))
        if found is not None and (found["Config"]["Labels"] or {}).get(PLATFORM) != self._name:
            raise Refused(
                f"the Docker Engine has a container {self._container(id)} that is not this platform's",
                fix=f"remove it, `docker rm {self._container(id)}`, or set PLACET_DOCKER_NAME to another name",
            )
        return found

    def _taken(self, api: docker.APIClient, project: str) -> frozenset[IPv4Address]:
        return frozenset(
            IPv4Address(each["Labels"][ADDRESS])
            for each in self._all(api)
            if each["Labels"][PROJECT] == project
        )

    def _instance(self, found: Mapping[str, Any]) -> Instance:
        running = _running(found["Config"]["Labels"])
        return running if _runs(found) else replace(running, is_running=False, why=self._why(found))

    def _why(self, found: Mapping[str, Any]) -> str:
        state, labels = found["State"], found["Config"]["Labels"]
        end = self._read_end(labels[INSTANCE])
        if end is not None and (end.container, end.began) == (found["Id"], state["StartedAt"]):
            return end.why
        if state["Status"] == "created":
            return "it was not started to the end"
        if state.get("OOMKilled"):
            return f"it took more than the {in_mebibytes(int(labels[MEMORY]))} of memory that it had reserved"
        if state.get("Error"):
            return f"it could not be started: {state['Error']}"
        status = int(state["ExitCode"])
        return ended_by(status - 128) if status > 128 else ended_with(status)  # as a shell counts

    def _judge(self, api: docker.APIClient, life: Mapping[str, Any], is_answered: bool) -> None:
        """End it if it hangs, unless it was ended or replaced while it was asked."""
        id = life["Config"]["Labels"][INSTANCE]
        with self._turns[life["Config"]["Labels"][PROJECT]]:
            found = self._find(api, id)
            if found is None or not _runs(found) or found["State"]["StartedAt"] != life["State"]["StartedAt"]:
                return
            now = time.monotonic()
            pulse = self._pulses.get(found["Id"])
            if pulse is None or pulse.pid != found["State"]["Pid"]:
                pulse = Pulse(
                    pid=found["State"]["Pid"], began=now, looked=now, cpu=_processor_seconds(api, found)
                )
                self._pulses[found["Id"]] = pulse
            # Only of who is silent: what one that answers has computed until then counts as work of its next silence.
            cpu = pulse.cpu if is_answered else _processor_seconds(api, found)
            pulse.note(is_answered=is_answered, now=now, cpu=cpu)
            if (why := pulse.objection(self._allowance)) is not None:
                self._write_end(found, why)
                if_there(partial(_kill, api, found["Id"]))

    def _written(self, api: docker.APIClient, id: str, lines: int | None) -> bytes:
        if lines == 0 or self._find(api, id) is None:
            return b""
        tail = "all" if lines is None else lines
        return if_there(partial(api.logs, self._container(id), tail=tail)) or b""

    # Ending.

    def _stop(self, api: docker.APIClient, id: str, why: str) -> None:
        found = self._find(api, id)
        if found is None or not _runs(found):
            return
        with self._turns[found["Config"]["Labels"][PROJECT]]:
            # Before it ends: whoever looks meanwhile is told why, and a deployer that is killed here has said it.
            self._write_end(found, why)
            if_there(partial(api.stop, found["Id"], timeout=int(self._stop_seconds)))

    def _forget(self, api: docker.APIClient, id: str) -> None:
        found = self._find(api, id)
        if found is None:
            self._end_file(id).unlink(missing_ok=True)
            return
        project = found["Config"]["Labels"][PROJECT]
        with self._turns[project]:
            self._stop(api, id, "it was stopped")
            self._remove(api, found)
            if_there(partial(_remove_image, api, found["Config"]["Image"]))
            if not any(each["Labels"][PROJECT] == project for each in self._all(api)):
                self._networks.remove(api, project)

    def _remove(self, api: docker.APIClient, found: Mapping[str, Any]) -> None:
        if_there(partial(api.remove_container, found["Id"], force=True, v=True))
        self._end_file(found["Config"]["Labels"][INSTANCE]).unlink(missing_ok=True)

    def _container(self, id: str) -> str:
        return f"{self._name}-{id}"

    # Files.

    def _end_file(self, id: str) -> Path:
        return self._folder / f"{id}.json"

    def _read_end(self, id: str) -> _End | None:
        try:
            return msgspec.json.decode(self._end_file(id).read_bytes(), type=_End)
        except (OSError, msgspec.MsgspecError):
            return None

    def _write_end(self, found: Mapping[str, Any], why: str) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        end = _End(container=found["Id"], began=found["State"]["StartedAt"], why=why)
        path = self._end_file(found["Config"]["Labels"][INSTANCE])
        aside = path.with_suffix(".new")
        aside.write_bytes(msgspec.json.encode(end))
        aside.replace(path)


def _running(labels: Mapping[str, str]) -> Instance:
    return Instance(
        id=labels[INSTANCE],
        project=labels[PROJECT],
        release=int(labels[RELEASE]),
        replica=int(labels.get(REPLICA, 1)),
        image=labels[IMAGE],
        endpoint=_endpoint(labels),
        is_running=True,
    )


def _runs(found: Mapping[str, Any]) -> bool:
    return found["State"]["Status"] in _RUNS


def _endpoint(labels: Mapping[str, str]) -> str:
    return f"http://{labels[ADDRESS]}:{PORT}"


def _user(image: Mapping[str, Any]) -> str:
    """The image's own, unless that is root, by name or by number, or a name that says nothing."""
    user = str(image["Config"].get("User") or "")
    return user if user.partition(":")[0].isdigit() and int(user.partition(":")[0]) else NOBODY


def _remove_image(api: docker.APIClient, name: str) -> None:
    """Unless another container needs it. It is fetched again where it is wanted again."""
    try:
        api.remove_image(name)
    except APIError as error:
        if error.status_code != 409:
            raise


def _kill(api: docker.APIClient, id: str) -> None:
    try:
        api.kill(id)
    except APIError as error:
        if error.status_code != 409:  # it does not run any more
            raise


def _processor_seconds(api: docker.APIClient, found: Mapping[str, Any]) -> float:
    said = if_there(partial(api.stats, found["Id"], stream=False, one_shot=True))
    used = (said or {}).get("cpu_stats", {}).get("cpu_usage", {}).get("total_usage", 0)
    return float(used) / 1e9


def _not_started(error: APIError) -> PlacetError:
    """What the container runtime objects to is the image's doing, however the engine counts that."""
    said = str(error.explanation or error).strip()
    if "runtime create failed" in said or (error.status_code or 500) < 500:
        return Refused(f"the container could not be started: {said}")
    return Unavailable(f"the Docker Engine could not start the container: {said}")
