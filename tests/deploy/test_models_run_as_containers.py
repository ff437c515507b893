"""The contract of a model host, over a real Docker Engine, and what containers alone have to stand."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from secrets import token_hex
from typing import Any

import aiohttp
import docker
import pytest
from docker.errors import NotFound
from docker.models.containers import Container
from placet.deployer.adapters.docker_containers import DockerContainers
from placet.deployer.adapters.docker_engine import DockerEngine
from placet.deployer.adapters.http_probe import HttpProbe
from placet.deployer.adapters.pulse import Allowance
from placet.deployer.ports import Instance
from placet.deployer.room import Amount
from placet.errors import Refused, Unavailable
from placet.oci import ImageLayout, Registry, open_registry

from tests.contract.model_host_contract import ROOM, ModelHostContract, find, log
from tests.contract.process_hosts import Asker
from tests.deploy.containers_of_models import (
    container_host,
    copy_base,
    push_baseless_image,
    push_container_image,
)
from tests.support import servers
from tests.support.eventually import eventually

Make = Callable[..., DockerContainers]
MIB = 2**20


@pytest.fixture
async def images(registry: servers.Registry) -> AsyncIterator[Registry]:
    opened = open_registry(registry.url)
    yield opened
    await opened.close()


@pytest.fixture
async def make(
    docker_engine: servers.DockerEngine, images: Registry, name: str, tmp_path: Path
) -> AsyncIterator[Make]:
    """Makes a host, or the one that comes after it was killed: all of them share a name and a folder."""
    where = docker_engine.address or os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    engine = DockerEngine(where)

    def host(**options: Any) -> DockerContainers:
        options = {"registry": images, "name": name, **options}
        return container_host(engine, folder=tmp_path, **options)

    yield host
    await engine.close()


@pytest.fixture
async def host(make: Make) -> DockerContainers:
    host = make()
    await host.adopt()
    return host


@pytest.fixture
async def image(images: Registry, base: str) -> str:
    return await push_container_image(images, base)


@dataclass
class Callers:
    """Containers that do nothing, with the label of those who send requests on; `network` is one that they are on."""

    client: docker.DockerClient
    reference: Callable[[str], str]
    network: str
    made: list[Container] = field(default_factory=list)

    def run(self, image: str, *, of: str) -> Container:
        """One of the platform with that name."""
        container = self.client.containers.run(
            self.reference(image),
            ["-c", "import time; time.sleep(600)"],
            entrypoint="python",
            detach=True,
            network=self.network,
            labels={"io.placet.caller": of},
        )
        self.made.append(container)
        return container

    def on(self, container: Container) -> list[str]:
        """The networks that it was let into."""
        container.reload()
        return sorted(set(container.attrs["NetworkSettings"]["Networks"]) - {self.network})


@pytest.fixture
def callers(client: docker.DockerClient, images: Registry, network: str) -> Iterator[Callers]:
    server = images.address.partition("://")[2]
    callers = Callers(client, lambda image: f"{server}/models/churn@{image}", network)
    yield callers
    for container in callers.made:
        with suppress(NotFound):
            container.remove(force=True)


@pytest.fixture
def kill(client: docker.DockerClient, name: str) -> Callable[[str], Awaitable[None]]:
    async def kill(id: str) -> None:
        client.api.kill(f"{name}-{id}")

    return kill


@pytest.fixture
def asker() -> Asker:
    return Asker()


@pytest.fixture
async def impatient_host(make: Make, asker: Asker) -> DockerContainers:
    host = make(is_alive=asker.is_alive)
    await host.adopt()
    return host


@pytest.fixture
def hang(
    asker: Asker, impatient_host: DockerContainers, client: docker.DockerClient, name: str
) -> Callable[[str], Awaitable[None]]:
    async def hang(id: str) -> None:
        await about(await find(impatient_host, id))
        await impatient_host.check()  # which it answers
        client.api.kill(f"{name}-{id}", "SIGSTOP")
        asker.seconds = 0.05

    return hang


async def about(instance: Instance) -> Any:
    """What the small image's server says of itself, once it answers."""

    async def ask() -> Any:
        try:
            async with (
                aiohttp.ClientSession() as session,
                session.get(f"{instance.endpoint}/about") as answer,
            ):
                return await answer.json(content_type=None)
        except aiohttp.ClientError:
            return None

    return await eventually(ask)


