"""The audit log, and what it answers: what happened, why a model was allowed to run, and how all was at a time."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

from starlette.responses import Response

from placet.client import EventsPage
from placet.errors import PlacetError, Unreadable
from placet.gateway.console.visits import Visit

_PAGE = 100
_ENTITIES = 500
"""Of one kind, on one page: of more the rest is counted."""
LAST = 2**53
"""No log has such a position."""
KINDS = {
    "project": "Projects",
    "release": "Releases",
    "certificate": "Certificates",
    "policy": "Policies",
    "approval": "Approvals",
    "exception": "Exceptions",
    "assessment": "Assessments",
}
"""Those that people ask for first; others come behind them by name."""


async def log(visit: Visit) -> Response:
    page = await page_of_events(visit, project=visit.said("project"), type=visit.said("type"))
    return visit.page(
        "audit.html",
        tab="log",
        events=page.events,
        next=page.next,
        is_newest=visit.said("before") is None,
    )


async def page_of_events(visit: Visit, *, project: str | None = None, type: str | None = None) -> EventsPage:
    """Newest first, before the position that the address names, and between its times."""
    before = visit.said("before")
    if before is not None and not (before.isascii() and before.isdigit() and 0 < int(before) < LAST):
        raise Unreadable("before= is no position of the log", fix="go on from the first page")
    return await visit.ask.events_before(
        LAST if before is None else int(before),
        project=project,
        type=type,
        since=_moment(visit, "since"),
        until=_moment(visit, "until"),
        limit=_PAGE,
    )


async def why(visit: Visit) -> Response:
    """Of a project, and a time: now, unless another is given."""
    project, at = visit.said("project"), _moment(visit, "at")
    found, failed = None, None
    if project is not None:
        try:
            found = await visit.ask.why(project, at=None if at is None else at.isoformat())
        except PlacetError as error:
            failed = error
    return visit.page(
        "audit_why.html", tab="why", project=project, at=visit.said("at"), found=found, failed=failed
    )


async def then(visit: Visit) -> Response:
    """Everything that was so, at a position of the log or at a time; without either as it is."""
    newest = await visit.ask.events_before(LAST, limit=1)
    head = newest.events[0]["sequence"] if newest.events else 0
    at, wanted = _moment(visit, "at"), visit.said("position")
    position = head if wanted is None else _position(wanted, head)
    state, failed = None, None
    counts: Counter[str] = Counter()
    states: Counter[tuple[str, str]] = Counter()
    shown: dict[str, list[object]] = {}
    try:
        asked = {"position": position} if at is None else {"at": at.isoformat()}
        async with visit.ask.state(**asked, project=visit.said("project")) as answer:
            state = answer.as_of
            async for entity in answer.entities:
                counts[entity.kind] += 1
                states[entity.kind, entity.state] += 1
                of_kind = shown.setdefault(entity.kind, [])
                if len(of_kind) < _ENTITIES:
                    of_kind.append(entity)
    except PlacetError as error:
        failed = error
    return visit.page(
        "audit_then.html",
        tab="then",
        head=head,
        position=position if state is None else state.position,
        at=visit.said("at"),
        project=visit.said("project"),
        as_of=state,
        failed=failed,
        counts=counts,
        states=states,
        kinds=sorted(
            shown, key=lambda kind: (list(KINDS).index(kind) if kind in KINDS else len(KINDS), kind)
        ),
        titles=KINDS,
        shown=shown,
    )


def _position(said: str, head: int) -> int:
    if not (said.isascii() and said.isdigit()) or len(said) > len(str(LAST)):
        raise Unreadable("position= is no position of the log", fix="move the slider")
    return max(1, min(int(said), head))


def _moment(visit: Visit, name: str) -> datetime | None:
    """A time that a page's field gave: local fields have no zone, and mean UTC here."""
    said = visit.said(name)
    if said is None:
        return None
    try:
        at = datetime.fromisoformat(said)
    except ValueError as error:
        raise Unreadable(f"{name}: {said!r} is no time", fix="write it as 2026-11-29T12:00") from error
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)
