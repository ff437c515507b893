"""Approving a release that waits for it: what is waited for is shown first, and exactly that is approved."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence

from placet.cli import exits
from placet.cli.exits import WrongUsageError
from placet.cli.screen import Screen, in_words
from placet.cli.session import connect
from placet.client import Approval, AwaitedRelease, Client, Person
from placet.errors import Refused


async def approve(arguments: Namespace, screen: Screen) -> int:
    if (arguments.review or arguments.break_glass) and not arguments.reason:
        raise WrongUsageError("this is not done without a reason", fix="give it with --reason TEXT")
    if arguments.review:
        return await _review(arguments, screen)
    async with connect() as platform:
        waiting = await _waiting(platform, arguments.project, arguments.release)
        _tell(waiting, arguments.project, screen)
        if arguments.look:
            screen.document(waiting.to_json())
            return exits.DONE
        given = await platform.approve(
            arguments.project,
            release=waiting.release,
            binding=arguments.binding or waiting.binding,
            reason=arguments.reason,
            roles=tuple(arguments.as_role or ()),
            break_glass=arguments.break_glass,
        )
        # Two may do it at once, and then neither was there when the other one looked.
        told = await platform.awaited(arguments.project) if given.break_glass else ()
    screen.result(given.approval)
    screen.note(
        _broken(given, waiting, told)
        if given.break_glass
        else f"release {given.release} of {given.project} is approved by you; if that was the last, it goes on:\n"
        f"  placet status {waiting.operation} --follow"
    )
    screen.document(given.to_json())
    return exits.DONE


def _broken(given: Approval, waiting: AwaitedRelease, told: Sequence[AwaitedRelease]) -> str:
    """What comes of it: the glass is broken by two."""
    approvals = [
        *waiting.approvals,
        *(of for each in told if each.release == given.release for of in each.approvals),
    ]
    others = {
        each.given_by.person
        for each in approvals
        if each.break_glass
        and each.binding == given.binding
        and each.given_by.person != given.given_by.person
    }
    release = f"release {given.release} of {given.project}"
    if others:
        return (
            f"you are the second person to say so: {release} is served for a day at most, and a review of that is"
            f" owed by somebody who had nothing to do with it:\n"
            f"  placet status {waiting.operation} --follow"
        )
    return (
        f"once a second person has said so as well, {release} is served for a day at most, and a review of that is"
        " owed:\n"
        f"  placet approve {given.project} --release {given.release} --break-glass --reason …"
    )


async def _review(arguments: Namespace, screen: Screen) -> int:
    async with connect() as platform:
        found = await platform.certificate(arguments.review)
        if found.project != arguments.project:
            raise Refused(
                f"{found.certificate} is of {found.project}, not of {arguments.project}",
                fix=f"`placet status {arguments.project}` shows what is owed for that",
            )
        standing = await platform.review_certificate(arguments.review, found=arguments.reason)
    screen.result(f"{standing.certificate} is reviewed: nothing is owed for it any more")
    screen.document(standing.to_json())
    return exits.DONE


async def _waiting(platform: Client, project: str, release: int | None) -> AwaitedRelease:
    found = [
        each
        for each in await platform.awaited(project)
        if each.state == "awaiting" and release in (None, each.release)
    ]
    match found:
        case [waiting]:
            return waiting
        case []:
            which = project if release is None else f"release {release} of {project}"
            raise Refused(
                f"nothing of {which} waits for approval",
                rule="approval.awaited",
                fix=f"see `placet status {project}`",
            )
    numbers = ", ".join(str(each.release) for each in found)
    raise Refused(f"releases {numbers} of {project} wait for approval", fix="say which, with --release N")


def _tell(waiting: AwaitedRelease, project: str, screen: Screen) -> None:
    facts = (
        ("project", f"{project}, release {waiting.release}"),
        ("asked by", _name(waiting.asked_by)),
        ("source", waiting.source),
        ("image", waiting.image),
        ("policies", ", ".join(f"{each.id} {each.version}" for each in waiting.policies)),
        ("inputs", waiting.inputs),
        ("binding", waiting.binding),
        ("until", waiting.until),
    )
    for name, value in facts:
        if value:
            screen.note(f"{name:<12} {value}")
    for each in waiting.approvals:
        of = "" if each.binds else ", of what it was before: that counts no more"
        of += ", to break the glass" if each.break_glass else ""
        said = f": {each.reason}" if each.reason else ""
        screen.note(f"{'approved by':<12} {_name(each.given_by)}, {', '.join(each.roles)}{of}{said}")
    for reason in waiting.awaiting:
        for line in in_words(reason.why, rule=reason.rule, fix=reason.fix):
            screen.note(f"  {line}")


def _name(somebody: Person | None) -> str | None:
    return None if somebody is None else somebody.name or somebody.person
