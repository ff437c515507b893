"""Clients that connect and do not go on, over real sockets: none of them keeps others from being heard."""

from __future__ import annotations

import asyncio
import resource
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from typing import Any, ClassVar

import pytest
from placet.connections import JOINED_BELOW, KEEP_ALIVE, BoundedServer, Bounds, Connection, bounded

from tests.support.eventually import eventually
from tests.support.serving import PromptServer

REQUEST = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class App:
    """Takes the whole body and answers its size; `/stream` answers what is put into `said`, `/many` a great deal,
    `/5` so many bytes."""

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
                case path if path.strip("/"):
                    body = b"x" * int(path.strip("/"))
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
        (connection,) = self.theirs
        connection.look(now)

    @property
    def theirs(self) -> list[Connection]:
        """The server's ends."""
        return [each for each in self._server.server_state.connections if isinstance(each, Connection)]

    @property
    def tasks(self) -> int:
        """Requests that somebody works at."""
        return len(self._server.server_state.tasks)

    @property
    def sockets(self) -> list[socket.socket]:
        return [each.transport.get_extra_info("socket") for each in self.theirs]

    def close(self) -> None:
        for writer in self._writers:
            writer.close()


@asynccontextmanager
async def serving(app: App, bounds: Bounds, kind: type[Connection] = Connection) -> AsyncIterator[Clients]:
    server = PromptServer(bounded(app, bounds, connection=kind, port=0, timeout_graceful_shutdown=1))
    running = asyncio.create_task(server.serve())
    await eventually(lambda: server.started)
    clients = Clients(server)
    try:
        yield clients
    finally:
        clients.close()
        server.end()
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
    async with serving(app, Bounds(head_seconds=2.0)) as connect:
        answer = await drip(await connect(), b"GET / HTTP/1.1\r\nX: ", b"x")
    assert answer.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert b"the request's head took too long" in answer
    assert app.under_way == 0


async def test_a_later_head_may_drip_no_longer_than_the_first(app: App) -> None:
    async with serving(app, Bounds(head_seconds=2.0)) as connect:
        streams = await connect()
        assert await ask(streams) == b"HTTP/1.1 200 OK"
        answer = await drip(streams, b"GET / HTTP/1.1\r\nX: ", b"x")
    assert answer.startswith(b"HTTP/1.1 408 Request Timeout\r\n")


async def test_a_head_without_end_is_not_kept(app: App) -> None:
    async with serving(app, Bounds()) as connect:
        reader, writer = await connect()
        writer.write(b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"x" * 100_000)
        answer = await rest(reader)
    assert answer.startswith(b"HTTP/1.1 431 ")
    assert b"the request's head does not end" in answer


