"""Verbs that read what was said: a model's log, its build's, the events, the audit log."""

from __future__ import annotations

import asyncio
from argparse import Namespace
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from datetime import datetime
from typing import NoReturn

from placet.cli import exits
from placet.cli.exits import WrongUsageError
from placet.cli.screen import Screen
from placet.cli.session import connect
from placet.cli.sizes import in_utc
from placet.cli.verbs import history
from placet.client import Client, CloudEvent, Image
from placet.errors import Unknown

_PAUSE = 0.2
"""Seconds between looks for a build that is to come."""


async def logs(arguments: Namespace, screen: Screen) -> int:
    if arguments.build:
        return await _of_build(arguments, screen)
    project: str = arguments.project
    async with connect() as platform:
        try:
            async with platform.log(
                project,
                release=arguments.release,
                replica=arguments.replica,
                follow=arguments.follow,
                tail=arguments.tail,
            ) as log:
                if log.release is not None:
                    screen.note(_whose(project, log.release, log.live))
                await _tell(log.lines, screen, project, log.release, follow=arguments.follow)
            if arguments.follow:
                await _must_be_readable(platform, project)
        except Unknown as none:
            unbuilt = await _unbuilt(platform, project, arguments.release)
            if unbuilt is None:
                raise
            raise Unknown(
                f"release {unbuilt} of {project} never ran: its build failed",
                fix=f"`placet logs {project} --release {unbuilt} --build` shows what the builder wrote",
            ) from none
    return exits.DONE


async def _of_build(arguments: Namespace, screen: Screen) -> int:
    project: str = arguments.project
    if arguments.tail is not None:
        raise WrongUsageError("--tail is for what a model wrote", fix="leave it out: a build's log is short")
    if arguments.replica is not None:
        raise WrongUsageError("--replica is for what a model wrote", fix="leave it out: a build has none")
    async with connect() as platform:
        release = arguments.release or await _newest(platform, project)
        is_waiting = False
        while True:
            state = await _before_its_build(
                platform, project, release
            )  # first: what begins meanwhile has a log
            try:
                async with platform.build_log(project, release, follow=arguments.follow) as lines:
                    screen.note(f"the build of release {release} of {project}")
                    await _tell(lines, screen, project, release, follow=arguments.follow)
                if arguments.follow:
                    await _must_be_readable(platform, project)
                return exits.DONE
            except Unknown as none:
                if state is None or not arguments.follow:
                    await _tell_why_not(platform, project, release, state, none)
            if not is_waiting:
                screen.note(f"the build of release {release} of {project} is waited for: it is {state}")
            is_waiting = True
            await asyncio.sleep(_PAUSE)


async def _must_be_readable(platform: Client, project: str) -> None:
    """A log that is followed ends with what writes it, or because one may not read it any more: that is an error."""
    with suppress(Unknown):
        await platform.model(project)


async def _tell_why_not(
    platform: Client, project: str, release: int, state: str | None, none: Unknown
) -> NoReturn:
    if state is not None:
        raise Unknown(
            f"the build of release {release} of {project} has not begun: it is {state}",
            fix=f"`placet logs {project} --release {release} --build -f` waits for it",
        ) from none
    image = await _reused(platform, project, release)
    if image is None:
        raise none
    raise Unknown(
        f"nothing was built for release {release} of {project}: its image was there",
        fix=f"`placet logs {image.project} --release {image.release} --build` shows how that was made",
    ) from none


async def _before_its_build(platform: Client, project: str, release: int) -> str | None:
    """Where a release stands that may still be built; none of one that has an image, or will have none."""
    with suppress(Unknown):
        last = (await platform.model(project)).operation
        if last and last.release == release and last.image is None and not last.is_over:
            return last.state
    return None


async def _unbuilt(platform: Client, project: str, release: int | None) -> int | None:
    """The release that was asked for, or the newest one, if it never ran since its build failed."""
    with suppress(Unknown):
        last = (await platform.model(project)).operation
        failed = {(step.name, step.state) for step in last.steps} if last else ()
        if last and release in (None, last.release) and ("built", "failed") in failed:
            return last.release
    return None


async def _reused(platform: Client, project: str, release: int) -> Image | None:
    """The image of a release, if another one's build made it. Of older releases than the last it is not known."""
    with suppress(Unknown):
        model = await platform.model(project)
        for each in (model.cause, model.operation):
            if each is not None and each.release == release and each.image is not None:
                image = await platform.image(each.image)
                return None if (image.project, image.release) == (project, release) else image
    return None


