"""What only the deployer has, over HTTP: a model's log, what may be asked of it, and the room that there is."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence, Set
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi import Path as InPath
from fastapi.responses import StreamingResponse

from placet.deployer import answers as shapes
from placet.deployer import queries
from placet.deployer.domain import PROJECT, Happened, stream
from placet.deployer.placements import Placements
from placet.deployer.ports import ModelHost, Probe, instance_id
from placet.deployer.projections import sharing
from placet.deployer.room import Amount, NoRoom, Quota, Room, Usage, no_containers, no_room, usage
from placet.errors import Forbidden, Unauthenticated, Unavailable, Unknown, Unreadable
from placet.events.contracts.deployer import ModelDeleted, ModelStarted, StartAccepted
from placet.events.contracts.shapes import Resources
from placet.events.described import answers, errors, text
from placet.events.envelope import Recorded
from placet.events.json_route import JsonRoute
from placet.events.known_fields import known_parameters
from placet.events.shares import Shares
from placet.events.store import EventStore
from placet.identity import Callers
from placet.identity.denials import Denials
from placet.identity.holding import while_allowed
from placet.trust.tokens import Token

Name = Annotated[str, InPath(max_length=200, pattern=r"^[ -~]+$")]
Release = Annotated[int | None, Query(ge=1, lt=2**31, description="the release that wrote it")]


class Access:
    """Who is known may read, but for what is of a private project: that those who have a role on it, or read all."""

    def __init__(self, callers: Callers, store: EventStore, denials: Denials) -> None:
        self._callers = callers
        self._store = store
        self._denials = denials
        self._shares = Shares()

    async def require(self, request: Request) -> AsyncIterator[Token]:
        """Until the request is answered to its end. Raises `Unauthenticated` unless the header holds a valid token that
        was not revoked, `Forbidden` where the path or a parameter names a private project on which they have no role,
        `Unavailable` for one who has too many requests under way."""
        with self._denials.noted(request) as asking:
            token = await self._callers.verify_bearer(request.headers.get("authorization"))
            asking.person = token.person
            path = request.path_params.get("project")
            await self.must(token, *([path] if path else ()), *request.query_params.getlist("project"))
            with self._shares.taken_by(token.person):
                yield token

    async def must(self, token: Token, *projects: str) -> None:
        """Raises `Unauthenticated` for a token that was revoked or is over, and `Forbidden` for a private project on
        which they have no role."""
        self._callers.must_not_be_over(token)
        if await queries.is_revoked(self._store, token.id, token.person):
            raise Unauthenticated(
                "this token was revoked", rule="token.revoked", fix="ask an admin for a new one"
            )
        for project in projects:
            standing = await sharing.standing(self._store, project, token.person, token.teams)
            standing.must("viewer", token.roles)


def router(
    *, host: ModelHost, probe: Probe, access: Access, store: EventStore, placements: Placements, where: str
) -> APIRouter:
    """`where` is how people call what models run in here."""
    api = APIRouter(
        prefix="/v1",
        route_class=JsonRoute,
        tags=["models"],
        responses=errors(Unreadable, Unauthenticated, Forbidden, Unavailable),
        dependencies=[Depends(access.require), Depends(known_parameters)],
    )

    caller = Depends(access.require)

    @api.get(
        "/models/{project}/logs",
        response_class=StreamingResponse,
        responses=text(
            "text/plain; charset=utf-8",
            headers={
                "X-Placet-Release": "whose log it is",
                "X-Placet-Replicas": "of how many replicas there are logs",
            },
        )
        | errors(Unknown),
    )
    async def logs(
        project: Name,
        release: Release = None,
        follow: Annotated[bool, Query(description="go on with what is added")] = False,
        tail: Annotated[int | None, Query(ge=0, lt=2**31, description="only the last so many lines")] = None,
        replica: Annotated[
            int | None, Query(ge=1, lt=2**31, description="which of them, where it has several")
        ] = None,
        who: Token = caller,
    ) -> StreamingResponse:
        """The log of one release: the one that was started last, unless told, or of a replica the one that serves. The
        answer's headers say which it is, and how many replicas there are logs of. It ends early for one who may read
        it no more."""
        recorded = await store.read(stream(project))
        state = PROJECT.fold(each.data for each in recorded)
        mine = [each for each in await host.list() if each.project == project]
        kept = state.runs | {each.release for each in mine}
        if not kept:
            raise Unknown(_nothing_ran(project, recorded), fix="see `placet list`")
        if release is not None and release not in kept:
            raise Unknown(
                f"no log of release {release} of {project} is kept here",
                fix=f"there are those of {_listed(kept)}",
            )
        serves = None if replica is None or state.live is None else state.live.release
        chosen = release or serves or _started_last(recorded, kept)
        replicas = max((each.replica for each in mine if each.release == chosen), default=1)
        if (replica or 1) > replicas:
            raise Unknown(
                f"no log of replica {replica} of release {chosen} of {project} is kept here",
                fix=f"there are those of replicas 1 to {replicas}" if replicas > 1 else "leave `replica` out",
            )
        headers = {"X-Placet-Release": str(chosen), "X-Placet-Replicas": str(replicas)}
        if state.live is not None:
            headers["X-Placet-Live-Release"] = str(state.live.release)
        pieces = host.log(instance_id(project, chosen, replica or 1), tail=tail, follow=follow)
        return StreamingResponse(
            while_allowed(pieces, partial(access.must, who, project)),
            media_type="text/plain; charset=utf-8",
            headers=headers,
        )

    @api.get(
        "/models/{project}/example", responses=answers(shapes.Example) | errors(Unknown), response_model=None
    )
    async def example(project: Name) -> dict[str, Any]:
        """A request that the live release takes: its sample's, or made up from its signature; null where it does not
        say. The model is asked by the deployer, so that nobody's token is shown to it."""
        live = PROJECT.fold(each.data for each in await store.read(stream(project))).live
        if live is None:
            raise Unknown(f"{project} is not served, so nothing can be asked of it", fix="see `placet list`")
        known = await queries.known(store, project, live.release)
        return {
            "project": project,
            "release": live.release,
            "access": "token" if known.cleared is None else known.cleared.access,
            "request": await probe.example(live.endpoints[0]),
        }

    @api.get("/capacity", responses=answers(shapes.Capacity), response_model=None)
    async def capacity(
        project: Annotated[str, Query(max_length=200, description="who asks for it")] = "the model",
        cpu_millis: Annotated[int, Query(ge=0, lt=2**53, alias="cpuMillis")] = 0,
        memory_bytes: Annotated[int, Query(ge=0, lt=2**53, alias="memoryBytes")] = 0,
        gpus: Annotated[int, Query(ge=0, lt=2**31)] = 0,
        dockerfile: Annotated[
            bool, Query(description="its image comes from a Dockerfile of its own")
        ] = False,
    ) -> dict[str, Any]:
        """What models may have here altogether, what is free of it, and what a deploy that asks for so much would be
        refused for, if it were asked for now. What `isLasting` stays so, whatever else is stopped. Reserves nothing."""
        room, _ = await queries.room(store, placements.total)
        room = room.before(project, room.next_turn)
        asked = Amount(cpu_millis=cpu_millis, memory_bytes=memory_bytes, gpus=gpus)
        refused: list[NoRoom] = []
        if dockerfile and not placements.has_containers:
            refused.append(no_containers(project))
        if none := no_room(project, asked, room):
            refused.append(none)
        return {
            "total": _amount(room.total),
            "free": _amount(room.free),
            "containers": placements.has_containers,
            "refusals": [
                {"why": each.why, "fix": each.fix, "isLasting": each.is_lasting} for each in refused
            ],
        }

    @api.get("/models/{project}/placement", responses=answers(shapes.Placement), response_model=None)
    async def placement(
        project: Name,
        cpu_millis: Annotated[int, Query(ge=0, lt=2**53, alias="cpuMillis")],
        memory_bytes: Annotated[int, Query(ge=0, lt=2**53, alias="memoryBytes")],
        gpus: Annotated[int, Query(ge=0, lt=2**31)] = 0,
        min_replicas: Annotated[int, Query(ge=0, le=1000, alias="minReplicas")] = 1,
        max_replicas: Annotated[int | None, Query(ge=1, le=1000, alias="maxReplicas")] = None,
        dockerfile: Annotated[
            bool, Query(description="its image comes from a Dockerfile of its own")
        ] = False,
        canary: Annotated[bool, Query(description="it is to run on beside what serves")] = False,
    ) -> dict[str, Any]:
        """What a deploy of the project would be given, if it were asked for now: how much and where, or at which place
        it would wait and why, or why it would be refused. Reserves nothing, and nobody else notices."""
        room, _ = await queries.room(store, placements.total)
        if max_replicas is not None and max_replicas < min_replicas:
            raise Unreadable(
                f"minReplicas is {min_replicas}, and maxReplicas {max_replicas}: at most so many cannot be fewer",
                fix="give a maxReplicas that is not below minReplicas, or leave it out",
            )
        state = PROJECT.fold(each.data for each in await store.read(stream(project)))
        asked = Resources(
            cpu_millis=cpu_millis,
            memory_bytes=memory_bytes,
            gpus=gpus,
            min_replicas=min_replicas,
            max_replicas=max_replicas or max(min_replicas, 1),
        )
        replicas, each = state.replicas_for(asked), Amount.of(asked)
        theirs = room.before(project, room.next_turn)
        none = no_room(project, each * replicas, theirs, canary=canary)
        if dockerfile and not placements.has_containers:
            none = no_containers(project)
        return {
            "project": project,
            "state": _state(none, placements),
            "where": where,
            "replicas": replicas,
            "each": _amount(each),
            "all": _amount(each * replicas),
            "total": _amount(room.total),
            "free": _amount(room.free),
            "beside": [
                {"release": held.release, **_amount(held.amount)}
                for held in room.held
                if held.project == project
            ],
            "quotas": [_quota(quota, room, project) for quota in room.quotas_of(project)],
            "waiting": len(theirs.queue),
            "position": None if none is None or none.is_lasting else none.position,
            "quota": none and none.quota,
            "why": none and none.why,
            "fix": none and none.fix,
        }

    return api


