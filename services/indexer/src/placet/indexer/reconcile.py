"""Looks at the registry again and again, and says where it is not what was said of it.

What it looks at: whether each image that was announced is still there (or there again), where tags point, and what
lies in models' repositories though nobody announced it. A registry that is away, or that does not answer for itself,
changes nothing: only its own definite word that a manifest is not there counts. What it does not see: an untagged
image that a registry over the network got from somebody else, unless its notifications name it (`api.py`).
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

import msgspec
import sqlalchemy as sa

from placet.errors import PlacetError, Unavailable
from placet.events import PLATFORM, Context, Finish, Job, UnitOfWork, Wiring, Worker, transact
from placet.events.envelope import Actor
from placet.indexer import projections as p
from placet.indexer import queries
from placet.indexer.domain import (
    IMAGE,
    STRANGER,
    TAG,
    Collect,
    Index,
    Meet,
    Missing,
    Point,
    image_stream,
    stranger_stream,
    tag_stream,
)
from placet.indexer.ports import Images, Listed
from placet.indexer.queries import Known
from placet.projects import PROJECT_PATTERN, RESERVED_NAME

SERVICE = "indexer"
LOOK = "look"
MODELS = "models/"
"""What a project's repository begins with."""


class LookJob(msgspec.Struct, frozen=True, kw_only=True):
    """A registry said that something changed here. `image` may be nothing that it lists."""

    repository: str
    image: str | None


@dataclass(kw_only=True)
class Reconciliation:
    """`patience` is how long an image may be there before its announcement is missed."""

    images: Images
    wiring: Wiring
    patience: timedelta

    async def run(self) -> None:
        """One round over all repositories. One that cannot be looked at keeps none of the others from it."""
        listed = await self.images.repositories()
        announced = await queries.repositories(self.wiring.store)
        unseen: list[str] = []
        for repository in sorted({*announced, *(listed or ())}):
            try:
                await self.look_at(repository)
            except PlacetError as error:
                unseen.append(f"{repository}: {error.detail}")
        if unseen:
            raise Unavailable(f"{len(unseen)} repositories could not be looked at: {'; '.join(unseen)}")

    async def look_at(self, repository: str, *, besides: str | None = None) -> None:
        """Say what changed in one repository; `besides` is the digest of something that need not be listed."""
        known = await queries.known(self.wiring.store, repository)
        for row in known.images:
            await self._look_for(row)
        listed = list(await self.images.listed(repository))
        await self._follow_tags(repository, known, listed)
        is_listed = besides is None or any(each.image == besides for each in listed)
        if besides is not None and not is_listed and await self.images.is_image(repository, besides):
            listed.append(Listed(image=besides))
        await self._meet_strangers(repository, known, listed)

    async def _look_for(self, row: sa.Row[Any]) -> None:
        is_there = await self.images.is_there(row.repository, row.image)
        if is_there == row.is_there:
            return
        seen = (
            await self.images.look_up(row.repository, row.image)
            if is_there
            else Missing(why=f"the registry has no {row.image} in {row.repository} any more")
        )
        if isinstance(seen, Missing) and not row.is_there:
            return
        if isinstance(seen, Missing) and row.collecting is not None:
            # Removed as garbage, by somebody who came no further than that.
            await self._transact(row.project, partial(tell_collected, row=row), correlation=row.correlation)
            return
        command = Index(
            project=row.project,
            release=row.release,
            source=row.source,
            image=row.image,
            repository=row.repository,
            seen=seen,
        )

        async def look(work: UnitOfWork) -> None:
            await work.decide(IMAGE, image_stream(row.project, row.release), command)
            mine = sa.and_(
                p.images.c.repository == row.repository,
                p.images.c.image == row.image,
                p.images.c.project == row.project,
                p.images.c.release == row.release,  # or it was announced for another one just now
            )
            work.run(sa.update(p.images).where(mine).values(is_there=not isinstance(seen, Missing)))

        await self._transact(row.project, look, correlation=row.correlation)

    async def _follow_tags(self, repository: str, known: Known, listed: Sequence[Listed]) -> None:
        for each in listed:
            if each.tag is not None and known.tags.get(each.tag) != each.image:
                await self._point(repository, each.tag, known.tags.get(each.tag), each.image)

    async def _point(self, repository: str, tag: str, before: str | None, image: str) -> None:
        project = _project(repository)

        async def point(work: UnitOfWork) -> None:
            if before is not None:  # else it is the first look at this tag
                command = Point(project=project, repository=repository, tag=tag, before=before, image=image)
                await work.decide(TAG, tag_stream(repository, tag), command)
            work.put(p.tags, repository=repository, tag=tag, image=image)

        await self._transact(project, point)

    async def _meet_strangers(self, repository: str, known: Known, listed: Sequence[Listed]) -> None:
        announced = {row.image for row in known.images}
        there = {each.image: each for each in listed if each.image not in announced}
        for image, met in known.strangers.items():
            if not met.is_told and image not in there and await self.images.is_there(repository, image):
                there[image] = Listed(image=image)  # known from a notification, and not listed
        for each in there.values():
            before = known.strangers.get(each.image)
            if before is None or not before.is_told:
                await self._meet(repository, each, before)

    async def _meet(self, repository: str, listed: Listed, met: sa.Row[Any] | None) -> None:
        project = _project(repository)
        now = self.wiring.clock.now().timestamp()
        since = now if met is None else float(met.since)
        command = Meet(
            project=project,
            image=listed.image,
            repository=repository,
            tag=listed.tag,
            known_for=timedelta(seconds=now - since),
            patience=self.patience,
        )

        async def meet(work: UnitOfWork) -> None:
            told = await work.decide(STRANGER, stranger_stream(repository, listed.image), command)
            work.put(p.strangers, repository=repository, image=listed.image, since=since, is_told=bool(told))

        await self._transact(project, meet)

    async def _transact(
        self, project: str, change: Callable[[UnitOfWork], Awaitable[None]], *, correlation: str | None = None
    ) -> None:
        context = Context(
            project=project,
            correlation=correlation or self.wiring.ids.new(),
            actor=Actor.service(SERVICE),
        )
        await transact(self.wiring, SERVICE, context, change)


async def tell_collected(work: UnitOfWork, *, row: sa.Row[Any]) -> None:
    """An image that was being removed is gone. Said once, whoever sees it first."""
    command = Collect(
        project=row.project,
        release=row.release,
        image=row.image,
        repository=row.repository,
        why=row.collecting,
    )
    await work.decide(IMAGE, image_stream(row.project, row.release), command)
    mine = sa.and_(
        p.images.c.repository == row.repository,
        p.images.c.image == row.image,
        p.images.c.collecting.is_not(None),  # or it was announced anew just now
    )
    work.run(sa.update(p.images).where(mine).values(is_there=False, collecting=None))


def look_worker(reconciliation: Reconciliation) -> Worker[LookJob]:
    """Looks that a registry's notifications ask for. One that fails for good is made up for by the next round."""

    async def run(job: Job[LookJob]) -> Finish:
        await reconciliation.look_at(job.payload.repository, besides=job.payload.image)
        return _nothing_more

    return Worker(kind=LOOK, payload=LookJob, run=run, gave_up=lambda job, reason: _nothing_more)


async def _nothing_more(work: UnitOfWork) -> None:
    """What a look had to say it has said."""


def _project(repository: str) -> str:
    """The project whose repository it is, as far as its name tells."""
    name = repository.removeprefix(MODELS)
    return name if re.match(PROJECT_PATTERN, name) and name != RESERVED_NAME else PLATFORM
