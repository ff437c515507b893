"""SurveyJS questionnaires with the scoring of Canada's Algorithmic Impact Assessment.

https://github.com/canada-ca/aia-eia-js: the points of a choice are the number after its value's last hyphen
(`item1-3`); the suffix of a question's name, else of its panel's or page's (`-RS`, `-MS`, `-NS`), says whether they are
raw score, mitigation or nothing. Enough mitigation is 80 % of half the maximum, since a project answers for its design
or for its implementation; the raw score is then lowered by 15 %. Levels I to IV end at 25, 50 and 75 % of the raw
maximum.

What is shown when is said in SurveyJS's expressions, of which those that such questionnaires use are read. Pages of
prose are left out. Of several languages the default is taken.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from placet.assessments.questionnaire import (
    MAX_QUESTIONNAIRE_BYTES,
    Choice,
    Condition,
    Counts,
    Level,
    Question,
    Questionnaire,
    QuestionnaireForm,
    Scoring,
    Section,
    checked,
)
from placet.projects.documents import DocumentRefused, Problem

SCORING = Scoring(mitigated_from=0.4, reduction=0.15)
LEVELS = tuple(
    Level(name=name, up_to=up_to) for name, up_to in (("I", 0.25), ("II", 0.5), ("III", 0.75), ("IV", 1.0))
)
MAX_DEPTH = 8

_SUFFIXES: dict[str, Counts] = {"RS": "risk", "MS": "mitigation", "NS": "nothing"}
_SUFFIX = re.compile(r"-(RS|MS|NS)$")
_POINTS = re.compile(r"-(\d{1,3})$")
_KINDS = {"radiogroup": "one", "dropdown": "one", "checkbox": "many", "text": "text", "comment": "text"}
_TOKEN = re.compile(
    r"""\s*(?:(?P<mark>[()\[\],=])|\{(?P<name>[^{}]+)\}|"(?P<double>[^"]*)"|'(?P<single>[^']*)'|(?P<word>\w+))"""
)


class _Element(msgspec.Struct, kw_only=True):
    """A page, a panel or a question; whatever else it says is about how it looks."""

    name: str
    type: str = "page"
    title: Any = None
    elements: list[_Element] = []
    choices: list[Any] = []
    visible_if: str | None = msgspec.field(name="visibleIf", default=None)
    has_other: bool = msgspec.field(name="hasOther", default=False)


class _Survey(msgspec.Struct, kw_only=True):
    pages: list[_Element]
    title: Any = None


def import_survey(
    data: bytes, *, id: str, version: str, owner: str, title: str | None = None
) -> Questionnaire:
    """Its JSON as a questionnaire, known by the digest of these bytes; `DocumentRefused` says what cannot be read."""
    if len(data) > MAX_QUESTIONNAIRE_BYTES:
        raise _refused("", f"it is larger than {MAX_QUESTIONNAIRE_BYTES} bytes")
    try:
        survey = msgspec.json.decode(data, type=_Survey)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _refused("", f"this is no SurveyJS questionnaire: {error}") from error
    form = QuestionnaireForm(
        api_version="placet/v1",
        kind="Questionnaire",
        id=id,
        version=version,
        title=title or _text(survey.title) or id,
        owner=owner,
        scoring=SCORING,
        levels=LEVELS,
        sections=tuple(_sections(survey)),
    )
    return checked(form, data, name=id, is_imported=True)


def _sections(survey: _Survey) -> Iterator[Section]:
    for page in survey.pages:
        questions = tuple(_questions(page, _counts(page.name, "nothing"), None, 0))
        if questions:
            asked_if = _condition(page.visible_if, page.name)
            yield Section(
                id=page.name, title=_text(page.title) or page.name, questions=questions, asked_if=asked_if
            )


def _questions(
    within: _Element, counts: Counts, asked_if: Condition | None, depth: int
) -> Iterator[Question]:
    if depth > MAX_DEPTH:
        raise _refused(within.name, f"its panels are nested more than {MAX_DEPTH} deep")
    for element in within.elements:
        its_counts = _counts(element.name, counts)
        shown = _both(asked_if, _condition(element.visible_if, element.name))
        if element.type in ("panel", "page"):
            yield from _questions(element, its_counts, shown, depth + 1)
        elif element.type in _KINDS:
            yield _question(element, its_counts, shown)
        elif element.type != "html":
            raise _refused(element.name, f"questions of type {element.type!r} are not known here")


