"""Verbs that read what was said: a model's log, the events, the audit log."""

from __future__ import annotations

from argparse import Namespace
from contextlib import aclosing

from placet.cli import exits
from placet.cli.exits import WrongUsageError
from placet.cli.screen import Screen
from placet.cli.session import connect


async def logs(arguments: Namespace, screen: Screen) -> int:
    project: str = arguments.project
    lines: list[str] = []
    async with (
        connect() as platform,
        platform.log(project, release=arguments.release, follow=arguments.follow, tail=arguments.tail) as log,
    ):
        if log.release is not None:
            screen.note(_whose(project, log.release, log.live))
        async for line in log.lines:
            if not screen.is_json:
                screen.log_line(line)
            elif arguments.follow:
                screen.line({"project": project, "release": log.release, "line": line})
            else:
                lines.append(line)
    if not arguments.follow:
        screen.document({"project": project, "release": log.release, "lines": lines})
    return exits.DONE


def _whose(project: str, release: int, live: int | None) -> str:
    """Of a release that is not the live one with where the other log is: either may be what was looked for."""
    said = f"release {release} of {project}"
    if live == release:
        return f"{said}, which is live"
    if live is None:
        return f"{said}; none is live"
    return f"{said}; release {live} is live: `placet logs {project} --release {live}`"


async def events(arguments: Namespace, screen: Screen) -> int:
    told = 0
    async with connect() as platform:
        happened = platform.events(
            after=arguments.first - 1, type=arguments.type, project=arguments.project, follow=arguments.follow
        )
        async with aclosing(happened):
            async for event in happened:
                screen.line(event)
                told += 1
    if not told and not arguments.follow:
        screen.note(_nothing(arguments.first, None, type=arguments.type, project=arguments.project))
    return exits.DONE


async def replay(arguments: Namespace, screen: Screen) -> int:
    if arguments.until is not None and arguments.until < arguments.first:
        raise WrongUsageError(
            f"--until {arguments.until} lies before --from {arguments.first}",
            fix="the last position comes second",
        )
    told = 0
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
                told += 1
    if not told:
        screen.note(_nothing(arguments.first, arguments.until, project=arguments.project))
    return exits.DONE


def _nothing(first: int, last: int | None, *, project: str | None, type: str | None = None) -> str:
    """Why nothing was told, so that a mistyped name does not look like a project to which nothing happened."""
    asked = [
        f"of a type like {type!r}" if type else "",
        f"of a project called {project!r}" if project else "",
        f"from position {first} on" if first > 1 and last is None else "",
        f"between positions {first} and {last}" if last is not None else "",
    ]
    return " ".join(("the log has no event", *filter(None, asked)))
