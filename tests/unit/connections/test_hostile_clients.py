"""Clients that mean harm, over real sockets: nobody is answered in another's place, and nothing is kept of them."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from functools import partial
from typing import Any

import pytest
from placet.connections import Bounds, Connection

from tests.support.eventually import eventually
from tests.support.logs import Logged
from tests.unit.connections.test_connections import REQUEST, App, Streams, ask, rest, serving, told

POST = b"POST / HTTP/1.1\r\nHost: h\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.fixture
async def app() -> App:
    return App()


# What is refused before anybody is asked.


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /", 505),
        (b"GET / HTTP/0.9\r\nHost: h", 505),
        (b"GET / HTTP/2.0\r\nHost: h", 505),
        (POST + b"Transfer-Encoding: gzip, chunked", 501),
        (POST + b"Transfer-Encoding: identity", 501),
        (POST + b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked", 501),
        (b"POST / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked", 400),
        (POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5", 400),
        (POST + b"Content-Length: 5\r\nContent-Length: 5", 400),
        (b"GET /a#b HTTP/1.1\r\nHost: h", 400),
        (b"GET http://user@h/ HTTP/1.1\r\nHost: h", 400),
        (b"GET ftp://h/ HTTP/1.1\r\nHost: h", 400),
        (b"GET / HTTP/1.1\r\nHost: a b", 400),
        (b"GET / HTTP/1.1\r\nHost: a,b", 400),
        (b"GET / HTTP/1.1\r\nHost: a/b", 400),
        (b"GET / HTTP/1.1\r\nHost: u@a", 400),
        (b'GET / HTTP/1.1\r\nHost: "><script>', 400),
        (b"GET / HTTP/1.1\r\nHost: h\r\nX: a\r\n b", 400),
        (b"GET / HTTP/1.1\r\nHost: h\r\nX : a", 400),
        (b"GET / HTTP/1.1\r\nHost: h\r\nX: a\nY: b", 400),
        (b"GET / HTTP/1.1\r\nHost: h" + b"\r\nX: y" * 256, 431),
    ],
)
async def test_what_others_may_read_differently_reaches_no_application(
    app: App, head: bytes, status: int, logged: Logged
) -> None:
    async with serving(app, Bounds()) as connect:
        reader, writer = await connect()
        writer.write(head + b"\r\n\r\n" + REQUEST)
        answer = await rest(reader)
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert answer.count(b"HTTP/1.1 ") == 1 + answer.count(b'"HTTP/1.1 ')
    assert app.begun == 0
    assert not logged()


async def test_a_refusal_says_why_and_arrives_however_much_is_sent_behind_it(app: App) -> None:
    """Closed at once with bytes unread, a connection is reset, and what was said on it lost."""
    async with serving(app, Bounds()) as connect:
        reader, writer = await connect()
        writer.write(POST + b"Transfer-Encoding: gzip\r\n\r\n" + b"x" * 2_000_000)
        head, _, body = (await rest(reader)).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 501 Not Implemented\r\ncontent-type: application/problem+json\r\n")
    assert json.loads(body)["detail"] == "a body may be chunked, and coded no other way"


@pytest.mark.parametrize("host", [b"", b"h", b"h:80", b"a-b.c_d~", b"127.0.0.1:1", b"[::1]", b"[::1]:8080"])
async def test_a_host_is_a_name_or_an_address(host: bytes) -> None:
    answer, headers, _ = await told(b"GET / HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")
    assert (answer, headers) == (b"HTTP/1.1 204 No Content\r\n", [(b"host", host)])


async def test_a_url_may_name_an_address_of_the_sixth_version() -> None:
    _, headers, _ = await told(b"GET http://[::1]:80/ HTTP/1.1\r\nHost: h\r\n\r\n")
    assert headers == [(b"host", b"[::1]:80")]


async def test_white_space_behind_a_value_is_no_part_of_it() -> None:
    """Whoever takes a length for a number might not take `5 ` for one."""
    _, headers, _ = await told(POST + b"Content-Length: 5 \t\r\nX:\t\r\n\r\nhello")
    assert headers == [(b"host", b"h"), (b"content-length", b"5"), (b"x", b"")]


# Trailers are no headers.


@pytest.mark.parametrize("is_apart", [False, True])
async def test_what_comes_behind_a_body_is_no_header(app: App, is_apart: bool) -> None:
    """Nobody looked at it when the request was let in: another host, another caller."""
    seen: list[Any] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await app(scope, receive, send)
        seen.append(scope["headers"])

    async with serving(application, Bounds()) as connect:  # type: ignore[arg-type]
        streams = await connect()
        for _ in range(2):
            if is_apart:
                streams[1].write(CHUNKED)
                await eventually(lambda: app.under_way == 1)
            trailers = b"0\r\nHost: evil\r\nAuthorization: Bearer x\r\n\r\n"
            assert await ask(streams, trailers if is_apart else CHUNKED + trailers) == b"HTTP/1.1 200 OK"
    assert seen == [[(b"host", b"h"), (b"transfer-encoding", b"chunked")]] * 2


@pytest.mark.parametrize("is_answered", [False, True])
async def test_a_trailer_that_ends_the_connection_ends_it(is_answered: bool) -> None:
    """httptools hears nothing more behind it: a client that goes on would wait for answers that do not come."""
    gate = asyncio.Event()

    async def application(_: Any, receive: Any, send: Any) -> None:
        while not is_answered and (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})
        gate.set()

    async with serving(application, Bounds()) as connect:  # type: ignore[arg-type]
        reader, writer = await connect()
        writer.write(CHUNKED)
        if is_answered:
            await gate.wait()
        writer.write(b"0\r\nConnection: close\r\n\r\n" + REQUEST)
        assert (await rest(reader)).count(b"HTTP/1.1 200 OK") == 1


# What waits is bounded.


async def test_of_a_flood_of_requests_few_wait_and_the_rest_is_not_heard(app: App) -> None:
    """Ten thousand fit into one read, and would take a hundred times its memory."""
    bounds = Bounds(pipelined=8)
    app.gate.clear()
    async with serving(app, bounds) as connect:
        reader, writer = await connect()
        writer.write(REQUEST * 10_000)
        await eventually(lambda: app.under_way == 1)
        (theirs,) = connect.theirs
        await eventually(lambda: theirs._is_parted)
        assert len(theirs.pipeline) == bounds.pipelined

        others = asyncio.create_task(ask(await connect()))
        await eventually(lambda: app.under_way == 2)
        app.gate.set()
        assert await others == b"HTTP/1.1 200 OK"
        answers = await rest(reader)
    assert answers.count(b"HTTP/1.1 200 OK") == answers.count(b"HTTP/1.1 ") == app.begun - 1
    assert app.begun - 1 == 1 + bounds.pipelined


async def test_of_large_heads_fewer_wait(app: App) -> None:
    app.gate.clear()
    async with serving(app, Bounds()) as connect:
        reader, writer = await connect()
        for _ in range(6):
            writer.write(REQUEST[:-2] + b"X: " + b"x" * 30_000 + b"\r\n\r\n")
        await eventually(lambda: connect.theirs and connect.theirs[0]._is_parted)
        app.gate.set()
        assert (await rest(reader)).count(b"HTTP/1.1 200 OK") == app.begun == 3


async def test_as_many_requests_as_may_wait_are_all_answered(app: App) -> None:
    async with serving(app, Bounds()) as connect:
        reader, writer = await connect()
        for _ in range(2):
            writer.write(REQUEST * 33)
            for _ in range(33):
                head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
                assert head.startswith(b"HTTP/1.1 200 OK\r\n")
                await reader.readexactly(1)


@pytest.mark.parametrize("begin", [REQUEST[:-2], CHUNKED + b"0\r\n"], ids=["head", "trailers"])
async def test_fields_without_end_are_not_kept(app: App, begin: bytes) -> None:
    """The shortest take twenty times the memory of what they are sent in."""
    async with serving(app, Bounds()) as connect:
        reader, writer = await connect()
        writer.write(begin + b"a:\r\n" * 300)
        answer = await rest(reader)
    assert answer.startswith(b"HTTP/1.1 431 ")
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b"a head has no more than 256 fields here" in answer


async def test_a_head_in_many_small_pieces_is_one_head(app: App) -> None:
    async with serving(app, Bounds()) as connect:
        reader, writer = await connect()
        (theirs,) = await eventually(lambda: connect.theirs)
        for number, byte in enumerate(REQUEST[:-1], 1):
            writer.write(bytes((byte,)))
            await eventually(lambda so_far=number: theirs._fruitless == so_far, every=0)  # type: ignore[misc]
        assert await ask((reader, writer), REQUEST[-1:]) == b"HTTP/1.1 200 OK"


# Nobody is answered in another's place.


@pytest.mark.parametrize(
    "behind",
    [
        b"GET / HTTP/1.1\r\nX: " + b"x" * 100_000,
        b"GET / HTTP/1.1\r\n" + b"a:\r\n" * 300,
        CHUNKED + b"1;" + b"x" * 100_000,
        CHUNKED + b"0\r\n" + b"a:\r\n" * 300,
    ],
    ids=["head", "fields", "frame", "trailers"],
)
async def test_what_does_not_end_answers_nobody_who_asked_before(app: App, behind: bytes) -> None:
    app.gate.clear()
    async with serving(app, Bounds()) as connect:
        reader, writer = await connect()
        writer.write(REQUEST + behind[:99])
        await eventually(lambda: app.under_way == 1)
        writer.write(behind[99:])
        (theirs,) = connect.theirs
        await eventually(lambda: theirs._is_parted or theirs.flow.read_paused)
        app.gate.set()
        answers = await rest(reader)
    assert answers.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answers.count(b"HTTP/1.1 200 OK") == 1


@pytest.mark.parametrize("is_begun", [False, True])
async def test_who_is_parted_with_hears_nothing_more(is_begun: bool, logged: Logged) -> None:
    """Of an application that answers just then, or goes on with that: the connection has ended, and nobody is to
    work for it."""
    has_heard = asyncio.Event()

    async def application(_: Any, receive: Any, send: Any) -> None:
        start = {"type": "http.response.start", "status": 200, "headers": []}
        if is_begun:
            await send(start)
        while (await receive())["type"] != "http.disconnect":
            pass
        if not is_begun:
            await send(start)
        await send({"type": "http.response.body", "body": b"late"})
        has_heard.set()

    async with serving(application, Bounds()) as connect:  # type: ignore[arg-type]
        reader, writer = await connect()
        writer.write(CHUNKED + b"4\r\nbody\r\n")
        await eventually(lambda: connect.theirs and connect.theirs[0].cycle)
        if is_begun:
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 OK\r\n")
        writer.write(b"rubbish\r\n")
        answer = await rest(reader)
        await has_heard.wait()
    assert b"late" not in answer
    assert answer.startswith(b"HTTP/1.1 400 ") is not is_begun
    assert not logged()


async def test_who_was_not_asked_for_its_body_is_not_heard_further() -> None:
    """What it sends next may be that body, or the next request."""

    async def application(_: Any, __: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 413, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})

    async with serving(application, Bounds()) as connect:  # type: ignore[arg-type]
        reader, writer = await connect()
        smuggled = b"GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n"
        writer.write(POST + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(smuggled))
        answer = await rest(reader)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"\r\nconnection: close\r\n" in answer


# HTTP/1.0.


async def test_an_older_client_is_sent_no_chunks(app: App) -> None:
    """It would take their frames for what was said."""
    async with serving(app, Bounds()) as connect:
        reader, writer = await connect()
        writer.write(b"GET /stream HTTP/1.0\r\n\r\n")
        for said in (b"first", b"second\r\n", b""):
            app.said.put_nowait(said)
        head, _, body = (await rest(reader)).partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in head
    assert body == b"firstsecond\r\n"


async def test_an_older_client_is_told_the_length_where_it_is_known_and_never_to_continue(app: App) -> None:
    async with serving(app, Bounds()) as connect:
        reader, writer = await connect()
        writer.write(b"POST /3 HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\nbody")
        head, _, body = (await rest(reader)).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"content-length: 3" in head
    assert body == b"xxx"


# Whoever leaves, and whenever.

STAGES = {
    "connected": b"",
    "head": b"GET / HTTP/1.1\r\nHost:",
    "body": POST + b"Content-Length: 9\r\n\r\nhell",
    "chunk": CHUNKED + b"9\r\nhell",
    "trailers": CHUNKED + b"0\r\nX: ",
    "continue": POST + b"Content-Length: 9\r\nExpect: 100-continue\r\n\r\n",
    "asked": b"GET /gated HTTP/1.1\r\nHost: h\r\n\r\n",
    "pipelined": b"GET /gated HTTP/1.1\r\nHost: h\r\n\r\n" * 3,
    "pipelined body": b"GET /gated HTTP/1.1\r\nHost: h\r\n\r\n" + CHUNKED + b"9\r\nhell",
    "refused": b"GET /gated HTTP/1.1\r\nHost: h\r\n\r\n" + b"rubbish\r\n\r\n",
    "answered": b"GET /much HTTP/1.1\r\nHost: h\r\n\r\n",
}


async def staged(scope: Any, receive: Any, send: Any) -> None:
    """Reads the body, or waits until its client is gone, or answers a great deal."""
    message = await receive()
    while message.get("more_body"):
        message = await receive()
    while scope["path"] == "/gated" and message["type"] != "http.disconnect":
        message = await receive()
    length = 50_000_000 if scope["path"] == "/much" else 0
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % length)]}
    )
    await send({"type": "http.response.body", "body": b"x" * length})


def has_come(theirs: Connection) -> bool:
    """Whether anything has."""
    return theirs._fruitless > 0 or theirs.cycle is not None


def reset(streams: Streams) -> None:
    connection = streams[1].transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    streams[1].transport.abort()


def half_close(streams: Streams) -> None:
    streams[1].write_eof()


@pytest.mark.parametrize("leaves", [reset, half_close])
async def test_who_sends_another_request_and_leaves_is_missed(leaves: Any) -> None:
    """While the first is answered: a stream of events that is silent, or a model that takes its time."""
    async with serving(staged, Bounds()) as connect:  # type: ignore[arg-type]
        streams = await connect()
        streams[1].write(STAGES["asked"])
        await eventually(lambda: connect.tasks == 1)
        (theirs,) = connect.theirs
        await eventually(lambda: not theirs.cycle.message_event.is_set())  # it waits for its client to leave
        streams[1].write(STAGES["asked"])
        await eventually(lambda: theirs.pipeline)
        leaves(streams)
        await eventually(lambda: not connect.theirs and not connect.tasks)


@pytest.mark.parametrize("leaves", [reset, half_close])
@pytest.mark.parametrize("stage", STAGES)
async def test_nothing_is_left_of_who_leaves(stage: str, leaves: Any, logged: Logged) -> None:
    async with serving(staged, Bounds(silence=0.3)) as connect:  # type: ignore[arg-type]
        for _ in range(2):
            streams = await connect()
            (theirs,) = await eventually(lambda: connect.theirs)
            streams[1].write(STAGES[stage])
            if STAGES[stage]:
                await eventually(partial(has_come, theirs))
            leaves(streams)
            await eventually(lambda: not connect.theirs and not connect.tasks)
        assert await ask(await connect()) == b"HTTP/1.1 200 OK"
    assert not logged()
