"""The gateway's REST: commands in, operations, models, images and certificates out."""

from __future__ import annotations

import asyncio
import base64
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Coroutine, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, cast, get_args

import msgspec
from anyio import CancelScope, to_thread
from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi import Path as InPath
from fastapi.responses import FileResponse, JSONResponse, StreamingResponse
from pydantic import AfterValidator, ConfigDict, Field, JsonValue
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.requests import ClientDisconnect

from placet.errors import Conflict, Refused, TooLarge, Unauthenticated, Unknown, Unreadable
from placet.events import Clock
from placet.events.bounded_body import BoundedRoute
from placet.events.codec import timestamp
from placet.events.described import answers, errors, file
from placet.events.known_fields import KnownFields, known_parameters, nearest
from placet.events.store import EventStore
from placet.gateway import answers as shapes
from placet.gateway.access import ERRORS, Access, Caller
from placet.gateway.bodies import receive_whole
from placet.gateway.commands import Asked, Commands, with_article
from placet.gateway.domain import ADMINS, MAKERS, must_have
from placet.gateway.git_address import MAX_ADDRESS
from placet.gateway.intake import Intake, Taken, searchable
from placet.gateway.lives import LifeQueries
from placet.gateway.names import SEEN, normalised
from placet.gateway.operations import PATHS, document
from placet.gateway.ports import Ports
from placet.gateway.projections import WINDOWS
from placet.gateway.queries import CertificateState, ImageSearch, Measure, Queries, place_of
from placet.gateway.uploads import ARCHIVE, FILE, FORM, receive
from placet.identity.sharing import IDS
from placet.projects import FORMATS, PROJECT_PATTERN, RESERVED_NAME, Limits
from placet.projects.full_disk import told_when_full
from placet.rules import Verdict
from placet.trust.tokens import CLOCK_SKEW

DIGEST = r"^sha256:[0-9a-f]{64}$"
NAME = r"^[ -~]+$"
"""Printable ASCII: what ids and keys are made of, and what every database takes as a parameter."""
"""Bytes of a JSON body. Whoever asks is not known yet when it is read."""
OWN_TOKEN_LIFETIME = timedelta(hours=1)
LOOK_EVERY = 1.0
"""Seconds between looks for changes made by another replica."""

T = TypeVar("T")


def _at_most_one(*names: str) -> list[JsonValue]:
    """For the schema of a body: all but one of these are null, or not there."""
    null: JsonValue = {"type": "null"}
    return [{"properties": {name: null for name in names if name != given}} for given in names]


class SourceRef(KnownFields):
    model_config = ConfigDict(json_schema_extra={"anyOf": _at_most_one("digest", "image", "git")})

    digest: str | None = Field(default=None, pattern=DIGEST)
    image: str | None = Field(default=None, pattern=DIGEST)
    git: str | None = Field(
        default=None,
        max_length=MAX_ADDRESS,
        description="such as https://host/team/model.git@v1.0#subdirectory=models/churn",
    )


def unreserved(project: str) -> str:
    if project == RESERVED_NAME:
        raise ValueError(f"{RESERVED_NAME!r} is no project's name: it is reserved; choose another")
    return project


class CommandBody(KnownFields):
    command: Literal[
        "deploy",
        "build",
        "renew",
        "rollback",
        "start",
        "stop",
        "delete",
        "scale",
        "promote",
        "abort",
    ]
    project: Annotated[str, Field(pattern=PROJECT_PATTERN), AfterValidator(unreserved)] | None = None
    source: SourceRef | None = None
    release: int | None = Field(
        default=None, ge=1, lt=2**31, description="the one that a rollback goes back to"
    )
    canary: int | None = Field(
        default=None,
        ge=1,
        le=99,
        description="of a deploy: how many of a hundred requests the release gets, beside what serves",
    )
    replicas: int | None = Field(default=None, ge=1, lt=2**31, description="of a scale: how many are to run")
    weight: int | None = Field(
        default=None,
        ge=1,
        le=100,
        description="of a promote: how many of a hundred requests the canary gets; all of them, unless told",
    )


