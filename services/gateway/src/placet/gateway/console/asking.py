"""The platform's REST API, as the console asks it: as whoever is signed in, over connections that all share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary

import httpx

from placet.client import Client, Connection

_CONNECTIONS = 100
"""At once; a page that follows something holds one."""
_WORKING = 2
_PATIENCE = 2.0
"""Seconds that a page waits for a service that starts again, before it says so."""


class Platform:
    """`url` is where all services are, as one: the edge, or the embedded platform itself."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._working = asyncio.Semaphore(_WORKING)
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
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

    @asynccontextmanager
    async def working(self, person: str) -> AsyncIterator[None]:
        """For what takes long, and this process's own time: a few at once, and each person's one after the other,
        so that nobody takes all the turns."""
        turn = self._turns.setdefault(person, asyncio.Lock())
        async with turn, self._working:
            yield

    def as_whom(self, token: str | None) -> Client:
        """Raises Unreadable for what can be no token."""
        return Client(Connection(url=self.url, token=token), patience=_PATIENCE, transport=self.transport)
