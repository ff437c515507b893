"""Turns at what few can do at once: one person's many requests are one place in the queue.

For what is done while a request waits for its answer, in this process. Whoever's turn it was goes behind all that wait,
so that nobody waits for more turns than there are others. Longer work is a job, shared likewise (`jobs.py`).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Turns:
    """`at_once` can be taken at one time."""

    def __init__(self, at_once: int) -> None:
        self._free = at_once
        # Who waits, in the order in which they will have a turn.
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}

    @asynccontextmanager
    async def taken_by(self, person: str) -> AsyncIterator[None]:
        """Around what takes a turn of the person's. It is given back however that ends, also by who stops waiting."""
        await self._take(person)
        try:
            yield
        finally:
            self._pass_on()

    async def _take(self, person: str) -> None:
        if self._free:  # so nobody waits
            self._free -= 1
            return
        mine = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(person, deque()).append(mine)
        try:
            await mine
        except asyncio.CancelledError:
            if mine.cancelled():
                self._leave(person, mine)
            else:  # it was given a turn in the same moment
                self._pass_on()
            raise

    def _pass_on(self) -> None:
        while self._waiting:
            person = next(iter(self._waiting))
            theirs = self._waiting.pop(person)
            first = theirs.popleft()
            if theirs:
                self._waiting[person] = theirs  # behind all others
            if not first.done():
                first.set_result(None)
                return
        self._free += 1

    def _leave(self, person: str, mine: asyncio.Future[None]) -> None:
        theirs = self._waiting.get(person, deque())
        if mine in theirs:  # unless it was passed over already
            theirs.remove(mine)
        if not theirs:
            self._waiting.pop(person, None)