def _question(element: _Element, counts: Counts, asked_if: Condition | None) -> Question:
    kind = _KINDS[element.type]
    choices = tuple(_choice(each, element.name) for each in element.choices) if kind != "text" else ()
    if element.has_other and kind != "text":
        choices = (*choices, Choice(value="other", text="Other"))
    return Question(
        id=element.name,
        text=_text(element.title) or element.name,
        kind=kind,  # type: ignore[arg-type]
        counts=counts if choices else "nothing",
        choices=choices,
        asked_if=asked_if,
    )


def _choice(said: Any, where: str) -> Choice:
    value, text = (said.get("value"), said.get("text")) if isinstance(said, dict) else (said, None)
    if not isinstance(value, str | int):
        raise _refused(where, "one of its choices has no value")
    points = _POINTS.search(str(value))
    return Choice(value=str(value), text=_text(text) or str(value), points=int(points[1]) if points else 0)


def _counts(name: str, otherwise: Counts) -> Counts:
    suffix = _SUFFIX.search(name)
    return _SUFFIXES[suffix[1]] if suffix else otherwise


def _text(said: Any) -> str:
    if isinstance(said, dict):
        said = said.get("default", said.get("en"))
    return str(said).strip()[:4000] if isinstance(said, str) else ""


def _both(first: Condition | None, second: Condition | None) -> Condition | None:
    if first is None or second is None:
        return first or second
    return Condition(all=(first, second))


def _condition(expression: str | None, where: str) -> Condition | None:
    return None if expression is None or not expression.strip() else _Expression(expression, where).read()


class _Expression:
    """`{question} = "value"` and `{question} contains "value"` or a list of them, with `and`, `or` and parentheses."""

    def __init__(self, text: str, where: str) -> None:
        self._text = text
        self._where = where
        self._tokens = list(self._split())
        self._at = 0
        self._depth = 0

    def read(self) -> Condition:
        condition = self._any()
        if self._at < len(self._tokens):
            raise self._wrong()
        return condition

    def _split(self) -> Iterator[tuple[str, str]]:
        at = 0
        text = self._text.rstrip()
        while at < len(text):
            found = _TOKEN.match(text, at)
            if found is None or found.lastgroup is None:
                raise self._wrong()
            kind = "value" if found.lastgroup in ("double", "single") else found.lastgroup
            yield kind, found[found.lastgroup]
            at = found.end()

    def _any(self) -> Condition:
        conditions = [self._all()]
        while self._takes("word", "or"):
            conditions.append(self._all())
        return conditions[0] if len(conditions) == 1 else Condition(any=tuple(conditions))

    def _all(self) -> Condition:
        conditions = [self._single()]
        while self._takes("word", "and"):
            conditions.append(self._single())
        return conditions[0] if len(conditions) == 1 else Condition(all=tuple(conditions))

    def _single(self) -> Condition:
        if self._takes("mark", "("):
            self._depth += 1
            if self._depth > MAX_DEPTH:
                raise self._wrong()
            condition = self._any()
            if not self._takes("mark", ")"):
                raise self._wrong()
            self._depth -= 1
            return condition
        question = self._next("name")
        if self._takes("mark", "="):
            return Condition(question=question, has=self._next("value"))
        if self._takes("word", "contains"):
            wanted = tuple(Condition(question=question, has=value) for value in self._values())
            return wanted[0] if len(wanted) == 1 else Condition(all=wanted)
        raise self._wrong()

    def _values(self) -> Iterator[str]:
        if not self._takes("mark", "["):
            yield self._next("value")
            return
        yield self._next("value")
        while self._takes("mark", ","):
            yield self._next("value")
        if not self._takes("mark", "]"):
            raise self._wrong()

    def _takes(self, kind: str, text: str) -> bool:
        is_next = self._at < len(self._tokens) and self._tokens[self._at] == (kind, text)
        self._at += is_next
        return is_next

    def _next(self, kind: str) -> str:
        if self._at >= len(self._tokens) or self._tokens[self._at][0] != kind:
            raise self._wrong()
        self._at += 1
        return self._tokens[self._at - 1][1]

    def _wrong(self) -> DocumentRefused:
        return _refused(self._where, f"the condition {self._text[:200]!r} is none that is known here")


def _refused(path: str, detail: str) -> DocumentRefused:
    return DocumentRefused("the questionnaire", (Problem(path, detail),))
