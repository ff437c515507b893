"""A service whose bus is worse than any broker: every message twice, in shuffled order, some only much later.

`python -m tests.support.shuffled SERVICE` runs it with the same environment as `python -m placet.SERVICE`.
What is published is confirmed at once, as a broker would that then loses, repeats and mixes up messages; the
promise of inbox, heads and resends is that nobody notices.
"""

from __future__ import annotations

import asyncio
import dataclasses
import importlib
import random
import sys
from collections.abc import Sequence
from typing import Any

from placet.events.bus import Bus, Note, Outgoing, Receiver, Subscription
from placet.events.main import serve
from placet.events.settings import ProcessSettings, load
from placet.events.wiring import Wiring

LATE = 0.3
"""The share of messages that is held back until later ones are out."""
LOST = 0.1
"""The share of messages that never arrives, unless it is asked for again."""


class ShufflingBus:
    """Wraps a real bus. Deterministic for a seed."""

    def __init__(self, bus: Bus, seed: int) -> None:
        self._bus = bus
        self._random = random.Random(seed)  # noqa: S311 - chance, not secrecy
        self._late: list[Outgoing] = []

    @property
    def impediment(self) -> str | None:
        return self._bus.impediment

    async def publish(self, window: Sequence[Outgoing]) -> None:
        now: list[Outgoing] = self._late
        self._late = []
        for message in window:
            fate = self._random.random()
            if fate < LOST:
                continue
            if fate < LOST + LATE:
                self._late.append(message)
            now += [message, message] if fate >= LOST + LATE else [message] * (fate < LOST + LATE / 2)
        self._random.shuffle(now)
        await self._bus.publish(now)

    async def tell(self, note: Note) -> None:
        await self._bus.tell(note)

    async def consume(self, subscription: Subscription, receiver: Receiver) -> None:
        await self._bus.consume(subscription, receiver)

    async def close(self) -> None:
        await self._bus.close()


async def run(name: str) -> int:
    module = importlib.import_module(f"placet.{name}.bootstrap")
    settings = importlib.import_module(f"placet.{name}.settings")
    own = getattr(settings, f"{name.capitalize()}Settings")
    tables, logs = _tables(name)
    process = load(ProcessSettings)
    wiring = await Wiring.distributed(
        name, amqp_url=process.amqp_url, database_url=process.database_url, tables=tables, logs=logs
    )
    seed = sum(name.encode())
    wiring = dataclasses.replace(wiring, bus=ShufflingBus(wiring.bus, seed))
    try:
        return await serve(await module.build(load(own), wiring), process)
    finally:
        await wiring.bus.close()
        await wiring.store.close()


def _tables(name: str) -> tuple[tuple[Any, ...], tuple[str, ...]]:
    try:
        projections = importlib.import_module(f"placet.{name}.projections")
    except ModuleNotFoundError:
        return (), ()
    return (projections.TABLES,), ((projections.AUDIT,) if hasattr(projections, "AUDIT") else ())


if __name__ == "__main__":
    sys.exit(asyncio.run(run(sys.argv[1])))
