"""Reading the audit log into states: of a project or of the whole platform, at a position or at a time.

At a position are the events up to it. At a time are those that were said by then, as their own times have it: clocks of
producers differ, and what is in the log is in the order in which it came. What lies between is read through the
index, so that what is measured in every window costs nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any

import msgspec
import sqlalchemy as sa

from placet.errors import Unavailable, Unknown, Unreadable
from placet.events.catalog import Catalog
from placet.events.codec import moment, timestamp
from placet.events.contracts import CATALOG
from placet.events.envelope import PLATFORM
from placet.events.store import EventStore
from placet.metadata.entities import Said, State
from placet.metadata.history import TYPES, fold
from placet.metadata.projections import INDEX, checkpoints, events, index
from placet.metadata.queries import Queries, each_once

PAGE = 1000
"""Events that are read and folded at once; the loop has time for others between two."""
SPAN = 4 * PAGE
"""Positions that are looked through at once to begin with."""
MOST = 250 * PAGE
"""And where what is wanted is rare."""
LOOKS = 10
LOOK_EVERY = 1.0
"""How often, and after how many seconds at most, it is looked whether the index has what the log has."""


@dataclass(frozen=True, kw_only=True)
class Until:
    """How far is looked. Without both: as far as the log goes."""

    at: datetime | None = None
    position: int | None = None


@dataclass(frozen=True, kw_only=True)
class Told:
    """A state, the moment at which it is looked at, how far the log was read for it, and the types of events in it that
    this service cannot read, since it is older than who said them."""

    state: State
    at: datetime
    position: int
    unread: tuple[str, ...] = ()


class Histories:
    def __init__(self, store: EventStore, queries: Queries, catalog: Catalog = CATALOG) -> None:
        self._store = store
        self._queries = queries
        self._catalog = catalog

    async def state(
        self,
        until: Until,
        now: datetime,
        *,
        project: str | None = None,
        with_platform: bool = False,
        types: Collection[str] = TYPES,
    ) -> Told:
        """`with_platform` adds what belongs to no project. Raises Unknown for a position that the log does not have,
        Unavailable where the index is far behind."""
        projects = None if project is None else (project, PLATFORM) if with_platform else (project,)
        return await self.state_of(projects, until, now, types=types)

    async def state_of(
        self,
        projects: Collection[str] | None,
        until: Until,
        now: datetime,
        *,
        types: Collection[str] = TYPES,
    ) -> Told:
        """The same of several projects, without any of what belongs to none, and of all without `projects`."""
        last = await self.reach(until.position)
        state = State()
        pages = self.said(types, projects=projects, until=last, by=until.at)
        async with aclosing(pages):
            async for page in pages:
                fold(state, page)
        return Told(
            state=state,
            at=until.at or (now if until.position is None else await self._time_of(last)) or now,
            position=last,
            unread=await self._unread(),
        )

    async def reach(self, position: int | None) -> int:
        """Wait until the index has come so far, or as far as the log was when this was asked."""
        wanted = await self._queries.head()
        if position is not None:
            if position > wanted:
                raise Unknown(
                    f"the audit log has {wanted} events, and none at position {position}",
                    fix="leave it out, for what is so now",
                )
            wanted = position
        for _ in range(LOOKS):
            committed = self._store.committed.count
            if await self._queries.indexed() >= wanted:
                return wanted
            await self._store.committed.wait(LOOK_EVERY, after=committed)
        raise Unavailable(
            f"the index of the audit log is behind its position {wanted}", fix="ask again in a moment"
        )

    async def said(
        self,
        types: Collection[str],
        *,
        projects: Collection[str] | None,
        until: int,
        by: datetime | None = None,
        since: datetime | None = None,
    ) -> AsyncGenerator[list[Said]]:
        """What was said, in pages, oldest first: up to the position `until`, by the time `by`, and after `since`."""
        earliest = "" if since is None else timestamp(since)
        latest = None if by is None else timestamp(by)
        ahead: asyncio.Task[list[Said]] | None = None
        async with aclosing(self._positions(types, projects, until, (earliest, latest))) as pages:
            try:
                async for positions in pages:
                    before, ahead = ahead, asyncio.create_task(self._read(positions))
                    await asyncio.sleep(
                        0
                    )  # it asks the database, which works while the page before is folded
                    if before is not None:
                        yield await before
                if ahead is not None:
                    yield await ahead
            finally:
                if ahead is not None:
                    ahead.cancel()
                    await asyncio.gather(ahead, return_exceptions=True)

    async def _positions(
        self,
        types: Collection[str],
        projects: Collection[str] | None,
        until: int,
        between: tuple[str, str | None],
    ) -> AsyncGenerator[list[int]]:
        """Where that is, at most a page of them at once."""
        earliest, latest = between
        said = [index.c.generation == INDEX.serving(), index.c.type.in_(sorted(types))]
        after, span = 0, SPAN
        if projects is not None:
            said.append(index.c.project.in_(sorted(projects)))
            some = sa.select(sa.literal(1)).where(*said, index.c.position <= until).limit(PAGE + 1).subquery()
            (counted,) = await self._store.rows(sa.select(sa.func.count().label("rows")).select_from(some))
            if counted.rows <= PAGE:
                span = until  # a look at each stretch would take longer than they do
        while after < until:
            end = min(after + span, until)
            # Between two positions, and with no word of the time, of an order or of a limit: whichever index the
            # database takes, it looks at no more than these, and so at each only once.
            query = sa.select(index.c.position, index.c.time).where(
                *said, index.c.position > after, index.c.position <= end
            )
            rows: Sequence[Any] = await self._store.rows(query)
            wanted = sorted(at for at, time in rows if time > earliest and (latest is None or time <= latest))
            for first in range(0, len(wanted), PAGE):
                yield wanted[first : first + PAGE]
            after = end
            span = min(span * 2, MOST) if len(rows) < PAGE else max(span // 2, SPAN)

    async def projects(self, after: str, count: int) -> list[str]:
        """The names that the log speaks of behind one, in their order: as many as `count`, unless there are no more."""
        # One more: what belongs to no project is among them, and none of them.
        found = await each_once(self._store, index.c.project, after, count + 1)
        return [each for each in found if each != PLATFORM][:count]

    async def first_of(self, project: str) -> int | None:
        """Where the log speaks of a project first."""
        query = sa.select(sa.func.min(index.c.position).label("position")).where(
            index.c.generation == INDEX.serving(), index.c.project == project
        )
        return (await self._store.rows(query))[0].position  # type: ignore[no-any-return]

    async def covered(self, position: int) -> int | None:
        """The size of the first checkpoint that was signed over a position; none where that is still to come."""
        query = sa.select(sa.func.min(checkpoints.c.size).label("size"))
        return (await self._store.rows(query.where(checkpoints.c.size >= position)))[0].size  # type: ignore[no-any-return]

    async def _time_of(self, position: int) -> datetime | None:
        query = sa.select(index.c.time).where(
            index.c.generation == INDEX.serving(), index.c.position == position
        )
        rows = await self._store.rows(query)
        return moment(rows[0].time) if rows else None

    async def _unread(self) -> tuple[str, ...]:
        return tuple(each for each in await self._queries.types() if not self._catalog.knows(each))

    async def _read(self, positions: Sequence[int]) -> list[Said]:
        """Those events and few between them: of many windows that were measured one matters."""
        first, last = positions[0], positions[-1]
        wanted = frozenset(positions)
        # To name a thousand positions one by one takes longer than to read as many events for nothing.
        are_dense = last - first < 2 * len(positions)
        at = events.c.position
        query = sa.select(at, events.c.raw).where(at.between(first, last) if are_dense else at.in_(positions))
        found: Sequence[Any] = await self._store.rows(query.order_by(at))
        rows = [(position, raw) for position, raw in found if position in wanted]
        if len(rows) != len(positions):
            missing = min(wanted - {position for position, _ in rows})
            raise Unreadable(
                f"the audit log has no position {missing}, and its index does: somebody removed an event from it",
                fix="`placet audit verify` says what else was changed",
            )
        return [self._said(position, bytes(raw)) for position, raw in rows]

    def _said(self, position: int, raw: bytes) -> Said:
        event = _EVENTS.decode(raw)
        return Said(
            position=position,
            time=event.time,
            by=event.authid,
            project=event.partitionkey,
            data=self._catalog.decode(event.type, event.data),
        )


class _Event(msgspec.Struct, gc=False):
    """What of a stored event a fold looks at; it was looked at in full when it was let in."""

    authid: str
    data: msgspec.Raw
    partitionkey: str
    time: str
    type: str


_EVENTS = msgspec.json.Decoder(_Event)


def end_of(day: date) -> datetime:
    """The last moment of a day in UTC that can be told from the next one."""
    return datetime.combine(day, time(23, 59, 59, 999_000), UTC)
