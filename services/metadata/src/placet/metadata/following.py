"""Who follows the log: what is there, then what comes, page by page and exact to the position."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from placet.events.store import EventStore
from placet.metadata.queries import Filter, Page, Queries

AT_ONCE = 200
LOOK_EVERY = 1.0


async def follow(
    queries: Queries, store: EventStore, after: int, wanted: Filter
) -> AsyncGenerator[Page, None]:
    """What is wanted behind `after`, for ever. A page may be empty: then `next` says what is known to hold nothing."""
    while True:
        seen = store.committed.count
        page = await queries.events(after, AT_ONCE, wanted)
        if page.next == after:
            await store.committed.wait(LOOK_EVERY, after=seen)
            continue
        yield page
        after = page.next
