"""Whatever comes, in whatever pieces: it is read as a strict reader reads it, or refused; never as something else.

The strict reader is h11. The requests are made of parts that are right and of parts that somebody might read in
another way, and have bytes of them changed. Each is sent over a socket, at once and in pieces.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

import h11
import pytest
import uvloop
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from placet.connections import BoundedServer, Bounds, Connection, bounded

from tests.support.eventually import eventually
from tests.support.serving import PromptServer

Header = tuple[bytes, bytes]


@dataclass(frozen=True)
class Asked:
    """A request that was read to its end."""

    method: bytes
    target: bytes
    headers: tuple[Header, ...]
    body: bytes


@dataclass(frozen=True)
class Outcome:
    asked: tuple[Asked, ...]
    statuses: tuple[int, ...]
    is_open: bool


class App:
    """Answers what it read to its end, and counts who waits for more."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.waiting = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body, is_more = b"", True
        while is_more:
            self.waiting += 1
            message = await receive()
            self.waiting -= 1
            if message["type"] == "http.disconnect":
                return
            body += message["body"]
            is_more = message["more_body"]
        query = scope["query_string"]
        target = scope["raw_path"] + (b"?" + query if query else b"")
        self.asked.append(Asked(scope["method"].encode(), target, tuple(scope["headers"]), body))
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})


class Watched(Connection):
    """Remembers what came and what it said."""

    ones: ClassVar[list[Watched]] = []

    def connection_made(self, transport: Any) -> None:
        self.received, self.said, self.has_ended = 0, bytearray(), False
        write, said = transport.write, self.said

        class Recording:
            def __getattr__(self, name: str) -> Any:
                return getattr(transport, name)

            def write(self, data: bytes) -> None:
                said.extend(data)
                write(data)

        self.ones.append(self)
        super().connection_made(Recording())  # type: ignore[arg-type]

    def data_received(self, data: bytes) -> None:
        self.received += len(data)
        super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.has_ended = True
        super().connection_lost(exc)


@dataclass
class Running:
    server: BoundedServer
    app: App
    port: int = field(init=False)

    def __post_init__(self) -> None:
        self.port = self.server.servers[0].sockets[0].getsockname()[1]

    async def outcome(self, pieces: Sequence[bytes]) -> Outcome:
        """Of what is sent in `pieces`, each once the one before was read."""
        self.app.asked.clear()
        Watched.ones.clear()
        _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        (theirs,) = await eventually(lambda: Watched.ones, every=0)
        sent = 0
        for piece in pieces:
            writer.write(piece)
            sent += len(piece)
            await eventually(partial(self._has_read, theirs, sent), every=0)
        await eventually(lambda: self._is_over(theirs) or self._is_at_rest(theirs), every=0)
        is_open = not self._is_over(theirs)
        writer.close()
        await eventually(lambda: theirs.has_ended and not self.server.server_state.tasks, every=0)
        return Outcome(tuple(self.app.asked), statuses(bytes(theirs.said)), is_open)

    def _has_read(self, theirs: Watched, sent: int) -> bool:
        return theirs.received == sent or self._is_over(theirs)

    def _is_over(self, theirs: Watched) -> bool:
        """Whether nothing more is heard of this client, nor said to it."""
        if theirs.has_ended or theirs.transport.is_closing():
            return True
        return theirs._is_parted and not self.server.server_state.tasks and not theirs.pipeline

    def _is_at_rest(self, theirs: Watched) -> bool:
        """Whether nothing happens before more comes."""
        is_called = self.app.waiting > 0 and theirs.cycle.message_event.is_set()
        return len(self.server.server_state.tasks) == self.app.waiting and not is_called


@asynccontextmanager
async def running() -> AsyncIterator[Running]:
    app = App()
    server = PromptServer(bounded(app, Bounds(), connection=Watched, port=0, timeout_graceful_shutdown=1))
    serving = asyncio.create_task(server.serve())
    await eventually(lambda: server.started)
    try:
        yield Running(server, app)
    finally:
        server.end()
        await serving


