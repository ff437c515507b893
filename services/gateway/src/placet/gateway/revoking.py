"""Revoking a certificate: somebody asks, with a reason, and the certifier says that it is over."""

from __future__ import annotations

from functools import partial
from typing import Any

import sqlalchemy as sa

from placet.errors import Conflict
from placet.events import Actor, Context, UnitOfWork, Wiring, transact
from placet.events.codec import timestamp
from placet.events.contracts.gateway import RevocationRequested
from placet.events.unit_of_work import current_traceparent
from placet.gateway import projections as p
from placet.gateway.intake import SERVICE
from placet.gateway.people import Owner
from placet.gateway.queries import Queries
from placet.gateway.reasons import Reason, give_reason, salted


class Revoking:
    def __init__(self, wiring: Wiring, queries: Queries) -> None:
        self._wiring = wiring
        self._queries = queries

    async def revoke(self, certificate: str, reason: str, person: str) -> dict[str, Any]:
        """The certificate's standing. Asked again for the same reason, nothing changes.

        Raises Unknown, and Conflict for one whose time is over and for another reason than the first.
        """
        row = await self._queries.certificate(certificate)
        if row.standing == "revoked":
            await self._must_be_the_reason(reason, certificate)
        else:
            if row.not_after <= timestamp(self._wiring.clock.now()):
                raise Conflict(
                    f"{certificate} ended at {row.not_after}", fix="there is nothing left to revoke"
                )
            context = Context(
                project=row.project,
                correlation=self._wiring.ids.new(),
                actor=Actor.person(person),
                traceparent=current_traceparent(),
            )
            by = await self._queries.people.owner(person)
            ask = partial(_ask, row=row, reason=salted(reason), by=by)
            await transact(self._wiring, SERVICE, context, ask)
        return await self._queries.standing(certificate, now=timestamp(self._wiring.clock.now()))

    async def _must_be_the_reason(self, reason: str, certificate: str) -> None:
        """Whoever asks why reads the first one. One that was erased is not asked about."""
        if await self._queries.reason_to_compare(certificate) not in (None, reason):
            raise Conflict(
                f"{certificate} is revoked already, for another reason, which stays",
                fix=f"`placet certificate show {certificate}` shows it",
            )


async def _ask(work: UnitOfWork, *, row: sa.Row[Any], reason: Reason, by: Owner) -> None:
    asked = RevocationRequested(
        certificate=row.certificate,
        project=row.project,
        release=row.release,
        reason=reason.digest,
        requested_by=by.person,
    )
    work.report(f"certificate/{row.certificate}", asked)
    give_reason(work, row.certificate, reason, by)
    mine = p.certificates.c.certificate == row.certificate
    work.run(
        sa.update(p.certificates)
        .where(mine)
        .values(standing="revoked", revoked_by=by.person, revoked_at=timestamp(work.now))
    )
