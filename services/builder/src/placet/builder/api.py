"""A build's log over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import anyio
from fastapi import APIRouter, Depends, Request
from fastapi import Path as InPath
from fastapi.responses import PlainTextResponse

from placet.builder.queries import is_revoked
from placet.errors import Unauthenticated, Unknown
from placet.events import Clock
from placet.events.known_fields import known_parameters
from placet.events.store import EventStore
from placet.projects import PROJECT_PATTERN
from placet.trust import KeySet, tokens

Project = Annotated[str, InPath(pattern=PROJECT_PATTERN)]
Release = Annotated[int, InPath(ge=1, lt=2**31)]


def router(*, keys: KeySet, clock: Clock, store: EventStore, log_of: Callable[[str, int], Path]) -> APIRouter:
    async def reader(request: Request) -> None:
        token = tokens.verify_bearer(request.headers.get("authorization"), keys, now=clock.now())
        if await is_revoked(store, token.id):
            raise Unauthenticated("this token was revoked", fix="ask an admin for a new one")

    api = APIRouter(prefix="/v1", tags=["builds"], dependencies=[Depends(reader), Depends(known_parameters)])

    @api.get("/builds/{project}/{release}/log", response_class=PlainTextResponse)
    async def get_log(project: Project, release: Release) -> str:
        """What the builder wrote while it made this release's image."""
        file = anyio.Path(log_of(project, release))
        if not await file.exists():
            raise Unknown(
                f"there is no build log of {project} {release} here",
                fix="a release whose image was reused has none",
            )
        return await file.read_text(encoding="utf-8")

    return api
