"""What takes its time, told as it goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

from markupsafe import Markup

_TELL_EVERY = 1.0
"""Seconds."""
_LINE = Markup("<li>{}</li>\n")


async def progress(job: asyncio.Task[Any], words: Callable[[], str]) -> AsyncIterator[Markup]:
    """A list of how far the job is, in words, until it is over; whoever goes away ends it."""
    told = ""
    yield Markup('<ol class="progress" aria-live="polite">\n')
    try:
        while not job.done():
            if (now := words()) != told:
                told = now
                yield _LINE.format(now)
            await asyncio.wait({job}, timeout=_TELL_EVERY)
        if (now := words()) != told:  # how far it came, of what was done before it was told of
            yield _LINE.format(now)
    finally:
        if not job.done():
            job.cancel()
            await asyncio.gather(job, return_exceptions=True)
    yield Markup("</ol>\n")
