"""Events a second that the audit log takes from the bus, beside how many the broker confirms.

A real broker, and a PostgreSQL with fsync on. A producer says persistent events through the exchange, into the
service's quorum queue and the stream, as fast as the broker confirms them, in windows as large as it gladly takes;
nobody hears yet. Then the service hears these same messages, in a process of its own (`intake_load.py`): from when it
connects until the last of them is in its log, the tree growing beside. In turns; the share is the median of the turns'.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from time import perf_counter

from placet.events.adapters.rabbitmq_bus import RabbitMQBus, open_rabbitmq_bus
from placet.events.bus import EpochBegan, HeadAnnounced, Outgoing, routing_key
from placet.metadata.bootstrap import SERVICE

from benchmarks.audit.append_load import PRODUCER, Carried
from benchmarks.events.appends import running
from benchmarks.rows import Row, row
from tests.support.servers import sources

ROUNDS = 5
EVENTS = 5_000
WINDOW = 500
"""Events without a confirm at once."""
EPOCH = "epoch-1"
GOAL = 1.0


async def run() -> list[Row]:
    with (
        sources.POSTGRES.running() as postgres,
        sources.RABBITMQ.running() as broker,
        tempfile.TemporaryDirectory(prefix="placet-bench-") as folder,
    ):
        says, hears = [broker.add_service_user(name) for name in (PRODUCER, SERVICE)]
        command = [sys.executable, "-m", "benchmarks.audit.intake_load"]
        with running([*command, hears, postgres.create_database(), folder]) as service:
            service.ask("0")  # declares its queue
            bus = await open_rabbitmq_bus(says, service=PRODUCER)
            try:
                producer = Producer(bus)
                await producer.begin()
                turns = []
                for _ in range(ROUNDS + 1):
                    confirmed = await producer.say(EVENTS)
                    turns.append((confirmed, EVENTS / service.ask(str(producer.said))))
            finally:
                await bus.close()
    measured = turns[1:]  # the first was connections, caches, first pages
    share = statistics.median(taken / confirmed for confirmed, taken in measured)
    return [
        row(
            "audit log: the broker confirms",
            round(statistics.median(each for each, _ in measured)),
            "events/s",
        ),
        row(
            "audit log: intake from the bus",
            round(statistics.median(each for _, each in measured)),
            "events/s",
        ),
        row("audit log: intake beside the broker's confirms", round(share, 2), "x", goal=GOAL),
    ]


class Producer:
    """One epoch, said as its relay says it."""

    def __init__(self, bus: RabbitMQBus) -> None:
        self._bus = bus
        self._carried = Carried()
        self.said = 0

    async def begin(self) -> None:
        """Tell of the epoch, or its events would wait for that and be asked for again, which nobody answers here."""
        epochs = (EpochBegan(epoch=EPOCH, began_after=0),)
        await self._bus.tell(HeadAnnounced(producer=PRODUCER, position=0, end=EVENTS, epochs=epochs))

    async def say(self, many: int) -> float:
        """Events a second that were confirmed."""
        events = [self._outgoing() for _ in range(many)]
        started = perf_counter()
        for at in range(0, many, WINDOW):
            await self._bus.publish(events[at : at + WINDOW])
        took = perf_counter() - started
        return many / took

    def _outgoing(self) -> Outgoing:
        self.said += 1
        event = self._carried.event()
        return Outgoing(
            id=event.id,
            routing_key=routing_key(event.type, event.partitionkey),
            epoch=EPOCH,
            position=self.said,
            raw=event.raw,
        )
