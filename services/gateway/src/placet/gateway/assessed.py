"""Questionnaires and assessments as the gateway knows them: what ships, what was imported, and what was answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

import msgspec
import sqlalchemy as sa

from placet.assessments import (
    Assessment,
    Form,
    Questionnaire,
    Reading,
    Subject,
    age_in_days,
    load_shipped,
    shipped_by_digest,
    stale,
)
from placet.errors import Unknown, Unreadable
from placet.events.codec import moment
from placet.events.contracts.certifier import AssessmentRejected, AssessmentScored
from placet.events.contracts.gateway import AssessmentAnswered
from placet.events.store import EventStore
from placet.gateway import projections as p
from placet.gateway.queries import Queries

LOOKED_AT = 50
"""Operations of a project, for the last that names a source: starts and stops name none."""


@dataclass(frozen=True, kw_only=True)
class Known:
    """A questionnaire that is known here. `document` is what it says, as JSON."""

    questionnaire: str
    version: str
    title: str
    digest: str
    form: Form
    file: bytes
    document: bytes
    imported_by: str | None = None
    imported_at: str | None = None

    @property
    def reading(self) -> Reading:
        return Reading(form=self.form, id=self.questionnaire, version=self.version)


class AssessmentQueries:
    def __init__(self, store: EventStore, queries: Queries) -> None:
        self._store = store
        self._queries = queries
        files = shipped_by_digest()
        self._shipped = {each.digest: _shipped(each, files[each.digest]) for each in load_shipped()}

    async def questionnaires(self, *, after: str | None, limit: int) -> list[dict[str, Any]]:
        """Every version there is, by id, the newest first; `after` is the digest of the last that was told before."""
        known = await self._known()
        newest = _newest(known)
        told = [_told(each, newest) for each in sorted(reversed(known), key=lambda each: each.questionnaire)]
        if after is None:
            return told[:limit]
        place = next((place for place, each in enumerate(told) if each["digest"] == after), None)
        if place is None:
            raise Unreadable(f"no page ends with {after!r}", fix="give the `next` of the page before")
        return told[place + 1 : place + 1 + limit]

    async def told(self, wanted: str) -> dict[str, Any]:
        """One by its digest or, its newest version, by its id, with all that it asks. Raises Unknown."""
        known = await self.known(wanted)
        return _told(known, _newest(await self._known())) | {"content": msgspec.json.decode(known.document)}

    async def known(self, wanted: str) -> Known:
        """One by its digest or, its newest version, by its id. Raises Unknown."""
        known = await self._known()
        digest = _newest(known).get(wanted, wanted)
        if digest in self._shipped:
            return self._shipped[digest]
        rows = await self._store.rows(sa.select(p.questionnaires).where(p.questionnaires.c.digest == digest))
        if not rows:
            raise Unknown(f"there is no questionnaire {wanted!r} here", fix="see `placet assess --list`")
        return _imported(rows[0], file=rows[0].file, document=rows[0].document)

    async def subject(self, project: str, source: str | None = None) -> Subject:
        """What an assessment of a project is about: this source of it, or the one that was deployed or built last.

        Raises Unknown.
        """
        if source is None:
            source = await self._last_source(project)
        if source is None:
            raise Unknown(
                f"no source of {project!r} is here that could be assessed",
                fix="deploy it, or upload its source and name the digest",
            )
        rows = await self._store.rows(sa.select(p.declarations).where(p.declarations.c.source == source))
        if not rows:
            raise Unknown(f"there is no source {source} here", fix="upload it, and assess it then")
        return Subject(source=source, purpose=rows[0].purpose, data=rows[0].data)

    async def assessments(
        self, project: str, *, now: datetime, after: str | None, limit: int
    ) -> list[dict[str, Any]]:
        """Of a project, newest first; ids are ordered by time."""
        query = sa.select(p.assessments).where(p.assessments.c.project == project)
        if after is not None:
            query = query.where(p.assessments.c.assessment < after)
        rows = await self._store.rows(query.order_by(p.assessments.c.assessment.desc()).limit(limit))
        return await self._documents(project, rows, now)

    async def assessment(self, project: str, id: str, *, now: datetime) -> dict[str, Any]:
        """Raises Unknown."""
        rows = [await self._row(project, id)]
        return (await self._documents(project, rows, now))[0]

    async def answered(self, project: str, id: str) -> AssessmentAnswered:
        """Raises Unknown."""
        return _answered(await self._row(project, id))

    async def _row(self, project: str, id: str) -> sa.Row[Any]:
        table = p.assessments
        mine = sa.and_(table.c.project == project, table.c.assessment == id)
        rows = await self._store.rows(sa.select(table).where(mine))
        if not rows:
            raise Unknown(
                f"there is no assessment {id!r} of {project}", fix=f"see `placet assess {project} --show`"
            )
        return rows[0]

    async def _documents(
        self, project: str, rows: Sequence[sa.Row[Any]], now: datetime
    ) -> list[dict[str, Any]]:
        """Each with why it says nothing any more of what was deployed or built last: none where nothing was."""
        source = await self._last_source(project)
        subject = None if source is None else await self.subject(project, source)
        newest = _newest(await self._known())
        shown = await self._queries.people.all_shown(_answered(row).answered_by for row in rows)
        return [_document(row, subject, newest, now, shown[_answered(row).answered_by]) for row in rows]

    async def _last_source(self, project: str) -> str | None:
        operations = await self._queries.operations(project=project, after=None, limit=LOOKED_AT)
        sources = (each.source for each in operations if each.command in ("deploy", "build", "renew"))
        return next((source for source in sources if source is not None), None)

    async def _known(self) -> list[Known]:
        """In the order in which they came, without what they say; those that ship were first."""
        table = p.questionnaires
        columns = [column for column in table.c if column.name not in ("file", "document")]
        rows = await self._store.rows(sa.select(*columns).order_by(table.c.imported_at, table.c.digest))
        return [*self._shipped.values(), *(_imported(row, file=b"", document=b"") for row in rows)]


def _newest(known: Sequence[Known]) -> dict[str, str]:
    """By id the digest of the version that came last."""
    return {each.questionnaire: each.digest for each in known}


def _shipped(questionnaire: Questionnaire, file: bytes) -> Known:
    return Known(
        questionnaire=questionnaire.id,
        version=questionnaire.version,
        title=questionnaire.title,
        digest=questionnaire.digest,
        form="placet",
        file=file,
        document=msgspec.json.encode(questionnaire),
    )


def _imported(row: sa.Row[Any], *, file: bytes, document: bytes) -> Known:
    return Known(
        questionnaire=row.questionnaire,
        version=row.version,
        title=row.title,
        digest=row.digest,
        form=cast("Form", row.form),
        file=bytes(file),
        document=bytes(document),
        imported_by=row.imported_by,
        imported_at=row.imported_at,
    )


def _told(known: Known, newest: dict[str, str]) -> dict[str, Any]:
    return {
        "questionnaire": known.questionnaire,
        "version": known.version,
        "title": known.title,
        "digest": known.digest,
        "form": known.form,
        "state": "newest" if newest.get(known.questionnaire) == known.digest else "superseded",
        "shipped": known.imported_at is None,
        "importedBy": known.imported_by,
        "importedAt": known.imported_at,
    }


def _answered(row: sa.Row[Any]) -> AssessmentAnswered:
    return msgspec.json.decode(row.answered, type=AssessmentAnswered)


def _document(
    row: sa.Row[Any],
    subject: Subject | None,
    newest: dict[str, str],
    now: datetime,
    by: dict[str, Any] | None,
) -> dict[str, Any]:
    answered = _answered(row)
    scored = msgspec.json.decode(row.scored, type=AssessmentScored) if row.scored else None
    rejected = msgspec.json.decode(row.rejected, type=AssessmentRejected) if row.rejected else None
    made = Assessment(
        assessment=answered.assessment,
        questionnaire=answered.questionnaire,
        version=answered.version,
        digest=answered.digest,
        subject=Subject(source=answered.source, purpose=answered.purpose, data=answered.data),
        answered_at=moment(row.answered_at),
        answered_by=answered.answered_by,
        valid_days=scored.valid_days if scored else 0,
    )
    is_told = scored is not None and subject is not None
    reasons = (
        stale(made, subject, newest=newest.get(made.questionnaire), now=now) if is_told and subject else ()
    )
    return {
        "assessment": answered.assessment,
        "project": answered.project,
        "state": "scored" if scored else "rejected" if rejected else "answered",
        "questionnaire": answered.questionnaire,
        "version": answered.version,
        "digest": answered.digest,
        "source": answered.source,
        "answeredBy": by,
        "answeredAt": row.answered_at,
        "ageDays": age_in_days(made.answered_at, now),
        "stale": list(reasons),
        "score": None if scored is None else _score(scored),
        "envelope": None if scored is None else scored.envelope,
        "why": None if rejected is None else rejected.why,
        "fix": None if rejected is None else rejected.fix,
    }


def _score(scored: AssessmentScored) -> dict[str, Any]:
    return {
        "raw": scored.raw,
        "rawMost": scored.raw_most,
        "mitigation": scored.mitigation,
        "mitigationMost": scored.mitigation_most,
        "score": scored.score,
        "level": scored.level,
        "label": scored.label,
        "requires": list(scored.requires),
        "missing": list(scored.missing),
    }
