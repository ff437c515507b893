"""Who may do what with a project: the roles that people and teams have on it, as the gateway's events tell of them.

A role on a project never lets anybody do what their token does not: it narrows. On a project on which nobody has a role
the token alone decides. A private project is read by those who have a role on it, and by whoever judges, audits and
runs the platform. Each service that shows something of projects folds this by itself, into tables of its own.

Not here: who may give roles, and what is asked for before the gateway says one of these events.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence, Set
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol, assert_never

import sqlalchemy as sa

from placet.errors import Forbidden
from placet.events import UnitOfWork
from placet.events.contracts.gateway import (
    ProjectOpened,
    ProjectRestricted,
    RoleGranted,
    RoleRevoked,
    TeamChanged,
    TeamDisbanded,
)
from placet.events.contracts.shapes import ProjectRole
from placet.events.tables import READ_MODEL

TEAM_PATTERN = r"^[a-z][a-z0-9-]{1,38}[a-z0-9]$"
TEAM = "team:"
"""What a team is called by where a person could be, too."""
IDS = ("person:", TEAM)
"""How ids of people and teams begin, and so nobody's name."""
READ_ALL = frozenset({"approver", "compliance", "auditor", "operator", "admin"})
"""Roles of tokens that read whatever is private: who judges, audits or runs the platform has to."""
_RANK: dict[ProjectRole, int] = {"viewer": 1, "deployer": 2, "owner": 3}

Said = TeamChanged | TeamDisbanded | RoleGranted | RoleRevoked | ProjectRestricted | ProjectOpened
SAID: Sequence[type] = (
    TeamChanged,
    TeamDisbanded,
    RoleGranted,
    RoleRevoked,
    ProjectRestricted,
    ProjectOpened,
)


class Reads(Protocol):
    async def rows(self, query: Any) -> Sequence[sa.Row[Any]]: ...


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What somebody is on one project. `role` is the highest that they have, by themselves or by a team."""

    project: str
    role: ProjectRole | None
    is_shared: bool
    """Whether anybody has a role on it."""
    is_private: bool

    def has(self, needed: ProjectRole) -> bool:
        return self.role is not None and _RANK[self.role] >= _RANK[needed]

    def may(self, needed: ProjectRole, roles: Set[str]) -> bool:
        """Whether the project lets somebody whose token has these `roles` do what needs that role on it."""
        if "admin" in roles or self.has(needed):
            return True
        match needed:
            case "viewer":
                return not self.is_private or bool(roles & READ_ALL)
            case "deployer":
                return not self.is_shared
            case "owner":
                return False
        assert_never(needed)

    def must(self, needed: ProjectRole, roles: Set[str], *, by: str | None = None) -> None:
        """Raises Forbidden, which names the role that it takes and who gives it: `by`, where they are known."""
        if self.may(needed, roles):
            return
        project, mine = self.project, f"you have {self.role or 'none'}"
        if not self.is_shared:
            raise Forbidden(
                f"nobody has a role on {project} yet, and the first one an admin gives",
                rule="project.role",
                fix=f"ask an admin: placet project grant {project} NAME owner",
            )
        what = f"{project} is private: to read it" if needed == "viewer" else f"on {project} this"
        raise Forbidden(
            f"{what} takes the role {needed}, and {mine}",
            rule="project.role",
            fix=f"ask {by or 'an owner of the project'}, or an admin, for it:"
            f" placet project grant {project} NAME {needed}",
        )


def _highest(roles: Iterable[ProjectRole]) -> ProjectRole | None:
    return next(iter(sorted(roles, key=lambda role: _RANK[role], reverse=True)), None)


class Sharing:
    """The tables, in a service's own database."""

    def __init__(self, tables: sa.MetaData) -> None:
        self._hidden = lru_cache(maxsize=1024)(self._hidden_from)
        self.members = sa.Table(
            "team_members",
            tables,
            sa.Column("team", sa.Text, primary_key=True),
            sa.Column("person", sa.Text, primary_key=True, index=True),
            info=READ_MODEL,
        )
        self.roles = sa.Table(
            "project_roles",
            tables,
            sa.Column("project", sa.Text, primary_key=True),
            # A person, or `team:` and its name.
            sa.Column("to", sa.Text, primary_key=True, index=True),
            sa.Column("role", sa.Text, nullable=False),
            sa.Column("granted_by", sa.Text, nullable=False),
            sa.Column("granted_at", sa.Text, nullable=False),
            info=READ_MODEL,
        )
        self.private = sa.Table(
            "private_projects", tables, sa.Column("project", sa.Text, primary_key=True), info=READ_MODEL
        )

    def show(self, work: UnitOfWork, said: Said, at: str) -> None:
        """`at` is when it was said, in RFC 3339."""
        members, roles, private = self.members, self.roles, self.private
        match said:
            case TeamChanged():
                of_team = members.c.team == said.team
                if said.removed:
                    work.run(sa.delete(members).where(of_team, members.c.person.in_(said.removed)))
                for person in said.added:
                    work.put(members, team=said.team, person=person)
            case TeamDisbanded():
                work.run(sa.delete(members).where(members.c.team == said.team))
            case RoleGranted():
                work.put(
                    roles,
                    project=said.project,
                    to=said.to,
                    role=said.role,
                    granted_by=said.granted_by,
                    granted_at=at,
                )
            case RoleRevoked():
                mine = sa.and_(roles.c.project == said.project, roles.c.to == said.to)
                work.run(sa.delete(roles).where(mine))
            case ProjectRestricted():
                work.put(private, project=said.project)
            case ProjectOpened():
                work.run(sa.delete(private).where(private.c.project == said.project))
            case _:
                assert_never(said)

    async def standing(
        self, reads: Reads, project: str, person: str, teams: Collection[str] = ()
    ) -> Standing:
        """`teams` are those that the person's token says, beside those that are known here."""
        roles, private = self.roles, self.private
        is_private = sa.exists().where(private.c.project == project)
        query = sa.select(roles.c.role, self._is_of(person, teams).label("mine"), is_private.label("private"))
        rows = await reads.rows(query.where(roles.c.project == project))
        if not rows:
            is_private_now = await reads.rows(sa.select(private).where(private.c.project == project))
            return Standing(project=project, role=None, is_shared=False, is_private=bool(is_private_now))
        return Standing(
            project=project,
            role=_highest(row.role for row in rows if row.mine),
            is_shared=True,
            is_private=bool(rows[0].private),
        )

    def hidden_from(self, person: str, teams: Collection[str], roles: Set[str]) -> sa.Select[Any] | None:
        """The names of projects that somebody does not read; None where there are none by their `roles`. The same query
        again for the same person: to make it takes longer than to ask it."""
        return None if roles & READ_ALL else self._hidden(person, frozenset(teams))

    def _hidden_from(self, person: str, teams: frozenset[str]) -> sa.Select[Any]:
        theirs = sa.select(self.roles.c.project).where(self._is_of(person, teams))
        return sa.select(self.private.c.project).where(self.private.c.project.not_in(theirs))

    def _is_of(self, person: str, teams: Collection[str]) -> sa.ColumnElement[bool]:
        known = sa.select(sa.literal(TEAM) + self.members.c.team).where(self.members.c.person == person)
        named = (person, *(f"{TEAM}{each}" for each in sorted(teams)))
        return sa.or_(self.roles.c.to.in_(named), self.roles.c.to.in_(known))
