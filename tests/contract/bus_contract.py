"""What every bus has to keep to. Adapters subclass `BusContract`.

A bus may lose, repeat and reorder; so the cases say what comes when nothing goes wrong, and what must hold
even then.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress

from placet.errors import Unavailable
from placet.events.bus import (
    Alive,
    Bus,
    Delivery,
    EpochBegan,
    HeadAnnounced,
    Note,
    Outgoing,
    ResendAsked,
    Subscription,
)

from tests.support.eventually import eventually

OpenBus = Callable[[str], Awaitable[Bus]]
"""The bus of a service, by the service's name."""


class Ear:
    """A receiver that remembers what it took, and takes nothing while it has `trouble`."""

    def __init__(self) -> None:
        self.deliveries: list[Delivery] = []
        self.notes: list[Note] = []
        self.trouble: Exception | None = None
        self.refused = 0

    async def receive(self, deliveries: Sequence[Delivery]) -> None:
        if self.trouble is not None:
            self.refused += 1
            raise self.trouble
        self.deliveries.extend(deliveries)

    async def hear(self, note: Note) -> None:
        if self.trouble is not None:
            raise self.trouble
        self.notes.append(note)

    @property
    def positions(self) -> list[int]:
        return [delivery.position for delivery in self.deliveries]


def event(producer: str, position: int, *, project: str = "churn") -> Outgoing:
    return Outgoing(
        id=f"{producer}-{position}",
        routing_key=f"{producer}.thing.happened.{project}",
        epoch="first",
        position=position,
        raw=b'{"number":%d}' % position,
    )


def head(producer: str, position: int) -> HeadAnnounced:
    return HeadAnnounced(
        producer=producer, position=position, end=position, epochs=(EpochBegan(epoch="first", began_after=0),)
    )


@asynccontextmanager
async def listening(bus: Bus, service: str, *producers: str, ear: Ear) -> AsyncIterator[asyncio.Task[None]]:
    """`service` consumes while the block lasts."""
    subscription = Subscription(service=service, producers=frozenset(producers))
    task = asyncio.create_task(bus.consume(subscription, ear))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def connected(speaker: Bus, producer: str, *ears: Ear) -> None:
    """Until what `producer` says reaches `ears`, whatever had to be connected or declared before."""

    async def all_heard() -> bool:
        with suppress(Unavailable):
            await speaker.tell(head(producer, 0))
        return all(head(producer, 0) in ear.notes for ear in ears)

    for ear in ears:
        ear.notes.clear()
    await eventually(all_heard, within=120)


