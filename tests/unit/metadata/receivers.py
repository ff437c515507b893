"""Somebody who receives webhooks: as a port that a test scripts, and as a real server."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from placet.errors import Refused
from placet.metadata.webhooks import Answer

TAKEN = Answer(status=204)


@dataclass(frozen=True)
class Message:
    url: str
    body: bytes
    headers: Mapping[str, str]

    @property
    def event(self) -> Any:
        return json.loads(self.body)

    @property
    def position(self) -> int:
        return int(self.event["sequence"])


@dataclass
class Scripted:
    """The `Receivers` port: answers as the script says, then takes everything. None of the script hangs."""

    script: deque[Answer | None] = field(default_factory=deque)
    heard: list[Message] = field(default_factory=list)
    forbidden: frozenset[str] = frozenset()
    of_url: dict[str, Answer | None] = field(default_factory=dict)

    async def judge(self, url: str) -> None:
        if url in self.forbidden:
            raise Refused("where webhooks do not lead")

    async def send(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        self.heard.append(Message(url, body, headers))
        answer = self.of_url.get(url, self.script.popleft() if self.script else TAKEN)
        if answer is None:
            await asyncio.Event().wait()
        assert answer is not None
        return answer

    @property
    def positions(self) -> list[int]:
        return [each.position for each in self.heard if "sequence" in each.event]


Handle = Callable[[bytes, bytes], bytes]


@dataclass
class Listener:
    """A server that answers each request with what `answer` makes of its head and body, byte for byte."""

    port: int
    heard: list[tuple[bytes, bytes]]
    connections: list[int]


@asynccontextmanager
async def listening(answer: Handle, *, host: str = "127.0.0.1") -> AsyncIterator[Listener]:
    heard: list[tuple[bytes, bytes]] = []
    connections: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(1)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                sizes = [
                    int(line.split(b":")[1])
                    for line in head.lower().split(b"\r\n")
                    if b"content-length:" in line
                ]
                body = await reader.readexactly(sizes[0] if sizes else 0)
                heard.append((head, body))
                writer.write(answer(head, body))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, host, 0)
    try:
        yield Listener(server.sockets[0].getsockname()[1], heard, connections)
    finally:
        server.close()


def plain(status: int, *headers: str, body: bytes = b"") -> bytes:
    lines = [f"HTTP/1.1 {status} X", f"content-length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
