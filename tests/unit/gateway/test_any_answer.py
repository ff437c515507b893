"""Whatever a model says, in whatever pieces: it is read as a strict reader reads it, or refused, and in no third way.

The strict reader is h11, and what it refuses is not read here. The answers are made of parts that are right and of
parts that somebody might read in another way, and have bytes of them changed. Each is given at once, in pieces, and
byte by byte.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import h11
from hypothesis import given, settings
from hypothesis import strategies as st
from placet.gateway.model_connections import HEAD_BYTES, BrokenOff, ModelConnections, NoHttp

Header = tuple[bytes, bytes]


@dataclass(frozen=True)
class Read:
    """`end` is None for an answer that came to its own; `status` is 0 for one of which there was no head."""

    status: int
    headers: tuple[Header, ...]
    body: bytes
    end: type[Exception] | None
    is_kept: bool = False


class Wire(asyncio.Transport):
    """Of a connection that leads to nobody."""

    def __init__(self, protocol: Any) -> None:
        super().__init__()
        self.protocol = protocol
        self.asked = asyncio.Event()
        self.is_ended = False

    def write(self, data: Any) -> None:
        self.asked.set()

    def abort(self) -> None:
        self.is_ended = True

    def is_closing(self) -> bool:
        return self.is_ended

    def get_write_buffer_size(self) -> int:
        return 0


class Loop(asyncio.SelectorEventLoop):
    """Whoever connects gets a wire."""

    wire: Wire

    async def create_connection(self, make: Callable[[], Any], *_: Any, **__: Any) -> Any:  # type: ignore[override]
        protocol = make()
        self.wire = Wire(protocol)
        protocol.connection_made(self.wire)
        return self.wire, protocol


async def read(pieces: Sequence[bytes], method: str) -> Read:
    """What is made of `pieces`, behind which the connection ends."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, Loop)
    ours = ModelConnections(one_model=1, together=1, begun_within=60, silence=60)
    asking = loop.create_task(ours.request("churn", "http://h:1", method, b"/", ()))
    await asyncio.sleep(0)
    wire = loop.wire
    assert wire.asked.is_set()
    for piece in pieces:
        if not wire.is_ended:
            wire.protocol.data_received(piece)
    is_kept = not wire.is_ended
    if is_kept:
        wire.protocol.eof_received()
    wire.protocol.connection_lost(None)
    try:
        answer = await asking
    except (NoHttp, BrokenOff) as error:
        return Read(0, (), b"", type(error))
    finally:
        await ours.close()
    body = b""
    try:
        while got := await answer.read():
            body += got
    except (NoHttp, BrokenOff) as error:
        return Read(answer.status, tuple(answer.headers), body, type(error))
    is_to_the_end = is_kept and not _is_framed(answer.status, answer.headers, method)
    return Read(answer.status, tuple(answer.headers), body, None, is_kept and not is_to_the_end)


def _is_framed(status: int, headers: Sequence[Header], method: str) -> bool:
    names = {name for name, _ in headers}
    return (
        method == "HEAD"
        or status in (204, 304)
        or not names.isdisjoint({b"content-length", b"transfer-encoding"})
    )


# The strict reader.


def strictly(sent: bytes, method: str) -> Read:
    reader = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_BYTES)
    reader.send(h11.Request(method=method, target="/", headers=[("host", "h")]))
    reader.send(h11.EndOfMessage())
    status, body = 0, b""
    headers: tuple[Header, ...] = ()
    try:
        reader.receive_data(sent)
        reader.receive_data(b"")
        while not isinstance(event := reader.next_event(), h11.EndOfMessage):
            if event is h11.NEED_DATA or event is h11.PAUSED or isinstance(event, h11.ConnectionClosed):
                return Read(status, headers, body, BrokenOff)
            if isinstance(event, h11.Response):
                status, headers = event.status_code, tuple(event.headers)
            elif isinstance(event, h11.Data):
                body += event.data
    except h11.RemoteProtocolError:
        return Read(status, headers, body, NoHttp)
    return Read(status, headers, body, None)


def _normal(read: Read) -> tuple[int, tuple[Header, ...]]:
    """As both say it: h11 has a coding in lower case."""
    return read.status, tuple(
        (name, value.lower() if name == b"transfer-encoding" else value) for name, value in read.headers
    )


# What is sent.

