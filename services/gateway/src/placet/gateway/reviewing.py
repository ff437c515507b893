"""Reviewing what two people had certified in haste: somebody else looks at it, once, and says what they found."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from placet.errors import Conflict, Forbidden
from placet.events import Actor, Context, UnitOfWork, Wiring, transact
from placet.events.codec import timestamp
from placet.events.contracts.gateway import ReviewGiven
from placet.events.unit_of_work import current_traceparent
from placet.gateway import projections as p
from placet.gateway.intake import SERVICE
from placet.gateway.queries import Queries
from placet.gateway.reasons import give_reason, salted


class Reviewing:
    def __init__(self, wiring: Wiring, queries: Queries) -> None:
        self._wiring = wiring
        self._queries = queries

    async def review(self, certificate: str, found: str, person: str) -> dict[str, Any]:
        """The certificate's standing. Raises Unknown where no review is owed, Forbidden for who had to do with it, and
        Conflict for what was reviewed before."""
        owed = await self._queries.review_of(certificate)
        if person in owed.concerned.split(",") or await self._made(owed, person):
            raise Forbidden(
                f"you had {certificate} given, or asked for its release, sent or built it, and nobody reviews their"
                " own",
                rule="review.own",
                fix="somebody else has to, who is an approver or of compliance",
            )
        reason = salted(found)
        context = Context(
            project=owed.project,
            correlation=self._wiring.ids.new(),
            actor=Actor.person(person),
            traceparent=current_traceparent(),
        )

        async def change(work: UnitOfWork) -> None:
            stream = f"review/{certificate}"
            if await work.history(stream):
                raise Conflict(
                    f"{certificate} was reviewed already",
                    rule="review.twice",
                    fix=f"`placet certificate show {certificate}` shows what was found",
                )
            given = ReviewGiven(
                review=f"review:{work.new_id()}",
                certificate=certificate,
                project=owed.project,
                release=owed.release,
                reason=reason.digest,
                given_by=person,
            )
            work.stage(stream, [given])
            give_reason(work, given.review, reason, await self._queries.people.owner(person))
            mine = p.reviews.c.certificate == certificate
            told = {"review": given.review, "given_by": person, "given_at": timestamp(work.now)}
            work.run(sa.update(p.reviews).where(mine).values(**told))

        await transact(self._wiring, SERVICE, context, change)
        return await self._queries.standing(certificate, now=timestamp(self._wiring.clock.now()))

    async def _made(self, owed: sa.Row[Any], person: str) -> bool:
        """Whether they sent its source, or are named there as one who built it."""
        source = await self._queries.source_awaited(owed.project, owed.release)
        return any(await self._queries.made(source, person))
