"""Who is calling: bearer tokens, checked by this service itself, unless they were revoked.

A provider's people come without anybody having made them a token: they are met here, by the name that theirs says.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime

from fastapi import Request

from placet.errors import Unauthenticated
from placet.events import Actor
from placet.events.shares import Shares
from placet.gateway.queries import Queries
from placet.identity import Callers
from placet.trust.tokens import Role, Token


@dataclass(frozen=True, kw_only=True)
class Caller:
    person: str
    roles: frozenset[Role]
    token: str
    expires: datetime
    is_providers: bool
    """Whether the token is of an OpenID Connect provider."""

    @property
    def actor(self) -> Actor:
        return Actor.person(self.person)


class Access:
    def __init__(self, callers: Callers, queries: Queries) -> None:
        self._callers = callers
        self._queries = queries
        self._shares = Shares()

    async def caller(self, request: Request) -> AsyncIterator[Caller]:
        """The caller of `request`, until it is answered to its end. Raises Unauthenticated, Forbidden for one of a
        provider's people whose name is somebody else's, and Unavailable for one who has too many under way."""
        held = await self._callers.verify_bearer(request.headers.get("authorization"))
        await self._must_be_welcome(held)
        with self._shares.taken_by(held.person):
            yield Caller(
                person=held.person,
                roles=held.roles,
                token=held.id,
                expires=held.expires,
                is_providers=held.name is not None,
            )

    async def _must_be_welcome(self, held: Token) -> None:
        """Whose token holds by itself. Raises as `caller` does."""
        if await self._queries.is_revoked(held.id, held.person):
            if held.name is not None:
                raise Unauthenticated(
                    "whose token this is was erased here, and nobody is let in as them again",
                    fix="ask an admin for a token of a new person",
                )
            raise Unauthenticated("this token was revoked", fix="ask an admin for a new one")
        if held.name is not None:
            await self._queries.people.meet(held.person, held.name)
