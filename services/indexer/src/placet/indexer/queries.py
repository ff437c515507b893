"""What the indexer knows of the registry, from its own rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from placet.events import tables
from placet.indexer import projections as p
from placet.indexer.ports import Reads


@dataclass(frozen=True, kw_only=True)
class Known:
    """One repository as it was at the last look."""

    images: Sequence[sa.Row[Any]]
    tags: Mapping[str, str]
    strangers: Mapping[str, sa.Row[Any]]


async def repositories(reads: Reads) -> Sequence[str]:
    """Those that an image was ever announced in."""
    rows = await reads.rows(sa.select(p.images.c.repository).distinct())
    return [row.repository for row in rows]


async def all_images(reads: Reads) -> Sequence[sa.Row[Any]]:
    query = sa.select(p.images).order_by(p.images.c.project, p.images.c.release, p.images.c.image)
    return await reads.rows(query)


async def all_sources(reads: Reads) -> Sequence[sa.Row[Any]]:
    return await reads.rows(sa.select(p.sources).order_by(p.sources.c.project, p.sources.c.source))


async def grounds(reads: Reads) -> Mapping[str, Sequence[str]]:
    """By image: why it stays for good."""
    found: dict[str, list[str]] = {}
    for row in await reads.rows(sa.select(p.grounds).order_by(p.grounds.c.image, p.grounds.c.ground)):
        found.setdefault(row.image, []).append(row.ground)
    return found


async def is_being_removed(reads: Reads, repository: str, image: str) -> bool:
    mine = sa.and_(p.images.c.repository == repository, p.images.c.image == image)
    return bool(await reads.rows(sa.select(p.images.c.image).where(mine, p.images.c.collecting.is_not(None))))


async def is_asked_for_since(reads: Reads, source: str, moment: float) -> bool:
    newer = sa.and_(p.sources.c.source == source, p.sources.c.asked_at > moment)
    return bool(await reads.rows(sa.select(p.sources.c.source).where(newer)))


async def unhandled(reads: Reads) -> int:
    """How many messages have arrived and were not handled, waiting or parked."""
    (row,) = await reads.rows(sa.select(sa.func.count().label("all")).select_from(tables.inbox))
    return int(row.all)


async def is_revoked(reads: Reads, token: str, person: str) -> bool:
    return bool(
        await reads.rows(sa.select(p.revoked_tokens).where(p.revoked_tokens.c.token.in_((token, person))))
    )


async def known(reads: Reads, repository: str) -> Known:
    images = await reads.rows(
        sa.select(p.images).where(p.images.c.repository == repository).order_by(p.images.c.image)
    )
    tags = await reads.rows(sa.select(p.tags).where(p.tags.c.repository == repository))
    strangers = await reads.rows(sa.select(p.strangers).where(p.strangers.c.repository == repository))
    return Known(
        images=images,
        tags={row.tag: row.image for row in tags},
        strangers={row.image: row for row in strangers},
    )
