"""The bus heals by itself, whatever becomes of the broker and of the way to it.

The bus may lose what was on its way, so the cases publish again until it is confirmed, as the outbox does,
and ask for nothing but that afterwards everything flows again by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

import pytest
from placet.errors import Unavailable
from placet.events.adapters.rabbitmq_bus import RabbitMQBus, open_rabbitmq_bus
from placet.events.bus import EXCHANGE, STREAM, Bus

from tests.contract.bus_contract import Ear, connected, event, listening
from tests.support.amqp import amqp_channel, queue_exists
from tests.support.eventually import eventually
from tests.support.servers import RabbitMQ
from tests.support.tcp_proxy import TcpProxy, tcp_proxy


@dataclass(frozen=True, kw_only=True)
class Conversation:
    """The builder says, the certifier hears, each over a way of its own that can fall silent."""

    builder: RabbitMQBus
    certifier: RabbitMQBus
    ear: Ear
    hearing: asyncio.Task[None]
    builders_way: TcpProxy
    certifiers_way: TcpProxy

    async def goes_on(self, position: int) -> None:
        """What is said arrives, and without help; the hearer's consumer is still the same task."""
        await connected(self.builder, "builder", self.ear)
        await publish(self.builder, position)
        await eventually(lambda: position in self.ear.positions, within=120)
        assert not self.hearing.done()


@pytest.fixture
async def conversation(broker: RabbitMQ) -> AsyncIterator[Conversation]:
    async with conversing(broker, heartbeat=1) as conversation:
        yield conversation


@pytest.fixture
async def patient(broker: RabbitMQ) -> AsyncIterator[Conversation]:
    """One whose connections outlast some seconds in which nobody has the time for a heartbeat."""
    async with conversing(broker, heartbeat=10) as conversation:
        yield conversation


@asynccontextmanager
async def conversing(broker: RabbitMQ, *, heartbeat: int) -> AsyncIterator[Conversation]:
    port = urlsplit(broker.amqp_url).port or 5672
    ear = Ear()
    async with (
        tcp_proxy(port) as builders_way,
        tcp_proxy(port) as certifiers_way,
        bus_over(builders_way, broker, "builder", heartbeat=heartbeat) as builder,
        bus_over(certifiers_way, broker, "certifier", heartbeat=heartbeat) as certifier,
        listening(certifier, "certifier", "builder", ear=ear) as hearing,
    ):
        conversation = Conversation(
            builder=builder,
            certifier=certifier,
            ear=ear,
            hearing=hearing,
            builders_way=builders_way,
            certifiers_way=certifiers_way,
        )
        await conversation.goes_on(1)
        yield conversation


@pytest.fixture
async def settled(broker: RabbitMQ, conversation: Conversation) -> Conversation:
    """A conversation over queues that the broker has written down for good.

    RabbitMQ 3.10 that is killed within a second of making a queue comes back with a name that nothing stands
    behind: declaring it answers "not found" or nothing at all, and only deleting it by hand helps.
    """
    await asyncio.to_thread(broker.restart)
    await conversation.goes_on(1)
    return conversation


@asynccontextmanager
async def bus_over(
    proxy: TcpProxy, broker: RabbitMQ, service: str, *, heartbeat: int
) -> AsyncIterator[RabbitMQBus]:
    parts = urlsplit(await asyncio.to_thread(broker.add_service_user, service))
    url = urlunsplit(parts._replace(netloc=f"{service}:{service}@127.0.0.1:{proxy.port}"))
    bus = await open_rabbitmq_bus(
        url, service=service, heartbeat=heartbeat, answer_within=5.0, look_after_every=0.5
    )
    try:
        yield bus
    finally:
        await bus.close()


async def publish(bus: Bus, *positions: int) -> None:
    """Until it is confirmed, as the outbox would."""

    async def is_confirmed() -> bool:
        try:
            await bus.publish([event("builder", position) for position in positions])
        except Unavailable:
            return False
        return True

    await eventually(is_confirmed, within=120)


@pytest.mark.parametrize("how", [RabbitMQ.restart, RabbitMQ.empty])
async def test_everything_flows_again_after_the_broker_was(
    broker: RabbitMQ, conversation: Conversation, how: Callable[[RabbitMQ], None]
) -> None:
    await asyncio.to_thread(how, broker)

    await conversation.goes_on(2)


