"""Tokens: who has which, making one, which is shown once, and revoking it."""

from __future__ import annotations

from datetime import datetime

from starlette.responses import Response

from placet.client import KnownToken, TokensPage
from placet.errors import PlacetError, Unreadable
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
    page: TokensPage | None = None
    failed = None
    try:
        page = await visit.ask.tokens_page(after=visit.said("after"), limit=_PAGE)
    except PlacetError as error:
        failed = error
    return visit.page(
        "platform_tokens.html",
        tab="tokens",
        page=page,
        failed=failed,
        roles=ROLES,
        most_days=_MOST_DAYS,
        state=_state,
    )


def _state(token: KnownToken, now: datetime) -> str:
    """What is shown of it: valid, expired or revoked."""
    if token.revoked:
        return "revoked"
    is_over = token.expires is not None and datetime.fromisoformat(token.expires) <= now
    return "expired" if is_over else "valid"


async def make(visit: Visit) -> Response:
    """The page that shows it, this once."""
    roles = tuple(dict.fromkeys(visit.form.get("role", [])))
    if not roles:
        raise Unreadable("a token has a role at least", fix="choose one, and send it again")
    days = visit.number("days")
    if days is None or not 1 <= days <= _MOST_DAYS:
        raise Unreadable(f"a token holds for 1 to {_MOST_DAYS} days", fix="give a number of days, such as 30")
    made = await visit.ask.create_token(visit.wanted("name"), roles, ttl=days * _DAY)
    return visit.page("platform_token.html", tab="tokens", token=made, name=visit.wanted("name"))


async def revoke(visit: Visit) -> Response:
    await visit.ask.revoke_token(visit.place("token"))
    return visit.go_saying(PATH, "It is revoked: every service refuses it as soon as it has heard of that.")
