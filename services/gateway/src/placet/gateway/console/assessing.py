"""Impact assessments: what there is to answer, answering it as it branches, and what the answers amount to.

What is filled in goes back and forth with the form, and a browser with scripts keeps it as well: nothing of it is kept
here before it is sent.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field

import msgspec
from starlette.responses import Response

from placet.assessments import Questionnaire, Score, asked_questions, score, unanswered
from placet.assessments.examining import ANSWERS
from placet.assessments.questionnaire import Question
from placet.client import QuestionnaireDetail
from placet.errors import PlacetError, Unavailable, Unreadable
from placet.events.problems import problem_of
from placet.gateway.assessing import ANSWERERS
from placet.gateway.console.governing import PATH
from placet.gateway.console.visits import Visit

_SCORED_WITHIN = 10.0
_ANSWER = "answer."
"""Before a question's id, in the name of its field."""
_ABOUT = re.compile(rf"{re.escape(ANSWERS)}, (.+?): ")


@dataclass(frozen=True, kw_only=True)
class Draft:
    """What was filled in so far, also of what is not asked any more, so that it is there when it is asked again. An
    empty tuple says that none of the choices is so."""

    answers: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    mitigations: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Of a draft: the questions that are asked after it, those that have no answer yet and need one, and what it
    amounts to so far. `missing` are mitigations that the level asks for and that are not in place."""

    asked: frozenset[str]
    answers: Mapping[str, str | tuple[str, ...]]
    unanswered: frozenset[str]
    score: Score
    missing: tuple[str, ...]


async def listed(visit: Visit) -> Response:
    project = visit.said("project")
    return visit.page(
        "assessments.html",
        tab="assessments",
        questionnaires=[each for each in await visit.ask.questionnaires() if each.state == "newest"],
        project=project or "",
        assessments=await visit.ask.assessments(project) if project else (),
        done=visit.said("done"),
        may_answer=not ANSWERERS.isdisjoint(visit.me.roles),
    )


async def form(visit: Visit) -> Response:
    return await _form(visit, visit.said("project"), visit.said("questionnaire"), Draft())


async def answer(visit: Visit) -> Response:
    """Shown anew as it branches, or sent; what was filled in stays where it is refused."""
    project, wanted = visit.wanted("project"), visit.wanted("questionnaire")
    draft = read_draft(visit.form)
    if visit.given("act") != "send":
        return await _form(visit, project, wanted, draft)
    try:
        standing = await asyncio.to_thread(standing_of, read(await visit.ask.questionnaire(wanted)), draft)
        answered = await visit.ask.answer(
            project,
            questionnaire=wanted,
            answers=standing.answers,
            mitigations=draft.mitigations,
            source=visit.given("source") or None,
        )
    except PlacetError as error:
        return await _form(visit, project, wanted, draft, error)
    with suppress(Unavailable):  # its page shows when it is scored
        answered = await visit.ask.scored(answered, within=_SCORED_WITHIN)
    said = "It is answered."
    if answered.score is not None:
        said = f"It is answered: {answered.score.label}, with {answered.score.score} points."
    return visit.go_saying(f"{PATH}/assessments", said, project=project, done=answered.digest)


async def _form(
    visit: Visit, project: str | None, wanted: str | None, draft: Draft, error: PlacetError | None = None
) -> Response:
    if not project or not wanted:
        raise Unreadable("say which project and which questionnaire", fix="pick them in the list")
    known = await visit.ask.questionnaire(wanted)
    questionnaire = read(known)
    return visit.page(
        "assessment_form.html",
        200 if error is None else problem_of(error)[0],
        tab="assessments",
        project=project,
        known=known,
        questionnaire=questionnaire,
        mitigations={each.id: each.text for each in questionnaire.mitigations},
        draft=draft,
        standing=await asyncio.to_thread(standing_of, questionnaire, draft),
        source=visit.given("source"),
        error=error,
        refusals=() if error is None else refusals(questionnaire, error),
        prefix=_ANSWER,
        may_answer=not ANSWERERS.isdisjoint(visit.me.roles),
    )


def read(known: QuestionnaireDetail) -> Questionnaire:
    """As the platform has read it. Raises Unreadable."""
    try:
        return msgspec.convert({**known.content, "digest": known.digest}, Questionnaire)
    except msgspec.ValidationError as error:
        raise Unreadable(
            f"the questionnaire {known.questionnaire} cannot be shown as a form",
            fix="answer it with `placet assess`",
        ) from error


def refusals(questionnaire: Questionnaire, error: PlacetError) -> list[tuple[Question | None, PlacetError]]:
    """Each with the question that it is about: what refuses answers knows of it by its id alone."""
    questions = {each.id: each for section in questionnaire.sections for each in section.questions}
    found: list[tuple[Question | None, PlacetError]] = []
    for each in error.parts:
        about = _ABOUT.match(each.detail)
        question = None if about is None else questions.get(about[1])
        if about is not None and question is not None:
            each = PlacetError(each.detail[about.end() :], rule=each.rule, fix=each.fix)
        found.append((question, each))
    return found


def read_draft(given: Mapping[str, list[str]]) -> Draft:
    """Of a form's fields. A field that is empty, and of which nobody says that none is so, is no answer."""
    nothing = frozenset(given.get("none", ()))
    answers: dict[str, str | tuple[str, ...]] = {}
    for name, values in given.items():
        if not name.startswith(_ANSWER):
            continue
        id, is_many = name.removeprefix(_ANSWER), name.endswith("[]")
        chosen = tuple(each for each in values if each)
        if is_many and chosen:
            answers[id.removesuffix("[]")] = chosen
        elif not is_many and chosen:
            answers[id] = chosen[-1].replace("\r\n", "\n")
    answers.update({id: () for id in nothing if id not in answers})
    return Draft(answers=answers, mitigations=tuple(dict.fromkeys(given.get("mitigation", ()))))


def standing_of(questionnaire: Questionnaire, draft: Draft) -> Standing:
    asked = frozenset(asked_questions(questionnaire, draft.answers))
    answers = {id: given for id, given in draft.answers.items() if id in asked}
    found = score(questionnaire, answers)
    return Standing(
        asked=asked,
        answers=answers,
        unanswered=frozenset(unanswered(questionnaire, answers)),
        score=found,
        missing=tuple(each for each in found.requires if each not in draft.mitigations),
    )
