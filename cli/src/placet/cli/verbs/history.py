"""Verbs for what was so at another time: the platform's state, who approved what, exceptions, and what ends soon."""

from __future__ import annotations

from argparse import Namespace
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

from placet.cli import exits
from placet.cli.exits import WrongUsageError
from placet.cli.screen import Screen
from placet.cli.session import connect
from placet.cli.sizes import counted
from placet.client import AsOf, Client, Entity, StateThen

Json = dict[str, Any]

_OF_EVENTS = {
    "first": "--from",
    "until": "--until",
    "type": "--type",
    "since": "--since",
    "until_time": "--until-time",
}
_OF_STATES = {"at": "--at", "position": "--position", "release": "--release", "compare": "--compare"}


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
    async with connect() as platform, _asked(platform, arguments) as then:
        async for each in then.entities:
            screen.line(each.to_json())
            kinds[each.kind] += 1
    _tell_of_when(then.as_of, screen)
    screen.note(
        ", ".join(f"{count} {_named(kind, count)}" for kind, count in sorted(kinds.items()))
        or "nothing was known yet"
    )
    return exits.DONE


def refuse_options_of_states(arguments: Namespace) -> None:
    for name, option in _OF_STATES.items():
        if getattr(arguments, name) is not None:
            raise WrongUsageError(f"{option} is for a state", fix="give --state with it")


def _named(kind: str, count: int) -> str:
    """As a noun of so many."""
    if count == 1 or kind.endswith("s"):
        return kind
    return f"{kind[:-1]}ies" if kind.endswith("y") and kind[-2] not in "aeo" else f"{kind}s"


def _asked(platform: Client, arguments: Namespace) -> AbstractAsyncContextManager[StateThen]:
    return platform.state(
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
        _asked(platform, arguments) as before,
        platform.state(
            at=other if position is None else None,
            position=position,
            project=arguments.project,
            release=arguments.release,
        ) as after,
    ):
        async for change in _changes(before.entities, after.entities):
            screen.line(change)
            changes[change["change"]] += 1
    for each in (before, after):
        _tell_of_when(each.as_of, screen)
    told = ", ".join(f"{count} {change}" for change, count in sorted(changes.items()))
    screen.note(told or "nothing is different between both")
    return exits.DONE


async def _changes(before: AsyncIterator[Entity], after: AsyncIterator[Entity]) -> AsyncIterator[Json]:
    one, other = await anext(before, None), await anext(after, None)
    while one is not None or other is not None:
        if one is not None and (other is None or _key(one) < _key(other)):
            yield _change("gone", one, one, None)
            one = await anext(before, None)
        elif other is not None and (one is None or _key(other) < _key(one)):
            yield _change("added", other, None, other)
            other = await anext(after, None)
        elif one is not None and other is not None:
            if _facts(one) != _facts(other):
                yield _change("changed", other, one, other)
            one, other = await anext(before, None), await anext(after, None)


def _key(entity: Entity) -> tuple[str, str, int, str]:
    """As the platform orders them."""
    return entity.kind, entity.project or "", entity.release or 0, entity.id


def _facts(entity: Entity | None) -> Json:
    return {} if entity is None else {"state": entity.state, **entity.facts}


def _change(kind: str, of: Entity, before: Entity | None, after: Entity | None) -> Json:
    """Field by field; the position is of the event that said what is so in the second, or in the first of the gone."""
    one, other = _facts(before), _facts(after)
    said: Mapping[str, int] = {**(before.said if before else {}), **(after.said if after else {})}
    fields = {
        name: {"before": one.get(name), "after": other.get(name), "position": said.get(name)}
        for name in {**one, **other}
        if one.get(name) != other.get(name)
    }
    return {
        "change": kind,
        **{"kind": of.kind, "id": of.id, "project": of.project, "release": of.release},
        "fields": fields,
    }


def _tell_of_when(as_of: AsOf, screen: Screen) -> None:
    screen.note(f"as it was at {as_of.at}, from the log up to position {as_of.position}")
    _tell_what_was_meant(as_of, screen)


