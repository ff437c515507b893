"""What was so at another time, over HTTP: the state of the platform, why a model was allowed to run, and lists of both.

For compliance, auditors and admins. A time is in RFC 3339, or a day, which is meant up to its end in UTC.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic.json_schema import SkipJsonSchema

from placet.errors import Unknown, Unreadable
from placet.events import Clock
from placet.events.codec import moment, timestamp
from placet.events.contracts import certifier, deployer, gateway
from placet.events.described import all_of, answers, errors, text
from placet.events.envelope import PLATFORM
from placet.events.json_route import JsonRoute
from placet.events.known_fields import known_parameters
from placet.metadata import answers as shapes
from placet.metadata.access import ERRORS, Reader
from placet.metadata.api import ENCODER, JSONL, MAX_POSITION, Limit
from placet.metadata.entities import State
from placet.metadata.histories import Histories, Told, Until, end_of
from placet.metadata.history import types_of
from placet.metadata.history_standing import Standings, document, documents
from placet.metadata.moments import day, is_day, time
from placet.metadata.why import LATER, answer, known_later, last_position, subject_of

MOST_LATER = 100
MOST_ROUNDS = 20
LINES = 500
"""Entities of a state that are written at once."""

Project = Annotated[str | None, Query(max_length=40, pattern=r"^[a-z][a-z0-9-]{1,38}[a-z0-9]$")]
Release = Annotated[int | None, Query(ge=1, le=2**31 - 1)]
Position = Annotated[int | None, Query(ge=1, le=MAX_POSITION)]
When = Annotated[
    str | SkipJsonSchema[None],
    Query(
        max_length=40,
        pattern=r"^[ -~]+$",
        json_schema_extra={"anyOf": [{"format": "date-time"}, {"format": "date"}]},
        description="a time in RFC 3339, or a day: up to its end in UTC",
    ),
]
Cursor = Annotated[
    str | None, Query(max_length=200, pattern=r"^[ -~]+$", description="the `next` of the page before")
]

_EXCEPTIONS = types_of(
    gateway.ExceptionRequested,
    gateway.ExceptionGranted,
    gateway.ExceptionWithdrawn,
    certifier.CertificateIssued,
    certifier.CertificateUpheld,
)
_APPROVALS = types_of(
    gateway.ApprovalGiven,
    gateway.ReviewGiven,
    certifier.ApprovalAwaited,
    certifier.CertificateIssued,
    certifier.ReviewOwed,
)
_CERTIFICATES = types_of(
    certifier.CertificateIssued,
    certifier.CertificateSuspended,
    certifier.CertificateReinstated,
    certifier.CertificateRevoked,
    certifier.CertificateExpired,
    deployer.ModelStarted,
    deployer.ModelStopped,
    deployer.ModelDeleted,
    deployer.ModelFailed,
    deployer.ModelQuarantined,
)


def router(*, auditor: Reader, histories: Histories, clock: Clock) -> APIRouter:
    api = APIRouter(
        prefix="/v1/audit",
        route_class=JsonRoute,
        tags=["audit"],
        responses=ERRORS,
        dependencies=[Depends(auditor), Depends(known_parameters)],
    )

    @api.get(
        "/state", response_model=None, responses=all_of(answers(shapes.State), text(JSONL)) | errors(Unknown)
    )
    async def get_state(
        at: When = None,
        position: Position = None,
        project: Project = None,
        release: Release = None,
        own: Annotated[
            bool, Query(description="only what belongs to no project: policies, keys, tokens …")
        ] = False,
        after: Cursor = None,
        limit: Limit = 100,
        accept: Annotated[str, Header()] = "",
    ) -> Response:
        """Everything that was so at a position of the log, or at a time: what events had said by then, one entity after
        the other, each fact with the position that said it. Without either, as it is now.

        As `application/jsonl` all of it, one entity a line behind one that says of when it is; otherwise a page.
        """
        if release is not None and project is None:
            raise Unreadable("a release is one of a project", fix="give project with it")
        if own and project is not None:
            raise Unreadable("what belongs to no project is of none", fix="give one of own and project")
        now = clock.now()
        until = _asked(at, position)
        told = await (
            histories.state_of((PLATFORM,), until, now)
            if own
            else histories.state(until, now, project=project)
        )
        await _must_be_known(histories, project, told.state)
        if release is not None and not list(told.state.in_order(project=project, release=release)):
            await _must_be_asked_for(histories, project, release, now)
        head = _head(told, at, now)
        if JSONL in accept:
            lines = _lines(head, documents(told.state, told.at, project=project, release=release))
            return StreamingResponse(lines, media_type=JSONL)
        entities = told.state.in_order(project=project, release=release)
        page, following = _page(entities, lambda each: " ".join(map(str, each.key)), after, limit)
        standings = Standings(told.state, told.at)
        shown = [document(each, standings) for each in page]
        return JSONResponse({**head, "entities": shown, "next": following})

    @api.get("/projects", response_model=None, responses=answers(shapes.Projects) | errors(Unknown))
    async def get_projects(
        at: When = None, position: Position = None, after: Project = None, limit: Limit = 100
    ) -> JSONResponse:
        """The projects that the log had spoken of by a position, or a time, by name, each as its model stood then: as
        in a state, with `certificateState`, and how many `releases` it had. `next` is the `after` of the page that
        follows; where many projects came later, a page may have fewer than `limit` before there is a next one."""
        now, until = clock.now(), _asked(at, position)
        names = [after or ""]
        shown: list[dict[str, Any]] = []
        told: Told | None = None
        for _ in range(MOST_ROUNDS):
            names = await histories.projects(names[-1], limit - len(shown))
            told = await histories.state_of(names, until, now)
            shown += _models(told)
            if not names or len(shown) >= limit:
                break
        assert told is not None  # noqa: S101 - there is at least one round
        return JSONResponse({**_head(told, at, now), "projects": shown, "next": names[-1] if names else None})

    @api.get("/why", response_model=None, responses=answers(shapes.Why) | errors(Unknown))
    async def get_why(
        project: Annotated[str, Query(max_length=40, pattern=r"^[a-z][a-z0-9-]{1,38}[a-z0-9]$")],
        at: When = None,
    ) -> JSONResponse:
        """Whether a project's model was allowed to run at a time, and on what that stands: release, certificate,
        policies, verdicts, recorded inputs, approvals, exceptions, assessments; what was known against it then, and
        what became known only later. Each statement has its position; `checkpoint` is the size of the first that
        covers all."""
        now = clock.now()
        told = await histories.state(_asked(at, None), now, project=project, with_platform=True)
        first = await histories.first_of(project)
        if first is None:
            raise Unknown(
                f"the log has no event of a project called {project!r}", fix="see `placet list --all`"
            )
        found = answer(told.state, project, told.at)
        subject = subject_of(told.state, project)
        later: list[dict[str, Any]] = []
        pages = histories.said(
            types_of(*LATER), projects=(project, PLATFORM), until=told.position, since=told.at
        )
        async for page in pages:
            later += known_later(subject, page, told.at)
            if len(later) > MOST_LATER:
                break
        last = max(last_position(found), last_position(later[:MOST_LATER]))
        return JSONResponse(
            {
                **found,
                # Whether it will have run is nobody's to know.
                "ran": None if told.at > now else found["ran"],
                "asked": at,
                "note": _note(at, told, now, first),
                "later": later[:MOST_LATER],
                "moreLater": len(later) > MOST_LATER,
                "lookedUpTo": told.position,
                "unread": list(told.unread),
                "lastPosition": last,
                "checkpoint": await histories.covered(last) if last else None,
            }
        )

    @api.get("/approvals", response_model=None, responses=answers(shapes.Approvals) | errors(Unknown))
    async def get_approvals(
        project: Project = None,
        release: Release = None,
        at: When = None,
        after: Cursor = None,
        limit: Limit = 100,
    ) -> JSONResponse:
        """Who approved which release, in which roles, when, and which certificates counted that; and who looked at what
        was certified in haste. Oldest first, by position."""
        now = clock.now()
        told = await histories.state(_asked(at, None), now, project=project, types=_APPROVALS)
        await _must_be_known(histories, project, told.state)
        both = [*told.state.all("approval"), *told.state.all("review")]
        wanted = sorted(
            (each for each in both if release in (None, each.release)), key=lambda each: each.position()
        )
        if release is not None and not wanted:
            await _must_be_asked_for(histories, project, release, now)
        page, following = _page(wanted, lambda each: f"{each.position():020d}", after, limit)
        standings = Standings(told.state, told.at)
        shown = [document(each, standings) for each in page]
        return JSONResponse({**_head(told, at, now), "approvals": shown, "next": following})

    @api.get("/exceptions", response_model=None, responses=answers(shapes.Exceptions) | errors(Unknown))
    async def get_exceptions(
        at: When = None,
        project: Project = None,
        state: Annotated[str | None, Query(pattern="^(requested|granted|withdrawn|expired)$")] = None,
        after: Cursor = None,
        limit: Limit = 100,
    ) -> JSONResponse:
        """Exceptions as they stood at a time: `state` is requested, granted (in force), withdrawn or expired, and
        `usedBy` the certificates that were issued on each. In the order in which they were asked for."""
        now = clock.now()
        told = await histories.state(_asked(at, None), now, project=project, types=_EXCEPTIONS)
        await _must_be_known(histories, project, told.state)
        standings = Standings(told.state, told.at)
        wanted = sorted(
            (each for each in told.state.all("exception") if state in (None, standings.of(each)[0])),
            key=lambda each: each.position(),
        )
        page, following = _page(wanted, lambda each: f"{each.position():020d}", after, limit)
        shown = [document(each, standings) for each in page]
        return JSONResponse({**_head(told, at, now), "exceptions": shown, "next": following})

    @api.get(
        "/expiring", response_model=None, responses=answers(shapes.ExpiringCertificates) | errors(Unknown)
    )
    async def get_expiring(
        within: Annotated[int, Query(ge=60, le=366 * 86400, description="in seconds")] = 30 * 86400,
        at: When = None,
        project: Project = None,
        after: Cursor = None,
        limit: Limit = 100,
    ) -> JSONResponse:
        """Certificates that stand at a time and end within so many seconds of it, the first to end first. `serves` says
        whether a model was live on it, `renewedBy` which took its place already."""
        now = clock.now()
        told = await histories.state(_asked(at, None), now, project=project, types=_CERTIFICATES)
        await _must_be_known(histories, project, told.state)
        standings = Standings(told.state, told.at)
        wanted = sorted(
            (
                each
                for each in told.state.all("certificate")
                if each.get("notAfter") is not None
                and standings.of(each)[0] in ("valid", "suspended")
                # The other way round there may be no such time, at the end of all years.
                and moment(each.get("notAfter")) - told.at <= timedelta(seconds=within)
            ),
            key=lambda each: (each.get("notAfter"), each.id),
        )
        page, following = _page(wanted, lambda each: f"{each.get('notAfter')} {each.id}", after, limit)
        shown = [
            {
                "certificate": each.id,
                "project": each.project,
                "release": each.release,
                "state": standings.of(each)[0],
                "notAfter": each.get("notAfter"),
                "left": int((moment(each.get("notAfter")) - told.at).total_seconds()),
                "renewedBy": each.get("renewedBy"),
                "serves": _serves(told.state, each.project, each.id),
                "position": each.position("issuedAt"),
            }
            for each in page
        ]
        return JSONResponse({**_head(told, at, now), "certificates": shown, "next": following})

    return api


def _models(told: Told) -> list[dict[str, Any]]:
    standings = Standings(told.state, told.at)
    releases = Counter(each.project for each in told.state.all("release"))
    shown = []
    for each in sorted(told.state.all("project"), key=lambda each: each.id):
        certificate = told.state.find("certificate", each.get("certificate") or "")
        stands = None if certificate is None else standings.of(certificate)[0]
        added = {"certificateState": stands, "releases": releases[each.id]}
        shown.append({**document(each, standings), **added})
    return shown


def _serves(state: State, project: str | None, certificate: str) -> bool:
    of = state.find("project", project or "")
    return of is not None and of.get("live") is not None and of.get("certificate") == certificate


def _asked(at: str | None, position: int | None) -> Until:
    if at is not None and position is not None:
        raise Unreadable("a state is of a time or of a position", fix="give one of at and position")
    return Until(at=None if at is None else _moment(at), position=position)


def _moment(text: str) -> datetime:
    """A day is meant up to its end, since an answer of the morning would leave out what happened that day."""
    try:
        found_day = day(text)
        if found_day is not None:
            return end_of(found_day)
        found = time(text)
        timestamp(found)
    except (ValueError, OverflowError) as error:
        raise Unreadable(
            f"{text!r} is neither a time with its zone nor a day",
            fix="write 2026-03-01T12:00:00Z, or 2026-03-01",
        ) from error
    return found


async def _must_be_known(histories: Histories, project: str | None, state: State) -> None:
    """A mistyped name is not a project without a history."""
    if project is None or state.events:
        return
    if await histories.first_of(project) is None:
        raise Unknown(f"the log has no event of a project called {project!r}", fix="see `placet list --all`")


async def _must_be_asked_for(histories: Histories, project: str | None, release: int, now: datetime) -> None:
    """Nor is a number that no release has one of which nothing was said yet."""
    if project is None:
        return
    told = await histories.state(Until(), now, project=project)
    numbers = [each.release or 0 for each in told.state.all("release") if each.project == project]
    if release not in numbers:
        raise Unknown(
            f"the log has no release {release} of {project}",
            fix=f"the newest is {max(numbers)}" if numbers else "see `placet list --all`",
        )


def _head(told: Told, at: str | None, now: datetime) -> dict[str, Any]:
    """Of when it is, on how much of the log it stands, and what whoever asked may have meant otherwise."""
    return {
        "at": timestamp(told.at),
        "asked": at,
        "position": told.position,
        "unread": list(told.unread),
        "note": _note(at, told, now),
    }


def _note(at: str | None, told: Told, now: datetime, first: int | None = None) -> str | None:
    said = []
    if is_day(at):
        said.append(f"{at} is taken up to its end in UTC")
    if told.at > now:
        said.append("that is still to come: what is told is as if nothing more happened until then")
    if first is not None and not told.state.events:
        said.append(f"nothing was known of it by then: the log speaks of it first at position {first}")
    if told.unread:
        said.append(f"the log has events that this service cannot read: {', '.join(told.unread)}; upgrade it")
    return "; ".join(said) or None


def _page(
    entities: Sequence[Any], cursor: Callable[[Any], str], after: str | None, limit: int
) -> tuple[Sequence[Any], str | None]:
    """Those behind the one that the page before ended with."""
    first = 0
    if after is not None:
        place = next((place for place, each in enumerate(entities) if cursor(each) == after), None)
        if place is None:
            raise Unreadable(f"no page ends with {after!r}", fix="give the `next` of the page before")
        first = place + 1
    page = entities[first : first + limit]
    return page, cursor(page[-1]) if first + limit < len(entities) else None


async def _lines(head: dict[str, Any], documents: Iterable[dict[str, Any]]) -> AsyncIterator[bytes]:
    yield ENCODER.encode_lines([{"kind": "log", **head}])
    for batch in _batches(documents):
        yield ENCODER.encode_lines(batch)


def _batches(documents: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    batch: list[dict[str, Any]] = []
    for each in documents:
        batch.append(each)
        if len(batch) == LINES:
            yield batch
            batch = []
    yield batch
