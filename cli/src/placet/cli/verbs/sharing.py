"""Verbs for who is of a team, and who may do what with a project."""

from __future__ import annotations

from argparse import Namespace

from placet.cli import exits
from placet.cli.screen import Screen
from placet.cli.session import connect
from placet.client import Client, Members, Team
from placet.errors import Unknown

TEAM, PERSON = "team:", "person:"


async def set_team(arguments: Namespace, screen: Screen) -> int:
    async with connect() as platform:
        team = await platform.set_team(arguments.team, arguments.members)
    return _told(team, screen)


async def add(arguments: Namespace, screen: Screen) -> int:
    async with connect() as platform:
        team = await platform.join_team(arguments.team, arguments.person)
    return _told(team, screen)


async def drop(arguments: Namespace, screen: Screen) -> int:
    async with connect() as platform:
        person = await _of_team(platform, arguments.team, arguments.person)
        await platform.part_team(arguments.team, person)
        team = await platform.team(arguments.team)
    return _told(team, screen)


async def disband(arguments: Namespace, screen: Screen) -> int:
    async with connect() as platform:
        await platform.disband_team(arguments.team)
    screen.result(f"there is no team {arguments.team} any more")
    screen.document({"team": arguments.team, "disbanded": True})
    return exits.DONE


async def members(arguments: Namespace, screen: Screen) -> int:
    async with connect() as platform:
        found = await platform.members(arguments.project)
    if not found.members:
        screen.result(f"nobody has a role on {found.project}: whatever a token allows, it allows there")
    else:
        screen.table(
            ("WHO", "ROLE", "SINCE", "GIVEN BY"),
            [
                (
                    each.to if each.to.startswith(TEAM) else each.name or each.to,
                    each.role,
                    each.granted_at,
                    each.granted_by and (each.granted_by.name or each.granted_by.person),
                )
                for each in found.members
            ],
        )
    if found.private:
        screen.note(f"{found.project} is private: nobody else reads it, but who judges, audits and runs all")
    screen.document(found.to_json())
    return exits.DONE


async def grant(arguments: Namespace, screen: Screen) -> int:
    async with connect() as platform:
        found = await platform.grant(arguments.project, arguments.to, arguments.role)
    screen.result(f"{arguments.to} has the role {arguments.role} on {arguments.project}")
    screen.document(found.to_json())
    return exits.DONE


async def revoke(arguments: Namespace, screen: Screen) -> int:
    async with connect() as platform:
        to = _named(await platform.members(arguments.project), arguments.to)
        await platform.revoke_role(arguments.project, to)
    screen.result(f"{arguments.to} has no role on {arguments.project}")
    screen.document({"project": arguments.project, "to": to, "revoked": True})
    return exits.DONE


async def restrict(arguments: Namespace, screen: Screen) -> int:
    async with connect() as platform:
        await platform.restrict(arguments.project)
    screen.result(f"{arguments.project} is private")
    screen.document({"project": arguments.project, "private": True})
    return exits.DONE


async def open_again(arguments: Namespace, screen: Screen) -> int:
    async with connect() as platform:
        await platform.open(arguments.project)
    screen.result(f"{arguments.project} is private no more")
    screen.document({"project": arguments.project, "private": False})
    return exits.DONE


def _told(team: Team, screen: Screen) -> int:
    named = ", ".join(each.name or each.person for each in team.members)
    screen.result(f"of team {team.team} {'is' if len(team.members) == 1 else 'are'} {named or 'nobody'}")
    screen.document(team.to_json())
    return exits.DONE


async def _of_team(platform: Client, team: str, named: str) -> str:
    if named.startswith(PERSON):
        return named
    for each in (await platform.team(team)).members:
        if each.name == named:
            return each.person
    raise Unknown(f"nobody called {named!r} is of team {team}", fix="see `placet team list`")


def _named(found: Members, named: str) -> str:
    """By name, so that it is not mistaken for done where it was mistyped."""
    if named.startswith((PERSON, TEAM)):
        return named
    for each in found.members:
        if each.name == named and not each.to.startswith(TEAM):
            return each.to
    raise Unknown(
        f"nobody called {named!r} has a role on {found.project}",
        fix=f"see `placet project members {found.project}`",
    )
