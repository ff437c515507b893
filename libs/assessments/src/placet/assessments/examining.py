"""The process in which a questionnaire that was sent is read, and in which answers are scored.

`python -P -m placet.assessments.examining … FOLDER`, where FOLDER holds the file and what is asked about it. Both are
strangers': a megabyte of YAML takes a second to read, and a thousand conditions take their time with every answer.
What bounds it is `placet.projects.bounded`. The gateway asks before it takes anything, and the certifier asks again.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from placet.assessments.questionnaire import Questionnaire, read_questionnaire
from placet.assessments.scores import Answer, Score, problems, score, unanswered
from placet.assessments.surveyjs import import_survey
from placet.errors import Refused
from placet.projects.bounded import answer, asked
from placet.projects.documents import MAX_PROBLEMS, DocumentRefused, Problem

MEMORY_BYTES = 512 * 1024**2
SECONDS = 10
"""Of processor time."""
ANSWERS = "the answers"

Form = Literal["placet", "surveyjs"]


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """How a file is read. One of SurveyJS does not say what it is called; one of ours does, and has to say the same."""

    form: Form = "placet"
    id: str = ""
    version: str = ""
    owner: str = "compliance"
    title: str | None = None


class Given(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody answered. `mitigations` are ids of those that are in place."""

    answers: dict[str, Answer]
    mitigations: tuple[str, ...] = ()


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """`missing` are the mitigations that the level asks for and nobody has said are in place. After `valid_days` it is
    stale."""

    score: Score
    missing: tuple[str, ...]
    valid_days: int


class _Asked(msgspec.Struct, frozen=True, kw_only=True):
    reading: Reading
    given: Given | None = None


async def read_apart(file: bytes, reading: Reading, *, memory: int = MEMORY_BYTES) -> Questionnaire:
    """The questionnaire. Raises `DocumentRefused` with every problem, and `Refused` where reading it takes too long."""
    return msgspec.convert(await _found(file, _Asked(reading=reading), memory), Questionnaire)


async def scored(file: bytes, reading: Reading, given: Given) -> Outcome:
    """What the answers amount to. Raises `DocumentRefused` with everything that is unknown, wrong or missing."""
    return msgspec.convert(await _found(file, _Asked(reading=reading, given=given), MEMORY_BYTES), Outcome)


async def _found(file: bytes, request: _Asked, memory: int) -> Any:
    with tempfile.TemporaryDirectory(prefix="placet-questionnaire-") as folder:
        await asyncio.to_thread(_write, Path(folder), file, request)
        try:
            found = await asked(__name__, folder, memory=memory, seconds=SECONDS)
        except Refused as refusal:
            # What it found is an answer, whatever that is: it has been stopped.
            raise Refused(
                f"to look through the questionnaire takes more than {SECONDS} s of processor time"
                f" or {memory // 1024**2} MiB of memory",
                fix="ask less in one, or under fewer conditions",
            ) from refusal
    if "problems" in found:
        raise DocumentRefused(found["document"], msgspec.convert(found["problems"], tuple[Problem, ...]))
    return found["found"]


def _write(folder: Path, file: bytes, request: _Asked) -> None:
    (folder / "file").write_bytes(file)
    (folder / "asked").write_bytes(msgspec.json.encode(request))


def _answer(arguments: Sequence[str]) -> Mapping[str, Any]:
    folder = Path(arguments[0])
    request = msgspec.json.decode((folder / "asked").read_bytes(), type=_Asked)
    try:
        questionnaire = read_as(request.reading, (folder / "file").read_bytes())
        found = questionnaire if request.given is None else outcome(questionnaire, request.given)
    except DocumentRefused as refused:
        return {"document": refused.document, "problems": refused.problems[:MAX_PROBLEMS]}
    return {"found": found}


def read_as(reading: Reading, file: bytes) -> Questionnaire:
    """Raises `DocumentRefused`."""
    if reading.form == "surveyjs":
        return import_survey(
            file, id=reading.id, version=reading.version, owner=reading.owner, title=reading.title
        )
    return read_questionnaire(file)


def outcome(questionnaire: Questionnaire, given: Given) -> Outcome:
    """Raises `DocumentRefused`."""
    against = [
        *problems(questionnaire, given.answers),
        *(
            Problem(id, "has no answer", "answer it: it counts")
            for id in unanswered(questionnaire, given.answers)
        ),
        *_mitigation_problems(questionnaire, given.mitigations),
    ]
    if against:
        raise DocumentRefused(ANSWERS, tuple(against))
    found = score(questionnaire, given.answers)
    return Outcome(
        score=found,
        missing=tuple(each for each in found.requires if each not in given.mitigations),
        valid_days=questionnaire.valid_days,
    )


def _mitigation_problems(questionnaire: Questionnaire, mitigations: Sequence[str]) -> list[Problem]:
    known = [each.id for each in questionnaire.mitigations]
    said = f"it knows {', '.join(known)}" if known else "it knows none"
    return [
        Problem("mitigations", f"{each!r} is no mitigation of {questionnaire.id}", said)
        for each in dict.fromkeys(mitigations)
        if each not in known
    ]


if __name__ == "__main__":
    answer(sys.argv[1:], _answer)
