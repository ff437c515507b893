"""What do the answers to a questionnaire amount to, and are they answers to it at all?

Pure, and the same wherever it runs: on the server, whose score counts, and wherever somebody looks what it would be.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from decimal import ROUND_HALF_UP, Decimal
from typing import assert_never

import msgspec

from placet.assessments.questionnaire import Condition, Counts, Level, Question, Questionnaire
from placet.projects.documents import Problem

Answer = str | tuple[str, ...]
Answers = Mapping[str, Answer]
"""By the question's id: the value chosen, the values chosen, or what was written."""

MAX_TEXT = 20_000


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """`score` is `raw`, lowered if the mitigations are enough for it. `requires` are ids of mitigations."""

    raw: int
    raw_most: int
    mitigation: int
    mitigation_most: int
    is_mitigated: bool
    score: int
    level: int
    level_name: str
    requires: tuple[str, ...]


def score(questionnaire: Questionnaire, answers: Answers) -> Score:
    """Of answers that `problems` has nothing against, or of those that are given so far."""
    raw, mitigation = (_points(questionnaire, answers, kind) for kind in ("risk", "mitigation"))
    raw_most, mitigation_most = questionnaire.most("risk"), questionnaire.most("mitigation")
    scoring = questionnaire.scoring
    is_mitigated = mitigation_most > 0 and mitigation >= _exact(scoring.mitigated_from) * mitigation_most
    left = raw * (1 - _exact(scoring.reduction)) if is_mitigated else Decimal(raw)
    final = int(left.quantize(Decimal(1), ROUND_HALF_UP))
    number, level = _level(questionnaire.levels, final, raw_most)
    return Score(
        raw=raw,
        raw_most=raw_most,
        mitigation=mitigation,
        mitigation_most=mitigation_most,
        is_mitigated=is_mitigated,
        score=final,
        level=number,
        level_name=level.name,
        requires=level.requires,
    )


def problems(questionnaire: Questionnaire, answers: Answers) -> list[Problem]:
    """Everything that keeps the answers from being answers to this questionnaire, but for what is not answered yet.

    An answer to what is not asked is one: points for it would count.
    """
    asked = set(asked_questions(questionnaire, answers))
    found: list[Problem] = []
    for id, answer in answers.items():
        question = questionnaire.questions.get(id)
        if question is None:
            nearest = difflib.get_close_matches(id, questionnaire.questions, n=1)
            hint = f"the nearest is {nearest[0]!r}" if nearest else None
            found.append(Problem(id, f"{questionnaire.id} asks no question of this name", hint))
        elif id not in asked:
            found.append(Problem(id, "is not asked after the other answers", "leave it out"))
        else:
            found += _answer_problems(question, answer)
    return found


def unanswered(questionnaire: Questionnaire, answers: Answers) -> list[str]:
    """Questions that are asked after what was answered so far, count, and have no answer yet. An empty list is one: it
    says that none of the choices is so."""
    return [
        id
        for id in asked_questions(questionnaire, answers)
        if questionnaire.questions[id].counts != "nothing" and answers.get(id, "") == ""
    ]


def asked_questions(questionnaire: Questionnaire, answers: Answers) -> Iterator[str]:
    """Those that are asked after these answers, in their order. What is hidden itself asks for nothing."""
    seen: dict[str, Answer] = {}
    for section in questionnaire.sections:
        if not _holds(section.asked_if, seen):
            continue
        for question in section.questions:
            if _holds(question.asked_if, seen):
                yield question.id
                if question.id in answers:
                    seen[question.id] = answers[question.id]


def _holds(condition: Condition | None, answers: Answers) -> bool:
    if condition is None:
        return True
    if condition.any:
        return any(_holds(each, answers) for each in condition.any)
    if condition.all:
        return all(_holds(each, answers) for each in condition.all)
    given = answers.get(condition.question or "", ())
    return condition.has == given if isinstance(given, str) else condition.has in given


def _answer_problems(question: Question, answer: Answer) -> Iterator[Problem]:
    known = [choice.value for choice in question.choices]
    match question.kind:
        case "text":
            if not isinstance(answer, str):
                yield Problem(question.id, "is answered by text")
            elif len(answer) > MAX_TEXT:
                yield Problem(question.id, f"is longer than {MAX_TEXT} characters")
        case "one":
            if not isinstance(answer, str) or answer not in known:
                yield Problem(question.id, f"is answered by one of {', '.join(known)}")
        case "many":
            if isinstance(answer, str) or not set(answer) <= set(known) or len(set(answer)) < len(answer):
                yield Problem(question.id, f"is answered by a list of {', '.join(known)}, each at most once")
        case other:
            assert_never(other)


def _points(questionnaire: Questionnaire, answers: Answers, counts: Counts) -> int:
    total = 0
    for question in questionnaire.questions.values():
        if question.counts == counts:
            answer = answers.get(question.id, ())
            chosen = {answer} if isinstance(answer, str) else set(answer)
            total += sum(choice.points for choice in question.choices if choice.value in chosen)
    return total


def _level(levels: tuple[Level, ...], final: int, most: int) -> tuple[int, Level]:
    """Numbered from 1."""
    for number, level in enumerate(levels, start=1):
        if final <= _exact(level.up_to) * most:
            return number, level
    return len(levels), levels[-1]


def _exact(share: float) -> Decimal:
    """As it was written: 0.85 of 10 is 8.5, and not a little less."""
    return Decimal(str(share))
