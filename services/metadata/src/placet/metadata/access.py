"""Who reads the log: everybody whose token is good, so many at once. And who has it told elsewhere."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from fastapi import Request

from placet.errors import Forbidden, Unauthenticated
from placet.events import Clock
from placet.events.shares import Shares
from placet.metadata.queries import Queries
from placet.trust import KeySet, tokens

Reader = Callable[[Request], AsyncIterator[tokens.Token]]


def reader(*, keys: KeySet, clock: Clock, queries: Queries) -> Reader:
    """A dependency of every route. Raises Unauthenticated for a token that is none, or was revoked."""
    shares = Shares()

    async def admitted(request: Request) -> AsyncIterator[tokens.Token]:
        token = tokens.verify_bearer(request.headers.get("authorization"), keys, now=clock.now())
        if await queries.is_revoked(token.id):
            raise Unauthenticated("this token was revoked", fix="ask an admin for a new one")
        with shares.taken_by(token.person):
            yield token

    return admitted


def must_have(token: tokens.Token, allowed: frozenset[str], doing: str) -> None:
    """Raises Forbidden unless one of the token's roles is allowed to do this."""
    if not token.roles & allowed:
        raise Forbidden(
            f"{doing} needs one of the roles {', '.join(sorted(allowed))}; this token has"
            f" {', '.join(sorted(token.roles))}",
            fix="ask an admin for a token: placet token create --as NAME --role …",
        )
