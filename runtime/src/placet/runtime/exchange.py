"""One HTTP request and its answer, over bare ASGI.

The whole API is some fifteen fixed paths, so a dictionary routes them and no framework is between a request
and its batch. Bodies are read whole, within a limit for each and one for all that are under way: what waits for the
model must not fill the memory, however few requests that takes.
"""

from __future__ import annotations

import asyncio
import re
import zlib
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from http import HTTPStatus
from typing import Any

from placet.runtime.problems import Problem, busy, unreadable

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

# Models are other people's code: whatever they answer must not act in the name of this origin.
SANDBOX = b"sandbox; default-src 'none'; frame-ancestors 'none'"


COMPRESSED_FROM = 16_384
"""Bytes of an answer that are worth it, where the client asks; a row's answer is far below."""
ELSEWHERE_FROM = 131_072
"""Bytes that take longer than the loop should wait."""
_WBITS = {"gzip": zlib.MAX_WBITS | 16, "deflate": zlib.MAX_WBITS}


class ClientGone(Exception):
    """Nobody is left to answer."""


class Room:
    """Bytes of memory for all requests under way: for their bodies as sent, as unpacked, and for what those become."""

    __slots__ = ("free", "total")

    def __init__(self, total: int) -> None:
        self.total = total
        self.free = total


class Request:
    __slots__ = ("_headers", "_receive", "_room", "_taken", "max_body", "path", "scope")

    def __init__(self, scope: Scope, receive: Receive, max_body: int, room: Room) -> None:
        self.scope = scope
        self.path: str = scope["path"]
        self._headers: list[tuple[bytes, bytes]] = scope["headers"]
        self._receive = receive
        self._room = room
        self._taken = 0
        self.max_body = max_body

    def header(self, name: bytes) -> bytes | None:
        """By its lower-case name; the first if there are several."""
        for key, value in self._headers:
            if key == name:
                return value
        return None

    async def body(self) -> bytes:
        announced = self.header(b"content-length")
        if announced is not None and int(announced) > self.max_body:
            raise self._too_large()
        body = await self._read()
        encoding = self.header(b"content-encoding")
        return body if encoding is None else self._decompressed(body, encoding.decode("latin-1").lower())

    def expect(self, size: int, what: str) -> None:
        """Raises `Problem` unless there is room for so many bytes more, for a moment."""
        most = self._room.total - self._taken
        if size > most:
            raise Problem(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"{what} may take {_in_mebibytes(size)} of memory, and {_in_mebibytes(most)} are there for it",
                fix="send fewer rows at a time, or deploy with more resources.memory",
            )
        if size > self._room.free:
            raise busy(
                f"{what} may take {_in_mebibytes(size)} of memory, which other requests under way do not leave"
            )

    def take(self, size: int) -> None:
        """Bytes that are held until its end."""
        if size > self._room.free:
            raise busy(
                f"the bodies of the requests under way fill the {self._room.total} bytes that they may take"
            )
        self._room.free -= size
        self._taken += size

    def end(self) -> None:
        """After its answer was sent: what it took is free again."""
        self._room.free += self._taken
        self._taken = 0

    async def gone(self) -> None:
        """Returns once the client has hung up; only after the body was read."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def _read(self) -> bytes:
        chunks: list[bytes] = []
        size = 0
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            chunk: bytes = message.get("body", b"")
            size += len(chunk)
            if size > self.max_body:
                raise self._too_large()
            self.take(len(chunk))
            if not message.get("more_body", False):
                return b"".join((*chunks, chunk)) if chunks else chunk
            chunks.append(chunk)

    def _decompressed(self, body: bytes, encoding: str) -> bytes:
        if encoding not in ("gzip", "deflate", "identity"):
            raise Problem(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                f"Content-Encoding {encoding} is unknown; gzip and deflate are taken",
            )
        if encoding == "identity":
            return body
        # gzip or zlib, by their headers; and deflate as some clients took the word, without any
        is_bare = encoding == "deflate" and not _is_zlib(body)
        stream = zlib.decompressobj(wbits=-zlib.MAX_WBITS if is_bare else zlib.MAX_WBITS | 32)
        try:
            plain = stream.decompress(body, self.max_body + 1)
        except zlib.error as error:
            raise unreadable(f"the body is not {encoding}: {error}") from error
        if len(plain) > self.max_body:
            raise self._too_large()
        if not stream.eof:
            raise unreadable(f"the {encoding} body ends too early")
        self.take(len(plain))
        return plain

    def _too_large(self) -> Problem:
        return Problem(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"the body is larger than the {self.max_body} bytes taken here",
            fix="send fewer rows at a time",
        )


class Answer:
    __slots__ = ("body", "headers", "status")

    def __init__(
        self,
        body: bytes,
        *,
        status: int = 200,
        media_type: str = "application/json",
        policy: bytes = SANDBOX,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.status = status
        self.body = body
        self.headers: list[tuple[bytes, bytes]] = [
            (b"content-type", media_type.encode("latin-1")),
            (b"content-length", str(len(body)).encode()),
            (b"content-security-policy", policy),
            (b"x-content-type-options", b"nosniff"),
            (b"cache-control", b"no-store"),
        ]
        for name, value in (headers or {}).items():
            self.headers.append((name.lower().encode("latin-1"), value.encode("latin-1")))

    async def compress(self, accepted: bytes | None) -> None:
        """As the client accepts it, if the body is large enough for that to be worth anything."""
        if len(self.body) < COMPRESSED_FROM or accepted is None:
            return
        encoding = _chosen(accepted)
        if encoding is None:
            return
        plain = self.body
        is_long = len(plain) >= ELSEWHERE_FROM
        self.body = await asyncio.to_thread(_packed, plain, encoding) if is_long else _packed(plain, encoding)
        self.headers[1] = (b"content-length", str(len(self.body)).encode())
        self.headers += [(b"content-encoding", encoding.encode()), (b"vary", b"accept-encoding")]

    async def send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        await send({"type": "http.response.body", "body": self.body})


def _in_mebibytes(size: int) -> str:
    return f"{size / (1 << 20):.0f} MiB"


def _packed(body: bytes, encoding: str) -> bytes:
    return zlib.compress(body, 1, _WBITS[encoding])


def _chosen(accepted: bytes) -> str | None:
    """The first of ours that `Accept-Encoding` names and does not exclude."""
    named = {}
    for part in accepted.decode("latin-1").lower().split(","):
        name, _, weight = part.partition(";")
        named[name.strip()] = re.fullmatch(r"\s*q=0(\.0*)?\s*", weight) is None
    return next((name for name in _WBITS if named.get(name, False)), None)


def _is_zlib(body: bytes) -> bool:
    return len(body) > 1 and body[0] & 0x0F == 8 and int.from_bytes(body[:2]) % 31 == 0
