"""The way to a model: HTTP/1.1, over connections that are kept while they are of use.

A model is other people's code. What it says is read as from an enemy: in bounded memory, never in two ways, and what
is no HTTP ends its connection. Nothing that it may have taken is sent to it twice, unless that is allowed.

It knows no redirects, cookies, codings of contents nor TLS: whoever asked gets what was said. It is as small as that,
since a general client's share of a small prediction was the largest of all (`python -m benchmarks deploy.routes`).
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter, deque
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, auto
from functools import lru_cache, partial
from urllib.parse import urlsplit

import httptools

Header = tuple[bytes, bytes]

KEPT_FOR = 15.0
"""Seconds that a connection is kept without a request. Less than the model server keeps it (`placet.connections.KEPT`)
and most others do: what is sent on a connection while the other side closes it is lost."""
HEAD_BYTES = 65_536
"""Of an answer, those that come before it included; and of what frames a body, between two pieces of it."""
HEAD_FIELDS = 256
UNREAD = 131_072
"""Bytes of an answer that wait to be read, before no more are taken from the model."""
LOOK_EVERY = 1.0
"""Seconds, at the most, between two looks at who says nothing."""

IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
"""What may be sent again when nobody knows whether it arrived (RFC 9110, 9.2.2)."""
_WITHOUT_CONTENT = frozenset({"GET", "HEAD", "OPTIONS"})
"""Of others a length is said even where there is nothing (RFC 9110, 8.6)."""
_WITHOUT_BODY = frozenset({204, 304})
_SWITCHED = 101
_ANSWERS = range(200, 600)

_VERSIONS = frozenset({b"HTTP/1.1", b"HTTP/1.0"})
_BEGINNING = b"HTTP/1."
_END = b"\r\n\r\n"
_FRAMING = frozenset({b"connection", b"content-length", b"transfer-encoding"})
_LENGTH = re.compile(rb"[0-9]{1,18}")
_PLAIN = bytes(each for each in range(256) if each in b"\t\r\n" or (each >= 0x20 and each != 0x7F))
"""What a head is made of. Of ends of lines the pairs are counted."""


class NotAnswered(Exception):
    """There is no answer, or it did not come to its end."""


class NotReached(NotAnswered):
    """It takes no connection: nothing was sent, and somebody else may be asked."""


class NoneFree(NotAnswered):
    """So many requests are under way that none was begun in time."""


class Silent(NotAnswered):
    """It was its turn to say something, or to take it, and it did not."""


class NoHttp(NotAnswered):
    """What it said is none, or might be read as another answer by somebody else."""


class BrokenOff(NotAnswered):
    """It closed the connection before its answer was whole."""


class _ClosedWhileKept(BrokenOff):
    """Before it said anything to this request: it may have closed it before it was asked."""


@dataclass(frozen=True, slots=True)
class Streamed:
    """A body that goes on while it comes; `length` in bytes, if it was said beforehand."""

    chunks: AsyncIterator[bytes]
    length: int | None


Body = bytes | Streamed | None


class ModelConnections:
    """`one_model` and `together` bound the requests under way, and `together` the connections that are open, those
    without a request included. Seconds: `begun_within` until a request has a connection, `silence` without a byte from
    a model whose turn it is."""

    def __init__(
        self,
        *,
        one_model: int,
        together: int,
        begun_within: float,
        silence: float,
        kept_for: float = KEPT_FOR,
    ) -> None:
        self.silence = silence
        self.kept_for = kept_for
        self._one_model = one_model
        self._together = together
        self._begun_within = begun_within
        self._under_way: Counter[str] = Counter()
        self._all_under_way = 0
        self._waiting: deque[tuple[str, asyncio.Future[None]]] = deque()
        self._open: set[Connection] = set()
        self._idle: dict[str, list[Connection]] = {}
        """By where they lead, the one that was used last at the end."""
        self._timer: asyncio.TimerHandle | None = None
        self._is_closed = False
        self._has_ended = asyncio.Event()

    async def request(
        self,
        model: str,
        endpoint: str,
        method: str,
        target: bytes,
        headers: Sequence[Header],
        *,
        host: bytes | None = None,
        body: Body = None,
    ) -> Answer:
        """What `model` answers at `endpoint` (`http://host:port`), as soon as its head is there.

        `headers` say nothing of lengths, codings of the transfer and the connection. Close the answer, whatever
        happens. Raises NotAnswered, and what `body` raises."""
        head = _head(endpoint, method, target, headers, host, body)
        connection = await self._connection(model, endpoint)
        if connection.is_kept:
            with suppress(_ClosedWhileKept):
                return await connection.ask(model, method, head, body)
            if method not in IDEMPOTENT or isinstance(body, Streamed):
                raise BrokenOff("it closed the connection when it was asked")
            connection = await self._connection(model, endpoint, is_new=True)
        return await connection.ask(model, method, head, body)

    async def close(self) -> None:
        """End all that is open, and all requests with it."""
        self._is_closed = True
        for _, waiting in self._waiting:
            if not waiting.done():
                waiting.set_exception(NoneFree("the gateway ends"))
        self._waiting.clear()
        for connection in list(self._open):
            connection.part(BrokenOff("the gateway ends"))
        if self._timer is not None:
            self._timer.cancel()
        if self._open:
            await self._has_ended.wait()

    # Places. Each request has one from before it has a connection until its answer has ended.

    async def _connection(self, model: str, endpoint: str, *, is_new: bool = False) -> Connection:
        has_place = self._take_place(model)
        if has_place and not is_new and (kept := self._kept(endpoint)) is not None:
            return kept
        connection: Connection | None = None
        try:
            async with asyncio.timeout(self._begun_within):
                if not has_place:
                    await self._wait_for_place(model)
                    has_place = True
                    connection = None if is_new else self._kept(endpoint)
                if connection is None:
                    connection = await self._connect(endpoint)
        except TimeoutError as error:
            raise NoneFree(f"no connection within {self._begun_within:g} s") from error
        except OSError as error:
            raise NotReached(str(error)) from error
        finally:
            if has_place and connection is None:
                self._give_place(model)
        return connection

    def _take_place(self, model: str) -> bool:
        if self._all_under_way >= self._together or self._under_way[model] >= self._one_model:
            return False
        self._under_way[model] += 1
        self._all_under_way += 1
        return True

    def _give_place(self, model: str) -> None:
        """To whoever has waited longest of those that may have it."""
        self._all_under_way -= 1
        self._under_way[model] -= 1
        if not self._under_way[model]:
            del self._under_way[model]
        for each in self._waiting:
            theirs, waiting = each
            if not waiting.done() and self._take_place(theirs):
                self._waiting.remove(each)
                waiting.set_result(None)
                return

    async def _wait_for_place(self, model: str) -> None:
        if self._is_closed:
            raise NoneFree("the gateway ends")
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((model, waiting))
        try:
            await waiting
        except asyncio.CancelledError:
            if waiting.cancelled():
                with suppress(ValueError):  # `close` has taken all off
                    self._waiting.remove((model, waiting))
            elif waiting.exception() is None:  # it was given just as we gave up
                self._give_place(model)
            raise

    # Connections.

    def _kept(self, endpoint: str) -> Connection | None:
        idle = self._idle.get(endpoint)
        while idle:
            connection = idle.pop()
            if not connection.is_closing:
                return connection
        return None

    async def _connect(self, endpoint: str) -> Connection:
        if self._is_closed:
            raise NoneFree("the gateway ends")
        self._make_room()
        address = _address(endpoint)
        make = partial(Connection, self, endpoint)
        _, connection = await asyncio.get_running_loop().create_connection(make, address.host, address.port)
        if self._is_closed:
            connection.part()
            raise NoneFree("the gateway ends")
        return connection

    def _make_room(self) -> None:
        """For one more: of those without a request, the one that was used longest ago ends."""
        oldest = [each[0] for each in self._idle.values() if each]
        if oldest and self._all_under_way + sum(map(len, self._idle.values())) > self._together:
            min(oldest, key=lambda each: each.idle_since).part()

    def opened(self, connection: Connection) -> None:
        self._open.add(connection)
        if self._timer is None and not self._is_closed:
            self._look_later()

    def released(self, connection: Connection, model: str, *, is_reusable: bool) -> None:
        """Its answer has ended."""
        if is_reusable and not self._is_closed:
            self._idle.setdefault(connection.endpoint, []).append(connection)
        self._give_place(model)

    def parted(self, connection: Connection) -> None:
        """It takes no more requests."""
        idle = self._idle.get(connection.endpoint, [])
        if connection in idle:
            idle.remove(connection)
        if not idle:
            self._idle.pop(connection.endpoint, None)

    def ended(self, connection: Connection) -> None:
        self._open.discard(connection)
        self.parted(connection)
        if self._is_closed and not self._open:
            self._has_ended.set()

    def _look_later(self) -> None:
        every = min(LOOK_EVERY, self.silence / 4, self.kept_for / 4)
        self._timer = asyncio.get_running_loop().call_later(every, self._look)

    def _look(self) -> None:
        """One timer for all: each request would begin and end its own otherwise."""
        self._timer = None
        now = asyncio.get_running_loop().time()
        for connection in list(self._open):
            connection.look(now)
        if self._open and not self._is_closed:
            self._look_later()


class Answer:
    """As it comes. `headers` are in its order, their names in lower case."""

    __slots__ = ("_connection", "_error", "_pieces", "_waiter", "headers", "is_whole", "status", "unread")

    def __init__(self, connection: Connection) -> None:
        self.status = 0
        self.headers: list[Header] = []
        self.is_whole = False
        """Whether all of it has come."""
        self.unread = 0
        self._pieces: list[bytes] = []
        self._connection: Connection | None = connection
        self._error: BaseException | None = None
        self._waiter: asyncio.Future[None] | None = None

    @property
    def is_read(self) -> bool:
        """Whether nothing more comes of `read`."""
        return self.is_whole and not self._pieces

    async def read(self) -> bytes:
        """What has come of its body, and at its end nothing. Raises NotAnswered for one that does not come to it."""
        while not (self._pieces or self.is_whole or self._error):
            await self._news()
        if self._pieces:
            read, self.unread = b"".join(self._pieces), 0
            self._pieces.clear()
            if self._connection is not None:
                self._connection.go_on_reading()
            return read
        if self._error is not None:
            raise self._error
        return b""

    def close(self) -> None:
        """Nobody reads the rest. Of one that is whole the connection serves others already."""
        if self._connection is not None:
            self._connection.part()

    # What its connection calls.

    async def begin(self) -> None:
        """Raises NotAnswered."""
        while not (self.status or self._error):
            await self._news()
        if not self.status and self._error is not None:
            raise self._error

    def add(self, piece: bytes) -> None:
        if piece:
            self._pieces.append(piece)
            self.unread += len(piece)

    def end(self, error: BaseException | None = None) -> None:
        self._connection, self._error, self.is_whole = None, error, error is None

    def tell(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _news(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None


class _Reading(Enum):
    HEAD = auto()
    COUNTED = auto()
    CHUNKED = auto()
    TO_THE_END = auto()


class Connection(asyncio.Protocol):
    """One request after the other. `is_kept`: it has served one before."""

    def __init__(self, connections: ModelConnections, endpoint: str) -> None:
        self.endpoint = endpoint
        self.is_kept = False
        self.idle_since = 0.0
        self._connections = connections
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._is_lost = False
        # The request.
        self._model = ""
        self._method = ""
        self._sending: asyncio.Task[None] | None = None
        self._is_sent = True
        self._is_full = False
        """Whether the model has to take of what was written, before more is."""
        self._taken: asyncio.Future[None] | None = None
        self._since: float | None = None
        """Since when it is the model's turn, and nothing has moved."""
        self._unsent = 0
        # The answer.
        self._answer: Answer | None = None
        self._reading = _Reading.HEAD
        self._has_heard = False
        self._partial = bytearray()
        self._head_bytes = 0
        self._parser: httptools.HttpResponseParser
        self._headers: list[Header] = []
        self._framing: list[Header] = []
        self._has_head = False
        self._is_last = False
        self._left = 0
        self._pieces: list[bytes] = []
        self._fruitless = 0
        self._tail = b""
        self._has_come = False
        self._is_paused = False

    @property
    def is_closing(self) -> bool:
        return self._is_lost or self._transport.is_closing()

    async def ask(self, model: str, method: str, head: bytes, body: Body) -> Answer:
        """Raises NotAnswered, and what `body` raises."""
        answer = self._answer = Answer(self)
        self._model, self._method = model, method
        self._reading, self._has_heard, self._has_head, self._head_bytes = _Reading.HEAD, False, False, 0
        if self.is_closing:  # since it was opened: nobody tells us again
            self._finish(NotReached("it closed the connection before it was asked"))
        elif isinstance(body, Streamed):
            self._is_sent, self._since = False, None
            self._transport.write(head)
            self._sending = self._loop.create_task(self._send(body))
            self._sending.add_done_callback(self._sent)
        else:
            self._is_sent, self._since = True, self._loop.time()
            self._transport.write(head + body if body else head)
        try:
            await answer.begin()
        except BaseException:
            answer.close()
            raise
        return answer

    def part(self, error: BaseException | None = None) -> None:
        """Close it at once. `error` is for who waits for an answer of it."""
        self._since = None
        if not self._is_lost:
            self._transport.abort()  # `close` would wait for a model that takes nothing
        self._connections.parted(self)
        self._finish(error or BrokenOff("nobody reads the rest"))

    def look(self, now: float) -> None:
        """End what does not go on, and what nobody has used for long."""
        if self._answer is None:
            if self.is_kept and now - self.idle_since > self._connections.kept_for:
                self.part()
            return
        unsent = self._transport.get_write_buffer_size()
        if self._since is None or unsent != self._unsent:
            self._unsent, self._since = unsent, None if self._since is None else now
        elif now - self._since > self._connections.silence:
            self.part(Silent(f"nothing for {self._connections.silence:g} s"))

    def go_on_reading(self) -> None:
        if self._is_paused:
            self._is_paused = False
            self._transport.resume_reading()
            self._mark()

    # What asyncio calls.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        self._connections.opened(self)

    def data_received(self, data: bytes) -> None:
        answer = self._answer
        if answer is None:  # nobody asked for it, and the next one who asks is not to take it for an answer
            self.part()
            return
        self._has_heard = True
        if self._since is not None:
            self._since = self._loop.time()
        try:
            rest = self._read_head(answer, data) if self._reading is _Reading.HEAD else data
            if rest is not None:
                self._read_body(answer, rest)
        except NoHttp as error:
            self.part(error)
        answer.tell()

    def eof_received(self) -> None:
        if self._answer is not None and self._reading is _Reading.TO_THE_END:
            self._complete(is_clean=False)
        else:
            self.part(self._broken_off())

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_lost = True
        self._connections.ended(self)
        self._finish(self._broken_off(exc))

    def pause_writing(self) -> None:
        self._is_full = True
        self._mark()

    def resume_writing(self) -> None:
        self._is_full = False
        self._mark()
        if self._taken is not None and not self._taken.done():
            self._taken.set_result(None)

    # The request's way.

    async def _send(self, body: Streamed) -> None:
        left = body.length
        async for chunk in body.chunks:
            if left is None:
                self._transport.write(b"%x\r\n%b\r\n" % (len(chunk), chunk) if chunk else b"")
            elif len(chunk) <= left:
                left -= len(chunk)
                self._transport.write(chunk)
            else:
                raise ValueError("a body is longer than was said")
            if self._is_full:
                self._taken = self._loop.create_future()
                await self._taken
        if left:
            raise ValueError("a body is shorter than was said")
        if left is None:
            self._transport.write(b"0\r\n\r\n")
        self._is_sent = True
        self._mark()

    def _sent(self, sending: asyncio.Task[None]) -> None:
        error = None if sending.cancelled() else sending.exception()
        if error is not None and self._sending is sending:
            self.part(error)

    def _mark(self) -> None:
        """Whose turn it is: not the model's while we wait for more of the body, or do not read what it says."""
        is_its = self._answer is not None and not self._is_paused and (self._is_sent or self._is_full)
        self._since = self._loop.time() if is_its else None

    # The answer's.

    def _read_head(self, answer: Answer, data: bytes) -> bytes | None:
        """What stands behind it, if it is whole. Raises NoHttp."""
        while (cut := self._cut(data)) is not None:
            head, data = cut
            status = self._parse(head)
            if status // 100 != 1:
                answer.headers = self._headers
                self._frame(status, head)
                answer.status = status
                return data
            if status == _SWITCHED:
                raise NoHttp("it speaks another protocol")
        return None

    def _cut(self, data: bytes) -> tuple[bytes, bytes] | None:
        """A head, and what stands behind it; None, and it is kept, while its end has not come. Raises NoHttp."""
        begin = max(0, len(self._partial) - len(_END) + 1)
        if self._partial:
            self._partial += data
            end = self._partial.find(_END, begin)
        else:
            end = data.find(_END)
            if end < 0:
                self._partial += data
        size = len(self._partial) if end < 0 else end + len(_END)
        if self._head_bytes + size > HEAD_BYTES:
            raise NoHttp("its head does not end")
        if end < 0:
            if not _BEGINNING.startswith(bytes(self._partial[: len(_BEGINNING)])):
                raise NoHttp("it does not begin as an answer does")
            return None
        if self._partial:
            data = bytes(self._partial)
            self._partial.clear()
        self._head_bytes += size
        return data[:size], data[size:]

    def _parse(self, head: bytes) -> int:
        """Its status. Raises NoHttp."""
        self._headers, self._framing, self._has_head, self._has_come = [], [], False, False
        self._parser = parser = httptools.HttpResponseParser(self)
        try:
            parser.feed_data(head)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if not self._has_head:  # else it only says that another protocol follows
                raise NoHttp(str(error)) from error
        lines = head.count(b"\r\n")
        is_plain = head.count(b"\r") == head.count(b"\n") == lines and not head.translate(None, _PLAIN)
        if not (is_plain and self._has_head and head[:8] in _VERSIONS):
            raise NoHttp("its head can be read in several ways")
        if len(self._headers) > HEAD_FIELDS:
            raise NoHttp(f"its head has more than {HEAD_FIELDS} fields")
        return parser.get_status_code()

    def _frame(self, status: int, head: bytes) -> None:
        """Where its body ends. Raises NoHttp."""
        if status not in _ANSWERS:
            raise NoHttp(f"{status} is no status of an answer")
        is_old = not head.startswith(b"HTTP/1.1")
        lengths, codings, self._is_last = [], [], is_old
        for name, value in self._framing:
            if name == b"content-length":
                lengths.append(value)
            elif name == b"transfer-encoding":
                codings.append(value.lower())
            elif b"close" in value.lower():
                self._is_last = True
        if codings and (is_old or lengths or codings != [b"chunked"]):
            raise NoHttp("its body is coded in a way that is not known here")
        if lengths and (len(lengths) > 1 or _LENGTH.fullmatch(lengths[0]) is None):
            raise NoHttp("its length is no number")
        self._left = 0
        if self._method == "HEAD" or status in _WITHOUT_BODY:
            self._reading = _Reading.COUNTED
        elif codings:
            self._reading, self._fruitless, self._tail = _Reading.CHUNKED, 0, b""
        elif lengths:
            self._reading, self._left = _Reading.COUNTED, int(lengths[0])
        else:
            self._reading = _Reading.TO_THE_END

    def _read_body(self, answer: Answer, data: bytes) -> None:
        """Raises NoHttp."""
        if self._reading is _Reading.CHUNKED:
            self._read_chunks(answer, data)
        elif self._reading is _Reading.TO_THE_END or len(data) < self._left:
            self._left -= len(data)
            answer.add(data)
        else:
            answer.add(data[: self._left])
            self._complete(is_clean=len(data) == self._left)
        if answer.unread > UNREAD and self._answer is answer and not self._is_paused:
            self._is_paused = True
            self._transport.pause_reading()
            self._mark()

    def _read_chunks(self, answer: Answer, data: bytes) -> None:
        """Raises NoHttp, when what came before is added."""
        error: httptools.HttpParserError | None = None
        self._fruitless += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as unreadable:
            error = unreadable
        answer.add(b"".join(self._pieces))
        self._pieces.clear()
        self._tail = (self._tail + data)[-len(_END) - 2 :]
        if self._has_come:
            # httptools passes over empty lines behind it, which nobody has asked for either.
            is_clean = error is None and self._tail.endswith(_END) and self._tail != b"\r\n" + _END
            self._complete(is_clean=is_clean)
        elif error is not None:
            raise NoHttp(str(error)) from error
        elif self._fruitless > HEAD_BYTES:
            raise NoHttp("its body is all frame")

    def _complete(self, *, is_clean: bool) -> None:
        """All of the answer has come. `is_clean`: and nothing else."""
        self.go_on_reading()
        self.is_kept, self.idle_since = True, self._loop.time()
        is_sent = self._is_sent and not self._transport.get_write_buffer_size()
        is_reusable = is_clean and is_sent and not (self._is_last or self.is_closing)
        if not is_reusable:
            self._transport.abort()
        self._finish(is_reusable=is_reusable)

    def _finish(self, error: BaseException | None = None, *, is_reusable: bool = False) -> None:
        """Nothing more comes of the answer that is being read, if one is."""
        answer, self._answer, self._since = self._answer, None, None
        if self._sending is not None:
            self._sending.cancel()
            self._sending = None
        if answer is not None:
            answer.end(error)
            self._connections.released(self, self._model, is_reusable=is_reusable)
            answer.tell()

    def _broken_off(self, error: Exception | None = None) -> BrokenOff:
        if self.is_kept and not self._has_heard:
            return _ClosedWhileKept("it closed the connection when it was asked")
        return BrokenOff(str(error) if error else "it closed the connection")

    # What httptools calls.

    def on_header(self, name: bytes, value: bytes) -> None:
        header = name.lower(), value.rstrip(b" \t")  # which is no part of it, and httptools keeps
        if not self._has_head:
            self._headers.append(header)
            if header[0] in _FRAMING:
                self._framing.append(header)
        elif header[0] == b"connection":  # the others of a trailer are nobody's matter
            self._is_last = True

    def on_headers_complete(self) -> None:
        self._has_head = True

    def on_body(self, body: bytes) -> None:
        if not self._has_come:
            self._fruitless = 0
            self._pieces.append(body)

    def on_message_begin(self) -> None:
        if self._has_come:  # another answer behind it, that nobody asked for
            self._is_last = True

    def on_message_complete(self) -> None:
        self._has_come = True


