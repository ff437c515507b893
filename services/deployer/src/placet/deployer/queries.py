"""Reading the deployer's own rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import sqlalchemy as sa

from placet.deployer import projections as p
from placet.deployer.domain import Amount, Holding, Room
from placet.deployer.observations import Watched
from placet.deployer.ports import Reads
from placet.events.contracts.shapes import Ground, Resources
from placet.events.tables import jobs

SETTLE = "settle"
_IS_SAME = sa.and_(p.releases.c.project == p.holdings.c.project, p.releases.c.release == p.holdings.c.release)


@dataclass(frozen=True, kw_only=True)
class Certified:
    """What a certificate said of a release, and what there is against it."""

    certificate: str
    image: str
    repository: str
    envelope: str
    not_after: str
    grounds: tuple[Ground, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Cleared:
    """What a clearance said of a release. `image` is set where an existing one was chosen; `dockerfile`: it is one
    of the project's own making. `asker` is who asked for it."""

    command: str
    source: str
    image: str | None
    access: str
    resources: Resources
    dockerfile: bool = False
    trial: bool = False
    asker: str | None = None


@dataclass(frozen=True, kw_only=True)
class Known:
    """What is known of a release. `request` counts the project's requests, `correlation` is the operation; `replicas`
    of it are said to be ready, where that was looked up; it is to get `canary` of a hundred requests, if not all."""

    project: str
    release: int
    replicas: int = 1
    request: int | None = None
    correlation: str | None = None
    canary: int = 0
    cleared: Cleared | None = None
    certified: Certified | None = None

    @property
    def asker(self) -> str | None:
        """Whose turn it takes to run it."""
        return self.cleared.asker if self.cleared else None


async def known(reads: Reads, project: str, release: int) -> Known:
    rows = await reads.rows(
        sa.select(p.releases).where(p.releases.c.project == project, p.releases.c.release == release)
    )
    return _known(rows[0]) if rows else Known(project=project, release=release)


async def requests(reads: Reads, project: str) -> int:
    rows = await reads.rows(sa.select(p.projects.c.requests).where(p.projects.c.project == project))
    return int(rows[0].requests) if rows else 0


async def room(reads: Reads, total: Amount) -> tuple[Room, int]:
    """The platform's room, and the number of the last taking, which the next one has to move on from.

    The number is read first: whatever is taken after that is noticed by it. Only a restore knows who holds room before
    it knows how much, since it has its own log first: it decides nothing then.
    """
    taken = await reads.rows(sa.select(p.room_taken.c.number))
    query = (
        sa.select(p.releases, p.holdings.c.replicas)
        .join(p.holdings, _IS_SAME)
        .where(p.releases.c.resources.is_not(None))
    )
    rows = await reads.rows(query.order_by(p.releases.c.project, p.releases.c.release))
    held = tuple(
        Holding(project=row.project, release=row.release, amount=Amount.of(_resources(row)) * row.replicas)
        for row in rows
    )
    return Room(total=total, held=held), int(taken[0].number) if taken else 0


async def expired(reads: Reads, now: str) -> Sequence[tuple[str, int]]:
    """Reservations whose time is over, as (project, release)."""
    query = sa.select(p.holdings.c.project, p.holdings.c.release).where(p.holdings.c.until <= now)
    return [(row.project, row.release) for row in await reads.rows(query)]


async def running(reads: Reads) -> Mapping[tuple[str, int], int]:
    """How many should run of what is starting or live, by (project, release)."""
    rows = await reads.rows(sa.select(p.holdings).where(p.holdings.c.until.is_(None)))
    return {(row.project, row.release): row.replicas for row in rows}


async def live(reads: Reads) -> Sequence[Known]:
    """The releases that are live, over all projects."""
    return await _held(reads, p.holdings.c.is_live)


async def _held(reads: Reads, which: sa.ColumnElement[bool]) -> Sequence[Known]:
    query = sa.select(p.releases, p.holdings.c.ready).join(p.holdings, _IS_SAME).where(which)
    rows = await reads.rows(query.order_by(p.releases.c.project))
    return [replace(_known(row), replicas=row.ready) for row in rows]


async def signers(reads: Reads, keys: Iterable[str]) -> Mapping[tuple[str, int], str]:
    """What these keys certified, as (project, release), with which of them did."""
    rows = await reads.rows(sa.select(p.signers).where(p.signers.c.key.in_(list(keys))))
    return {(row.project, row.release): row.key for row in rows}


async def canaries(reads: Reads) -> Sequence[Known]:
    """The releases that get a share of what serves' requests, over all projects."""
    return await _held(reads, p.holdings.c.is_canary)


async def is_settling(reads: Reads, project: str) -> bool:
    """Whether its route and instances are about to be made what they should be."""
    is_its = jobs.c.key.startswith(f"{project}/", autoescape=True)
    return bool(await reads.rows(sa.select(jobs.c.key).where(jobs.c.kind == SETTLE, is_its).limit(1)))


async def diverged(reads: Reads) -> Sequence[Known]:
    """The live releases that nobody has seen mended yet, since they were said to have diverged."""
    return await _held(reads, p.holdings.c.is_diverged)


async def silenced(reads: Reads) -> Sequence[Known]:
    """What is off its route since the certifier was silent."""
    rows = await reads.rows(sa.select(p.silenced).order_by(p.silenced.c.project))
    return [await known(reads, row.project, row.release) for row in rows]


async def watched(reads: Reads, project: str) -> Watched | None:
    rows = await reads.rows(sa.select(p.observed.c.watched).where(p.observed.c.project == project))
    return msgspec.json.decode(rows[0].watched, type=Watched) if rows else None


async def is_revoked(reads: Reads, token: str) -> bool:
    return bool(await reads.rows(sa.select(p.revoked_tokens).where(p.revoked_tokens.c.token == token)))


def _resources(row: sa.Row[Any]) -> Resources:
    return msgspec.json.decode(row.resources, type=Resources)


def _known(row: sa.Row[Any]) -> Known:
    cleared = certified = None
    if row.source is not None:
        cleared = Cleared(
            command=row.command,
            source=row.source,
            image=row.known_image,
            access=row.access,
            resources=_resources(row),
            dockerfile=bool(row.dockerfile),
            trial=bool(row.trial),
            asker=row.asker,
        )
    if row.certificate is not None:
        certified = Certified(
            certificate=row.certificate,
            image=row.image,
            repository=row.repository,
            envelope=row.envelope,
            not_after=row.not_after,
            grounds=msgspec.json.decode(row.grounds, type=tuple[Ground, ...]) if row.grounds else (),
        )
    return Known(
        project=row.project,
        release=row.release,
        request=row.request,
        correlation=row.correlation,
        canary=row.canary or 0,
        cleared=cleared,
        certified=certified,
    )
