"""How many connections a service has, and for how long one may be of no use to anybody.

uvicorn bounds the bytes of a request's head and the pause between two requests. It does not bound how long a client
takes for its first request, for a head or for a body, and it keeps what a client does not read; its
`limit_concurrency` refuses everybody as soon as enough have connected who say nothing. Here each has to go on: to the
end of a head, through its body, through the answer. When there are too many, the one that has waited longest without
a request makes room.

An upload may take as long as it likes while it goes on, and so may an answer: a stream of events ends when its client
or its service does. The kernel asks after a client that is silent on such a stream: one that vanished without a word
(a laptop that was closed, a NAT that forgot) would hold its place for ever, and nothing else would tell it from one
that waits.
"""

from __future__ import annotations

import asyncio
import resource
import socket
from dataclasses import dataclass, replace
from functools import partial
from http import HTTPStatus
from typing import Any

import h11
import msgspec
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from placet.events.problems import MEDIA_TYPE

KEEP_ALIVE = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4}
"""Seconds of silence before the kernel asks whether a client is still there, and between questions; how many.
What an operating system has no name for it decides by itself."""
SWEEP_EVERY = 5
"""Ticks of uvicorn's, of a tenth of a second."""

CLOSE = (b"connection", b"close")
JUST_CONNECTED = 0.5
"""Seconds for whoever connected at last, before nobody was let in any more, to send a request."""

