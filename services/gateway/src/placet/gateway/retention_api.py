"""The gateway's REST for how long things are kept, and for what is held beyond that."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends

from placet.errors import Unknown
from placet.events.described import answers, errors
from placet.events.known_fields import KnownFields, known_parameters
from placet.gateway import answers as shapes
from placet.gateway.access import ERRORS, Access, Caller
from placet.gateway.api import BoundedBody
from placet.gateway.domain import must_have
from placet.gateway.exceptions_api import Project, Reason
from placet.gateway.retaining import KEEPERS, READERS, Retaining


class HoldBody(KnownFields):
    reason: Reason


def retention_router(*, access: Access, retaining: Retaining) -> APIRouter:
    api = APIRouter(
        prefix="/v1",
        tags=["people"],
        route_class=BoundedBody,
        responses=ERRORS,
        dependencies=[Depends(known_parameters)],
    )
    caller = Depends(access.caller)

    @api.get("/retention", responses=answers(shapes.Retention), response_model=None)
    async def get_retention(who: Caller = caller) -> dict[str, Any]:
        """How long each kind of what people gave is kept, what is over its time now, and which projects are held."""
        must_have(who.roles, READERS, "seeing how long things are kept")
        return await retaining.told()

    @api.put("/models/{project}/hold", responses=answers(shapes.Hold) | errors(Unknown), response_model=None)
    async def put_hold(project: Project, body: HoldBody, who: Caller = caller) -> dict[str, Any]:
        """Keep all of a project, however old it gets, until the hold is released. Again, nothing changes."""
        must_have(who.roles, KEEPERS, "holding what there is of a project")
        return await retaining.hold(project, body.reason, who.person)

    @api.delete("/models/{project}/hold", status_code=204, responses=errors(Unknown))
    async def delete_hold(project: Project, who: Caller = caller) -> None:
        must_have(who.roles, KEEPERS, "releasing what is held")
        await retaining.release(project, who.person)

    return api
