"""The platform's REST API, as the console asks it: as whoever is signed in, over connections that all share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from weakref import WeakValueDictionary

import httpx

from placet.client import Client, Connection

_CONNECTIONS = 100
"""At once; a page that follows something holds one."""
_WORKING = 2
_READING = 2
_PATIENCE = 2.0
"""Seconds that a page waits for a service that starts again, before it says so."""


class Platform:
    """`url` is where all services are, as one: the edge, or the embedded platform itself."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._working = Turns(_WORKING)
        self._reading = Turns(_READING)
        self._transport: httpx.AsyncHTTPTransport | None = None

    async def start(self) -> None:
        limits = httpx.Limits(max_connections=_CONNECTIONS, max_keepalive_connections=20, keepalive_expiry=30)
        self._transport = httpx.AsyncHTTPTransport(limits=limits, retries=1)

    async def close(self) -> None:
        if self._transport is not None:
            await self._transport.aclose()

    @property
    def transport(self) -> httpx.AsyncHTTPTransport:
        assert self._transport is not None  # noqa: S101 - it is started before anybody is let in
        return self._transport

    def working(self, person: str) -> AbstractAsyncContextManager[None]:
        """For what may take minutes, and this process's own time."""
        return self._working.of(person)

    def reading(self, person: str) -> AbstractAsyncContextManager[None]:
        """For what takes seconds, much to fetch, and this process's own time; it waits for no work of minutes."""
        return self._reading.of(person)

    def as_whom(self, token: str | None) -> Client:
        """Raises Unreadable for what can be no token."""
        return Client(Connection(url=self.url, token=token), patience=_PATIENCE, transport=self.transport)


class Turns:
    """So many at once, and each person's one after the other, so that nobody takes all of them."""

    def __init__(self, at_once: int) -> None:
        self._all = asyncio.Semaphore(at_once)
        self._of: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def of(self, person: str) -> AsyncIterator[None]:
        turn = self._of.setdefault(person, asyncio.Lock())
        async with turn, self._all:
            yield
