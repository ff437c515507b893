"""The programs of services that mend a database from the audit log: how they are begun, fed and ended."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from placet.cli.session import connect
from placet.cli.verbs.audit import read_entries
from placet.cli.verbs.embedded import load_platform
from placet.client import Client, Connection
from placet.errors import Refused, Unavailable
from placet.trust.auditing import Auditor


def program(service: str, data: Path | None, *arguments: str) -> tuple[str, ...]:
    """Of the service, with its settings in the environment; or as a part of the embedded platform below `data`."""
    if data is None:
        return (sys.executable, "-m", f"placet.{service}", *arguments)
    return (sys.executable, "-m", "placet.cli.platform_mending", service, str(data.absolute()), *arguments)


@asynccontextmanager
async def log_of(data: Path | None) -> AsyncIterator[Client]:
    """Who is asked for the audit log: the platform, or, of an embedded one that is stopped, its metadata alone.

    Raises Unavailable where the platform below `data` runs.
    """
    if data is None:
        async with connect() as platform:
            yield platform
        return
    if not (data / "log" / "metadata.db").is_file():
        raise Refused(
            f"{data} holds no audit log", fix="name the folder that `placet up` was given with --data"
        )
    ready: asyncio.Future[Connection] = asyncio.get_running_loop().create_future()

    async def on_ready(url: str, token: str) -> None:
        ready.set_result(Connection(url=url, token=token))

    serve = load_platform()
    serving = asyncio.create_task(serve(data, "127.0.0.1", 0, on_ready=on_ready, only=("metadata",)))
    either: set[asyncio.Future[Any]] = {ready, serving}
    try:
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if serving.done():
            await serving
        async with Client(await ready) as platform:
            yield platform
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


def must_be_installed(service: str) -> None:
    if importlib.util.find_spec(f"placet.{service}") is None:
        raise Refused(
            f"{service} is not installed here",
            fix="run this where the service runs, with its settings in the environment",
        )


async def feed(platform: Client, auditor: Auditor, until: int, process: asyncio.subprocess.Process) -> None:
    """All of the log up to `until`. A stream that breaks off is taken up again."""
    while auditor.size < until:
        came = auditor.size
        try:
            async with aclosing(platform.log_lines(after=came, until=until)) as pieces:
                async for piece in pieces:
                    auditor.take(read_entries(piece))
                    if not await _write(process, piece):
                        return  # it has said why it ended, or has all that it needs
        except Unavailable:
            if auditor.size == came:
                raise
        else:
            return


async def _write(process: asyncio.subprocess.Process, piece: bytes) -> bool:
    if process.stdin is None or process.returncode is not None:
        return False
    try:
        process.stdin.write(piece)
        await process.stdin.drain()
    except (BrokenPipeError, ConnectionResetError):
        return False
    return True


async def end(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        process.kill()
    await process.wait()
