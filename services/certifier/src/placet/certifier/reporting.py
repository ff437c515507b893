"""Somebody reported what happened to a model: keep it for the rules, and ask anew what it is seen by.

What waits for people is looked at again, since an approval is of what rules saw. What serves is judged at once where an
incident or what was monitored is reported: an incident has to take a model off its route while it does harm.
"""

from __future__ import annotations

import msgspec
import sqlalchemy as sa

from placet.certifier import operation
from placet.certifier import projections as p
from placet.certifier.domain import stream
from placet.certifier.ports import Ports
from placet.certifier.reports import MOST_REPORTS, Report, key, weight
from placet.errors import Unreadable
from placet.events import Heard, UnitOfWork
from placet.events.codec import moment, timestamp
from placet.events.contracts.certifier import ReleaseCleared
from placet.events.contracts.gateway import MetadataReported
from placet.events.contracts.shapes import (
    ReportedEvaluation,
    ReportedIncident,
    ReportedMonitoring,
    ReportedRun,
)


async def on_metadata_reported(heard: Heard[MetadataReported], work: UnitOfWork, ports: Ports) -> None:
    """The same report that is heard again changes nothing, not even when it was heard."""
    report = await show_report(heard, work, ports)
    if report is None:
        return
    match report.what:
        case ReportedRun() | ReportedEvaluation():
            work.run(p.look_again(heard.data.project))
        case ReportedIncident():
            work.run(p.look_again(heard.data.project))
            await operation.judge_reported(work, ports, report)
        case ReportedMonitoring():
            await operation.judge_reported(work, ports, report)
        case None:
            return


async def show_report(heard: Heard[MetadataReported], work: UnitOfWork, ports: Ports) -> Report | None:
    """None: it is known."""
    said = heard.data
    if await ports.reports.is_known(said.report):
        return None
    source = await _source_of(work, said)
    report = Report(said=said, at=_at(said), heard_at=heard.event.time, release_of=source)
    match report.what:
        case ReportedRun():
            _keep(work, report, "run")
        case ReportedEvaluation():
            _keep(work, report, "evaluation")
        case ReportedIncident():
            _keep(work, report, "incident")
        case ReportedMonitoring():
            _keep(work, report, "monitoring")
            _forget_what_nobody_sees(work, report)
        case None:
            pass  # of a kind that rules do not know yet
    return report


def _forget_what_nobody_sees(work: UnitOfWork, report: Report) -> None:
    """A model may be monitored by the minute for years, and each window that is observed of it reads these rows."""
    table, said = p.reports, report.said
    mine = sa.and_(
        table.c.project == said.project,
        table.c.kind == "monitoring",
        table.c.release == said.release,
        table.c.source == said.source,
    )
    # One more than rules see, which says that there is more.
    oldest = sa.select(table.c.at).where(mine).order_by(table.c.at.desc()).offset(MOST_REPORTS).limit(1)
    work.run(sa.delete(table).where(mine, table.c.at < oldest.scalar_subquery()))


async def _source_of(work: UnitOfWork, said: MetadataReported) -> str | None:
    """Of the release that it is of; none while that is not cleared, which then tells it (`projections.name_source`)."""
    if said.release is None:
        return None
    history = await work.history(stream(said.project, said.release))
    return next((event.source for event in history if isinstance(event, ReleaseCleared)), None)


def _at(said: MetadataReported) -> str:
    """In the form that sorts by time."""
    try:
        return timestamp(moment(said.at))
    except ValueError as error:
        raise Unreadable(
            f"{said.report} says that it was at {said.at!r}, which is no time: {error}"
        ) from error


def _keep(work: UnitOfWork, report: Report, kind: str) -> None:
    said = report.said
    body = msgspec.json.encode(said)
    work.put(
        p.reports,
        report=said.report,
        project=said.project,
        release=said.release,
        source=said.source,
        release_of=report.release_of,
        kind=kind,
        about=key(report),
        weight=weight(report),
        at=report.at,
        heard_at=report.heard_at,
        size=len(body),
        said=body,
    )
