"""The way out: publish the service's own log, in order, again after every doubt.

The store is the outbox. One relay at a time (the service's leader) reads contiguous positions and publishes
windows with confirms; it advances only when a whole window is confirmed, so a crash or a cut repeats messages
and never skips one. Now and then it announces how far it has sent, so that hearers know when they are behind,
and it sends again what they ask for. It decides nothing and changes no event.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from placet.errors import Unavailable, Unreadable
from placet.events import tables
from placet.events.bus import EpochBegan, HeadAnnounced, Outgoing, routing_key
from placet.events.chain import Chain
from placet.events.envelope import Recorded
from placet.events.outcome import backoff
from placet.events.store import EVENTS, PAGE, Head, Put, Unit
from placet.events.wiring import Wiring

log = logging.getLogger(__name__)

WINDOW = 100
RESEND_AT_MOST = 500
"""Positions that are sent again for one wish: who lacks more asks again."""


class Relay:
    """The outbox of one service. `run` it while leading."""

    def __init__(self, service: str, wiring: Wiring, *, announce_every: float = 2.0) -> None:
        self._service = service
        self._wiring = wiring
        self._announce_every = announce_every
        self._position = 0
        self._saved = 0
        self._head = 0
        self._epochs: list[Head] = []
        self._chain: Chain | None = None
        """Over what the store has: read from the epoch's beginning by each relay, so that it is never a memory."""
        self._asked: dict[int, int] = {}
        self._is_asked_for_head = False
        self._wake = asyncio.Event()

    @property
    def backlog(self) -> int:
        """Events committed and not yet confirmed by the broker, as last seen."""
        return max(self._head - self._position, 0)

    @property
    def sent(self) -> int | None:
        """The position up to which the broker confirmed all; none while that is not known yet."""
        return self._position if self._epochs else None

    def resend(self, after: int, upto: int) -> None:
        """Announce the head, and send positions `after` + 1 to `upto` again, at most `RESEND_AT_MOST`; overlapping
        wishes are met once. Whoever lacks no position lacks the epochs."""
        self._is_asked_for_head = True
        after = max(after, 0)
        self._asked[after] = max(min(upto, after + RESEND_AT_MOST), self._asked.get(after, 0))
        self._wake.set()

    async def run(self) -> None:
        """Publish until cancelled. Waits while the broker or the database is away."""
        failures = 0
        announced = float("-inf")
        loop = asyncio.get_running_loop()
        while True:
            try:
                if not self._epochs:
                    await self._load()
                seen = self._wiring.store.committed.count
                may_have_more = True
                if self._is_asked_for_head or loop.time() - announced >= self._announce_every:
                    self._is_asked_for_head = False
                    await self.announce()
                    announced = loop.time()
                    may_have_more = (
                        self._position < self._head
                    )  # the end that was told need not be looked for
                busy = may_have_more and await self._publish_next()
                busy = await self._send_again() or busy
                busy = await self._read_up() or busy
                failures = 0
                if not busy:
                    await self._save()
                    await self._idle(seen)
            except Unavailable as error:
                failures += 1
                if failures == 1:
                    log.warning("%s: the outbox waits: %s", self._service, error)
                await asyncio.sleep(min(backoff(failures), 2.0))

    async def drain(self) -> None:
        """Publish what is committed by now, as far as broker and database allow."""
        try:
            if not self._epochs:
                await self._load()
            while await self._publish_next():
                pass
            await self._save()
        except Unavailable as error:
            log.warning("%s: %d events stay in the outbox: %s", self._service, self.backlog, error)

    async def announce(self) -> None:
        """Tell every hearer how far the log has been sent.

        Not how far it goes: what is still on its way would look like a hole, and all would ask for it again.
        """
        await self._look_at_epochs()
        if self._epochs[-1].position < self._position:
            # A failover shows in the first commit after it, which nobody may have made yet.
            await self._wiring.store.commit(Unit())
            await self._look_at_epochs()
        self._head = self._epochs[-1].position
        if self._head < self._position:
            raise Unreadable(
                f"the log of {self._service} ends at {self._head}, and {self._position} was sent: it was restored",
                fix=f"python -m placet.{self._service} --begin-epoch, then start it again",
            )
        epochs = tuple(EpochBegan(epoch=each.epoch, began_after=each.began_after) for each in self._epochs)
        await self._wiring.bus.tell(
            HeadAnnounced(
                producer=self._service,
                position=self._position,
                end=self._head,
                epochs=epochs,
                chain=self._chained(),
            )
        )

    async def _load(self) -> None:
        query = sa.select(tables.relay_cursor.c.position).where(tables.relay_cursor.c.log == EVENTS)
        rows = await self._wiring.store.rows(query)
        self._position = self._saved = rows[0].position if rows else 0
        self._epochs = await self._wiring.store.epochs()
        *earlier, latest = self._epochs
        self._head = latest.position
        if earlier and self._head < self._position:
            # It was written down after a failover by a relay that ended before it looked for new epochs.
            self._position = latest.began_after

    async def _publish_next(self) -> bool:
        after = self._position
        window = await self._wiring.store.read_all(after, WINDOW, sealed=True)
        if not window:
            return False
        if await self._publish(window):
            self._position = window[-1].position
        self._head = max(self._head, self._position)
        if self._position - self._saved >= 10 * WINDOW:
            await self._save()
        return True

    def _chained(self) -> str | None:
        chain, latest = self._chain, self._epochs[-1]
        is_level = chain is not None and (chain.epoch, chain.position) == (latest.epoch, self._position)
        return chain.value.hex() if chain is not None and is_level else None

    async def _read_up(self) -> bool:
        """A page more of what was sent into the chain. Returns whether there is more."""
        latest = self._epochs[-1]
        chain = self._chain
        if chain is None or chain.epoch != latest.epoch:
            chain = self._chain = Chain.begin(self._service, latest.epoch, latest.began_after)
        count = min(PAGE, self._position - chain.position)
        if count <= 0:
            return False
        for each in await self._wiring.store.read_all(chain.position, count, sealed=True):
            chain.extend(each.event.raw)
        return chain.position < self._position

    async def _send_again(self) -> bool:
        """One window, so that nobody's wishes hold up what is new."""
        if not self._asked:
            return False
        after = min(self._asked)
        upto = min(self._asked.pop(after), self._position)
        window = (
            await self._wiring.store.read_all(after, min(WINDOW, upto - after), sealed=True)
            if after < upto
            else []
        )
        if not window or not await self._publish(window):
            return True  # who still lacks it asks again
        reached = window[-1].position
        wishes = {max(begin, reached): end for begin, end in self._asked.items() if end > reached}
        if upto > reached:
            wishes[reached] = max(upto, wishes.get(reached, 0))
        self._asked = wishes
        return True

    async def _publish(self, window: Sequence[Recorded[Any]]) -> bool:
        """False where an epoch began before the end of `window`, which may have been read before a failover: what it
        holds need not be the new epoch's."""
        # After the window was read: whoever begins an epoch meanwhile does so behind it, or is seen here.
        new = await self._look_at_epochs()
        if any(each.began_after < window[-1].position for each in new):
            return False
        await self._wiring.bus.publish(
            [
                Outgoing(
                    id=each.event.id,
                    routing_key=routing_key(each.event.type, each.event.partitionkey),
                    epoch=self._epoch_at(each.position),
                    position=each.position,
                    raw=each.event.raw,
                    traceparent=each.event.attributes.traceparent,
                )
                for each in window
            ]
        )
        return True

    async def _look_at_epochs(self) -> Sequence[Head]:
        """Those that are new here. What is said in one that began further back is to be sent: a database that failed
        over may lack what was sent."""
        known = {each.epoch for each in self._epochs}
        self._epochs = await self._wiring.store.epochs()
        new = [each for each in self._epochs if known and each.epoch not in known]
        self._position = min([self._position, *(each.began_after for each in new)])
        return new

    def _epoch_at(self, position: int) -> str:
        return next(head.epoch for head in reversed(self._epochs) if head.began_after < position)

    async def _save(self) -> None:
        """Write down how far we are. Behind the truth after a crash, which repeats messages and loses none."""
        if self._saved == self._position:
            return
        row = {"log": EVENTS, "position": self._position}
        await self._wiring.store.commit(Unit(writes=(Put(table=tables.relay_cursor, row=row),)))
        self._saved = self._position

    async def _idle(self, seen: int) -> None:
        self._wake.clear()
        if self._asked:
            return
        committed = self._wiring.store.committed
        waiters = [
            asyncio.ensure_future(
                committed.wait(min(committed.look_every, self._announce_every), after=seen)
            ),
            asyncio.ensure_future(self._wake.wait()),
        ]
        try:
            await asyncio.wait(waiters, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for waiter in waiters:
                waiter.cancel()