async def ended(host: DockerContainers, id: str) -> Instance:
    async def is_down() -> bool:
        return not (await find(host, id)).is_running

    await eventually(is_down)
    return await find(host, id)


class TestDockerContainers(ModelHostContract):
    async def test_it_is_nobody_without_rights_and_knows_its_own_settings_alone(
        self, host: DockerContainers, image: str
    ) -> None:
        said = await about(await host.start(self.spec(image)))
        status = dict(line.split(":\t", 1) for line in said["status"].splitlines() if ":\t" in line)

        assert said["user"] == 65532
        assert (status["CapPrm"], status["CapEff"], status["CapBnd"]) == ("0" * 16,) * 3
        assert status["NoNewPrivs"] == "1"
        told = {name: value for name, value in said["environment"].items() if name.startswith("PLACET_")}
        assert told == {
            "PLACET_PROJECT": "churn",
            "PLACET_RELEASE": "1",
            "PLACET_ROOT_PATH": "/models/churn",
            "PLACET_ACCESS": "public",
            "PLACET_MEMORY": str(ROOM.memory_bytes),
            "PLACET_TOKEN_KEYS": f'[{{"for": "{(await find(host, "churn-1")).endpoint}"}}]',
        }

    async def test_an_image_that_would_be_root_is_nobody(
        self, host: DockerContainers, images: Registry, base: str
    ) -> None:
        for release, user in enumerate(("0", "root", "0:0", ""), start=1):
            image = await push_container_image(images, base, user=user)
            said = await about(await host.start(self.spec(image, release=release)))
            assert said["user"] == 65532, user
            await host.forget(f"churn-{release}")

    async def test_the_engine_starts_nothing_by_itself_and_bounds_all(
        self, host: DockerContainers, image: str, client: docker.DockerClient, name: str
    ) -> None:
        await host.start(self.spec(image))
        bounds = client.api.inspect_container(f"{name}-churn-1")["HostConfig"]

        assert bounds["RestartPolicy"]["Name"] == "no"
        assert bounds["ReadonlyRootfs"] is True
        assert (bounds["Memory"], bounds["MemorySwap"]) == (ROOM.memory_bytes, ROOM.memory_bytes)
        assert bounds["NanoCpus"] == ROOM.cpu_millis * 10**6
        assert bounds["LogConfig"]["Config"] == {"max-size": "32768", "max-file": "2"}

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

    async def test_what_a_crash_left_half_made_is_removed(
        self, make: Make, image: str, client: docker.DockerClient, name: str
    ) -> None:
        host = make()
        await host.adopt()
        made = await host.start(self.spec(image))
        labels = client.api.inspect_container(f"{name}-{made.id}")["Config"]["Labels"]
        half = {**labels, "io.placet.instance": "wine-1", "io.placet.project": "wine"}
        reference = client.api.inspect_container(f"{name}-{made.id}")["Config"]["Image"]
        client.api.create_container(reference, name=f"{name}-wine-1", labels=half)
        client.api.create_network(f"{name}-wine", internal=True, labels={"io.placet.platform": name})

        await make().adopt()
        assert [each.id for each in await host.list()] == ["churn-1"]
        assert [
            each.name for each in client.networks.list(filters={"label": f"io.placet.platform={name}"})
        ] == [f"{name}-churn"]

    async def test_its_network_goes_with_its_last_instance(
        self, host: DockerContainers, image: str, client: docker.DockerClient, name: str
    ) -> None:
        await host.start(self.spec(image))
        await host.start(self.spec(image, release=2))
        await host.forget("churn-1")
        assert client.networks.list(names=[f"{name}-churn"])
        await host.forget("churn-2")
        assert not client.networks.list(names=[f"{name}-churn"])

    async def test_its_image_goes_with_the_last_instance_of_it(
        self, host: DockerContainers, image: str, client: docker.DockerClient, name: str
    ) -> None:
        await host.start(self.spec(image))
        await host.start(self.spec(image, release=2))
        reference = client.api.inspect_container(f"{name}-churn-1")["Config"]["Image"]
        await host.forget("churn-1")
        assert client.api.inspect_image(reference)
        await host.forget("churn-2")
        with pytest.raises(NotFound):
            client.api.inspect_image(reference)
        assert (await host.start(self.spec(image, release=3))).is_running

    async def test_two_platforms_on_one_engine_do_not_see_each_other(
        self, host: DockerContainers, make: Make, image: str
    ) -> None:
        await host.start(self.spec(image))
        other = make(name=f"placet-{token_hex(4)}")
        await other.adopt()
        assert await other.list() == []
        assert (await find(host, "churn-1")).is_running

    async def test_what_is_another_s_is_left_alone(
        self, host: DockerContainers, image: str, client: docker.DockerClient, name: str
    ) -> None:
        await host.start(self.spec(image))
        reference = client.api.inspect_container(f"{name}-churn-1")["Config"]["Image"]
        client.api.create_container(reference, name=f"{name}-wine-1")
        client.api.create_network(f"{name}-iris", internal=True)
        try:
            with pytest.raises(Refused, match=r"a container .* that is not this platform's"):
                await host.start(replace(self.spec(image), project="wine"))
            with pytest.raises(Refused, match=r"a network .* that is not this platform's"):
                await host.start(replace(self.spec(image), project="iris"))
        finally:
            client.api.remove_container(f"{name}-wine-1")
            client.api.remove_network(f"{name}-iris")

    async def test_a_registry_that_is_a_folder_hands_its_images_over(
        self, make: Make, images: Registry, base: str, tmp_path: Path
    ) -> None:
        folder = ImageLayout(tmp_path / "registry")
        await copy_base(base, images, folder)
        host = make(registry=folder)
        await host.adopt()
        image = await push_container_image(folder, base)
        assert (await about(await host.start(self.spec(image))))["user"] == 65532
        await host.stop("churn-1")
        assert (await host.start(self.spec(image))).is_running

    async def test_the_engine_may_call_the_registry_by_another_name(
        self, make: Make, images: Registry, image: str, client: docker.DockerClient, name: str
    ) -> None:
        port = images.address.rpartition(":")[2]
        host = make(seen_as=f"localhost:{port}")
        await host.adopt()
        await host.start(self.spec(image))
        asked_for = client.api.inspect_container(f"{name}-churn-1")["Config"]["Image"]
        assert asked_for == f"localhost:{port}/models/churn@{image}"
        assert (await find(host, "churn-1")).is_running

    # Callers that are containers.

    async def test_a_caller_is_let_in_before_a_model_is_started(
        self, host: DockerContainers, image: str, callers: Callers, client: docker.DockerClient, name: str
    ) -> None:
        caller = callers.run(image, of=name)
        stranger = callers.run(image, of=f"{name}-not")
        model = await host.start(self.spec(image))
        assert callers.on(caller) == [f"{name}-churn"]
        assert callers.on(stranger) == []

        await about(model)
        asking = ["python", "-c", f"import urllib.request as u; print(u.urlopen('{model.endpoint}/').status)"]
        assert caller.exec_run(asking).output == b"200\n"

    async def test_one_that_was_made_anew_is_let_in_again(
        self, host: DockerContainers, image: str, callers: Callers, name: str
    ) -> None:
        first = callers.run(image, of=name)
        await host.start(self.spec(image))
        await host.start(replace(self.spec(image), project="wine"))
        first.remove(force=True)

        second = callers.run(image, of=name)
        assert callers.on(second) == []
        await host.check()
        assert callers.on(second) == [f"{name}-churn", f"{name}-wine"]
        await host.check()
        assert callers.on(second) == [f"{name}-churn", f"{name}-wine"]

    async def test_callers_keep_no_network_there_and_are_let_go_also_while_they_are_stopped(
        self, host: DockerContainers, image: str, callers: Callers, client: docker.DockerClient, name: str
    ) -> None:
        running, stopped = callers.run(image, of=name), callers.run(image, of=name)
        await host.start(self.spec(image))
        stopped.stop(timeout=0)
        await host.forget("churn-1")
        assert not client.networks.list(names=[f"{name}-churn"])
        assert callers.on(running) == []
        stopped.start()
        assert callers.on(stopped) == []

    async def test_an_instance_gets_no_address_of_a_caller_that_is_stopped(
        self, host: DockerContainers, image: str, callers: Callers, client: docker.DockerClient, name: str
    ) -> None:
        """Or the caller could not start again."""
        caller = callers.run(image, of=name)
        await host.start(self.spec(image))
        caller.stop(timeout=0)
        started = [await host.start(self.spec(image, release=release)) for release in (2, 3)]
        assert len({each.endpoint for each in started}) == 2
        caller.start()
        assert callers.on(caller) == [f"{name}-churn"]

    async def test_what_cannot_be_run_is_refused(self, host: DockerContainers, images: Registry) -> None:
        image = await push_baseless_image(images)
        with pytest.raises(Refused, match="without a base image") as refused:
            await host.start(self.spec(image))
        assert "PLACET_BASE_IMAGE" in (refused.value.fix or "")
        assert await host.list() == []

    async def test_a_program_that_is_not_there_is_told(
        self, host: DockerContainers, images: Registry, base: str
    ) -> None:
        image = await push_container_image(images, base, entrypoint="Rscript")
        with pytest.raises(Refused, match="could not be started"):
            await host.start(self.spec(image))
        assert await host.list() == []

    async def test_an_image_that_the_registry_lost_is_told(self, host: DockerContainers) -> None:
        with pytest.raises((Refused, Unavailable)):
            await host.start(self.spec(f"sha256:{'0' * 64}"))
        assert await host.list() == []

    async def test_its_log_is_followed_until_the_caller_goes(
        self, host: DockerContainers, image: str
    ) -> None:
        await host.start(self.spec(image))
        pieces = host.log("churn-1", tail=None, follow=True)
        assert b"here is churn 1" in await anext(pieces)
        await pieces.aclose()  # type: ignore[attr-defined]

    async def test_an_engine_that_is_away_is_told(self, images: Registry, tmp_path: Path, name: str) -> None:
        engine = DockerEngine(f"unix://{tmp_path}/nobody.sock")
        host = container_host(engine, images, tmp_path, name)
        with pytest.raises(Unavailable, match="does not answer"):
            await host.list()
        await engine.close()

    # Hostile models.

    async def hostile(
        self, host: DockerContainers, images: Registry, base: str, program: str, **of: Any
    ) -> Instance:
        image = await push_container_image(images, base, program)
        return await host.start(replace(self.spec(image), **of))

    async def test_one_that_takes_too_much_memory_is_ended_and_told(
        self, host: DockerContainers, images: Registry, base: str
    ) -> None:
        room = Amount(cpu_millis=1000, memory_bytes=64 * MIB)
        started = await self.hostile(host, images, base, EATS, amount=room)
        why = (await ended(host, started.id)).why
        assert why == "it took more than the 64 MiB of memory that it had reserved"

    async def test_one_that_forks_comes_to_its_bound(
        self, host: DockerContainers, images: Registry, base: str, client: docker.DockerClient, name: str
    ) -> None:
        started = await self.hostile(host, images, base, FORKS)
        await eventually(lambda: said(host, started.id, b"refused"))
        assert client.api.inspect_container(f"{name}-{started.id}")["HostConfig"]["PidsLimit"] == 256
        await host.stop(started.id)
        assert not (await find(host, started.id)).is_running

    async def test_one_that_fills_the_disk_comes_to_its_bound(
        self, host: DockerContainers, images: Registry, base: str
    ) -> None:
        started = await self.hostile(host, images, base, FILLS)
        await eventually(lambda: said(host, started.id, b"done"))
        told = await log(host, started.id)
        assert b"/app/x: Read-only file system" in told
        assert b"/tmp/x: No space left on device" in told

    async def test_one_that_writes_much_keeps_the_end_of_its_log(
        self, host: DockerContainers, images: Registry, base: str
    ) -> None:
        started = await self.hostile(host, images, base, TALKS)
        await ended(host, started.id)
        told = await log(host, started.id)
        assert told.endswith(b"the end\n")
        assert len(told) < 2**17

    async def test_one_that_calls_out_reaches_nobody(
        self, host: DockerContainers, images: Registry, base: str, image: str
    ) -> None:
        neighbour = await host.start(replace(self.spec(image), project="wine"))
        await about(neighbour)
        where = neighbour.endpoint.removeprefix("http://").partition(":")[0]
        started = await self.hostile(host, images, base, CALLS.replace("NEIGHBOUR", where))
        assert (await ended(host, started.id)).why == "it ended with status 0"
        told = await log(host, started.id)
        assert told.count(b"refused") == 3, told
        await about(neighbour)

    async def test_one_that_looks_for_its_neighbours_finds_nothing_of_theirs(
        self, host: DockerContainers, images: Registry, base: str, image: str
    ) -> None:
        """Neither a process nor a file that knows where the neighbour listens, as the neighbour's own do."""
        neighbour = await host.start(replace(self.spec(image), project="wine"))
        assert neighbour.endpoint in (await about(neighbour))["environment"]["PLACET_TOKEN_KEYS"]
        program = LOOKS.replace("NEIGHBOUR", neighbour.endpoint[::-1])
        started = await self.hostile(host, images, base, program)
        assert (await ended(host, started.id)).why == "it ended with status 0"
        assert await log(host, started.id) == b"looked, and found []\n"

    async def test_one_that_answers_byte_by_byte_is_neither_ready_nor_alive_and_holds_nobody_up(
        self, make: Make, images: Registry, base: str, image: str, asker: Asker
    ) -> None:
        host = make(is_alive=asker.is_alive, allowance=Allowance(loading=0.1, answer=0.1))
        await host.adopt()
        neighbour = await host.start(replace(self.spec(image), project="wine"))
        await about(neighbour)
        await host.check()  # it has answered once: to miss once is not its end then
        started = await self.hostile(host, images, base, DRIPS)
        await eventually(lambda: said(host, started.id, b"dripping"))
        probe = HttpProbe(token=lambda endpoint: "a token", ready_within=0.2, answer_within=0.2)
        assert not await probe.is_ready(started.endpoint)
        assert await probe.counters(started.endpoint) is None
        with pytest.raises(Refused, match="it took too long"):
            await probe.predict(started.endpoint, {})
        asker.seconds = 0.2

        async def is_down() -> bool:
            await host.check()
            return not (await find(host, started.id)).is_running

        await eventually(is_down)
        assert (await find(host, started.id)).why.startswith("it hung: ")
        await about(neighbour)

    async def test_one_that_is_deaf_is_ended(
        self, host: DockerContainers, images: Registry, base: str
    ) -> None:
        started = await self.hostile(host, images, base, DEAF)
        await eventually(lambda: said(host, started.id, b"deaf"))
        await host.stop(started.id, why="it is not wanted")
        assert (await find(host, started.id)).why == "it is not wanted"

    async def test_one_that_crashes_says_its_last_words(
        self, host: DockerContainers, images: Registry, base: str
    ) -> None:
        started = await self.hostile(host, images, base, "raise SystemExit('the model cannot be loaded')")
        assert (await ended(host, started.id)).why == "it ended with status 1"
        assert await host.last_words(started.id) == "the model cannot be loaded"


