"""Which exceptions hold now, which certificates are not over and how their conditions are, what trials have found, what
was published, and how projects were assessed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
import sqlalchemy as sa
from anyio import to_thread

from placet.assessments import Assessment, Reading, Subject, age_in_days, latest, load_shipped, stale
from placet.certifier.conditions import Watched
from placet.certifier.ports import Facts, Held, Kept, Wait, Walked
from placet.certifier.projections import (
    advisories,
    approvals,
    assessments,
    awaited,
    certificates,
    exceptions,
    policies,
    questionnaires,
    signed,
    stands_on,
    walked,
    watches,
)
from placet.errors import Unavailable, Unknown
from placet.events.codec import moment, timestamp
from placet.events.contracts.certifier import AssessmentScored, ReleaseCleared
from placet.events.contracts.indexer import ImageIndexed
from placet.events.contracts.shapes import ApprovalUsed, ExceptionUsed
from placet.events.store import EventStore
from placet.rules import Publication
from placet.rules.advisories import NO_SNAPSHOT, Snapshot

MOST_ASSESSMENTS = 500
"""Of one project are looked at, the newest: nobody makes so many of what counts."""


class GrantedExceptions:
    """The `Exceptions` port, over the certifier's own table."""

    def __init__(self, store: EventStore) -> None:
        self._store = store

    async def in_force(
        self, project: str, source: str, at: datetime, *, without: str | None = None
    ) -> Sequence[ExceptionUsed]:
        granted = (await self._granted([project], at))[project]
        return _longest([each for each in granted if each.exception != without], source)

    async def in_force_for(self, many: Sequence[Held], at: datetime) -> Sequence[Sequence[ExceptionUsed]]:
        granted = await self._granted([each.project for each in many], at)
        return [_longest(granted[each.project], each.source) for each in many]

    async def _granted(self, projects: Collection[str], at: datetime) -> Mapping[str, list[sa.Row[Any]]]:
        table = exceptions
        rows = await self._store.rows(
            sa.select(table)
            .where(table.c.project.in_(set(projects)), table.c.withdrawn.is_(False))
            .where(table.c.until > timestamp(at))
            .order_by(table.c.until, table.c.exception)
        )
        granted: dict[str, list[sa.Row[Any]]] = {project: [] for project in projects}
        for row in rows:
            granted[row.project].append(row)
        return granted

    async def is_known(self, exception: str) -> bool:
        query = sa.select(exceptions.c.exception).where(exceptions.c.exception == exception)
        return bool(await self._store.rows(query))


def _longest(granted: Sequence[sa.Row[Any]], source: str) -> tuple[ExceptionUsed, ...]:
    """For each rule the last of them, which holds longest."""
    longest = {
        row.rule: ExceptionUsed(
            exception=row.exception, rule=row.rule, until=row.until, granted_by=row.granted_by
        )
        for row in granted
        if row.source in (None, source)
    }
    return tuple(longest.values())


class HeardApprovals:
    """The `Approvals` port, over the certifier's own table."""

    def __init__(self, store: EventStore) -> None:
        self._store = store

    async def of_release(self, project: str, release: int) -> Sequence[tuple[str, ApprovalUsed]]:
        mine = sa.and_(approvals.c.project == project, approvals.c.release == release)
        rows = await self._store.rows(sa.select(approvals).where(mine).order_by(approvals.c.approval))
        return [
            (
                row.binding,
                ApprovalUsed(
                    approval=row.approval,
                    given_by=row.given_by,
                    roles=tuple(row.roles.split(",")),
                    at=row.at,
                    break_glass=row.break_glass,
                ),
            )
            for row in rows
        ]


class AwaitedReleases:
    """The `Waits` port, over the certifier's own table."""

    def __init__(self, store: EventStore) -> None:
        self._store = store

    async def of_release(self, project: str, release: int) -> Wait | None:
        mine = sa.and_(awaited.c.project == project, awaited.c.release == release)
        return next(iter(await self._waits(mine)), None)

    async def of_project(self, project: str) -> Sequence[Wait]:
        return await self._waits(awaited.c.project == project)

    async def due(self, at: float) -> Sequence[Wait]:
        return await self._waits(awaited.c.look_at <= at)

    async def _waits(self, which: sa.ColumnElement[bool]) -> Sequence[Wait]:
        rows = await self._store.rows(sa.select(awaited).where(which).order_by(awaited.c.look_at))
        return [
            Wait(
                indexed=msgspec.json.decode(row.indexed, type=ImageIndexed),
                operation=row.operation,
            )
            for row in rows
        ]


