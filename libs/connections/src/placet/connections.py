"""How many connections a server has, and for how long one may be of no use to anybody.

uvicorn takes as many as come, gives each all the time it wants to begin and to finish a request, and keeps what a
client sends without end or does not read; its `limit_concurrency` refuses everybody as soon as enough have connected
who say nothing. Here each has to go on: to the end of a head, through its body, through the answer. When there are too
many, the one that has waited longest without a request makes room.

An answer may take as long as it likes while it goes on: a stream of events ends when its client or its server does.
The kernel asks after a client that is silent on such a stream: one that vanished without a word (a laptop that was
closed, a NAT that forgot) would hold its place for ever, and nothing else would tell it from one that waits.

Whoever shakes hands for TLS has as long for it as for a head, and counts as connected from then on. Whom a server's
context asks for a certificate, and who shows none, is answered nothing but whether the server is well: who looks after
processes (a kubelet) has none to show.

HTTP is read by httptools, which is quick and kind. What it lets pass and a server must not is refused here, and said
to whoever sent it, unless that would be taken for the answer to another request.
"""

from __future__ import annotations

import asyncio
import logging
import re
import resource
import socket
import ssl
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from http import HTTPStatus
from typing import Any, Protocol
from weakref import WeakSet

import httptools
import msgspec
import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"

KEEP_ALIVE = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4}
"""Seconds of silence before the kernel asks whether a client is still there, and between questions; how many.
What an operating system has no name for it decides by itself."""
SWEEP_EVERY = 5
"""Ticks of uvicorn's, of a tenth of a second."""

KEPT = 75
"""Seconds that a connection is kept without a request: longer than clients and proxies keep theirs, so that they close
first. What is sent on a connection while the other side closes it is lost."""
JUST_CONNECTED = 0.5
"""Seconds for whoever connected at last, before nobody was let in any more, to send a request; with TLS to shake hands
before, and for whoever was connected to ask once more."""

SETTLING = 2.0
"""Seconds until what is under way may be cut off from its own server."""
LOOKED_AT_EVERY = 0.02
"""Seconds, whether more clients can be let go."""
LOOKS = round(JUST_CONNECTED / LOOKED_AT_EVERY)
"""In as many a client has time for its request, also where this process stands still for most of `JUST_CONNECTED`."""
TURNS_TO_CONNECT = 5
"""Of the event loop, in which asyncio makes connections of those that it has accepted; three are enough."""

LINGER = 1.0
"""Seconds in which who is parted with is still heard, and ignored: closed at once, with bytes of his unread, the
connection is reset, and the answer that says why may be lost on its way."""

CONTINUE = b"HTTP/1.1 100 "
"""The head that comes before an answer's, and is sent at once: its client waits for that."""

JOINED_BELOW = 65_536
"""Bytes of a body that are copied behind their head; of more, a call of the system's is nothing."""

