"""The deployer as a running service: messages in, events out, models up and down. Everything around it is fake."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from functools import partial

import sqlalchemy as sa
from placet.deployer.placements import Placements
from placet.deployer.ports import Instance, Sample, Target
from placet.deployer.project import Live
from placet.deployer.reconcile import DEATHS, Reconciliation
from placet.deployer.room import Amount
from placet.deployer.vigil import Vigil
from placet.errors import Unavailable
from placet.events.codec import timestamp
from placet.events.outcome import MAX_ATTEMPTS
from placet.events.store import Claim, ClaimLost, Unit
from placet.events.tables import jobs

from tests.support.eventually import eventually
from tests.unit.deployer.fakes import FakeModelHost
from tests.unit.deployer.harness import World

ALONE = {"reconcile_seconds": 3600.0, "observe_seconds": 3600.0}
"""Nobody lists what runs but the test, after the deployer's own first rounds."""
FIRST_ROUNDS = 2
"""Reconciling and observing each begin with one."""


class HostThatIsOvertaken(FakeModelHost):
    """Something happens while its instances are listed for the next time, before or after it looked itself."""

    listings = 0
    before_listing: Callable[[], Awaitable[None]] | None = None
    after_listing: Callable[[], Awaitable[None]] | None = None

    async def list(self) -> Sequence[Instance]:
        self.listings += 1
        before, self.before_listing = self.before_listing, None
        after, self.after_listing = self.after_listing, None
        if before is not None:
            await before()
        found = await super().list()
        if after is not None:
            await after()
        return found


async def has_said(world: World, name: str, times: int) -> bool:
    return (await world.names()).count(name) == times


def reconciliation_of(world: World) -> Reconciliation:
    """One that is run by the test, and looks again at once at what died."""
    placements = Placements(reads=world.wiring.store, total=Amount(), reservation=timedelta(minutes=15))
    return Reconciliation(
        ports=world.ports,
        placements=placements,
        wiring=world.wiring,
        grace=60.0,
        pause=0.0,
        vigil=Vigil(wiring=world.wiring, limit=timedelta(days=1000)),
    )


