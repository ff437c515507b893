"""The audit log over HTTP: `/v1/events` for who follows, `/v1/audit/entries` for who checks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Header, Query
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic.json_schema import SkipJsonSchema
from sse_starlette import EventSourceResponse, ServerSentEvent

from placet.errors import Unknown, Unreadable
from placet.events import Recorded
from placet.events.described import all_of, answers, errors, file, text
from placet.events.json_route import JsonRoute
from placet.events.known_fields import known_parameters
from placet.events.store import EventStore
from placet.metadata import answers as shapes
from placet.metadata.access import ERRORS, LOOK_EVERY, Onlookers, Reader, must_read
from placet.metadata.following import Overtaken, Tail
from placet.metadata.moments import Moment
from placet.metadata.projections import AUDIT
from placet.metadata.queries import BackPage, Filter, Page, Queries, entry, is_hidden, shown
from placet.trust.tokens import Token

MAX_POSITION = 2**63 - 1


JSONL = "application/jsonl"
ENCODER = msgspec.json.Encoder()

Limit = Annotated[int, Query(ge=1, le=1000)]
After = Annotated[int, Query(ge=0, le=MAX_POSITION)]
Text = Annotated[str | None, Query(max_length=100, pattern=r"^[ -~]+$")]


def router(
    *, reader: Reader, onlookers: Onlookers, queries: Queries, store: EventStore, tail: Tail
) -> APIRouter:
    api = APIRouter(
        prefix="/v1",
        route_class=JsonRoute,
        tags=["audit"],
        responses=ERRORS,
        dependencies=[Depends(reader), Depends(known_parameters)],
    )
    caller = Depends(reader)

    @api.get(
        "/events",
        response_model=None,
        responses=all_of(answers(shapes.Events), file("text/event-stream")) | errors(Unknown),
    )
    async def get_events(
        after: After = 0,
        before: Annotated[
            int | None, Query(ge=1, le=MAX_POSITION, description="those before this position, newest first")
        ] = None,
        limit: Limit = 100,
        type: Text = None,
        project: Text = None,
        since: Moment = None,
        until: Moment = None,
        follow: bool = False,
        accept: Annotated[str, Header()] = "",
        last_event_id: Annotated[
            str | SkipJsonSchema[None], Header(json_schema_extra={"pattern": "^[0-9]{1,18}$"})
        ] = None,
        who: Token = caller,
    ) -> JSONResponse | EventSourceResponse:
        """Every event of every service, oldest first; `type` may hold `*`. Server-sent events when asked for.

        With `before` the newest first, and `next` is the position to go on before, or null at the log's beginning.
        `since` and `until` are times in RFC 3339, both within. A stream ends with an event `end` for one who reads so
        slowly that what he has not read is in memory no more: he goes on by `Last-Event-ID`. It ends without a word for
        one whose token was revoked or is over. Who is ahead of the log has 404.
        What is of a private project is told to those who have a role on it, or read all.
        """
        hidden = await queries.hidden_from(who)
        if project is not None:
            must_read(project, hidden)
        wanted = Filter(type=type, project=project, since=since, until=until, hidden=hidden)
        begin = _resume(last_event_id, after)
        if follow or "text/event-stream" in accept:
            await _must_be_there(begin)
            return EventSourceResponse(_follow(begin, replace(wanted, hidden=frozenset()), who), ping=15)
        page: Page | BackPage
        if before is not None:
            page = await queries.events_before(before, limit, wanted)
        else:
            page = await queries.events(after, limit, wanted)
        return JSONResponse({"events": [shown(each) for each in page.events], "next": page.next})

    async def _must_be_there(position: int) -> None:
        """Who is ahead of the log followed another one, or one that was restored from an older copy since: he would
        wait without a word until it is as long, and miss what it says meanwhile."""
        head = await queries.head()
        if position > head:
            raise Unknown(
                f"the audit log ends at position {head}, and position {position} is still to come",
                fix=f"follow what comes behind position {head}; if it was longer once, it was restored: see"
                " `placet audit verify`",
            )

    async def _follow(after: int, wanted: Filter, who: Token) -> AsyncIterator[bytes | ServerSentEvent]:
        try:
            with onlookers.reading(who):
                async with aclosing(tail.follow(after, wanted, is_patient=False, beat=LOOK_EVERY)) as pages:
                    async for page in pages:
                        hidden = await onlookers.hidden_from(who, page.next)
                        if hidden is None:
                            return
                        told = [each for each in page.events if not is_hidden(each, hidden)]
                        if told:
                            yield b"".join(tail.once(each, _message) for each in told)
        except Overtaken as overtaken:
            problem = {"detail": "you read too slowly", "fix": f"go on with Last-Event-ID: {overtaken.after}"}
            yield ServerSentEvent(event="end", data=msgspec.json.encode(problem).decode(), retry=1000)

    @api.get("/audit/entries", response_model=None, responses=all_of(answers(shapes.Entries), text(JSONL)))
    async def get_entries(
        after: After = 0,
        until: Annotated[int | None, Query(ge=1, le=MAX_POSITION)] = None,
        limit: Limit = 100,
        project: Text = None,
        accept: Annotated[str, Header()] = "",
        who: Token = caller,
    ) -> Response:
        """Entries with their places in this log and in their producer's, each event's bytes as they were hashed.

        As `application/jsonl` all that there are behind `after`, up to and with `until`, one a line; otherwise a page.
        Without a project it is for those from whom none is hidden; the lines end early for one who is none of them any
        more, or whose token was revoked or is over.
        """
        hidden = await queries.hidden_from(who)
        must_read(project, hidden)
        if JSONL in accept:
            if project is not None:
                raise Unreadable("as lines the log is whole", fix="leave project out, or ask for JSON")
            return StreamingResponse(_lines(after, until, who), media_type=JSONL)
        page = await queries.events(after, limit, Filter(project=project, hidden=hidden))
        began_after = await queries.began_after()
        entries = [
            entry(each, began_after) for each in page.events if until is None or each.position <= until
        ]
        document = {"entries": entries, "next": page.next, "head": await queries.head()}
        return Response(msgspec.json.encode(document), media_type="application/json")

    async def _lines(after: int, until: int | None, who: Token) -> AsyncIterator[bytes]:
        began_after: dict[str, int] = {}
        with onlookers.reading(who):
            async with aclosing(store.replay(after, log=AUDIT)) as pages:
                async for page in pages:
                    if page and await onlookers.hidden_from(who, page[-1].position) != frozenset():
                        return
                    if any(each.stream not in began_after for each in page):
                        began_after = await queries.began_after()
                    entries = [
                        entry(each, began_after) for each in page if until is None or each.position <= until
                    ]
                    yield ENCODER.encode_lines(entries)
                    if len(entries) < len(page):
                        return

    return api


def _message(recorded: Recorded[Any]) -> bytes:
    data = msgspec.json.encode(shown(recorded)).decode()
    return ServerSentEvent(event="event", id=str(recorded.position), data=data).encode()


def _resume(last_event_id: str | None, after: int) -> int:
    if last_event_id is None:
        return after
    if not last_event_id.isdecimal() or len(last_event_id) > 18:
        raise Unreadable(
            f"Last-Event-ID {last_event_id[:100]!r} is no position of this log",
            fix="send the id of the last event that came, or none",
        )
    return int(last_event_id)
