"""How each service stands over REST, and the way back for what it put aside: `/v1/services/{name}`.

Every service answers for itself, from its own database; one app answers for all that run in its process. Whoever has a
token may see how a service stands. What is parked is for operators and admins, and so is handing it back, which is
written to the service's log with who did it.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi import Path as InPath

from placet.errors import Forbidden, Refused, TooMany, Unauthenticated, Unavailable, Unknown, Unreadable
from placet.events import services_answers as shapes
from placet.events.described import answers, errors
from placet.events.json_route import JsonRoute
from placet.events.known_fields import known_parameters
from placet.events.parked import Parked, page_of_parked, retry, retry_all
from placet.events.service import Admits, Caller, ServiceRunner
from placet.events.standing import standing

log = logging.getLogger(__name__)

OPERATORS = frozenset({"operator", "admin"})

_TEXT = r"^[ -~]+$"
Name = Annotated[str, InPath(max_length=100, pattern=_TEXT, description="of a service, such as certifier")]
Id = Annotated[str, InPath(max_length=200, pattern=_TEXT, description="as the list of what is parked has it")]
After = Annotated[str | None, Query(max_length=200, pattern=_TEXT)]
Limit = Annotated[int, Query(ge=1, le=100)]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Of whom something is asked, and by whom."""

    runner: ServiceRunner
    who: Caller


def services_router(runners: Sequence[ServiceRunner]) -> APIRouter:
    telling: dict[str, tuple[ServiceRunner, Admits]] = {
        runner.service.name: (runner, runner.service.admits)
        for runner in runners
        if runner.service.admits is not None
    }

    async def admitted(request: Request, service: Name) -> AsyncIterator[Asked]:
        if service not in telling:
            here = ", ".join(sorted(telling)) or "none"
            raise Unknown(
                f"no service {service!r} tells of itself at this address",
                fix=f"here answers {here}; each one needs PLACET_TOKEN_KEYS for that, and the edge leads to it",
            )
        runner, admits = telling[service]
        async with admits(request) as who:
            yield Asked(runner=runner, who=who)

    anybody = Depends(admitted)

    def operated(asked: Asked = anybody) -> Asked:
        if not OPERATORS & set(asked.who.roles):
            raise Forbidden(
                f"what is parked is for the roles {', '.join(sorted(OPERATORS))}; this token has"
                f" {', '.join(sorted(asked.who.roles)) or 'none'}",
                rule="access.role",
                fix="ask an admin for a token: placet token create --as NAME --role operator",
            )
        return asked

    operator = Depends(operated)
    api = APIRouter(
        prefix="/v1/services",
        route_class=JsonRoute,
        tags=["services"],
        responses=errors(Unreadable, Unauthenticated, Forbidden, Unknown, TooMany, Unavailable),
        dependencies=[Depends(known_parameters)],
    )

    @api.get("/{service}", responses=answers(shapes.Standing), response_model=None)
    async def get_service(asked: Asked = anybody) -> dict[str, Any]:
        """How a service stands: what it hears from whom and how far behind it is, what it has yet to send, what it
        works at, its read models, and how many messages are parked."""
        return await standing(asked.runner)

    @api.get("/{service}/parked", responses=answers(shapes.ParkedMessages), response_model=None)
    async def get_parked(asked: Asked = operator, after: After = None, limit: Limit = 50) -> dict[str, Any]:
        """The messages that were put aside for a person, with the reason of each; never what they say. `next` is what
        to give as `after` for the page that follows."""
        wiring = asked.runner.service.wiring
        page = await page_of_parked(wiring.store, wiring.codec, after=after, limit=limit)
        return {"parked": [_told(each) for each in page], "next": page[-1].id if len(page) == limit else None}

    @api.post(
        "/{service}/parked/retry",
        status_code=202,
        responses=answers(shapes.Retried, status=202),
        response_model=None,
    )
    async def post_retry_of_all(asked: Asked = operator) -> dict[str, Any]:
        """Hand all of them back: each is handled as it would have been the first time, behind what its project is doing
        now. `retried` says how many; what fails again is parked again, and strays stay."""
        retried = await retry_all(asked.runner.service.wiring.store)
        await _handed_back(asked, f"all that was parked, {retried} messages")
        return {"retried": retried}

    @api.post(
        "/{service}/parked/{id}/retry",
        status_code=202,
        responses=answers(shapes.Retried, status=202) | errors(Refused),
        response_model=None,
    )
    async def post_retry(id: Id, asked: Asked = operator) -> dict[str, Any]:
        """The same of one. Asked again it changes nothing: `retried` is 0 where it waits already, or was handled."""
        retried = await retry(asked.runner.service.wiring.store, id)
        if retried:
            await _handed_back(asked, id)
        return {"retried": int(retried)}

    return api


async def _handed_back(asked: Asked, what: str) -> None:
    log.warning("%s: %s hands back %s", asked.runner.service.name, asked.who.person, what)
    with suppress(Unavailable):  # who leads looks by itself, too, a little later
        await asked.runner.look_for_retried()


def _told(parked: Parked) -> dict[str, Any]:
    return {
        "id": parked.id,
        "producer": parked.producer,
        "epoch": parked.epoch or None,
        "position": parked.position or None,
        "event": parked.event,
        "type": parked.type,
        "project": parked.project,
        "routingKey": parked.routing_key,
        "reason": parked.reason,
        "attempts": parked.attempts,
        "receivedAt": parked.received_at,
        "parkedAt": parked.parked_at,
        "stray": parked.position == 0,
    }
