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
from placet.gateway.exceptions import EXCEPTIONS, Ask, Grant, Withdraw

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
    given(EXCEPTIONS).when(ASK).then(REQUESTED)
    given(EXCEPTIONS, REQUESTED).when(GRANT).then(GRANTED)
    of_source = changed(REQUESTED, source=SOURCE)
    given(EXCEPTIONS, of_source).when(GRANT).then(changed(GRANTED, source=SOURCE))


def test_asking_for_the_same_again_asks_for_nothing_new() -> None:
    given(EXCEPTIONS, REQUESTED).when(replace(ASK, exception="exception:2", reason="other")).then_nothing()
    given(EXCEPTIONS, REQUESTED, GRANTED).when(replace(ASK, exception="exception:2")).then_nothing()
    over = replace(ASK, exception="exception:2", now=UNTIL)
    given(EXCEPTIONS, REQUESTED, GRANTED).when(over).then_refused(saying="is over", kind=Refused)


@pytest.mark.parametrize(
    "other", [{"by": EVE}, {"rule": "another"}, {"source": SOURCE}, {"until": LATEST}], ids=str
)
def test_asking_for_anything_else_is_another_exception(other: dict[str, Any]) -> None:
    asked = replace(ASK, exception="exception:2", **other)
    [happened] = EXCEPTIONS.decide(asked, EXCEPTIONS.fold([REQUESTED]))
    assert isinstance(happened, ExceptionRequested)
    assert happened.exception == "exception:2"


def test_what_was_withdrawn_may_be_asked_for_again() -> None:
    asked = replace(ASK, exception="exception:2")
    given(EXCEPTIONS, REQUESTED, WITHDRAWN).when(asked).then(changed(REQUESTED, exception="exception:2"))


def test_an_exception_ends_in_time_and_has_not_ended_yet() -> None:
    given(EXCEPTIONS).when(replace(ASK, until=NOW)).then_refused(saying="is over", kind=Refused)
    late = replace(ASK, until="2026-04-01T00:00:00.001Z")
    given(EXCEPTIONS).when(late).then_refused(saying="more than 90 days ahead", kind=Refused)
    given(EXCEPTIONS).when(replace(ASK, until=LATEST)).then(changed(REQUESTED, until=LATEST))


@pytest.mark.parametrize("history", [(), (GRANTED,), (WITHDRAWN,)], ids=["asked", "granted", "withdrawn"])
def test_nobody_grants_what_they_asked_for(history: tuple[Any, ...]) -> None:
    asked = given(EXCEPTIONS, REQUESTED, *history)
    asked.when(replace(GRANT, by=ADA)).then_refused(saying="takes two people", kind=Forbidden)


def test_granting_twice_is_granting_once_and_somebody_else_is_told() -> None:
    granted = given(EXCEPTIONS, REQUESTED, GRANTED)
    granted.when(GRANT).then_nothing()
    granted.when(replace(GRANT, by=EVE)).then_refused(saying="was granted already", kind=Conflict)


@pytest.mark.parametrize("command", [GRANT, WITHDRAW])
def test_what_is_over_or_unknown_is_neither_granted_nor_withdrawn(command: Any) -> None:
    given(EXCEPTIONS).when(command).then_refused(saying="no exception 'exception:1' of churn", kind=Unknown)
    over = replace(command, now=UNTIL)
    given(EXCEPTIONS, REQUESTED).when(over).then_refused(saying=f"ended at {UNTIL}", kind=Conflict)


def test_what_was_withdrawn_is_not_granted() -> None:
    for history in ((REQUESTED, WITHDRAWN), (REQUESTED, GRANTED, WITHDRAWN)):
        given(EXCEPTIONS, *history).when(GRANT).then_refused(saying="was withdrawn", kind=Conflict)


def test_who_asked_withdraws_and_who_decides_and_nobody_else() -> None:
    for history in ((REQUESTED,), (REQUESTED, GRANTED)):
        given(EXCEPTIONS, *history).when(WITHDRAW).then(WITHDRAWN)
        decided = replace(WITHDRAW, by=EVE, decides=True)
        given(EXCEPTIONS, *history).when(decided).then(changed(WITHDRAWN, withdrawn_by=EVE))
        stranger = given(EXCEPTIONS, *history).when(replace(WITHDRAW, by=EVE))
        stranger.then_refused(saying="by who asked for it", kind=Forbidden)
    given(EXCEPTIONS, REQUESTED, WITHDRAWN).when(WITHDRAW).then_nothing()


people = st.sampled_from([ADA, BOB, EVE])
ids = st.sampled_from(["exception:1", "exception:2"])
commands = st.lists(
    st.builds(
        lambda id, by, rule: replace(ASK, exception=id, by=by, rule=rule),
        st.uuids(version=4).map(lambda id: f"exception:{id}") | ids,
        people,
        st.sampled_from(["model.pickle", "another"]),
    )
    | st.builds(lambda id, by: replace(GRANT, exception=id, by=by), ids, people)
    | st.builds(
        lambda id, by, decides: replace(WITHDRAW, exception=id, by=by, decides=decides),
        ids,
        people,
        st.booleans(),
    ),
    max_size=12,
)


@for_all(commands)
def test_whatever_is_asked_no_exception_is_granted_by_who_asked_or_after_it_was_withdrawn(
    asked: list[Any],
) -> None:
    history: list[Any] = []
    for command in asked:
        before = EXCEPTIONS.fold(history)
        if isinstance(command, Ask) and command.exception in before.known:
            continue  # ids are given once
        try:
            happened = EXCEPTIONS.decide(command, before)
        except PlacetError:
            continue
        assert EXCEPTIONS.fold_on(before, happened) == EXCEPTIONS.fold([*history, *happened])
        history += happened
        assert not EXCEPTIONS.decide(command, EXCEPTIONS.fold(history)), "the same again changes nothing"
    asked_by = {each.exception: each.requested_by for each in history if isinstance(each, ExceptionRequested)}
    for position, each in enumerate(history):
        if isinstance(each, ExceptionGranted):
            assert each.granted_by != asked_by[each.exception] == each.requested_by
            gone = [old.exception for old in history[:position] if isinstance(old, ExceptionWithdrawn)]
            assert each.exception not in gone
