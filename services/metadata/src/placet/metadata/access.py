"""Who reads the log: everybody whose token is good, so many at once. What is made of all of it is for some roles."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from fastapi import Request

from placet.errors import Forbidden, Unauthenticated, Unavailable, Unreadable
from placet.events.described import errors
from placet.events.shares import Shares
from placet.identity import Callers
from placet.identity.denials import Denials
from placet.identity.sharing import READ_ALL, Standing
from placet.metadata.queries import Queries
from placet.trust.tokens import Token

AUDITORS = frozenset({"compliance", "auditor", "admin"})
ERRORS = errors(Unreadable, Unauthenticated, Forbidden, Unavailable)
"""Of every call of this service."""
LOOK_EVERY = 1.0
"""Seconds between looks whether the token of one who reads on still holds, while nothing comes."""

Reader = Callable[[Request], AsyncIterator[Token]]


def reader(
    *, callers: Callers, queries: Queries, denials: Denials, roles: frozenset[str] | None = None
) -> Reader:
    """A dependency of every route. Raises Unauthenticated for a token that is none, or was revoked, and Forbidden for
    one with none of the `roles`, where only those may."""
    shares = Shares()

    async def admitted(request: Request) -> AsyncIterator[Token]:
        with denials.noted(request) as asking:
            token = await callers.verify_bearer(request.headers.get("authorization"))
            asking.person = token.person
            if await queries.is_revoked(token.id, token.person):
                raise Unauthenticated(
                    "this token was revoked", rule="token.revoked", fix="ask an admin for a new one"
                )
            if roles is not None and not token.roles & roles:
                raise Forbidden(
                    f"what was so at another time is for the roles {', '.join(sorted(roles))};"
                    f" this token has {', '.join(sorted(token.roles))}",
                    rule="access.role",
                    fix="ask an admin for a token: placet token create --as NAME --role …",
                )
            with shares.taken_by(token.person):
                yield token

    return admitted


@dataclass(slots=True)
class _Looked:
    """What was found of a token. `hidden` is None once it holds no more."""

    streams: int = 0
    upto: int = -1
    at: float = float("-inf")
    hidden: frozenset[str] | None = frozenset()
    looking: asyncio.Lock = field(default_factory=asyncio.Lock)


class Onlookers:
    """Who reads on in a stream, and may no more once their token was revoked or is over, or a project became private:
    looked up anew as they do, once for all streams of one token."""

    def __init__(self, callers: Callers, queries: Queries) -> None:
        self._callers = callers
        self._queries = queries
        self._looked: dict[str, _Looked] = {}

    @contextmanager
    def reading(self, who: Token) -> Iterator[None]:
        """Around a stream: what was found is kept as long as there is one."""
        looked = self._looked.setdefault(who.id, _Looked())
        looked.streams += 1
        try:
            yield
        finally:
            looked.streams -= 1
            if not looked.streams:
                del self._looked[who.id]

    async def hidden_from(self, who: Token, upto: int) -> frozenset[str] | None:
        """The private projects of which they are told nothing, now that they come to position `upto` of the log; None
        where they are told nothing at all any more."""
        if self._callers.has_expired(who):
            return None
        looked = self._looked[who.id]
        async with looked.looking:
            now = asyncio.get_running_loop().time()
            if upto > looked.upto or now - looked.at >= LOOK_EVERY:
                is_revoked = await self._queries.is_revoked(who.id, who.person)
                looked.hidden = None if is_revoked else await self._queries.hidden_from(who)
                looked.upto, looked.at = max(upto, looked.upto), now
            return looked.hidden


def must_read(project: str | None, hidden: frozenset[str]) -> None:
    """Raises Forbidden for a private project that is hidden, or, of the whole log, where any is: it is told as it is,
    or it could not be verified."""
    if project is None and hidden:
        raise Forbidden(
            f"the log as a whole holds what is private, and you have no role on {len(hidden)} of its projects",
            rule="project.role",
            fix="read what is of one project, `placet events --project NAME`, or ask an admin for a token with one of"
            f" the roles {', '.join(sorted(READ_ALL))}",
        )
    if project in hidden:
        Standing(project=project, role=None, is_shared=True, is_private=True).must("viewer", frozenset())


def must_have(token: Token, allowed: frozenset[str], doing: str) -> None:
    """Raises Forbidden unless one of the token's roles is allowed to do this."""
    if not token.roles & allowed:
        raise Forbidden(
            f"{doing} needs one of the roles {', '.join(sorted(allowed))}; this token has"
            f" {', '.join(sorted(token.roles))}",
            rule="access.role",
            fix="ask an admin for a token: placet token create --as NAME --role …",
        )
