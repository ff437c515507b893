"""The bus over RabbitMQ: between processes, where no service can speak for another.

Everything goes to one topic exchange; each service has one queue, and one more keeps a stream for outside
subscribers. A service logs in as its own broker user, named like the service; the broker checks the
`user-id` of every message against that login, and that is who a `Delivery` says it is from.

The broker is disposable: what it holds is declared again with every connection and looked after while one
lasts, and what it loses is asked for again from the producers' stores. So nothing here recovers messages,
and every trouble has the same cure: hang up, wait, start again. Saying and hearing have a connection each,
because a broker that is full stops reading from those that publish, and acknowledgements must still get
through. aiormq is used without the reconnecting layers above it: those have lost consumers
(mosquito/aio-pika #231, #288, #632). Nothing here stores, orders or tries a message again by itself.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import cast
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

import aiormq
import msgspec
from aiormq.abc import AbstractChannel, AbstractConnection, DeliveredMessage, FieldTable

from placet.errors import Refused, Unavailable
from placet.events.bus import (
    EXCHANGE,
    STREAM,
    Alive,
    Delivery,
    HeadAnnounced,
    Note,
    Outgoing,
    Receiver,
    ResendAsked,
    Subscription,
)
from placet.events.outcome import backoff

log = logging.getLogger(__name__)

PREFETCH = 300
"""Messages on their way to us at once: three batches, so that the next is here when one is done."""
BATCH = 100
MAX_DELAY = 5.0
"""Seconds between two tries to connect, at most."""
CLOSE_WITHIN = 3.0
"""Seconds for a polite goodbye; the other side may be gone."""
DELIVERY_LIMIT = 200
"""How often a message may come back to its queue before the broker drops it; without a number RabbitMQ ≥ 4.0
takes 20, and older ones never drop. Messages come back once per try while our database is away, so this lasts
for a quarter of an hour, and what is dropped after that is asked for again, like all that is missing. Never to
drop would be worse: one message that no client can decode would make its hearers deaf for good."""
NOTE_LIFE = "60000"
"""Milliseconds, as text. Heads are announced again and again, and must not pile up for who does not run."""
STREAM_BYTES = 1_000_000_000
SEGMENT_BYTES = 100_000_000
LONGEST_EPOCH = 100
"""Characters; ours have 36. An epoch becomes a key in a table, and no database takes one of any length."""
LAST_POSITION = 2**53 - 1
"""What JSON carries exactly: who misses something says up to where, in an event."""

EVENT = "event"
HEAD = "head"
RESEND = "resend"
ALIVE = "alive"

_AWAY = (
    aiormq.AMQPError,
    OSError,  # and with it ConnectionError and TimeoutError
    RuntimeError,  # "… closed", and ChannelInvalidStateError
    StopAsyncIteration,  # the broker hung up during the handshake
)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Message:
    routing_key: str
    body: bytes
    properties: aiormq.spec.Basic.Properties
    mandatory: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class _Trouble:
    since: float
    reason: str

    def told(self, what: str) -> str:
        return f"{what} for {asyncio.get_running_loop().time() - self.since:.0f} s: {self.reason}"


class RabbitMQBus:
    """One service's bus. Open it with `open_rabbitmq_bus`."""

    def __init__(self, url: str, *, service: str, answer_within: float, look_after_every: float) -> None:
        self._url = url
        self._service = service
        self._answer_within = answer_within
        self._look_after_every = look_after_every
        self._channel: AbstractChannel | None = None
        self._speaking = asyncio.Lock()
        self._numbers = itertools.count(1)
        self._closed = False
        self._deaf: _Trouble | None = None
        self._mute: _Trouble | None = None

    @property
    def impediment(self) -> str | None:
        told = [
            trouble.told(what)
            for trouble, what in ((self._deaf, "hears nothing"), (self._mute, "says nothing"))
            if trouble is not None
        ]
        return "; ".join(told) or None

    async def publish(self, window: Sequence[Outgoing]) -> None:
        await self._say([self._event(each) for each in window])

    async def tell(self, note: Note) -> None:
        await self._say([self._note(note)])

    async def consume(self, subscription: Subscription, receiver: Receiver) -> None:
        self._deaf = _since(None, "it is not connected yet")
        try:
            await self._consume(subscription, receiver)
        finally:
            self._deaf = None  # who does not ask to hear anything misses nothing

    async def _consume(self, subscription: Subscription, receiver: Receiver) -> None:
        failures = 0
        while True:
            try:
                async with self._arrivals(subscription) as arrivals:
                    self._deaf = None
                    if not failures:
                        log.info("%s hears %s", self._service, ", ".join(sorted(subscription.producers)))
                    while True:
                        messages = await arrivals.next()
                        await _hand_over(messages, subscription, receiver)
                        await arrivals.acknowledge(messages)
                        if failures:
                            log.info("%s hears again", self._service)
                        failures = 0
            except Unavailable as error:
                # Hanging up puts what was not acknowledged back into the queue, in order, and lets another
                # replica have it: the database may be away from here only.
                failures += 1
                self._deaf = _since(self._deaf, str(error))
                if failures == 1:
                    log.warning("%s hears nothing for now: %s", self._service, error)
                await asyncio.sleep(min(backoff(failures), MAX_DELAY))

    async def close(self) -> None:
        """Wait for the confirms in flight, then hang up."""
        async with self._speaking:
            self._closed = True
            await self._hang_up()

    # Saying.

    async def open(self) -> None:
        """Connect for saying, if possible; what is said later connects again by itself."""
        with suppress(Unavailable):
            await self._say([])

    async def _say(self, messages: Sequence[_Message]) -> None:
        """Publish all at once and return when all are confirmed. One call at a time, so that `close` can wait."""
        async with self._speaking:
            if self._closed:
                raise Unavailable(f"{self._service}'s bus is closed")
            try:
                await self._confirmed(messages)
            except Unavailable as error:
                if self._mute is None:
                    log.warning("%s cannot say anything for now: %s", self._service, error)
                self._mute = _since(self._mute, str(error))
                # A channel on which something went wrong is never used again. The next one declares the exchange
                # and the stream anew, in case it was those that were missing.
                await self._hang_up()
                raise
            if self._mute is not None:
                log.info("%s can say things again", self._service)
            self._mute = None

    async def _confirmed(self, messages: Sequence[_Message]) -> None:
        if self._channel is not None and self._channel.is_closed:
            await self._hang_up()  # it was lost while there was nothing to say
        if self._channel is None:
            with _or_unavailable():
                self._channel = await self._open_channel("says")
                async with asyncio.timeout(self._answer_within):
                    await _declare_exchange(self._channel)
        channel = self._channel
        outcomes = await asyncio.gather(
            *(self._confirm(channel, message) for message in messages), return_exceptions=True
        )
        for outcome in outcomes:
            if outcome is not None:
                raise outcome

    async def _confirm(self, channel: AbstractChannel, message: _Message) -> None:
        # An unroutable message comes back only when nothing at all is bound for it. The stream takes every event,
        # so then the broker has been emptied, and the event must be published again once things are declared.
        # That a hearer's own queue is gone goes unnoticed here; the hearer notices, and asks.
        with _or_unavailable():
            await channel.basic_publish(
                message.body,
                exchange=EXCHANGE,
                routing_key=message.routing_key,
                properties=message.properties,
                mandatory=message.mandatory,
                timeout=self._answer_within,  # for a broker that neither confirms nor hangs up
            )

    async def _hang_up(self) -> None:
        if self._channel is not None:
            channel, self._channel = self._channel, None
            await _close(channel.connection)

    def _event(self, event: Outgoing) -> _Message:
        headers: FieldTable = {"id": event.id, "epoch": event.epoch, "sequence": event.position}
        if event.traceparent:
            headers["traceparent"] = event.traceparent
        properties = aiormq.spec.Basic.Properties(
            content_type="application/cloudevents+json",
            message_type=EVENT,
            delivery_mode=2,  # persistent
            message_id=self._message_id(),
            user_id=self._service,
            headers=headers,
        )
        return _Message(routing_key=event.routing_key, body=event.raw, properties=properties, mandatory=True)

    def _note(self, note: Note) -> _Message:
        """Two or three words as the routing key, so that the stream, which takes four, keeps no notes."""
        match note:
            case HeadAnnounced():
                kind, routing_key = HEAD, f"{note.producer}.{HEAD}"
            case ResendAsked():
                kind, routing_key = RESEND, f"{note.asker}.{RESEND}.{note.producer}"
            case Alive():
                kind, routing_key = ALIVE, f"{note.producer}.{ALIVE}"
        properties = aiormq.spec.Basic.Properties(
            content_type="application/json",
            message_type=kind,
            delivery_mode=1,  # transient
            expiration=NOTE_LIFE,
            message_id=self._message_id(),
            user_id=self._service,
        )
        return _Message(
            routing_key=routing_key, body=msgspec.json.encode(note), properties=properties, mandatory=False
        )

    def _message_id(self) -> str:
        # aiormq finds the publish that a returned message belongs to by this id, so no two in flight may share
        # one; the event's own id would, when an event is sent again.
        return str(next(self._numbers))

    # Hearing.

    @asynccontextmanager
    async def _arrivals(self, subscription: Subscription) -> AsyncIterator[_Arrivals]:
        """What comes for `subscription`, until the connection or the queue is lost."""
        with _or_unavailable():
            channel = await self._open_channel("hears")
        try:
            arrivals = _Arrivals(channel, subscription, self._answer_within, self._look_after_every)
            await arrivals.start()
            yield arrivals
        finally:
            await _close(channel.connection)

    # Both.

    async def _open_channel(self, purpose: str) -> AbstractChannel:
        """A channel on a connection of its own."""
        async with asyncio.timeout(self._answer_within):
            connection = aiormq.Connection(_with_query(self._url, name=f"{self._service} {purpose}"))
            try:
                await connection.connect()
                return await connection.channel(on_return_raises=True)
            except BaseException:
                await _close(connection)
                raise


