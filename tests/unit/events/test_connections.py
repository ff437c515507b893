"""Clients that connect and do not go on, over real sockets: none of them keeps others from being heard."""

from __future__ import annotations

import asyncio
import resource
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from placet.events.connections import KEEP_ALIVE, BoundedServer, Bounds, Connection, bounded

from tests.support.eventually import eventually

REQUEST = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class App:
    """Takes the whole body and answers its size; `/stream` answers what is put into `said`, `/many` a great deal."""

    def __init__(self) -> None:
        self.begun = 0
        self.under_way = 0
        self.taken = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.said: asyncio.Queue[bytes] = asyncio.Queue()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.begun += 1
        self.under_way += 1
        try:
            await self.gate.wait()
            body = str(await self._size(receive)).encode()
            match scope["path"]:
                case "/stream":
                    await self._stream(send)
                    return
                case "/many":
                    body = b"x" * 50_000_000
            length = [(b"content-length", str(len(body)).encode())]
            await send({"type": "http.response.start", "status": 200, "headers": length})
            await send({"type": "http.response.body", "body": body})
        finally:
            self.under_way -= 1

    async def has_taken(self, size: int) -> None:
        await eventually(lambda: self.taken == size)

    async def _size(self, receive: Any) -> int:
        size, is_more = 0, True
        while is_more:
            message = await receive()
            size += len(message.get("body", b""))
            self.taken += len(message.get("body", b""))
            is_more = message.get("more_body", False)
        return size

    async def _stream(self, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while said := await self.said.get():
            await send({"type": "http.response.body", "body": said, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


@pytest.fixture
async def app() -> App:
    return App()


class Clients:
    """Connects when called. `look` lets the server look at its connections as it will at another time."""

    def __init__(self, server: BoundedServer) -> None:
        self._server = server
        self._port = server.servers[0].sockets[0].getsockname()[1]
        self._writers: list[asyncio.StreamWriter] = []

    async def __call__(self) -> Streams:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._writers.append(writer)
        return reader, writer

    def look(self, now: float) -> None:
        (connection,) = self._server.server_state.connections
        assert isinstance(connection, Connection)
        connection.look(now)

    @property
    def sockets(self) -> list[socket.socket]:
        """The server's ends."""
        ends = self._server.server_state.connections
        return [each.transport.get_extra_info("socket") for each in ends]

    def close(self) -> None:
        for writer in self._writers:
            writer.close()


@asynccontextmanager
async def serving(app: App, bounds: Bounds) -> AsyncIterator[Clients]:
    server = BoundedServer(bounded(app, bounds, port=0, log_config=None, timeout_graceful_shutdown=1))
    running = asyncio.create_task(server._serve())
    await eventually(lambda: server.started)
    clients = Clients(server)
    try:
        yield clients
    finally:
        clients.close()
        server.should_exit = True
        await running


async def rest(reader: asyncio.StreamReader) -> bytes:
    """All that comes until the other side closes."""
    return await asyncio.wait_for(reader.read(), 20)


async def ask(streams: Streams, request: bytes = REQUEST) -> bytes:
    reader, writer = streams
    writer.write(request)
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    await asyncio.wait_for(reader.readexactly(length), 20)
    return head.split(b"\r\n")[0]


async def drip(streams: Streams, head: bytes, byte: bytes) -> bytes:
    """What is answered to who sends a byte now and then."""
    reader, writer = streams
    writer.write(head)
    reading = asyncio.create_task(rest(reader))
    while not reading.done():
        writer.write(byte)
        await asyncio.wait({reading}, timeout=0.05)
    return await reading


async def test_who_says_nothing_is_parted_with_in_silence(app: App) -> None:
    async with serving(app, Bounds(head_seconds=0.2)) as connect:
        reader, _ = await connect()
        assert await rest(reader) == b""


async def test_a_head_that_drips_is_told_that_it_took_too_long(app: App) -> None:
    async with serving(app, Bounds(head_seconds=0.4)) as connect:
        answer = await drip(await connect(), b"GET / HTTP/1.1\r\nX: ", b"x")
    assert answer.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert b"the request's head took too long" in answer
    assert app.under_way == 0


async def test_a_later_head_may_drip_no_longer_than_the_first(app: App) -> None:
    async with serving(app, Bounds(head_seconds=0.4)) as connect:
        streams = await connect()
        assert await ask(streams) == b"HTTP/1.1 200 OK"
        answer = await drip(streams, b"GET / HTTP/1.1\r\nX: ", b"x")
    assert answer.startswith(b"HTTP/1.1 408 Request Timeout\r\n")


async def test_a_head_without_end_is_not_kept(app: App) -> None:
    async with serving(app, Bounds()) as connect:
        reader, writer = await connect()
        writer.write(b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"x" * 100_000)
        assert (await rest(reader)).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("byte", [b"", b"x"], ids=["stops", "drips"])
async def test_a_body_that_stops_or_drips_is_told_that_it_took_too_long(app: App, byte: bytes) -> None:
    async with serving(app, Bounds(body_seconds=0.4)) as connect:
        head = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n"
        answer = await drip(await connect(), head, byte)
        assert answer.startswith(b"HTTP/1.1 408 ")
        await eventually(lambda: app.under_way == 0)


async def test_an_upload_that_goes_on_may_take_its_time(app: App) -> None:
    bounds = Bounds()
    async with serving(app, bounds) as connect:
        reader, writer = await connect()
        writer.write(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n")
        now = asyncio.get_running_loop().time()
        for number in range(1, 5):
            writer.write(b"x" * bounds.body_bytes)
            await app.has_taken(number * bounds.body_bytes)
            now += bounds.body_seconds + 1
            connect.look(now)
            assert app.under_way == 1
        writer.write(b"x" * (bounds.body_bytes - 1))
        await app.has_taken(5 * bounds.body_bytes - 1)
        connect.look(now + bounds.body_seconds + 1)
        assert (await rest(reader)).startswith(b"HTTP/1.1 408 ")


async def test_who_was_not_asked_for_its_body_is_not_late_with_it(app: App) -> None:
    app.gate.clear()
    async with serving(app, Bounds()) as connect:
        reader, writer = await connect()
        writer.write(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        await eventually(lambda: app.under_way)
        connect.look(asyncio.get_running_loop().time() + 1e6)

        app.gate.set()
        assert await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20) == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert await ask((reader, writer), b"xxx") == b"HTTP/1.1 200 OK"


async def test_a_stream_of_events_may_be_silent_for_long(app: App) -> None:
    async with serving(app, Bounds()) as connect:
        reader, writer = await connect()
        writer.write(b"GET /stream HTTP/1.1\r\nHost: h\r\n\r\n")
        now = asyncio.get_running_loop().time()
        assert (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)).startswith(b"HTTP/1.1 200 ")
        for number in range(1, 4):
            connect.look(now + number * 1e6)
            app.said.put_nowait(b"data: 1")
            await asyncio.wait_for(reader.readuntil(b"data: 1\r\n"), 20)
        app.said.put_nowait(b"")
        await asyncio.wait_for(reader.readuntil(b"0\r\n\r\n"), 20)
        assert await ask((reader, writer)) == b"HTTP/1.1 200 OK"


async def test_the_kernel_asks_after_a_client_that_may_have_vanished(app: App) -> None:
    """Nothing else tells it from one that waits for the next event, and at the bound it would keep others out."""
    async with serving(app, Bounds()) as connect:
        await connect()
        await eventually(lambda: connect.sockets)
        (connection,) = connect.sockets
        assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        if hasattr(socket, "TCP_KEEPIDLE"):
            assert (
                connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == KEEP_ALIVE["TCP_KEEPIDLE"]
            )


async def test_an_answer_may_take_its_time(app: App) -> None:
    app.gate.clear()
    async with serving(app, Bounds()) as connect:
        reader, writer = await connect()
        writer.write(REQUEST)
        await eventually(lambda: app.under_way)
        connect.look(asyncio.get_running_loop().time() + 1e6)
        app.gate.set()
        assert (await asyncio.wait_for(reader.read(100), 20)).startswith(b"HTTP/1.1 200 OK")


async def test_who_reads_nothing_of_a_large_answer_is_cut_off(app: App) -> None:
    async with serving(app, Bounds(connections=1, silence=0.3)) as connect:
        reader, writer = await connect()
        reader._transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(b"GET /many HTTP/1.1\r\nHost: h\r\n\r\n")
        await eventually(lambda: app.begun)

        async def is_served() -> bool:
            try:
                return await ask(await connect()) == b"HTTP/1.1 200 OK"
            except (OSError, asyncio.IncompleteReadError):
                return False

        await eventually(is_served)


async def test_who_waits_longest_makes_room(app: App) -> None:
    async with serving(app, Bounds(connections=3)) as connect:
        idle = [await connect() for _ in range(3)]
        assert await ask(idle[0]) == b"HTTP/1.1 200 OK"  # so it has not waited longest

        newcomer = await connect()
        assert await ask(newcomer) == b"HTTP/1.1 200 OK"

        assert await rest(idle[1][0]) == b""
        assert await ask(idle[2]) == b"HTTP/1.1 200 OK"


async def test_where_all_are_at_work_a_newcomer_is_told_to_come_back(app: App) -> None:
    app.gate.clear()
    async with serving(app, Bounds(connections=2)) as connect:
        working = [asyncio.create_task(ask(await connect())) for _ in range(2)]
        await eventually(lambda: app.under_way == 2)

        reader, _ = await connect()
        answer = await rest(reader)

        assert answer.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
        assert b"retry-after: 1\r\n" in answer
        app.gate.set()
        assert await asyncio.gather(*working) == [b"HTTP/1.1 200 OK"] * 2


async def test_a_thousand_that_say_nothing_keep_nobody_out(app: App) -> None:
    async with serving(app, Bounds(connections=20)) as connect:
        for _ in range(1000):
            await connect()
        assert await ask(await connect()) == b"HTTP/1.1 200 OK"


def test_half_of_the_descriptors_are_the_service_s() -> None:
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert Bounds(connections=10**9).for_this_process().connections == allowed // 2
    assert Bounds(connections=1).for_this_process().connections == 1
