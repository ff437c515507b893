"""The bus of the embedded platform: services of one process hand each other the same bytes.

Nothing is queued here. `publish` returns when each hearer's inbox has committed, so a confirmed event is on
the disk of all that run; who does not run at the moment, or fails, asks again when it sees the head.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from placet.errors import Unavailable
from placet.events.bus import (
    Alive,
    Delivery,
    HeadAnnounced,
    Note,
    Outgoing,
    Receiver,
    ResendAsked,
    Subscription,
)


class InProcessHub:
    """What the in-process buses of one platform share."""

    def __init__(self) -> None:
        self._hearers: list[tuple[Subscription, Receiver]] = []

    def join(self, subscription: Subscription, receiver: Receiver) -> None:
        self._hearers.append((subscription, receiver))

    def leave(self, receiver: Receiver) -> None:
        self._hearers = [each for each in self._hearers if each[1] is not receiver]

    def hearers_of(self, producer: str) -> list[Receiver]:
        return [receiver for subscription, receiver in self._hearers if producer in subscription.producers]

    def service(self, name: str) -> list[Receiver]:
        return [receiver for subscription, receiver in self._hearers if subscription.service == name]


class InProcessBus:
    def __init__(self, hub: InProcessHub, service: str) -> None:
        self._hub = hub
        self._service = service

    @property
    def impediment(self) -> str | None:
        return None

    async def publish(self, window: Sequence[Outgoing]) -> None:
        deliveries = [
            Delivery(
                sender=self._service,
                routing_key=message.routing_key,
                epoch=message.epoch,
                position=message.position,
                raw=message.raw,
            )
            for message in window
        ]
        await asyncio.gather(
            *(self._hand_over(each, deliveries) for each in self._hub.hearers_of(self._service))
        )

    async def tell(self, note: Note) -> None:
        match note:
            case HeadAnnounced(producer=producer) | Alive(producer=producer):
                receivers = self._hub.hearers_of(producer)
            case ResendAsked(producer=producer):
                receivers = self._hub.service(producer)
        for receiver in receivers:
            with suppress(
                Unavailable
            ):  # each of another's trouble: who did not hear this head hears the next
                await receiver.hear(note)

    async def consume(self, subscription: Subscription, receiver: Receiver) -> None:
        self._hub.join(subscription, receiver)
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self._hub.leave(receiver)

    async def close(self) -> None:
        """Nothing to close: a hearer leaves when its `consume` is cancelled."""

    @staticmethod
    async def _hand_over(receiver: Receiver, deliveries: Sequence[Delivery]) -> None:
        try:
            await receiver.receive(deliveries)
        except Unavailable:
            return  # it will see from the head that it has less
