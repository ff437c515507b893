"""Verbs for what was so at another time: the platform's state, who approved what, exceptions, and what ends soon."""

from __future__ import annotations

from argparse import Namespace
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any

from placet.cli import exits
from placet.cli.exits import WrongUsageError
from placet.cli.screen import Screen
from placet.cli.session import connect
from placet.client import Client

Json = dict[str, Any]

_OF_EVENTS = {
    "first": "--from",
    "until": "--until",
    "type": "--type",
    "since": "--since",
    "until_time": "--until-time",
}
_OF_STATES = {"at": "--at", "position": "--position", "release": "--release", "compare": "--compare"}
_IS_WHAT = ("kind", "id", "project", "release", "said")


async def state(arguments: Namespace, screen: Screen) -> int:
    """`placet audit replay --state`: one entity a line."""
    for name, option in _OF_EVENTS.items():
        if getattr(arguments, name) is not None:
            raise WrongUsageError(
                f"{option} is for events, and --state is what they amount to",
                fix="say of when it is with --at T or --position N",
            )
    if arguments.release is not None and arguments.project is None:
        raise WrongUsageError("a release is one of a project", fix="give --project P with it")
    if arguments.at is not None and arguments.position is not None:
        raise WrongUsageError("--at and --position both say of when it is", fix="give one of them")
    if arguments.compare is not None:
        return await _compare(arguments, screen)
    kinds: Counter[str] = Counter()
    async with connect() as platform, aclosing(_asked(platform, arguments)) as entities:
        head = await anext(entities)
        async for each in entities:
            screen.line(each)
            kinds[each["kind"]] += 1
    _tell_of_when(head, screen)
    screen.note(
        ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())) or "nothing was known yet"
    )
    return exits.DONE


def refuse_options_of_states(arguments: Namespace) -> None:
    for name, option in _OF_STATES.items():
        if getattr(arguments, name) is not None:
            raise WrongUsageError(f"{option} is for a state", fix="give --state with it")


def _asked(platform: Client, arguments: Namespace) -> AsyncGenerator[Json]:
    return platform.states(
        at=arguments.at,
        position=arguments.position,
        project=arguments.project,
        release=arguments.release,
    )


async def _compare(arguments: Namespace, screen: Screen) -> int:
    """Both states come in one order, so neither is held here: what the one has and the other has not is seen on the
    way."""
    other: str = arguments.compare
    position = int(other) if other.isdecimal() else None
    changes: Counter[str] = Counter()
    async with (
        connect() as platform,
        aclosing(_asked(platform, arguments)) as before,
        aclosing(
            platform.states(
                at=other if position is None else None,
                position=position,
                project=arguments.project,
                release=arguments.release,
            )
        ) as after,
    ):
        heads = await anext(before), await anext(after)
        async for change in _changes(before, after):
            screen.line(change)
            changes[change["change"]] += 1
    for head in heads:
        _tell_of_when(head, screen)
    told = ", ".join(f"{count} {change}" for change, count in sorted(changes.items()))
    screen.note(told or "nothing is different between both")
    return exits.DONE


async def _changes(before: AsyncIterator[Json], after: AsyncIterator[Json]) -> AsyncIterator[Json]:
    one, other = await anext(before, None), await anext(after, None)
    while one is not None or other is not None:
        if other is None or (one is not None and _key(one) < _key(other)):
            yield _change("gone", one or {}, one or {}, {})
            one = await anext(before, None)
        elif one is None or _key(other) < _key(one):
            yield _change("added", other, {}, other)
            other = await anext(after, None)
        else:
            if _facts(one) != _facts(other):
                yield _change("changed", other, one, other)
            one, other = await anext(before, None), await anext(after, None)


def _key(entity: Json) -> tuple[str, str, int, str]:
    """As the platform orders them."""
    return entity["kind"], entity["project"] or "", entity["release"] or 0, entity["id"]


def _facts(entity: Json) -> Json:
    return {name: value for name, value in entity.items() if name not in _IS_WHAT}