class TestDeploying:
    async def test_a_certified_release_is_live_at_its_url(self, world: World) -> None:
        await world.deploy()

        started = await world.heard("model.started", "deploy churn 1")
        assert started.url == "https://models.example.org/models/churn"
        assert started.sample == "none"
        assert await world.names() == ["resources.reserved", "start.accepted", "model.started"]
        assert world.router.endpoint("churn") == started.endpoints[0]
        assert world.host.running() == {"churn-1"}

    async def test_what_it_takes_takes_turns_of_who_asked_for_it(self, world: World) -> None:
        await world.request_deploy()
        await world.clear(asker="person:ada")
        reserved = await world.heard("resources.reserved", "deploy churn 1")
        await world.certify()
        await world.heard("model.started", "deploy churn 1")

        assert reserved.asker == "person:ada"
        assert await world.turns() == {("start", "person:ada"), ("settle", "person:ada")}

    async def test_a_trial_that_is_certified_late_takes_no_governed_releases_place(
        self, world: World
    ) -> None:
        await world.deploy_and_wait()
        await world.request_deploy(release=2)
        await world.clear(release=2, trial=True)
        await world.certify(release=2)

        failed = await world.heard("model.failed", "deploy churn 2")
        assert "is a trial" in failed.why
        await world.settled()
        assert world.host.running() == {"churn-1"}

    async def test_the_clearance_may_be_heard_before_the_request(self, world: World) -> None:
        await world.clear()
        await world.request_deploy()

        await world.heard("resources.reserved", "deploy churn 1")

    async def test_what_only_a_container_runs_is_refused_before_anything_is_built(self, world: World) -> None:
        await world.request_deploy()
        await world.clear(dockerfile=True)

        refused = await world.heard("resources.refused", "deploy churn 1")
        assert "needs a container platform" in refused.why
        assert "placet build" in refused.fix
        assert await world.names() == ["resources.refused"]

    async def test_a_build_takes_no_room_and_starts_nothing(self, world: World) -> None:
        await world.request_deploy(command="build")
        await world.clear(command="build")
        await world.certify(command="build")
        await world.request_start()

        await world.heard("model.started", "start")
        assert "resources.reserved" not in await world.names()

    async def test_the_new_release_replaces_the_old_one(self, world: World) -> None:
        await world.deploy_and_wait(release=1)
        await world.deploy_and_wait(release=2)

        await world.running("churn-2")
        assert world.router.endpoint("churn") == world.host.instances["churn-2"].endpoint

    async def test_a_refused_certificate_fails_the_start(self, world: World) -> None:
        world.certificates.refused = "the signature does not hold"
        await world.deploy()

        failed = await world.heard("model.failed", "deploy churn 1")
        assert failed.why == "the signature does not hold"
        assert world.host.starts == []

    async def test_a_model_that_ends_while_loading_fails_with_its_last_words(self, world: World) -> None:
        world.probe.is_slow = True
        world.host.dies_at_once.add("churn-1")
        await world.deploy()

        failed = await world.heard("model.failed", "deploy churn 1")
        assert failed.why == "churn did not start: it ended with status 3; it said last:\nchurn-1 was here"
        assert failed.fix == "see `placet logs churn`; then deploy again"

    async def test_a_wrong_answer_to_the_sample_keeps_what_serves(self, world: World) -> None:
        await world.deploy_and_wait(release=1)
        world.images.kept = Sample(request={"inputs": [[1]]}, response={"outputs": [1]}, tolerance=1e-6)
        world.probe.answer = {"outputs": [2]}
        await world.deploy(release=2)

        failed = await world.heard("model.failed", "deploy churn 2")
        assert failed.why == "the sample answer does not match: at outputs[0] expected 1, got 2"
        await world.running("churn-1")
        assert world.router.endpoint("churn") == world.host.instances["churn-1"].endpoint

    async def test_a_model_that_refuses_its_sample_fails_with_what_to_do_about_it(self, world: World) -> None:
        world.images.kept = Sample(request={"inputs": [[1]]}, response={"outputs": [1]}, tolerance=1e-6)
        world.probe.refuses = "the sample request was answered 500: the model failed with ModuleNotFoundError"
        world.host.writes = "ModuleNotFoundError: No module named 'pyarrow.lib'"
        await world.deploy()

        failed = await world.heard("model.failed", "deploy churn 1")
        assert failed.why == world.probe.refuses
        assert failed.fix == (
            "add the package that pyarrow comes from, pinned, to requirements.txt, then deploy again"
        )

    async def test_a_right_answer_to_the_sample_is_asked_of_the_new_one(self, world: World) -> None:
        world.images.kept = Sample(request={"inputs": [[1]]}, response={"outputs": [1]}, tolerance=1e-6)
        world.probe.answer = {"outputs": [1.0], "more": True}
        await world.deploy_and_wait()

        assert (await world.heard("model.started", "deploy churn 1")).sample == "answered"
        assert world.probe.asked == [world.host.instances["churn-1"].endpoint]

    async def test_a_model_that_takes_more_memory_than_it_reserved_does_not_serve(self, world: World) -> None:
        world.host.memory_bytes = 700 * 2**20
        await world.deploy()

        failed = await world.heard("model.failed", "deploy churn 1")
        assert failed.why == "churn took 700 MiB of memory to answer its sample, and has reserved 512 MiB"
        assert world.router.table == {}

    async def test_a_refused_release_and_a_failed_build_give_room_back(self, world: World) -> None:
        for release, end in ((1, world.refuse), (2, world.fail_build)):
            await world.request_deploy(release=release)
            await world.clear(release=release)
            await world.heard("resources.reserved", f"deploy churn {release}")
            await end(release=release)
            await world.heard("resources.released", f"deploy churn {release}")

    async def test_a_start_goes_on_in_the_next_process_after_a_crash(self, idle_world: World) -> None:
        idle_world.probe.is_slow = True
        async with idle_world.deployer():
            await idle_world.deploy()
            await idle_world.running("churn-1")
        idle_world.probe.is_slow = False
        async with idle_world.deployer():
            await idle_world.heard("model.started", "deploy churn 1")
        assert idle_world.host.starts == ["churn-1"]


