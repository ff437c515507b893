"""People: their keys, their names, and how they are told of. Whatever shows somebody's name gets it here.

Each person has a key, and what they gave (their name, their words, the mails in what they sent) is sealed with it. Who
was erased has none, and never gets another one: what is still under way in their name finds that, or seals with a key
that is gone. Names are found by digests with a key of this gateway's, so that rows tell nobody whom they are about.
What this does not do: erase somebody (`erasing.py`).
"""

from __future__ import annotations

import hashlib
import hmac
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from placet.errors import Conflict, Forbidden, Unauthenticated, Unavailable
from placet.events.store import Claim, EventStore, Unit
from placet.gateway import projections as p
from placet.gateway.names import alike, normalised
from placet.trust.sealing import new_sealing_key, seal, unseal

ERASED = "erased"
"""What is told in place of words that are there no more."""
_PSEUDONYM_DIGITS = 4
_TRIES = 10
_MOST_MET = 10_000
"""In memory, with the name that each was met by."""


@dataclass(frozen=True, kw_only=True)
class Owner:
    """A person with the key that is theirs."""

    person: str
    key: bytes

    def seal(self, words: str, *, place: str) -> bytes:
        return seal(words, self.key, place=_place(place, self.person))


def pseudonym(person: str) -> str:
    """What somebody is called who was erased: always the same, and made of nothing but the opaque id."""
    return f"erased person {hashlib.sha256(person.encode()).hexdigest()[:_PSEUDONYM_DIGITS]}"


def opened(sealed: bytes | None, person: str | None, key: bytes | None, *, place: str) -> str | None:
    """What is sealed, or none where it, or the key of the person, is there no more."""
    if sealed is None or person is None or key is None:
        return None
    return unseal(sealed, key, place=_place(place, person))


def _place(place: str, person: str) -> str:
    return f"{place} {person}"


