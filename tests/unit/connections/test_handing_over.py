"""A server that hands its socket and its clients over, or takes leave of them: nobody who asks is lost."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from fastapi import FastAPI
from placet.connections import BoundedServer, Bounds, Connection, Encryption, bounded

from tests.support.authorities import Authority
from tests.support.eventually import eventually

PATIENCE = 30
"""Seconds, of which none is to pass."""
HEAD = b"GET /slow HTTP/1.1\r\nHost: placet\r\n"


class Quiet(BoundedServer):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Place:
    """A server on a socket that stays, and a request that ends when it is let go."""

    def __init__(self, clients: Sequence[socket.socket] = (), encryption: Encryption | None = None) -> None:
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.listening.setblocking(False)  # a copy of it would make it wait again, whoever accepts on it
        self.begun = asyncio.Event()
        self.go = asyncio.Event()
        app = FastAPI()

        @app.get("/slow")
        async def slow() -> str:
            self.begun.set()
            await self.go.wait()
            return "done"

        @app.get("/nested")
        async def nested() -> str:
            """As a page that asks the platform that it is of."""
            self.begun.set()
            await self.go.wait()
            reader, writer = await self.connect()
            writer.write(HEAD + b"Connection: close\r\n\r\n")
            said = await reader.read()
            writer.close()
            return said.partition(b"\r\n")[0].decode()

        self.server = Quiet(
            bounded(app, Bounds(), encryption=encryption, timeout_graceful_shutdown=PATIENCE), clients
        )

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(*self.listening.getsockname())


@asynccontextmanager
async def served(encryption: Encryption | None = None) -> AsyncIterator[Place]:
    place = Place(encryption=encryption)
    serving = asyncio.create_task(place.server.serve(sockets=[place.listening.dup()]))
    await eventually(lambda: place.server.started)
    try:
        yield place
    finally:
        place.go.set()
        place.server.should_exit = True
        await serving
        place.listening.close()


@asynccontextmanager
async def succeeded(
    place: Place, clients: Sequence[socket.socket], encryption: Encryption | None = None
) -> AsyncIterator[None]:
    """By another server on its socket, with clients of its own."""
    another = Place(clients, encryption)
    another.go.set()
    serving = asyncio.create_task(another.server.serve(sockets=[place.listening.dup()]))
    try:
        yield
    finally:
        another.server.should_exit = True
        await serving
        another.listening.close()


async def answer(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    return head.lower()


async def test_what_is_under_way_is_answered_as_the_last_on_its_connection() -> None:
    async with served() as place:
        reader, writer = await place.connect()
        writer.write(HEAD + b"\r\n")
        await place.begun.wait()
        (connection,) = place.server.server_state.connections
        handing = asyncio.create_task(place.server.hand_over(PATIENCE, settling=0.0))
        await eventually(lambda: isinstance(connection, Connection) and connection.is_last)
        place.go.set()
        assert b"connection: close" in await answer(reader)
        assert (await reader.read()).endswith(b'"done"')
        assert await handing == []


async def test_what_is_under_way_may_ask_the_server_itself() -> None:
    async with served() as place:
        reader, writer = await place.connect()
        writer.write(HEAD.replace(b"/slow", b"/nested") + b"\r\n")
        await place.begun.wait()
        handing = asyncio.create_task(place.server.hand_over(PATIENCE, settling=PATIENCE))
        await asyncio.sleep(0)
        place.go.set()
        await answer(reader)
        assert await reader.readuntil(b'OK"') == b'"HTTP/1.1 200 OK"'
        assert len(await handing) == 1
        writer.close()


async def test_what_does_not_end_is_cut_off() -> None:
    async with served() as place:
        reader, writer = await place.connect()
        writer.write(HEAD + b"\r\n")
        await place.begun.wait()
        assert await place.server.hand_over(0.0, settling=0.0) == []
        assert await reader.read() == b""


async def test_a_client_goes_on_with_the_next_one_on_its_connection() -> None:
    """Whether it asked already, or not yet, or asks in between."""
    async with served() as place:
        place.go.set()
        asked, silent, meanwhile = [await place.connect() for _ in range(3)]
        for reader, writer in (asked, meanwhile):
            writer.write(HEAD + b"\r\n")
            assert b"connection: close" not in await answer(reader)
            await reader.readuntil(b'"done"')
        await eventually(lambda: len(place.server.server_state.connections) == 3)
        given = await place.server.hand_over(PATIENCE)
        assert len(given) == 3
        meanwhile[1].write(HEAD + b"\r\n")
        place.server.should_exit = True
        async with succeeded(place, given):
            for _, writer in (asked, silent):
                writer.write(HEAD + b"\r\n")
            for reader, writer in (asked, silent, meanwhile):
                assert b"200 ok" in await answer(reader)
                writer.close()


async def test_a_client_that_left_meanwhile_disturbs_nobody() -> None:
    async with served() as place:
        place.go.set()
        _, writer = await place.connect()
        await eventually(lambda: place.server.server_state.connections)
        given = await place.server.hand_over(PATIENCE)
        writer.transport.abort()
        async with succeeded(place, given):
            reader, writer = await place.connect()
            writer.write(HEAD + b"\r\n")
            assert b"200 ok" in await answer(reader)
            writer.close()


@pytest.mark.parametrize("turns", range(6))
async def test_many_who_come_at_the_last_moment_are_all_answered(turns: int) -> None:
    """While the loop is busy: letting them in takes it some turns, each of which may be the last."""
    async with served() as place:
        place.go.set()
        clients = []
        for _ in range(50):
            client = socket.create_connection(place.listening.getsockname())
            client.sendall(HEAD + b"\r\n")
            clients.append(client)
        for _ in range(turns):
            await asyncio.sleep(0)
        given = await place.server.hand_over(PATIENCE)
        place.server.should_exit = True
        async with succeeded(place, given):
            for client in clients:
                reader, writer = await asyncio.open_connection(sock=client)
                assert b"200 ok" in await answer(reader)
                writer.close()


@pytest.mark.parametrize("turns", range(6))
async def test_many_who_come_before_a_leave_that_is_taken_are_all_answered(turns: int) -> None:
    async with served() as place:
        place.go.set()
        clients = [socket.create_connection(place.listening.getsockname()) for _ in range(50)]
        for client in clients:
            client.sendall(HEAD + b"\r\n")
        for _ in range(turns):
            await asyncio.sleep(0)
        leaving = asyncio.create_task(place.server.take_leave(0.0))
        async with succeeded(place, []):  # by whom those are answered who were not let in any more
            for client in clients:
                reader, writer = await asyncio.open_connection(sock=client)
                assert b"200 ok" in await answer(reader)
                writer.close()
            await leaving


async def test_a_connection_that_was_there_before_a_leave_is_taken_gets_one_more_answer() -> None:
    async with served() as place:
        place.go.set()
        reader, writer = await place.connect()
        await eventually(lambda: place.server.server_state.connections)
        leaving = asyncio.create_task(place.server.take_leave(0.1))
        await asyncio.sleep(0)
        writer.write(HEAD + b"\r\n")
        assert b"connection: close" in await answer(reader)
        await leaving


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


# With TLS, of which nothing can be given away but the socket that is listened on.


class Encrypted:
    def __init__(self, folder: Path) -> None:
        authority = Authority(folder)
        signed = authority.sign("server", "localhost")
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(signed.certificate, signed.key)
        self.believing = ssl.create_default_context(cafile=authority.file)

    def look(self) -> None:
        pass

    async def connect(self, place: Place) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        where = place.listening.getsockname()
        return await asyncio.open_connection(*where, ssl=self.believing, server_hostname="localhost")


async def test_a_client_with_tls_is_told_with_its_answer_to_connect_anew(tmp_path: Path) -> None:
    """Whether it asked before, or asks while the socket is handed over; and who says nothing is parted with."""
    tls = Encrypted(tmp_path)
    async with served(tls) as place:
        under_way, meanwhile, silent = [await tls.connect(place) for _ in range(3)]
        under_way[1].write(HEAD + b"\r\n")
        await place.begun.wait()
        await eventually(lambda: len(place.server.server_state.connections) == 3)
        handing = asyncio.create_task(place.server.hand_over(PATIENCE, settling=0.0))
        await eventually(
            lambda: all(
                isinstance(each, Connection) and each.is_last
                for each in place.server.server_state.connections
            )
        )
        meanwhile[1].write(HEAD + b"\r\n")
        place.go.set()
        for reader, _ in (under_way, meanwhile):
            assert b"connection: close" in await answer(reader)
            assert await reader.read() == b'"done"'
        assert await silent[0].read() == b""
        assert await handing == []


@pytest.mark.parametrize("turns", [0, 3, 50])
async def test_many_who_shake_hands_at_the_last_moment_are_all_answered(tmp_path: Path, turns: int) -> None:
    """By this server as their last answer, or by the next one, which has its socket."""
    tls = Encrypted(tmp_path)
    async with served(tls) as place:
        place.go.set()
        connecting = [asyncio.create_task(tls.connect(place)) for _ in range(50)]
        for _ in range(turns):
            await asyncio.sleep(0)
        handing = asyncio.create_task(place.server.hand_over(PATIENCE))

        async def asked(shaking: asyncio.Task[tuple[asyncio.StreamReader, asyncio.StreamWriter]]) -> bytes:
            reader, writer = await shaking
            writer.write(HEAD + b"\r\n")
            said = await answer(reader)
            writer.close()
            return said

        asking = [asyncio.create_task(asked(each)) for each in connecting]
        assert await handing == []
        place.server.should_exit = True
        async with succeeded(place, [], tls):
            for each in asking:
                assert b"200 ok" in await each
