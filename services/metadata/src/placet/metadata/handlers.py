"""Keeping every event: the same bytes, in each producer's order, exactly once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from placet.events import Heard, UnitOfWork
from placet.metadata.ports import Reads
from placet.metadata.projections import AUDIT, epochs, stream_of


async def on_events(heard: Sequence[Heard[Any]], work: UnitOfWork, reads: Reads) -> None:
    """Append consecutive events of one producer's epoch.

    The stream's expected version is the position before the first of them: the store itself refuses a hole
    or a repetition, whatever the inbox believes.
    """
    first = heard[0]
    producer = first.event.source
    query = sa.select(epochs.c.began_after).where(
        epochs.c.producer == producer, epochs.c.epoch == first.epoch
    )
    known = await reads.rows(query)
    began_after = known[0].began_after if known else first.position - 1
    if not known:
        work.put(epochs, producer=producer, epoch=first.epoch, began_after=began_after)
    stream = stream_of(producer, first.epoch)
    work.append_to(AUDIT, stream, first.position - 1 - began_after, [each.event for each in heard])
