"""What a service has heard: in each producer's order, without holes, each message handled once.

A delivery is first stored and then acknowledged, so a slow or failing handler never holds a message of the
broker's. For each producer the inbox knows up to which position it has everything; what lies beyond a hole
waits as `early`, and the producer is asked to send the rest again. Handling deletes the message's row in the
transaction that holds the handler's events and rows: that row is the handled-once key.

Projects run side by side, each in order. A message that must be tried again holds back its own project only;
one that nobody can act on is parked, visible and replayable. Nothing here knows a broker.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Generic, Protocol, TypeVar

import sqlalchemy as sa
from opentelemetry import propagate, trace

from placet.errors import Conflict, PlacetError, Unavailable, Unreadable
from placet.events import tables
from placet.events.bus import Delivery, EpochBegan, HeadAnnounced, Note, ResendAsked
from placet.events.catalog import contract_of
from placet.events.envelope import Event
from placet.events.outcome import DONE, Done, Outcome, Park, Retry, after_attempt, backoff, of_error
from placet.events.store import Claim, ClaimLost, Put, Run, Unit
from placet.events.unit_of_work import Context, UnitOfWork, transact
from placet.events.wiring import Wiring

Data = TypeVar("Data")
Ports = TypeVar("Ports")

log = logging.getLogger(__name__)

MAX_PENDING = 2000
"""Messages in memory before `receive` waits, and with it the broker."""
SLOTS = 32
"""Projects that run at the same time."""
LOOK_EVERY = 6
"""Turns of the chase between looks for parked messages that a person handed back."""
MAX_STRAYS = 1000
"""Strays that are kept for a person to look at: the newest."""
ASK_AT_MOST = 500
"""Positions asked for at once."""
_FORGOTTEN = -1
"""The age of an epoch that its producer does not know any more."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Heard(Generic[Data]):
    """An event of some producer with its place in that producer's log."""

    event: Event[Data]
    epoch: str
    position: int

    @property
    def data(self) -> Data:
        return self.event.data


class Reaction(Protocol):
    """What a service does with what it hears."""

    batch: int
    """How many messages of one lane may be handled as one unit."""

    def wants(self, routing_key: str) -> bool: ...

    def lane(self, producer: str, routing_key: str) -> str:
        """What must stay in order among itself."""

    async def __call__(self, heard: Sequence[Heard[Any]], work: UnitOfWork) -> Outcome: ...

    def read(self, wiring: Wiring, raw: bytes) -> Event[Any]: ...


Handler = Callable[[Heard[Any], UnitOfWork], Awaitable[Outcome | None]]


class ByType:
    """Each event type has its handler; projects are the lanes."""

    batch = 1

    def __init__(self, handlers: Mapping[type, Handler]) -> None:
        self._handlers = dict(handlers)
        contracts = [contract_of(cls) for cls in handlers]
        self._prefixes = frozenset(f"{contract.producer}.{contract.name}." for contract in contracts)

    @classmethod
    def with_ports(
        cls,
        handlers: Mapping[type, Callable[[Heard[Any], UnitOfWork, Ports], Awaitable[Outcome | None]]],
        ports: Ports,
    ) -> ByType:
        """Handlers that take a service's ports after the message and the unit of work."""

        def bound(handler: Callable[[Heard[Any], UnitOfWork, Ports], Awaitable[Outcome | None]]) -> Handler:
            return lambda heard, work: handler(heard, work, ports)

        return cls({event: bound(handler) for event, handler in handlers.items()})

    def wants(self, routing_key: str) -> bool:
        return routing_key[: routing_key.rfind(".") + 1] in self._prefixes

    def lane(self, producer: str, routing_key: str) -> str:
        return routing_key.rpartition(".")[2]

    def read(self, wiring: Wiring, raw: bytes) -> Event[Any]:
        return wiring.codec.read(raw)

    async def __call__(self, heard: Sequence[Heard[Any]], work: UnitOfWork) -> Outcome:
        (message,) = heard
        handler = self._handlers.get(type(message.data))
        if handler is None:
            return DONE
        return await handler(message, work) or DONE


