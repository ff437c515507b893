"""What is another version of a policy, and whom would it say no to? In words, and from recorded facts.

Rules are known by their ids. What a release was told by other policies stays as it was recorded: only what these two
say is asked again, by both, so that nothing but their difference can make one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import msgspec

from placet.rules.engine import Engine, Verdict, excepted
from placet.rules.policy import Policy, Rule, Stage
from placet.rules.wording import requirement, worded

Kind = Literal["added", "removed", "changed"]
Outcome = Literal["passed", "awaiting", "refused"]
_FAILURES = {"deny": "refuses", "suspend": "suspends", "warn": "warns"}
_OLD, _NEW = "old", "new"


@dataclass(frozen=True, kw_only=True)
class Change:
    """Of a rule, or with none of the policy itself."""

    kind: Kind
    rule: str | None
    words: str


def changes(old: Policy, new: Policy, *, in_words: bool = False) -> tuple[Change, ...]:
    """Nothing of what neither changes a verdict nor its words: titles, owners, citations, tests. What is required is
    said as it is written, or `in_words`."""
    return (*_of_policy(old, new, in_words), *_of_rules(old, new, in_words))


@dataclass(frozen=True, kw_only=True)
class Past:
    """A decision of before. `refused_by_others` is whether another policy refused it, `exceptions` are by rule."""

    stage: Stage
    facts: Mapping[str, Any]
    refused_by_others: bool = False
    exceptions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What both say of a past one; `refusals` are what the new one, or else the old one, refuses by.

    What only waits for people counts as refused, and is said to wait.
    """

    was_refused: bool
    is_refused: bool
    refusals: tuple[Verdict, ...]
    was_awaited: bool = False
    is_awaited: bool = False

    @property
    def before(self) -> Outcome:
        return "awaiting" if self.was_awaited else "refused" if self.was_refused else "passed"

    @property
    def after(self) -> Outcome:
        return "awaiting" if self.is_awaited else "refused" if self.is_refused else "passed"

    @property
    def flips(self) -> bool:
        return self.was_refused is not self.is_refused


def decided_by_both(engine: Engine, old: Policy, new: Policy, past: Sequence[Past]) -> list[Decision]:
    """For each of the past decisions, whatever day it was: what was not in force then is asked as if it were."""
    both = (
        msgspec.structs.replace(old, id=_OLD, digest=_OLD, effective=None),
        msgspec.structs.replace(new, id=_NEW, digest=_NEW, effective=None),
    )
    decisions: dict[int, Decision] = {}
    for stage in dict.fromkeys(each.stage for each in past):
        places = [place for place, each in enumerate(past) if each.stage == stage]
        told = engine.evaluate_many_sync(both, stage, [past[place].facts for place in places])
        for place, verdicts in zip(places, told, strict=True):
            decisions[place] = _decision(past[place], verdicts)
    return [decisions[place] for place in range(len(past))]


def _decision(past: Past, verdicts: Sequence[Verdict]) -> Decision:
    refusals = [each for each in excepted(verdicts, past.exceptions) if each.is_refusal]
    by_old = tuple(each for each in refusals if each.policy == _OLD)
    by_new = tuple(each for each in refusals if each.policy == _NEW)
    return Decision(
        was_refused=past.refused_by_others or bool(by_old),
        is_refused=past.refused_by_others or bool(by_new),
        refusals=by_new or by_old,
        was_awaited=not past.refused_by_others and _waits(by_old),
        is_awaited=not past.refused_by_others and _waits(by_new),
    )


def _waits(refusals: Sequence[Verdict]) -> bool:
    """Whether people can still do all that is missing."""
    return bool(refusals) and all(each.awaits is not None for each in refusals)


def _of_policy(old: Policy, new: Policy, in_words: bool) -> Iterator[Change]:
    said = [
        *_told("it applies where", _where(old, in_words), _where(new, in_words)),
        *_told("it takes the place of", old.supersedes, new.supersedes),
        *_told("it is in force", _span(old), _span(new)),
    ]
    for name in sorted(old.params.keys() | new.params.keys()):
        said += _told(f"params.{name}", _shown(old.params.get(name)), _shown(new.params.get(name)))
    yield from (Change(kind="changed", rule=None, words=words) for words in said)


def _where(policy: Policy, in_words: bool) -> str | None:
    if policy.applies_to is None or not in_words:
        return policy.applies_to
    return worded(policy.applies_to, policy.params).flat()


def _of_rules(old: Policy, new: Policy, in_words: bool) -> Iterator[Change]:
    before, after = ({rule.id: rule for rule in policy.rules} for policy in (old, new))
    required = tuple(partial(_required, params=each.params if in_words else None) for each in (old, new))
    for id in dict.fromkeys((*before, *after)):
        one, other = before.get(id), after.get(id)
        if one is None and other is not None:
            yield Change(kind="added", rule=id, words=_demand(other, required[1](other)))
        elif other is None and one is not None:
            yield Change(kind="removed", rule=id, words=_demand(one, required[0](one)))
        elif one is not None and other is not None:
            said = _of_rule(one, other, required[0](one), required[1](other))
            yield from (Change(kind="changed", rule=id, words=words) for words in said)


def _of_rule(old: Rule, new: Rule, old_requires: str, new_requires: str) -> Iterator[str]:
    yield from _told("it is asked at stage", old.stage, new.stage)
    yield from _told("if it is not so, it", _FAILURES[old.on_fail], _FAILURES[new.on_fail])
    yield from _told("it asks of each of", _each(old), _each(new))
    yield from _told("it requires", old_requires, new_requires)
    yield from _told("people may except from it", _yes(old.exceptable), _yes(new.exceptable))
    yield from _told("it waits for people", _patience(old), _patience(new))
    if (old.say, old.fix, [each.say for each in old.all]) != (
        new.say,
        new.fix,
        [each.say for each in new.all],
    ):
        yield "what it says is in other words"


def _told(what: str, old: str | None, new: str | None) -> Iterator[str]:
    if old != new:
        yield f"{what} {old or 'nothing'} → {new or 'nothing'}"


def _demand(rule: Rule, required: str) -> str:
    if rule.each is None:
        of = ""
    else:
        many = "each" if rule.at_least is None else f"at least {rule.at_least}"
        of = f" of {many} of {rule.each}"
    fails = (
        _FAILURES[rule.on_fail]
        if rule.awaits is None
        else f"waits for people, for up to {rule.awaits.within},"
    )
    return f"at stage {rule.stage} it {fails} where it is not so{of} that {required}"


def _required(rule: Rule, params: Mapping[str, Any] | None) -> str:
    """In words, where there are `params` for them."""
    if params is not None:
        return " and ".join(words.flat() for _, words in requirement(rule, params))
    texts = [each.require for each in rule.all] if rule.require is None else [rule.require]
    return " and ".join(" ".join(text.split()) for text in texts)


def _each(rule: Rule) -> str | None:
    return (
        None
        if rule.each is None
        else f"{rule.each}" + (f", of {rule.at_least} at least" if rule.at_least else "")
    )


def _patience(rule: Rule) -> str | None:
    if rule.awaits is None:
        return None
    return rule.awaits.within + (f", reminded every {rule.awaits.remind}" if rule.awaits.remind else "")


def _span(policy: Policy) -> str:
    span = policy.effective
    if span is None:
        return "from when it is published"
    return f"from {span.from_}" + (f" until {span.until}" if span.until else "")


def _yes(said: bool) -> str:
    return "yes" if said else "no"


def _shown(value: Any) -> str | None:
    return None if value is None else msgspec.json.encode(value).decode()
