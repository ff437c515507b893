"""Impact assessments: questionnaires answered from a file or on a terminal, and what the answers amount to."""

from __future__ import annotations

import hashlib
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from placet.assessments import REASONS, Questionnaire, asked_questions, score
from placet.assessments.questionnaire import MAX_QUESTIONNAIRE_BYTES, Choice, Condition, Question
from placet.cli import exits
from placet.cli.screen import Screen
from placet.cli.session import connect
from placet.client import Assessment, Client, QuestionnaireDetail
from placet.errors import Refused
from placet.projects.documents import DocumentRefused, Problem, read_plain

USUAL = "algorithmic-impact"
MAX_ANSWERS_BYTES = 1024**2

Answers = dict[str, str | tuple[str, ...]]
Ask = Callable[[str], str]
"""Shows a prompt and gives the line that is typed."""


async def assess(arguments: Namespace, screen: Screen) -> int:
    async with connect() as platform:
        if arguments.list:
            return await _list(platform, screen)
        if arguments.importing is not None:
            return await _import(platform, arguments, screen)
        if arguments.template:
            return await _template(platform, arguments, screen)
        if arguments.project is None:
            raise exits.WrongUsageError(
                "a PROJECT is missing", fix="give one, or --list, --template or --import"
            )
        if arguments.show:
            return await _show(platform, arguments.project, screen)
        return await _answer(platform, arguments, screen)


async def _list(platform: Client, screen: Screen) -> int:
    found = await platform.questionnaires()
    screen.table(
        ("QUESTIONNAIRE", "VERSION", "STATE", "TITLE", "DIGEST"),
        [(each.questionnaire, each.version, each.state, each.title, each.digest) for each in found],
    )
    screen.document({"questionnaires": [each.to_json() for each in found]})
    return exits.DONE


async def _import(platform: Client, arguments: Namespace, screen: Screen) -> int:
    """What is JSON is one of SurveyJS: nobody writes ours so."""
    file = _file(arguments.importing, MAX_QUESTIONNAIRE_BYTES)
    is_survey = file.lstrip()[:1] == b"{"
    if is_survey and (arguments.id is None or arguments.version is None):
        raise exits.WrongUsageError(
            f"{arguments.importing} is of SurveyJS, which does not say what it is called",
            fix="give --id and --version",
        )
    named = {"id": arguments.id, "version": arguments.version} if is_survey else {}
    imported = await platform.import_questionnaire(file, form="surveyjs" if is_survey else "placet", **named)
    screen.result(imported.digest)
    screen.note(f"{imported.questionnaire} {imported.version} is {imported.state}")
    screen.document(imported.to_json())
    return exits.DONE


async def _template(platform: Client, arguments: Namespace, screen: Screen) -> int:
    detail, questionnaire = await _questionnaire(platform, arguments.questionnaire or USUAL)
    text = "\n".join(_template_lines(detail, questionnaire))
    screen.result(text)
    screen.document({"questionnaire": detail.digest, "template": text})
    return exits.DONE


async def _show(platform: Client, project: str, screen: Screen) -> int:
    found = await platform.assessments(project)
    screen.table(
        ("ASSESSMENT", "QUESTIONNAIRE", "STATE", "LEVEL", "SCORE", "DAYS", "STALE", "MISSING", "BY"),
        [
            (
                each.assessment,
                f"{each.questionnaire} {each.version}",
                each.state,
                each.score and f"{each.score.level} {each.score.label}",
                each.score and each.score.score,
                each.age_days,
                ", ".join(each.stale) or None,
                (each.score and ", ".join(each.score.missing)) or None,
                each.answered_by and (each.answered_by.name or each.answered_by.person),
            )
            for each in found
        ],
    )
    if not found:
        screen.note(f"nobody has assessed {project}\n  placet assess {project}")
    _tell_stale(found, screen)
    screen.document({"project": project, "assessments": [each.to_json() for each in found]})
    return exits.DONE


async def _answer(platform: Client, arguments: Namespace, screen: Screen) -> int:
    given = _given(arguments.answers) if arguments.answers is not None else None
    wanted = arguments.questionnaire or (given and given.questionnaire) or USUAL
    detail, questionnaire = await _questionnaire(platform, wanted)
    if given is not None and given.questionnaire not in (None, wanted, detail.questionnaire, detail.digest):
        raise exits.WrongUsageError(
            f"{arguments.answers} answers {given.questionnaire}, which is not {detail.questionnaire}"
            f" {detail.version}, {detail.digest}",
            fix=f"leave --questionnaire out, or fill in `placet assess --template --questionnaire {wanted}`",
        )
    if given is None:
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise exits.WrongUsageError(
                "there is no terminal to ask on",
                fix="`placet assess --template > answers.yaml`, fill it in, and give --answers answers.yaml",
            )
        given = asked(detail, questionnaire, screen, _typed)
    made = await platform.answer(
        arguments.project,
        questionnaire=detail.digest,
        answers=given.answers,
        mitigations=given.mitigations,
        source=arguments.source,
    )
    if not arguments.no_wait:
        made = await platform.scored(made)
    _conclude(made, questionnaire, screen)
    screen.document(made.to_json())
    return exits.REFUSED if made.state == "rejected" else exits.DONE