class _Arrivals:
    """The consumer's end of a service's queue, for as long as one channel lasts. Raises Unavailable after that."""

    def __init__(
        self,
        channel: AbstractChannel,
        subscription: Subscription,
        answer_within: float,
        look_after_every: float,
    ) -> None:
        self._channel = channel
        self._subscription = subscription
        self._queue = f"placet.{subscription.service}"
        self._answer_within = answer_within
        self._look_after_every = look_after_every
        self._look_at = 0.0
        # No bound is needed: the broker sends no more than PREFETCH ahead of our acknowledgements.
        self._arrived: asyncio.Queue[DeliveredMessage | Unavailable] = asyncio.Queue()

    async def start(self) -> None:
        await self._declare()
        channel = self._channel
        # A deleted queue cancels its consumer and says so once; nobody else would notice.
        channel.on_consumer_cancel_callbacks.add(lambda _: self._lose(f"queue {self._queue} was deleted"))
        channel.closing.add_done_callback(lambda _: self._lose("the broker hung up"))
        with _or_unavailable():
            async with asyncio.timeout(self._answer_within):
                await channel.basic_qos(prefetch_count=PREFETCH)
                await channel.basic_consume(self._queue, self._arrived.put)

    async def next(self) -> list[DeliveredMessage]:
        """Up to `BATCH` of what has arrived, at least one."""
        loop = asyncio.get_running_loop()
        while True:
            if loop.time() >= self._look_at:
                await self._declare()
            with suppress(TimeoutError):
                async with asyncio.timeout_at(self._look_at):
                    arrived = [await self._arrived.get()]
                break
        while len(arrived) < BATCH and not self._arrived.empty():
            arrived.append(self._arrived.get_nowait())
        messages = []
        for each in arrived:
            if isinstance(each, Unavailable):
                raise each
            messages.append(each)
        return messages

    async def acknowledge(self, messages: Sequence[DeliveredMessage]) -> None:
        """These and all before them."""
        tag = cast("int", messages[-1].delivery_tag)  # whatever was delivered has one
        with _or_unavailable():
            async with asyncio.timeout(self._answer_within):
                await self._channel.basic_ack(tag, multiple=True)

    async def _declare(self) -> None:
        """Declare what we hear through; again now and then, since who deletes the exchange takes our bindings
        with it and leaves our consumer in silence, which would be lost on us."""
        subscription = self._subscription
        with _or_unavailable():
            async with asyncio.timeout(self._answer_within):
                await _declare_exchange(self._channel)
                await self._channel.queue_declare(
                    self._queue,
                    durable=True,
                    arguments={
                        "x-queue-type": "quorum",
                        "x-single-active-consumer": True,  # replicas stand by
                        "x-delivery-limit": DELIVERY_LIMIT,
                    },
                )
                for producer in sorted(subscription.producers):
                    await self._channel.queue_bind(self._queue, EXCHANGE, f"{producer}.#")
                await self._channel.queue_bind(self._queue, EXCHANGE, f"*.{RESEND}.{subscription.service}")
        self._look_at = asyncio.get_running_loop().time() + self._look_after_every

    def _lose(self, reason: str) -> None:
        self._arrived.put_nowait(Unavailable(reason))


