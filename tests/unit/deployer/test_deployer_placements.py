"""The rows of a decision come from the stream's state, and never from what was true at another moment."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from placet.deployer.domain import Command, ReportDiverged, Stop
from placet.deployer.placements import Placements
from placet.deployer.room import Amount
from placet.events import Context, UnitOfWork, Wiring, transact
from placet.events.envelope import Actor

from tests.unit.deployer.harness import World

CONTEXT = Context(project="churn", correlation="test", actor=Actor.service("deployer"))


class StoreThatIsOvertaken:
    """Somebody else commits as soon as a stream was read here for the first time."""

    def __init__(self, store: Any, meanwhile: Callable[[], Awaitable[None]]) -> None:
        self._store = store
        self._meanwhile: Callable[[], Awaitable[None]] | None = meanwhile

    async def read(self, stream: str) -> Any:
        recorded = await self._store.read(stream)
        meanwhile, self._meanwhile = self._meanwhile, None
        if meanwhile is not None:
            await meanwhile()
        return recorded

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


async def decide(wiring: Wiring, command: Command) -> list[str]:
    """What is said of `command` in the end, by the names of the types."""
    placements = Placements(reads=wiring.store, total=Amount(), reservation=timedelta(minutes=15))

    async def change(work: UnitOfWork) -> list[str]:
        return [type(each).__name__ for each in await placements.decide(work, command)]

    said, _ = await transact(wiring, "deployer", CONTEXT, change)
    return said


async def test_who_was_overtaken_after_looking_decides_again_on_what_is_there_now(
    idle_world: World,
) -> None:
    async with idle_world.deployer():
        await idle_world.deploy_and_wait()

    async def stop() -> None:
        assert await decide(idle_world.wiring, Stop(project="churn", request=2)) == ["ModelStopped"]

    overtaken: Any = StoreThatIsOvertaken(idle_world.wiring.store, stop)
    diverged = ReportDiverged(project="churn", release=1, why="it was ended by SIGKILL")
    said = await decide(replace(idle_world.wiring, store=overtaken), diverged)

    assert said == []
    assert (await idle_world.names())[-1] == "model.stopped"