class TestRoom:
    async def test_reservations_at_once_never_take_the_same_room(self, world: World) -> None:
        names = [f"model-{number}" for number in range(8)]
        await asyncio.gather(*(world.request_deploy(name) for name in names))
        await asyncio.gather(*(world.clear(name, memory=600 * 2**20) for name in names))

        async def all_answered() -> bool:
            return len(await world.names()) == 8

        await eventually(all_answered)
        assert sorted(await world.names()) == ["resources.queued"] * 5 + ["resources.reserved"] * 3
        queued = next(data for name, _, data in await world.said() if name == "resources.queued")
        assert queued.why.endswith("and 0.5 CPU and 248 MiB of memory is free")
        assert "stop one of: model-" in queued.fix

    async def test_room_comes_back_when_a_model_is_stopped(self, world: World) -> None:
        await world.deploy_and_wait("first", memory=2 * 2**30)
        await world.request_deploy("second")
        await world.clear("second", memory=2 * 2**30)
        await world.heard("resources.queued", "deploy second 1")
        await world.request_stop("first")
        await world.heard("model.stopped", "stop")
        await world.certify("second")
        await world.heard("model.started", "deploy second 1")

    async def test_what_waits_for_people_holds_no_room_and_starts_in_what_is_free_then(
        self, world: World
    ) -> None:
        await world.request_deploy("first")
        await world.clear("first", memory=2 * 2**30)
        await world.heard("resources.reserved", "deploy first 1")
        await world.await_approval("first")
        await world.heard("resources.released", "deploy first 1")
        await world.deploy_and_wait("second", memory=2**30)
        await world.certify("first")
        queued = await world.heard("resources.queued", "deploy first 1")
        assert queued.fix == "stop one of: second; or ask for less in placet.yaml"
        await world.request_stop("second")
        await world.heard("model.started", "deploy first 1")

    async def test_a_reservation_ends_with_its_time(self, world: World) -> None:
        await world.request_deploy()
        await world.clear()
        await world.heard("resources.reserved", "deploy churn 1")
        world.clock.pass_(timedelta(minutes=16))
        await world.heard("resources.released", "deploy churn 1")


