"""Which images were made here, and which tokens were revoked."""

from __future__ import annotations

import sqlalchemy as sa

from placet.builder.ports import KnownImage
from placet.builder.projections import known_images, revoked_tokens
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


async def is_revoked(store: EventStore, token: str) -> bool:
    """Whether the gateway was heard to revoke this token."""
    return bool(await store.rows(sa.select(revoked_tokens).where(revoked_tokens.c.token == token)))
