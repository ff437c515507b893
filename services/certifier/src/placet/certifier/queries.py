"""Which exceptions hold now."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa

from placet.certifier.projections import exceptions
from placet.events.codec import timestamp
from placet.events.contracts.shapes import ExceptionUsed
from placet.events.store import EventStore


class GrantedExceptions:
    """The `Exceptions` port, over the certifier's own table."""

    def __init__(self, store: EventStore) -> None:
        self._store = store

    async def in_force(self, project: str, source: str, at: datetime) -> Sequence[ExceptionUsed]:
        table = exceptions
        rows = await self._store.rows(
            sa.select(table)
            .where(table.c.project == project, table.c.withdrawn.is_(False), table.c.until > timestamp(at))
            .where(sa.or_(table.c.source.is_(None), table.c.source == source))
            .order_by(table.c.until, table.c.exception)
        )
        longest = {
            row.rule: ExceptionUsed(
                exception=row.exception, rule=row.rule, until=row.until, granted_by=row.granted_by
            )
            for row in rows
        }
        return tuple(longest.values())