def _change(kind: str, of: Json, before: Json, after: Json) -> Json:
    """Field by field; the position is of the event that said what is so in the second, or in the first of the gone."""
    one, other = _facts(before), _facts(after)
    said: Mapping[str, int] = {**before.get("said", {}), **after.get("said", {})}
    fields = {
        name: {"before": one.get(name), "after": other.get(name), "position": said.get(name)}
        for name in {**one, **other}
        if one.get(name) != other.get(name)
    }
    return {
        "change": kind,
        **{name: of[name] for name in ("kind", "id", "project", "release")},
        "fields": fields,
    }


def _tell_of_when(head: Json, screen: Screen) -> None:
    screen.note(f"as it was at {head['at']}, from the log up to position {head['position']}")
    if head["asked"] is not None and len(head["asked"]) == len("2026-03-01"):
        screen.note(f"{head['asked']} is taken up to its end in UTC")
    if head["unread"]:
        screen.note(f"the log has events that the platform cannot read: {', '.join(head['unread'])}")


async def who_approved(arguments: Namespace, screen: Screen) -> int:
    async with connect() as platform:
        found = [
            each
            async for each in platform.approvals_in_log(
                project=arguments.project, release=arguments.release, at=arguments.at
            )
        ]
    screen.table(
        ("RELEASE", "WHAT", "BY", "AS", "AT", "COUNTED FOR", "POSITION"),
        [_approval(each) for each in found],
    )
    if not found:
        of = f"release {arguments.release} of " if arguments.release is not None else ""
        screen.note(f"nobody approved anything of {of}{arguments.project}")
    screen.document({"approvals": found})
    return exits.DONE


def _approval(each: Json) -> tuple[object | None, ...]:
    if each["kind"] == "review":
        what = "review owed" if each["state"] == "owed" else "review"
        position = each["said"].get("givenAt") or each["said"].get("owedAt")
        return each["release"], what, each.get("givenBy"), "-", each.get("givenAt"), each["id"], position
    what = "breaks the glass" if each["breakGlass"] else "approval"
    counted = ", ".join(each["countedFor"]) or "nothing"
    roles = ", ".join(each["roles"])
    return each["release"], what, each["givenBy"], roles, each["givenAt"], counted, each["said"]["givenAt"]


async def exceptions(arguments: Namespace, screen: Screen) -> int:
    async with connect() as platform:
        found = [
            each
            async for each in platform.exceptions_in_log(
                project=arguments.project, state=arguments.state, at=arguments.at
            )
        ]
    screen.table(
        ("EXCEPTION", "PROJECT", "RULE", "STATE", "UNTIL", "ASKED BY", "GRANTED BY", "USED BY", "POSITION"),
        [
            (
                each["id"],
                each["project"],
                each.get("rule"),
                each["state"],
                each.get("until"),
                each.get("requestedBy"),
                each.get("grantedBy"),
                ", ".join(each["usedBy"]) or None,
                each["said"]["state"],
            )
            for each in found
        ],
    )
    if not found:
        screen.note("there was no such exception")
    screen.document({"exceptions": found})
    return exits.DONE


async def expiring(arguments: Namespace, screen: Screen) -> int:
    async with connect() as platform:
        found = [
            each
            async for each in platform.expiring(
                within=arguments.within, project=arguments.project, at=arguments.at
            )
        ]
    screen.table(
        ("CERTIFICATE", "PROJECT", "RELEASE", "STATE", "UNTIL", "LEFT", "SERVES", "RENEWED BY"),
        [
            (
                each["certificate"],
                each["project"],
                each["release"],
                each["state"],
                each["notAfter"],
                _span(each["left"]),
                "yes" if each["serves"] else "no",
                each["renewedBy"],
            )
            for each in found
        ],
    )
    pressing = [each for each in found if each["serves"] and each["renewedBy"] is None]
    if not found:
        screen.note("no certificate ends in that time")
    elif pressing:
        screen.note(
            f"models serve on {len(pressing)} of them, and will leave their route"
            f"\n  fix: `placet certificate renew {pressing[0]['project']}`"
        )
    screen.document({"certificates": found})
    return exits.DONE


def _span(seconds: int) -> str:
    if seconds >= 2 * 86400:
        return f"{seconds // 86400} days"
    return f"{seconds // 3600} hours" if seconds >= 2 * 3600 else f"{seconds // 60} minutes"
