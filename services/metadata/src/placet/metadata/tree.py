"""Reading the tree over the audit log: roots, proofs, tiles and signed checkpoints, of today's and of any earlier size.

What is full was written once; what is not full yet at the right edge is made again from what lies below it, down to
the last events of the log, and kept for as long as the same size is asked for. So all of it is of the log as it is, or
was a moment ago: that it is the log that was signed, the checkpoint tells.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from placet.errors import PlacetError, Unreadable
from placet.events import Recorded
from placet.events.store import EventStore
from placet.metadata.projections import AUDIT, checkpoints, cosignatures, cosigned_again, epochs, tiles
from placet.metadata.queries import place_in_producer
from placet.trust import merkle
from placet.trust.checkpoints import Checkpoint
from placet.trust.leaves import Leaf
from placet.trust.merkle import Span, leaf_hash
from placet.trust.notes import MAX_SIGNATURES, Note, Signature
from placet.trust.proofs import ConsistencyProof, InclusionProof
from placet.trust.tiles import WIDTH, Edge, Place, edge_of, places_of, roots_of, width


@dataclass(frozen=True, kw_only=True)
class Signed:
    """A checkpoint as the log signed it, with the cosignatures that it has by now."""

    size: int
    origin: str
    note: Note
    epoch: str
    signed_at: float


class Tree:
    def __init__(self, store: EventStore) -> None:
        self._store = store
        self._began_after: dict[str, int] = {}
        self._filling: tuple[int, dict[Place, bytes]] = (0, {})
        """A size, and the tiles at that tree's right edge: every proof of the newest checkpoint needs some of them."""

    # Checkpoints.

    async def latest(self, *, witnesses: int = 0) -> Signed | None:
        """The largest that so many witnesses have cosigned."""
        query = _NEWEST if not witnesses else _newest_of(_cosigned_by(sa.select(checkpoints), witnesses))
        return await self._signed(query)

    async def of_size(self, size: int, *, witnesses: int = 0) -> Signed | None:
        """The one of so many events, if so many witnesses have cosigned it."""
        query = sa.select(checkpoints).where(checkpoints.c.size == size)
        return await self._signed(_newest_of(_cosigned_by(query, witnesses)))

    async def all_signed(self, after: int, until: int, limit: int) -> list[Signed]:
        """Those of more than `after` events and at most `until`, smallest first, as the log alone signed them."""
        size = checkpoints.c.size
        query = sa.select(checkpoints).where(size > after, size <= until).order_by(size).limit(limit)
        return [_signed(row) for row in await self._store.rows(query)]

    async def _signed(self, query: sa.Select[Any]) -> Signed | None:
        rows = await self._store.rows(query)
        if not rows:
            return None
        signed = _signed(rows[0])
        more = [_cosignature(each.line, signed.size) for each in rows if each.line is not None]
        return replace(signed, note=signed.note.with_signatures(more))

    # Proofs.

    async def inclusion(self, index: int, signed: Signed) -> InclusionProof:
        """That the leaf is in the signed tree; the leaf itself goes with it. Raises Refused where it is not."""
        spans = merkle.inclusion(index, signed.size)
        # Together: every way to the database and back takes longer than all the hashes of a proof.
        [leaf], hashes = await asyncio.gather(self.leaves(index, 1), self._roots(spans, signed.size))
        return InclusionProof(index=index, hashes=hashes, checkpoint=signed.note, extra=leaf)

    async def consistency(self, old: int, signed: Signed) -> ConsistencyProof:
        """That the signed tree begins with what it was at `old` leaves. Raises Refused where it was smaller."""
        spans = merkle.consistency(old, signed.size)
        return ConsistencyProof(old=old, hashes=await self._roots(spans, signed.size), checkpoint=signed.note)

    async def root(self, size: int) -> bytes:
        """Of the tree when it had `size` leaves, which are in the log now."""
        if size == 0:
            return merkle.EMPTY_ROOT
        [root] = await self._roots([(0, size)], size)
        return root

    async def _roots(self, spans: Sequence[Span], size: int) -> tuple[bytes, ...]:
        return tuple(roots_of(spans, await self.hashes(places_of(spans), size)))

    # Tiles.

    async def hashes(self, places: Collection[Place], size: int) -> dict[Place, bytes]:
        """The tiles at `places`, those at the right edge of a tree of `size` as far as they are filled there."""
        found: dict[Place, bytes] = {}
        full = [place for place in places if width(place, size) == WIDTH]
        if full:
            rows = await self._store.rows(_TILES, {"places": full})
            found = {Place(row.level, row.number): bytes(row.hashes) for row in rows}
        if self._filling[0] != size:
            self._filling = size, {}
        _, filling = self._filling
        for place in set(places) - set(found):
            if place not in filling:
                filling[place] = b"".join(await self._row(place, size))
            found[place] = filling[place]
        return found

    async def edge(self, size: int) -> Edge:
        """The right edge of the tree of `size`, to go on from."""
        return Edge(size, [await self._row(place, size) for place in edge_of(size)])

    async def _row(self, place: Place, size: int) -> list[bytes]:
        first, count = place.number * WIDTH, width(place, size)
        if count == 0:
            return []
        if place.level == 0:
            return [leaf_hash(leaf) for leaf in await self.leaves(first, count)]
        below = sa.and_(
            tiles.c.level == place.level - 1, tiles.c.number >= first, tiles.c.number < first + count
        )
        rows = await self._store.rows(sa.select(tiles.c.root).where(below).order_by(tiles.c.number))
        if len(rows) != count:
            raise Unreadable(
                f"of level {place.level - 1} of the audit log's tree {count - len(rows)} tiles are missing",
                fix="restore the database: tiles are written once, and somebody deleted some",
            )
        return [bytes(row.root) for row in rows]

    # Leaves.

    async def leaves(self, first: int, count: int) -> list[bytes]:
        """The records of `count` events from index `first` on. Raises Unreadable where the log ends before."""
        page = await self._store.read_all(first, count, log=AUDIT)
        if len(page) != count:
            raise Unreadable(
                f"the audit log ends at position {first + len(page)}, and its tree goes on to {first + count}",
                fix="restore the database: somebody removed events from it",
            )
        return await self.leaves_of(page)

    async def leaves_of(self, page: Sequence[Recorded[Any]]) -> list[bytes]:
        if any(each.stream not in self._began_after for each in page):
            rows = await self._store.rows(sa.select(epochs))
            self._began_after = {f"{row.producer}@{row.epoch}": row.began_after for row in rows}
        return [self._leaf(each) for each in page]

    def _leaf(self, recorded: Recorded[Any]) -> bytes:
        producer, epoch, position = place_in_producer(recorded, self._began_after)
        leaf = Leaf.of(
            recorded.event.raw,
            position=recorded.position,
            producer=producer,
            epoch=epoch,
            producer_position=position,
        )
        return leaf.to_bytes()


