"""The way to a model that means harm, over real sockets: what it says is read in one way or not at all, nothing is sent
to it twice that it may have taken, and nothing of it stays."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
from placet.gateway.model_connections import (
    HEAD_BYTES,
    HEAD_FIELDS,
    UNREAD,
    Answer,
    BrokenOff,
    ModelConnections,
    NoHttp,
    NoneFree,
    NotAnswered,
    NotReached,
    Silent,
    Streamed,
)

from tests.support.eventually import eventually
from tests.support.servers.local import free_port

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
WITHOUT_END = b"HTTP/1.1 200 OK\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
LONG = 3600.0
OPEN = "/proc/self/fd"


@dataclass(eq=False)
class Met:
    """A connection, as the model has it."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    heads: list[bytes] = field(default_factory=list)
    has_ended: bool = False

    async def head(self) -> bytes:
        head = await self.reader.readuntil(b"\r\n\r\n")
        self.heads.append(head)
        return head

    def say(self, data: bytes) -> None:
        self.writer.write(data)

    def reset(self) -> None:
        """The client hears of an error, and of no end."""
        linger = struct.pack("ii", 1, 0)
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.writer.transport.abort()


Script = Callable[[Met], Awaitable[None]]


@dataclass
class Model:
    """`met` are its connections, in the order in which they came."""

    endpoint: str
    met: list[Met]

    @property
    def asked(self) -> list[list[bytes]]:
        return [[head.split(b"\r\n")[0] for head in each.heads] for each in self.met]


@asynccontextmanager
async def a_model(script: Script) -> AsyncIterator[Model]:
    met: list[Met] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        each = Met(reader, writer)
        met.append(each)
        try:
            with suppress(asyncio.IncompleteReadError, ConnectionError):
                await script(each)
        finally:
            each.has_ended = True
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield Model("http://{}:{}".format(*server.sockets[0].getsockname()), met)
        for each in met:
            if not each.has_ended:
                each.writer.transport.abort()
        await eventually(lambda: all(each.has_ended for each in met))


@asynccontextmanager
async def connections(**bounds: Any) -> AsyncIterator[ModelConnections]:
    given = {"one_model": 8, "together": 16, "begun_within": LONG, "silence": 2 * LONG, **bounds}
    ours = ModelConnections(**given)
    try:
        yield ours
    finally:
        await ours.close()


def answering(*answers: bytes, then_close: bool = False) -> Script:
    """One after the other on each connection, the last one for ever."""

    async def script(met: Met) -> None:
        turn = 0
        while True:
            await met.head()
            met.say(answers[min(turn, len(answers) - 1)])
            turn += 1
            if then_close:
                return

    return script


async def until_left(met: Met) -> None:
    """Until the client has closed it, however it did that."""
    with suppress(ConnectionError):
        await met.reader.read()


async def ask(
    ours: ModelConnections, model: Model, method: str = "GET", path: bytes = b"/", **rest: Any
) -> Answer:
    return await ours.request("churn", model.endpoint, method, path, (), **rest)


async def whole(answer: Answer) -> bytes:
    pieces = []
    while piece := await answer.read():
        pieces.append(piece)
    assert answer.is_whole
    return b"".join(pieces)


async def ask_whole(ours: ModelConnections, model: Model, method: str = "GET", **rest: Any) -> bytes:
    answer = await ask(ours, model, method, **rest)
    try:
        return await whole(answer)
    finally:
        answer.close()


def pass_time(seconds: float) -> None:
    """On the loop's clock, and on no other."""
    loop = asyncio.get_running_loop()
    before = loop.time
    loop.time = lambda: before() + seconds  # type: ignore[method-assign]


async def looked_at(ours: ModelConnections) -> None:
    """By the one who looks for silence."""
    timer = ours._timer
    await eventually(lambda: ours._timer is not timer)


# How answers are read.


