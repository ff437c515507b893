"""One replica of a service hears and publishes; the others stand by.

A lease in the service's own database says who. It is renewed while the leader lives and taken over when it
ran out; a leader that cannot renew in time stops by itself. It runs by the database's clock: those of the processes
may differ as they like. Two may still both believe that they lead, where one was stopped and woke up late, and do no
harm: claims in every unit let only one of two handle a message.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import sqlalchemy as sa

from placet.errors import Conflict, Unavailable
from placet.events import tables
from placet.events.leases import shared_now
from placet.events.store import Claim, ClaimLost, Run, Unit
from placet.events.wiring import Wiring

log = logging.getLogger(__name__)

LEADER = "leader"
RELEASE_WITHIN = 2.0
"""Seconds to give a lease back; a database that hangs must not hold up an end, and the lease runs out by itself."""


class Leadership:
    """A named lease of `seconds`, renewed three times in that span."""

    def __init__(self, service: str, wiring: Wiring, *, owner: str, seconds: float) -> None:
        self._service = service
        self._wiring = wiring
        self._owner = owner
        self._seconds = seconds
        self.is_held = False
        self.impediment: str | None = None
        """Why the lease cannot even be asked for; the database may answer readers all the same."""
        self._good_until = 0.0
        """In the event loop's time. Counted from before the database was asked, since it may answer late."""

    async def acquire(self) -> None:
        """Wait until the lease is ours."""
        while not self.is_held:
            try:
                await self._ask()
                self.impediment = None
            except Unavailable as error:
                self.impediment = f"cannot ask for the lease: {error}"
                log.warning("%s: %s", self._service, self.impediment)
            if not self.is_held:
                await asyncio.sleep(self._seconds / 5)

    async def keep(self) -> None:
        """Renew until cancelled. Returns when the lease is lost, at its end at the latest, whatever hangs."""
        while self.is_held:
            await asyncio.sleep(self._seconds / 3)
            # Who was held up itself wakes late: it did nothing meanwhile, and may ask whether it still leads.
            at_least = asyncio.get_running_loop().time() + self._seconds / 3
            try:
                async with asyncio.timeout_at(max(self._good_until, at_least)):
                    await self._ask()
            except (Unavailable, TimeoutError) as error:
                self.is_held = self._is_good_for(self._seconds / 3)
                log.warning(
                    "%s: cannot renew the lease: %s",
                    self._service,
                    str(error) or "the database does not answer",
                )
        log.warning("%s: leads no longer", self._service)

    async def _ask(self) -> None:
        asked_at = asyncio.get_running_loop().time()
        if await self._try():
            self._good_until = asked_at + self._seconds
            self.is_held = self._is_good_for(0.0)
        else:
            self.is_held = False

    def _is_good_for(self, seconds: float) -> bool:
        return asyncio.get_running_loop().time() + seconds < self._good_until

    async def release(self) -> None:
        """Give the lease back, so that a stand-by need not wait for it to run out."""
        self.is_held = False
        table = tables.leases
        mine = sa.delete(table).where(table.c.name == LEADER, table.c.owner == self._owner)
        try:
            async with asyncio.timeout(RELEASE_WITHIN):
                await self._wiring.store.commit(Unit(writes=(Run(statement=mine),)))
        except (Unavailable, TimeoutError):
            return  # it runs out by itself

    async def _try(self) -> bool:
        table = tables.leases
        now = shared_now(self._wiring.clock.now())
        values: dict[str, Any] = {"owner": self._owner, "until": now + self._seconds}
        # A lease far in the future was taken before a clock was set back: nobody holds one for so long.
        ran_out = sa.or_(table.c.until < now, table.c.until > now + 10 * self._seconds)
        free = sa.and_(table.c.name == LEADER, sa.or_(table.c.owner == self._owner, ran_out))
        try:
            await self._wiring.store.commit(
                Unit(claims=(Claim(statement=sa.update(table).where(free).values(**values)),))
            )
        except ClaimLost:
            return await self._first(values)
        return True

    async def _first(self, values: dict[str, Any]) -> bool:
        table = tables.leases
        if await self._wiring.store.rows(sa.select(table.c.owner).where(table.c.name == LEADER)):
            return False
        try:
            await self._wiring.store.commit(
                Unit(claims=(Claim(statement=sa.insert(table).values(name=LEADER, **values)),))
            )
        except Conflict:
            return False
        return True
