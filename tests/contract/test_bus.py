"""The contract of a bus, over one process and over RabbitMQ, and what RabbitMQ alone has to keep to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from urllib.parse import urlsplit

import aiormq
import msgspec
import pytest
from aiormq.abc import DeliveredMessage
from placet.errors import Refused, Unavailable
from placet.events.adapters.in_process_bus import InProcessBus, InProcessHub
from placet.events.adapters.rabbitmq_bus import RabbitMQBus, open_rabbitmq_bus
from placet.events.bus import EXCHANGE, STREAM, Bus, Delivery

from tests.contract.bus_contract import BusContract, Ear, OpenBus, connected, event, head, listening
from tests.support.amqp import amqp_channel, properties
from tests.support.eventually import eventually
from tests.support.servers import RabbitMQ


class TestInProcessBus(BusContract):
    @pytest.fixture
    def open_bus(self) -> OpenBus:
        hub = InProcessHub()

        async def open_bus(service: str) -> Bus:
            return InProcessBus(hub, service)

        return open_bus


@pytest.fixture
async def open_rabbit(broker: RabbitMQ) -> AsyncIterator[OpenBus]:
    """Buses whose users have the shipped permissions."""
    opened: list[RabbitMQBus] = []

    async def open_bus(service: str) -> Bus:
        url = await asyncio.to_thread(broker.add_service_user, service)
        bus = await open_rabbitmq_bus(url, service=service, look_after_every=0.5)
        opened.append(bus)
        return bus

    yield open_bus
    for bus in opened:
        await bus.close()


class TestRabbitMQBus(BusContract):
    @pytest.fixture
    def open_bus(self, open_rabbit: OpenBus) -> OpenBus:
        return open_rabbit


# Acknowledging.


async def test_what_a_hearer_could_not_take_comes_again_in_order(open_rabbit: OpenBus) -> None:
    builder, certifier, ear = await open_rabbit("builder"), await open_rabbit("certifier"), Ear()
    async with listening(certifier, "certifier", "builder", ear=ear):
        await connected(builder, "builder", ear)
        ear.trouble = Unavailable("no database")
        await builder.publish([event("builder", position) for position in range(1, 501)])
        await eventually(lambda: ear.refused >= 2)

        ear.trouble = None

        await eventually(lambda: len(ear.deliveries) >= 500)
        assert ear.positions == list(range(1, 501))


async def test_what_came_while_a_service_was_away_is_there_when_it_is_back(open_rabbit: OpenBus) -> None:
    builder, certifier, before, after = (
        await open_rabbit("builder"),
        await open_rabbit("certifier"),
        Ear(),
        Ear(),
    )
    async with listening(certifier, "certifier", "builder", ear=before):
        await connected(builder, "builder", before)

    await builder.publish([event("builder", position) for position in range(1, 101)])

    async with listening(certifier, "certifier", "builder", ear=after):
        await eventually(lambda: after.positions == list(range(1, 101)))


async def test_what_was_received_does_not_come_again(open_rabbit: OpenBus) -> None:
    builder, certifier, before, after = (
        await open_rabbit("builder"),
        await open_rabbit("certifier"),
        Ear(),
        Ear(),
    )
    async with listening(certifier, "certifier", "builder", ear=before):
        await connected(builder, "builder", before)
        await builder.publish([event("builder", 1)])
        await eventually(lambda: before.positions == [1])
        # Acknowledgements are in the order of arrival: with the later one this one is on its way.
        await connected(builder, "builder", before)

    async with listening(certifier, "certifier", "builder", ear=after):
        await connected(builder, "builder", after)
        assert after.positions == []


async def test_a_bug_in_a_receiver_ends_consume_and_loses_nothing(open_rabbit: OpenBus) -> None:
    builder, certifier, ear = await open_rabbit("builder"), await open_rabbit("certifier"), Ear()
    async with listening(certifier, "certifier", "builder", ear=ear) as task:
        await connected(builder, "builder", ear)
        ear.trouble = ZeroDivisionError("a bug")
        await builder.publish([event("builder", 1)])
        with pytest.raises(ZeroDivisionError):
            await task

    ear.trouble = None
    async with listening(certifier, "certifier", "builder", ear=ear):
        await eventually(lambda: ear.positions == [1])


async def test_a_replica_takes_over_where_the_active_one_stopped(open_rabbit: OpenBus) -> None:
    builder, certifier, standby = (
        await open_rabbit("builder"),
        await open_rabbit("certifier"),
        await open_rabbit("certifier"),
    )
    active_ear, standby_ear = Ear(), Ear()
    async with listening(certifier, "certifier", "builder", ear=active_ear) as active:
        await connected(builder, "builder", active_ear)
        async with listening(standby, "certifier", "builder", ear=standby_ear):
            await builder.publish([event("builder", position) for position in range(1, 101)])
            await eventually(lambda: len(active_ear.deliveries) == 100)

            active.cancel()
            await builder.publish([event("builder", position) for position in range(101, 201)])

            await eventually(lambda: 200 in standby_ear.positions)
            assert set(active_ear.positions + standby_ear.positions) == set(range(1, 201))


# Who said it.


async def test_a_service_logs_in_as_itself(broker: RabbitMQ) -> None:
    with pytest.raises(Refused, match="nobody would believe it"):
        await open_rabbitmq_bus(broker.amqp_url, service="builder")


async def test_a_message_says_where_its_trace_goes_on(broker: RabbitMQ, open_rabbit: OpenBus) -> None:
    """For subscribers whose libraries look into the headers: the event itself has it, too."""
    builder = await open_rabbit("builder")
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    came: asyncio.Queue[DeliveredMessage] = asyncio.Queue()
    async with amqp_channel(broker.amqp_url) as channel:
        queue = (await channel.queue_declare(exclusive=True)).queue or ""
        await channel.queue_bind(queue, EXCHANGE, routing_key="builder.#")
        await channel.basic_consume(queue, came.put, no_ack=True)
        await builder.publish([replace(event("builder", 1), traceparent=parent), event("builder", 2)])
        async with asyncio.timeout(60):
            traced, untraced = await came.get(), await came.get()
    placed = {"id": "builder-1", "epoch": "first", "sequence": 1}
    assert traced.header.properties.headers == placed | {"traceparent": parent}
    assert "traceparent" not in (untraced.header.properties.headers or {})


async def test_a_message_under_another_name_is_refused(broker: RabbitMQ, open_rabbit: OpenBus) -> None:
    await open_rabbit("builder")
    async with amqp_channel(broker.add_service_user("builder")) as channel:
        with pytest.raises(aiormq.ChannelPreconditionFailed, match="user_id"):
            await channel.basic_publish(
                b"{}",
                exchange=EXCHANGE,
                routing_key="builder.image.built.churn",
                properties=properties(user_id="certifier"),
            )


async def test_nobody_may_say_what_is_anothers_to_say(open_rabbit: OpenBus) -> None:
    builder = await open_rabbit("builder")

    with pytest.raises(Unavailable, match=r"ACCESS_REFUSED.*topic"):
        await builder.publish([event("certifier", 1)])
    await builder.publish([event("builder", 1)])


@pytest.mark.parametrize("exchange", ["amq.topic", "amq.fanout", ""])
async def test_a_service_publishes_to_the_events_alone(
    broker: RabbitMQ, open_rabbit: OpenBus, exchange: str
) -> None:
    await open_rabbit("certifier")
    async with amqp_channel(broker.add_service_user("builder")) as channel:
        with pytest.raises(aiormq.ChannelAccessRefused):
            await channel.basic_publish(b"{}", exchange=exchange, routing_key="placet.certifier")


async def test_who_goes_round_the_topic_permission_is_still_known(
    broker: RabbitMQ, open_rabbit: OpenBus
) -> None:
    """An exchange of the builder's own in front of the real one has no topic permission; the user id remains."""
    builder, deployer, ear = await open_rabbit("builder"), await open_rabbit("deployer"), Ear()
    async with (
        listening(deployer, "deployer", "builder", "certifier", ear=ear),
        amqp_channel(broker.add_service_user("builder")) as channel,
    ):
        await connected(builder, "builder", ear)
        await channel.exchange_declare("placet.builder", exchange_type="topic")
        await channel.exchange_bind(EXCHANGE, "placet.builder", "#")

        for user in (None, "builder"):
            await channel.basic_publish(
                b"{}",
                exchange="placet.builder",
                routing_key="certifier.certificate.issued.churn",
                properties=properties(user_id=user, headers={"epoch": "first", "sequence": 1}),
            )

        await eventually(lambda: len(ear.deliveries) == 2)
        assert [(each.producer, each.sender) for each in ear.deliveries] == [
            ("certifier", None),
            ("certifier", "builder"),
        ]


