"""The embedded platform itself, all six services of it, on a folder that another one left behind."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import httpx
import placet.cli.platform
import pytest
import sqlalchemy as sa
from placet.cli.exits import USAGE, WrongSettingError, of_error
from placet.cli.platform import LEASE_SECONDS, serve
from placet.errors import Refused
from placet.events import Wiring, tables
from placet.events.adapters.in_process_bus import InProcessHub
from placet.events.service import Service, ServiceRunner
from placet.events.store import Run, Unit
from placet.trust.checkpoints import Checkpoint

from tests.support.eventually import eventually


@pytest.fixture(autouse=True)
def mask() -> Iterator[None]:
    """The platform closes what it makes to others, for the rest of its process's life."""
    before = os.umask(0o022)
    os.umask(before)
    yield
    os.umask(before)


async def leave_behind(data: Path) -> None:
    """What the indexer of a platform that was killed holds, for longer than a test would wait."""
    wiring = await Wiring.embedded("indexer", data=data / "log", hub=InProcessHub())
    until = (wiring.clock.now() + timedelta(seconds=5 * LEASE_SECONDS)).timestamp()
    lease = sa.insert(tables.leases).values(name="leader", owner="killed", until=until)
    nothing = {"context": b"{}", "payload": b"{}", "attempts": 0, "next_at": 0.0}
    job = sa.insert(tables.jobs).values(
        kind="some", key="one", asker="somebody", leased_by="killed", leased_until=until, **nothing
    )
    await wiring.store.commit(Unit(writes=(Run(statement=lease), Run(statement=job))))
    await wiring.store.close()


@pytest.mark.slow
async def test_a_platform_that_was_killed_keeps_the_next_one_waiting_for_nothing(tmp_path: Path) -> None:
    await leave_behind(tmp_path)
    ready = asyncio.Event()

    async def on_ready(url: str, token: str) -> None:
        ready.set()

    serving = asyncio.create_task(serve(tmp_path, "127.0.0.1", 0, on_ready=on_ready))
    await asyncio.wait_for(ready.wait(), 3 * LEASE_SECONDS)
    serving.cancel()
    with suppress(asyncio.CancelledError):
        await serving

    wiring = await Wiring.embedded("indexer", data=tmp_path / "log", hub=InProcessHub())
    (job,) = await wiring.store.rows(sa.select(tables.jobs.c.leased_by))
    await wiring.store.close()
    assert job.leased_by is None


@pytest.mark.slow
async def test_a_platform_whose_log_is_not_the_one_that_was_signed_says_so_in_a_sentence(
    tmp_path: Path,
) -> None:
    keys = tmp_path / "keys"
    keys.mkdir(mode=0o700)
    signed = Checkpoint(origin="placet.example/audit", size=9, root=b"x" * 32)
    (keys / "checkpoints.last").write_text(signed.text)

    async def on_ready(url: str, token: str) -> None:
        pass

    with pytest.raises(Refused, match="not the one of which a checkpoint of 9 events was signed"):
        await asyncio.wait_for(serve(tmp_path, "127.0.0.1", 0, on_ready=on_ready), 60)


@pytest.mark.slow
async def test_a_collection_of_garbage_looks_at_nothing_that_was_there_when_it_was_ready(
    tmp_path: Path,
) -> None:
    """To look at all of six services takes so long that whoever asks meanwhile notices."""
    seen: asyncio.Future[set[type[object]]] = asyncio.get_running_loop().create_future()

    async def on_ready(url: str, token: str) -> None:
        seen.set_result({type(each) for each in gc.get_objects()})

    gc.unfreeze()
    serving = asyncio.create_task(serve(tmp_path, "127.0.0.1", 0, on_ready=on_ready))
    try:
        looked_at = await asyncio.wait_for(seen, 3 * LEASE_SECONDS)
    finally:
        serving.cancel()
        with suppress(asyncio.CancelledError):
            await serving
    assert not looked_at & {ServiceRunner, Service}


@pytest.mark.slow
async def test_who_follows_events_keeps_nobody_waiting_for_the_next_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(placet.cli.platform, "DRAIN_SECONDS", 600)  # none of which is to pass
    up: asyncio.Future[tuple[str, str]] = asyncio.get_running_loop().create_future()
    again = asyncio.Event()

    async def on_ready(url: str, token: str) -> None:
        up.set_result((url, token))

    serving = asyncio.create_task(serve(tmp_path, "127.0.0.1", 0, on_ready=on_ready, again=again))
    url, token = await asyncio.wait_for(up, 3 * LEASE_SECONDS)
    asking = {"Accept": "text/event-stream", "Authorization": f"Bearer {token}"}
    async with (
        httpx.AsyncClient(trust_env=False) as http,
        http.stream("GET", f"{url}/v1/events", headers=asking) as following,
    ):
        assert following.status_code == 200
        again.set()
        with pytest.raises(httpx.RemoteProtocolError):  # cut, and not at its end
            await following.aread()
        handed = await asyncio.wait_for(serving, 3 * LEASE_SECONDS)
    for each in handed:
        each.close()
    assert len(handed) == 1, "nobody else was there"
    assert "without completing" not in caplog.text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PLACET_DOCKER_HOST", "http://here"),
        ("PLACET_DOCKER_SUBNETS", "300.1.1.1"),
        ("PLACET_MODEL_HOST", "podman"),
        ("PLACET_CHECKPOINT_FOLDER_SECONDS", "never"),
    ],
)
async def test_a_setting_that_is_wrong_is_told_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)

    async def on_ready(url: str, token: str) -> None:
        raise AssertionError("it started")

    with pytest.raises(WrongSettingError, match=f"{name}: .*, got '{value}'") as wrong:
        await serve(tmp_path, "127.0.0.1", 0, on_ready=on_ready)
    assert "settings.md" in (wrong.value.fix or "")
    assert of_error(wrong.value) == USAGE


async def test_what_it_waits_for_is_told_and_what_will_not_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """No engine is there, and nothing that an image could start from. Who stops it then gets no error for that."""
    address = f"unix://{tmp_path}/nobody.sock"
    monkeypatch.setenv("PLACET_MODEL_HOST", "docker")
    monkeypatch.setenv("PLACET_DOCKER_HOST", address)
    monkeypatch.delenv("PLACET_BASE_IMAGE", raising=False)
    told: list[str] = []

    async def on_ready(url: str, token: str) -> None:
        raise AssertionError("it is up")

    serving = asyncio.create_task(serve(tmp_path, "127.0.0.1", 0, on_ready=on_ready, tell=told.append))
    waits = (
        f"deployer waits: the Docker Engine at {address} does not answer: no such file or directory;"
        " start the Docker Engine, or correct PLACET_DOCKER_HOST"
    )
    await eventually(lambda: waits in caplog.messages or serving.done())
    serving.cancel()
    with suppress(asyncio.CancelledError):
        await serving
    [no_base] = told
    assert "PLACET_BASE_IMAGE is not set" in no_base
    assert any(each.startswith("models that run go on: the Docker Engine") for each in caplog.messages)
