"""A release may be built: say which image it is, or make one.

A known image is an answer within the handler; making one is a job, which a crash resumes. What was asked for is
only noted here: a build that was overtaken ends by itself (`jobs.py`).
"""

from __future__ import annotations

import sqlalchemy as sa

from placet.builder import projections as p
from placet.builder.domain import RELEASE, Accept, Reuse, stream
from placet.builder.ports import BUILD, BuildJob, KnownImage, Ports
from placet.events import Heard, UnitOfWork
from placet.events.contracts.builder import BuildAccepted
from placet.events.contracts.certifier import ReleaseCleared
from placet.events.contracts.deployer import ResourcesReserved
from placet.events.contracts.gateway import (
    DeleteRequested,
    DeployRequested,
    ErasureRequested,
    StopRequested,
    TokenRevoked,
)
from placet.identity.sharing import Said


async def on_deploy_requested(heard: Heard[DeployRequested], work: UnitOfWork, ports: Ports) -> None:
    work.put(p.requests, project=heard.data.project, newest=heard.data.release)


async def on_stop_requested(heard: Heard[StopRequested], work: UnitOfWork, ports: Ports) -> None:
    """Deploys from before it will not run any more, and mere builds are none of its business."""
    asked = sa.update(p.requests).where(p.requests.c.project == heard.data.project)
    work.run(asked.values(stopped=p.requests.c.newest))


async def on_delete_requested(heard: Heard[DeleteRequested], work: UnitOfWork, ports: Ports) -> None:
    asked = sa.update(p.requests).where(p.requests.c.project == heard.data.project)
    work.run(asked.values(deleted=p.requests.c.newest))


async def on_release_cleared(heard: Heard[ReleaseCleared], work: UnitOfWork, ports: Ports) -> None:
    """A mere build reserves nothing and starts here; a deploy waits for its resources."""
    cleared = heard.data
    if cleared.command == "build":
        asked = BuildJob(
            project=cleared.project, release=cleared.release, source=cleared.source, command=cleared.command
        )
        await _answer(asked, cleared.image, cleared.asker, work, ports)


async def on_resources_reserved(heard: Heard[ResourcesReserved], work: UnitOfWork, ports: Ports) -> None:
    reserved = heard.data
    asked = BuildJob(project=reserved.project, release=reserved.release, source=reserved.source)
    await _answer(asked, reserved.image, reserved.asker, work, ports)


async def on_token_revoked(heard: Heard[TokenRevoked], work: UnitOfWork, ports: Ports) -> None:
    work.put(p.revoked_tokens, token=heard.data.token)


async def on_sharing(heard: Heard[Said], work: UnitOfWork, ports: Ports) -> None:
    p.sharing.show(work, heard.data, heard.event.time)


async def on_erasure_requested(heard: Heard[ErasureRequested], work: UnitOfWork, ports: Ports) -> None:
    """A provider's tokens have no ids that we gave, so it is the person of whom none holds any more."""
    work.put(p.revoked_tokens, token=heard.data.person)


async def _answer(
    asked: BuildJob, wanted: str | None, asker: str | None, work: UnitOfWork, ports: Ports
) -> None:
    project, release, source = asked.project, asked.release, asked.source
    known = await _known(source, wanted, ports)
    if known is not None:
        reuse = Reuse(
            project=project, release=release, source=source, image=known.image, repository=known.repository
        )
        await work.decide(RELEASE, stream(project, release), reuse)
        return
    accept = Accept(project=project, release=release, source=source, image=wanted)
    happened = await work.decide(RELEASE, stream(project, release), accept)
    if any(isinstance(event, BuildAccepted) for event in happened):
        work.enqueue(BUILD, f"{project}/{release}", asked, asker=asker)


async def _known(source: str, wanted: str | None, ports: Ports) -> KnownImage | None:
    """An image that was asked for is looked for by its digest; if the registry lost it, its source is built."""
    known = await ports.known.by_digest(wanted) if wanted is not None else None
    if known is None:
        known = await ports.known.image_of(ports.workshop.reuse_key(source))
    return known if known is not None and await ports.images.exists(known) else None
