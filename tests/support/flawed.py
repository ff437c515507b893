"""A platform whose certifier has a flaw: it puts aside what is asked for projects of a certain name, until mended.

`python -m tests.support.flawed SERVICE` runs a service with the same environment as `python -m placet.SERVICE`, and
`python -m tests.support.flawed up …` the embedded platform as `placet up …`. The flaw is there as long as the file in
`FLAW` is, which says how the names of the projects begin that it meets. What it does with a message is what any
handler may: everything behind it, from the inbox to the console, is the platform's own.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import placet.certifier.bootstrap
from placet.cli.command import main as command
from placet.errors import Unreadable
from placet.events import Event, Heard, Outcome, Service, UnitOfWork
from placet.events.main import serve
from placet.events.reaction import Reaction
from placet.events.settings import ProcessSettings, load
from placet.events.wiring import Wiring

FLAW = "PLACET_TEST_FLAW"
WHY = "this certifier does not know what the project asks for: it is older than what asked"
Build = Callable[..., Awaitable[Service]]


class Flawed:
    """A service's reaction, with the flaw in front."""

    def __init__(self, reaction: Reaction, file: Path) -> None:
        self._reaction = reaction
        self._file = file
        self.batch = reaction.batch

    def wants(self, routing_key: str) -> bool:
        return self._reaction.wants(routing_key)

    def lane(self, producer: str, routing_key: str) -> str:
        return self._reaction.lane(producer, routing_key)

    def read(self, wiring: Wiring, raw: bytes) -> Event[Any]:
        return self._reaction.read(wiring, raw)

    async def __call__(self, heard: Sequence[Heard[Any]], work: UnitOfWork) -> Outcome:
        flaw = await asyncio.to_thread(self._flaw)
        if flaw is not None and any(each.event.partitionkey.startswith(flaw) for each in heard):
            raise Unreadable(WHY, fix="upgrade it, and have it try again")
        return await self._reaction(heard, work)

    def _flaw(self) -> str | None:
        return self._file.read_text().strip() if self._file.exists() else None


def flawed(build: Build) -> Build:
    async def built(*given: Any, **more: Any) -> Service:
        service = await build(*given, **more)
        return replace(service, reaction=Flawed(service.reaction, Path(os.environ[FLAW])))

    return built


async def run(name: str) -> int:
    build: Build = importlib.import_module(f"placet.{name}.bootstrap").build
    own = getattr(importlib.import_module(f"placet.{name}.settings"), f"{name.capitalize()}Settings")
    projections = importlib.import_module(f"placet.{name}.projections")
    logs = (projections.AUDIT,) if hasattr(projections, "AUDIT") else ()
    process = load(ProcessSettings)
    wiring = await Wiring.distributed(
        name,
        amqp_url=process.amqp_url,
        database_url=process.database_url,
        tables=(projections.TABLES,),
        logs=logs,
    )
    try:
        return await serve(
            await (flawed(build) if name == "certifier" else build)(load(own), wiring), process
        )
    finally:
        await wiring.bus.close()
        await wiring.store.close()


if __name__ == "__main__":
    if sys.argv[1] == "up":
        # The command puts all six together by itself: in this process one of them is another one.
        own: Any = placet.certifier.bootstrap
        own.build = flawed(own.build)
        sys.exit(command(sys.argv[1:]))
    sys.exit(asyncio.run(run(sys.argv[1])))
