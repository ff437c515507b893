"""A build's log over HTTP, also while it is being written."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi import Path as InPath
from fastapi.responses import StreamingResponse

from placet.builder.projections import sharing
from placet.builder.queries import is_revoked, is_under_way
from placet.errors import Forbidden, Unauthenticated, Unavailable, Unknown, Unreadable
from placet.events.described import errors, text
from placet.events.json_route import JsonRoute
from placet.events.known_fields import known_parameters
from placet.events.shares import Shares
from placet.events.store import EventStore
from placet.identity import Callers
from placet.identity.denials import Denials
from placet.identity.holding import while_allowed
from placet.projects import PROJECT_PATTERN
from placet.trust.tokens import Token

LOOK_EVERY = 0.2
"""Seconds between looks for what a build has written."""
_PIECE = 2**16

Project = Annotated[str, InPath(pattern=PROJECT_PATTERN)]
Release = Annotated[int, InPath(ge=1, lt=2**31)]


class Access:
    """Who is known may read, but for what is of a private project: that those who have a role on it, or read all."""

    def __init__(self, callers: Callers, store: EventStore, denials: Denials) -> None:
        self._callers = callers
        self._store = store
        self._denials = denials
        self._shares = Shares()

    async def require(self, request: Request) -> AsyncIterator[Token]:
        """A dependency of every route. Raises as `must` does, where the path names a project."""
        with self._denials.noted(request) as asking:
            token = await self._callers.verify_bearer(request.headers.get("authorization"))
            asking.person = token.person
            await self.must(token, request.path_params.get("project"))
            with self._shares.taken_by(token.person):
                yield token

    async def must(self, token: Token, project: str | None) -> None:
        """Raises Unauthenticated for a token that was revoked or is over, and Forbidden for a private project on which
        they have no role."""
        self._callers.must_not_be_over(token)
        if await is_revoked(self._store, token.id, token.person):
            raise Unauthenticated(
                "this token was revoked", rule="token.revoked", fix="ask an admin for a new one"
            )
        if project:
            standing = await sharing.standing(self._store, project, token.person, token.teams)
            standing.must("viewer", token.roles)


def router(*, access: Access, store: EventStore, log_of: Callable[[str, int], Path]) -> APIRouter:
    api = APIRouter(
        prefix="/v1",
        route_class=JsonRoute,
        tags=["builds"],
        responses=errors(Unreadable, Unauthenticated, Forbidden, Unavailable),
        dependencies=[Depends(access.require), Depends(known_parameters)],
    )

    caller = Depends(access.require)

    @api.get(
        "/builds/{project}/{release}/log",
        response_class=StreamingResponse,
        responses=text("text/plain; charset=utf-8") | errors(Unknown),
    )
    async def get_log(
        project: Project,
        release: Release,
        follow: Annotated[
            bool, Query(description="go on with what is added, until the build is over")
        ] = False,
        who: Token = caller,
    ) -> StreamingResponse:
        """What the builder wrote while it made this release's image, in each of its tries. It ends early for one who
        may read it no more."""
        file = log_of(project, release)

        async def is_over() -> bool:
            return not (follow and await is_under_way(store, project, release))

        if not await asyncio.to_thread(file.exists) and not await is_under_way(store, project, release):
            raise Unknown(
                f"there is no build log of {project} {release} here",
                fix="a release whose image was reused has none, and old ones are removed",
            )
        pieces = while_allowed(_written(file, is_over), partial(access.must, who, project))
        return StreamingResponse(pieces, media_type="text/plain; charset=utf-8")

    return api


async def _written(file: Path, is_over: Callable[[], Awaitable[bool]]) -> AsyncIterator[bytes]:
    """What is in the file, and what is added to it until `is_over`. It need not be there yet."""
    position = 0
    while True:
        over = await is_over()  # asked before the last look: what was written before the end is read
        while piece := await asyncio.to_thread(_read, file, position):
            position += len(piece)
            yield piece
        if over:
            return
        await asyncio.sleep(LOOK_EVERY)


def _read(file: Path, position: int) -> bytes:
    try:
        with file.open("rb") as opened:
            opened.seek(position)
            return opened.read(_PIECE)
    except FileNotFoundError:
        return b""
