"""Messages put aside for a person: what they are, and the way back.

A parked message is a row of the inbox with its reason. Retrying makes it `waiting` again; the service's leader
looks for such rows now and then, so this works from any process that reaches the database. What is retried is handled
as it would have been the first time: the unit of its handler removes the row, or nothing of it is committed. What a
message says is never told here, only what it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from placet.errors import Refused, Unknown, Unreadable
from placet.events import tables
from placet.events.codec import Codec, timestamp
from placet.events.store import Claim, ClaimLost, EventStore, Unit

_STRAY = "stray"
_NO_SUCH = "the ids of what is parked are in the list of it"


@dataclass(frozen=True, kw_only=True, slots=True)
class Parked:
    """`position` is 0 for a stray: a message that could not be trusted to be what it says, and is never retried.

    `event` and `type` are what its envelope says, where that was looked at and can be read. Times are RFC 3339.
    """

    id: str
    producer: str
    epoch: str
    position: int
    routing_key: str
    attempts: int
    reason: str
    received_at: str
    parked_at: str | None = None
    event: str | None = None
    type: str | None = None
    project: str | None = None


_WHAT = (
    tables.inbox.c.producer,
    tables.inbox.c.epoch,
    tables.inbox.c.position,
    tables.inbox.c.routing_key,
    tables.inbox.c.attempts,
    tables.inbox.c.reason,
    tables.inbox.c.received_at,
    tables.inbox.c.next_at,
)
"""Not what they hold, which may be 64 KiB each."""
_WHAT_STRAYS = (
    tables.strays.c.id,
    tables.strays.c.sender,
    tables.strays.c.routing_key,
    tables.strays.c.reason,
    tables.strays.c.received_at,
)
_IS_PARKED = tables.inbox.c.state == "parked"


async def all_parked(store: EventStore) -> list[Parked]:
    """What waits for a person, oldest first; strays last."""
    parked = sa.select(*_WHAT).where(_IS_PARKED).order_by(tables.inbox.c.received_at)
    strays = sa.select(*_WHAT_STRAYS).order_by(tables.strays.c.received_at)
    return [
        *(_parked(row) for row in await store.rows(parked)),
        *(_stray(row) for row in await store.rows(strays)),
    ]


async def page_of_parked(
    store: EventStore, codec: Codec, *, after: str | None = None, limit: int
) -> list[Parked]:
    """Of what waits for a person, at most `limit` behind the one with the id `after`, which need not be there any more:
    by producer, in its order, with what each envelope says; strays last. Raises Unreadable for what is no id."""
    found: list[Parked] = []
    stray_after = _stray_id(after)
    if stray_after is None:
        query = sa.select(*_WHAT, tables.inbox.c.raw).where(_IS_PARKED)
        place = (tables.inbox.c.producer, tables.inbox.c.epoch, tables.inbox.c.position)
        if after is not None:
            query = query.where(sa.tuple_(*place) > sa.tuple_(*_place(after)))
        rows = await store.rows(query.order_by(*place).limit(limit))
        found = [_parked(row, codec=codec) for row in rows]
    if len(found) < limit:
        strays = sa.select(*_WHAT_STRAYS).order_by(tables.strays.c.id).limit(limit - len(found))
        found += [
            _stray(row) for row in await store.rows(strays.where(tables.strays.c.id > (stray_after or "")))
        ]
    return found


async def count_parked(store: EventStore) -> int:
    """How many `all_parked` would tell."""
    parked = sa.select(sa.func.count()).select_from(tables.inbox).where(_IS_PARKED)
    strays = sa.select(sa.func.count()).select_from(tables.strays)
    (row,) = await store.rows(sa.select((parked.scalar_subquery() + strays.scalar_subquery()).label("all")))
    return int(row[0])


async def retry(store: EventStore, id: str) -> bool:
    """Hand one back to the service. False where it waits already, or was handled meanwhile, so that it is safe to ask
    twice. Raises Unknown for what was never heard, Refused for a stray, Unreadable for what is no id."""
    if _stray_id(id) is not None:
        raise Refused(
            "a stray did not come from who it says it is from, and is never handled",
            fix="find out who sent it: docs/how-to/handle-parked-messages.md",
        )
    producer, epoch, position = _place(id)
    inbox = tables.inbox
    here = sa.and_(inbox.c.producer == producer, inbox.c.epoch == epoch, inbox.c.position == position)
    try:
        await store.commit(Unit(claims=(Claim(statement=_again(here)),)))
    except ClaimLost:
        if not await store.rows(sa.select(inbox.c.state).where(here)):
            await _must_have_been_heard(store, producer, epoch, position)
        return False
    return True


async def retry_all(store: EventStore) -> int:
    """Hand every parked message back to the service; how many. Strays stay."""
    inbox = tables.inbox
    counted = sa.select(sa.func.count()).select_from(inbox).where(_IS_PARKED)
    while count := int((await store.rows(counted))[0][0]):
        try:
            await store.commit(Unit(claims=(Claim(statement=_again(sa.true()), rows=count),)))
        except ClaimLost:
            continue  # somebody else hands some of them back, or more were parked
        return count
    return 0


def _again(which: sa.ColumnElement[bool]) -> sa.Update:
    return sa.update(tables.inbox).where(_IS_PARKED, which).values(state="waiting", attempts=0, next_at=0.0)


async def _must_have_been_heard(store: EventStore, producer: str, epoch: str, position: int) -> None:
    """Raises Unknown. What was handled leaves no row, but the cursor is behind it; epochs are named in their order."""
    cursors = tables.inbox_cursors
    rows: Sequence[sa.Row[Any]] = await store.rows(sa.select(cursors).where(cursors.c.producer == producer))
    if not any((epoch, position) <= (row.epoch, row.position) for row in rows):
        raise Unknown("no such message was heard here", fix=_NO_SUCH)


def _parked(row: sa.Row[Any], codec: Codec | None = None) -> Parked:
    event = kind = None
    if codec is not None:
        try:
            envelope = codec.read_envelope(row.raw)
            event, kind = envelope.id, envelope.type
        except Unreadable:
            pass  # which is why it is here
    return Parked(
        id=f"{row.producer}.{row.epoch}.{row.position}",
        producer=row.producer,
        epoch=row.epoch,
        position=row.position,
        routing_key=row.routing_key,
        attempts=row.attempts,
        reason=row.reason,
        received_at=_at(row.received_at),
        parked_at=_at(row.next_at) if row.next_at >= row.received_at else None,
        event=event,
        type=kind,
        project=row.routing_key.rpartition(".")[2] or None,
    )


def _stray(row: sa.Row[Any]) -> Parked:
    """Nothing of what it holds is told: it may be anybody's."""
    return Parked(
        id=f"{_STRAY}.{row.id}",
        producer=row.sender or "",
        epoch="",
        position=0,
        routing_key=row.routing_key,
        attempts=0,
        reason=row.reason,
        received_at=_at(row.received_at),
        parked_at=_at(row.received_at),
    )


def _at(seconds: float) -> str:
    return timestamp(datetime.fromtimestamp(seconds, tz=UTC))


def _stray_id(id: str | None) -> str | None:
    kind, dot, rest = (id or "").partition(".")
    return rest if kind == _STRAY and dot else None


def _place(id: str) -> tuple[str, str, int]:
    producer, _, rest = id.partition(".")
    epoch, _, position = rest.rpartition(".")
    if not (producer and epoch and position.isascii() and position.isdigit() and len(position) < 19):
        raise Unreadable(f"{id!r:.100} is no id of a message", fix=_NO_SUCH)
    return producer, epoch, int(position)
