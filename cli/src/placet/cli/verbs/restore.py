"""A service's lost database, filled again from the audit log of the platform that goes on without it.

The log is verified on its way: what is restored is what was signed. The service's own program writes to its database,
on the machine where that is set up; this only feeds it.
"""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from argparse import Namespace
from contextlib import aclosing, suppress

from placet.cli import exits
from placet.cli.audit_kept import load
from placet.cli.screen import Screen
from placet.cli.session import connect
from placet.cli.verbs.audit import judge, read_entries, trusted
from placet.client import Client
from placet.errors import Refused, Unavailable
from placet.trust import checkpoints
from placet.trust.auditing import Audited, Auditor, Known
from placet.trust.notes import Note


async def restore(arguments: Namespace, screen: Screen) -> int:
    service = str(arguments.service)
    _must_be_installed(service)
    async with connect() as platform:
        before = load(platform.connection.url)
        told = await platform.log_keys()
        keys = trusted(arguments.log, before, [each.vkey for each in told.keys], told.origin, screen)
        signed, by = checkpoints.verify(Note.from_bytes(await platform.checkpoint()), keys)
        auditor = Auditor(
            Audited(origin=signed.origin),
            [Known(signed, f"the log's own checkpoint of {signed.size} events")],
        )
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", f"placet.{service}", "--restore", "-", "--until", str(signed.size)),
            stdin=asyncio.subprocess.PIPE,
        )
        try:
            await _feed(platform, auditor, signed.size, process)
            await judge(platform, auditor, signed, keys)
        except Refused as error:
            await _end(process)
            raise Refused(
                f"nothing was restored: {error.detail}",
                rule=error.rule,
                fix=f"drop the schema {service}, which holds what was read of that log, and restore from a copy that"
                " verifies",
            ) from error
        except BaseException:
            await _end(process)
            raise
        if process.stdin is not None:
            process.stdin.close()
        status = await process.wait()
    if status != exits.DONE:
        screen.note("run the same again to go on with it, once that is mended")
        return status
    screen.result(f"{service} is restored from {signed.size} events that {by.key.kid} signed; start it now")
    screen.document({"service": service, "restored": True, "size": signed.size, "origin": signed.origin})
    return exits.DONE


def _must_be_installed(service: str) -> None:
    if importlib.util.find_spec(f"placet.{service}") is None:
        raise Refused(
            f"{service} is not installed here",
            fix="run this where the service runs, with its settings in the environment",
        )


async def _feed(platform: Client, auditor: Auditor, until: int, process: asyncio.subprocess.Process) -> None:
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


async def _end(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        process.kill()
    await process.wait()
