"""The witness over HTTP: what C2SP's tlog-witness says of each answer, asked of a real server."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from placet.errors import Unavailable
from placet.trust import checkpoints
from placet.trust.notes import Note, Signature
from placet.witness import app, serve
from placet.witness.app import MAX_BODY
from placet.witness.records import origin_hash

from tests.unit.witness.logs import KNOWN, LOG, ORIGIN, OTHER, Opened, checkpoint, leaves, request

TREE = leaves(12)
FORKED = leaves(12, kind="another", after=TREE[:3])
PATH = f"/{origin_hash(ORIGIN)}/checkpoint"


@pytest.fixture
def opened(tmp_path: Path) -> Opened:
    return Opened(tmp_path / "witness")


@asynccontextmanager
async def listening(
    opened: Opened, *, most: int = 10, lifetime: float = 60.0, body_seconds: float = 60.0
) -> AsyncIterator[str]:
    url: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def on_ready(where: str) -> None:
        url.set_result(where)

    serving = asyncio.create_task(
        serve(
            app(opened.open(), body_seconds=body_seconds),
            "127.0.0.1",
            0,
            on_ready=on_ready,
            most=most,
            lifetime=lifetime,
        )
    )
    try:
        yield await url
    finally:
        serving.cancel()
        await asyncio.wait({serving})


@pytest.fixture
async def http(opened: Opened) -> AsyncIterator[httpx.AsyncClient]:
    async with (
        listening(opened) as url,
        httpx.AsyncClient(base_url=url, trust_env=False, timeout=60) as client,
    ):
        yield client


async def add(http: httpx.AsyncClient, body: bytes) -> httpx.Response:
    return await http.post("/add-checkpoint", content=body)


async def test_a_log_gets_lines_that_it_can_put_below_its_checkpoint(
    http: httpx.AsyncClient, opened: Opened
) -> None:
    answer = await add(http, request(TREE[:5], 0))
    assert answer.status_code == 200, answer.text
    note = checkpoints.sign(checkpoint(TREE[:5]), LOG)
    whole = Note.from_bytes(note.to_bytes() + answer.content)
    assert [each.by for each in checkpoints.cosigned(whole, [opened.own])] == [opened.own]
    assert Signature.from_line(answer.text.rstrip("\n")).is_of(opened.own)
    assert (await add(http, request(TREE, 5))).status_code == 200


async def test_a_monitor_reads_what_was_cosigned(http: httpx.AsyncClient, opened: Opened) -> None:
    assert (await http.get(PATH)).status_code == 404
    cosignature = (await add(http, request(TREE, 0))).content
    answer = await http.get(PATH)
    assert answer.status_code == 200
    assert answer.content == checkpoints.sign(checkpoint(TREE), LOG).to_bytes() + cosignature
    assert checkpoints.verify(Note.from_bytes(answer.content), [KNOWN])[0] == checkpoint(TREE)
    assert (await http.get(PATH.upper().replace("CHECKPOINT", "checkpoint"))).status_code == 404


async def test_a_log_at_another_size_is_told_the_size_and_nothing_else(http: httpx.AsyncClient) -> None:
    answer = await add(http, request(TREE, 5))
    assert (answer.status_code, answer.content) == (409, b"0\n")
    await add(http, request(TREE[:5], 0))
    answer = await add(http, request(TREE, 0))
    assert (answer.status_code, answer.content) == (409, b"5\n")
    assert answer.headers["content-type"] == "text/x.tlog.size"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"\xff", 400),
        (request(TREE[:4], 5), 400),
        (request(TREE, 5, key=OTHER), 403),
        (request(TREE, 5).replace(b"\n12\n", b"\n13\n"), 403),
        (request(TREE, 0, origin="other.example"), 404),
        (request(FORKED[:4], 4), 409),
        (request(FORKED, 5), 422),
        (request(FORKED[:5], 5), 422),
        (request(TREE, 5, hashes=()), 422),
        (b"old 0\n" * (MAX_BODY // 6 + 1), 413),
    ],
)
async def test_each_refusal_has_the_status_of_the_specification(
    http: httpx.AsyncClient, body: bytes, status: int
) -> None:
    await add(http, request(TREE[:5], 0))
    before = (await http.get(PATH)).content
    assert (await add(http, body)).status_code == status
    assert (await http.get(PATH)).content == before


async def test_other_methods_and_paths_are_not_there(http: httpx.AsyncClient) -> None:
    assert (await http.get("/livez")).text == "ok\n"
    assert (await http.get("/add-checkpoint")).status_code == 405
    assert (await http.post(PATH)).status_code == 405
    assert (await http.get("/")).status_code == 404


async def test_a_body_that_says_it_is_too_large_is_not_waited_for(opened: Opened) -> None:
    async with listening(opened) as url:
        reader, writer = await connect(url)
        writer.write(b"POST /add-checkpoint HTTP/1.1\r\nhost: w\r\ntransfer-encoding: chunked\r\n\r\n")
        writer.write(b"%x\r\n%b\r\n" % (MAX_BODY + 1, b"x" * (MAX_BODY + 1)))
        assert b" 413 " in await reader.readline()
        writer.close()


async def test_a_body_that_does_not_come_is_not_waited_for(opened: Opened) -> None:
    async with listening(opened, body_seconds=0.05) as url:
        reader, writer = await connect(url)
        writer.write(b"POST /add-checkpoint HTTP/1.1\r\nhost: w\r\ncontent-length: 10\r\n\r\nold")
        assert b" 408 " in await reader.readline()
        writer.close()


async def test_the_oldest_connection_makes_room(opened: Opened) -> None:
    async with listening(opened, most=2) as url:
        silent = [await connect(url) for _ in range(2)]
        async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=60) as http:
            assert (await http.get("/livez")).status_code == 200
        assert await end_of(silent[0][0])
        for _, writer in silent:
            writer.close()


async def test_no_connection_lives_for_ever(opened: Opened) -> None:
    async with listening(opened, lifetime=0.05) as url:
        reader, writer = await connect(url)
        writer.write(b"POST /add-checkpoint HTTP/1.1\r\n")  # and nothing more
        assert await end_of(reader)
        writer.close()


async def test_a_port_that_is_taken_is_told(opened: Opened) -> None:
    async def on_ready(url: str) -> None:
        raise AssertionError(url)

    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(Unavailable, match="cannot listen") as refused,
    ):
        await serve(app(opened.open()), "127.0.0.1", taken.getsockname()[1], on_ready=on_ready)
    assert refused.value.fix is not None


async def connect(url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    parts = httpx.URL(url)
    return await asyncio.open_connection(parts.host, parts.port)


async def end_of(reader: asyncio.StreamReader) -> bool:
    """Whether the other side ended it, in order or not."""
    try:
        return await reader.read() == b""
    except ConnectionError:
        return True
