"""What is done to the database of one service from beside it: restore it when it was lost, make its read models anew.

Both are fed with the audit log, a file or what somebody pipes in, and say on standard error how far they are.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import tempfile
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec
import sqlalchemy as sa

from placet.errors import Refused, Unavailable, Unreadable
from placet.events.adapters.sqlite_store import open_sqlite_store
from placet.events.clocks import SystemClock, TimeOrderedIds
from placet.events.codec import Codec
from placet.events.contracts import CATALOG
from placet.events.projection import Progress, ProjectionRunner
from placet.events.rebuilding import Rebuild
from placet.events.restoring import AsOf, Restoration, Restored, must_not_be_half_restored
from placet.events.service import Service
from placet.events.store import EVENTS, HoldableStore, RestorableStore
from placet.events.tables import LIBRARY
from placet.events.wiring import Wiring

Build = Callable[[Wiring], Awaitable[Service]]

MAX_LINE_BYTES = 1 << 20
"""Of an entry of the audit log, whose event has at most 64 KiB."""
_DOING = {
    "reads": "reads",
    "logs": "writes its own log again",
    "rows": "recalls what it knew",
    "ends": "begins a new epoch",
    "swaps": "puts what is other in its place",
}


async def restore(name: str, store: RestorableStore, build: Build, file: str, until: int | None) -> None:
    """The service must not run meanwhile. `file` is the audit log, `-` what is piped in: with `until`, by somebody who
    verifies it, and says by an empty line at its end that it is to be believed."""
    clock = AsOf(SystemClock())
    service = await build(Wiring.apart(name, store, clock=clock))
    with _opened(file) as source:
        lines = _lines(source)
        if file == "-" and until is not None:
            vouched_for = _vouched_for(_lines(source, marks=True), "restore")
            lines = (each async for each in vouched_for if each.strip())
        restored = await Restoration(service, store, clock, _teller(name)).run(lines, until=until)
    # What was not started is not closed either: a deployer that closes may end its models.
    head = await store.head()
    sys.stderr.write(
        f"{name}: restored; its log goes on behind {head.began_after} as epoch {head.epoch}\n"
        f"{name}: {restored.left} messages are left for it to handle when it starts\n"
        f"{name}: what was never in the log does not come back: names of people, their words, who holds which token\n"
    )


async def rebuild(
    name: str, live: HoldableStore, build: Build, tables: Iterable[sa.MetaData], file: str
) -> None:
    """The service goes on meanwhile. `file` is the audit log, `-` what is piped in, of which that is believed which
    stands before an empty line. What it came to is told on standard output, as JSON."""
    await must_not_be_half_restored(name, live)
    tables = tuple(tables)
    models = read_models(tables)
    if not models:
        raise Refused(
            f"{name} has no read models that are made from what others say",
            fix=f"those of its own log are made anew by: python -m placet.{name} --rebuild",
        )
    clock = AsOf(SystemClock())
    with tempfile.TemporaryDirectory(prefix=f"placet-{name}-") as folder, _opened(file) as source:
        beside = await open_sqlite_store(
            Path(folder) / "beside.db",
            codec=Codec(CATALOG),
            ids=TimeOrderedIds(),
            tables=(LIBRARY, *tables),
            logs=(EVENTS,),
            is_kept=False,
        )
        try:
            service = await build(Wiring.apart(name, beside, clock=clock))
            lines = _lines(source)
            if file == "-":
                lines = _vouched_for(_lines(source, marks=True), "rebuild")
            rebuilt = await Rebuild(service, beside, clock, live, models, _teller(name)).run(lines)
        finally:
            await beside.close()
    for table, rows in rebuilt.changed.items():
        if rows:
            sys.stderr.write(f"{name}: {table}: {rows} rows were other than the log says\n")
    sys.stdout.write(msgspec.json.encode(rebuilt).decode() + "\n")


async def rebuild_own(name: str, store: RestorableStore, build: Build) -> None:
    """What is made from logs of the service's own. Whoever reads goes on meanwhile, and so does the service."""
    wiring = Wiring.apart(name, store)
    service = await build(wiring)
    for projection in service.projections:
        await ProjectionRunner(name, wiring, projection).rebuild(_say_progress)
        sys.stderr.write(f"{name}: {projection.name} is made anew\n")
    if not service.projections:
        sys.stderr.write(f"{name}: no read model here is made from its own log alone\n")


def read_models(tables: Iterable[sa.MetaData]) -> list[sa.Table]:
    every = (table for each in tables for table in each.sorted_tables)
    return [table for table in every if table.info.get("read_model")]


@contextlib.contextmanager
def _opened(file: str) -> Iterator[BinaryIO]:
    if file == "-":
        yield sys.stdin.buffer
        return
    try:
        source = open(file, "rb")  # noqa: SIM115 - closed below
    except OSError as error:
        raise Refused(
            f"{file} cannot be read: {error.strerror}", fix="give the audit log as a file, or -"
        ) from error
    with source:
        yield source


async def _lines(source: BinaryIO, *, marks: bool = False) -> AsyncIterator[bytes]:
    while line := await asyncio.to_thread(source.readline, MAX_LINE_BYTES + 1):
        if len(line) > MAX_LINE_BYTES:
            raise Unreadable(
                f"{line[:80]!r} is no entry of an audit log: it does not end within {MAX_LINE_BYTES} bytes",
                fix="give GET /v1/audit/entries as application/jsonl, whole lines",
            )
        if line.strip() or marks:
            yield line


async def _vouched_for(lines: AsyncIterable[bytes], verb: str) -> AsyncIterator[bytes]:
    """Whoever verifies may end before he has done so, and what he sent would look like all of it."""
    is_vouched_for = False
    async for line in lines:
        is_vouched_for = not line.strip()
        yield line
    if not is_vouched_for:
        raise Unavailable(
            "nobody has said that the audit log which was piped in is to be believed",
            fix=f"go on with it by `placet audit {verb}`, which verifies it",
        )


def _teller(name: str) -> Callable[[Restored], None]:
    def tell(restored: Restored) -> None:
        sys.stderr.write(f"{name}: {_DOING[restored.phase]}, up to {restored.position} of the audit log\n")

    return tell


def _say_progress(progress: Progress) -> None:
    if progress.building is not None:
        behind, at = progress.building.lag, progress.building.position
        sys.stderr.write(f"{progress.name}: {at} of {at + behind} events\n")
