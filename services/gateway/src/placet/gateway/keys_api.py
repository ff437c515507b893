"""The gateway's REST for the keys that certificates were ever signed with: which counts for what."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends

from placet.events.described import answers
from placet.events.json_route import JsonRoute
from placet.events.known_fields import known_parameters
from placet.gateway import answers as shapes
from placet.gateway.access import ERRORS, Access, Caller
from placet.gateway.queries import Queries


def keys_router(*, access: Access, queries: Queries) -> APIRouter:
    api = APIRouter(
        prefix="/v1/keys",
        route_class=JsonRoute,
        tags=["certificates"],
        responses=ERRORS,
        dependencies=[Depends(known_parameters)],
    )
    caller = Depends(access.caller)

    @api.get("", responses=answers(shapes.Keys), response_model=None)
    async def get_keys(who: Caller = caller) -> dict[str, Any]:
        """Every key, the first one first, as the history file has it that `placet certificate verify` takes.

        A key counts for what is dated `from` its beginning up to and without `until`, and since it was `compromised`
        for nothing. `why` it went is scheduled, staff, lost or compromised. A key that is to come is here already.
        """
        return {"keys": await queries.keys()}

    return api
