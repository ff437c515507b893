"""Who finds no room waits for some, in order, through restarts, and is told where they stand."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from placet.deployer import queries

from tests.support.eventually import eventually
from tests.unit.deployer.harness import World

HALF = 2**30
"""Of the memory that the platform has."""


async def ask_for(world: World, project: str, release: int = 1, *, memory: int = HALF) -> None:
    await world.request_deploy(project, release)
    await world.clear(project, release, memory=memory)


async def fill(world: World) -> None:
    await world.deploy_and_wait("churn", memory=HALF)
    await world.deploy_and_wait("fraud", memory=HALF)


async def test_what_finds_no_room_waits_and_has_it_as_soon_as_some_is_given_back(world: World) -> None:
    await fill(world)
    await ask_for(world, "wine")
    queued = await world.heard("resources.queued", "deploy wine 1")
    assert queued.why == (
        "wine asks for 0.5 CPU and 1024 MiB of memory, and 1 CPU and 0 MiB of memory is free"
    )
    assert queued.fix == "stop one of: churn, fraud; or ask for less in placet.yaml"
    assert queued.position == 1

    await world.request_stop("churn")
    await world.heard("resources.reserved", "deploy wine 1")
    await world.certify("wine")
    await world.heard("model.started", "deploy wine 1")


async def test_who_came_first_is_first_and_is_not_passed_by_who_asks_for_less(world: World) -> None:
    await fill(world)
    await ask_for(world, "large", memory=2 * HALF)
    await world.heard("resources.queued", "deploy large 1")
    await ask_for(world, "small", memory=HALF // 2)
    assert (await world.heard("resources.queued", "deploy small 1")).position == 2
    await world.request_stop("churn")
    await world.heard("model.stopped", "stop")
    await ask_for(world, "tiny", memory=HALF // 4)
    late = await world.heard("resources.queued", "deploy tiny 1")
    assert late.position == 3
    assert late.why.endswith("1024 MiB of memory is free, which large and small waited for before")

    await world.request_stop("fraud")
    await world.heard("resources.reserved", "deploy large 1")
    assert (await world.heard("resources.queued", "deploy small 1", times=2)).position == 1
    assert (await world.heard("resources.queued", "deploy tiny 1", times=2)).position == 2
    await world.settled()
    names = await world.names()
    assert names.count("resources.queued") == 5  # and nothing that was said before was said again


async def test_who_asks_for_what_nobody_ahead_waits_for_does_not_wait(world: World) -> None:
    await fill(world)
    await ask_for(world, "large")
    await world.heard("resources.queued", "deploy large 1")
    await ask_for(world, "other", memory=0)
    await world.heard("resources.reserved", "deploy other 1")


async def test_a_start_waits_too_and_starts(world: World) -> None:
    await fill(world)
    await world.request_stop("churn")
    await world.heard("model.stopped", "stop")
    await world.deploy_and_wait("wine", memory=HALF)
    await world.request_start("churn")
    await world.heard("resources.queued", "start")
    await world.request_delete("wine")
    await world.heard("model.started", "start")
    assert {"churn", "fraud"} == {each.project for each in world.host.instances.values() if each.is_running}


async def test_what_a_start_that_failed_gives_back_is_given_on(world: World) -> None:
    await world.deploy_and_wait("churn", memory=HALF)
    await ask_for(world, "fraud")
    await world.heard("resources.reserved", "deploy fraud 1")
    await ask_for(world, "wine")
    await world.heard("resources.queued", "deploy wine 1")
    await world.fail_build("fraud")
    await world.heard("resources.reserved", "deploy wine 1")


async def test_a_later_request_of_the_project_takes_its_place_at_the_end(world: World) -> None:
    await fill(world)
    await ask_for(world, "wine", 1)
    await ask_for(world, "other")
    await world.heard("resources.queued", "deploy other 1")
    await ask_for(world, "wine", 2)
    failed = await world.heard("model.failed", "deploy wine 1")
    assert failed.why == "a later request for wine overtook release 1"
    await world.request_stop("churn")
    await world.heard("resources.reserved", "deploy other 1")
    await world.request_stop("fraud")
    await world.heard("resources.reserved", "deploy wine 2")


async def test_a_stop_ends_it_and_who_waited_is_told(world: World) -> None:
    await fill(world)
    await ask_for(world, "wine")
    await world.heard("resources.queued", "deploy wine 1")
    await world.request_stop("wine")
    await world.heard("model.failed", "deploy wine 1")
    await world.request_delete("churn")
    await world.heard("model.deleted", "delete")
    await world.settled()
    assert "resources.reserved" not in [
        name for name, operation, _ in await world.said() if operation == "deploy wine 1"
    ]


async def test_it_is_refused_when_its_time_is_over(world: World) -> None:
    await fill(world)
    await ask_for(world, "wine")
    queued = await world.heard("resources.queued", "deploy wine 1")
    world.clock.pass_(timedelta(hours=1))
    refused = await world.heard("resources.refused", "deploy wine 1")
    assert refused.why == f"it waited until now in vain: {queued.why}"
    assert refused.fix == queued.fix


async def test_who_waits_is_found_by_the_next_process_and_in_order(idle_world: World) -> None:
    world = idle_world
    async with world.deployer():
        await fill(world)
        await ask_for(world, "wine")
        await world.heard("resources.queued", "deploy wine 1")
        await ask_for(world, "other")
        await world.heard("resources.queued", "deploy other 1")
        await world.settled()
    async with world.deployer():
        await world.request_stop("churn")
        await world.heard("resources.reserved", "deploy wine 1")
        assert (await world.heard("resources.queued", "deploy other 1", times=2)).position == 1


async def test_what_loses_its_certificate_while_it_waits_to_start_is_not_started(world: World) -> None:
    await fill(world)
    await world.request_stop("churn")
    await world.heard("model.stopped", "stop")
    await world.deploy_and_wait("wine", memory=HALF)
    await world.request_start("churn")
    await world.heard("resources.queued", "start")
    await world.suspend("churn")
    failed = await world.heard("model.failed", "start")
    assert "does not stand: it drifts" in failed.why


async def test_what_was_quarantined_and_finds_its_room_taken_waits_to_be_back(world: World) -> None:
    await fill(world)
    await world.suspend("churn")
    await world.heard("model.quarantined", "suspend churn 1")
    await world.deploy_and_wait("wine", memory=HALF)
    await world.reinstate("churn")
    await world.heard("resources.queued", "reinstate churn 1")
    await world.request_stop("wine")
    await world.heard("model.started", "reinstate churn 1")


async def test_many_that_ask_at_once_have_places_of_their_own(world: World) -> None:
    await fill(world)
    names = [f"wine-{number}" for number in range(6)]
    await asyncio.gather(*(ask_for(world, name) for name in names))
    queued = [await world.heard("resources.queued", f"deploy {name} 1") for name in names]
    assert sorted(each.position for each in queued) == [1, 2, 3, 4, 5, 6]


async def heard_quota(world: World, number: int) -> None:
    """Wait until the deployer knows so many, or teams."""

    async def is_known() -> bool:
        quotas, teams = (await queries.quotas(world.wiring.store), await queries.teams(world.wiring.store))
        return len(quotas) + len(teams) == number

    await eventually(is_known)


class TestQuotas:
    async def test_what_does_not_fit_its_teams_quota_waits_and_holds_nobody_else_up(
        self, world: World
    ) -> None:
        await world.set_quota("team", "fraud", cpu_millis=1000)
        for project in ("churn", "credit", "wine"):
            await world.assign(project, "fraud")
        await heard_quota(world, 4)
        await world.deploy_and_wait("churn", memory=2**20)
        await world.deploy_and_wait("credit", memory=2**20)
        await ask_for(world, "wine", memory=2**20)
        queued = await world.heard("resources.queued", "deploy wine 1")
        assert queued.why == "team fraud has 1 CPU and churn and credit hold 1 CPU; wine asks for 0.5 CPU"
        assert queued.fix == (
            "stop one of: churn, credit; or have an operator raise its quota:"
            " placet quota set --team fraud --cpu 1500m"
        )
        assert (queued.quota, queued.position) == ("team fraud", 1)
        await ask_for(world, "other", memory=2**20)
        await world.heard("resources.reserved", "deploy other 1")

        await world.request_stop("churn")
        await world.heard("resources.reserved", "deploy wine 1")

    async def test_a_raised_or_removed_quota_and_another_team_let_in_who_waited(self, world: World) -> None:
        await world.set_quota("team", "fraud", models=1)
        for project in ("churn", "credit", "wine", "tumours"):
            await world.assign(project, "fraud")
        await heard_quota(world, 5)
        await world.deploy_and_wait("churn", memory=2**20)
        for project in ("credit", "wine", "tumours"):
            await ask_for(world, project, memory=2**20)
            await world.heard("resources.queued", f"deploy {project} 1")
        await world.set_quota("team", "fraud", models=2)
        await world.heard("resources.reserved", "deploy credit 1")
        await world.assign("tumours", None)
        await world.heard("resources.reserved", "deploy tumours 1")
        await world.remove_quota("team", "fraud")
        await world.heard("resources.reserved", "deploy wine 1")

    async def test_what_can_never_fit_is_refused_at_once_and_when_its_quota_is_lowered(
        self, world: World
    ) -> None:
        await world.set_quota("project", "wine", memory_bytes=HALF)
        await heard_quota(world, 1)
        await ask_for(world, "wine", memory=HALF + 1)
        refused = await world.heard("resources.refused", "deploy wine 1")
        assert refused.why.startswith("project wine has 1024 MiB of memory, and wine asks for 1024 MiB")
        assert refused.fix == (
            "ask for less in placet.yaml; or have an operator raise its quota: placet quota set --project wine"
            " --memory 1025Mi"
        )
        await fill(world)
        await ask_for(world, "wine", 2)
        await world.heard("resources.queued", "deploy wine 2")
        await world.set_quota("project", "wine", memory_bytes=HALF // 2)
        await world.heard("resources.refused", "deploy wine 2")

    async def test_a_lowered_quota_ends_nothing_and_a_smaller_release_may_replace_a_larger(
        self, world: World
    ) -> None:
        await world.deploy_and_wait("churn", memory=HALF)
        await world.set_quota("project", "churn", memory_bytes=HALF // 2)
        await heard_quota(world, 1)
        await world.deploy_and_wait("churn", 2, memory=HALF // 4)
        assert await world.names() == ["resources.reserved", "start.accepted", "model.started"] * 2

    async def test_who_waits_for_a_quota_is_not_passed_by_those_who_share_it(self, world: World) -> None:
        await world.set_quota("team", "fraud", memory_bytes=HALF)
        for project in ("churn", "large", "small"):
            await world.assign(project, "fraud")
        await heard_quota(world, 4)
        await world.deploy_and_wait("churn", memory=HALF // 2)
        await ask_for(world, "large", memory=HALF)
        await world.heard("resources.queued", "deploy large 1")
        await ask_for(world, "small", memory=HALF // 4)
        queued = await world.heard("resources.queued", "deploy small 1")
        assert queued.position == 2
        assert queued.why == "what team fraud has left is waited for by large, who came before small"