class People:
    def __init__(self, store: EventStore) -> None:
        self._store = store
        self._digests: bytes | None = None
        self._met: OrderedDict[str, str] = OrderedDict()

    async def owner(self, person: str) -> Owner:
        """The person with their key, which they get the first time. Raises Unauthenticated for one who was erased."""
        table = p.person_keys
        rows = await self._store.rows(sa.select(table.c.key).where(table.c.person == person))
        if not rows:
            new = new_sealing_key()
            insert = sa.insert(table).values(person=person, key=new)
            try:
                await self._store.commit(Unit(claims=(Claim(statement=insert),)))
            except Conflict:
                return await self.owner(person)  # somebody else was first, or they were erased just now
            return Owner(person=person, key=new)
        if rows[0].key is None:
            raise Unauthenticated(
                "this token is of somebody who was erased", fix="ask an admin for a token of a new person"
            )
        return Owner(person=person, key=rows[0].key)

    async def meet(self, person: str, name: str) -> None:
        """Somebody whom their provider calls so, and who gets the name here, also where it had another before.

        Raises Unauthenticated for one who was erased, and Forbidden where the name, or one that differs by case alone,
        is somebody else's: who could act as two would grant their own exceptions.
        """
        if self._met.get(person) == name:
            return
        wanted = normalised(name)
        for _ in range(_TRIES):
            owner, before = await self.owner(person), await self.name_of(person)
            if before == wanted:
                break
            await self._must_be_free(wanted, person)
            # Another request may be first, or they are erased just now.
            with suppress(Conflict):
                await self._store.commit(Unit(claims=await self._named(owner, wanted, before)))
        else:
            raise Unavailable(
                "their name is being changed by others", fix="try again shortly", retry_after=1.0
            )
        self._met[person] = name
        while len(self._met) > _MOST_MET:
            self._met.popitem(last=False)

    async def _must_be_free(self, name: str, person: str) -> None:
        known = await self.looking_like(name)
        if known is not None and known[0] != person:
            raise Forbidden(
                "the name that your provider gives you is somebody else's here, who has tokens of placet's own",
                rule="people.name",
                fix="have who is in charge of people (compliance, or an admin) say who is meant by it: `placet privacy"
                " list` shows them; where that is you, use that token, or have them erased",
            )

    async def _named(self, owner: Owner, name: str, before: str | None) -> tuple[Claim, ...]:
        """The rows, for as long as the person's key is there, and their name what it was."""
        keys, people, looks = p.person_keys, p.people, p.names_alike
        sealed, alike = owner.seal(name, place=NAME), await self.looks(name)
        still = sa.update(keys).where(keys.c.person == owner.person, keys.c.key.is_not(None))
        claims = [Claim(statement=still.values(key=keys.c.key))]
        if before is None:
            claims += [
                Claim(statement=sa.insert(people).values(person=owner.person, name=sealed, tokens=0)),
                Claim(statement=sa.insert(looks).values(person=owner.person, alike=alike)),
            ]
        else:
            named, looking = (table.c.person == owner.person for table in (people, looks))
            # One more, so that who erases them at this moment does not do so by the name that they had.
            was = looks.c.alike == await self.looks(before)
            claims += [
                Claim(
                    statement=sa.update(people).where(named).values(name=sealed, tokens=people.c.tokens + 1)
                ),
                Claim(statement=sa.update(looks).where(looking, was).values(alike=alike)),
            ]
        return tuple(claims)

    async def looks(self, name: str) -> str:
        """A digest, the same for names that differ by case alone; to nobody who has only the row it says more."""
        return hmac.digest(await self._digest_key(), alike(name).encode(), "sha256").hex()

    async def looking_like(self, name: str) -> tuple[str, str] | None:
        """The person whose name looks like this one, and how it is written."""
        table = p.names_alike
        rows = await self._store.rows(
            sa.select(table.c.person).where(table.c.alike == await self.looks(name))
        )
        known = await self.name_of(rows[0].person) if rows else None
        return None if known is None else (rows[0].person, known)

    async def name_of(self, person: str) -> str | None:
        """None of one who has none here, and of one who was erased."""
        return (await self._names([person])).get(person)

    async def shown(self, person: str | None) -> dict[str, Any] | None:
        """How somebody is told of in every document; none of nobody."""
        return (await self.all_shown([person]))[person]

    async def all_shown(self, people: Iterable[str | None]) -> Mapping[str | None, dict[str, Any] | None]:
        """Each of these as `shown` tells them, asked for at once."""
        wanted = {each for each in people if each is not None}
        names = await self._names(wanted)
        told: dict[str | None, dict[str, Any] | None] = {
            each: {"person": each, "name": names.get(each)} for each in wanted
        }
        erased = sa.select(p.person_keys.c.person).where(
            p.person_keys.c.person.in_(wanted), p.person_keys.c.key.is_(None)
        )
        for row in await self._store.rows(erased) if wanted else ():
            told[row.person] = {"person": row.person, "name": pseudonym(row.person)}
        return told | {None: None}

    async def _names(self, people: Iterable[str]) -> dict[str, str]:
        wanted = set(people)
        if not wanted:
            return {}
        rows = await self._store.rows(
            sa.select(p.people.c.person, p.people.c.name, p.person_keys.c.key)
            .join_from(p.people, p.person_keys, p.people.c.person == p.person_keys.c.person)
            .where(p.people.c.person.in_(wanted))
        )
        names = {row.person: opened(row.name, row.person, row.key, place=NAME) for row in rows}
        return {person: name for person, name in names.items() if name is not None}

    async def _digest_key(self) -> bytes:
        if self._digests is None:
            rows = await self._store.rows(sa.select(p.name_digests.c.key))
            if not rows:
                insert = sa.insert(p.name_digests).values(id=1, key=new_sealing_key())
                with suppress(Conflict):  # another replica was first
                    await self._store.commit(Unit(claims=(Claim(statement=insert),)))
                return await self._digest_key()
            self._digests = bytes(rows[0].key)
        return self._digests


NAME = "name"
OWNER_OF_SOURCE = "owner"
"""Places in which something is sealed."""
