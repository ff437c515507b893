"""A service that is told to stop ends what it began before its process ends."""

from __future__ import annotations

import asyncio
import signal
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

SERVICE = """
import asyncio, sys
from pathlib import Path
from placet.events import ByType, Service, Wiring
from placet.events.adapters.in_process_bus import InProcessHub
from placet.events.main import serve
from placet.events.settings import ProcessSettings

async def run():
    wiring = await Wiring.embedded("indexer", data=Path(sys.argv[1]), hub=InProcessHub())

    async def started():
        print("started", flush=True)

    async def closed():
        await asyncio.sleep(0.05)
        print("closed", flush=True)

    service = Service(
        name="indexer", wiring=wiring, hears=frozenset(), reaction=ByType({}), says=(),
        start=(started,), close=(closed,),
    )
    process = ProcessSettings(
        amqp_url="amqp://nobody@127.0.0.1/", database_url="postgresql://nobody@127.0.0.1/x",
        http_host="127.0.0.1", http_port=0,
    )
    return await serve(service, process)

sys.exit(asyncio.run(run()))
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_is_a_drain_and_ends_with_status_0(tmp_path: Path, number: signal.Signals) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", SERVICE, str(tmp_path)), stdout=PIPE, stderr=PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    assert await process.stdout.readline() == b"started\n"
    while b"Uvicorn running" not in (line := await process.stderr.readline()):
        assert line, "it ended before it served"
    process.send_signal(number)
    output, _ = await process.communicate()

    assert output == b"closed\n"
    assert process.returncode == 0
