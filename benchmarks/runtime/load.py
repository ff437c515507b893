"""Keep N connections busy with one HTTP request and count the answers: a closed loop, each connection one at a time.

    python load.py HOST PORT PATH CONNECTIONS SECONDS < body

Prints {"requests", "seconds", "p50", "p99"} (latencies in milliseconds). Any answer but 200 ends it with an error.
Bare sockets and no HTTP library, so that on a small machine the load costs less than the server that is measured.
"""

from __future__ import annotations

import asyncio
import json
import sys
from time import perf_counter
from typing import cast


class Connection(asyncio.Protocol):
    def __init__(self, request: bytes, latencies: list[float], failed: asyncio.Future[None]) -> None:
        self._request = request
        self._latencies = latencies
        self._failed = failed
        self._answer = b""
        self._missing = -1  # bytes of the answer still to come; below 0 until its head is complete

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)
        self._ask()

    def data_received(self, data: bytes) -> None:
        if self._missing < 0:
            self._answer += data
            end = self._answer.find(b"\r\n\r\n")
            if end < 0:
                return
            head = self._answer[:end].lower()
            if not head.startswith(b"http/1.1 200"):
                self._fail(self._answer[:500].decode("latin-1"))
                return
            at = head.index(b"content-length:") + len(b"content-length:")
            self._missing = int(head[at:].split(b"\r\n", 1)[0]) - (len(self._answer) - end - 4)
        else:
            self._missing -= len(data)
        if self._missing == 0:
            self._latencies.append(perf_counter() - self._asked)
            self._ask()

    def connection_lost(self, error: Exception | None) -> None:
        self._fail(f"connection closed: {error}")

    def _ask(self) -> None:
        self._answer = b""
        self._missing = -1
        self._asked = perf_counter()
        self._transport.write(self._request)

    def _fail(self, reason: str) -> None:
        if not self._failed.done():
            self._failed.set_exception(RuntimeError(reason))


async def load(
    host: str, port: int, path: str, connections: int, seconds: float, body: bytes
) -> dict[str, float]:
    lines = [
        f"POST {path} HTTP/1.1",
        f"Host: {host}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    ]
    request = "\r\n".join((*lines, "", "")).encode() + body
    latencies: list[float] = []
    loop = asyncio.get_running_loop()
    failed: asyncio.Future[None] = loop.create_future()
    started = perf_counter()
    for _ in range(connections):
        await loop.create_connection(lambda: Connection(request, latencies, failed), host, port)
    done, _ = await asyncio.wait([failed], timeout=seconds)
    if done:
        failed.result()
    elapsed = perf_counter() - started
    ordered = sorted(latencies)
    return {
        "requests": len(ordered),
        "seconds": elapsed,
        "p50": ordered[len(ordered) // 2] * 1000,
        "p99": ordered[len(ordered) * 99 // 100] * 1000,
    }


if __name__ == "__main__":
    host, port, path, connections, seconds = sys.argv[1:]
    body = sys.stdin.buffer.read()
    print(json.dumps(asyncio.run(load(host, int(port), path, int(connections), float(seconds), body))))  # noqa: T201
