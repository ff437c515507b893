"""Verbs that read what was said: a model's log, the events, the audit log."""

from __future__ import annotations

from argparse import Namespace
from contextlib import aclosing

from placet.cli import exits
from placet.cli.screen import Screen
from placet.cli.session import connect


async def logs(arguments: Namespace, screen: Screen) -> int:
    project: str = arguments.project
    lines: list[str] = []
    async with (
        connect() as platform,
        aclosing(platform.logs(project, follow=arguments.follow, tail=arguments.tail)) as written,
    ):
        async for line in written:
            if not screen.is_json:
                screen.result(line)
            elif arguments.follow:
                screen.line({"project": project, "line": line})
            else:
                lines.append(line)
    if not arguments.follow:
        screen.document({"project": project, "lines": lines})
    return exits.DONE


async def events(arguments: Namespace, screen: Screen) -> int:
    async with connect() as platform:
        happened = platform.events(
            after=arguments.first - 1, type=arguments.type, project=arguments.project, follow=arguments.follow
        )
        async with aclosing(happened):
            async for event in happened:
                screen.line(event)
    return exits.DONE


async def replay(arguments: Namespace, screen: Screen) -> int:
    async with connect() as platform, aclosing(platform.entries(after=arguments.first - 1)) as entries:
        async for entry in entries:
            if arguments.until is not None and entry.position > arguments.until:
                break
            if arguments.project in (None, entry.event.get("partitionkey")):
                screen.line(
                    {
                        **entry.event,
                        "sequence": entry.position,
                        "producerposition": entry.producer_position,
                        "producerepoch": entry.epoch,
                    }
                )
    return exits.DONE
