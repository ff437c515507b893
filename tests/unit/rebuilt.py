"""A service's read models, made anew beside it or restored from what the audit log has: what it heard and said."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa
from placet.events import Event, Heard, Recorded, Service, Wiring
from placet.events.adapters.in_process_bus import InProcessHub
from placet.events.mending import read_models
from placet.events.rebuilding import Rebuild
from placet.events.restoring import AsOf, Restoration
from placet.events.store import Run, Unit
from placet.events.testing import ManualClock

Build = Callable[[Wiring], Awaitable[Service]]
Rows = Mapping[str, Sequence[tuple[Any, ...]]]


@dataclass(frozen=True, kw_only=True)
class Line:
    """An entry of the audit log; without an epoch it is the service's own."""

    producer: str
    epoch: str | None
    position: int
    event: Event[Any]


async def rebuild(
    name: str, live: Wiring, lines: Sequence[Line], build: Build, tables: sa.MetaData, folder: Path
) -> Mapping[str, int]:
    """How many rows were other, by table; those where none was are left out."""
    clock = AsOf(ManualClock(live.clock.now()))
    beside = await Wiring.embedded(
        name, data=folder, hub=InProcessHub(), tables=(tables,), clock=clock, is_kept=False
    )
    try:
        store: Any = live.store
        again = Rebuild(await build(beside), beside.store, clock, store, read_models((tables,)))  # type: ignore[arg-type]
        rebuilt = await again.run(_read(lines, (await live.store.head()).epoch))
    finally:
        await beside.store.close()
    return {table: count for table, count in rebuilt.changed.items() if count}


async def restore(
    name: str, lost: Wiring, lines: Sequence[Line], build: Build, tables: sa.MetaData, folder: Path
) -> Rows:
    """What it shows when its database was lost and is filled again, in `folder`."""
    clock = AsOf(ManualClock(lost.clock.now()))
    anew = await Wiring.embedded(
        name, data=folder, hub=InProcessHub(), tables=(tables,), clock=clock, is_kept=False
    )
    try:
        read = _read(lines, (await lost.store.head()).epoch)
        await Restoration(await build(anew), anew.store, clock).run(read)  # type: ignore[arg-type]
        return await shown(anew, tables)
    finally:
        await anew.store.close()


async def shown(live: Wiring, tables: sa.MetaData) -> Rows:
    """All rows of its read models."""
    return {
        table.name: [
            tuple(row) for row in await live.store.rows(sa.select(table).order_by(*table.primary_key))
        ]
        for table in read_models((tables,))
    }


async def empty(live: Wiring, tables: sa.MetaData) -> None:
    """Somebody drops what it shows."""
    gone = [Run(statement=sa.delete(table)) for table in read_models((tables,))]
    await live.store.commit(Unit(writes=tuple(gone)))


def log(
    name: str, own: Sequence[Recorded[Any]], heard: Sequence[Heard[Any]], *, own_last: bool = False
) -> list[Line]:
    """In the order in which it was said, or what the service said itself last: ids are in the order of time."""
    mine = [Line(producer=name, epoch=None, position=each.position, event=each.event) for each in own]
    others = [
        Line(producer=each.event.producer, epoch=each.epoch, position=each.position, event=each.event)
        for each in heard
    ]
    return sorted([*mine, *others], key=lambda each: (own_last and each.epoch is None, each.event.id))


async def _read(lines: Sequence[Line], epoch: str) -> AsyncIterator[bytes]:
    for at, line in enumerate(lines, start=1):
        yield msgspec.json.encode(
            {
                "position": at,
                "producer": line.producer,
                "epoch": line.epoch or epoch,
                "producerPosition": line.position,
                "event": msgspec.Raw(line.event.raw),
            }
        )
