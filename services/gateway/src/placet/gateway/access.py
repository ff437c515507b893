"""Who is calling: bearer tokens, checked by this service itself, unless they were revoked, and not too often.

A provider's people come without anybody having made them a token: they are met here, by the name that theirs says.

Whose token holds is let in however many come from the same address whose do not: the limit of an address is for those
alone, or who shares one (an office, an edge in front) could keep the others out.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime

from fastapi import Request

from placet.errors import Forbidden, TooMany, Unauthenticated, Unavailable, Unreadable
from placet.events import Actor, Clock
from placet.events.described import errors
from placet.events.shares import Shares
from placet.gateway.denials import Denials
from placet.gateway.limiting import Buckets, network_of
from placet.gateway.queries import Queries
from placet.gateway.settings import GatewaySettings
from placet.identity import Callers
from placet.trust.tokens import Role, Token

ERRORS = errors(Unreadable, Unauthenticated, Forbidden, TooMany, Unavailable)
"""Of every call of the gateway."""
_READS = frozenset({"GET", "HEAD"})


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
    def __init__(
        self, callers: Callers, queries: Queries, clock: Clock, settings: GatewaySettings, denials: Denials
    ) -> None:
        self._callers = callers
        self._queries = queries
        self._clock = clock
        self._denials = denials
        self._shares = Shares()
        self._reads = Buckets(settings.reads_per_second)
        self._writes = Buckets(settings.writes_per_second)
        self._failures = Buckets(settings.failures_per_second)

    async def caller(self, request: Request) -> AsyncIterator[Caller]:
        """The caller of `request`, until it is answered to its end. Raises Unauthenticated, Forbidden for one of a
        provider's people whose name is somebody else's, TooMany for who asks too often, and Unavailable for one who has
        too many under way."""
        person: str | None = None
        try:
            held = await self._held(request)
            person = held.person
            await self._must_be_welcome(request, held)
            self._must_not_ask_too_often(request, person)
            with self._shares.taken_by(person):
                yield Caller(
                    person=person,
                    roles=held.roles,
                    token=held.id,
                    expires=held.expires,
                    is_providers=held.name is not None,
                )
        except (Unauthenticated, Forbidden, TooMany) as denied:  # by this, or by what the caller asked for
            self._denials.note(request, denied, person)
            raise

    async def _held(self, request: Request) -> Token:
        try:
            return await self._callers.verify_bearer(request.headers.get("authorization"))
        except (Unauthenticated, Forbidden) as failed:
            self._must_not_fail_too_often(request, failed)
            raise

    async def _must_be_welcome(self, request: Request, held: Token) -> None:
        """Whose token holds by itself. Raises as `caller` does."""
        try:
            await self._must_be_known(held)
        except (Unauthenticated, Forbidden) as failed:
            self._must_not_fail_too_often(request, failed)
            raise

    async def _must_be_known(self, held: Token) -> None:
        if await self._queries.is_revoked(held.id, held.person):
            if held.name is not None:
                raise Unauthenticated(
                    "whose token this is was erased here, and nobody is let in as them again",
                    rule="person.erased",
                    fix="ask an admin for a token of a new person",
                )
            raise Unauthenticated(
                "this token was revoked", rule="token.revoked", fix="ask an admin for a new one"
            )
        if held.name is not None:
            await self._queries.people.meet(held.person, held.name)

    def _must_not_fail_too_often(self, request: Request, failed: Unauthenticated | Forbidden) -> None:
        address = network_of(request.client.host if request.client else None)
        if seconds := self._failures.wait(address, self._clock.now()):
            raise TooMany(
                "too many requests without a token that holds come from your address",
                rule="rate.failures",
                fix=f"come back in {seconds} s, with a token that holds: {failed.detail}",
                retry_after=seconds,
            ) from failed

    def _must_not_ask_too_often(self, request: Request, person: str) -> None:
        is_read = request.method in _READS
        if seconds := (self._reads if is_read else self._writes).wait(person, self._clock.now()):
            what, setting = ("read", "READS") if is_read else ("change something", "WRITES")
            raise TooMany(
                f"you {what} more often than one person may here",
                rule="rate.reads" if is_read else "rate.writes",
                fix=f"come back in {seconds} s; who runs the platform sets the limit (PLACET_{setting}_PER_SECOND)",
                retry_after=seconds,
            )
