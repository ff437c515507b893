"""The contract of a model host, over real processes, and what they alone have to stand."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import psutil
import pytest
from placet.deployer.adapters.local_processes import LocalProcesses
from placet.deployer.adapters.lodgings import Lodgings
from placet.deployer.adapters.pulse import TIMES_AT_WORK
from placet.deployer.adapters.unpacked_images import UnpackedImages
from placet.deployer.ports import Sample
from placet.errors import Refused
from placet.oci import ImageLayout

from tests.contract.model_host_contract import ROOM, ModelHostContract, find, log
from tests.contract.model_host_small_image import layer, push_small_image
from tests.contract.process_hosts import KINDS, Asker, process_host, some_lodgings
from tests.support.eventually import eventually

Make = Callable[[], LocalProcesses]


@pytest.fixture
def registry(tmp_path: Path) -> ImageLayout:
    return ImageLayout(tmp_path / "registry")


@pytest.fixture(params=KINDS)
def lodgings(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Lodgings]:
    with some_lodgings(request.param, tmp_path) as lodgings:
        yield lodgings


@pytest.fixture
async def make(registry: ImageLayout, lodgings: Lodgings, tmp_path: Path) -> AsyncIterator[Make]:
    """Makes a host, or the one that comes after it was killed: all of them share one folder."""

    def host() -> LocalProcesses:
        return process_host(tmp_path, registry, lodgings)

    yield host
    await host().adopt()
    await host().stop_all()


@pytest.fixture
async def host(make: Make) -> LocalProcesses:
    host = make()
    await host.adopt()
    return host


@pytest.fixture
async def image(registry: ImageLayout) -> str:
    return await push_small_image(registry)


@pytest.fixture
def kill(tmp_path: Path) -> Callable[[str], Awaitable[None]]:
    async def kill(id: str) -> None:
        process = await eventually(lambda: process_of(tmp_path, id))
        os.kill(process.pid, signal.SIGKILL)

    return kill


@pytest.fixture
def asker() -> Asker:
    return Asker()


@pytest.fixture
async def impatient_host(
    asker: Asker, registry: ImageLayout, lodgings: Lodgings, tmp_path: Path
) -> AsyncIterator[LocalProcesses]:
    host = process_host(tmp_path, registry, lodgings, is_alive=asker.is_alive)
    await host.adopt()
    yield host
    await host.stop_all()


@pytest.fixture
def hang(asker: Asker, impatient_host: LocalProcesses, tmp_path: Path) -> Callable[[str], Awaitable[None]]:
    async def hang(id: str) -> None:
        process = await eventually(lambda: process_of(tmp_path, id))
        await impatient_host.check()  # which it answers
        process.suspend()
        asker.seconds = 0.05

    return hang


def process_of(tmp_path: Path, id: str) -> psutil.Process:
    mark = str(tmp_path / "instances" / id)
    for process in psutil.process_iter():
        try:
            if process.environ().get("PLACET_INSTANCE") == mark and process.ppid() != 0:
                return process
        except psutil.Error:
            continue
    raise AssertionError(f"no process of {id}")


async def about(endpoint: str) -> Any:
    """What the small image's runtime says of itself, once it answers."""

    async def ask() -> Any:
        try:
            async with aiohttp.ClientSession() as session, session.get(f"{endpoint}/about") as answer:
                return await answer.json()
        except aiohttp.ClientError:
            return None

    return await eventually(ask)


