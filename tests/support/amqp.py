"""RabbitMQ as somebody else's client sees it: raw publishes, a look into a queue, deletions."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiormq
from aiormq.abc import AbstractChannel


@asynccontextmanager
async def amqp_channel(url: str) -> AsyncIterator[AbstractChannel]:
    """A channel of the user in `url`, on a connection of its own."""
    connection = await aiormq.connect(url)
    try:
        yield await connection.channel(on_return_raises=True)
    finally:
        await connection.close()


async def queue_exists(url: str, name: str) -> bool:
    async with amqp_channel(url) as channel:
        try:
            await channel.queue_declare(name, passive=True)
        except aiormq.ChannelNotFoundEntity:
            return False
        return True


def properties(**values: object) -> aiormq.spec.Basic.Properties:
    return aiormq.spec.Basic.Properties(**values)  # type: ignore[arg-type]
