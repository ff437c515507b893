"""The gateway's REST for quotas and teams."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends
from fastapi import Path as InPath
from pydantic import ConfigDict, Field, JsonValue, model_validator

from placet.errors import Unknown
from placet.events.contracts.shapes import QuotaScope
from placet.events.described import answers, errors
from placet.events.known_fields import KnownFields, known_parameters
from placet.gateway import answers as shapes
from placet.gateway.access import ERRORS, Access, Caller
from placet.gateway.api import After, BoundedBody, Limit
from placet.gateway.domain import must_have
from placet.gateway.exceptions_api import Project
from placet.gateway.granting import Granting
from placet.gateway.quotas import KEEPERS, Limits, Quotas
from placet.projects import PROJECT_PATTERN

Team = Annotated[str, InPath(pattern=PROJECT_PATTERN, description="a name such as a project's")]
Bound = Annotated[int | None, Field(ge=0, lt=2**53)]
_ONE_IS_BOUND: list[JsonValue] = [
    {"required": [kind], "properties": {kind: {"type": "integer"}}}
    for kind in ("cpuMillis", "memoryBytes", "gpus", "models")
]


class QuotaBody(KnownFields):
    """What is not given is not bounded."""

    model_config = ConfigDict(json_schema_extra={"anyOf": _ONE_IS_BOUND})

    cpuMillis: Bound = None
    memoryBytes: Bound = None
    gpus: Bound = None
    models: Bound = None

    @model_validator(mode="after")
    def _bounds_something(self) -> QuotaBody:
        if all(each is None for each in (self.cpuMillis, self.memoryBytes, self.gpus, self.models)):
            raise ValueError("a quota bounds something: cpuMillis, memoryBytes, gpus or models")
        return self

    @property
    def limits(self) -> Limits:
        return Limits(
            cpu_millis=self.cpuMillis, memory_bytes=self.memoryBytes, gpus=self.gpus, models=self.models
        )


def quotas_router(*, access: Access, quotas: Quotas, granting: Granting) -> APIRouter:
    api = APIRouter(
        prefix="/v1",
        tags=["quotas"],
        route_class=BoundedBody,
        responses=ERRORS,
        dependencies=[Depends(known_parameters)],
    )
    caller = Depends(access.caller)

    async def put(scope: QuotaScope, of: str, body: QuotaBody, who: Caller) -> dict[str, Any]:
        must_have(who.roles, KEEPERS, "setting a quota")
        return await quotas.set(scope, of, body.limits, who.actor)

    async def remove(scope: QuotaScope, of: str, who: Caller) -> None:
        must_have(who.roles, KEEPERS, "removing a quota")
        await quotas.remove(scope, of, who.actor)

    @api.get("/quotas", responses=answers(shapes.Quotas), response_model=None)
    async def get_quotas(who: Caller = caller, after: After = None, limit: Limit = 100) -> dict[str, Any]:
        """What teams and projects may hold, and what is live of theirs. `next` is what to give as `after`."""
        page = await quotas.page(after=after, limit=limit, hidden=access.hidden_from(who))
        last = f"{page[-1]['scope']}/{page[-1]['of']}" if len(page) == limit else None
        return {"quotas": page, "next": last}

    @api.put("/quotas/teams/{team}", responses=answers(shapes.Quota), response_model=None)
    async def put_team_quota(team: Team, body: QuotaBody, who: Caller = caller) -> dict[str, Any]:
        """What the projects of a team may hold altogether, in place of what was said before. It ends nothing that runs:
        `exceeded` says of what more is live by now."""
        return await put("team", team, body, who)

    @api.put("/quotas/projects/{project}", responses=answers(shapes.Quota), response_model=None)
    async def put_project_quota(project: Project, body: QuotaBody, who: Caller = caller) -> dict[str, Any]:
        """The same of one project."""
        return await put("project", project, body, who)

    @api.delete("/quotas/teams/{team}", status_code=204, responses=errors(Unknown))
    async def delete_team_quota(team: Team, who: Caller = caller) -> None:
        await remove("team", team, who)

    @api.delete("/quotas/projects/{project}", status_code=204, responses=errors(Unknown))
    async def delete_project_quota(project: Project, who: Caller = caller) -> None:
        await remove("project", project, who)

    @api.get("/teams", responses=answers(shapes.Teams), response_model=None)
    async def get_teams(who: Caller = caller, after: After = None, limit: Limit = 100) -> dict[str, Any]:
        """Teams with their people, and with the projects that count for their quotas."""
        page = await quotas.teams(after=after, limit=limit, hidden=access.hidden_from(who))
        members = await granting.members([each["team"] for each in page])
        page = [{**each, "members": members[each["team"]]} for each in page]
        return {"teams": page, "next": page[-1]["team"] if len(page) == limit else None}

    @api.put("/teams/{team}/projects/{project}", responses=answers(shapes.ProjectOfTeam), response_model=None)
    async def put_project_of_team(team: Team, project: Project, who: Caller = caller) -> dict[str, Any]:
        """The project is of this team from here on, and of no other. It need not exist yet."""
        must_have(who.roles, KEEPERS, "assigning a project to a team")
        await quotas.assign(project, team, who.actor)
        return {"project": project, "team": team}

    @api.delete("/models/{project}/team", status_code=204)
    async def delete_team_of_project(project: Project, who: Caller = caller) -> None:
        """The project is of no team from here on."""
        must_have(who.roles, KEEPERS, "taking a project out of its team")
        await quotas.assign(project, None, who.actor)

    return api
