"""A certifier that is silent could not take anything back: models leave their routes, and are back when it is."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from placet.deployer.placements import Placements
from placet.deployer.ports import Instance
from placet.deployer.project import Live, Quarantined
from placet.deployer.reconcile import Reconciliation
from placet.deployer.room import Amount
from placet.deployer.settings import DeployerSettings
from placet.deployer.vigil import GRACE, KEPT_EVERY, Vigil
from placet.errors import Unavailable
from placet.events.adapters.in_process_bus import InProcessBus
from placet.events.bus import Alive

from tests.support.eventually import eventually
from tests.unit.deployer.fakes import FakeModelHost
from tests.unit.deployer.harness import ShiftedClock, World

HOUR = timedelta(hours=1)
LOOK = timedelta(seconds=20)


class HostThatCounts(FakeModelHost):
    """So that a test sees whether the deployer looks on."""

    listings = 0

    async def list(self) -> Sequence[Instance]:
        self.listings += 1
        return await super().list()


@pytest.fixture
async def watching(idle_world: World) -> AsyncIterator[World]:
    """A deployer that lets the certifier be silent for an hour, as it does unless told otherwise."""
    limit = DeployerSettings.model_fields["certifier_silence_seconds"].default
    assert limit == HOUR.total_seconds()
    idle_world.settings = idle_world.settings.model_copy(update={"certifier_silence_seconds": limit})
    idle_world.host = HostThatCounts()
    async with idle_world.deployer():
        yield idle_world


async def alive(world: World, producer: str = "certifier") -> None:
    await InProcessBus(world.hub, producer).tell(Alive(producer=producer))


async def silent_for(world: World, span: timedelta) -> None:
    """And until nothing serves any more, while the deployer looks on: it has to have been there itself for a while."""
    world.clock.pass_(span)
    host = world.host
    assert isinstance(host, HostThatCounts)
    seen = host.listings

    async def nothing_serves() -> bool:
        nonlocal seen
        if host.listings > seen:
            seen = host.listings
            world.clock.pass_(timedelta(seconds=5))
        return world.router.table == {}

    await eventually(nothing_serves)


async def test_a_certifier_that_is_silent_for_an_hour_has_all_models_off_their_routes(
    watching: World,
) -> None:
    for project in ("churn", "price"):
        await watching.deploy_and_wait(project)
    watching.clock.pass_(HOUR - timedelta(minutes=1))
    await alive(watching)
    watching.clock.pass_(HOUR - timedelta(minutes=1))
    await alive(watching, "gateway")
    assert set(watching.router.table) == {"churn", "price"}
    await silent_for(watching, timedelta(minutes=2))

    for project in ("churn", "price"):
        quarantined = await watching.heard("model.quarantined", f"deploy {project} 1")
        assert quarantined.rule == "certifier.alive"
        assert quarantined.why.startswith("nothing was heard since ")
    await eventually(lambda: watching.router.table == {})
    await watching.settled()
    told = watching.router.told["churn"]
    assert told is not None
    assert (told.rule, "certificate:churn-1" in told.detail) == ("certifier.alive", True)

    await watching.request_start(operation="start anyway")
    failed = await watching.heard("model.failed", "start anyway")
    assert "is not relied on: nothing was heard since" in failed.why


async def silenced(world: World) -> None:
    await silent_for(world, 2 * HOUR)
    await world.heard("model.quarantined", "deploy churn 1")
    await world.settled()


async def test_what_was_off_for_silence_is_back_with_a_sign_of_life(watching: World) -> None:
    await watching.deploy_and_wait()
    await silenced(watching)
    await alive(watching)
    await watching.heard("model.started", "deploy churn 1", times=2)
    assert set(watching.router.table) == {"churn"}
    assert isinstance((await watching.state()).serving, Live)
    await watching.settled()
    await alive(watching)
    assert (await watching.names()).count("start.accepted") == 2


async def test_what_somebody_stopped_meanwhile_stays_stopped(watching: World) -> None:
    await watching.deploy_and_wait()
    await silenced(watching)
    await watching.request_stop()
    await watching.heard("model.stopped", "stop")
    await alive(watching)
    await watching.deploy_and_wait("price")
    await watching.settled()
    assert set(watching.router.table) == {"price"}


async def test_what_was_suspended_meanwhile_stays_off_and_says_why(watching: World) -> None:
    await watching.deploy_and_wait()
    await silenced(watching)
    await watching.suspend()
    suspended = await watching.heard("model.quarantined", "suspend churn 1")
    assert suspended.rule == "operate.drift"
    await alive(watching)
    await watching.deploy_and_wait("price")
    await watching.settled()
    told = watching.router.told["churn"]
    assert (set(watching.router.table), told and told.rule) == ({"price"}, "operate.drift")
    await watching.reinstate()
    await watching.heard("model.started", "reinstate churn 1")


# how long it was silent


async def looked_on(vigil: Vigil, clock: ShiftedClock, span: timedelta) -> bool:
    """Whether it says that the certifier is silent, asked again and again as time passes."""
    is_silent = False
    for _ in range(int(span / LOOK) + 1):
        is_silent = await vigil.silent_while_awake() is not None
        clock.pass_(LOOK)
    return is_silent


async def test_the_silence_is_counted_through_restarts(idle_world: World) -> None:
    """Counted from each start, a deployer that starts every half an hour would never notice."""
    clock = idle_world.clock

    def process() -> Vigil:
        return Vigil(wiring=idle_world.wiring, limit=HOUR)

    await process().on_alive("certifier")
    assert not await looked_on(process(), clock, timedelta(minutes=50))
    clock.pass_(timedelta(minutes=20))
    last = process()
    assert await last.silent_since() is not None, "who would start something waits"
    assert not await looked_on(last, clock, GRACE - LOOK), "it may be heard of right after a start"
    assert await looked_on(last, clock, GRACE)
    await last.on_alive("certifier")
    assert await last.silent_while_awake() is None


async def test_where_nothing_was_ever_heard_the_first_start_counts(idle_world: World) -> None:
    for _ in range(3):
        vigil = Vigil(wiring=idle_world.wiring, limit=HOUR)
        assert await vigil.silent_since() is None
        idle_world.clock.pass_(timedelta(minutes=25))
    assert await vigil.silent_since() is not None


async def test_a_machine_that_slept_hears_the_certifier_in(idle_world: World) -> None:
    vigil = Vigil(wiring=idle_world.wiring, limit=HOUR)
    await vigil.on_alive("certifier")
    assert not await looked_on(vigil, idle_world.clock, timedelta(minutes=5))
    idle_world.clock.pass_(8 * HOUR)
    assert await vigil.silent_while_awake() is None
    assert await looked_on(vigil, idle_world.clock, 2 * GRACE)


async def test_a_replica_that_stands_by_knows_what_another_heard(idle_world: World) -> None:
    leader, other = (Vigil(wiring=idle_world.wiring, limit=HOUR) for _ in range(2))
    for vigil in (other, leader):
        idle_world.clock.pass_(KEPT_EVERY)
        await vigil.on_alive("certifier")
    for _ in range(5):
        idle_world.clock.pass_(timedelta(minutes=30))
        await leader.on_alive("certifier")
    assert await other.silent_since() is None


# without a database


class StoreThatIsAway:
    """A store that answers nothing any more once it `is_away`."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.is_away = False

    async def rows(self, query: Any) -> Any:
        if self.is_away:
            raise Unavailable("the database is away")
        return await self._store.rows(query)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


@pytest.mark.parametrize(
    ("later", "serves"), [(HOUR / 2, True), (2 * HOUR, False), (timedelta(days=91), False)]
)
async def test_what_ended_leaves_its_route_even_while_the_database_is_away(
    idle_world: World, later: timedelta, serves: bool
) -> None:
    async with idle_world.deployer():
        await idle_world.deploy_and_wait()
    store: Any = StoreThatIsAway(idle_world.wiring.store)
    wiring = replace(idle_world.wiring, store=store)
    reconciliation = Reconciliation(
        ports=idle_world.ports,
        placements=Placements(reads=store, total=Amount(), reservation=HOUR),
        wiring=wiring,
        grace=60.0,
        vigil=Vigil(wiring=wiring, limit=HOUR),
    )
    await reconciliation.run()
    store.is_away = True
    idle_world.clock.pass_(later)
    for _ in range(5):
        with pytest.raises(Unavailable):
            await reconciliation.run()
        idle_world.clock.pass_(LOOK)
    assert ("churn" in idle_world.router.table) is serves
    store.is_away = False
    await reconciliation.run()
    assert isinstance((await idle_world.state()).serving, Live if serves else Quarantined)
