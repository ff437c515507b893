"""Replayed events a second: the store's `replay`, decoded, beside the same pages read raw with asyncpg.

Both with one core for the reader and the others for the database, which is where a database is. Left to the kernel,
reader and server share a core in one run and have two in the next, and the two kinds of run differ by up to half. The
two take turns in many short rounds, and the share is the median of the rounds' shares: what else the machine has to do
comes and goes within tenths of a second, and should meet both.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

import asyncpg
from placet.events.adapters.postgresql_store import PostgreSQLStore, open_postgresql_store
from placet.events.store import EVENTS, PAGE, Append, Unit
from placet.events.tables import LIBRARY

from benchmarks.events.append_load import codec, ids, image_built
from benchmarks.rows import Row, row
from tests.support.servers import sources
from tests.support.servers.postgresql import PostgreSQL

SCHEMA = "builder"
EVENTS_IN_LOG = 25_000
ROUNDS = 101
GOAL = 0.5


async def run() -> list[Row]:
    with _database_on_other_cores() as server:
        url = server.create_database()
        store = await open_postgresql_store(
            url, schema=SCHEMA, codec=codec, ids=ids, tables=(LIBRARY,), logs=(EVENTS,)
        )
        connection = await asyncpg.connect(url, server_settings={"search_path": SCHEMA})
        await _fill(store)
        ours, raw = [], []
        for _ in range(ROUNDS):
            ours.append(await _replay(store))
            raw.append(await _read_raw(connection))
        await connection.close()
        await store.close()
    share = statistics.median(mine / theirs for mine, theirs in zip(ours, raw, strict=True))
    return [
        row(f"replay: decoded, in pages of {PAGE}", round(statistics.median(ours)), "events/s"),
        row(f"replay: raw read in pages of {PAGE}", round(statistics.median(raw)), "events/s"),
        row("replay: decoded beside raw", round(share, 2), "x", goal=GOAL),
    ]


@contextmanager
def _database_on_other_cores() -> Iterator[PostgreSQL]:
    if not hasattr(os, "sched_setaffinity"):  # no Linux
        with sources.POSTGRES.running() as server:
            yield server
        return
    allowed = os.sched_getaffinity(0)
    mine = {min(allowed)}
    try:
        os.sched_setaffinity(0, allowed - mine or allowed)  # which the server inherits
        with sources.POSTGRES.running() as server:
            os.sched_setaffinity(0, mine)
            yield server
    finally:
        os.sched_setaffinity(0, allowed)


async def _fill(store: PostgreSQLStore) -> None:
    for _ in range(0, EVENTS_IN_LOG, PAGE):
        appends = [
            Append(stream=event.subject, expected=0, events=(event,))
            for event in (image_built() for _ in range(PAGE))
        ]
        await store.commit(Unit(appends=tuple(appends)))


async def _replay(store: PostgreSQLStore) -> float:
    position, started = 0, perf_counter()
    async for page in store.replay(limit=PAGE):
        position = page[-1].position
    return position / (perf_counter() - started)


async def _read_raw(connection: asyncpg.Connection[asyncpg.Record]) -> float:
    position, started = 0, perf_counter()
    query = "SELECT position, version, stream, raw FROM events WHERE position > $1 ORDER BY position LIMIT $2"
    while page := await connection.fetch(query, position, PAGE):
        position = page[-1][0]
    return position / (perf_counter() - started)
