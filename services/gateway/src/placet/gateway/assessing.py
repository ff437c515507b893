"""Importing questionnaires, and answering them: looked through at once, kept in the registry, and said.

What answers amount to, the certifier says. Their event has none of their words: those lie in the registry, with a salt,
so that whoever takes them away leaves a digest that nobody can guess from.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from placet.assessments import Given, Questionnaire, Reading, read_apart, scored
from placet.errors import Conflict, Forbidden, Unknown
from placet.events import PLATFORM, Actor, Context, UnitOfWork, Wiring, transact
from placet.events.codec import timestamp
from placet.events.contracts.gateway import AssessmentAnswered, QuestionnaireImported
from placet.events.turns import Turns
from placet.events.unit_of_work import current_traceparent
from placet.gateway import projections as p
from placet.gateway.assessed import AssessmentQueries
from placet.gateway.intake import SERVICE
from placet.gateway.ports import AssessmentFiles

IMPORTERS = frozenset({"compliance", "admin"})
ANSWERERS = frozenset({"scientist", "compliance", "admin"})
READERS = frozenset({"approver", "compliance", "auditor", "admin"})
"""Of what somebody answered, besides who did."""
LOOKED_THROUGH_AT_ONCE = 2
SALT_BYTES = 16


@dataclass(frozen=True, kw_only=True)
class Answering:
    """`questionnaire` is a digest, or an id for its newest version; `source` none for what was deployed last."""

    project: str
    questionnaire: str
    answers: Mapping[str, str | Sequence[str]]
    mitigations: Sequence[str] = ()
    source: str | None = None


class Assessing:
    """Each look takes a process of its own, for a few at once, who take turns by person."""

    def __init__(self, wiring: Wiring, made: AssessmentQueries, files: AssessmentFiles) -> None:
        self._wiring = wiring
        self._made = made
        self._files = files
        self._looking = Turns(LOOKED_THROUGH_AT_ONCE)

    async def import_questionnaire(self, file: bytes, reading: Reading, person: str) -> dict[str, Any]:
        """The questionnaire, the newest of its id from here on; the same bytes again change nothing.

        Raises DocumentRefused with every mistake, and Conflict for bytes that are known by another name.
        """
        digest = f"sha256:{hashlib.sha256(file).hexdigest()}"
        async with self._looking.taken_by(person):
            read = await read_apart(file, reading)
        await self._files.keep_questionnaire(digest, file)

        async def change(work: UnitOfWork) -> None:
            stream = f"questionnaire/{digest}"
            if not await work.history(stream) and not await self._is_known(digest):
                _import(work, stream, read, digest, file, reading, person)

        await transact(self._wiring, SERVICE, self._context(PLATFORM, person), change)
        told = await self._made.told(digest)
        if (told["questionnaire"], told["version"]) != (read.id, read.version):
            raise Conflict(
                f"the same bytes were imported before, as {told['questionnaire']} {told['version']}",
                fix="answer that one; what is changed, if only by a space, can be imported anew",
            )
        return told

    async def answer(self, answering: Answering, person: str) -> str:
        """The id of the assessment. Raises DocumentRefused with all that is unknown, wrong or missing, and Unknown for
        a questionnaire or a source that is not here."""
        known = await self._made.known(answering.questionnaire)
        subject = await self._made.subject(answering.project, answering.source)
        answers = {
            id: given if isinstance(given, str) else tuple(given) for id, given in answering.answers.items()
        }
        given = Given(answers=answers, mitigations=tuple(answering.mitigations))
        async with self._looking.taken_by(person):
            await scored(known.file, known.reading, given)
        kept = await self._files.keep_answers(_salted(given))
        said = AssessmentAnswered(
            assessment=f"assessment:{self._wiring.ids.new()}",
            project=answering.project,
            source=subject.source,
            purpose=subject.purpose,
            data=subject.data,
            questionnaire=known.questionnaire,
            version=known.version,
            digest=known.digest,
            answers=kept,
            answered_by=person,
        )

        async def change(work: UnitOfWork) -> None:
            work.report(f"assessment/{said.assessment}", said)
            work.put(
                p.assessments,
                assessment=said.assessment,
                project=said.project,
                answered=msgspec.json.encode(said),
                answered_by=person,
                answers=kept,
                answered_at=timestamp(work.now),
            )

        await transact(self._wiring, SERVICE, self._context(said.project, person), change)
        return said.assessment

    async def words(self, project: str, assessment: str, person: str, roles: frozenset[str]) -> Given:
        """What was answered. Raises Unknown, also once the words were taken away, and Forbidden."""
        answered = await self._made.answered(project, assessment)
        if answered.answered_by != person and not roles & READERS:
            raise Forbidden(
                f"what somebody else answered is read with one of the roles {', '.join(sorted(READERS))}",
                fix="ask who answered",
            )
        return msgspec.json.decode(await self._files.answers(answered.answers), type=Given)

    async def _is_known(self, digest: str) -> bool:
        """As one that ships, which needs no import."""
        try:
            await self._made.known(digest)
        except Unknown:
            return False
        return True

    def _context(self, project: str, person: str) -> Context:
        return Context(
            project=project,
            correlation=self._wiring.ids.new(),
            actor=Actor.person(person),
            traceparent=current_traceparent(),
        )


def _import(
    work: UnitOfWork,
    stream: str,
    read: Questionnaire,
    digest: str,
    file: bytes,
    reading: Reading,
    person: str,
) -> None:
    imported = QuestionnaireImported(
        questionnaire=read.id,
        version=read.version,
        digest=digest,
        form=reading.form,
        imported_by=person,
    )
    work.stage(stream, [imported])
    show_questionnaire(work, imported, read, file)


def show_questionnaire(
    work: UnitOfWork, imported: QuestionnaireImported, read: Questionnaire, file: bytes
) -> None:
    work.put(
        p.questionnaires,
        digest=imported.digest,
        questionnaire=imported.questionnaire,
        version=imported.version,
        title=read.title,
        form=imported.form,
        imported_by=imported.imported_by,
        imported_at=timestamp(work.now),
        file=file,
        document=msgspec.json.encode(read),
    )


def _salted(given: Given) -> bytes:
    return msgspec.json.encode({"salt": secrets.token_hex(SALT_BYTES), **msgspec.to_builtins(given)})