def _named(name: str) -> str:
    if not (name := normalised(name)):
        raise ValueError("a name is more than white space")
    if name.startswith(IDS):
        raise ValueError(
            f"a name begins with neither {' nor '.join(IDS)}, as ids of people and teams on projects do"
        )
    return name


class TokenBody(KnownFields):
    as_: Annotated[str, AfterValidator(_named)] = Field(
        alias="as",
        min_length=1,
        max_length=200,
        pattern=SEEN,
        json_schema_extra={"pattern": r"^\P{C}+$"},
        description="more than white space, and nothing that is not seen",
    )
    roles: list[Literal["scientist", "approver", "compliance", "auditor", "operator", "admin"]] = Field(
        min_length=1, max_length=6
    )
    ttl: int = Field(default=30 * 86400, ge=60, le=366 * 86400)


Limit = Annotated[int, Query(ge=1, le=500)]
After = Annotated[str | None, Query(max_length=200, pattern=NAME)]
AfterRelease = Annotated[int | None, Query(ge=1, le=2**31 - 1, description="a number: older ones follow")]
InProject = Annotated[str | None, Query(max_length=200, pattern=NAME)]
Id = Annotated[str, InPath(max_length=200, pattern=NAME)]
Digest = Annotated[str, InPath(json_schema_extra={"pattern": "^(sha256:)?[0-9a-f]{64}$"})]
"""As `digest_of` takes it, which says what is wrong with another."""

BoundedBody = BoundedRoute
"""For calls of the gateway with a declared body."""


