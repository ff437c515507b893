"""Who asks how the certifier stands: whoever has a token that was not revoked. It asks nobody else for that."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.requests import Request

from placet.certifier.queries import is_token_revoked
from placet.errors import Unauthenticated
from placet.events import Clock
from placet.events.service import Admits
from placet.events.shares import Shares
from placet.events.store import EventStore
from placet.trust import KeySet, tokens


def admission(*, keys: KeySet, clock: Clock, store: EventStore) -> Admits:
    """`keys` are the public keys of tokens. Raises Unauthenticated for a token that is none, or was revoked."""
    shares = Shares()

    async def admitted(request: Request) -> AsyncIterator[tokens.Token]:
        token = tokens.verify_bearer(request.headers.get("authorization"), keys, now=clock.now())
        if await is_token_revoked(store, token.id):
            raise Unauthenticated("this token was revoked", fix="ask an admin for a new one")
        with shares.taken_by(token.person):
            yield token

    return asynccontextmanager(admitted)