class HeldCertificates:
    """The `Certificates` port, over the certifier's own tables."""

    def __init__(self, store: EventStore) -> None:
        self._store = store

    async def of_project(self, project: str) -> Sequence[Held]:
        return await self._held(certificates.c.project == project)

    async def on_exception(self, exception: str) -> Sequence[Held]:
        those = sa.select(stands_on.c.certificate).where(stands_on.c.exception == exception)
        return await self._held(certificates.c.certificate.in_(those))

    async def ended(self, at: datetime) -> Sequence[Held]:
        return await self._held(certificates.c.not_after <= at.timestamp())

    async def lapsing(self, at: datetime, within: timedelta) -> Sequence[Held]:
        is_owed = sa.and_(certificates.c.serves.is_(True), certificates.c.is_reminded.is_(False))
        is_near = certificates.c.not_after <= (at + within).timestamp()
        return await self._held(sa.and_(is_owed, is_near, certificates.c.last_third <= at.timestamp()))

    async def signed_with(self, key: str, *, or_unknown: bool) -> Sequence[Held]:
        known = sa.select(signed.c.certificate)
        its = certificates.c.certificate.in_(known.where(signed.c.key == key))
        unknown = certificates.c.certificate.not_in(known)
        return await self._held(sa.or_(its, unknown) if or_unknown else its)

    async def to_judge(self, edition: str, at: datetime, *, limit: int) -> Sequence[Held]:
        by = certificates.c.edition
        is_due = sa.or_(by.is_(None), by != edition, certificates.c.judge_at <= at.timestamp())
        return await self._held(is_due, limit)

    async def _held(self, which: sa.ColumnElement[bool], limit: int | None = None) -> Sequence[Held]:
        order = (certificates.c.project, certificates.c.release)
        rows = await self._store.rows(sa.select(certificates).where(which).order_by(*order).limit(limit))
        return [
            Held(
                certificate=row.certificate,
                project=row.project,
                release=row.release,
                source=row.source,
                not_after=row.not_after,
                edition=row.edition,
                turn=row.turn,
            )
            for row in rows
        ]


class WatchedCertificates:
    """The `Watches` port, over the certifier's own table."""

    def __init__(self, store: EventStore) -> None:
        self._store = store

    async def of_project(self, project: str) -> Sequence[Kept]:
        return await self._kept(watches.c.project == project)

    async def of_release(self, project: str, release: int) -> Kept | None:
        its = sa.and_(watches.c.project == project, watches.c.release == release)
        return next(iter(await self._kept(its)), None)

    async def of_certificate(self, certificate: str) -> Kept | None:
        return next(iter(await self._kept(watches.c.certificate == certificate)), None)

    async def of_certificates(self, certificates: Collection[str]) -> Mapping[str, Kept]:
        those = watches.c.certificate.in_(certificates)
        return {kept.certificate: kept for kept in await self._kept(those)}

    async def due(self, at: float) -> Sequence[str]:
        query = sa.select(watches.c.certificate).where(watches.c.look_at <= at).order_by(watches.c.look_at)
        return [row.certificate for row in await self._store.rows(query)]

    async def _kept(self, which: sa.ColumnElement[bool]) -> Sequence[Kept]:
        rows = await self._store.rows(sa.select(watches).where(which).order_by(watches.c.release))
        return [
            Kept(
                certificate=row.certificate,
                project=row.project,
                release=row.release,
                source=row.source,
                watched=msgspec.json.decode(row.watched, type=Watched),
                turn=row.turn,
            )
            for row in rows
        ]


class EarlierReleases:
    """The `Earlier` port, over the certifier's own table."""

    def __init__(self, store: EventStore) -> None:
        self._store = store

    async def walked(self, project: str, before: int) -> Walked:
        rows = await self._store.rows(
            sa.select(walked.c.release, walked.c.answered_for)
            .where(walked.c.project == project, walked.c.release < before)
            .order_by(walked.c.release.desc())
            .limit(1)
        )
        return (
            Walked(release=rows[0].release, answered_for=rows[0].answered_for)
            if rows
            else Walked(release=0, answered_for=False)
        )


