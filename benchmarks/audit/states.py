"""What it takes to fold the audit log into the state of the whole platform, as `placet audit replay --state` asks for.

In this process, over a PostgreSQL with fsync on: events of as many releases as there are events, since a state that
does not grow would be told too quickly, with the index over them, go into the tables by COPY. Folded at two sizes, so
that what an event costs can be compared.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from time import perf_counter

import asyncpg
from placet.events.envelope import Event
from placet.metadata.bootstrap import SERVICE
from placet.metadata.histories import Histories, Until
from placet.metadata.projections import AUDIT, stream_of
from placet.metadata.queries import Queries

from benchmarks.audit.append_load import PRODUCER, wired
from benchmarks.audit.log import COLUMNS, EPOCH, begin_epoch, show_up_to
from benchmarks.events.append_load import image_built
from benchmarks.rows import Row, at_most, row
from tests.support.servers import sources

SMALL, LARGE = 20_000, 100_000
TURNS = 3
AT_ONCE = 10_000
GOAL = 50_000
MORE_COST = 1.2


async def run() -> list[Row]:
    with sources.POSTGRES.running() as server:
        url = server.create_database()
        wiring = await wired(url)
        try:
            histories = Histories(wiring.store, Queries(wiring.store))
            rates, filled = [], 0
            for size in (SMALL, LARGE):
                await _fill(url, filled, size)
                filled = size
                turns = []
                for _ in range(TURNS):
                    started = perf_counter()
                    told = await histories.state(Until(), wiring.clock.now())
                    turns.append(size / (perf_counter() - started))
                    if told.state.events != size:
                        raise AssertionError(f"{told.state.events} of {size} events are in the state")
                rates.append(statistics.median(turns))
        finally:
            await wiring.store.close()
    small, large = rates
    return [
        row(f"audit of {SMALL:,} events: folded into a state", round(small), "events/s", goal=GOAL),
        row(f"audit of {LARGE:,} events: folded into a state", round(large), "events/s", goal=GOAL),
        at_most(
            f"audit: {LARGE:,} events beside {SMALL:,}, folding, an event",
            round(small / large, 2),
            "x",
            goal=MORE_COST,
        ),
    ]


async def _fill(url: str, before: int, size: int) -> None:
    connection = await asyncpg.connect(url, server_settings={"search_path": SERVICE})
    try:
        await begin_epoch(connection)
        for first in range(before + 1, size + 1, AT_ONCE):
            events = [(at, image_built()) for at in range(first, min(first + AT_ONCE, size + 1))]
            async with connection.transaction():
                await _copy(connection, events)
        await connection.execute("UPDATE log_heads SET position = $1 WHERE log = $2", size, AUDIT)
        await show_up_to(connection, size)
        await connection.execute(f"ANALYZE {AUDIT}; ANALYZE audit_indexed")
    finally:
        await connection.close()


async def _copy(
    connection: asyncpg.Connection[asyncpg.Record], events: Iterable[tuple[int, Event[object]]]
) -> None:
    stream = stream_of(PRODUCER, EPOCH)
    kept, indexed = [], []
    for at, event in events:
        attributes = event.attributes
        kept.append((at, attributes.id, stream, at, event.raw))
        indexed.append((1, at, event.type, attributes.partitionkey, attributes.time))
    await connection.copy_records_to_table(AUDIT, columns=COLUMNS, records=kept)
    await connection.copy_records_to_table(
        "audit_indexed",
        columns=("generation", "position", "type", "project", "time"),
        records=indexed,
    )
