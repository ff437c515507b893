"""Asking for exceptions from rules, granting and withdrawing them: decide, and write the row in the same unit."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from placet.errors import Conflict, Refused
from placet.events import Actor, Context, UnitOfWork, Wiring, transact
from placet.events.codec import timestamp
from placet.events.unit_of_work import current_traceparent
from placet.gateway import projections as p
from placet.gateway.exceptions import EXCEPTION, Ask, Grant, Withdraw, stream
from placet.gateway.intake import SERVICE
from placet.gateway.ports import Rules
from placet.gateway.queries import Queries
from placet.gateway.reasons import give_reason, said_in_words, salted


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """An exception as somebody asks for it; of one source, if it names one."""

    project: str
    rule: str
    until: datetime
    reason: str
    source: str | None = None


class Excepting:
    """`days` is how far ahead an exception may end at most."""

    def __init__(self, wiring: Wiring, queries: Queries, rules: Rules, *, days: int) -> None:
        self._wiring = wiring
        self._queries = queries
        self._rules = rules
        self._days = days

    async def request(self, wanted: Wanted, person: str) -> tuple[dict[str, Any], bool]:
        """The exception, and whether it is new: who asks for the same again is told of the first.

        Raises Refused for a rule that admits none, for an end that is over or too far ahead and where too many wait,
        and Conflict for the same with another reason.
        """
        await self._must_be_exceptable(wanted.rule)
        id = f"exception:{self._wiring.ids.new()}"
        reason = salted(wanted.reason)

        async def change(work: UnitOfWork) -> tuple[str, bool]:
            now, until = timestamp(work.now), timestamp(wanted.until)
            same = {
                "project": wanted.project,
                "rule": wanted.rule,
                "source": wanted.source or p.ANY_SOURCE,
                "until": until,
                "requested_by": person,
            }
            before = await self._queries.exception_asked_before(same, now=now)
            if before is not None:
                _must_have_reason(said_in_words(before), wanted, before.exception)
                return before.exception, False
            # Asked at the very same moment, a few more may pass: as many as one person may have under way.
            of_project, by_person = await self._queries.open_exceptions(wanted.project, person, now=now)
            ask = Ask(
                exception=id,
                project=wanted.project,
                rule=wanted.rule,
                source=wanted.source,
                until=until,
                reason=reason.digest,
                by=person,
                now=now,
                latest=timestamp(work.now + timedelta(days=self._days)),
                days=self._days,
                open_of_project=of_project,
                open_by_person=by_person,
            )
            await work.decide(EXCEPTION, stream(id), ask)
            # Whoever asks for the same at this moment finds this row there, and starts again.
            work.run(sa.insert(p.asked_exceptions).values(exception=id, is_open=True, **same))
            work.put(
                p.exceptions,
                exception=id,
                project=ask.project,
                rule=ask.rule,
                source=ask.source,
                until=ask.until,
                requested_by=person,
                requested_at=ask.now,
            )
            give_reason(work, id, reason, await self._queries.people.owner(person))
            return id, True

        asked, is_new = (
            await transact(self._wiring, SERVICE, self._context(wanted.project, person), change)
        )[0]
        return await self._told(wanted.project, asked), is_new

    async def grant(self, project: str, exception: str, person: str) -> dict[str, Any]:
        """Raises Unknown, Forbidden for who asked for it, and Conflict for what no longer stands."""

        async def change(work: UnitOfWork) -> None:
            now = timestamp(work.now)
            grant = Grant(project=project, exception=exception, by=person, now=now)
            if await work.decide(EXCEPTION, stream(exception), grant):
                work.run(_update(exception, granted_by=person, granted_at=now))
                mine = p.asked_exceptions.c.exception == exception
                work.run(sa.update(p.asked_exceptions).where(mine).values(is_open=False))

        await transact(self._wiring, SERVICE, self._context(project, person), change)
        return await self._told(project, exception)

    async def withdraw(self, project: str, exception: str, person: str, *, decides: bool) -> dict[str, Any]:
        """Raises Unknown, Forbidden for who neither asked for it nor decides, and Conflict for what is over."""

        async def change(work: UnitOfWork) -> None:
            now = timestamp(work.now)
            withdraw = Withdraw(project=project, exception=exception, by=person, decides=decides, now=now)
            if await work.decide(EXCEPTION, stream(exception), withdraw):
                work.run(_update(exception, withdrawn_by=person, withdrawn_at=now))
                mine = p.asked_exceptions.c.exception == exception
                work.run(sa.delete(p.asked_exceptions).where(mine))

        await transact(self._wiring, SERVICE, self._context(project, person), change)
        return await self._told(project, exception)

    async def _must_be_exceptable(self, rule: str) -> None:
        admits = await self._rules.admit_exceptions(self._wiring.clock.now())
        if admits.get(rule):
            return
        said = f"the rule {rule} admits no exception" if rule in admits else f"there is no rule {rule!r} here"
        others = ", ".join(sorted(each for each, does in admits.items() if does))
        raise Refused(said, fix=f"those that admit one: {others}")

    def _context(self, project: str, person: str) -> Context:
        return Context(
            project=project,
            correlation=self._wiring.ids.new(),
            actor=Actor.person(person),
            traceparent=current_traceparent(),
        )

    async def _told(self, project: str, exception: str) -> dict[str, Any]:
        return await self._queries.exception(project, exception, now=timestamp(self._wiring.clock.now()))


def _must_have_reason(said: str | None, wanted: Wanted, exception: str) -> None:
    """Who grants it reads the first one. One that was erased is not asked about."""
    if said not in (None, wanted.reason):
        raise Conflict(
            f"you asked for the same before, as {exception}, and with another reason, which stays",
            fix=f"to have it say the new one: `placet exception withdraw {wanted.project} {exception}`, then ask again",
        )


def _update(exception: str, **values: Any) -> sa.Update:
    return sa.update(p.exceptions).where(p.exceptions.c.exception == exception).values(**values)
