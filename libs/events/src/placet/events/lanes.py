"""Handling what the inbox took on: projects side by side, each in order, each message in one unit.

The rows in the database are the truth; a lane holds the next few of its messages in memory and reads on when it has
handled them, so one project that must wait costs the others nothing. Deleting a message's row in the transaction that
holds its handler's events and rows is what makes it handled once. A message that must be tried again holds back its
lane; one that nobody can act on is parked, visible and replayable.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import sqlalchemy as sa
from opentelemetry import trace

from placet.errors import PlacetError, Unavailable, Unreadable
from placet.events import tables
from placet.events.logs import working_for
from placet.events.metrics import HANDLED, outcome_of
from placet.events.outcome import (
    DONE,
    Done,
    Outcome,
    Park,
    Retry,
    after_attempt,
    backoff,
    is_failure,
    of_error,
)
from placet.events.reaction import Heard, Reaction
from placet.events.store import Claim, ClaimLost, Run, Unit
from placet.events.tasks import TaskGroup, to_the_end
from placet.events.traces import after, link_to
from placet.events.unit_of_work import Context, UnitOfWork, transact
from placet.events.wiring import Wiring

log = logging.getLogger(__name__)

SLOTS = 32
"""Lanes that run at the same time."""
WINDOW = 200
"""Messages of one lane in memory."""
HANDLE_WITHIN = 60.0
"""Seconds for one attempt. Long work is a job: a handler that takes longer hangs."""
FINISH_WITHIN = 15.0
"""Seconds that what is being handled when the service stops has to end."""


@dataclass(slots=True)
class Waiting:
    """A message in a lane. `failures` are its attempts so far that count, `outages` those that the database missed."""

    producer: str
    epoch: str
    position: int
    raw: bytes
    routing_key: str
    failures: int = 0
    next_at: float = 0.0
    outages: int = 0
    is_alone: bool = False
    """Whether it is tried by itself, after a batch with it in failed."""

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
class _Lane:
    messages: deque[Waiting] = field(default_factory=deque)
    behind: int = 0
    """How many more the database holds: as far as is known, and 0 only if there are none."""


class Lanes:
    """`run` them while leading. `storing` is held by whoever stores messages and then `enter`s them."""

    def __init__(self, service: str, wiring: Wiring, reaction: Reaction, *, storing: asyncio.Lock) -> None:
        self._service = service
        self._wiring = wiring
        self._reaction = reaction
        self._storing = storing
        self._lanes: dict[str, _Lane] = {}
        self._ready: asyncio.Queue[str] = asyncio.Queue()
        self._slots = asyncio.Semaphore(SLOTS)

    @property
    def waiting(self) -> int:
        """Messages that are neither handled nor parked."""
        return sum(len(lane.messages) + lane.behind for lane in self._lanes.values())

    def enter(self, waiting: Waiting) -> None:
        """Put a message that has just been stored at the end of its lane."""
        lane = self._open(self._reaction.lane(waiting.producer, waiting.routing_key))
        if lane.behind or len(lane.messages) >= WINDOW:
            lane.behind += 1
        else:
            lane.messages.append(waiting)

    async def look(self) -> None:
        """Find rows that this process does not know of: at the start, after a doubt, and those handed back."""
        table = tables.inbox
        counted = sa.select(table.c.lane, sa.func.count().label("rows")).where(table.c.state == "waiting")
        for row in await self._wiring.store.rows(counted.group_by(table.c.lane)):
            lane = self._open(row.lane)
            lane.behind = max(lane.behind, row.rows - len(lane.messages))

    async def run(self) -> None:
        """Handle what is in the lanes, until cancelled; what is being handled then is finished first."""
        async with TaskGroup() as running:
            while True:
                name = await self._ready.get()
                running.create_task(self._run_lane(name), name=f"{self._service} lane {name}")

    def _open(self, name: str) -> _Lane:
        lane = self._lanes.get(name)
        if lane is None:
            lane = self._lanes[name] = _Lane()
            self._ready.put_nowait(name)
        return lane

    async def _run_lane(self, name: str) -> None:
        lane = self._lanes[name]
        while lane.messages or lane.behind:
            if not lane.messages:
                await self._read_on(name, lane)
                continue
            delay = lane.messages[0].next_at - self._now()
            if delay > 0:
                await asyncio.sleep(delay)
            batch = self._take(lane.messages)
            async with self._slots:
                finished = await to_the_end(self._handle(batch), within=FINISH_WITHIN)
            if finished:
                for _ in batch:
                    lane.messages.popleft()
        del self._lanes[name]

    async def _read_on(self, name: str, lane: _Lane) -> None:
        """Fill an empty lane with what comes next."""
        table = tables.inbox
        query = sa.select(table).where(table.c.lane == name, table.c.state == "waiting")
        # Not by time of receipt: what came behind a hole came before what filled it. Epochs are named in their order.
        query = query.order_by(table.c.producer, table.c.epoch, table.c.position).limit(WINDOW)
        try:
            async with (
                self._storing
            ):  # or a message that is stored and not entered yet would be in here twice
                rows = await self._wiring.store.rows(query)
                lane.behind = max(lane.behind - WINDOW, 1) if len(rows) == WINDOW else 0
                lane.messages.extend(_waiting(row) for row in rows)
        except Unavailable as error:
            log.warning("%s: lane %s waits: %s", self._service, name, error)
            await asyncio.sleep(1.0)

    def _take(self, messages: deque[Waiting]) -> list[Waiting]:
        first = messages[0]
        batch = [first]
        if first.is_alone or first.failures:
            return batch
        for waiting in islice(messages, 1, self._reaction.batch):
            if (waiting.producer, waiting.epoch) != (first.producer, first.epoch):
                break
            if waiting.is_alone or waiting.failures:
                break
            batch.append(waiting)
        return batch

    async def _handle(self, batch: list[Waiting]) -> bool:
        """Handle a batch as one unit; returns whether it leaves the lane."""
        first = batch[0]
        began = time.perf_counter()
        try:
            outcome = await self._attempt(batch)
            what = ".".join(first.routing_key.split(".")[:3])
            HANDLED.labels(self._service, what, outcome_of(outcome)).observe(time.perf_counter() - began)
            if isinstance(outcome, Done):
                return True
            if len(batch) > 1:  # who is to blame shows when they go one by one
                for waiting in batch:
                    waiting.is_alone = True
                return False
            return await self._put_aside(first, outcome)
        except Unavailable as error:
            # The database itself is away: nothing can be written down, so remember it here and try again.
            log.warning("%s: %s", self._service, error)
            first.outages += 1
            first.next_at = self._now() + min(backoff(first.outages), 2.0)
            return False

    async def _attempt(self, batch: list[Waiting]) -> Outcome:
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

        with self._wiring.tracer.start_as_current_span(
            f"{self._service} handles {event.type}",
            context=after(event.attributes.traceparent),
            kind=trace.SpanKind.CONSUMER,
            attributes={
                "placet.project": event.attributes.partitionkey,
                "placet.operation": event.attributes.correlationid,
                "placet.event": event.attributes.id,
                "messaging.batch.message_count": len(batch),
            },
            links=[link for each in heard[1:] if (link := link_to(each.event.attributes.traceparent))],
        ):
            context = Context.after(event, self._service)
            try:
                with working_for(context):
                    async with asyncio.timeout(HANDLE_WITHIN):
                        await transact(self._wiring, self._service, context, change, _claim(batch))
            except ClaimLost:
                if len(batch) > 1:
                    return Retry(after=0.0, reason="some of these are handled already")
                return DONE  # handled already: by a replica, or by ourselves before an answer got lost
            except _NotDone:
                return outcome
            except Exception as error:
                if not isinstance(error, PlacetError):
                    with working_for(context):
                        log.exception(
                            "%s: handling %s of %s failed", self._service, event.type, event.subject
                        )
                return of_error(error)
        return DONE

    async def _put_aside(self, waiting: Waiting, outcome: Retry | Park) -> bool:
        waiting.failures += is_failure(outcome)
        settled = after_attempt(outcome, waiting.failures)
        update = sa.update(tables.inbox).where(waiting.is_row())
        values: dict[str, Any] = {"attempts": waiting.failures, "reason": settled.reason}
        match settled:
            case Retry(after=after):
                delay = after or 0.0
                waiting.next_at = values["next_at"] = self._now() + delay
                log.info(
                    "%s: %s again in %.1f s: %s", self._service, waiting.routing_key, delay, settled.reason
                )
            case Park():
                values |= {"state": "parked", "next_at": self._now()}  # when that was
                log.error("%s: parked %s: %s", self._service, waiting.routing_key, settled.reason)
        await self._wiring.store.commit(Unit(writes=(Run(statement=update.values(**values)),)))
        return isinstance(settled, Park)

    def _now(self) -> float:
        return self._wiring.clock.now().timestamp()


class _NotDone(Exception):
    """A handler ended otherwise than in Done: leave its unit uncommitted."""


def _claim(batch: Sequence[Waiting]) -> Claim:
    first = batch[0]
    positions = [waiting.position for waiting in batch]
    rows = sa.delete(tables.inbox).where(
        tables.inbox.c.producer == first.producer,
        tables.inbox.c.epoch == first.epoch,
        tables.inbox.c.position.in_(positions),
        tables.inbox.c.state == "waiting",
    )
    return Claim(statement=rows, rows=len(batch))


def _waiting(row: Any) -> Waiting:
    return Waiting(
        producer=row.producer,
        epoch=row.epoch,
        position=row.position,
        routing_key=row.routing_key,
        raw=row.raw,
        failures=row.attempts,
        next_at=row.next_at,
    )