def _tell_what_was_meant(as_of: AsOf, screen: Screen) -> None:
    if as_of.note is not None:
        screen.note(as_of.note)


async def who_approved(arguments: Namespace, screen: Screen) -> int:
    async with connect() as platform:
        found = await platform.approvals_in_log(
            project=arguments.project, release=arguments.release, at=arguments.at
        )
    screen.table(
        ("RELEASE", "WHAT", "BY", "AS", "AT", "COUNTED FOR", "POSITION"),
        [_approval(each) for each in found],
    )
    if not found.entries:
        of = f"release {arguments.release} of " if arguments.release is not None else ""
        screen.note(f"nobody approved anything of {of}{arguments.project}")
    _tell_what_was_meant(found.as_of, screen)
    screen.document({**found.as_of.to_json(), "approvals": [each.to_json() for each in found]})
    return exits.DONE


def _approval(each: Entity) -> tuple[object | None, ...]:
    said, facts = each.said, each.facts
    if each.kind == "review":
        what = "review owed" if each.state == "owed" else "review"
        position = said.get("givenAt") or said.get("owedAt")
        return each.release, what, facts.get("givenBy"), "-", facts.get("givenAt"), each.id, position
    what = "breaks the glass" if facts["breakGlass"] else "approval"
    counted = ", ".join(facts["countedFor"]) or "nothing"
    roles = ", ".join(facts["roles"])
    return each.release, what, facts["givenBy"], roles, facts["givenAt"], counted, said["givenAt"]


async def exceptions(arguments: Namespace, screen: Screen) -> int:
    async with connect() as platform:
        found = await platform.exceptions_in_log(
            project=arguments.project, state=arguments.state, at=arguments.at
        )
    screen.table(
        (
            "EXCEPTION",
            "PROJECT",
            "RULE",
            "STATE",
            "UNTIL",
            "ASKED BY",
            "GRANTED BY",
            "WITHDRAWN BY",
            "USED BY",
            "POSITION",
        ),
        [
            (
                each.id,
                each.project,
                each.facts.get("rule"),
                each.state,
                each.facts.get("until"),
                each.facts.get("requestedBy"),
                each.facts.get("grantedBy"),
                each.facts.get("withdrawnBy"),
                ", ".join(each.facts["usedBy"]) or None,
                each.said["state"],
            )
            for each in found
        ],
    )
    if not found.entries:
        screen.note("there was no such exception")
    _tell_what_was_meant(found.as_of, screen)
    screen.document({**found.as_of.to_json(), "exceptions": [each.to_json() for each in found]})
    return exits.DONE


async def expiring(arguments: Namespace, screen: Screen) -> int:
    async with connect() as platform:
        found = await platform.expiring(within=arguments.within, project=arguments.project, at=arguments.at)
    screen.table(
        ("CERTIFICATE", "PROJECT", "RELEASE", "STATE", "UNTIL", "LEFT", "SERVES", "RENEWED BY"),
        [
            (
                each.certificate,
                each.project,
                each.release,
                each.state,
                each.not_after,
                _span(each.left),
                "yes" if each.serves else "no",
                each.renewed_by,
            )
            for each in found
        ],
    )
    pressing = [each for each in found if each.serves and each.renewed_by is None]
    if not found.entries:
        screen.note("no certificate ends in that time")
    elif pressing:
        screen.note(
            f"models serve on {len(pressing)} of them, and will leave their route"
            f"\n  fix: `placet certificate renew {pressing[0].project}`"
        )
    _tell_what_was_meant(found.as_of, screen)
    screen.document({**found.as_of.to_json(), "certificates": [each.to_json() for each in found]})
    return exits.DONE


def _span(seconds: int) -> str:
    if seconds >= 2 * 86400:
        return counted(seconds // 86400, "day")
    return counted(seconds // 3600, "hour") if seconds >= 2 * 3600 else counted(seconds // 60, "minute")
