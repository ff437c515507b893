"""Messages put aside for a person: what they are, and the way back.

A parked message is a row of the inbox with its reason. Retrying makes it `waiting` again; the service's leader
looks for such rows now and then, so this works from any process that reaches the database.
"""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from placet.events import tables
from placet.events.store import EventStore, Run, Unit


@dataclass(frozen=True, kw_only=True, slots=True)
class Parked:
    """`position` is 0 for a stray: a message that could not be trusted to be what it says, and is never retried."""

    producer: str
    epoch: str
    position: int
    routing_key: str
    attempts: int
    reason: str


async def all_parked(store: EventStore) -> list[Parked]:
    """What waits for a person, oldest first; strays last."""
    inbox, untrustworthy = tables.inbox, tables.strays
    # Not what they hold, which may be 64 KiB each: nobody looks at it here.
    columns = (inbox.c.producer, inbox.c.epoch, inbox.c.position, inbox.c.routing_key, inbox.c.attempts)
    parked = sa.select(*columns, inbox.c.reason).where(inbox.c.state == "parked")
    rows = await store.rows(parked.order_by(inbox.c.received_at))
    kept = sa.select(untrustworthy.c.sender, untrustworthy.c.routing_key, untrustworthy.c.reason)
    strays = await store.rows(kept.order_by(untrustworthy.c.received_at))
    messages = [
        Parked(
            producer=row.producer,
            epoch=row.epoch,
            position=row.position,
            routing_key=row.routing_key,
            attempts=row.attempts,
            reason=row.reason,
        )
        for row in rows
    ]
    untrusted = [
        Parked(
            producer=row.sender or "",
            epoch="",
            position=0,
            routing_key=row.routing_key,
            attempts=0,
            reason=row.reason,
        )
        for row in strays
    ]
    return messages + untrusted


async def count_parked(store: EventStore) -> int:
    """How many `all_parked` would tell."""
    parked = sa.select(sa.func.count()).select_from(tables.inbox).where(tables.inbox.c.state == "parked")
    strays = sa.select(sa.func.count()).select_from(tables.strays)
    (row,) = await store.rows(sa.select((parked.scalar_subquery() + strays.scalar_subquery()).label("all")))
    return int(row[0])


async def retry_all(store: EventStore) -> int:
    """Hand every parked message back to the service; how many."""
    inbox = tables.inbox
    count = len(await store.rows(sa.select(inbox.c.position).where(inbox.c.state == "parked")))
    again = sa.update(inbox).where(inbox.c.state == "parked").values(state="waiting", attempts=0, next_at=0.0)
    await store.commit(Unit(writes=(Run(statement=again),)))
    return count
