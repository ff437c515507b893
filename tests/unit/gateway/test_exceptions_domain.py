"""Which exceptions from rules are asked for, granted and withdrawn, and by whom."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st
from placet.errors import Conflict, Forbidden, PlacetError, Refused, Unknown
from placet.events.contracts.gateway import ExceptionGranted, ExceptionRequested, ExceptionWithdrawn
from placet.events.testing import changed, given
from placet.gateway.exceptions import (
    EXCEPTION,
    OPEN_BY_PERSON,
    OPEN_OF_PROJECT,
    Ask,
    Grant,
    Withdraw,
)

from tests.unit.gateway.roads import SOURCE

ADA, BOB, EVE = "person:ada", "person:bob", "person:eve"
NOW, UNTIL, LATEST = "2026-01-01T00:00:00.000Z", "2026-02-01T00:00:00.000Z", "2026-04-01T00:00:00.000Z"
ASK = Ask(
    exception="exception:1",
    project="churn",
    rule="model.pickle",
    source=None,
    until=UNTIL,
    reason="hmac-sha256:00",
    by=ADA,
    now=NOW,
    latest=LATEST,
    days=90,
    open_of_project=0,
    open_by_person=0,
)
GRANT = Grant(project="churn", exception="exception:1", by=BOB, now=NOW)
WITHDRAW = Withdraw(project="churn", exception="exception:1", by=ADA, decides=False, now=NOW)

REQUESTED = ExceptionRequested(
    exception="exception:1",
    project="churn",
    rule="model.pickle",
    source=None,
    until=UNTIL,
    reason="hmac-sha256:00",
    requested_by=ADA,
)
GRANTED = ExceptionGranted(
    exception="exception:1",
    project="churn",
    rule="model.pickle",
    source=None,
    until=UNTIL,
    requested_by=ADA,
    granted_by=BOB,
)
WITHDRAWN = ExceptionWithdrawn(
    exception="exception:1", project="churn", rule="model.pickle", withdrawn_by=ADA
)


def test_one_asks_another_grants_and_it_is_said_whole() -> None:
    given(EXCEPTION).when(ASK).then(REQUESTED)
    given(EXCEPTION, REQUESTED).when(GRANT).then(GRANTED)
    of_source = changed(REQUESTED, source=SOURCE)
    given(EXCEPTION, of_source).when(GRANT).then(changed(GRANTED, source=SOURCE))


def test_so_many_are_open_of_a_project_and_by_a_person_and_no_more() -> None:
    most = replace(ASK, open_of_project=OPEN_OF_PROJECT - 1, open_by_person=OPEN_BY_PERSON - 1)
    given(EXCEPTION).when(most).then(REQUESTED)
    of_project = given(EXCEPTION).when(replace(most, open_of_project=OPEN_OF_PROJECT))
    of_project.then_refused(saying="100 exceptions of churn are asked for and not granted yet", kind=Refused)
    by_person = given(EXCEPTION).when(replace(most, open_by_person=OPEN_BY_PERSON))
    by_person.then_refused(saying="you have asked for 50 exceptions that nobody has granted", kind=Refused)


def test_an_exception_ends_in_time_and_has_not_ended_yet() -> None:
    given(EXCEPTION).when(replace(ASK, until=NOW)).then_refused(saying="is over", kind=Refused)
    late = replace(ASK, until="2026-04-01T00:00:00.001Z")
    given(EXCEPTION).when(late).then_refused(saying="more than 90 days ahead", kind=Refused)
    given(EXCEPTION).when(replace(ASK, until=LATEST)).then(changed(REQUESTED, until=LATEST))


@pytest.mark.parametrize("history", [(), (GRANTED,), (WITHDRAWN,)], ids=["asked", "granted", "withdrawn"])
def test_nobody_grants_what_they_asked_for(history: tuple[Any, ...]) -> None:
    asked = given(EXCEPTION, REQUESTED, *history)
    asked.when(replace(GRANT, by=ADA)).then_refused(saying="takes two people", kind=Forbidden)


def test_granting_twice_is_granting_once_and_somebody_else_is_told() -> None:
    granted = given(EXCEPTION, REQUESTED, GRANTED)
    granted.when(GRANT).then_nothing()
    granted.when(replace(GRANT, by=EVE)).then_refused(saying="was granted already", kind=Conflict)


@pytest.mark.parametrize("command", [GRANT, WITHDRAW])
def test_what_is_over_or_unknown_is_neither_granted_nor_withdrawn(command: Any) -> None:
    given(EXCEPTION).when(command).then_refused(saying="no exception 'exception:1' of churn", kind=Unknown)
    elsewhere = replace(command, project="another")
    given(EXCEPTION, REQUESTED).when(elsewhere).then_refused(saying="no exception", kind=Unknown)
    over = replace(command, now=UNTIL)
    given(EXCEPTION, REQUESTED).when(over).then_refused(saying=f"ended at {UNTIL}", kind=Conflict)


def test_what_was_withdrawn_is_not_granted() -> None:
    for history in ((REQUESTED, WITHDRAWN), (REQUESTED, GRANTED, WITHDRAWN)):
        given(EXCEPTION, *history).when(GRANT).then_refused(saying="was withdrawn", kind=Conflict)


def test_who_asked_withdraws_and_who_decides_and_nobody_else() -> None:
    for history in ((REQUESTED,), (REQUESTED, GRANTED)):
        given(EXCEPTION, *history).when(WITHDRAW).then(WITHDRAWN)
        decided = replace(WITHDRAW, by=EVE, decides=True)
        given(EXCEPTION, *history).when(decided).then(changed(WITHDRAWN, withdrawn_by=EVE))
        stranger = given(EXCEPTION, *history).when(replace(WITHDRAW, by=EVE))
        stranger.then_refused(saying="by who asked for it", kind=Forbidden)
    given(EXCEPTION, REQUESTED, WITHDRAWN).when(WITHDRAW).then_nothing()


people = st.sampled_from([ADA, BOB, EVE])
commands = st.lists(
    st.builds(lambda by: replace(ASK, by=by), people)
    | st.builds(lambda by: replace(GRANT, by=by), people)
    | st.builds(lambda by, decides: replace(WITHDRAW, by=by, decides=decides), people, st.booleans()),
    max_size=12,
)


@for_all(commands)
def test_whatever_is_asked_no_exception_is_granted_by_who_asked_or_after_it_was_withdrawn(
    asked: list[Any],
) -> None:
    history: list[Any] = []
    for command in asked:
        before = EXCEPTION.fold(history)
        try:
            happened = EXCEPTION.decide(command, before)
        except PlacetError:
            continue
        assert EXCEPTION.fold_on(before, happened) == EXCEPTION.fold([*history, *happened])
        history += happened
        assert not EXCEPTION.decide(command, EXCEPTION.fold(history)), "the same again changes nothing"
    said = [type(each) for each in history]
    asked_granted_withdrawn = [ExceptionRequested, ExceptionGranted, ExceptionWithdrawn]
    assert said in (asked_granted_withdrawn[:length] for length in range(4)) or said == [
        ExceptionRequested,
        ExceptionWithdrawn,
    ]
    for each in history:
        if isinstance(each, ExceptionGranted):
            assert each.granted_by != history[0].requested_by == each.requested_by
