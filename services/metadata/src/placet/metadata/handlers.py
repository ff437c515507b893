"""Keeping every event: the same bytes, in each producer's order, exactly once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from placet.errors import Unreadable
from placet.events import Heard, UnitOfWork
from placet.metadata.ports import Reads
from placet.metadata.projections import AUDIT, epochs, stream_of


async def on_events(heard: Sequence[Heard[Any]], work: UnitOfWork, reads: Reads) -> None:
    """Append consecutive events of one producer's epoch.

    The stream's expected version is the position before the first of them: the store itself refuses a hole
    or a repetition, whatever the inbox believes.
    """
    first = heard[0]
    producer = first.event.producer
    known = {
        row.epoch: row.began_after
        for row in await reads.rows(sa.select(epochs).where(epochs.c.producer == producer))
    }
    if not known and first.position != 1:
        raise Unreadable(
            f"the audit log of {producer} would begin at its position {first.position}, not at 1"
        )
    began_after = known.get(first.epoch, first.position - 1)
    if first.epoch not in known:
        work.put(epochs, producer=producer, epoch=first.epoch, began_after=began_after)
    stream = stream_of(producer, first.epoch)
    work.append_to(AUDIT, stream, first.position - 1 - began_after, [each.event for each in heard])