class Everything:
    """One handler for all events, many at once, whatever their type; producers are the lanes."""

    batch = 100

    def __init__(
        self, handler: Callable[[Sequence[Heard[Any]], UnitOfWork], Awaitable[Outcome | None]]
    ) -> None:
        self._handler = handler

    def wants(self, routing_key: str) -> bool:
        return True

    def lane(self, producer: str, routing_key: str) -> str:
        return producer

    def read(self, wiring: Wiring, raw: bytes) -> Event[Any]:
        return wiring.codec.read_envelope(raw)

    async def __call__(self, heard: Sequence[Heard[Any]], work: UnitOfWork) -> Outcome:
        return await self._handler(heard, work) or DONE


@dataclass(slots=True)
class _Waiting:
    """A message in a lane."""

    producer: str
    epoch: str
    position: int
    routing_key: str
    raw: bytes
    attempts: int = 0
    next_at: float = 0.0

    @property
    def place(self) -> tuple[str, str, int]:
        return self.producer, self.epoch, self.position

    def is_row(self) -> sa.ColumnElement[bool]:
        return sa.and_(
            tables.inbox.c.producer == self.producer,
            tables.inbox.c.epoch == self.epoch,
            tables.inbox.c.position == self.position,
        )


@dataclass(slots=True)
class _Producer:
    """What is known of one producer's log. `early` are positions beyond a hole; their rows are in the database."""

    epoch: str = ""
    position: int = 0
    is_stored: bool = False
    """Whether the database has a cursor for it."""
    early: dict[tuple[str, int], Delivery] = field(default_factory=dict)
    head: HeadAnnounced | None = None
    asked: int = 0
    ask_at: float = 0.0
    gap_told: int = 0

    def is_behind(self, epoch: str, position: int) -> bool:
        """Whether this place has been passed, so that its message can only be a repetition."""
        return self.is_before((epoch, position), (self.epoch, self.position + 1))

    def is_before(self, place: tuple[str, int], other: tuple[str, int]) -> bool:
        """Whether `place` is known to lie before `other`: lower in the same epoch, or in an earlier one."""
        if place[0] == other[0]:
            return place[1] < other[1]
        age, others_age = self._age(place[0]), self._age(other[0])
        return age is not None and others_age is not None and age < others_age

    def successor(self, epoch: str, position: int) -> EpochBegan | None:
        """The epoch that goes on after (`epoch`, `position`), once the producer has told of it.

        A producer that was restored from a backup may have begun it further back: it forgot what we still know. One
        whose database was made anew does not even know `epoch` any more, and is heard from its beginning.
        """
        epochs = self.head.epochs if self.head else ()
        if epochs and self._age(epoch) == _FORGOTTEN:
            return epochs[0]
        for before, after in zip(("", *(each.epoch for each in epochs)), epochs, strict=False):
            if before == epoch and after.began_after <= position:
                return after
        return None

    def _age(self, epoch: str) -> int | None:
        """Its number among the producer's epochs; none where that is unknown.

        Epochs are named in their order, so one that is missing and would come before all others is forgotten.
        What would come after them is new: the announcement is old.
        """
        names = [each.epoch for each in self.head.epochs] if self.head else []
        if epoch in names:
            return names.index(epoch)
        return _FORGOTTEN if names and "" < epoch < names[0] else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Gap:
    """Positions `after` + 1 to `upto` of a producer's log that did not come although later ones did."""

    producer: str
    epoch: str
    after: int
    upto: int