class BusContract:
    """The cases. A subclass gives the fixture `open_bus`."""

    async def test_a_window_arrives_in_order_and_byte_for_byte(self, open_bus: OpenBus) -> None:
        builder, certifier, ear = await open_bus("builder"), await open_bus("certifier"), Ear()
        async with listening(certifier, "certifier", "builder", ear=ear):
            await connected(builder, "builder", ear)

            await builder.publish([event("builder", position) for position in range(1, 251)])
            await builder.publish([event("builder", position) for position in range(251, 301)])

            await eventually(lambda: len(ear.deliveries) >= 300)
            assert ear.positions == list(range(1, 301))
            assert ear.deliveries[6] == Delivery(
                sender="builder",
                routing_key="builder.thing.happened.churn",
                epoch="first",
                position=7,
                raw=b'{"number":7}',
            )

    async def test_every_hearer_of_a_producer_gets_its_events_and_nobody_elses(
        self, open_bus: OpenBus
    ) -> None:
        builder, indexer = await open_bus("builder"), await open_bus("indexer")
        certifier, deployer = await open_bus("certifier"), await open_bus("deployer")
        both, one = Ear(), Ear()
        async with (
            listening(certifier, "certifier", "builder", "indexer", ear=both),
            listening(deployer, "deployer", "indexer", ear=one),
        ):
            await connected(builder, "builder", both)
            await connected(indexer, "indexer", both, one)

            await builder.publish([event("builder", 1)])
            await indexer.publish([event("indexer", 1)])

            await eventually(lambda: len(both.deliveries) >= 2 and one.deliveries)
            assert {delivery.producer for delivery in both.deliveries} == {"builder", "indexer"}
            assert [delivery.producer for delivery in one.deliveries] == ["indexer"]

    async def test_a_service_may_hear_itself(self, open_bus: OpenBus) -> None:
        metadata, ear = await open_bus("metadata"), Ear()
        async with listening(metadata, "metadata", "metadata", ear=ear):
            await connected(metadata, "metadata", ear)

            await metadata.publish([event("metadata", 1)])

            await eventually(lambda: ear.positions == [1])

    async def test_an_event_that_nobody_hears_is_confirmed(self, open_bus: OpenBus) -> None:
        builder = await open_bus("builder")

        await builder.publish([event("builder", 1)])

    async def test_an_event_that_is_sent_again_in_one_window_arrives_again(self, open_bus: OpenBus) -> None:
        builder, certifier, ear = await open_bus("builder"), await open_bus("certifier"), Ear()
        async with listening(certifier, "certifier", "builder", ear=ear):
            await connected(builder, "builder", ear)

            await builder.publish([event("builder", 1), event("builder", 1)])

            await eventually(lambda: ear.positions == [1, 1])

    async def test_positions_of_every_size_come_through(self, open_bus: OpenBus) -> None:
        builder, certifier, ear = await open_bus("builder"), await open_bus("certifier"), Ear()
        positions = [number for bits in (7, 8, 15, 16, 31, 32) for number in (2**bits - 1, 2**bits)]
        positions.append(2**53 - 1)  # the last that JSON carries exactly
        async with listening(certifier, "certifier", "builder", ear=ear):
            await connected(builder, "builder", ear)

            await builder.publish([event("builder", position) for position in positions])

            await eventually(lambda: ear.positions == positions)

    async def test_a_hearer_in_trouble_does_not_hold_up_the_producer(self, open_bus: OpenBus) -> None:
        builder, certifier, ear = await open_bus("builder"), await open_bus("certifier"), Ear()
        async with listening(certifier, "certifier", "builder", ear=ear):
            await connected(builder, "builder", ear)
            ear.trouble = Unavailable("no database")
            await builder.publish([event("builder", 1)])
            await eventually(lambda: ear.refused)
            ear.trouble = None

            await connected(builder, "builder", ear)
            await builder.publish([event("builder", 2)])

            await eventually(lambda: 2 in ear.positions)

    async def test_a_hearer_in_trouble_keeps_no_head_from_the_others(self, open_bus: OpenBus) -> None:
        builder, certifier, deployer = [await open_bus(name) for name in ("builder", "certifier", "deployer")]
        troubled, other = Ear(), Ear()
        async with (
            listening(certifier, "certifier", "builder", ear=troubled),
            listening(deployer, "deployer", "builder", ear=other),
        ):
            await connected(builder, "builder", troubled, other)
            troubled.trouble = Unavailable("no database")

            await builder.tell(head("builder", 7))

            await eventually(lambda: head("builder", 7) in other.notes)

    async def test_who_hears_and_says_is_under_no_impediment(self, open_bus: OpenBus) -> None:
        builder, certifier, ear = await open_bus("builder"), await open_bus("certifier"), Ear()
        async with listening(certifier, "certifier", "builder", ear=ear):
            await connected(builder, "builder", ear)
            assert (builder.impediment, certifier.impediment) == (None, None)

    async def test_who_stopped_hears_again_when_it_starts_again(self, open_bus: OpenBus) -> None:
        builder, certifier = await open_bus("builder"), await open_bus("certifier")
        first, second = Ear(), Ear()
        async with listening(certifier, "certifier", "builder", ear=first):
            await connected(builder, "builder", first)
            await builder.publish([event("builder", 1)])
            await eventually(lambda: first.positions == [1])

        async with listening(certifier, "certifier", "builder", ear=second):
            await connected(builder, "builder", second)
            await builder.publish([event("builder", 2)])
            await eventually(lambda: 2 in second.positions)

    async def test_a_head_reaches_the_hearers_of_its_producer(self, open_bus: OpenBus) -> None:
        builder, indexer = await open_bus("builder"), await open_bus("indexer")
        certifier, deployer = await open_bus("certifier"), await open_bus("deployer")
        hearer, other = Ear(), Ear()
        async with (
            listening(certifier, "certifier", "builder", ear=hearer),
            listening(deployer, "deployer", "indexer", ear=other),
        ):
            await connected(builder, "builder", hearer)
            await connected(indexer, "indexer", other)

            await builder.tell(head("builder", 7))
            await indexer.tell(head("indexer", 8))

            await eventually(lambda: head("builder", 7) in hearer.notes and head("indexer", 8) in other.notes)
            assert head("builder", 7) not in other.notes
            assert head("indexer", 8) not in hearer.notes

    async def test_a_sign_of_life_reaches_the_hearers_of_its_producer(self, open_bus: OpenBus) -> None:
        certifier, deployer, indexer = [await open_bus(name) for name in ("certifier", "deployer", "indexer")]
        hearer, other, alive = Ear(), Ear(), Alive(producer="certifier")
        async with (
            listening(deployer, "deployer", "certifier", ear=hearer),
            listening(indexer, "indexer", "deployer", ear=other),
        ):
            await connected(certifier, "certifier", hearer)
            await connected(deployer, "deployer", other)

            await certifier.tell(alive)
            await deployer.tell(head("deployer", 5))

            await eventually(lambda: alive in hearer.notes and head("deployer", 5) in other.notes)
            assert alive not in other.notes

    async def test_a_wish_for_a_resend_reaches_the_producer_alone(self, open_bus: OpenBus) -> None:
        builder, certifier, deployer = [await open_bus(name) for name in ("builder", "certifier", "deployer")]
        asked, overhears = Ear(), Ear()
        wish = ResendAsked(asker="certifier", producer="builder", after=3, upto=9)
        async with (
            listening(builder, "builder", "certifier", ear=asked),
            listening(deployer, "deployer", "certifier", ear=overhears),
        ):
            await connected(certifier, "certifier", asked, overhears)

            await certifier.tell(wish)
            await certifier.tell(head("certifier", 5))

            await eventually(lambda: wish in asked.notes and head("certifier", 5) in overhears.notes)
            assert wish not in overhears.notes
