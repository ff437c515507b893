"""Group commit: whoever waits shares one transaction, and who fails does so alone.

One task takes everything that is waiting and hands it to `commit_all`. While that transaction is on its way
to the disk the next callers gather, so the batch grows with the load and a lone caller never waits for
company. If a batch fails, whoever is to blame runs again alone and sees the error, and all the others run again
together: one conflict among many writers must not cost each of them a transaction. Where nobody is named, the batch is
halved until it is plain who it is. Database independent; the adapters bring `commit_all`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from placet.errors import PlacetError, Unavailable
from placet.events.envelope import Recorded
from placet.events.store import Unit

Places = tuple[Recorded[Any], ...]
Waiting = tuple[Unit, asyncio.Future[Places]]
CommitAll = Callable[[Sequence[Unit]], Awaitable[Sequence[Places]]]
"""Commits all or nothing, and says of more than one unit by `Apart` which of them are to blame, where it knows."""

MAX_UNITS = 256


class Apart(Exception):
    """Not all units of a batch can be committed together. `parts`, by their numbers, each can be tried again."""

    def __init__(self, parts: Sequence[Sequence[int]]) -> None:
        super().__init__(f"a batch falls into {len(parts)}")
        self.parts = parts


class Appender:
    """Feeds `commit_all` with as many waiting units as there are, up to `MAX_UNITS`, one transaction at a time."""

    def __init__(self, commit_all: CommitAll) -> None:
        self._commit_all = commit_all
        self._waiting: deque[Waiting] = deque()
        self._running: asyncio.Task[None] | None = None
        self._closed = False

    async def commit(self, unit: Unit) -> Places:
        """Wait until `unit` is committed. A caller that is cancelled meanwhile does not undo it."""
        if self._closed:
            raise Unavailable("this store is closed")
        future: asyncio.Future[Places] = asyncio.get_running_loop().create_future()
        self._waiting.append((unit, future))
        if self._running is None:
            self._running = asyncio.create_task(self._run(), name="appender")
        return await future

    async def close(self) -> None:
        """Commit what is waiting, then take no more."""
        self._closed = True
        while self._running is not None:
            await asyncio.shield(self._running)

    async def cancel(self) -> None:
        """Take no more, and fail what is waiting with Unavailable."""
        self._closed = True
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait((self._running,))

    async def _run(self) -> None:
        batch: list[Waiting] = []
        try:
            while self._waiting:
                batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), MAX_UNITS))]
                await self._commit(batch)
        finally:
            self._running = None
            for _, future in (*batch, *self._waiting):
                _fail(future, Unavailable("the appender was cancelled"))
            self._waiting.clear()

    async def _commit(self, batch: list[Waiting]) -> None:
        parts = deque([batch])
        while parts:
            parts.extendleft(reversed(await self._try(parts.popleft())))

    async def _try(self, batch: list[Waiting]) -> list[list[Waiting]]:
        """Settle `batch`, or say in which smaller parts, one after the other, it is to be tried again."""
        try:
            places = await self._commit_all([unit for unit, _ in batch])
        except Apart as apart:
            return [[batch[number] for number in part] for part in apart.parts]
        except Exception as error:  # noqa: BLE001 - handed to the caller that it belongs to, whatever it is
            if len(batch) > 1 and not isinstance(error, Unavailable):
                return [batch[: len(batch) // 2], batch[len(batch) // 2 :]]
            for _, future in batch:
                _fail(future, error)
            return []
        for (_, future), place in zip(batch, places, strict=True):
            if not future.done():
                future.set_result(place)
        return []


def _fail(future: asyncio.Future[Places], error: Exception) -> None:
    if future.done():
        return
    if isinstance(error, PlacetError):
        # One exception instance in several tasks would gather their tracebacks.
        copy = type(error).__new__(type(error))
        copy.__dict__.update(error.__dict__)
        copy.args = error.args
        copy.__cause__ = error
        future.set_exception(copy)
    else:
        future.set_exception(error)
