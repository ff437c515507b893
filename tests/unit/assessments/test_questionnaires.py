"""Questionnaires are read whole or refused with every mistake; answers are answers to what is asked."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from placet.assessments import (
    Answers,
    Questionnaire,
    asked_questions,
    import_survey,
    load_shipped,
    problems,
    questionnaire_schema,
    read_questionnaire,
    score,
    unanswered,
)
from placet.projects.documents import DocumentRefused

FORM: dict[str, Any] = {
    "apiVersion": "placet/v1",
    "kind": "Questionnaire",
    "id": "small",
    "version": "1",
    "title": "A small one",
    "owner": "compliance",
    "scoring": {"mitigatedFrom": 0.5, "reduction": 0.15},
    "levels": [{"name": "low", "upTo": 0.5}, {"name": "high", "upTo": 1, "requires": ["watch"]}],
    "mitigations": [{"id": "watch", "text": "Somebody watches it."}],
    "sections": [
        {
            "id": "first",
            "title": "First",
            "questions": [
                {
                    "id": "harm",
                    "text": "How bad?",
                    "counts": "risk",
                    "choices": [
                        {"value": "none", "text": "Not", "points": 0},
                        {"value": "much", "text": "Much", "points": 6},
                    ],
                },
                {
                    "id": "who",
                    "text": "Who?",
                    "kind": "many",
                    "counts": "risk",
                    "askedIf": {"question": "harm", "has": "much"},
                    "choices": [
                        {"value": "a", "text": "A", "points": 3},
                        {"value": "b", "text": "B", "points": 1},
                    ],
                },
                {"id": "why", "text": "Why?", "kind": "text", "askedIf": {"question": "who", "has": "b"}},
                {
                    "id": "watched",
                    "text": "Watched?",
                    "counts": "mitigation",
                    "choices": [
                        {"value": "no", "text": "No"},
                        {"value": "yes", "text": "Yes", "points": 2},
                    ],
                },
            ],
        }
    ],
}


def changed(**changes: Any) -> bytes:
    return yaml.safe_dump({**FORM, **changes}, sort_keys=False).encode()


def with_question(**changes: Any) -> bytes:
    questions = FORM["sections"][0]["questions"]
    section = {**FORM["sections"][0], "questions": [*questions, {"id": "new", "text": "?", **changes}]}
    return changed(sections=[section])


SMALL = read_questionnaire(changed())


def test_a_score_is_lowered_by_enough_mitigation_and_rounded_half_up() -> None:
    answers: Answers = {"harm": "much", "who": ("a", "b")}
    bare = score(SMALL, answers)
    assert (bare.raw, bare.raw_most, bare.score, bare.level_name, bare.requires) == (
        10,
        10,
        10,
        "high",
        ("watch",),
    )

    mitigated = score(SMALL, {**answers, "watched": "yes"})

    assert (mitigated.raw, mitigated.is_mitigated, mitigated.score) == (10, True, 9)  # 8.5


def test_a_level_holds_up_to_its_share_and_not_beyond() -> None:
    assert score(SMALL, {"harm": "much", "watched": "yes"}).score == 5
    assert score(SMALL, {"harm": "much", "watched": "yes"}).level == 1
    assert score(SMALL, {"harm": "much"}).level == 2


def test_what_is_asked_follows_from_what_was_answered() -> None:
    assert list(asked_questions(SMALL, {})) == ["harm", "watched"]
    assert unanswered(SMALL, {"harm": "much", "watched": "no"}) == ["who"]
    assert list(asked_questions(SMALL, {"harm": "much", "who": ("b",)})) == ["harm", "who", "why", "watched"]
    # `who` is hidden, and so is what its answer would ask for
    assert list(asked_questions(SMALL, {"harm": "none", "who": ("b",)})) == ["harm", "watched"]


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ({"harmm": "much"}, "the nearest is 'harm'"),
        ({"harm": "little"}, "one of none, much"),
        ({"harm": ("much",)}, "one of none, much"),
        ({"harm": "much", "who": "a"}, "a list of a, b"),
        ({"harm": "much", "who": ("a", "a")}, "each at most once"),
        ({"who": ("a",)}, "is not asked after the other answers"),
        ({"harm": "much", "who": ("b",), "why": "x" * 20_001}, "longer than 20000"),
        ({"harm": "much", "who": ("b",), "why": ("x",)}, "answered by text"),
    ],
    ids=range(8),
)
def test_what_is_no_answer_is_named(answers: dict[str, Any], said: str) -> None:
    (problem,) = problems(SMALL, answers)
    assert said in str(problem)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (changed(sections=[]), "asks at least one question"),
        (changed(levels=[{"name": "low", "upTo": 0.5}]), "the last one's is 1"),
        (changed(levels=[{"name": "a", "upTo": 1}, {"name": "b", "upTo": 0.5}]), "have to grow"),
        (
            changed(levels=[{"name": "a", "upTo": 1, "requires": ["sleep"]}]),
            "'sleep' is none of the mitigations",
        ),
        (with_question(kind="one"), "nothing to choose from"),
        (with_question(kind="text", counts="risk"), "counts nothing"),
        (with_question(kind="text", id="harm"), "'harm' is given twice"),
        (
            with_question(kind="text", askedIf={"question": "later", "has": "x"}),
            "no question that is asked before",
        ),
        (with_question(kind="text", askedIf={"question": "harm", "has": "x"}), "'x' is no choice of 'harm'"),
        (
            with_question(kind="text", askedIf={"question": "harm"}),
            "a condition is a question and what it has",
        ),
        (with_question(kind="text", askedIf={"all": []}), "a condition is a question and what it has"),
        (with_question(kind="text", points=1), "points"),
    ],
    ids=range(12),
)
def test_a_mistake_in_a_questionnaire_is_named(data: bytes, said: str) -> None:
    with pytest.raises(DocumentRefused, match=said):
        read_questionnaire(data)


def test_a_changed_letter_is_another_questionnaire() -> None:
    assert read_questionnaire(changed(title="A smaller one")).digest != SMALL.digest


@pytest.mark.parametrize("questionnaire", load_shipped(), ids=lambda each: each.id)
def test_a_shipped_questionnaire_reaches_each_of_its_levels(questionnaire: Questionnaire) -> None:
    most = _worst(questionnaire)
    assert score(questionnaire, {}).level == 1
    assert not problems(questionnaire, most)
    assert not unanswered(questionnaire, most)
    assert score(questionnaire, most).level == len(questionnaire.levels)
    assert score(questionnaire, most).score == questionnaire.most("risk")


def _worst(questionnaire: Questionnaire) -> dict[str, str | tuple[str, ...]]:
    """The answers with the most risk, and no mitigation."""
    answers: dict[str, str | tuple[str, ...]] = {}
    for question in questionnaire.questions.values():
        if question.kind == "many":
            answers[question.id] = tuple(choice.value for choice in question.choices)
        elif question.kind == "one":
            by_points = sorted(question.choices, key=lambda choice: choice.points)
            answers[question.id] = by_points[-1 if question.counts == "risk" else 0].value
    return answers


def test_editors_are_told_the_form() -> None:
    jsonschema.validate(FORM, questionnaire_schema())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**FORM, "levels": 3}, questionnaire_schema())


SURVEY: dict[str, Any] = {
    "pages": [
        {"name": "welcome", "elements": [{"type": "html", "name": "hello", "html": "<b>Hello</b>"}]},
        {
            "name": "risk",
            "elements": [
                {
                    "type": "panel",
                    "name": "riskPanel-RS",
                    "elements": [
                        {"type": "radiogroup", "name": "a", "title": {"default": "A?", "fr": "A ?"},
                         "choices": [{"value": "item1-3", "text": "Yes"}, "item2-0"]},
                        {"type": "checkbox", "name": "b", "visibleIf": "{a} = 'item1-3'",
                         "choices": ["item1-1", "item2-2", "item3"]},
                        {"type": "dropdown", "name": "c-NS", "choices": [1, 2]},
                        {"type": "comment", "name": "d",
                         "visibleIf": '({a} = "item1-3" and {b} contains ["item1-1", "item2-2"]) or {c-NS} = "2"'},
                    ],
                }
            ],
        },
    ]
}  # fmt: skip


def imported(survey: Any) -> Questionnaire:
    return import_survey(json.dumps(survey).encode(), id="other", version="1", owner="somebody")


def test_a_survey_says_by_its_names_what_counts_how_much() -> None:
    questionnaire = imported(SURVEY)
    questions = questionnaire.questions
    assert [(each.id, each.kind, each.counts, each.most) for each in questions.values()] == [
        ("a", "one", "risk", 3),
        ("b", "many", "risk", 3),
        ("c-NS", "one", "nothing", 0),
        ("d", "text", "nothing", 0),
    ]
    assert questions["a"].text == "A?"
    both: Answers = {"a": "item1-3", "b": ("item1-1", "item2-2")}
    assert "d" in asked_questions(questionnaire, both)
    assert "d" not in asked_questions(questionnaire, {**both, "b": ("item1-1",)})
    assert "d" in asked_questions(questionnaire, {"c-NS": "2"})


@pytest.mark.parametrize(
    "expression",
    [
        "{a} > 1",
        "{a} =",
        "({a} = 'x'",
        "{a} = 'x' or",
        "{a} contains ['x'",
        "a = 'x'",
        "{a} = 'x' 'y'",
        "(" * 99,
    ],
    ids=range(8),
)
def test_a_condition_that_is_not_understood_is_refused(expression: str) -> None:
    page = {"name": "p", "elements": [{"type": "text", "name": "q", "visibleIf": expression}]}
    with pytest.raises(DocumentRefused, match="is none that is known here"):
        imported({"pages": [page]})


@given(
    st.recursive(
        st.none() | st.text() | st.integers(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_whatever_else_is_sent_is_refused_or_read(document: Any) -> None:
    for survey in (document, {"pages": document}, {"pages": [{"name": "p", "elements": document}]}):
        try:
            read = imported(survey)
        except DocumentRefused:
            continue
        assert read.questions
