"""A server that hands its socket over: whoever asks meanwhile is answered, and told to come back anew."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from placet.connections import BoundedServer, Bounds, Connection, bounded

from tests.support.eventually import eventually

HEAD = b"GET /slow HTTP/1.1\r\nHost: placet\r\n"


class Quiet(BoundedServer):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Place:
    """A server on a socket that stays, and a request that ends when it is let go."""

    def __init__(self) -> None:
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.begun = asyncio.Event()
        self.go = asyncio.Event()
        app = FastAPI()

        @app.get("/slow")
        async def slow() -> str:
            self.begun.set()
            await self.go.wait()
            return "done"

        self.server = Quiet(bounded(app, Bounds(), timeout_graceful_shutdown=30))

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(*self.listening.getsockname())


@asynccontextmanager
async def served() -> AsyncIterator[Place]:
    place = Place()
    serving = asyncio.create_task(place.server.serve(sockets=[place.listening.dup()]))
    await eventually(lambda: place.server.started)
    try:
        yield place
    finally:
        place.go.set()
        place.server.should_exit = True
        await serving
        place.listening.close()


async def answer(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    return head.lower()


async def test_what_is_under_way_is_answered_as_the_last_on_its_connection() -> None:
    async with served() as place:
        reader, writer = await place.connect()
        writer.write(HEAD + b"\r\n")
        await place.begun.wait()
        handing = asyncio.create_task(place.server.hand_over(0.1))
        place.go.set()
        assert b"connection: close" in await answer(reader)
        assert (await reader.read()).endswith(b'"done"')
        await handing


async def test_a_connection_that_was_there_before_gets_one_more_answer() -> None:
    async with served() as place:
        place.go.set()
        reader, writer = await place.connect()
        await eventually(lambda: place.server.server_state.connections)
        handing = asyncio.create_task(place.server.hand_over(0.1))
        await asyncio.sleep(0)
        writer.write(HEAD + b"\r\n")
        assert b"connection: close" in await answer(reader)
        await handing


async def test_who_connects_later_waits_for_the_next_one() -> None:
    async with served() as place:
        place.go.set()
        await place.server.hand_over(0.0)
        reader, writer = await place.connect()
        writer.write(HEAD + b"\r\n")
        another = Place()
        another.go.set()
        serving = asyncio.create_task(another.server.serve(sockets=[place.listening.dup()]))
        assert b"200 ok" in await answer(reader)
        another.server.should_exit = True
        writer.close()
        await serving
        another.listening.close()


async def test_a_head_that_has_begun_to_arrive_is_read_to_its_end() -> None:
    async with served() as place:
        place.go.set()
        reader, writer = await place.connect()
        writer.write(HEAD)
        (connection,) = await eventually(lambda: list(place.server.server_state.connections))
        assert isinstance(connection, Connection)
        await eventually(lambda: connection.has_begun)
        place.server.should_exit = True
        await eventually(lambda: not place.server.servers[0].is_serving())
        writer.write(b"\r\n")
        assert b"connection: close" in await answer(reader)
