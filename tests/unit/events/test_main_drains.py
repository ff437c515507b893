"""A service that runs alone: told to stop, it ends what it began before its process ends; it bounds who connects, and
believes the proxies alone that it was told of."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.servers.local import free_port

SERVICE = """
import asyncio, logging, sys, threading
from pathlib import Path
from fastapi import APIRouter, Request
from placet.events import ByType, Service, Wiring
from placet.events.adapters.in_process_bus import InProcessHub
from placet.events import main
from placet.events.main import serve
from placet.events.settings import ProcessSettings

async def run():
    wiring = await Wiring.embedded("indexer", data=Path(sys.argv[1]), hub=InProcessHub())

    async def started():
        print("started", flush=True)

    async def closed():
        if "hangs" not in sys.argv:
            await asyncio.sleep(0.05)
        print("closed", flush=True)
        if "hangs" in sys.argv:
            await asyncio.to_thread(threading.Event().wait)

    router = APIRouter()

    @router.get("/v1/whom")
    async def whom(request: Request) -> str:
        return f"{request.url.scheme} {request.client.host}"

    @router.get("/v1/block")
    async def block() -> None:
        print("blocked", flush=True)
        threading.Event().wait()

    service = Service(
        name="indexer", wiring=wiring, hears=frozenset(), reaction=ByType({}), says=(), routers=lambda: [router],
        start=(started,), close=(closed,),
        close_seconds=0.1 if "hangs" in sys.argv else 5.0,
    )
    process = ProcessSettings(
        amqp_url="amqp://nobody@127.0.0.1/", database_url="postgresql://nobody@127.0.0.1/x",
        http_host="127.0.0.1", http_port=0, http_connections=1,
    )
    return await serve(service, process)

if "hangs" in sys.argv:
    main.END_SECONDS = 1.0
logging.basicConfig(level="INFO")  # as `run_service` does
sys.exit(asyncio.run(run()))
"""


async def started(folder: Path, *arguments: str, **settings: str) -> tuple[Process, int]:
    """The service and its port."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", SERVICE, str(folder), *arguments),
        stdout=PIPE,
        stderr=PIPE,
        env=os.environ | settings,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    assert await process.stdout.readline() == b"started\n"
    while b"Uvicorn running" not in (line := await process.stderr.readline()):
        assert line, "it ended before it served"
    return process, int(line.split(b"127.0.0.1:")[1].split()[0])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_is_a_drain_and_ends_with_status_0(tmp_path: Path, number: signal.Signals) -> None:
    process, _ = await started(tmp_path)
    process.send_signal(number)
    output, _ = await process.communicate()

    assert output == b"closed\n"
    assert process.returncode == 0


async def test_a_thread_that_never_ends_keeps_no_process_from_ending(tmp_path: Path) -> None:
    process, _ = await started(tmp_path, "hangs")
    process.terminate()
    output, told = await process.communicate()

    assert output == b"closed\n"
    assert b"is ended as it is" in told
    assert process.returncode == 1


async def test_an_event_loop_that_hangs_keeps_no_process_from_ending(tmp_path: Path) -> None:
    process, port = await started(tmp_path, "hangs")
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /v1/block HTTP/1.1\r\nHost: h\r\n\r\n")
    assert process.stdout is not None
    assert await process.stdout.readline() == b"blocked\n"
    process.terminate()
    await process.communicate()
    assert process.returncode == 1
    writer.close()


async def test_who_waits_for_its_database_is_told_to_end_and_does(tmp_path: Path) -> None:
    """Before there is any HTTP. Where it is the first process of a container, nobody else would end it."""
    nowhere = f"127.0.0.1:{free_port()}"
    settings = {
        "PLACET_AMQP_URL": f"amqp://nobody@{nowhere}/",
        "PLACET_DATABASE_URL": f"postgresql://nobody@{nowhere}/x",
        "PLACET_REGISTRY": str(tmp_path),
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "placet.indexer"), stderr=PIPE, env=os.environ | settings
    )
    assert process.stderr is not None
    while b"indexer waits" not in (line := await process.stderr.readline()):
        assert line, "it ended before it was told to"
    process.terminate()
    await process.communicate()
    assert process.returncode == 0


async def test_who_says_nothing_makes_room_for_the_next(tmp_path: Path) -> None:
    process, port = await started(tmp_path)
    silent, _ = await asyncio.open_connection("127.0.0.1", port)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /livez HTTP/1.1\r\nHost: h\r\n\r\n")

    assert await asyncio.wait_for(reader.readline(), 20) == b"HTTP/1.1 200 OK\r\n"
    with suppress(ConnectionResetError):
        assert await asyncio.wait_for(silent.read(), 20) == b""
    process.terminate()
    await process.communicate()


async def test_a_proxy_that_it_was_told_of_is_believed_for_whom_it_asks(tmp_path: Path) -> None:
    process, port = await started(tmp_path, PLACET_HTTP_TRUSTED_PROXIES="127.0.0.1")
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    said = b"X-Forwarded-For: 198.51.100.7\r\nX-Forwarded-Proto: https\r\n"
    writer.write(b"GET /v1/whom HTTP/1.1\r\nHost: h\r\nConnection: close\r\n" + said + b"\r\n")

    assert (await asyncio.wait_for(reader.read(), 20)).endswith(b'"https 198.51.100.7"')
    writer.close()
    process.terminate()
    await process.communicate()