@dataclass(frozen=True, slots=True)
class _Address:
    host: str
    port: int
    said: bytes
    """As requests name it."""


@lru_cache(maxsize=1024)
def _address(endpoint: str) -> _Address:
    parts = urlsplit(endpoint)
    if parts.scheme != "http" or not parts.hostname or parts.path:
        raise ValueError(f"{endpoint} is no `http://host:port`")
    return _Address(host=parts.hostname, port=parts.port or 80, said=parts.netloc.encode())


def _head(
    endpoint: str, method: str, target: bytes, headers: Sequence[Header], host: bytes | None, body: Body
) -> bytes:
    lines = [
        b"%b %b HTTP/1.1" % (method.encode(), target),
        b"host: " + (_address(endpoint).said if host is None else host),
    ]
    lines.extend([b"%b: %b" % each for each in headers])
    if isinstance(body, Streamed):
        length = body.length
        lines.append(b"transfer-encoding: chunked" if length is None else b"content-length: %d" % length)
    elif body is not None:
        lines.append(b"content-length: %d" % len(body))
    elif method not in _WITHOUT_CONTENT:
        lines.append(b"content-length: 0")
    head = b"\r\n".join(lines) + _END
    if not head.count(b"\r") == head.count(b"\n") == len(lines) + 1 or b"\0" in head:
        raise ValueError("a request's head has an end of a line in one of its parts")
    return head
