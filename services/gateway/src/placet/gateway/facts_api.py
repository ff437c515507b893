"""The gateway's REST for what rules saw: recorded facts by digest, for whoever writes policies or asks why."""

from __future__ import annotations

from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, Query, Response

from placet.events.described import answers
from placet.events.json_route import JsonRoute
from placet.events.known_fields import known_parameters
from placet.gateway import answers as shapes
from placet.gateway.access import ERRORS, Access, Caller
from placet.gateway.domain import must_have
from placet.gateway.ports import Facts

READERS = frozenset({"compliance", "auditor", "admin"})
MAX_DIGESTS = 100
MAX_ANSWER_BYTES = 16 * 1024**2

Digest = Annotated[str, Query(pattern=r"^sha256:[0-9a-f]{64}$")]
Digests = Annotated[list[Digest], Query(max_length=MAX_DIGESTS)]


def facts_router(*, access: Access, facts: Facts) -> APIRouter:
    api = APIRouter(
        prefix="/v1/facts",
        route_class=JsonRoute,
        tags=["policies"],
        responses=ERRORS,
        dependencies=[Depends(known_parameters)],
    )
    caller = Depends(access.caller)

    @api.get("", response_model=None, responses=answers(shapes.Facts))
    async def get_facts(
        digest: Digests = [],  # noqa: B006 - FastAPI copies it
        personal: Digests = [],  # noqa: B006
        who: Caller = caller,
    ) -> Response:
        """What rules saw, by the digests that events and certificates name: `facts` by digest, null for what is not
        there. `personal` are digests of what is about people, which is null when it was erased.

        Of many large ones only the first are in the answer: ask again for those that it does not name.
        """
        must_have(who.roles, READERS, "reading what rules saw")
        found: dict[str, msgspec.Raw | None] = {}
        size = 0
        for one, read in [
            *((each, facts.seen) for each in digest),
            *((each, facts.personal) for each in personal),
        ]:
            if size > MAX_ANSWER_BYTES:
                break
            data = await read(one)
            size += len(data or b"")
            found[one] = None if data is None else msgspec.Raw(data)
        return Response(msgspec.json.encode({"facts": found}), media_type="application/json")

    return api
