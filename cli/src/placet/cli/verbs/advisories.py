"""Verbs for advisories: publish a snapshot of what is known to be vulnerable, and see which are in use."""

from __future__ import annotations

import hashlib
from argparse import Namespace
from pathlib import Path

from placet.cli import exits
from placet.cli.screen import Screen, in_words
from placet.cli.session import connect
from placet.cli.sizes import counted
from placet.client import Snapshot
from placet.errors import Refused, TooLarge
from placet.rules.advisories import MAX_SNAPSHOT_BYTES


async def publish(arguments: Namespace, screen: Screen) -> int:
    digest = _digest(arguments.file)
    async with connect() as platform:
        told = await platform.submit_advisories(arguments.file, digest)
        if not arguments.no_wait:
            screen.note("sent; the certifier reads it")
            told = await platform.read_through(told)
    _conclude(told, screen)
    screen.document(told.to_json())
    return exits.REFUSED if told.state == "rejected" else exits.DONE


async def list_all(arguments: Namespace, screen: Screen) -> int:
    async with connect() as platform:
        found = await platform.advisories()
    screen.table(
        ("DIGEST", "STATE", "TAKEN", "ADVISORIES", "PACKAGES", "BY", "SUBMITTED"),
        [
            (
                each.digest,
                each.state,
                each.taken,
                each.advisories,
                each.packages,
                None if each.submitted_by is None else each.submitted_by.name or each.submitted_by.person,
                each.submitted_at,
            )
            for each in found
        ],
    )
    screen.document({"advisories": [each.to_json() for each in found]})
    return exits.DONE


def _digest(file: Path) -> str:
    try:
        if file.stat().st_size > MAX_SNAPSHOT_BYTES:
            raise TooLarge(
                f"{file} has more than {MAX_SNAPSHOT_BYTES // 1024**2} MiB",
                fix="send the advisories of one ecosystem, PyPI",
            )
        with file.open("rb") as opened:
            return f"sha256:{hashlib.file_digest(opened, 'sha256').hexdigest()}"
    except OSError as error:
        raise Refused(
            f"{file} cannot be read: {error.strerror}", fix="name the zip of advisories, which you may read"
        ) from error


def _conclude(told: Snapshot, screen: Screen) -> None:
    match told.state:
        case "rejected":
            screen.error("the advisories are not used")
            if told.problem is not None:
                for line in in_words(told.problem.why, fix=told.problem.fix):
                    screen.note(f"  {line}")
        case "submitted":
            screen.result(told.digest)
            screen.note("the advisories are submitted; `placet advisories list` shows what becomes of them")
        case _:
            screen.result(told.digest)
            advisories = counted(told.advisories or 0, "advisory", "advisories")
            packages = counted(told.packages or 0, "package")
            screen.note(f"{advisories} up to {told.taken}, about {packages}: {told.state}")
