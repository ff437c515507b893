"""What was said of the audit log so far, held against the log as it is."""

from __future__ import annotations

from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from hashlib import sha256

import sqlalchemy as sa
from placet.errors import Unreadable
from placet.events import Wiring, tables
from placet.events.chain import Chain
from placet.metadata.projections import (
    AUDIT,
    INDEX,
    checkpoints,
    index,
    producers,
    stream_of,
    tiles,
    witnesses,
)
from placet.metadata.tree import Tree
from placet.trust import checkpoints as notes
from placet.trust.checkpoints import Checkpoint
from placet.trust.merkle import EMPTY_ROOT, Frontier, leaf_hash
from placet.trust.notes import Note
from placet.trust.tiles import Edge, Tile
from placet.witness.records import origin_hash

from tests.faults.audit_at_work import ORIGIN, PRODUCER, WITNESS, Target


@dataclass(kw_only=True)
class Observer:
    """Hears a child until it is killed, and then looks. What it saw then is on the disk for good."""

    target: Target
    edge: Edge = field(default_factory=Edge)
    full: dict[tuple[int, int], Tile] = field(default_factory=dict)
    kept: dict[int, str] = field(default_factory=dict)
    """Positions that were acknowledged and not looked for yet, with the digests of their bytes."""
    said: dict[int, str] = field(default_factory=dict)
    """The same of the producer's own store."""
    signed: dict[int, str] = field(default_factory=dict)
    """Sizes that were signed, with their roots."""
    cosigned: int = 0
    """The largest size that the witness was heard to cosign."""
    troubles: set[str] = field(default_factory=set)
    """What was said of a disk that failed."""
    roots: list[str] = field(default_factory=lambda: [EMPTY_ROOT.hex()])
    """Of the log at each size, made apart from tiles."""
    frontier: Frontier = field(default_factory=Frontier)
    streams: dict[str, list[bytes]] = field(default_factory=dict)
    """Of the audit log: the digest of each event, by stream."""
    stores: dict[str, list[bytes]] = field(default_factory=dict)
    """Of the producers' own stores, by stream of the audit log."""
    chains: dict[str, list[Chain]] = field(default_factory=dict)
    checkpoints: int = 0
    swaps: int = 0
    """Generations of the index that were built."""

    def hear(self, line: str) -> None:
        match line.split():
            case ["kept", position, digest]:
                self.kept[int(position)] = digest
            case ["said", position, digest]:
                self.said[int(position)] = digest
            case ["signed", size, root]:
                self._sign(int(size), root)
            case ["cosigned", size]:
                self.cosigned = max(self.cosigned, int(size))
            case ["away", *words]:
                self.troubles.add(" ".join(words))
            case _:
                pass  # cut off by the kill: nobody heard of it

    def _sign(self, size: int, root: str) -> None:
        """It may be signed again: who ended before the commit did not know."""
        assert self.signed.setdefault(size, root) == root, f"two roots of {size} events are signed"

    async def look(self) -> None:
        wiring, producer = await self.target.wiring(), await self.target.producer()
        try:
            await self._look_at_checkpoints(wiring)
            await self._look_at_log(wiring)
            await self._look_at_tiles(wiring)
            await self._look_at_store(PRODUCER, producer)
            await self._look_at_store("metadata", wiring)
            await self._look_at_inbox(wiring)
            await self._look_at_heads(wiring)
            await self._look_at_index(wiring)
            await self._look_at_witnesses(wiring)
        finally:
            await wiring.store.close()
            await producer.store.close()

    async def is_level(self, wiring: Wiring, producer: Wiring) -> bool:
        """Whether all that was said is in the audit log by now."""
        head, own = await producer.store.head(), await wiring.store.head()
        rows = await wiring.store.rows(sa.select(tables.inbox_cursors))
        waiting = await wiring.store.rows(sa.select(tables.inbox.c.position))
        heard = {row.producer: row.position for row in rows}
        is_heard = heard.get(PRODUCER, 0) == head.position and heard.get("metadata", 0) == own.position
        return is_heard and not waiting

    async def _look_at_checkpoints(self, wiring: Wiring) -> None:
        rows = await wiring.store.rows(sa.select(checkpoints))
        for row in rows:
            found, _ = notes.verify(Note.from_bytes(row.note.encode()), [self.target.log_key])
            assert self.signed.get(found.size) == found.root.hex(), "what is in the database was told before"
        self.checkpoints = len(rows)

    async def _look_at_log(self, wiring: Wiring) -> None:
        tree = Tree(wiring.store)
        async with aclosing(wiring.store.replay(self.edge.size, log=AUDIT)) as pages:
            async for page in pages:
                for recorded, leaf in zip(page, await tree.leaves_of(page), strict=True):
                    digest = sha256(recorded.event.raw)
                    acknowledged = self.kept.pop(recorded.position, None)
                    assert acknowledged in (None, digest.hexdigest()), recorded.position
                    stream = self.streams.setdefault(recorded.stream, [])
                    assert recorded.version == len(stream) + 1
                    stream.append(digest.digest())
                    for tile in self.edge.extend([leaf_hash(leaf)]):
                        self.full[tile.level, tile.number] = tile
                    self.frontier.append(leaf_hash(leaf))
                    self.roots.append(self.frontier.root().hex())
        assert (await wiring.store.head(AUDIT)).position == self.edge.size
        assert self.edge.root() == self.frontier.root()
        assert not self.kept, f"{len(self.kept)} acknowledged events are missing"
        for size, root in self.signed.items():
            assert size <= self.edge.size, f"{size} events are signed, and the log ends at {self.edge.size}"
            assert self.roots[size] == root, f"what was signed of {size} events is not so"

    async def _look_at_tiles(self, wiring: Wiring) -> None:
        latest = await Tree(wiring.store).latest()
        size = latest.size if latest else 0
        for row in await wiring.store.rows(sa.select(tiles)):
            tile = self.full[row.level, row.number]
            assert (bytes(row.hashes), bytes(row.root)) == (tile.hashes, tile.root)
        count = await wiring.store.rows(sa.select(sa.func.count().label("number")).select_from(tiles))
        assert count[0].number == sum(size >> 8 * (level + 1) for level in range(8))

    async def _look_at_store(self, service: str, wiring: Wiring) -> None:
        """What the audit log has of a producer is what the producer has, in its order."""
        head = await wiring.store.head()
        stream = stream_of(service, head.epoch)
        store = self.stores.setdefault(stream, [])
        chains = self.chains.setdefault(stream, [Chain.begin(service, head.epoch, head.began_after)])
        async with aclosing(wiring.store.replay(len(store))) as pages:
            async for page in pages:
                for recorded in page:
                    store.append(sha256(recorded.event.raw).digest())
                    chain = Chain(chains[-1].epoch, chains[-1].position, chains[-1].value)
                    chain.extend(recorded.event.raw)
                    chains.append(chain)
        assert head.position == len(store)
        if service == PRODUCER:
            for position, digest in self.said.items():
                assert position <= len(store), f"{len(self.said)} events were said, and some are missing"
                assert store[position - 1].hex() == digest
            self.said.clear()
        audited = self.streams.get(stream, [])
        assert audited == store[: len(audited)], f"the audit log has something else than {service}"

    async def _look_at_inbox(self, wiring: Wiring) -> None:
        """Whatever was taken on is in the audit log, or waits: nobody sends it again."""
        for cursor in await wiring.store.rows(sa.select(tables.inbox_cursors)):
            audited = len(self.streams.get(stream_of(cursor.producer, cursor.epoch), []))
            inbox = tables.inbox
            waiting = await wiring.store.rows(
                sa.select(inbox.c.position, inbox.c.state)
                .where(inbox.c.producer == cursor.producer, inbox.c.state != "early")
                .order_by(inbox.c.position)
            )
            assert [row.position for row in waiting] == list(range(audited + 1, cursor.position + 1))
            assert {row.state for row in waiting} <= {"waiting"}, "nothing is parked"

    async def _look_at_heads(self, wiring: Wiring) -> None:
        for row in await wiring.store.rows(sa.select(producers)):
            chains = self.chains[stream_of(row.producer, row.epoch)]
            assert row.position < len(chains), f"{row.producer} said that it has {row.position}"
            assert chains[row.position].value.hex() == row.chain

    async def _look_at_index(self, wiring: Wiring) -> None:
        query = sa.select(
            index.c.generation, sa.func.count().label("rows"), sa.func.max(index.c.position).label("last")
        )
        counted = {
            row.generation: (row.rows, row.last)
            for row in await wiring.store.rows(query.group_by(index.c.generation))
        }
        rows = await wiring.store.rows(
            sa.select(tables.generations).where(tables.generations.c.name == INDEX.name)
        )
        states = [row.state for row in rows]
        assert not rows or states.count("serves") == 1
        assert states.count("builds") <= 1
        for row in rows:
            if row.state != "left":
                shown = (row.position, row.position or None) if row.position else (0, None)
                assert counted.get(row.generation, (0, None)) == shown, f"generation {row.generation}"
                assert row.position <= self.edge.size
            self.swaps = max(self.swaps, row.generation - 1)
        assert set(counted) <= {row.generation for row in rows}, "rows of no generation"

    async def _look_at_witnesses(self, wiring: Wiring) -> None:
        """What a witness is said to have, it has, and it is of this log."""
        whole = {}
        for file in self.target.kept.glob("*.checkpoint"):
            with suppress(Unreadable):  # torn: what was to be kept there is kept elsewhere
                found, _ = notes.verify(Note.from_bytes(file.read_bytes()), [self.target.log_key])
                whole[found.size] = found.root.hex()
        cosigned = self.target.witness().latest(origin_hash(ORIGIN))
        seen = None if cosigned is None else Checkpoint.from_text(cosigned.text)
        for size, root in [*whole.items(), *([] if seen is None else [(seen.size, seen.root.hex())])]:
            assert self.roots[size] == root
        assert self.cosigned <= (seen.size if seen else 0), "the witness forgot what it cosigned"
        for row in await wiring.store.rows(sa.select(witnesses).where(witnesses.c.trouble.is_(None))):
            if row.name == WITNESS:
                assert seen is not None
                assert row.size <= seen.size
            else:
                assert row.size in whole, f"the folder has no checkpoint of {row.size} events"
