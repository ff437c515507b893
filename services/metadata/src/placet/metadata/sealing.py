"""The tree over the audit log grows with it: full tiles are written once, and what there is is signed.

Leaves come in the log's order, so the tree is the same whoever grows it and however often; two who do so at the same
time write the same rows, and the database lets one of them. Tiles and the checkpoint over them are one unit, and
before that unit the checkpoint is kept outside the database: what was signed is known even where the database is taken
back.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing

import sqlalchemy as sa

from placet.errors import Conflict, Unreadable
from placet.events import Wiring
from placet.events.store import Run, Unit
from placet.metadata.origins import Evidence, origin_of
from placet.metadata.ports import Ports
from placet.metadata.projections import AUDIT, checkpoints, tiles
from placet.metadata.tree import Tree
from placet.trust import checkpoints as notes
from placet.trust.checkpoints import Checkpoint
from placet.trust.merkle import leaf_hash
from placet.trust.tiles import Edge, Tile

MOST_OVERTAKEN = 20
"""Whoever leads no longer finds out within a few seconds."""
AT_ONCE = 1024
"""Events that are read at once."""
SIGNED_AT_ONCE = 16 * AT_ONCE
"""Events that one unit brings into the tree at most: a unit waits for the disk, and appends wait for the unit."""


class Sealing:
    """Grows the tree for as long as this process leads."""

    def __init__(self, wiring: Wiring, ports: Ports, base: str) -> None:
        self._wiring = wiring
        self._store = wiring.store
        self._ports = ports
        self._base = base
        self._tree = Tree(wiring.store)
        self._overtaken = 0
        """Times in a row that another process wrote first."""
        self._growing: tuple[str, Edge] | None = None
        """The log's origin, and the edge of the tree as it was committed last."""

    async def seal(self) -> None:
        """Sign what is in the log by now, then wait for more. Raises Refused where the log is not what was signed."""
        seen = self._store.committed.count
        try:
            await self.catch_up()
        except Conflict:
            self._overtaken += 1
            if self._overtaken > MOST_OVERTAKEN:
                raise Unreadable(
                    "the tree over the audit log has rows that no checkpoint of it is over: somebody removed those",
                    fix="restore the newest copy of the database",
                ) from None
            return  # another process, which led until now, wrote these rows: see how far it came
        self._overtaken = 0
        await self._store.committed.wait(self._store.committed.look_every, after=seen)

    async def catch_up(self) -> None:
        """Sign what is in the log by now. Raises Conflict where another process does the same at the same time."""
        origin, edge = self._growing or await self._open()
        self._growing = None  # unless all goes well: what is in memory may be ahead of what was committed
        while await self._grow(origin, edge):
            pass
        self._growing = origin, edge

    async def _grow(self, origin: str, edge: Edge) -> bool:
        """Sign as much more as one unit takes. Returns whether there was more."""
        before, full, is_more = edge.size, list[Tile](), False
        async with aclosing(self._store.replay(edge.size, limit=AT_ONCE, log=AUDIT)) as pages:
            async for page in pages:
                full += edge.extend(leaf_hash(leaf) for leaf in await self._tree.leaves_of(page))
                # What comes meanwhile waits for the next checkpoint: under load there would be no end of them.
                is_more = len(page) == AT_ONCE
                if not is_more or edge.size - before >= SIGNED_AT_ONCE:
                    break
        if edge.size > before:
            await self._sign(origin, edge, full)
        return is_more

    async def _sign(self, origin: str, edge: Edge, full: Sequence[Tile]) -> None:
        checkpoint = Checkpoint(origin=origin, size=edge.size, root=edge.root())
        active = await self._ports.keys.active()
        note = notes.sign(checkpoint, active.key)
        epoch = (await self._store.head(AUDIT)).epoch
        row = {
            "size": edge.size,
            "origin": origin,
            "note": str(note),
            "epoch": epoch,
            "signed_at": self._wiring.clock.now().timestamp(),
        }
        await self._ports.signed.keep(checkpoint)
        await self._store.commit(
            Unit(
                writes=(
                    Run(statement=sa.insert(tiles), parameters=[each._asdict() for each in full]),
                    Run(statement=sa.insert(checkpoints), parameters=[row]),
                )
            )
        )

    async def _open(self) -> tuple[str, Edge]:
        """Where the tree ends, and under which name it goes on."""
        latest, signed = await self._tree.latest(), await self._ports.signed.last()
        log_epochs = await self._store.epochs(AUDIT)
        edge = await self._tree.edge(latest.size if latest else 0)
        if latest and Checkpoint.from_text(latest.note.text).root != edge.root():
            raise Unreadable(
                f"the audit log, or its tree, was changed since its checkpoint of {latest.size} events was signed",
                fix="see what `placet audit verify` names, and restore the newest copy from before",
            )
        evidence = Evidence(
            epoch=log_epochs[-1].epoch,
            number=len(log_epochs),
            in_database=(latest.origin, latest.epoch) if latest else None,
            signed=signed,
            goes_on=signed is None or await self._begins_with(signed, log_epochs[-1].position, edge.size),
        )
        return origin_of(self._base, evidence), edge

    async def _begins_with(self, signed: Checkpoint, head: int, size: int) -> bool:
        """Whether the log does. What was signed may be ahead of the tree: the process ended before the commit."""
        if signed.size > head:
            return False
        if signed.size <= size:
            return await self._tree.root(signed.size) == signed.root
        edge = await self._tree.edge(size)
        while edge.size < signed.size:
            count = min(AT_ONCE, signed.size - edge.size)
            edge.extend(leaf_hash(leaf) for leaf in await self._tree.leaves(edge.size, count))
        return edge.root() == signed.root
