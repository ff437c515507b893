"""An image was announced: look at it in the registry, and say what is there."""

from __future__ import annotations

import sqlalchemy as sa

from placet.events import Heard, UnitOfWork
from placet.events.contracts.builder import ImageBuilt, ImageReused
from placet.indexer import projections as p
from placet.indexer.domain import IMAGE, Found, Index, image_stream
from placet.indexer.ports import Ports


async def on_image_built(heard: Heard[ImageBuilt], work: UnitOfWork, ports: Ports) -> None:
    await _index(heard.data, work, ports)


async def on_image_reused(heard: Heard[ImageReused], work: UnitOfWork, ports: Ports) -> None:
    await _index(heard.data, work, ports)


async def _index(announced: ImageBuilt | ImageReused, work: UnitOfWork, ports: Ports) -> None:
    seen = await ports.images.look_up(announced.repository, announced.image)
    command = Index(
        project=announced.project,
        release=announced.release,
        source=announced.source,
        image=announced.image,
        repository=announced.repository,
        seen=seen,
    )
    await work.decide(IMAGE, image_stream(announced.project, announced.release), command)
    work.put(
        p.images,
        repository=announced.repository,
        image=announced.image,
        project=announced.project,
        release=announced.release,
        source=announced.source,
        correlation=work.context.correlation,
        is_there=isinstance(seen, Found),
    )
    theirs = sa.and_(p.strangers.c.repository == announced.repository, p.strangers.c.image == announced.image)
    work.run(sa.delete(p.strangers).where(theirs))