VERSIONS = frozenset({"1.0", "1.1"})
CHUNKED = b"\r\ntransfer-encoding: chunked\r\n"
"""As uvicorn says it in the head of an answer of which it does not know the length."""
FOR_STRANGERS = frozenset({b"/livez", b"/readyz"})
"""What who shows no certificate may ask where one is asked for."""
HOST = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~%-]*)(:[0-9]{0,5})?")
"""It ends in addresses that pages show, and in what decides where a request goes."""


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """Connections at once; seconds for a head, and without a byte of an answer being read; bytes and fields of a head;
    requests that wait; how slow a body may be, and how long it may take in all."""

    connections: int = 1024
    head_seconds: float = 10.0
    head_bytes: int = 65_536
    """And of what frames a body, between two pieces of it."""
    head_fields: int = 256
    """Each takes twenty times the memory of what it is sent in."""
    pipelined: int = 32
    """Requests that wait behind the one that is being answered, with `head_bytes` in all. Thousands fit into one read,
    and each takes a hundred times the memory of what it is sent in. No more are heard then; those that were are
    answered, and then it ends."""
    body_bytes: int = 16_384
    """So many in each `body_seconds`, or it has to end within them."""
    body_seconds: float = 30.0
    whole_body_seconds: float = float("inf")
    silence: float = 60.0

    def for_this_process(self) -> Bounds:
        """No more connections than leave half of the descriptors it may open to its work."""
        allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if allowed == resource.RLIM_INFINITY:
            return self
        return replace(self, connections=min(self.connections, max(1, allowed // 2)))


class Connection(HttpToolsProtocol):
    """One client's. `_since` is when it began to send a head; none between requests and after its head."""

    def __init__(self, bounds: Bounds, **uvicorns: Any) -> None:
        super().__init__(**uvicorns)
        self.parser = _Parser(self)  # type: ignore[assignment]
        self._bounds = bounds
        self._since: float | None = None
        self._heard = 0.0
        self._fruitless = 0
        """Bytes since any came of them: a request, a piece of its body, its end."""
        self._pipelined_bytes = 0
        """Of the heads that wait."""
        self._body_began = 0.0
        self._body_since = 0.0
        self._body_bytes = 0
        self._unread = 0
        self._unread_since = 0.0
        self._is_parted = False
        self._is_unreadable = False
        self._refusal: tuple[HTTPStatus, str] | None = None
        self.is_last = False
        self.is_encrypted = False
        self._is_stranger = False
        self._below: asyncio.WriteTransport | None = None
        self._answers: _Answers
        self._under_way: RequestResponseCycle | None = None
        """The request that is being answered; `cycle` is the one that came last."""

    def close_with_its_answer(self) -> None:
        """Say with the next answer, or the one that is under way, that it is the last: who goes on connects anew, and
        nothing that it sends meets a connection that closes."""
        self.is_last = True
        if self.cycle is not None and not self.cycle.response_started:
            self.cycle.keep_alive = False

    @property
    def is_waited_for(self) -> bool:
        """Whether a request is under way whose answer has yet to begin."""
        return not self._is_parted and (
            self.has_begun or not (self._is_waiting or self.cycle.response_started)
        )

    @property
    def is_between_requests(self) -> bool:
        """Whether nothing is under way: all was answered, and nothing has come since."""
        return self._is_idle and not (self.has_begun or self._is_parted or self.transport.is_closing())

    def give_away(self) -> socket.socket:
        """The connection, for somebody else to go on with it. What its client sends meanwhile waits there. One with TLS
        cannot be given: what was agreed on is in this process alone."""
        given: socket.socket = self.transport.get_extra_info("socket").dup()
        self.transport.abort()
        self.connections.discard(self)  # its end takes a turn to arrive
        return given

    def problem(self, status: HTTPStatus, why: str, fix: str | None) -> bytes:
        """The body of an answer that is given here, as problem+json."""
        said = {"type": "about:blank", "title": status.phrase, "status": status.value, "detail": why}
        return msgspec.json.encode({**said, "fix": fix} if fix else said)

    # What uvicorn calls.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        _notice_vanishing(transport.get_extra_info("socket"))
        encrypted = transport.get_extra_info("ssl_object")
        if encrypted is not None:
            self.is_encrypted = True
            # What is encrypted waits here, of which asyncio tells nothing otherwise: whoever reads nothing, and was
            # sent all at once, would never be noticed (`test_who_does_not_read_its_answer_is_parted_with`).
            self._below = getattr(getattr(transport, "_ssl_protocol", None), "_transport", None)
            is_asked = encrypted.context.verify_mode != ssl.CERT_NONE
            self._is_stranger = is_asked and not encrypted.getpeercert()
        self._answers = _Answers(transport, self.loop)
        self._since = self._heard = self.loop.time()
        if len(self.connections) > self._bounds.connections:
            self._make_room()

    def data_received(self, data: bytes) -> None:
        if self._is_parted:
            return
        self._heard = self.loop.time()
        if self._is_waiting and self._since is None:
            self._since = self._heard
        self._fruitless += len(data)
        super().data_received(data)
        if self._is_parted:
            return
        if self._fruitless > self._bounds.head_bytes:
            is_head = self._is_waiting or not self.cycle.more_body
            too_long = "the request's head does not end" if is_head else "the request's body is all frame"
            self.cannot_read(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, too_long)
        elif self.headers is not None and len(self.headers) > self._bounds.head_fields:
            self.cannot_read(*self._too_many_fields)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._under_way is not None and not self._under_way.response_complete:
            self._under_way.disconnected = True  # uvicorn says it to the one that came last
            self._under_way.message_event.set()

    def on_header(self, name: bytes, value: bytes) -> None:
        name, value = name.lower(), value.rstrip(b" \t")  # which is no part of it, and httptools keeps
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade():
            return  # it is read again, as one that asks for nothing but HTTP
        version = self.parser.get_http_version()
        self._must_be_plain(version)
        super().on_headers_complete()
        self.headers = []  # what comes now are trailers: fields that nobody looked at when the request was let in
        if self.pipeline:
            self.flow.resume_reading()  # it is bounded, and who does not read does not notice that its client left
        self._since, self._fruitless = None, 0
        self._body_began = self._body_since = self._heard
        self._body_bytes = 0
        self.cycle.transport = self._answers  # type: ignore[assignment]
        if version == "1.0":
            self.cycle.waiting_for_100_continue = False
            self.cycle.transport = _Unframed(self._answers)  # type: ignore[assignment]
        elif self.expect_100_continue and self.cycle.keep_alive:
            self.cycle.keep_alive = False  # unless it is asked for its body: who was not may send it, or not
            self.cycle.transport = _KeptOnceContinued(self._answers, self.cycle, self)  # type: ignore[assignment]
        if self.is_last:
            self.close_with_its_answer()

    def on_body(self, body: bytes) -> None:
        self._fruitless = 0
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade():
            return
        self._fruitless = 0
        if self._is_waiting:
            self._since = None  # it was answered before its body had ended
        super().on_message_complete()
        if self.headers and not self.parser.should_keep_alive():  # a trailer said so: nothing more is read
            self.cycle.keep_alive = False
            if self._is_waiting:
                self.transport.close()

    def head_without_upgrade(self) -> bytes:
        """Of the request that is being read, as if it did not ask for another protocol. Raises HttpParserError."""
        method = self.parser.get_method()
        if method == b"CONNECT":
            raise self._refused("this is no proxy")
        head = [b"%b %b HTTP/%b\r\n" % (method, self.url, self.parser.get_http_version().encode())]
        head.extend(b"%b: %b\r\n" % each for each in self.headers if each[0] != b"upgrade")
        return b"".join(head) + b"\r\n"

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._under_way = cycle
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        self._answers.end()
        is_end = self._is_unreadable and not self.pipeline
        super().on_response_complete()
        if is_end:
            self._leave()

    def cannot_read(self, status: HTTPStatus, why: str, fix: str | None = None) -> None:
        """What came. Whoever asked before is answered first: this would be taken for that answer."""
        is_asked_before = bool(self.pipeline) or not (self._is_waiting or self.cycle.more_body)
        if is_asked_before:
            if self.cycle.more_body:
                self.pipeline.popleft()  # the one that cannot be read; what came last stands first
            self._is_unreadable = self._is_parted = True
        else:
            self._part(status, why, fix)

    def unreadable(self, error: httptools.HttpParserError) -> None:
        """As httptools says, or we said to it."""
        status, why = self._refusal or (HTTPStatus.BAD_REQUEST, f"the request cannot be read: {error}")
        self.cannot_read(status, why)

    def shutdown(self) -> None:
        if self.has_begun:
            self.close_with_its_answer()  # to the request that has begun to arrive
        else:
            self.is_last = True
            super().shutdown()

    # What is asked from time to time.

    def look(self, now: float) -> None:
        """Part with a client that does not go on."""
        if self.transport is None or self._is_stuck(now) or self._is_parted:
            return
        if self._is_waiting:
            if self._since is None or now - self._since <= self._bounds.head_seconds:
                return
            if self.has_begun:
                self._part(HTTPStatus.REQUEST_TIMEOUT, "the request's head took too long")
            else:
                self.transport.close()  # a browser that connected in advance asked for no answer
        elif self._is_too_slow(now):
            self._part(HTTPStatus.REQUEST_TIMEOUT, "the request's body took too long")

    @property
    def has_begun(self) -> bool:
        """Whether a request has, of whose head the end has not come."""
        return self._is_waiting and self._fruitless > 0

    @property
    def _is_waiting(self) -> bool:
        """For a request, or for the rest of its head, while none is under way."""
        return self.cycle is None or self.cycle.response_complete

    @property
    def _is_idle(self) -> bool:
        """Waiting, and its last answer is gone."""
        return self._is_waiting and self._unsent == 0

    @property
    def _unsent(self) -> int:
        """Bytes that wait to be sent."""
        below = 0 if self._below is None else self._below.get_write_buffer_size()
        return self.transport.get_write_buffer_size() + below

    @property
    def _is_sending(self) -> bool:
        """Whether it is its turn to send a body: not while we have not asked for it, or have too much of it."""
        cycle = self.cycle
        is_asked = not (cycle.waiting_for_100_continue or self.pipeline or self.flow.read_paused)
        return cycle.more_body and is_asked

    def _is_too_slow(self, now: float) -> bool:
        if not self._is_sending:
            self._body_since, self._body_bytes = now, 0
            return False
        if now - self._body_began > self._bounds.whole_body_seconds:
            return True
        if now - self._body_since <= self._bounds.body_seconds:
            return False
        is_too_slow = self._body_bytes < self._bounds.body_bytes
        self._body_since, self._body_bytes = now, 0
        return is_too_slow

    def _is_stuck(self, now: float) -> bool:
        """Whether its client reads nothing of what was sent; cut off then, since nothing more can be said to it."""
        unread = self._unsent
        if unread != self._unread or unread == 0:
            self._unread, self._unread_since = unread, now
        elif now - self._unread_since > self._bounds.silence:
            self.transport.abort()
            return True
        return False

    # What a request may not say.

    def _must_be_plain(self, version: str) -> None:
        """Raises HttpParserError for what we would read otherwise than somebody before or behind us may."""
        if version not in VERSIONS:
            raise self._refused("HTTP/1.1 is spoken here", HTTPStatus.HTTP_VERSION_NOT_SUPPORTED)
        if len(self.headers) > self._bounds.head_fields:
            status, why = self._too_many_fields
            raise self._refused(why, status)
        self._may_wait()
        hosts, codings = [], []
        for name, value in self.headers:
            if name == b"host":
                hosts.append(value)
            elif name == b"transfer-encoding":
                codings.append(value.lower())
        if codings:
            if version == "1.0":
                raise self._refused("HTTP/1.0 knows no Transfer-Encoding")
            if codings != [b"chunked"]:
                raise self._refused(
                    "a body may be chunked, and coded no other way", HTTPStatus.NOT_IMPLEMENTED
                )
        self._name_one_host(hosts, version)
        if self._is_stranger and self.url.partition(b"?")[0] not in FOR_STRANGERS:
            raise self._refused("whoever asks here shows a certificate", HTTPStatus.FORBIDDEN)

    def _may_wait(self) -> None:
        """Raises HttpParserError for one request too many behind the one that is being answered."""
        if self._is_waiting:
            self._pipelined_bytes = 0
            return
        self._pipelined_bytes += len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        is_too_much = self._pipelined_bytes > self._bounds.head_bytes
        if is_too_much or len(self.pipeline) >= self._bounds.pipelined:
            raise self._refused("too many requests wait to be answered", HTTPStatus.TOO_MANY_REQUESTS)

    def _name_one_host(self, hosts: list[bytes], version: str) -> None:
        """As servers must (RFC 9112, 3.2): one, and of a target that is a whole URL its own. Raises HttpParserError."""
        if len(hosts) > 1 or (not hosts and version == "1.1"):
            raise self._refused("a request names one host")
        if hosts and HOST.fullmatch(hosts[0]) is None:
            raise self._refused("a request's host is a name or an address, and a port")
        if b"#" in self.url:
            raise self._refused("a request's target has no fragment")
        if self.url.startswith(b"/"):
            return
        whole = httptools.parse_url(self.url)
        if whole.schema is None or whole.schema.lower() not in (b"http", b"https"):
            raise self._refused("a request's target is a path or a URL")
        if not whole.host or whole.userinfo is not None:
            raise self._refused("a target that is a URL names a host, and no user")
        name = b"[%b]" % whole.host if b":" in whole.host else whole.host
        host = name if whole.port is None else b"%b:%d" % (name, whole.port)
        query = b"" if whole.query is None else b"?" + whole.query
        self.url = (whole.path or b"/") + query
        self.headers[:] = [(b"host", host), *(each for each in self.headers if each[0] != b"host")]

    def _refused(self, why: str, status: HTTPStatus = HTTPStatus.BAD_REQUEST) -> httptools.HttpParserError:
        self._refusal = status, why
        return httptools.HttpParserError(why)

    @property
    def _too_many_fields(self) -> tuple[HTTPStatus, str]:
        most = self._bounds.head_fields
        return HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"a head has no more than {most} fields here"

    # Partings.

    def _make_room(self) -> None:
        idle = [each for each in self.connections if isinstance(each, Connection) and each._is_idle]
        longest = min((each for each in idle if each is not self), key=lambda each: each._heard, default=None)
        if longest is None:
            self._part(HTTPStatus.SERVICE_UNAVAILABLE, "there are too many connections", "try again shortly")
            return
        self.connections.discard(longest)  # its end may take a moment to arrive
        longest.transport.abort()

    def _part(self, status: HTTPStatus, why: str, fix: str | None = None) -> None:
        """Say why, unless an answer has begun or there is nobody to say it to, and close."""
        if (self._is_waiting or not self.cycle.response_started) and not self.transport.is_closing():
            body = self.problem(status, why, fix)
            head = [
                f"HTTP/1.1 {status.value} {status.phrase}",
                f"content-type: {MEDIA_TYPE}",
                f"content-length: {len(body)}",
                "connection: close",
                *(["retry-after: 1"] if status is HTTPStatus.SERVICE_UNAVAILABLE else []),
            ]
            self.transport.write("\r\n".join(head).encode() + b"\r\n\r\n" + body)
        if not self._is_waiting:
            self._answers.end()
            self.cycle.disconnected = True  # nothing may be said behind this, and nobody is to work at it
            self.cycle.message_event.set()
        self._leave()

    def _leave(self) -> None:
        self._is_parted = True
        if self.transport.is_closing():
            return
        if self.transport.can_write_eof():
            self.transport.write_eof()
            self.loop.call_later(LINGER, self.transport.close)
        else:
            self.transport.close()


class _Parser:
    """httptools, for which what follows on `Upgrade` is of another protocol, whatever the server makes of that.

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
        try:
            while True:
                try:
                    self._parser.feed_data(data)
                except httptools.HttpParserUpgrade as upgrade:
                    head, data = self._connection.head_without_upgrade(), data[upgrade.args[0] :]
                    self._begin()
                    self._parser.feed_data(head)
                else:
                    return
        except httptools.HttpParserError as error:
            self._connection.unreadable(error)


class _Answers:
    """What uvicorn writes an answer to: its head waits for what is said in the same breath, and both go out at once.

    uvicorn writes them one after the other, each with a call of the system's and each waking the client, which
    together take a tenth of a small request's time.
    """

    __slots__ = ("_has_begun", "_head", "_loop", "_transport")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._head: bytes | None = None
        self._has_begun = False

    def write(self, data: bytes) -> None:
        if not self._has_begun and not data.startswith(CONTINUE):
            self._has_begun, self._head = True, data
            self._loop.call_soon(self._let_go)
            return
        head, self._head = self._head, None
        if head is not None and len(data) < JOINED_BELOW:
            data = head + data
        elif head is not None:
            self._transport.write(head)
        if data:
            self._transport.write(data)

    def end(self) -> None:
        """Of an answer, which may have had no body."""
        self._let_go()
        self._has_begun = False

    def close(self) -> None:
        self.end()
        self._transport.close()

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def _let_go(self) -> None:
        head, self._head = self._head, None
        if head is not None:
            self._transport.write(head)


class _Unframed:
    """An answer to HTTP/1.0, which knows no chunks: of one whose length was not said, the end is the connection's."""

    def __init__(self, answers: _Answers) -> None:
        self._answers = answers
        self._has_begun = False
        self._is_chunked = False
        self.close, self.is_closing = answers.close, answers.is_closing

    def write(self, data: bytes) -> None:
        if not self._has_begun:
            self._has_begun, self._is_chunked = True, CHUNKED in data
            data = data.replace(CHUNKED, b"\r\n")
        elif self._is_chunked and data:
            size, _, chunk = data.partition(b"\r\n")
            data = chunk[: int(size, 16)]
        self._answers.write(data)


class _KeptOnceContinued:
    """An answer to who sends its body when it is asked for it. If it is answered without, the connection ends: whatever
    comes next may be that body, or the next request."""

    def __init__(self, answers: _Answers, cycle: RequestResponseCycle, connection: Connection) -> None:
        self._answers = answers
        self._cycle = cycle
        self._connection = connection
        self.close, self.is_closing = answers.close, answers.is_closing

    def write(self, data: bytes) -> None:
        if data.startswith(CONTINUE):
            self._cycle.keep_alive = not self._connection.is_last
        self._answers.write(data)


_ending: WeakSet[ServerState] = WeakSet()
"""Of servers that were told to end."""


def _is_no_cut(record: logging.LogRecord) -> bool:
    """Whether to tell what is told, of a request that may be under way at a server that ends."""
    try:
        asking = asyncio.current_task()
    except RuntimeError:  # no loop runs here
        return True
    if not any(asking in server.tasks for server in _ending):
        return True
    is_cancelled = record.exc_info is not None and isinstance(record.exc_info[1], asyncio.CancelledError)
    return not is_cancelled and "without completing response" not in record.getMessage()


class BoundedServer(uvicorn.Server):
    """Looks at its connections, twice a second. Give it a `bounded` configuration, and the clients of a server before
    this one that gave them away."""

    def __init__(
        self,
        config: uvicorn.Config,  # noqa: TID251 - here are the bounds
        clients: Sequence[socket.socket] = (),
    ) -> None:
        super().__init__(config)
        self.servers: list[asyncio.Server] = []
        self._clients = clients
        self._encryption, self._handshake_seconds = None, Bounds.head_seconds
        if isinstance(config, _Config):
            self._encryption, self._handshake_seconds = config.encryption, config.handshake_seconds

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """What is under way after `timeout_graceful_shutdown` is cut off."""
        self._may_cut_off()
        await super().shutdown(sockets)

    def _may_cut_off(self) -> None:
        """From here on, which uvicorn would say of each request as of a failure of the application."""
        _ending.add(self.server_state)
        logging.getLogger("uvicorn.error").addFilter(_is_no_cut)  # once, however often

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        if self.config.ssl is None:
            await super().startup(sockets)
        else:
            await self._start_encrypted(self.config.ssl, sockets)
        loop = asyncio.get_running_loop()
        for client in self._clients:
            client.setblocking(False)
            await loop.connect_accepted_socket(self._connection, client)
        self._clients = ()

    async def _start_encrypted(self, context: ssl.SSLContext, sockets: list[socket.socket] | None) -> None:
        """As uvicorn, which would give a client that says nothing a minute for its handshake."""
        loop, config = asyncio.get_running_loop(), self.config
        places: list[dict[str, Any]] = [{"sock": each} for each in sockets or ()]
        for place in places or [{"host": config.host, "port": config.port}]:
            try:
                server = await loop.create_server(
                    self._connection,
                    ssl=context,
                    ssl_handshake_timeout=self._handshake_seconds,
                    ssl_shutdown_timeout=LINGER,
                    backlog=config.backlog,
                    **place,
                )
            except OSError as error:
                log.error(error)  # noqa: TRY400 - the address is taken, or none of ours: nobody needs to know from where
                sys.exit(STARTUP_FAILURE)
            self.servers.append(server)
        self.started = True

    def _connection(self) -> asyncio.Protocol:
        made: asyncio.Protocol = self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return made

    async def hand_over(self, seconds: float, *, settling: float = SETTLING) -> list[socket.socket]:
        """Before it exits, where a server after this one has its socket and gets its clients, who notice nothing.

        It is done in a moment in which nobody waits for an answer, since one may need another from here; at the latest
        after `settling` seconds. From then on nobody is let in any more. A client is given away as soon as nothing is
        under way on its connection, whether it has sent its next request or none yet. Whose answer has yet to begin is
        told with it that it was the last. What is under way after `seconds` more is cut off.

        With TLS nobody is given away: who asks once more is answered with the last answer on its connection, and who
        does not within `JUST_CONNECTED`, from when it had shaken hands, is parted with as by any server.
        """
        given: list[socket.socket] = []
        self._may_cut_off()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + settling
        while loop.time() < deadline:
            if not any(each.is_waited_for for each in self._connections()):
                break
            await asyncio.sleep(LOOKED_AT_EVERY)
        await self._let_nobody_in()
        looks = Counter[Connection]()
        if self.config.ssl is not None:
            looks = await self._say_it_is_the_last(JUST_CONNECTED, at_most=SETTLING, looks=LOOKS)
        deadline = loop.time() + seconds
        while True:
            for connection in self._connections():
                if not connection.is_between_requests:
                    connection.close_with_its_answer()
                elif connection.is_encrypted:
                    connection.close_with_its_answer()
                    looks[connection] += 1
                    if looks[connection] > LOOKS:
                        connection.transport.close()
                else:
                    given.append(connection.give_away())
            if not self._connections() or loop.time() >= deadline:
                break
            await asyncio.sleep(LOOKED_AT_EVERY)
        for connection in self._connections():
            connection.transport.close()
        return given

    async def take_leave(self, seconds: float) -> None:
        """Before it exits, where nobody gets its clients: each is told with an answer that it was the last, and has
        `seconds` to ask for one. Then nobody is let in any more, and who asks nothing is parted with as by any server.
        """
        await self._say_it_is_the_last(seconds)
        await self._let_nobody_in()
        await self._say_it_is_the_last(JUST_CONNECTED)

    def _connections(self) -> list[Connection]:
        return [each for each in self.server_state.connections if isinstance(each, Connection)]

    async def _let_nobody_in(self) -> None:
        """asyncio closes whom it has accepted and not yet made a connection of when it closes its server: as many as
        came while it was busy. Therefore it stops to accept before."""
        loop = asyncio.get_running_loop()
        for server in self.servers:
            for listening in server.sockets:
                loop.remove_reader(listening.fileno())
        for _ in range(TURNS_TO_CONNECT):
            await asyncio.sleep(0)

    async def _say_it_is_the_last(
        self, seconds: float, *, at_most: float = 0.0, looks: int = 0
    ) -> Counter[Connection]:
        """How often each of them was looked at; for longer, if not for `at_most`, until there were so many looks."""
        loop = asyncio.get_running_loop()
        began, rounds, looked = loop.time(), 0, Counter[Connection]()
        while (passed := loop.time() - began) < seconds or (rounds < looks and passed < at_most):
            for connection in self._connections():
                connection.close_with_its_answer()
                looked[connection] += 1
            rounds += 1
            await asyncio.sleep(LOOKED_AT_EVERY)
        return looked

    async def on_tick(self, counter: int) -> bool:
        if counter % SWEEP_EVERY == 0:
            now = asyncio.get_running_loop().time()
            for connection in self._connections():
                connection.look(now)
            if self._encryption is not None:
                self._encryption.look()
        return await super().on_tick(counter)


class Encryption(Protocol):
    """What a server encrypts by. It is told to look, twice a second, whether that is still what it is to be."""

    @property
    def context(self) -> ssl.SSLContext: ...
    def look(self) -> None: ...


class _Config(uvicorn.Config):  # noqa: TID251 - here are the bounds
    encryption: Encryption | None = None
    handshake_seconds: float


def bounded(
    app: Any,
    bounds: Bounds,
    *,
    connection: type[Connection] = Connection,
    encryption: Encryption | None = None,
    proxies: str = "",
    **uvicorns: Any,
) -> uvicorn.Config:  # noqa: TID251 - here are the bounds
    """What uvicorn is to know: it serves `app` within `bounds`, and leaves to us what begins and ends with it.

    `proxies` are addresses and networks, with commas between, of which it is believed for whom they ask, and how that
    one asked them. Unless told nobody is: uvicorn would believe each process of its own machine.
    """
    config = _Config(
        app,
        http=partial(connection, bounds),  # type: ignore[arg-type]
        ws="none",  # nobody here speaks it, and a connection that is upgraded would leave these bounds
        lifespan="off",
        access_log=False,
        log_config=None,  # how a process logs is the process's matter
        timeout_keep_alive=KEPT,
        proxy_headers=bool(proxies),
        forwarded_allow_ips=proxies,
        ssl_context_factory=None if encryption is None else lambda *_: encryption.context,
        **uvicorns,
    )
    config.encryption, config.handshake_seconds = encryption, bounds.head_seconds
    return config


def _notice_vanishing(connection: socket.socket) -> None:
    if connection.family not in (socket.AF_INET, socket.AF_INET6):
        return
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in KEEP_ALIVE.items():
        if hasattr(socket, name):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