def router(
    *,
    access: Access,
    commands: Commands,
    intake: Intake,
    queries: Queries,
    ports: Ports,
    store: EventStore,
    clock: Clock,
    max_source: int,
) -> APIRouter:
    api = APIRouter(
        prefix="/v1", route_class=BoundedBody, responses=ERRORS, dependencies=[Depends(known_parameters)]
    )
    caller = Depends(access.caller)
    until_sent = Depends(_until_sent)
    lives = LifeQueries(store, queries)

    @api.put(
        "/sources/{digest}",
        tags=["sources"],
        status_code=201,
        responses=answers(shapes.Source, status=201)
        | answers(shapes.Source, status=200)
        | errors(Refused, TooLarge),
    )
    async def put_source(digest: Digest, request: Request, who: Caller = caller) -> JSONResponse:
        """Keep a project's archive (tar, plain or gzip) under the sha256 of the bytes that are sent."""
        must_have(who.roles, MAKERS, "uploading a source")
        wanted = digest_of(digest)
        known = await queries.source(wanted)
        # Of what is hidden from them the bytes tell that they have it, and not its digest.
        if known is not None and await commands.may_take(known, who) and await ports.sources.has(wanted):
            return JSONResponse(_source(known.source, known.size, known.project, known.files))
        with told_when_full(), tempfile.TemporaryDirectory(prefix="placet-source-") as folder:
            archive = Path(folder) / "source.tar"
            await receive_whole(request, archive, wanted, max_source, _too_large(max_source))
            kept = await intake.keep(archive, wanted, who)
        return JSONResponse(_source(kept.source, kept.size, kept.project, kept.files), 201)

    @api.post(
        "/sources",
        tags=["sources"],
        status_code=201,
        openapi_extra=_UPLOAD,
        responses=answers(shapes.TakenSource, status=201)
        | answers(shapes.TakenSource, status=200)
        | errors(Refused, TooLarge),
    )
    async def post_source(
        request: Request,
        who: Caller = caller,
        name: Annotated[
            str | None,
            Query(
                max_length=200,
                pattern=r"^\P{C}+$",
                description="what the folder is called, if it does not come with it",
            ),
        ] = None,
    ) -> JSONResponse:
        """Keep a project's folder as a browser has it: a form with its files, or a zip or tar of them.

        The folder is packed as `placet deploy` packs it and has the same digest. Says what .placetignore left out, and
        what the rules would say to a deploy. The same files again change nothing and are answered with 200.
        """
        must_have(who.roles, MAKERS, "uploading a source")
        kind = request.headers.get("content-type", "")
        with told_when_full():
            async with _folders("upload", "workspace") as (sent, workspace):
                limits = Limits(max_archive=max_source)
                uploaded = await receive(request.stream(), kind, sent, limits, name=name)
                taken = await _while_waited_for(request, intake.take(uploaded, workspace, who))
        return JSONResponse(_taken(taken), 201 if taken.is_new else 200)

    @api.get(
        "/sources",
        tags=["sources"],
        response_class=FileResponse,
        responses=file(
            "application/x-tar",
            headers={
                "X-Placet-Source": "its digest",
                "X-Placet-Origin": "the address, with the commit that was found",
            },
        )
        | errors(Refused, TooLarge),
    )
    async def get_source(
        request: Request,
        git: Annotated[
            str,
            Query(
                max_length=MAX_ADDRESS,
                description="such as https://host/team/model.git@v1.0#subdirectory=models/churn",
            ),
        ],
        who: Caller = caller,
        until_sent: AsyncExitStack = until_sent,
    ) -> FileResponse:
        """What a deploy of a git address would be of, as an archive: fetched now as a deploy does, and not kept.

        `X-Placet-Source` is its digest, `X-Placet-Origin` the address with the commit that was found.
        """
        must_have(who.roles, MAKERS, "fetching a source")
        fetching = until_sent.enter_async_context(intake.fetched(git, who))
        found = await _while_waited_for(request, fetching)
        headers = {"X-Placet-Source": found.digest, "X-Placet-Origin": found.origin}
        return FileResponse(found.archive, media_type="application/x-tar", headers=headers)

    @api.head("/sources/{digest}", tags=["sources"], responses=errors(Unknown))
    async def head_source(digest: Digest, who: Caller = caller) -> Response:
        wanted = digest_of(digest)
        known = await queries.source(wanted)
        if known is None or not await commands.may_take(known, who) or not await ports.sources.has(wanted):
            raise Unknown(f"no source {wanted} was uploaded")
        return Response()

    @api.post(
        "/commands",
        tags=["operations"],
        status_code=202,
        responses=answers(shapes.Operation, status=202, headers={"Location": "the operation"})
        | errors(Unknown, Conflict, Refused),
    )
    async def post_command(
        body: CommandBody,
        request: Request,
        who: Caller = caller,
        idempotency_key: Annotated[str | None, Header(min_length=1, max_length=200, pattern=NAME)] = None,
    ) -> JSONResponse:
        """Ask for something. What becomes of it is told by its operation.

        To renew is to deploy the source and image that serve once more, for another certificate, judged by the rules of
        today. Asked again while that is under way, it is the same operation.

        A deploy with a `canary` gives its release a share of the requests, beside what serves. To promote it gives it
        another share, or all of them; to abort it ends it. To scale is to run another number of replicas, of those that
        placet.yaml allows.

        A source that is named by a git address is fetched before the answer comes, which may take its time.
        """
        request.state.project = body.project
        must_have(who.roles, MAKERS, with_article(body.command))
        source = body.source or SourceRef()
        if len([one for one in (source.digest, source.image, source.git) if one]) > 1:
            raise Unreadable("a source is a digest, a git address or an image, and only one of them")
        asked = Asked(
            command=body.command,
            project=body.project,
            source=source.digest,
            image=source.image,
            git=source.git,
            release=body.release,
            canary=body.canary,
            replicas=body.replicas,
            weight=body.weight,
        )
        asking = commands.ask(asked, who, idempotency_key=idempotency_key)
        operation = await (_while_waited_for(request, asking) if asked.git else asking)
        location = f"/v1/operations/{operation.id}"
        return JSONResponse(document(operation), 202, headers={"Location": location})

    @api.get("/operations", tags=["operations"], responses=answers(shapes.Operations), response_model=None)
    async def get_operations(
        who: Caller = caller, project: InProject = None, after: After = None, limit: Limit = 50
    ) -> dict[str, Any]:
        """Newest first; `next` is what to give as `after` for the page that follows."""
        hidden = access.hidden_from(who)
        page = await queries.operations(project=project, after=after, limit=limit, hidden=hidden)
        following = page[-1].id if len(page) == limit else None
        return {"operations": [document(each) for each in page], "next": following}

    @api.get(
        "/operations/{id}",
        tags=["operations"],
        responses=answers(shapes.Operation) | errors(Unknown),
        response_model=None,
    )
    async def get_operation(id: Id, who: Caller = caller) -> dict[str, Any]:
        operation, _ = await queries.operation(id)
        await access.must(operation.project, "viewer", who)
        return document(operation)

    @api.get(
        "/operations/{id}/events", tags=["operations"], responses=file("text/event-stream") | errors(Unknown)
    )
    async def follow_operation(id: Id, request: Request, who: Caller = caller) -> EventSourceResponse:
        """Server-sent events: the operation's document, now and at each change, until it is over, or is read by those
        alone who have a role on the project that the caller has not, or the caller's token holds no more."""
        operation, _ = await queries.operation(id)
        await access.must(operation.project, "viewer", who)
        seen = request.headers.get("last-event-id", "")
        return EventSourceResponse(_follow(id, _number(seen), who), ping=15)

    async def _follow(id: str, seen: int, who: Caller) -> AsyncIterator[ServerSentEvent]:
        while True:
            committed = store.committed.count
            if clock.now() >= who.expires + CLOCK_SKEW or await queries.is_revoked(who.token, who.person):
                return
            operation, changes = await queries.operation(id)
            if not await queries.standings.may(operation.project, "viewer", who):
                return
            if changes > seen:
                seen = changes
                data = msgspec.json.encode(document(operation)).decode()
                yield ServerSentEvent(event="operation", id=str(changes), data=data)
            if operation.is_over:
                return
            await store.committed.wait(LOOK_EVERY, after=committed)

    @api.get("/models", tags=["models"], responses=answers(shapes.Models), response_model=None)
    async def get_models(
        who: Caller = caller,
        deleted: Annotated[bool, Query(description="false leaves out what was deleted")] = True,
        search: Annotated[
            str | None, Query(max_length=100, pattern=r"^[a-z0-9-]+$", description="a part of a name")
        ] = None,
        state: Annotated[str | None, Query(max_length=100, pattern=NAME)] = None,
        lapsing: Annotated[
            bool, Query(description="only what serves on a certificate that ends soon")
        ] = False,
        windows: Annotated[
            int,
            Query(ge=0, le=WINDOWS, description="so many of the last windows in which it was asked anything"),
        ] = 0,
        after: After = None,
        limit: Limit = 100,
    ) -> dict[str, Any]:
        page = await queries.models(
            deleted=deleted,
            after=after,
            limit=limit,
            search=search,
            state=state,
            lapsing=lapsing,
            windows=windows,
            now=timestamp(clock.now()),
            hidden=access.hidden_from(who),
        )
        return {"models": page, "next": page[-1]["project"] if len(page) == limit else None}

    @api.get(
        "/models/{project}",
        tags=["models"],
        responses=answers(shapes.WholeModel) | errors(Unknown),
        response_model=None,
    )
    async def get_model(project: Id, who: Caller = caller) -> dict[str, Any]:
        return await queries.model(project, now=timestamp(clock.now()))

    @api.get(
        "/models/{project}/releases",
        tags=["models"],
        responses=answers(shapes.Releases) | errors(Unknown),
        response_model=None,
    )
    async def get_releases(
        project: Id, who: Caller = caller, after: AfterRelease = None, limit: Limit = 50
    ) -> dict[str, Any]:
        """Every release that was asked for, newest first; `next` is what to give as `after` for the older ones."""
        now = timestamp(clock.now())
        page = await lives.releases(project, now=now, after=after, limit=limit)
        return {"releases": page, "next": page[-1]["release"] if len(page) == limit else None}

    @api.get(
        "/models/{project}/releases/{release}",
        tags=["models"],
        responses=answers(shapes.Release) | errors(Unknown),
        response_model=None,
    )
    async def get_release(
        project: Id, release: Annotated[int, InPath(ge=1, le=2**31 - 1)], who: Caller = caller
    ) -> dict[str, Any]:
        return await lives.release(project, release, now=timestamp(clock.now()))

    @api.get("/images", tags=["images"], responses=answers(shapes.Images), response_model=None)
    async def get_images(
        who: Caller = caller,
        project: InProject = None,
        format: Annotated[str | None, Query(max_length=100, pattern=NAME)] = None,
        owner: Annotated[
            str | None,
            Query(max_length=254, pattern=r"^\P{C}+$", description="the mail address in placet.yaml"),
        ] = None,
        certificate: Annotated[
            str | None,
            Query(max_length=100, pattern=NAME, json_schema_extra={"enum": [*get_args(CertificateState)]}),
        ] = None,
        metric: Annotated[
            list[str] | None,
            Query(max_length=5, description="a result in the card: accuracy, or accuracy>=0.9"),
        ] = None,
        after: After = None,
        limit: Limit = 100,
    ) -> dict[str, Any]:
        """Search the images; without parameters all of them, those indexed last first. `next` is what to give as
        `after` for the next page."""
        if format is not None:
            _known(format, await queries.formats() | {each.name for each in FORMATS}, "no format")
        if certificate is not None:
            _known(certificate, get_args(CertificateState), "no state of a certificate")
        search = ImageSearch(
            project=project,
            format=format,
            owner=owner,
            certificate=cast("CertificateState | None", certificate),
            measures=[_measure(each) for each in metric or ()],
        )
        now, hidden = timestamp(clock.now()), access.hidden_from(who)
        page = await queries.images(search, now=now, after=after, limit=limit, hidden=hidden)
        return {"images": page, "next": place_of(page[-1]) if len(page) == limit else None}

    @api.get(
        "/images/{digest}",
        tags=["images"],
        responses=answers(shapes.WholeImage) | errors(Unknown),
        response_model=None,
    )
    async def get_image(digest: Digest, who: Caller = caller) -> dict[str, Any]:
        """One image with its model card, and with its labels and referrers as the registry has them now."""
        now, hidden = timestamp(clock.now()), access.hidden_from(who)
        image = await queries.image(digest_of(digest), now=now, hidden=hidden)
        card = await queries.card(image["source"])
        seen = await ports.images.look_up(image["repository"], image["image"])
        return {
            **image,
            "card": None if card is None else await to_thread.run_sync(_card, card),
            "labels": dict(seen.labels) if seen else {},
            "referrers": [
                {"digest": each.digest, "artifactType": each.artifact_type}
                for each in (seen.referrers if seen else ())
            ],
        }

    @api.get(
        "/images/{digest}/source",
        tags=["images"],
        responses=file("application/x-tar", headers={"X-Placet-Source": "its digest"}) | errors(Unknown),
    )
    async def get_image_source(digest: Digest, who: Caller = caller) -> StreamingResponse:
        """The project's archive that this image was made from."""
        now, hidden = timestamp(clock.now()), access.hidden_from(who)
        image = await queries.image(digest_of(digest), now=now, hidden=hidden)
        if not await ports.sources.has(image["source"]):
            raise Unknown(f"the source of {digest} is no longer kept")
        headers = {"X-Placet-Source": image["source"]}
        return StreamingResponse(
            ports.sources.read(image["source"]), media_type="application/x-tar", headers=headers
        )

    @api.get(
        "/certificates/{id}",
        tags=["certificates"],
        responses=answers(shapes.Certificate) | errors(Unknown),
        response_model=None,
    )
    async def get_certificate(id: Id, who: Caller = caller) -> dict[str, Any]:
        """The signed envelope as it lies in the registry, the statement inside, and whether it stands."""
        certificate = await queries.certificate(id)
        await access.must(certificate.project, "viewer", who)
        envelope = await ports.envelopes.read(certificate.repository, certificate.envelope)
        standing = await queries.standing(id, now=timestamp(clock.now()))
        return {**standing, "envelope": envelope, "statement": _statement(envelope)}

    @api.post(
        "/tokens",
        tags=["access"],
        status_code=201,
        responses=answers(shapes.IssuedToken, status=201) | errors(Conflict),
        response_model=None,
    )
    async def post_token(body: TokenBody, who: Caller = caller) -> dict[str, Any]:
        """A token for a person. It is shown once; only its id is kept."""
        must_have(who.roles, ADMINS, "creating a token")
        return await commands.issue_token(
            body.as_, frozenset(body.roles), timedelta(seconds=body.ttl), who.actor
        )

    @api.get("/tokens", tags=["access"], responses=answers(shapes.Tokens), response_model=None)
    async def get_tokens(who: Caller = caller, after: After = None, limit: Limit = 100) -> dict[str, Any]:
        """Every token that was made, the newest first, each with whose it is and whether it was revoked; what it is
        itself nobody knows but its owner. `next` is what to give as `after` for the page that follows."""
        must_have(who.roles, ADMINS, "listing tokens")
        page = await queries.tokens(after=after, limit=limit)
        return {"tokens": page, "next": page[-1]["id"] if len(page) == limit else None}

    @api.delete("/tokens/{id}", tags=["access"], status_code=204, responses=errors(Unknown))
    async def delete_token(id: Id, who: Caller = caller) -> None:
        must_have(who.roles, ADMINS, "revoking a token")
        await commands.revoke_token(id, who.actor)

    @api.get("/me", tags=["access"], responses=answers(shapes.Me), response_model=None)
    async def get_me(who: Caller = caller) -> dict[str, Any]:
        """Who is asking, and which commands may be given: known before a large source is packed and sent."""
        return {
            "person": who.person,
            "name": await queries.people.name_of(who.person),
            "roles": sorted(who.roles),
            "commands": sorted({*PATHS, "rollback"}) if who.roles & MAKERS else [],
        }

    @api.post(
        "/me/token",
        tags=["access"],
        status_code=201,
        responses=answers(shapes.IssuedToken, status=201) | errors(Conflict, Refused),
        response_model=None,
    )
    async def post_own_token(who: Caller = caller) -> dict[str, Any]:
        """A token of placet's own for who comes with a provider's: for models, which take no others. It has the same
        roles, and holds for an hour, and no longer than the provider's."""
        if not who.is_providers:
            raise Refused("your token is one of placet's own already", fix="send it as it is")
        left = min(who.expires - clock.now(), OWN_TOKEN_LIFETIME)
        if left < timedelta(seconds=1):
            raise Unauthenticated("the token has expired", fix="sign in anew, and send the new token")
        return await commands.issue_for(who.person, who.roles, left, who.actor)

    return api


async def _while_waited_for(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """What comes of the work, which ends when the caller leaves: it holds turns that others wait for."""
    working, leaving = asyncio.create_task(work), asyncio.create_task(_leave(request))
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        return working.result()
    finally:
        working.cancel()
        leaving.cancel()
        # Its folder goes next, so nothing may write there any more.
        await asyncio.wait((working, leaving))


async def _until_sent() -> AsyncIterator[AsyncExitStack]:
    """What is entered there is left when the answer was sent, or nobody waits for it any more."""
    async with AsyncExitStack() as stack:
        yield stack


async def _leave(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


@asynccontextmanager
async def _folders(*names: str) -> AsyncIterator[list[Path]]:
    """Empty folders for as long as they are needed. Thousands of files are removed on a thread, whatever happens."""
    parent = Path(await to_thread.run_sync(lambda: tempfile.mkdtemp(prefix="placet-upload-")))
    try:
        folders = [parent / name for name in names]
        for folder in folders:
            folder.mkdir()
        yield folders
    finally:
        with CancelScope(shield=True):
            await to_thread.run_sync(lambda: shutil.rmtree(parent, ignore_errors=True))


_UPLOAD: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            FORM: {
                "schema": {
                    "type": "object",
                    "oneOf": [{"required": [FILE]}, {"required": [ARCHIVE]}],
                    "additionalProperties": False,
                    "properties": {
                        FILE: {
                            "type": "array",
                            "minItems": 1,
                            "items": {"type": "string", "format": "binary"},
                            "description": "each with its path in the folder as its file name",
                        },
                        ARCHIVE: {"type": "string", "format": "binary", "description": "or one zip or tar"},
                    },
                }
            },
            "application/zip": {"schema": {"type": "string", "format": "binary"}},
            "application/x-tar": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}
MOST_NAMES = 100
"""Files that were ignored: more are counted and not named."""


def _card(card: bytes) -> dict[str, Any]:
    shown: dict[str, Any] = msgspec.to_builtins(searchable(card))
    return shown


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"a source is at most {limit} bytes", fix="leave data out with a .placetignore")