class TestStopping:
    async def test_a_stop_ends_the_model_and_its_route(self, world: World) -> None:
        await world.deploy_and_wait()
        await world.request_stop()

        stopped = await world.heard("model.stopped", "stop")
        assert stopped.release == 1
        assert world.router.table == {}
        await world.running()

    async def test_a_stop_cancels_a_deploy_in_each_of_its_steps(self, world: World) -> None:
        await world.request_deploy("uncleared")
        await world.request_stop("uncleared")
        await world.clear("uncleared")

        await world.request_deploy("building")
        await world.clear("building")
        await world.heard("resources.reserved", "deploy building 1")
        await world.request_stop("building")
        await world.certify("building")

        world.probe.is_slow = True
        await world.deploy("starting")
        await world.running("starting-1")
        await world.request_stop("starting")
        await world.heard("model.stopped", "stop", times=3)
        world.probe.is_slow = False

        for project in ("uncleared", "building", "starting"):
            failed = await world.heard("model.failed", f"deploy {project} 1")
            assert "overtook" in failed.why
        await world.running()
        assert world.router.table == {}

    async def test_a_deploy_after_the_stop_goes_ahead(self, world: World) -> None:
        await world.request_deploy(release=1)
        await world.request_stop()
        await world.deploy(release=2)
        await world.clear(release=1)

        await world.heard("model.started", "deploy churn 2")
        await world.heard("model.failed", "deploy churn 1")
        await world.running("churn-2")

    async def test_what_was_stopped_starts_again(self, world: World) -> None:
        await world.deploy_and_wait()
        await world.request_stop()
        await world.heard("model.stopped", "stop")
        await world.request_start()
        await world.heard("model.started", "start")
        await world.running("churn-1")

    async def test_a_start_waits_for_a_certificate_that_is_on_its_way(self, world: World) -> None:
        await world.request_deploy(command="build")
        await world.request_start()
        await world.clear(command="build")
        await world.certify(command="build")

        await world.heard("model.started", "start")

    async def test_a_start_without_a_certificate_fails(self, world: World) -> None:
        await world.request_start(release=7)
        await eventually(world.jobs)
        world.clock.pass_(timedelta(minutes=1))

        failed = await world.heard("model.failed", "start")
        assert failed.why == "release 7 of churn carries no certificate"

    async def test_a_start_that_is_given_up_says_what_was_in_its_way(self, world: World) -> None:
        await world.request_start(release=7)

        async def is_at_its_last_attempt() -> bool:
            rests = sa.update(jobs).where(jobs.c.leased_by.is_(None), jobs.c.attempts < MAX_ATTEMPTS - 1)
            last = Claim(statement=rests.values(attempts=MAX_ATTEMPTS - 1, next_at=0.0))
            with suppress(ClaimLost):
                await world.wiring.store.commit(Unit(claims=(last,)))
                return True
            return False

        await eventually(is_at_its_last_attempt)
        failed = await world.heard("model.failed", "start")
        assert failed.why.endswith("no certificate of churn was heard of yet")

    async def test_deleting_removes_what_was_left(self, world: World) -> None:
        await world.deploy_and_wait()
        await world.request_delete()

        await world.heard("model.deleted", "delete")
        await eventually(lambda: not world.host.instances)
        await world.request_start()
        failed = await world.heard("model.failed", "start")
        assert "when it was deleted" in failed.why

    async def test_a_router_that_is_away_holds_back_the_stop_only(self, world: World) -> None:
        await world.deploy_and_wait()
        world.router.is_away = True
        await world.request_stop()
        await world.request_deploy("other")
        await world.clear("other")
        await world.heard("resources.reserved", "deploy other 1")
        assert "model.stopped" not in await world.names()

        world.router.is_away = False
        await world.heard("model.stopped", "stop")

    async def test_old_logs_go_after_a_while(self, world: World) -> None:
        for release in range(1, 7):
            await world.deploy_and_wait(release=release)
            await world.running(f"churn-{release}")
        await eventually(lambda: set(world.host.instances) == {"churn-3", "churn-4", "churn-5", "churn-6"})


