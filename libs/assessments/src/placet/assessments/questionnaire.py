"""A questionnaire: what is asked, when, what an answer counts, and what a level asks of whoever has it.

It is data that compliance people read and write, known by the sha256 of its bytes: a corrected question is another
questionnaire, and what was answered before is stale. Points of kind `risk` add up to the raw score, those of kind
`mitigation` to another; enough of the second lower the first (`scores.py`). Nothing here is run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from functools import cache, cached_property
from importlib import resources
from typing import Annotated, Any, Literal

import msgspec

from placet.projects.documents import DocumentRefused, Problem, read_document

MAX_QUESTIONNAIRE_BYTES = 1024**2
MAX_CONDITIONS = 64
"""In one condition, however nested."""
MAX_LEVELS = 20
MAX_MITIGATIONS = 100
"""They are told in events."""

Counts = Literal["risk", "mitigation", "nothing"]
Kind = Literal["one", "many", "text"]
Sentence = Annotated[str, msgspec.Meta(min_length=1, max_length=4000)]
MitigationId = Annotated[str, msgspec.Meta(min_length=1, max_length=60)]
Points = Annotated[int, msgspec.Meta(ge=0, le=1000)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class _Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    pass


class Condition(_Part, frozen=True, kw_only=True):
    """One of three: an answer that is given, or among those given; any of several conditions; all of them."""

    question: str | None = None
    has: str | None = None
    any: tuple[Condition, ...] = ()
    all: tuple[Condition, ...] = ()


class Choice(_Part, frozen=True, kw_only=True):
    value: Sentence
    text: Sentence
    points: Points = 0


class Question(_Part, frozen=True, kw_only=True):
    """`one` and `many` choose; `text` is prose that people write, and counts nothing."""

    id: Sentence
    text: Sentence
    kind: Kind = "one"
    counts: Counts = "nothing"
    choices: tuple[Choice, ...] = ()
    asked_if: Condition | None = None

    @property
    def most(self) -> int:
        """The most points that an answer can have."""
        points = [choice.points for choice in self.choices]
        return sum(points) if self.kind == "many" else max(points, default=0)


class Section(_Part, frozen=True, kw_only=True):
    id: Sentence
    title: Sentence
    questions: tuple[Question, ...]
    asked_if: Condition | None = None


class Level(_Part, frozen=True, kw_only=True):
    """Holds of scores up to this share of the raw maximum; `requires` are ids of mitigations that it then takes."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    up_to: Share
    requires: tuple[MitigationId, ...] = ()


class Mitigation(_Part, frozen=True, kw_only=True):
    id: MitigationId
    text: Sentence


class Scoring(_Part, frozen=True, kw_only=True):
    """From `mitigated_from`, a share of the mitigations' maximum, on the raw score is lowered by `reduction`, a share
    of it, and rounded half up."""

    mitigated_from: Share = 1.0
    reduction: Share = 0.0


class QuestionnaireForm(_Part, frozen=True, kw_only=True):
    """The file."""

    api_version: Literal["placet/v1"]
    kind: Literal["Questionnaire"]
    id: Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9]*(?:-[a-z0-9]+)*$", max_length=100)]
    version: Annotated[str, msgspec.Meta(min_length=1, max_length=40)]
    title: Sentence
    owner: Sentence
    source: Sentence | None = None
    valid_days: Annotated[int, msgspec.Meta(ge=1, le=3650)] = 365
    scoring: Scoring = Scoring()
    levels: Annotated[tuple[Level, ...], msgspec.Meta(max_length=MAX_LEVELS)]
    mitigations: Annotated[tuple[Mitigation, ...], msgspec.Meta(max_length=MAX_MITIGATIONS)] = ()
    sections: tuple[Section, ...]


class Questionnaire(QuestionnaireForm, frozen=True, kw_only=True, dict=True):
    """A questionnaire that was read, with the sha256 of its bytes as `sha256:…`."""

    digest: str

    @cached_property
    def questions(self) -> Mapping[str, Question]:
        return {question.id: question for section in self.sections for question in section.questions}

    def most(self, counts: Counts) -> int:
        """The most points of a kind, whichever of its questions are asked."""
        return sum(question.most for question in self.questions.values() if question.counts == counts)


def read_questionnaire(data: bytes, *, name: str = "the questionnaire") -> Questionnaire:
    """The questionnaire in the file's bytes, or `DocumentRefused` with every problem of its form."""
    form = read_document(data, QuestionnaireForm, document=name, limit=MAX_QUESTIONNAIRE_BYTES)
    return checked(form, data, name=name)


