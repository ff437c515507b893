"""Checkpoints go outside: to each witness, which remembers them and cosigns what goes on where its last one ended.

Each is asked by itself, at its own pace: one that is away keeps nobody waiting. What becomes of each is written down,
so that a witness that has not seen the log for an hour looks different from one that has.
"""

from __future__ import annotations

from datetime import timedelta

import sqlalchemy as sa

from placet.errors import PlacetError, Refused
from placet.events import Wiring
from placet.events.store import Put, Unit
from placet.metadata.ports import Knows, Witness
from placet.metadata.projections import cosignatures, cosigned_again, witnesses
from placet.metadata.tree import Signed, Tree
from placet.trust.notes import Signature

PATIENCE = timedelta(seconds=30)
"""Until who was away or refused is asked again, at most; a quarter of a second after the first time."""
ANEW = timedelta(hours=1)
"""Until one is asked for the same checkpoint again: where nothing happens, too, somebody says that it is still so."""
LONGEST_TROUBLE = 500
"""Characters: part of it is what a stranger answered."""


class Witnessing:
    """Shows new checkpoints to one witness."""

    def __init__(self, wiring: Wiring, witness: Witness) -> None:
        self._wiring = wiring
        self._witness = witness
        self._tree = Tree(wiring.store)
        self._told: int | None = None
        """The size that it named last, where that was another than what we remembered."""
        self._troubles = 0
        self._not_before = wiring.clock.now()

    async def tell(self) -> None:
        """Have the newest checkpoint seen, if it is not yet and nothing was in the way a moment ago."""
        now = self._wiring.clock.now()
        latest = await self._tree.latest()
        if latest is None or now < self._not_before:
            return
        size, seen_at = await self._seen()
        if size == latest.size and seen_at is not None and now.timestamp() - seen_at < ANEW.total_seconds():
            return
        try:
            await self._have_it_seen(latest, size)
        except PlacetError as error:
            await self._write(size if self._told is None else self._told, str(error))
            self._not_before = now + min(PATIENCE, timedelta(seconds=0.25 * 2**self._troubles))
            self._troubles = min(self._troubles + 1, 10)
        else:
            self._told, self._troubles = None, 0
            self._not_before = now + self._witness.pace

    async def _have_it_seen(self, latest: Signed, size: int) -> None:
        """`size` is what we remember that it has seen; it may tell another one, and is asked from there."""
        answer = await self._ask(latest, min(size, latest.size))
        if isinstance(answer, Knows):
            self._told = answer.size
            if answer.size > latest.size:
                raise Refused(
                    f"{self._witness.name} has seen a log of {answer.size} events, and this one has {latest.size}:"
                    " its end was cut off, or it is an older copy"
                )
            answer = await self._ask(latest, answer.size)
        match answer:
            case Knows(size=known):
                raise Refused(
                    f"{self._witness.name} says that it has seen {known} events, and does not go on from there"
                )
            case Signature() as signature:
                row = {
                    "size": latest.size,
                    "witness": self._witness.name,
                    "line": signature.line.removesuffix("\n"),
                }
                first = Put(table=cosignatures, row=row, keep=("line",))
                await self._write(latest.size, None, first, Put(table=cosigned_again, row=row))
            case None:
                await self._write(latest.size, None)

    async def _ask(self, latest: Signed, size: int) -> Signature | Knows | None:
        return await self._witness.show(await self._tree.consistency(size, latest))

    async def _seen(self) -> tuple[int, float | None]:
        """How much, and when it said so in the end: one that named a size may not have signed it for us."""
        query = sa.select(witnesses).where(witnesses.c.name == self._witness.name)
        rows = await self._wiring.store.rows(query)
        return (rows[0].size, rows[0].seen_at if rows[0].trouble is None else None) if rows else (0, None)

    async def _write(self, size: int, trouble: str | None, *more: Put) -> None:
        now = self._wiring.clock.now().timestamp()
        told = None if trouble is None else _printable(trouble)
        state = {"name": self._witness.name, "size": size, "asked_at": now, "trouble": told}
        if trouble is None:
            state["seen_at"] = now
        await self._wiring.store.commit(Unit(writes=(*more, Put(table=witnesses, row=state))))


def _printable(text: str) -> str:
    """Without what no database takes, and no terminal should: a witness may answer with anything."""
    return "".join(
        each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text[:LONGEST_TROUBLE]
    )
