"""The gateway's REST for approvals: what is waited for, and giving one."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query
from fastapi.responses import JSONResponse
from pydantic import Field

from placet.errors import Conflict, Refused
from placet.events.described import answers, errors
from placet.events.known_fields import KnownFields, known_parameters
from placet.gateway import answers as shapes
from placet.gateway.access import ERRORS, Access, Caller
from placet.gateway.api import DIGEST, NAME, After, BoundedBody, Limit
from placet.gateway.approvals import APPROVERS, BREAKERS, roles_of
from placet.gateway.approving import Approving, Wanted
from placet.gateway.exceptions_api import Project, Reason
from placet.gateway.queries import Queries

OF_PROJECT = "/models/{project}/approvals"


class ApprovalBody(KnownFields):
    release: int = Field(ge=1, le=2**31 - 1)
    binding: str = Field(pattern=DIGEST, description="the digest of what was looked at, as GET tells it")
    reason: Reason | None = None
    roles: list[Annotated[str, Field(max_length=100, pattern=NAME)]] = Field(
        default=[], max_length=6, description="the roles of the token to approve in; all of them without"
    )
    break_glass: bool = Field(
        default=False,
        alias="breakGlass",
        description="have it served for a day, whatever is awaited: two people, each with a reason; a review is owed",
    )


def approvals_router(*, access: Access, approving: Approving, queries: Queries) -> APIRouter:
    api = APIRouter(
        prefix="/v1",
        tags=["approvals"],
        route_class=BoundedBody,
        responses=ERRORS,
        dependencies=[Depends(known_parameters)],
    )
    caller = Depends(access.caller)

    @api.get("/approvals", responses=answers(shapes.AwaitedAnywhere), response_model=None)
    async def get_all_approvals(
        who: Caller = caller,
        after: Annotated[
            str | None,
            Query(
                max_length=100,
                pattern=r"^[a-z0-9-]+/[1-9][0-9]{0,8}$",
                description="`next` of the page before",
            ),
        ] = None,
        limit: Limit = 100,
    ) -> dict[str, Any]:
        """The releases of all projects that wait for approval, by project and release."""
        behind = None
        if after is not None:
            project, _, release = after.partition("/")
            behind = (project, int(release))
        page = await queries.awaited_anywhere(after=behind, limit=limit, hidden=access.hidden_from(who))
        last = f"{page[-1]['project']}/{page[-1]['release']}" if len(page) == limit else None
        return {"releases": page, "next": last}

    @api.get("/reviews", responses=answers(shapes.OwedReviews), response_model=None)
    async def get_reviews(who: Caller = caller, after: After = None, limit: Limit = 100) -> dict[str, Any]:
        """The certificates of all projects that two people had given in haste, and that nobody has looked at since; the
        first of them first."""
        page = await queries.reviews_owed(after=after, limit=limit, hidden=access.hidden_from(who))
        return {"reviews": page, "next": page[-1]["certificate"] if len(page) == limit else None}

    @api.get(OF_PROJECT, responses=answers(shapes.AwaitedReleases), response_model=None)
    async def get_approvals(project: Project, who: Caller = caller) -> dict[str, Any]:
        """The releases that wait for approval, the newest first, then the last ones that did: what is waited for, up to
        when, and who approved it so far. An approval that does not bind was of something else, and counts no more."""
        return {"releases": await queries.awaited_releases(project)}

    @api.post(
        OF_PROJECT,
        status_code=201,
        responses=answers(shapes.GivenApproval, status=201)
        | answers(shapes.GivenApproval, status=200)
        | errors(Conflict, Refused),
    )
    async def post_approval(
        project: Project,
        body: ApprovalBody,
        who: Caller = caller,
        idempotency_key: Annotated[str | None, Header(min_length=1, max_length=200, pattern=NAME)] = None,
    ) -> JSONResponse:
        """Approve a release exactly as it was looked at. By somebody who neither asked for it, sent nor built it, once;
        if that was the last that is missing, the release is certified and goes on."""
        allowed = BREAKERS if body.break_glass else APPROVERS
        if body.break_glass and body.reason is None:
            raise Refused(
                "nobody breaks the glass without a reason",
                rule="approval.reason",
                fix="say why this cannot wait",
            )
        wanted = Wanted(
            project=project,
            release=body.release,
            binding=body.binding,
            roles=roles_of(who.roles, frozenset(body.roles), allowed),
            reason=body.reason,
            break_glass=body.break_glass,
        )
        given, is_new = await approving.approve(wanted, who.person, key=idempotency_key)
        return JSONResponse(given, 201 if is_new else 200)

    return api
