"""How much of a service one person may have under way at once, so that there is always something left for others.

A stream of events and an upload may last as long as they like, so whoever holds a token could take every connection
of a service with them. Counted for a person and not for a token, since tokens are many; in each process by itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from placet.errors import Unavailable

REQUESTS_EACH = 128


class Shares:
    """`what` follows the number where somebody is told that it is reached, and `fix` says what they can do."""

    def __init__(
        self,
        each: int = REQUESTS_EACH,
        *,
        what: str = "of your requests are under way here",
        fix: str = "let some of them end, streams of events among them",
    ) -> None:
        self._each = each
        self._what = what
        self._fix = fix
        self._under_way: Counter[str] = Counter()

    @contextmanager
    def taken_by(self, person: str) -> Iterator[None]:
        """Around one request of the person. Raises Unavailable where that would be one too many."""
        if self._under_way[person] >= self._each:
            raise Unavailable(
                f"{self._each} {self._what}, and no more can be at once",
                fix=self._fix,
                retry_after=1.0,
            )
        self._under_way[person] += 1
        try:
            yield
        finally:
            self._under_way[person] -= 1
            if not self._under_way[person]:
                del self._under_way[person]
