"""An image was announced: look at it in the registry, and say what is there."""

from __future__ import annotations

from placet.events import Heard, UnitOfWork
from placet.events.contracts.builder import ImageBuilt, ImageReused
from placet.indexer.domain import IMAGE, Index
from placet.indexer.ports import Ports


async def on_image_built(heard: Heard[ImageBuilt], work: UnitOfWork, ports: Ports) -> None:
    await _index(heard.data, work, ports)


async def on_image_reused(heard: Heard[ImageReused], work: UnitOfWork, ports: Ports) -> None:
    await _index(heard.data, work, ports)


async def _index(announced: ImageBuilt | ImageReused, work: UnitOfWork, ports: Ports) -> None:
    command = Index(
        project=announced.project,
        release=announced.release,
        source=announced.source,
        image=announced.image,
        repository=announced.repository,
        seen=await ports.images.look_up(announced.repository, announced.image),
    )
    await work.decide(IMAGE, f"image/{announced.project}/{announced.release}", command)
