"""Constant load: requests that begin at a fixed rate, whatever became of those before, each of which must be answered.

A plain client over connections that are kept: it repeats nothing, since no client may repeat a POST of its own accord
(RFC 9110, 9.2.2), and every answer that is not the one that is expected counts as lost, with its reason. The rate is
kept as well as the machine can; no test depends on how well.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.support.eventually import eventually

RATE = 60
"""Requests a second."""
CONNECTIONS = 20
SHOWN = 500
"""Characters of an answer, as the reason for which it is none."""
PATIENCE = 60.0
"""Seconds: what takes longer hangs."""


@dataclass(kw_only=True)
class Load:
    """What came of it so far. `is_right` says of an answer of status 200 whether it is one of those that may be;
    `refusal` is in the reason of a 503 that may be, too."""

    url: str
    body: Any
    is_right: Callable[[Any], bool]
    rate: float = RATE
    refusal: str | None = None
    answered: int = 0
    refused: int = 0
    lost: Counter[str] = field(default_factory=Counter)
    last_right: float = 0.0
    """When the last request began (`time.monotonic`) that was answered as it should be."""
    seen: deque[Any] = field(default_factory=lambda: deque(maxlen=10))
    """The last right answers."""
    _under_way: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def over(self) -> int:
        return self.answered + self.refused + self.lost.total()

    async def begin(self, http: httpx.AsyncClient) -> None:
        """Until cancelled."""
        began = time.monotonic()
        for number in range(10**9):
            await asyncio.sleep(max(0.0, began + number / self.rate - time.monotonic()))
            task = asyncio.create_task(self._ask(http))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    async def finish(self) -> None:
        await asyncio.gather(*self._under_way)

    async def some_more(self, count: int = 30) -> None:
        """So many more requests are over: whatever was to go wrong with what just happened has gone wrong by now."""
        wanted = self.over + count
        await eventually(lambda: self.over >= wanted, within=PATIENCE)

    async def _ask(self, http: httpx.AsyncClient) -> None:
        began = time.monotonic()
        try:
            answer = await http.post(self.url, json=self.body)
        except httpx.HTTPError as error:
            self.lost[f"{type(error).__name__}: {error}"] += 1
            return
        if answer.status_code == 200 and self.is_right(said := answer.json()):
            self.answered += 1
            self.seen.append(said)
            self.last_right = max(self.last_right, began)
        elif answer.status_code == 503 and self.refusal is not None and self.refusal in answer.text:
            self.refused += 1
        else:
            self.lost[f"{answer.status_code}: {answer.text[:SHOWN]}"] += 1


@asynccontextmanager
async def constant_load(
    url: str,
    body: Any,
    *,
    is_right: Callable[[Any], bool] = lambda _: True,
    rate: float = RATE,
    refusal: str | None = None,
) -> AsyncIterator[Load]:
    """Under way, and through with some requests, when it is given; at its end all are."""
    load = Load(url=url, body=body, is_right=is_right, rate=rate, refusal=refusal)
    # On a machine that is too slow for the rate requests wait here, for a connection: nothing of them was sent yet. If
    # a hundred waited at the other end instead, each took longer there than a process that is to end has for the last.
    timeout = httpx.Timeout(PATIENCE, pool=None)
    limits = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
    async with httpx.AsyncClient(trust_env=False, timeout=timeout, limits=limits) as http:
        asking = asyncio.create_task(load.begin(http))
        try:
            await load.some_more()
            yield load
        finally:
            asking.cancel()
            await load.finish()
