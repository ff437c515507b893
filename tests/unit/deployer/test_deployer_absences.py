"""Whatever runs the models is away, for a minute or for longer than anybody waits.

What serves serves on, what was asked for comes or is said not to, and nothing is left over afterwards.
"""

from __future__ import annotations

from datetime import timedelta

import pytest
from placet.errors import Unavailable

from tests.support.eventually import eventually
from tests.unit.deployer.harness import World

MINUTE = timedelta(minutes=1)
LONGER_THAN_ALL = timedelta(hours=3)
"""Than a job is tried, a lease, a reservation and a queue hold, and anything else that has an end."""
AWAY = {
    "an engine": Unavailable("the engine does not answer"),
    "a cluster": Unavailable("the cluster does not answer", retry_after=1.0),
    "somebody in a hurry": Unavailable("not now", retry_after=0.01),
}


async def serves(world: World, release: int) -> None:
    """The one release, at the one place that its instance listens at, and is well."""
    [instance] = [each for each in world.host.instances.values() if each.is_running]
    assert (instance.project, instance.release) == ("churn", release)
    assert world.router.endpoint("churn") == instance.endpoint
    live = (await world.state()).live
    assert live is not None
    assert (live.release, live.endpoints, live.diverged) == (release, (instance.endpoint,), False)


@pytest.mark.parametrize("away", AWAY.values(), ids=AWAY.keys())
async def test_what_was_asked_for_comes_after_a_minute_of_absence(world: World, away: Unavailable) -> None:
    await world.deploy_and_wait("churn", 1)
    world.host.away = away
    await world.deploy("churn", 2)
    await world.heard("start.accepted", "deploy churn 2")
    await world.let_pass(MINUTE)
    assert not {"model.failed", "model.diverged"} & set(await world.names())
    assert world.host.running() == {"churn-1"}
    world.host.away = None
    await world.let_pass(MINUTE)
    await world.heard("model.started", "deploy churn 2")
    await world.settled()
    await serves(world, 2)


async def test_who_waits_is_told_once_what_is_away_and_that_it_goes_on(world: World) -> None:
    world.host.away = Unavailable("the engine does not answer", fix="start it")
    await world.deploy("churn", 1)
    delayed = await world.heard("start.accepted", "deploy churn 1", times=2)
    assert delayed.delayed == "the engine does not answer; start it"
    await world.let_pass(MINUTE)
    assert (await world.names()).count("start.accepted") == 2
    world.host.away = None
    await world.let_pass(MINUTE)
    assert (await world.heard("start.accepted", "deploy churn 1", times=3)).delayed is None
    await world.heard("model.started", "deploy churn 1")
    await world.settled()
    await serves(world, 1)
    assert (await world.names()).count("start.accepted") == 3


async def test_a_scaling_that_is_delayed_says_so_and_comes(world: World) -> None:
    await world.deploy_and_wait("churn", 1, replicas=(1, 2))
    world.host.away = AWAY["an engine"]
    await world.request_scale(2)
    delayed = await world.heard("scale.accepted", "scale", times=2)
    assert delayed.delayed == "the engine does not answer"
    world.host.away = None
    await world.let_pass(MINUTE)
    assert (await world.heard("scale.accepted", "scale", times=3)).delayed is None
    assert (await world.heard("model.scaled", "scale")).replicas == 2
    await world.running("churn-1", "churn-1.2")


async def test_a_scaling_for_which_nothing_is_there_in_time_is_refused_with_what_was_away(
    world: World,
) -> None:
    await world.deploy_and_wait("churn", 1, replicas=(1, 2))
    world.host.away = AWAY["an engine"]
    await world.request_scale(2)
    await world.heard("scale.accepted", "scale", times=2)
    await world.let_pass(LONGER_THAN_ALL)
    refused = await world.heard("change.refused", "scale")
    assert refused.why == "it was tried 12 times: the engine does not answer"
    assert world.host.running() == {"churn-1"}


async def test_a_route_is_moved_after_a_minute_in_which_the_router_was_away(world: World) -> None:
    await world.deploy_and_wait("churn", 1)
    world.router.is_away = True
    await world.deploy("churn", 2)
    await eventually(lambda: "churn-2" in world.host.running())
    await world.let_pass(MINUTE)
    assert not {"model.failed", "model.diverged"} & set(await world.names())
    world.router.is_away = False
    await world.let_pass(MINUTE)
    await world.heard("model.started", "deploy churn 2")
    await world.settled()
    await serves(world, 2)


async def test_after_more_than_anybody_waits_it_is_said_and_all_goes_on(world: World) -> None:
    """A start is given up, a stop is made good, what was only reserved is free, and what serves was never touched."""
    await world.deploy_and_wait("churn", 1)
    await world.deploy_and_wait("fraud", 1)
    world.host.away = AWAY["an engine"]
    await world.deploy("churn", 2)
    await world.request_stop("fraud")
    await world.request_deploy("wine", 1)
    await world.clear("wine", 1)  # and nothing more is heard of it
    await world.heard("resources.reserved", "deploy wine 1")
    await world.heard("model.stopped", "stop")
    await world.let_pass(LONGER_THAN_ALL)
    failed = await world.heard("model.failed", "deploy churn 2")
    assert failed.why == "it was tried 12 times: the engine does not answer"
    assert failed.fix == "ask for it again when that is there"
    await world.heard("resources.released", "deploy wine 1")
    assert "model.diverged" not in await world.names()
    assert world.host.running() == {"churn-1", "fraud-1"}
    assert set(world.router.table) == {"churn"}

    world.host.away = None
    await world.running("churn-1")
    await world.settled()
    await serves(world, 1)
    await world.deploy_and_wait("churn", 3)
    await world.running("churn-3")
    await serves(world, 3)
    assert (await world.names()).count("model.failed") == 1
