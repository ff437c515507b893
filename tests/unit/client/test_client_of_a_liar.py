"""Who answers may be anybody: nothing that is sent makes a client wait, ask or grow without end, or fail unread."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from placet.client import Client, Connection, FileCheckpoint
from placet.client.client import _LEAST_PAUSE, _MOST_PAUSE, _pause
from placet.errors import Conflict, Unavailable, Unreadable

EVENT = {
    "id": "e1", "type": "placet.deployer.model.started.v1", "source": "deployer", "subject": "project/churn",
    "time": "2027-01-01T00:00:00Z", "partitionkey": "churn", "correlationid": "c1", "authid": "service:deployer",
    "data": {}, "sequence": 1,
}  # fmt: skip
STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"

Answer = Callable[[int, bytes, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def answered_by(answer: Answer, *, patience: float = 30.0) -> AsyncIterator[Client]:
    """A client of a platform that sends what `answer` writes, told how often it was asked before, and how."""
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            asked.append(await reader.readuntil(b"\r\n\r\n"))
            await answer(len(asked) - 1, asked[-1], writer)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with Client(Connection(url=f"http://127.0.0.1:{port}"), patience=patience) as client:
            yield client


def document(body: bytes, status: str = "200 OK", *more: str) -> bytes:
    head = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", "connection: close", *more]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


async def test_evidence_is_asked_for_again_while_the_last_one_is_made(tmp_path: Path) -> None:
    async def answer(before: int, asked: bytes, writer: asyncio.StreamWriter) -> None:
        if before < 2:
            writer.write(document(b"{}", "503 Service Unavailable", "retry-after: 0"))
        else:
            named = 'content-disposition: attachment; filename="churn-7.zip"'
            writer.write(document(b"an archive", "200 OK", named))

    async with answered_by(answer) as client:
        assert await client.evidence("churn", tmp_path / "it") == "churn-7.zip"
    assert (tmp_path / "it").read_bytes() == b"an archive"


async def test_evidence_is_not_waited_for_longer_than_one_has_patience(tmp_path: Path) -> None:
    async def answer(before: int, asked: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(document(b'{"detail": "busy"}', "503 Service Unavailable", "retry-after: 3600"))

    async with answered_by(answer) as client:
        with pytest.raises(Unavailable, match="busy"):
            await client.evidence("churn", tmp_path / "it")
    assert not (tmp_path / "it").exists()


@pytest.mark.parametrize("length", [1 << 20, 3])
async def test_evidence_of_another_length_than_was_said_is_no_evidence(tmp_path: Path, length: int) -> None:
    async def answer(before: int, asked: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n".encode() + b"an archive")

    async with answered_by(answer) as client:
        if length > len(b"an archive"):
            with pytest.raises(Unavailable, match="broke"):
                await client.evidence("churn", tmp_path / "it")
        else:  # what follows is no part of the answer
            await client.evidence("churn", tmp_path / "it")
            assert (tmp_path / "it").read_bytes() == b"an "


@pytest.mark.parametrize("piece", [b"data: ", b"x" * 1000, b": word\n", b"data: a\n", b"id: 7\r"])
async def test_a_message_without_end_is_not_read_without_end(piece: bytes) -> None:
    async def answer(before: int, asked: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM)
        while True:
            writer.write(piece * 10_000)
            await writer.drain()

    async with answered_by(answer) as client:
        with pytest.raises(Unreadable, match="a message of more than"):
            await anext(client.events(follow=True))


async def test_many_messages_are_no_long_one() -> None:
    async def answer(before: int, asked: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM)
        for number in range(1, 2001):
            told = json.dumps({**EVENT, "sequence": number, "data": {"note": "x" * 1000}})
            writer.write(f": still here\r\n\r\nid: {number}\r\ndata: {told}\r\n\r\n".encode())
            await writer.drain()

    seen = 0
    async with answered_by(answer) as client:
        async for event in client.events(follow=True):
            seen = int(event["sequence"])
            if seen == 2000:
                break
    assert seen == 2000


@pytest.mark.parametrize("id", ["é", "a\x7fb", "9" * 5000])
async def test_an_id_that_no_header_can_carry_is_not_sent_back(id: str) -> None:
    async def answer(before: int, asked: bytes, writer: asyncio.StreamWriter) -> None:
        assert id.encode() not in asked
        told = json.dumps({**EVENT, "sequence": before + 1})
        writer.write(STREAM + f"retry: 1\nid: {id}\ndata: {told}\n\n".encode())

    async with answered_by(answer) as client:
        events = client.events(follow=True)
        assert [(await anext(events))["sequence"] for _ in range(2)] == [1, 2]
        await events.aclose()


@pytest.mark.parametrize("asked", [0, 1, 10**400, -5])
def test_a_stream_says_how_long_to_wait_within_reason(asked: int) -> None:
    assert _LEAST_PAUSE <= _pause(asked) <= _MOST_PAUSE


async def test_a_page_of_what_is_no_event_is_another_log(tmp_path: Path) -> None:
    async def answer(before: int, asked: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(document(b'{"events": [{"sequence": 1}], "next": null}'))

    (tmp_path / "mark").write_bytes(b'{"position": 1, "event": "e1"}')
    async with answered_by(answer) as client:
        with pytest.raises(Conflict, match="is not event e1"):
            await anext(client.follow_events(FileCheckpoint(tmp_path / "mark")))


@pytest.mark.parametrize(
    "said",
    [
        b"[" * 100_000,
        b'{"sequence": "1"}',
        b"null",
        b"7",
        b'{"sequence": 1e400}',
        b"\xff\xfe",
        b'{"data": NaN}',
    ],
)
async def test_what_is_no_event_is_said_to_be_none(said: bytes, tmp_path: Path) -> None:
    async def answer(before: int, asked: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM + b"data: " + said + b"\n\n")

    async with answered_by(answer) as client:
        with pytest.raises(Unreadable):
            await anext(client.follow_events(FileCheckpoint(tmp_path / "mark")))
