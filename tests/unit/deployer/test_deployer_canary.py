"""A release that gets a share of the requests: begun, given more, promoted, aborted by people or for what it did."""

from __future__ import annotations

import asyncio

import pytest
from placet.deployer import handlers
from placet.deployer.observations import Counters, Seconds
from placet.deployer.ports import Target

from tests.support.eventually import eventually
from tests.unit.deployer.harness import World


def shares_of(world: World) -> dict[str, int]:
    """Weights by instance."""
    by_endpoint = {each.endpoint: each.id for each in world.host.instances.values()}
    return {by_endpoint[each.endpoint]: each.weight for each in world.router.table["churn"]}


async def begin(world: World, *, weight: int = 10, replicas: tuple[int, int] = (1, 1)) -> None:
    """A live release, and a canary of the next one."""
    await world.deploy_and_wait(memory=2**28, replicas=replicas)
    await world.request_deploy(release=2, canary=weight)
    await world.clear(release=2, memory=2**28)
    await world.certify(release=2)
    await world.heard("canary.started", "deploy churn 2")
    await world.settled()


def failing(requests: int, failed: int) -> Counters:
    return Counters(
        started=1.0,
        requests=requests,
        refused=0,
        failed=failed,
        rows=0,
        seconds=Seconds(bounds=(), counts=()),
        columns=(),
    )


async def test_a_canary_gets_its_share_beside_what_serves(world: World) -> None:
    await begin(world, weight=10)

    assert world.host.running() == {"churn-1", "churn-2"}
    assert shares_of(world) == {"churn-1": 9, "churn-2": 1}
    state = await world.state()
    assert state.live is not None
    assert state.live.release == 1
    assert "model.started" not in (await world.names())[-1:]


async def test_the_share_of_a_canary_is_the_same_beside_several_replicas(world: World) -> None:
    await begin(world, weight=25, replicas=(2, 2))

    shares = shares_of(world)
    canary = sum(weight for id, weight in shares.items() if id.startswith("churn-2"))
    assert canary / sum(shares.values()) == 0.25


async def test_it_is_given_more_and_then_all_and_what_it_ran_beside_ends(world: World) -> None:
    await begin(world)

    await world.request_promote(weight=50)
    await world.heard("canary.weighted", "promote")
    await eventually(lambda: shares_of(world) == {"churn-1": 1, "churn-2": 1})
    await world.request_promote()
    started = await world.heard("model.started", "promote")

    assert started.release == 2
    await world.running("churn-2")
    assert world.router.endpoint("churn") == world.host.instances["churn-2"].endpoint


async def test_an_abort_ends_it_and_what_it_ran_beside_serves_alone(world: World) -> None:
    await begin(world)

    await world.request_abort()

    aborted = await world.heard("canary.aborted", "abort")
    assert aborted.release == 2
    await world.running("churn-1")
    assert shares_of(world) == {"churn-1": 1}


@pytest.mark.parametrize(
    ("weight", "said", "shared"),
    [
        (50, "canary.weighted", {"churn-1": 1, "churn-2": 1}),
        (100, "model.started", {"churn-2": 1}),
        (0, "canary.aborted", {"churn-1": 1}),
    ],
)
async def test_requests_are_shared_otherwise_before_anybody_is_told(
    world: World, weight: int, said: str, shared: dict[str, int]
) -> None:
    await begin(world)
    before, asked = await world.names(), world.router.asked
    world.router.may_route = asyncio.Event()

    await (world.request_promote(weight=weight) if weight else world.request_abort())
    await eventually(lambda: world.router.asked > asked)
    assert await world.names() == before
    world.router.may_route.set()

    await world.heard(said, "promote" if weight else "abort")
    assert shares_of(world) == shared


