"""What was reported of models, as the gateway heard it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from placet.events.contracts.gateway import MetadataReported
from placet.events.store import EventStore
from placet.gateway import projections as p
from placet.gateway.people import People
from placet.gateway.reasons import with_words, words_in
from placet.gateway.reports import Kind

_WITH_WORDS = with_words(sa.select(p.reports), p.reports.c.report)


class ReportQueries:
    def __init__(self, store: EventStore, people: People) -> None:
        self._store = store
        self._people = people

    async def page(
        self, project: str, *, kind: Kind | None, release: int | None, after: str | None, limit: int
    ) -> tuple[list[dict[str, Any]], str | None]:
        """Of a project, heard last first, and what to give as `after` for the page that follows."""
        query = _WITH_WORDS.where(p.reports.c.project == project)
        if kind is not None:
            query = query.where(p.reports.c.kind == kind)
        if release is not None:
            query = query.where(p.reports.c.release == release)
        if after is not None:
            query = query.where(p.reports.c.place < after)
        rows = await self._store.rows(query.order_by(p.reports.c.place.desc()).limit(limit))
        return await self._documents(rows), rows[-1].place if len(rows) == limit else None

    async def named(self, reports: Sequence[str]) -> list[dict[str, Any]]:
        """These, in this order."""
        told = {each["report"]: each for each in await self._documents(await self.rows(reports))}
        return [told[report] for report in reports]

    async def rows(self, reports: Iterable[str]) -> Sequence[sa.Row[Any]]:
        """Those of these that were heard, each with its words for `said_in_words`."""
        return await self._store.rows(_WITH_WORDS.where(p.reports.c.report.in_(set(reports))))

    async def heard_since(self, project: str, moment: str) -> dict[str, int]:
        """How many reports of each kind."""
        table = p.reports
        query = sa.select(table.c.kind, sa.func.count().label("number")).where(
            table.c.project == project, table.c.heard_at > moment
        )
        return {row.kind: row.number for row in await self._store.rows(query.group_by(table.c.kind))}

    async def _documents(self, rows: Sequence[sa.Row[Any]]) -> list[dict[str, Any]]:
        told = [(row, said_in(row)) for row in rows]
        shown = await self._people.all_shown(said.reported_by for _, said in told)
        return [_document(row, said, shown[said.reported_by]) for row, said in told]


def said_in(row: sa.Row[Any]) -> MetadataReported:
    return msgspec.json.decode(row.said, type=MetadataReported)


def _document(row: sa.Row[Any], said: MetadataReported, by: dict[str, Any] | None) -> dict[str, Any]:
    return {
        "report": said.report,
        "project": said.project,
        "kind": row.kind,
        "release": said.release,
        "source": said.source,
        "at": said.at,
        "heardAt": row.heard_at,
        "reportedBy": by,
        "content": msgspec.to_builtins(said.run or said.evaluation or said.monitoring or said.incident),
        "summary": words_in(row),
    }
