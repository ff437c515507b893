"""What the indexer makes of its own events when its database is restored.

Which images there are comes back by the handlers, who look into the registry; where tags pointed that never moved is
seen at the next look.
"""

from __future__ import annotations

import sqlalchemy as sa

from placet.events import Heard, UnitOfWork
from placet.events.codec import moment
from placet.events.contracts.indexer import ImageUnknown, SourceCollected, TagMoved
from placet.indexer import projections as p
from placet.indexer.ports import Ports, Reads


async def on_tag_moved(heard: Heard[TagMoved], work: UnitOfWork, ports: Ports, reads: Reads) -> None:
    moved = heard.data
    work.put(p.tags, repository=moved.repository, tag=moved.tag, image=moved.image)


async def on_image_unknown(heard: Heard[ImageUnknown], work: UnitOfWork, ports: Ports, reads: Reads) -> None:
    """Said once: nobody is to be told again."""
    met = heard.data
    since = moment(heard.event.time).timestamp()
    work.put(p.strangers, repository=met.repository, image=met.image, since=since, is_told=True)


async def on_source_collected(
    heard: Heard[SourceCollected], work: UnitOfWork, ports: Ports, reads: Reads
) -> None:
    """Not one that was uploaded again since: the audit log may have heard of that first."""
    since = moment(heard.event.time).timestamp()
    work.run(
        sa.delete(p.sources).where(p.sources.c.source == heard.data.source, p.sources.c.asked_at <= since)
    )
