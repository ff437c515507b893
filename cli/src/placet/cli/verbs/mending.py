"""The programs of services that mend a database from the audit log: how they are begun, fed and ended."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from contextlib import aclosing, suppress

from placet.cli.verbs.audit import read_entries
from placet.client import Client
from placet.errors import Refused, Unavailable
from placet.trust.auditing import Auditor


def program(service: str, *arguments: str) -> tuple[str, ...]:
    """Of the service, with its settings in the environment."""
    return (sys.executable, "-m", f"placet.{service}", *arguments)


def must_be_installed(service: str) -> None:
    if importlib.util.find_spec(f"placet.{service}") is None:
        raise Refused(
            f"{service} is not installed here",
            fix="run this where the service runs, with its settings in the environment",
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


async def end(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        process.kill()
    await process.wait()
