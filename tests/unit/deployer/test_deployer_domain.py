"""What the deployer decides, given what happened, and that whoever asked last wins in any order."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given as for_all
from hypothesis import strategies as st
from placet.deployer.domain import (
    PROJECT,
    Command,
    Delete,
    Expire,
    GiveUp,
    Happened,
    Quarantine,
    RejectStart,
    Release,
    ReportDelayed,
    ReportDiverged,
    ReportFailed,
    ReportMended,
    ReportStarted,
    Stop,
    decide,
)
from placet.deployer.placing import AcceptStart, Patience, Reserve, Resume
from placet.deployer.project import Project
from placet.deployer.room import Amount, Holding, Room, Waiter
from placet.deployer.scaling import ReportScalingDelayed, Scale
from placet.events.contracts.deployer import (
    CanaryAborted,
    CanaryStarted,
    CanaryWeighted,
    ChangeRefused,
    ModelDeleted,
    ModelDiverged,
    ModelFailed,
    ModelQuarantined,
    ModelScaled,
    ModelStarted,
    ModelStopped,
    ResourcesQueued,
    ResourcesRefused,
    ResourcesReleased,
    ResourcesReserved,
    ScaleAccepted,
    StartAccepted,
)
from placet.events.contracts.shapes import Resources
from placet.events.testing import changed, given

SOURCE = f"sha256:{'5' * 64}"
IMAGE = f"sha256:{'1' * 64}"
URL = "https://models.example.org/models/churn"
NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
UNTIL = (NOON + timedelta(minutes=15)).isoformat()
SMALL = Resources(cpu_millis=500, memory_bytes=512 * 2**20, gpus=0, min_replicas=1, max_replicas=1)
PATIENCE = Patience(now=NOON, until=NOON + timedelta(hours=1))
PLENTY = Room(total=Amount(cpu_millis=8000, memory_bytes=2**34))


def reserve(release: int = 1, *, request: int | None = None, room: Room = PLENTY) -> Reserve:
    return Reserve(
        project="churn",
        release=release,
        request=request or release,
        source=SOURCE,
        image=None,
        resources=SMALL,
        room=room,
        patience=PATIENCE,
        until=UNTIL,
    )


def accept(
    release: int = 1,
    *,
    request: int | None = None,
    deployed_by: int | None = None,
    room: Room = PLENTY,
    trial: bool = False,
) -> AcceptStart:
    return AcceptStart(
        project="churn",
        release=release,
        request=request or release,
        deployed_by=deployed_by or release,
        image=IMAGE,
        repository="models/churn",
        certificate=f"certificate:{release}",
        resources=SMALL,
        room=room,
        patience=PATIENCE,
        trial=trial,
    )


def reserved(release: int = 1) -> ResourcesReserved:
    return ResourcesReserved(
        project="churn", release=release, source=SOURCE, image=None, resources=SMALL, until=UNTIL
    )


def accepted(release: int = 1, *, request: int | None = None, trial: bool = False) -> StartAccepted:
    return StartAccepted(
        project="churn",
        release=release,
        image=IMAGE,
        repository="models/churn",
        certificate=f"certificate:{release}",
        request=request or release,
        trial=trial,
    )


def started(release: int = 1, *, request: int | None = None, port: int | None = None) -> ModelStarted:
    return ModelStarted(
        project="churn",
        release=release,
        image=IMAGE,
        certificate=f"certificate:{release}",
        url=URL,
        endpoints=(f"http://127.0.0.1:{port or 4000 + release}",),
        request=request or release,
    )


def report_started(release: int = 1, *, request: int | None = None, port: int | None = None) -> ReportStarted:
    return ReportStarted(
        project="churn",
        release=release,
        request=request or release,
        url=URL,
        endpoints=(f"http://127.0.0.1:{port or 4000 + release}",),
    )


def overtaken(release: int, *, request: int | None = None) -> ModelFailed:
    return ModelFailed(
        project="churn",
        release=release,
        why=f"a later request for churn overtook release {release}",
        fix="start it, or deploy it again, if it is still wanted",
        request=request or release,
    )


def resume(release: int = 1, *, room: Room = PLENTY) -> Resume:
    return Resume(
        project="churn",
        release=release,
        image=IMAGE,
        repository="models/churn",
        certificate=f"certificate:{release}",
        resources=SMALL,
        room=room,
        patience=PATIENCE,
    )


LIVE = (reserved(), accepted(), started())
QUARANTINED = ModelQuarantined(project="churn", release=1, certificate="certificate:1", why="it ended")


class TestRoom:
    def test_a_cleared_release_takes_room(self) -> None:
        state = given(PROJECT).when(reserve()).then(reserved())
        assert state.holds == {1}

    def test_clearing_it_twice_changes_nothing(self) -> None:
        given(PROJECT, reserved()).when(reserve()).then_nothing()

    def test_what_does_not_fit_waits_with_what_is_free_and_whom_to_stop(self) -> None:
        held = (
            Holding(project="fraud", release=3, amount=Amount(cpu_millis=900, memory_bytes=2**30)),
            Holding(project="tiny", release=1, amount=Amount(cpu_millis=50, memory_bytes=2**26)),
        )
        room = Room(total=Amount(cpu_millis=1000, memory_bytes=2**31), held=held)
        waits = ResourcesQueued(
            project="churn",
            release=1,
            request=1,
            turn=1,
            position=1,
            quota=None,
            why="churn asks for 0.5 CPU and 512 MiB of memory, and 0.05 CPU and 960 MiB of memory is free",
            fix="stop one of: fraud; or ask for less in placet.yaml",
            until="2026-05-04T13:00:00.000Z",
        )
        assert given(PROJECT).when(reserve(room=room)).then(waits).holds == frozenset()

    def test_what_could_never_fit_is_told_to_ask_for_less(self) -> None:
        room = Room(total=Amount(cpu_millis=100, memory_bytes=2**30))
        (refused,) = given(PROJECT).when(reserve(room=room)).happened
        assert isinstance(refused, ResourcesRefused)
        assert refused.fix is not None
        assert "ask for less" in refused.fix
        assert "0.1 CPU and 1024 MiB" in refused.fix

    def test_a_canary_without_room_is_not_told_to_stop_what_it_would_run_beside(self) -> None:
        amount = Amount(cpu_millis=500, memory_bytes=512 * 2**20)
        held = (
            Holding(project="churn", release=1, amount=amount, is_live=True),
            Holding(project="fraud", release=1, amount=amount),
        )
        room = Room(total=amount * 2, held=held)
        another = decide(reserve(2, room=room), Project())
        assert [each.fix for each in another if isinstance(each, ResourcesQueued)] == [
            "stop one of: churn, fraud; or ask for less in placet.yaml"
        ]
        canary = decide(replace(reserve(2, room=room), canary=10), Project())
        assert [each.fix for each in canary if isinstance(each, ResourcesQueued)] == [
            "stop one of: fraud; or ask for less in placet.yaml"
        ]
        alone = decide(
            replace(reserve(2, room=replace(room, held=held[:1], total=amount)), canary=10), Project()
        )
        assert [each.fix for each in alone if isinstance(each, ResourcesRefused)] == [
            "ask for less in placet.yaml: what churn serves runs on beside it"
        ]

    def test_a_refused_release_and_a_failed_build_give_their_room_back(self) -> None:
        state = (
            given(PROJECT, reserved())
            .when(Release(project="churn", release=1))
            .then(ResourcesReleased(project="churn", release=1))
        )
        assert state.holds == frozenset()

    def test_nothing_is_given_back_that_was_never_taken(self) -> None:
        given(PROJECT).when(Release(project="churn", release=1)).then_nothing()
        given(PROJECT, *LIVE).when(Release(project="churn", release=1)).then_nothing()

    def test_a_reservation_ends_at_its_deadline_and_not_before(self) -> None:
        early = Expire(project="churn", now=datetime.fromisoformat(UNTIL) - timedelta(seconds=1))
        given(PROJECT, reserved()).when(early).then_nothing()
        late = Expire(project="churn", now=datetime.fromisoformat(UNTIL))
        given(PROJECT, reserved()).when(late).then(ResourcesReleased(project="churn", release=1))

    def test_a_certificate_renews_the_reservation_for_good(self) -> None:
        late = Expire(project="churn", now=NOON + timedelta(days=1))
        given(PROJECT, reserved(), accepted()).when(late).then_nothing()

    def test_a_certificate_after_the_deadline_takes_room_again_if_there_is_any(self) -> None:
        gone = ResourcesReleased(project="churn", release=1)
        given(PROJECT, reserved(), gone).when(accept()).then(accepted())
        full = Room(total=Amount(cpu_millis=100, memory_bytes=2**20))
        (refused,) = given(PROJECT, reserved(), gone).when(accept(room=full)).happened
        assert isinstance(refused, ResourcesRefused)

    def test_both_releases_hold_room_while_one_replaces_the_other(self) -> None:
        state = given(PROJECT, *LIVE, reserved(2)).when(accept(2)).then(accepted(2))
        assert state.holds == {1, 2}
        assert PROJECT.evolve(state, started(2)).holds == {2}


AWAY = "the engine does not answer; start it"


class TestDelays:
    def test_what_a_start_needs_and_is_away_is_told_once_and_so_is_that_it_goes_on(self) -> None:
        delayed = ReportDelayed(project="churn", request=1, delayed=AWAY)
        told = changed(accepted(), delayed=AWAY)
        state = given(PROJECT, reserved(), accepted()).when(delayed).then(told)
        assert state.starting is not None
        assert state.starting.delayed == AWAY
        given(PROJECT, reserved(), accepted(), told).when(delayed).then_nothing()
        given(PROJECT, reserved(), accepted(), told).when(replace(delayed, delayed=None)).then(accepted())
        given(PROJECT, reserved(), accepted()).when(replace(delayed, delayed=None)).then_nothing()
        given(PROJECT, reserved(), accepted(), told).when(report_started()).then(started())

    def test_nothing_is_told_of_a_start_that_is_over(self) -> None:
        given(PROJECT, *LIVE).when(ReportDelayed(project="churn", request=1, delayed=AWAY)).then_nothing()
        given(PROJECT, *LIVE, accepted(2)).when(
            ReportDelayed(project="churn", request=1, delayed=AWAY)
        ).then_nothing()

    def test_a_scaling_is_delayed_alike(self) -> None:
        scaling = ScaleAccepted(project="churn", release=1, replicas=2, scaling=1)
        delayed = ReportScalingDelayed(project="churn", scaling=1, delayed=AWAY)
        told = changed(scaling, delayed=AWAY)
        state = given(PROJECT, *LIVE, scaling).when(delayed).then(told)
        assert state.replicas_of(1) == 2
        given(PROJECT, *LIVE, scaling, told).when(delayed).then_nothing()
        given(PROJECT, *LIVE, scaling, told).when(replace(delayed, delayed=None)).then(scaling)
        given(PROJECT, *LIVE, scaling).when(replace(delayed, scaling=2)).then_nothing()


FULL = Room(
    total=Amount(cpu_millis=1000, memory_bytes=2**31),
    held=(Holding(project="fraud", release=3, amount=Amount(cpu_millis=900, memory_bytes=2**30)),),
)


def queued(release: int = 1, *, request: int | None = None, turn: int = 1, position: int = 1) -> Any:
    return ResourcesQueued(
        project="churn",
        release=release,
        request=request or release,
        turn=turn,
        position=position,
        quota=None,
        why="churn asks for 0.5 CPU and 512 MiB of memory, and 0.1 CPU and 1024 MiB of memory is free",
        fix="stop one of: fraud; or ask for less in placet.yaml",
        until="2026-05-04T13:00:00.000Z",
    )


def behind(*turns: int) -> Room:
    """Full, with others that wait."""
    amount = Amount(cpu_millis=500, memory_bytes=2**20)
    waiters = (Waiter(project=f"wine-{each}", release=1, amount=amount, turn=each) for each in turns)
    return replace(FULL, queue=tuple(waiters))


def at(now: datetime, command: Any) -> Any:
    return replace(command, patience=replace(PATIENCE, now=now))


class TestScaling:
    def test_one_without_room_is_told_to_ask_for_another_number(self) -> None:
        several = Resources(cpu_millis=500, memory_bytes=2**20, gpus=0, min_replicas=1, max_replicas=9)
        mine = Holding(
            project="churn", release=1, amount=Amount(cpu_millis=500, memory_bytes=2**20), is_live=True
        )
        full = replace(FULL, total=Amount(cpu_millis=2000, memory_bytes=2**31), held=(*FULL.held, mine))
        scale = Scale(project="churn", replicas=3, resources=several, room=full)
        refused: Any
        (refused,) = given(PROJECT, *LIVE).when(scale).happened
        assert refused.fix == "stop one of: fraud; or scale it to fewer replicas"
        (refused,) = given(PROJECT, *LIVE).when(replace(scale, replicas=9)).happened
        assert refused.fix.startswith("scale it to fewer replicas: this platform has 2 CPU and")
        given(PROJECT, *LIVE).when(replace(scale, replicas=2)).then(
            ScaleAccepted(project="churn", release=1, replicas=2, scaling=1)
        )

    def test_of_what_serves_nothing_its_state_is_told_where_it_is(self) -> None:
        scale = Scale(project="churn", replicas=3, resources=None, room=PLENTY)
        refused: Any
        (refused,) = given(PROJECT).when(scale).happened
        assert refused.fix == "`placet status churn` says what became of it"


class TestWaiting:
    def test_asking_again_says_nothing_as_long_as_its_place_is_the_same(self) -> None:
        given(PROJECT, queued()).when(reserve(room=FULL)).then_nothing()
        given(PROJECT, queued()).when(reserve(room=behind(2, 3))).then_nothing()

    def test_who_comes_later_waits_behind_and_is_told_when_somebody_ahead_is_gone(self) -> None:
        waits: Any
        nearer: Any
        (waits,) = given(PROJECT).when(reserve(room=behind(4, 7))).happened
        assert (waits.turn, waits.position) == (8, 3)
        (nearer,) = given(PROJECT, waits).when(reserve(room=behind(7))).happened
        assert (nearer.turn, nearer.position) == (8, 2)
        assert nearer.until == waits.until

    def test_what_waits_takes_the_room_that_became_free(self) -> None:
        state = given(PROJECT, queued()).when(reserve()).then(reserved())
        assert not state.waiting
        assert state.holds == {1}

    def test_a_start_and_what_was_quarantined_wait_and_start_too(self) -> None:
        gone = ModelStopped(project="churn", release=1, request=2)
        (waits,) = given(PROJECT, *LIVE, gone).when(accept(request=3, room=FULL)).happened
        state = given(PROJECT, *LIVE, gone, waits).when(accept(request=3)).then(accepted(request=3))
        assert state.waiting == ()
        (waits,) = given(PROJECT, *LIVE, QUARANTINED).when(resume(room=FULL)).happened
        assert given(PROJECT, *LIVE, QUARANTINED, waits).when(resume()).then(accepted()).waiting == ()

    def test_it_is_refused_when_its_time_is_over_and_not_before(self) -> None:
        late = NOON + timedelta(hours=1)
        given(PROJECT, queued()).when(at(late - timedelta(seconds=1), reserve(room=FULL))).then_nothing()
        (refused,) = given(PROJECT, queued()).when(at(late, reserve(room=FULL))).happened
        assert isinstance(refused, ResourcesRefused)
        assert refused.why.startswith("it waited until now in vain: churn asks for 0.5 CPU")
        assert PROJECT.fold((queued(), refused)).waiting == ()

    def test_nobody_waits_where_no_time_is_given(self) -> None:
        (refused,) = given(PROJECT).when(at(PATIENCE.until, reserve(room=FULL))).happened
        assert isinstance(refused, ResourcesRefused)
        assert "in vain" not in refused.why

    def test_nobody_waits_for_what_their_own_live_release_holds(self) -> None:
        mine = Holding(
            project="churn", release=1, amount=Amount(cpu_millis=600, memory_bytes=2**20), is_live=True
        )
        room = Room(total=Amount(cpu_millis=1000, memory_bytes=2**31), held=(mine,))
        (refused,) = given(PROJECT, *LIVE).when(reserve(2, room=room)).happened
        assert isinstance(refused, ResourcesRefused)
        assert "stop churn first" in str(refused.fix)

    def test_a_later_request_ends_it_wherever_that_comes_to(self) -> None:
        for later in (reserve(2), reserve(2, room=FULL)):
            state = given(PROJECT, queued()).when(later).state
            (one,) = (each for each in state.waiting if each.request == 1)
            assert state.waits_in_vain(one)
            assert PROJECT.decide(reserve(), state) == [overtaken(1)]
            assert not any(each.request == 1 for each in PROJECT.evolve(state, overtaken(1)).waiting)

    def test_an_earlier_request_that_is_heard_later_does_not_wait(self) -> None:
        given(PROJECT, queued(2)).when(reserve(1)).then(overtaken(1))

    def test_a_stop_and_a_deletion_end_it(self) -> None:
        for command in (Stop(project="churn", request=2), Delete(project="churn", request=2)):
            state = given(PROJECT, queued()).when(command).state
            assert state.waits_in_vain(state.waiting[0])
            (said,) = PROJECT.decide(reserve(), state)
            assert isinstance(said, ModelFailed)

    def test_what_is_refused_meanwhile_waits_no_more(self) -> None:
        released = ResourcesReleased(project="churn", release=1)
        state = given(PROJECT, queued()).when(Release(project="churn", release=1)).then(released)
        assert state.waiting == ()

    def test_what_was_stopped_while_it_waited_to_be_back_is_over_without_a_word_to_people(self) -> None:
        gone = ModelStopped(project="churn", release=None, request=2)
        released = ResourcesReleased(project="churn", release=1)
        waits = queued(request=1)
        given(PROJECT, *LIVE, QUARANTINED, waits, gone).when(Release(project="churn", release=1)).then(
            released
        )


class TestStarting:
    def test_a_certified_release_is_started(self) -> None:
        state = given(PROJECT, reserved()).when(accept()).then(accepted())
        assert state.runs == {1}

    def test_a_redelivered_certificate_changes_nothing(self) -> None:
        given(PROJECT, reserved(), accepted()).when(accept()).then_nothing()
        given(PROJECT, *LIVE).when(accept()).then_nothing()

    def test_what_answered_its_sample_is_live(self) -> None:
        state = given(PROJECT, reserved(), accepted()).when(report_started()).then(started())
        assert state.live is not None
        assert state.live.release == 1
        assert state.starting is None

    def test_telling_it_twice_changes_nothing(self) -> None:
        given(PROJECT, *LIVE).when(report_started()).then_nothing()

    def test_a_live_model_that_listens_elsewhere_is_announced_again(self) -> None:
        given(PROJECT, *LIVE).when(report_started(port=9)).then(started(port=9))

    def test_what_diverged_is_announced_again_when_it_is_mended_and_not_before(self) -> None:
        diverged = ModelDiverged(project="churn", release=1, why="gone")
        mended = ReportMended(project="churn", release=1, endpoints=("http://127.0.0.1:4001",))
        given(PROJECT, *LIVE).when(mended).then_nothing()
        state = given(PROJECT, *LIVE, diverged, diverged).when(mended).then(started())
        assert PROJECT.decide(mended, state) == []

    def test_starting_what_is_being_mended_ends_when_it_is_ready(self) -> None:
        diverged = ModelDiverged(project="churn", release=1, why="gone")
        given(PROJECT, *LIVE, diverged).when(accept(1, request=2)).then(accepted(1, request=2))

    def test_a_failed_start_leaves_what_served_before(self) -> None:
        failing = ReportFailed(project="churn", release=2, request=2, why="no", fix=None)
        failed = ModelFailed(project="churn", release=2, why="no", fix=None, request=2)
        state = given(PROJECT, *LIVE, reserved(2), accepted(2)).when(failing).then(failed)
        assert state.runs == state.holds == {1}

    def test_the_certificate_of_an_older_release_does_not_roll_back(self) -> None:
        history = (reserved(1), reserved(2), accepted(2), started(2))
        state = given(PROJECT, *history).when(accept(1)).then(overtaken(1))
        assert state.runs == state.holds == {2}

    def test_a_newer_release_overtakes_one_that_is_starting(self) -> None:
        history = (reserved(1), accepted(1), reserved(2), accepted(2))
        state = given(PROJECT, *history).when(report_started(1)).then(overtaken(1))
        assert state.runs == {2}

    def test_a_release_without_certificate_is_not_started(self) -> None:
        reject = RejectStart(project="churn", release=1, request=3, why="none", fix="deploy it")
        state = (
            given(PROJECT)
            .when(reject)
            .then(ModelFailed(project="churn", release=1, why="none", fix="deploy it", request=3))
        )
        assert state == Project()


class TestStartingAgain:
    def test_a_stopped_release_is_started_again(self) -> None:
        stopped = ModelStopped(project="churn", release=1, request=2)
        again = accept(1, request=3, deployed_by=1)
        given(PROJECT, *LIVE, stopped).when(again).then(accepted(1, request=3))

    def test_starting_takes_room_too(self) -> None:
        full = Room(total=Amount(cpu_millis=100, memory_bytes=2**20))
        (refused,) = given(PROJECT).when(accept(1, request=2, room=full)).happened
        assert isinstance(refused, ResourcesRefused)

    def test_an_older_release_is_started_again_if_somebody_asks_for_it(self) -> None:
        history = (*LIVE, reserved(2), accepted(2), started(2))
        state = given(PROJECT, *history).when(accept(1, request=3)).then(accepted(1, request=3))
        assert PROJECT.evolve(state, started(1, request=3)).runs == {1}

    def test_starting_what_is_live_says_so(self) -> None:
        given(PROJECT, *LIVE).when(accept(1, request=2)).then(started(1, request=2))

    def test_starting_twice_ends_both_operations(self) -> None:
        history = (accepted(1, request=2), accepted(1, request=3))
        first = given(PROJECT, *history).when(report_started(1, request=2)).then(overtaken(1, request=2))
        assert first.starting is not None
        given(PROJECT, *history, overtaken(1, request=2)).when(report_started(1, request=3)).then(
            started(1, request=3)
        )

    def test_a_deploy_that_was_asked_for_before_it_is_overtaken(self) -> None:
        history = (*LIVE, reserved(2), accepted(1, request=3), started(1, request=3))
        state = given(PROJECT, *history).when(accept(2, request=2)).then(overtaken(2))
        assert state.runs == state.holds == {1}


class TestStoppingAndDeleting:
    def test_what_is_live_is_stopped(self) -> None:
        stopped = ModelStopped(project="churn", release=1, request=2)
        state = given(PROJECT, *LIVE).when(Stop(project="churn", request=2)).then(stopped)
        assert state.runs == state.holds == frozenset()

    def test_stopping_what_does_not_run_is_done_too(self) -> None:
        stopped = ModelStopped(project="churn", release=None, request=1)
        given(PROJECT).when(Stop(project="churn", request=1)).then(stopped)

    def test_a_stop_during_a_build_cancels_the_coming_start(self) -> None:
        released = ResourcesReleased(project="churn", release=1)
        stopped = ModelStopped(project="churn", release=None, request=2)
        given(PROJECT, reserved()).when(Stop(project="churn", request=2)).then(released, stopped)
        given(PROJECT, reserved(), released, stopped).when(accept(1)).then(overtaken(1))

    def test_a_stop_before_the_clearance_was_heard_cancels_the_reservation(self) -> None:
        stopped = ModelStopped(project="churn", release=None, request=2)
        given(PROJECT, stopped).when(reserve(1, request=1)).then(overtaken(1))

    def test_a_stop_during_a_start_is_stronger(self) -> None:
        stopped = ModelStopped(project="churn", release=None, request=2)
        history = (reserved(), accepted(), stopped)
        state = given(PROJECT, *history).when(report_started(1)).then(overtaken(1))
        assert state.runs == frozenset()

    def test_a_deploy_after_a_stop_goes_ahead(self) -> None:
        stopped = ModelStopped(project="churn", release=1, request=2)
        given(PROJECT, *LIVE, stopped).when(reserve(2, request=3)).then(reserved(2))

    def test_deleting_always_ends(self) -> None:
        deleted = ModelDeleted(project="churn", request=2)
        state = given(PROJECT, *LIVE).when(Delete(project="churn", request=2)).then(deleted)
        assert state.runs == frozenset()
        given(PROJECT).when(Delete(project="churn", request=2)).then(deleted)

    def test_a_deleted_release_is_not_started_again(self) -> None:
        deleted = ModelDeleted(project="churn", request=2)
        (failed,) = given(PROJECT, *LIVE, deleted).when(accept(1, request=3)).happened
        assert isinstance(failed, ModelFailed)
        assert "when it was deleted" in failed.why

    def test_a_deploy_after_a_deletion_goes_ahead(self) -> None:
        history = (*LIVE, ModelDeleted(project="churn", request=2), reserved(2))
        given(PROJECT, *history).when(accept(2, request=3, deployed_by=3)).then(accepted(2, request=3))


class TestTrials:
    """What nobody answers for takes the place of nothing that somebody does, whatever the certifier knew in time."""

    TRIAL = (accepted(trial=True), started())

    def test_a_trial_replaces_no_release_that_people_answer_for(self) -> None:
        for history in (LIVE, (reserved(), accepted()), (*LIVE, started(request=2, port=5000))):
            (failed,) = given(PROJECT, *history).when(accept(2, request=3, trial=True)).happened
            assert isinstance(failed, ModelFailed)
            assert "release 2 is a trial" in failed.why
            assert "under another name" in str(failed.fix)

    def test_such_a_release_replaces_a_trial_and_trials_replace_each_other(self) -> None:
        given(PROJECT, *self.TRIAL).when(accept(2)).then(accepted(2))
        given(PROJECT, *self.TRIAL).when(accept(2, trial=True)).then(accepted(2, trial=True))

    def test_a_trial_starts_where_nothing_serves_any_more(self) -> None:
        stopped = ModelStopped(project="churn", release=1, request=2)
        given(PROJECT, *LIVE, stopped).when(accept(2, request=3, trial=True)).then(
            accepted(2, request=3, trial=True)
        )

    def test_a_trial_that_listens_elsewhere_is_one_still(self) -> None:
        moved = (*self.TRIAL, started(port=5000))
        given(PROJECT, *moved).when(accept(2, trial=True)).then(accepted(2, trial=True))


class TestKeeping:
    def test_quarantine_takes_it_off_and_gives_its_room_back(self) -> None:
        quarantine = Quarantine(project="churn", release=1, certificate="certificate:1", why="it ended")
        quarantined = ModelQuarantined(
            project="churn", release=1, certificate="certificate:1", why="it ended"
        )
        state = given(PROJECT, *LIVE).when(quarantine).then(quarantined)
        assert state.holds == frozenset()
        given(PROJECT, *LIVE, quarantined).when(quarantine).then_nothing()

    def test_what_is_starting_does_not_get_there_without_a_certificate_that_stands(self) -> None:
        quarantine = Quarantine(
            project="churn", release=2, certificate="certificate:2", why="it drifts", rule="r", fix="train it"
        )
        why = "its certificate certificate:2 does not stand: it drifts"
        failed = ModelFailed(project="churn", release=2, why=why, fix="train it", request=2)
        state = given(PROJECT, *LIVE, reserved(2), accepted(2)).when(quarantine).then(failed)
        assert state.live is not None  # what served before still does
        # Who asked for it is told by the start that was under way, in these words, and not of a later request.
        history = (*LIVE, reserved(2), accepted(2), failed)
        report_failed = ReportFailed(project="churn", release=2, request=2, why="overtaken", fix=None)
        for report in (report_failed, report_started(2)):
            given(PROJECT, *history).when(report).then(failed)
        given(PROJECT, *LIVE).when(quarantine).then_nothing()

    def test_what_was_quarantined_starts_again_where_it_was_for_the_same_request(self) -> None:
        state = given(PROJECT, *LIVE, QUARANTINED).when(resume()).then(accepted())
        assert state.holds == {1}
        assert PROJECT.evolve(state, started()).live is not None

    def test_nothing_resumes_that_somebody_wanted_otherwise_since(self) -> None:
        stopped = ModelStopped(project="churn", release=None, request=2)
        for history in ((), LIVE, (*LIVE, QUARANTINED, stopped), (*LIVE, QUARANTINED, accepted(2))):
            given(PROJECT, *history).when(resume()).then_nothing()
        given(PROJECT, *LIVE, QUARANTINED).when(resume(2)).then_nothing()

    def test_what_finds_its_room_taken_does_not_resume(self) -> None:
        full = Room(total=Amount(cpu_millis=100, memory_bytes=2**20))
        (refused,) = given(PROJECT, *LIVE, QUARANTINED).when(resume(room=full)).happened
        assert isinstance(refused, ResourcesRefused)

    def test_only_what_is_live_diverges_or_is_given_up(self) -> None:
        given(PROJECT, *LIVE).when(ReportDiverged(project="churn", release=1, why="gone")).then(
            ModelDiverged(project="churn", release=1, why="gone")
        )
        give_up = GiveUp(project="churn", release=1, why="dies", fix=None)
        state = (
            given(PROJECT, *LIVE)
            .when(give_up)
            .then(ModelFailed(project="churn", release=1, why="dies", fix=None, request=1))
        )
        assert state.holds == frozenset()
        stopped = ModelStopped(project="churn", release=1, request=2)
        for command in (ReportDiverged(project="churn", release=1, why="gone"), give_up):
            given(PROJECT, *LIVE, stopped).when(command).then_nothing()


releases = st.integers(1, 4)
rooms = st.sampled_from((PLENTY, PLENTY, FULL, behind(1, 2)))
commands: st.SearchStrategy[Command] = st.one_of(
    st.builds(reserve, releases, request=st.integers(1, 9), room=rooms),
    st.builds(
        accept,
        st.integers(1, 2),
        request=st.integers(1, 9),
        deployed_by=st.integers(1, 4),
        room=rooms,
    ),
    st.builds(
        accept,
        st.integers(3, 4),
        request=st.integers(1, 9),
        deployed_by=st.integers(1, 4),
        trial=st.just(True),
    ),
    st.builds(
        ReportDelayed,
        project=st.just("churn"),
        request=st.integers(1, 9),
        delayed=st.sampled_from([None, "the engine does not answer"]),
    ),
    st.builds(report_started, releases, request=st.integers(1, 9)),
    st.builds(
        ReportFailed,
        project=st.just("churn"),
        release=releases,
        request=st.integers(1, 9),
        why=st.just("no"),
        fix=st.none(),
    ),
    st.builds(Release, project=st.just("churn"), release=releases),
    st.builds(Stop, project=st.just("churn"), request=st.integers(1, 9)),
    st.builds(Delete, project=st.just("churn"), request=st.integers(1, 9)),
    st.builds(GiveUp, project=st.just("churn"), release=releases, why=st.just("no"), fix=st.none()),
    st.builds(
        Quarantine,
        project=st.just("churn"),
        release=releases,
        certificate=releases.map("certificate:{}".format),
        why=st.just("no"),
    ),
    st.builds(resume, releases, room=rooms),
    st.builds(Expire, project=st.just("churn"), now=st.just(NOON + timedelta(hours=1))),
)


def play(asked: list[Command]) -> tuple[Project, list[Happened]]:
    state, happened = PROJECT.initial, []
    for command in asked:
        for event in PROJECT.decide(command, state):
            happened.append(event)
            state = PROJECT.evolve(state, event)
    return state, happened


class TestAnyHistory:
    @for_all(st.lists(commands, max_size=30))
    def test_replaying_gives_what_was_lived(self, asked: list[Command]) -> None:
        state, happened = play(asked)
        assert PROJECT.fold(happened) == state

    @for_all(st.lists(commands, max_size=30))
    def test_asking_again_right_away_starts_nothing_and_takes_no_room(self, asked: list[Command]) -> None:
        state, _ = play(asked)
        for command in asked[-1:]:
            again = PROJECT.decide(command, state)
            assert not any(isinstance(each, StartAccepted | ResourcesReserved) for each in again)

    @for_all(st.lists(commands, max_size=30))
    def test_no_request_is_carried_out_after_a_later_one(self, asked: list[Command]) -> None:
        _, happened = play(asked)
        carried_out = [each.request for each in happened if isinstance(each, StartAccepted)]
        assert carried_out == sorted(carried_out)

    @for_all(st.lists(commands, max_size=30))
    def test_no_delay_changes_anything_but_that_it_is_told(self, asked: list[Command]) -> None:
        with_delays, _ = play(asked)
        without, _ = play([each for each in asked if not isinstance(each, ReportDelayed)])
        starting = with_delays.starting and replace(with_delays.starting, delayed=None)
        assert replace(with_delays, starting=starting) == without

    @for_all(st.lists(commands, max_size=30))
    def test_no_trial_goes_live_right_after_what_people_answer_for(self, asked: list[Command]) -> None:
        state = PROJECT.initial
        for event in play(asked)[1]:
            before, state = state, PROJECT.evolve(state, event)
            assert not (before.live and not before.live.trial and state.live and state.live.trial)

    @for_all(st.lists(commands, max_size=30))
    def test_what_runs_holds_room(self, asked: list[Command]) -> None:
        state, _ = play(asked)
        assert state.runs <= state.holds

    @for_all(st.lists(commands, max_size=30), st.integers(10, 20))
    def test_nothing_runs_after_a_stop_whatever_came_before(self, asked: list[Command], request: int) -> None:
        state, _ = play([*asked, Stop(project="churn", request=request)])
        assert (state.runs, state.holds) == (frozenset(), frozenset())

    @for_all(st.lists(commands, max_size=30), st.integers(10, 20))
    def test_nothing_that_waited_comes_to_anything_after_a_stop(
        self, asked: list[Command], request: int
    ) -> None:
        state, _ = play([*asked, Stop(project="churn", request=request)])
        for waiting in state.waiting:
            assert state.waits_in_vain(waiting)
            said = PROJECT.decide(reserve(waiting.release, request=waiting.request), state)
            assert not any(isinstance(each, ResourcesReserved | ResourcesQueued) for each in said)

    @for_all(st.lists(commands, max_size=30))
    def test_at_most_one_request_waits_for_good(self, asked: list[Command]) -> None:
        state, _ = play(asked)
        hopeful = [
            each for each in state.waiting if each.request > state.asked and not state.waits_in_vain(each)
        ]
        assert len(hopeful) <= 1


def test_every_event_is_evolved() -> None:
    def name(each: Any) -> str:
        return type(each).__name__

    everything = (
        reserved(),
        queued(),
        ResourcesRefused(project="churn", release=1, why="", fix=None),
        ResourcesReleased(project="churn", release=1),
        accepted(),
        started(),
        overtaken(1),
        ModelStopped(project="churn", release=None),
        ModelDeleted(project="churn"),
        ModelQuarantined(project="churn", release=1, certificate="c", why=""),
        ModelDiverged(project="churn", release=1, why=""),
        CanaryStarted(
            project="churn",
            release=2,
            image=IMAGE,
            certificate="c",
            url=URL,
            endpoints=("http://127.0.0.1:1",),
            weight=10,
            request=2,
            sample="none",
            replicas=1,
        ),
        CanaryWeighted(project="churn", release=2, weight=20),
        CanaryAborted(project="churn", release=2, why="", fix=None),
        ScaleAccepted(project="churn", release=1, replicas=2, scaling=1),
        ModelScaled(project="churn", release=1, replicas=2, endpoints=(), scaling=1),
        ChangeRefused(project="churn", why="", fix=None),
    )
    from placet.deployer.subscriptions import SAYS

    # What was observed and who was denied follows from no decision and changes nothing of a project.
    others = {"ModelObserved", "AccessDenied"}
    assert {name(each) for each in everything} == {said.__name__ for said in SAYS} - others
    PROJECT.fold(everything)
