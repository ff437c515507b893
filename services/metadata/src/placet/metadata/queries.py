"""Reading the audit log: pages by position, filtered or whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from placet.errors import Unknown, Unreadable
from placet.events import Recorded
from placet.events.codec import timestamp
from placet.events.store import EventStore
from placet.identity.sharing import READ_ALL, TEAM
from placet.metadata.projections import (
    AUDIT,
    INDEX,
    epochs,
    events,
    index,
    members,
    named,
    named_by,
    private,
    producers,
    revoked_tokens,
    roles,
    witnesses,
)
from placet.trust.auditing import Entry
from placet.trust.tokens import Token

SCAN = 500
"""Events that one read of the log brings at most."""
NEAR = 16
"""Positions that are read along where two that are wanted lie closer together than that."""

_REVOKED = sa.select(revoked_tokens).where(
    revoked_tokens.c.generation == INDEX.serving(),
    revoked_tokens.c.token.in_((sa.bindparam("token"), sa.bindparam("person"))),
)


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
    hidden: frozenset[str] = frozenset()
    """Private projects of which nothing is told, nor what the platform says about them."""

    def admits(self, *, type: str, project: str, named: str | None, time: str) -> bool:
        """Whether an event is wanted; `named` is the project that one of the platform is about, `time` as it has it,
        whose texts are in the order of times."""
        return (
            project not in self.hidden
            and named not in self.hidden
            and (self.project is None or project == self.project)
            and (self.type is None or is_like(type, self.type))
            and (self.since is None or time >= timestamp(self.since))
            and (self.until is None or time <= timestamp(self.until))
        )

    @property
    def is_open(self) -> bool:
        return (self.type, self.project, self.since, self.until, self.hidden) == (*[None] * 4, frozenset())


@dataclass(frozen=True, kw_only=True)
class Page:
    """`next` is the position to go on after; what lies between is known to hold nothing that was asked for."""

    events: tuple[Recorded[Any], ...]
    next: int


@dataclass(frozen=True, kw_only=True)
class BackPage:
    """Newest first. `next` is the position to go on before, or None where none are left."""

    events: tuple[Recorded[Any], ...]
    next: int | None


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
        indexed = await self.indexed()
        between = (index.c.position > after, index.c.position <= indexed)
        positions = await self._positions(wanted, between, index.c.position, limit)
        following = positions[-1] if len(positions) == limit else max(indexed, after)
        return Page(events=tuple(await self._at(positions)), next=following)

    async def events_before(self, before: int, limit: int, wanted: Filter) -> BackPage:
        """At most `limit` events before that position, newest first; past the end: the newest that are indexed."""
        newest_first = index.c.position.desc()
        found = await self._positions(wanted, (index.c.position < before,), newest_first, limit)
        events = await self._at(found[::-1])
        return BackPage(events=tuple(reversed(events)), next=found[-1] if len(found) == limit else None)

    async def _positions(
        self, wanted: Filter, between: Sequence[sa.ColumnElement[bool]], order: Any, limit: int
    ) -> list[int]:
        """Of what is wanted, at most so many, in that order.

        Each type that is meant is asked for by itself and they are merged: whichever is rare, nothing is looked at
        that is of another one. A log has some dozens of types.
        """
        query = _indexed(wanted).where(*between)
        if wanted.type is not None:
            meant = [each for each in await self.types() if is_like(each, wanted.type)]
            if not meant:
                return []
            of_each = [
                sa.select(query.where(index.c.type == each).order_by(order).limit(limit).subquery())
                for each in meant
            ]
            merged = sa.union_all(*of_each).subquery()
            query = sa.select(merged.c.position)
            order = merged.c.position.desc() if order is not index.c.position else merged.c.position
        rows = await self._store.rows(query.order_by(order).limit(limit))
        return [row.position for row in rows]

    async def types(self) -> list[str]:
        """Of events that are in the index, each once. Each is looked up from the one before it."""
        return await each_once(self._store, index.c.type)

    async def head(self) -> int:
        return (await self._store.head(AUDIT)).position

    async def position_of(self, event: str) -> int:
        """Raises Unknown."""
        rows = await self._store.rows(sa.select(events.c.position).where(events.c.id == event))
        if not rows:
            raise Unknown(
                f"no event {event!r} is in the audit log",
                fix="`placet events` has the `id` of each; a position, its `sequence`, names one as well",
            )
        return int(rows[0].position)

    async def is_hidden_at(self, position: int, hidden: frozenset[str]) -> bool:
        """Whether what is there is of one of these projects, whether or not the index shows it yet."""
        found = await self._store.read_all(position - 1, 1, log=AUDIT)
        return any(is_hidden(each, hidden) for each in found)

    async def witnesses(self) -> list[dict[str, Any]]:
        """How much of the log each has seen; times in RFC 3339, None where it never did."""
        rows = await self._store.rows(sa.select(witnesses).order_by(witnesses.c.name))
        return [
            {
                "name": row.name,
                "size": row.size,
                "seenAt": None if row.seen_at is None else told_time(row.seen_at),
                "askedAt": told_time(row.asked_at),
                "trouble": row.trouble,
            }
            for row in rows
        ]

    async def producers(self) -> list[dict[str, Any]]:
        """What each says that its own store has, up to where it had sent it when it last said something new."""
        rows = await self._store.rows(sa.select(producers).order_by(producers.c.producer))
        return [
            {
                "producer": row.producer,
                "epoch": row.epoch,
                "position": row.position,
                "digest": row.chain,
                "saidAt": timestamp(datetime.fromtimestamp(row.said_at, UTC)),
            }
            for row in rows
        ]

    async def began_after(self) -> dict[str, int]:
        """By stream of the audit log: the producer's position before the stream's first."""
        rows = await self._store.rows(sa.select(epochs))
        return {f"{row.producer}@{row.epoch}": row.began_after for row in rows}

    async def indexed(self) -> int:
        """How far the index has come."""
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

    async def hidden_from(self, who: Token) -> frozenset[str]:
        """The private projects on which somebody has no role, as the log had it when it was indexed last; none of those
        who read all."""
        if who.roles & READ_ALL:
            return frozenset()
        serving = INDEX.serving()
        of_teams = sa.select(sa.literal(TEAM) + members.c.team).where(
            members.c.generation == serving, members.c.person == who.person
        )
        named = (who.person, *(f"{TEAM}{each}" for each in sorted(who.teams)))
        theirs = sa.select(roles.c.project).where(
            roles.c.generation == serving, sa.or_(roles.c.to.in_(named), roles.c.to.in_(of_teams))
        )
        query = sa.select(private.c.project).where(private.c.generation == serving)
        rows = await self._store.rows(query.where(private.c.project.not_in(theirs)))
        return frozenset(row.project for row in rows)

    async def is_revoked(self, token: str, person: str) -> bool:
        return bool(await self._store.rows(_REVOKED, {"token": token, "person": person}))


def _are_near(first: int, last: int, following: int) -> bool:
    return following - last <= NEAR and following - first < SCAN


def told_time(seconds: float) -> str:
    """In RFC 3339. Raises Unreadable where a row has no time: nobody of us wrote that."""
    try:
        return timestamp(datetime.fromtimestamp(seconds, UTC))
    except (OverflowError, ValueError, OSError) as error:
        raise Unreadable(
            f"the database says {seconds} where a time belongs: somebody changed it",
            fix="restore the newest copy of the database from before",
        ) from error


def is_hidden(recorded: Recorded[Any], hidden: frozenset[str]) -> bool:
    """Whether an event is of one of these projects, or the platform's about one."""
    return bool(hidden) and (recorded.event.partitionkey in hidden or named_by(recorded.event) in hidden)


