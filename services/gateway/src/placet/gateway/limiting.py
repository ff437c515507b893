"""How often one caller may ask: a bucket of tokens for each, which fills with time. Pure: time is an argument.

Each process counts by itself, and forgets who was silent the longest when there are too many callers to remember: who
is forgotten begins with a full bucket. How many requests of one are under way at once is not its business (`Shares`).
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime

BURST_SECONDS = 10
"""A bucket holds what comes in so many seconds: who was silent may ask so much at once."""
MOST_CALLERS = 10_000


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: datetime


class Buckets:
    """One for each caller, with `rate` tokens a second; none a second: there is no limit."""

    def __init__(self, rate: float, *, most: int = MOST_CALLERS) -> None:
        self._rate = rate
        self._holds = max(1.0, rate * BURST_SECONDS)
        self._most = most
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def wait(self, caller: str, now: datetime) -> int:
        """Take one token. Whole seconds until there is one, nothing where it was taken."""
        if not self._rate:
            return 0
        bucket = self._buckets.pop(caller, None) or _Bucket(self._holds, now)
        self._buckets[caller] = bucket
        while len(self._buckets) > self._most:
            self._buckets.popitem(last=False)
        # A clock that was set back gives nothing, and takes nothing.
        passed = max(0.0, (now - bucket.at).total_seconds())
        bucket.tokens, bucket.at = min(self._holds, bucket.tokens + passed * self._rate), now
        if bucket.tokens < 1.0:
            return math.ceil((1.0 - bucket.tokens) / self._rate)
        bucket.tokens -= 1.0
        return 0
