"""How soon 500 who follow the log by server-sent events are told of an event, and how often it is read for them.

The service's own app on a socket, its store in PostgreSQL with fsync on, and 500 connections of one client on the same
machine: the time is from the commit's answer until the last of them has the event's bytes, of events one after the
other and of some at once. Reads of the log are counted in the store, those that find nothing apart.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from time import perf_counter
from typing import Any

from placet.connections import BoundedServer, Bounds, bounded
from placet.events import Recorded, ServiceRunner, Wiring
from placet.events.http import http_app
from placet.events.store import EVENTS, Append, EventStore, Put, Unit
from placet.metadata.bootstrap import build
from placet.metadata.projections import AUDIT, epochs, stream_of
from placet.metadata.settings import MetadataSettings
from placet.trust import own_key, tokens

from benchmarks.audit.append_load import PRODUCER, Carried, wired
from benchmarks.rows import Row, at_most, row
from tests.support.eventually import eventually
from tests.support.servers import sources
from tests.unit.events.harness import FatefulStore

SUBSCRIBERS = 500
EACH = 100
"""Streams of one person; a service gives one 128 requests at once."""
ROUNDS = 20
AT_ONCE = 50
EPOCH = "epoch-1"


class Counting(FatefulStore):
    def __init__(self, store: EventStore) -> None:
        super().__init__(store)
        self.events = 0
        self.empty = 0

    async def read_all(
        self, after: int, limit: int, *, log: str = EVENTS, sealed: bool = False
    ) -> list[Recorded[Any]]:
        page = await super().read_all(after, limit, log=log, sealed=sealed)
        if log == AUDIT:
            self.events += len(page)
            self.empty += not page
        return page


class Subscribers:
    """Connections that count what they are told, by its line in the stream."""

    def __init__(self) -> None:
        self.told = [0] * SUBSCRIBERS
        self._awaited = 0
        self._left = 0
        self._all = asyncio.Event()

    async def follow(self, number: int, port: int, token: str) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            head = f"GET /v1/events?follow=1 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n"
            writer.write(head.encode())
            answer = await reader.readuntil(b"\r\n\r\n")
            if b" 200 " not in answer:
                raise RuntimeError(answer.decode())
            async for line in reader:
                if line.startswith(b"id: "):
                    self.told[number] += 1
                    if self.told[number] == self._awaited:
                        self._left -= 1
                        if self._left == 0:
                            self._all.set()
        finally:
            writer.close()

    def expect(self, count: int) -> None:
        self._awaited, self._left = count, sum(told < count for told in self.told)
        self._all.clear()
        if self._left == 0:
            self._all.set()

    async def all_told(self) -> None:
        async with asyncio.timeout(60):
            await self._all.wait()


async def run() -> list[Row]:
    with sources.POSTGRES.running() as server, tempfile.TemporaryDirectory(prefix="placet-bench-") as folder:
        async with AsyncExitStack() as stack:
            wiring = await wired(server.create_database())
            stack.push_async_callback(wiring.store.close)
            store = Counting(wiring.store)
            port, keys = await stack.enter_async_context(served(replace(wiring, store=store), Path(folder)))
            subscribers, carried = Subscribers(), Carried()
            running = [
                asyncio.create_task(subscribers.follow(number, port, keys[number // EACH]))
                for number in range(SUBSCRIBERS)
            ]
            stack.push_async_callback(ended, running)
            log = Log(store, carried)
            subscribers.expect(1)
            await log.append(1)
            await subscribers.all_told()  # all are there, and level
            single = [await told(log, subscribers, 1) for _ in range(ROUNDS)]
            read, empty, said = store.events, store.empty, log.size
            burst = [await told(log, subscribers, AT_ONCE) for _ in range(3)]
            read, empty, said = store.events - read, store.empty - empty, log.size - said
    what = f"event log: {SUBSCRIBERS} subscribers"
    return [
        row(f"{what}, an event is told to all after, median", round(statistics.median(single) * 1e3), "ms"),
        row(f"{what}, an event is told to all after, at most", round(max(single) * 1e3), "ms"),
        row(f"{what}, {AT_ONCE} at once after, median", round(statistics.median(burst) * 1e3), "ms"),
        row(f"{what}, told", round(AT_ONCE * SUBSCRIBERS / statistics.median(burst)), "messages/s"),
        at_most(f"{what}, reads of an event", round(read / said, 2), "", goal=1),
        row(f"{what}, looks that find nothing, for each event", round(empty / said, 2), ""),
    ]


class Log:
    """One producer's epoch, kept as the service's handler does."""

    def __init__(self, store: EventStore, carried: Carried) -> None:
        self._store = store
        self._carried = carried
        self.size = 0

    async def append(self, many: int) -> None:
        stream = stream_of(PRODUCER, EPOCH)
        events = tuple(self._carried.event() for _ in range(many))
        appended = Append(stream=stream, expected=self.size, events=events, log=AUDIT)
        began = Put(table=epochs, row={"producer": PRODUCER, "epoch": EPOCH, "began_after": 0})
        await self._store.commit(Unit(appends=(appended,), writes=() if self.size else (began,)))
        self.size += many


async def told(log: Log, subscribers: Subscribers, many: int) -> float:
    """Seconds from the commit's answer until everybody is told of so many events."""
    subscribers.expect(log.size + many)
    await log.append(many)
    started = perf_counter()
    await subscribers.all_told()
    return perf_counter() - started


@asynccontextmanager
async def served(wiring: Wiring, folder: Path) -> AsyncIterator[tuple[int, Sequence[str]]]:
    """The port, and a token of each person."""
    key = own_key(folder / "tokens.pem")
    service = await build(
        MetadataSettings(token_keys=folder / "tokens.json", signing_key=folder / "checkpoints.pem"), wiring
    )
    people = [
        tokens.issue(
            id=f"token-{number}",
            person=f"person:00000000-0000-7000-8000-{number:012d}",
            roles=frozenset({"auditor"}),
            now=wiring.clock.now(),
            lifetime=timedelta(hours=1),
            key=key,
        )
        for number in range(SUBSCRIBERS // EACH)
    ]
    app = http_app("placet", [ServiceRunner(service)], version="1")
    server = BoundedServer(bounded(app, Bounds(), port=0, timeout_graceful_shutdown=1, backlog=SUBSCRIBERS))
    serving = asyncio.create_task(server.serve())
    try:
        await eventually(lambda: server.started, within=30)
        yield server.servers[0].sockets[0].getsockname()[1], people
    finally:
        server.should_exit = True
        await serving


async def ended(running: Sequence[asyncio.Task[None]]) -> None:
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
