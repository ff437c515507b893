"""The platform's services: how each stands, as it tells itself, and the way back for what it put aside."""

from __future__ import annotations

from starlette.responses import Response

from placet.client import SERVICES, ParkedPage
from placet.errors import PlacetError, Unknown
from placet.gateway.console.visits import Visit

PATH = "/console/platform"
OPERATORS = frozenset({"operator", "admin"})
_PAGE = 25
_WITHIN = 3.0
"""Seconds in which a service is to say how it stands: nobody waits for a page longer."""
_LONGEST = 160
"""Characters of a reason that are shown at once."""


async def listed(visit: Visit) -> Response:
    """How all of them stand; those that do not answer are waited for so long and no longer."""
    services = await visit.ask.services(within=_WITHIN)
    return visit.page(
        "platform_services.html",
        tab="services",
        services=services,
        idle=[each.service for each in services if each.answers and not each.ready],
        slow=[each.service for each in services if each.slow],
        silent=[each.service for each in services if not each.answers and not each.slow],
        within=_WITHIN,
        parked=sum(each.parked or 0 for each in services),
    )


async def shown(visit: Visit) -> Response:
    """One of them, and a page of what it put aside, for who may see that."""
    name = _known(visit)
    state = await visit.ask.standing(name, within=_WITHIN)
    page, failed = None, None
    may_see = not OPERATORS.isdisjoint(visit.me.roles)
    if state.answers and may_see:
        try:
            page = await visit.ask.parked_page(name, after=visit.said("after"), limit=_PAGE)
        except PlacetError as error:
            failed = error
    return visit.page(
        "platform_service.html",
        tab="services",
        service=state,
        within=_WITHIN,
        page=page,
        retriable=_retriable(page),
        may_see=may_see,
        failed=failed,
        longest=_LONGEST,
    )


def _retriable(page: ParkedPage | None) -> bool:
    return page is not None and any(not each.stray for each in page.parked)


async def retry(visit: Visit) -> Response:
    """Hand back one message, or all of them."""
    name, message = _known(visit), visit.given("message") or None
    retried = await visit.ask.retry_parked(name, message)
    if not retried:
        said = "Nothing was handed back: it waits already, or was handled."
    elif message is not None:
        said = "It was handed back. What fails again is here again."
    else:
        said = f"{retried} were handed back. What fails again is here again."
    return visit.go_saying(f"{PATH}/services/{name}", said)


def _known(visit: Visit) -> str:
    """The service that the address names. Raises Unknown."""
    if (name := visit.place("service")) not in SERVICES:
        raise Unknown("there is no such service", fix="go to the services")
    return name