class Inbox:
    """The receiver of one service. Call `load`, then `run` and the bus's `consume` side by side."""

    def __init__(self, service: str, wiring: Wiring, reaction: Reaction, *, ask_after: float = 0.5) -> None:
        self._service = service
        self._wiring = wiring
        self._reaction = reaction
        self._ask_after = ask_after
        self._producers: dict[str, _Producer] = {}
        self._lanes: dict[str, deque[_Waiting]] = {}
        self._inside: set[tuple[str, str, int]] = set()
        self._pending = 0
        self._room = asyncio.Condition()
        self._ready: asyncio.Queue[str] = asyncio.Queue()
        self._slots = asyncio.Semaphore(SLOTS)
        self._receiving = asyncio.Lock()
        self._resend_asked: Callable[[int, int], None] = lambda after, upto: None
        self._gap_found: Callable[[Gap], Awaitable[None]] | None = None

    def on_resend_asked(self, resend: Callable[[int, int], None]) -> None:
        """Who is told when a hearer asks this service to send positions again: the relay."""
        self._resend_asked = resend

    def on_gap(self, tell: Callable[[Gap], Awaitable[None]]) -> None:
        """Who is told, once for each, when a hole is still there after it was asked for."""
        self._gap_found = tell

    @property
    def pending(self) -> int:
        """Messages received and not yet handled or parked."""
        return self._pending

    # What the bus calls.

    async def receive(self, deliveries: Sequence[Delivery]) -> None:
        async with self._room:
            await self._room.wait_for(lambda: self._pending < MAX_PENDING)
        async with self._receiving:
            await self._receive(deliveries)

    async def hear(self, note: Note) -> None:
        match note:
            case ResendAsked(producer=producer, after=after, upto=upto) if producer == self._service:
                self._resend_asked(after, upto)
            case HeadAnnounced():
                async with self._receiving:
                    await self._hear_head(note)
            case _:
                return

    # Receiving: store, advance over what is whole, hand the wanted ones to their lanes.

    async def _receive(self, deliveries: Sequence[Delivery]) -> None:
        now = self._now()
        writes: list[Put | Run] = []
        fresh: dict[str, dict[tuple[str, int], Delivery]] = {}
        for delivery in deliveries:
            objection = self._objection(delivery)
            if objection is not None:
                log.warning("%s: a stray on %s: %s", self._service, delivery.routing_key, objection)
                writes.append(self._stray(delivery, objection, now))
                continue
            known = self._producers.setdefault(delivery.producer, _Producer())
            place = (delivery.epoch, delivery.position)
            if place in known.early or known.is_behind(*place):
                continue
            fresh.setdefault(delivery.producer, {})[place] = delivery
        if writes:
            writes.append(_forget_old_strays())
        await self._accept(fresh, writes, now)

    async def _accept(
        self, fresh: Mapping[str, Mapping[tuple[str, int], Delivery]], writes: list[Put | Run], now: float
    ) -> None:
        claims: list[Claim] = []
        moves: list[tuple[_Producer, str, int, list[Delivery], list[Delivery]]] = []
        for producer, arrived in fresh.items():
            known = self._producers[producer]
            together = {**known.early, **arrived}
            epoch, position, whole = self._advance(producer, known, together)
            early = [delivery for place, delivery in arrived.items() if place in together]
            wanted: list[Delivery] = []
            for delivery in whole:
                was_early = (delivery.epoch, delivery.position) in known.early
                if self._reaction.wants(delivery.routing_key):
                    wanted.append(delivery)
                    if was_early:
                        writes.append(Run(statement=_row_of(delivery, sa.update).values(state="waiting")))
                    else:
                        writes.append(self._row(delivery, "waiting", now))
                elif was_early:
                    writes.append(Run(statement=_row_of(delivery, sa.delete)))
            writes.extend(self._row(delivery, "early", now) for delivery in early)
            passed = [
                each for place, each in together.items() if known.is_before(place, (epoch, position + 1))
            ]
            writes.extend(Run(statement=_row_of(each, sa.delete)) for each in passed)
            if arrived or (epoch, position) != (known.epoch, known.position):
                # Also when it stays: who is not where the database is must not write over another leader's rows.
                claims.append(_move_cursor(producer, known, epoch, position))
            moves.append((known, epoch, position, wanted, early))
        if writes or claims:
            try:
                await self._wiring.store.commit(Unit(claims=tuple(claims), writes=tuple(writes)))
            except Conflict as error:
                # The cursor is elsewhere: an earlier commit of ours whose answer got lost, or another leader.
                await self.load()
                raise Unavailable(f"{self._service}: the inbox moved meanwhile: {error}") from error
        for known, epoch, position, wanted, early in moves:
            known.epoch, known.position, known.is_stored = epoch, position, True
            together = {**known.early, **{(each.epoch, each.position): each for each in early}}
            known.early = {place: each for place, each in together.items() if not known.is_behind(*place)}
            for delivery in wanted:
                self._enter(
                    _Waiting(
                        producer=delivery.producer,
                        epoch=delivery.epoch,
                        position=delivery.position,
                        routing_key=delivery.routing_key,
                        raw=delivery.raw,
                    )
                )

    def _advance(
        self, producer: str, known: _Producer, together: dict[tuple[str, int], Delivery]
    ) -> tuple[str, int, list[Delivery]]:
        """Take from `together` what follows without a hole; returns the new place and what was taken."""
        epoch, position, whole = known.epoch, known.position, []
        while True:
            delivery = together.pop((epoch, position + 1), None)
            if delivery is not None:
                position += 1
                whole.append(delivery)
                continue
            successor = known.successor(epoch, position)
            if successor is None:
                return epoch, position, whole
            if successor.began_after < position:
                log.error(
                    "%s: %s was restored or made anew: it forgot %d to %d of its epoch %s, which were heard here",
                    *(self._service, producer, successor.began_after + 1, position, epoch),
                )
            epoch, position = successor.epoch, successor.began_after

    def _objection(self, delivery: Delivery) -> str | None:
        """Why a delivery is not what it says it is, if so."""
        if delivery.sender != delivery.producer:
            return f"sent by {delivery.sender or 'nobody known'}, but says it is {delivery.producer or 'nobody'}'s"
        if not delivery.epoch or delivery.position < 1:
            return "carries no epoch or no position"
        try:
            event = self._wiring.codec.read_envelope(delivery.raw)
        except Unreadable as error:
            return str(error)
        if event.source != delivery.producer:
            return f"its envelope says {event.source!r:.100}, its sender is {delivery.producer}"
        return None

    def _stray(self, delivery: Delivery, reason: str, now: float) -> Put:
        return Put(
            table=tables.strays,
            row={
                "id": self._wiring.ids.new(),
                "sender": delivery.sender,
                "routing_key": delivery.routing_key,
                "raw": delivery.raw,
                "reason": reason,
                "received_at": now,
            },
        )

    @staticmethod
    def _row(delivery: Delivery, state: str, now: float) -> Put:
        return Put(
            table=tables.inbox,
            row={
                "producer": delivery.producer,
                "epoch": delivery.epoch,
                "position": delivery.position,
                "routing_key": delivery.routing_key,
                "raw": delivery.raw,
                "state": state,
                "attempts": 0,
                "next_at": now,
                "reason": None,
                "received_at": now,
            },
        )

    # Holes.

    async def _hear_head(self, note: HeadAnnounced) -> None:
        known = self._producers.setdefault(note.producer, _Producer())
        known.head = note
        # An epoch's beginning may be what early messages were waiting for. Not only when it is news: the last time,
        # the database may have been away.
        await self._accept({note.producer: {}}, [], self._now())
        await self._ask(note.producer, known)

    async def _ask(self, producer: str, known: _Producer) -> None:
        """Ask for what is missing, at once when the hole is new and then again and again while it stays."""
        behind_until = 0
        if known.early:
            behind_until = min(position for _, position in known.early) - 1
        if known.head is not None:
            behind_until = max(behind_until, known.head.position)
        if behind_until <= known.position or self._pending >= MAX_PENDING:
            return
        now = self._now()
        if known.asked == known.position + 1 and now < known.ask_at:
            return
        if known.asked == known.position + 1:
            await self._tell_gap(producer, known)
        known.asked, known.ask_at = known.position + 1, now + 2 * self._ask_after
        note = ResendAsked(
            asker=self._service,
            producer=producer,
            after=known.position,
            upto=min(behind_until, known.position + ASK_AT_MOST),
        )
        try:
            await self._wiring.bus.tell(note)
        except Unavailable:
            known.asked = 0

    async def _tell_gap(self, producer: str, known: _Producer) -> None:
        """Being behind is no gap; one is where later positions arrived and earlier ones did not."""
        if self._gap_found is None or not known.early or known.gap_told == known.position + 1:
            return
        upto = min(position for _, position in known.early) - 1
        await self._gap_found(Gap(producer=producer, epoch=known.epoch, after=known.position, upto=upto))
        known.gap_told = known.position + 1

    async def chase(self) -> None:
        """Ask for what stays missing, and take up what was handed back, until cancelled."""
        turns = 0
        while True:
            await asyncio.sleep(self._ask_after)
            turns += 1
            if turns % LOOK_EVERY == 0:
                await self._take_up_retried()
            for producer, known in list(self._producers.items()):
                await self._ask(producer, known)

    async def _take_up_retried(self) -> None:
        table = tables.inbox
        waiting = sa.select(table.c.producer, table.c.epoch, table.c.position).where(
            table.c.state == "waiting"
        )
        async with self._receiving:
            try:
                places = {
                    (row.producer, row.epoch, row.position) for row in await self._wiring.store.rows(waiting)
                }
                if not places <= self._inside:
                    await self.load()
            except Unavailable:
                return  # the next look is soon enough

    def lag(self) -> Mapping[str, int]:
        """By producer: positions it is known to have that have not arrived here in order."""
        return {
            producer: max(
                (known.head.position if known.head else 0),
                max((position for _, position in known.early), default=0),
            )
            - known.position
            for producer, known in self._producers.items()
        }

    # Lanes.

    async def load(self) -> None:
        """Take up what the database holds and this process does not: at the start, and after a doubt."""
        cursors = await self._wiring.store.rows(sa.select(tables.inbox_cursors))
        for row in cursors:
            known = self._producers.setdefault(row.producer, _Producer())
            known.epoch, known.position, known.is_stored, known.early = row.epoch, row.position, True, {}
        query = sa.select(tables.inbox).where(tables.inbox.c.state != "parked")
        # Not by time of receipt: what came behind a hole came before what filled it. Epochs are named in their order.
        order = (tables.inbox.c.producer, tables.inbox.c.epoch, tables.inbox.c.position)
        for row in await self._wiring.store.rows(query.order_by(*order)):
            if row.state == "early":
                known = self._producers.setdefault(row.producer, _Producer())
                known.early[row.epoch, row.position] = Delivery(
                    sender=row.producer,
                    routing_key=row.routing_key,
                    epoch=row.epoch,
                    position=row.position,
                    raw=row.raw,
                )
            else:
                self._enter(_waiting(row))

    async def run(self) -> None:
        """Handle what is in the lanes, until cancelled; what is being handled then is finished first."""
        async with asyncio.TaskGroup() as lanes:
            while True:
                lane = await self._ready.get()
                lanes.create_task(self._run_lane(lane), name=f"{self._service} lane {lane}")

    def _enter(self, waiting: _Waiting) -> None:
        if waiting.place in self._inside:
            return
        self._inside.add(waiting.place)
        lane = self._reaction.lane(waiting.producer, waiting.routing_key)
        queue = self._lanes.get(lane)
        if queue is None:
            queue = self._lanes[lane] = deque()
            self._ready.put_nowait(lane)
        queue.append(waiting)
        self._pending += 1

    async def _run_lane(self, lane: str) -> None:
        queue = self._lanes[lane]
        while queue:
            delay = queue[0].next_at - self._now()
            if delay > 0:
                await asyncio.sleep(delay)
            batch = self._take(queue)
            async with self._slots:
                finished = await to_the_end(self._handle(batch))
            if finished:
                for waiting in batch:
                    queue.popleft()
                    self._inside.discard(waiting.place)
                await self._make_room(len(batch))
        del self._lanes[lane]

    def _take(self, queue: deque[_Waiting]) -> list[_Waiting]:
        first = queue[0]
        batch = [first]
        for waiting in islice(queue, 1, self._reaction.batch if first.attempts == 0 else 1):
            if (waiting.producer, waiting.epoch, waiting.attempts) != (first.producer, first.epoch, 0):
                break
            batch.append(waiting)
        return batch

    async def _make_room(self, count: int) -> None:
        async with self._room:
            self._pending -= count
            self._room.notify_all()

    async def _handle(self, batch: list[_Waiting]) -> bool:
        """Handle a batch as one unit; returns whether it leaves the lane."""
        first = batch[0]
        try:
            outcome = await self._attempt(batch)
            if isinstance(outcome, Done):
                return True
            if len(batch) > 1:  # who is to blame shows when they go one by one
                for waiting in batch:
                    waiting.attempts = max(waiting.attempts, 1)
                return False
            return await self._put_aside(first, outcome)
        except Unavailable as error:
            # The database itself is away: nothing can be written down, so remember it here and try again.
            log.warning("%s: %s", self._service, error)
            first.attempts += 1
            first.next_at = self._now() + min(backoff(first.attempts), 2.0)
            return False

    async def _attempt(self, batch: list[_Waiting]) -> Outcome:
        heard: list[Heard[Any]] = []
        try:
            for waiting in batch:
                event = self._reaction.read(self._wiring, waiting.raw)
                heard.append(Heard(event=event, epoch=waiting.epoch, position=waiting.position))
        except Unreadable as error:
            return Park(reason=str(error))
        event = heard[0].event
        outcome: Outcome = DONE

        async def change(work: UnitOfWork) -> None:
            nonlocal outcome
            outcome = await self._reaction(heard, work)
            if not isinstance(outcome, Done):
                raise _NotDone

        parent = propagate.extract({"traceparent": event.traceparent}) if event.traceparent else None
        with self._wiring.tracer.start_as_current_span(
            f"{self._service} handles {event.type}", context=parent, kind=trace.SpanKind.CONSUMER
        ):
            context = Context.after(event, self._service)
            try:
                await transact(self._wiring, self._service, context, change, _claim(batch))
            except ClaimLost:
                if len(batch) > 1:
                    return Retry(after=0.0, reason="some of these are handled already")
                return DONE  # handled already: by a replica, or by ourselves before an answer got lost
            except _NotDone:
                return outcome
            except Exception as error:
                if not isinstance(error, PlacetError):
                    log.exception("%s: handling %s of %s failed", self._service, event.type, event.subject)
                return of_error(error)
        return DONE

    async def _put_aside(self, waiting: _Waiting, outcome: Retry | Park) -> bool:
        waiting.attempts += 1
        settled = after_attempt(outcome, waiting.attempts)
        update = sa.update(tables.inbox).where(waiting.is_row())
        match settled:
            case Retry(after=after, reason=reason):
                waiting.next_at = self._now() + (after or 0.0)
                log.info(
                    "%s: %s again in %.1f s: %s", self._service, waiting.routing_key, after or 0.0, reason
                )
                values: dict[str, Any] = {
                    "attempts": waiting.attempts,
                    "next_at": waiting.next_at,
                    "reason": reason,
                }
                await self._wiring.store.commit(Unit(writes=(Run(statement=update.values(**values)),)))
                return False
            case Park(reason=reason):
                log.error("%s: parked %s: %s", self._service, waiting.routing_key, reason)
                values = {"attempts": waiting.attempts, "state": "parked", "reason": reason}
                await self._wiring.store.commit(Unit(writes=(Run(statement=update.values(**values)),)))
                return True

    def _now(self) -> float:
        return self._wiring.clock.now().timestamp()