_MEASURE = re.compile(
    r"(?P<metric>[^<>=]{1,100}?)\s*(?:(?P<comparison>[<>]=?)\s*(?P<bound>[+-]?[0-9]{1,30}(?:\.[0-9]{1,30})?(?:e[+-]?[0-9]{1,2})?))?"
)


def _measure(text: str) -> Measure:
    found = _MEASURE.fullmatch(text.strip())
    if found is None or not found["metric"].isprintable():
        raise Unreadable(
            f"{text[:200]!r} is no metric to search by", fix="write its name, or compare it: accuracy>=0.9"
        )
    comparison = cast("Literal['>=', '<=', '>', '<'] | None", found["comparison"])
    return Measure(metric=found["metric"], comparison=comparison, bound=float(found["bound"] or 0))


def _known(value: str, known: Iterable[str], what: str) -> None:
    """Raise Unreadable, with the nearest name that is known, for any other."""
    if value not in known:
        raise Unreadable(f"{value!r} is {what}", fix=nearest(value, known))


def _number(last_event_id: str) -> int:
    """The change that a client saw last; what is none of ours begins from the start."""
    is_ours = last_event_id.isdecimal() and len(last_event_id) < 19
    return int(last_event_id) if is_ours else 0


def digest_of(text: str) -> str:
    digest = text if text.startswith("sha256:") else f"sha256:{text}"
    hexadecimal = digest.removeprefix("sha256:")
    if len(hexadecimal) != 64 or set(hexadecimal) - set("0123456789abcdef"):
        raise Unreadable(f"{text!r} is no sha256: 64 hexadecimal digits, lower case")
    return digest


