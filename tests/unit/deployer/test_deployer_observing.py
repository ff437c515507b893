"""The deployer reads what live models count, and says so; with models that a test counts for."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec
from placet.deployer.observations import Column, Counters, Seconds
from placet.events.contracts.deployer import ModelObserved

from tests.support.eventually import eventually
from tests.unit.deployer.harness import World


def counters(requests: int, *, started: float = 1.0, ages: tuple[int, ...] = ()) -> Counters:
    return Counters(
        started=started,
        requests=requests,
        refused=0,
        failed=0,
        rows=requests,
        seconds=Seconds(bounds=(0.001,), counts=(requests, 0)),
        columns=(Column(name="age", reference=(100, 100), counts=ages),) if ages else (),
    )


async def observed(world: World) -> list[ModelObserved]:
    return [data for name, _, data in await world.said() if name == "model.observed"]


async def times(world: World, count: int) -> list[ModelObserved]:
    async def found() -> list[ModelObserved]:
        said = await observed(world)
        return said if len(said) >= count else []

    return await eventually(found)


async def looked(world: World, rounds: int = 2) -> None:
    """Until the deployer has asked every model anew, and told what came of it."""
    before = world.probe.readings
    await eventually(lambda: world.probe.readings >= before + rounds)


async def test_a_live_model_that_was_asked_is_told_of_in_its_operation(world: World) -> None:
    await world.deploy_and_wait()
    world.probe.counted = counters(240, ages=(180, 60))

    said = await world.heard("model.observed", "deploy churn 1")

    assert (said.project, said.release, said.requests, said.errors, said.p99_ms) == ("churn", 1, 240, 0, 1.0)
    assert (said.drift.column, said.drift.rows) == ("age", 240)
    assert said.drift.psi > 0.2
    assert datetime.fromisoformat(said.since) < datetime.fromisoformat(said.until)


async def test_a_canary_is_told_of_beside_what_serves_and_goes_on_where_it_was_when_it_is_promoted(
    world: World,
) -> None:
    await world.deploy_and_wait()
    await world.request_deploy(release=2, canary=10)
    await world.clear(release=2)
    await world.certify(release=2)
    await world.heard("canary.started", "deploy churn 2")
    world.probe.counted = counters(240, ages=(180, 60))

    drifted = await world.heard("model.observed", "deploy churn 2")
    beside = await world.heard("model.observed", "deploy churn 1")

    assert (drifted.release, drifted.requests, drifted.drift.rows) == (2, 240, 240)
    assert (beside.release, beside.requests) == (1, 240)
    await world.request_promote()
    await world.heard("model.started", "promote")
    await world.running("churn-2")
    world.probe.counted = counters(250, ages=(190, 60))
    further = await world.heard("model.observed", "deploy churn 2", times=2)
    assert (further.requests, further.drift) == (10, None)


async def test_windows_follow_one_another_and_idle_ones_are_silent(world: World) -> None:
    await world.deploy_and_wait()
    world.probe.counted = counters(3)
    await times(world, 1)
    await looked(world, 4)
    world.probe.counted = counters(10)
    await looked(world, 4)

    first, second = await times(world, 2)

    assert [each.requests for each in await observed(world)] == [3, 7]
    assert second.since >= first.until


async def test_a_model_that_says_nothing_is_asked_again(world: World) -> None:
    await world.deploy_and_wait()
    world.probe.counted = counters(3)
    await times(world, 1)
    world.probe.counted = None
    await looked(world)
    world.probe.counted = counters(10)

    assert [each.requests for each in await times(world, 2)] == [3, 7]


async def test_a_model_that_was_started_again_counts_from_nothing(world: World) -> None:
    await world.deploy_and_wait()
    world.probe.counted = counters(30)
    await times(world, 1)
    world.probe.counted = counters(4, started=2.0)

    assert [each.requests for each in await times(world, 2)] == [30, 4]


async def test_the_next_deployer_goes_on_where_this_one_ended(idle_world: World) -> None:
    world = idle_world
    async with world.deployer():
        await world.deploy_and_wait()
        world.probe.counted = counters(30)
        (first,) = await times(world, 1)
    world.clock.pass_(timedelta(hours=1))
    world.probe.counted = counters(31)
    async with world.deployer():
        _, second = await times(world, 2)
        await looked(world)

    assert [each.requests for each in await observed(world)] == [30, 1]
    assert second.since == first.until


async def test_what_does_not_serve_is_not_asked(world: World) -> None:
    await world.deploy_and_wait()
    await world.deploy_and_wait("price")
    await world.request_stop()
    await world.heard("model.stopped", "stop")
    await world.settled()
    await looked(world)
    world.probe.counted = counters(30)

    await times(world, 1)
    await looked(world)

    assert [each.project for each in await observed(world)] == ["price"]


async def test_an_event_of_the_widest_model_is_small_enough(world: World) -> None:
    await world.deploy_and_wait()
    wide = tuple(
        Column(name=f"{number:03}{'☂' * 197}", reference=(50, 50), counts=(number, 300 - number))
        for number in range(256)
    )
    world.probe.counted = msgspec.structs.replace(counters(300), columns=wide)

    (said,) = await times(world, 1)

    assert said.drift is not None
    assert len(said.drift.columns) == 50
    assert said.drift.column.startswith("000")
