"""Verbs for the policies of a platform: publish one, and see which there are."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence

from placet.cli import exits
from placet.cli.exits import WrongUsageError
from placet.cli.screen import Screen, in_words
from placet.cli.session import connect
from placet.cli.verbs.policies import file_of
from placet.client import PolicyVersion
from placet.errors import Unknown
from placet.rules import load_policy


async def publish(arguments: Namespace, screen: Screen) -> int:
    """What its own tests say is known here, in the platform's words, before anything is sent."""
    file = file_of(arguments.file)
    load_policy(file, name=str(arguments.file))
    async with connect() as platform:
        told = await platform.submit_policy(file, warn_first=arguments.warn_first)
        if not arguments.no_wait:
            told = await platform.decided(told)
    _conclude(told, screen)
    if arguments.warn_first and told.warn_until is None and told.state in ("in-force", "scheduled"):
        screen.note(
            "it was published before, and not to warn first: that stays as it is\n"
            "  fix: publish it as its next version with --warn-first, if it is to warn"
        )
    screen.document(told.to_json())
    return exits.REFUSED if told.state == "rejected" else exits.DONE


async def list_all(arguments: Namespace, screen: Screen) -> int:
    async with connect() as platform:
        found = await platform.policies()
    screen.table(
        ("POLICY", "VERSION", "STATE", "FROM", "UNTIL", "OWNER", "BY", "TITLE"),
        [
            (
                each.policy,
                each.version,
                each.state,
                each.effective_from,
                each.effective_until,
                each.owner,
                "placet" if each.submitted_by is None else each.submitted_by.name or each.submitted_by.person,
                each.title,
            )
            for each in found
        ],
    )
    screen.document({"policies": [each.to_json() for each in found]})
    return exits.DONE


async def show(arguments: Namespace, screen: Screen) -> int:
    policy, version = _named(arguments)
    async with connect() as platform:
        found = await platform.policy(policy)
        shown = _chosen(found, version, policy)
        file = await platform.policy_file(shown.digest)
    screen.note(f"{shown.policy} {shown.version} is {_state(shown)}: {shown.digest}")
    _tell_problems(shown, screen)
    screen.result(file.removesuffix("\n"))
    screen.document({**shown.to_json(), "file": file})
    return exits.DONE


def _named(arguments: Namespace) -> tuple[str, int | None]:
    """`house.data@2`, as `placet policy diff` has it, is `house.data --version 2`."""
    policy, _, number = str(arguments.policy).partition("@")
    if not number:
        return policy, arguments.version
    if arguments.version is not None or not number.isdecimal():
        raise WrongUsageError(
            f"{arguments.policy!r} names no version of a policy",
            fix=f"placet policy show {policy} --version 2",
        )
    return policy, int(number)


def _chosen(versions: Sequence[PolicyVersion], number: int | None, policy: str) -> PolicyVersion:
    """That version, or the one in force; where none is, the highest. What was rejected comes last."""
    wanted = [each for each in versions if number in (None, each.version)]
    if not wanted:
        there = ", ".join(str(each) for each in sorted({each.version for each in versions}))
        raise Unknown(f"{policy} has no version {number}", fix=f"those that there are: {there}")
    return min(wanted, key=lambda each: (each.state != "in-force", each.state == "rejected", -each.version))


def _conclude(told: PolicyVersion, screen: Screen) -> None:
    name = f"{told.policy} {told.version}"
    match told.state:
        case "rejected":
            screen.error(f"{name} is not published")
            _tell_problems(told, screen)
        case "submitted":
            screen.result(told.digest)
            screen.note(f"{name} is submitted; `placet policy list` shows what becomes of it")
        case _:
            screen.result(told.digest)
            screen.note(f"{name} is published, and {_state(told)}")
            if told.warn_until is not None:
                screen.note(f"until {told.warn_until} it only warns of what was certified before")


def _tell_problems(told: PolicyVersion, screen: Screen) -> None:
    for problem in told.problems:
        for line in in_words(problem.why, fix=problem.fix):
            screen.note(f"  {line}")


def _state(told: PolicyVersion) -> str:
    match told.state:
        case "in-force":
            return "in force" + (f" until {told.effective_until}" if told.effective_until else "")
        case "scheduled":
            return f"in force from {told.effective_from}"
    return told.state
