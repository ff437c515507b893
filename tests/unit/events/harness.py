"""What the tests of the event library are plugged into: a real store in a file, a bus and a clock that they script."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Coroutine, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import sqlalchemy as sa
from opentelemetry import trace
from placet.errors import Unavailable
from placet.events.adapters.sqlite_store import open_sqlite_store
from placet.events.bus import Delivery, EpochBegan, HeadAnnounced, Note, Outgoing, Receiver, Subscription
from placet.events.catalog import Catalog, event
from placet.events.clocks import Clock
from placet.events.codec import Codec
from placet.events.envelope import Actor, Event, Recorded
from placet.events.store import EVENTS, PAGE, Append, EventStore, Head, Signal, Unit
from placet.events.tables import LIBRARY
from placet.events.testing import CountingIds, ManualClock
from placet.events.unit_of_work import Context
from placet.events.wiring import Wiring


@event("alpha", "thing.noted")
class AlphaNoted:
    text: str


@event("alpha", "thing.dropped")
class AlphaDropped:
    text: str


@event("beta", "thing.noted")
class BetaNoted:
    text: str


@event("tester", "thing.kept")
class ThingKept:
    text: str


CODEC = Codec(Catalog([AlphaNoted, AlphaDropped, BetaNoted, ThingKept]))
CONTEXT = Context(project="churn", correlation="operation-1", actor=Actor.person("person:1"))

OWN = sa.MetaData()
kept = sa.Table(
    "kept",
    OWN,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("place", sa.Text, unique=True, nullable=False),
)
"""What handlers did, in the order in which it was committed; doing it twice is an error."""

shown_things = sa.Table(
    "shown_things",
    OWN,
    sa.Column("generation", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("place", sa.Text, nullable=False),
)
"""What a projection shows."""


def seal(payload: Any, id: str, *, project: str = "churn", subject: str = "thing/1") -> Event[Any]:
    return CODEC.seal(
        payload,
        id=id,
        time=datetime(2026, 1, 1, tzinfo=UTC),
        subject=subject,
        partitionkey=project,
        correlationid="operation-1",
        actor=Actor.service("tester"),
    )


class HastyClock:
    """A minute later whenever somebody looks, so that whatever is due in a while is due at the next look."""

    def __init__(self) -> None:
        self._now = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        self._now += timedelta(minutes=1)
        return self._now


class ScriptedBus:
    """Remembers what it was given; `trouble` makes it say that the broker is away."""

    def __init__(self) -> None:
        self.published: list[Outgoing] = []
        self.windows: list[int] = []
        self.notes: list[Note] = []
        self.trouble: deque[Unavailable | None] = deque()
        self.is_away = False
        self.impediment: str | None = None

    async def publish(self, window: Sequence[Outgoing]) -> None:
        self._fail()
        self.windows.append(len(window))
        self.published.extend(window)

    async def tell(self, note: Note) -> None:
        self._fail()
        self.notes.append(note)

    async def consume(self, subscription: Subscription, receiver: Receiver) -> None:
        raise NotImplementedError("these tests hand over by themselves")

    async def close(self) -> None: ...

    @property
    def positions(self) -> list[int]:
        return [each.position for each in self.published]

    def _fail(self) -> None:
        if self.is_away:
            raise Unavailable("the broker is away")
        if self.trouble and (trouble := self.trouble.popleft()) is not None:
            raise trouble


Fate = Literal["heard", "lost", "unheard", "held", "silent"]
"""Of a commit: it happens and its answer arrives, it does not happen, it happens and its answer is lost, neither it nor
its answer comes until the test says so, or it happens and its answer comes no sooner than that."""


class FatefulStore:
    """A store whose database is away as the script says; after the script it is there."""

    def __init__(self, store: EventStore, script: Iterable[Fate] = ()) -> None:
        self._store = store
        self.script = deque(script)
        self.released = asyncio.Event()

    @property
    def committed(self) -> Signal:
        return self._store.committed

    @committed.setter
    def committed(self, signal: Signal) -> None:
        self._store.committed = signal

    async def commit(self, unit: Unit) -> tuple[Recorded[Any], ...]:
        fate = self.script.popleft() if self.script else "heard"
        if fate == "lost":
            raise Unavailable("the database is away")
        if fate == "held":
            await self.released.wait()
        answer = await self._store.commit(unit)
        if fate == "unheard":
            raise Unavailable("the database went away")
        if fate == "silent":
            await self.released.wait()
        return answer

    async def read(self, stream: str, *, after: int = 0, log: str = EVENTS) -> list[Recorded[Any]]:
        return await self._store.read(stream, after=after, log=log)

    async def read_many(
        self, streams: Collection[str], *, log: str = EVENTS
    ) -> dict[str, list[Recorded[Any]]]:
        return await self._store.read_many(streams, log=log)

    async def read_all(
        self, after: int, limit: int, *, log: str = EVENTS, sealed: bool = False
    ) -> list[Recorded[Any]]:
        return await self._store.read_all(after, limit, log=log, sealed=sealed)

    def replay(
        self, after: int = 0, *, limit: int = PAGE, log: str = EVENTS
    ) -> AsyncGenerator[list[Recorded[Any]], None]:
        return self._store.replay(after, limit=limit, log=log)

    async def head(self, log: str = EVENTS) -> Head:
        return await self._store.head(log)

    async def epochs(self, log: str = EVENTS) -> list[Head]:
        return await self._store.epochs(log)

    async def begin_epoch(self, log: str = EVENTS) -> Head:
        return await self._store.begin_epoch(log)

    async def rows(
        self, query: sa.Select[Any], values: Mapping[str, Any] | None = None
    ) -> Sequence[sa.Row[Any]]:
        return await self._store.rows(query, values)

    async def scrub(self, tables: Sequence[sa.Table]) -> bool:
        return await self._store.scrub(tables)

    async def close(self) -> None:
        await self._store.close()


async def open_wiring(
    file: Path, *, clock: Clock | None = None, bus: ScriptedBus | None = None, ids: CountingIds | None = None
) -> Wiring:
    names = ids or CountingIds()
    store = await open_sqlite_store(
        file, codec=CODEC, ids=names, tables=(LIBRARY, OWN), logs=(EVENTS,), is_kept=False
    )
    return Wiring(
        store=store,
        bus=bus or ScriptedBus(),
        codec=CODEC,
        clock=clock or ManualClock(),
        ids=names,
        tracer=trace.get_tracer("test"),
    )


class ProducerLog:
    """The log of another service, as the bus tells of it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.epochs = [EpochBegan(epoch=f"{name}-1", began_after=0)]
        self.deliveries: list[Delivery] = []

    def say(self, payload: Any, project: str = "churn") -> Delivery:
        position = len(self.deliveries) + 1
        sealed = seal(payload, f"{self.epochs[-1].epoch}-{position}", project=project)
        _, producer, noun, verb, _ = sealed.type.split(".")
        said = Delivery(
            sender=self.name,
            routing_key=f"{producer}.{noun}.{verb}.{project}",
            epoch=self.epochs[-1].epoch,
            position=position,
            raw=sealed.raw,
        )
        self.deliveries.append(said)
        return said

    def restore(self, position: int) -> None:
        """As after a restore from a backup that ends at `position`: what came later is forgotten."""
        del self.deliveries[position:]
        self.epochs.append(self._next_epoch(position))

    def forget_epoch(self, index: int) -> None:
        """As with a backup from before it began."""
        del self.epochs[index]

    def make_anew(self) -> None:
        """As with an empty database: it knows neither its events nor its epochs any more."""
        self.deliveries.clear()
        self.epochs = [self._next_epoch(0)]

    def _next_epoch(self, began_after: int) -> EpochBegan:
        number = int(self.epochs[-1].epoch.rpartition("-")[2]) + 1
        return EpochBegan(epoch=f"{self.name}-{number}", began_after=began_after)

    @property
    def head(self) -> HeadAnnounced:
        return HeadAnnounced(
            producer=self.name,
            position=len(self.deliveries),
            end=len(self.deliveries),
            epochs=tuple(self.epochs),
        )

    def positions(self, after: int, upto: int) -> list[Delivery]:
        return self.deliveries[after:upto]


def append(*texts: str, stream: str = "thing/1") -> Unit:
    """Events of the service's own, each with its text as its id."""
    events = tuple(seal(ThingKept(text=text), text, subject=stream) for text in texts)
    return Unit(appends=(Append(stream=stream, expected=None, events=events),))


@asynccontextmanager
async def running(work: Coroutine[Any, Any, None]) -> AsyncIterator[asyncio.Task[None]]:
    """Something that runs until it is cancelled, beside the test."""
    task = asyncio.ensure_future(work)
    yield task
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
