"""Teams and roles on projects: changing them, and telling of them. Who may is asked before (`standings.py`).

The row is written with the event, so every replica of the gateway goes by it from the commit on; the other services,
once they have heard of it. People are opaque in all of it but what is told here, where they have their names.
"""

from __future__ import annotations

import re
from collections.abc import Sequence, Set
from contextlib import suppress
from typing import Any

import sqlalchemy as sa

from placet.errors import Refused, Unknown
from placet.events import PLATFORM, Actor, Context, UnitOfWork, Wiring, transact
from placet.events.codec import timestamp
from placet.events.contracts.gateway import RoleGranted, TeamChanged, TeamDisbanded
from placet.events.contracts.shapes import ProjectRole
from placet.events.store import Claim, ClaimLost
from placet.events.unit_of_work import current_traceparent
from placet.gateway import projections as p
from placet.gateway.intake import SERVICE
from placet.gateway.names import normalised
from placet.gateway.people import People
from placet.gateway.teams import (
    SHARING,
    TEAMS,
    ChangeTeam,
    DisbandTeam,
    Grant,
    Open,
    Restrict,
    Revoke,
    SharingCommand,
    TeamCommand,
    no_team,
    sharing_stream,
    team_stream,
)
from placet.identity.sharing import TEAM, Standing

PERSON_PATTERN = r"person:[0-9a-f-]{36}"


_MOST_NAMED = 3