class _NotDone(Exception):
    """A handler ended otherwise than in Done: leave its unit uncommitted."""


def _claim(batch: Sequence[_Waiting]) -> Claim:
    first = batch[0]
    positions = [waiting.position for waiting in batch]
    rows = sa.delete(tables.inbox).where(
        tables.inbox.c.producer == first.producer,
        tables.inbox.c.epoch == first.epoch,
        tables.inbox.c.position.in_(positions),
        tables.inbox.c.state == "waiting",
    )
    return Claim(statement=rows, rows=len(batch))


def _forget_old_strays() -> Run:
    """Who can send strays must not be able to fill the disk with them."""
    table = tables.strays
    kept = sa.select(table.c.id).order_by(table.c.id.desc()).limit(MAX_STRAYS)
    return Run(statement=sa.delete(table).where(table.c.id.not_in(kept)))


def _row_of(delivery: Delivery, kind: Callable[[sa.Table], Any]) -> Any:
    table = tables.inbox
    return kind(table).where(
        table.c.producer == delivery.producer,
        table.c.epoch == delivery.epoch,
        table.c.position == delivery.position,
    )


def _waiting(row: Any) -> _Waiting:
    return _Waiting(
        producer=row.producer,
        epoch=row.epoch,
        position=row.position,
        routing_key=row.routing_key,
        raw=row.raw,
        attempts=row.attempts,
        next_at=row.next_at,
    )


def _move_cursor(producer: str, known: _Producer, epoch: str, position: int) -> Claim:
    """Move it from where we believe it is, so that of two leaders only one goes on."""
    table = tables.inbox_cursors
    if not known.is_stored:
        return Claim(statement=sa.insert(table).values(producer=producer, epoch=epoch, position=position))
    here = sa.and_(
        table.c.producer == producer, table.c.epoch == known.epoch, table.c.position == known.position
    )
    return Claim(statement=sa.update(table).where(here).values(epoch=epoch, position=position))


async def to_the_end(work: Coroutine[Any, Any, Data]) -> Data:
    """Await `work`; if the caller is cancelled meanwhile, let it finish first. Stopping is between units."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise
