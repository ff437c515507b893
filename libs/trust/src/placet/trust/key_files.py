"""A service's keys and their history, as they lie in files, for who must not wait for a disk."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from placet.errors import Refused, Unavailable, Unreadable
from placet.trust.history import ActiveKey, KeyHistory, OwnKeys

T = TypeVar("T")


class KeyFiles:
    """The history, and what to sign with.

    What is wrong with a file while a service runs is somebody's doing just then, and mended by somebody: whatever
    is to be signed waits for that, and is neither refused nor lost.
    """

    def __init__(self, keys: OwnKeys) -> None:
        self._keys = keys

    async def history(self) -> KeyHistory:
        return await _read(self._keys.history)

    async def active(self) -> ActiveKey:
        return await _read(self._keys.active)


async def _read(read: Callable[[], T]) -> T:
    try:
        return await asyncio.to_thread(read)
    except (Refused, Unreadable) as error:
        raise Unavailable(f"nothing is signed: {error}", fix=error.fix) from error
