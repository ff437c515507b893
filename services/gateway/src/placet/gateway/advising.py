"""Snapshots of advisories: kept in the registry as they are sent, and said. The certifier says what becomes of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from placet.errors import Unknown, Unreadable
from placet.events import PLATFORM, Actor, Context, UnitOfWork, Wiring, transact
from placet.events.codec import timestamp
from placet.events.contracts.gateway import AdvisoriesSubmitted
from placet.events.turns import Turns
from placet.events.unit_of_work import current_traceparent
from placet.gateway import projections as p
from placet.gateway.intake import SERVICE
from placet.gateway.ports import SnapshotFiles
from placet.gateway.queries import Queries

KEPT_AT_ONCE = 1
SENDERS = frozenset({"compliance", "operator", "admin"})
"""Who may say what is known to be vulnerable: a job at night is best an operator."""


class Advisories:
    def __init__(self, wiring: Wiring, queries: Queries, files: SnapshotFiles) -> None:
        self._wiring = wiring
        self._queries = queries
        self._files = files
        self._keeping = Turns(KEPT_AT_ONCE)

    async def submit(self, digest: str, file: Path, size: int, person: str) -> dict[str, Any]:
        """Where it stands. The bytes are those of the digest already."""
        async with self._keeping.taken_by(person):
            await self._files.keep(digest, file)
        context = Context(
            project=PLATFORM,
            correlation=self._wiring.ids.new(),
            actor=Actor.person(person),
            traceparent=current_traceparent(),
        )
        submitted = AdvisoriesSubmitted(digest=digest, size=size, submitted_by=person)
        await transact(self._wiring, SERVICE, context, partial(_submit, submitted=submitted))
        return await self.snapshot(digest)

    async def submitted(self, digest: str) -> dict[str, Any] | None:
        rows = await self._wiring.store.rows(sa.select(p.advisories).where(p.advisories.c.digest == digest))
        return await self._told(rows[0]) if rows else None

    async def snapshot(self, digest: str) -> dict[str, Any]:
        known = await self.submitted(digest)
        if known is None:
            raise Unknown(f"there are no advisories {digest} here", fix="see `placet advisories list`")
        return known

    def file(self, digest: str) -> AsyncIterator[bytes]:
        """Of one that was submitted, its bytes."""
        return self._files.read(digest)

    async def page(self, *, after: str | None, limit: int) -> list[dict[str, Any]]:
        """The newest submission first; `after` is the digest of the last one that was told before."""
        table = p.advisories
        query = sa.select(table).order_by(table.c.submitted_at.desc(), table.c.digest.desc())
        if after is not None:
            rows = await self._wiring.store.rows(sa.select(table).where(table.c.digest == after))
            if not rows:
                raise Unreadable(f"no page ends with {after!r}", fix="give the `next` of the page before")
            place = sa.tuple_(table.c.submitted_at, table.c.digest)
            query = query.where(place < sa.tuple_(sa.literal(rows[0].submitted_at), sa.literal(after)))
        return [await self._told(row) for row in await self._wiring.store.rows(query.limit(limit))]

    async def _told(self, row: sa.Row[Any]) -> dict[str, Any]:
        return {
            "digest": row.digest,
            "size": row.size,
            "state": row.state,
            "taken": row.taken,
            "advisories": row.advisories,
            "packages": row.packages,
            "submittedBy": await self._queries.people.shown(row.submitted_by),
            "submittedAt": row.submitted_at,
            "decidedAt": row.decided_at,
            "problem": None if row.why is None else {"why": row.why, "fix": row.fix},
        }


async def _submit(work: UnitOfWork, *, submitted: AdvisoriesSubmitted) -> None:
    stream = f"advisories/{submitted.digest}"
    if await work.history(stream):
        return  # sent twice at once
    work.stage(stream, [submitted])
    work.put(
        p.advisories,
        digest=submitted.digest,
        size=submitted.size,
        submitted_by=submitted.submitted_by,
        submitted_at=timestamp(work.now),
        state="submitted",
    )