@pytest.mark.parametrize("is_silent", [False, True])
async def test_a_router_that_does_not_share_otherwise_holds_nobody_up(
    world: World, monkeypatch: pytest.MonkeyPatch, *, is_silent: bool
) -> None:
    """Least of all who takes the project off its URL, which it may do all the same."""
    monkeypatch.setattr(handlers, "SHARED_WITHIN", 0.1)
    await begin(world)
    world.router.is_away = not is_silent
    world.router.may_route = asyncio.Event()
    if not is_silent:
        world.router.may_route.set()

    await world.request_promote(weight=50)

    await world.heard("canary.weighted", "promote")
    world.router.is_away = False
    world.router.may_route.set()
    await eventually(lambda: shares_of(world) == {"churn-1": 1, "churn-2": 1})


async def test_one_that_dies_is_aborted_with_its_last_words(world: World) -> None:
    await begin(world)

    world.host.die("churn-2")

    aborted = await world.heard("canary.aborted", "deploy churn 2")
    assert aborted.why == "it was ended by SIGKILL; it said last:\nchurn-2 was here"
    await world.settled()
    assert shares_of(world) == {"churn-1": 1}
    assert "model.diverged" not in await world.names()


async def test_one_that_fails_what_it_is_asked_is_aborted(world: World) -> None:
    await begin(world)

    world.probe.counted = failing(40, 12)

    aborted = await world.heard("canary.aborted", "deploy churn 2")
    assert aborted.why == "it failed 12 of 40 requests"


async def test_one_whose_certificate_is_suspended_is_aborted_before_anybody_is_told(world: World) -> None:
    await begin(world)

    await world.suspend(release=2)

    aborted = await world.heard("canary.aborted", "suspend churn 2")
    assert aborted.why.endswith("does not stand: it drifts")
    assert (aborted.fix, "model.quarantined" in await world.names()) == ("train it anew", False)
    assert shares_of(world) == {"churn-1": 1}


async def test_it_ends_with_what_it_runs_beside(world: World) -> None:
    await begin(world)

    await world.suspend(release=1)

    await world.heard("model.quarantined", "suspend churn 1")
    assert (await world.names()).count("canary.aborted") == 1
    await world.running()
    assert world.router.table == {}


@pytest.mark.parametrize("how", ["stop", "delete"])
async def test_its_end_is_told_also_when_people_end_what_it_runs_beside(world: World, how: str) -> None:
    await begin(world)

    await (world.request_stop() if how == "stop" else world.request_delete())

    assert (await world.heard("canary.aborted", how)).why == "what it ran beside serves no more"
    await world.running()
    assert (await world.state()).canary is None
    await (world.request_stop() if how == "stop" else world.request_delete())
    await world.settled()
    assert (await world.names()).count("canary.aborted") == 1, "there was none any more"


async def test_a_release_that_takes_the_place_of_what_serves_ends_the_canary(world: World) -> None:
    await begin(world)

    await world.deploy_and_wait(release=3, memory=2**28)

    aborted = await world.heard("canary.aborted", "deploy churn 3")
    assert aborted.why == "release 3 took its place"
    await world.running("churn-3")


async def test_nothing_is_promoted_or_aborted_where_there_is_no_canary(world: World) -> None:
    await world.deploy_and_wait()

    await world.request_promote()
    assert (await world.heard("change.refused", "promote")).why == "churn has no canary"
    await world.request_abort()
    assert (await world.heard("change.refused", "abort")).why == "churn has no canary"
    assert world.host.running() == {"churn-1"}


async def test_a_canary_beside_nothing_is_refused(world: World) -> None:
    await world.request_deploy(canary=10)
    await world.clear()
    await world.certify()

    failed = await world.heard("model.failed", "deploy churn 1")
    assert failed.why == "churn serves nothing that a canary could run beside"


async def test_a_canary_is_called_by_the_same_people(world: World) -> None:
    await world.deploy_and_wait()
    await world.request_deploy(release=2, canary=10)
    await world.clear(release=2, access="token")
    await world.certify(release=2)

    failed = await world.heard("model.failed", "deploy churn 2")
    assert "another `access`" in failed.why


