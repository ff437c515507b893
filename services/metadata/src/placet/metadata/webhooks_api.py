"""Webhooks over HTTP: who has events told where, how far each is, and what is in the way."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response
from fastapi import Path as InPath
from pydantic import Field

from placet.errors import Conflict, Refused, Unknown
from placet.events.bounded_body import BoundedRoute
from placet.events.described import answers, errors
from placet.events.known_fields import KnownFields, known_parameters
from placet.metadata import answers as shapes
from placet.metadata.access import ERRORS, Reader, must_have
from placet.metadata.reach import MAX_URL
from placet.metadata.subscribing import Subscribing, Wanted
from placet.trust import tokens

MAX_POSITION = 2**53 - 1
"""Not every reader of JSON holds larger whole numbers as they are (RFC 8259, section 6)."""
KEEPERS = frozenset({"admin", "compliance", "operator"})
"""Who may have what happens told to somebody outside, and sees where to: an address may hold a secret."""

Id = Annotated[str, InPath(max_length=100, pattern=r"^[ -~]+$")]
Text = Annotated[str | None, Field(max_length=100, pattern=r"^[ -~]+$")]
Position = Annotated[int | None, Field(ge=0, le=MAX_POSITION)]


class WebhookBody(KnownFields):
    url: str = Field(
        max_length=MAX_URL, description="where events are sent to, such as https://hooks.example.org/placet"
    )
    type: Text = Field(default=None, description="only such types; `*` stands for any text")
    project: Text = Field(default=None, description="only events of this project")
    after: Position = Field(
        default=None,
        description="events behind this position of the log, up to its end; without, those from now on",
    )


class EnableBody(KnownFields):
    after: Position = Field(
        default=None, description="go on behind this position instead: to skip, or to have it all again"
    )


def router(*, reader: Reader, subscribing: Subscribing) -> APIRouter:
    api = APIRouter(
        prefix="/v1/webhooks",
        tags=["webhooks"],
        route_class=BoundedRoute,
        responses=ERRORS,
        dependencies=[Depends(known_parameters)],
    )
    caller = Depends(reader)

    def keeper(who: tokens.Token = caller) -> tokens.Token:
        must_have(who, KEEPERS, "having events told to somebody outside")
        return who

    allowed = Depends(keeper)

    @api.post(
        "",
        status_code=201,
        responses=answers(shapes.WebhookWithSecret, status=201) | errors(Conflict, Refused),
        response_model=None,
    )
    async def post_webhook(body: WebhookBody, who: tokens.Token = allowed) -> dict[str, Any]:
        """Have events sent to an address, signed as Standard Webhooks has it. The `secret` is told this once.

        409 where the same is told to the same address already; 422 where no webhook may lead there.
        """
        wanted = Wanted(url=body.url, type=body.type, project=body.project, after=body.after)
        return await subscribing.add(wanted, who.person)

    @api.get("", dependencies=[allowed], responses=answers(shapes.Webhooks), response_model=None)
    async def get_webhooks() -> dict[str, Any]:
        """All there are, the first one first."""
        return {"webhooks": await subscribing.all()}

    @api.get(
        "/{id}",
        dependencies=[allowed],
        responses=answers(shapes.Webhook) | errors(Unknown),
        response_model=None,
    )
    async def get_webhook(id: Id) -> dict[str, Any]:
        """How far it is (`position`, of `head`), what was answered last, how often it failed, when it goes on."""
        return await subscribing.one(id)

    @api.delete("/{id}", status_code=204, responses=errors(Unknown))
    async def delete_webhook(id: Id, who: tokens.Token = allowed) -> Response:
        """Nothing is sent any more, and its address and secrets are gone."""
        await subscribing.remove(id, who.person)
        return Response(status_code=204)

    @api.post(
        "/{id}/rotate", responses=answers(shapes.WebhookWithSecret) | errors(Unknown), response_model=None
    )
    async def rotate_webhook(id: Id, who: tokens.Token = allowed) -> dict[str, Any]:
        """Another secret, told here and never again. For a day what is sent has the signatures of both."""
        return await subscribing.rotate(id, who.person)

    @api.post(
        "/{id}/enable", responses=answers(shapes.Webhook) | errors(Unknown, Refused), response_model=None
    )
    async def enable_webhook(
        id: Id, body: EnableBody | None = None, who: tokens.Token = allowed
    ) -> dict[str, Any]:
        """Go on at once: with the event that was not taken, or behind another position."""
        return await subscribing.enable(id, None if body is None else body.after, who.person)

    @api.post(
        "/{id}/test",
        dependencies=[allowed],
        responses=answers(shapes.Tried) | errors(Unknown),
        response_model=None,
    )
    async def test_webhook(id: Id) -> dict[str, Any]:
        """Send a signed message that is no event (`placet.webhook.test`), once, and say what it came to."""
        return await subscribing.try_out(id)

    return api
