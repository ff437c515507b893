"""Clients that connect and do not go on, over real sockets: none of them keeps others from being heard."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, ClassVar

import pytest
import uvicorn
from placet.runtime.connections import JOINED_BELOW, BoundedServer, Bounds, Connection

from tests.support.eventually import eventually

REQUEST = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Connect = Callable[[], Any]


class App:
    """Takes the whole body and answers its size, or with as many bytes as its path says."""

    def __init__(self) -> None:
        self.under_way = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.under_way += 1
        try:
            size, is_more = 0, True
            while is_more:
                message = await receive()
                size += len(message.get("body", b""))
                is_more = message.get("more_body", False)
            await self.gate.wait()
            asked = scope["path"].strip("/")
            body = b"x" * int(asked) if asked else str(size).encode()
            length = [(b"content-length", str(len(body)).encode())]
            await send({"type": "http.response.start", "status": 200, "headers": length})
            await send({"type": "http.response.body", "body": body})
        finally:
            self.under_way -= 1


@pytest.fixture
async def app() -> App:
    return App()


@asynccontextmanager
async def serving(app: App, bounds: Bounds, kind: type[Connection] = Connection) -> AsyncIterator[Connect]:
    """Gives what connects to it."""
    config = uvicorn.Config(  # noqa: TID251 -- the model server's bounds
        app,
        http=partial(kind, bounds),  # type: ignore[arg-type]
        port=0,
        lifespan="off",
        log_config=None,
        timeout_graceful_shutdown=1,
    )
    server = BoundedServer(config)
    running = asyncio.create_task(server._serve())
    await eventually(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    writers = []

    async def connect() -> Streams:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writers.append(writer)
        return reader, writer

    try:
        yield connect
    finally:
        for writer in writers:
            writer.close()
        server.should_exit = True
        await running


async def rest(reader: asyncio.StreamReader) -> bytes:
    """All that comes until the other side closes."""
    return await asyncio.wait_for(reader.read(), 10)


async def ask(streams: Streams, request: bytes = REQUEST) -> bytes:
    reader, writer = streams
    writer.write(request)
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    await asyncio.wait_for(reader.readexactly(length), 10)
    return head.split(b"\r\n")[0]


async def test_who_says_nothing_is_parted_with_in_silence(app: App) -> None:
    async with serving(app, Bounds(connections=10, head_seconds=0.2)) as connect:
        reader, _ = await connect()
        assert await rest(reader) == b""


async def test_a_head_that_drips_is_told_that_it_took_too_long(app: App) -> None:
    async with serving(app, Bounds(connections=10, head_seconds=0.4)) as connect:
        reader, writer = await connect()
        reading = asyncio.create_task(rest(reader))
        for byte in REQUEST[:-2] * 100:
            writer.write(bytes([byte]) if byte != 10 else b"\nX: ")
            await asyncio.wait({reading}, timeout=0.05)
            if reading.done():
                break
        answer = await reading
    assert answer.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert b"the request's head took too long" in answer
    assert app.under_way == 0


async def test_a_head_without_end_is_not_kept(app: App) -> None:
    async with serving(app, Bounds(connections=10, head_bytes=8192)) as connect:
        reader, writer = await connect()
        writer.write(b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"x" * 20_000)
        assert (await rest(reader)).startswith(b"HTTP/1.1 431 ")


async def test_a_large_body_is_no_large_head(app: App) -> None:
    async with serving(app, Bounds(connections=10, head_bytes=8192)) as connect:
        streams = await connect()
        for _ in range(3):
            request = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100_000
            assert await ask(streams, request) == b"HTTP/1.1 200 OK"


@pytest.mark.parametrize(
    "bounds", [Bounds(connections=10, silence=0.3), Bounds(connections=10, body_seconds=0.6)]
)
async def test_a_body_that_stops_or_drips_is_told_that_it_took_too_long(app: App, bounds: Bounds) -> None:
    async with serving(app, bounds) as connect:
        reader, writer = await connect()
        writer.write(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n")
        reading = asyncio.create_task(rest(reader))
        while not reading.done():
            if bounds.silence > 1:
                writer.write(b"x")
            await asyncio.wait({reading}, timeout=0.1)
        assert (await reading).startswith(b"HTTP/1.1 408 ")
        await eventually(lambda: app.under_way == 0)


async def test_a_model_may_take_its_time(app: App) -> None:
    app.gate.clear()
    bounds = Bounds(connections=10, head_seconds=0.2, body_seconds=0.2, silence=0.2)
    async with serving(app, bounds) as connect:
        reader, writer = await connect()
        writer.write(REQUEST)
        await eventually(lambda: app.under_way)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 1.5)
        app.gate.set()
        assert (await asyncio.wait_for(reader.read(100), 10)).startswith(b"HTTP/1.1 200 OK")


async def test_who_reads_nothing_of_a_large_answer_is_cut_off(app: App) -> None:
    async with serving(app, Bounds(connections=1, silence=0.3)) as connect:
        reader, writer = await connect()
        reader._transport.pause_reading()
        writer.write(b"GET /50000000 HTTP/1.1\r\nHost: h\r\n\r\n")
        await eventually(lambda: app.under_way == 0)

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
        assert await ask(idle[0]) == b"HTTP/1.1 200 OK"
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


class Written(Connection):
    """Remembers the sizes of what it hands to its transport."""

    sizes: ClassVar[list[int]] = []

    def connection_made(self, transport: Any) -> None:
        write = transport.write

        class Recording:
            def __getattr__(self, name: str) -> Any:
                return getattr(transport, name)

            def write(self, data: bytes) -> None:
                Written.sizes.append(len(data))
                write(data)

        super().connection_made(Recording())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("size", "pieces"), [(1, 1), (JOINED_BELOW - 1, 1), (JOINED_BELOW, 2), (2 * JOINED_BELOW, 2)]
)
async def test_a_small_answer_goes_out_at_once_with_its_head(app: App, size: int, pieces: int) -> None:
    async with serving(app, Bounds(connections=2), Written) as connect:
        Written.sizes.clear()
        assert await ask(await connect(), REQUEST.replace(b"/ ", b"/%d " % size, 1)) == b"HTTP/1.1 200 OK"
        assert len(Written.sizes) == pieces


async def test_an_answer_without_body_is_not_kept_back(app: App) -> None:
    async with serving(app, Bounds(connections=2)) as connect:
        reader, writer = await connect()
        for _ in range(2):
            writer.write(REQUEST.replace(b"GET", b"HEAD"))
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
            assert head.startswith(b"HTTP/1.1 200 OK")
        assert await ask((reader, writer)) == b"HTTP/1.1 200 OK"


async def test_requests_that_come_together_are_answered_in_turn(app: App) -> None:
    async with serving(app, Bounds(connections=2)) as connect:
        reader, writer = await connect()
        writer.write(b"".join(REQUEST.replace(b"/ ", b"/%d " % size, 1) for size in (3, 100_000, 2)))
        for size in (3, 100_000, 2):
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
            assert b"content-length: %d\r\n" % size in head
            assert await asyncio.wait_for(reader.readexactly(size), 10) == b"x" * size


@pytest.mark.parametrize(
    "rubbish",
    [
        b"rubbish\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nrubbish\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
    ],
)
async def test_what_cannot_be_read_answers_nobody_who_asked_before(app: App, rubbish: bytes) -> None:
    """It would be taken for the first answer: by a proxy that has one connection for many clients, for another's."""
    app.gate.clear()
    async with serving(app, Bounds(connections=2)) as connect:
        reader, writer = await connect()
        writer.write(b"".join(REQUEST.replace(b"/ ", b"/%d " % size, 1) for size in (3, 2)) + rubbish)
        await eventually(lambda: app.under_way == 1)
        app.gate.set()
        answers = await rest(reader)
    assert answers.count(b"HTTP/1.1 200 OK") == answers.count(b"HTTP/1.1 ") == 2
    assert answers.endswith(b"xx")


