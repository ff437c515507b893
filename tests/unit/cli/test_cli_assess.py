"""Questionnaires answered from a file or on a terminal, and what the answers amount to."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from placet.assessments import load_shipped
from placet.assessments.examining import Given as Sent
from placet.assessments.examining import outcome
from placet.cli.report import conclude
from placet.cli.screen import Screen
from placet.cli.verbs.assess import Given, asked
from placet.client import Operation, QuestionnaireDetail

from tests.unit.assessments.test_examining import SURVEY
from tests.unit.assessments.test_questionnaires import SMALL
from tests.unit.assessments.test_questionnaires import changed as questionnaire
from tests.unit.cli.conftest import Placet
from tests.unit.client.fake_platform import FakePlatform

SCORE = {
    "raw": 10,
    "rawMost": 10,
    "mitigation": 0,
    "mitigationMost": 2,
    "score": 10,
    "level": 2,
    "label": "high",
    "requires": ["watch"],
    "missing": ["watch"],
}


def known(read: Any = SMALL) -> dict[str, Any]:
    return {
        "questionnaire": read.id,
        "version": read.version,
        "title": read.title,
        "digest": read.digest,
        "form": "placet",
        "state": "newest",
        "content": msgspec.to_builtins(read),
    }


@pytest.fixture
def platform(platform: FakePlatform) -> FakePlatform:
    platform.questionnaires.append(known())
    platform.assessed = {"state": "scored", "score": SCORE, "stale": [], "envelope": f"sha256:{'e' * 64}"}
    return platform


def written(folder: Path, text: str) -> str:
    (folder / "answers.yaml").write_text(text)
    return str(folder / "answers.yaml")


ANSWERS = "answers: {harm: much, who: [a, b], why: , watched: no}\nmitigations: [watch]\n"
SMALL_ONE = ("--questionnaire", "small")


def test_answers_in_a_file_are_sent_and_what_they_amount_to_is_told(
    placet: Placet, platform: FakePlatform, tmp_path: Path
) -> None:
    file = written(tmp_path, ANSWERS)
    ended = placet("assess", "wine", *SMALL_ONE, "--answers", file)
    assert (ended.status, ended.out) == (
        0,
        "level 2, high: score 10 of 10 (raw 10, mitigation 0 of 2)\n  missing: watch: Somebody watches it.\n",
    )
    assert "assessment:1, signed; it is about sha256:55" in ended.err
    [made] = platform.assessments
    assert made["asked"] == {
        "questionnaire": SMALL.digest,
        "answers": {"harm": "much", "who": ["a", "b"], "watched": "no"},
        "mitigations": ["watch"],
    }
    source = f"sha256:{'7' * 64}"
    more = placet("assess", "wine", *SMALL_ONE, "--answers", file, "--source", source, "--no-wait", "--json")
    assert (more.document["state"], more.document["source"]) == ("answered", source)


def test_one_that_is_rejected_fails(placet: Placet, platform: FakePlatform, tmp_path: Path) -> None:
    platform.assessed = {"state": "rejected", "why": "the answers are gone", "fix": "answer again"}
    ended = placet("assess", "wine", *SMALL_ONE, "--answers", written(tmp_path, ANSWERS))
    assert (ended.status, ended.out) == (1, "")
    assert "the answers are gone\n  fix: answer again" in ended.err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- a\n- b\n", "no mapping of questions to answers"),
        ("answers: {harm: {a: b}}\n", "harm: is answered by text"),
        ("answers: {harm: much}\nmitigated: [watch]\n", "mitigated: is no part of it"),
        ("answers: {harm: much}\nmitigations: watch\n", "mitigations: is a list of ids"),
        ("harm: [", "line"),
    ],
)
def test_what_is_no_file_of_answers_is_told_and_not_sent(
    placet: Placet, platform: FakePlatform, tmp_path: Path, text: str, said: str
) -> None:
    ended = placet("assess", "wine", *SMALL_ONE, "--answers", written(tmp_path, text))
    assert ended.status == 1
    assert said in ended.err
    assert not platform.assessments


def test_a_file_may_name_its_questionnaire_and_hold_nothing_but_answers_in_json(
    placet: Placet, platform: FakePlatform, tmp_path: Path
) -> None:
    named = f"questionnaire: {SMALL.digest}\n{ANSWERS}"
    assert placet("assess", "wine", "--answers", written(tmp_path, named)).status == 0
    bare = tmp_path / "answers.json"
    bare.write_text(json.dumps({"harm": "none", "count": 3, "sure": True}))
    assert placet("assess", "wine", *SMALL_ONE, "--answers", str(bare)).status == 0
    assert platform.assessments[-1]["asked"]["answers"] == {"harm": "none", "count": "3", "sure": "true"}


@pytest.mark.parametrize("read", [SMALL, *load_shipped()], ids=lambda read: read.id)
def test_a_template_that_is_filled_in_can_be_sent(
    placet: Placet, platform: FakePlatform, tmp_path: Path, read: Any
) -> None:
    platform.questionnaires[:] = [known(read)]
    template = placet("assess", "--template", "--questionnaire", read.id).out
    assert set(yaml.safe_load(template)["answers"]) == set(read.questions)
    ended = placet("assess", "wine", "--answers", written(tmp_path, template))
    assert ended.status == 0
    assert platform.assessments[0]["asked"] == {
        "questionnaire": read.digest,
        "answers": {},
        "mitigations": [],
    }


def test_a_template_tells_when_a_question_is_asked_and_what_may_be_left_empty(
    placet: Placet, platform: FakePlatform
) -> None:
    platform.questionnaires[:] = [known(read) for read in load_shipped()]
    lines = placet("assess", "--template").out.splitlines()
    conditional = lines[: lines.index("  decision-role:")]
    alternatives = " or ".join(f"decision-about is {each}" for each in ("service", "access", "liberty"))
    assert f"  # (only if {alternatives})" in conditional
    assert lines[lines.index("  reach-said:") - 1] == "  # (may be left empty)"
    assert lines.count("  # (may be left empty)") == 1


def test_answers_to_one_questionnaire_are_not_sent_as_answers_to_another(
    placet: Placet, platform: FakePlatform, tmp_path: Path
) -> None:
    [other, *_] = load_shipped()
    platform.questionnaires.append(known(other))
    file = written(tmp_path, f"questionnaire: {SMALL.digest}\n{ANSWERS}")
    ended = placet("assess", "wine", "--questionnaire", other.id, "--answers", file)
    assert ended.status == 2
    assert f"answers {SMALL.digest}, which is not {other.id}" in ended.err
    assert not platform.assessments


def test_the_list_and_what_was_answered(placet: Placet, platform: FakePlatform, tmp_path: Path) -> None:
    listed = placet("assess", "--list")
    assert listed.out.splitlines()[1].split()[:3] == ["small", "1", "newest"]
    assert "nobody has assessed wine" in placet("assess", "--show", "wine").err
    for _ in range(3):
        placet("assess", "wine", *SMALL_ONE, "--answers", written(tmp_path, ANSWERS))
    platform.assessments[0] |= {"stale": ["age", "purpose"], "ageDays": 400}
    shown = placet("assess", "wine", "--show")
    lines = shown.out.splitlines()
    assert [line.split()[0] for line in lines] == ["ASSESSMENT", *(f"assessment:{n}" for n in (3, 2, 1))]
    assert "2 high" in lines[3]
    assert "age, purpose" in lines[3]
    assert "stale by purpose: the purpose has changed" in shown.err
    document = placet("assess", "--show", "wine", "--json").document
    assert [each["score"]["level"] for each in document["assessments"]] == [2, 2, 2]


def test_questionnaires_are_imported_and_those_of_surveyjs_are_told_their_name(
    placet: Placet, platform: FakePlatform, tmp_path: Path
) -> None:
    ours, survey = tmp_path / "small.yaml", tmp_path / "aia.json"
    ours.write_bytes(questionnaire())
    survey.write_text(json.dumps(SURVEY))
    ended = placet("assess", "--import", str(ours))
    assert (ended.status, ended.out) == (0, f"{SMALL.digest}\n")
    assert placet("assess", "--import", str(survey)).status == 2
    assert placet("assess", "--import", str(survey), "--id", "aia", "--version", "1.0.1").status == 0
    assert [query for query, _ in platform.imports] == [
        {"form": "placet"},
        {"form": "surveyjs", "id": "aia", "version": "1.0.1"},
    ]
    made = placet("assess", "wine", "--questionnaire", str(ours), "--answers", written(tmp_path, ANSWERS))
    assert made.status == 0, "a file is known by its digest"


def test_without_a_terminal_or_a_project_nothing_is_asked(placet: Placet, platform: FakePlatform) -> None:
    ended = placet("assess", "wine", *SMALL_ONE)
    assert ended.status == 2
    assert "placet assess --template > answers.yaml" in ended.err
    assert placet("assess", *SMALL_ONE).status == 2
    assert placet("assess", "wine", "--list", "--show").status == 2


def test_who_waits_for_an_assessment_is_told_how_to_make_one(capsys: pytest.CaptureFixture[str]) -> None:
    waits = {
        "operation": "o",
        "command": "deploy",
        "project": "wine",
        "release": 1,
        "state": "awaiting",
        "steps": [],
        "awaiting": [{"rule": "assessment.made", "why": "nobody has assessed it"}],
        "verdicts": [
            {"rule": rule, "result": "fail", "stage": "certify", "fix": f"`placet {verb} wine`"}
            for rule, verb in (("approval.four-eyes", "approve"), ("assessment.made", "assess"))
        ],
    }
    conclude(Screen(is_json=False), msgspec.convert(waits, Operation))
    said = capsys.readouterr().err
    assert "fix: `placet assess wine`" in said
    assert "placet approve" not in said


# on a terminal


def typing(*lines: str) -> Callable[[str], str]:
    left = list(lines)
    return lambda prompt: left.pop(0) + "\n"


def answered(*lines: str) -> Given:
    detail = msgspec.convert(known(), QuestionnaireDetail)
    return asked(detail, SMALL, Screen(is_json=False), typing(*lines))


def test_what_is_asked_follows_from_what_was_typed() -> None:
    given = answered("2", "1, 2", "So.", "1", "y")
    assert given.answers == {"harm": "much", "who": ("a", "b"), "why": "So.", "watched": "no"}
    assert given.mitigations == ("watch",)
    assert outcome(SMALL, Sent(answers=given.answers, mitigations=given.mitigations)).missing == ()
    assert answered("1", "2").answers == {"harm": "none", "watched": "yes"}


def test_what_is_mistyped_is_asked_again_and_prose_may_be_left_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = answered("9", "much", "", "1 2", "2", "3", "2", "", "1", "no")
    assert given.answers == {"harm": "much", "who": ("b",), "watched": "no"}
    assert given.mitigations == ()
    assert capsys.readouterr().err.count("type a number from 1 to 2") == 4


def test_none_of_several_is_an_answer() -> None:
    assert answered("2", "", "1", "n").answers == {"harm": "much", "who": (), "watched": "no"}