ANSWER = re.compile(rb"HTTP/1\.1 (\d{3}) [^\r\n]+\r\n((?:[a-z-]+: [^\r\n]*\r\n)+|(?=\r\n))\r\n")
LENGTH = re.compile(rb"^content-length: (\d+)\r$", re.MULTILINE)


def statuses(said: bytes) -> tuple[int, ...]:
    """Of answers one after the other, each whole and with nothing between."""
    found = []
    while said:
        head = ANSWER.match(said)
        assert head is not None, said
        status = int(head[1])
        length = LENGTH.search(head[2])
        assert (status == 100) == (length is None), said
        end = head.end() + (0 if length is None else int(length[1]))
        assert end <= len(said), said
        said = said[end:]
        if status != 100:
            found.append(status)
    return tuple(found)


# The strict reader.

EMPTY_LINES = re.compile(rb"^[\r\n]+")
SPACED = re.compile(rb"^([^\s]+) +([^\s]+) +HTTP/")
WHOLE = re.compile(rb"^https?://[^/?]*/?", re.IGNORECASE)
OTHER_NAME = re.compile(rb"^([^\s]+ [^\s]+ )(RTSP|ICE)/")


def kindly(sent: bytes) -> bytes:
    """What is read here and h11 refuses, made what it takes. Each is harmless, since nobody reads it otherwise.

    Lines that are empty before a request: RFC 9112, 2.2, would have one of them passed over. Several spaces between
    the parts of a request's line: 3 lets them be taken for one. The names of two old protocols, with HTTP/1.0's
    version.
    """
    sent = EMPTY_LINES.sub(b"", sent)
    sent = SPACED.sub(rb"\1 \2 HTTP/", sent)
    return OTHER_NAME.sub(rb"\1HTTP/", sent)


def strictly(sent: bytes) -> list[Asked]:
    """The requests that are whole, up to what is none."""
    found: list[Asked] = []
    while sent := kindly(sent):
        reader = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 16)
        reader.receive_data(sent)
        body = b""
        try:
            while not isinstance(event := reader.next_event(), h11.EndOfMessage):
                if event is h11.NEED_DATA or isinstance(event, h11.ConnectionClosed):
                    return found
                if isinstance(event, h11.Request):
                    request = event
                elif isinstance(event, h11.Data):
                    body += event.data
        except h11.RemoteProtocolError:
            return found
        found.append(Asked(request.method, request.target, tuple(request.headers), body))
        if reader.their_state is h11.MUST_CLOSE:
            return found
        sent = reader.trailing_data[0]
    return found


def _normal(asked: Asked) -> Asked:
    """As both say it, when nobody read it differently. Hosts are those of targets here, and have tests of their own."""
    named = [
        (name, value.lower() if name == b"transfer-encoding" else value) for name, value in asked.headers
    ]
    kept = tuple(each for each in named if each[0] not in (b"upgrade", b"host"))
    target = asked.target if asked.target.startswith(b"/") else WHOLE.sub(b"/", asked.target)
    return Asked(asked.method, target, kept, asked.body)


# What is sent.

