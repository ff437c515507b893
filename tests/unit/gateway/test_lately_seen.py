"""Callers are remembered for a moment, and not a moment longer than what they are remembered for stays true."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from placet.errors import Unauthenticated
from placet.events.store import Signal
from placet.gateway.access import KNOWN_FOR, MOST_KNOWN, LatelySeen
from placet.trust.tokens import Token


def a_token(id: str, person: str) -> Token:
    issued = datetime(2026, 1, 1, tzinfo=UTC)
    expires = issued + timedelta(days=30)
    return Token(id=id, person=person, roles=frozenset(), issued=issued, expires=expires, kid="key")


class Looking:
    """Looks callers up, and counts it."""

    def __init__(self) -> None:
        self.now = 0.0
        self.revoked: set[str] = set()
        self.asked: list[str] = []
        self.committed = Signal()
        self.lately = LatelySeen(committed=self.committed, now=lambda: self.now)

    async def let_in(self, token: str, person: str = "person:1") -> None:
        await self.lately.must_be(a_token(token, person), self._look)

    async def _look(self, held: Token) -> None:
        self.asked.append(held.id)
        if held.id in self.revoked:
            raise Unauthenticated("this token was revoked", rule="token.revoked")


@pytest.fixture
def looking() -> Looking:
    return Looking()


async def test_whoever_was_looked_up_is_not_looked_up_again_for_a_moment(looking: Looking) -> None:
    for _ in range(3):
        await looking.let_in("a")
    assert looking.asked == ["a"]
    looking.now += KNOWN_FOR
    await looking.let_in("a")
    assert looking.asked == ["a", "a"]


async def test_what_is_committed_here_counts_at_once(looking: Looking) -> None:
    await looking.let_in("a")
    looking.revoked.add("a")
    looking.committed.fire()
    with pytest.raises(Unauthenticated):
        await looking.let_in("a")


async def test_what_another_replica_committed_counts_after_that_moment(looking: Looking) -> None:
    await looking.let_in("a")
    looking.revoked.add("a")
    await looking.let_in("a")
    looking.now += KNOWN_FOR
    for _ in range(2):  # whoever is refused is not remembered
        with pytest.raises(Unauthenticated):
            await looking.let_in("a")


async def test_what_is_committed_while_somebody_is_looked_up_is_looked_up_again(looking: Looking) -> None:
    async def revoked_meanwhile(held: Token) -> None:
        looking.revoked.add(held.id)
        looking.committed.fire()

    await looking.lately.must_be(a_token("a", "person:1"), revoked_meanwhile)
    with pytest.raises(Unauthenticated):
        await looking.let_in("a")


async def test_one_token_of_two_people_is_remembered_for_each(looking: Looking) -> None:
    await looking.let_in("a", "person:1")
    await looking.let_in("a", "person:2")
    assert looking.asked == ["a", "a"]


async def test_however_many_come_few_are_remembered(looking: Looking) -> None:
    for number in range(MOST_KNOWN + 1):
        await looking.let_in(str(number))
    await looking.let_in("0")
    assert looking.asked.count("0") == 2
    assert len(looking.lately) <= MOST_KNOWN