UPGRADE = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEA\r\n"


@pytest.mark.parametrize("is_apart", [False, True])
async def test_who_would_like_another_protocol_has_its_body_read_as_a_body(app: App, is_apart: bool) -> None:
    """It was lost, or read as the next request: of whoever wrote the body."""
    body = REQUEST.replace(b"/ ", b"/7 ", 1)
    asks = b"POST / HTTP/1.1\r\nHost: h\r\n%bContent-Length: %d\r\n\r\n" % (UPGRADE, len(body))
    async with serving(app, Bounds(connections=2)) as connect:
        reader, writer = await connect()
        for _ in range(3):
            writer.write(asks if is_apart else asks + body)
            if is_apart:
                await eventually(lambda: app.under_way == 1)
                writer.write(body)
            answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
            assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
            assert await asyncio.wait_for(reader.readexactly(2), 10) == str(len(body)).encode()
        both = REQUEST.replace(b"\r\n\r\n", b"\r\n" + UPGRADE + b"\r\n")
        assert await ask((reader, writer), both + both) == b"HTTP/1.1 200 OK"
        assert await ask((reader, writer), b"") == b"HTTP/1.1 200 OK"


async def test_this_is_no_proxy(app: App) -> None:
    async with serving(app, Bounds(connections=2)) as connect:
        for target in (b"h:80", b"/", b"http://h/"):
            reader, writer = await connect()
            writer.write(b"CONNECT %b HTTP/1.1\r\nHost: h\r\n\r\n%b" % (target, REQUEST))
            assert (await rest(reader)).startswith(b"HTTP/1.1 400 Bad Request")
    assert app.under_way == 0