RIGHT = {
    "method": (b"GET", b"POST", b"PUT", b"DELETE"),
    "target": (b"/", b"/a/b?c=d", b"/%2e%2e/%00?q=%0d%0a", b"//x", b"http://h/a?b"),
    "version": (b"HTTP/1.1",),
    "host": (b"Host: h", b"host:h:80", b"HOST: [::1]:8080 "),
    "field": (
        b"X: y",
        b"X:",
        b"Accept: a, b\t;c",
        b"Connection: keep-alive",
        b"Connection: Upgrade\r\nUpgrade: h2c",
        b"Expect: 100-continue",
        b"X-High: \xc3\xa9",
        b"Content_Length: 3",
    ),
    "framing": (b"", b"Content-Length: 5", b"Transfer-Encoding: chunked", b"transfer-encoding:\tChunked "),
    "chunk": (b"5\r\nhello", b"005;ext=1\r\nhello", b'3;a="b"\r\nabc', b"A\r\n0123456789"),
    "end": (b"0\r\n\r\n", b"000;x\r\n\r\n", b"0\r\nTrailer: 1\r\nHost: evil\r\n\r\n"),
}
ODD = {
    "method": (b"get", b"PRI", b"CONNECT", b"OPTIONS", b"DESCRIBE", b"", b"G ET"),
    "target": (
        b"*",
        b"a",
        b"",
        b"/a b",
        b"/a#b",
        b"http://",
        b"http://u@h/",
        b"ftp://h/",
        b"h:80",
        b"/\xff",
        b"/\x00",
        b"/a\t",
    ),
    "version": (
        b"HTTP/1.0",
        b"HTTP/0.9",
        b"HTTP/2.0",
        b"HTTP/1.2",
        b"HTTP/1.10",
        b"http/1.1",
        b"RTSP/1.0",
        b"",
        b"HTTP/1.1 ",
    ),
    "host": (
        b"",
        b"Host: a\r\nHost: b",
        b"Host: a b",
        b"Host: a,b",
        b"Host:",
        b"Host : h",
        b"Host: h/x",
        b" Host: h",
    ),
    "field": (
        b"X : y",
        b" X: y",
        b"X: a\r\n b",
        b"X: a\rY: b",
        b"X: a\nContent-Length: 3",
        b"X: \x00",
        b"X: \x0b",
        b"X\x00: y",
        b"X(: y",
        b": y",
        b"X",
        b"Connection: close",
        b"Connection: content-length",
        b"\xff: y",
        b"X: \x7f",
    ),
    "framing": (
        b"Content-Length: 5\r\nContent-Length: 5",
        b"Content-Length: 5\r\nContent-Length: 6",
        b"Content-Length: +5",
        b"Content-Length: 5, 5",
        b"Content-Length: 0x5",
        b"Content-Length: -5",
        b"Content-Length: 5 5",
        b"Content-Length:",
        b"Content-Length: 99999999999999999999",
        b"Content-Length: 5\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: chunked\r\nContent-Length: 5",
        b"Transfer-Encoding: chunked, chunked",
        b"Transfer-Encoding: gzip, chunked",
        b"Transfer-Encoding: identity",
        b"Transfer-Encoding: chunked, identity",
        b"Transfer-Encoding: xchunked",
        b"Transfer-Encoding: \x0bchunked",
        b"Transfer-Encoding : chunked",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding:\r\n chunked",
        b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: chunked;q=1",
        b"Content-Length: 5\r\nTransfer-Encoding: identity",
        b"Transfer-Encoding: ,chunked",
        b"Content-Length : 5",
    ),
    "chunk": (
        b"5 \r\nhello",
        b" 5\r\nhello",
        b"0x5\r\nhello",
        b"+5\r\nhello",
        b"5\nhello",
        b"5\rhello",
        b"5;\nhello",
        b"5;\x00\r\nhello",
        b"fffffffffffffffff\r\nhello",
        b"10000000000000005\r\nhello",
        b"g\r\nhello",
        b"\r\nhello",
        b"6\r\nhello",
        b"4\r\nhello",
        b'5;a="\r\n"\r\nhello',
    ),
    "end": (
        b"0\r\n\n",
        b"0\n\n",
        b"0\r\n",
        b"0\r\nX\r\n\r\n",
        b"0\r\nX: a\r\n b\r\n\r\n",
        b"0\r\nContent-Length: 5\r\n\r\n",
        b"0 \r\n\r\n",
        b"0\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"0\r\nConnection: close\r\n\r\n",
        b"",
    ),
}
BYTES = (b"\x00", b"\t", b"\n", b"\r", b"\r\n", b" ", b":", b",", b";", b"0", b"5", b"\x7f", b"\xff", b"")


