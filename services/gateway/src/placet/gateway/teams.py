"""Teams, and the roles that people and teams have on a project: what may be changed, and what that says. Pure.

Who may change it is asked before: a team is an admin's, a project its owners' and an admin's. Each change can be asked
for again, and nothing happens then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import assert_never

from placet.errors import Conflict, Refused, Unknown
from placet.events.contracts.gateway import (
    ProjectOpened,
    ProjectRestricted,
    RoleGranted,
    RoleRevoked,
    TeamChanged,
    TeamDisbanded,
)
from placet.events.contracts.shapes import ProjectRole
from placet.events.decider import Decider

MOST_MEMBERS = 500
"""Of a team: an event has room for as many."""
MOST_GRANTS = 200
"""On a project. More people than that are a team."""


@dataclass(frozen=True, kw_only=True)
class ChangeTeam:
    """`only`: those who are not added are no members any more. `makes`: also where there is no such team."""

    team: str
    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    only: bool = False
    makes: bool = False
    by: str


@dataclass(frozen=True, kw_only=True)
class DisbandTeam:
    """`holds` are projects on which it has a role."""

    team: str
    holds: Sequence[str]
    by: str


@dataclass(frozen=True, kw_only=True)
class Team:
    exists: bool = False
    members: frozenset[str] = frozenset()


TeamCommand = ChangeTeam | DisbandTeam
TeamHappened = TeamChanged | TeamDisbanded


def decide_team(command: TeamCommand, team: Team) -> Sequence[TeamHappened]:
    match command:
        case ChangeTeam():
            if not (team.exists or command.makes):
                raise no_team(command.team)
            added = frozenset(command.add)
            left = team.members - added if command.only else frozenset(command.remove)
            after = (team.members | added) - (left - added)
            if len(after) > MOST_MEMBERS:
                raise Refused(
                    f"{command.team} would have {len(after)} members, and a team has {MOST_MEMBERS} at most",
                    fix="make two teams of it, and give both the role",
                )
            if team.exists and after == team.members:
                return []
            return [
                TeamChanged(
                    team=command.team,
                    added=tuple(sorted(after - team.members)),
                    removed=tuple(sorted(team.members - after)),
                    changed_by=command.by,
                )
            ]
        case DisbandTeam():
            if not team.exists:
                raise no_team(command.team)
            if command.holds:
                raise Conflict(
                    f"{command.team} has a role on {', '.join(command.holds)}",
                    fix=f"take it away first: placet project revoke {command.holds[0]} team:{command.team}",
                )
            return [TeamDisbanded(team=command.team, disbanded_by=command.by)]
    assert_never(command)


def evolve_team(team: Team, event: TeamHappened) -> Team:
    match event:
        case TeamChanged():
            return Team(exists=True, members=(team.members | set(event.added)) - set(event.removed))
        case TeamDisbanded():
            return Team()
    assert_never(event)


TEAMS: Decider[TeamCommand, Team, TeamHappened] = Decider(
    initial=Team(), decide=decide_team, evolve=evolve_team
)


def no_team(team: str) -> Unknown:
    return Unknown(
        f"there is no team {team!r}", fix=f"see `placet team list`, or make it: placet team set {team}"
    )


@dataclass(frozen=True, kw_only=True)
class Grant:
    project: str
    to: str
    role: ProjectRole
    by: str


@dataclass(frozen=True, kw_only=True)
class Revoke:
    """`is_admin`: by one, who may take the last role away, so that the token alone decides again."""

    project: str
    to: str
    by: str
    is_admin: bool


@dataclass(frozen=True, kw_only=True)
class Restrict:
    project: str
    by: str


@dataclass(frozen=True, kw_only=True)
class Open:
    project: str
    by: str


@dataclass(frozen=True, kw_only=True)
class Shared:
    """Who has which role on a project, and whether it is private."""

    roles: Mapping[str, ProjectRole] = field(default_factory=dict)
    is_private: bool = False

    @property
    def owners(self) -> frozenset[str]:
        return frozenset(to for to, role in self.roles.items() if role == "owner")


SharingCommand = Grant | Revoke | Restrict | Open
SharingHappened = RoleGranted | RoleRevoked | ProjectRestricted | ProjectOpened


def decide_sharing(command: SharingCommand, shared: Shared) -> Sequence[SharingHappened]:
    project = command.project
    match command:
        case Grant():
            if shared.roles.get(command.to) == command.role:
                return []
            _must_leave_an_owner(project, shared, {**shared.roles, command.to: command.role})
            if command.to not in shared.roles and len(shared.roles) >= MOST_GRANTS:
                raise Refused(
                    f"{MOST_GRANTS} people and teams have a role on {project}, and that is the most",
                    fix="make a team of people, and give it the role: placet team set NAME --member …",
                )
            return [RoleGranted(project=project, to=command.to, role=command.role, granted_by=command.by)]
        case Revoke():
            if command.to not in shared.roles:
                return []
            left = {to: role for to, role in shared.roles.items() if to != command.to}
            if left or not command.is_admin:
                _must_leave_an_owner(project, shared, left)
            elif shared.is_private:
                raise Conflict(
                    f"{project} is private, and nobody would have a role on it",
                    fix=f"open it first: placet project open {project}",
                )
            role = shared.roles[command.to]
            return [RoleRevoked(project=project, to=command.to, role=role, revoked_by=command.by)]
        case Restrict():
            if not shared.owners:
                raise Conflict(
                    f"{project} has no owner, so nobody could let anybody in",
                    fix=f"give it one first: placet project grant {project} NAME owner",
                )
            return [] if shared.is_private else [ProjectRestricted(project=project, restricted_by=command.by)]
        case Open():
            return [ProjectOpened(project=project, opened_by=command.by)] if shared.is_private else []
    assert_never(command)


def _must_leave_an_owner(project: str, before: Shared, after: Mapping[str, ProjectRole]) -> None:
    """The first role is an owner's, and the last owner stays: a project with roles has somebody who gives them."""
    if "owner" in after.values():
        return
    if not before.roles:
        raise Conflict(
            f"nobody has a role on {project} yet, and the first one is an owner's",
            fix=f"placet project grant {project} NAME owner",
        )
    raise Conflict(
        f"{project} would have no owner, who gives roles on it",
        fix=f"make somebody else its owner first: placet project grant {project} NAME owner",
    )


def evolve_sharing(shared: Shared, event: SharingHappened) -> Shared:
    match event:
        case RoleGranted():
            return replace(shared, roles={**shared.roles, event.to: event.role})
        case RoleRevoked():
            return replace(shared, roles={to: role for to, role in shared.roles.items() if to != event.to})
        case ProjectRestricted():
            return replace(shared, is_private=True)
        case ProjectOpened():
            return replace(shared, is_private=False)
    assert_never(event)


SHARING: Decider[SharingCommand, Shared, SharingHappened] = Decider(
    initial=Shared(), decide=decide_sharing, evolve=evolve_sharing
)


def sharing_stream(project: str) -> str:
    return f"sharing/{project}"


def team_stream(team: str) -> str:
    return f"team/{team}"
