"""What the indexer knows of the registry, from its own rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

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
