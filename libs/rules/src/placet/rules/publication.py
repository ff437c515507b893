"""Which versions of policies are in force on a day? Pure, so that whoever asks is told the same.

Of each policy the highest version whose span holds that day. So a version that is still to begin leaves the one
before it in force, and one that ends gives way to the one before it: when nothing says otherwise, what was demanded
is demanded still. A policy that takes another one's place (`supersedes`) retires what was published before it.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

from placet.rules.policy import Policy

Standing = Literal["in-force", "scheduled", "superseded", "ended"]


@dataclass(frozen=True, kw_only=True)
class Version:
    """What of a policy's version decides what is in force: from the day `begins`, up to and without `ends`."""

    policy: str
    version: int
    digest: str
    rules: frozenset[str]
    supersedes: str | None = None
    begins: date = date.min
    ends: date | None = None

    def holds_on(self, day: date) -> bool:
        return self.begins <= day and (self.ends is None or day < self.ends)


def version_of(policy: Policy, *, published: date = date.min) -> Version:
    """Without a span of its own it begins on the day when it was published."""
    span = policy.effective
    return Version(
        policy=policy.id,
        version=policy.version,
        digest=policy.digest,
        rules=frozenset(rule.id for rule in policy.rules),
        supersedes=policy.supersedes,
        begins=published if span is None else span.from_,
        ends=None if span is None else span.until,
    )


def in_force(versions: Sequence[Version], day: date) -> tuple[Version, ...]:
    """Of `versions`, in the order in which they were published (the shipped ones first), those that are in force.

    They come in the order in which their policies were first published.
    """
    highest: dict[str, tuple[int, Version]] = {}
    for place, each in enumerate(versions):
        before = highest.get(each.policy)
        if each.holds_on(day) and (before is None or before[1].version <= each.version):
            highest[each.policy] = (place, each)
    retired = {
        each.supersedes
        for place, each in highest.values()
        # What was published later than its successor was meant to come back; and nothing retires everything.
        if each.supersedes in highest and highest[each.supersedes][0] < place
    }
    order = dict.fromkeys(each.policy for each in versions)
    return tuple(highest[policy][1] for policy in order if policy in highest and policy not in retired)


def standing(version: Version, versions: Sequence[Version], day: date) -> Standing:
    """Where one of `versions` stands that day. One that is still to begin may be superseded before it does."""
    if version in in_force(versions, day):
        return "in-force"
    if version.begins > day:
        is_to_come = any(version in in_force(versions, each) for each in days_of_change(versions, day))
        return "scheduled" if is_to_come else "superseded"
    return "superseded" if version.holds_on(day) else "ended"


def days_of_change(versions: Sequence[Version], day: date) -> tuple[date, ...]:
    """That day, and those after it on which others are in force than the day before."""
    days = {each.begins for each in versions} | {each.ends for each in versions if each.ends is not None}
    return (day, *sorted(each for each in days if each > day))


@dataclass(frozen=True, order=True)
class Clash:
    """A rule that two policies in force have; the first was there before."""

    rule: str
    first: str
    second: str


def clashes(versions: Sequence[Version], day: date) -> frozenset[Clash]:
    """Rules are known by their ids: those that two policies have at once, that day or on a later one."""
    return frozenset(
        Clash(rule, one.policy, other.policy)
        for changed in days_of_change(versions, day)
        for one, other in itertools.combinations(in_force(versions, changed), 2)
        for rule in one.rules & other.rules
    )
