"""The long part: one build for each source, however many ask for it, for as long as somebody wants it.

Who asks for a source that is being built here waits for that build, and takes its image. A build whose project was
stopped or deleted meanwhile is cancelled, unless the same source is wanted by another release; who was overtaken is
told so either way. Two processes may still build the same source at once: both make the same image.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import aclosing, suppress
from typing import Any, TypeVar

from placet.builder import projections as p
from placet.builder.domain import RELEASE, Finish, stream
from placet.builder.ports import BUILD, BuildJob, KnownImage, Ports
from placet.errors import Refused, Unavailable
from placet.events import Finish as Staged
from placet.events import Job, UnitOfWork, Worker
from placet.events.contracts.builder import BuildFailed, ImageBuilt, ImageReused

MAX_WHY = 4000
"""Characters of a failure that go into its event; a resolver can say more than an event may hold. The log has all."""

T = TypeVar("T")


def build_worker(ports: Ports, *, slots: int) -> Worker[BuildJob]:
    builds = Builds(ports)

    async def run(job: Job[BuildJob]) -> Staged:
        asked = job.payload
        try:
            outcome = await builds.image_of(asked)
        except Refused as refusal:
            return _failed(asked, refusal.detail, refusal.fix)
        return _ended(asked, outcome, ports.workshop.reuse_key(asked.source))

    def gave_up(job: Job[BuildJob], reason: str) -> Staged:
        return _failed(job.payload, reason, "when that is mended, deploy again")

    return Worker(kind=BUILD, payload=BuildJob, run=run, gave_up=gave_up, slots=slots)


class Builds:
    """The builds of this process, by what they are known by."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._under_way: dict[str, asyncio.Future[ImageBuilt]] = {}

    async def image_of(self, asked: BuildJob) -> ImageBuilt | ImageReused:
        """The image of its source. Raises what a build does, and `Refused` if it is not wanted any more."""
        key = self._ports.workshop.reuse_key(asked.source)
        while True:
            if await self._ports.requests.is_overtaken(asked):
                raise _overtaken(asked)
            known = await self._ports.known.image_of(key)
            other = self._under_way.get(key)
            if known is None and other is not None:
                built = await self._unless(
                    lambda: self._ports.requests.is_overtaken(asked), self._result(other), asked
                )
                if built is not None and (built.project, built.release) == (asked.project, asked.release):
                    return built  # by this job, which could not say so then
                if built is not None:
                    known = KnownImage(image=built.image, repository=built.repository)
            if known is not None and await self._ports.images.exists(known):
                return ImageReused(
                    project=asked.project,
                    release=asked.release,
                    source=asked.source,
                    image=known.image,
                    repository=known.repository,
                )
            if (other := self._under_way.get(key)) is None or other.done():
                return await self._build(key, asked)

    async def _result(self, other: asyncio.Future[ImageBuilt]) -> ImageBuilt | None:
        await asyncio.wait({other})
        # That a build failed is for its own job to tell: this one tries for itself.
        return None if other.cancelled() else other.result()

    async def _build(self, key: str, asked: BuildJob) -> ImageBuilt:
        # Before anything is waited for, or somebody else would begin meanwhile.
        building = self._under_way[key] = asyncio.get_running_loop().create_future()
        try:
            await self._forget_committed()
            built = await self._unless(
                lambda: self._is_unwanted(asked.source),
                self._ports.workshop.build(asked.project, asked.release, asked.source),
                asked,
            )
            building.set_result(built)
            return built
        finally:
            # A result stays until its row is there: between the two nobody else may begin.
            if not building.done():
                building.cancel()
                del self._under_way[key]

    async def _forget_committed(self) -> None:
        for key, building in list(self._under_way.items()):
            if building.done() and await self._ports.known.image_of(key) is not None:
                self._under_way.pop(key, None)

    async def _is_unwanted(self, source: str) -> bool:
        return not await self._ports.requests.is_wanted(source)

    async def _unless(
        self, is_over: Callable[[], Awaitable[bool]], work: Coroutine[Any, Any, T], asked: BuildJob
    ) -> T:
        """What `work` returns; it is cancelled and waited for as soon as `is_over`, and then `asked` was overtaken."""
        doing, watching = asyncio.ensure_future(work), asyncio.ensure_future(self._until(is_over))
        try:
            await asyncio.wait({doing, watching}, return_when=asyncio.FIRST_COMPLETED)
            if doing.done():
                return doing.result()
            watching.result()
            raise _overtaken(asked)
        finally:
            for task in (doing, watching):
                task.cancel()
            await asyncio.gather(doing, watching, return_exceptions=True)

    async def _until(self, is_over: Callable[[], Awaitable[bool]]) -> None:
        async with aclosing(self._ports.requests.looks()) as looks:
            async for _ in looks:
                # While the database is away nobody can be heard; how long that may last is the lease's matter.
                with suppress(Unavailable):
                    if await is_over():
                        return


def _overtaken(asked: BuildJob) -> Refused:
    return Refused(
        f"a later request for {asked.project} overtook release {asked.release}",
        fix="deploy it again, if it is still wanted",
    )


def _ended(asked: BuildJob, outcome: ImageBuilt | ImageReused, key: str) -> Staged:
    async def finish(work: UnitOfWork) -> None:
        await work.decide(RELEASE, stream(asked.project, asked.release), Finish(outcome=outcome))
        work.put(p.known_images, key=key, image=outcome.image, repository=outcome.repository)

    return finish


def _failed(asked: BuildJob, why: str, fix: str | None) -> Staged:
    said = why if len(why) <= MAX_WHY else f"{why[:MAX_WHY]} …"
    failed = BuildFailed(project=asked.project, release=asked.release, source=asked.source, why=said, fix=fix)

    async def finish(work: UnitOfWork) -> None:
        await work.decide(RELEASE, stream(asked.project, asked.release), Finish(outcome=failed))

    return finish