def shown(recorded: Recorded[Any]) -> dict[str, Any]:
    """The CloudEvent with its audit position as `sequence`. Raises Unreadable where somebody made it none."""
    try:
        event: dict[str, Any] = msgspec.json.decode(recorded.event.raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Unreadable(
            f"position {recorded.position} of the audit log holds no event: {error}",
            fix="restore the database: somebody changed it",
        ) from error
    return {**event, "sequence": recorded.position}


def place_in_producer(
    position: int, stream: str, version: int, began_after: Mapping[str, int]
) -> tuple[str, str, int]:
    """Whose event it is, in which epoch, and which of that log's. Raises Unreadable where none such ever began."""
    producer, _, epoch = stream.partition("@")
    before = began_after.get(stream)
    if before is None:
        raise Unreadable(
            f"position {position} of the audit log is of epoch {epoch} of {producer}, which never began",
            fix="restore the database: somebody changed it",
        )
    return producer, epoch, before + version


def entry(recorded: Recorded[Any], began_after: Mapping[str, int]) -> Entry:
    """The event as stored, to the byte, with its places in the audit log and in its producer's. Raises Unreadable."""
    at = recorded.position
    producer, epoch, position = place_in_producer(at, recorded.stream, recorded.version, began_after)
    return Entry(
        position=at,
        producer=producer,
        epoch=epoch,
        producer_position=position,
        event=msgspec.Raw(recorded.event.raw),
    )


def _indexed(wanted: Filter) -> sa.Select[Any]:
    """Positions of what is wanted."""
    query = sa.select(index.c.position).where(index.c.generation == INDEX.serving())
    if wanted.project is not None:
        query = query.where(index.c.project == wanted.project)
    if wanted.hidden:
        hidden = sorted(wanted.hidden)
        about = sa.exists().where(
            named.c.generation == index.c.generation,
            named.c.position == index.c.position,
            named.c.project.in_(hidden),
        )
        query = query.where(index.c.project.not_in(hidden), ~about)
    if wanted.since is not None:
        query = query.where(index.c.time >= timestamp(wanted.since))
    if wanted.until is not None:
        query = query.where(index.c.time <= timestamp(wanted.until))
    return query


async def each_once(
    store: EventStore, column: sa.Column[Any], after: str = "", most: int | None = None
) -> list[str]:
    """What is in a column of the index behind a text, in order, and at most so many.

    Each is looked up from the one before it: to come to the next by way of all the rows of one would take as long as
    there are of them.
    """

    def behind(text: Any) -> Any:
        least = sa.select(sa.func.min(column)).where(index.c.generation == INDEX.serving(), column > text)
        return least.scalar_subquery()

    found = sa.select(behind(sa.bindparam("after")).label("text"), sa.literal(1).label("place")).cte(
        "found", recursive=True
    )
    following = sa.select(behind(found.c.text), found.c.place + 1).where(found.c.text.is_not(None))
    if most is not None:
        following = following.where(found.c.place < most)
    found = found.union_all(following)
    rows = await store.rows(sa.select(found.c.text).where(found.c.text.is_not(None)), {"after": after})
    return [row.text for row in rows]


def is_like(text: str, glob: str) -> bool:
    """Each part between two `*` where it is found first: a regular expression could try them in any number of ways."""
    first, *parts = glob.split("*")
    if not parts:
        return text == glob
    *between, last = parts
    end = len(text) - len(last)
    at = len(first)
    if not text.startswith(first) or end < at or not text.endswith(last):
        return False
    for part in between:
        found = text.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True
