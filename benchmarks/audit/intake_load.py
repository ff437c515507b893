"""The audit log's intake for `intake.py`: `python -m benchmarks.audit.intake_load AMQP_URL DATABASE_URL FOLDER`.

Told a number, it hears until so many events are in its log, and answers with the seconds that took: it connects for
each. Everything of the service that has to do with it runs as in the service: inbox, handler, tree, index.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import replace
from pathlib import Path
from time import perf_counter

from placet.events import Periodic, Wiring
from placet.events.adapters.rabbitmq_bus import open_rabbitmq_bus
from placet.events.bus import Subscription
from placet.events.inbox import Inbox
from placet.events.projection import ProjectionRunner
from placet.events.service import periodically
from placet.metadata.bootstrap import SEAL_EVERY, SERVICE
from placet.metadata.projections import AUDIT, INDEX
from placet.metadata.subscriptions import HEARS, reaction

from benchmarks.audit.append_load import sealing, wired

LOOK_EVERY = 0.25


async def taken(wiring: Wiring, inbox: Inbox, size: int) -> float:
    """Seconds until `size` events are in the log."""
    started = perf_counter()
    hearing = asyncio.create_task(
        wiring.bus.consume(Subscription(service=SERVICE, producers=HEARS), inbox), name="hearing"
    )
    try:
        while (await wiring.store.head(AUDIT)).position < size or wiring.bus.impediment is not None:
            seen = wiring.store.committed.count
            await wiring.store.committed.wait(LOOK_EVERY, after=seen)
        return perf_counter() - started
    finally:
        hearing.cancel()
        await asyncio.gather(hearing, return_exceptions=True)


async def main(amqp_url: str, database_url: str, folder: str) -> None:
    wiring = replace(await wired(database_url), bus=await open_rabbitmq_bus(amqp_url, service=SERVICE))
    inbox = Inbox(SERVICE, wiring, reaction(wiring.store))
    await inbox.load()
    seal = Periodic(name="seal", every=SEAL_EVERY, run=sealing(wiring, Path(folder)).seal)
    beside = [
        asyncio.create_task(each)
        for each in (inbox.run(), periodically(SERVICE, seal), ProjectionRunner(SERVICE, wiring, INDEX).run())
    ]
    while words := (await asyncio.to_thread(sys.stdin.readline)).split():
        print(await taken(wiring, inbox, int(words[0])), flush=True)  # noqa: T201 - the parent reads it
        for each in beside:
            if each.done():
                await each  # raises what ended it
    for each in beside:
        each.cancel()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
