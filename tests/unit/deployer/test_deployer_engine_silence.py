"""An engine, an edge or a cluster that does not answer is told in one sentence that names no library, and the same one
each time."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import aiohttp
import pytest
import requests
from docker.errors import DockerException
from placet.deployer.adapters.caddy_admin import CaddyAdmin
from placet.deployer.adapters.docker_engine import LOOKS_AWAY, LOOKS_CLOSED, DockerEngine, _silent
from placet.deployer.adapters.silence import why_silent
from placet.errors import Unavailable

from tests.support.servers.local import private_directory


@pytest.fixture
def place() -> Path:
    return private_directory("engine") / "engine.sock"  # short enough for a socket's name


@contextmanager
def answering(place: Path, answer: bytes) -> Iterator[None]:
    """Something at that address, which says the same to everybody and hangs up."""
    with closing(socket.socket(socket.AF_UNIX)) as listening:
        listening.bind(str(place))
        listening.listen()

        def serve() -> None:
            while True:
                try:
                    taken, _ = listening.accept()
                except OSError:
                    return
                with taken:
                    taken.recv(65536)
                    taken.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


async def said_of(place: Path) -> Unavailable:
    engine = DockerEngine(f"unix://{place}")
    try:
        said = []
        for _ in range(2):
            with pytest.raises(Unavailable) as silent:
                await engine.room()
            said.append(silent.value)
    finally:
        await engine.close()
    assert str(said[0]) == str(said[1])
    return said[0]


async def test_nobody_there(place: Path) -> None:
    silent = await said_of(place)
    why = f"the Docker Engine at unix://{place} does not answer: no such file or directory"
    assert (silent.detail, silent.fix) == (why, LOOKS_AWAY)


async def test_a_socket_that_an_engine_left_behind(place: Path) -> None:
    with closing(socket.socket(socket.AF_UNIX)) as left:
        left.bind(str(place))
    silent = await said_of(place)
    assert silent.detail == f"the Docker Engine at unix://{place} does not answer: connection refused"


async def test_one_that_hangs_up(place: Path) -> None:
    with answering(place, b""):
        silent = await said_of(place)
    assert silent.detail == f"the Docker Engine at unix://{place} does not answer: it hung up"


@pytest.mark.parametrize("answer", [b"{}", b"<html>"])
async def test_something_else_at_its_address(place: Path, answer: bytes) -> None:
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(answer)}\r\nConnection: close\r\n\r\n"
    with answering(place, head.encode() + answer):
        silent = await said_of(place)
    assert silent.detail == f"the Docker Engine at unix://{place} does not answer as one"


@pytest.mark.parametrize(
    ("cause", "why", "fix"),
    [
        (PermissionError(errno.EACCES, os.strerror(errno.EACCES)), "permission denied", LOOKS_CLOSED),
        (requests.ReadTimeout("UnixHTTPConnectionPool"), "nothing came in time", LOOKS_AWAY),
    ],
)
def test_one_that_lets_nobody_in_and_one_that_takes_for_ever(cause: Exception, why: str, fix: str) -> None:
    error = DockerException("Error while fetching server API version")
    error.__cause__ = cause
    silent = _silent("unix:///run/docker.sock", error)
    assert silent.detail == f"the Docker Engine at unix:///run/docker.sock does not answer: {why}"
    assert silent.fix == fix


async def of_caddy(url: str) -> str:
    with pytest.raises(Unavailable) as silent:
        await CaddyAdmin(url, server="placet").routes()
    return silent.value.detail.removeprefix(f"Caddy does not answer at {url}: ")


async def test_an_edge_that_is_away_or_hangs_up() -> None:
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        assert await of_caddy(f"http://127.0.0.1:{port}") == "connection refused"

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        assert await of_caddy(f"http://127.0.0.1:{port}") == "it hung up"


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (TimeoutError(), "nothing came in time"),
        (aiohttp.ServerTimeoutError("Timeout on reading data from socket"), "nothing came in time"),
        (TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT)), "connection timed out"),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "no machine is known by that name"),
        (aiohttp.InvalidURL("x"), None),
    ],
)
def test_what_takes_too_long_and_what_is_no_silence(error: Exception, why: str | None) -> None:
    assert why_silent(error) == why
