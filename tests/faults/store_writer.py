"""A process that appends, as several replicas of a service do at once; the tests start some and kill them.

    python -m tests.faults.store_writer URL SCHEMA FIRST WRITERS UNITS

Runs `WRITERS` writers, numbered from `FIRST`, of `UNITS` units each on one store, with pauses at random between
them. Prints `ID POSITION` for each event once it is acknowledged. Ids and bytes follow from the numbers alone, so
a process that is started again sends the same again.
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Callable

from placet.errors import Unavailable
from placet.events.adapters.postgresql_store import PostgreSQLStore, open_postgresql_store
from placet.events.clocks import TimeOrderedIds
from placet.events.store import Unit

from tests.contract.store_contract import CODEC, LOGS, TABLES, appending


def unit_of(writer: int, number: int) -> Unit:
    """Two events: one on the writer's own stream at an expected version, one on a stream of all."""
    own = appending(f"own/{writer}", f"{writer}-{number}-own", expected=number)
    return Unit(appends=own.appends + appending("shared", f"{writer}-{number}-shared").appends)


def ids_of_writers(writers: range, units: int) -> set[str]:
    return {f"{w}-{n}-{kind}" for w in writers for n in range(units) for kind in ("own", "shared")}


async def open_store(url: str, schema: str) -> PostgreSQLStore:
    return await open_postgresql_store(
        url, schema=schema, codec=CODEC, ids=TimeOrderedIds(), tables=TABLES, logs=LOGS
    )


async def write(
    store: PostgreSQLStore, writer: int, units: int, acknowledged: Callable[[str, int], None]
) -> None:
    chance = random.Random(writer)  # noqa: S311 - pauses, not secrets
    for number in range(units):
        unit = unit_of(writer, number)
        while True:
            try:
                recorded = await store.commit(unit)
                break
            except Unavailable:
                await asyncio.sleep(0.02)
        for each in recorded:
            acknowledged(each.event.id, each.position)
        await asyncio.sleep(chance.random() / 100)


async def main(url: str, schema: str, first: int, writers: int, units: int) -> None:
    store = await open_store(url, schema)
    async with asyncio.TaskGroup() as tasks:
        for writer in range(first, first + writers):
            tasks.create_task(
                write(store, writer, units, lambda id, position: print(id, position, flush=True))  # noqa: T201
            )
    await store.close()


if __name__ == "__main__":
    url, schema, *numbers = sys.argv[1:]
    first, writers, units = map(int, numbers)
    asyncio.run(main(url, schema, first, writers, units))
