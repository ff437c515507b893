"""How many connections there are, and for how long one may be of no use to anybody.

uvicorn takes as many as come, gives each all the time it wants to begin and to finish a request, and keeps what a
client does not read. Whoever opens some thousand and says nothing then has every descriptor of this process: nobody
else is heard. Here each has to go on: to the end of a request's head, to the end of its body, through the answer. When
there are too many, the one that has waited longest without a request makes room.

How long a model may take to answer is not decided here but where it is asked (`batching.py`).
"""

from __future__ import annotations

import asyncio
import resource
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import httptools
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from placet.runtime.problems import MEDIA_TYPE, Problem

SWEEP_EVERY = 5
"""Ticks of uvicorn's, of a tenth of a second."""

LINGER = 1.0
"""Seconds in which who is parted with is still heard, and ignored: closed at once, with bytes of his unread, the
connection is reset, and the answer that says why may be lost on its way."""

CONTINUE = b"HTTP/1.1 100 "
"""The head that comes before an answer's, and is sent at once: its client waits for that."""

JOINED_BELOW = 65_536
"""Bytes of a body that are copied behind their head; of more, a call of the system's is nothing."""


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """Connections at once; seconds for a request's head and its body, and without a byte going on; bytes of a head."""

    connections: int
    head_seconds: float = 10.0
    body_seconds: float = 300.0
    silence: float = 60.0
    head_bytes: int = 65_536

    @classmethod
    def for_this_process(cls, connections: int) -> Bounds:
        """No more than leave the model half of the descriptors that it may open."""
        allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if allowed != resource.RLIM_INFINITY:
            connections = min(connections, max(1, allowed // 2))
        return cls(connections=connections)


class Connection(HttpToolsProtocol):
    """One client's. `_since` is when it began to send a head; none between requests."""

    def __init__(self, bounds: Bounds, **uvicorns: Any) -> None:
        super().__init__(**uvicorns)
        self.parser = _Parser(self)  # type: ignore[assignment]
        self._bounds = bounds
        self._since: float | None = None
        self._heard = 0.0
        self._head_bytes = 0
        self._body_since = 0.0
        self._unread = 0
        self._unread_since = 0.0
        self._is_parted = False
        self._is_unreadable = False
        self._answers: _Answers

    # What uvicorn calls.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._answers = _Answers(transport)
        self._since = self._heard = self.loop.time()
        if len(self.connections) > self._bounds.connections:
            self._make_room()

    def data_received(self, data: bytes) -> None:
        if self._is_parted:
            return
        self._heard = self.loop.time()
        if self._is_waiting:
            if self._since is None:
                self._since = self._heard
            self._head_bytes += len(data)
        super().data_received(data)
        if self._is_waiting and self._head_bytes > self._bounds.head_bytes:
            self._part(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "the request's head does not end")

    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade():
            return  # it is read again, as one that asks for nothing but HTTP
        super().on_headers_complete()
        self._since, self._head_bytes, self._body_since = None, 0, self._heard
        if self.cycle is not None:
            self.cycle.transport = self._answers  # type: ignore[assignment]

    def on_message_complete(self) -> None:
        if not self.parser.should_upgrade():
            super().on_message_complete()

    def head_without_upgrade(self) -> bytes:
        """Of the request that is being read, as if it did not ask for another protocol. Raises HttpParserError."""
        method = self.parser.get_method()
        if method == b"CONNECT":
            raise httptools.HttpParserError("this is no proxy")
        head = [b"%b %b HTTP/%b\r\n" % (method, self.url, self.parser.get_http_version().encode())]
        head.extend(b"%b: %b\r\n" % each for each in self.headers if each[0] != b"upgrade")
        return b"".join(head) + b"\r\n"

    def on_response_complete(self) -> None:
        self._answers.end()
        if self._is_unreadable and not self.pipeline:
            self.transport.close()
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        """What came cannot be read. Whoever asked before is answered first: this would be taken for that answer."""
        is_asked_before = bool(self.pipeline) or not (self._is_waiting or self.cycle.more_body)
        if is_asked_before:
            if self.cycle.more_body:
                self.pipeline.popleft()  # the one that cannot be read; what came last stands first
            self._is_unreadable = self._is_parted = True
        elif self._is_waiting or not self.cycle.response_started:
            super().send_400_response(msg)
        else:
            self._answers.close()

    # What is asked from time to time.

    def look(self, now: float) -> None:
        """Part with a client that does not go on."""
        if self.transport is None or self._is_stuck(now) or self._is_parted:
            return
        if self._is_waiting:
            if self._since is None or now - self._since <= self._bounds.head_seconds:
                return
            if self._head_bytes:
                self._part(HTTPStatus.REQUEST_TIMEOUT, "the request's head took too long")
            else:
                self.transport.close()  # a browser that connected in advance asked for no answer
        elif self.cycle.more_body and not self.pipeline and not self.flow.read_paused:
            is_silent = now - self._heard > self._bounds.silence
            if is_silent or now - self._body_since > self._bounds.body_seconds:
                self._part(HTTPStatus.REQUEST_TIMEOUT, "the request's body took too long")

    @property
    def _is_waiting(self) -> bool:
        """For a request, while none is under way."""
        return self.cycle is None or self.cycle.response_complete

    @property
    def _is_idle(self) -> bool:
        """Waiting, and its last answer is gone."""
        return self._is_waiting and self.transport.get_write_buffer_size() == 0

    def _is_stuck(self, now: float) -> bool:
        """Whether its client reads nothing of what was sent; cut off then, since nothing more can be said to it."""
        unread = self.transport.get_write_buffer_size()
        if unread != self._unread or unread == 0:
            self._unread, self._unread_since = unread, now
        elif now - self._unread_since > self._bounds.silence:
            self.transport.abort()
            return True
        return False

    def _make_room(self) -> None:
        idle = [each for each in self.connections if isinstance(each, Connection) and each._is_idle]
        longest = min((each for each in idle if each is not self), key=lambda each: each._heard, default=None)
        if longest is None:
            self._part(HTTPStatus.SERVICE_UNAVAILABLE, "there are too many connections", retry=True)
            return
        self.connections.discard(longest)  # its end may take a moment to arrive
        longest.transport.abort()

    def _part(self, status: HTTPStatus, why: str, *, retry: bool = False) -> None:
        """Say why, unless an answer has begun or there is nobody to say it to, and close."""
        if (self._is_waiting or not self.cycle.response_started) and not self.transport.is_closing():
            body = Problem(status, why, fix="try again shortly" if retry else None).body()
            head = [
                f"HTTP/1.1 {status.value} {status.phrase}",
                f"content-type: {MEDIA_TYPE}",
                f"content-length: {len(body)}",
                "connection: close",
                *(["retry-after: 1"] if retry else []),
            ]
            self.transport.write("\r\n".join(head).encode() + b"\r\n\r\n" + body)
        self._is_parted = True
        if self.transport.can_write_eof():
            self.transport.write_eof()
            self.loop.call_later(LINGER, self.transport.close)
        else:
            self.transport.close()


class _Parser:
    """httptools', for which what follows on `Upgrade` is of another protocol, whatever the server makes of that.

    Here there is no other: a request's body would be lost, or be read as the next request, which whoever sent it may
    have let somebody else write. Java's own client asks for HTTP/2 so with each request.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._begin()

    def _begin(self) -> None:
        self._parser = parser = httptools.HttpRequestParser(self._connection)
        # As uvicorn has it: who asked for the connection's end may still send something.
        parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self.get_method, self.get_http_version = parser.get_method, parser.get_http_version
        self.should_keep_alive, self.should_upgrade = parser.should_keep_alive, parser.should_upgrade

    def feed_data(self, data: bytes) -> None:
        while True:
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                head, data = self._connection.head_without_upgrade(), data[upgrade.args[0] :]
                self._begin()
                self._parser.feed_data(head)
            else:
                return


class _Answers:
    """What uvicorn writes an answer to: its head waits for the body, and both go out at once.

    uvicorn writes them one after the other, each with a call of the system's and each waking the client, which
    together take a tenth of a small request's time.
    """

    __slots__ = ("_has_begun", "_head", "_transport")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head: bytes | None = None
        self._has_begun = False

    def write(self, data: bytes) -> None:
        if not self._has_begun and not data.startswith(CONTINUE):
            self._has_begun, self._head = True, data
            return
        head, self._head = self._head, None
        if head is not None and len(data) < JOINED_BELOW:
            data = head + data
        elif head is not None:
            self._transport.write(head)
        self._transport.write(data)

    def end(self) -> None:
        """Of an answer, which may have had no body."""
        if self._head is not None:
            self.write(b"")
        self._has_begun = False

    def close(self) -> None:
        self.end()
        self._transport.close()

    def is_closing(self) -> bool:
        return self._transport.is_closing()


class BoundedServer(uvicorn.Server):
    """Looks at its connections, twice a second."""

    async def on_tick(self, counter: int) -> bool:
        if counter % SWEEP_EVERY == 0:
            now = asyncio.get_running_loop().time()
            for connection in list(self.server_state.connections):
                if isinstance(connection, Connection):
                    connection.look(now)
        return await super().on_tick(counter)
