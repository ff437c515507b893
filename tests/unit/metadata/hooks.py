"""Webhooks of an audit log of its own: what people do to them, and the replica that sends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from placet.events.store import Signal
from placet.metadata.delivering import Delivering
from placet.metadata.following import Tail
from placet.metadata.projections import webhooks
from placet.metadata.queries import Filter, Page
from placet.metadata.subscribing import Subscribing, Wanted

from tests.support.eventually import eventually
from tests.unit.gateway.roads import asked
from tests.unit.metadata.logs import Metadata
from tests.unit.metadata.receivers import Scripted

URL = "https://hooks.example.org/placet"
PERSON = "person:00000000-0000-7000-8000-000000000001"


@dataclass
class Hooks:
    log: Metadata
    receivers: Scripted = field(default_factory=Scripted)
    changed: Signal = field(default_factory=Signal)
    said: int = 0
    most: int = 100

    def __post_init__(self) -> None:
        self.tail = Tail(self.log.queries, self.log.alone.wiring.store)

    @property
    def subscribing(self) -> Subscribing:
        return Subscribing(self.log.alone.wiring, self.receivers, self.changed, most=self.most)

    async def add(self, url: str = URL, **wanted: Any) -> str:
        added = await self.subscribing.add(Wanted(url=url, **wanted), PERSON)
        return str(added["webhook"])

    async def happen(self, *projects: str) -> None:
        for project in projects:
            self.said += 1
            await self.log.keep(self.log.heard(asked(project=project, release=self.said), self.said))

    def follow(self, after: int, wanted: Filter) -> AsyncGenerator[Page, None]:
        return self.tail.follow(after, wanted)

    @asynccontextmanager
    async def sending(self) -> AsyncIterator[None]:
        """The leader at work, until it is killed."""
        delivering = Delivering(
            self.log.alone.wiring, self.receivers, self.follow, self.changed, most_skipped=4
        )
        running = asyncio.create_task(delivering.run())
        try:
            yield
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    async def is_told(self, *positions: int) -> None:
        await eventually(lambda: self.receivers.positions == list(positions))

    async def becomes(self, webhook: str, **fields: Any) -> dict[str, Any]:
        """Wait until the webhook's document says so."""

        async def does() -> bool:
            told = await self.subscribing.one(webhook)
            return all(told[name] == value for name, value in fields.items())

        await eventually(does)
        return await self.subscribing.one(webhook)

    def later(self, span: timedelta) -> None:
        """The clock goes on, and whoever waits looks at it."""
        self.log.alone.clock.pass_(span)
        self.changed.fire()

    async def row(self, webhook: str) -> Any:
        query = sa.select(webhooks).where(webhooks.c.webhook == webhook)
        [row] = await self.log.alone.wiring.store.rows(query)
        return row
