"""Which exceptions hold now, which certificates are not over and how their conditions are, what trials have found, what
was published, how projects were assessed, and what was reported."""

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
    reports,
    revoked,
    revoked_tokens,
    signed,
    stands_on,
    walked,
    watches,
)
from placet.certifier.reports import MOST_REPORTS, Report, counting, in_use, of_release
from placet.errors import Unavailable, Unknown
from placet.events.codec import moment, timestamp
from placet.events.contracts.certifier import AssessmentScored, ReleaseCleared
from placet.events.contracts.gateway import MetadataReported
from placet.events.contracts.indexer import ImageIndexed
from placet.events.contracts.shapes import ApprovalUsed, ExceptionUsed
from placet.events.store import EventStore
from placet.rules import Publication
from placet.rules.advisories import NO_SNAPSHOT, Snapshot

MOST_ASSESSMENTS = 500
"""Of one project are looked at, the newest: nobody makes so many of what counts."""
MOST_RUNS, MOST_OF_RUNS = 200, 512 * 1024
"""Runs that rules see of a release, the newest, and the bytes of what was told of them."""


async def is_token_revoked(store: EventStore, token: str, person: str) -> bool:
    """Whether the gateway was heard to revoke this token, or to erase whose it is."""
    mine = revoked_tokens.c.token.in_((token, person))
    return bool(await store.rows(sa.select(revoked_tokens).where(mine)))


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

    async def is_revoked(self, certificate: str) -> bool:
        query = sa.select(revoked.c.certificate).where(revoked.c.certificate == certificate)
        return bool(await self._store.rows(query))

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


class HeardReports:
    """The `Reports` port, over the certifier's own table.

    Of more than rules can see, it is the newest that they do; of incidents those that are open come first. A run is
    seen as a whole or not at all: of half of its inputs nobody could say that it read no others. `partial` names the
    kinds of which there is more.
    """

    def __init__(self, store: EventStore) -> None:
        self._store = store

    async def is_known(self, report: str) -> bool:
        return bool(await self._store.rows(sa.select(reports.c.report).where(reports.c.report == report)))

    async def of_release(self, cleared: ReleaseCleared, at: datetime) -> Facts:
        runs, has_more = await self._runs(cleared)
        told = await self._last([cleared.project], ("evaluation", "incident"))
        others, partial = counting(told, cleared.release, cleared.source, most=MOST_REPORTS)
        facts = of_release((*runs, *others), at)
        return {**facts, "partial": [*(["runs"] if has_more else []), *partial]}

    async def in_use(
        self, many: Sequence[Kept], at: datetime, *, with_: Report | None = None
    ) -> Sequence[Facts]:
        told = await self._last({each.project for each in many}, ("incident", "monitoring"))
        if with_ is not None:
            told = [*told, with_]
        by_project: dict[str, list[Report]] = {}
        for report in told:
            by_project.setdefault(report.said.project, []).append(report)
        found = []
        for kept in many:
            mine = by_project.get(kept.project, ())
            seen, partial = counting(mine, kept.release, kept.source, most=MOST_REPORTS)
            found.append({**in_use(seen, at), "partial": partial})
        return found

    async def _runs(self, cleared: ReleaseCleared) -> tuple[list[Report], bool]:
        table = reports.c
        mine = sa.and_(
            table.project == cleared.project,
            table.kind == "run",
            sa.or_(table.release.is_(None), table.release == cleared.release),
            sa.or_(table.source.is_(None), table.source == cleared.source),
        )
        newest = sa.func.max(table.at)
        runs = await self._store.rows(
            sa.select(table.about, sa.func.sum(table.size).label("size"))
            .where(mine)
            .group_by(table.about)
            .order_by(newest.desc(), table.about.desc())
            .limit(MOST_RUNS + 1)
        )
        room, whole = MOST_OF_RUNS, []
        for run in runs[:MOST_RUNS]:
            if run.size <= room:
                room -= run.size
                whole.append(run.about)
        rows = await self._store.rows(sa.select(reports).where(mine, table.about.in_(whole)))
        return [_report(row) for row in rows], len(whole) < len(runs)

    async def _last(self, projects: Collection[str], kinds: Collection[str]) -> list[Report]:
        """The last that was told of each thing, one more than is seen of it, for all that it may be of."""
        table = reports.c
        whose = (table.project, table.kind, table.release, table.source)
        turn = sa.func.row_number().over(
            partition_by=(*whose, table.about),
            order_by=(table.at.desc(), table.weight.desc(), table.report.desc()),
        )
        last = (
            sa.select(reports, turn.label("turn"))
            .where(table.project.in_(projects), table.kind.in_(kinds))
            .subquery()
        )
        place = sa.func.row_number().over(
            partition_by=(last.c.project, last.c.kind, last.c.release, last.c.source),
            order_by=(last.c.weight.desc(), last.c.at.desc(), last.c.report.desc()),
        )
        placed = sa.select(last, place.label("place")).where(last.c.turn == 1).subquery()
        return [
            _report(row)
            for row in await self._store.rows(sa.select(placed).where(placed.c.place <= MOST_REPORTS + 1))
        ]


def _report(row: sa.Row[Any]) -> Report:
    said = msgspec.json.decode(row.said, type=MetadataReported)
    return Report(said=said, at=row.at, heard_at=row.heard_at, release_of=row.release_of)
