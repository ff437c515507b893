"""An audit log of its own, which hears what the test says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from placet.events import Context, Heard, UnitOfWork
from placet.events.projection import ProjectionRunner
from placet.metadata.bootstrap import build
from placet.metadata.projections import AUDIT, TABLES
from placet.metadata.queries import Queries
from placet.metadata.settings import MetadataSettings
from placet.trust import own_key, tokens

from tests.support.eventually import eventually
from tests.unit.hearing import Alone, alone


@dataclass
class Metadata:
    alone: Alone
    folder: Path

    @property
    def queries(self) -> Queries:
        return Queries(self.alone.wiring.store)

    def heard(
        self,
        payload: Any,
        position: int,
        epoch: str = "1",
        subject: str = "stream",
        project: str | None = None,
    ) -> Heard[Any]:
        sealed = self.alone.seal(payload, subject=subject, project=project)
        carried = self.alone.wiring.codec.read_envelope(sealed.raw)
        return Heard(event=carried, epoch=epoch, position=position)

    async def keep(self, *heard: Heard[Any]) -> None:
        """As the inbox hands over what one producer said."""
        context = Context.after(heard[0].event, "metadata")
        work = UnitOfWork(self.alone.wiring, "metadata", context)
        await self.alone.service.reaction(heard, work)
        await self.alone.wiring.store.commit(work.unit())

    async def keep_all(self, payloads: Sequence[Any]) -> None:
        """Each producer's positions from 1 on."""
        last: dict[str, int] = {}
        for payload in payloads:
            heard = self.heard(payload, 0)
            last[heard.event.producer] = position = last.get(heard.event.producer, 0) + 1
            await self.keep(Heard(event=heard.event, epoch="1", position=position))

    @asynccontextmanager
    async def indexing(self) -> AsyncIterator[None]:
        """The index at work, up to date before the block begins."""
        (index,) = self.alone.service.projections
        runner = ProjectionRunner("metadata", self.alone.wiring, index)
        running = asyncio.create_task(runner.run())
        await eventually(lambda: _is_level(runner))
        try:
            yield
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    def token(self, id: str = "token-1", role: tokens.Role = "auditor") -> str:
        return tokens.issue(
            id=id,
            person="person:00000000-0000-7000-8000-000000000001",
            roles=frozenset({role}),
            now=self.alone.clock.now(),
            lifetime=timedelta(days=1),
            key=own_key(self.folder / "tokens.pem"),
        )

    async def read(self, path: str, status: int = 200, **headers: str) -> Any:
        async with self.alone.http(self.token()) as http:
            answer = await http.get(path, headers=headers)
        assert answer.status_code == status, answer.text
        return answer.json()


async def _is_level(runner: ProjectionRunner) -> bool:
    progress = await runner.progress()
    return progress.lag == 0 and progress.beat_age < 1e6


@asynccontextmanager
async def a_log(folder: Path, *, webhook_hosts: str = "") -> AsyncIterator[Metadata]:
    own_key(folder / "tokens.pem")
    chosen = MetadataSettings(
        token_keys=folder / "tokens.json", signing_key=folder / "checkpoints.pem", webhook_hosts=webhook_hosts
    )
    async with alone(
        "metadata", folder, lambda wiring: build(chosen, wiring), tables=(TABLES,), logs=(AUDIT,)
    ) as service:
        yield Metadata(service, folder)
