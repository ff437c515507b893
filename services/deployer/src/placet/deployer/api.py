"""A model's log over HTTP: what only the deployer has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated

from fastapi import APIRouter, Header, Query
from fastapi.responses import StreamingResponse

from placet.deployer import queries
from placet.deployer.domain import PROJECT, Happened, Project, stream
from placet.deployer.ports import Instance, ModelHost, instance_id
from placet.errors import Unauthenticated, Unknown
from placet.events import Clock
from placet.events.contracts.deployer import ModelDeleted
from placet.events.envelope import Recorded
from placet.events.store import EventStore
from placet.trust import KeySet, tokens


class Access:
    """Who is known may read; which roles they have does not matter here."""

    def __init__(self, keys: Callable[[], KeySet], store: EventStore, clock: Clock) -> None:
        self._keys = keys
        self._store = store
        self._clock = clock

    async def require(self, authorization: str | None) -> None:
        """Raises `Unauthenticated` unless the header holds a valid token that was not revoked."""
        scheme, _, credentials = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not credentials:
            raise Unauthenticated("this asks for a token", fix="send Authorization: Bearer TOKEN")
        token = tokens.verify(credentials.strip(), self._keys(), now=self._clock.now())
        if await queries.is_revoked(self._store, token.id):
            raise Unauthenticated("the token was revoked", fix="ask an admin for a new one")


def router(*, host: ModelHost, access: Access, store: EventStore) -> APIRouter:
    api = APIRouter(prefix="/v1", tags=["models"])

    @api.get("/models/{project}/logs", response_class=StreamingResponse)
    async def logs(
        project: str,
        follow: Annotated[bool, Query(description="go on with what is added")] = False,
        tail: Annotated[int | None, Query(ge=0, description="only the last so many lines")] = None,
        authorization: Annotated[str | None, Header()] = None,
    ) -> StreamingResponse:
        """The log of the instance that serves, or else of the last one that was started."""
        await access.require(authorization)
        recorded = await store.read(stream(project))
        state = PROJECT.fold(each.data for each in recorded)
        instances = [each for each in await host.list() if each.project == project]
        if not instances and not state.runs:
            raise Unknown(_nothing_ran(project, recorded), fix="see `placet list`")
        id = _newest(state, instances, project)
        return StreamingResponse(
            host.log(id, tail=tail, follow=follow), media_type="text/plain; charset=utf-8"
        )

    return api


def _nothing_ran(project: str, recorded: Sequence[Recorded[Happened]]) -> str:
    deletions = [each.event.time for each in recorded if isinstance(each.data, ModelDeleted)]
    if not deletions:
        return f"nothing of {project!r} ever ran here"
    return f"{project} was deleted at {deletions[-1]}, with its logs; nothing of it ran since"


def _newest(state: Project, instances: Sequence[Instance], project: str) -> str:
    if state.live is not None:
        return instance_id(project, state.live.release)
    if state.starting is not None:
        return instance_id(project, state.starting.release)
    return max(instances, key=lambda each: each.release).id
