"""A start, an update, a stop and a deletion, with the deployer killed behind each step of each, one after the other.

Whatever it had done by then, the next one ends what was asked for, once, and leaves nothing beside it. Subclass with a
`place`, which knows a model host.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, cast

import sqlalchemy as sa
from placet.deployer.ports import ModelHost, Ports
from placet.deployer.projections import TABLES
from placet.deployer.settings import DeployerSettings
from placet.events import Wiring, tables
from placet.events.adapters.in_process_bus import InProcessHub
from placet.events.store import Run, Unit
from placet.trust import KeySet, SigningKey

from tests.faults.mortal import Killed, Life, MortalRouter, MortalStore
from tests.support.eventually import eventually
from tests.unit.deployer.harness import ShiftedClock, World

Act = Callable[["MortalWorld"], Awaitable[None]]


class Place(Protocol):
    """Where models run."""

    image: str
    counts_commits: bool

    def host(self, folder: Path, life: Life) -> ModelHost:
        """Of a deployer that begins."""

    async def begin(self, host: ModelHost) -> None:
        """What a deployer does first."""

    async def vanish(self, host: ModelHost) -> None:
        """The deployer of this host is gone."""

    async def left(self, folder: Path) -> Sequence[str]:
        """All that is there outside of the deployer, by name."""

    def expected(self, *releases: int, ended: Sequence[int] = ()) -> Sequence[str]:
        """What should be there while these run and those have ended."""


@dataclass(kw_only=True)
class MortalWorld(World):
    """One deployer after the other, over what the one before left."""

    place: Place
    folder: Path
    kept: Wiring
    life: Life
    mortal_host: ModelHost

    @property
    def ports(self) -> Ports:
        return replace(super().ports, host=self.mortal_host, router=MortalRouter(self.router, self.life))

    async def deploy(
        self,
        project: str = "churn",
        release: int = 1,
        *,
        memory: int = 2**29,
        replicas: tuple[int, int] = (1, 1),
    ) -> None:
        """As far as anybody hears it: what nobody does is said again."""
        for saying in (
            self.request_deploy(project, release),
            self.clear(project, release, memory=memory, replicas=replicas),
            self.certify(project, release, image=self.place.image),
        ):
            with suppress(Killed):
                await saying

    async def lives(self, life: Life, act: Act) -> None:
        """A deployer does what is asked of it, until nothing is left to be done or its life is over."""
        self.life = life
        store = MortalStore(self.kept.store, life) if self.place.counts_commits else self.kept.store
        self.wiring = replace(self.kept, store=cast(Any, store))
        self.mortal_host = self.place.host(self.folder, life)
        await self.place.begin(self.mortal_host)
        with suppress(BaseExceptionGroup, Killed):
            async with self.deployer():
                life.counts = True
                await act(self)
                await eventually(self._is_through)
                life.counts = False
        await self.place.vanish(self.mortal_host)
        self.wiring = self.kept
        if life.is_over:  # as the platform does that finds its lock left
            free = sa.update(tables.jobs).values(leased_by=None, leased_until=0.0)
            await self.kept.store.commit(
                Unit(writes=(Run(statement=sa.delete(tables.leases)), Run(statement=free)))
            )

    async def _is_through(self) -> bool:
        """All that was said is heard, and what follows from it is done."""
        if self.life.is_over:
            return True
        rows = await self.kept.store.rows(sa.select(tables.inbox_cursors))
        heard = {row.producer: row.position for row in rows}
        waiting = await self.kept.store.rows(sa.select(tables.inbox))
        return heard.items() >= self.positions.items() and not waiting and not await self.jobs()


@asynccontextmanager
async def mortal_world(place: Place, folder: Path) -> AsyncIterator[MortalWorld]:
    await asyncio.to_thread(folder.mkdir)
    hub, clock, key = InProcessHub(), ShiftedClock(), SigningKey.generate()
    wiring = await Wiring.embedded(
        "deployer", data=folder, hub=hub, tables=(TABLES,), clock=clock, is_kept=False
    )
    keys = folder / "tokens.json"
    keys.write_text(KeySet([key.public]).to_json())
    settings = DeployerSettings(
        registry=str(folder / "registry"),
        data=folder / "deployer",
        certifier_keys=keys,
        token_keys=keys,
        public_url="https://models.example.org/",
        cpu=4,
        memory=4 * 2**30,
        drain_seconds=0.0,
        ready_seconds=30.0,
        stop_seconds=0.5,
        reconcile_seconds=0.2,
        observe_seconds=3600.0,
        liveness_seconds=3600.0,
        certifier_silence_seconds=1e9,
    )
    life = Life()
    world = MortalWorld(
        wiring=wiring,
        clock=clock,
        hub=hub,
        settings=settings,
        token_key=key,
        place=place,
        folder=folder,
        kept=wiring,
        life=life,
        mortal_host=place.host(folder, life),
    )
    try:
        yield world
    finally:
        await wiring.store.close()


async def nothing(world: MortalWorld) -> None:
    """Is asked for."""


async def say_again(world: MortalWorld) -> None:
    await world.say_again()


async def start(world: MortalWorld) -> None:
    await world.deploy("churn", 1)


async def update(world: MortalWorld) -> None:
    await world.deploy("churn", 2)


async def stop(world: MortalWorld) -> None:
    with suppress(Killed):
        await world.request_stop("churn")


async def delete(world: MortalWorld) -> None:
    with suppress(Killed):
        await world.request_delete("churn")


class KilledAtEveryStep:
    async def test_a_start(self, place: Place, tmp_path: Path) -> None:
        await _at_every_step(place, tmp_path, before=(), act=start, live=1)

    async def test_an_update(self, place: Place, tmp_path: Path) -> None:
        await _at_every_step(place, tmp_path, before=(start,), act=update, live=2, ended=(1,))

    async def test_a_stop(self, place: Place, tmp_path: Path) -> None:
        await _at_every_step(place, tmp_path, before=(start,), act=stop, live=None, ended=(1,))

    async def test_a_deletion(self, place: Place, tmp_path: Path) -> None:
        await _at_every_step(place, tmp_path, before=(start,), act=delete, live=None)


async def _at_every_step(
    place: Place,
    tmp_path: Path,
    *,
    before: Sequence[Act],
    act: Act,
    live: int | None,
    ended: Sequence[int] = (),
) -> None:
    async def once(folder: Path, life: Life) -> Life:
        async with mortal_world(place, folder) as world:
            for each in before:
                await world.lives(Life(), each)
            await world.lives(life, act)
            await world.lives(Life(), say_again)
            await _is_as_wanted(world, live, ended, killed=f"killed behind {life.ends_behind}")
            await world.lives(Life(), delete)
            assert await place.left(world.folder) == place.expected(), f"killed behind {life.ends_behind}"
        return life

    whole = await once(tmp_path / "whole", Life())
    killed = [
        (await once(tmp_path / str(number), Life(ends_behind=step))).is_over
        for number, step in enumerate(whole.steps)
    ]
    # Once more that a route is looked at, or once less: what is done again may be done in another order.
    assert sum(killed) > len(killed) / 2, whole.steps


async def _is_as_wanted(world: MortalWorld, live: int | None, ended: Sequence[int], *, killed: str) -> None:
    state = await world.state("churn")
    assert (state.live.release if state.live else None) == live, killed
    assert state.starting is None, killed
    looking = world.place.host(world.folder, Life())
    running = [each for each in await looking.list() if each.is_running]
    await world.place.vanish(looking)
    assert [each.release for each in running] == ([live] if live else []), killed
    assert world.router.endpoint("churn") == (running[0].endpoint if running else None), killed
    wanted = world.place.expected(*([live] if live else []), ended=ended)
    assert await world.place.left(world.folder) == wanted, killed
    said = [(name, of) for name, of, _ in await world.said() if name in ("model.started", "model.stopped")]
    assert len(said) == len(set(said)), f"{killed}: {said}"