def _state(none: NoRoom | None, placements: Placements) -> str:
    if none is None:
        return "reserved"
    return "queued" if placements.queue and not none.is_lasting else "refused"


def _quota(quota: Quota, room: Room, project: str) -> dict[str, Any]:
    """With what others hold of it."""
    held = room.holders(quota, but=project)
    used = usage(sum(held.values(), Amount()), models=len(held))
    return {
        "scope": quota.scope,
        "of": quota.of,
        "limits": _kinds(quota.limits),
        "held": _kinds(used),
        "projects": sorted(held),
    }


def _kinds(amounts: Usage) -> dict[str, int | None]:
    shown = {"cpu_millis": "cpuMillis", "memory_bytes": "memoryBytes", "gpus": "gpus", "models": "models"}
    return {name: amounts.get(kind) for kind, name in shown.items()}


def _amount(amount: Amount) -> dict[str, int]:
    return {"cpuMillis": amount.cpu_millis, "memoryBytes": amount.memory_bytes, "gpus": amount.gpus}


def _nothing_ran(project: str, recorded: Sequence[Recorded[Happened]]) -> str:
    deletions = [each.event.time for each in recorded if isinstance(each.data, ModelDeleted)]
    if not deletions:
        return f"nothing of {project!r} ever ran here"
    return f"{project} was deleted at {deletions[-1]}, with its logs; nothing of it ran since"


def _listed(releases: Set[int]) -> str:
    return ", ".join(f"release {each}" for each in sorted(releases))


def _started_last(recorded: Sequence[Recorded[Happened]], kept: Set[int]) -> int:
    """Of the releases whose logs are kept the one that the latest request started, whatever became of it."""
    starts = {
        each.data.request: each.data.release
        for each in recorded
        if isinstance(each.data, StartAccepted | ModelStarted) and each.data.release in kept
    }
    return starts[max(starts)] if starts else max(kept)
