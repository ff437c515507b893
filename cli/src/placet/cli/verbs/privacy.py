"""Verbs for what is held about people: who is known, what there is, and how it is erased."""

from __future__ import annotations

import re
from argparse import Namespace
from collections.abc import Sequence

from placet.cli import exits
from placet.cli.screen import Screen
from placet.cli.session import connect
from placet.cli.sizes import counted
from placet.client import Client, Held, KnownPerson, Words
from placet.errors import Unknown

PERSON = "person:"
_ID = re.compile("person:[0-9a-f-]{36}")


async def people(arguments: Namespace, screen: Screen) -> int:
    async with connect() as platform:
        found = await platform.people()
    screen.table(("PERSON", "NAME", "STATE"), [(each.person, each.name, each.state) for each in found])
    screen.document({"people": [each.to_json() for each in found]})
    return exits.DONE


async def show(arguments: Namespace, screen: Screen) -> int:
    async with connect() as platform:
        held = await platform.held(await _id(platform, arguments.person))
        words = await platform.words_of(held.person)
    _tell(held, words, screen)
    screen.document(held.to_json() | {"given": [each.to_json() for each in words]})
    return exits.DONE


async def erase(arguments: Namespace, screen: Screen) -> int:
    async with connect() as platform:
        held = await platform.held(await _id(platform, arguments.person))
        if not arguments.yes and held.state == "known":
            _tell(held, (), screen)
            _foretell(held, screen)
            screen.document(held.to_json())
            return exits.DONE
        held = await platform.erase_person(held.person)
        if held.state == "erasing":
            screen.note(
                f"{held.person} can be read by nobody any more; removing what they left in the registry …"
            )
            held = await platform.erased(held.person)
    screen.result(f"{held.person} is erased, and told of as {held.name}")
    screen.note("the audit log is as it was; `placet audit verify` proves that it holds")
    if held.artifacts_kept:
        screen.error(
            f"{counted(held.artifacts_kept, 'artifact')} stayed: the registry removes nothing, or their name was lost"
            " with the gateway's database",
            fix="allow deletions there, and remove them by hand, or when their time is over:"
            " docs/how-to/erase-a-person.md",
        )
    if held.scrubbed is False:
        screen.error(
            "their key may still be in the files of the database, whose tables the gateway does not own",
            fix="have their owner run VACUUM FULL on person_keys, people and names_alike",
        )
    screen.document(held.to_json())
    return exits.DONE


async def retention(arguments: Namespace, screen: Screen) -> int:
    async with connect() as platform:
        told = await platform.retention()
    screen.table(
        ("KIND", "WHAT", "DAYS", "THERE", "DUE", "KEPT", "NEXT"),
        [
            (each.kind, each.what, each.days, each.number, each.due, each.kept, each.next_at)
            for each in told.classes
        ],
    )
    _table(
        screen,
        ("HELD", "SINCE", "BY", "WHY"),
        [
            (
                each.project,
                each.placed_at,
                each.placed_by and (each.placed_by.name or each.placed_by.person),
                each.reason and each.reason.replace("\n", " "),
            )
            for each in told.holds
        ],
    )
    screen.note(
        "what is due goes once a day; KEPT is over its time, and a certificate holds still or it is held"
    )
    screen.note("sources and images: `placet garbage`; the audit log is never cut")
    screen.document(told.to_json())
    return exits.DONE


async def hold(arguments: Namespace, screen: Screen) -> int:
    async with connect() as platform:
        held = await platform.hold(arguments.project, reason=arguments.reason)
    screen.result(f"{held.project} is held since {held.placed_at}")
    if held.reason != arguments.reason:
        screen.note(f"it was held before, and the first reason stays: {held.reason}")
    screen.document(held.to_json())
    return exits.DONE


async def release(arguments: Namespace, screen: Screen) -> int:
    async with connect() as platform:
        await platform.release_hold(arguments.project)
    screen.result(f"{arguments.project} is not held")
    screen.document({"project": arguments.project, "held": False})
    return exits.DONE


async def _id(platform: Client, person: str) -> str:
    """Names stay on this side: an address is written into logs."""
    if person.startswith(PERSON):
        if not _ID.fullmatch(person):
            raise Unknown(
                f"{person!r} is no id of a person", fix="`placet privacy list` names everybody with their ids"
            )
        return person
    found = [each for each in await platform.people() if _is_called(each, person)]
    if not found:
        raise Unknown(
            f"nobody is called {person!r} here", fix="`placet privacy list` names everybody with their ids"
        )
    return found[0].person


def _is_called(one: KnownPerson, name: str) -> bool:
    return one.name is not None and one.name.casefold() == name.casefold()


def _tell(held: Held, words: Sequence[Words], screen: Screen) -> None:
    screen.result(f"{held.name or 'no name'}  {held.person}  {held.state}")
    _table(
        screen,
        ("TOKEN", "ROLES", "SINCE", "UNTIL", ""),
        [
            (each.id, ", ".join(each.roles), each.issued_at, each.expires, "revoked" if each.revoked else "")
            for each in held.tokens
        ],
    )
    _table(
        screen,
        ("ANSWERED", "PROJECT", "AT"),
        [(each.assessment, each.project, each.answered_at) for each in held.answers],
    )
    _table(screen, ("NAMED IN SOURCE", "AS"), [(each.source, each.as_) for each in held.named_by])
    _table(
        screen,
        ("WORDS ABOUT", "AT", "WORDS"),
        [(each.of, each.given_at, (each.words or "").replace("\n", " ")) for each in words],
    )
    _table(screen, ("DID", "TIMES"), [(what, times) for what, times in held.acts.items() if times])


def _table(screen: Screen, head: Sequence[str], rows: Sequence[Sequence[object | None]]) -> None:
    """Nothing where there is nothing to tell."""
    if rows:
        screen.table(head, rows)


def _foretell(held: Held, screen: Screen) -> None:
    live = sum(not each.revoked for each in held.tokens)
    words = counted(held.words, "reason or summary", "reasons and summaries")
    answers = counted(len(held.answers), "set of answers", "sets of answers")
    screen.note(
        f"erasing destroys their key, and with it their name and {words}; revokes {counted(live, 'token')}; removes"
        f" {answers}, and what rules saw that names them"
    )
    if held.named_by:
        screen.note(
            f"{counted(len(held.named_by), 'source names', 'sources name')} them in placet.yaml, and stay"
            " as long as a certificate stands on that; `placet garbage` shows the rest"
        )
    screen.note(
        f"nothing was erased; `placet privacy erase {held.person} --yes` does it, and cannot be undone"
    )
