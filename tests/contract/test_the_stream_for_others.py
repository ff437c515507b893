"""The stream as the how-to has others read it: from where they were, filtered, as a user that may do nothing else."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import aiormq
import pytest
from placet.events.adapters.rabbitmq_bus import open_rabbitmq_bus
from placet.events.bus import EXCHANGE, STREAM, Bus, Outgoing

from tests.contract.bus_contract import event as said
from tests.support.amqp import amqp_channel
from tests.support.eventually import eventually
from tests.support.servers import RabbitMQ

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to" / "subscribe-to-the-stream.md"


def event(position: int, project: str = "churn") -> Outgoing:
    body = {"id": f"builder-{position}", "type": "placet.builder.thing.happened.v1"}
    return replace(said("builder", position, project=project), raw=json.dumps(body).encode())


@pytest.fixture
async def builder(broker: RabbitMQ) -> AsyncIterator[Bus]:
    bus = await open_rabbitmq_bus(
        await asyncio.to_thread(broker.add_service_user, "builder"), service="builder"
    )
    yield bus
    await bus.close()


@pytest.fixture
async def warehouse(broker: RabbitMQ) -> str:
    """The user of the how-to, with the very permissions that it names."""
    [permissions] = re.findall(r"set_permissions warehouse '(.*)' '(.*)' '(.*)'", HOW_TO.read_text("utf-8"))
    return await asyncio.to_thread(broker.add_user, "warehouse", *permissions)


class Reader:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def sequences(self, count: int) -> list[int]:
        assert self._process.stdout is not None
        async with asyncio.timeout(60):
            lines = [await self._process.stdout.readline() for _ in range(count)]
        return [int(line.split()[-1]) for line in lines]


@asynccontextmanager
async def reading(url: str, folder: Path, *arguments: str) -> AsyncIterator[Reader]:
    """The snippet itself, killed at the end."""
    [snippet] = re.findall(r"```python\n(.*?)```", HOW_TO.read_text("utf-8"), re.DOTALL)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", snippet, *arguments),
        cwd=folder,
        env={"PATH": os.environ["PATH"], "AMQP_URL": url},
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield Reader(process)
    finally:
        process.kill()
        await process.communicate()


async def test_a_reader_of_the_stream_goes_on_where_it_was(
    builder: Bus, warehouse: str, tmp_path: Path
) -> None:
    await builder.publish([event(position) for position in range(1, 6)])
    place = tmp_path / "warehouse.offset"
    async with reading(warehouse, tmp_path) as reader:
        assert await reader.sequences(5) == [1, 2, 3, 4, 5]
        await eventually(lambda: place.exists() and place.read_text() == "4")
    await builder.publish([event(position) for position in range(6, 9)])
    async with reading(warehouse, tmp_path) as reader:
        assert await reader.sequences(3) == [6, 7, 8]
    place.write_text("2")  # to have it again from there
    async with reading(warehouse, tmp_path) as reader:
        assert await reader.sequences(5) == [4, 5, 6, 7, 8]


async def test_it_takes_only_the_types_and_projects_that_it_wants(
    builder: Bus, warehouse: str, tmp_path: Path
) -> None:
    projects = ("churn", "wine", "churn", "wine", "churn")
    await builder.publish([event(position, project) for position, project in enumerate(projects, start=1)])
    async with reading(warehouse, tmp_path, "builder.*", "wine") as reader:
        assert await reader.sequences(2) == [2, 4]
    (tmp_path / "warehouse.offset").unlink()
    await builder.publish([event(6)])
    async with reading(warehouse, tmp_path, "deployer.*") as reader:
        place = tmp_path / "warehouse.offset"
        await eventually(lambda: place.exists() and place.read_text() == "5")


async def test_who_reads_the_stream_may_do_nothing_else(builder: Bus, warehouse: str) -> None:
    await builder.publish([event(1)])
    for forbidden in ("placet.builder", "placet.gateway"):
        async with amqp_channel(warehouse) as channel:
            with pytest.raises((aiormq.ChannelAccessRefused, aiormq.ChannelNotFoundEntity)):
                await channel.basic_consume(forbidden, lambda message: asyncio.sleep(0))
    async with amqp_channel(warehouse) as channel:
        with pytest.raises(aiormq.ChannelAccessRefused):
            await channel.queue_declare("mine")
    async with amqp_channel(warehouse) as channel:
        with pytest.raises((aiormq.ChannelAccessRefused, aiormq.exceptions.ChannelClosed)):
            await channel.basic_publish(b"x", exchange=EXCHANGE, routing_key="builder.image.built.churn")
    async with amqp_channel(warehouse) as channel:
        with pytest.raises(aiormq.ChannelAccessRefused):
            await channel.queue_delete(STREAM)
