"""Tasks that are told to end: they do, and what must not be cut is finished first.

Up to Python 3.12, who is cancelled while a group of theirs ends because one of its tasks failed hears of that alone
(python/cpython#116720). Where that failure is expected, whoever was told to stop then goes on for ever.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from contextlib import suppress
from types import TracebackType
from typing import Any, TypeVar

Answer = TypeVar("Answer")


class TaskGroup(asyncio.TaskGroup):
    """As that of Python 3.13: it raises what its tasks did, and the cancellation comes with the next await.

    In an `asyncio.timeout` that expires while a group in it fails, catch the failure inside: whoever catches it outside
    hears of the timeout with the next await there, up to Python 3.12.
    """

    # What Python 3.11 and 3.12 have, and no version will change any more.
    _parent_task: asyncio.Task[Any]
    _parent_cancel_requested: bool

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if sys.version_info >= (3, 13):
            return await super().__aexit__(kind, error, traceback)
        owner, was_interrupted = self._parent_task, self._parent_cancel_requested
        try:
            try:
                await super().__aexit__(kind, error, traceback)
            finally:
                if self._parent_cancel_requested and not was_interrupted:
                    owner.uncancel()  # what those versions forget where a task fails as late as this
                if owner._must_cancel and not owner.cancelling():  # type: ignore[attr-defined]
                    # Nobody asks for it any more: it was this group's own, that a group inside handed on.
                    with suppress(asyncio.CancelledError):
                        await asyncio.sleep(0)
        except BaseExceptionGroup:
            if owner.cancelling():
                owner.uncancel()  # the count stays what it was
                owner.cancel()
            raise


async def to_the_end(work: Coroutine[Any, Any, Answer], *, within: float) -> Answer:
    """Await `work`; a caller that is cancelled meanwhile lets it finish first, for so long: units are not cut."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        try:
            await asyncio.wait({task}, timeout=within)
        finally:
            task.cancel()
        raise
