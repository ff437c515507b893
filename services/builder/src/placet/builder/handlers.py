"""A release may be built: say which image it is, or make one.

A known image is an answer within the handler; making one is a job, which a crash resumes.
"""

from __future__ import annotations

import msgspec

from placet.builder import projections as p
from placet.builder.domain import RELEASE, Accept, Finish, Reuse, stream
from placet.builder.ports import KnownImage, Ports
from placet.errors import Refused
from placet.events import Finish as Staged
from placet.events import Heard, Job, UnitOfWork, Worker
from placet.events.contracts.builder import BuildAccepted, BuildFailed, ImageBuilt
from placet.events.contracts.certifier import ReleaseCleared
from placet.events.contracts.deployer import ResourcesReserved
from placet.events.contracts.gateway import TokenRevoked

BUILD = "build"
MAX_WHY = 4000
"""Characters of a failure that go into its event; a resolver can say more than an event may hold. The log has all."""


class BuildJob(msgspec.Struct, frozen=True, kw_only=True):
    project: str
    release: int
    source: str


async def on_release_cleared(heard: Heard[ReleaseCleared], work: UnitOfWork, ports: Ports) -> None:
    """A mere build reserves nothing and starts here; a deploy waits for its resources."""
    cleared = heard.data
    if cleared.command == "build":
        await _answer(cleared.project, cleared.release, cleared.source, cleared.image, work, ports)


async def on_resources_reserved(heard: Heard[ResourcesReserved], work: UnitOfWork, ports: Ports) -> None:
    reserved = heard.data
    await _answer(reserved.project, reserved.release, reserved.source, reserved.image, work, ports)


async def on_token_revoked(heard: Heard[TokenRevoked], work: UnitOfWork, ports: Ports) -> None:
    work.put(p.revoked_tokens, token=heard.data.token)


async def _answer(
    project: str, release: int, source: str, wanted: str | None, work: UnitOfWork, ports: Ports
) -> None:
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
        work.enqueue(BUILD, f"{project}/{release}", BuildJob(project=project, release=release, source=source))


async def _known(source: str, wanted: str | None, ports: Ports) -> KnownImage | None:
    """An image that was asked for is looked for by its digest; if the registry lost it, its source is built."""
    known = await ports.known.by_digest(wanted) if wanted is not None else None
    if known is None:
        known = await ports.known.image_of(ports.workshop.reuse_key(source))
    return known if known is not None and await ports.images.exists(known) else None


def build_worker(ports: Ports, *, slots: int) -> Worker[BuildJob]:
    async def run(job: Job[BuildJob]) -> Staged:
        asked = job.payload
        try:
            built = await ports.workshop.build(asked.project, asked.release, asked.source)
        except Refused as refusal:
            return _failed(asked, refusal.detail, refusal.fix)
        return _built(asked, built, ports.workshop.reuse_key(asked.source))

    def gave_up(job: Job[BuildJob], reason: str) -> Staged:
        return _failed(job.payload, reason, "when that is mended, deploy again")

    return Worker(kind=BUILD, payload=BuildJob, run=run, gave_up=gave_up, slots=slots)


def _built(asked: BuildJob, built: ImageBuilt, key: str) -> Staged:
    async def finish(work: UnitOfWork) -> None:
        await work.decide(RELEASE, stream(asked.project, asked.release), Finish(outcome=built))
        work.put(p.known_images, key=key, image=built.image, repository=built.repository)

    return finish


def _failed(asked: BuildJob, why: str, fix: str | None) -> Staged:
    said = why if len(why) <= MAX_WHY else f"{why[:MAX_WHY]} …"
    failed = BuildFailed(project=asked.project, release=asked.release, source=asked.source, why=said, fix=fix)

    async def finish(work: UnitOfWork) -> None:
        await work.decide(RELEASE, stream(asked.project, asked.release), Finish(outcome=failed))

    return finish
