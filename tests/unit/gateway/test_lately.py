"""What is remembered for a moment, and not a moment longer than it stays true."""

from __future__ import annotations

import pytest
from placet.errors import Unauthenticated
from placet.events.store import Signal
from placet.gateway.lately import KNOWN_FOR, MOST_KNOWN, Lately


class Looking:
    """Looks callers up, and counts it."""

    def __init__(self) -> None:
        self.now = 0.0
        self.revoked: set[str] = set()
        self.asked: list[str] = []
        self.committed = Signal()
        self.lately = Lately[str, str](self.committed, lambda: self.now)

    async def let_in(self, token: str) -> str:
        async def look() -> str:
            self.asked.append(token)
            if token in self.revoked:
                raise Unauthenticated("this token was revoked", rule="token.revoked")
            return f"who has {token}"

        return await self.lately.known(token, look)


@pytest.fixture
def looking() -> Looking:
    return Looking()


async def test_what_was_looked_up_is_not_looked_up_again_for_a_moment(looking: Looking) -> None:
    assert {await looking.let_in("a") for _ in range(3)} == {"who has a"}
    assert await looking.let_in("b") == "who has b"
    assert looking.asked == ["a", "b"]
    looking.now += KNOWN_FOR
    await looking.let_in("a")
    assert looking.asked == ["a", "b", "a"]


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
    for _ in range(2):  # what is refused is not remembered
        with pytest.raises(Unauthenticated):
            await looking.let_in("a")
    assert looking.asked == ["a", "a", "a"]


async def test_what_is_committed_while_it_is_looked_up_makes_it_look_again(looking: Looking) -> None:
    async def revoked_meanwhile() -> str:
        looking.revoked.add("a")
        looking.committed.fire()
        return "who had a"

    await looking.lately.known("a", revoked_meanwhile)
    with pytest.raises(Unauthenticated):
        await looking.let_in("a")


async def test_however_much_is_asked_little_is_remembered(looking: Looking) -> None:
    for number in range(MOST_KNOWN + 1):
        await looking.let_in(str(number))
    await looking.let_in("0")
    assert looking.asked.count("0") == 2
    assert len(looking.lately) <= MOST_KNOWN
