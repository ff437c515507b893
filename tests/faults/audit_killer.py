"""Kill the process that keeps the audit log and grows the tree over it, again and again, and look at what is left.

    python -m tests.faults.audit_killer FOLDER ROUNDS SEED [DATABASE_URL]

Each round a child appends events and seals without a pause, saying what was acknowledged and what was signed, until it
is killed in the middle of something. Then the log has to verify: nothing that was acknowledged is missing, every
checkpoint that was ever signed is of this log, and tiles are those of its tree. The children are forked from a process
that has imported everything, so that a thousand kills take minutes. In SQLite below FOLDER, or in PostgreSQL.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from contextlib import aclosing
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, TextIO

import sqlalchemy as sa
from opentelemetry import trace
from placet.events import Context, Heard, UnitOfWork, Wiring
from placet.events.adapters.in_process_bus import InProcessBus, InProcessHub
from placet.events.clocks import SystemClock, TimeOrderedIds
from placet.events.codec import Codec
from placet.events.contracts import CATALOG
from placet.events.envelope import Actor
from placet.events.wiring import open_distributed_store
from placet.metadata import handlers
from placet.metadata.adapters.http_receivers import HttpReceivers
from placet.metadata.adapters.signed_file import SignedFile
from placet.metadata.ports import Ports
from placet.metadata.projections import AUDIT, TABLES, checkpoints, tiles
from placet.metadata.reach import Reach
from placet.metadata.sealing import Sealing
from placet.metadata.tree import Tree
from placet.trust import OwnKeys
from placet.trust import checkpoints as notes
from placet.trust.checkpoints import Checkpoint
from placet.trust.key_files import KeyFiles
from placet.trust.merkle import EMPTY_ROOT, Frontier, leaf_hash
from placet.trust.notes import SIGNS, Note, NoteKey
from placet.trust.tiles import Edge, Tile

from tests.unit.gateway.roads import asked

ORIGIN = "placet.example/audit"


@dataclass(frozen=True, kw_only=True)
class Target:
    folder: Path
    database_url: str | None

    async def wiring(self) -> Wiring:
        if self.database_url is None:
            return await Wiring.embedded(
                "metadata", data=self.folder, hub=InProcessHub(), tables=(TABLES,), logs=(AUDIT,)
            )
        store = await open_distributed_store("metadata", self.database_url, tables=(TABLES,), logs=(AUDIT,))
        return Wiring(
            store=store,
            bus=InProcessBus(InProcessHub(), "metadata"),
            codec=Codec(CATALOG),
            clock=SystemClock(),
            ids=TimeOrderedIds(),
            tracer=trace.get_tracer("test"),
        )

    def keys(self) -> OwnKeys:
        return OwnKeys(self.folder / "checkpoints.pem", SystemClock().now)


class Telling:
    """The `SignedBefore` port, which says what it is given: that is signed, whether or not it is committed then."""

    def __init__(self, file: SignedFile, told: TextIO) -> None:
        self._file = file
        self._told = told

    async def last(self) -> Checkpoint | None:
        return await self._file.last()

    async def keep(self, checkpoint: Checkpoint) -> None:
        self._told.write(f"signed {checkpoint.size} {checkpoint.root.hex()}\n")
        self._told.flush()
        await self._file.keep(checkpoint)


async def keep_and_seal(target: Target, told: TextIO, seed: int) -> None:
    """Until killed."""
    chance = random.Random(seed)  # noqa: S311 - how many events, not secrets
    wiring = await target.wiring()
    signed = Telling(SignedFile(target.folder / "checkpoints.last"), told)
    sealing = Sealing(
        wiring, Ports(receivers=HttpReceivers(Reach()), keys=KeyFiles(target.keys()), signed=signed), ORIGIN
    )

    async def keep() -> None:
        while True:
            last = (await wiring.store.head(AUDIT)).position
            heard = [heard_of(wiring, last + at) for at in range(1, chance.choice((1, 2, 5, 40, 300)) + 1)]
            work = UnitOfWork(wiring, "metadata", Context.after(heard[0].event, "metadata"))
            await handlers.on_events(heard, work, wiring.store)
            for each in await wiring.store.commit(work.unit()):
                told.write(f"kept {each.position} {sha256(each.event.raw).hexdigest()}\n")
            told.flush()

    async def seal() -> None:
        while True:
            await sealing.catch_up()
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(keep())
        tasks.create_task(seal())


def heard_of(wiring: Wiring, position: int) -> Heard[Any]:
    sealed = wiring.codec.seal(
        asked(release=position),
        id=wiring.ids.new(),
        time=wiring.clock.now(),
        subject="stream",
        partitionkey="churn",
        correlationid=wiring.ids.new(),
        actor=Actor.service("gateway"),
    )
    return Heard(event=wiring.codec.read_envelope(sealed.raw), epoch="1", position=position)


@dataclass(kw_only=True)
class Observer:
    """What was said of the log so far, held against the log as it is."""

    target: Target
    edge: Edge = field(default_factory=Edge)
    full: dict[tuple[int, int], Tile] = field(default_factory=dict)
    kept: dict[int, str] = field(default_factory=dict)
    """Positions that were acknowledged and not looked for yet, with the digests of their bytes."""
    signed: dict[int, str] = field(default_factory=dict)
    """Sizes that were signed, with their roots."""
    roots: list[str] = field(default_factory=lambda: [EMPTY_ROOT.hex()])
    """Of the log at each size, made apart from tiles."""
    frontier: Frontier = field(default_factory=Frontier)
    checkpoints: int = 0

    def hear(self, line: str) -> None:
        match line.split():
            case ["kept", position, digest]:
                self.kept[int(position)] = digest
            case ["signed", size, root]:
                self._sign(int(size), root)
            case _:
                pass  # cut off by the kill: nobody heard of it

    def _sign(self, size: int, root: str) -> None:
        """It may be signed again: who ended before the commit did not know."""
        assert self.signed.setdefault(size, root) == root, f"two roots of {size} events are signed"

    async def look(self) -> None:
        wiring = await self.target.wiring()
        tree = Tree(wiring.store)
        rows = await wiring.store.rows(sa.select(checkpoints))
        known = [NoteKey(name=ORIGIN, kind=SIGNS, key=self.target.keys().active().key.public)]
        for row in rows:
            found, _ = notes.verify(Note.from_bytes(row.note.encode()), known)
            assert self.signed.get(found.size) == found.root.hex(), "what is in the database was told before"
        self.checkpoints = len(rows)
        async with aclosing(wiring.store.replay(self.edge.size, log=AUDIT)) as pages:
            async for page in pages:
                for recorded, leaf in zip(page, await tree.leaves_of(page), strict=True):
                    digest = self.kept.pop(recorded.position, None)
                    assert digest in (None, sha256(recorded.event.raw).hexdigest()), recorded.position
                    for tile in self.edge.extend([leaf_hash(leaf)]):
                        self.full[tile.level, tile.number] = tile
                    self.frontier.append(leaf_hash(leaf))
                    self.roots.append(self.frontier.root().hex())
        assert self.edge.root() == self.frontier.root()
        assert not self.kept, f"{len(self.kept)} acknowledged events are missing"
        for size, root in self.signed.items():
            assert size <= self.edge.size, f"{size} events are signed, and the log ends at {self.edge.size}"
            assert self.roots[size] == root, f"what was signed of {size} events is not so"
        await self._look_at_tiles(wiring)
        await wiring.store.close()

    async def _look_at_tiles(self, wiring: Wiring) -> None:
        latest = await Tree(wiring.store).latest()
        size = latest.size if latest else 0
        for row in await wiring.store.rows(sa.select(tiles)):
            tile = self.full[row.level, row.number]
            assert (bytes(row.hashes), bytes(row.root)) == (tile.hashes, tile.root)
        count = await wiring.store.rows(sa.select(sa.func.count().label("number")).select_from(tiles))
        assert count[0].number == sum(size >> 8 * (level + 1) for level in range(8))


def kill_once(target: Target, observer: Observer, chance: random.Random) -> None:
    reading, writing = os.pipe()
    child: int = os.fork()
    if child == 0:
        os.close(reading)
        with os.fdopen(writing, "w") as told:
            asyncio.run(keep_and_seal(target, told, chance.randrange(2**32)))
        os._exit(1)  # it has no end of its own
    os.close(writing)
    with os.fdopen(reading) as lines:
        for _ in range(chance.randrange(1, 400)):
            observer.hear(lines.readline())
        for _ in range(chance.randrange(100_000)):  # into the middle of whatever comes next
            pass
        os.kill(child, signal.SIGKILL)
        for line in lines:
            if line.endswith("\n"):
                observer.hear(line)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), "the child ended by itself"


def main(folder: Path, rounds: int, seed: int, database_url: str | None) -> None:
    target = Target(folder=folder, database_url=database_url)
    target.keys().begin()
    observer, chance = Observer(target=target), random.Random(seed)  # noqa: S311
    for _ in range(rounds):
        kill_once(target, observer, chance)
        asyncio.run(observer.look())
    print(rounds, observer.edge.size, observer.checkpoints)  # noqa: T201 - for who started this


if __name__ == "__main__":
    where, rounds, seed, *url = sys.argv[1:]
    main(Path(where), int(rounds), int(seed), url[0] if url else None)
