"""What producers say of their own stores, kept for whoever holds the log against it."""

from __future__ import annotations

from contextlib import suppress

from placet.errors import Unavailable
from placet.events import Wiring
from placet.events.bus import HeadAnnounced
from placet.events.store import Put, Unit
from placet.metadata.projections import producers


class Hearing:
    """Writes down what is news: a log in which nothing happens is announced again and again."""

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring
        self._last: dict[str, tuple[str, int, str]] = {}

    async def on_head(self, head: HeadAnnounced) -> None:
        if head.chain is None or not head.epochs:
            return
        said = (head.epochs[-1].epoch, head.position, head.chain)
        if self._last.get(head.producer) == said:
            return
        epoch, position, chain = said
        row = {
            "producer": head.producer,
            "epoch": epoch,
            "position": position,
            "chain": chain,
            "said_at": self._wiring.clock.now().timestamp(),
        }
        with suppress(Unavailable):  # it is said again in a moment
            await self._wiring.store.commit(Unit(writes=(Put(table=producers, row=row),)))
            self._last[head.producer] = said
