"""What became of each release that was asked for: when it went live, how that ended, and what took its place.

Every deploy, renewal and build has a number of its own, also where several have the same image: what is told by images
tells one of those only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from placet.errors import Unknown
from placet.events import UnitOfWork
from placet.events.store import EventStore
from placet.gateway import projections as p
from placet.gateway.operations import Operation, document
from placet.gateway.projections import read_operation
from placet.gateway.queries import Queries, standing_of

_ASKED_FOR = ("deploy", "renew", "build")
"""What gives a release its number; a start is of one that has it."""
_NOT_ENDED = dict.fromkeys(("ended_at", "ended", "replaced_by", "why"))


def begin(work: UnitOfWork, operation: Operation) -> None:
    if operation.command in _ASKED_FOR and operation.release is not None:
        work.put(p.lives, project=operation.project, release=operation.release, operation=operation.id)


def go_live(work: UnitOfWork, project: str, release: int, at: str) -> None:
    """What was live before is replaced. Said again of what is live, as after it was mended, it changes nothing."""
    of = p.lives.c
    others = sa.and_(of.project == project, of.release != release, of.live_at.is_not(None))
    work.run(
        sa.update(p.lives)
        .where(others, of.ended.is_(None))
        .values(ended_at=at, ended="replaced", replaced_by=release)
    )
    begins = sa.or_(of.live_at.is_(None), of.ended.is_not(None))
    work.run(
        sa.update(p.lives)
        .where(of.project == project, of.release == release, begins)
        .values(live_at=at, **_NOT_ENDED)
    )


def go_beside(work: UnitOfWork, project: str, release: int, at: str) -> None:
    """As a canary."""
    mine = sa.and_(p.lives.c.project == project, p.lives.c.release == release)
    work.run(sa.update(p.lives).where(mine).values(tried_at=at, **_NOT_ENDED))


def end(
    work: UnitOfWork, project: str, ended: str, at: str, *, why: str | None = None, release: int | None = None
) -> None:
    """Of what gets requests, whatever its share; or of one release alone."""
    of = p.lives.c
    gets_requests = sa.and_(sa.or_(of.live_at.is_not(None), of.tried_at.is_not(None)), of.ended.is_(None))
    mine = of.project == project if release is None else sa.and_(of.project == project, of.release == release)
    work.run(sa.update(p.lives).where(mine, gets_requests).values(ended_at=at, ended=ended, why=why))


class LifeQueries:
    def __init__(self, store: EventStore, queries: Queries) -> None:
        self._store = store
        self._queries = queries

    async def releases(
        self, project: str, *, now: str, after: int | None, limit: int
    ) -> list[dict[str, Any]]:
        """Newest first, the older ones than `after`. Raises Unknown for a project that is not here."""
        await self._queries.must_be_known(project)
        query = _LIVES.where(p.lives.c.project == project)
        if after is not None:
            query = query.where(p.lives.c.release < after)
        rows = await self._store.rows(query.order_by(p.lives.c.release.desc()).limit(limit))
        return await self._told(project, rows, now)

    async def release(self, project: str, release: int, *, now: str) -> dict[str, Any]:
        """Raises Unknown."""
        await self._queries.must_be_known(project)
        mine = sa.and_(p.lives.c.project == project, p.lives.c.release == release)
        rows = await self._store.rows(_LIVES.where(mine))
        if not rows:
            raise Unknown(f"{project} has no release {release}", fix=f"see `placet releases {project}`")
        [told] = await self._told(project, rows, now)
        return told

    async def _told(self, project: str, rows: Sequence[sa.Row[Any]], now: str) -> list[dict[str, Any]]:
        read = [read_operation(row) for row in rows]
        images = await self._images(project, {each.image for each in read if each.image is not None})
        certificates = await self._certificates({each.certificate for each in read if each.certificate})
        replacing = await self._asked_for(project, {row.replaced_by for row in rows if row.replaced_by})
        told = []
        for row, operation in zip(rows, read, strict=True):
            image = images.get(operation.image or "")
            certificate = certificates.get(operation.certificate or "")
            asked_at, _ = operation.reached["requested"]
            told.append(
                {
                    "project": project,
                    "release": row.release,
                    "state": _state(row, operation),
                    "served": _served(row),
                    "operation": operation.id,
                    "command": operation.command,
                    "backTo": operation.back_to,
                    "askedAt": asked_at,
                    "source": operation.source,
                    "image": operation.image,
                    "format": None if image is None else image.format,
                    "vanished": "indexed" in operation.reached and (image is None or bool(image.vanished)),
                    "certificate": operation.certificate,
                    "certificateState": "none"
                    if certificate is None
                    else standing_of(certificate.not_after, certificate.standing, now),
                    "triedAt": row.tried_at,
                    "liveAt": row.live_at,
                    "endedAt": row.ended_at,
                    "ended": row.ended,
                    "why": row.why,
                    "replacedBy": replacing.get(row.replaced_by),
                }
            )
        return await self._queries.with_metrics(told)

    async def _images(self, project: str, digests: set[str]) -> dict[str, sa.Row[Any]]:
        of = p.images.c
        query = sa.select(of.image, of.format, of.vanished).where(
            of.project == project, of.image.in_(digests)
        )
        return {row.image: row for row in await self._store.rows(query)}

    async def _certificates(self, ids: set[str]) -> dict[str, sa.Row[Any]]:
        of = p.certificates.c
        query = sa.select(of.certificate, of.not_after, of.standing).where(of.certificate.in_(ids))
        return {row.certificate: row for row in await self._store.rows(query)}

    async def _asked_for(self, project: str, releases: set[int]) -> dict[int | None, dict[str, Any]]:
        """In brief, of those that took the place of others, what was asked for."""
        query = _LIVES.where(p.lives.c.project == project, p.lives.c.release.in_(releases))
        read = {row.release: document(read_operation(row)) for row in await self._store.rows(query)}
        brief = ("command", "operation", "backTo")
        return {
            number: {"release": number, **{name: said[name] for name in brief}}
            for number, said in read.items()
        }


def _served(row: sa.Row[Any]) -> str:
    if row.live_at is None and row.tried_at is None:
        return "never"
    if row.ended is not None:
        return "before"
    return "canary" if row.live_at is None else "now"


def _state(row: sa.Row[Any], operation: Operation) -> str:
    """How it ended, if it served; else how far what was asked for has come."""
    match _served(row):
        case "never":
            return operation.state
        case "now":
            return "live"
        case "before":
            return str(row.ended)
    return "canary"


_LIVES = sa.select(
    *(column for column in p.lives.c if column.name != "operation"), p.operations.c.operation
).join_from(p.lives, p.operations, p.lives.c.operation == p.operations.c.id)
