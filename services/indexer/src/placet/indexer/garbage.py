"""What the registry holds and nothing needs: found, and removed on demand.

What was ever certified or started stays for good, and so do what speaks of it and the source it was made from: they
are evidence. What is younger than the age that is given stays too, since it may be on its way. What this does not
remove is what nobody announced: that is not the platform's.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Literal

import sqlalchemy as sa

from placet.errors import Refused, Unavailable
from placet.events import Actor, Context, UnitOfWork, Wiring, transact
from placet.events.store import Claim, ClaimLost, Run, Unit
from placet.indexer import projections as p
from placet.indexer import queries
from placet.indexer.domain import SOURCE, CollectSource, source_stream
from placet.indexer.ports import Storage
from placet.indexer.reconcile import SERVICE, tell_collected

_log = logging.getLogger(__name__)

CERTIFICATE = "application/vnd.placet.certificate.v1"
SOURCES = "sources"


@dataclass(frozen=True, kw_only=True)
class Image:
    """`is_there` is false of one that vanished: its source may still be needed. `beside` are types of artifacts."""

    image: str
    repository: str
    project: str
    release: int
    source: str
    announced_at: datetime
    is_there: bool
    grounds: Sequence[str] = ()
    beside: frozenset[str] = frozenset()
    blobs: Mapping[str, int] | None = None


@dataclass(frozen=True, kw_only=True)
class Source:
    source: str
    project: str
    size: int
    asked_at: datetime


@dataclass(frozen=True, kw_only=True)
class Item:
    """Something in the registry, and why it is kept or not. `bytes` is what its removal frees, as far as images
    share; what artifacts beside images share with one another counts with each. Of what is kept it is what the image or
    source itself takes, shared or not."""

    kind: Literal["image", "source"]
    digest: str
    repository: str
    project: str
    release: int | None
    bytes: int
    why: str


@dataclass(frozen=True, kw_only=True)
class Plan:
    remove: tuple[Item, ...]
    keep: tuple[Item, ...]

    @property
    def bytes(self) -> int:
        return sum(item.bytes for item in self.remove)


def plan(images: Sequence[Image], sources: Sequence[Source], *, now: datetime, age: timedelta) -> Plan:
    """What to remove and what to keep, each with the reason. Pure."""
    kept = {image.image: why for image in images if (why := _ground(image, now, age))}
    needed = {blob for image in images if image.image in kept for blob in image.blobs or ()}
    remove, keep = [], []
    for image in images:
        if not image.is_there:
            continue
        if image.image in kept:
            keep.append(_image(image, kept[image.image], sum((image.blobs or {}).values())))
            continue
        freed = {blob: size for blob, size in (image.blobs or {}).items() if blob not in needed}
        needed |= freed.keys()  # what several share is freed once
        why = f"never certified nor started, and last announced {_days(now - image.announced_at)} ago"
        remove.append(_image(image, why, sum(freed.values())))
    made = {image.source: image.image for image in images if image.image in kept}
    for source in sources:
        if source.source in made:
            keep.append(_source(source, f"{made[source.source]} was made from it", source.size))
        elif now - source.asked_at < age:
            keep.append(_source(source, f"asked for {_days(now - source.asked_at)} ago", source.size))
        else:
            why = f"no image of it is kept, and last asked for {_days(now - source.asked_at)} ago"
            remove.append(_source(source, why, source.size))
    return Plan(remove=tuple(remove), keep=tuple(keep))


def _ground(image: Image, now: datetime, age: timedelta) -> str | None:
    if image.grounds:
        return "; ".join(image.grounds)
    if CERTIFICATE in image.beside:
        return "a certificate lies beside it"
    if now - image.announced_at < age:
        return f"announced {_days(now - image.announced_at)} ago"
    return None


def _image(image: Image, why: str, size: int) -> Item:
    return Item(
        kind="image",
        digest=image.image,
        repository=image.repository,
        project=image.project,
        release=image.release,
        bytes=size,
        why=why,
    )


def _source(source: Source, why: str, size: int) -> Item:
    return Item(
        kind="source",
        digest=source.source,
        repository=SOURCES,
        project=source.project,
        release=None,
        bytes=size,
        why=why,
    )


def _days(span: timedelta) -> str:
    return "1 day" if span.days == 1 else f"{span.days} days"


@dataclass(frozen=True, kw_only=True)
class Collected:
    """`stopped` is why not all of it was removed: what the registry said."""

    removed: tuple[Item, ...]
    swept: int
    stopped: Refused | None


@dataclass(kw_only=True)
class Collection:
    """Looks for garbage, and removes it: the mark first, then the manifest, then the event.

    A crash in between leaves a mark. Whoever looks at the registry next finds the image gone and tells why
    (`reconcile.py`), or finds it there, and the next collection begins with it again.
    """

    storage: Storage
    wiring: Wiring

    async def find(self, age: timedelta) -> Plan:
        """What would be removed now. Raises Unavailable while it is not known what is needed."""
        reads = self.wiring.store
        waiting = await queries.unhandled(reads)
        if waiting:
            raise Unavailable(
                f"the indexer has {waiting} messages still to handle, and any may say what is needed",
                fix="try again soon; if it stays so, see `python -m placet.indexer --parked`",
            )
        grounds = await queries.grounds(reads)
        images = [
            await self._weighed(row, grounds.get(row.image, ()), age)
            for row in await queries.all_images(reads)
        ]
        sources = [
            Source(source=row.source, project=row.project, size=row.size, asked_at=self._moment(row.asked_at))
            for row in await queries.all_sources(reads)
        ]
        return plan(images, sources, now=self.wiring.clock.now(), age=age)

    async def collect(self, age: timedelta, actor: Actor) -> Collected:
        """Remove what `find` finds and what is garbage still when its turn comes, as far as the registry allows it.

        It is said in the name of `actor`, who asked for it.
        """
        found = await self.find(age)
        before = self.wiring.clock.now() - age
        removed: list[Item] = []
        stopped: Refused | None = None
        for item in found.remove:
            try:
                if await self._remove(item, before, actor):
                    removed.append(item)
            except Refused as no:
                stopped = no
                break
        repositories = dict.fromkeys(item.repository for item in (*found.remove, *found.keep))
        swept = [await self.storage.sweep(each, before) for each in repositories]
        return Collected(removed=tuple(removed), swept=sum(swept), stopped=stopped)

    async def by_itself(self, age: timedelta) -> None:
        """The same in the indexer's own name. What the registry refuses is only noted: nobody waits for an answer."""
        collected = await self.collect(age, Actor.service(SERVICE))
        if collected.stopped is not None:
            _log.warning("not all garbage was collected: %s", collected.stopped)

    async def _weighed(self, row: sa.Row[Any], grounds: Sequence[str], age: timedelta) -> Image:
        is_young = self.wiring.clock.now() - self._moment(row.announced_at) < age
        is_kept = bool(grounds) or is_young
        weighed = await self.storage.weigh(row.repository, row.image, alone=is_kept)
        return Image(
            image=row.image,
            repository=row.repository,
            project=row.project,
            release=row.release,
            source=row.source,
            announced_at=self._moment(row.announced_at),
            is_there=weighed is not None,
            grounds=grounds,
            beside=weighed.beside if weighed else frozenset(),
            blobs=weighed.blobs if weighed else None,
        )

    async def _remove(self, item: Item, before: datetime, actor: Actor) -> bool:
        """Whether it was removed; not if it was asked for since it was found."""
        context = Context(project=item.project, correlation=self.wiring.ids.new(), actor=actor)
        if item.kind == "image":
            return await self._remove_image(item, before, context)
        if await queries.is_asked_for_since(self.wiring.store, item.digest, before.timestamp()):
            return False
        await self.storage.remove_source(item.digest)
        await transact(self.wiring, SERVICE, context, partial(_tell_source, item=item))
        return True

    async def _remove_image(self, item: Item, before: datetime, context: Context) -> bool:
        mine = sa.and_(p.images.c.repository == item.repository, p.images.c.image == item.digest)
        is_old = p.images.c.announced_at <= before.timestamp()
        mark = sa.update(p.images).where(mine, is_old).values(collecting=item.why)
        try:
            await self.wiring.store.commit(Unit(claims=(Claim(statement=mark),)))
        except ClaimLost:
            return False
        # From here on nobody is told that it is there (`handlers.py`); before, somebody may have been.
        weighed = await self.storage.weigh(item.repository, item.digest)
        try:
            if weighed is not None and CERTIFICATE in weighed.beside:
                await self._unmark(mine)
                return False
            await self.storage.remove(item.repository, item.digest)
        except Refused:
            await self._unmark(mine)
            raise
        for row in await self.wiring.store.rows(sa.select(p.images).where(mine)):
            if row.collecting is not None:
                await transact(self.wiring, SERVICE, context, partial(tell_collected, row=row))
        return True

    async def _unmark(self, mine: sa.ColumnElement[bool]) -> None:
        kept = sa.update(p.images).where(mine).values(collecting=None)
        await self.wiring.store.commit(Unit(writes=(Run(statement=kept),)))

    def _moment(self, timestamp: float) -> datetime:
        return datetime.fromtimestamp(timestamp, tz=self.wiring.clock.now().tzinfo)


async def _tell_source(work: UnitOfWork, *, item: Item) -> None:
    command = CollectSource(project=item.project, source=item.digest, why=item.why)
    await work.decide(SOURCE, source_stream(item.digest), command)
    work.run(sa.delete(p.sources).where(p.sources.c.source == item.digest))
