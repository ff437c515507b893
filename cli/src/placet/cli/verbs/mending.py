"""The programs of services that mend a database from the audit log: how they are begun, fed and ended."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import sys
from argparse import Namespace
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

from placet.auditing import read_entries
from placet.cli.audit_kept import load
from placet.cli.screen import Screen
from placet.cli.session import connect
from placet.cli.verbs.audit import trusted
from placet.cli.verbs.embedded import load_platform
from placet.client import Client, Connection
from placet.errors import Refused, Unavailable, Unreadable
from placet.trust import KeyHistory
from placet.trust.auditing import Auditor
from placet.trust.keys import verifying_key
from placet.trust.notes import SIGNS, NoteKey

OnReady = Callable[[str, str], Awaitable[None]]


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

    serving = asyncio.create_task(_serve_log(data, on_ready))
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


def _serve_log(data: Path, on_ready: OnReady) -> Coroutine[Any, Any, object]:
    return load_platform()(data.absolute(), "127.0.0.1", 0, on_ready=on_ready, only=("metadata",))


async def keys_of(platform: Client, arguments: Namespace, screen: Screen) -> list[NoteKey]:
    """Those of the log that are believed. Of a platform here they lie in its folder, and nobody need be asked.

    Raises Refused where the platform that is asked is another one: its log would be folded into this one's rows.
    """
    told = await platform.log_keys()
    vkeys = [each.vkey for each in told.keys]
    given: list[str] = arguments.log or []
    if arguments.data is not None:
        own = _own_keys(arguments.data, told.origin)
        if not set(own) & set(vkeys):
            raise Refused(
                f"the platform at {platform.connection.url} has its data elsewhere than in {arguments.data}",
                fix="start the one that has it there, and unset PLACET_URL; or name the other's folder",
            )
        given = given or own
    return trusted(given, load(platform.connection.url), vkeys, told.origin, screen)


def _own_keys(data: Path, origin: str) -> list[str]:
    """As verifier keys."""
    try:
        history = KeyHistory.from_json((data / "keys" / "checkpoints.json").read_bytes())
    except OSError as error:
        raise Refused(
            f"{data} holds no keys of an audit log: {error.strerror}",
            fix="name the folder that `placet up` was given with --data",
        ) from error
    return [NoteKey(name=origin, kind=SIGNS, key=verifying_key(each.kid, each.x)).vkey for each in history]


def must_be_here(service: str, data: Path | None) -> None:
    """Raises Refused where the service's program is not, or its settings are not."""
    if importlib.util.find_spec(f"placet.{service}") is None:
        raise Refused(
            f"{service} is not installed here",
            fix="run this where the service runs, with its settings in the environment",
        )
    if data is None and "PLACET_DATABASE_URL" not in os.environ:
        raise Refused(
            f"the settings of {service} are not in the environment: PLACET_DATABASE_URL is not set",
            fix="run this where the service runs; for a platform that `placet up` runs, name its folder with --data",
        )


MARK = b"\n"
"""Behind what is verified."""


async def feed(platform: Client, auditor: Auditor, until: int, process: asyncio.subprocess.Process) -> bool:
    """All of the log up to `until`. A stream that breaks off is taken up again. Whether the program took it all."""
    while auditor.size < until:
        came = auditor.size
        try:
            async with aclosing(platform.log_lines(after=came, until=until)) as pieces:
                async for piece in pieces:
                    auditor.take(read_entries(piece))
                    if not await _write(process, piece):
                        return False  # it has said why it ended, or has all that it needs
        except Unavailable:
            if auditor.size == came:
                raise
        else:
            return True
    return True


async def mark(process: asyncio.subprocess.Process) -> None:
    """What came so far is verified. Whoever has ended needs no mark."""
    await _write(process, MARK)


async def _write(process: asyncio.subprocess.Process, piece: bytes) -> bool:
    if process.stdin is None or process.returncode is not None:
        return False
    try:
        process.stdin.write(piece)
        await process.stdin.drain()
    except (BrokenPipeError, ConnectionResetError):
        return False
    return True


@contextmanager
def leading_to(what: str) -> Iterator[None]:
    """Whatever is wrong with the log, first `what` came of it."""
    try:
        yield
    except (Refused, Unreadable) as error:
        raise type(error)(f"{what}: {error.detail}", rule=error.rule, fix=error.fix) from error


async def end(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        process.kill()
    await process.wait()
