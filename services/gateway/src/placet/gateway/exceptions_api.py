"""The gateway's REST for exceptions from rules: ask for one, list them, grant and withdraw."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from fastapi import Path as InPath
from fastapi.responses import JSONResponse
from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field, Strict

from placet.errors import Conflict, Refused, Unknown
from placet.events import Clock
from placet.events.codec import timestamp
from placet.events.described import answers, errors
from placet.events.known_fields import KnownFields, known_parameters
from placet.gateway import answers as shapes
from placet.gateway.access import ERRORS, Access, Caller
from placet.gateway.api import DIGEST, NAME, After, BoundedBody, Id, Limit, unreserved
from placet.gateway.domain import MAKERS, must_have
from placet.gateway.excepting import Excepting, Wanted
from placet.gateway.exceptions import DECIDERS
from placet.gateway.queries import ExceptionState, Queries
from placet.projects import PROJECT_PATTERN

OF_PROJECT = "/models/{project}/exceptions"
Project = Annotated[str, InPath(pattern=PROJECT_PATTERN), AfterValidator(unreserved)]


def _words(reason: str) -> str:
    if not any(character.isalnum() for character in reason):
        raise ValueError("a reason has words")
    return reason


_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII)


def _in_rfc_3339(until: object) -> object:
    """Else pydantic takes seconds since 1970, as a number or as text, and days without a time."""
    if not isinstance(until, str) or not _RFC_3339.fullmatch(until):
        raise ValueError("an end is a time in RFC 3339 with its zone, such as 2027-01-31T00:00:00Z")
    return until


def _on_the_calendar(until: datetime) -> datetime:
    """The codec writes times in UTC, where the first and the last day may lie outside of all years."""
    try:
        return until.astimezone(UTC)
    except OverflowError:
        raise ValueError("an end lies in the years 1 to 9999, in UTC") from None


Until = Annotated[
    AwareDatetime, Strict(False), BeforeValidator(_in_rfc_3339), AfterValidator(_on_the_calendar)
]
Reason = Annotated[
    str,
    AfterValidator(_words),
    Field(max_length=2000, pattern=r"^[\P{C}\n]+$", description="with a letter or a digit, at least"),
]


class ExceptionBody(KnownFields):
    rule: str = Field(max_length=100, pattern=NAME, description="such as model.pickle-by-exception")
    until: Until = Field(description="when it ends, in RFC 3339")
    reason: Reason
    source: str | None = Field(
        default=None, pattern=DIGEST, description="the only source that it is for; any of the project without"
    )


def exceptions_router(*, access: Access, excepting: Excepting, queries: Queries, clock: Clock) -> APIRouter:
    api = APIRouter(
        prefix="/v1",
        tags=["exceptions"],
        route_class=BoundedBody,
        responses=ERRORS,
        dependencies=[Depends(known_parameters)],
    )
    caller = Depends(access.caller)

    async def page_of(
        project: str | None, state: ExceptionState | None, after: str | None, limit: int, who: Caller
    ) -> dict[str, Any]:
        now, hidden = timestamp(clock.now()), access.hidden_from(who)
        page = await queries.exceptions(
            project, now=now, after=after, limit=limit, state=state, hidden=hidden
        )
        return {"exceptions": page, "next": page[-1]["exception"] if len(page) == limit else None}

    @api.post(
        OF_PROJECT,
        status_code=201,
        responses=answers(shapes.RuleException, status=201)
        | answers(shapes.RuleException, status=200)
        | errors(Conflict, Refused),
    )
    async def post_exception(project: Project, body: ExceptionBody, who: Caller = caller) -> JSONResponse:
        """Ask that a rule may forbid nothing for a project. It does nothing until somebody else has granted it.

        The project need not be there yet. The same again, by the same person, is answered with the first, and 200; with
        another reason, 409.
        """
        must_have(who.roles, MAKERS, "asking for an exception")
        wanted = Wanted(
            project=project, rule=body.rule, until=body.until, reason=body.reason, source=body.source
        )
        asked, is_new = await excepting.request(wanted, who.person)
        return JSONResponse(asked, 201 if is_new else 200)

    @api.get(OF_PROJECT, responses=answers(shapes.Exceptions), response_model=None)
    async def get_exceptions(
        project: Project,
        who: Caller = caller,
        state: ExceptionState | None = None,
        after: After = None,
        limit: Limit = 100,
    ) -> dict[str, Any]:
        """Newest first, whatever became of them; `next` is what to give as `after` for the page that follows."""
        return await page_of(project, state, after, limit, who)

    @api.get("/exceptions", responses=answers(shapes.Exceptions), response_model=None)
    async def get_all_exceptions(
        who: Caller = caller,
        state: ExceptionState | None = None,
        after: After = None,
        limit: Limit = 100,
    ) -> dict[str, Any]:
        """Those of all projects, newest first, whatever became of them."""
        return await page_of(None, state, after, limit, who)

    @api.post(
        f"{OF_PROJECT}/{{id}}/grant",
        responses=answers(shapes.RuleException) | errors(Unknown, Conflict),
        response_model=None,
    )
    async def grant_exception(project: Project, id: Id, who: Caller = caller) -> dict[str, Any]:
        """Grant what somebody else asked for: from the next judgement on it is used. Nobody grants their own."""
        must_have(who.roles, DECIDERS, "granting an exception")
        return await excepting.grant(project, id, who.person)

    @api.post(
        f"{OF_PROJECT}/{{id}}/withdraw",
        responses=answers(shapes.RuleException) | errors(Unknown, Conflict),
        response_model=None,
    )
    async def withdraw_exception(project: Project, id: Id, who: Caller = caller) -> dict[str, Any]:
        """End one before its time, or answer with no. What was certified with one that was granted leaves its route."""
        return await excepting.withdraw(project, id, who.person, decides=bool(who.roles & DECIDERS))

    return api