async def test_a_note_in_anothers_name_is_a_stray_and_not_heard(
    broker: RabbitMQ, open_rabbit: OpenBus
) -> None:
    builder, deployer, ear = await open_rabbit("builder"), await open_rabbit("deployer"), Ear()
    async with (
        listening(deployer, "deployer", "builder", ear=ear),
        amqp_channel(broker.add_service_user("builder")) as channel,
    ):
        await connected(builder, "builder", ear)
        forged = msgspec.json.encode(head("certifier", 1000))

        await channel.basic_publish(
            forged,
            exchange=EXCHANGE,
            routing_key="builder.head",
            properties=properties(user_id="builder", message_type="head"),
        )

        await eventually(lambda: [each.raw for each in ear.deliveries] == [forged])
        assert head("certifier", 1000) not in ear.notes


@pytest.mark.parametrize(
    "headers",
    [
        None,
        {},
        {"epoch": "first"},
        {"sequence": 1},
        {"epoch": 7, "sequence": "1"},
        {"epoch": "first", "sequence": -1},
        {"epoch": "first", "sequence": [1]},
        {"epoch": "fir\0st", "sequence": 1},
        {"epoch": "e" * 60_000, "sequence": 1},
        {"epoch": "first", "sequence": 2**63 - 1},
    ],
)
@pytest.mark.parametrize("kind", [None, "event", "head", "resend", "nonsense"])
async def test_a_message_without_a_place_is_a_stray_and_the_next_one_comes(
    broker: RabbitMQ, open_rabbit: OpenBus, kind: str | None, headers: dict[str, object] | None
) -> None:
    builder, deployer, ear = await open_rabbit("builder"), await open_rabbit("deployer"), Ear()
    async with (
        listening(deployer, "deployer", "builder", ear=ear),
        amqp_channel(broker.add_service_user("builder")) as channel,
    ):
        await connected(builder, "builder", ear)

        await channel.basic_publish(
            b"\xff no JSON",
            exchange=EXCHANGE,
            routing_key="builder.image.built.\0",
            properties=properties(user_id="builder", message_type=kind, headers=headers),
        )
        await builder.publish([event("builder", 1)])

        await eventually(lambda: len(ear.deliveries) == 2)
        stray, good = ear.deliveries
        assert isinstance(stray, Delivery)
        assert not stray.epoch or not stray.position
        assert stray.routing_key == "builder.image.built.\ufffd"
        assert good.position == 1


