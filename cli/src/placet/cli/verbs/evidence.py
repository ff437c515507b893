"""`placet audit export`: the evidence of a project, for whoever has no platform."""

from __future__ import annotations

import zipfile
from argparse import Namespace
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
from anyio import to_thread

from placet.cli import exits
from placet.cli.screen import Screen
from placet.cli.session import connect
from placet.cli.sizes import counted
from placet.errors import Refused, Unreadable
from placet.verifier.single_file import single_file

VERIFIER = "verifier.py"


class _Manifest(msgspec.Struct):
    at: str


async def export(arguments: Namespace, screen: Screen) -> int:
    folder: Path = arguments.out
    unfinished = folder / f".{arguments.project}.zip.part"
    made: list[Path] = []
    try:
        made = [each for each in (folder, *folder.parents) if not each.exists()]
        await to_thread.run_sync(lambda: folder.mkdir(parents=True, exist_ok=True))
        async with connect() as platform:
            screen.note("gathering events, proofs and evidence …")
            name = await platform.evidence(
                arguments.project,
                unfinished,
                at=arguments.at,
                size=arguments.size,
                people=arguments.people,
            )
            keys = await platform.log_keys()
        archive = unfinished.replace(folder / name)
        verifier = folder / VERIFIER
        verifier.write_text(single_file(), encoding="utf-8")
    except OSError as error:
        raise Refused(
            f"{folder} cannot be written to: {error.strerror}", fix="name a folder of yours with --out"
        ) from error
    finally:
        with suppress(OSError):
            await to_thread.run_sync(lambda: unfinished.unlink(missing_ok=True))
        with suppress(OSError):  # where something is in them, they stay
            for each in made:
                each.rmdir()
    try:
        with zipfile.ZipFile(archive) as opened:
            events = sum(each.startswith("events/") and each.endswith(".json") for each in opened.namelist())
            until = msgspec.json.decode(opened.read("manifest.json"), type=_Manifest).at
    except (zipfile.BadZipFile, KeyError, msgspec.MsgspecError) as error:
        raise Unreadable(f"the platform sent no archive: {error}", fix="ask who runs it") from error
    if is_less(until, arguments.at):
        screen.note(f"the moment asked for is still to come: the archive has what happened up to {until}")
    screen.result(
        f"{archive}: {counted(events, 'event')} up to {until}, with their proofs and what they name"
    )
    screen.note(
        f"to check it, with nothing but Python: python3 {verifier} {archive} --log-key '{keys.keys[-1].vkey}'"
    )
    screen.note("that key is the log's own word: compare it with the one that you were given another way")
    screen.document(
        {
            "bundle": str(archive),
            "verifier": str(verifier),
            "at": until,
            "events": events,
            "origin": keys.origin,
            "logKeys": [each.vkey for each in keys.keys],
        }
    )
    return exits.DONE


def is_less(until: str, asked: datetime | None) -> bool:
    """Whether an archive ends before the moment that was asked for, which it tells less precisely."""
    return asked is not None and datetime.fromisoformat(until) + timedelta(milliseconds=1) <= asked
