"""The audit log, and what it answers: what happened, why a model was allowed to run, and how all was at a time."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

from starlette.responses import Response

from placet.client import Approval, Entity, EventsPage
from placet.errors import PlacetError, Unreadable
from placet.gateway.console.views import day, moment, short
from placet.gateway.console.visits import Visit
from placet.gateway.erasing import ERASERS

_PAGE = 100
_MODELS = 50
_ENTITIES = 500
"""Of one kind, on one page: of more the rest is counted."""
_NAMED = 20
"""People whose names are asked for, one by one."""
_VERSIONED = re.compile(r"\.v[0-9]+$")
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
    "advisories": "Advisories",
    "key": "Keys",
    "token": "Tokens",
    "image": "Images",
    "run": "Runs",
    "incident": "Incidents",
    "review": "Reviews",
}
"""Those that people ask for first; others come behind them by name."""


async def log(visit: Visit) -> Response:
    page = await page_of_events(visit, project=visit.said("project"), type=visit.said("type"))
    return visit.page(
        "audit.html",
        tab="log",
        events=page.events,
        next=page.next,
        like=None if (said := visit.said("type")) is None else types_like(said),
        is_newest=visit.said("before") is None,
    )


async def page_of_events(visit: Visit, *, project: str | None = None, type: str | None = None) -> EventsPage:
    """Newest first, before the position that the address names, and between its times."""
    before = visit.said("before")
    if before is not None and not (_is_number(before) and 0 < int(before) < LAST):
        raise Unreadable("before= is no position of the log", fix="go on from the first page")
    return await visit.ask.events_before(
        LAST if before is None else int(before),
        project=project,
        type=None if type is None else types_like(type),
        since=_moment(visit, "since"),
        until=_moment(visit, "until"),
        limit=_PAGE,
    )


async def why(visit: Visit) -> Response:
    """Of a project, and a time: now, unless another is given."""
    project, at = visit.said("project"), _moment(visit, "at")
    found, failed = None, None
    approvals: dict[str | None, Approval] = {}
    if project is not None:
        try:
            found = await visit.ask.why(project, at=None if at is None else at.isoformat())
        except PlacetError as error:
            failed = error
    if found is not None and found.approvals:
        with suppress(PlacetError):  # they are said without names, then
            awaited = await visit.ask.awaited(found.project)
            approvals = {each.approval: each for one in awaited for each in one.approvals}
    return visit.page(
        "audit_why.html",
        tab="why",
        project=project,
        at=visit.said("at"),
        found=found,
        approvals=approvals,
        failed=failed,
    )


async def then(visit: Visit) -> Response:
    """How all was, at a position of the log or at a time, and without either as it is: the models, and what belongs to
    no project; or everything that is one project's."""
    newest = await visit.ask.events_before(LAST, limit=1)
    head = newest.events[0]["sequence"] if newest.events else 0
    at, wanted = _moment(visit, "at"), visit.said("position")
    position = head if wanted is None else _position(wanted, head)
    asked: dict[str, Any] = {"at": at.isoformat()} if at is not None else {"position": position}
    project = visit.said("project")
    state, models, failed = None, None, None
    found = _Found()
    try:
        if head:
            if project is None:
                models = await visit.ask.projects_then(**asked, after=visit.said("after"), limit=_MODELS)
            if models is None or visit.said("after") is None:
                async with visit.ask.state(**asked, project=project, own=project is None) as answer:
                    state = answer.as_of
                    async for entity in answer.entities:
                        found.add(entity)
    except PlacetError as error:
        failed = error
    as_of = state or (models.as_of if models else None)
    if at is not None and as_of is not None:  # read up to the end, for what is of that time
        upto = await visit.ask.events_before(LAST, until=datetime.fromisoformat(as_of.at), limit=1)
        position = upto.events[0]["sequence"] if upto.events else 0
    elif as_of is not None:
        position = as_of.position
    return visit.page(
        "audit_then.html",
        tab="then",
        head=head,
        position=position,
        at=visit.said("at"),
        project=project,
        as_of=as_of,
        models=models,
        failed=failed,
        found=found,
        titles=KINDS,
        may_name=not ERASERS.isdisjoint(visit.me.roles),
        called=partial(_called, await _names(visit, found.shown.get("token", []))),
    )


@dataclass(kw_only=True)
class _Found:
    """What was so, by kind: how much of it, in which states, and the first of it."""

    counts: Counter[str] = field(default_factory=Counter)
    states: Counter[tuple[str, str]] = field(default_factory=Counter)
    shown: dict[str, list[Entity]] = field(default_factory=dict)

    def add(self, entity: Entity) -> None:
        self.counts[entity.kind] += 1
        self.states[entity.kind, entity.state] += 1
        of_kind = self.shown.setdefault(entity.kind, [])
        if len(of_kind) < _ENTITIES:
            of_kind.append(entity)

    @property
    def kinds(self) -> list[str]:
        """Those first that people ask for first."""
        first = list(KINDS)
        return sorted(self.shown, key=lambda kind: (first.index(kind) if kind in KINDS else len(first), kind))


async def _names(visit: Visit, tokens: Sequence[Entity]) -> dict[str, str]:
    """Of people whose tokens are shown, for whom the platform tells of others, and of oneself; of so many at most. The
    log itself holds ids alone, and who was erased has no name any more."""
    names = {visit.me.person: visit.me.name} if visit.me.name else {}
    if ERASERS.isdisjoint(visit.me.roles):
        return names
    persons = list(dict.fromkeys(str(each.facts.get("person")) for each in tokens))
    for person in [each for each in persons if each not in names][:_NAMED]:
        with suppress(PlacetError):
            held = await visit.ask.held(person)
            names |= {person: held.name} if held.name else {}
    return names


def _called(names: Mapping[str, str], entity: Entity) -> str:
    """By what people know it, beside its id."""
    facts = entity.facts
    match entity.kind:
        case "token":
            person = str(facts.get("person") or "somebody")
            whose = names.get(person, f"person {short(person.removeprefix('person:'))}")
            until = day(facts.get("expires"))
            roles = ", ".join(facts.get("roles") or ()) or "no role"
            return f"{whose}: {roles}" + (f", until {until}" if until else "")
        case "key":
            since = day(facts.get("since"))
            return f"signs since {since}" if since else "the first key"
        case "policy":
            name, version = facts.get("title") or facts.get("policy") or "", facts.get("version")
            return f"{name}, version {version}" if version else name
        case "approval":
            roles = ", ".join(facts.get("roles") or ())
            return f"given as {roles}, {moment(facts.get('givenAt'))}"
        case "exception":
            until = day(facts.get("until"))
            return str(facts.get("rule") or "") + (f", until {until}" if until else "")
        case "certificate":
            return f"until {day(facts.get('notAfter'))}" if facts.get("notAfter") else ""
        case _:
            return str(facts.get("title") or facts.get("policy") or facts.get("rule") or "")


def types_like(said: str) -> str:
    """What REST is asked for. The log shows `certificate.issued` of `placet.certifier.certificate.issued.v1`, so that
    is what people write into its filter; whoever writes the whole, or a pattern, means it as it is."""
    said = said.strip()
    if "*" in said or said.startswith("placet."):
        return said
    return f"placet.*.{said}" if _VERSIONED.search(said) else f"placet.*.{said}.v*"


def _is_number(said: str) -> bool:
    """Of no more digits than a position has: Python reads no numbers of thousands."""
    return said.isascii() and said.isdigit() and len(said) <= len(str(LAST))


def _position(said: str, head: int) -> int:
    if not _is_number(said):
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