def _source(source: str, size: int, project: str, files: int) -> dict[str, Any]:
    return {"source": source, "size": size, "project": project, "files": files}


def _taken(taken: Taken) -> dict[str, Any]:
    kept = taken.source
    refusals = [each for each in taken.verdicts if each.is_refusal]
    warnings = [each for each in taken.verdicts if not each.is_passed and not each.is_refusal]
    return {
        **_source(kept.source, kept.size, kept.project, kept.files),
        "trial": taken.is_trial,
        "ignored": list(taken.ignored[:MOST_NAMES]),
        "ignoredFiles": len(taken.ignored),
        "state": "refused" if refusals else "cleared",
        "refusals": [_reason(each) for each in refusals],
        "warnings": [_reason(each) for each in warnings],
        "verdicts": [
            {"rule": each.rule, "result": each.result, "stage": each.stage, "exception": each.exception}
            for each in taken.verdicts
        ],
    }


def _reason(verdict: Verdict) -> dict[str, Any]:
    if verdict.exception is not None:
        why = f"{verdict.why}; excepted by {verdict.exception}"
        return {"rule": verdict.rule, "why": why, "fix": None}
    return {"rule": verdict.rule, "why": verdict.why or verdict.title, "fix": verdict.fix}


def _statement(envelope: dict[str, Any]) -> Any:
    return msgspec.json.decode(base64.b64decode(envelope["payload"]))