def checked(form: QuestionnaireForm, data: bytes, *, name: str, is_imported: bool = False) -> Questionnaire:
    """What was read of the bytes, if it fits together; else `DocumentRefused`.

    An imported one may wait for answers that nobody can give, as the Algorithmic Impact Assessment 1.0.1 does: what
    they would ask for is never asked.
    """
    problems = tuple(_problems(form, is_imported=is_imported))
    if problems:
        raise DocumentRefused(name, problems)
    fields = {field: getattr(form, field) for field in form.__struct_fields__}
    return Questionnaire(**fields, digest=f"sha256:{hashlib.sha256(data).hexdigest()}")


@cache
def load_shipped() -> tuple[Questionnaire, ...]:
    """The questionnaires that ship with the platform."""
    return tuple(read_questionnaire(data, name=name) for name, data in shipped_files().items())


def shipped_files() -> dict[str, bytes]:
    """The same as they lie there, by name."""
    folder = resources.files("placet.assessments") / "questionnaires"
    files = (file for file in folder.iterdir() if file.name.endswith(".yaml"))
    return {file.name: file.read_bytes() for file in sorted(files, key=lambda file: file.name)}


def shipped_by_digest() -> dict[str, bytes]:
    return {f"sha256:{hashlib.sha256(data).hexdigest()}": data for data in shipped_files().values()}


def questionnaire_schema() -> dict[str, Any]:
    """The JSON Schema of a questionnaire, for editors."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | msgspec.json.schema(
        QuestionnaireForm
    )


def _problems(form: QuestionnaireForm, *, is_imported: bool) -> Iterator[Problem]:
    known: dict[str, Question] = {}
    sections: set[str] = set()
    for index, section in enumerate(form.sections):
        path = f"sections[{index}]"
        yield from _given_twice(section.id, sections, f"{path}.id")
        yield from _condition_problems(section.asked_if, known, f"{path}.askedIf", is_imported)
        for number, question in enumerate(section.questions):
            where = f"{path}.questions[{number}]"
            yield from _given_twice(question.id, known, f"{where}.id")
            yield from _condition_problems(question.asked_if, known, f"{where}.askedIf", is_imported)
            yield from _question_problems(question, where)
            known[question.id] = question
        sections.add(section.id)
    if not known:
        yield Problem("sections", "a questionnaire asks at least one question")
    yield from _level_problems(form)


def _question_problems(question: Question, path: str) -> Iterator[Problem]:
    if question.kind == "text" and (question.choices or question.counts != "nothing"):
        yield Problem(
            path, "text has no choices and counts nothing", "make it a question of kind one or many"
        )
    if question.kind != "text" and not question.choices:
        yield Problem(f"{path}.choices", "there is nothing to choose from")
    values: set[str] = set()
    for number, choice in enumerate(question.choices):
        yield from _given_twice(choice.value, values, f"{path}.choices[{number}].value")
        values.add(choice.value)


def _level_problems(form: QuestionnaireForm) -> Iterator[Problem]:
    bounds = [level.up_to for level in form.levels]
    if not bounds or bounds != sorted(set(bounds)) or bounds[-1] != 1:
        yield Problem("levels", "the levels' upTo have to grow, and the last one's is 1")
    known: set[str] = set()
    for index, mitigation in enumerate(form.mitigations):
        yield from _given_twice(mitigation.id, known, f"mitigations[{index}].id")
        known.add(mitigation.id)
    for index, level in enumerate(form.levels):
        for each in dict.fromkeys(level.requires):
            if each not in known:
                yield Problem(f"levels[{index}].requires", f"{each!r} is none of the mitigations")


def _condition_problems(
    condition: Condition | None, known: Mapping[str, Question], path: str, is_imported: bool
) -> Iterator[Problem]:
    """A question is asked by answers to those before it, so that asking always ends."""
    pending = [] if condition is None else [condition]
    for _ in range(MAX_CONDITIONS):
        if not pending:
            return
        each = pending.pop()
        pending += [*each.any, *each.all]
        ways = [each.question is not None, bool(each.any), bool(each.all)]
        if sum(ways) != 1 or (each.question is None) != (each.has is None):
            yield Problem(path, "a condition is a question and what it has, or any, or all")
        elif each.question is not None and each.question not in known:
            yield Problem(path, f"{each.question!r} is no question that is asked before")
        elif each.question is not None and not is_imported and each.has not in _values(known[each.question]):
            yield Problem(path, f"{each.has!r} is no choice of {each.question!r}")
    yield Problem(path, f"a condition is made of {MAX_CONDITIONS} at most")


def _values(question: Question) -> set[str]:
    return {choice.value for choice in question.choices}


def _given_twice(id: str, known: Any, path: str) -> Iterator[Problem]:
    if id in known:
        yield Problem(path, f"{id!r} is given twice", "leave one of them out")
