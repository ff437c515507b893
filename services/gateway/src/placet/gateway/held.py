"""What is held about a person, and in which form: for them, and for who is asked by them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from placet.errors import Unknown
from placet.events.store import EventStore
from placet.gateway import projections as p
from placet.gateway.people import People
from placet.gateway.reasons import GIVEN, words_in

ACTS = (
    ("exceptionsRequested", p.exceptions.c.requested_by),
    ("exceptionsGranted", p.exceptions.c.granted_by),
    ("exceptionsWithdrawn", p.exceptions.c.withdrawn_by),
    ("approvals", p.approvals.c.given_by),
    ("reviews", p.reviews.c.given_by),
    ("revocations", p.certificates.c.revoked_by),
    ("policies", p.policies.c.submitted_by),
    ("advisories", p.advisories.c.submitted_by),
    ("questionnaires", p.questionnaires.c.imported_by),
    ("assessments", p.assessments.c.answered_by),
    ("sources", p.senders.c.person),
)
"""What somebody did, by the opaque id that events have as well."""


class Held:
    def __init__(self, store: EventStore, people: People) -> None:
        self._store = store
        self._people = people

    async def page(self, *, after: str | None, limit: int) -> list[dict[str, Any]]:
        """People by id, in the order in which they came, also those who were erased."""
        query = sa.select(p.person_keys.c.person).order_by(p.person_keys.c.person).limit(limit)
        if after is not None:
            query = query.where(p.person_keys.c.person > after)
        people = [row.person for row in await self._store.rows(query)]
        shown, erasures = await self._people.all_shown(people), await self._erasures(people)
        return [{**(shown[each] or {}), "state": _state(erasures.get(each))} for each in people]

    async def person(self, person: str) -> dict[str, Any]:
        """All but the words, which come in pages. Raises Unknown."""
        await self.must_be_known(person)
        erasure = (await self._erasures([person])).get(person)
        said = msgspec.json.decode(erasure.said) if erasure is not None and erasure.said else {}
        return {
            **(await self._people.shown(person) or {}),
            "state": _state(erasure),
            "tokens": await self._tokens(person),
            "words": await self._number_of(p.reasons.c.given_by, person),
            "answers": await self._answers(person),
            "namedBy": await self._naming(person),
            "acts": {name: await self._number_of(column, person) for name, column in ACTS},
            "askedAt": erasure and erasure.asked_at,
            "erasedAt": erasure and erasure.erased_at,
            "wordsErased": erasure and erasure.words,
            "artifactsRemoved": said.get("artifacts"),
            "artifactsKept": said.get("kept"),
            "scrubbed": said.get("scrubbed"),
        }

    async def words(self, person: str, *, after: str | None, limit: int) -> list[dict[str, Any]]:
        """What they gave as reasons and summaries, by what it is of. Raises Unknown."""
        await self.must_be_known(person)
        query = GIVEN.where(p.reasons.c.given_by == person).order_by(p.reasons.c.of).limit(limit)
        if after is not None:
            query = query.where(p.reasons.c.of > after)
        return [
            {"of": row.words_of, "givenAt": row.given_at, "words": words_in(row)}
            for row in await self._store.rows(query)
        ]

    async def must_be_known(self, person: str) -> None:
        known = [
            sa.select(column).where(column == person).limit(1)
            for column in (p.person_keys.c.person, p.people.c.person, *(column for _, column in ACTS))
        ]
        for query in known:
            if await self._store.rows(query):
                return
        raise Unknown(
            f"nobody is called {person!r} here",
            fix="`placet privacy list` names everybody; ids are as events have them: person:…",
        )

    async def _erasures(self, people: Sequence[str]) -> dict[str, sa.Row[Any]]:
        rows = await self._store.rows(sa.select(p.erasures).where(p.erasures.c.person.in_(people)))
        return {row.person: row for row in rows}

    async def _tokens(self, person: str) -> list[dict[str, Any]]:
        query = (
            sa.select(p.tokens, p.revoked_tokens.c.token.label("revoked"))
            .join_from(p.tokens, p.revoked_tokens, p.tokens.c.token == p.revoked_tokens.c.token, isouter=True)
            .where(p.tokens.c.person == person)
            .order_by(p.tokens.c.token)
        )
        return [
            {
                "id": row.token,
                "roles": row.roles.split(","),
                "issuedAt": row.issued_at,
                "expires": row.expires,
                "revoked": row.revoked is not None,
            }
            for row in await self._store.rows(query)
        ]

    async def _answers(self, person: str) -> list[dict[str, Any]]:
        table = p.assessments
        query = sa.select(table.c.assessment, table.c.project, table.c.answered_at)
        rows = await self._store.rows(query.where(table.c.answered_by == person).order_by(table.c.assessment))
        return [
            {"assessment": row.assessment, "project": row.project, "answeredAt": row.answered_at}
            for row in rows
        ]

    async def _naming(self, person: str) -> list[dict[str, Any]]:
        """The sources whose placet.yaml has their name, which is often a mail."""
        name = await self._people.name_of(person)
        if name is None:
            return []
        looks = await self._people.looks(name)
        owned = sa.select(p.sources.c.source, sa.literal("owner").label("as")).where(
            p.sources.c.owner_alike == looks
        )
        built = sa.select(p.builders.c.source, sa.literal("builder").label("as")).where(
            p.builders.c.alike == looks
        )
        both = owned.union_all(built).subquery()
        rows = await self._store.rows(sa.select(both).order_by(both.c.source, both.c["as"]))
        return [{"source": row.source, "as": row._mapping["as"]} for row in rows]

    async def _number_of(self, column: sa.ColumnElement[Any], person: str) -> int:
        rows = await self._store.rows(sa.select(sa.func.count().label("number")).where(column == person))
        return int(rows[0].number)


def _state(erasure: sa.Row[Any] | None) -> str:
    if erasure is None:
        return "known"
    return "erasing" if erasure.erased_at is None else "erased"
