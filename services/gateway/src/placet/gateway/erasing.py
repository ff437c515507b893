"""Forgetting a person: their key first, in one unit with all rows about them, then what they left in the registry.

From the first moment nobody can read what they gave: the key is gone, and with it the name, the words and the mails
that were sealed with it. Their tokens are revoked, and the log says so, by the opaque id alone. What lies in the
registry takes longer, so it is a job: it goes on after a crash, and `person.erased` says when it is done. The log
itself is not touched, and holds as before: it never had more of them than an id and salted digests.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

import msgspec
import sqlalchemy as sa

from placet.errors import Conflict, Forbidden, Refused, Unreadable
from placet.events import PLATFORM, Actor, Context, Finish, Job, UnitOfWork, Wiring, Worker, transact
from placet.events.codec import timestamp
from placet.events.contracts.gateway import ErasureRequested, PersonErased
from placet.events.store import Claim, ClaimLost
from placet.events.tables import jobs
from placet.events.unit_of_work import current_traceparent
from placet.gateway import projections as p
from placet.gateway.domain import TOKEN, RevokeToken
from placet.gateway.held import Held
from placet.gateway.intake import SERVICE
from placet.gateway.names import normalised
from placet.gateway.people import People
from placet.gateway.ports import AssessmentFiles, Facts

ERASERS = frozenset({"compliance", "admin"})
ERASE = "erase person"
ON_ITS_WAY = timedelta(minutes=10)
"""How young a blob may be that no manifest names yet."""
_ABOUT_PEOPLE = (p.person_keys, p.people, p.names_alike)
"""Small tables, which can be rewritten whole; what else was sealed is of no use without the key."""


FORGOTTEN = ""
"""In place of the digest of a name that nobody knows any more, since the gateway lost its database."""


class EraseJob(msgspec.Struct, frozen=True, kw_only=True):
    person: str


@dataclass(frozen=True, kw_only=True)
class _Gone:
    artifacts: int
    kept: int


class Erasing:
    def __init__(
        self, wiring: Wiring, people: People, held: Held, *, facts: Facts, assessments: AssessmentFiles
    ) -> None:
        self._wiring = wiring
        self._people = people
        self._held = held
        self._facts = facts
        self._assessments = assessments

    async def erase(self, person: str, by: str) -> dict[str, Any]:
        """What is held about them from here on. Asked again, what was not done yet is taken up again.

        Raises Unknown, Conflict where a project is held that they gave something for, and Forbidden for oneself: who
        would be left to do it again?
        """
        await self._held.must_be_known(person)
        if person == by:
            raise Forbidden(
                "you would erase yourself, and your own token with it",
                rule="privacy.own",
                fix="have it done by somebody else of compliance, or by another admin",
            )
        context = Context(
            project=PLATFORM,
            correlation=self._wiring.ids.new(),
            actor=Actor.person(by),
            traceparent=current_traceparent(),
        )
        while True:
            known = await self._wiring.store.rows(sa.select(p.people).where(p.people.c.person == person))
            name = await self._people.name_of(person)
            looks = None if name is None else await self._people.looks(name)
            free = await self._must_not_be_held(person, looks)
            destroy = partial(self._destroy, person=person, looks=looks, by=by)
            try:
                same = [_unchanged(row) for row in known] or [_still_nameless(person)]
                await transact(self._wiring, SERVICE, context, destroy, *free, *same)
            except ClaimLost:
                # They were given a token or a name just now, or a project was held, or somebody else erases them.
                continue
            return await self._held.person(person)

    def worker(self) -> Worker[EraseJob]:
        async def run(job: Job[EraseJob]) -> Finish:
            gone = await self._remove_artifacts(job.payload.person)
            scrubbed = await self._wiring.store.scrub(_ABOUT_PEOPLE)
            said = PersonErased(
                person=job.payload.person, artifacts=gone.artifacts, kept=gone.kept, scrubbed=scrubbed
            )

            async def finish(work: UnitOfWork) -> None:
                stream = stream_of(said.person)
                if any(isinstance(each, PersonErased) for each in await work.history(stream)):
                    return
                work.stage(stream, [said])
                show_erased(work, said, timestamp(work.now))

            return finish

        def gave_up(job: Job[EraseJob], reason: str) -> Finish:
            """It stays to be done, as its state shows, and `take_up_again` does so."""

            async def finish(work: UnitOfWork) -> None:
                return None

            return finish

        return Worker(kind=ERASE, payload=EraseJob, run=run, gave_up=gave_up, slots=1)

    async def take_up_again(self) -> None:
        """What was given up, be it that the registry was away for long."""
        waits = sa.select(jobs.c.key).where(jobs.c.kind == ERASE, jobs.c.key == p.erasures.c.person)
        rows = await self._wiring.store.rows(
            sa.select(p.erasures.c.person).where(p.erasures.c.erased_at.is_(None), ~waits.exists())
        )
        for row in rows:
            context = Context(
                project=PLATFORM, correlation=self._wiring.ids.new(), actor=Actor.service(SERVICE)
            )
            await transact(self._wiring, SERVICE, context, partial(_enqueue, person=row.person))

    async def _must_not_be_held(self, person: str, looks: str | None) -> tuple[Claim, ...]:
        """A claim in court goes before who wants to be forgotten (GDPR, article 17(3)(e)), and has an end.

        Returns what has to be so still in the unit that erases: a project may be held between a look and a commit.
        """
        given = _given_for(person, looks)
        rows = await self._wiring.store.rows(sa.select(p.holds.c.project).where(p.holds.c.project.in_(given)))
        saw, others = await self._held_that_saw(looks)
        held = {row.project for row in rows} | saw
        if held:
            projects = sorted(held)
            raise Conflict(
                f"{person} gave something for {', '.join(projects)}, of which nothing is removed while it is held",
                rule="privacy.held",
                fix=f"when the hold has done its work: `placet privacy release {projects[0]}`, then again",
            )
        if looks is None:
            return (_none_holds(given),)
        facts = p.personal_facts.c
        unseen = sa.select(facts.project).where(facts.digest.not_in(others))
        return _none_holds(given), _none_holds(unseen)

    async def _held_that_saw(self, looks: str | None) -> tuple[set[str], list[str]]:
        """The projects that are held, where what rules saw of people has that name; and what of them has it not."""
        if looks is None:
            return set(), []
        facts = p.personal_facts.c
        query = sa.select(facts.digest, facts.project).join_from(
            p.personal_facts, p.holds, p.holds.c.project == facts.project
        )
        found, others = set[str](), list[str]()
        for row in await self._wiring.store.rows(query):
            if await self._is_named(row.digest, looks):
                found.add(row.project)
            else:
                others.append(row.digest)
        return found, others

    async def _destroy(self, work: UnitOfWork, *, person: str, looks: str | None, by: str) -> None:
        stream = stream_of(person)
        history = await work.history(stream)
        if history:
            if not any(isinstance(each, PersonErased) for each in history):
                await _enqueue(work, person=person)
            return
        tokens, words = await self._revoke_tokens(work, person), await self._number_of_words(person)
        work.stage(stream, [ErasureRequested(person=person, requested_by=by, tokens=tokens, words=words)])
        work.put(p.person_keys, person=person, key=None)
        work.put(p.erasures, person=person, asked_at=timestamp(work.now), words=words, looks=looks)
        work.run(sa.update(p.reasons).where(p.reasons.c.given_by == person).values(sealed=None))
        work.run(sa.delete(p.names_alike).where(p.names_alike.c.person == person))
        work.run(sa.delete(p.idempotency).where(p.idempotency.c.person == person))
        sent = sa.select(p.senders.c.source).where(p.senders.c.person == person)
        theirs = sa.or_(p.sources.c.source.in_(sent), p.sources.c.owner_alike == looks)
        work.run(sa.update(p.sources).where(theirs).values(owner=None, owner_alike=None))
        work.run(sa.delete(p.builders).where(p.builders.c.alike == looks))
        await _enqueue(work, person=person)

    async def _number_of_words(self, person: str) -> int:
        theirs = sa.and_(p.reasons.c.given_by == person, p.reasons.c.sealed.is_not(None))
        rows = await self._wiring.store.rows(sa.select(sa.func.count().label("number")).where(theirs))
        return int(rows[0].number)

    async def _revoke_tokens(self, work: UnitOfWork, person: str) -> int:
        """Those that are not revoked yet; how many."""
        rows = await self._wiring.store.rows(
            sa.select(p.tokens.c.token).where(p.tokens.c.person == person).order_by(p.tokens.c.token)
        )
        said = 0
        for row in rows:
            said += len(await work.decide(TOKEN, f"token/{row.token}", RevokeToken(token=row.token)))
            work.put(p.revoked_tokens, token=row.token)
        return said

    async def _remove_artifacts(self, person: str) -> _Gone:
        """Whatever of it can be: what the registry refuses to remove is counted, and keeps nothing else."""
        removed = kept = 0
        looks = await self._looks(person)
        async for remove in self._artifacts(person, looks):
            try:
                removed += await remove()
            except Refused:
                kept += 1
        if looks == FORGOTTEN:
            # Any of it may have their name. It goes when its time is over; that all of theirs was gone would be untrue.
            kept += len([digest async for digest in self._facts.all_personal()])
        before = self._wiring.clock.now() - ON_ITS_WAY
        for files in (self._facts, self._assessments):
            await files.sweep(before)
        return _Gone(artifacts=removed, kept=kept)

    async def _looks(self, person: str) -> str | None:
        query = sa.select(p.erasures.c.looks).where(p.erasures.c.person == person)
        rows = await self._wiring.store.rows(query)
        return rows[0].looks if rows else None

    async def _artifacts(
        self, person: str, looks: str | None
    ) -> AsyncIterator[Callable[[], Awaitable[bool]]]:
        """How to remove each: what they answered, and what rules saw that names them."""
        table, store = p.assessments, self._wiring.store
        theirs = sa.and_(table.c.answered_by == person, table.c.answers.is_not(None))
        for row in await store.rows(sa.select(table.c.answers).where(theirs)):
            yield partial(self._assessments.remove_answers, row.answers)
        if not looks:
            return
        async for digest in self._facts.all_personal():
            if await self._is_named(digest, looks):
                yield partial(self._facts.remove_personal, digest)

    async def _is_named(self, digest: str, looks: str) -> bool:
        """Whether what lies there has their name. What nobody can read was written by nobody of ours."""
        try:
            personal = await self._facts.personal(digest)
            told = None if personal is None else msgspec.json.decode(personal)
        except (Refused, Unreadable, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return False
        for each in _texts(told):
            if await self._people.looks(normalised(each)) == looks:
                return True
        return False


async def _enqueue(work: UnitOfWork, *, person: str) -> None:
    work.enqueue(ERASE, person, EraseJob(person=person))


def show_erased(work: UnitOfWork, said: PersonErased, at: str) -> None:
    mine = p.erasures.c.person == said.person
    done = {"erased_at": at, "looks": None, "said": msgspec.json.encode(said)}
    work.run(sa.update(p.erasures).where(mine).values(**done))
    if not said.kept:
        answered = p.assessments.c.answered_by == said.person
        work.run(sa.update(p.assessments).where(answered).values(answers=None))


def stream_of(person: str) -> str:
    return f"person/{person.removeprefix('person:')}"


def _given_for(person: str, looks: str | None) -> sa.CompoundSelect[Any]:
    """The projects that they gave something for, or are named by."""
    words, answers, sources = p.reasons.c, p.assessments.c, p.sources.c
    sent = sa.select(p.senders.c.source).where(p.senders.c.person == person)
    built = sa.select(p.builders.c.source).where(p.builders.c.alike == looks)
    return sa.union(
        sa.select(words.project).where(words.given_by == person, words.sealed.is_not(None)),
        sa.select(answers.project).where(answers.answered_by == person, answers.answers.is_not(None)),
        sa.select(sources.project).where(sources.source.in_(sent), sources.owner.is_not(None)),
        sa.select(sources.project).where(sources.owner_alike == looks, sources.owner_alike.is_not(None)),
        sa.select(sources.project).where(sources.source.in_(built)),
    )


def _none_holds(projects: sa.SelectBase) -> Claim:
    """No hold is of one of these, which changes nothing where it is so."""
    holds = p.holds.c
    return Claim(
        statement=sa.update(p.holds).where(holds.project.in_(projects)).values(project=holds.project), rows=0
    )


def _unchanged(row: sa.Row[Any]) -> Claim:
    mine = sa.and_(p.people.c.person == row.person, p.people.c.tokens == row.tokens)
    return Claim(statement=sa.delete(p.people).where(mine))


def _still_nameless(person: str) -> Claim:
    """They were given no name meanwhile, as a provider's people are when they come for the first time."""
    mine = sa.update(p.people).where(p.people.c.person == person)
    return Claim(statement=mine.values(person=p.people.c.person), rows=0)


def _texts(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case list():
            for each in value:
                yield from _texts(each)
        case dict():
            for each in value.values():
                yield from _texts(each)
