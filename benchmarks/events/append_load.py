"""Makes load on PostgreSQL for `appends.py`: `python -m benchmarks.events.append_load store|inserts URL`."""

from __future__ import annotations

import asyncio
import itertools
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from time import perf_counter
from typing import Any

import asyncpg
from placet.events.adapters.postgresql_store import open_postgresql_store
from placet.events.clocks import TimeOrderedIds
from placet.events.codec import Codec
from placet.events.contracts import CATALOG
from placet.events.contracts.builder import ImageBuilt
from placet.events.envelope import Actor, Event
from placet.events.store import EVENTS, Append, Unit
from placet.events.tables import LIBRARY

POOL = 100
"""Connections for single-row inserts: as many as there are requests, up to what a server gladly gives."""
Request = Callable[[], Awaitable[object]]

codec = Codec(CATALOG)
ids = TimeOrderedIds()
numbers = itertools.count(1)


def image_built() -> Event[Any]:
    number = next(numbers)
    return codec.seal(
        ImageBuilt(
            project="churn",
            release=number,
            source=f"sha256:{'5b' * 32}",
            image=f"sha256:{'1d' * 32}",
            repository="models/churn",
            size=67_108_864,
            lock=f"sha256:{'0c' * 32}",
            base="none",
            python="cp311",
        ),
        id=ids.new(),
        time=datetime(2026, 1, 1, tzinfo=UTC),
        subject=f"release/churn/{number}",
        partitionkey="churn",
        correlationid=f"operation-{number}",
        actor=Actor.service("builder"),
    )


async def store(url: str) -> Request:
    opened = await open_postgresql_store(
        url, schema="builder", codec=codec, ids=ids, tables=(LIBRARY,), logs=(EVENTS,)
    )

    async def append() -> None:
        event = image_built()
        await opened.commit(Unit(appends=(Append(stream=event.subject, expected=0, events=(event,)),)))

    return append


async def inserts(url: str) -> Request:
    pool = await asyncpg.create_pool(url, min_size=POOL, max_size=POOL)
    await pool.execute(
        "CREATE TABLE plain (position bigserial PRIMARY KEY, id text UNIQUE, stream text, version bigint, raw bytea,"
        " UNIQUE (stream, version))"
    )

    async def insert() -> None:
        event = image_built()
        await pool.execute(
            "INSERT INTO plain (id, stream, version, raw) VALUES ($1, $2, 1, $3)",
            event.id,
            event.subject,
            event.raw,
        )

    return insert


async def rate(request: Request, requests: int, seconds: float) -> float:
    """Each of `requests` callers asks again when it was answered."""
    done = 0
    started = perf_counter()

    async def ask() -> None:
        nonlocal done
        while perf_counter() - started < seconds:
            await request()
            done += 1

    await asyncio.gather(*(ask() for _ in range(requests)))
    return done / (perf_counter() - started)


async def main(kind: str, url: str) -> None:
    request = await {"store": store, "inserts": inserts}[kind](url)
    while line := await asyncio.to_thread(sys.stdin.readline):
        requests, seconds = line.split()
        print(await rate(request, int(requests), float(seconds)), flush=True)  # noqa: T201 - the parent reads it


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