@pytest.mark.parametrize(
    ("kind", "note"),
    [
        ("head", {"producer": "builder", "position": 2**70, "end": 1, "epochs": []}),
        (
            "head",
            {"producer": "builder", "position": 1, "end": 1, "epochs": [{"epoch": "a\0b", "began_after": 0}]},
        ),
        (
            "head",
            {
                "producer": "builder",
                "position": 1,
                "end": 1,
                "epochs": [{"epoch": "e", "began_after": -(2**70)}],
            },
        ),
        (
            "head",
            {
                "producer": "builder",
                "position": 1,
                "end": 1,
                "epochs": [{"epoch": "e" * 9999, "began_after": 0}],
            },
        ),
        ("head", {"producer": "builder", "position": 1, "end": 2**70, "epochs": []}),
        ("resend", {"asker": "builder", "producer": "deployer", "after": -1, "upto": 2**70}),
    ],
)
async def test_a_note_that_makes_no_sense_is_a_stray(
    broker: RabbitMQ, open_rabbit: OpenBus, kind: str, note: dict[str, object]
) -> None:
    builder, deployer, ear = await open_rabbit("builder"), await open_rabbit("deployer"), Ear()
    async with (
        listening(deployer, "deployer", "builder", ear=ear),
        amqp_channel(broker.add_service_user("builder")) as channel,
    ):
        await connected(builder, "builder", ear)
        heard = set(ear.notes)

        await channel.basic_publish(
            json.dumps(note).encode(),
            exchange=EXCHANGE,
            routing_key="builder.head" if kind == "head" else "builder.resend.deployer",
            properties=properties(user_id="builder", message_type=kind),
        )

        await eventually(lambda: len(ear.deliveries) == 1)
        assert set(ear.notes) == heard  # the head that said that it is connected may have been told once more