LINGER = 1.0
"""Seconds in which who is parted with is still heard, and ignored: closed at once, with bytes of his unread, the
connection is reset, and the answer that says why may be lost on its way."""


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """Connections at once; seconds for a head, and without a byte of an answer being read; how slow a body may be."""

    connections: int = 1024
    head_seconds: float = 10.0
    body_bytes: int = 16_384
    """So many in each `body_seconds`, or it has to end within them."""
    body_seconds: float = 30.0
    silence: float = 60.0

    def for_this_process(self) -> Bounds:
        """No more connections than leave half of the descriptors it may open to its work."""
        allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if allowed == resource.RLIM_INFINITY:
            return self
        return replace(self, connections=min(self.connections, max(1, allowed // 2)))


class Connection(H11Protocol):
    """One client's. `_since` is when it began to send a head; none between requests and after its head."""

    def __init__(self, bounds: Bounds, **uvicorns: Any) -> None:
        super().__init__(**uvicorns)
        self._bounds = bounds
        self._since: float | None = None
        self._heard = 0.0
        self._body_since = 0.0
        self._body_bytes = 0
        self._unread = 0
        self._unread_since = 0.0
        self._is_parted = False
        self._is_last = False

    def close_with_its_answer(self) -> None:
        """Say with the next answer, or the one that is under way, that it is the last: who goes on connects anew, and
        nothing that it sends meets a connection that closes."""
        self._is_last = True
        cycle = self.cycle
        if cycle is None or cycle.response_started:
            return
        # From a request's headers uvicorn takes it to the answer.
        cycle.scope["headers"] = [*(each for each in cycle.scope["headers"] if each != CLOSE), CLOSE]
        cycle.keep_alive = False

    # What uvicorn calls.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        _notice_vanishing(transport.get_extra_info("socket"))
        self._since = self._heard = self.loop.time()
        if len(self.connections) > self._bounds.connections:
            self._make_room()

    def data_received(self, data: bytes) -> None:
        if self._is_parted:
            return
        self._heard = self.loop.time()
        was_waiting = self._is_waiting
        if was_waiting and self._since is None:
            self._since = self._heard
        self._body_bytes += len(data)
        super().data_received(data)
        if was_waiting and not self._is_waiting:
            self._since, self._body_since, self._body_bytes = None, self._heard, len(data)

    def handle_events(self) -> None:
        super().handle_events()
        if self._is_last:
            self.close_with_its_answer()

    def shutdown(self) -> None:
        if self._is_waiting and self.conn.trailing_data[0]:
            self.close_with_its_answer()  # to the request that has begun to arrive
        else:
            super().shutdown()

    # What is asked from time to time.

    def look(self, now: float) -> None:
        """Part with a client that does not go on."""
        if self._is_stuck(now):
            self.transport.abort()  # nothing more can be said to it
        elif self._is_parted:
            return
        elif self._is_waiting:
            if self._since is not None and now - self._since > self._bounds.head_seconds:
                self._part_in_its_head()
        elif self._is_too_slow(now):
            self._part(HTTPStatus.REQUEST_TIMEOUT, "the request's body took too long")

    @property
    def _is_waiting(self) -> bool:
        """For a request, or for the rest of its head."""
        return self.conn.their_state is h11.IDLE

    @property
    def _is_idle(self) -> bool:
        """Waiting, and its last answer is gone."""
        return self._is_waiting and self.transport.get_write_buffer_size() == 0

    @property
    def _is_sending(self) -> bool:
        """Whether it is its turn to send a body: not while we have not asked for it, or have too much of it."""
        is_asked = not self.conn.they_are_waiting_for_100_continue
        return self.conn.their_state is h11.SEND_BODY and is_asked and not self.flow.read_paused

    def _is_too_slow(self, now: float) -> bool:
        if self._is_sending and now - self._body_since <= self._bounds.body_seconds:
            return False
        is_too_slow = self._is_sending and self._body_bytes < self._bounds.body_bytes
        self._body_since, self._body_bytes = now, 0
        return is_too_slow

    def _is_stuck(self, now: float) -> bool:
        """Whether its client reads nothing of what was sent."""
        unread = self.transport.get_write_buffer_size()
        if unread != self._unread or unread == 0:
            self._unread, self._unread_since = unread, now
        return now - self._unread_since > self._bounds.silence

    # Partings.

    def _make_room(self) -> None:
        idle = [each for each in self.connections if isinstance(each, Connection) and each._is_idle]
        longest = min((each for each in idle if each is not self), key=lambda each: each._heard, default=None)
        if longest is None:
            self._part(
                HTTPStatus.SERVICE_UNAVAILABLE, "there are too many connections", fix="try again shortly"
            )
            return
        self.connections.discard(longest)  # its end may take a moment to arrive
        longest.transport.abort()

    def _part_in_its_head(self) -> None:
        has_begun = bool(self.conn.trailing_data[0])
        if has_begun:
            self._part(HTTPStatus.REQUEST_TIMEOUT, "the request's head took too long")
        else:
            self.transport.close()  # a browser that connected in advance asked for no answer

    def _part(self, status: HTTPStatus, why: str, *, fix: str | None = None) -> None:
        """Say why, unless an answer has begun, and close."""
        is_answered = self.cycle is not None and self.cycle.response_started and not self._is_waiting
        if not is_answered and not self.transport.is_closing():
            self.transport.write(_answer(status, why, fix))
        self._is_parted = True
        if self.transport.can_write_eof():
            self.transport.write_eof()
            self.loop.call_later(LINGER, self.transport.close)
        else:
            self.transport.close()


class BoundedServer(uvicorn.Server):
    """Looks at its connections, twice a second. Give it a `bounded` configuration."""

    async def hand_over(self, seconds: float) -> None:
        """Before it exits, where another process has its socket: no request that anybody sends is lost.

        Each client is told with an answer that it was the last, and has `seconds` to ask for one; then nobody is let
        in any more, and waits for the other process. Who asks nothing for so long is parted with as by any server.
        """
        loop = asyncio.get_running_loop()
        for deadline in (loop.time() + seconds, loop.time() + seconds + JUST_CONNECTED):
            while loop.time() < deadline:
                for connection in list(self.server_state.connections):
                    if isinstance(connection, Connection):
                        connection.close_with_its_answer()
                await asyncio.sleep(0.02)
            for server in self.servers:
                server.close()

    async def on_tick(self, counter: int) -> bool:
        if counter % SWEEP_EVERY == 0:
            now = asyncio.get_running_loop().time()
            for connection in list(self.server_state.connections):
                if isinstance(connection, Connection):
                    connection.look(now)
        return await super().on_tick(counter)


def bounded(app: Any, bounds: Bounds, **uvicorns: Any) -> uvicorn.Config:  # noqa: TID251 - here are the bounds
    """What uvicorn is to know: it serves `app` within `bounds`, and leaves to us what begins and ends with it."""
    return uvicorn.Config(  # noqa: TID251
        app,
        # Over h11, which bounds a head; httptools reads it into memory for as long as it goes on.
        http=partial(Connection, bounds),  # type: ignore[arg-type]
        ws="none",  # nobody here speaks it, and a connection that is upgraded would leave these bounds
        lifespan="off",
        access_log=False,
        **uvicorns,
    )


def _notice_vanishing(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in KEEP_ALIVE.items():
        if hasattr(socket, name):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _answer(status: HTTPStatus, why: str, fix: str | None) -> bytes:
    problem = {"type": "about:blank", "title": status.phrase, "status": status.value, "detail": why}
    body = msgspec.json.encode({**problem, "fix": fix} if fix else problem)
    head = [
        f"HTTP/1.1 {status.value} {status.phrase}",
        f"content-type: {MEDIA_TYPE}",
        f"content-length: {len(body)}",
        "connection: close",
        *(["retry-after: 1"] if status is HTTPStatus.SERVICE_UNAVAILABLE else []),
    ]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body
