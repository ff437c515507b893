"""The platform's REST API, as the console asks it: as whoever is signed in, over connections that all share."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from weakref import WeakValueDictionary

import httpx

from placet.client import Client, Connection
from placet.errors import Refused
from placet.events.turns import Turns
from placet.rules import Policy
from placet.rules.loading import read

_CONNECTIONS = 100
"""At once; a page that follows something holds one."""
_WORKING = 2
_COMPARED_AT_ONCE = 2
_READ_AT_ONCE = 2
_MOST_READ = 64
"""Policies that are kept as they were read, since to read one takes a process of its own: more than one page shows."""
_PATIENCE = 2.0
"""Seconds that a page waits for a service that starts again, before it says so."""


class Platform:
    """`url` is where all services are, as one: the edge, or the embedded platform itself. `authority` is a file with
    who signs for it, beside those who are believed otherwise; raises Refused for one that cannot be read."""

    def __init__(self, url: str, authority: Path | None = None) -> None:
        self.url = url.rstrip("/")
        self._believes = None if authority is None else _believing(authority)
        self._working = _OneEach(_WORKING)
        self._comparing = _OneEach(_COMPARED_AT_ONCE)
        self._reading = Turns(_READ_AT_ONCE)
        self._read: OrderedDict[bytes, Policy] = OrderedDict()
        self._transport: httpx.AsyncHTTPTransport | None = None

    async def start(self) -> None:
        limits = httpx.Limits(max_connections=_CONNECTIONS, max_keepalive_connections=20, keepalive_expiry=30)
        self._transport = httpx.AsyncHTTPTransport(
            verify=True if self._believes is None else self._believes, limits=limits, retries=1
        )

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

    def comparing(self, person: str) -> AbstractAsyncContextManager[None]:
        """For what takes seconds, much to fetch, and this process's own time; it waits for no work of minutes."""
        return self._comparing.of(person)

    async def policy(self, person: str, file: bytes, *, name: str = "the policy") -> Policy:
        """The policy in the file's bytes, read in a process of its own; a few at once, by turns of those who
        ask. Raises Refused with every problem."""
        digest = hashlib.sha256(file).digest()
        if (known := self._read.get(digest)) is None:
            async with self._reading.taken_by(person):
                known = await read(file, name=name)
        self._read[digest] = known
        self._read.move_to_end(digest)
        while len(self._read) > _MOST_READ:
            self._read.popitem(last=False)
        return known

    def as_whom(self, token: str | None) -> Client:
        """Raises Unreadable for what can be no token."""
        return Client(Connection(url=self.url, token=token), patience=_PATIENCE, transport=self.transport)


def _believing(authority: Path) -> ssl.SSLContext:
    believes = ssl.create_default_context()
    try:
        believes.load_verify_locations(authority)
    except OSError as error:  # and SSLError is one
        why = "it has no certificate in PEM" if isinstance(error, ssl.SSLError) else error.strerror
        raise Refused(f"PLACET_API_CA: {authority} cannot be read: {why}") from error
    return believes


class _OneEach:
    """So many at once, and each person's one after the other, so that nobody takes all of them."""

    def __init__(self, at_once: int) -> None:
        self._all = asyncio.Semaphore(at_once)
        self._of: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def of(self, person: str) -> AsyncIterator[None]:
        turn = self._of.setdefault(person, asyncio.Lock())
        async with turn, self._all:
            yield