# Outside subscribers.


async def test_the_stream_keeps_events_and_no_notes(broker: RabbitMQ, open_rabbit: OpenBus) -> None:
    builder = await open_rabbit("builder")
    await builder.tell(head("builder", 0))
    await builder.publish([event("builder", position) for position in range(1, 11)])
    await builder.tell(head("builder", 10))
    await builder.publish([event("builder", 11)])
    bodies: list[bytes] = []

    async with amqp_channel(broker.amqp_url) as channel:

        async def take(message: aiormq.abc.DeliveredMessage) -> None:
            bodies.append(message.body)

        await channel.basic_qos(prefetch_count=100)
        await channel.basic_consume(STREAM, take, arguments={"x-stream-offset": "first"})
        await eventually(lambda: len(bodies) >= 11)
    assert bodies == [event("builder", position).raw for position in range(1, 12)]


# Impediments.


async def test_who_may_not_log_in_says_so(broker: RabbitMQ) -> None:
    url = await asyncio.to_thread(broker.add_service_user, "certifier")
    password = urlsplit(url).password or ""
    certifier = await open_rabbitmq_bus(url.replace(f":{password}@", ":wrong@"), service="certifier")
    async with listening(certifier, "certifier", "builder", ear=Ear()):
        await eventually(lambda: "hears nothing for" in (certifier.impediment or ""))
        assert "says nothing for" in (certifier.impediment or "")
        assert "ACCESS_REFUSED" in (certifier.impediment or "")
    await certifier.close()


async def test_who_finds_its_queue_declared_by_another_says_so_until_it_hears(
    broker: RabbitMQ, open_rabbit: OpenBus
) -> None:
    certifier = await open_rabbit("certifier")
    async with amqp_channel(broker.amqp_url) as channel:
        await channel.queue_delete("placet.certifier")
        await channel.queue_declare("placet.certifier")  # neither durable nor a quorum queue

        async with listening(certifier, "certifier", "builder", ear=Ear()):
            await eventually(lambda: "PRECONDITION_FAILED" in (certifier.impediment or ""))
            await channel.queue_delete("placet.certifier")
            await eventually(lambda: certifier.impediment is None)


# Stopping.


async def test_closing_waits_for_the_confirms_in_flight(open_rabbit: OpenBus) -> None:
    builder = await open_rabbit("builder")
    window = [event("builder", position) for position in range(1, 101)]

    await asyncio.gather(builder.publish(window), builder.close())

    with pytest.raises(Unavailable, match="closed"):
        await builder.publish(window)