async def _questionnaire(platform: Client, wanted: str) -> tuple[QuestionnaireDetail, Questionnaire]:
    """By its id, its digest, or a file that the platform knows."""
    detail = await platform.questionnaire(_digest_of_file(Path(wanted)) or wanted)
    return detail, msgspec.convert(detail.content, Questionnaire)


def _digest_of_file(file: Path) -> str | None:
    if not file.is_file():
        return None
    return f"sha256:{hashlib.sha256(_file(file, MAX_QUESTIONNAIRE_BYTES)).hexdigest()}"


@dataclass(frozen=True, kw_only=True)
class Given:
    answers: Answers
    mitigations: tuple[str, ...]
    questionnaire: str | None = None


def _given(file: Path) -> Given:
    """The answers in a file: as `--template` writes it, or nothing but the answers. What is left empty is not said."""
    said = read_plain(_file(file, MAX_ANSWERS_BYTES), document=str(file), limit=MAX_ANSWERS_BYTES)
    if not isinstance(said, dict):
        raise DocumentRefused(
            str(file),
            (
                Problem(
                    "", "it is no mapping of questions to answers", "begin with `placet assess --template`"
                ),
            ),
        )
    whole = said if isinstance(said.get("answers"), dict) else {"answers": said}
    problems: list[Problem] = []
    answers: Answers = {}
    for id, answer in whole["answers"].items():
        match answer:
            case None:
                continue
            case list():
                answers[id] = tuple(_text(each, id, problems) for each in answer)
            case _:
                answers[id] = _text(answer, id, problems)
    mitigations = whole.get("mitigations") or []
    if not isinstance(mitigations, list):
        problems.append(Problem("mitigations", "is a list of ids"))
        mitigations = []
    for key in whole.keys() - {"answers", "mitigations", "questionnaire"}:
        problems.append(Problem(key, "is no part of it", "answers go below `answers`"))
    if problems:
        raise DocumentRefused(str(file), tuple(problems))
    named = whole.get("questionnaire")
    return Given(
        answers=answers,
        mitigations=tuple(str(each) for each in mitigations),
        questionnaire=None if named is None else str(named),
    )


def _text(value: Any, id: str, problems: list[Problem]) -> str:
    match value:
        case bool():
            return str(value).lower()
        case str() | int() | float():
            return str(value)
    problems.append(Problem(id, "is answered by text, or by a list of texts"))
    return ""


def _file(file: Path, limit: int) -> bytes:
    """No more of it than shows that it is too large."""
    try:
        with file.open("rb") as stream:
            return stream.read(limit + 1)
    except OSError as error:
        raise Refused(f"{file} cannot be read: {error.strerror}") from error


# On a terminal


def asked(detail: QuestionnaireDetail, questionnaire: Questionnaire, screen: Screen, ask: Ask) -> Given:
    """Every question that is asked after the answers before it, then which mitigations are in place."""
    screen.note(f"{questionnaire.title}, {detail.questionnaire} {detail.version}")
    titles = {each.id: section.title for section in questionnaire.sections for each in section.questions}
    answers: Answers = {}
    passed: set[str] = set()
    title = None
    while (id := next(_left(questionnaire, answers, passed), None)) is not None:
        if titles[id] != title:
            title = titles[id]
            screen.note(f"\n## {title}")
        answer = _asked_one(questionnaire.questions[id], screen, ask)
        passed.add(id)
        if answer != "":
            answers[id] = answer
    found = score(questionnaire, answers)
    texts = {each.id: each.text for each in questionnaire.mitigations}
    screen.note(f"\nThis is level {found.level}, {found.level_name}.")
    in_place = [each for each in found.requires if _is_so(f"{texts[each]} Is that so? [y/N] ", screen, ask)]
    return Given(answers=answers, mitigations=tuple(in_place))


def _typed(prompt: str) -> str:
    """Standard output is for what is asked for."""
    sys.stderr.write(prompt)
    sys.stderr.flush()
    line = sys.stdin.readline()
    if not line:
        raise exits.CutOffError("nothing was sent", fix="ask again, or write the answers to a file")
    return line


