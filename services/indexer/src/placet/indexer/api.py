"""What the registry tells by itself: its notifications, as Docker's distribution sends them.

None of it is believed. A notification only says where to look, so whoever has the token can at most have the indexer
look at the registry.
"""

from __future__ import annotations

import hmac

import msgspec
from fastapi import APIRouter, Depends, Request

from placet.errors import TooLarge, Unauthenticated, Unreadable
from placet.events import PLATFORM, Context, UnitOfWork, Wiring, transact
from placet.events.envelope import Actor
from placet.events.known_fields import known_parameters
from placet.indexer.reconcile import LOOK, MODELS, SERVICE, LookJob
from placet.oci import is_digest, is_repository

MAX_BODY = 1024 * 1024
CHANGES = ("push", "delete")
"""Actions after which the registry holds something else; of pulls it tells too."""


class Target(msgspec.Struct, frozen=True):
    repository: str = ""
    digest: str = ""


class Notification(msgspec.Struct, frozen=True):
    action: str
    target: Target = Target()


class Envelope(msgspec.Struct, frozen=True):
    """Lenient: other registries and newer versions say more."""

    events: list[Notification]


def router(*, token: str, prefix: str, wiring: Wiring) -> APIRouter:
    """`prefix` is in front of the names that the registry uses."""

    def registry_only(request: Request) -> None:
        scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(credentials.encode(), token.encode()):
            raise Unauthenticated(
                "this asks for the registry's token",
                fix="set it in the registry's configuration: notifications.endpoints[].headers.Authorization",
            )

    api = APIRouter(
        prefix="/v1/registry",
        tags=["registry"],
        dependencies=[Depends(registry_only), Depends(known_parameters)],
    )

    @api.post("/notifications", status_code=202)
    async def post_notifications(request: Request) -> dict[str, int]:
        """Events of a registry, each of which has the indexer look at the repository that it names."""
        looks = _looks(await _body(request), prefix)
        if looks:
            await _ask_for(looks, wiring)
        return {"looks": len(looks)}

    return api


def _looks(envelope: Envelope, prefix: str) -> dict[str, LookJob]:
    """The looks that the events call for, by their keys: what is named twice is looked at once."""
    looks = {}
    for event in envelope.events:
        repository = event.target.repository.removeprefix(prefix)
        if event.action not in CHANGES or not repository.startswith(MODELS) or not is_repository(repository):
            continue
        image = event.target.digest if is_digest(event.target.digest) else None
        looks[f"{repository}@{image or ''}"] = LookJob(repository=repository, image=image)
    return looks


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
