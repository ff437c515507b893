"""What strangers send is read and scored in a process of its own: every mistake is told, and nothing lasts for ever."""

from __future__ import annotations

import json
from typing import Any

import pytest
from placet.assessments import Given, Reading, read_apart, scored
from placet.errors import Refused
from placet.projects.documents import DocumentRefused

from tests.unit.assessments.test_questionnaires import SMALL, changed

SURVEY = {
    "pages": [
        {
            "name": "page-RS",
            "elements": [{"name": "harm", "type": "radiogroup", "choices": ["item1-0", "item2-3"]}],
        }
    ]
}
ALL: dict[str, Any] = {"harm": "much", "who": ("a", "b"), "watched": "no"}


async def test_a_questionnaire_is_what_it_is_when_read_here() -> None:
    assert await read_apart(changed(), Reading()) == SMALL


async def test_one_of_surveyjs_is_called_as_who_imports_it_says() -> None:
    reading = Reading(form="surveyjs", id="aia", version="1.0.1", owner="legal", title="Impact")
    found = await read_apart(json.dumps(SURVEY).encode(), reading)
    assert (found.id, found.version, found.owner, found.title) == ("aia", "1.0.1", "legal", "Impact")
    given = Given(answers={"harm": "item2-3"})
    assert (await scored(json.dumps(SURVEY).encode(), reading, given)).score.level == 4


async def test_answers_have_a_score_and_what_their_level_asks_for_is_missing_until_it_is_in_place() -> None:
    found = await scored(changed(), Reading(), Given(answers={**ALL, "why": "So."}))
    assert (found.score.score, found.score.level, found.missing) == (10, 2, ("watch",))
    found = await scored(changed(), Reading(), Given(answers=ALL, mitigations=("watch",)))
    assert found.missing == ()


async def test_everything_that_is_unknown_wrong_or_missing_is_told_at_once() -> None:
    given = Given(answers={"harmm": "much", "harm": "much", "watched": "perhaps"}, mitigations=("sleep",))
    with pytest.raises(DocumentRefused) as refused:
        await scored(changed(), Reading(), given)
    assert [each.path for each in refused.value.problems] == ["harmm", "watched", "who", "mitigations"]
    assert refused.value.document == "the answers"


async def test_none_of_the_choices_is_an_answer_and_an_empty_text_is_none() -> None:
    assert (await scored(changed(), Reading(), Given(answers={**ALL, "who": ()}))).score.raw == 6
    with pytest.raises(DocumentRefused, match="watched: has no answer"):
        await scored(changed(), Reading(), Given(answers={"harm": "none"}))


@pytest.mark.parametrize(
    ("file", "form"),
    [(b"just words", "placet"), (b"{}", "surveyjs"), (b"\xff", "placet"), (b"\xff", "surveyjs")],
)
async def test_what_is_no_questionnaire_is_refused_with_its_mistakes(file: bytes, form: Any) -> None:
    with pytest.raises(DocumentRefused):
        await read_apart(file, Reading(form=form, id="a", version="1"))


async def test_what_takes_too_much_is_stopped() -> None:
    questions = [{"id": f"q{number}", "text": "?", "kind": "text"} for number in range(2800)]
    large = changed(sections=[{"id": "first", "title": "First", "questions": questions}])
    with pytest.raises(Refused, match="or 40 MiB of memory"):
        await read_apart(large, Reading(), memory=40 * 1024**2)
