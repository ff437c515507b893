"""Who reads the log: everybody whose token is good, so many at once. What is made of all of it is for some roles."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

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


def must_read(project: str | None, hidden: frozenset[str]) -> None:
    """Raises Forbidden for a private project that is hidden, or, of the whole log, where any is: it is told as it is,
    or it could not be verified."""
    if project is None and hidden:
        raise Forbidden(
            f"the log as a whole holds what is private, and you have no role on {len(hidden)} of its projects",
            rule="project.role",
            fix=f"name a project, or ask an admin for a token with one of the roles {', '.join(sorted(READ_ALL))}",
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
