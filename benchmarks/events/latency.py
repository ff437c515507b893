"""How long an event takes from the append to a subscriber, over PostgreSQL and RabbitMQ, and to a service's handler.

One event at a time, so this is the way itself: group commit and sync, relay, publish with confirm, quorum queue,
consumer; for the handler also the hearer's own commit. Both services run in this process, each on its own schema
and with its own broker user, as in production.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
from collections.abc import AsyncIterator, Sequence
from time import perf_counter
from typing import Any

from placet.events.bus import Delivery, Note, Receiver, Subscription
from placet.events.contracts.builder import ImageBuilt
from placet.events.inbox import Inbox
from placet.events.outbox import Relay
from placet.events.reaction import ByType, Heard
from placet.events.store import Append, Unit
from placet.events.unit_of_work import UnitOfWork
from placet.events.wiring import Wiring

from benchmarks.events.append_load import image_built
from benchmarks.rows import Row, row
from tests.support.servers import sources

EVENTS = 1000
WARM_UP = 100


class Watch:
    """When each event was appended, received and handled."""

    def __init__(self) -> None:
        self.handled: dict[str, asyncio.Event] = {}
        self._sent: dict[str, float] = {}
        self.to_subscriber: list[float] = []
        self.to_handler: list[float] = []

    def sends(self, id: str) -> asyncio.Event:
        self._sent[id] = perf_counter()
        self.handled[id] = asyncio.Event()
        return self.handled[id]

    def is_received(self) -> None:
        self.to_subscriber.append(perf_counter() - max(self._sent.values()))

    def is_handled(self, id: str) -> None:
        self.to_handler.append(perf_counter() - self._sent[id])
        self.handled[id].set()


class Subscriber:
    """Notes when something comes, and passes it on."""

    def __init__(self, receiver: Receiver, watch: Watch) -> None:
        self._receiver = receiver
        self._watch = watch

    async def receive(self, deliveries: Sequence[Delivery]) -> None:
        self._watch.is_received()
        await self._receiver.receive(deliveries)

    async def hear(self, note: Note) -> None:
        await self._receiver.hear(note)


async def run() -> list[Row]:
    watch = Watch()
    with sources.POSTGRES.running() as postgres, sources.RABBITMQ.running() as broker:
        database_url = postgres.create_database()
        says, hears = [
            await Wiring.distributed(name, amqp_url=broker.add_service_user(name), database_url=database_url)
            for name in ("builder", "indexer")
        ]
        async with _both(says, hears, watch):
            for _ in range(WARM_UP + EVENTS):
                await _one(says, watch)
        for wiring in (says, hears):
            await wiring.bus.close()
            await wiring.store.close()
    return [
        row(f"latency: append to {whom}, {name}", round(1000 * value, 2), "ms")
        for whom, seconds in (
            ("a subscriber", watch.to_subscriber),
            ("a service's handler", watch.to_handler),
        )
        for name, value in _percentiles(seconds[WARM_UP:])
    ]


def _percentiles(seconds: Sequence[float]) -> list[tuple[str, float]]:
    cuts = statistics.quantiles(seconds, n=100)
    return [("p50", cuts[49]), ("p99", cuts[98])]


async def _one(says: Wiring, watch: Watch) -> None:
    event = image_built()
    handled = watch.sends(event.id)
    await says.store.commit(Unit(appends=(Append(stream=event.subject, expected=0, events=(event,)),)))
    await handled.wait()


@contextlib.asynccontextmanager
async def _both(says: Wiring, hears: Wiring, watch: Watch) -> AsyncIterator[None]:
    async def on_image_built(heard: Heard[Any], work: UnitOfWork) -> None:
        watch.is_handled(heard.event.id)

    relay = Relay("builder", says)
    inbox = Inbox("indexer", hears, ByType({ImageBuilt: on_image_built}))
    inbox_of_builder = Inbox("builder", says, ByType({}))
    inbox_of_builder.on_resend_asked(relay.resend)
    tasks = [
        asyncio.create_task(each)
        for each in (
            relay.run(),
            says.bus.consume(Subscription(service="builder", producers=frozenset()), inbox_of_builder),
            inbox.run(),
            hears.bus.consume(
                Subscription(service="indexer", producers=frozenset({"builder"})), Subscriber(inbox, watch)
            ),
        )
    ]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
