"""What the builder makes of its own events when its database is restored: its images, and builds that are open.

By what an image was made from, its lock among it, it does not come back: whoever asks for the same source once more has
it built once more, and gets the same digest.
"""

from __future__ import annotations

from placet.builder import projections as p
from placet.builder.domain import is_under_way, stream
from placet.builder.ports import BUILD, BuildJob, Ports
from placet.events import Heard, UnitOfWork
from placet.events.contracts.builder import BuildAccepted, ImageBuilt


async def on_build_accepted(heard: Heard[BuildAccepted], work: UnitOfWork, ports: Ports) -> None:
    """Nobody works on it any more, if nothing came of it."""
    accepted = heard.data
    project, release = accepted.project, accepted.release
    if is_under_way(await work.history(stream(project, release))):
        job = BuildJob(project=project, release=release, source=accepted.source)
        work.enqueue(BUILD, f"{project}/{release}", job, asker=project)


async def on_image_built(heard: Heard[ImageBuilt], work: UnitOfWork, ports: Ports) -> None:
    built = heard.data
    work.put(p.known_images, key=f"recalled/{built.image}", image=built.image, repository=built.repository)
