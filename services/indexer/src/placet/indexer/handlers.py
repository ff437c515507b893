"""An image was announced: look at it in the registry, and say what is there.

And what others say that decides what may ever be removed: what was certified, what was started, what is in use.
"""

from __future__ import annotations

import sqlalchemy as sa

from placet.events import Heard, UnitOfWork
from placet.events.contracts.builder import ImageBuilt, ImageReused
from placet.events.contracts.certifier import CertificateIssued
from placet.events.contracts.deployer import StartAccepted
from placet.events.contracts.gateway import (
    DeployRequested,
    ErasureRequested,
    SourceUploaded,
    TokenRevoked,
)
from placet.indexer import projections as p
from placet.indexer import queries
from placet.indexer.domain import IMAGE, Found, Index, Missing, image_stream
from placet.indexer.ports import Ports, Reads


async def on_image_built(heard: Heard[ImageBuilt], work: UnitOfWork, ports: Ports, reads: Reads) -> None:
    await _index(heard, work, ports, reads)


async def on_image_reused(heard: Heard[ImageReused], work: UnitOfWork, ports: Ports, reads: Reads) -> None:
    await _index(heard, work, ports, reads)


async def on_certificate_issued(
    heard: Heard[CertificateIssued], work: UnitOfWork, ports: Ports, reads: Reads
) -> None:
    """Whatever was certified stays for good: the certificate is evidence, also when it has ended."""
    work.put(p.grounds, image=heard.data.image, ground=f"certified by {heard.data.certificate}")


async def on_start_accepted(
    heard: Heard[StartAccepted], work: UnitOfWork, ports: Ports, reads: Reads
) -> None:
    started = heard.data
    work.put(
        p.grounds, image=started.image, ground=f"started as release {started.release} of {started.project}"
    )


async def on_source_uploaded(
    heard: Heard[SourceUploaded], work: UnitOfWork, ports: Ports, reads: Reads
) -> None:
    uploaded = heard.data
    work.put(
        p.sources,
        source=uploaded.source,
        project=uploaded.project,
        size=uploaded.size,
        asked_at=work.now.timestamp(),
    )


async def on_deploy_requested(
    heard: Heard[DeployRequested], work: UnitOfWork, ports: Ports, reads: Reads
) -> None:
    """A source that is used again is as good as new."""
    mine = p.sources.c.source == heard.data.source
    work.run(sa.update(p.sources).where(mine).values(asked_at=work.now.timestamp()))


async def on_token_revoked(heard: Heard[TokenRevoked], work: UnitOfWork, ports: Ports, reads: Reads) -> None:
    work.put(p.revoked_tokens, token=heard.data.token)


async def on_erasure_requested(
    heard: Heard[ErasureRequested], work: UnitOfWork, ports: Ports, reads: Reads
) -> None:
    """A provider's tokens have no ids that we gave, so it is the person of whom none holds any more."""
    work.put(p.revoked_tokens, token=heard.data.person)


async def _index(
    heard: Heard[ImageBuilt] | Heard[ImageReused], work: UnitOfWork, ports: Ports, reads: Reads
) -> None:
    announced = heard.data
    seen = await ports.images.look_up(announced.repository, announced.image)
    if await queries.is_being_removed(reads, announced.repository, announced.image):
        # It may be there for a moment more; whoever relied on that would have a certificate of nothing.
        seen = Missing(why=f"{announced.image} in {announced.repository} was just removed as garbage")
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
        announced_at=work.now.timestamp(),
        is_there=isinstance(seen, Found),
        collecting=None,
    )
    theirs = sa.and_(p.strangers.c.repository == announced.repository, p.strangers.c.image == announced.image)
    work.run(sa.delete(p.strangers).where(theirs))
