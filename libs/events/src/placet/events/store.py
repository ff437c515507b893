"""The port to a service's own log and tables: what is committed together, and what a reader may rely on.

Promise of every adapter: *positions are contiguous and in commit order; a reader never passes an event that
is not yet visible.* `tests/contract/store_contract.py` holds each adapter to it. A `Unit` is one caller's whole
change: events, read-model rows and claims become visible together or not at all; many units share one
transaction, and one that fails does so alone.

The port says nothing about how rows are queried beyond SQLAlchemy selects, and offers no update or delete
of an event.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from sqlalchemy import Executable, Row, Select, Table

from placet.errors import Conflict
from placet.events.envelope import Event, Recorded

EVENTS = "events"
"""The log that a service says its own events in."""
PAGE = 1000
"""Events that one page of a replay holds."""

ANY_VERSION = None


class ClaimLost(Conflict):
    """The row that a unit claims is gone: its work has been done already, by this process or another."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Append:
    """Events at the end of one stream. `expected` is the version last seen (0: new), or `ANY_VERSION`.

    In a service's own log the stream is the events' subject (ValueError otherwise), and is not read twice.
    """

    stream: str
    expected: int | None
    events: tuple[Event[Any], ...]
    log: str = EVENTS

    def __post_init__(self) -> None:
        if self.log == EVENTS and any(event.subject != self.stream for event in self.events):
            raise ValueError(f"events of another subject cannot stand in stream {self.stream!r}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Put:
    """Insert a row, or update the one with its primary key, whose columns in `keep` stay as they are."""

    table: Table
    row: Mapping[str, Any]
    keep: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """Any insert, update or delete; `parameters` runs it for each."""

    statement: Executable
    parameters: Sequence[Mapping[str, Any]] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """An update or delete that must hit exactly `rows` rows, or the whole unit ends in `ClaimLost`."""

    statement: Executable
    rows: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Unit:
    """One caller's change, all of it or nothing. Claims come first, then versions are compared, then rows are written.

    Units that share a transaction do so one after the other, as if each had been committed before the next began:
    a claim finds what the units before its own have written. Only the events of all of them are written at the end.
    """

    appends: tuple[Append, ...] = ()
    claims: tuple[Claim, ...] = ()
    writes: tuple[Put | Run, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Head:
    """Where a log ends. A restored database begins a new epoch, at the position where the old one ended."""

    epoch: str
    position: int
    began_after: int = 0


@dataclass(slots=True)
class Signal:
    """Wakes whoever waits for the next commit of this process. Commits of other processes are found by looking."""

    look_every: float = 0.25
    """Seconds between looks for commits of other processes, of which an adapter may know that there are few."""
    count: int = 0
    """Commits so far. Look here before looking into the log, and no commit in between is slept through."""
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def fire(self) -> None:
        self.count += 1
        self._changed.set()
        self._changed = asyncio.Event()

    async def wait(self, at_most: float, *, after: int | None = None) -> None:
        """Return at the first `fire` after number `after` (none given: after now), or after `at_most` seconds."""
        if after is not None and after != self.count:
            return
        changed = self._changed
        try:
            async with asyncio.timeout(at_most):
                await changed.wait()
        except TimeoutError:
            return


class EventStore(Protocol):
    """A service's logs and tables. Every method raises `Unavailable` while the database is away."""

    committed: Signal

    async def commit(self, unit: Unit) -> tuple[Recorded[Any], ...]:
        """Commit `unit` and return its events with their places.

        An event whose id and bytes are already there keeps its original place, and the unit counts as
        committed before. Raises `Conflict` for a version other than the expected one, or a known id with
        other bytes; `ClaimLost` when a claim found nothing.
        """

    async def read(self, stream: str, *, after: int = 0, log: str = EVENTS) -> list[Recorded[Any]]:
        """The events of one stream with a version above `after`, in order."""

    async def read_many(
        self, streams: Collection[str], *, log: str = EVENTS
    ) -> dict[str, list[Recorded[Any]]]:
        """All events of each of `streams`, in order; of one that is not there, none. In one question, for as many as
        fit into memory."""

    async def read_all(
        self, after: int, limit: int, *, log: str = EVENTS, sealed: bool = False
    ) -> list[Recorded[Any]]:
        """At most `limit` events with positions after+1, after+2, … Raises `Unreadable` if one is missing.

        `sealed` leaves their data as bytes, as it is in logs of others' events: for who passes them on.
        """

    def replay(
        self, after: int = 0, *, limit: int = PAGE, log: str = EVENTS
    ) -> AsyncGenerator[list[Recorded[Any]], None]:
        """Everything behind `after` that there is now, as pages of `read_all`, each fetched while the one before it
        is worked on. Close it (`contextlib.aclosing`) where it is not read to its end."""

    async def head(self, log: str = EVENTS) -> Head: ...

    async def epochs(self, log: str = EVENTS) -> list[Head]:
        """Every epoch, oldest first, each with the position it began after; `position` is where it ended or stands."""

    async def begin_epoch(self, log: str = EVENTS) -> Head:
        """Say that this database was restored: what follows is not what may have followed before."""

    async def rows(self, query: Select[Any], values: Mapping[str, Any] | None = None) -> Sequence[Row[Any]]:
        """Run a select on the service's own tables, outside any unit.

        `values` are of its bound parameters: to build a query takes longer than to ask it, and one that is asked for
        each request is built once.
        """

    async def scrub(self, tables: Sequence[Table]) -> bool:
        """See to it that what was deleted from `tables`, or changed there, is not in the database's files any more.

        False where the service may not do that, and who owns the tables has to. For few rows: it can take a table out
        of use for as long as it is rewritten. Copies elsewhere (backups, archived logs) are beyond its reach.
        """

    async def close(self) -> None: ...


class RestorableStore(EventStore, Protocol):
    """A store whose own log may be filled with what it held before."""

    async def take_up_epochs(self, epochs: Sequence[tuple[str, int]], log: str = EVENTS) -> None:
        """Give an empty `log` the epochs it had: each one's name, and the position it began after. Raises Refused for a
        log that is not empty."""


class Alone(Protocol):
    """The one transaction that writes to a store at the moment."""

    async def rows(self, query: Select[Any]) -> Sequence[Row[Any]]: ...

    async def run(
        self, statement: Executable, parameters: Sequence[Mapping[str, Any]] | None = None
    ) -> None: ...


class HoldableStore(EventStore, Protocol):
    """A store that can be held still by somebody beside the service that runs on it."""

    def alone(self) -> AbstractAsyncContextManager[Alone]:
        """Nobody commits anything until this ends, which commits what was done in it, or none of it where it fails.

        Who reads goes on, and sees what was there before. Who writes waits: hold it for seconds, and do nothing in it
        that waits for the service.
        """
