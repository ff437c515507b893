"""Which images were made here, which builds are still wanted, and which tokens were revoked."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import msgspec
import sqlalchemy as sa

from placet.builder import domain
from placet.builder.ports import BUILD, BuildJob, KnownImage
from placet.builder.projections import known_images, requests, revoked_tokens
from placet.events import tables
from placet.events.jobs import LOOK_EVERY
from placet.events.store import EventStore


class KnownImages:
    """The `Known` port, over the builder's own table."""

    def __init__(self, store: EventStore) -> None:
        self._store = store

    async def image_of(self, key: str) -> KnownImage | None:
        return await self._one(known_images.c.key == key)

    async def by_digest(self, image: str) -> KnownImage | None:
        return await self._one(known_images.c.image == image)

    async def _one(self, where: sa.ColumnElement[bool]) -> KnownImage | None:
        rows = await self._store.rows(sa.select(known_images).where(where).limit(1))
        return KnownImage(image=rows[0].image, repository=rows[0].repository) if rows else None


class HeardRequests:
    """The `Requests` port, over the builder's own tables."""

    def __init__(self, store: EventStore) -> None:
        self._store = store

    async def is_overtaken(self, asked: BuildJob) -> bool:
        rows = await self._store.rows(sa.select(requests).where(requests.c.project == asked.project))
        if not rows:
            return False
        stopped = rows[0].stopped if asked.command == "deploy" else None
        return asked.release <= max(rows[0].deleted or 0, stopped or 0)

    async def is_wanted(self, source: str) -> bool:
        jobs = await self._store.rows(sa.select(tables.jobs.c.payload).where(tables.jobs.c.kind == BUILD))
        for job in jobs:
            asked = msgspec.json.decode(job.payload, type=BuildJob)
            if asked.source == source and not await self.is_overtaken(asked):
                return True
        return False

    async def looks(self) -> AsyncGenerator[None, None]:
        while True:
            seen = self._store.committed.count
            yield
            await self._store.committed.wait(LOOK_EVERY, after=seen)


async def is_under_way(store: EventStore, project: str, release: int) -> bool:
    """Whether this release's build is still to be answered for."""
    recorded = await store.read(domain.stream(project, release))
    return domain.is_under_way(each.data for each in recorded)


async def is_revoked(store: EventStore, token: str, person: str) -> bool:
    """Whether the gateway was heard to revoke this token."""
    return bool(
        await store.rows(sa.select(revoked_tokens).where(revoked_tokens.c.token.in_((token, person))))
    )
