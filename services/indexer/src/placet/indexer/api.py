"""What the registry tells by itself, and what operators ask about it.

A registry's notifications, as Docker's distribution sends them, are not believed. They only say where to look, so
whoever has their token can at most have the indexer look at the registry, so often at a time.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import timedelta
from typing import Annotated, Any

import msgspec
import sqlalchemy as sa
from fastapi import APIRouter, Depends, Query, Request

from placet.errors import Forbidden, TooLarge, Unauthenticated, Unavailable, Unreadable
from placet.events import PLATFORM, Context, UnitOfWork, Wiring, transact
from placet.events.described import answers, errors
from placet.events.envelope import Actor
from placet.events.json_route import JsonRoute
from placet.events.known_fields import known_parameters
from placet.events.shares import Shares
from placet.events.store import EventStore
from placet.events.tables import jobs
from placet.identity import Callers
from placet.identity.denials import Denials
from placet.indexer import answers as shapes
from placet.indexer import queries
from placet.indexer.garbage import Collection
from placet.indexer.reconcile import LOOK, MODELS, SERVICE, LookJob
from placet.oci import is_digest, is_repository
from placet.oci.content import MANIFEST_TYPES
from placet.trust.tokens import Token

MAX_BODY = 1024 * 1024
MOST_WAITING = 1000
"""Looks that were asked for and not done; replicas that are asked at the same moment may each find room. A registry
sends again what was not taken, and what it gives up on, a round looks at."""
RETRY_AFTER = 30.0
OPERATORS = frozenset({"operator", "admin"})
USUAL_DAYS = 30
OlderThan = Annotated[
    int,
    Query(ge=1, le=36_500, alias="olderThan", description="days; what is younger may still be on its way"),
]


class Target(msgspec.Struct, frozen=True, rename="camel"):
    repository: str = ""
    digest: str = ""
    media_type: str = ""


class Notification(msgspec.Struct, frozen=True):
    action: str
    target: Target = Target()


class Envelope(msgspec.Struct, frozen=True):
    """Lenient: other registries and newer versions say more."""

    events: list[Notification]


def router(*, token: str, prefix: str, wiring: Wiring, denials: Denials) -> APIRouter:
    """`prefix` is in front of the names that the registry uses."""
    asking = asyncio.Lock()

    async def registry_only(request: Request) -> None:
        scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
        with denials.noted(request):
            if scheme.lower() != "bearer" or not hmac.compare_digest(credentials.encode(), token.encode()):
                raise Unauthenticated(
                    "this asks for the registry's token",
                    fix="set it in the registry's configuration: notifications.endpoints[].headers.Authorization",
                )

    api = APIRouter(
        prefix="/v1/registry",
        route_class=JsonRoute,
        tags=["registry"],
        responses=errors(Unreadable, Unauthenticated, Unavailable),
        dependencies=[Depends(registry_only), Depends(known_parameters)],
    )

    @api.post(
        "/notifications", status_code=202, responses=answers(shapes.Looks, status=202) | errors(TooLarge)
    )
    async def post_notifications(request: Request) -> dict[str, int]:
        """Events of a registry, each of which has the indexer look at the repository that it names."""
        looks = _looks(await _body(request), prefix)
        if looks:
            async with asking:  # or two at once would both find room
                await _must_have_room(len(looks), wiring.store)
                await _ask_for(looks, wiring)
        return {"looks": len(looks)}

    return api


Reader = Callable[[Request], AsyncIterator[Token]]


def reader_of(*, callers: Callers, store: EventStore, denials: Denials) -> Reader:
    """Who asks, until they are answered. Raises Unauthenticated for a token that is none, or was revoked."""
    shares = Shares()

    async def reader(request: Request) -> AsyncIterator[Token]:
        with denials.noted(request) as asking:
            token = await callers.verify_bearer(request.headers.get("authorization"))
            asking.person = token.person
            if await queries.is_revoked(store, token.id, token.person):
                raise Unauthenticated(
                    "this token was revoked", rule="token.revoked", fix="ask an admin for a new one"
                )
            with shares.taken_by(token.person):
                yield token

    return reader


def garbage_router(*, reader: Reader, collection: Collection) -> APIRouter:
    admitted = asynccontextmanager(reader)

    async def operator(request: Request) -> AsyncIterator[Token]:
        async with admitted(request) as token:
            if not token.roles & OPERATORS:
                raise Forbidden(
                    f"garbage is for the roles {', '.join(sorted(OPERATORS))}",
                    rule="access.role",
                    fix="ask an admin for a token",
                )
            yield token

    caller = Depends(operator)
    api = APIRouter(
        prefix="/v1",
        route_class=JsonRoute,
        tags=["registry"],
        responses=errors(Unreadable, Unauthenticated, Forbidden, Unavailable),
        dependencies=[Depends(known_parameters)],
    )

    @api.get("/garbage", responses=answers(shapes.Garbage), response_model=None)
    async def get_garbage(who: Token = caller, older_than: OlderThan = USUAL_DAYS) -> dict[str, Any]:
        """What would be removed from the registry, what is kept, and why. Removes nothing."""
        found = await collection.find(timedelta(days=older_than))
        return {
            "remove": [asdict(item) for item in found.remove],
            "keep": [asdict(item) for item in found.keep],
            "bytes": found.bytes,
        }

    @api.post("/garbage/collections", responses=answers(shapes.Collected), response_model=None)
    async def post_collection(who: Token = caller, older_than: OlderThan = USUAL_DAYS) -> dict[str, Any]:
        """Remove it. `swept` are the bytes of what nothing named besides, where the registry is a folder; `stopped`
        says why not all was removed."""
        collected = await collection.collect(timedelta(days=older_than), Actor.person(who.person))
        stopped = collected.stopped
        return {
            "removed": [asdict(item) for item in collected.removed],
            "bytes": sum(item.bytes for item in collected.removed),
            "swept": collected.swept,
            "stopped": None if stopped is None else {"why": stopped.detail, "fix": stopped.fix},
        }

    return api


def _looks(envelope: Envelope, prefix: str) -> dict[str, LookJob]:
    """The looks that the events call for, by their keys: what is named twice is looked at once."""
    looks = {}
    for event in envelope.events:
        target = event.target
        # Layers are told of like manifests, and asked for as one some registries break.
        is_push = event.action == "push" and target.media_type in MANIFEST_TYPES
        repository = target.repository.removeprefix(prefix)
        is_ours = repository.startswith(MODELS) and is_repository(repository)
        if not is_ours or not (is_push or event.action == "delete"):
            continue
        image = target.digest if is_push and is_digest(target.digest) else None
        looks[f"{repository}@{image or ''}"] = LookJob(repository=repository, image=image)
    return looks


async def _must_have_room(count: int, store: EventStore) -> None:
    if count > MOST_WAITING:
        raise TooLarge(f"a notification asks for at most {MOST_WAITING} looks, and this one for {count}")
    waiting = sa.select(jobs.c.key).where(jobs.c.kind == LOOK).limit(MOST_WAITING)
    if len(await store.rows(waiting)) + count > MOST_WAITING:
        raise Unavailable(
            f"{MOST_WAITING} looks at the registry may wait, and there are too many for {count} more",
            fix="send it again later: what is never sent is found by the next round over all repositories",
            retry_after=RETRY_AFTER,
        )


async def _ask_for(looks: dict[str, LookJob], wiring: Wiring) -> None:
    context = Context(project=PLATFORM, correlation=wiring.ids.new(), actor=Actor.service(SERVICE))

    async def ask(work: UnitOfWork) -> None:
        for key, look in looks.items():
            work.enqueue(LOOK, key, look)

    await transact(wiring, SERVICE, context, ask)


async def _body(request: Request) -> Envelope:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise TooLarge(f"a notification is at most {MAX_BODY} bytes")
    try:
        return msgspec.json.decode(body, type=Envelope)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Unreadable(f"not a registry's notification: {error}") from error