@st.composite
def requests(draw: st.DrawFn, oddities: int) -> bytes:
    """One, of which so many parts at the most are odd."""
    odd = draw(st.lists(st.sampled_from(sorted(ODD)), max_size=oddities, unique=True))

    def part(kind: str) -> bytes:
        return draw(st.sampled_from((ODD if kind in odd else RIGHT)[kind]))

    framing = part("framing")
    fields = [part("host"), framing, *(part("field") for _ in range(draw(st.integers(0, 2))))]
    if draw(st.booleans()):
        fields.reverse()
    lines = [b" ".join((part("method"), part("target"), part("version"))), *filter(None, fields), b"", b""]
    body = b""
    if b"ransfer-" in framing:
        body = b"".join(part("chunk") + b"\r\n" for _ in range(draw(st.integers(0, 2)))) + part("end")
    elif framing:
        body = b"hello"
    return b"\r\n".join(lines) + body


@st.composite
def changed(draw: st.DrawFn, of: st.SearchStrategy[bytes]) -> bytes:
    sent = draw(of)
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(sent)))
        sent = sent[:at] + draw(st.sampled_from(BYTES)) + sent[at + draw(st.integers(0, 1)) :]
    return sent


RIGHT_ONES = st.lists(requests(oddities=0), min_size=1, max_size=3).map(b"".join)
ODD_ONES = st.lists(requests(oddities=2), min_size=1, max_size=3).map(b"".join)
CUTS = st.lists(st.floats(0, 1), min_size=1, max_size=6)
LAST = b"GET /last HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"

same_every_time = settings(
    derandomize=True,
    database=None,
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


def _cut(sent: bytes, at: Sequence[float]) -> list[bytes]:
    ends = [*sorted(int(each * len(sent)) for each in at), len(sent)]
    return [sent[begin:end] for begin, end in zip([0, *ends], ends, strict=False) if begin < end]


def _holds(check: Any, sent: st.SearchStrategy[bytes], loop: Any = None) -> None:
    """For each example, against one server and in its loop."""
    with asyncio.Runner(loop_factory=loop) as runner:
        entered = running()
        serving = runner.run(entered.__aenter__())

        @same_every_time
        @given(sent, CUTS)
        def each(sent: bytes, cuts: list[float]) -> None:
            runner.run(check(serving, sent, cuts))

        try:
            each()
        finally:
            runner.run(entered.__aexit__(None, None, None))


def test_what_is_right_is_answered_and_read_as_it_was_sent() -> None:
    async def check(serving: Running, sent: bytes, cuts: list[float]) -> None:
        outcome = await serving.outcome(_cut(sent + LAST, cuts))
        expected = [_normal(each) for each in strictly(sent + LAST)]
        assert [_normal(each) for each in outcome.asked] == expected
        assert outcome.statuses == (200,) * len(expected)
        assert outcome.asked[-1].target == b"/last"

    _holds(check, RIGHT_ONES)


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_what_is_odd_is_read_as_a_strict_reader_reads_it_or_refused(loop: Any) -> None:
    """The model server's loop is the second."""

    async def check(serving: Running, sent: bytes, cuts: list[float]) -> None:
        whole = await serving.outcome([sent + LAST])
        strict = [_normal(each) for each in strictly(sent + LAST)]
        answered = whole.statuses.count(200)
        assert answered == len(whole.asked)
        assert [_normal(each) for each in whole.asked] == strict[:answered]
        refused = whole.statuses[answered:]
        assert len(refused) <= 1
        assert all(400 <= each < 600 and each != 500 for each in refused)
        assert not (refused and whole.is_open)

        in_pieces = await serving.outcome(_cut(sent + LAST, cuts))
        assert (in_pieces.asked, in_pieces.is_open) == (whole.asked, whole.is_open)
        # What cannot be read is not told to who asked something before that is still to be answered.
        assert in_pieces.statuses[:answered] == whole.statuses[:answered]
        assert answered or in_pieces.statuses == whole.statuses

        assert (await serving.outcome([LAST])).statuses == (200,)

    _holds(check, changed(ODD_ONES), loop)
