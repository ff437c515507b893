"""Who reads the log: everybody whose token is good, so many at once. What is made of all of it is for some roles."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from fastapi import Request

from placet.errors import Forbidden, Unauthenticated
from placet.events import Clock
from placet.events.shares import Shares
from placet.metadata.queries import Queries
from placet.trust import KeySet, tokens

AUDITORS = frozenset({"compliance", "auditor", "admin"})


def sees_people(request: Request, keys: KeySet, clock: Clock) -> None:
    """Raises Forbidden where the token is none of theirs; that it is good was looked at."""
    token = tokens.verify_bearer(request.headers.get("authorization"), keys, now=clock.now())
    if not token.roles & AUDITORS:
        raise Forbidden(
            "what was recorded about people is for compliance, auditors and admins",
            fix="leave people out, or ask one of them for the bundle",
        )


def reader(
    *, keys: KeySet, clock: Clock, queries: Queries, roles: frozenset[str] | None = None
) -> Callable[[Request], AsyncIterator[None]]:
    """A dependency of every route. Raises Unauthenticated for a token that is none, or was revoked, and Forbidden for
    one with none of the `roles`, where only those may."""
    shares = Shares()

    async def admitted(request: Request) -> AsyncIterator[None]:
        token = tokens.verify_bearer(request.headers.get("authorization"), keys, now=clock.now())
        if await queries.is_revoked(token.id):
            raise Unauthenticated("this token was revoked", fix="ask an admin for a new one")
        if roles is not None and not token.roles & roles:
            raise Forbidden(
                f"what was so at another time is for the roles {', '.join(sorted(roles))};"
                f" this token has {', '.join(sorted(token.roles))}",
                fix="ask an admin for a token: placet token create --as NAME --role …",
            )
        with shares.taken_by(token.person):
            yield

    return admitted