class TestLocalProcesses(ModelHostContract):
    async def test_it_sees_only_its_own_packages_and_settings(
        self, host: LocalProcesses, image: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PLACET_DATABASE_URL", "postgresql://secret@host/placet")
        started = await host.start(self.spec(image))

        said = await about(started.endpoint)
        environment = said["environment"]
        assert "PLACET_DATABASE_URL" not in environment
        assert environment["PLACET_ROOT_PATH"] == "/models/churn"
        assert environment["PLACET_MEMORY"] == str(ROOM.memory_bytes)
        assert environment["OMP_NUM_THREADS"] == "1"
        assert not [path for path in said["sys_path"] if "site-packages" in path or "dist-packages" in path]
        assert Path(said["directory"]).parts[-2:] == ("app", "project")

    async def test_the_next_deployer_takes_over_what_runs(self, make: Make, image: str) -> None:
        killed = make()
        started = await killed.start(self.spec(image))
        before = await about(started.endpoint)

        next_one = make()
        await next_one.adopt()

        again = await next_one.start(self.spec(image))
        assert again.endpoint == started.endpoint
        assert (await about(again.endpoint))["environment"] == before["environment"]
        await next_one.stop(again.id)
        assert not (await find(next_one, again.id)).is_running

    async def test_what_a_model_started_lives_on_with_it(self, make: Make, registry: ImageLayout) -> None:
        killed = make()
        started = await killed.start(self.spec(await push_small_image(registry, has_child=True)))
        await about(started.endpoint)
        child = int((await log(killed, started.id)).split(b"child ")[1].split()[0])

        await make().adopt()

        assert psutil.pid_exists(child)
        assert not is_zombie(child)

    async def test_a_process_that_nobody_recorded_is_ended(
        self, make: Make, image: str, tmp_path: Path
    ) -> None:
        await make().start(self.spec(image))
        stray = await eventually(lambda: process_of(tmp_path, "churn-1"))
        (tmp_path / "instances" / "churn-1" / "instance.json").unlink()

        await make().adopt()

        assert not stray.is_running() or stray.status() == psutil.STATUS_ZOMBIE

    async def test_a_pid_that_came_again_is_not_taken_for_it(
        self, make: Make, host: LocalProcesses, image: str, tmp_path: Path
    ) -> None:
        started = await host.start(self.spec(image))
        await host.stop(started.id)
        record = tmp_path / "instances" / started.id / "instance.json"
        pid = str(process_of_record(record))
        record.write_text(
            record.read_text().replace(pid, str(os.getpid())).replace('"why":"it was stopped"', '"why":null')
        )

        await make().stop(started.id)

        assert not (await find(make(), started.id)).is_running

    async def test_what_does_not_listen_to_reason_is_killed(
        self, host: LocalProcesses, registry: ImageLayout
    ) -> None:
        started = await host.start(self.spec(await push_small_image(registry, is_deaf=True)))
        await about(started.endpoint)

        await host.stop(started.id)

        assert not (await find(host, started.id)).is_running

    async def test_a_models_own_children_end_with_it(
        self, host: LocalProcesses, registry: ImageLayout
    ) -> None:
        started = await host.start(self.spec(await push_small_image(registry, has_child=True)))
        await about(started.endpoint)
        child = int((await log(host, started.id)).split(b"child ")[1].split()[0])

        await host.stop(started.id)

        await eventually(lambda: not psutil.pid_exists(child) or is_zombie(child))

    async def test_what_dies_at_once_says_why(self, host: LocalProcesses, registry: ImageLayout) -> None:
        started = await host.start(self.spec(await push_small_image(registry, dies=True)))

        async def reason() -> str:
            return (await find(host, started.id)).why

        assert await eventually(reason) == "it ended with status 1"
        assert (await host.last_words(started.id)).splitlines()[-1] == "the model cannot be loaded"

    async def test_nobody_takes_the_place_of_one_that_died(
        self, host: LocalProcesses, image: str, kill: Callable[[str], Awaitable[None]]
    ) -> None:
        """Whoever did would be sent its requests, with their callers' tokens."""
        started = await host.start(self.spec(image))
        port = urlsplit(started.endpoint).port
        await kill(started.id)

        async def is_down() -> bool:
            return not (await find(host, started.id)).is_running

        await eventually(is_down)
        with pytest.raises(OSError, match="Address already in use"):
            socket.create_server(("127.0.0.1", port))

        again = await host.start(self.spec(image, endpoint=started.endpoint))
        assert again.endpoint == started.endpoint
        await about(again.endpoint)
        await host.stop(again.id)
        socket.create_server(("127.0.0.1", port)).close()

    async def test_a_model_at_a_long_prediction_is_not_ended(
        self, impatient_host: LocalProcesses, asker: Asker, registry: ImageLayout
    ) -> None:
        started = await impatient_host.start(self.spec(await push_small_image(registry, never_answers=True)))
        async with aiohttp.ClientSession() as session:
            asking = asyncio.create_task(session.post(f"{started.endpoint}/predict", json={"inputs": [[1]]}))

            async def is_at_it() -> bool:
                return b"at it" in await log(impatient_host, started.id)

            await eventually(is_at_it)
            for _ in range(2 * TIMES_AT_WORK):
                await impatient_host.check()
            assert (await find(impatient_host, started.id)).is_running
            assert not asking.done()
            asking.cancel()

    async def test_a_next_deployer_ends_what_hangs_too(
        self, make: Make, impatient_host: LocalProcesses, image: str, hang: Callable[[str], Awaitable[None]]
    ) -> None:
        """It knows nothing of when it was started, and it is no child of its own."""
        started = await make().start(self.spec(image))
        await hang(started.id)

        async def is_down() -> bool:
            await impatient_host.check()
            return not (await find(impatient_host, started.id)).is_running

        await eventually(is_down)

    async def test_an_image_for_another_python_is_refused(
        self, host: LocalProcesses, registry: ImageLayout
    ) -> None:
        image = await push_small_image(registry, python="cp38")
        with pytest.raises(Refused, match="built for cp38"):
            await host.start(self.spec(image))
        assert await host.list() == []

    async def test_an_image_with_a_server_of_its_own_is_refused(
        self, host: LocalProcesses, registry: ImageLayout
    ) -> None:
        image = await push_small_image(registry, labels={"io.placet.road": "dockerfile"})
        with pytest.raises(Refused, match="brings a server of its own"):
            await host.start(self.spec(image))
        assert await host.list() == []

    async def test_a_base_is_left_out(self, host: LocalProcesses, registry: ImageLayout) -> None:
        base = layer({"usr/bin/python": "not this one", "app/project/behaviour.json": "no"})
        labels = {"io.placet.base": f"python@sha256:{'2' * 64}", "io.placet.base.layers": "1"}
        started = await host.start(self.spec(await push_small_image(registry, below=(base,), labels=labels)))

        root = Path((await about(started.endpoint))["directory"]).parents[1]
        assert not (root / "usr").exists()

    async def test_a_log_stays_within_its_bounds(
        self, host: LocalProcesses, registry: ImageLayout, tmp_path: Path
    ) -> None:
        started = await host.start(self.spec(await push_small_image(registry, talks=5000)))
        await about(started.endpoint)
        assert (tmp_path / "instances" / started.id / "log").stat().st_size > 2**18
        assert len(await log(host, started.id)) == 2**16  # before it was cut, too

        await host.list()

        kept = await log(host, started.id)
        assert 2**14 < len(kept) <= 2**16
        assert kept.startswith(b"y" * 99)
        assert len(await log(host, started.id, tail=3)) == 300

    async def test_a_log_is_followed(self, host: LocalProcesses, image: str) -> None:
        started = await host.start(self.spec(image))
        async with aclosing(host.log(started.id, tail=None, follow=True)) as pieces:  # type: ignore[type-var]
            seen = b""
            while b"here is churn 1" not in seen:
                seen += await anext(pieces)

    async def test_all_are_stopped_with_the_platform(self, host: LocalProcesses, image: str) -> None:
        await host.start(self.spec(image, release=1))
        await host.start(self.spec(image, release=2))

        await host.stop_all()

        assert [each.is_running for each in await host.list()] == [False, False]


def process_of_record(record: Path) -> int:
    return int(json.loads(record.read_text())["pid"])


def is_zombie(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


class TestSamples:
    @pytest.fixture
    def images(self, registry: ImageLayout, tmp_path: Path) -> UnpackedImages:
        return UnpackedImages(registry, tmp_path / "unpacked")

    async def test_the_sample_is_read_from_the_image(
        self, registry: ImageLayout, images: UnpackedImages
    ) -> None:
        sample = {"request": {"inputs": [[1]]}, "response": {"outputs": [1]}, "tolerance": 0.5}
        digest = await push_small_image(registry, sample=sample)

        assert await images.sample("models/churn", digest) == Sample(
            request={"inputs": [[1]]}, response={"outputs": [1]}, tolerance=0.5
        )

    async def test_an_image_need_not_have_one(self, registry: ImageLayout, images: UnpackedImages) -> None:
        assert await images.sample("models/churn", await push_small_image(registry)) is None

    async def test_what_is_no_sample_is_refused(self, registry: ImageLayout, images: UnpackedImages) -> None:
        digest = await push_small_image(registry, sample={"request": 1})
        with pytest.raises(Refused, match=r"sample\.json in the image cannot be read"):
            await images.sample("models/churn", digest)
