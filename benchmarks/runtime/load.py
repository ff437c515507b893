"""Keep N connections busy with HTTP requests and count the answers: a closed loop, each connection one at a time.

    python load.py HOST PORT PATH CONNECTIONS SECONDS [FIELD: VALUE…] < bodies

Each line is a body, which is posted; every connection sends them in turn, each from another one on. Without any, it is
GET again and again. Fields are sent along in the head. A slow server has longer, until there are as many answers as
connections.

Prints {"requests", "seconds", "p50", "p99"} (latencies in milliseconds). Any answer but 200 ends it with an error.
Bare sockets, one `epoll` and no event loop: on a small machine the load shares the cores with the server that is
measured, and whatever it costs flatters the slower ones.
"""

from __future__ import annotations

import json
import select
import socket
import sys
from collections.abc import Iterator, Sequence
from itertools import cycle
from time import perf_counter

LENGTH = b"content-length:"


class Connection:
    def __init__(self, host: str, port: int, requests: Iterator[bytes]) -> None:
        self._requests = requests
        self._socket = socket.create_connection((host, port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._answer = b""
        self._asked = 0.0

    def fileno(self) -> int:
        return self._socket.fileno()

    def ask(self) -> None:
        request = next(self._requests)
        self._asked = perf_counter()
        self._socket.sendall(request)

    def read(self) -> float | None:
        """The seconds that the answer took, once it is whole. Raises RuntimeError for any but 200."""
        data = self._socket.recv(65536)
        answer = self._answer = self._answer + data if self._answer else data
        end = answer.find(b"\r\n\r\n")
        if not data or (end >= 0 and not answer.startswith(b"HTTP/1.1 200")):
            raise RuntimeError(answer[:500].decode("latin-1") or "connection closed")
        if end < 0:
            return None
        head = answer[:end].lower()
        at = head.index(LENGTH) + len(LENGTH)
        if len(answer) < end + 4 + int(head[at:].split(b"\r\n", 1)[0]):
            return None
        self._answer = b""
        return perf_counter() - self._asked


def load(
    host: str,
    port: int,
    path: str,
    connections: int,
    seconds: float,
    bodies: list[bytes],
    fields: Sequence[str] = (),
) -> dict[str, float]:
    head = "".join(f"{each}\r\n" for each in (f" {path} HTTP/1.1", f"Host: {host}", *fields))
    posted = f"POST{head}Content-Type: application/json\r\nContent-Length: "
    requests = [f"{posted}{len(body)}\r\n\r\n".encode() + body for body in bodies]
    requests = requests or [f"GET{head}\r\n".encode()]
    begin = [number % len(requests) for number in range(connections)]
    turns = [cycle(requests[first:] + requests[:first]) for first in begin]
    opened = {one.fileno(): one for one in (Connection(host, port, turn) for turn in turns)}
    latencies: list[float] = []
    with select.epoll() as poll:
        for number in opened:
            poll.register(number, select.EPOLLIN)
        started = perf_counter()
        for one in opened.values():
            one.ask()
        while (left := started + seconds - perf_counter()) > 0 or len(latencies) < connections:
            for number, _ in poll.poll(max(left, 0.01)):
                took = opened[number].read()
                if took is not None:
                    latencies.append(took)
                    opened[number].ask()
        elapsed = perf_counter() - started
    ordered = sorted(latencies)
    return {
        "requests": len(ordered),
        "seconds": elapsed,
        "p50": ordered[len(ordered) // 2] * 1000,
        "p99": ordered[len(ordered) * 99 // 100] * 1000,
    }


if __name__ == "__main__":
    host, port, path, connections, seconds, *fields = sys.argv[1:]
    bodies = sys.stdin.buffer.read().splitlines()
    print(json.dumps(load(host, int(port), path, int(connections), float(seconds), bodies, fields)))  # noqa: T201
