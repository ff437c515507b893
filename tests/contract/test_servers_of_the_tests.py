"""What other tests rely on: a real server can be stopped, killed, emptied and come back where it was."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import aio_pika
import asyncpg
import httpx
import pytest
from aiormq.exceptions import ChannelAccessRefused

from tests.support.eventually import eventually
from tests.support.servers import CaddyServer, PostgreSQL, RabbitMQ, Registry
from tests.support.servers.http import ask

SUPERVISOR = Path(__file__).parents[1] / "support" / "servers" / "supervise.py"


async def test_postgresql_keeps_what_was_committed_when_it_is_killed(
    postgres: PostgreSQL, database_url: str
) -> None:
    connection = await asyncpg.connect(database_url)
    await connection.execute("CREATE TABLE kept (n int)")
    await connection.execute("INSERT INTO kept VALUES (7)")

    await asyncio.to_thread(postgres.kill)
    with pytest.raises(OSError):  # noqa: PT011 - refused or reset, as the kernel likes
        await asyncpg.connect(database_url)
    await asyncio.to_thread(postgres.start)

    connection = await asyncpg.connect(database_url)
    assert await connection.fetchval("SELECT n FROM kept") == 7
    assert await connection.fetchval("SHOW fsync") == "on"
    await connection.close()


async def test_an_emptied_broker_has_no_queue_and_no_exchange_but_lets_its_users_in(broker: RabbitMQ) -> None:
    url = broker.add_service_user("builder")
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        exchange = await channel.declare_exchange("placet.events", aio_pika.ExchangeType.TOPIC, durable=True)
        queue = await channel.declare_queue(
            "placet.builder", durable=True, arguments={"x-queue-type": "quorum"}
        )
        await queue.bind(exchange, "gateway.#")
    assert broker.exchanges() == ["placet.events"]

    await asyncio.to_thread(broker.empty)

    assert broker.exchanges() == []
    assert broker.queues() == []
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        await channel.declare_exchange("placet.events", aio_pika.ExchangeType.TOPIC, durable=True)


@pytest.mark.parametrize("routing_key", ["gateway.deploy.requested.wine", "builderx.image.built.wine"])
async def test_a_service_cannot_speak_for_another(broker: RabbitMQ, routing_key: str) -> None:
    async with await aio_pika.connect(broker.add_service_user("builder")) as connection:
        channel = await connection.channel()
        exchange = await channel.declare_exchange("placet.events", aio_pika.ExchangeType.TOPIC, durable=True)
        await exchange.publish(aio_pika.Message(b"{}"), "builder.image.built.wine", mandatory=False)
        with pytest.raises(ChannelAccessRefused):
            await exchange.publish(aio_pika.Message(b"{}"), routing_key, mandatory=False)


async def test_a_service_cannot_publish_past_the_exchange_or_touch_another_queue(
    broker: RabbitMQ,
) -> None:
    async with await aio_pika.connect(broker.amqp_url) as connection:
        channel = await connection.channel()
        await channel.declare_queue("placet.metadata", durable=True)
    async with await aio_pika.connect(broker.add_service_user("builder")) as connection:
        channel = await connection.channel()
        with pytest.raises(ChannelAccessRefused):
            await channel.default_exchange.publish(aio_pika.Message(b"{}"), "placet.builder")
        channel = await connection.channel()
        queue = await channel.get_queue("placet.metadata", ensure=False)
        with pytest.raises(ChannelAccessRefused):
            await queue.purge()


async def test_what_was_queued_survives_a_killed_broker(rabbitmq: RabbitMQ, broker: RabbitMQ) -> None:
    async with await aio_pika.connect(broker.amqp_url) as connection:
        channel = await connection.channel()
        await channel.declare_queue("kept", durable=True)

    await asyncio.to_thread(rabbitmq.restart)  # a queue that was only just declared may go with a crash

    async with await aio_pika.connect(broker.amqp_url) as connection:
        channel = await connection.channel()
        await channel.default_exchange.publish(
            aio_pika.Message(b"here", delivery_mode=aio_pika.DeliveryMode.PERSISTENT), "kept"
        )

    await asyncio.to_thread(rabbitmq.kill)
    await asyncio.to_thread(rabbitmq.start)

    async with await aio_pika.connect(broker.amqp_url) as connection:
        channel = await connection.channel()
        queue = await channel.get_queue("kept", ensure=False)
        message = await queue.get(no_ack=True)
        assert message.body == b"here"


def test_an_emptied_registry_answers_and_knows_nothing(registry: Registry) -> None:
    registry.start()
    upload = httpx.post(f"{registry.url}/v2/somebody/blobs/uploads/", timeout=60).headers["location"]
    assert httpx.get(upload, timeout=60).status_code == 204
    registry.empty()
    assert httpx.get(upload, timeout=60).status_code == 404


def test_an_emptied_edge_has_no_routes(caddy: CaddyServer) -> None:
    caddy.start()
    routes = f"{caddy.admin_url}/config/apps/http/servers/placet/routes"
    ask("POST", routes, {"handle": [{"handler": "static_response", "body": '"routed"'}]})
    assert ask("GET", caddy.url) == "routed"
    caddy.empty()
    assert ask("GET", routes) == []


async def test_a_server_does_not_outlive_tests_that_were_killed(tmp_path: Path) -> None:
    """The tests are played by a process that has a server, which has started another one."""
    directory = tmp_path / "server"
    directory.mkdir()
    server = ["sh", "-c", "sleep 1000 & echo $! > other; wait"]
    supervisor = [sys.executable, "-I", "-S", str(SUPERVISOR), str(directory), "-", *server]
    play = f"import subprocess; subprocess.Popen({supervisor}, stdin=subprocess.PIPE).wait()"
    tests = await asyncio.create_subprocess_exec(sys.executable, "-c", play, stdout=subprocess.PIPE)
    other = directory / "other"
    await eventually(lambda: other.exists() and other.read_text().endswith("\n"))
    pids = [await pid_of_server(tests), int(other.read_text())]

    tests.kill()
    await tests.wait()

    await eventually(lambda: not any(is_running(pid) for pid in pids))
    await eventually(lambda: not directory.exists())
    assert tests.stdout is not None
    await tests.stdout.read()  # its supervisor has it, too, for as long as it takes to end


async def test_orphans_of_a_server_that_have_ended_are_gone(tmp_path: Path) -> None:
    """Or who looks at all processes, as a deployer does, would look at thousands."""
    supervisor = await asyncio.create_subprocess_exec(
        *[sys.executable, "-I", "-S", str(SUPERVISOR), str(tmp_path), "-"],
        *["sh", "-c", "for each in 1 2 3; do (sh -c 'echo $$ >> orphans' &); done; sleep 1000"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    server, orphans = await pid_of_server(supervisor), tmp_path / "orphans"
    await eventually(lambda: orphans.exists() and len(orphans.read_text().split()) == 3)
    pids = [int(each) for each in orphans.read_text().split()]
    await eventually(lambda: not any(is_running(pid) for pid in pids))
    assert is_running(server)
    assert supervisor.stdin is not None
    supervisor.stdin.close()
    await supervisor.wait()


async def test_a_server_dies_with_its_supervisor(tmp_path: Path) -> None:
    supervisor = await asyncio.create_subprocess_exec(
        *[sys.executable, "-I", "-S", str(SUPERVISOR), str(tmp_path), "-", "sleep", "1000"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    pid = await pid_of_server(supervisor)
    supervisor.kill()
    await supervisor.wait()
    await eventually(lambda: not is_running(pid))


async def pid_of_server(started: asyncio.subprocess.Process) -> int:
    assert started.stdout is not None
    return int((await started.stdout.readline()).split()[1])


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
