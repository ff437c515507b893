"""Is this policy published? Decided on one stream for the whole set, since policies have to fit together. Pure.

What shipped with the platform is the ground that comes with the command: it is there without ever having been
published. Of the file itself only what others are to know is here; that its own tests pass was seen before.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import assert_never

from placet.events.contracts.certifier import PolicyPublished, PolicyRejected
from placet.events.contracts.shapes import PolicyProblem, RuleRef
from placet.events.decider import Decider
from placet.rules.publication import Version, clashes

STREAM = "policies"
OWN_NAME = "placet"
OWN_RULES = frozenset(
    {
        "certificate.kept",
        "certificate.revoked",
        "facts.recorded",
        "image.readable",
        "project.wanted",
        "source.readable",
        "trial.of-a-new-project",
    }
)
"""What verdicts and grounds are called that no policy gives."""
MAX_PROBLEMS = 10
MAX_TEXT = 500
"""Characters of each part. An event has room for so much, whatever they are; who submitted it was told all before."""


@dataclass(frozen=True, kw_only=True)
class Publish:
    """A policy that passed its own tests, `submitted` on that day; `shipped` is what needs no publication.

    `warn_until` is until when it only warns of what was certified before.
    """

    version: Version
    title: str
    rules: tuple[RuleRef, ...]
    submitted: date
    shipped: tuple[Version, ...]
    warn_until: str | None = None


@dataclass(frozen=True, kw_only=True)
class Reject:
    """What could not be tried, or did not pass."""

    policy: str
    version: int
    digest: str
    problems: tuple[PolicyProblem, ...]


Command = Publish | Reject
Happened = PolicyPublished | PolicyRejected


@dataclass(frozen=True, kw_only=True)
class Policies:
    """All that was published, in order, and the digests of what was decided on, either way."""

    versions: tuple[Version, ...] = ()
    decided: frozenset[str] = frozenset()


def decide(command: Command, state: Policies) -> Sequence[Happened]:
    match command:
        case Reject():
            return [] if command.digest in state.decided else [_rejected(command)]
        case Publish(version=version):
            if version.digest in state.decided:
                return []
            problems = tuple(_problems(command, state.versions))
            if problems:
                reject = Reject(
                    policy=version.policy, version=version.version, digest=version.digest, problems=problems
                )
                return [_rejected(reject)]
            return [
                PolicyPublished(
                    policy=version.policy,
                    version=version.version,
                    digest=version.digest,
                    number=len(state.versions) + 1,
                    title=command.title,
                    effective_from=version.begins.isoformat(),
                    effective_until=None if version.ends is None else version.ends.isoformat(),
                    supersedes=version.supersedes,
                    rules=command.rules,
                    warn_until=command.warn_until,
                )
            ]
    assert_never(command)


def evolve(state: Policies, event: Happened) -> Policies:
    decided = state.decided | {event.digest}
    match event:
        case PolicyRejected():
            return replace(state, decided=decided)
        case PolicyPublished():
            version = Version(
                policy=event.policy,
                version=event.version,
                digest=event.digest,
                rules=frozenset(rule.id for rule in event.rules),
                supersedes=event.supersedes,
                begins=date.fromisoformat(event.effective_from),
                ends=None if event.effective_until is None else date.fromisoformat(event.effective_until),
            )
            return Policies(versions=(*state.versions, version), decided=decided)
    assert_never(event)


POLICIES: Decider[Command, Policies, Happened] = Decider(initial=Policies(), decide=decide, evolve=evolve)


def _problems(command: Publish, published: tuple[Version, ...]) -> Iterator[PolicyProblem]:
    version, known = command.version, (*command.shipped, *published)
    newest = {each.policy: each for each in sorted(known, key=lambda each: each.version)}
    before = newest.get(version.policy)
    if before is not None and version.version <= before.version:
        yield PolicyProblem(
            why=f"{version.policy} has a version {before.version} already, and {version.version} is not above it",
            fix=f"make it version {before.version + 1}",
        )
    if version.supersedes is not None and version.supersedes not in newest:
        yield PolicyProblem(
            why=f"it is to take the place of {version.supersedes}, and there is no such policy",
            fix=f"those that there are: {', '.join(sorted(newest))}",
        )
    if version.policy == OWN_NAME:
        yield PolicyProblem(why=f"{OWN_NAME} is no policy's name: it is reserved", fix="choose another id")
    for rule in sorted(version.rules & OWN_RULES):
        yield PolicyProblem(
            why=f"{rule} is what the platform itself refuses by", fix="give the rule another id"
        )
    for each in newest.values():
        has_ended = each.ends is not None and each.ends <= command.submitted
        if each.supersedes == version.policy and not has_ended:
            yield PolicyProblem(
                why=f"{each.policy} {each.version} takes the place of {version.policy}",
                fix=f"publish another version of {each.policy} instead",
            )
    if version.begins < command.submitted:
        yield PolicyProblem(
            why=f"it would be in force from {version.begins}, and was submitted on {command.submitted}:"
            " nothing is dated back",
            fix="name the day on which it is submitted, or a later one, in effective.from",
        )
    day = command.submitted
    for clash in sorted(clashes((*known, version), day) - clashes(known, day)):
        yield PolicyProblem(
            why=f"the rule {clash.rule} would be both in {clash.first} and in {clash.second}",
            fix="give one of them another id, or say that the policy supersedes the other",
        )


def _rejected(command: Reject) -> PolicyRejected:
    told = command.problems[:MAX_PROBLEMS]
    return PolicyRejected(
        policy=command.policy,
        version=command.version,
        digest=command.digest,
        problems=tuple(
            PolicyProblem(why=each.why[:MAX_TEXT], fix=each.fix and each.fix[:MAX_TEXT]) for each in told
        ),
    )
