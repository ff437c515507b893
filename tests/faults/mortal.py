"""A deployer that is killed behind any of its steps, with all that it reached outside as it was at that moment.

A step is whatever changes something that outlives the deployer: a request to a Docker Engine, a process, a file, a
route, a commit. Behind the chosen one nothing gets out any more, whatever the code does on its way down: that is what
SIGKILL leaves, in a hundredth of the time that a process of its own takes.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import docker
import psutil
from placet.deployer.adapters.docker_engine import DockerEngine
from placet.deployer.adapters.local_processes import LocalProcesses
from placet.deployer.ports import Target
from placet.errors import Unavailable
from placet.events.store import EventStore, Unit

from tests.unit.deployer.fakes import FakeRouter

_NAMES = re.compile("[0-9a-f]{64}|placet-[0-9a-f]{8}")


class Killed(BaseException):
    """Caught by nobody."""


Step = tuple[str, int]
"""What it was, and the how manieth of those."""


@dataclass
class Life:
    """Ends behind a step, of those that are made while it `counts`; with none it goes on."""

    ends_behind: Step | None = None
    counts: bool = False
    steps: list[Step] = field(default_factory=list)
    is_over: bool = False

    def must_last(self) -> None:
        if self.is_over:
            raise Killed

    def step(self, what: str) -> None:
        if not self.counts:
            return
        self.steps.append((what, 1 + sum(each == what for each, _ in self.steps)))
        if self.steps[-1] == self.ends_behind:
            self.is_over = True
            raise Killed


class MortalStore:
    """An `EventStore`."""

    def __init__(self, store: EventStore, life: Life) -> None:
        self._store = store
        self._life = life

    async def commit(self, unit: Unit) -> Any:
        self._life.must_last()
        committed = await self._store.commit(unit)
        self._life.step("a commit")
        return committed

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


@dataclass
class MortalRouter:
    """A `Router`, whose table stays."""

    router: FakeRouter
    life: Life

    async def route(self, project: str, targets: Sequence[Target], *, access: str) -> None:
        self.life.must_last()
        await self.router.route(project, targets, access=access)
        self.life.step("a route")

    async def unroute(self, project: str, *, why: Unavailable | None = None) -> None:
        self.life.must_last()
        await self.router.unroute(project, why=why)
        self.life.step("no route")

    async def routes(self) -> Mapping[str, frozenset[Target]]:
        return await self.router.routes()


class MortalEngine(DockerEngine):
    """Every request to the engine but a look is a step."""

    def __init__(self, address: str, life: Life) -> None:
        super().__init__(address)
        self._life = life
        self._is_listening = False

    def _run(self, work: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        if not self._is_listening:
            super()._run(self._listen, ())
        return super()._run(work, arguments)

    def _listen(self, api: docker.APIClient) -> None:
        send = api.send

        def send_while_it_lasts(request: Any, **options: Any) -> Any:
            self._life.must_last()
            answer = send(request, **options)
            if request.method != "GET":
                self._life.step(f"{request.method} {_NAMES.sub('…', request.path_url.partition('?')[0])}")
            return answer

        api.send = send_while_it_lasts
        self._is_listening = True


class MortalProcesses(LocalProcesses):
    """A process that begins or was told to end is a step, and so is a record that is written."""

    life = Life()

    def _run(self, *arguments: Any) -> subprocess.Popen[bytes]:
        self.life.must_last()
        begun = super()._run(*arguments)
        self.life.step("a process")
        return begun

    def _write(self, record: Any) -> None:
        self.life.must_last()
        super()._write(record)
        self.life.step("a record")

    async def _end(self, process: psutil.Process) -> None:
        self.life.must_last()
        await super()._end(process)
        self.life.step("an end")

    def _forget(self, id: str) -> None:
        self.life.must_last()
        super()._forget(id)
        self.life.step("forgotten")

    def vanish(self) -> None:
        """What the kernel takes from a process that is gone."""
        for id in list(self._listeners):
            self._stop_listening(id)
