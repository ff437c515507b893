"""Is there somebody who could take a certificate back? Nobody would hear of it from a certifier that is silent.

Its last sign of life is a row, so the silence is counted through restarts: counted from the start of the process, a
deployer that crashed again and again would serve for ever on certificates that nobody looks after. One that was away
itself, since it did not run or its machine slept, gives the certifier `GRACE` to be heard before it says so.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from placet.deployer import projections as p
from placet.events import Wiring
from placet.events.codec import moment, timestamp
from placet.events.store import Put, Unit

CERTIFIER = "certifier"
GRACE = timedelta(seconds=60)
"""After it was away: some of the certifier's signs, and time for a broker to be back."""
KEPT_EVERY = timedelta(seconds=30)
"""A sign sooner after the last one that was written down is not: a restart counts so much more silence at most."""


@dataclass(kw_only=True)
class Vigil:
    """`limit` is how long the certifier may be silent."""

    wiring: Wiring
    limit: timedelta
    _began: datetime = field(init=False)
    _asked: datetime = field(init=False)
    _heard: datetime | None = None
    _kept: datetime | None = None

    def __post_init__(self) -> None:
        self._began = self._asked = self.wiring.clock.now()

    async def on_alive(self, producer: str) -> None:
        if producer != CERTIFIER:
            return
        self._heard = now = self.wiring.clock.now()
        if self._kept is None or now - self._kept >= KEPT_EVERY:
            await self._keep(now)
            self._kept = now

    async def silent_since(self) -> datetime | None:
        """For who would start something: none while it was heard of in time. Raises `Unavailable`."""
        query = sa.select(p.signs_of_life.c.at).where(p.signs_of_life.c.producer == CERTIFIER)
        rows = await self.wiring.store.rows(query)
        if not rows:
            # Nothing was ever heard of it: its silence begins now, and with no later start.
            await self._keep(self._began, keep=("at",))
        else:  # another replica may have heard of it since this one did
            self._heard = max(moment(rows[0].at), self._heard or datetime.min.replace(tzinfo=UTC))
        return self._silent_since()

    async def silent_while_awake(self) -> datetime | None:
        """For who would end what serves, and asks again and again: none, too, for a while after it was away itself."""
        since = await self.silent_since()
        return since if self._is_awake() else None

    def silent_as_remembered(self) -> datetime | None:
        """The same for want of a database: as of what was heard by this process, or looked up before."""
        return self._silent_since() if self._is_awake() else None

    def _silent_since(self) -> datetime | None:
        heard = self._heard or self._began
        return heard if self.wiring.clock.now() - heard > self.limit else None

    def _is_awake(self) -> bool:
        now = self.wiring.clock.now()
        if now - self._asked > GRACE:
            self._began = now
        self._asked = now
        return now - self._began > GRACE

    async def _keep(self, at: datetime, *, keep: tuple[str, ...] = ()) -> None:
        row = {"producer": CERTIFIER, "at": timestamp(at)}
        await self.wiring.store.commit(Unit(writes=(Put(table=p.signs_of_life, row=row, keep=keep),)))


def silence(since: datetime) -> str:
    return f"nothing was heard since {timestamp(since)} from the certifier, who could take it back"
