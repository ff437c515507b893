"""What somebody gives as a reason: sealed in a row of its own, with the salt of the digest that the event has.

Whoever erases the words, or the key of who gave them, leaves a log that still holds, and tells nobody what they were.
"""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass
from typing import Any

import msgspec
import sqlalchemy as sa

from placet.events import UnitOfWork
from placet.events.codec import timestamp
from placet.gateway import projections as p
from placet.gateway.people import ERASED, Owner, opened

SALT_BYTES = 16


@dataclass(frozen=True, kw_only=True)
class Reason:
    words: str
    salt: str
    digest: str


def salted(words: str) -> Reason:
    salt = secrets.token_bytes(SALT_BYTES)
    digest = hmac.digest(salt, words.encode(), "sha256")
    return Reason(words=words, salt=salt.hex(), digest=f"hmac-sha256:{digest.hex()}")


def give_reason(work: UnitOfWork, of: str, reason: Reason, by: Owner) -> None:
    """`of` is the id of what it is given for."""
    sealed = by.seal(msgspec.json.encode([reason.words, reason.salt]).decode(), place=_place(of))
    work.put(
        p.reasons,
        of=of,
        given_by=by.person,
        given_at=timestamp(work.now),
        project=work.context.project,
        sealed=sealed,
    )


WORDS = (
    p.reasons.c.of.label("words_of"),
    p.reasons.c.given_by.label("words_by"),
    p.reasons.c.sealed.label("words_sealed"),
    p.person_keys.c.key.label("words_key"),
)
_OF_PERSON = p.reasons.c.given_by == p.person_keys.c.person
GIVEN = sa.select(*WORDS, p.reasons.c.given_at).join_from(p.reasons, p.person_keys, _OF_PERSON, isouter=True)
"""All that was given; `words_in` reads a row."""


def with_words(query: sa.Select[Any], of: sa.Column[str]) -> sa.Select[Any]:
    """A query of the table that has `of`, with the words that were given for each, if there are any."""
    return (
        query.add_columns(*WORDS)
        .join_from(of.table, p.reasons, of == p.reasons.c.of, isouter=True)
        .join(p.person_keys, _OF_PERSON, isouter=True)
    )


def words_in(row: sa.Row[Any]) -> str | None:
    """None where no words were given, and `ERASED` where they are there no more."""
    said = said_in_words(row)
    return ERASED if said is None and row.words_of is not None else said


def said_in_words(row: sa.Row[Any]) -> str | None:
    """None also where they were erased: what nobody knows is compared with nothing."""
    told = opened(row.words_sealed, row.words_by, row.words_key, place=_place(row.words_of))
    if told is None:
        return None
    words, _ = msgspec.json.decode(told, type=tuple[str, str])
    return words


def salt_in(row: sa.Row[Any]) -> str | None:
    """With the words it makes the digest that the event has."""
    told = opened(row.words_sealed, row.words_by, row.words_key, place=_place(row.words_of))
    return None if told is None else msgspec.json.decode(told, type=tuple[str, str])[1]


def _place(of: str) -> str:
    return f"words of {of}"
