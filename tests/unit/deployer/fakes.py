"""The deployer's surroundings in memory. `FakeModelHost` keeps to the contract of every model host."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from placet.deployer.observations import Counters
from placet.deployer.ports import Instance, InstanceSpec, Sample, Target
from placet.errors import Refused, Unavailable


@dataclass
class FakeModelHost:
    """`dies_at_once` names instances that end as soon as they are started, `moves_to` is where the next one listens.

    What it is `away` with, it answers everything; what runs on it runs on.
    """

    instances: dict[str, Instance] = field(default_factory=dict)
    starts: list[str] = field(default_factory=list)
    dies_at_once: set[str] = field(default_factory=set)
    moves_to: str | None = None
    memory_bytes: int = 0
    writes: str = "was here"
    hung: set[str] = field(default_factory=set)
    scales: bool = False
    away: Unavailable | None = None
    _ports: int = 5000

    async def start(self, spec: InstanceSpec) -> Instance:
        self._must_answer()
        known = self.instances.get(spec.id)
        if known is not None and known.is_running and known.image == spec.image:
            return known
        self._ports += 1
        self.starts.append(spec.id)
        self.instances[spec.id] = Instance(
            id=spec.id,
            project=spec.project,
            release=spec.release,
            replica=spec.replica,
            image=spec.image,
            endpoint=self.moves_to or spec.endpoint or f"http://127.0.0.1:{self._ports}",
            is_running=spec.id not in self.dies_at_once,
            memory_bytes=self.memory_bytes,
            why="it ended with status 3" if spec.id in self.dies_at_once else "",
        )
        return self.instances[spec.id]

    async def stop(self, id: str, *, why: str = "") -> None:
        self._must_answer()
        if id in self.instances and self.instances[id].is_running:
            self._end(id, why or "it was stopped")

    async def list(self) -> Sequence[Instance]:
        self._must_answer()
        return list(self.instances.values())

    async def find(self, id: str) -> Instance | None:
        self._must_answer()
        return self.instances.get(id)

    async def check(self) -> None:
        self._must_answer()
        for id in self.hung & self.running():
            self._end(id, "it hung: 3 times in a row it did not answer within 5 s")
        self.hung.clear()

    async def forget(self, id: str) -> None:
        self._must_answer()
        self.instances.pop(id, None)

    async def last_words(self, id: str) -> str:
        self._must_answer()
        return f"{id} {self.writes}" if id in self.instances else ""

    async def log(self, id: str, *, tail: int | None, follow: bool) -> AsyncIterator[bytes]:
        yield f"{id} was here\n".encode() if id in self.instances and tail != 0 else b""
        if follow:
            await asyncio.Future()  # until the caller goes

    def _must_answer(self) -> None:
        if self.away is not None:
            raise self.away

    def die(self, id: str) -> None:
        """As a crash would."""
        self._end(id, "it was ended by SIGKILL")

    def hang(self, id: str) -> None:
        """As what is stopped or waits for ever does."""
        self.hung.add(id)

    def running(self) -> set[str]:
        return {each.id for each in self.instances.values() if each.is_running}

    def _end(self, id: str, why: str) -> None:
        self.instances[id] = replace(self.instances[id], is_running=False, why=why)


@dataclass
class FakeRouter:
    table: dict[str, frozenset[Target]] = field(default_factory=dict)
    told: dict[str, Unavailable | None] = field(default_factory=dict)
    """Why projects are off their routes, as callers hear it."""
    is_away: bool = False
    may_route: asyncio.Event | None = None
    """Once it is set, if there is one."""
    asked: int = 0
    """How often it was to route."""

    async def route(self, project: str, targets: Sequence[Target], *, access: str) -> None:
        self.asked += 1
        if self.may_route is not None:
            await self.may_route.wait()
        self._must_answer()
        self.table[project] = frozenset(targets)

    async def unroute(self, project: str, *, why: Unavailable | None = None) -> None:
        self._must_answer()
        self.table.pop(project, None)
        self.told[project] = why

    def endpoint(self, project: str) -> str | None:
        """Of a project that all requests go to one of."""
        targets = self.table.get(project)
        if targets is None:
            return None
        (target,) = targets
        return target.endpoint

    async def routes(self) -> Mapping[str, frozenset[Target]]:
        self._must_answer()
        return dict(self.table)

    def _must_answer(self) -> None:
        if self.is_away:
            raise Unavailable("the router is away", retry_after=0.05)


@dataclass
class FakeCertificates:
    """Everything verifies, except for what is `refused`."""

    refused: str | None = None
    distrusted: dict[str, datetime] = field(default_factory=dict)
    away: Unavailable | None = None

    async def compromised(self, now: datetime) -> Mapping[str, datetime]:
        if self.away is not None:
            raise self.away
        return {key: since for key, since in self.distrusted.items() if since <= now}

    async def verify(
        self, *, repository: str, envelope: str, certificate: str, image: str, source: str, now: datetime
    ) -> None:
        if self.refused is not None:
            raise Refused(self.refused)


@dataclass
class FakeImages:
    kept: Sample | None = None

    async def sample(self, repository: str, image: str) -> Sample | None:
        return self.kept


@dataclass
class FakeProbe:
    """Ready at once, where `is_ready_at` says, unless `is_slow`; answers `answer` to everything, and has
    counted `counted`."""

    is_slow: bool = False
    is_ready_at: Callable[[str], bool] = lambda endpoint: True
    answer: Any = None
    refuses: str | None = None
    counted: Counters | None = None
    shown: Any = None
    asked: list[str] = field(default_factory=list)
    readings: int = 0

    async def is_ready(self, endpoint: str) -> bool:
        return not self.is_slow and self.is_ready_at(endpoint)

    async def predict(self, endpoint: str, request: Any) -> Any:
        self.asked.append(endpoint)
        if self.refuses is not None:
            raise Refused(self.refuses)
        return self.answer

    async def example(self, endpoint: str) -> Any:
        return self.shown

    async def counters(self, endpoint: str) -> Counters | None:
        self.readings += 1
        return self.counted
