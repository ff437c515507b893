"""How a service stands: what it hears and how far it is behind, what it has yet to send, its work, and what is parked.

Read from the service's own database, so that every replica tells the same; only what its leader alone knows (how far
the others have come) is none elsewhere. What messages say is never told, only how many they are and how old.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from placet.errors import Unavailable
from placet.events import tables
from placet.events.codec import timestamp
from placet.events.parked import count_parked
from placet.events.service import ServiceRunner
from placet.events.store import EVENTS, EventStore


async def standing(runner: ServiceRunner) -> dict[str, Any]:
    """The document of one service; `ready` and `why` as `/readyz` has them, also while its database is away."""
    service, store = runner.service, runner.service.wiring.store
    why = runner.impediment
    told: dict[str, Any] = {
        "service": service.name,
        "ready": runner.is_started and why is None,
        "why": why,
        "hampered": [{"what": what, "why": told} for what, told in sorted(runner.hampered.items())],
        "leads": runner.is_leading,
    }
    try:
        return {
            **told,
            "parked": await count_parked(store),
            "outbox": await _outbox(runner),
            "hears": await _hears(runner),
            "jobs": await _jobs(runner),
            "projections": await _projections(runner),
        }
    except Unavailable as error:
        nothing: dict[str, Any] = {"parked": None, "outbox": None, "hears": [], "jobs": [], "projections": []}
        return {**told, "ready": False, "why": why or str(error), **nothing}


async def _outbox(runner: ServiceRunner) -> dict[str, Any]:
    """Its own log, and what of it is still to be sent: how much, and since when the first of that waits."""
    store = runner.service.wiring.store
    head = (await store.head()).position
    sent = runner.outbox_sent
    if sent is None:  # another process sends, and writes down how far it is from time to time
        cursor = tables.relay_cursor
        rows = await store.rows(sa.select(cursor.c.position).where(cursor.c.log == EVENTS))
        sent = rows[0].position if rows else 0
    waiting = max(head - sent, 0)
    first = await store.read_all(sent, 1, sealed=True) if waiting else []
    return {"position": head, "waiting": waiting, "since": first[0].event.time if first else None}


async def _hears(runner: ServiceRunner) -> list[dict[str, Any]]:
    """By producer: up to where it heard everything, how much more there is, and what of it is not handled yet."""
    service, store, behind = runner.service, runner.service.wiring.store, runner.inbox_lag
    cursors = await _by_producer(store, sa.select(tables.inbox_cursors))
    inbox = tables.inbox
    counted = sa.select(
        inbox.c.producer,
        sa.func.count().label("messages"),
        sa.func.min(inbox.c.received_at).label("since"),
        sa.func.max(inbox.c.attempts).label("attempts"),
    )
    waiting = await _by_producer(store, counted.where(inbox.c.state == "waiting").group_by(inbox.c.producer))
    return [
        {
            "producer": each,
            "position": cursors[each].position if each in cursors else 0,
            "behind": behind.get(each, 0) if runner.is_leading else None,
            "waiting": waiting[each].messages if each in waiting else 0,
            "since": _at(waiting[each].since) if each in waiting else None,
            "attempts": waiting[each].attempts if each in waiting else 0,
        }
        for each in sorted(service.hears)
    ]


async def _by_producer(store: EventStore, query: sa.Select[Any]) -> dict[str, sa.Row[Any]]:
    return {row.producer: row for row in await store.rows(query)}


async def _jobs(runner: ServiceRunner) -> list[dict[str, Any]]:
    """By kind: what is being worked at, what waits for its turn, and what of both failed before."""
    jobs, now = tables.jobs, runner.service.wiring.clock.now().timestamp()
    is_running = sa.and_(jobs.c.leased_by.is_not(None), jobs.c.leased_until > now)
    query = sa.select(
        jobs.c.kind,
        sa.func.count().label("jobs"),
        sa.func.sum(sa.case((is_running, 1), else_=0)).label("running"),
        sa.func.sum(sa.case((jobs.c.attempts > 0, 1), else_=0)).label("failed"),
    ).group_by(jobs.c.kind)
    found = {row.kind: row for row in await runner.service.wiring.store.rows(query)}
    kinds = sorted({worker.kind for worker in runner.service.workers} | found.keys())
    return [
        {
            "kind": kind,
            "running": int(found[kind].running) if kind in found else 0,
            "waiting": found[kind].jobs - int(found[kind].running) if kind in found else 0,
            "failed": int(found[kind].failed) if kind in found else 0,
        }
        for kind in kinds
    ]


async def _projections(runner: ServiceRunner) -> list[dict[str, Any]]:
    return [
        {
            "name": each.name,
            "version": each.version,
            "position": each.position,
            "lag": each.lag,
            "beatAge": each.beat_age,
            "building": None
            if each.building is None
            else {
                "version": each.building.version,
                "position": each.building.position,
                "lag": each.building.lag,
            },
        }
        for each in await runner.projections()
    ]


def _at(seconds: float) -> str:
    return timestamp(datetime.fromtimestamp(seconds, tz=UTC))
