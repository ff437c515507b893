"""Who follows the log: what is there, then what comes, page by page and exact to the position.

Many follow its end, so it is read there once for all of them: what came last is kept in memory, a ring, and each who
follows takes from it what he asked for. Who is behind reads the log by himself until he has caught up. Whoever keeps
nothing back of what he was given is never left out: a page says where to go on, and the next one begins there,
wherever it is read from.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from placet.errors import PlacetError, Unavailable
from placet.events import Recorded
from placet.events.store import EventStore, Signal
from placet.metadata.projections import AUDIT, named_by
from placet.metadata.queries import Filter, Page, Queries

AT_ONCE = 200
"""Events of a page."""
READ_AT_ONCE = 500
LOOK_EVERY = 1.0
"""Seconds between looks of one who is behind for what the index does not show yet."""
AWAITED = 30.0
RING_EVENTS = 4096
RING_BYTES = 32 * 1024**2
_UNKNOWN = 2**64
"""Behind every position."""


class Overtaken(Exception):
    """He was at the end of the log and took so little that what he did not take is in memory no more."""

    def __init__(self, after: int) -> None:
        super().__init__(f"what follows position {after} is in memory no more")
        self.after = after


@dataclass(frozen=True, kw_only=True, slots=True)
class _Kept:
    recorded: Recorded[Any]
    type: str
    project: str
    named: str | None
    time: str

    @classmethod
    def of(cls, recorded: Recorded[Any]) -> _Kept:
        attributes = recorded.event.attributes
        return cls(
            recorded=recorded,
            type=recorded.event.type,
            project=attributes.partitionkey,
            named=named_by(recorded.event),
            time=attributes.time,
        )


class Tail:
    """The end of the log for all who follow it in this process. It is read while there is somebody who does."""

    def __init__(
        self,
        queries: Queries,
        store: EventStore,
        *,
        events: int = RING_EVENTS,
        size: int = RING_BYTES,
    ) -> None:
        self._queries = queries
        self._store = store
        self._most = events
        self._size = size
        self._ring: list[_Kept] = []
        self._bytes = 0
        self._last = _UNKNOWN
        """The position of the ring's last event, or of the last before it began."""
        self._grown = Signal()
        self._encoded: dict[int, bytes] = {}
        self._followers = 0
        self._reading: asyncio.Task[None] | None = None
        self._trouble: PlacetError | None = None

    async def follow(
        self, after: int, wanted: Filter, *, is_patient: bool = True, beat: float | None = None
    ) -> AsyncGenerator[Page, None]:
        """What is wanted behind `after`, for ever. A page may be empty: then `next` says what is known to hold nothing.
        With a `beat` there is one at least every so many seconds, also where nothing is new.

        Raises Overtaken for one who was level and falls behind what is in memory, unless he is to be waited for
        (`is_patient`), and Unavailable while the database is away.
        """
        was_level = False
        async with self._read():
            while True:
                grown, committed = self._grown.count, self._store.committed.count
                if self._reading is None or self._reading.done():
                    raise self._trouble or Unavailable("the end of the audit log is read no more")
                page = self._in_memory(after, wanted)
                if page is None and was_level and not is_patient:
                    raise Overtaken(after)
                was_level = page is not None
                if page is None:
                    page = await self._queries.events(after, AT_ONCE, wanted)
                    if page.next == after:  # the index is behind
                        await self._store.committed.wait(LOOK_EVERY, after=committed)
                elif page.next == after:
                    await self._grown.wait(beat or AWAITED, after=grown)
                if page.next != after or beat:
                    yield page
                    after = page.next

    def once(self, recorded: Recorded[Any], encode: Callable[[Recorded[Any]], bytes]) -> bytes:
        """An event encoded, for all who are told of it while it is in memory; all have to encode it alike."""
        position = recorded.position
        if position in self._encoded:
            return self._encoded[position]
        encoded = encode(recorded)
        if self._begin <= position <= self._last:
            self._encoded[position] = encoded
        return encoded

    @property
    def _begin(self) -> int:
        """The position of the ring's first event."""
        return self._last - len(self._ring) + 1

    def _in_memory(self, after: int, wanted: Filter) -> Page | None:
        """The next page, if what follows `after` is in memory, or nothing does yet."""
        if after < self._begin - 1:
            return None
        begin = after + 1 - self._begin
        some = self._ring[begin : begin + AT_ONCE]
        if not some:
            return Page(events=(), next=after)
        admitted = some if wanted.is_open else [each for each in some if _admits(wanted, each)]
        return Page(events=tuple(each.recorded for each in admitted), next=some[-1].recorded.position)

    @asynccontextmanager
    async def _read(self) -> AsyncIterator[None]:
        """Have the end of the log read meanwhile, by one for all."""
        self._followers += 1
        try:
            if self._reading is None or self._reading.done():
                self._forget()
                self._trouble = None
                # From here on, whenever the task comes to it: nothing is skipped, as the ring tells where it begins.
                self._reading = asyncio.create_task(self._keep_reading(), name="the end of the audit log")
            yield
        finally:
            self._followers -= 1
            if self._followers == 0 and self._reading is not None:
                reading, self._reading = self._reading, None
                self._forget()
                reading.cancel()
                # To its end: the store may be closed next, under whatever it still asks it.
                await asyncio.gather(reading, return_exceptions=True)

    async def _keep_reading(self) -> None:
        try:
            end = (await self._store.head(AUDIT)).position
            while self._reading is asyncio.current_task():
                if self._last == _UNKNOWN:
                    self._last = end
                    self._grown.fire()
                seen = self._store.committed.count
                page = await self._store.read_all(self._last, READ_AT_ONCE, log=AUDIT)
                if self._reading is not asyncio.current_task():
                    return  # another one reads by now
                if page:
                    self._take([_Kept.of(each) for each in page])
                else:
                    await self._store.committed.wait(self._store.committed.look_every, after=seen)
        except PlacetError as error:
            self._trouble = error
        finally:
            self._grown.fire()

    def _take(self, kept: list[_Kept]) -> None:
        self._ring += kept
        self._last = kept[-1].recorded.position
        self._bytes += sum(len(each.recorded.event.raw) for each in kept)
        while self._bytes > self._size or len(self._ring) > self._most:
            # Some at a time: taking one from the front of a list moves all others.
            gone = self._ring[: max(1, len(self._ring) // 8)]
            del self._ring[: len(gone)]
            self._bytes -= sum(len(each.recorded.event.raw) for each in gone)
            for each in gone:
                self._encoded.pop(each.recorded.position, None)
        self._grown.fire()

    def _forget(self) -> None:
        # All read by themselves until it is known where the log ends.
        self._ring, self._bytes, self._last, self._encoded = [], 0, _UNKNOWN, {}


def _admits(wanted: Filter, kept: _Kept) -> bool:
    return wanted.admits(type=kept.type, project=kept.project, named=kept.named, time=kept.time)