@pytest.mark.parametrize(
    ("method", "answer", "status", "body", "is_kept"),
    [
        ("GET", OK, 200, b"ok", True),
        ("GET", b"HTTP/1.1 201\r\ncontent-length:0\r\n\r\n", 201, b"", True),
        ("GET", CHUNKED + b"2;x=y\r\nok\r\n0\r\nHost: evil\r\n\r\n", 200, b"ok", True),
        ("GET", CHUNKED + b"2\r\nok\r\n0\r\nConnection: close\r\n\r\n", 200, b"ok", False),
        ("GET", b"HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 2\r\n\r\nok", 200, b"ok", False),
        ("GET", b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, b"ok", False),
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", 200, b"", True),
        ("HEAD", CHUNKED, 200, b"", True),
        ("HEAD", WITHOUT_END, 200, b"", True),
        ("GET", b"HTTP/1.1 204 No\r\nContent-Length: 9\r\n\r\n", 204, b"", True),
        ("GET", b"HTTP/1.1 204 No\r\n\r\n", 204, b"", True),
        ("GET", b"HTTP/1.1 304 Not\r\nContent-Length: 9\r\n\r\n", 304, b"", True),
        ("GET", b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 100 C\r\n\r\n" + OK, 200, b"ok", True),
        ("GET", b"HTTP/1.1 199 ?\r\nContent-Length: 3\r\n\r\n" + OK, 200, b"ok", True),
        # Bytes beyond its end are nobody's answer.
        ("GET", OK + b"x", 200, b"ok", False),
        ("GET", OK + b"\r\n", 200, b"ok", False),
        ("GET", OK + OK, 200, b"ok", False),
        ("GET", CHUNKED + b"2\r\nok\r\n0\r\n\r\n\r\n", 200, b"ok", False),
        ("GET", CHUNKED + b"2\r\nok\r\n0\r\n\r\n" + OK, 200, b"ok", False),
        ("GET", CHUNKED + b"2\r\nok\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", 200, b"ok", False),
        ("HEAD", OK, 200, b"", False),
        ("GET", b"HTTP/1.1 204 No\r\nContent-Length: 2\r\n\r\nok", 204, b"", False),
        ("GET", b"HTTP/1.1 304 Not\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 304, b"", False),
    ],
)
async def test_an_answer_ends_where_it_says_and_its_connection_is_kept_if_that_is_all(
    method: str, answer: bytes, status: int, body: bytes, is_kept: bool
) -> None:
    async with a_model(answering(answer, OK)) as model, connections() as ours:
        answered = await ask(ours, model, method)
        assert (answered.status, await whole(answered)) == (status, body)
        answered = await ask(ours, model, method if not is_kept else "GET")
        assert await whole(answered) == (b"ok" if is_kept else body)
        assert len(model.met) == (1 if is_kept else 2)


async def test_names_are_in_lower_case_and_values_without_the_white_space_around_them() -> None:
    said = b"HTTP/1.1 200 OK\r\nX-A: b \t\r\nX-A:\r\nX-\xc3: \xc3\xa9\r\nContent-Length: 0\r\n\r\n"
    async with a_model(answering(said.replace(b"X-\xc3", b"X-C"))) as model, connections() as ours:
        answer = await ask(ours, model)
    assert answer.headers == [(b"x-a", b"b"), (b"x-a", b""), (b"x-c", b"\xc3\xa9"), (b"content-length", b"0")]


@pytest.mark.parametrize("head", [WITHOUT_END, b"HTTP/1.0 200 OK\r\n\r\n"])
async def test_an_answer_without_a_length_ends_with_its_connection(head: bytes) -> None:
    async def script(met: Met) -> None:
        await met.head()
        met.say(head + b"some")
        await met.writer.drain()
        met.say(b" more")

    async with a_model(script) as model, connections() as ours:
        assert await ask_whole(ours, model) == b"some more"
        assert await ask_whole(ours, model) == b"some more"
        assert len(model.met) == 2


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9\r\n",
        b"\x16\x03\x01",
        b"\r\n\r\n" + OK,
        b"\r\n" + OK,
        b"ICE/1.0 200 OK\r\n\r\n",
        b"HTTP/0.9 200 OK\r\n\r\n",
        b"HTTP/1.2 200 OK\r\n\r\n",
        b"HTTP/2.0 200 OK\r\n\r\n",
        b"http/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 000 Odd\r\n\r\n",
        b"HTTP/1.1 099 Odd\r\n\r\n",
        b"HTTP/1.1 600 Odd\r\n\r\n",
        b"HTTP/1.1 2000 Odd\r\n\r\n",
        b"HTTP/1.1 20 Odd\r\n\r\n",
        b"HTTP/1.1 +20 Odd\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n" + OK,
        b"HTTP/1.1 200 O\x01K\r\n\r\n",
        b"HTTP/1.1 200 O\nX: y\r\n\r\n",
        b"HTTP/1.1 200 O\rX: y\r\n\r\n",
        b"HTTP/1.1 200 OK\n\n\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\x00b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\x7fb\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX : a\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n: a\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\nY: b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok!",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2, 3\r\n\r\nok!",
        b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0x2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * (HEAD_FIELDS + 1) + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * HEAD_BYTES,
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * HEAD_BYTES + b"\r\n\r\n",
        b"HTTP/1.1 103 Early\r\nX: y\r\n\r\n" * 5000,
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_what_may_be_read_in_two_ways_is_no_answer_and_ends_its_connection(
    method: str, answer: bytes
) -> None:
    async def script(met: Met) -> None:
        await met.head()
        met.say(answer)
        await until_left(met)

    async with a_model(script) as model, connections() as ours:
        with pytest.raises(NoHttp):
            await ask(ours, model, method)
        await eventually(lambda: model.met[0].has_ended)
        with pytest.raises(NoHttp):
            await ask(ours, model, method)
        assert len(model.met) == 2


@pytest.mark.parametrize(
    "rest",
    [
        b"x\r\nok\r\n",
        b"2 \r\nok\r\n",
        b"2\nok\r\n",
        b"2\r\nokay\r\n",
        b"fffffffffffffffff\r\n",
        b"-1\r\n",
        b"2;" + b"x" * 2_000_000,
        b"0\r\n" + b"X: y\r\n" * 300_000,
        b"0\r\nX\r\n\r\n",
        b"0\r\nContent-Length: 5\r\n\r\n",
    ],
)
async def test_chunks_that_are_none_break_an_answer_off_behind_those_that_were(rest: bytes) -> None:
    async def script(met: Met) -> None:
        await met.head()
        met.say(CHUNKED + b"4\r\ngood\r\n" + rest)
        await until_left(met)

    async with a_model(script) as model, connections() as ours:
        answer = await ask(ours, model)
        assert (await answer.read()).startswith(b"good")
        with pytest.raises(NoHttp):
            await whole(answer)
        assert not answer.is_whole
        await eventually(lambda: model.met[0].has_ended)


@pytest.mark.parametrize("is_reset", [False, True])
@pytest.mark.parametrize(
    "begun",
    [b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nsome", CHUNKED + b"4\r\nsome\r\n", CHUNKED + b"9\r\nsome"],
)
async def test_an_answer_that_breaks_off_is_no_whole_one(begun: bytes, is_reset: bool) -> None:
    async def script(met: Met) -> None:
        await met.head()
        met.say(begun)
        await go_on.wait()
        if is_reset:
            met.reset()

    go_on = asyncio.Event()
    async with a_model(script) as model, connections() as ours:
        answer = await ask(ours, model)
        assert await answer.read() == b"some"
        go_on.set()
        with pytest.raises(BrokenOff):
            await answer.read()
        assert not answer.is_whole


async def test_a_reset_is_no_end_of_an_answer_without_a_length() -> None:
    async def script(met: Met) -> None:
        await met.head()
        met.say(WITHOUT_END + b"some")
        await go_on.wait()
        met.reset()

    go_on = asyncio.Event()
    async with a_model(script) as model, connections() as ours:
        answer = await ask(ours, model)
        assert await answer.read() == b"some"
        go_on.set()
        with pytest.raises(BrokenOff):
            await answer.read()


async def test_a_stream_of_events_passes_as_it_comes() -> None:
    async def script(met: Met) -> None:
        await met.head()
        met.say(CHUNKED)
        for number in range(3):
            await gates[number].wait()
            met.say(b"8\r\ndata: %d\n\r\n" % number)
        met.say(b"0\r\n\r\n")

    gates = [asyncio.Event() for _ in range(3)]
    async with a_model(script) as model, connections() as ours:
        answer = await ask(ours, model)
        for number, gate in enumerate(gates):
            gate.set()
            assert await answer.read() == b"data: %d\n" % number
        assert await whole(answer) == b""


@pytest.mark.parametrize("is_chunked", [False, True])
async def test_of_an_answer_that_nobody_reads_little_is_taken(is_chunked: bool) -> None:
    """What is sent is more than the system's own buffers hold."""
    piece, pieces = b"x" * 100_000, 1000

    async def script(met: Met) -> None:
        await met.head()
        met.say(CHUNKED if is_chunked else b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
        for _ in range(pieces):
            met.say(b"%x\r\n%b\r\n" % (len(piece), piece) if is_chunked else piece)
            await met.writer.drain()
        met.say(b"0\r\n\r\n" if is_chunked else b"")

    async with a_model(script) as model, connections() as ours:
        answer = await ask(ours, model)
        await eventually(lambda: answer.unread > UNREAD)
        most, read = 0, 0
        while got := await answer.read():
            read += len(got)
            most = max(most, len(got))
        assert read == len(piece) * pieces
        assert most < UNREAD + 512 * 1024  # what one read of the system's gives beyond it


# Connections that are kept.


async def test_a_connection_serves_one_request_after_the_other() -> None:
    async with a_model(answering(OK)) as model, connections() as ours:
        for _ in range(3):
            assert await ask_whole(ours, model) == b"ok"
    assert model.asked == [[b"GET / HTTP/1.1"] * 3]


async def test_each_place_where_a_model_listens_has_connections_of_its_own() -> None:
    async with a_model(answering(OK)) as one, a_model(answering(OK)) as other, connections() as ours:
        for _ in range(2):
            assert await ask_whole(ours, one) == await ask_whole(ours, other) == b"ok"
        assert len(one.met) == len(other.met) == 1


async def test_a_connection_that_the_model_closed_meanwhile_is_not_used() -> None:
    async with a_model(answering(OK, then_close=True)) as model, connections() as ours:
        for number in range(2):
            assert await ask_whole(ours, model, "POST", body=b"x") == b"ok"
            await eventually(lambda: model.met[number].has_ended)  # noqa: B023
            await eventually(lambda: not ours._open)


@pytest.mark.parametrize("said", [b"x", OK, b"\r\n"])
async def test_what_a_model_says_unasked_is_no_answer_to_the_next_request(said: bytes) -> None:
    async def script(met: Met) -> None:
        await met.head()
        met.say(OK)
        await go_on.wait()
        met.say(said)
        await until_left(met)

    go_on = asyncio.Event()
    async with a_model(script) as model, connections() as ours:
        assert await ask_whole(ours, model) == b"ok"
        go_on.set()
        await eventually(lambda: model.met[0].has_ended)
        assert await ask_whole(ours, model) == b"ok"
        assert len(model.met) == 2


def closing_when_asked(again: bytes = OK, *, is_reset: bool = False) -> Script:
    """A model that closes a kept connection just as it is asked on it."""

    async def script(met: Met) -> None:
        await met.head()
        met.say(again)
        await met.head()
        if is_reset:
            met.reset()

    return script


@pytest.mark.parametrize("is_reset", [False, True])
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"])
async def test_what_may_be_sent_twice_is_sent_again_over_a_new_connection_if_a_kept_one_closes(
    method: str, is_reset: bool
) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    async with a_model(closing_when_asked(head, is_reset=is_reset)) as model, connections() as ours:
        assert await ask_whole(ours, model) == b""
        body = b"body" if method == "PUT" else None
        answer = await ask(ours, model, method, body=body)
        assert (answer.status, await whole(answer)) == (200, b"")
    line = b"%b / HTTP/1.1" % method.encode()
    assert model.asked == [[b"GET / HTTP/1.1", line], [line]]


@pytest.mark.parametrize(
    ("method", "body"), [("POST", b"x"), ("POST", None), ("PATCH", b"x"), ("PUT", "streamed")]
)
async def test_what_a_model_may_have_taken_is_sent_once(method: str, body: Any) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"x"

    async with a_model(closing_when_asked()) as model, connections() as ours:
        assert await ask_whole(ours, model) == b"ok"
        with pytest.raises(BrokenOff):
            await ask(ours, model, method, body=Streamed(chunks(), 1) if body == "streamed" else body)
        assert model.asked == [[b"GET / HTTP/1.1", b"%b / HTTP/1.1" % method.encode()]]


async def test_who_is_sent_a_byte_of_an_answer_was_heard_and_is_not_asked_again() -> None:
    async def script(met: Met) -> None:
        await met.head()
        met.say(OK)
        await met.head()
        met.say(b"H")

    async with a_model(script) as model, connections() as ours:
        assert await ask_whole(ours, model) == b"ok"
        with pytest.raises(BrokenOff):
            await ask(ours, model)
        assert len(model.met) == 1


async def test_a_new_connection_that_closes_is_not_tried_again() -> None:
    async def script(met: Met) -> None:
        await met.head()

    async with a_model(script) as model, connections() as ours:
        with pytest.raises(BrokenOff):
            await ask(ours, model)
        assert len(model.met) == 1


async def test_a_connection_without_requests_is_closed_before_the_model_does_it() -> None:
    async with a_model(answering(OK)) as model, connections(kept_for=0.05) as ours:
        assert await ask_whole(ours, model) == b"ok"
        await eventually(lambda: model.met[0].has_ended)
        assert await ask_whole(ours, model) == b"ok"
        assert len(model.met) == 2


# Requests.


async def test_a_request_names_who_was_asked_and_says_what_it_is_given() -> None:
    async with a_model(answering(OK)) as model, connections() as ours:
        headers = [(b"x-a", b"b"), (b"x-a", b"\xc3\xa9")]
        for host in (b"models.test", None):
            answer = await ours.request("churn", model.endpoint, "GET", b"/a?b", headers, host=host)
            assert await whole(answer) == b"ok"
    own = model.endpoint.removeprefix("http://").encode()
    assert model.met[0].heads == [
        b"GET /a?b HTTP/1.1\r\nhost: %b\r\nx-a: b\r\nx-a: \xc3\xa9\r\n\r\n" % each
        for each in (b"models.test", own)
    ]


@pytest.mark.parametrize(
    ("method", "body", "sent"),
    [
        ("GET", None, b""),
        ("OPTIONS", None, b""),
        ("POST", None, b"content-length: 0\r\n"),
        ("DELETE", None, b"content-length: 0\r\n"),
        ("GET", b"", b"content-length: 0\r\n"),
        ("POST", b"body", b"content-length: 4\r\n"),
    ],
)
async def test_a_body_that_is_there_has_its_length(method: str, body: bytes | None, sent: bytes) -> None:
    async def script(met: Met) -> None:
        head = await met.head()
        read = await met.reader.readexactly(len(body or b""))
        met.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (len(head) + len(read)) + head + read)
        await until_left(met)

    async with a_model(script) as model, connections() as ours:
        told = await ask_whole(ours, model, method, body=body)
    own = model.endpoint.removeprefix("http://").encode()
    line = b"%b / HTTP/1.1\r\n" % method.encode()
    assert told == line + b"host: " + own + b"\r\n" + sent + b"\r\n" + (body or b"")


async def streaming(*chunks: bytes) -> AsyncIterator[bytes]:
    for each in chunks:
        yield each


@pytest.mark.parametrize(
    ("length", "sent"),
    [
        (None, b"transfer-encoding: chunked\r\n\r\n4\r\nsome\r\n5\r\n more\r\n0\r\n\r\n"),
        (9, b"content-length: 9\r\n\r\nsome more"),
    ],
)
async def test_a_body_that_streams_is_framed_and_its_connection_kept(length: int | None, sent: bytes) -> None:
    async def script(met: Met) -> None:
        while True:
            received.append(await met.reader.readuntil(sent[-5:]))
            met.say(OK)

    received: list[bytes] = []
    async with a_model(script) as model, connections() as ours:
        for _ in range(2):
            body = Streamed(streaming(b"some", b"", b" more"), length)
            assert await ask_whole(ours, model, "POST", body=body) == b"ok"
        assert len(model.met) == 1
    assert [each.endswith(sent) for each in received] == [True, True]


@pytest.mark.parametrize("chunks", [(b"some",), (b"some", b" more!"), (), (b"some more!",)])
async def test_a_body_of_another_length_than_was_said_is_never_passed_off_as_whole(
    chunks: tuple[bytes, ...],
) -> None:
    async def script(met: Met) -> None:
        head = await met.head()
        assert b"content-length: 9\r\n" in head
        with suppress(ConnectionError):
            received.append(await met.reader.read())

    received: list[bytes] = []
    async with a_model(script) as model, connections() as ours:
        with pytest.raises(ValueError, match="than was said"):
            await ask(ours, model, "POST", body=Streamed(streaming(*chunks), 9))
        await eventually(lambda: model.met[0].has_ended)
    assert all(len(each) < 9 for each in received)


async def test_who_sends_a_body_and_fails_ends_the_request() -> None:
    async def failing() -> AsyncIterator[bytes]:
        yield b"some"
        raise NotAnswered("the client left")

    async def script(met: Met) -> None:
        await met.head()
        await until_left(met)

    async with a_model(script) as model, connections() as ours:
        with pytest.raises(NotAnswered, match="the client left"):
            await ask(ours, model, "POST", body=Streamed(failing(), None))
        await eventually(lambda: model.met[0].has_ended)


async def test_of_a_body_that_a_model_does_not_take_little_is_asked_for_and_its_silence_counts() -> None:
    taken = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal taken
        while True:
            taken += 100_000
            yield b"x" * 100_000

    async def script(met: Met) -> None:
        await met.head()
        met.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await left.wait()

    left = asyncio.Event()
    async with a_model(script) as model, connections(silence=0.3) as ours:
        with pytest.raises(Silent):
            await ask(ours, model, "POST", body=Streamed(endless(), None))
        assert taken < 50_000_000  # what the system's buffers hold
        assert not ours._open or all(each.is_closing for each in ours._open)
        left.set()


async def test_an_answer_before_the_whole_body_was_sent_is_passed_on_and_its_connection_ends() -> None:
    sent = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield b"some"
        await sent.wait()
        yield b"rest"

    async def script(met: Met) -> None:
        await met.head()
        met.say(b"HTTP/1.1 413 Too Much\r\nContent-Length: 2\r\n\r\nno")
        with suppress(ConnectionError):
            received.append(await met.reader.read())

    received: list[bytes] = []
    async with a_model(script) as model, connections() as ours:
        answer = await ask(ours, model, "POST", body=Streamed(body(), 8))
        assert (answer.status, await whole(answer)) == (413, b"no")
        await eventually(lambda: model.met[0].has_ended)
        sent.set()
    assert received in ([b"some"], [])


async def test_a_body_goes_on_while_its_answer_comes() -> None:
    async def echo(met: Met) -> None:
        await met.head()
        met.say(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n")
        for _ in range(3):
            met.say(await met.reader.readexactly(2))
        await until_left(met)

    heard = [asyncio.Event() for _ in range(3)]

    async def body() -> AsyncIterator[bytes]:
        for number, each in enumerate(heard):
            yield b"%02d" % number
            await each.wait()

    async with a_model(echo) as model, connections() as ours:
        answer = await ask(ours, model, "POST", body=Streamed(body(), 6))
        for number, each in enumerate(heard):
            assert await answer.read() == b"%02d" % number
            each.set()
        assert answer.is_read


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        (b"/ HTTP/1.1\r\nX: y", []),
        (b"/\n", []),
        (b"/", [(b"x", b"a\r\nhost: evil")]),
        (b"/", [(b"x\r", b"a")]),
        (b"/", [(b"x", b"a\0")]),
    ],
)
async def test_nothing_that_is_said_begins_another_line(path: bytes, headers: Any) -> None:
    async with a_model(answering(OK)) as model, connections() as ours:
        with pytest.raises(ValueError, match="end of a line"):
            await ours.request("churn", model.endpoint, "GET", path, headers)
        assert not model.met


@pytest.mark.parametrize("endpoint", ["https://h:1", "http://:1", "http://h:1/path", "h:1"])
async def test_an_endpoint_is_a_host_and_a_port(endpoint: str) -> None:
    async with connections() as ours:
        with pytest.raises(ValueError, match="is no `http://host:port`"):
            await ours.request("churn", endpoint, "GET", b"/", ())


# How long, and how many.


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 2", WITHOUT_END, CHUNKED + b"5\r\n", OK[:-1]])
async def test_a_model_that_says_nothing_more_is_given_up(said: bytes) -> None:
    async def script(met: Met) -> None:
        await met.head()
        met.say(said)
        await until_left(met)

    async with a_model(script) as model, connections(silence=0.2) as ours:
        with pytest.raises(Silent):
            await ask_whole(ours, model)
        await eventually(lambda: model.met[0].has_ended)


async def test_a_byte_from_time_to_time_is_no_silence() -> None:
    async with a_model(holding) as model, connections(silence=100) as ours:
        asking = asyncio.create_task(ask_whole(ours, model))
        await eventually(lambda: model.asked == [[b"GET / HTTP/1.1"]])
        (busy,) = ours._open
        for byte in OK:
            pass_time(60)
            before = busy._since
            model.met[0].say(bytes([byte]))
            await eventually(lambda: busy._since != before)  # noqa: B023
            if byte != OK[-1]:
                await looked_at(ours)
        assert await asking == b"ok"


async def test_a_client_that_is_slow_with_its_body_or_with_reading_is_no_silence_of_the_model() -> None:
    go_on = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield b"some"
        await go_on.wait()
        yield b"more"

    async def script(met: Met) -> None:
        await met.head()
        received.append(await met.reader.readexactly(4))
        assert await met.reader.readexactly(4) == b"more"
        met.say(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1_000_000)
        await until_left(met)

    received: list[bytes] = []
    async with a_model(script) as model, connections(silence=100) as ours:
        asking = asyncio.create_task(ask(ours, model, "POST", body=Streamed(body(), 8)))
        await eventually(lambda: received == [b"some"])
        pass_time(1000)
        await looked_at(ours)
        go_on.set()
        answer = await asking
        await eventually(lambda: answer.unread > UNREAD)
        pass_time(1000)
        await looked_at(ours)
        assert len(await whole(answer)) == 1_000_000


async def test_where_nobody_listens_nothing_was_sent() -> None:
    async with connections() as ours:
        with pytest.raises(NotReached):
            await ours.request("churn", f"http://127.0.0.1:{free_port()}", "POST", b"/", (), body=b"x")
        assert not ours._under_way


async def test_a_model_that_takes_no_connection_in_time_takes_no_more_requests() -> None:
    """A socket whose queue is full: the system answers nobody."""
    with closing(socket.socket()) as full, closing(socket.socket()) as first:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        first.connect(full.getsockname())
        endpoint = "http://{}:{}".format(*full.getsockname())
        async with connections(begun_within=0.2) as ours:
            with pytest.raises(NoneFree):
                await ours.request("churn", endpoint, "GET", b"/", ())
            assert not ours._under_way
            assert not ours._open


async def holding(met: Met) -> None:
    await met.head()
    await until_left(met)


async def test_requests_beyond_a_models_share_wait_and_are_given_up_and_others_are_served() -> None:
    async with (
        a_model(holding) as model,
        a_model(answering(OK)) as other,
        connections(one_model=2) as ours,
    ):
        held = [asyncio.create_task(ask(ours, model)) for _ in range(2)]
        await eventually(lambda: sum(map(len, model.asked)) == 2)
        await given_up(ours, model)
        answer = await ours.request("fraud", other.endpoint, "GET", b"/", ())
        assert await whole(answer) == b"ok"
        for each in held:
            each.cancel()
        await asyncio.wait(held)
        assert not ours._under_way


async def given_up(ours: ModelConnections, model: Model) -> None:
    """One that waits longer than it may, and is not sent."""
    asking = asyncio.create_task(ask(ours, model))
    await eventually(lambda: ours._waiting)
    pass_time(LONG + 1)
    with pytest.raises(NoneFree):
        await asking
    assert not ours._waiting


async def test_replicas_of_a_model_share_what_it_has() -> None:
    async with a_model(holding) as one, a_model(holding) as two, connections(one_model=1) as ours:
        held = asyncio.create_task(ask(ours, one))
        await eventually(lambda: one.asked == [[b"GET / HTTP/1.1"]])
        await given_up(ours, two)
        assert not two.met
        held.cancel()
        await asyncio.wait([held])


async def test_who_waits_is_served_in_turn_as_soon_as_a_place_is_free() -> None:
    async def script(met: Met) -> None:
        while True:
            head = await met.head()
            served.append(head.split()[1])
            await gate.wait()
            met.say(OK)

    served: list[bytes] = []
    gate = asyncio.Event()
    async with a_model(script) as model, connections(one_model=1) as ours:
        asking = []
        for number in range(4):
            asking.append(asyncio.create_task(_ask(ours, model, b"/%d" % number)))
            await eventually(lambda: len(ours._waiting) == max(0, number))  # noqa: B023
        await eventually(lambda: served == [b"/0"])
        asking[2].cancel()
        await asyncio.wait([asking[2]])
        gate.set()
        assert [await each for each in asking if each is not asking[2]] == [b"ok"] * 3
        assert served == [b"/0", b"/1", b"/3"]
        assert len(model.met) == 1
        assert not ours._under_way
        assert not ours._waiting


async def _ask(ours: ModelConnections, model: Model, path: bytes) -> bytes:
    return await whole(await ask(ours, model, path=path))


async def test_a_place_that_was_given_to_who_left_at_that_moment_is_free() -> None:
    async with a_model(holding) as model, connections(one_model=1) as ours:
        first = asyncio.create_task(ask(ours, model))
        await eventually(lambda: model.asked)
        second = asyncio.create_task(ask(ours, model))
        await eventually(lambda: ours._waiting)
        first.add_done_callback(lambda _: second.cancel())  # behind which the place is the second's already
        first.cancel()
        await asyncio.wait([first, second])
        await eventually(lambda: not ours._under_way)


async def test_together_they_have_no_more_connections_than_they_may_those_without_a_request_included() -> (
    None
):
    async with connections(together=2) as ours:
        models = []
        async with (
            a_model(answering(OK)) as one,
            a_model(answering(OK)) as two,
            a_model(answering(OK)) as three,
        ):
            models = [one, two, three]
            for each in models:
                assert await ask_whole(ours, each) == b"ok"
            await eventually(lambda: one.met[0].has_ended)  # the one that was used longest ago
            assert not two.met[0].has_ended
            assert not three.met[0].has_ended
            await eventually(lambda: len(ours._open) == 2)


# What is left.


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200", CHUNKED + b"2\r\nok\r\n"])
async def test_who_leaves_closes_the_connection_and_leaves_its_place(said: bytes) -> None:
    async def script(met: Met) -> None:
        await met.head()
        met.say(said)
        await until_left(met)

    async with a_model(script) as model, connections(one_model=1) as ours:
        for number in range(2):
            asking = asyncio.create_task(ask_whole(ours, model))
            await eventually(lambda: len(model.asked) == number + 1 and model.asked[number])  # noqa: B023
            if said:
                await eventually(lambda: any(each._has_heard for each in ours._open))
            asking.cancel()
            await asyncio.wait([asking])
            assert not ours._under_way
            await eventually(lambda: model.met[number].has_ended)  # noqa: B023


async def test_an_answer_that_is_closed_ends_its_connection_unless_it_was_whole() -> None:
    async with (
        a_model(answering(OK, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok")) as model,
        connections() as ours,
    ):
        (await ask(ours, model)).close()
        answer = await ask(ours, model)
        assert len(model.met) == 1
        answer.close()
        answer.close()
        await eventually(lambda: not ours._open)
        assert not ours._under_way
        with pytest.raises(BrokenOff):
            await whole(answer)


async def test_at_the_end_everything_ends() -> None:
    before = _descriptors()
    async with a_model(holding) as model, a_model(answering(OK)) as other:
        ours = ModelConnections(one_model=2, together=8, begun_within=LONG, silence=LONG)
        assert await ask_whole(ours, other) == b"ok"
        asking = [asyncio.create_task(ask(ours, model)) for _ in range(3)]
        await eventually(lambda: sum(map(len, model.asked)) == 2 and ours._waiting)
        await ours.close()
        ended = await asyncio.gather(*asking, return_exceptions=True)
        assert [type(each) for each in ended] == [BrokenOff, BrokenOff, NoneFree]
        with pytest.raises(NoneFree):
            await ask(ours, other)
        assert not ours._open
        assert not ours._under_way
        await eventually(lambda: all(each.has_ended for each in (*model.met, *other.met)))
    await eventually(lambda: _descriptors() <= before)


def _descriptors() -> int:
    """Those that this process has open; none where the system does not tell."""
    return len(os.listdir(OPEN)) if os.path.isdir(OPEN) else 0


async def test_who_leaves_while_everything_ends_is_no_accident() -> None:
    async with a_model(holding) as model:
        ours = ModelConnections(one_model=1, together=8, begun_within=LONG, silence=LONG)
        asking = [asyncio.create_task(ask(ours, model)) for _ in range(2)]
        await eventually(lambda: model.asked and ours._waiting)
        asking[1].cancel()
        await ours.close()
        ended = await asyncio.gather(*asking, return_exceptions=True)
        assert [type(each) for each in ended] == [BrokenOff, asyncio.CancelledError]
