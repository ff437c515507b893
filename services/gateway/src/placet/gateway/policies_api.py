"""The gateway's REST for policies: submit one, see which there are and what became of them."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import JSONResponse

from placet.errors import Refused, TooLarge, Unknown
from placet.events import Clock
from placet.events.described import answers, errors, file
from placet.events.json_route import JsonRoute
from placet.events.known_fields import known_parameters
from placet.gateway import answers as shapes
from placet.gateway.access import ERRORS, Access, Caller
from placet.gateway.api import After, Id, Limit
from placet.gateway.domain import must_have
from placet.gateway.published import PolicyQueries
from placet.gateway.publishing import PUBLISHERS, Publishing
from placet.projects.full_disk import told_when_full
from placet.rules.policy import MAX_POLICY_BYTES

YAML = "application/yaml"
WarnFirst = Annotated[str | None, Query(alias="warnFirst", pattern=r"^[1-9][0-9]{0,2}[hd]$")]
_FILE: dict[str, Any] = {"requestBody": {"required": True, "content": {YAML: {"schema": {"type": "string"}}}}}


def policies_router(
    *, access: Access, publishing: Publishing, policies: PolicyQueries, clock: Clock
) -> APIRouter:
    api = APIRouter(
        prefix="/v1/policies",
        route_class=JsonRoute,
        tags=["policies"],
        responses=ERRORS,
        dependencies=[Depends(known_parameters)],
    )
    caller = Depends(access.caller)

    @api.post(
        "",
        status_code=202,
        openapi_extra=_FILE,
        responses=answers(shapes.Policy, status=202, headers={"Location": "the policy"})
        | errors(Refused, TooLarge),
    )
    async def post_policy(
        request: Request, who: Caller = caller, warn_first: WarnFirst = None
    ) -> JSONResponse:
        """Ask that a policy be published: the body is its file. It is tried before the answer comes.

        What was certified before is judged by it, too, and suspended where it forbids that; with `warnFirst` (a span
        such as 7d, from when it is in force) it only warns of that until then. What is deployed is judged in full.

        What becomes of it is told by its `state`: from submitted to in-force, scheduled or rejected. The same bytes
        again change nothing, and are answered with what became of them.
        """
        must_have(who.roles, PUBLISHERS, "publishing a policy")
        file = await _body(request)
        with told_when_full():
            submitted = await publishing.submit(file, who.person, warn_first=_seconds(warn_first))
        location = f"/v1/policies/{submitted['policy']}"
        return JSONResponse(submitted, 202, headers={"Location": location})

    @api.get("", responses=answers(shapes.Policies), response_model=None)
    async def get_policies(who: Caller = caller, after: After = None, limit: Limit = 100) -> dict[str, Any]:
        """Every version of every policy, those that ship included; `next` is what to give as `after` for the next page.

        `state` is submitted, in-force, scheduled (its day is to come), superseded, ended or rejected.
        """
        page = await policies.page(clock.now(), after=after, limit=limit)
        return {"policies": page, "next": page[-1]["digest"] if len(page) == limit else None}

    @api.get("/{id}", responses=answers(shapes.PolicyVersions) | errors(Unknown), response_model=None)
    async def get_policy(id: Id, who: Caller = caller) -> dict[str, Any]:
        """The versions of one policy, the highest first."""
        return {"policy": id, "versions": await policies.policy(id, clock.now())}

    @api.get("/{digest}/file", response_class=Response, responses=file(YAML) | errors(Unknown))
    async def get_policy_file(digest: Id, who: Caller = caller) -> Response:
        """The file with this digest, to the byte."""
        headers = {"X-Content-Type-Options": "nosniff"}
        return Response(await policies.file(digest), media_type=YAML, headers=headers)

    return api


def _seconds(span: str | None) -> int | None:
    return None if span is None else int(span[:-1]) * {"h": 3600, "d": 86400}[span[-1]]


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_POLICY_BYTES:
            raise TooLarge(f"a policy is at most {MAX_POLICY_BYTES} bytes", fix="make two of it")
    return bytes(body)