async def test_what_cannot_be_read_is_told_to_who_sent_it(app: App) -> None:
    async with serving(app, Bounds(connections=2)) as connect:
        reader, writer = await connect()
        assert await ask((reader, writer)) == b"HTTP/1.1 200 OK"
        writer.write(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nrubbish\r\n")
        assert (await rest(reader)).startswith(b"HTTP/1.1 400 Bad Request")


async def test_a_body_that_does_not_come_answers_nobody_who_asked_before(app: App) -> None:
    app.gate.clear()
    async with serving(app, Bounds(connections=2, body_seconds=0.2, silence=0.2)) as connect:
        reader, writer = await connect()
        writer.write(REQUEST + b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\n")
        reading = asyncio.create_task(rest(reader))
        await eventually(lambda: app.under_way == 1)
        assert not (await asyncio.wait({reading}, timeout=2))[0]
        app.gate.set()
        answers = await reading
    assert answers.startswith(b"HTTP/1.1 200 OK")
    assert b"HTTP/1.1 408 " in answers


async def test_who_waits_to_be_told_to_continue_is_told_before_the_answer(app: App) -> None:
    async with serving(app, Bounds(connections=2)) as connect:
        reader, writer = await connect()
        for _ in range(2):
            writer.write(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
            told = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
            assert told == b"HTTP/1.1 100 Continue\r\n\r\n"
            assert await ask((reader, writer), b"four") == b"HTTP/1.1 200 OK"


async def test_an_answer_that_is_broken_off_ends_its_connection() -> None:
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"9")]})
        raise RuntimeError("no body")

    async with serving(broken, Bounds(connections=2)) as connect:  # type: ignore[arg-type]
        reader, writer = await connect()
        writer.write(REQUEST)
        assert (await rest(reader)).endswith(b"content-length: 9\r\n\r\n")


def test_half_of_the_descriptors_are_the_model_s() -> None:
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert Bounds.for_this_process(10**9).connections == allowed // 2
    assert Bounds.for_this_process(1).connections == 1
