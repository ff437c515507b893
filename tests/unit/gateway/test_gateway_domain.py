"""Which requests are taken, and which number the next release has."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st
from placet.errors import Conflict, Forbidden, Refused, Unknown
from placet.events.contracts.gateway import (
    DeleteRequested,
    DeployRequested,
    StartRequested,
    StopRequested,
    TokenIssued,
    TokenRevoked,
)
from placet.events.testing import given
from placet.gateway.domain import (
    MAKERS,
    PROJECT,
    TOKEN,
    Delete,
    Deploy,
    IssueToken,
    RevokeToken,
    Start,
    Stop,
    must_have,
)

from tests.unit.gateway.roads import SOURCE


def deployed(release: int) -> DeployRequested:
    return DeployRequested(project="churn", release=release, command="deploy", source=SOURCE, image=None)


DEPLOY = Deploy(project="churn", command="deploy", source=SOURCE, image=None)
START = Start(project="churn", release=1)
STOPPED, DELETED = StopRequested(project="churn"), DeleteRequested(project="churn")
ISSUED = TokenIssued(token="t", person="person:1", roles=("admin",), expires="2026-02-01T00:00:00.000Z")


def test_releases_count_from_one() -> None:
    given(PROJECT).when(DEPLOY).then(deployed(1))
    given(PROJECT, deployed(1), STOPPED).when(DEPLOY).then(deployed(2))


def test_a_number_is_never_given_twice_even_after_a_deletion() -> None:
    given(PROJECT, deployed(1), DELETED).when(DEPLOY).then(deployed(2))


@pytest.mark.parametrize("command", [START, Stop(project="churn"), Delete(project="churn")])
def test_what_is_not_here_cannot_be_started_stopped_or_deleted(command: Any) -> None:
    given(PROJECT).when(command).then_refused(saying="no project 'churn'", kind=Unknown)
    deleted = given(PROJECT, deployed(1), DELETED)
    deleted.when(command).then_refused(saying="churn was deleted; deploy it again", kind=Unknown)
    known = replace(command, deleted="2026-01-01T00:00:00.000Z")
    deleted.when(known).then_refused(saying="churn was deleted at 2026-01-01T00:00:00.000Z", kind=Unknown)


def test_a_project_without_a_certified_release_cannot_be_started() -> None:
    never = Start(project="churn", release=None)
    given(PROJECT, deployed(1)).when(never).then_refused(saying="no certified release", kind=Conflict)


def test_a_certified_release_is_started() -> None:
    given(PROJECT, deployed(1)).when(START).then(StartRequested(project="churn", release=1))


def test_a_release_that_was_deleted_is_not_started_under_its_successor() -> None:
    history = (deployed(1), DELETED, deployed(2))
    given(PROJECT, *history).when(START).then_refused(saying="no certified release", kind=Conflict)
    second = Start(project="churn", release=2)
    given(PROJECT, *history).when(second).then(StartRequested(project="churn", release=2))


def test_stop_and_delete_are_asked_as_often_as_somebody_asks() -> None:
    given(PROJECT, deployed(1), STOPPED).when(Stop(project="churn")).then(STOPPED)
    given(PROJECT, deployed(1)).when(Delete(project="churn")).then(DELETED)


@for_all(
    st.lists(
        st.sampled_from([DEPLOY, START, Start(project="churn", release=None), Stop(project="churn")])
        | st.just(Delete(project="churn")),
        max_size=30,
    )
)
def test_whatever_is_decided_can_be_folded_and_numbers_never_repeat(commands: list[Any]) -> None:
    history: list[Any] = []
    for command in commands:
        before = PROJECT.fold(history)
        try:
            happened = PROJECT.decide(command, before)
        except Refused:
            continue
        assert PROJECT.fold_on(before, happened) == PROJECT.fold([*history, *happened])
        history += happened
    releases = [event.release for event in history if isinstance(event, DeployRequested)]
    assert releases == list(range(1, len(releases) + 1))


def test_a_token_is_revoked_once() -> None:
    revoke = RevokeToken(token="t")
    given(TOKEN, ISSUED).when(revoke).then(TokenRevoked(token="t"))
    given(TOKEN, ISSUED, TokenRevoked(token="t")).when(revoke).then_nothing()


def test_a_token_of_somebody_else_cannot_be_revoked_here() -> None:
    given(TOKEN).when(RevokeToken(token="t")).then_refused(saying="no token 't'", kind=Unknown)


def test_issuing_names_person_roles_and_end() -> None:
    issue = IssueToken(token="t", person="person:1", roles=("admin",), expires=ISSUED.expires)
    given(TOKEN).when(issue).then(ISSUED)


def test_who_may_not_is_told_which_role_is_missing() -> None:
    must_have(frozenset({"scientist", "auditor"}), MAKERS, "a deploy")
    with pytest.raises(Forbidden, match="a deploy needs one of the roles admin, operator, scientist"):
        must_have(frozenset({"auditor"}), MAKERS, "a deploy")
