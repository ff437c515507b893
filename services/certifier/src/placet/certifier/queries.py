"""Which exceptions hold now, which certificates are not over and how their conditions are, what trials have found, and
what was published."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa
from anyio import to_thread

from placet.certifier.conditions import Watched
from placet.certifier.ports import Facts, Held, Kept, Walked
from placet.certifier.projections import (
    advisories,
    certificates,
    exceptions,
    policies,
    stands_on,
    walked,
    watches,
)
from placet.errors import Unavailable, Unknown
from placet.events.codec import moment, timestamp
from placet.events.contracts.shapes import ExceptionUsed
from placet.events.store import EventStore
from placet.rules import Publication
from placet.rules.advisories import NO_SNAPSHOT, Snapshot


class GrantedExceptions:
    """The `Exceptions` port, over the certifier's own table."""

    def __init__(self, store: EventStore) -> None:
        self._store = store

    async def in_force(
        self, project: str, source: str, at: datetime, *, without: str | None = None
    ) -> Sequence[ExceptionUsed]:
        table = exceptions
        rows = await self._store.rows(
            sa.select(table)
            .where(table.c.project == project, table.c.withdrawn.is_(False), table.c.until > timestamp(at))
            .where(sa.or_(table.c.source.is_(None), table.c.source == source))
            .order_by(table.c.until, table.c.exception)
        )
        longest = {
            row.rule: ExceptionUsed(
                exception=row.exception, rule=row.rule, until=row.until, granted_by=row.granted_by
            )
            for row in rows
            if row.exception != without
        }
        return tuple(longest.values())

    async def is_known(self, exception: str) -> bool:
        query = sa.select(exceptions.c.exception).where(exceptions.c.exception == exception)
        return bool(await self._store.rows(query))


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
        rows = await self._store.rows(sa.select(advisories.c.digest))
        if not rows:
            return NO_SNAPSHOT
        digest: str = rows[0].digest
        kept = self._kept
        if kept is None or kept[0] != digest:
            kept = self._kept = digest, await self._load(digest)
        return await to_thread.run_sync(kept[1].facts, digest, packages, now)

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
