"""Which versions of policies are in force on a day, whatever was published in whatever order."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st
from placet.rules import (
    PolicySet,
    Publication,
    Version,
    in_force,
    load_shipped,
    read_policy,
    standing,
    version_of,
)
from placet.rules.publication import Clash, clashes, days_of_change

DAY = date(2026, 11, 27)
IDS = ("data", "house", "trials")


def version(policy: str, number: int, **changes: object) -> Version:
    digest = f"sha256:{policy}{number}"
    plain = Version(policy=policy, version=number, digest=digest, rules=frozenset({f"{policy}.rule"}))
    return replace(plain, **changes)  # type: ignore[arg-type]


def days(after: int) -> date:
    return DAY + timedelta(days=after)


@st.composite
def published(draw: st.DrawFn) -> tuple[Version, ...]:
    """What may have been published, each with a digest of its own."""
    spans = st.tuples(st.integers(-3, 3), st.none() | st.integers(1, 4))
    found = []
    for number in range(draw(st.integers(1, 7))):
        begins, lasts = draw(spans)
        found.append(
            Version(
                policy=draw(st.sampled_from(IDS)),
                version=draw(st.integers(1, 4)),
                digest=f"sha256:{number}",
                rules=frozenset(draw(st.sets(st.sampled_from("abc"), min_size=1))),
                supersedes=draw(st.none() | st.sampled_from(IDS)),
                begins=draw(st.sampled_from((date.min, days(begins)))),
                ends=None if lasts is None else days(begins + lasts),
            )
        )
    return tuple(found)


whatever = given(published(), st.integers(-5, 8).map(days))


@whatever
def test_of_each_policy_one_version_is_in_force_at_most_and_only_in_its_span(
    versions: tuple[Version, ...], day: date
) -> None:
    found = in_force(versions, day)
    assert len({each.policy for each in found}) == len(found)
    assert all(each.holds_on(day) for each in found)


@whatever
def test_no_lower_version_is_in_force_while_a_higher_one_holds(
    versions: tuple[Version, ...], day: date
) -> None:
    for each in in_force(versions, day):
        others = [other for other in versions if other.policy == each.policy and other.holds_on(day)]
        assert max(other.version for other in others) == each.version


@whatever
def test_something_is_in_force_as_long_as_anything_holds(versions: tuple[Version, ...], day: date) -> None:
    """Two policies that would retire each other do not leave the platform without rules."""
    assert bool(in_force(versions, day)) is any(each.holds_on(day) for each in versions)


@whatever
def test_what_is_still_to_begin_changes_nothing_until_it_does(
    versions: tuple[Version, ...], day: date
) -> None:
    coming = version("data", 9, begins=days(20), supersedes="house")
    assert in_force((*versions, coming), day) == in_force(versions, day)
    assert coming in in_force((*versions, coming), days(20))


@whatever
def test_others_are_in_force_on_days_of_change_alone(versions: tuple[Version, ...], day: date) -> None:
    change = days_of_change(versions, day)
    for after in range(1, 20):
        next_day = day + timedelta(days=after)
        if next_day not in change:
            assert in_force(versions, next_day) == in_force(versions, next_day - timedelta(days=1))


@whatever
def test_every_version_stands_somewhere_and_in_force_is_what_is_in_force(
    versions: tuple[Version, ...], day: date
) -> None:
    told = {each: standing(each, versions, day) for each in versions}
    assert {each for each, state in told.items() if state == "in-force"} == set(in_force(versions, day))
    assert all(each.begins > day for each, state in told.items() if state == "scheduled")
    to_come = [set(in_force(versions, later)) for later in days_of_change(versions, day)]
    assert all(
        any(each in later for later in to_come) for each, state in told.items() if state == "scheduled"
    )
    assert all(not each.holds_on(day) for each, state in told.items() if state == "ended")


def test_what_ends_gives_way_to_the_version_before_it() -> None:
    versions = (version("data", 1), version("data", 2, ends=days(1)))
    assert in_force(versions, DAY) == (versions[1],)
    assert in_force(versions, days(1)) == (versions[0],)
    assert [standing(each, versions, days(1)) for each in versions] == ["in-force", "ended"]


def test_what_is_never_to_be_in_force_is_not_scheduled() -> None:
    versions = (version("data", 1), version("data", 2, begins=days(9)), version("data", 3))
    assert [standing(each, versions, DAY) for each in versions] == ["superseded", "superseded", "in-force"]
    ending = (*versions[:2], version("data", 3, ends=days(20)))
    assert [standing(each, ending, DAY) for each in ending] == ["superseded", "scheduled", "in-force"]


def test_a_policy_retires_what_it_supersedes_for_as_long_as_it_holds() -> None:
    versions = (version("trials", 1), version("house", 1, supersedes="trials", begins=days(1), ends=days(3)))
    assert [in_force(versions, days(after))[0].policy for after in (0, 1, 2, 3)] == [
        "trials",
        "house",
        "house",
        "trials",
    ]
    assert standing(versions[0], versions, days(1)) == "superseded"


def test_what_was_retired_stays_so_when_its_successor_is_retired() -> None:
    first, second, third = (
        version("data", 1),
        version("house", 1, supersedes="data"),
        version("trials", 1, supersedes="house"),
    )
    assert in_force((first, second, third), DAY) == (third,)


def test_a_rule_of_two_policies_is_a_clash_on_the_day_when_both_are_in_force() -> None:
    one, other = version("data", 1, rules=frozenset({"a", "b"})), version("house", 1, rules=frozenset({"b"}))
    assert clashes((one, other), DAY) == {Clash("b", "data", "house")}
    assert clashes((one, replace(other, begins=days(9))), DAY) == {Clash("b", "data", "house")}
    assert clashes((replace(one, ends=days(1)), replace(other, begins=days(1))), DAY) == set()
    assert clashes((one, replace(other, supersedes="data")), DAY) == set()


class Kept:
    """The `Published` port; counts what is read."""

    def __init__(self, *files: tuple[bytes, datetime, str]) -> None:
        self._files = files
        self.read: list[str] = []

    async def publications(self) -> list[Publication]:
        return [Publication(digest=digest, at=at) for _, at, digest in self._files]

    async def file(self, digest: str) -> bytes:
        self.read.append(digest)
        return next(file for file, _, each in self._files if each == digest)


POLICY = b"""\
apiVersion: placet/v1
kind: Policy
id: trials
version: 2
title: Trials
owner: compliance
rules:
  - {id: trial.none, title: There are none, citations: [], stage: submit, onFail: deny, require: "!governance.trial",
     say: it is a trial, fix: fill in governance}
"""


async def test_what_was_published_later_judges_nothing_of_before_and_each_file_is_read_once() -> None:
    at = datetime(2026, 11, 27, 12, tzinfo=UTC)
    digest = read_policy(POLICY).digest
    kept = Kept((POLICY, at, digest))
    shipped = load_shipped()
    policies = PolicySet(shipped, kept)
    assert await policies.in_force(at - timedelta(seconds=1)) == shipped
    in_place = await policies.in_force(at)
    assert [policy.id for policy in in_place] == [policy.id for policy in shipped]
    assert {policy.id: policy.version for policy in in_place}["trials"] == 2
    await policies.in_force(at)
    assert kept.read == [digest]


def test_a_policy_without_a_span_begins_on_the_day_of_its_publication() -> None:
    shipped = load_shipped()[0]
    assert version_of(shipped).begins == date.min
    assert version_of(shipped, published=DAY).begins == DAY
