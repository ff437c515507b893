"""One HTTP request and its answer, over bare ASGI.

The whole API is some fifteen fixed paths, so a dictionary routes them and no framework is between a request
and its batch. Bodies are read whole, within a limit.
"""

from __future__ import annotations

import zlib
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from http import HTTPStatus
from typing import Any

from placet.runtime.problems import Problem, unreadable

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

# Models are other people's code: whatever they answer must not act in the name of this origin.
SANDBOX = b"sandbox; default-src 'none'; frame-ancestors 'none'"


class ClientGone(Exception):
    """Nobody is left to answer."""


class Request:
    __slots__ = ("_headers", "_receive", "max_body", "path", "scope")

    def __init__(self, scope: Scope, receive: Receive, max_body: int) -> None:
        self.scope = scope
        self.path: str = scope["path"]
        self._headers: list[tuple[bytes, bytes]] = scope["headers"]
        self._receive = receive
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
        stream = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)  # gzip or zlib, by their headers
        try:
            plain = stream.decompress(body, self.max_body + 1)
        except zlib.error as error:
            raise unreadable(f"the body is not {encoding}: {error}") from error
        if len(plain) > self.max_body:
            raise self._too_large()
        if not stream.eof:
            raise unreadable(f"the {encoding} body ends too early")
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

    async def send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        await send({"type": "http.response.body", "body": self.body})