class AdvisoriesInUse:
    """The `Advisories` port, over the certifier's own table. The snapshot is kept in memory until there is another."""

    def __init__(self, store: EventStore) -> None:
        self._store = store
        self._kept: tuple[str, Snapshot] | None = None

    async def about(self, packages: Sequence[Mapping[str, Any]], now: datetime) -> Facts:
        digest = await self.in_use()
        if digest is None:
            return NO_SNAPSHOT
        kept = self._kept
        if kept is None or kept[0] != digest:
            kept = self._kept = digest, await self._load(digest)
        return await to_thread.run_sync(kept[1].facts, digest, packages, now)

    async def in_use(self) -> str | None:
        rows = await self._store.rows(sa.select(advisories.c.digest))
        return rows[0].digest if rows else None

    async def _load(self, digest: str) -> Snapshot:
        query = sa.select(advisories.c.compiled).where(advisories.c.digest == digest)
        rows = await self._store.rows(query)
        if not rows:
            raise Unavailable("the advisories were replaced just now")
        return await to_thread.run_sync(Snapshot.parse, rows[0].compiled)


class PublishedPolicies:
    """What a `PolicySet` asks, over the certifier's own table."""

    def __init__(self, store: EventStore) -> None:
        self._store = store

    async def publications(self) -> Sequence[Publication]:
        table = policies.c
        query = sa.select(table.digest, table.at, table.warn_until).order_by(table.number)
        return [
            Publication(
                digest=row.digest,
                at=moment(row.at),
                warn_until=None if row.warn_until is None else moment(row.warn_until),
            )
            for row in await self._store.rows(query)
        ]

    async def file(self, digest: str) -> bytes:
        rows = await self._store.rows(sa.select(policies.c.file).where(policies.c.digest == digest))
        if not rows:
            raise Unknown(f"no policy {digest} was published here")
        return bytes(rows[0].file)


class MadeAssessments:
    """The `Assessments` port, over the certifier's own tables."""

    def __init__(self, store: EventStore) -> None:
        self._store = store
        self._shipped = {each.id: each.digest for each in load_shipped()}

    async def reading(self, digest: str) -> Reading | None:
        if digest in self._shipped.values():
            return Reading()
        rows = await self._store.rows(sa.select(questionnaires).where(questionnaires.c.digest == digest))
        return Reading(form=rows[0].form, id=rows[0].questionnaire, version=rows[0].version) if rows else None

    async def facts(self, cleared: ReleaseCleared, at: datetime) -> list[dict[str, Any]]:
        subject = Subject(source=cleared.source, purpose=cleared.purpose, data=cleared.data)
        counting = latest(await self._made(cleared.project), subject)
        newest = await self._newest({each.questionnaire for each in counting})
        return [
            {
                "assessment": each.assessment,
                "questionnaire": each.questionnaire,
                "version": each.version,
                "digest": each.digest,
                "level": each.level,
                "label": each.label,
                "score": each.score,
                "missing": list(each.missing),
                "ageDays": age_in_days(each.answered_at, at),
                "stale": list(stale(each, subject, newest=newest.get(each.questionnaire), now=at)),
                "by": each.answered_by,
            }
            for each in counting
        ]

    async def _made(self, project: str) -> list[Assessment]:
        query = sa.select(assessments).where(assessments.c.project == project)
        rows = await self._store.rows(
            query.order_by(assessments.c.answered_at.desc()).limit(MOST_ASSESSMENTS)
        )
        return [_assessment(row) for row in rows]

    async def _newest(self, ids: set[str]) -> dict[str, str]:
        """The digest of each questionnaire's newest version: what was imported last, else what ships."""
        query = sa.select(questionnaires).where(questionnaires.c.questionnaire.in_(ids))
        rows = await self._store.rows(query.order_by(questionnaires.c.at, questionnaires.c.digest))
        return self._shipped | {row.questionnaire: row.digest for row in rows}


def _assessment(row: sa.Row[Any]) -> Assessment:
    made = Assessment(
        assessment=row.assessment,
        questionnaire=row.questionnaire,
        version=row.version,
        digest=row.digest,
        subject=Subject(source=row.source, purpose=row.purpose, data=row.data),
        answered_at=moment(row.answered_at),
        answered_by=row.answered_by,
    )
    if row.scored is None:
        return made
    scored = msgspec.json.decode(row.scored, type=AssessmentScored)
    return msgspec.structs.replace(
        made,
        level=scored.level,
        label=scored.label,
        score=scored.score,
        missing=scored.missing,
        valid_days=scored.valid_days,
    )