async def test_everything_flows_again_after_the_broker_was_killed_and_is_back(
    broker: RabbitMQ, settled: Conversation
) -> None:
    await asyncio.to_thread(broker.kill)
    with pytest.raises(Unavailable):
        await settled.builder.publish([event("builder", 2)])
    await asyncio.to_thread(broker.start)

    await settled.goes_on(3)


async def test_what_was_confirmed_outlives_the_broker(broker: RabbitMQ, settled: Conversation) -> None:
    settled.ear.trouble = Unavailable("no database")
    await publish(settled.builder, *range(2, 102))
    await asyncio.to_thread(broker.kill)
    await asyncio.to_thread(broker.start)

    settled.ear.trouble = None

    await eventually(lambda: set(range(1, 102)) <= set(settled.ear.positions), within=120)


@pytest.mark.parametrize("lost", ["placet.certifier", STREAM])
async def test_a_deleted_queue_is_declared_again(
    broker: RabbitMQ, conversation: Conversation, lost: str
) -> None:
    async with amqp_channel(broker.amqp_url) as channel:
        await channel.queue_delete(lost)

    await conversation.goes_on(2)
    await eventually(lambda: queue_exists(broker.amqp_url, lost))


async def test_a_deleted_exchange_is_declared_again_with_all_that_was_bound_to_it(
    broker: RabbitMQ, conversation: Conversation
) -> None:
    async with amqp_channel(broker.amqp_url) as channel:
        await channel.exchange_delete(EXCHANGE)

    await conversation.goes_on(2)


async def test_a_hearer_binds_again_what_somebody_unbound(
    broker: RabbitMQ, conversation: Conversation
) -> None:
    async with amqp_channel(broker.amqp_url) as channel:
        await channel.queue_unbind("placet.certifier", EXCHANGE, "builder.#")

    await conversation.goes_on(2)


async def test_an_event_that_nothing_is_bound_for_is_not_taken_for_confirmed(
    broker: RabbitMQ, patient: Conversation
) -> None:
    patient.hearing.cancel()
    async with amqp_channel(broker.amqp_url) as channel:
        await channel.queue_delete("placet.certifier")
        await channel.queue_delete(STREAM)

    with pytest.raises(Unavailable, match="NO_ROUTE"):
        await patient.builder.publish([event("builder", 2)])
    await publish(patient.builder, 2)


async def test_a_publish_into_silence_ends(patient: Conversation) -> None:
    patient.builders_way.fall_silent()

    with pytest.raises(Unavailable):
        await patient.builder.publish([event("builder", 2)])
    await patient.goes_on(3)


async def test_a_hearer_notices_silence(conversation: Conversation) -> None:
    conversation.certifiers_way.fall_silent()
    await publish(conversation.builder, 2)

    await eventually(lambda: 2 in conversation.ear.positions, within=120)
    await conversation.goes_on(3)


async def test_closing_over_a_silent_connection_ends(conversation: Conversation) -> None:
    conversation.builders_way.fall_silent()

    async with asyncio.timeout(120):
        await conversation.builder.close()


async def test_a_service_starts_while_the_broker_is_away(broker: RabbitMQ) -> None:
    ear = Ear()
    builders, certifiers = broker.add_service_user("builder"), broker.add_service_user("certifier")
    await asyncio.to_thread(broker.stop)
    builder = await open_rabbitmq_bus(builders, service="builder")
    certifier = await open_rabbitmq_bus(certifiers, service="certifier")
    async with listening(certifier, "certifier", "builder", ear=ear):
        await asyncio.to_thread(broker.start)

        await connected(builder, "builder", ear)

    await builder.close()
    await certifier.close()


async def test_a_publish_that_is_given_up_half_way_leaves_the_bus_usable(patient: Conversation) -> None:
    window = [event("builder", position) for position in range(2, 1002)]
    publishing = asyncio.create_task(patient.builder.publish(window))
    await eventually(lambda: 2 in patient.ear.positions, every=0)
    publishing.cancel()
    await asyncio.wait([publishing])

    await patient.goes_on(2000)
