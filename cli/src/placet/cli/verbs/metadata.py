"""Reporting what happened to a model, from files that other tools write or by hand, and what was reported."""

from __future__ import annotations

import secrets
import sys
from argparse import Namespace
from codecs import BOM_UTF8
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from placet.cli import exits
from placet.cli.screen import Screen
from placet.cli.session import connect
from placet.cli.sizes import counted
from placet.client import Client, Report
from placet.errors import PlacetError, Refused, TooLarge

MAX_FILE_BYTES = 64 * 1024**2
EVENTS_AT_ONCE = 100
BYTES_AT_ONCE = 900 * 1024
"""A request holds a megabyte, and between its events there are commas."""


async def report(arguments: Namespace, screen: Screen) -> int:
    _must_be_meant(arguments)
    async with connect() as platform:
        if arguments.schema is not None:
            return await _schema(platform, arguments.schema, screen)
        if arguments.list is not None:
            return await _list(platform, arguments, screen)
        events = [_incident(arguments)] if arguments.incident is not None else _events(arguments.file)
        return await _send(platform, events, arguments, screen)


def _must_be_meant(arguments: Namespace) -> None:
    """What argparse cannot say of options that belong together."""
    instead = [name for name in ("incident", "list", "schema") if getattr(arguments, name) is not None]
    if (arguments.file is None) == (not instead):
        raise exits.WrongUsageError(
            "a FILE is missing" if not instead else f"a FILE and --{instead[0]} are two things",
            fix="give one, or --incident, --list or --schema",
        )
    is_incident = arguments.incident is not None
    if is_incident and arguments.severity is None:
        raise exits.WrongUsageError("an incident has a --severity", fix="low, medium, high or critical")
    if not is_incident and (arguments.severity or arguments.summary or arguments.resolved):
        raise exits.WrongUsageError(
            "--severity, --summary and --resolved are of an --incident", fix="name which one it is"
        )
    if arguments.kind is not None and arguments.list is None:
        raise exits.WrongUsageError(
            "--kind is for --list", fix="the events in a file say of which kind they are"
        )
    is_sent = is_incident or arguments.file is not None
    if is_sent and arguments.project is None:
        raise exits.WrongUsageError("a --project is missing", fix="say what it is about")
    if not is_sent and arguments.project is not None:
        raise exits.WrongUsageError("--project is of what is sent", fix="leave it out")


async def _schema(platform: Client, kind: str, screen: Screen) -> int:
    schema = await platform.report_schema(kind)
    screen.result(msgspec.json.format(msgspec.json.encode(schema), indent=2).decode())
    screen.document(schema)
    return exits.DONE


async def _list(platform: Client, arguments: Namespace, screen: Screen) -> int:
    found = await platform.reports(arguments.list, kind=arguments.kind, release=arguments.release)
    if arguments.source is not None:
        found = tuple(each for each in found if each.source == arguments.source)
    screen.table(
        ("AT", "KIND", "OF", "WHAT", "BY", "SUMMARY"),
        [
            (
                each.at,
                each.kind,
                _of(each),
                _what(each),
                each.reported_by.name or each.reported_by.person,
                each.summary and each.summary.replace("\n", " "),
            )
            for each in found
        ],
    )
    if not found:
        screen.note(f"nobody has reported such of {arguments.list}")
    screen.document({"project": arguments.list, "reports": [each.to_json() for each in found]})
    return exits.DONE


async def _send(platform: Client, events: Sequence[Any], arguments: Namespace, screen: Screen) -> int:
    taken: list[Report] = []
    for part in _parts(events):
        try:
            taken += await platform.report(
                arguments.project, part, release=arguments.release, source=arguments.source
            )
        except PlacetError:
            if len(part) < len(events):
                screen.note(
                    f"of {counted(len(events), 'event')} {len(taken)} were taken, and places count from number"
                    f" {len(taken) + 1} on; what is sent again is the same report"
                )
            raise
    for each in taken:
        screen.result(f"{each.report}  {each.kind}  {_what(each)}")
    screen.document({"project": arguments.project, "reports": [each.to_json() for each in taken]})
    return exits.DONE


def _incident(arguments: Namespace) -> dict[str, Any]:
    now = datetime.now(UTC)  # noqa: TID251 (the command is where a person's clock comes in)
    said = {
        "incident": arguments.incident,
        "severity": arguments.severity,
        "status": "resolved" if arguments.resolved else "open",
    }
    return {
        "specversion": "1.0",
        "id": secrets.token_hex(16),
        "source": "placet-cli",
        "type": "placet.report.incident.v1",
        "time": now.isoformat(timespec="milliseconds"),
        "data": said if arguments.summary is None else said | {"summary": arguments.summary},
    }


def _events(name: str) -> list[Any]:
    """What a file holds: one event, a list of them, or one a line, as OpenLineage's file transport writes them."""
    text = _read(name)
    try:
        whole = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        whole = list(_lines(name, text))
    events = whole if isinstance(whole, list) else [whole]
    if not events:
        raise Refused(f"{name} holds no event", fix="give one, a JSON list of them, or one a line")
    return events


def _lines(name: str, text: bytes) -> Iterator[Any]:
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            yield msgspec.json.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Refused(
                f"{name}, line {number}: this is no JSON: {error}",
                fix="give one event, a JSON list of them, or one a line",
            ) from error


def _read(name: str) -> bytes:
    try:
        if name == "-":
            text = sys.stdin.buffer.read(MAX_FILE_BYTES + 1)
        else:
            with Path(name).open("rb") as file:
                text = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise Refused(f"{name} cannot be read: {error.strerror}") from error
    if len(text) > MAX_FILE_BYTES:
        raise TooLarge(f"{name} is more than {MAX_FILE_BYTES} bytes", fix="report it in several files")
    return text.removeprefix(BOM_UTF8)


def _parts(events: Sequence[Any]) -> Iterator[list[Any]]:
    """As many at once as the platform takes, in their order."""
    part: list[Any] = []
    size = 0
    for event in events:
        bytes_of_it = len(msgspec.json.encode(event))
        if part and (len(part) == EVENTS_AT_ONCE or size + bytes_of_it > BYTES_AT_ONCE):
            yield part
            part, size = [], 0
        part.append(event)
        size += bytes_of_it
    if part:
        yield part


def _of(told: Report) -> str:
    return f"release {told.release}" if told.release is not None else told.source or "the project"


def _what(told: Report) -> str:
    """The gist of it on one line; --json has all."""
    said = told.content
    match told.kind:
        case "run":
            return f"{said.get('step')} {said.get('state')}: {said.get('job')}"
        case "incident":
            return f"{said.get('incident')}: {said.get('severity')}, {said.get('status')}"
        case _:
            metrics = [
                f"{each.get('metric')} {each.get('value')}" for each in islice(said.get("metrics", ()), 3)
            ]
            more = len(said.get("metrics", ())) - len(metrics)
            return ", ".join(metrics) + (f" and {more} more" if more > 0 else "")