async def _newest(platform: Client, project: str) -> int:
    """The newest release that is known of, whether it came to be served or not. Raises Unknown where none is: of what
    was deleted the platform does not say."""
    model = await platform.model(project)
    said = (model.release, *(each.release for each in (model.cause, model.operation) if each is not None))
    known = [release for release in said if release is not None]
    if not known:
        raise Unknown(
            f"{project} is {model.state}, and which release was its newest is not known any more",
            fix=f"name it with --release; `placet list --images --project {project}` shows those that have an image",
        )
    return max(known)


async def _tell(
    lines: AsyncIterator[str], screen: Screen, project: str, release: int | None, *, follow: bool
) -> None:
    kept: list[str] = []
    async for line in lines:
        if not screen.is_json:
            screen.log_line(line)
        elif follow:
            screen.line({"project": project, "release": release, "line": line})
        else:
            kept.append(line)
    if not follow:
        screen.document({"project": project, "release": release, "lines": kept})


def _whose(project: str, release: int, live: int | None) -> str:
    """Of a release that is not the live one with where the other log is: either may be what was looked for."""
    said = f"release {release} of {project}"
    if live == release:
        return f"{said}, which is live"
    if live is None:
        return f"{said}; none is live"
    return f"{said}; release {live} is live: `placet logs {project} --release {live}`"


async def events(arguments: Namespace, screen: Screen) -> int:
    _must_be_in_order(arguments.since, arguments.until, "--until")
    told = 0
    async with connect() as platform:
        happened = platform.events(
            after=arguments.first - 1,
            type=arguments.type,
            project=arguments.project,
            since=arguments.since,
            until=arguments.until,
            follow=arguments.follow,
        )
        async with aclosing(happened):
            async for event in happened:
                screen.line(event)
                told += 1
    if not told and not arguments.follow:
        times = _between(arguments.since, arguments.until)
        screen.note(
            _nothing(arguments.first, None, type=arguments.type, project=arguments.project, times=times)
        )
    return exits.DONE


async def replay(arguments: Namespace, screen: Screen) -> int:
    if arguments.state:
        return await history.state(arguments, screen)
    history.refuse_options_of_states(arguments)
    first: int = arguments.first or 1
    if arguments.until is not None and arguments.until < first:
        raise WrongUsageError(
            f"--until {arguments.until} lies before --from {first}",
            fix="the last position comes second",
        )
    _must_be_in_order(arguments.since, arguments.until_time, "--until-time")
    told = 0
    async with (
        connect() as platform,
        aclosing(platform.entries(after=first - 1, until=arguments.until)) as entries,
    ):
        async for entry in entries:
            if _is_wanted(entry.event, arguments):
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
        times = _between(arguments.since, arguments.until_time)
        screen.note(
            _nothing(first, arguments.until, project=arguments.project, type=arguments.type, times=times)
        )
    return exits.DONE


def _is_wanted(event: CloudEvent, arguments: Namespace) -> bool:
    """Every entry is read whatever is asked for, so that a hole between those that are wanted is seen, too."""
    if arguments.project not in (None, event.get("partitionkey")):
        return False
    if arguments.type is not None and not _matches(arguments.type, str(event.get("type"))):
        return False
    if arguments.since is None and arguments.until_time is None:
        return True
    time = datetime.fromisoformat(str(event.get("time")))
    return (arguments.since is None or time >= arguments.since) and (
        arguments.until_time is None or time <= arguments.until_time
    )


def _matches(glob: str, type: str) -> bool:
    """As the platform does: `*` stands for any text, and nothing else for anything but itself."""
    first, *parts = glob.split("*")
    if not parts:
        return glob == type
    *middle, last = parts
    if not type.startswith(first) or len(type) < len(first) + len(last) or not type.endswith(last):
        return False
    at, end = len(first), len(type) - len(last)
    for part in middle:
        found = type.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True


def _must_be_in_order(since: datetime | None, until: datetime | None, option: str) -> None:
    if since is not None and until is not None and until < since:
        raise WrongUsageError(
            f"{option} {in_utc(until)} lies before --since {in_utc(since)}",
            fix="the last time comes second",
        )


def _between(since: datetime | None, until: datetime | None) -> str:
    first = f"since {in_utc(since)}" if since is not None else ""
    last = f"up to {in_utc(until)}" if until is not None else ""
    return " ".join(filter(None, (first, last)))


def _nothing(
    first: int, last: int | None, *, project: str | None, type: str | None = None, times: str = ""
) -> str:
    """Why nothing was told, so that a mistyped name does not look like a project to which nothing happened."""
    asked = [
        f"of a type like {type!r}" if type else "",
        f"of a project called {project!r}" if project else "",
        f"from position {first} on" if first > 1 and last is None else "",
        f"between positions {first} and {last}" if last is not None else "",
        times,
    ]
    return " ".join(("the log has no event", *filter(None, asked)))
