"""What every model host has to keep to, whatever it runs models with. Adapters subclass `ModelHostContract`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

from placet.deployer.ports import Instance, InstanceSpec, ModelHost
from placet.deployer.room import Amount

from tests.support.eventually import eventually

ROOM = Amount(cpu_millis=500, memory_bytes=512 * 2**20)


class ModelHostContract:
    """The cases. A subclass gives `host`, `image` (a reference in `models/churn`), `kill` and `hang`, by id.

    The host that hangs are found by, `impatient_host`, does not wait long for an answer.
    """

    def spec(
        self, image: str, *, release: int = 1, replica: int = 1, endpoint: str | None = None
    ) -> InstanceSpec:
        return InstanceSpec(
            project="churn",
            release=release,
            replica=replica,
            image=image,
            repository="models/churn",
            access="public",
            amount=ROOM,
            endpoint=endpoint,
        )

    async def test_what_was_started_runs_and_is_listed(self, host: ModelHost, image: str) -> None:
        started = await host.start(self.spec(image))

        assert (started.project, started.release, started.image) == ("churn", 1, image)
        assert started.is_running
        assert started.endpoint.startswith("http://")
        (listed,) = await host.list()
        assert (listed.id, listed.endpoint, listed.is_running) == ("churn-1", started.endpoint, True)

    async def test_starting_again_finds_what_runs(self, host: ModelHost, image: str) -> None:
        first = await host.start(self.spec(image))
        second = await host.start(self.spec(image))

        assert second.endpoint == first.endpoint
        assert len(await host.list()) == 1

    async def test_two_releases_run_beside_each_other(self, host: ModelHost, image: str) -> None:
        first = await host.start(self.spec(image, release=1))
        second = await host.start(self.spec(image, release=2))

        assert first.endpoint != second.endpoint
        await host.stop(first.id)
        assert {each.id for each in await host.list() if each.is_running} == {"churn-2"}

    async def test_replicas_run_beside_each_other(self, host: ModelHost, image: str) -> None:
        """A host that scales makes them by itself."""
        if host.scales:
            return
        started = [await host.start(self.spec(image, replica=number)) for number in (1, 2)]

        assert started[0].endpoint != started[1].endpoint
        assert [each.id for each in started] == ["churn-1", "churn-1.2"]
        assert {(each.id, each.replica) for each in await host.list()} == {("churn-1", 1), ("churn-1.2", 2)}
        await host.stop("churn-1")
        assert {each.id for each in await host.list() if each.is_running} == {"churn-1.2"}

    async def test_what_was_stopped_says_why(self, host: ModelHost, image: str) -> None:
        started = await host.start(self.spec(image))
        await host.stop(started.id, why="it took too much memory")

        stopped = await find(host, started.id)
        assert not stopped.is_running
        assert stopped.why == "it took too much memory"

    async def test_one_is_found_as_it_is_listed(self, host: ModelHost, image: str) -> None:
        running = await host.start(self.spec(image))
        ended = await host.start(self.spec(image, release=2))
        await host.stop(ended.id, why="it took too much memory")

        for each in (running, ended):
            found = await host.find(each.id)
            assert found is not None
            assert replace(found, memory_bytes=0) == replace(await find(host, each.id), memory_bytes=0)
        assert await host.find("nobody-1") is None

    async def test_stopping_what_does_not_run_changes_nothing(self, host: ModelHost, image: str) -> None:
        await host.stop("nobody-1")
        started = await host.start(self.spec(image))
        await host.stop(started.id, why="first")
        await host.stop(started.id, why="second")

        assert (await find(host, started.id)).why == "first"

    async def test_a_crash_is_found_with_its_reason(
        self, host: ModelHost, image: str, kill: Callable[[str], Awaitable[None]]
    ) -> None:
        started = await host.start(self.spec(image))
        await kill(started.id)

        async def is_down() -> bool:
            return not (await find(host, started.id)).is_running

        await eventually(is_down)
        assert "SIGKILL" in (await find(host, started.id)).why

    async def test_what_hangs_is_ended_with_its_reason(
        self, impatient_host: ModelHost, image: str, hang: Callable[[str], Awaitable[None]]
    ) -> None:
        started = await impatient_host.start(self.spec(image))
        await hang(started.id)

        async def is_down() -> bool:
            await impatient_host.check()
            return not (await find(impatient_host, started.id)).is_running

        await eventually(is_down)
        assert (await find(impatient_host, started.id)).why.startswith("it hung: ")
        assert (await impatient_host.start(self.spec(image, endpoint=started.endpoint))).is_running

    async def test_what_lives_may_be_asked_again_and_again(self, host: ModelHost, image: str) -> None:
        started = await host.start(self.spec(image))
        for _ in range(10):
            await host.check()
        assert (await find(host, started.id)).is_running

    async def test_it_comes_back_where_it_was(self, host: ModelHost, image: str) -> None:
        started = await host.start(self.spec(image))
        await host.stop(started.id)
        again = await host.start(self.spec(image, endpoint=started.endpoint))

        assert again.is_running
        assert again.endpoint == started.endpoint

    async def test_its_log_stays_until_it_is_forgotten(self, host: ModelHost, image: str) -> None:
        started = await host.start(self.spec(image))

        async def has_spoken() -> bool:
            return "churn" in await host.last_words(started.id)

        await eventually(has_spoken)
        await host.stop(started.id)
        assert b"churn" in await log(host, started.id)
        assert await log(host, started.id, tail=0) == b""

        await host.forget(started.id)
        assert await host.list() == []
        assert await host.last_words(started.id) == ""
        assert await log(host, started.id) == b""

    async def test_many_may_start_at_once(self, host: ModelHost, image: str) -> None:
        specs = [self.spec(image, release=number) for number in range(1, 5)]
        started = await asyncio.gather(*(host.start(each) for each in specs))

        assert len({each.endpoint for each in started}) == 4
        assert all(each.is_running for each in await host.list())


async def find(host: ModelHost, id: str) -> Instance:
    (found,) = [each for each in await host.list() if each.id == id]
    return found


async def log(host: ModelHost, id: str, *, tail: int | None = None) -> bytes:
    return b"".join([piece async for piece in host.log(id, tail=tail, follow=False)])
