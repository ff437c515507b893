"""Appends to an audit log for `appends.py`: `python -m benchmarks.audit.append_load sealed|plain URL FOLDER`.

Each request is one event of a producer's epoch of its own, as the service's handler makes the unit. `sealed`: the tree
grows in the same process meanwhile, as in the service. Told `REQUESTS SECONDS`, it answers with events a second; told
`level`, with the seconds until every event is in a signed checkpoint.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from time import perf_counter
from typing import Any

from opentelemetry import trace
from placet.events import Periodic, Wiring
from placet.events.adapters.in_process_bus import InProcessBus, InProcessHub
from placet.events.clocks import SystemClock, TimeOrderedIds
from placet.events.codec import Codec
from placet.events.contracts import CATALOG
from placet.events.envelope import Event
from placet.events.service import periodically
from placet.events.store import Append, Put, Unit
from placet.events.wiring import open_distributed_store
from placet.metadata.adapters.http_receivers import HttpReceivers
from placet.metadata.adapters.signed_file import SignedFile
from placet.metadata.bootstrap import SEAL_EVERY, SERVICE
from placet.metadata.ports import Ports
from placet.metadata.projections import AUDIT, TABLES, epochs, stream_of
from placet.metadata.reach import Reach
from placet.metadata.sealing import Sealing
from placet.metadata.tree import Tree
from placet.trust import OwnKeys
from placet.trust.key_files import KeyFiles

from benchmarks.events.append_load import image_built

ORIGIN = "placet.example/audit"
PRODUCER = "builder"
LOOK_EVERY = 0.25


class Carried:
    """Events as they come over the bus: the same bytes each time, but for the id."""

    def __init__(self) -> None:
        event = image_built()
        self._before, self._behind = event.raw.split(event.id.encode())
        self._ids = TimeOrderedIds()
        self._codec = Codec(CATALOG)

    def raw(self) -> tuple[str, bytes]:
        """The id, and the event's canonical bytes."""
        id = self._ids.new()
        return id, self._before + id.encode() + self._behind

    def event(self) -> Event[Any]:
        return self._codec.read_envelope(self.raw()[1])


class Producer:
    """One epoch, whose events come one after the other."""

    def __init__(self, number: int) -> None:
        self._epoch = f"epoch-{number}"
        self._last = 0

    def unit(self, event: Event[Any]) -> Unit:
        began = {"producer": PRODUCER, "epoch": self._epoch, "began_after": 0}
        unit = Unit(
            appends=(
                Append(
                    stream=stream_of(PRODUCER, self._epoch), expected=self._last, events=(event,), log=AUDIT
                ),
            ),
            writes=() if self._last else (Put(table=epochs, row=began),),
        )
        self._last += 1
        return unit


class Load:
    def __init__(self, wiring: Wiring) -> None:
        self._store = wiring.store
        self._tree = Tree(wiring.store)
        self._carried = Carried()
        self._producers: list[Producer] = []

    async def rate(self, requests: int, seconds: float) -> float:
        while len(self._producers) < requests:
            self._producers.append(Producer(len(self._producers)))
        done = 0
        started = perf_counter()

        async def ask(producer: Producer) -> None:
            nonlocal done
            while perf_counter() - started < seconds:
                await self._store.commit(producer.unit(self._carried.event()))
                done += 1

        await asyncio.gather(*(ask(each) for each in self._producers[:requests]))
        return done / (perf_counter() - started)

    async def level(self) -> float:
        started = perf_counter()
        head = (await self._store.head(AUDIT)).position
        while True:
            seen = self._store.committed.count
            latest = await self._tree.latest()
            if latest is not None and latest.size >= head:
                break
            await self._store.committed.wait(LOOK_EVERY, after=seen)
        return perf_counter() - started


async def wired(url: str) -> Wiring:
    """As the service is, with nobody to hear."""
    ids = TimeOrderedIds()
    return Wiring(
        store=await open_distributed_store(SERVICE, url, tables=(TABLES,), logs=(AUDIT,), ids=ids),
        bus=InProcessBus(InProcessHub(), SERVICE),
        codec=Codec(CATALOG),
        clock=SystemClock(),
        ids=ids,
        tracer=trace.get_tracer("placet"),
    )


def sealing(wiring: Wiring, folder: Path) -> Sealing:
    """As the service's own, with its keys in `folder`."""
    keys = OwnKeys(folder / "checkpoints.pem", wiring.clock.now)
    keys.begin()
    ports = Ports(
        receivers=HttpReceivers(Reach()), keys=KeyFiles(keys), signed=SignedFile(folder / "checkpoints.last")
    )
    return Sealing(wiring, ports, ORIGIN)


async def main(kind: str, url: str, folder: str) -> None:
    wiring = await wired(url)
    load = Load(wiring)
    sealed = Periodic(name="seal", every=SEAL_EVERY, run=sealing(wiring, Path(folder)).seal)
    beside = asyncio.create_task(periodically(SERVICE, sealed)) if kind == "sealed" else None
    while words := (await asyncio.to_thread(sys.stdin.readline)).split():
        answer = await (load.level() if words == ["level"] else load.rate(int(words[0]), float(words[1])))
        print(answer, flush=True)  # noqa: T201 - the parent reads it
        if beside is not None and beside.done():
            await beside  # raises what ended it
    if beside is not None:
        beside.cancel()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
