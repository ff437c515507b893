"""What a rule asks of the facts, and what the answers mean together.

One broken condition breaks a rule, however many others cannot be decided; so does one of `each`, unless `atLeast`
says how many have to keep it. What cannot be decided counts for neither side.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from placet.rules.policy import MET, Policy, Result, Rule

MAX_EACH = 1000
"""Of a list. More would take seconds, and nobody could read what is said of them."""

Facts = Mapping[str, Any]
Answer = dict[str, Any]


class Saying(NamedTuple):
    """Words, and what fills them."""

    words: str
    facts: Facts


class Condition(NamedTuple):
    """An expression to be asked about, `bound` names with it. Its words, if it has some of its own."""

    text: str
    bound: dict[str, Any]
    words: str | None = None


class Undecided(Exception):
    """There is nothing that could be asked; says why."""


class Decision(NamedTuple):
    result: Result
    broken: tuple[Condition, ...] = ()
    reason: str | None = None


def conditions(rule: Rule, facts: Facts) -> list[list[Condition]]:
    """For each of the things that it is asked of, all of which have to be true. Raises `Undecided`."""
    asked = (
        [(rule.require, None)] if rule.require is not None else [(one.require, one.say) for one in rule.all]
    )
    return [[Condition(text, bound, words) for text, words in asked] for bound in _bindings(rule, facts)]


def decided(
    policy: Policy, rule: Rule, asked: Sequence[Sequence[Condition]], answers: Iterator[Answer]
) -> Decision:
    """`answers` are those to all of the conditions, in their order."""
    groups = [[(condition, next(answers)) for condition in group] for group in asked]
    flat = [each for group in groups for each in group]
    broken = tuple(condition for condition, answer in flat if answer.get("value") is False)
    reason = next((_reason(answer, text) for (text, _, _), answer in flat if "value" not in answer), None)
    if rule.at_least is not None:
        return _counted(_number(policy, rule.at_least), groups, broken, reason)
    if broken:
        return Decision("fail", broken, reason)
    return Decision("pass") if reason is None else Decision("indeterminate", reason=reason)


def _counted(
    wanted: int | None,
    groups: Sequence[Sequence[tuple[Condition, Answer]]],
    broken: tuple[Condition, ...],
    reason: str | None,
) -> Decision:
    if wanted is None:
        return Decision("indeterminate", reason="`atLeast` is no whole number above nothing")
    met = sum(all(answer.get("value") is True for _, answer in group) for group in groups)
    if met >= wanted:
        return Decision("pass")
    if met + sum(any("value" not in answer for _, answer in group) for group in groups) >= wanted:
        return Decision("indeterminate", reason=reason)
    return Decision("fail", (Condition("", {MET: met}),))


def _bindings(rule: Rule, facts: Facts) -> list[dict[str, Any]]:
    if rule.each is None or rule.as_ is None:
        return [{}]
    value: Any = facts
    for name in rule.each.split("."):
        if not isinstance(value, Mapping) or name not in value:
            raise Undecided(f"the fact {name!r} is missing")
        value = value[name]
    if not isinstance(value, list | tuple):
        raise Undecided(f"{rule.each} is no list")
    if len(value) > MAX_EACH:
        raise Undecided(f"{rule.each} has more than {MAX_EACH} entries")
    return [{rule.as_: one} for one in value]


def _number(policy: Policy, at_least: int | str) -> int | None:
    value: Any = at_least
    if isinstance(at_least, str):
        value = {"params": policy.params}
        for name in at_least.split("."):
            value = value.get(name) if isinstance(value, Mapping) else None
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


_REASONS = {
    "index": "a list is shorter than the rule expects",
    "zero": "the rule divides by zero",
    "overflow": "a number is too large",
    "type": "a fact is of another kind than the rule expects",
    "undefined": "the rule uses something that does not exist",
    "not-boolean": "the rule is neither true nor false",
    "time": "the rule took too long",
    "ended": "the rule needed too much memory, or broke the evaluator",
}


def _reason(answer: Answer, expression: str) -> str:
    # Errors of the evaluator can hold values, and values can be people: only names the rule itself uses are told.
    if answer.get("error") == "missing":
        name = str(answer.get("name", ""))
        return f"the fact {name!r} is missing" if _uses(expression, name) else "a fact is missing"
    return _REASONS.get(str(answer.get("error")), "the evaluator failed")


def _uses(expression: str, name: str) -> bool:
    return bool(re.search(rf"\b{re.escape(name)}\b", expression)) if name.isidentifier() else False
