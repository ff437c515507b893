"""A platform, from outside: every call of `/v1` that a tool needs, as one typed method each.

Asynchronous only, on purpose: one implementation serves the CLI, services and tests, and a script says
`asyncio.run`. What can be asked again without harm is asked again, within `patience` seconds, while the
platform says that it is away for the moment; a platform that is not there at all is an error at once. Streams
(an operation's life, events) go on where they broke off. Nothing is cached.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import re
import secrets
import ssl
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote

import anyio
import httpx
import msgspec
from httpx_sse import EventSource, ServerSentEvent

from placet.client.checkpoints import Checkpoint, Mark
from placet.client.connection import Connection
from placet.client.documents import (
    Approval,
    Assessment,
    AssessmentsPage,
    AwaitedPage,
    AwaitedRelease,
    AwaitedReleases,
    Capacity,
    Certificate,
    CheckpointsPage,
    CloudEvent,
    Collected,
    Command,
    Entry,
    EventsPage,
    Example,
    ExceptionsPage,
    FactsPage,
    Garbage,
    Held,
    Hold,
    Image,
    ImageDetail,
    ImagesPage,
    KnownPerson,
    KnownToken,
    LogKeys,
    LogProducers,
    Me,
    Members,
    Model,
    ModelDetail,
    ModelsPage,
    Operation,
    OwedReviewsPage,
    ParkedMessage,
    ParkedPage,
    PeoplePage,
    Placement,
    PoliciesPage,
    PolicyVersion,
    PolicyVersions,
    PublicKey,
    PublicKeys,
    QuestionnaireDetail,
    QuestionnairesPage,
    QuestionnaireVersion,
    Quota,
    QuotaPage,
    Release,
    ReleasesPage,
    Report,
    Reports,
    ReportsPage,
    Retention,
    Retried,
    RuleException,
    ServiceState,
    SignedCheckpoint,
    Snapshot,
    SnapshotsPage,
    Source,
    Standing,
    Team,
    TeamPage,
    Token,
    TokensPage,
    WatchedModels,
    Webhook,
    WebhooksPage,
    WebhookTried,
    Witnesses,
    Words,
    WordsPage,
    read,
    read_lines,
)
from placet.client.event import Event
from placet.client.history import AsOf, Entity, Expiring, Listing, ProjectsThen, StateThen, Why
from placet.client.problems import PASSING, no_answer, problem
from placet.errors import (
    Conflict,
    PlacetError,
    Refused,
    TooLarge,
    TooMany,
    Unauthenticated,
    Unavailable,
    Unknown,
    Unreadable,
)

SERVICES = ("gateway", "certifier", "builder", "indexer", "deployer", "metadata")
"""What a platform is made of; each tells by itself how it stands."""
PAGE = 500
FACTS_PAGE = 100
LINES_PAGE = 1000
"""Entries that a platform reads at once where it sends them as lines."""
_CHUNK = 1 << 20
_ANSWER = 256 << 20
"""Bytes of an answer that is read whole; a page of 500 events of 64 KiB has 32 MiB."""
_EVIDENCE = 1 << 30
"""Bytes of an archive of evidence; a platform makes none of a quarter of that."""
_LINE = 1 << 20
"""Bytes of an entry of the audit log, or of a message of a stream; an event has at most 64 KiB."""
_ENDS = re.compile(rb"\r?\n\r?\n|\r\r")
_LONGEST_ID = 1000
_LONGEST_LINE = 2**16
"""Characters of a line of a log, as what a model wrote may have none that ends: a longer one comes in parts."""
_PAUSE = 0.5
_LEAST_PAUSE, _MOST_PAUSE = 0.05, 60.0
"""Seconds that a platform may have us wait before a stream is asked for again. None at all would be a question without
end to one that hangs up each time."""
_DECIDED_WITHIN = 300.0
_CALL = httpx.Timeout(60.0, connect=10.0)
# A platform fetches what a git address names, and gathers what evidence names, before it answers.
_FETCH = httpx.Timeout(60.0, connect=10.0, read=600.0)
# An event stream says something, if only a comment, every few seconds, so that silence is a dead connection;
# a model that logs nothing is no dead connection.
_ENDLESS = httpx.Timeout(60.0, connect=10.0, read=None)

Body = Callable[[], AsyncIterator[bytes]]
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Log:
    """What a release wrote, line by line, and which release is live; a number that was not told is none."""

    release: int | None
    live: int | None
    lines: AsyncIterator[str]


class Client:
    """`async with Client(find(os.environ)) as platform: …`

    `patience` is how many seconds a call outlasts a platform that answers 503, or 429; `new_key` makes the
    idempotency keys that let a command be sent twice and happen once; an answer that is read whole has at most `most`
    bytes. `on_wait` is told of each 429, and how many seconds pass before it is asked again. Many clients may share the
    connections of one `transport`, which outlives them.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        patience: float = 30.0,
        new_key: Callable[[], str] = lambda: secrets.token_hex(16),
        most: int = _ANSWER,
        transport: httpx.AsyncBaseTransport | None = None,
        on_wait: Callable[[TooMany, float], None] = lambda why, seconds: None,
    ) -> None:
        self.connection = connection
        self._on_wait = on_wait
        self._patience = patience
        self._new_key = new_key
        self._most = most
        headers = {"Authorization": f"Bearer {connection.token}"} if connection.token else {}
        self._http = httpx.AsyncClient(
            base_url=f"{connection.url}/v1",
            headers={"User-Agent": "placet-client", **headers},
            timeout=_CALL,
            trust_env=not connection.is_local and transport is None,
            verify=_no_authorities() if connection.is_local and connection.is_plain else _authorities(),
            transport=None if transport is None else _Shared(transport),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._http.aclose()

    # Commands and their operations

    async def command(
        self,
        command: Command,
        *,
        project: str | None = None,
        digest: str | None = None,
        git: str | None = None,
        image: str | None = None,
        release: int | None = None,
        canary: int | None = None,
        replicas: int | None = None,
        weight: int | None = None,
        key: str | None = None,
    ) -> Operation:
        """Ask for something; the answer is the operation as it stands, mostly `requested`.

        `digest` names an uploaded source, `git` one that the platform is to fetch, `image` an image of `images()`; at
        most one of them. `release` is what a rollback, which is a deploy, goes back to; none: what served before. Of a
        hundred requests a deploy gives its release `canary`, beside what serves, and a promote gives the canary
        `weight`; none: all of them. A scale is to that many `replicas`. The same `key` sent again names the same
        operation.
        """
        asked: dict[str, Any] = {"command": command}
        if project is not None:
            asked["project"] = project
        if digest is not None:
            asked["source"] = {"digest": digest}
        elif git is not None:
            asked["source"] = {"git": git}
        elif image is not None:
            asked["source"] = {"image": image}
        numbers = {"release": release, "canary": canary, "replicas": replicas, "weight": weight}
        asked |= {name: number for name, number in numbers.items() if number is not None}
        headers = {"Idempotency-Key": key or self._new_key()}
        limits = _CALL if git is None else _FETCH
        response = await self._call("POST", "/commands", json=asked, headers=headers, limits=limits)
        return read(response.content, Operation)

    async def operation(self, operation: str) -> Operation:
        return read((await self._call("GET", f"/operations/{_part(operation)}")).content, Operation)

    async def follow(self, operation: str) -> AsyncGenerator[Operation]:
        """The operation each time it changes, until it is over. A broken connection is taken up again."""
        async with aclosing(self._stream(f"/operations/{_part(operation)}/events")) as messages:
            async for message in messages:
                if message.event != "operation":
                    continue
                seen = read(message.data, Operation)
                yield seen
                if seen.is_over:
                    return

    async def finish(self, operation: str) -> Operation:
        """The operation when it is over, however it ended."""
        async with aclosing(self.follow(operation)) as seen:
            async for state in seen:
                if state.is_over:
                    return state
        raise Unavailable(f"operation {operation} was not followed to its end")

    # Sources

    async def has_source(self, digest: str) -> bool:
        """Whether sending the archive can be spared. Where the platform does not say, it is sent."""
        try:
            await self._call("HEAD", f"/sources/{_part(digest)}")
        except Refused:
            return False
        return True

    async def upload(
        self, archive: Path, digest: str, *, sent: Callable[[int], None] | None = None
    ) -> Source:
        """Send a source archive, read from disk piece by piece. Sending what is there already is harmless.

        `sent` is told each time how many bytes have left, and less again when sending starts anew.
        """
        size, pieces = await _in_pieces(archive, sent)
        response = await self._call(
            "PUT",
            f"/sources/{_part(digest)}",
            body=pieces,
            headers={"Content-Type": "application/x-tar", "Content-Length": str(size)},
        )
        return read(response.content, Source)

    async def download_source(self, image: str, to: Path, *, most: int | None = None) -> Image:
        """Write the source archive an image was made from to `to`, checked against its digest. Raises TooLarge for one
        of more than `most` bytes."""
        about = await self.image(image)
        digest = await self._download(f"/images/{_part(about.image)}/source", to, most=most)
        if about.source is not None and digest != about.source:
            raise Unreadable(
                f"the source of {about.image} came as {digest} and is recorded as {about.source}",
                fix="fetch it again; if it stays so, the registry's copy was altered",
            )
        return about

    async def download_fetched(self, address: str, to: Path) -> str:
        """Have the platform fetch a git address as a deploy of it does, and write the source archive to `to`; its
        digest. The platform keeps nothing of it, and who may not deploy is told so.

        It may take as long as the platform gives a fetch.
        """
        return await self._download("/sources", to, params={"git": address}, limits=_FETCH)

    # What is there

    async def models(self, *, deleted: bool = True) -> tuple[Model, ...]:
        """All of them, or without the `deleted` ones."""
        wanted = {} if deleted else {"deleted": "false"}
        found: list[Model] = []
        after: str | int | None = None
        while True:
            page = read(
                (await self._call("GET", "/models", params={**wanted, **_given(after=after)})).content,
                ModelsPage,
            )
            found.extend(page.models)
            if page.next is None or page.next == after:
                return tuple(found)
            after = page.next

    async def watched_models(
        self,
        *,
        search: str | None = None,
        state: str | None = None,
        deleted: bool = False,
        lapsing: bool = False,
        windows: int = 24,
        after: str | None = None,
        limit: int = 100,
    ) -> WatchedModels:
        """A page of them by name: those with `search` in their name, only those whose certificate ends soon where
        `lapsing`, each with its last `windows`."""
        wanted = _given(search=search, state=state, windows=windows, after=after, limit=limit)
        if lapsing:
            wanted["lapsing"] = "true"
        params = {**wanted, "deleted": "true" if deleted else "false"}
        return read((await self._call("GET", "/models", params=params)).content, WatchedModels)

    async def model(self, project: str) -> ModelDetail:
        return read((await self._call("GET", f"/models/{_part(project)}")).content, ModelDetail)

    async def example(self, project: str) -> Example:
        return read((await self._call("GET", f"/models/{_part(project)}/example")).content, Example)

    async def releases(self, project: str) -> AsyncIterator[Release]:
        """All that were asked for, newest first; they are fetched as one goes on."""
        after: int | None = None
        while True:
            page = await self.releases_page(project, after=after)
            for each in page.releases:
                yield each
            if page.next is None or page.next == after:
                return
            after = page.next

    async def releases_page(
        self, project: str, *, after: int | None = None, limit: int | None = None
    ) -> ReleasesPage:
        """One page of them; `after` is a number that older ones follow."""
        params = _given(after=after, limit=limit)
        answer = await self._call("GET", f"/models/{_part(project)}/releases", params=params)
        return read(answer.content, ReleasesPage)

    async def release(self, project: str, release: int) -> Release:
        answer = await self._call("GET", f"/models/{_part(project)}/releases/{release}")
        return read(answer.content, Release)

    async def images(
        self,
        *,
        project: str | None = None,
        format: str | None = None,
        owner: str | None = None,
        certificate: str | None = None,
        metrics: Sequence[str] = (),
    ) -> tuple[Image, ...]:
        """All images that are so; of `metrics` each is a name, or a comparison such as `accuracy>=0.9`."""
        found: list[Image] = []
        after: str | None = None
        while True:
            page = await self.images_page(
                project=project,
                format=format,
                owner=owner,
                certificate=certificate,
                metrics=metrics,
                after=after,
            )
            found.extend(page.images)
            if page.next is None or page.next == after:
                return tuple(found)
            after = page.next

    async def images_page(
        self,
        *,
        project: str | None = None,
        format: str | None = None,
        owner: str | None = None,
        certificate: str | None = None,
        metrics: Sequence[str] = (),
        after: str | None = None,
        limit: int | None = None,
    ) -> ImagesPage:
        """One page of them, those indexed last first."""
        wanted = _given(
            project=project,
            format=format,
            owner=owner,
            certificate=certificate,
            metric=list(metrics) or None,
            after=after,
            limit=limit,
        )
        return read((await self._call("GET", "/images", params=wanted)).content, ImagesPage)

    async def image(self, digest: str) -> ImageDetail:
        return read((await self._call("GET", f"/images/{_part(digest)}")).content, ImageDetail)

    async def garbage(self, *, older_than: int | None = None) -> Garbage:
        """What of the registry nothing needs that is older than so many days."""
        params = _given(olderThan=older_than)
        return read((await self._call("GET", "/garbage", params=params)).content, Garbage)

    async def collect_garbage(self, *, older_than: int | None = None) -> Collected:
        """Have it removed. Not sent again by itself: a second answer would tell of the rest only."""
        params = _given(olderThan=older_than)
        answer = await self._call("POST", "/garbage/collections", params=params, again=False)
        return read(answer.content, Collected)

    async def certificate(self, certificate: str) -> Certificate:
        return read((await self._call("GET", f"/certificates/{_part(certificate)}")).content, Certificate)

    async def revoke_certificate(self, certificate: str, *, reason: str) -> Standing:
        """End it for good. Asked for again, nothing changes; another reason than the first is a conflict."""
        path = f"/certificates/{_part(certificate)}/revoke"
        return read((await self._call("POST", path, json={"reason": reason})).content, Standing)

    async def keys(self) -> tuple[PublicKey, ...]:
        """Every key that certificates were ever signed with, the first one first."""
        return read((await self._call("GET", "/keys")).content, PublicKeys).keys

    async def review_certificate(self, certificate: str, *, found: str) -> Standing:
        """Say what was found of one that two people had given in haste."""
        path = f"/certificates/{_part(certificate)}/review"
        return read((await self._call("POST", path, json={"found": found}, again=False)).content, Standing)

    @asynccontextmanager
    async def log(
        self,
        project: str,
        *,
        release: int | None = None,
        replica: int | None = None,
        follow: bool = False,
        tail: int | None = None,
    ) -> AsyncIterator[Log]:
        """The log of a release, or of the one that was started last; while followed, as long as the platform sends. Of
        several replicas that of the first, unless told.
        """
        params = _given(release=release, replica=replica, follow=int(follow), tail=tail)
        limits = _ENDLESS if follow else _CALL
        async with self._open(f"/models/{_part(project)}/logs", params=params, limits=limits) as response:
            yield Log(
                release=_number(response.headers.get("x-placet-release")),
                live=_number(response.headers.get("x-placet-live-release")),
                lines=_bounded_lines(response),
            )

    @asynccontextmanager
    async def build_log(
        self, project: str, release: int, *, follow: bool = False
    ) -> AsyncIterator[AsyncIterator[str]]:
        """What the builder wrote while it made a release's image; while followed, until the build is over."""
        path = f"/builds/{_part(project)}/{release}/log"
        limits = _ENDLESS if follow else _CALL
        async with self._open(path, params={"follow": int(follow)}, limits=limits) as response:
            yield _bounded_lines(response)

    async def capacity(
        self,
        *,
        project: str | None = None,
        cpu_millis: int = 0,
        memory_bytes: int = 0,
        gpus: int = 0,
        dockerfile: bool = False,
    ) -> Capacity:
        """The room that there is, and what a deploy that asks for so much would be refused for now."""
        asked = {
            "cpuMillis": cpu_millis,
            "memoryBytes": memory_bytes,
            "gpus": gpus,
            "dockerfile": int(dockerfile),
        }
        params = {**asked, **_given(project=project)}
        return read((await self._call("GET", "/capacity", params=params)).content, Capacity)

    async def placement(
        self,
        project: str,
        *,
        cpu_millis: int,
        memory_bytes: int,
        gpus: int = 0,
        min_replicas: int = 1,
        max_replicas: int = 1,
        dockerfile: bool = False,
        canary: bool = False,
    ) -> Placement:
        """What a deploy that asks for so much would be given, if it were asked for now. It reserves nothing.

        A `canary` is to run on beside what serves.
        """
        params = {
            "cpuMillis": cpu_millis,
            "memoryBytes": memory_bytes,
            "gpus": gpus,
            "minReplicas": min_replicas,
            "maxReplicas": max_replicas,
            "dockerfile": int(dockerfile),
            "canary": int(canary),
        }
        answer = await self._call("GET", f"/models/{_part(project)}/placement", params=params)
        return read(answer.content, Placement)

    # What happened

    async def events(
        self,
        *,
        after: int = 0,
        type: str | None = None,
        project: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        follow: bool = False,
    ) -> AsyncGenerator[CloudEvent]:
        """Events past audit position `after`, each with its position as `sequence`; `follow` awaits more.

        Those said between two times, if any is given, both within.
        """
        between = {"since": since and since.isoformat(), "until": until and until.isoformat()}
        asked = _given(type=type, project=project, **between)
        if follow:
            params = {**asked, "after": after, "follow": 1}
            async with aclosing(self._stream("/events", params=params)) as messages:
                async for message in messages:
                    if message.event == "end":
                        continue  # it read too slowly, and is asked again from where it was
                    event = read(message.data, CloudEvent)
                    position = event.get("sequence")
                    if isinstance(position, int):
                        if position <= after:
                            continue
                        after = position
                    yield event
            return
        while True:
            params = {**asked, "after": after, "limit": PAGE}
            page = read((await self._call("GET", "/events", params=params)).content, EventsPage)
            for event in page.events:
                yield event
            if page.next is None or page.next <= after:
                return
            after = page.next

    async def events_before(
        self,
        position: int,
        *,
        type: str | None = None,
        project: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 100,
    ) -> EventsPage:
        """Those before an audit position, the newest first; `next` of the page is where to go on, or None."""
        between = {"since": since and since.isoformat(), "until": until and until.isoformat()}
        params = _given(before=position, type=type, project=project, limit=limit, **between)
        return read((await self._call("GET", "/events", params=params)).content, EventsPage)

    async def follow_events(
        self,
        checkpoint: Checkpoint,
        *,
        after: int = 0,
        type: str | None = None,
        project: str | None = None,
        each: int = 1,
    ) -> AsyncGenerator[Event]:
        """Events without end, from where the checkpoint was, or past position `after` at the first time.

        An event is done with when the next one is asked for; then it is marked, or every `each` events one. So whoever
        is killed has those again that were not marked, and misses none. Raises Conflict where the log is not the one
        that was followed.
        """
        mark = await checkpoint.load()
        if mark is not None:
            await self._is_there(mark)
            after = mark.position
        unmarked = 0
        happened = self.events(after=after, type=type, project=project, follow=True)
        async with aclosing(happened):
            async for told in happened:
                event = Event.of(told)
                yield event
                unmarked += 1
                if unmarked >= each:
                    await checkpoint.save(Mark(position=event.position, event=event.id))
                    unmarked = 0

    async def _is_there(self, mark: Mark) -> None:
        """Whether the log has the event that was followed last where it was."""
        params = {"after": mark.position - 1, "limit": 1}
        page = read((await self._call("GET", "/events", params=params)).content, EventsPage)
        found = page.events[0].get("id") if page.events else None
        if found != mark.event:
            raise Conflict(
                f"position {mark.position} of the log is not event {mark.event}, which was followed last, but"
                f" {found or 'none'}: it was restored from an older copy, or is another platform's",
                fix="see `placet audit verify`; to follow this log, remove the checkpoint and say from which position",
            )

    async def entries(self, *, after: int = 0, until: int | None = None) -> AsyncGenerator[Entry]:
        """The audit log past position `after`, up to and with `until`, in order. A hole is an error."""
        before: int | None = None
        try:
            async with aclosing(self.log_lines(after=after, until=until)) as pieces:
                async for piece in pieces:
                    for entry in read_lines(piece, Entry):
                        if before is not None and entry.position != before + 1:
                            raise Unreadable(f"the audit log goes from position {before} to {entry.position}")
                        before = entry.position
                        yield entry
        except Unavailable:
            # Whoever sends a stream cannot say any more what went wrong; asked for an entry, it can.
            await self._call("GET", "/audit/entries", params={"after": before or after, "limit": LINES_PAGE})
            raise

    async def log_lines(self, *, after: int = 0, until: int | None = None) -> AsyncGenerator[bytes]:
        """The audit log past position `after`, up to and with `until`, as JSON lines, many at a time and whole.

        Each event stands in its line byte for byte as it was hashed: for who verifies. Where the stream breaks off
        nothing is asked again: `after` is known to the caller.
        """
        pieces = self._lines("/audit/entries", _given(after=after, until=until))
        async with aclosing(pieces):
            async for piece in pieces:
                yield piece

    async def _lines(
        self, path: str, params: Mapping[str, Any], *, limits: httpx.Timeout = _CALL
    ) -> AsyncGenerator[bytes]:
        headers = {"Accept": "application/jsonl"}
        async with self._open(path, params=params, headers=headers, limits=limits) as response:
            rest = b""
            async for piece in response.aiter_bytes():
                whole, newline, rest = (rest + piece).rpartition(b"\n")
                if newline:
                    yield whole + newline
                if len(rest) > _LINE:
                    raise Unreadable(
                        f"{self.connection.url} sends an entry of the audit log that does not end"
                    )
            if rest:
                raise Unavailable(
                    f"{self.connection.url} broke off in the middle of an entry of the audit log"
                )

    # What was so

    @asynccontextmanager
    async def state(
        self,
        *,
        at: str | None = None,
        position: int | None = None,
        project: str | None = None,
        release: int | None = None,
        own: bool = False,
    ) -> AsyncIterator[StateThen]:
        """Everything that was so at a time (in RFC 3339, or a day up to its end in UTC) or at a position: of when it
        is, then each entity as it comes, with the positions of what it says. With `own` only what belongs to no
        project."""
        params = _given(at=at, position=position, project=project, release=release, own=own or None)
        async with aclosing(self._documents("/audit/state", params)) as documents:
            first = await anext(documents, None)
            if first is None:
                raise Unreadable(
                    f"{self.connection.url} sends no state", fix="is it a placet platform of this version?"
                )
            yield StateThen(as_of=_converted(first, AsOf), entities=_entities(documents))

    async def _documents(self, path: str, params: Mapping[str, Any]) -> AsyncGenerator[dict[str, Any]]:
        async with aclosing(self._lines(path, params, limits=_FETCH)) as pieces:
            async for piece in pieces:
                for each in read_lines(piece, dict):
                    yield each

    async def projects_then(
        self,
        *,
        at: str | None = None,
        position: int | None = None,
        after: str | None = None,
        limit: int = 100,
    ) -> ProjectsThen:
        """A page of the projects that there were at a time or at a position, by name; `next` is where to go on, or
        None."""
        params = _given(at=at, position=position, after=after, limit=limit)
        response = await self._call("GET", "/audit/projects", params=params, limits=_FETCH)
        return ProjectsThen.of(read(response.content, dict[str, Any]))

    async def why(self, project: str, *, at: str | None = None) -> Why:
        """Whether its model was allowed to run at a time, and on what that stands, each with its place in the log."""
        response = await self._call("GET", "/audit/why", params=_given(project=project, at=at), limits=_FETCH)
        return read(response.content, Why)

    async def approvals_in_log(
        self, *, project: str | None = None, release: int | None = None, at: str | None = None
    ) -> Listing[Entity]:
        """Who approved which release, and who looked at what was certified in haste; oldest first."""
        asked = _given(project=project, release=release, at=at)
        return await self._listed("/audit/approvals", "approvals", asked, Entity.of)

    async def exceptions_in_log(
        self, *, project: str | None = None, state: str | None = None, at: str | None = None
    ) -> Listing[Entity]:
        """Exceptions as they stood at a time, with the certificates that were issued on each."""
        asked = _given(project=project, state=state, at=at)
        return await self._listed("/audit/exceptions", "exceptions", asked, Entity.of)

    async def expiring(
        self, *, within: int, project: str | None = None, at: str | None = None
    ) -> Listing[Expiring]:
        """Certificates that end within so many seconds, the first to end first."""
        asked = _given(within=within, project=project, at=at)
        return await self._listed(
            "/audit/expiring", "certificates", asked, lambda each: _converted(each, Expiring)
        )

    async def _listed(
        self, path: str, name: str, asked: dict[str, Any], read_one: Callable[[dict[str, Any]], T]
    ) -> Listing[T]:
        """All pages, of when the first of them is."""
        entries: list[T] = []
        as_of: AsOf | None = None
        after: str | None = None
        while True:
            params = {**asked, **_given(after=after, limit=PAGE)}
            page = read((await self._call("GET", path, params=params, limits=_FETCH)).content, dict[str, Any])
            as_of = as_of or _converted(page, AsOf)
            entries += [read_one(each) for each in _converted(page.get(name), list[dict[str, Any]])]
            following = page.get("next")
            if following is None or following == after:
                return Listing(as_of=as_of, entries=tuple(entries))
            after = following

    async def checkpoint(self, *, witnesses: int = 0) -> bytes:
        """The newest signed checkpoint of the audit log that so many witnesses have cosigned: a signed note."""
        return (await self._call("GET", "/audit/checkpoint", params={"witnesses": witnesses})).content

    async def checkpoints(
        self, *, after: int = 0, until: int | None = None
    ) -> AsyncGenerator[SignedCheckpoint]:
        """Every checkpoint that was signed of more than `after` events, and of at most `until`; smallest first."""
        while True:
            params = _given(after=after, until=until)
            page = read(
                (await self._call("GET", "/audit/checkpoints", params=params)).content, CheckpointsPage
            )
            for each in page.checkpoints:
                yield each
            if not page.checkpoints or page.next is None or page.next <= after:
                return
            after = page.next

    async def log_proof(
        self,
        *,
        position: int | None = None,
        event: str | None = None,
        since: int | None = None,
        size: int | None = None,
    ) -> bytes:
        """That an event is in the audit log, or that the log goes on where it ended at `since` events; as text."""
        params = _given(position=position, event=event, since=since, size=size)
        return (await self._call("GET", "/audit/proof", params=params)).content

    async def evidence(
        self,
        project: str,
        into: Path,
        *,
        at: datetime | None = None,
        size: int | None = None,
        people: bool = False,
    ) -> str:
        """Everything that shows what was decided about a project up to a moment, as an archive that `into` becomes.

        Returns the name that the platform gives it. `people`: with what was recorded about people. What breaks off, or
        is longer than any evidence, is an error, and leaves in `into` what came.
        """
        params = _given(project=project, at=at and at.isoformat(), size=size, people=people or None)
        written = 0
        async with (
            self._open("/audit/bundle", params=params, limits=_FETCH) as response,
            await anyio.open_file(into, "wb") as file,
        ):
            async for piece in response.aiter_bytes():
                written += len(piece)
                if written > _EVIDENCE:
                    raise Unreadable(
                        f"{self.connection.url} sends evidence of more than {_EVIDENCE} bytes",
                        fix="is the address really a placet platform?",
                    )
                await file.write(piece)
        named = re.search(r'filename="([a-z0-9-]+\.zip)"', response.headers.get("content-disposition", ""))
        return named[1] if named else f"{project}.zip"

    async def log_tile(self, path: str) -> bytes:
        """Hashes of the audit log's tree, at the address that C2SP's tlog-tiles gives them below `tile/`."""
        return (await self._call("GET", f"/audit/tile/{path}")).content

    async def log_keys(self) -> LogKeys:
        """The name of the audit log, and the keys that its checkpoints were ever signed with, as it tells them."""
        return read((await self._call("GET", "/audit/keys")).content, LogKeys)

    async def log_producers(self) -> LogProducers:
        """What every producer says of its own store, for who holds the audit log against it."""
        return read((await self._call("GET", "/audit/producers")).content, LogProducers)

    async def witnesses(self) -> Witnesses:
        """Who outside has seen how much of the audit log."""
        return read((await self._call("GET", "/audit/witnesses")).content, Witnesses)

    # Webhooks

    async def add_webhook(
        self, url: str, *, type: str | None = None, project: str | None = None, after: int | None = None
    ) -> Webhook:
        """Have events sent there: those past audit position `after`, or those from now on. With its `secret`, which is
        told this once. Not sent again by itself: a second one would be a conflict, and its secret unknown."""
        asked = {"url": url, **_given(type=type, project=project, after=after)}
        return read((await self._call("POST", "/webhooks", json=asked, again=False)).content, Webhook)

    async def webhooks(self) -> tuple[Webhook, ...]:
        return read((await self._call("GET", "/webhooks")).content, WebhooksPage).webhooks

    async def webhook(self, webhook: str) -> Webhook:
        return read((await self._call("GET", f"/webhooks/{_part(webhook)}")).content, Webhook)

    async def rotate_webhook(self, webhook: str) -> Webhook:
        """With another `secret`, which is told this once; the one before signs for a day, too."""
        path = f"/webhooks/{_part(webhook)}/rotate"
        return read((await self._call("POST", path, again=False)).content, Webhook)

    async def enable_webhook(self, webhook: str, *, after: int | None = None) -> Webhook:
        """Go on at once where it was, or past another position."""
        path = f"/webhooks/{_part(webhook)}/enable"
        return read((await self._call("POST", path, json=_given(after=after))).content, Webhook)

    async def test_webhook(self, webhook: str) -> WebhookTried:
        """Have a signed message sent that is no event, and say what it came to."""
        path = f"/webhooks/{_part(webhook)}/test"
        return read((await self._call("POST", path, again=False)).content, WebhookTried)

    async def remove_webhook(self, webhook: str) -> None:
        await self._call("DELETE", f"/webhooks/{_part(webhook)}")

    # Exceptions from rules

    async def request_exception(
        self, project: str, *, rule: str, until: datetime, reason: str, source: str | None = None
    ) -> RuleException:
        """Ask for one; it does nothing until somebody else grants it. Asked for again, it is the same one."""
        asked = {"rule": rule, "until": until.isoformat(), "reason": reason, **_given(source=source)}
        path = f"/models/{_part(project)}/exceptions"
        return read((await self._call("POST", path, json=asked)).content, RuleException)

    async def exceptions(self, project: str | None = None) -> tuple[RuleException, ...]:
        """Newest first, whatever became of them; of all projects without one."""
        found: list[RuleException] = []
        after: str | None = None
        path = "/exceptions" if project is None else f"/models/{_part(project)}/exceptions"
        while True:
            page = read((await self._call("GET", path, params=_given(after=after))).content, ExceptionsPage)
            found.extend(page.exceptions)
            if page.next is None or page.next == after:
                return tuple(found)
            after = page.next

    async def exceptions_page(
        self,
        project: str | None = None,
        *,
        state: str | None = None,
        after: str | None = None,
        limit: int = 100,
    ) -> ExceptionsPage:
        """One page of them, those in a state if one is named: requested, granted, withdrawn or expired."""
        path = "/exceptions" if project is None else f"/models/{_part(project)}/exceptions"
        params = _given(state=state, after=after, limit=limit)
        return read((await self._call("GET", path, params=params)).content, ExceptionsPage)

    async def grant_exception(self, project: str, exception: str) -> RuleException:
        return await self._decide_on_exception(project, exception, "grant")

    async def withdraw_exception(self, project: str, exception: str) -> RuleException:
        return await self._decide_on_exception(project, exception, "withdraw")

    async def _decide_on_exception(self, project: str, exception: str, verb: str) -> RuleException:
        path = f"/models/{_part(project)}/exceptions/{_part(exception)}/{verb}"
        return read((await self._call("POST", path)).content, RuleException)

    # Metadata

    async def report(
        self,
        project: str,
        events: Sequence[Any],
        *,
        release: int | None = None,
        source: str | None = None,
    ) -> tuple[Report, ...]:
        """Report CloudEvents and run events of OpenLineage, all or none, of a release or a source if one is given.

        What is sent again is the same report. Raises Refused with everything that is wrong, by its place.
        """
        path = f"/models/{_part(project)}/metadata"
        params = _given(release=release, source=source)
        response = await self._call("POST", path, json=list(events), params=params, limits=_FETCH)
        return read(response.content, Reports).reports

    async def reports(
        self, project: str, *, kind: str | None = None, release: int | None = None
    ) -> tuple[Report, ...]:
        """What was reported of a project, heard last first."""
        found: list[Report] = []
        after: str | None = None
        path = f"/models/{_part(project)}/metadata"
        while True:
            params = _given(kind=kind, release=release, after=after)
            page = read((await self._call("GET", path, params=params)).content, ReportsPage)
            found.extend(page.reports)
            if page.next is None or page.next == after:
                return tuple(found)
            after = page.next

    async def report_schema(self, kind: str) -> dict[str, Any]:
        """The JSON Schema of what a CloudEvent that reports this has in `data`."""
        response = await self._call("GET", f"/metadata/schemas/{_part(kind)}")
        schema: dict[str, Any] = read(response.content, dict)
        return schema

    # Approvals

    async def awaited(self, project: str) -> tuple[AwaitedRelease, ...]:
        """The releases that wait for approval, then the last ones that did."""
        response = await self._call("GET", f"/models/{_part(project)}/approvals")
        return read(response.content, AwaitedReleases).releases

    async def awaited_anywhere(self, *, after: str | None = None, limit: int = 100) -> AwaitedPage:
        """A page of the releases of all projects that wait for approval, by project and release."""
        params = _given(after=after, limit=limit)
        return read((await self._call("GET", "/approvals", params=params)).content, AwaitedPage)

    async def reviews_owed(self, *, after: str | None = None, limit: int = 100) -> OwedReviewsPage:
        """A page of the certificates of all projects that were given in haste, and that nobody has reviewed."""
        params = _given(after=after, limit=limit)
        return read((await self._call("GET", "/reviews", params=params)).content, OwedReviewsPage)

    async def approve(
        self,
        project: str,
        *,
        release: int,
        binding: str,
        reason: str | None = None,
        roles: tuple[str, ...] = (),
        break_glass: bool = False,
        key: str | None = None,
    ) -> Approval:
        """Approve what `binding` is the digest of, and nothing else. The same `key` sent again is the same approval."""
        given: dict[str, Any] = {"release": release, "binding": binding, "roles": list(roles)}
        given |= _given(reason=reason, breakGlass=break_glass or None)
        headers = {"Idempotency-Key": key or self._new_key()}
        response = await self._call(
            "POST", f"/models/{_part(project)}/approvals", json=given, headers=headers
        )
        return read(response.content, Approval)

    # Policies

    async def submit_policy(self, file: bytes, *, warn_first: str | None = None) -> PolicyVersion:
        """Ask that it be published. The same bytes again are answered with what became of them. With `warn_first`, a
        span such as 7d, it only warns for so long of what was certified before.

        Raises Refused with every problem that its own tests show.
        """

        async def whole() -> AsyncIterator[bytes]:
            yield file

        headers = {"Content-Type": "application/yaml"}
        # Its tests are run before the answer comes.
        params = _given(warnFirst=warn_first)
        response = await self._call(
            "POST", "/policies", params=params, body=whole, headers=headers, limits=_FETCH
        )
        return read(response.content, PolicyVersion)

    async def decided(self, submitted: PolicyVersion, *, within: float = _DECIDED_WITHIN) -> PolicyVersion:
        """The version when it is published or rejected."""
        deadline = time.monotonic() + within
        while True:
            versions = await self.policy(submitted.policy)
            told = next((each for each in versions if each.digest == submitted.digest), submitted)
            if told.state != "submitted":
                return told
            if time.monotonic() + _PAUSE > deadline:
                raise Unavailable(
                    f"{told.policy} {told.version} is submitted, and nothing was decided within {within:g} s",
                    fix="`placet policy list` shows when it is",
                )
            await asyncio.sleep(_PAUSE)

    async def policies(self) -> tuple[PolicyVersion, ...]:
        """Every version of every policy, the highest of each first."""
        found: list[PolicyVersion] = []
        after: str | None = None
        while True:
            response = await self._call("GET", "/policies", params=_given(after=after))
            page = read(response.content, PoliciesPage)
            found.extend(page.policies)
            if page.next is None or page.next == after:
                return tuple(found)
            after = page.next

    async def policy(self, policy: str) -> tuple[PolicyVersion, ...]:
        """The versions of one, the highest first."""
        response = await self._call("GET", f"/policies/{_part(policy)}")
        return read(response.content, PolicyVersions).versions

    async def policy_file(self, digest: str) -> str:
        response = await self._call("GET", f"/policies/{_part(digest)}/file")
        return response.content.decode(errors="replace")

    async def facts(
        self, digests: Sequence[str], *, personal: Sequence[str] = ()
    ) -> dict[str, dict[str, Any] | None]:
        """What rules saw, by the digests that events and certificates name; null for what is not there.

        `personal` are digests of what is about people, which is null where it was erased.
        """
        found: dict[str, dict[str, Any] | None] = {}
        asked = [*(("digest", each) for each in digests), *(("personal", each) for each in personal)]
        while asked:
            those = asked[:FACTS_PAGE]
            params = {name: [each for of, each in those if of == name] for name in ("digest", "personal")}
            response = await self._call("GET", "/facts", params=params)
            page = read(response.content, FactsPage).facts
            found |= page
            left = [each for each in asked if each[1] not in found]
            if len(left) == len(asked):
                raise Unreadable("the platform answered for none of the facts that were asked for")
            asked = left
        return found

    # Advisories

    async def submit_advisories(
        self, file: Path, digest: str, *, sent: Callable[[int], None] | None = None
    ) -> Snapshot:
        """Ask that packages be matched with it. The same bytes again are answered with what became of them.

        `sent` is told as by `upload`.
        """
        size, pieces = await _in_pieces(file, sent)
        headers = {"Content-Type": "application/zip", "Content-Length": str(size)}
        path = f"/advisories/{_part(digest)}"
        response = await self._call("PUT", path, body=pieces, headers=headers, limits=_FETCH)
        return read(response.content, Snapshot)

    async def read_through(self, submitted: Snapshot, *, within: float = _DECIDED_WITHIN) -> Snapshot:
        """The snapshot when it is in use or rejected."""
        deadline = time.monotonic() + within
        told = submitted
        while told.state == "submitted":
            if time.monotonic() + _PAUSE > deadline:
                raise Unavailable(
                    f"the advisories {told.digest} are submitted, and nothing was decided within {within:g} s",
                    fix="`placet advisories list` shows when it is",
                )
            await asyncio.sleep(_PAUSE)
            response = await self._call("GET", f"/advisories/{_part(told.digest)}")
            told = read(response.content, Snapshot)
        return told

    async def advisories(self) -> tuple[Snapshot, ...]:
        """Every snapshot, the newest submission first."""
        found: list[Snapshot] = []
        after: str | None = None
        while True:
            response = await self._call("GET", "/advisories", params=_given(after=after))
            page = read(response.content, SnapshotsPage)
            found.extend(page.advisories)
            if page.next is None or page.next == after:
                return tuple(found)
            after = page.next

    async def download_advisories(self, digest: str, to: Path) -> None:
        """Write a snapshot as it was sent to `to`, checked against its digest."""
        found = await self._download(f"/advisories/{_part(digest)}/file", to)
        if found != digest:
            raise Unreadable(f"the advisories {digest} came as {found}", fix="ask whoever runs the platform")

    # Impact assessments

    async def import_questionnaire(
        self,
        file: bytes,
        *,
        form: str = "placet",
        id: str | None = None,
        version: str | None = None,
        owner: str | None = None,
    ) -> QuestionnaireVersion:
        """From here on it is the newest of its id. A file of form `surveyjs` needs `id` and `version`."""

        async def whole() -> AsyncIterator[bytes]:
            yield file

        response = await self._call(
            "POST",
            "/questionnaires",
            body=whole,
            params=_given(form=form, id=id, version=version, owner=owner),
            limits=_FETCH,
        )
        return read(response.content, QuestionnaireVersion)

    async def questionnaires(self) -> tuple[QuestionnaireVersion, ...]:
        """Every version of every questionnaire, the newest of each first."""
        found: list[QuestionnaireVersion] = []
        after: str | None = None
        while True:
            response = await self._call("GET", "/questionnaires", params=_given(after=after))
            page = read(response.content, QuestionnairesPage)
            found.extend(page.questionnaires)
            if page.next is None or page.next == after:
                return tuple(found)
            after = page.next

    async def questionnaire(self, wanted: str) -> QuestionnaireDetail:
        """One by its digest, or the newest of an id."""
        response = await self._call("GET", f"/questionnaires/{_part(wanted)}")
        return read(response.content, QuestionnaireDetail)

    async def answer(
        self,
        project: str,
        *,
        questionnaire: str,
        answers: Mapping[str, str | Sequence[str]],
        mitigations: Sequence[str] = (),
        source: str | None = None,
    ) -> Assessment:
        """Answer a questionnaire about a project. Raises Refused with all that is unknown, wrong or missing.

        Each call is an assessment of its own, so it is not asked again by itself.
        """
        asked = {
            "questionnaire": questionnaire,
            "answers": answers,
            "mitigations": list(mitigations),
            **_given(source=source),
        }
        path = f"/models/{_part(project)}/assessments"
        response = await self._call("POST", path, json=asked, again=False, limits=_FETCH)
        return read(response.content, Assessment)

    async def scored(self, answered: Assessment, *, within: float = _DECIDED_WITHIN) -> Assessment:
        """The assessment when it is scored or rejected."""
        deadline = time.monotonic() + within
        path = f"/models/{_part(answered.project)}/assessments/{_part(answered.assessment)}"
        while True:
            told = read((await self._call("GET", path)).content, Assessment)
            if told.state != "answered":
                return told
            if time.monotonic() + _PAUSE > deadline:
                raise Unavailable(
                    f"{told.assessment} is answered, and was not scored within {within:g} s",
                    fix=f"`placet assess --show {told.project}` shows when it is",
                )
            await asyncio.sleep(_PAUSE)

    async def assessments(self, project: str) -> tuple[Assessment, ...]:
        """Newest first."""
        found: list[Assessment] = []
        after: str | None = None
        path = f"/models/{_part(project)}/assessments"
        while True:
            page = read((await self._call("GET", path, params=_given(after=after))).content, AssessmentsPage)
            found.extend(page.assessments)
            if page.next is None or page.next == after:
                return tuple(found)
            after = page.next

    # People

    async def create_token(self, name: str, roles: tuple[str, ...], *, ttl: int | None = None) -> Token:
        """A token for a person by that name; `ttl` in seconds, the platform's own limit without."""
        asked = {"as": name, "roles": list(roles), **_given(ttl=ttl)}
        return read((await self._call("POST", "/tokens", json=asked, again=False)).content, Token)

    async def own_token(self) -> Token:
        """For who has a token of an OpenID Connect provider: one of placet's own, which models take."""
        return read((await self._call("POST", "/me/token", again=False)).content, Token)

    async def revoke_token(self, token: str) -> None:
        await self._call("DELETE", f"/tokens/{_part(token)}")

    async def tokens(self) -> tuple[KnownToken, ...]:
        """Every token that was made, the newest first."""
        found: list[KnownToken] = []
        after: str | None = None
        while True:
            page = await self.tokens_page(after=after, limit=PAGE)
            found.extend(page.tokens)
            if page.next is None or page.next == after:
                return tuple(found)
            after = page.next

    async def tokens_page(self, *, after: str | None = None, limit: int = 100) -> TokensPage:
        params = _given(after=after, limit=limit)
        return read((await self._call("GET", "/tokens", params=params)).content, TokensPage)

    async def me(self) -> Me:
        return read((await self._call("GET", "/me")).content, Me)

    async def people(self) -> tuple[KnownPerson, ...]:
        """Everybody whom the platform knows, also those who were erased."""
        found: list[KnownPerson] = []
        after: str | None = None
        while True:
            page = read((await self._call("GET", "/people", params=_given(after=after))).content, PeoplePage)
            found.extend(page.people)
            if page.next is None or page.next == after:
                return tuple(found)
            after = page.next

    async def held(self, person: str) -> Held:
        """What is held about somebody, all but their words."""
        return read((await self._call("GET", f"/people/{_part(person)}")).content, Held)

    async def words_of(self, person: str) -> tuple[Words, ...]:
        """All that they gave as reasons and summaries."""
        found: list[Words] = []
        after: str | None = None
        path = f"/people/{_part(person)}/words"
        while True:
            page = read((await self._call("GET", path, params=_given(after=after))).content, WordsPage)
            found.extend(page.words)
            if page.next is None or page.next == after:
                return tuple(found)
            after = page.next

    async def erase_person(self, person: str) -> Held:
        """Have somebody forgotten. Asked again, nothing changes."""
        return read((await self._call("DELETE", f"/people/{_part(person)}")).content, Held)

    async def retention(self) -> Retention:
        """How long what people gave is kept, what is over its time, and what is held."""
        return read((await self._call("GET", "/retention")).content, Retention)

    async def hold(self, project: str, *, reason: str) -> Hold:
        """Keep all of a project, however old it gets. Again, nothing changes."""
        path = f"/models/{_part(project)}/hold"
        return read((await self._call("PUT", path, json={"reason": reason})).content, Hold)

    async def release_hold(self, project: str) -> None:
        await self._call("DELETE", f"/models/{_part(project)}/hold")

    # How services stand

    async def services(self, *, within: float = 3.0) -> tuple[ServiceState, ...]:
        """How each of them stands, as it tells itself; of one that does not within so many seconds, that it does not.
        Raises Unauthenticated where the gateway does not take the token."""
        return tuple(await asyncio.gather(*(self.standing(each, within=within) for each in SERVICES)))

    async def standing(self, service: str, *, within: float = 3.0) -> ServiceState:
        """The same of one of them."""
        try:
            async with asyncio.timeout(within):
                answer = await self._call("GET", f"/services/{service}", again=False)
            return read(answer.content, ServiceState)
        except TimeoutError:
            late = f"it did not answer within {within:g} s"
            return ServiceState(service=service, answers=False, slow=True, why=late)
        except Unauthenticated as error:
            if service == "gateway":  # which knows best whose token holds
                raise
            why = f"it does not take this token: {error}"
        except Unknown as error:
            why = f"it does not tell how it stands: {error}"
        except PlacetError as error:
            why = str(error)
        return ServiceState(service=service, answers=False, why=why)

    async def service(self, service: str) -> ServiceState:
        return read((await self._call("GET", f"/services/{_part(service)}")).content, ServiceState)

    async def parked(self, service: str) -> tuple[ParkedMessage, ...]:
        """All that a service put aside for a person."""
        found: list[ParkedMessage] = []
        after: str | None = None
        while True:
            page = await self.parked_page(service, after=after, limit=100)
            found.extend(page.parked)
            if page.next is None or page.next == after:
                return tuple(found)
            after = page.next

    async def parked_page(self, service: str, *, after: str | None = None, limit: int = 50) -> ParkedPage:
        params = _given(after=after, limit=limit)
        path = f"/services/{_part(service)}/parked"
        return read((await self._call("GET", path, params=params)).content, ParkedPage)

    async def retry_parked(self, service: str, message: str | None = None) -> int:
        """Hand one of them back to the service, or all; how many. Asked again, nothing changes: what waits already or
        was handled counts for none. All of them are not asked for again by themselves, so that the number is true."""
        one = "" if message is None else f"/{_part(message)}"
        path = f"/services/{_part(service)}/parked{one}/retry"
        answer = await self._call("POST", path, again=message is not None)
        return read(answer.content, Retried).retried

    # What may be held

    async def quotas(self) -> tuple[Quota, ...]:
        """What teams and projects may hold, and what is live of theirs."""
        found: list[Quota] = []
        after: str | None = None
        while True:
            page = read((await self._call("GET", "/quotas", params=_given(after=after))).content, QuotaPage)
            found.extend(page.quotas)
            if page.next is None or page.next == after:
                return tuple(found)
            after = page.next

    async def set_quota(
        self,
        *,
        team: str | None = None,
        project: str | None = None,
        cpu_millis: int | None = None,
        memory_bytes: int | None = None,
        gpus: int | None = None,
        models: int | None = None,
    ) -> Quota:
        """What a team or a project may hold altogether, in place of what was said before: what is not given is not
        bounded. It ends nothing that runs."""
        limits = _given(cpuMillis=cpu_millis, memoryBytes=memory_bytes, gpus=gpus, models=models)
        answer = await self._call("PUT", _quota_path(team, project), json=limits)
        return read(answer.content, Quota)

    async def remove_quota(self, *, team: str | None = None, project: str | None = None) -> None:
        await self._call("DELETE", _quota_path(team, project))

    async def teams(self) -> tuple[Team, ...]:
        """Teams with the projects that are of them."""
        found: list[Team] = []
        after: str | None = None
        while True:
            page = read((await self._call("GET", "/teams", params=_given(after=after))).content, TeamPage)
            found.extend(page.teams)
            if page.next is None or page.next == after:
                return tuple(found)
            after = page.next

    async def assign(self, project: str, *, team: str | None) -> None:
        """The project counts for this team from here on, and for none if that is none."""
        if team is None:
            await self._call("DELETE", f"/models/{_part(project)}/team")
        else:
            await self._call("PUT", f"/teams/{_part(team)}/projects/{_part(project)}")

    async def team(self, team: str) -> Team:
        return read((await self._call("GET", f"/teams/{_part(team)}")).content, Team)

    async def set_team(self, team: str, members: Sequence[str] | None = None) -> Team:
        """Make the team, or say who is of it from here on: names or ids of people. None: whoever is of it stays so."""
        body = {} if members is None else {"members": list(members)}
        return read((await self._call("PUT", f"/teams/{_part(team)}", json=body)).content, Team)

    async def disband_team(self, team: str) -> None:
        await self._call("DELETE", f"/teams/{_part(team)}")

    async def join_team(self, team: str, person: str) -> Team:
        """Somebody, by their name or id, is of the team from here on."""
        answer = await self._call("PUT", f"/teams/{_part(team)}/members", json={"person": person})
        return read(answer.content, Team)

    async def part_team(self, team: str, person: str) -> None:
        """`person` is an id, as the team has it."""
        await self._call("DELETE", f"/teams/{_part(team)}/members/{_part(person)}")

    # Who may do what with a project

    async def members(self, project: str) -> Members:
        return read((await self._call("GET", f"/models/{_part(project)}/members")).content, Members)

    async def grant(self, project: str, to: str, role: str) -> Members:
        """A person, by their name or id, or `team:NAME` has the role on the project from here on, and no other."""
        path = f"/models/{_part(project)}/members"
        return read((await self._call("PUT", path, json={"to": to, "role": role})).content, Members)

    async def revoke_role(self, project: str, to: str) -> None:
        """`to` is as `members` tells it."""
        await self._call("DELETE", f"/models/{_part(project)}/members/{_part(to)}")

    async def restrict(self, project: str) -> None:
        """Those alone read anything of it from here on who have a role on it, or read all."""
        await self._call("PUT", f"/models/{_part(project)}/private")

    async def open(self, project: str) -> None:
        """Whoever may read may read this, too, from here on."""
        await self._call("DELETE", f"/models/{_part(project)}/private")

    async def erased(self, person: str, *, within: float = _DECIDED_WITHIN) -> Held:
        """What is held about somebody once what they left in the registry is removed as well."""
        deadline = time.monotonic() + within
        while True:
            told = await self.held(person)
            if told.state != "erasing":
                return told
            if time.monotonic() + _PAUSE > deadline:
                raise Unavailable(
                    f"{person} can be read by nobody any more, but what they left in the registry was not removed"
                    f" within {within:g} s",
                    fix=f"it goes on by itself; `placet privacy show {person}` shows when it is done",
                )
            await asyncio.sleep(_PAUSE)

    # How

    async def _call(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        body: Body | None = None,
        headers: Mapping[str, str] | None = None,
        again: bool = True,
        limits: httpx.Timeout = _CALL,
    ) -> httpx.Response:
        """One call and its answer; sent `again` after a passing failure when that does no harm."""
        deadline = time.monotonic() + self._patience
        while True:
            content = body() if body is not None else None
            failure: PlacetError
            try:
                asked = self._http.build_request(
                    method,
                    path,
                    params=params,
                    json=json,
                    content=content,
                    headers=headers,
                    timeout=limits,
                )
                response = await self._whole(asked)
            except httpx.DecodingError as broken:
                raise self._packed_wrongly(broken) from broken
            except httpx.TransportError as lost:
                failure = self._lost(lost)
                passing = not isinstance(lost, httpx.ConnectError | httpx.ConnectTimeout)
            else:
                if response.is_success:
                    return response
                failure = problem(response.status_code, response.headers, response.content)
                passing = response.status_code in PASSING
            await self._rest(failure, until=deadline if again and passing else 0.0)

    async def _whole(self, request: httpx.Request) -> httpx.Response:
        """The answer with its body, which has a bound: who answers may be anybody. Raises Unreadable."""
        response = await self._http.send(request, stream=True)
        try:
            body = bytearray()
            async for piece in response.aiter_bytes(_CHUNK):
                body += piece
                if len(body) > self._most:
                    raise Unreadable(
                        f"{self.connection.url} sends an answer of more than {self._most} bytes",
                        fix="is the address really a placet platform?",
                    )
        finally:
            await response.aclose()
        # Unpacked by now, so what said how it was packed goes.
        headers = [
            (name, value)
            for name, value in response.headers.multi_items()
            if name not in ("content-encoding", "content-length", "transfer-encoding")
        ]
        return httpx.Response(response.status_code, headers=headers, content=bytes(body), request=request)

    @asynccontextmanager
    async def _open(
        self,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        again: bool = True,
        limits: httpx.Timeout = _CALL,
    ) -> AsyncIterator[httpx.Response]:
        """A GET whose body is read as it comes; asked `again` while the platform says that it is away for the moment,
        until it begins to answer."""
        deadline = time.monotonic() + self._patience
        try:
            while True:
                async with self._http.stream(
                    "GET", path, params=params, headers=headers, timeout=limits
                ) as response:
                    if response.is_success:
                        yield response
                        return
                    failure = problem(response.status_code, response.headers, await _beginning(response))
                    passing = response.status_code in PASSING
                await self._rest(failure, until=deadline if again and passing else 0.0)
        except httpx.DecodingError as broken:
            raise self._packed_wrongly(broken) from broken
        except httpx.TransportError as lost:
            raise self._lost(lost) from lost

    async def _download(
        self,
        path: str,
        to: Path,
        *,
        params: Mapping[str, Any] | None = None,
        limits: httpx.Timeout = _CALL,
        most: int | None = None,
    ) -> str:
        """The digest of what was written."""
        found, size = hashlib.sha256(), 0
        async with (
            self._open(
                path, params=params, headers={"Accept-Encoding": "identity"}, limits=limits
            ) as response,
            await anyio.open_file(to, "wb") as file,
        ):
            async for piece in response.aiter_bytes():
                size += len(piece)
                if most is not None and size > most:
                    raise TooLarge(f"what {self.connection.url} sends is longer than {most} bytes")
                found.update(piece)
                await file.write(piece)
        return f"sha256:{found.hexdigest()}"

    async def _stream(
        self, path: str, *, params: Mapping[str, Any] | None = None
    ) -> AsyncGenerator[ServerSentEvent]:
        """Server-sent events without end: when the stream breaks, it is asked for from the last id on."""
        last: str | None = None
        pause = _PAUSE
        connected = False
        deadline = time.monotonic() + self._patience
        while True:
            headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
            if last is not None:
                headers["Last-Event-ID"] = last
            wait = pause
            try:
                async with self._open(path, params=params, headers=headers, again=False) as response:
                    if not response.headers.get("content-type", "").startswith("text/event-stream"):
                        raise Unreadable(f"{self.connection.url} sends no event stream at /v1{path}")
                    connected = True
                    try:
                        async for message in _messages(response).aiter_sse():
                            if not message.data:
                                continue
                            last = message.id if _is_header(message.id) else last
                            pause = pause if message.retry is None else _pause(message.retry)
                            yield message
                    finally:
                        deadline = time.monotonic() + self._patience
            except Unavailable as lost:
                is_absent = isinstance(lost.__cause__, httpx.ConnectError | httpx.ConnectTimeout)
                wait = pause if lost.retry_after is None else lost.retry_after
                if (is_absent and not connected) or time.monotonic() + wait > deadline:
                    raise
                if isinstance(lost, TooMany):
                    self._on_wait(lost, wait)
            await asyncio.sleep(wait)

    async def _rest(self, failure: PlacetError, *, until: float) -> None:
        """Before what failed is tried again. Raises the failure where that would be too late."""
        wait = _PAUSE
        if isinstance(failure, Unavailable) and failure.retry_after is not None:
            wait = max(failure.retry_after, _LEAST_PAUSE)
        if time.monotonic() + wait > until:
            raise failure
        if isinstance(failure, TooMany):
            self._on_wait(failure, wait)
        await asyncio.sleep(wait)

    def _packed_wrongly(self, error: httpx.DecodingError) -> Unreadable:
        return Unreadable(
            f"{self.connection.url} sends what cannot be unpacked: {error}",
            fix="is the address really a placet platform, and nothing in between?",
        )

    def _lost(self, error: httpx.TransportError) -> Unavailable:
        if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
            return no_answer(self.connection, error)
        reason = str(error) or type(error).__name__
        return Unavailable(f"the connection to {self.connection.url} broke: {reason}", fix="try again")


class _Shared(httpx.AsyncBaseTransport):
    """Ends with no client that uses it."""

    def __init__(self, transport: httpx.AsyncBaseTransport) -> None:
        self._transport = transport

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await self._transport.handle_async_request(request)


def _authorities() -> ssl.SSLContext | bool:
    """`SSL_CERT_FILE` counts also where nothing else of the environment does, since no proxy is to be asked."""
    named = os.environ.get("SSL_CERT_FILE")
    return ssl.create_default_context(cafile=named) if named else True


def _no_authorities() -> ssl.SSLContext:
    """For plain HTTP on this machine: reading the system's authorities takes longer than most calls. Trusts nobody."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


class _Ending(httpx.AsyncByteStream):
    """The bytes of a stream of messages, none of which goes on for ever: who sends them may be anybody."""

    def __init__(self, response: httpx.Response) -> None:
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        begun = b""
        async for piece in self._response.aiter_bytes():
            begun = _ENDS.split(begun + piece)[-1]
            if len(begun) > _LINE:
                raise Unreadable(
                    f"{self._response.url} sends a message of more than {_LINE} bytes",
                    fix="is the address really a placet platform?",
                )
            yield piece


def _messages(response: httpx.Response) -> EventSource:
    """Unpacked, and as UTF-8, whatever else it says of itself."""
    return EventSource(
        httpx.Response(200, headers={"Content-Type": "text/event-stream"}, stream=_Ending(response))
    )


def _pause(milliseconds: int) -> float:
    """What a stream asks for, within reason."""
    return max(min(milliseconds, _MOST_PAUSE * 1000) / 1000, _LEAST_PAUSE)


def _is_header(text: str) -> bool:
    """Whether it can be sent back: an id that is none says of nothing where it was."""
    return 0 < len(text) <= _LONGEST_ID and text.isascii() and text.isprintable()


async def _bounded_lines(response: httpx.Response) -> AsyncIterator[str]:
    newlines, rest = io.IncrementalNewlineDecoder(None, translate=True), ""
    async for text in response.aiter_text():
        *whole, rest = (rest + newlines.decode(text)).split("\n")
        for line in whole:
            for part in _parts_of(line):
                yield part
        *parts, rest = _parts_of(rest)
        for part in parts:
            yield part
    if rest := rest + newlines.decode("", final=True):
        yield rest


def _parts_of(line: str) -> Sequence[str]:
    """At least one, which may be empty."""
    return [line[at : at + _LONGEST_LINE] for at in range(0, max(1, len(line)), _LONGEST_LINE)]


async def _beginning(response: httpx.Response) -> bytes:
    """Of a problem's document, all; of what only looks like one, enough."""
    body = b""
    async for piece in response.aiter_bytes(_LINE):
        body += piece
        if len(body) >= _LINE:
            break
    return body


def _part(value: str) -> str:
    """One segment of a path, whatever characters a user has typed."""
    return quote(value, safe=":")


def _quota_path(team: str | None, project: str | None) -> str:
    if (team is None) == (project is None):
        raise TypeError("a quota is a team's or a project's")
    return f"/quotas/teams/{_part(team)}" if team is not None else f"/quotas/projects/{_part(project or '')}"


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


async def _entities(documents: AsyncIterator[dict[str, Any]]) -> AsyncIterator[Entity]:
    async for each in documents:
        yield Entity.of(each)


def _converted(document: Any, kind: type[T]) -> T:
    """Raises Unreadable."""
    try:
        return msgspec.convert(document, kind)
    except msgspec.ValidationError as unfit:
        raise Unreadable(
            f"the platform's answer is not what it has to be: {unfit}",
            fix="is the address really a placet platform, and of this version?",
        ) from unfit


def _number(header: str | None) -> int | None:
    return int(header) if header is not None and header.isdecimal() else None


async def _in_pieces(file: Path, sent: Callable[[int], None] | None) -> tuple[int, Body]:
    """A file's size in bytes, and what reads it from disk piece by piece, each time that it is sent."""

    async def pieces() -> AsyncIterator[bytes]:
        gone = 0
        async with await anyio.open_file(file, "rb") as opened:
            while piece := await opened.read(_CHUNK):
                yield piece
                gone += len(piece)
                if sent is not None:
                    sent(gone)

    return (await anyio.Path(file).stat()).st_size, pieces
