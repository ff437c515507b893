"""Who asks how the certifier stands: whoever has a token that was not revoked. It asks nobody else for that."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.requests import Request

from placet.certifier.queries import is_token_revoked
from placet.errors import Unauthenticated
from placet.events.service import Admits
from placet.events.shares import Shares
from placet.events.store import EventStore
from placet.identity import Callers
from placet.identity.denials import Denials
from placet.trust import tokens


def admission(*, callers: Callers, store: EventStore, denials: Denials) -> Admits:
    """Raises Unauthenticated for a token that is none, or was revoked."""
    shares = Shares()

    async def admitted(request: Request) -> AsyncIterator[tokens.Token]:
        with denials.noted(request) as asking:
            token = await callers.verify_bearer(request.headers.get("authorization"))
            asking.person = token.person
            if await is_token_revoked(store, token.id, token.person):
                raise Unauthenticated(
                    "this token was revoked", rule="token.revoked", fix="ask an admin for a new one"
                )
            with shares.taken_by(token.person):
                yield token

    return asynccontextmanager(admitted)
