"""Tokens: who has which, making one, which is shown once, and revoking it."""

from __future__ import annotations

from datetime import datetime

from starlette.responses import Response

from placet.client import KnownToken, Token, TokensPage
from placet.errors import PlacetError, Unauthenticated, Unreadable
from placet.events.problems import problem_of
from placet.gateway.console.visits import Visit

PATH = "/console/platform/tokens"
ROLES = {
    "scientist": "uploads sources, deploys, asks for exceptions",
    "approver": "approves what others asked for, grants exceptions",
    "compliance": "as an approver, and publishes policies, holds, erases people",
    "auditor": "reads",
    "operator": "as a scientist, and quotas, the registry, webhooks, what is parked",
    "admin": "all that but approve releases, and makes tokens",
}
_PAGE = 50
_DAY = 86400
_MOST_DAYS = 366


async def listed(visit: Visit) -> Response:
    return await _page(visit)


async def _page(visit: Visit, error: PlacetError | None = None) -> Response:
    """With what was filled in, where it was refused."""
    page: TokensPage | None = None
    failed = None
    try:
        page = await visit.ask.tokens_page(after=visit.said("after"), limit=_PAGE)
    except PlacetError as unseen:
        failed = unseen
    return visit.page(
        "platform_tokens.html",
        200 if error is None else problem_of(error)[0],
        tab="tokens",
        page=page,
        failed=failed,
        roles=ROLES,
        most_days=_MOST_DAYS,
        state=_state,
        error=error,
        filled=visit.form if error is not None and page is not None else {},
    )


def _state(token: KnownToken, now: datetime) -> str:
    """What is shown of it: valid, expired or revoked."""
    if token.revoked:
        return "revoked"
    is_over = token.expires is not None and datetime.fromisoformat(token.expires) <= now
    return "expired" if is_over else "valid"


async def make(visit: Visit) -> Response:
    """The page that shows it, this once; what was filled in stays where it is refused."""
    try:
        made = await _make(visit)
    except Unauthenticated:
        raise
    except PlacetError as error:
        return await _page(visit, error)
    return visit.page("platform_token.html", tab="tokens", token=made, name=visit.wanted("name"))


async def _make(visit: Visit) -> Token:
    roles = tuple(dict.fromkeys(visit.form.get("role", [])))
    if not roles:
        raise Unreadable("a token has a role at least", fix="choose one, and send it again")
    days = visit.number("days")
    if days is None or not 1 <= days <= _MOST_DAYS:
        raise Unreadable(f"a token holds for 1 to {_MOST_DAYS} days", fix="give a number of days, such as 30")
    return await visit.ask.create_token(visit.wanted("name"), roles, ttl=days * _DAY)


async def revoke(visit: Visit) -> Response:
    await visit.ask.revoke_token(visit.place("token"))
    return visit.go_saying(PATH, "It is revoked: every service refuses it as soon as it has heard of that.")
