"""Reading the tree over the audit log: roots, proofs, tiles and signed checkpoints, of today's and of any earlier size.

What is full was written once; what is not full yet at the right edge is made again from what lies below it, down to
the last events of the log. Tiles that many proofs need are kept in memory, with the hashes that are made from them. So
all of it is of the log as it is, or was when it was signed: that it is the log that was signed, the checkpoint tells.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from placet.errors import PlacetError, Unreadable
from placet.events import Recorded
from placet.events.store import EventStore
from placet.metadata.projections import (
    AUDIT,
    checkpoints,
    cosignatures,
    cosigned_again,
    epochs,
    events,
    tiles,
)
from placet.metadata.queries import place_in_producer
from placet.trust import merkle
from placet.trust.checkpoints import Checkpoint
from placet.trust.leaves import Leaf
from placet.trust.merkle import leaf_hash
from placet.trust.notes import MAX_SIGNATURES, Note, Signature
from placet.trust.proofs import ConsistencyProof, InclusionProof
from placet.trust.tiles import (
    WIDTH,
    Edge,
    Heights,
    Place,
    edge_of,
    heights_of,
    places_of,
    roots_in,
    roots_of,
    width,
)

KEPT = 256
"""Tiles that are kept in memory, of 16 KiB with their heights: above sixteen million events, or of a few sizes."""


@dataclass(frozen=True, kw_only=True)
class Signed:
    """A checkpoint as the log signed it, with the cosignatures that it has by now."""

    size: int
    origin: str
    note: Note
    epoch: str
    signed_at: float


@dataclass(frozen=True)
class Found:
    """A leaf, and the tile that its hash is in, where that is full."""

    leaf: bytes
    heights: Mapping[Place, Heights]


class Tree:
    def __init__(self, store: EventStore) -> None:
        self._store = store
        self._began_after: dict[str, int] = {}
        self._heights: OrderedDict[tuple[str, Place, int], Heights] = OrderedDict()
        """Of tiles that many proofs need, above the leaves' and at the edge, by the log's epoch and how full they are;
        last the one that was asked for last. In another epoch the database may never have had what this one saw."""

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

    async def latest_with(self, index: int) -> tuple[Signed | None, Found | None]:
        """The largest, and of a leaf what is needed for its proof in it. At once: most proofs are asked for so, and
        each way to the database and back takes longer than all the hashes of a proof."""
        place = Place(0, index // WIDTH)
        rows = await self._store.rows(_NEWEST_WITH_LEAF, {"at": index + 1, "tile": place.number})
        signed = self._cosigned(rows)
        if signed is None or rows[0].raw is None or width(place, signed.size) < WIDTH:
            return signed, None
        return signed, await self._found(place, rows[0])

    async def _signed(self, query: sa.Select[Any]) -> Signed | None:
        return self._cosigned(await self._store.rows(query))

    def _cosigned(self, rows: Sequence[sa.Row[Any]]) -> Signed | None:
        if not rows:
            return None
        signed = _signed(rows[0])
        more = [_cosignature(each.line, signed.size) for each in rows if each.line is not None]
        return replace(signed, note=signed.note.with_signatures(more))

    # Proofs.

    async def inclusion(self, index: int, signed: Signed, found: Found | None = None) -> InclusionProof:
        """That the leaf is in the signed tree; the leaf itself goes with it. Raises Refused where it is not."""
        spans = merkle.inclusion(index, signed.size)
        of = found or await self._leaf_with_its_tile(index, signed)
        rest = places_of(spans) - set(of.heights)
        hashes = roots_in(spans, {**of.heights, **await self._heights_of(rest, signed)})
        return InclusionProof(index=index, hashes=tuple(hashes), checkpoint=signed.note, extra=of.leaf)

    async def consistency(self, old: int, signed: Signed) -> ConsistencyProof:
        """That the signed tree begins with what it was at `old` leaves. Raises Refused where it was smaller."""
        spans = merkle.consistency(old, signed.size)
        hashes = roots_in(spans, await self._heights_of(places_of(spans), signed))
        return ConsistencyProof(old=old, hashes=tuple(hashes), checkpoint=signed.note)

    async def root(self, size: int) -> bytes:
        """Of the tree when it had `size` leaves, which are in the log now."""
        if size == 0:
            return merkle.EMPTY_ROOT
        span = (0, size)
        [root] = roots_of([span], await self.hashes(places_of([span]), size))
        return root

    async def _leaf_with_its_tile(self, index: int, signed: Signed) -> Found:
        """A tile at the edge is of many leaves' proofs, and comes by itself."""
        place = Place(0, index // WIDTH)
        if width(place, signed.size) == WIDTH:
            for row in await self._store.rows(_WITH_TILE, {"at": index + 1, "tile": place.number}):
                return await self._found(place, row)
        return Found((await self.leaves(index, 1))[0], {})

    async def _found(self, place: Place, row: sa.Row[Any]) -> Found:
        await self._know([row.stream])
        leaf = self._leaf(row.position, row.stream, row.version, bytes(row.raw))
        return Found(leaf, {} if row.hashes is None else {place: heights_of(bytes(row.hashes))})

    async def _heights_of(self, places: Collection[Place], signed: Signed) -> dict[Place, Heights]:
        keys = {place: (signed.epoch, place, width(place, signed.size)) for place in places}
        found = {place: self._heights[key] for place, key in keys.items() if key in self._heights}
        unknown = set(places) - set(found)
        if unknown:
            read = await self.hashes(unknown, signed.size)
            found.update((place, heights_of(tile)) for place, tile in read.items())
        for place, heights in found.items():
            key = keys[place]
            if place.level or width(place, signed.size) < WIDTH:
                self._heights[key] = heights
                self._heights.move_to_end(key)
        while len(self._heights) > KEPT:
            self._heights.popitem(last=False)
        return found

    # Tiles.

    async def hashes(self, places: Collection[Place], size: int) -> dict[Place, bytes]:
        """The tiles at `places`, those at the right edge of a tree of `size` as far as they are filled there."""
        found: dict[Place, bytes] = {}
        full = [place for place in places if width(place, size) == WIDTH]
        if full:
            rows = await self._store.rows(_TILES, {"places": full})
            found = {Place(row.level, row.number): bytes(row.hashes) for row in rows}
        for place in set(places) - set(found):
            found[place] = b"".join(await self._row(place, size))
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
        await self._know({each.stream for each in page})
        return [self._leaf(each.position, each.stream, each.version, each.event.raw) for each in page]

    async def _know(self, streams: Collection[str]) -> None:
        """Where their epochs began."""
        if not self._began_after.keys() >= set(streams):
            rows = await self._store.rows(sa.select(epochs))
            self._began_after = {f"{row.producer}@{row.epoch}": row.began_after for row in rows}

    def _leaf(self, position: int, stream: str, version: int, raw: bytes) -> bytes:
        producer, epoch, at = place_in_producer(position, stream, version, self._began_after)
        leaf = Leaf.of(raw, position=position, producer=producer, epoch=epoch, producer_position=at)
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
_IS_EVENT = events.c.position == sa.bindparam("at")
_IS_TILE = sa.and_(tiles.c.level == 0, tiles.c.number == sa.bindparam("tile"))
_EVENT_AND_TILE = (events.c.position, events.c.stream, events.c.version, events.c.raw, tiles.c.hashes)
"""An event, and the tile that its leaf's hash is in."""
_WITH_TILE = sa.select(*_EVENT_AND_TILE).outerjoin(tiles, _IS_TILE).where(_IS_EVENT)
_NEWEST_WITH_LEAF = (
    _NEWEST.add_columns(*_EVENT_AND_TILE).outerjoin(events, _IS_EVENT).outerjoin(tiles, _IS_TILE)
)
_TILES = sa.select(tiles.c.level, tiles.c.number, tiles.c.hashes).where(
    sa.tuple_(tiles.c.level, tiles.c.number).in_(sa.bindparam("places", expanding=True))
)
