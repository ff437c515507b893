"""Wait for a condition instead of for a time.

`await eventually(lambda: relay.position == 3)` asks again until the answer is truthy and returns
it; after `within` seconds it fails with the last answer or error. The bound is for hangs: it is generous
on purpose and no test passes or fails by how fast a machine is.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import TypeVar, overload

T = TypeVar("T")


@overload
async def eventually(
    condition: Callable[[], Awaitable[T]], *, within: float = ..., every: float = ...
) -> T: ...
@overload
async def eventually(condition: Callable[[], T], *, within: float = ..., every: float = ...) -> T: ...
async def eventually(
    condition: Callable[[], T | Awaitable[T]], *, within: float = 90.0, every: float = 0.02
) -> T:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within
    while True:
        last: object
        try:
            answer = condition()
            value = await answer if inspect.isawaitable(answer) else answer
            if value:
                return value
            last = value
        except AssertionError as error:
            last = error
        if loop.time() >= deadline:
            raise AssertionError(f"not within {within} s; last answer: {last!r}")
        await asyncio.sleep(every)
