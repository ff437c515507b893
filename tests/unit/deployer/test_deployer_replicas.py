"""A release of several replicas: all are ready before it serves, all are routed to, and one that dies comes back."""

from __future__ import annotations

from placet.deployer.ports import Target

from tests.unit.deployer.harness import World


def routed(world: World) -> set[str]:
    return {target.endpoint for target in world.router.table["churn"]}


async def test_as_many_run_and_are_routed_to_as_are_asked_for(world: World) -> None:
    await world.deploy_and_wait(replicas=(3, 5))

    started = await world.heard("model.started", "deploy churn 1")
    assert world.host.running() == {"churn-1", "churn-1.2", "churn-1.3"}
    assert (started.replicas, len(set(started.endpoints))) == (3, 3)
    assert world.router.table["churn"] == {Target(endpoint=each) for each in started.endpoints}


async def test_nothing_serves_before_each_replica_does(world: World) -> None:
    world.host.dies_at_once.add("churn-1.2")
    world.probe.is_ready_at = lambda endpoint: world.host.instances["churn-1"].endpoint == endpoint
    await world.deploy(replicas=(2, 2))

    failed = await world.heard("model.failed", "deploy churn 1")
    assert failed.why.startswith("churn did not start: it ended with status 3")
    await world.settled()
    assert (world.router.table, world.host.running()) == ({}, set())


async def test_one_that_dies_is_started_again_and_the_others_serve_meanwhile(world: World) -> None:
    await world.deploy_and_wait(replicas=(2, 2))
    before = routed(world)

    world.host.die("churn-1.2")

    diverged = await world.heard("model.diverged", "deploy churn 1")
    assert diverged.serves
    assert diverged.why == "1 of 2 replicas are down: churn-1.2: it was ended by SIGKILL"
    await world.heard("model.started", "deploy churn 1", times=2)
    assert world.host.running() == {"churn-1", "churn-1.2"}
    assert routed(world) == before


async def test_a_new_release_begins_with_as_many_as_serve_as_far_as_it_allows(world: World) -> None:
    await world.deploy_and_wait(memory=2**28, replicas=(2, 2))
    await world.deploy_and_wait(release=2, memory=2**28, replicas=(1, 4))
    await world.running("churn-2", "churn-2.2")

    await world.deploy_and_wait(release=3, memory=2**28, replicas=(1, 1))
    await world.running("churn-3")


async def test_what_was_stopped_comes_back_with_as_many_as_it_had_been_scaled_to(world: World) -> None:
    await world.deploy_and_wait(memory=2**28, replicas=(1, 3))
    await world.request_scale(2)
    await world.running("churn-1", "churn-1.2")
    await world.request_stop()
    await world.running()

    await world.request_start(release=1)

    await world.running("churn-1", "churn-1.2")


async def test_what_was_deleted_begins_anew(world: World) -> None:
    await world.deploy_and_wait(memory=2**28, replicas=(1, 3))
    await world.request_scale(2)
    await world.running("churn-1", "churn-1.2")
    await world.request_delete()
    await world.running()

    await world.deploy_and_wait(release=2, memory=2**28, replicas=(1, 3))

    await world.running("churn-2")


async def test_replicas_hold_room_for_each(world: World) -> None:
    most = world.settings.memory or 0
    await world.request_deploy()
    await world.clear(memory=most // 2 + 1, replicas=(2, 2))

    refused = await world.heard("resources.refused", "deploy churn 1")
    assert "of memory" in refused.why
    await world.deploy_and_wait("fraud", memory=most // 2, replicas=(2, 2))


async def test_a_host_that_scales_is_asked_for_one_that_stands_for_all(world: World) -> None:
    world.host.scales = True
    await world.deploy_and_wait(replicas=(3, 5))

    assert world.host.running() == {"churn-1"}
    assert len(world.router.table["churn"]) == 1
