"""The gateway's REST for what is held about people, and for forgetting them."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends
from fastapi import Path as InPath
from fastapi.responses import JSONResponse

from placet.errors import Conflict, Unknown
from placet.events.described import answers, errors
from placet.events.known_fields import known_parameters
from placet.gateway import answers as shapes
from placet.gateway.access import ERRORS, Access, Caller
from placet.gateway.api import After, BoundedBody, Limit
from placet.gateway.domain import must_have
from placet.gateway.erasing import ERASERS, Erasing
from placet.gateway.held import Held

Person = Annotated[str, InPath(pattern=r"^person:[0-9a-f-]{36}$", description="as events have it")]


def people_router(*, access: Access, held: Held, erasing: Erasing) -> APIRouter:
    api = APIRouter(
        prefix="/v1/people",
        tags=["people"],
        route_class=BoundedBody,
        responses=ERRORS,
        dependencies=[Depends(known_parameters)],
    )
    caller = Depends(access.caller)

    @api.get("", responses=answers(shapes.People), response_model=None)
    async def get_people(who: Caller = caller, after: After = None, limit: Limit = 100) -> dict[str, Any]:
        """Everybody whom this gateway knows, in the order in which they came, also those who were erased; `next` is
        what to give as `after` for the page that follows."""
        must_have(who.roles, ERASERS, "listing people")
        page = await held.page(after=after, limit=limit)
        return {"people": page, "next": page[-1]["person"] if len(page) == limit else None}

    @api.get("/{person}", responses=answers(shapes.Held) | errors(Unknown), response_model=None)
    async def get_person(person: Person, who: Caller = caller) -> dict[str, Any]:
        """What is held about somebody, to themselves, compliance and admins: their name, tokens, answers, the sources
        that name them, and how often they did what. Their words come in pages."""
        _may_look(who, person)
        return await held.person(person)

    @api.get("/{person}/words", responses=answers(shapes.WordsPage) | errors(Unknown), response_model=None)
    async def get_words(
        person: Person, who: Caller = caller, after: After = None, limit: Limit = 100
    ) -> dict[str, Any]:
        """What they gave as reasons and summaries, each by what it is of."""
        _may_look(who, person)
        page = await held.words(person, after=after, limit=limit)
        return {"words": page, "next": page[-1]["of"] if len(page) == limit else None}

    @api.delete(
        "/{person}",
        status_code=202,
        responses=answers(shapes.Held, status=202)
        | answers(shapes.Held, status=200)
        | errors(Unknown, Conflict),
    )
    async def delete_person(person: Person, who: Caller = caller) -> JSONResponse:
        """Erase somebody: from the answer on nobody can read their name and their words, and their tokens are revoked.
        What they left in the registry is removed behind it, until when the state is `erasing`. Asked again, nothing
        changes, and it is answered with 200 once all is done. The audit log stays as it is, and holds."""
        must_have(who.roles, ERASERS, "erasing a person")
        told = await erasing.erase(person, who.person)
        return JSONResponse(told, 200 if told["state"] == "erased" else 202)

    return api


def _may_look(who: Caller, person: str) -> None:
    if who.person != person:
        must_have(who.roles, ERASERS, "seeing what is held about somebody else")
