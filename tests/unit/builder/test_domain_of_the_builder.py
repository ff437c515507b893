"""What image is this source? One answer for each release."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st
from placet.builder.domain import RELEASE, Accept, Answered, Building, Finish, Reuse
from placet.events.contracts.builder import BuildAccepted
from placet.events.testing import given

from tests.unit.gateway.roads import IMAGE, SOURCE, accepted_build, build_failed, built, reused

ACCEPT = Accept(project="churn", release=1, source=SOURCE, image=None)
REUSE = Reuse(project="churn", release=1, source=SOURCE, image=IMAGE, repository="models/churn")
COMMANDS = [ACCEPT, REUSE, Finish(outcome=built()), Finish(outcome=build_failed())]


def test_an_unknown_source_is_taken_on() -> None:
    assert given(RELEASE).when(ACCEPT).then(accepted_build()) == Building(source=SOURCE)


def test_a_known_source_is_answered_at_once() -> None:
    assert given(RELEASE).when(REUSE).then(reused()) == Answered()


@pytest.mark.parametrize("outcome", [built(), build_failed()])
def test_a_build_ends_with_what_came_of_it(outcome: Any) -> None:
    assert given(RELEASE, accepted_build()).when(Finish(outcome=outcome)).then(outcome) == Answered()


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("answer", [reused(), built(), build_failed()])
def test_the_first_answer_stands(command: Any, answer: Any) -> None:
    history = (answer,) if answer == reused() else (accepted_build(), answer)
    given(RELEASE, *history).when(command).then_nothing()


def test_nothing_ends_that_was_not_taken_on() -> None:
    given(RELEASE).when(Finish(outcome=built())).then_nothing()


def test_what_was_taken_on_is_not_taken_on_again() -> None:
    given(RELEASE, accepted_build()).when(ACCEPT).then_nothing()
    given(RELEASE, accepted_build()).when(REUSE).then_nothing()


@for_all(st.lists(st.sampled_from(COMMANDS), max_size=10))
def test_a_release_has_one_answer_whatever_comes_how_often(commands: list[Any]) -> None:
    history: list[Any] = []
    for command in commands:
        before = RELEASE.fold(history)
        happened = RELEASE.decide(command, before)
        assert RELEASE.fold_on(before, happened) == RELEASE.fold([*history, *happened])
        history += happened
        assert not RELEASE.decide(command, RELEASE.fold(history))
    answers = [event for event in history if not isinstance(event, BuildAccepted)]
    assert len(answers) <= 1
