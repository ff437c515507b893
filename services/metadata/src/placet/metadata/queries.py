"""Reading the audit log: pages by position, filtered or whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from placet.errors import Unknown
from placet.events import Recorded
from placet.events.codec import timestamp
from placet.events.store import EventStore
from placet.metadata.projections import AUDIT, INDEX, epochs, events, index, revoked_tokens, witnesses
from placet.trust.auditing import Entry

SCAN = 500
"""Events that one read of the log brings at most."""
NEAR = 16
"""Positions that are read along where two that are wanted lie closer together than that."""


@dataclass(frozen=True, kw_only=True)
class Filter:
    """`type` is a glob over the event's type, where `*` stands for any text.

    Times are those that the events have, from their producers' clocks: positions follow them nearly, and not to the
    event. Both ends are within.
    """

    type: str | None = None
    project: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    @property
    def is_open(self) -> bool:
        return (self.type, self.project, self.since, self.until) == (None, None, None, None)


@dataclass(frozen=True, kw_only=True)
class Page:
    """`next` is the position to go on after; what lies between is known to hold nothing that was asked for."""

    events: tuple[Recorded[Any], ...]
    next: int


class Queries:
    def __init__(self, store: EventStore) -> None:
        self._store = store

    async def events(self, after: int, limit: int, wanted: Filter) -> Page:
        """At most `limit` events behind `after`, oldest first.

        A filtered page never goes past what the index shows, so following it by `next` misses nothing.
        """
        if wanted.is_open:
            page = await self._store.read_all(after, limit, log=AUDIT)
            return Page(events=tuple(page), next=page[-1].position if page else after)
        indexed = await self._indexed()
        between = sa.and_(index.c.position > after, index.c.position <= indexed)
        query = sa.select(index.c.position).where(index.c.generation == INDEX.serving(), between)
        if wanted.project is not None:
            query = query.where(index.c.project == wanted.project)
        if wanted.type is not None:
            query = query.where(index.c.type.like(_like(wanted.type), escape="\\"))
        if wanted.since is not None:
            query = query.where(index.c.time >= timestamp(wanted.since))
        if wanted.until is not None:
            query = query.where(index.c.time <= timestamp(wanted.until))
        rows = await self._store.rows(query.order_by(index.c.position).limit(limit))
        positions = [row.position for row in rows]
        events = await self._at(positions)
        following = positions[-1] if len(positions) == limit else max(indexed, after)
        return Page(events=tuple(events), next=following)

    async def head(self) -> int:
        return (await self._store.head(AUDIT)).position

    async def position_of(self, event: str) -> int:
        """Raises Unknown."""
        rows = await self._store.rows(sa.select(events.c.position).where(events.c.id == event))
        if not rows:
            raise Unknown(f"no event {event!r} is in the audit log")
        return int(rows[0].position)

    async def witnesses(self) -> list[dict[str, Any]]:
        """How much of the log each has seen; times in RFC 3339, None where it never did."""
        rows = await self._store.rows(sa.select(witnesses).order_by(witnesses.c.name))
        return [
            {
                "name": row.name,
                "size": row.size,
                "seenAt": None
                if row.seen_at is None
                else timestamp(datetime.fromtimestamp(row.seen_at, UTC)),
                "askedAt": timestamp(datetime.fromtimestamp(row.asked_at, UTC)),
                "trouble": row.trouble,
            }
            for row in rows
        ]

    async def began_after(self) -> dict[str, int]:
        """By stream of the audit log: the producer's position before the stream's first."""
        rows = await self._store.rows(sa.select(epochs))
        return {f"{row.producer}@{row.epoch}": row.began_after for row in rows}

    async def _indexed(self) -> int:
        last = sa.func.coalesce(sa.func.max(index.c.position), 0).label("position")
        rows = await self._store.rows(sa.select(last).where(index.c.generation == INDEX.serving()))
        return int(rows[0].position)

    async def _at(self, positions: Sequence[int]) -> list[Recorded[Any]]:
        """The events at ascending positions; those that lie near each other are read together."""
        events: list[Recorded[Any]] = []
        wanted = frozenset(positions)
        at = 0
        while at < len(positions):
            end = at + 1
            while end < len(positions) and _are_near(positions[at], positions[end - 1], positions[end]):
                end += 1
            span = positions[end - 1] - positions[at] + 1
            read = await self._store.read_all(positions[at] - 1, span, log=AUDIT)
            events.extend(each for each in read if each.position in wanted)
            at = end
        return events

    async def is_revoked(self, token: str) -> bool:
        mine = sa.and_(revoked_tokens.c.generation == INDEX.serving(), revoked_tokens.c.token == token)
        return bool(await self._store.rows(sa.select(revoked_tokens).where(mine)))


def _are_near(first: int, last: int, following: int) -> bool:
    return following - last <= NEAR and following - first < SCAN


def shown(recorded: Recorded[Any]) -> dict[str, Any]:
    """The CloudEvent with its audit position as `sequence`."""
    event: dict[str, Any] = msgspec.json.decode(recorded.event.raw)
    return {**event, "sequence": recorded.position}


def entry(recorded: Recorded[Any], began_after: dict[str, int]) -> Entry:
    """The event as stored, to the byte, with its places in the audit log and in its producer's."""
    producer, _, epoch = recorded.stream.partition("@")
    return Entry(
        position=recorded.position,
        producer=producer,
        epoch=epoch,
        producer_position=began_after[recorded.stream] + recorded.version,
        event=msgspec.Raw(recorded.event.raw),
    )


def _like(glob: str) -> str:
    escaped = glob.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return escaped.replace("*", "%")
