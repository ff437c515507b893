"""Who is calling: bearer tokens, checked here without asking anybody, unless they were revoked."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from fastapi import Request

from placet.errors import Unauthenticated
from placet.events import Actor, Clock
from placet.events.shares import Shares
from placet.gateway.queries import Queries
from placet.trust import KeySet, tokens


@dataclass(frozen=True, kw_only=True)
class Caller:
    person: str
    roles: frozenset[str]
    token: str

    @property
    def actor(self) -> Actor:
        return Actor.person(self.person)


class Access:
    def __init__(self, keys: KeySet, queries: Queries, clock: Clock) -> None:
        self._keys = keys
        self._queries = queries
        self._clock = clock
        self._shares = Shares()

    async def caller(self, request: Request) -> AsyncIterator[Caller]:
        """The caller of `request`, until it is answered to its end. Raises Unauthenticated, and Unavailable for one
        who has too many under way."""
        held = tokens.verify_bearer(request.headers.get("authorization"), self._keys, now=self._clock.now())
        if await self._queries.is_revoked(held.id, held.person):
            raise Unauthenticated("this token was revoked", fix="ask an admin for a new one")
        with self._shares.taken_by(held.person):
            yield Caller(person=held.person, roles=frozenset(held.roles), token=held.id)
