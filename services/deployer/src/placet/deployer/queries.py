"""Reading the deployer's own rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import sqlalchemy as sa

from placet.deployer import projections as p
from placet.deployer.observations import Watched
from placet.deployer.ports import Reads
from placet.deployer.room import KINDS, Amount, Holding, Quota, Room, Waiter
from placet.events.contracts.shapes import Ground, Resources
from placet.events.tables import jobs

SETTLE = "settle"
_IS_SAME = sa.and_(p.releases.c.project == p.holdings.c.project, p.releases.c.release == p.holdings.c.release)
_IS_QUEUED = sa.and_(p.releases.c.project == p.queued.c.project, p.releases.c.release == p.queued.c.release)
_QUEUED = (
    p.queued.c.request.label("queued_request"),
    p.queued.c.asker.label("queued_asker"),
    p.queued.c.replicas.label("queued_replicas"),
    p.queued.c.correlation.label("queued_correlation"),
    *(p.queued.c[each] for each in ("turn", "position", "quota", "why", "until", "is_over")),
)


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


@dataclass(frozen=True, kw_only=True)
class Queued:
    """A release that waits for room, as was said last, and for which operation. `is_over`: in vain."""

    known: Known
    request: int
    turn: int
    position: int
    quota: str | None
    why: str
    until: str
    replicas: int
    asker: str | None
    correlation: str
    is_over: bool

    @property
    def amount(self) -> Amount:
        return Amount.of(self.known.cleared.resources) * self.replicas if self.known.cleared else Amount()


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
        sa.select(p.releases, p.holdings.c.replicas, p.holdings.c.is_live)
        .join(p.holdings, _IS_SAME)
        .where(p.releases.c.resources.is_not(None))
    )
    rows = await reads.rows(query.order_by(p.releases.c.project, p.releases.c.release))
    held = tuple(
        Holding(
            project=row.project,
            release=row.release,
            amount=Amount.of(_resources(row)) * row.replicas,
            is_live=row.is_live,
        )
        for row in rows
    )
    waiting = tuple(
        Waiter(
            project=each.known.project,
            release=each.known.release,
            amount=each.amount,
            turn=each.turn,
        )
        for each in await queue(reads)
        if not each.is_over
    )
    room = Room(total=total, held=held, queue=waiting, quotas=await quotas(reads), teams=await teams(reads))
    return room, int(taken[0].number) if taken else 0


async def quotas(reads: Reads) -> tuple[Quota, ...]:
    rows = await reads.rows(sa.select(p.quotas).order_by(p.quotas.c.scope, p.quotas.c.of))
    return tuple(
        Quota(
            scope=row.scope,
            of=row.of,
            limits={kind: limit for kind in KINDS if (limit := row._mapping[kind]) is not None},
        )
        for row in rows
    )


async def teams(reads: Reads) -> Mapping[str, str]:
    return {row.project: row.team for row in await reads.rows(sa.select(p.teams))}


async def queue(reads: Reads) -> Sequence[Queued]:
    """All that was not told yet that it waits no more, who came first before the others."""
    query = sa.select(p.releases, *_QUEUED).join(p.queued, _IS_QUEUED)
    return [
        Queued(
            known=_known(row),
            request=row.queued_request,
            turn=row.turn,
            position=row.position,
            quota=row.quota,
            why=row.why,
            until=row.until,
            replicas=row.queued_replicas,
            asker=row.queued_asker,
            correlation=row.queued_correlation,
            is_over=row.is_over,
        )
        for row in await reads.rows(query.order_by(p.queued.c.turn, p.queued.c.project))
    ]


async def is_queued(reads: Reads, queued: Queued) -> bool:
    of = p.queued.c
    query = sa.select(of.turn).where(of.project == queued.known.project, of.request == queued.request)
    return bool(await reads.rows(query))


async def is_waited_for(reads: Reads) -> bool:
    return bool(await reads.rows(sa.select(p.queued.c.turn).limit(1)))


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


async def watched(reads: Reads, project: str, release: int) -> Watched | None:
    its = sa.and_(p.observed.c.project == project, p.observed.c.release == release)
    rows = await reads.rows(sa.select(p.observed.c.watched).where(its))
    return msgspec.json.decode(rows[0].watched, type=Watched) if rows else None


async def is_revoked(reads: Reads, token: str, person: str) -> bool:
    return bool(
        await reads.rows(sa.select(p.revoked_tokens).where(p.revoked_tokens.c.token.in_((token, person))))
    )


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