class Granting:
    def __init__(self, wiring: Wiring, people: People) -> None:
        self._wiring = wiring
        self._people = people

    # Teams

    async def change_team(
        self,
        team: str,
        by: str,
        *,
        add: Sequence[str] = (),
        remove: Sequence[str] = (),
        only: bool = False,
        makes: bool = False,
    ) -> dict[str, Any]:
        """The team with these members; `add` and `remove` are names or ids of people. Raises Unknown for others, and
        for a team that is none, unless this `makes` it."""
        if not makes:
            await self.must_be_a_team(team)
        # A name that a body says a thousand times is looked up once.
        added = tuple([await self._person(each) for each in dict.fromkeys(add)])
        removed = tuple([await self._person(each) for each in dict.fromkeys(remove)])
        await self._team(ChangeTeam(team=team, add=added, remove=removed, only=only, makes=makes, by=by))
        return await self.team(team)

    async def leave_team(self, team: str, person: str, by: str) -> None:
        """Who is of no such team is not of it afterwards either. Raises Unknown for a team that is none."""
        await self._team(ChangeTeam(team=team, remove=(person,), by=by))

    async def disband(self, team: str, by: str) -> None:
        """Raises Unknown, and Conflict while it has a role anywhere: one of the same name would have it again."""
        # Who is giving it a role at this moment has its row: once that is over, nobody gives it one any more.
        claims = _is_made(team), _is_made(team, sa.not_(sa.exists().where(_held_by(team))))
        while True:
            rows = await self._wiring.store.rows(
                sa.select(p.sharing.roles.c.project)
                .where(_held_by(team))
                .order_by(p.sharing.roles.c.project)
                .limit(_MOST_NAMED)
            )
            with suppress(ClaimLost):
                await self._team(DisbandTeam(team=team, holds=[row.project for row in rows], by=by), *claims)
                return
            await self.must_be_a_team(team)

    async def team(self, team: str) -> dict[str, Any]:
        """Raises Unknown."""
        await self.must_be_a_team(team)
        return {"team": team, "members": (await self.members([team]))[team]}

    async def members(self, teams: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
        """Of each team its people, by id."""
        of = p.sharing.members.c
        rows = await self._wiring.store.rows(
            sa.select(p.sharing.members).where(of.team.in_(teams)).order_by(of.team, of.person)
        )
        shown = await self._people.all_shown(row.person for row in rows)
        return {
            team: [told for row in rows if row.team == team and (told := shown[row.person])] for team in teams
        }

    async def must_be_a_team(self, team: str) -> None:
        if not await self._wiring.store.rows(sa.select(p.made_teams).where(p.made_teams.c.team == team)):
            raise no_team(team)

    async def _team(self, command: TeamCommand, *claims: Claim) -> None:
        async def change(work: UnitOfWork) -> None:
            for said in await work.decide(TEAMS, team_stream(command.team), command):
                show_made_team(work, said)
                p.sharing.show(work, said, timestamp(work.now))

        await transact(self._wiring, SERVICE, self._context(PLATFORM, command.by), change, *claims)

    # Roles on a project

    async def grant(self, project: str, to: str, role: ProjectRole, by: str) -> None:
        """`to` is a team, as `team:name`, or a person by name or id. Raises Unknown for who is neither."""
        if not to.startswith(TEAM):
            person = await self._person(to)
            await self._share(Grant(project=project, to=person, role=role, by=by))
            return
        team = to.removeprefix(TEAM)
        await self.must_be_a_team(team)
        try:
            await self._share(Grant(project=project, to=to, role=role, by=by), _is_made(team))
        except ClaimLost as gone:
            raise no_team(team) from gone

    async def revoke(self, project: str, to: str, by: str, *, is_admin: bool) -> None:
        """Who has none has none afterwards either. Also of a team or a person that is here no more."""
        await self._share(Revoke(project=project, to=to, by=by, is_admin=is_admin))

    async def restrict(self, project: str, by: str) -> None:
        await self._share(Restrict(project=project, by=by))

    async def open(self, project: str, by: str) -> None:
        await self._share(Open(project=project, by=by))

    async def told(self, project: str, standing: Standing, roles: Set[str]) -> dict[str, Any]:
        """Who has which role on a project, owners first, and what the caller of this `standing` may do."""
        of = p.sharing.roles.c
        order = sa.case((of.role == "owner", 0), (of.role == "deployer", 1), else_=2)
        rows = await self._wiring.store.rows(
            sa.select(p.sharing.roles).where(of.project == project).order_by(order, of.to)
        )
        people = [row.to for row in rows if not row.to.startswith(TEAM)]
        shown = await self._people.all_shown([*people, *(row.granted_by for row in rows)])
        return {
            "project": project,
            "private": standing.is_private,
            "members": [
                {
                    "to": row.to,
                    "name": row.to.removeprefix(TEAM)
                    if row.to.startswith(TEAM)
                    else (shown[row.to] or {}).get("name"),
                    "role": row.role,
                    "grantedBy": shown[row.granted_by],
                    "grantedAt": row.granted_at,
                }
                for row in rows
            ],
            "yourRole": standing.role,
            "youMayShare": standing.may("owner", roles),
        }

    async def _share(self, command: SharingCommand, *claims: Claim) -> None:
        async def change(work: UnitOfWork) -> None:
            for said in await work.decide(SHARING, sharing_stream(command.project), command):
                p.sharing.show(work, said, timestamp(work.now))

        await transact(self._wiring, SERVICE, self._context(command.project, command.by), change, *claims)

    async def _person(self, named: str) -> str:
        if re.fullmatch(PERSON_PATTERN, named):
            if not await self._is_known(named):
                raise Unknown(f"nobody is called {named!r} here", fix="give the name that their token is for")
            return named
        known = await self._people.looking_like(normalised(named))
        if known is None:
            raise Unknown(
                f"nobody is called {named!r} here",
                fix="make them a token first, or let them sign in once; a team is named as team:NAME",
            )
        person, name = known
        if name != normalised(named):
            raise Refused(f"nobody is called {named!r} here, but somebody {name!r}", fix="say whom you mean")
        return person

    async def _is_known(self, person: str) -> bool:
        keys = p.person_keys
        query = sa.select(keys.c.person).where(keys.c.person == person, keys.c.key.is_not(None))
        return bool(await self._wiring.store.rows(query))

    def _context(self, project: str, by: str) -> Context:
        return Context(
            project=project,
            correlation=self._wiring.ids.new(),
            actor=Actor.person(by),
            traceparent=current_traceparent(),
        )


def _is_made(team: str, *and_so: sa.ColumnElement[bool]) -> Claim:
    """And stays so until the unit is over."""
    made = p.made_teams
    return Claim(statement=sa.update(made).where(made.c.team == team, *and_so).values(team=made.c.team))


def _held_by(team: str) -> sa.ColumnElement[bool]:
    return p.sharing.roles.c.to == f"{TEAM}{team}"


async def own_first(work: UnitOfWork, project: str, person: str) -> None:
    """Whoever asks for the first release of a project owns it, unless somebody has a role on it by then."""
    if await work.history(sharing_stream(project)):
        return
    granted = RoleGranted(project=project, to=person, role="owner", granted_by=person)
    work.stage(sharing_stream(project), [granted])
    p.sharing.show(work, granted, timestamp(work.now))


def show_made_team(work: UnitOfWork, said: TeamChanged | TeamDisbanded) -> None:
    match said:
        case TeamChanged():
            work.put(p.made_teams, team=said.team)
        case TeamDisbanded():
            work.run(sa.delete(p.made_teams).where(p.made_teams.c.team == said.team))