def _since(before: _Trouble | None, reason: str) -> _Trouble:
    """The trouble that there is now, which may have begun as another."""
    return _Trouble(since=before.since if before else asyncio.get_running_loop().time(), reason=reason)


async def _declare_exchange(channel: AbstractChannel) -> None:
    """The exchange, and the stream for outside subscribers, who hear the four words of events but no notes."""
    await channel.exchange_declare(EXCHANGE, exchange_type="topic", durable=True)
    await channel.queue_declare(
        STREAM,
        durable=True,
        arguments={
            "x-queue-type": "stream",
            "x-max-length-bytes": STREAM_BYTES,
            "x-stream-max-segment-size-bytes": SEGMENT_BYTES,
        },
    )
    await channel.queue_bind(STREAM, EXCHANGE, "*.*.*.*")


async def _hand_over(
    messages: Sequence[DeliveredMessage], subscription: Subscription, receiver: Receiver
) -> None:
    """Events before notes: a head that came along with the last events must not look like a hole."""
    heard = [_read(message) for message in messages]
    deliveries = [each for each in heard if isinstance(each, Delivery)]
    if deliveries:
        await receiver.receive(deliveries)
    for each in heard:
        match each:
            case ResendAsked(producer=producer) if producer != subscription.service:
                continue  # of someone whom we hear, to another
            case HeadAnnounced() | ResendAsked() | Alive():
                await receiver.hear(each)