RIGHT = {
    "version": (b"HTTP/1.1", b"HTTP/1.0"),
    "status": (b"200 OK", b"201 ", b"404 Not Found", b"500 \xe9", b"204 No", b"304 Not", b"599 a\tb"),
    "field": (
        b"X: y",
        b"X:",
        b"X:  a, b\t;c \t",
        b"Connection: keep-alive",
        b"Connection: close",
        b"Upgrade: h2c",
        b"X-High: \xc3\xa9",
        b"Content_Length: 3",
        b"Trailer: Host",
    ),
    "framing": (
        b"",
        b"Content-Length: 5",
        b"Content-Length: 005",
        b"Transfer-Encoding: chunked",
        b"transfer-encoding:\tChunked ",
    ),
    "chunk": (b"5\r\nhello", b"005;ext=1\r\nhello", b'3;a="b"\r\nabc', b"A\r\n0123456789"),
    "end": (b"0\r\n\r\n", b"000;x\r\n\r\n", b"0\r\nTrailer: 1\r\nHost: evil\r\n\r\n"),
}
ODD = {
    "version": (
        b"HTTP/0.9",
        b"HTTP/1.2",
        b"HTTP/2.0",
        b"HTTP/1.10",
        b"http/1.1",
        b"RTSP/1.0",
        b"ICE/1.0",
        b"",
        b"HTTP/1.1 ",
        b"\r\nHTTP/1.1",
    ),
    "status": (
        b"",
        b"200",
        b" 200 OK",
        b"2000 OK",
        b"20 OK",
        b"+20 OK",
        b"000 OK",
        b"099 OK",
        b"600 OK",
        b"101 Switch",
        b"100 Continue",
        b"103 Early\r\n\r\nHTTP/1.1 200 OK",
        b"200OK",
        b"200\tOK",
        b"200 O\x00K",
        b"200 O\x7fK",
        b"200 O\rK",
        b"200 O\nK",
        b"200 OK\r",
        b"2x0 OK",
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
        b"Connection: content-length",
        b"Connection: Upgrade\r\nUpgrade: h2c",
        b"\xff: y",
        b"X: \x7f",
        b"X: a\r",
        b"\t",
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
        b"0\r\n\r\n\r\n",
        b"",
    ),
}
BYTES = (b"\x00", b"\t", b"\n", b"\r", b"\r\n", b" ", b":", b",", b";", b"0", b"5", b"\x7f", b"\xff", b"")
BEHIND = (
    b"",
    b"",
    b"x",
    b"\r\n",
    b"\r",
    b"\n",
    b"HTTP/1.1 200 OK\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
)


@st.composite
def answers(draw: st.DrawFn, oddities: int) -> bytes:
    """One, of which so many parts at the most are odd."""
    odd = draw(st.lists(st.sampled_from(sorted(ODD)), max_size=oddities, unique=True))

    def part(kind: str) -> bytes:
        return draw(st.sampled_from((ODD if kind in odd else RIGHT)[kind]))

    version, framing = part("version"), part("framing")
    if version == b"HTTP/1.0" and not odd and b"ransfer-" in framing:
        version = b"HTTP/1.1"
    fields = [framing, *(part("field") for _ in range(draw(st.integers(0, 2))))]
    if draw(st.booleans()):
        fields.reverse()
    lines = [version + b" " + part("status"), *filter(None, fields), b"", b""]
    body = b""
    if b"ransfer-" in framing:
        body = b"".join(part("chunk") + b"\r\n" for _ in range(draw(st.integers(0, 2)))) + part("end")
    elif framing or draw(st.booleans()):
        body = b"hello"
    interim = draw(
        st.sampled_from((b"", b"", b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\n", b"HTTP/1.1 100 C\r\n\r\n"))
    )
    return interim + b"\r\n".join(lines) + body


@st.composite
def changed(draw: st.DrawFn, of: st.SearchStrategy[bytes]) -> bytes:
    sent = draw(of)
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(sent)))
        sent = sent[:at] + draw(st.sampled_from(BYTES)) + sent[at + draw(st.integers(0, 1)) :]
    return sent + draw(st.sampled_from(BEHIND))


CUTS = st.lists(st.floats(0, 1), min_size=1, max_size=6)
METHODS = st.sampled_from(("GET", "GET", "HEAD"))

same_every_time = settings(derandomize=True, database=None, max_examples=3000, deadline=None)


def _cut(sent: bytes, at: Sequence[float]) -> list[bytes]:
    ends = [*sorted(int(each * len(sent)) for each in at), len(sent)]
    return [sent[begin:end] for begin, end in zip([0, *ends], ends, strict=False) if begin < end]


def _holds(check: Any, sent: st.SearchStrategy[bytes]) -> None:
    with asyncio.Runner(loop_factory=Loop) as runner:

        @same_every_time
        @given(sent, CUTS, METHODS)
        def each(sent: bytes, cuts: list[float], method: str) -> None:
            runner.run(check(sent, cuts, method))

        each()


def test_what_is_right_is_read_as_it_was_sent() -> None:
    async def check(sent: bytes, cuts: list[float], method: str) -> None:
        ours = await read(_cut(sent, cuts), method)
        strict = strictly(sent, method)
        assert (_normal(ours), ours.body, ours.end) == (_normal(strict), strict.body, None)

    _holds(check, answers(oddities=0))


def test_what_is_odd_is_read_as_a_strict_reader_reads_it_or_refused() -> None:
    async def check(sent: bytes, cuts: list[float], method: str) -> None:
        ours = await read([sent], method)
        if ours.status:
            strict = strictly(sent, method)
            assert _normal(ours) == _normal(strict)
            if ours.end is None:
                assert (ours.body, strict.end) == (strict.body, None)
            else:
                assert strict.body.startswith(ours.body) or ours.body.startswith(strict.body)
        assert await read(_cut(sent, cuts), method) == ours
        assert await read([sent[at : at + 1] for at in range(len(sent))], method) == ours

    _holds(check, changed(answers(oddities=2)))