EATS = """
held = []
while True:
    held.append(bytearray(b"x" * 2**20))
"""
FORKS = """
import os, time
while True:
    try:
        if os.fork() == 0:
            time.sleep(600)
    except OSError:
        print("refused", flush=True)
        time.sleep(600)
"""
FILLS = """
import os, time
for folder in ("/app", "/tmp"):
    try:
        with open(f"{folder}/x", "wb", buffering=0) as file:
            while True:
                file.write(bytes(2**18))
    except OSError as error:
        print(f"{folder}/x: {error.strerror}", flush=True)
print("done", flush=True)
time.sleep(600)
"""
TALKS = """
for _ in range(20_000):
    print("x" * 99)
print("the end", flush=True)
"""
CALLS = """
import socket
for place in (("192.0.2.1", 80), ("NEIGHBOUR", 8080), ("127.0.0.11", 80)):
    try:
        socket.create_connection(place, timeout=3).close()
        print("reached", place, flush=True)
    except OSError as error:
        print("refused", place, error, flush=True)
"""
LOOKS = """
import os
wanted = "NEIGHBOUR"[::-1].encode()
found = []
for folder, below, files in os.walk("/"):
    if folder == "/":
        below[:] = [each for each in below if each != "sys"]
    for path in (os.path.join(folder, each) for each in files):
        try:
            if os.path.isfile(path) and wanted in open(path, "rb").read(2**20):
                found.append(path)
        except OSError:
            pass
print("looked, and found", found, flush=True)
"""
DRIPS = """
import socket, threading, time
def drip(connection):
    for byte in b"HTTP/1.1 200 OK":
        connection.sendall(bytes([byte]))
        time.sleep(30)
listening = socket.create_server(("0.0.0.0", 8080))
print("dripping", flush=True)
while True:
    threading.Thread(target=drip, args=listening.accept()[:1], daemon=True).start()
"""
DEAF = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("deaf", flush=True)
time.sleep(600)
"""


async def said(host: DockerContainers, id: str, words: bytes) -> bool:
    return words in await log(host, id)
