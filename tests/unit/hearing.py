"""One service on a database file of its own, and the test as everybody else on the bus."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import sqlalchemy as sa
from placet.events import (
    Context,
    Event,
    Heard,
    Recorded,
    Service,
    ServiceRunner,
    UnitOfWork,
    Wiring,
    transact,
)
from placet.events import tables as library
from placet.events.adapters.in_process_bus import InProcessHub
from placet.events.catalog import contract_of
from placet.events.envelope import Actor
from placet.events.http import Face, http_app
from placet.events.jobs import JobRunner
from placet.events.store import Put, Unit
from placet.events.testing import ManualClock

from tests.support.eventually import eventually
from tests.unit.rebuilt import Rows, empty, log, rebuild, shown

OPERATION = "00000000-0000-7000-8000-00000000000a"


@dataclass
class Alone:
    """A service that hears what the test says and says what the test reads. Its loop does not run."""

    service: Service
    clock: ManualClock
    build: Callable[[Wiring], Awaitable[Service]]
    tables: sa.MetaData
    folder: Path
    positions: dict[str, int] = field(default_factory=dict)
    told: list[Heard[Any]] = field(default_factory=list)
    """All that it was given to hear."""
    _served: tuple[Service, Face] | None = None

    @property
    def wiring(self) -> Wiring:
        return self.service.wiring

    def seal(
        self, payload: Any, *, subject: str = "stream", project: str | None = None, actor: Actor | None = None
    ) -> Event[Any]:
        return self.wiring.codec.seal(
            payload,
            id=self.wiring.ids.new(),
            time=self.clock.now(),
            subject=subject,
            partitionkey=project or str(getattr(payload, "project", "platform")),
            correlationid=OPERATION,
            actor=actor or Actor.service(contract_of(payload).producer),
        )

    def heard(self, payload: Any, *, actor: Actor | None = None) -> Heard[Any]:
        producer = contract_of(payload).producer
        self.positions[producer] = self.positions.get(producer, 0) + 1
        heard = Heard(event=self.seal(payload, actor=actor), epoch="1", position=self.positions[producer])
        self.told.append(heard)
        return heard

    async def hear(self, payload: Any) -> None:
        await self.handle(self.heard(payload))

    async def handle(self, heard: Heard[Any]) -> None:
        """Handle and commit, as the inbox does. Handling the same again is what a crash before the ack brings."""
        work_after = Context.after(heard.event, self.service.name)

        async def change(work: UnitOfWork) -> None:
            await self.service.reaction([heard], work)

        await transact(self.wiring, self.service.name, work_after, change)

    async def handle_and_crash(self, heard: Heard[Any]) -> None:
        """Handle, and die before anything is committed."""
        work = UnitOfWork(self.wiring, self.service.name, Context.after(heard.event, self.service.name))
        await self.service.reaction([heard], work)

    async def askers(self) -> list[str]:
        """Whose turn each job that waits will take."""
        return [row.asker for row in await self.wiring.store.rows(sa.select(library.jobs.c.asker))]

    async def work_off(self) -> None:
        """Run the service's jobs until none is left; who waits between two tries need not wait long."""
        async with self.working():
            await self.idle()

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """The service's workers take its jobs."""
        runners = [
            JobRunner(self.service.name, self.wiring, worker, owner="test", lease=1e6, look_every=0.02)
            for worker in self.service.workers
        ]
        running = [asyncio.create_task(runner.run()) for runner in runners]
        try:
            yield
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def periodically(self, name: str) -> None:
        """What the service does from time to time, once."""
        (run,) = [each.run for each in self.service.periodic if each.name == name]
        await run()

    async def idle(self) -> None:
        await eventually(self._is_idle)

    async def _is_idle(self) -> bool:
        self.clock.pass_(timedelta(seconds=30))
        return not await self.wiring.store.rows(sa.select(library.jobs.c.key))

    async def recorded(self) -> list[Recorded[Any]]:
        return await self.wiring.store.read_all(0, 1000)

    async def said(self) -> list[Any]:
        return [each.data for each in await self.recorded()]

    async def rebuild(self, *, own_last: bool = False) -> Mapping[str, int]:
        """Its read models are made anew beside it; by table, how many rows were other than the log says.

        `own_last`: the audit log heard of what it said after all else.
        """
        # What is handed over past the inbox was not noted there.
        for producer, position in self.positions.items():
            cursor = {"producer": producer, "epoch": "1", "position": position}
            await self.wiring.store.commit(Unit(writes=(Put(table=library.inbox_cursors, row=cursor),)))
        beside = self.folder / f"beside-{self.wiring.ids.new()}"
        lines = log(self.service.name, await self.recorded(), self.told, own_last=own_last)
        return await rebuild(self.service.name, self.wiring, lines, self.build, self.tables, beside)

    async def shown(self) -> Rows:
        return await shown(self.wiring, self.tables)

    async def empty(self) -> None:
        await empty(self.wiring, self.tables)

    def _app(self) -> Face:
        """Of the service that it is now: to put one together takes longer than most of what is asked."""
        if self._served is None or self._served[0] is not self.service:
            self._served = self.service, http_app("placet", [ServiceRunner(self.service)], version="1")
        return self._served[1]

    @asynccontextmanager
    async def http(self, token: str | None = None) -> AsyncIterator[httpx.AsyncClient]:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        transport = httpx.ASGITransport(self._app(), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://placet", headers=headers) as http:
            yield http


@asynccontextmanager
async def alone(
    name: str,
    folder: Path,
    build: Callable[[Wiring], Awaitable[Service]],
    *,
    tables: Sequence[sa.MetaData] = (),
    logs: Iterable[str] = (),
) -> AsyncIterator[Alone]:
    clock = ManualClock()
    wiring = await Wiring.embedded(
        name,
        data=folder,
        hub=InProcessHub(),
        tables=tuple(tables),
        logs=tuple(logs),
        clock=clock,
        is_kept=False,
    )
    service = await build(wiring)
    try:
        yield Alone(service, clock, build, next(iter(tables), sa.MetaData()), folder)
    finally:
        for step in service.close:
            await step()
        await wiring.store.close()
