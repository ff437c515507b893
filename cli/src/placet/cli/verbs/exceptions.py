"""Verbs for exceptions from rules: one asks, another grants."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta

from placet.cli import exits
from placet.cli.screen import Screen
from placet.cli.session import connect
from placet.client import Person, RuleException


async def request(arguments: Namespace, screen: Screen) -> int:
    async with connect() as platform:
        asked = await platform.request_exception(
            arguments.project,
            rule=arguments.rule,
            until=_end(arguments.until, arguments.days),
            reason=arguments.reason,
            source=arguments.source,
        )
    screen.result(asked.exception)
    if asked.state == "granted":
        screen.note(f"{asked.project} is excepted from {asked.rule} until {asked.until} already")
    else:
        screen.note(
            f"{asked.project} is not yet excepted from {asked.rule}: somebody else has to grant that, an approver, of"
            f" compliance or an admin\n  placet exception grant {asked.project} {asked.exception}"
        )
    screen.document(asked.to_json())
    return exits.DONE


async def list_all(arguments: Namespace, screen: Screen) -> int:
    async with connect() as platform:
        found = await platform.exceptions(arguments.project)
    of_all = arguments.project is None
    screen.table(
        (
            "EXCEPTION",
            *(("PROJECT",) if of_all else ()),
            "RULE",
            "STATE",
            "UNTIL",
            "FOR",
            "ASKED BY",
            "GRANTED BY",
            "REASON",
        ),
        _rows(found, of_all=of_all),
    )
    if not found:
        screen.note(f"nobody has asked for an exception{'' if of_all else f' for {arguments.project}'}")
    screen.document({"exceptions": [each.to_json() for each in found]})
    return exits.DONE


async def grant(arguments: Namespace, screen: Screen) -> int:
    async with connect() as platform:
        granted = await platform.grant_exception(arguments.project, arguments.exception)
    screen.result(f"{granted.project} is excepted from {granted.rule} until {granted.until}")
    screen.note("the next deploy uses it; what it certifies ends with it at the latest")
    screen.note("what this rule alone keeps off its route comes back by itself, where it judges what runs")
    screen.document(granted.to_json())
    return exits.DONE


async def withdraw(arguments: Namespace, screen: Screen) -> int:
    async with connect() as platform:
        gone = await platform.withdraw_exception(arguments.project, arguments.exception)
    if gone.granted_by is None:
        screen.result(f"{gone.exception} is withdrawn; it was never granted, so nothing stood on it")
    else:
        screen.result(f"{gone.exception} is withdrawn: {gone.rule} holds for {gone.project} from now on")
        screen.note(
            "what was certified with it leaves its route at once, until another exception lasts as long as it"
        )
    screen.document(gone.to_json())
    return exits.DONE


def _end(until: date | None, days: int | None) -> datetime:
    """The beginning of a day in UTC: asked for twice on one day, it is the same end."""
    if until is None:
        today = datetime.now(UTC).date()  # noqa: TID251 (the command is where a person's clock comes in)
        until = today + timedelta(days=days or 0)
    return datetime.combine(until, time(), UTC)


def _rows(exceptions: Sequence[RuleException], *, of_all: bool) -> list[tuple[object | None, ...]]:
    return [
        (
            each.exception,
            *((each.project,) if of_all else ()),
            each.rule,
            each.state,
            each.until,
            "any source" if each.source is None else each.source,
            _name(each.requested_by),
            _name(each.granted_by),
            each.reason and each.reason.replace("\n", " "),
        )
        for each in exceptions
    ]


def _name(somebody: Person | None) -> str | None:
    return None if somebody is None else somebody.name or somebody.person