async def test_its_route_comes_back_with_the_shares_that_it_had(world: World) -> None:
    await begin(world)
    before = shares_of(world)

    world.router.table["churn"] = frozenset({Target(endpoint="http://127.0.0.1:1")})

    await eventually(lambda: len(world.router.table["churn"]) == 2)
    assert shares_of(world) == before


async def test_a_deployer_that_starts_again_goes_on_with_it(idle_world: World) -> None:
    async with idle_world.deployer():
        await begin(idle_world)
        before = shares_of(idle_world)
    idle_world.router.table.clear()
    async with idle_world.deployer():
        await eventually(lambda: "churn" in idle_world.router.table and shares_of(idle_world) == before)
        assert idle_world.host.running() == {"churn-1", "churn-2"}


class TestScaling:
    async def test_more_replicas_are_started_and_routed_to(self, world: World) -> None:
        await world.deploy_and_wait(memory=2**28, replicas=(1, 3))

        await world.request_scale(3)

        scaled = await world.heard("model.scaled", "scale")
        assert (scaled.release, scaled.replicas, len(scaled.endpoints)) == (1, 3, 3)
        assert world.host.running() == {"churn-1", "churn-1.2", "churn-1.3"}
        assert set(shares_of(world)) == {"churn-1", "churn-1.2", "churn-1.3"}
        assert "model.diverged" not in await world.names()

    async def test_fewer_leave_their_route_and_end(self, world: World) -> None:
        await world.deploy_and_wait(memory=2**28, replicas=(1, 3))
        await world.request_scale(3)
        await world.heard("model.scaled", "scale")

        await world.request_scale(1)

        await world.heard("model.scaled", "scale", times=2)
        await world.running("churn-1")
        assert shares_of(world) == {"churn-1": 1}

    async def test_only_as_many_as_it_allows(self, world: World) -> None:
        await world.deploy_and_wait(replicas=(1, 2))

        await world.request_scale(3)

        refused = await world.heard("change.refused", "scale")
        assert refused.why == "churn runs 1 to 2 replicas, as its placet.yaml says"
        assert world.host.running() == {"churn-1"}

    async def test_without_room_it_stays_as_it_is(self, world: World) -> None:
        await world.deploy_and_wait(memory=2**30, replicas=(1, 9))

        await world.request_scale(3)

        assert "this platform has 2 CPU" in (await world.heard("change.refused", "scale")).why
        await world.request_scale(2)
        await world.heard("model.scaled", "scale")

    async def test_a_replica_that_does_not_start_leaves_what_serves(self, world: World) -> None:
        await world.deploy_and_wait(memory=2**28, replicas=(1, 3))
        world.host.dies_at_once.add("churn-1.2")
        first = world.host.instances["churn-1"].endpoint
        world.probe.is_ready_at = lambda endpoint: endpoint == first

        await world.request_scale(2)

        refused = await world.heard("change.refused", "scale")
        assert refused.why.startswith("churn did not start: it ended with status 3")
        await world.running("churn-1")
        assert shares_of(world) == {"churn-1": 1}

    async def test_one_that_was_begun_is_finished_by_the_next_deployer(self, idle_world: World) -> None:
        async with idle_world.deployer():
            await idle_world.deploy_and_wait(memory=2**28, replicas=(1, 3))
            idle_world.probe.is_slow = True
            await idle_world.request_scale(2)
            await eventually(lambda: "churn-1.2" in idle_world.host.instances)
        idle_world.probe.is_slow = False
        async with idle_world.deployer():
            await idle_world.heard("model.scaled", "scale")
        assert idle_world.host.running() == {"churn-1", "churn-1.2"}

    async def test_nothing_is_scaled_that_does_not_serve(self, world: World) -> None:
        await world.deploy_and_wait()
        await world.request_stop()
        await world.heard("model.stopped", "stop")

        await world.request_scale(2)

        assert "serves nothing" in (await world.heard("change.refused", "scale")).why
