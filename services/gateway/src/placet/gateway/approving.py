"""Approving releases that wait for it: decide, and write the row in the same unit."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import msgspec
import sqlalchemy as sa

from placet.errors import Conflict
from placet.events import Actor, Context, UnitOfWork, Wiring, transact
from placet.events.codec import timestamp
from placet.events.unit_of_work import current_traceparent
from placet.gateway import projections as p
from placet.gateway.approvals import APPROVAL, Approve, stream
from placet.gateway.intake import SERVICE
from placet.gateway.queries import Queries
from placet.gateway.reasons import give_reason, salted


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """An approval as somebody gives it; `binding` is the digest of what they looked at."""

    project: str
    release: int
    binding: str
    roles: frozenset[str]
    reason: str | None = None
    break_glass: bool = False

    @property
    def digest(self) -> str:
        of = (
            self.project,
            self.release,
            self.binding,
            sorted(self.roles),
            self.reason,
            self.break_glass,
        )
        return hashlib.sha256(msgspec.json.encode(of)).hexdigest()


class Approving:
    def __init__(self, wiring: Wiring, queries: Queries) -> None:
        self._wiring = wiring
        self._queries = queries

    async def approve(self, wanted: Wanted, person: str, *, key: str | None) -> tuple[dict[str, Any], bool]:
        """The approval, and whether it is new: the same key and request again give the same one.

        It goes on in the operation that waits for it. Raises Forbidden for who has to do with the release, Refused for
        one that waits for nothing, or for something else, and for who approved it before.
        """
        id = f"approval:{self._wiring.ids.new()}"
        operation, awaited = await self._queries.awaited(wanted.project, wanted.release)
        context = Context(
            project=wanted.project,
            correlation=operation or self._wiring.ids.new(),
            actor=Actor.person(person),
            traceparent=current_traceparent(),
        )
        reason = None if wanted.reason is None else salted(wanted.reason)
        source = None if awaited is None else awaited.binding.source
        sent, built = await self._queries.made(source, person)

        async def change(work: UnitOfWork) -> tuple[str, bool]:
            if key is not None:
                earlier = await self._queries.earlier_request(person, key)
                if earlier is not None:
                    if earlier.request != wanted.digest:
                        raise Conflict(
                            f"Idempotency-Key {key!r} was used for another request",
                            fix="use a new key for a new request",
                        )
                    return earlier.operation, False
            approve = Approve(
                approval=id,
                project=wanted.project,
                release=wanted.release,
                binding=wanted.binding,
                awaited=awaited,
                by=person,
                roles=wanted.roles,
                reason=None if reason is None else reason.digest,
                sent=sent,
                built=built,
                break_glass=wanted.break_glass,
            )
            await work.decide(APPROVAL, stream(wanted.project, wanted.release), approve)
            work.put(
                p.approvals,
                approval=id,
                project=wanted.project,
                release=wanted.release,
                binding=wanted.binding,
                roles=",".join(sorted(wanted.roles)),
                given_by=person,
                given_at=timestamp(work.now),
                break_glass=wanted.break_glass,
            )
            if reason is not None:
                give_reason(work, id, reason, await self._queries.people.owner(person))
            if key is not None:
                row = {"person": person, "key": key, "request": wanted.digest, "operation": id}
                work.run(sa.insert(p.idempotency).values(**row, asked_at=work.now.timestamp()))
            return id, True

        (given, is_new), _ = await transact(self._wiring, SERVICE, context, change)
        return await self._queries.approval(given), is_new