class TestKeepingUp:
    async def test_a_model_that_died_is_started_again_after_it_was_said(self, world: World) -> None:
        await world.deploy_and_wait()
        world.host.die("churn-1")

        diverged = await world.heard("model.diverged", "deploy churn 1")
        assert diverged.why == "it was ended by SIGKILL"
        await world.running("churn-1")
        assert world.host.starts == ["churn-1", "churn-1"]

    async def test_a_model_that_hangs_is_started_again_as_one_that_died(self, world: World) -> None:
        await world.deploy_and_wait()
        world.host.hang("churn-1")

        diverged = await world.heard("model.diverged", "deploy churn 1")
        assert diverged.why.startswith("it hung: ")
        await eventually(lambda: world.host.starts == ["churn-1", "churn-1"])
        await world.running("churn-1")

    async def test_a_model_that_grows_over_its_memory_is_ended_and_started_again(self, world: World) -> None:
        await world.deploy_and_wait()
        world.host.instances["churn-1"] = replace(world.host.instances["churn-1"], memory_bytes=600 * 2**20)

        diverged = await world.heard("model.diverged", "deploy churn 1")
        assert diverged.why == "it took 600 MiB of memory, more than it had reserved"
        await eventually(lambda: world.host.starts == ["churn-1", "churn-1"])

    async def test_a_lost_route_is_put_back(self, world: World) -> None:
        await world.deploy_and_wait()
        route = world.router.table.pop("churn")

        await world.heard("model.diverged", "deploy churn 1")
        await eventually(lambda: world.router.table == {"churn": route})

    async def test_what_nobody_wants_is_ended(self, world: World) -> None:
        await world.deploy_and_wait("churn")
        world.router.table["ghost"] = frozenset({Target(endpoint="http://127.0.0.1:1")})
        world.host.instances["ghost-1"] = replace(
            world.host.instances["churn-1"], id="ghost-1", project="ghost"
        )
        await world.running("churn-1")
        await eventually(lambda: set(world.router.table) == {"churn"})

    async def test_what_is_mended_is_announced_once_it_is_ready(self, world: World) -> None:
        await world.deploy_and_wait()
        world.probe.is_slow = True
        world.host.die("churn-1")
        await world.heard("model.diverged", "deploy churn 1")
        await world.running("churn-1")
        rounds = reconciliation_of(world)
        await rounds.run()
        await rounds.run()
        assert (await world.names()).count("model.started") == 1

        world.probe.is_slow = False
        await world.heard("model.started", "deploy churn 1", times=2)
        await rounds.run()
        assert (await world.names()).count("model.started") == 2

    async def test_a_start_of_what_is_being_mended_waits_for_it_to_be_ready(self, world: World) -> None:
        await world.deploy_and_wait()
        world.probe.is_slow = True
        world.host.die("churn-1")
        await world.heard("model.diverged", "deploy churn 1")
        await world.request_start()
        await eventually(lambda: has_said(world, "start.accepted", 2))
        world.probe.is_slow = False
        await world.heard("model.started", "start")

    async def test_a_model_that_moved_is_announced_again(self, world: World) -> None:
        await world.deploy_and_wait()
        before = world.host.instances["churn-1"].endpoint
        world.host.instances.clear()
        world.host.moves_to = "http://127.0.0.1:7777"

        moved = await world.heard("model.started", "deploy churn 1", times=2)
        assert (before, moved.endpoints) == (before, ("http://127.0.0.1:7777",))
        assert world.router.endpoint("churn") == "http://127.0.0.1:7777"

    async def test_one_that_dies_again_and_again_is_given_up(self, world: World) -> None:
        await world.deploy_and_wait()
        world.host.dies_at_once.add("churn-1")
        world.host.die("churn-1")
        reconciliation = reconciliation_of(world)
        for _ in range(DEATHS):
            await reconciliation.run()

        failed = await world.heard("model.failed", "deploy churn 1")
        assert failed.why.startswith("churn ended 5 times in a row: it ")
        assert (await world.state()).live is None
        await eventually(lambda: world.router.table == {})

    async def test_how_a_release_ended_counts_for_itself_alone(self, idle_world: World) -> None:
        idle_world.settings = idle_world.settings.model_copy(update=ALONE)
        async with idle_world.deployer():
            reconciliation = reconciliation_of(idle_world)
            for release in (1, 2):
                await idle_world.deploy_and_wait(release=release)
                for times in range(1, DEATHS):
                    idle_world.host.die(f"churn-{release}")
                    await reconciliation.run()
                    await idle_world.settled()
                    await reconciliation.run()  # tells that it runs again
                    await idle_world.heard("model.started", f"deploy churn {release}", times=1 + times)
            assert "model.failed" not in await idle_world.names()

    async def test_what_becomes_live_while_it_looks_did_not_diverge(self, idle_world: World) -> None:
        idle_world.settings = idle_world.settings.model_copy(update=ALONE)
        idle_world.host = host = HostThatIsOvertaken()
        async with idle_world.deployer():
            await eventually(lambda: host.listings >= FIRST_ROUNDS)
            host.after_listing = idle_world.deploy_and_wait
            await reconciliation_of(idle_world).run()

        assert await idle_world.names() == ["resources.reserved", "start.accepted", "model.started"]

    async def test_what_is_replaced_while_it_looks_did_not_die(self, idle_world: World) -> None:
        idle_world.settings = idle_world.settings.model_copy(update=ALONE)
        idle_world.host = host = HostThatIsOvertaken()
        async with idle_world.deployer():
            await eventually(lambda: host.listings >= FIRST_ROUNDS)
            await idle_world.deploy_and_wait(release=1)
            reconciliation = reconciliation_of(idle_world)
            for release in range(2, 2 + DEATHS):
                host.before_listing = partial(idle_world.deploy_and_wait, release=release)
                await reconciliation.run()

        assert set(await idle_world.names()) == {"resources.reserved", "start.accepted", "model.started"}
        assert set(idle_world.router.table) == {"churn"}

    async def test_an_ended_certificate_stops_traffic(self, world: World) -> None:
        await world.deploy_and_wait()
        world.clock.pass_(timedelta(days=91))

        quarantined = await world.heard("model.quarantined", "deploy churn 1")
        assert "ended at" in quarantined.why
        assert world.router.table == {}
        await world.running()
        assert "churn-1" in world.host.instances  # its log is evidence

    async def test_what_a_compromised_key_certified_leaves_its_route_though_nobody_says_so(
        self, world: World
    ) -> None:
        for project, key in (("churn", "leaked"), ("fraud", "sound")):
            await world.request_deploy(project)
            await world.clear(project)
            await world.certify(project, key=key)
            await world.heard("model.started", f"deploy {project} 1")
        since = world.clock.now()
        world.certificates.distrusted["leaked"] = since

        quarantined = await world.heard("model.quarantined", "deploy churn 1")
        assert quarantined.why == (
            "the key leaked, which signed its certificate, was compromised, and counts for nothing since"
            f" {timestamp(since)}"
        )
        assert set(world.router.table) == {"fraud"}

    async def test_a_key_history_that_cannot_be_read_takes_nothing_off_its_route(self, world: World) -> None:
        await world.deploy_and_wait()
        world.certificates.away = Unavailable("the public keys cannot be read")
        world.host.instances.pop("churn-1")

        await world.heard("model.diverged", "deploy churn 1")
        assert "model.quarantined" not in await world.names()

    async def test_what_is_suspended_leaves_its_route_and_is_back_when_nothing_is_against_it(
        self, world: World
    ) -> None:
        await world.deploy_and_wait()
        await world.suspend()
        quarantined = await world.heard("model.quarantined", "suspend churn 1")
        assert (quarantined.rule, quarantined.why, quarantined.fix) == (
            "operate.drift",
            "it drifts",
            "train it anew",
        )
        assert world.router.table == {}
        await world.running()
        await world.settled()
        told = world.router.told["churn"]
        assert told is not None
        assert (told.rule, told.fix, "certificate:churn-1 does not stand" in told.detail) == (
            "operate.drift",
            "train it anew",
            True,
        )

        await world.request_start(operation="start anyway")
        failed = await world.heard("model.failed", "start anyway")
        assert "does not stand: it drifts" in failed.why

        await world.reinstate()
        await world.heard("model.started", "reinstate churn 1")
        assert set(world.router.table) == {"churn"}
        await world.running("churn-1")

    async def test_what_is_revoked_never_serves_again(self, world: World) -> None:
        await world.deploy_and_wait()
        await world.revoke_certificate()
        await world.heard("model.quarantined", "revoke churn 1")
        assert world.router.table == {}
        await world.request_start(operation="start anyway")
        assert "it was revoked" in (await world.heard("model.failed", "start anyway")).why

    async def test_what_is_ready_only_after_its_certificate_ended_never_serves(self, world: World) -> None:
        world.probe.is_slow = True
        await world.deploy()
        await world.running("churn-1")
        world.clock.pass_(timedelta(days=91))
        world.probe.is_slow = False

        failed = await world.heard("model.failed", "deploy churn 1")
        assert failed.why.startswith("its certificate certificate:churn-1 ended at ")
        assert failed.fix == "deploy it again, so that it is certified anew"
        await world.running()
        assert world.router.table == {}

    async def test_what_is_suspended_while_it_starts_never_serves(self, world: World) -> None:
        world.probe.is_slow = True
        await world.deploy()
        await world.running("churn-1")
        await world.suspend()
        failed = await world.heard("model.failed", "suspend churn 1")
        assert failed.why == "its certificate certificate:churn-1 does not stand: it drifts"
        world.probe.is_slow = False
        assert await world.heard("model.failed", "deploy churn 1") == failed
        await world.running()
        assert world.router.table == {}

    async def test_models_are_back_after_the_platform_was_down(self, idle_world: World) -> None:
        async with idle_world.deployer():
            await idle_world.deploy_and_wait()
        await idle_world.host.stop("churn-1", why="the platform was stopped")
        async with idle_world.deployer():
            await idle_world.running("churn-1")
        assert isinstance((await idle_world.state()).serving, Live)
