"""What an engine asks its workers: of many facts in one request, with each expression and all params in it once.

Facts travel only as far as some expression names them, since what an evaluator makes of them is what costs most.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, NamedTuple

import msgspec

from placet.errors import Refused
from placet.rules.conditions import Answer, Condition, Decision, Undecided, conditions, decided
from placet.rules.policy import Policy, Rule, Stage

MAX_TOGETHER = 64
MAX_REQUEST_BYTES = 1024**2
"""From so many on, no more facts join a request."""

Facts = Mapping[str, Any]
_WORD = re.compile(r"[A-Za-z_]\w*")


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """A rule, or with none whether the policy applies, and what it asks: nothing, if that much is `undecided`."""

    policy: Policy
    rule: Rule | None
    asked: list[list[Condition]]
    undecided: str | None = None

    def items(self) -> list[Answer]:
        return [
            item(self.policy, condition.text, condition.bound) for group in self.asked for condition in group
        ]

    def decided(self, answers: Iterator[Answer]) -> Decision:
        """Takes as many answers as it has items."""
        if self.rule is None or self.undecided is not None:
            return Decision("indeterminate", reason=self.undecided)
        return decided(self.policy, self.rule, self.asked, answers)


def question(policy: Policy, rule: Rule, facts: Facts) -> Question:
    try:
        return Question(policy, rule, conditions(rule, facts))
    except Undecided as error:
        return Question(policy, rule, [], str(error))


def item(policy: Policy, expression: str, bound: Mapping[str, Any]) -> Answer:
    return {"expression": expression, "params": policy.params, **({"bound": bound} if bound else {})}


class Asked(NamedTuple):
    """Facts, all that is asked of them, and the words in which that is."""

    facts: Facts
    questions: list[Question]
    words: frozenset[str]


class Asking:
    """What policies ask at a stage. A rule that is not about each of a list asks the same of all facts."""

    def __init__(self, policies: Sequence[Policy], stage: Stage) -> None:
        self._policies = policies
        self._stage = stage
        self._alike: dict[tuple[int, int], Question] = {}
        self._applies: dict[int, Question] = {}
        self._words: set[str] = set()
        for policy in policies:
            if policy.applies_to is not None:
                self._applies[id(policy)] = Question(policy, None, [[Condition(policy.applies_to, {})]])
                self._words |= _words(policy.applies_to)
            for rule in policy.rules:
                if rule.stage == stage:
                    self._words |= _words(rule.require or "", *(each.require for each in rule.all))
                    if rule.each is None:
                        self._alike[id(policy), id(rule)] = question(policy, rule, {})

    def of(self, facts: Facts) -> Asked:
        """Only of those in force when the facts were gathered."""
        questions = []
        for policy in self._policies:
            if _is_in_force(policy, facts):
                if policy.applies_to is not None:
                    questions.append(self._applies[id(policy)])
                questions += [
                    self._alike.get((id(policy), id(rule))) or question(policy, rule, facts)
                    for rule in policy.rules
                    if rule.stage == self._stage
                ]
        return Asked(facts, questions, frozenset(self._words))


class Request:
    """A batch on its way to a worker, and what becomes of the answers."""

    def __init__(self) -> None:
        self.batch: list[Asked] = []
        self._places: list[list[int]] = []
        """Of each of the batch, for each of its conditions: which of the answers is its own."""
        self._expressions: dict[tuple[str, int], int] = {}
        self._params: dict[bytes, int] = {}
        self._needed: dict[int, int] = {}
        self._sent: list[dict[str, Any]] = []
        self._alike: dict[int, list[int]] = {}
        self.size = 0

    def add(self, asked: Asked) -> None:
        items: list[Any] = []
        of_expression: dict[int, int] = {}
        places = []
        for each in asked.questions:
            if any(condition.bound for group in each.asked for condition in group):
                for group in each.asked:
                    for condition in group:
                        places.append(len(items))
                        items.append([*self._expression(each.policy, condition.text), condition.bound])
                continue
            known = self._alike.get(id(each))
            if known is None:
                known = self._alike[id(each)] = [
                    self._index(each.policy, condition.text) for group in each.asked for condition in group
                ]
            for index in known:
                place = of_expression.setdefault(index, len(items))
                if place == len(items):
                    items.append(index)
                places.append(place)
        self.batch.append(asked)
        self._places.append(places)
        named = {name: value for name, value in asked.facts.items() if name in asked.words}
        facts = msgspec.Raw(msgspec.json.encode(named))
        self.size += len(bytes(facts))
        self._sent.append({"facts": facts, "items": items})

    def encoded(self) -> bytes:
        params = [msgspec.Raw(each) for each in self._params]
        return msgspec.json.encode(
            {"expressions": list(self._expressions), "params": params, "batch": self._sent}
        )

    def taken_apart(self, told: list[list[Any]]) -> list[list[Answer]]:
        return [
            [
                {"value": answers[place]} if isinstance(answers[place], bool) else answers[place]
                for place in places
            ]
            for places, answers in zip(self._places, told, strict=True)
        ]

    def _index(self, policy: Policy, expression: str) -> int:
        return self._expressions.setdefault(self._expression(policy, expression), len(self._expressions))

    def _expression(self, policy: Policy, expression: str) -> tuple[str, int]:
        """With the number of the params that it needs."""
        if "params" not in _words(expression):
            return expression, -1
        if id(policy) not in self._needed:
            # By their bytes, since 1 and 1.0 are equal here and two kinds of number there.
            self._needed[id(policy)] = self._params.setdefault(
                msgspec.json.encode(policy.params), len(self._params)
            )
        return expression, self._needed[id(policy)]


def requests(batch: Sequence[Asked]) -> Iterator[Request]:
    request = Request()
    for each in batch:
        request.add(each)
        if len(request.batch) == MAX_TOGETHER or request.size > MAX_REQUEST_BYTES:
            yield request
            request = Request()
    if request.batch:
        yield request


def _words(*texts: str) -> set[str]:
    return {word for text in texts for word in _WORD.findall(text)}


def _is_in_force(policy: Policy, facts: Facts) -> bool:
    if policy.effective is None:
        return True
    now = facts.get("now")
    if not isinstance(now, str):
        raise Refused(f"the policy {policy.id} is for a span of time, and the facts do not say when `now` is")
    return policy.is_in_force(date.fromisoformat(now[:10]))
