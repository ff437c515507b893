"""How long what people gave is kept: each kind has a clock of its own, and a hold stops them all for a project.

Once a day what is over its time is removed, and said with its number. What a certificate stands on that holds still is
kept however old it is, and so is what is held. Events are never removed: they hold no more of people than ids.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, Literal, TypeAlias

import sqlalchemy as sa

from placet.errors import Refused, Unknown
from placet.events import PLATFORM, Actor, Context, UnitOfWork, Wiring, transact
from placet.events.codec import moment, timestamp
from placet.events.contracts.gateway import HoldLifted, HoldPlaced, RetentionApplied
from placet.events.store import Claim, ClaimLost
from placet.events.unit_of_work import current_traceparent
from placet.gateway import projections as p
from placet.gateway.intake import SERVICE
from placet.gateway.people import People
from placet.gateway.ports import AssessmentFiles, Facts
from placet.gateway.reasons import give_reason, salted, with_words, words_in

KEEPERS = frozenset({"compliance", "admin"})
READERS = KEEPERS | {"auditor"}
Kind: TypeAlias = Literal["words", "answers", "facts"]
AT_ONCE = 500
"""Rows that one unit removes."""
ON_ITS_WAY = timedelta(minutes=10)
"""How young a blob may be that no manifest names yet."""


@dataclass(frozen=True, kw_only=True)
class _Class:
    """Rows with a project and a moment; `file` is the digest of what they stand for in the registry, if anything."""

    kind: Kind
    what: str
    id: sa.Column[str]
    project: sa.Column[str]
    at: sa.Column[str]
    is_there: sa.ColumnElement[bool]
    file: sa.Column[str] | None = None

    def query(self, *conditions: sa.ColumnElement[bool]) -> sa.Select[Any]:
        columns: list[sa.ColumnElement[Any]] = [
            self.id.label("id"),
            self.at.label("at"),
            self.project.label("project"),
        ]
        if self.file is not None:
            columns.append(self.file.label("file"))
        query: sa.Select[Any] = sa.select(*columns).where(self.is_there, *conditions)
        return query.order_by(self.at, self.id)


CLASSES: Sequence[_Class] = (
    _Class(
        kind="words",
        what="reasons and summaries",
        id=p.reasons.c.of,
        project=p.reasons.c.project,
        at=p.reasons.c.given_at,
        is_there=p.reasons.c.sealed.is_not(None),
    ),
    _Class(
        kind="answers",
        what="answers to questionnaires",
        id=p.assessments.c.assessment,
        project=p.assessments.c.project,
        at=p.assessments.c.answered_at,
        is_there=p.assessments.c.answers.is_not(None),
        file=p.assessments.c.answers,
    ),
    _Class(
        kind="facts",
        what="what rules saw of people",
        id=p.personal_facts.c.digest,
        project=p.personal_facts.c.project,
        at=p.personal_facts.c.named_at,
        is_there=sa.true(),
        file=p.personal_facts.c.digest,
    ),
)


class Retaining:
    """`days` says of each kind how long it is kept at least."""

    def __init__(
        self,
        wiring: Wiring,
        people: People,
        days: Mapping[Kind, int],
        *,
        facts: Facts,
        assessments: AssessmentFiles,
    ) -> None:
        self._wiring = wiring
        self._people = people
        self._days = days
        self._files = (facts, assessments)
        self._remove: Mapping[str, Callable[[str], Awaitable[bool]]] = {
            "answers": assessments.remove_answers,
            "facts": facts.remove_personal,
        }

    async def told(self) -> dict[str, Any]:
        """Each kind with its clock, how much there is, what would go now, and when the next would."""
        return {
            "classes": [await self._told(each) for each in CLASSES],
            "holds": await self._holds(sa.true()),
        }

    async def apply(self) -> None:
        """Remove what is over its time. What is not removed, since the registry is away, has its turn the next day."""
        for each in CLASSES:
            await self._apply(each)
        before = self._wiring.clock.now() - ON_ITS_WAY
        for files in self._files:
            await files.sweep(before)

    async def hold(self, project: str, reason: str, person: str) -> dict[str, Any]:
        """Nothing of the project is removed from here on. Held again, nothing changes, and the first reason stays.

        Raises Unknown for a project of which there is nothing: who mistypes a name would believe that it is held.
        """
        if not await self._is_known(project):
            raise Unknown(
                f"there is nothing of a project {project}, so there is nothing to hold",
                fix="see `placet list` for the names of projects",
            )
        words, by = salted(reason), await self._people.owner(person)

        async def change(work: UnitOfWork) -> None:
            if _is_held(await work.history(_stream(project))):
                return
            placed = HoldPlaced(
                hold=f"hold:{work.new_id()}", project=project, reason=words.digest, placed_by=person
            )
            work.stage(_stream(project), [placed])
            give_reason(work, placed.hold, words, by)
            at = timestamp(work.now)
            work.put(p.holds, project=project, hold=placed.hold, placed_by=person, placed_at=at)

        await transact(self._wiring, SERVICE, self._context(project, Actor.person(person)), change)
        [told] = await self._holds(p.holds.c.project == project)
        return told

    async def _is_known(self, project: str) -> bool:
        of_projects = (p.models, p.releases, p.sources, p.assessments, p.personal_facts, p.reasons)
        known = [sa.select(sa.literal(1)).where(each.c.project == project).exists() for each in of_projects]
        return bool((await self._wiring.store.rows(sa.select(sa.or_(*known).label("known"))))[0].known)

    async def release(self, project: str, person: str) -> None:
        """The clocks of the project count again. Of one that is not held, nothing changes.

        Raises Unknown for a project of which there is nothing: who mistypes a name would believe that it is released.
        """
        if not await self._holds(p.holds.c.project == project) and not await self._is_known(project):
            raise Unknown(
                f"there is nothing of a project {project}, so nothing of it was held",
                fix="`placet privacy retention` shows what is held",
            )

        async def change(work: UnitOfWork) -> None:
            history = await work.history(_stream(project))
            if not _is_held(history):
                return
            lifted = HoldLifted(hold=history[-1].hold, project=project, lifted_by=person)
            work.stage(_stream(project), [lifted])
            work.run(sa.delete(p.holds).where(p.holds.c.project == project))

        await transact(self._wiring, SERVICE, self._context(project, Actor.person(person)), change)

    async def _told(self, of: _Class) -> dict[str, Any]:
        days, now = self._days[of.kind], self._wiring.clock.now()
        before, store = timestamp(now - timedelta(days=days)), self._wiring.store
        free = self._is_free(of)
        next_ = await store.rows(of.query(free, of.at >= before).limit(1))
        return {
            "kind": of.kind,
            "what": of.what,
            "days": days,
            "number": await self._number(of),
            "due": await self._number(of, free, of.at < before),
            "kept": await self._number(of, ~free, of.at < before),
            "nextAt": timestamp(moment(next_[0].at) + timedelta(days=days)) if next_ else None,
        }

    async def _apply(self, of: _Class) -> None:
        before = timestamp(self._wiring.clock.now() - timedelta(days=self._days[of.kind]))
        after = ("", "")
        place = sa.tuple_(of.at, of.id)
        while True:
            due = of.query(self._is_free(of), of.at < before, place > sa.tuple_(*map(sa.literal, after)))
            rows = await self._wiring.store.rows(due.limit(AT_ONCE))
            if not rows:
                break
            after = (rows[-1].at, rows[-1].id)
            gone = [row.id for row in rows if await self._is_removed(of, row)]
            said = RetentionApplied(
                kind=of.kind, before=before, removed=len(gone), kept=len(rows) - len(gone)
            )
            context = self._context(PLATFORM, Actor.service(SERVICE))
            forget = partial(_forget, of=of, ids=gone, said=said)
            # What lies in the registry is gone by now, whatever is held since.
            free = (self._are_free(of, gone),) if of.file is None else ()
            if gone:
                with suppress(
                    ClaimLost
                ):  # a project was held just now: what is not of it has its turn the next day
                    await transact(self._wiring, SERVICE, context, forget, *free)

    def _are_free(self, of: _Class, ids: Sequence[str]) -> Claim:
        """None of them is held, which changes nothing where it is so."""
        held = sa.and_(of.id.in_(ids), ~self._is_free(of))
        return Claim(statement=sa.update(of.id.table).where(held).values({of.id: of.id}), rows=0)

    async def _is_removed(self, of: _Class, row: sa.Row[Any]) -> bool:
        if of.file is None:
            return True
        # There are many, and the registry takes its time: it may be held since they were looked for.
        if not await self._wiring.store.rows(of.query(self._is_free(of), of.id == row.id)):
            return False
        try:
            await self._remove[of.kind](row.file)
        except Refused:
            return False
        return True

    def _is_free(self, of: _Class) -> sa.ColumnElement[bool]:
        """Neither held nor of a project with a certificate that holds."""
        now, certificates = timestamp(self._wiring.clock.now()), p.certificates.c
        stands = sa.exists().where(
            certificates.project == of.project,
            certificates.not_after > now,
            certificates.standing.is_distinct_from("revoked"),
        )
        return ~sa.or_(stands, sa.exists().where(p.holds.c.project == of.project))

    async def _number(self, of: _Class, *conditions: sa.ColumnElement[bool]) -> int:
        counted = of.query(*conditions).order_by(None).subquery()
        rows = await self._wiring.store.rows(sa.select(sa.func.count().label("number")).select_from(counted))
        return int(rows[0].number)

    async def _holds(self, which: sa.ColumnElement[bool]) -> list[dict[str, Any]]:
        query = with_words(sa.select(p.holds), p.holds.c.hold).where(which).order_by(p.holds.c.project)
        rows = await self._wiring.store.rows(query)
        shown = await self._people.all_shown(row.placed_by for row in rows)
        return [
            {
                "hold": row.hold,
                "project": row.project,
                "reason": words_in(row),
                "placedBy": shown[row.placed_by],
                "placedAt": row.placed_at,
            }
            for row in rows
        ]

    def _context(self, project: str, actor: Actor) -> Context:
        return Context(
            project=project,
            correlation=self._wiring.ids.new(),
            actor=actor,
            traceparent=current_traceparent(),
        )


def _stream(project: str) -> str:
    return f"hold/{project}"


def _is_held(history: Sequence[Any]) -> bool:
    return bool(history) and isinstance(history[-1], HoldPlaced)


async def _forget(work: UnitOfWork, *, of: _Class, ids: Sequence[str], said: RetentionApplied) -> None:
    mine = of.id.in_(ids)
    match of.kind:
        case "words":
            work.run(sa.update(p.reasons).where(mine).values(sealed=None))
        case "answers":
            work.run(sa.update(p.assessments).where(mine).values(answers=None))
        case "facts":
            work.run(sa.delete(p.personal_facts).where(mine))
    work.report(f"retention/{of.kind}", said)
