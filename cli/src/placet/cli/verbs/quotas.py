"""Verbs for what teams and projects may hold, and which team a project is of."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Mapping

from placet.cli import exits
from placet.cli.exits import WrongUsageError
from placet.cli.screen import Screen
from placet.cli.session import connect
from placet.client import Amounts

SAID: Mapping[str, Callable[[int], str]] = {
    "cpu_millis": lambda number: f"{number / 1000:g} CPU",
    "memory_bytes": lambda number: f"{number / 2**20:.0f} MiB",
    "gpus": lambda number: f"{number} GPU",
    "models": lambda number: f"{number} model{'' if number == 1 else 's'}",
}


async def put(arguments: Namespace, screen: Screen) -> int:
    limits = {
        "cpu_millis": arguments.cpu,
        "memory_bytes": arguments.memory,
        "gpus": arguments.gpu,
        "models": arguments.models,
    }
    if all(each is None for each in limits.values()):
        raise WrongUsageError(
            "a quota bounds something",
            fix="give --cpu, --memory, --gpu or --models; or `placet quota remove`",
        )
    async with connect() as platform:
        quota = await platform.set_quota(team=arguments.team, project=arguments.project, **limits)
    screen.result(f"{quota.scope} {quota.of} may hold {said(quota.limits)}")
    if quota.exceeded:
        holds = "holds" if len(quota.projects) == 1 else "hold"
        screen.note(
            f"{', '.join(quota.projects)} {holds} {said(quota.live)} by now, which is more: that goes on, and nothing"
            " of it starts anew before there is less"
        )
    screen.document(quota.to_json())
    return exits.DONE


async def all_of_them(arguments: Namespace, screen: Screen) -> int:
    async with connect() as platform:
        found = await platform.quotas()
    screen.table(
        ("QUOTA", "OF", "MAY HOLD", "LIVE", "PROJECTS", ""),
        [
            (
                each.scope,
                each.of,
                said(each.limits),
                said(each.live, like=each.limits),
                ", ".join(each.projects) or None,
                "exceeded" if each.exceeded else "",
            )
            for each in found
        ],
    )
    screen.document({"quotas": [each.to_json() for each in found]})
    return exits.DONE


async def remove(arguments: Namespace, screen: Screen) -> int:
    async with connect() as platform:
        await platform.remove_quota(team=arguments.team, project=arguments.project)
    scope, of = ("team", arguments.team) if arguments.team else ("project", arguments.project)
    screen.result(f"{scope} {of} may hold as much as there is")
    screen.document({"scope": scope, "of": of, "removed": True})
    return exits.DONE


async def assign(arguments: Namespace, screen: Screen) -> int:
    async with connect() as platform:
        await platform.assign(arguments.project, team=arguments.team)
    screen.result(f"{arguments.project} is of team {arguments.team}")
    screen.document({"project": arguments.project, "team": arguments.team})
    return exits.DONE


async def leave(arguments: Namespace, screen: Screen) -> int:
    async with connect() as platform:
        await platform.assign(arguments.project, team=None)
    screen.result(f"{arguments.project} is of no team")
    screen.document({"project": arguments.project, "team": None})
    return exits.DONE


async def teams(arguments: Namespace, screen: Screen) -> int:
    async with connect() as platform:
        found = await platform.teams()
    screen.table(
        ("TEAM", "PROJECTS", "PEOPLE"),
        [
            (
                each.team,
                ", ".join(each.projects) or None,
                ", ".join(person.name or person.person for person in each.members) or None,
            )
            for each in found
        ],
    )
    screen.document({"teams": [each.to_json() for each in found]})
    return exits.DONE


def said(amounts: Amounts, *, like: Amounts | None = None) -> str:
    """What is given of them; of those that `like` gives, where it is."""
    kinds = (kind for kind in SAID if getattr(like or amounts, kind) is not None)
    return ", ".join(SAID[kind](getattr(amounts, kind) or 0) for kind in kinds)
