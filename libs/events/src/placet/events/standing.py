"""How a service stands: what it hears and how far it is behind, what it has yet to send, its work, and what is parked.

Read from the service's own database, so that every replica tells the same; only what its leader alone knows (how far
the others have come) is none elsewhere. What messages say is never told, only how many they are and how old.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from placet.errors import Unavailable
from placet.events import tables
from placet.events.codec import timestamp
from placet.events.projection import progress_of
from placet.events.service import ServiceRunner
from placet.events.store import EVENTS

Found = Mapping[str, Sequence[sa.Row[Any]]]
"""The rows of `_ASKED` by their `part`."""


async def standing(runner: ServiceRunner) -> dict[str, Any]:
    """The document of one service; `ready` and `why` as `/readyz` has them, also while its database is away."""
    service = runner.service
    why = runner.impediment
    told: dict[str, Any] = {
        "service": service.name,
        "ready": runner.is_started and why is None,
        "why": why,
        "hampered": [{"what": what, "why": told} for what, told in sorted(runner.hampered.items())],
        "leads": runner.is_leading,
    }
    try:
        found = await _found(runner)
        logs = {EVENTS, *(each.log for each in service.projections)}
        heads = {log: (await service.wiring.store.head(log)).position for log in sorted(logs)}
        outbox = await _outbox(runner, found, heads[EVENTS])
    except Unavailable as error:
        nothing: dict[str, Any] = {"parked": None, "outbox": None, "hears": [], "jobs": [], "projections": []}
        return {**told, "ready": False, "why": why or str(error), **nothing}
    return {
        **told,
        "parked": sum(each.number for part in ("parked", "strays") for each in found[part]),
        "outbox": outbox,
        "hears": _hears(runner, found),
        "jobs": _jobs(runner, found),
        "projections": _projections(runner, found, heads),
    }


def _part(
    part: str | sa.ColumnElement[str],
    name: sa.ColumnElement[str],
    number: sa.ColumnElement[int],
    *,
    second: sa.ColumnElement[Any] | None = None,
    third: sa.ColumnElement[Any] | None = None,
    at: sa.ColumnElement[Any] | None = None,
) -> sa.Select[Any]:
    """One part of all that is asked: what each row is of, a name, up to three numbers and a time."""
    columns: list[sa.ColumnElement[Any]] = [
        (sa.literal(part) if isinstance(part, str) else part).label("part"),
        name.label("name"),
        sa.cast(number, sa.BigInteger).label("number"),
        sa.cast(sa.null() if second is None else second, sa.BigInteger).label("second"),
        sa.cast(sa.null() if third is None else third, sa.BigInteger).label("third"),
        sa.cast(sa.null() if at is None else at, sa.Double).label("at"),
    ]
    return sa.select(*columns)


def _parts() -> sa.Select[Any]:
    """Built once: to build it takes longer than to ask it. `now` is when leases are looked at."""
    inbox, strays, cursors = tables.inbox, tables.strays, tables.inbox_cursors
    sent, jobs, made = tables.relay_cursor, tables.jobs, tables.generations
    runs = sa.and_(jobs.c.leased_by.is_not(None), jobs.c.leased_until > sa.bindparam("now", type_=sa.Double))
    heard = _part(
        inbox.c.state,
        inbox.c.producer,
        sa.func.count(),
        second=sa.func.max(inbox.c.attempts),
        at=sa.func.min(inbox.c.received_at),
    )
    worked = _part(
        "jobs",
        jobs.c.kind,
        sa.func.count(),
        second=sa.func.sum(sa.case((runs, 1), else_=0)),
        third=sa.func.sum(sa.case((jobs.c.attempts > 0, 1), else_=0)),
    )
    every = sa.union_all(
        heard.where(inbox.c.state.in_(("waiting", "parked"))).group_by(inbox.c.state, inbox.c.producer),
        _part("strays", sa.literal(""), sa.func.count()).select_from(strays),
        _part("cursors", cursors.c.producer, cursors.c.position),
        _part("sent", sent.c.log, sent.c.position).where(sent.c.log == EVENTS),
        worked.group_by(jobs.c.kind),
        _part(made.c.state, made.c.name, made.c.position, second=made.c.version, at=made.c.beat_at),
    )
    return sa.select(*every.subquery().c)


_ASKED = _parts()


async def _found(runner: ServiceRunner) -> Found:
    """All that it has written down, of one moment and in one question: a page asks six services at once, and in one
    process each question waits for its turn behind those of the others."""
    wiring = runner.service.wiring
    found: defaultdict[str, list[sa.Row[Any]]] = defaultdict(list)
    for row in await wiring.store.rows(_ASKED, {"now": wiring.clock.now().timestamp()}):
        found[row.part].append(row)
    return found


async def _outbox(runner: ServiceRunner, found: Found, head: int) -> dict[str, Any]:
    """Its own log, and what of it is still to be sent: how much, and since when the first of that waits."""
    sent = runner.outbox_sent
    if sent is None:  # another process sends, and writes down how far it is from time to time
        sent = next((each.number for each in found["sent"]), 0)
    waiting = max(head - sent, 0)
    first = await runner.service.wiring.store.read_all(sent, 1, sealed=True) if waiting else []
    return {"position": head, "waiting": waiting, "since": first[0].event.time if first else None}


def _hears(runner: ServiceRunner, found: Found) -> list[dict[str, Any]]:
    """By producer: up to where it heard everything, how much more there is, and what of it is not handled yet."""
    cursors, waiting, behind = _by_name(found["cursors"]), _by_name(found["waiting"]), runner.inbox_lag
    return [
        {
            "producer": each,
            "position": cursors[each].number if each in cursors else 0,
            "behind": behind.get(each, 0) if runner.is_leading else None,
            "waiting": waiting[each].number if each in waiting else 0,
            "since": _at(waiting[each].at) if each in waiting else None,
            "attempts": waiting[each].second if each in waiting else 0,
        }
        for each in sorted(runner.service.hears)
    ]


def _jobs(runner: ServiceRunner, found: Found) -> list[dict[str, Any]]:
    """By kind: what is being worked at, what waits for its turn, and what of both failed before."""
    jobs = _by_name(found["jobs"])
    kinds = sorted({worker.kind for worker in runner.service.workers} | jobs.keys())
    return [
        {
            "kind": kind,
            "running": jobs[kind].second if kind in jobs else 0,
            "waiting": jobs[kind].number - jobs[kind].second if kind in jobs else 0,
            "failed": jobs[kind].third if kind in jobs else 0,
        }
        for kind in kinds
    ]


def _projections(runner: ServiceRunner, found: Found, heads: Mapping[str, int]) -> list[dict[str, Any]]:
    now = runner.service.wiring.clock.now().timestamp()
    serving, building = _by_name(found["serves"]), _by_name(found["builds"])
    told = []
    for each in runner.service.projections:
        rows = {
            state: (row.second, row.number, row.at)
            for state, row in (("serves", serving.get(each.name)), ("builds", building.get(each.name)))
            if row is not None
        }
        progress = progress_of(each, rows, head=heads[each.log], now=now)
        told.append(
            {
                "name": progress.name,
                "version": progress.version,
                "position": progress.position,
                "lag": progress.lag,
                "beatAge": progress.beat_age,
                "building": None if progress.building is None else asdict(progress.building),
            }
        )
    return told


def _by_name(rows: Sequence[sa.Row[Any]]) -> dict[str, sa.Row[Any]]:
    return {row.name: row for row in rows}


def _at(seconds: float) -> str:
    return timestamp(datetime.fromtimestamp(seconds, tz=UTC))
