"""What is sent for as long as its reader likes ends with their right to read it.

Not here: what gives that right, which each service looks up by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

from placet.errors import Forbidden, Unauthenticated, Unavailable

LOOK_EVERY = 1.0
"""Seconds between looks."""


async def while_allowed(
    pieces: AsyncIterator[bytes], must: Callable[[], Awaitable[None]], *, every: float = LOOK_EVERY
) -> AsyncIterator[bytes]:
    """What comes of `pieces` until their end, or until `must` raises Unauthenticated or Forbidden, which is asked
    `every` so many seconds, also while nothing comes. While it cannot be asked (Unavailable) what was begun goes on."""
    is_over = asyncio.Event()
    watching = asyncio.create_task(_refusal(must, every, is_over))
    try:
        while not watching.done():
            async with asyncio.timeout(None) as waiting:
                watching.add_done_callback(end := _Ending(waiting))
                try:
                    piece = await anext(pieces, None)
                finally:
                    watching.remove_done_callback(end)
            if piece is None:
                return
            yield piece
        watching.result()
    except TimeoutError:
        if not watching.done():
            raise
        watching.result()
    finally:
        is_over.set()
        await asyncio.wait((watching,))  # not cancelled: a question to the database would be left half asked


class _Ending:
    """Ends the wait for a piece, in the task that waits: what gives the pieces may have to be left where it began."""

    def __init__(self, waiting: asyncio.Timeout) -> None:
        self._waiting = waiting

    def __call__(self, _: asyncio.Task[None]) -> None:
        self._waiting.reschedule(asyncio.get_running_loop().time())


async def _refusal(must: Callable[[], Awaitable[None]], every: float, is_over: asyncio.Event) -> None:
    with suppress(Unauthenticated, Forbidden):
        while not await _is_set_within(every, is_over):
            with suppress(Unavailable):
                await must()


async def _is_set_within(seconds: float, event: asyncio.Event) -> bool:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    return event.is_set()
