"""The gateway's REST for who is of a team, and who has which role on a project.

Whether the caller is an owner of the project is asked before any of it (`access.NEEDS`). Teams are an admin's.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from fastapi import Path as InPath
from pydantic import AfterValidator, Field

from placet.errors import Conflict, Refused, Unknown
from placet.events.contracts.shapes import ProjectRole
from placet.events.described import answers, errors
from placet.events.known_fields import KnownFields, known_parameters
from placet.gateway import answers as shapes
from placet.gateway.access import ERRORS, Access, Caller
from placet.gateway.api import BoundedBody
from placet.gateway.domain import ADMINS, must_have
from placet.gateway.exceptions_api import Project
from placet.gateway.granting import PERSON_PATTERN, Granting
from placet.gateway.names import SEEN
from placet.gateway.queries import Queries
from placet.gateway.quotas_api import Team
from placet.gateway.teams import MOST_MEMBERS
from placet.identity.sharing import TEAM, TEAM_PATTERN

Named = Annotated[
    str,
    Field(
        min_length=1,
        max_length=200,
        pattern=SEEN,
        json_schema_extra={"pattern": r"^\P{C}+$"},
        description="a person's name, or their opaque id; nothing that is not seen",
    ),
]
_TO = f"{PERSON_PATTERN}|{TEAM}{TEAM_PATTERN.strip('^$')}"


def _listed(pattern: str, what: str) -> AfterValidator:
    """An id and no name: who has another name by now, or none any more, is named all the same."""

    def must_be_one(given: str) -> str:
        if re.fullmatch(pattern, given) is None:
            raise ValueError(f"{given!r} is none: the list has {what}")
        return given

    return AfterValidator(must_be_one)


Person = Annotated[
    str,
    _listed(PERSON_PATTERN, "person:… for each"),
    InPath(json_schema_extra={"pattern": f"^{PERSON_PATTERN}$"}, description="as events have it"),
]
To = Annotated[
    str,
    _listed(_TO, "person:… or team:NAME for each, in `to`"),
    InPath(
        json_schema_extra={"pattern": f"^(?:{_TO})$"}, description="person:… or team:NAME, as the list has it"
    ),
]


class TeamBody(KnownFields):
    members: list[Named] | None = Field(
        default=None,
        max_length=MOST_MEMBERS,
        description="all of them from here on; without, who is of it stays so",
    )


class MemberBody(KnownFields):
    person: Named


class RoleBody(KnownFields):
    to: Named = Field(description="a person's name, their opaque id, or team:NAME")
    role: ProjectRole


def sharing_router(*, access: Access, granting: Granting, queries: Queries) -> APIRouter:
    api = APIRouter(
        prefix="/v1",
        tags=["access"],
        route_class=BoundedBody,
        responses=ERRORS,
        dependencies=[Depends(known_parameters)],
    )
    caller = Depends(access.caller)

    async def told(project: str, who: Caller) -> dict[str, Any]:
        standing = await queries.standings.standing(project, who)
        return await granting.told(project, standing, who.roles)

    @api.get("/teams/{team}", responses=answers(shapes.Team) | errors(Unknown), response_model=None)
    async def get_team(team: Team, who: Caller = caller) -> dict[str, Any]:
        """A team with its people."""
        return await granting.team(team)

    @api.put("/teams/{team}", responses=answers(shapes.Team) | errors(Unknown, Refused), response_model=None)
    async def put_team(team: Team, body: TeamBody, who: Caller = caller) -> dict[str, Any]:
        """Make the team, or say who is of it from here on. The same again changes nothing."""
        must_have(who.roles, ADMINS, "making and changing a team")
        members = body.members or []
        return await granting.change_team(
            team, who.person, add=members, only=body.members is not None, makes=True
        )

    @api.delete("/teams/{team}", status_code=204, responses=errors(Unknown, Conflict))
    async def delete_team(team: Team, who: Caller = caller) -> None:
        """Once it has no role on any project. Which projects count for its quota is another matter, and stays."""
        must_have(who.roles, ADMINS, "disbanding a team")
        await granting.disband(team, who.person)

    @api.put(
        "/teams/{team}/members",
        responses=answers(shapes.Team) | errors(Unknown, Refused),
        response_model=None,
    )
    async def put_member(team: Team, body: MemberBody, who: Caller = caller) -> dict[str, Any]:
        """Somebody is of the team from here on, beside who is. Whoever is of it already changes nothing."""
        must_have(who.roles, ADMINS, "making somebody a member of a team")
        return await granting.change_team(team, who.person, add=[body.person])

    @api.delete("/teams/{team}/members/{person}", status_code=204, responses=errors(Unknown))
    async def delete_member(team: Team, person: Person, who: Caller = caller) -> None:
        """Somebody is not of the team any more."""
        must_have(who.roles, ADMINS, "taking somebody out of a team")
        await granting.leave_team(team, person, who.person)

    @api.get("/models/{project}/members", responses=answers(shapes.Members), response_model=None)
    async def get_members(project: Project, who: Caller = caller) -> dict[str, Any]:
        """Who has which role on a project, owners first, and whether it is private. Nobody: whatever a token allows, it
        allows here. The project need not be there yet."""
        return await told(project, who)

    @api.put(
        "/models/{project}/members",
        responses=answers(shapes.Members) | errors(Unknown, Conflict, Refused),
        response_model=None,
    )
    async def put_role(project: Project, body: RoleBody, who: Caller = caller) -> dict[str, Any]:
        """Somebody, or a team, has this role on the project from here on, and no other. The same again changes nothing.
        The first one an admin gives, and it is an owner's."""
        await granting.grant(project, body.to, body.role, who.person)
        return await told(project, who)

    @api.delete("/models/{project}/members/{to}", status_code=204, responses=errors(Conflict))
    async def delete_role(project: Project, to: To, who: Caller = caller) -> None:
        """They have no role on the project from here on. An owner stays: the last one only an admin takes away, and as
        the last role of all; then whatever a token allows, it allows here."""
        await granting.revoke(project, to, who.person, is_admin=bool(who.roles & ADMINS))

    @api.put("/models/{project}/private", status_code=204, responses=errors(Conflict))
    async def put_private(project: Project, who: Caller = caller) -> None:
        """From here on those alone read anything of it who have a role on it, or who judge, audit and run all."""
        await granting.restrict(project, who.person)

    @api.delete("/models/{project}/private", status_code=204)
    async def delete_private(project: Project, who: Caller = caller) -> None:
        """Whoever may read may read this, too, from here on."""
        await granting.open(project, who.person)

    return api
