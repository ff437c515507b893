"""Read models of a service that runs, made anew from the audit log beside it, and put in their place at once.

The service's own program does it, on the machine where its settings are; this feeds it, and says after each stretch of
the log that what came is what was signed. It goes on with the log until the program has what the service has.
"""

from __future__ import annotations

import asyncio
from argparse import Namespace

import msgspec

from placet.auditing import judge
from placet.cli import exits
from placet.cli.screen import Screen
from placet.cli.session import connect
from placet.cli.sizes import counted
from placet.cli.verbs.mending import end, feed, keys_of, leading_to, mark, must_be_here, program
from placet.client import Client
from placet.trust import checkpoints
from placet.trust.auditing import Audited, Auditor, Known
from placet.trust.checkpoints import Checkpoint
from placet.trust.notes import Note, NoteKey

LOOK_EVERY = 0.3
"""Seconds between looks for what was signed since; a log that goes on signs every second."""


class Rebuilt(msgspec.Struct, frozen=True, kw_only=True):
    """As the service's program tells it."""

    position: int
    changed: dict[str, int]


async def rebuild(arguments: Namespace, screen: Screen) -> int:
    service = str(arguments.service)
    must_be_here(service, arguments.data)
    if service == "metadata":
        return await _of_its_own_log(arguments, screen)
    async with connect() as platform:
        keys = await keys_of(platform, arguments, screen)
        process = await asyncio.create_subprocess_exec(
            *program(service, arguments.data, "--rebuild", "-"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None  # noqa: S101 (asked for above)
        result = asyncio.create_task(process.stdout.read())
        try:
            await _feed_until(result, platform, keys, process)
        except BaseException:
            await end(process)
            result.cancel()
            raise
        output = await result
        if process.stdin is not None:
            process.stdin.close()
        status = await process.wait()
    if status != exits.DONE:
        screen.note("nothing was changed; run the same again, once that is mended")
        return status
    rebuilt = msgspec.json.decode(output, type=Rebuilt)
    _tell(service, rebuilt, screen)
    return exits.DONE


def _tell(service: str, rebuilt: Rebuilt, screen: Screen) -> None:
    other = {table: rows for table, rows in rebuilt.changed.items() if rows}
    said = f"{service} shows what the log says, up to position {rebuilt.position}"
    found = "; ".join(f"{rows} of {table}" for table, rows in other.items())
    screen.result(
        f"{said}: rows that were other: {found}" if other else f"{said}, and did so before: no row was other"
    )
    screen.document(
        {
            "service": service,
            "rebuilt": True,
            "position": rebuilt.position,
            "changed": rebuilt.changed,
        }
    )


async def _of_its_own_log(arguments: Namespace, screen: Screen) -> int:
    """The audit log's own index: nothing has to be fetched for it."""
    process = await asyncio.create_subprocess_exec(*program("metadata", arguments.data, "--rebuild"))
    status = await process.wait()
    if status == exits.DONE:
        screen.result("metadata shows what its log says")
        screen.document({"service": "metadata", "rebuilt": True})
    return status


async def _feed_until(
    result: asyncio.Task[bytes], platform: Client, keys: list[NoteKey], process: asyncio.subprocess.Process
) -> None:
    """All of the log, and what comes while it is read, with a mark behind what is verified."""
    auditor: Auditor | None = None
    while not result.done():
        signed, _ = checkpoints.verify(Note.from_bytes(await platform.checkpoint()), keys)
        if auditor is None or signed.size > auditor.size:
            auditor = _going_on(auditor, signed)
            with leading_to("nothing was changed"):
                await feed(platform, auditor, signed.size, process)
                if process.returncode is not None:
                    return
                await judge(platform, auditor, signed, keys)
        if process.stdin is not None and not result.done():
            await mark(process)
        await asyncio.wait({result}, timeout=LOOK_EVERY)


def _going_on(auditor: Auditor | None, signed: Checkpoint) -> Auditor:
    """With the next checkpoint to be held against, where the last one held."""
    begun = Audited(origin=signed.origin) if auditor is None else auditor.kept()
    return Auditor(begun, [Known(signed, f"the log's own checkpoint of {counted(signed.size, 'event')}")])