def _left(questionnaire: Questionnaire, answers: Mapping[str, Any], passed: set[str]) -> Iterator[str]:
    return (id for id in asked_questions(questionnaire, answers) if id not in passed)


def _asked_one(question: Question, screen: Screen, ask: Ask) -> str | tuple[str, ...]:
    screen.note(f"\n{question.text}")
    for number, choice in enumerate(question.choices, start=1):
        screen.note(f"  {number}  {choice.text}")
    while True:
        match question.kind:
            case "text":
                return ask("> ").strip()
            case "one":
                numbers, prompt = 1, "number> "
            case "many":
                numbers, prompt = len(question.choices), "numbers, or nothing> "
        chosen = _chosen(ask(prompt), question.choices)
        if chosen is not None and (question.kind == "many" or len(chosen) == 1) and len(chosen) <= numbers:
            return chosen if question.kind == "many" else chosen[0]
        screen.note(f"  type {'numbers' if numbers > 1 else 'a number'} from 1 to {len(question.choices)}")


def _chosen(typed: str, choices: Sequence[Choice]) -> tuple[str, ...] | None:
    words = typed.replace(",", " ").split()
    if not all(word.isdecimal() and 1 <= int(word) <= len(choices) for word in words):
        return None
    return tuple(dict.fromkeys(choices[int(word) - 1].value for word in words))


def _is_so(prompt: str, screen: Screen, ask: Ask) -> bool:
    return ask(prompt).strip().lower() in ("y", "yes")


# In words


def _template_lines(detail: QuestionnaireDetail, questionnaire: Questionnaire) -> Iterator[str]:
    yield f"# {_line(questionnaire.title)}, {detail.questionnaire} {detail.version}. What stays empty is not answered."
    yield f"questionnaire: {detail.digest}"
    yield "answers:"
    for section in questionnaire.sections:
        yield ""
        yield f"  # {_line(section.title)}"
        for question in section.questions:
            yield ""
            yield f"  # {_line(question.text)}"
            if asked_if := " and ".join(
                _condition(each) for each in (section.asked_if, question.asked_if) if each
            ):
                yield f"  # (only if {asked_if})"
            for choice in question.choices:
                yield f"  #   {_key(choice.value)}: {_line(choice.text)}"
            if question.kind == "many":
                yield "  # (any of these, as [a, b]; none of them is [])"
            if question.counts == "nothing":
                yield "  # (may be left empty)"
            yield f"  {_key(question.id)}:"
    yield ""
    yield "# Those that are in place:"
    for mitigation in questionnaire.mitigations:
        yield f"#   {_key(mitigation.id)}: {_line(mitigation.text)}"
    yield "mitigations: []"


def _condition(condition: Condition, *, is_inner: bool = False) -> str:
    """In the ids and values that are written into the file."""
    if condition.question is not None:
        return f"{_key(condition.question)} is {_key(condition.has or '')}"
    word, parts = ("or", condition.any) if condition.any else ("and", condition.all)
    said = f" {word} ".join(_condition(each, is_inner=True) for each in parts)
    return f"({said})" if is_inner else said


def _line(text: str) -> str:
    return " ".join(text.split())


def _key(text: str) -> str:
    """As YAML, which takes JSON's texts."""
    is_plain = text.isascii() and text.replace("-", "").replace("_", "").isalnum() and text[:1].isalpha()
    return text if is_plain and text not in ("null", "true", "false") else msgspec.json.encode(text).decode()


def _conclude(made: Assessment, questionnaire: Questionnaire, screen: Screen) -> None:
    match made.state, made.score:
        case "rejected", _:
            screen.error(made.why or f"{made.assessment} was rejected", fix=made.fix)
        case _, None:
            screen.result(made.assessment)
            screen.note(f"it is answered; `placet assess --show {made.project}` shows what it amounts to")
        case _, found:
            screen.result(
                f"level {found.level}, {found.label}: score {found.score} of {found.raw_most}"
                f" (raw {found.raw}, mitigation {found.mitigation} of {found.mitigation_most})"
            )
            texts = {each.id: each.text for each in questionnaire.mitigations}
            for each in found.requires:
                lacks = "missing" if each in found.missing else "in place"
                screen.result(f"  {lacks}: {each}: {texts.get(each, '')}")
            screen.note(f"{made.assessment}, signed; it is about {made.source}")
            _tell_stale([made], screen)


def _tell_stale(found: Sequence[Assessment], screen: Screen) -> None:
    reasons = dict.fromkeys(reason for each in found for reason in each.stale)
    words = {str(reason): said for reason, said in REASONS.items()}
    for reason in reasons:
        screen.note(f"  stale by {reason}: {words.get(reason, 'a reason that this command does not know')}")
