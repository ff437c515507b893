"""A service's lost database, filled again from the audit log of the platform that goes on without it.

The log is verified on its way: what is restored is what was signed. The service's own program writes to its database,
on the machine where that is set up; this only feeds it.
"""

from __future__ import annotations

import asyncio
from argparse import Namespace
from collections.abc import Sequence
from contextlib import aclosing

from placet.auditing import judge, signed_by
from placet.cli import exits
from placet.cli.screen import Screen
from placet.cli.sizes import counted
from placet.cli.verbs.mending import end, feed, keys_of, log_of, mark, must_be_here, program
from placet.client import Client
from placet.errors import Refused, Unavailable, Unreadable
from placet.trust.auditing import Audited, Auditor, Known
from placet.trust.checkpoints import Checkpoint
from placet.trust.notes import NoteKey

LOOK_EVERY = 0.3
MOST_LOOKS = 100
"""For the next checkpoint, which comes within a second where all is well."""


async def restore(arguments: Namespace, screen: Screen) -> int:
    service = str(arguments.service)
    if service == "metadata":
        raise Refused(
            "metadata keeps the audit log itself, so no log is left to restore it from",
            fix="restore its backup, or a copy of the log: python -m placet.metadata --restore FILE;"
            " docs/how-to/restore-a-service-from-the-log.md",
        )
    must_be_here(service, arguments.data)
    async with log_of(arguments.data) as platform:
        keys = await keys_of(platform, arguments, screen)
        signed, by = await covering(platform, service, keys)
        auditor = Auditor(
            Audited(origin=signed.origin),
            [Known(signed, f"the log's own checkpoint of {counted(signed.size, 'event')}")],
        )
        process = await asyncio.create_subprocess_exec(
            *program(service, arguments.data, "--restore", "-", "--until", str(signed.size)),
            stdin=asyncio.subprocess.PIPE,
        )
        try:
            # What has ended by itself has said why, or had it all verified the last time and went on from there.
            if await feed(platform, auditor, signed.size, process):
                await judge(platform, auditor, signed, keys)
                await mark(process)
        except (Refused, Unreadable) as error:
            await end(process)
            raise type(error)(
                f"nothing was restored: {error.detail}",
                rule=error.rule,
                fix=f"throw away what was read of that log, {_database(arguments)}, and restore from a copy that"
                " verifies",
            ) from error
        except BaseException:
            await end(process)
            raise
        if process.stdin is not None:
            process.stdin.close()
        status = await process.wait()
    if status != exits.DONE:
        screen.note("run the same again to go on with it, once that is mended")
        return status
    then = "start it now" if arguments.data is None else "start the platform now"
    screen.result(
        f"{service} is restored from {counted(signed.size, 'event')} that {by.key.kid} signed; {then}"
    )
    screen.document({"service": service, "restored": True, "size": signed.size, "origin": signed.origin})
    return exits.DONE


async def covering(platform: Client, service: str, keys: Sequence[NoteKey]) -> tuple[Checkpoint, NoteKey]:
    """A checkpoint of all that the log has of the service by now, with the key that signed it.

    What comes into the log is signed a moment later: what the service said just before it was lost would be left out,
    and stand in the log under a number that nobody knows. Raises Unavailable where it is not signed in time.
    """
    signed, by = await signed_by(platform, keys)
    last = 0
    async with aclosing(platform.entries(after=signed.size)) as entries:
        async for entry in entries:
            if entry.producer == service:
                last = entry.position
    tries = 0
    while signed.size < last:
        if (tries := tries + 1) > MOST_LOOKS:
            raise Unavailable(
                f"the audit log holds events of {service} up to position {last}, and is signed up to {signed.size}",
                fix="`placet status --platform` says what keeps metadata from signing; then run this again",
            )
        await asyncio.sleep(LOOK_EVERY)
        signed, by = await signed_by(platform, keys)
    return signed, by


def _database(arguments: Namespace) -> str:
    if arguments.data is None:
        return f"the schema {arguments.service}"
    return str(arguments.data / "log" / f"{arguments.service}.db*")
