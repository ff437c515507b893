"""What was looked up a moment ago, and is as much work to find out as most of what it is looked up for."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from placet.events.store import Signal

KNOWN_FOR = 1.0
"""Seconds for which what another replica commits may not be seen here."""
MOST_KNOWN = 10_000
"""So many are remembered; each takes some hundred bytes."""

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Lately(Generic[Key, Value]):
    """What this process commits, whatever it is, makes it look again at once. `now` is in seconds that only grow."""

    def __init__(self, committed: Signal, now: Callable[[], float] = time.monotonic) -> None:
        self._committed = committed
        self._now = now
        self._found: dict[Key, tuple[Value, int, float]] = {}
        """With how many commits there had been, and when, before it was looked up."""

    def __len__(self) -> int:
        return len(self._found)

    async def known(self, key: Key, look: Callable[[], Awaitable[Value]]) -> Value:
        """As remembered, or as looked up. What `look` raises is raised, and not remembered."""
        commits, now = self._committed.count, self._now()
        if (found := self._found.get(key)) is not None:
            value, at, when = found
            if at == commits and now - when < KNOWN_FOR:
                return value
        value = await look()
        if len(self._found) >= MOST_KNOWN:
            self._found.clear()
        self._found[key] = (value, commits, now)
        return value
