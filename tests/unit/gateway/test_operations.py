"""Where a request stands, whatever is heard in which order."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from placet.events.contracts import deployer, gateway
from placet.events.testing import changed
from placet.gateway.operations import PATHS, advance, document, ordinal, requested, stall

from tests.unit.gateway.roads import (
    APPROVED,
    BROKEN,
    BUILD,
    CERTIFICATE,
    DELETE,
    DEPLOY,
    GIVEN_UP,
    IMAGE,
    MISSING,
    NO_BUILD,
    NO_IMAGE,
    NO_ROOM,
    OPERATION,
    QUEUED,
    REDEPLOY,
    ROADS,
    SOURCE,
    START_AGAIN,
    STOP,
    accepted_build,
    accepted_start,
    asked,
    at,
    built,
    certified,
    cleared,
    refused,
    started,
    timed,
    told,
    verdict,
)


def shown(road: tuple[Any, ...]) -> dict[str, Any]:
    return document(told(timed(road)))


def steps(shown: dict[str, Any]) -> list[tuple[str, str]]:
    return [(step["name"], step["state"]) for step in shown["steps"]]


# people


def test_what_is_awaited_is_told_with_why_and_is_over_for_who_waits() -> None:
    operation = told(timed(APPROVED[:6]))
    assert operation.is_over
    said = document(operation)
    assert (said["state"], said["refusals"]) == ("awaiting", [])
    assert said["awaiting"] == [{"rule": MISSING.rule, "why": MISSING.why}]
    [step] = [each for each in said["steps"] if each["name"] == "certified"]
    assert (step["state"], step["detail"]) == ("waiting", "people have until 2026-01-15T00:00:10.000Z")
    assert stall(operation, at(99), 60.0) == operation


def test_what_was_approved_goes_on_and_what_was_not_is_refused() -> None:
    assert shown(APPROVED)["state"] == "live"
    late = shown((*APPROVED[:6], refused("certify", MISSING)))
    assert (late["state"], late["awaiting"]) == ("refused", [])
    assert [each["rule"] for each in late["refusals"]] == [MISSING.rule]


# every command's path


@pytest.mark.parametrize(
    ("road", "command"),
    [
        (DEPLOY, "deploy"),
        (BUILD, "build"),
        (REDEPLOY, "deploy"),
        (START_AGAIN, "start"),
        (STOP, "stop"),
        (DELETE, "delete"),
    ],
)
def test_a_command_that_succeeds_goes_its_whole_path(road: tuple[Any, ...], command: str) -> None:
    document = shown(road)
    assert document["command"] == command
    assert steps(document) == [(name, "done") for name in PATHS[command]]
    assert document["state"] == PATHS[command][-1]
    assert document["refusals"] == []
    assert told(timed(road)).is_over


def test_a_deploy_shows_all_there_is_to_know() -> None:
    document = shown(DEPLOY)
    assert document["operation"] == OPERATION
    assert (document["project"], document["release"], document["source"]) == ("churn", 1, SOURCE)
    assert (document["image"], document["built"], document["certificate"]) == (IMAGE, True, CERTIFICATE)
    assert document["url"] == "http://placet/models/churn"
    assert [(each["rule"], each["result"], each["stage"]) for each in document["verdicts"]] == [
        ("card.present", "fail", "submit"),
        ("image.of-source", "pass", "certify"),
        ("owner.named", "pass", "submit"),
    ]
    assert {step["name"]: step["detail"] for step in document["steps"]} == {
        "requested": None,
        "cleared": "1 of 2 rules pass",
        "reserved": None,
        "built": "67.0 MB",
        "indexed": None,
        "certified": "until 2026-04-01T00:00:00.000Z",
        "live": "ready; it answered its sample as expected",
    }


def test_a_model_that_has_no_sample_was_asked_nothing_and_says_so() -> None:
    unasked = changed(started(), sample="none")
    live = document(advance(requested(OPERATION, at(0), asked()), unasked, at(1)))["steps"][-1]
    assert (live["name"], live["detail"]) == ("live", "ready; it has no sample, so nothing was asked of it")


def test_each_step_took_the_time_since_the_one_before() -> None:
    seconds = {step["name"]: step["seconds"] for step in shown(DEPLOY)["steps"]}
    assert seconds == {
        "requested": 0.0,
        "cleared": 1.0,
        "reserved": 1.0,
        "built": 2.0,  # accepting it is no step of its own
        "indexed": 1.0,
        "certified": 1.0,
        "live": 2.0,
    }


def test_clocks_that_disagree_make_no_negative_time() -> None:
    operation = advance(requested(OPERATION, at(10), asked()), cleared(), at(9))
    assert [step["seconds"] for step in document(operation)["steps"][:2]] == [0.0, 0.0]


def test_a_known_source_is_not_built_and_says_so() -> None:
    document = shown(REDEPLOY)
    assert document["built"] is False
    assert "nothing to build" in next(step for step in document["steps"] if step["name"] == "built")["detail"]


def test_a_deploy_of_an_image_names_it_from_the_start() -> None:
    assert document(requested(OPERATION, at(0), asked(image=IMAGE)))["image"] == IMAGE


def test_what_waits_for_room_says_its_place_and_why_until_it_has_some() -> None:
    details = [
        next(step for step in shown(QUEUED[:heard])["steps"] if step["name"] == "reserved")
        for heard in (2, 3, 4, 5)
    ]
    assert [each["state"] for each in details] == ["running", "running", "running", "done"]
    assert [each["detail"] for each in details] == [
        None,
        "2nd in the queue: 4 GiB asked, 1 GiB free",
        "1st in the queue: 4 GiB asked, 1 GiB free",
        "held until 2026-01-01T00:30:00.000Z, and asked for anew if it starts later",
    ]
    assert shown(QUEUED)["state"] == "live"


def test_what_a_start_waits_for_is_told_in_its_step_until_it_goes_on_or_ends() -> None:
    away = changed(accepted_start(), delayed="the engine does not answer; start it")
    road = timed((*DEPLOY[:-1], away, accepted_start(), started()))
    waits, goes_on, live = (document(told(road[:end])) for end in (-2, -1, None))
    assert waits["steps"][-1]["state"] == "running"
    assert waits["steps"][-1]["detail"] == "tried again: the engine does not answer; start it"
    assert goes_on["steps"][-1]["detail"] is None
    assert "tried again" not in live["steps"][-1]["detail"]
    failed = document(told(timed((*DEPLOY[:-1], away, GIVEN_UP[-1]))))
    assert failed["steps"][-1]["detail"] == GIVEN_UP[-1].why


def test_a_start_for_which_a_canary_ends_says_so_and_later_ends_are_not_its() -> None:
    ended = deployer.CanaryAborted(project="churn", release=2, why="release 3 took its place", fix=None)
    road = timed((*DEPLOY[:-1], ended, changed(DEPLOY[-1], release=3)))
    said = document(told(road))
    assert said["replaced"] == 2
    assert said["steps"][-1]["detail"].endswith("; the canary of release 2 ended for it")
    assert document(told(timed(DEPLOY)))["replaced"] is None
    for later in (ended, changed(ended, release=1)):
        assert document(told(timed((*DEPLOY, later))))["replaced"] is None


def test_a_scaling_says_what_it_waits_for() -> None:
    scaling = deployer.ScaleAccepted(project="churn", release=1, replicas=2, scaling=1, delayed="it is away")
    road = timed((gateway.ScaleRequested(project="churn", replicas=2), scaling))
    assert document(told(road))["steps"][-1]["detail"] == "tried again: it is away"


def test_who_waits_in_a_queue_has_not_stalled_until_that_is_over() -> None:
    waits = told(timed(QUEUED[:3]))
    assert stall(waits, at(3599), 900.0) == waits
    assert document(stall(waits, at(3600), 900.0))["state"] == "stalled"


def test_what_waits_again_after_its_reservation_ended_says_so_at_the_step_that_is_due() -> None:
    approved = (*APPROVED[:5], certified(), QUEUED[2])
    last = shown(approved)["steps"][-1]
    assert (last["name"], last["state"]) == ("live", "running")
    assert last["detail"].startswith("2nd in the queue: ")


@pytest.mark.parametrize(
    ("number", "said"),
    [(1, "1st"), (2, "2nd"), (3, "3rd"), (4, "4th"), (11, "11th"), (112, "112th"), (23, "23rd")],
)
def test_places_are_counted_as_people_do(number: int, said: str) -> None:
    assert ordinal(number) == said


def test_a_step_under_way_is_running_and_those_after_it_wait() -> None:
    assert steps(shown(DEPLOY[:3])) == [
        ("requested", "done"),
        ("cleared", "done"),
        ("reserved", "done"),
        ("built", "running"),
        ("indexed", "waiting"),
        ("certified", "waiting"),
        ("live", "waiting"),
    ]


# ends


@pytest.mark.parametrize(
    ("road", "state", "step", "rule"),
    [
        (NO_IMAGE, "failed", "indexed", None),
        (NO_BUILD, "failed", "built", None),
        (NO_ROOM, "refused", "reserved", "capacity"),
        (BROKEN, "failed", "live", None),
    ],
)
def test_an_end_names_its_step_and_reason(
    road: tuple[Any, ...], state: str, step: str, rule: str | None
) -> None:
    document = shown(road)
    assert document["state"] == state
    ended = next(each for each in document["steps"] if each["name"] == step)
    assert ended["state"] == state
    assert ended["detail"]
    (refusal,) = document["refusals"]
    assert refusal["rule"] == rule
    assert refusal["why"]
    assert "running" not in dict(steps(document)).values()


def test_a_clearance_says_how_much_of_it_is_excepted() -> None:
    covered = msgspec.structs.replace(verdict("pickle", "submit", "fail"), exception="exception:1")
    document = shown((asked(), changed(cleared(), verdicts=(verdict("owner.named", "submit"), covered))))
    assert document["steps"][1]["detail"] == "1 of 2 rules pass, 1 excepted"
    assert [each["exception"] for each in document["verdicts"]] == [None, "exception:1"]


@pytest.mark.parametrize(("stage", "step"), [("submit", "cleared"), ("certify", "certified")])
def test_a_refusal_names_the_rules_that_forbid_and_not_the_warnings(stage: Any, step: str) -> None:
    before = (asked(),) if stage == "submit" else DEPLOY[:6]
    verdicts = (
        verdict("licence.present", stage, "fail"),
        verdict("scan.clean", stage, "indeterminate"),
        verdict("card.present", stage, "fail", "warn"),
        verdict("owner.named", stage),
        msgspec.structs.replace(verdict("pickle", stage, "fail"), exception="exception:1"),
    )
    document = shown((*before, refused(stage, *verdicts)))
    assert document["state"] == "refused"
    assert [(each["rule"], each["why"], each["fix"]) for each in document["refusals"]] == [
        ("licence.present", "licence.present says no", "mend licence.present"),
        ("scan.clean", "scan.clean says no", "mend scan.clean"),
    ]
    ended = next(each for each in document["steps"] if each["name"] == step)
    assert ended["state"] == "refused"
    assert ended["detail"] == "licence.present, scan.clean"


def test_what_becomes_of_a_model_later_is_not_the_story_of_its_deploy() -> None:
    assert shown(GIVEN_UP) == shown(DEPLOY)
    later = (
        deployer.ModelQuarantined(project="churn", release=1, certificate=CERTIFICATE, why="it lapsed"),
        deployer.ModelDiverged(project="churn", release=1, why="it is gone"),
    )
    assert shown((*DEPLOY, *later)) == shown(DEPLOY)


# silence


def test_silence_has_a_name_and_a_step() -> None:
    stalled = stall(told(timed(DEPLOY[:3])), at(900), 900)
    assert stalled.is_over
    document_ = document(stalled)
    assert document_["state"] == "stalled"
    assert dict(steps(document_))["built"] == "failed"
    assert "'built' did not come" in document_["refusals"][0]["why"]
    assert document_["refusals"][0]["fix"] == "see `placet events --project churn`"


@pytest.mark.parametrize("event", [built(), accepted_build(), cleared()])
def test_whatever_is_heard_ends_a_silence(event: Any) -> None:
    stalled = stall(told(timed(DEPLOY[:3])), at(900), 900)
    woken = advance(stalled, event, at(901))
    assert not woken.is_over
    assert document(woken)["refusals"] == []


def test_an_operation_that_stalled_can_still_fail() -> None:
    stalled = stall(told(timed(DEPLOY[:3])), at(900), 900)
    for event in NO_BUILD[4:]:
        stalled = advance(stalled, event, at(901))
    assert document(stalled)["state"] == "failed"


def test_silence_changes_no_end_that_was_told() -> None:
    ended = told(timed(NO_BUILD))
    assert stall(ended, at(900), 900) == ended


# order and repetition


def test_a_step_whose_successor_was_heard_first_is_done() -> None:
    early = told([(asked(), at(0)), (certified(), at(6)), (DEPLOY[8], at(8))])
    document_ = document(early)
    assert document_["state"] == "live"
    assert {state for _, state in steps(document_)} == {"done"}
    assert [step["name"] for step in document_["steps"] if step["seconds"] is None] == [
        "cleared",
        "reserved",
        "built",
        "indexed",
    ]


def test_the_state_goes_no_further_than_what_was_heard_without_a_hole() -> None:
    early = told([(asked(), at(0)), (certified(), at(6))])
    assert document(early)["state"] == "requested"


@pytest.mark.parametrize("name", ROADS)
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_any_order_tells_the_same_story(name: str, data: st.DataObject) -> None:
    first, *others = timed(ROADS[name])
    shuffled = data.draw(st.permutations(others))
    assert document(told([first, *shuffled])) == document(told([first, *others]))


@pytest.mark.parametrize("name", ROADS)
@given(data=st.data())
@settings(max_examples=30, deadline=None)
def test_hearing_anything_twice_changes_nothing(name: str, data: st.DataObject) -> None:
    first, *others = timed(ROADS[name])
    twice = data.draw(st.permutations([*others, *others]))
    assert document(told([first, first, *twice])) == document(told([first, *others]))


def test_only_a_request_begins_an_operation() -> None:
    with pytest.raises(TypeError, match="begins no operation"):
        requested(OPERATION, at(0), cleared())