@pytest.mark.parametrize("frame", [b"1;" + b"x" * 100_000, b"0\r\n" + b"X: x\r\n" * 20_000])
async def test_what_frames_a_body_is_not_kept_without_end(app: App, frame: bytes) -> None:
    async with serving(app, Bounds()) as connect:
        reader, writer = await connect()
        writer.write(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n")
        await app.has_taken(4)
        writer.write(frame)
        answer = await rest(reader)
        await eventually(lambda: app.under_way == 0)
    assert answer.startswith(b"HTTP/1.1 431 ")
    assert b"the request's body is all frame" in answer


async def test_a_large_body_is_no_large_head(app: App) -> None:
    async with serving(app, Bounds(connections=10, head_bytes=8192)) as connect:
        streams = await connect()
        for _ in range(3):
            request = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100_000
            assert await ask(streams, request) == b"HTTP/1.1 200 OK"


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


async def test_an_upload_has_an_end_where_one_is_named(app: App) -> None:
    bounds = Bounds(whole_body_seconds=100.0)
    async with serving(app, bounds) as connect:
        reader, writer = await connect()
        writer.write(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 500_000)
        await app.has_taken(500_000)
        now = asyncio.get_running_loop().time()
        connect.look(now + 90.0)
        assert app.under_way == 1
        connect.look(now + 101.0)
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


def test_clients_close_first_what_they_keep() -> None:
    assert bounded(App(), Bounds()).timeout_keep_alive > 60  # nginx's, and longer than most libraries'


@pytest.mark.parametrize(
    ("proxies", "told"),
    [
        ("", ("127.0.0.1", "http")),
        ("192.0.2.0/24", ("127.0.0.1", "http")),
        ("192.0.2.0/24,127.0.0.1/32", ("198.51.100.7", "https")),
    ],
    ids=["unless told", "another", "this one"],
)
async def test_for_whom_somebody_asks_is_believed_of_proxies_alone_that_are_named(
    proxies: str, told: tuple[str, str]
) -> None:
    seen: list[tuple[str, str]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append((scope["client"][0], scope["scheme"]))
        await send({"type": "http.response.start", "status": 204, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    headers = b"X-Forwarded-For: 198.51.100.7\r\nX-Forwarded-Proto: https\r\n"
    server = PromptServer(bounded(app, Bounds(), proxies=proxies, port=0, timeout_graceful_shutdown=1))
    running = asyncio.create_task(server.serve())
    await eventually(lambda: server.started)
    clients = Clients(server)
    try:
        await ask(await clients(), REQUEST.replace(b"\r\n\r\n", b"\r\n" + headers + b"\r\n"))
    finally:
        clients.close()
        server.end()
        await running
    assert seen == [told]


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


class Alone(BoundedServer):
    """It ends as it does in a service, but for the signals, which are pytest's."""

    def capture_signals(self) -> Any:
        return nullcontext()


async def test_what_a_server_that_ends_cuts_off_is_told_as_no_failure_of_the_application(
    app: App, caplog: pytest.LogCaptureFixture
) -> None:
    server = Alone(bounded(app, Bounds(), port=0, timeout_graceful_shutdown=0))
    running = asyncio.create_task(server.serve())
    await eventually(lambda: server.started)
    connect = Clients(server)
    _, writer = await connect()
    writer.write(b"GET /stream HTTP/1.1\r\nHost: h\r\n\r\n")
    await eventually(lambda: app.under_way == 1)
    server.should_exit = True
    await running
    await eventually(lambda: not server.server_state.tasks)
    connect.close()
    assert [each.getMessage() for each in caplog.records if each.name == "uvicorn.error"] == [
        "Cancel 1 running task(s), timeout graceful shutdown exceeded"
    ]


async def test_what_breaks_off_is_told_also_after_another_server_of_the_process_ended(
    app: App, caplog: pytest.LogCaptureFixture
) -> None:
    async def unfinished(_: Any, __: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"9")]})

    ended = Alone(bounded(app, Bounds(), port=0))
    ended.should_exit = True
    await ended.serve()
    async with serving(unfinished, Bounds()) as connect:  # type: ignore[arg-type]
        reader, writer = await connect()
        writer.write(REQUEST)
        await rest(reader)
    assert "ASGI callable returned without completing response." in caplog.messages


async def test_the_head_of_a_stream_does_not_wait_for_what_is_said(app: App) -> None:
    async with serving(app, Bounds()) as connect:
        reader, writer = await connect()
        writer.write(b"GET /stream HTTP/1.1\r\nHost: h\r\n\r\n")
        assert (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)).startswith(b"HTTP/1.1 200 OK")
        app.said.put_nowait(b"first")
        assert await asyncio.wait_for(reader.readuntil(b"first\r\n"), 20) == b"5\r\nfirst\r\n"
        app.said.put_nowait(b"")


async def told(request: bytes) -> tuple[bytes, list[tuple[bytes, bytes]], list[str]]:
    """The answer to `request`, and the headers and the path that the application saw."""
    headers: list[tuple[bytes, bytes]] = []
    paths: list[str] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        headers.extend(scope["headers"])
        paths.append(scope["raw_path"].decode() + "?" + scope["query_string"].decode())
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    async with serving(application, Bounds()) as connect:  # type: ignore[arg-type]
        reader, writer = await connect()
        writer.write(request)
        answer = await asyncio.wait_for(reader.readuntil(b"\r\n"), 20)
    return answer, headers, paths


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (b"http://models.test/a%2Fb?c=d", "/a%2Fb?c=d"),
        (b"HTTP://models.test", "/?"),
        (b"http://models.test?c=d", "/?c=d"),
    ],
)
async def test_a_target_may_be_a_whole_url_whose_host_counts(target: bytes, path: str) -> None:
    answer, headers, paths = await told(b"GET " + target + b" HTTP/1.1\r\nX: y\r\nHost: another\r\n\r\n")
    assert (answer, paths) == (b"HTTP/1.1 204 No Content\r\n", [path])
    assert headers == [(b"host", b"models.test"), (b"x", b"y")]
    answer, headers, _ = await told(b"GET http://models.test:81/ HTTP/1.1\r\nHost: another\r\n\r\n")
    assert headers == [(b"host", b"models.test:81")]


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nX: y",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b",
        b"GET / HTTP/1.0\r\nHost: a\r\nHost: a",
        b"GET http://a/ HTTP/1.1\r\nX: y",
        b"OPTIONS * HTTP/1.1\r\nHost: a",
        b"GET ftp:x HTTP/1.1\r\nHost: a",
        b"GET http:/// HTTP/1.1\r\nHost: a",
    ],
)
async def test_a_request_names_one_host_and_a_path(head: bytes) -> None:
    answer, _, paths = await told(head + b"\r\n\r\n")
    assert (answer, paths) == (b"HTTP/1.1 400 Bad Request\r\n", [])


async def test_an_older_client_names_no_host() -> None:
    answer, headers, _ = await told(b"GET / HTTP/1.0\r\n\r\n")
    assert (answer, headers) == (b"HTTP/1.1 204 No Content\r\n", [])


def test_half_of_the_descriptors_are_the_service_s() -> None:
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert Bounds(connections=10**9).for_this_process().connections == allowed // 2
    assert Bounds(connections=1).for_this_process().connections == 1