def _newest_of(query: sa.Select[Any]) -> sa.Select[Any]:
    """The largest of these checkpoints, in a row for each cosignature."""
    largest = query.order_by(checkpoints.c.size.desc()).limit(1).subquery()
    return (
        sa.select(largest, sa.func.coalesce(cosigned_again.c.line, cosignatures.c.line).label("line"))
        .outerjoin(cosignatures, cosignatures.c.size == largest.c.size)
        .outerjoin(
            cosigned_again,
            sa.and_(
                cosigned_again.c.witness == cosignatures.c.witness,
                cosigned_again.c.size == cosignatures.c.size,
            ),
        )
        .order_by(cosignatures.c.witness)
        .limit(MAX_SIGNATURES - 1)  # with the log's own, as many as anybody reads
    )


def _cosigned_by(query: sa.Select[Any], witnesses: int) -> sa.Select[Any]:
    if not witnesses:
        return query
    count = sa.select(sa.func.count()).where(cosignatures.c.size == checkpoints.c.size)
    return query.where(count.scalar_subquery() >= witnesses)


def _signed(row: Any) -> Signed:
    """Raises Unreadable where the row is not as it was written: all that is looked up goes by what stands beside the
    note."""
    try:
        note = Note.from_bytes(row.note.encode())
        checkpoint = Checkpoint.from_text(note.text)
    except PlacetError as error:
        raise _no_row_of_ours(f"the checkpoint of {row.size} events", str(error)) from error
    if (checkpoint.size, checkpoint.origin) != (row.size, row.origin):
        said = f"it is of {checkpoint.origin} with {checkpoint.size}"
        raise _no_row_of_ours(f"the checkpoint of {row.origin} with {row.size} events", said)
    return Signed(size=row.size, origin=row.origin, note=note, epoch=row.epoch, signed_at=row.signed_at)


def _cosignature(line: str, size: int) -> Signature:
    try:
        return Signature.from_line(line)
    except Unreadable as error:
        raise _no_row_of_ours(f"a cosignature of the checkpoint of {size} events", str(error)) from error


def _no_row_of_ours(what: str, why: str) -> Unreadable:
    return Unreadable(
        f"in the database {what} is not what was written there: {why}",
        fix="restore the newest copy of the database from before, and find out who has access to it",
    )


_NEWEST = _newest_of(sa.select(checkpoints))
_TILES = sa.select(tiles.c.level, tiles.c.number, tiles.c.hashes).where(
    sa.tuple_(tiles.c.level, tiles.c.number).in_(sa.bindparam("places", expanding=True))
)
