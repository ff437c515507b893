"""Which policies are published, and which are not because they would not fit to what there is."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from placet.certifier.policies import MAX_PROBLEMS, POLICIES, Happened, Policies, Publish, Reject
from placet.events.codec import MAX_EVENT_BYTES
from placet.events.contracts.certifier import PolicyPublished, PolicyRejected
from placet.events.contracts.shapes import PolicyProblem, RuleRef
from placet.rules.publication import Version, clashes, in_force

DAY = date(2026, 11, 27)
SHIPPED = (
    Version(policy="trials", version=1, digest="sha256:trials", rules=frozenset({"trial.confined"})),
    Version(policy="safety", version=3, digest="sha256:safety", rules=frozenset({"model.safe"})),
)


def publish(policy: str = "house", version: int = 1, *rules: str, **changes: object) -> Publish:
    known = rules or (f"{policy}.rule",)
    made = Version(
        policy=policy,
        version=version,
        digest=f"sha256:{policy}{version}",
        rules=frozenset(known),
        begins=DAY,
    )
    return Publish(
        version=replace(made, **changes),  # type: ignore[arg-type]
        title=f"Policy {policy}",
        rules=tuple(RuleRef(id=rule, stage="submit") for rule in known),
        submitted=DAY,
        shipped=SHIPPED,
    )


def after(*commands: Publish | Reject) -> tuple[Policies, list[Happened]]:
    state, said = POLICIES.initial, list[Happened]()
    for command in commands:
        happened = POLICIES.decide(command, state)
        state = POLICIES.fold_on(state, happened)
        said += happened
    return state, said


def problem(*commands: Publish | Reject) -> PolicyProblem:
    """The only one of the last that was asked."""
    last = after(*commands)[1][-1]
    assert isinstance(last, PolicyRejected)
    [found] = last.problems
    return found


def test_a_new_policy_is_published_with_all_that_others_are_to_know() -> None:
    _, said = after(publish(begins=DAY, ends=DAY + timedelta(days=9)))
    assert said == [
        PolicyPublished(
            policy="house",
            version=1,
            digest="sha256:house1",
            number=1,
            title="Policy house",
            effective_from="2026-11-27",
            effective_until="2026-12-06",
            supersedes=None,
            rules=(RuleRef(id="house.rule", stage="submit"),),
        )
    ]


def test_the_same_file_again_is_no_event_whatever_became_of_it() -> None:
    assert len(after(publish(), publish())[1]) == 1
    late = publish(digest="sha256:late")
    assert len(after(publish(), late, late)[1]) == 2


@pytest.mark.parametrize("version", [2, 1])
def test_a_version_has_to_be_above_what_was_published(version: int) -> None:
    found = problem(publish(version=2), publish(version=version, digest="sha256:other"))
    assert found.why == f"house has a version 2 already, and {version} is not above it"
    assert found.fix == "make it version 3"


def test_a_version_has_to_be_above_the_shipped_one_and_takes_its_place_then() -> None:
    assert "safety has a version 3 already" in problem(publish("safety", 3, "model.safe")).why
    state, _ = after(publish("safety", 4, "model.safe"))
    assert [each.version for each in in_force((*SHIPPED, *state.versions), DAY)] == [1, 4]


def test_nothing_is_dated_back() -> None:
    found = problem(publish(begins=DAY - timedelta(days=1)))
    assert found.why.startswith("it would be in force from 2026-11-26, and was submitted on 2026-11-27")


def test_a_policy_takes_the_place_of_one_that_there_is() -> None:
    assert "there is no such policy" in problem(publish(supersedes="nothing")).why
    state, _ = after(publish(supersedes="trials"))
    assert [each.policy for each in in_force((*SHIPPED, *state.versions), DAY)] == ["safety", "house"]


def test_what_another_policy_took_the_place_of_does_not_come_back_by_itself() -> None:
    retired = publish("trials", 2, "trial.confined")
    found = problem(publish(supersedes="trials"), retired)
    assert found.why == "house 1 takes the place of trials"
    given_up = publish(version=2)
    assert isinstance(after(publish(supersedes="trials"), given_up, retired)[1][-1], PolicyPublished)
    for_a_day = publish(supersedes="trials", ends=DAY + timedelta(days=1))
    later = replace(retired, submitted=DAY + timedelta(days=1))
    later = replace(later, version=replace(later.version, begins=later.submitted))
    assert isinstance(after(for_a_day, later)[1][-1], PolicyPublished)


def test_a_rule_is_in_one_policy_unless_the_other_is_superseded() -> None:
    taken = publish("house", 1, "trial.confined")
    assert problem(taken).why == "the rule trial.confined would be both in trials and in house"
    successor = publish("house", 1, "trial.confined", supersedes="trials")
    assert isinstance(after(successor)[1][-1], PolicyPublished)


def test_a_rule_that_would_be_in_two_policies_one_day_is_found_today() -> None:
    spring = DAY + timedelta(days=100)
    found = problem(publish("data", 1, "a.rule"), publish("house", 1, "a.rule", begins=spring))
    assert "a.rule would be both in data and in house" in found.why


def test_what_the_platform_itself_refuses_by_is_nobody_else_s_name() -> None:
    assert "it is reserved" in problem(publish("placet")).why
    found = problem(publish("house", 1, "certificate.revoked"))
    assert found.why == "certificate.revoked is what the platform itself refuses by"


def test_what_does_not_pass_is_told_within_what_an_event_holds() -> None:
    many = tuple(PolicyProblem(why="ä" * 5000, fix="\x01" * 5000) for _ in range(99))
    [said] = after(Reject(policy="house", version=1, digest="sha256:a", problems=many))[1]
    assert isinstance(said, PolicyRejected)
    assert len(said.problems) == MAX_PROBLEMS
    assert len(msgspec.json.encode(said)) < MAX_EVENT_BYTES


spans = st.tuples(st.integers(-2, 4), st.none() | st.integers(1, 3))


@st.composite
def submissions(draw: st.DrawFn) -> list[Publish]:
    found = []
    for number in range(draw(st.integers(1, 6))):
        begins, lasts = draw(spans)
        policy = draw(st.sampled_from(("trials", "house", "data")))
        found.append(
            publish(
                policy,
                draw(st.integers(1, 4)),
                *draw(st.sets(st.sampled_from(("trial.confined", "a", "b")), min_size=1)),
                digest=f"sha256:{number}",
                supersedes=draw(st.none() | st.sampled_from(("trials", "house", "data"))),
                begins=DAY + timedelta(days=begins),
                ends=None if lasts is None else DAY + timedelta(days=begins + lasts),
            )
        )
    return found


@given(submissions())
def test_whatever_is_submitted_no_rule_is_ever_in_two_policies_at_once(submitted: list[Publish]) -> None:
    state, said = after(*submitted)
    assert not clashes((*SHIPPED, *state.versions), DAY)
    assert len(said) == len(submitted)
    assert POLICIES.fold(said) == state
    numbers = [each.number for each in said if isinstance(each, PolicyPublished)]
    assert numbers == list(range(1, len(numbers) + 1))
