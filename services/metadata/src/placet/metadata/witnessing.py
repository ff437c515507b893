"""Checkpoints go outside: to each witness, which remembers them and cosigns what goes on where its last one ended.

Each is asked by itself, at its own pace: one that is away keeps nobody waiting. What becomes of each is written down,
so that a witness that has not seen the log for an hour looks different from one that has.
"""

from __future__ import annotations

from datetime import timedelta

import sqlalchemy as sa

from placet.errors import Conflict, PlacetError, Refused
from placet.events import Wiring
from placet.events.store import Put, Run, Unit
from placet.metadata.ports import Knows, Witness
from placet.metadata.projections import cosignatures, witnesses
from placet.metadata.tree import Signed, Tree
from placet.trust.notes import Signature

PATIENCE = timedelta(seconds=30)
"""Until who was away or refused is asked again, at most; a quarter of a second after the first time."""


class Witnessing:
    """Shows new checkpoints to one witness."""

    def __init__(self, wiring: Wiring, witness: Witness) -> None:
        self._wiring = wiring
        self._witness = witness
        self._tree = Tree(wiring.store)
        self._troubles = 0
        self._not_before = wiring.clock.now()

    async def tell(self) -> None:
        """Have the newest checkpoint seen, if it is not yet and nothing was in the way a moment ago."""
        now = self._wiring.clock.now()
        latest = await self._tree.latest()
        if latest is None or now < self._not_before:
            return
        size = await self._seen()
        if size == latest.size:
            return
        try:
            await self._have_it_seen(latest, size)
        except Conflict:
            return  # another process, which led until now, told this witness
        except PlacetError as error:
            await self._write(size, str(error))
            self._not_before = now + min(PATIENCE, timedelta(seconds=0.25 * 2**self._troubles))
            self._troubles = min(self._troubles + 1, 10)
        else:
            self._troubles = 0

    async def _have_it_seen(self, latest: Signed, size: int) -> None:
        name = self._witness.name
        match await self._witness.show(await self._tree.consistency(min(size, latest.size), latest)):
            case Knows(size=known) if known > latest.size:
                raise Refused(
                    f"{name} has seen a log of {known} events, and this one has {latest.size}: its end was cut off,"
                    " or it is an older copy"
                )
            case Knows(size=known):
                await self._write(known, None)
            case Signature() as signature:
                row = {"size": latest.size, "witness": name, "line": signature.line.removesuffix("\n")}
                await self._write(latest.size, None, Run(statement=sa.insert(cosignatures), parameters=[row]))
            case None:
                await self._write(latest.size, None)

    async def _seen(self) -> int:
        query = sa.select(witnesses.c.size).where(witnesses.c.name == self._witness.name)
        rows = await self._wiring.store.rows(query)
        return rows[0].size if rows else 0

    async def _write(self, size: int, trouble: str | None, *more: Run) -> None:
        now = self._wiring.clock.now().timestamp()
        state = {"name": self._witness.name, "size": size, "asked_at": now, "trouble": trouble}
        if trouble is None:
            state["seen_at"] = now
        await self._wiring.store.commit(Unit(writes=(*more, Put(table=witnesses, row=state))))