def _read(message: DeliveredMessage) -> Delivery | Note:
    """The message as what it says it is. What makes no sense becomes a delivery without a place: a stray."""
    properties = message.header.properties
    headers = properties.headers or {}
    epoch, position = headers.get("epoch"), headers.get("sequence")
    delivery = Delivery(
        sender=properties.user_id,
        routing_key=_printable(message.routing_key or ""),
        epoch=epoch if isinstance(epoch, str) and _is_epoch(epoch) else "",
        position=position if isinstance(position, int) and 0 < position <= LAST_POSITION else 0,
        raw=message.body,
    )
    with suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        if properties.message_type == HEAD:
            head = msgspec.json.decode(message.body, type=HeadAnnounced)
            if head.producer == delivery.producer == delivery.sender and _makes_sense(head):
                return head
        if properties.message_type == RESEND:
            resend = msgspec.json.decode(message.body, type=ResendAsked)
            if resend.asker == delivery.producer == delivery.sender and _makes_sense(resend):
                return resend
        if properties.message_type == ALIVE:
            alive = msgspec.json.decode(message.body, type=Alive)
            if alive.producer == delivery.producer == delivery.sender:
                return alive
    return delivery


def _makes_sense(note: Note) -> bool:
    """Whether its numbers and names could be a log's: they end up in tables, and a hearer must survive a liar."""
    match note:
        case HeadAnnounced(position=position, end=end, epochs=epochs, chain=chain):
            places = [position, end, *(each.began_after for each in epochs)]
            is_chain = chain is None or re.fullmatch("[0-9a-f]{64}", chain) is not None
            return _are_places(places) and is_chain and all(_is_epoch(each.epoch) for each in epochs)
        case ResendAsked(after=after, upto=upto):
            return _are_places([after, upto])
        case Alive():
            return True


def _are_places(numbers: Sequence[int]) -> bool:
    return all(0 <= number <= LAST_POSITION for number in numbers)


def _is_epoch(text: str) -> bool:
    return 0 < len(text) <= LONGEST_EPOCH and text.isprintable()


def _printable(text: str) -> str:
    """A stray is parked in a table, and PostgreSQL keeps no NUL in a text."""
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


async def _close(connection: AbstractConnection) -> None:
    with suppress(Unavailable), _or_unavailable():
        async with asyncio.timeout(CLOSE_WITHIN):
            await connection.close()


@contextmanager
def _or_unavailable() -> Iterator[None]:
    """Whatever aiormq says of a broker that is away, refuses or hangs, as `Unavailable`."""
    try:
        yield
    except asyncio.CancelledError as error:
        # When a connection dies, aiormq hands its own cancellation to everyone who waits for an answer. It is
        # ours only if somebody cancelled this task.
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise Unavailable("RabbitMQ hung up") from error
    except _AWAY as error:
        raise Unavailable(f"RabbitMQ: {str(error) or type(error).__name__}") from error


def _with_query(url: str, **settings: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(query=urlencode({**dict(parse_qsl(parts.query)), **settings})))


async def open_rabbitmq_bus(
    url: str,
    *,
    service: str,
    heartbeat: int = 10,
    answer_within: float = 10.0,
    look_after_every: float = 10.0,
) -> RabbitMQBus:
    """The bus of `service` on the broker at `url`, which names the service as its user: `amqp://builder:…@host/`.

    A broker that is away now is no error; it is connected to when it is back. `heartbeat` (seconds): a connection
    that has been silent for a little over three of them is given up. `answer_within` (seconds): for each answer of the
    broker. `look_after_every` (seconds): how often a hearer makes sure that queue and bindings are there.
    Raises Refused when the user is not the service.
    """
    user = unquote(urlsplit(url).username or "")
    if user != service:
        raise Refused(
            f"{service} cannot speak as RabbitMQ's user {user!r}: nobody would believe it",
            fix=f"give {service} a user of its own, with the permissions in deploy/rabbitmq/definitions.json",
        )
    bus = RabbitMQBus(
        _with_query(url, heartbeat=str(heartbeat)),
        service=service,
        answer_within=answer_within,
        look_after_every=look_after_every,
    )
    await bus.open()
    return bus
