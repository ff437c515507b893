"""Taking in what others report of a model: read, said, and its row written, all of it or nothing.

What is sent again is the same report: its id follows from the project and from what its sender calls it, so whoever
does not know whether it arrived sends it once more.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import msgspec
import sqlalchemy as sa

from placet.errors import Conflict, Unknown
from placet.events import Actor, Context, UnitOfWork, Wiring, transact
from placet.events.codec import timestamp
from placet.events.contracts.gateway import MetadataReported
from placet.events.contracts.shapes import (
    ReportedEvaluation,
    ReportedIncident,
    ReportedMonitoring,
    ReportedRun,
)
from placet.events.unit_of_work import current_traceparent
from placet.gateway import projections as p
from placet.gateway.cloud_events import SENT, Sent, place_of, reports_of
from placet.gateway.domain import MAKERS, PROJECT
from placet.gateway.intake import SERVICE
from placet.gateway.people import Owner, People
from placet.gateway.reasons import give_reason, said_in_words, salted
from placet.gateway.reported import ReportQueries, said_in
from placet.gateway.reports import About, Kind, Report, kind_of

REPORTERS = MAKERS | {"compliance"}
"""Who runs pipelines and models, and who is told of incidents. Auditors and approvers look on."""
DAY = timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class _Told:
    """A report of a project by somebody, and where it was in what was sent."""

    id: str
    project: str
    report: Report
    by: str
    place: str

    @property
    def kind(self) -> Kind:
        return kind_of(self.report.content)

    def said(self, *, by: str, summary: str | None) -> MetadataReported:
        content = self.report.content
        return MetadataReported(
            report=self.id,
            project=self.project,
            release=self.report.about.release,
            source=self.report.about.source,
            at=timestamp(self.report.at),
            reported_by=by,
            summary=summary,
            run=content if isinstance(content, ReportedRun) else None,
            evaluation=content if isinstance(content, ReportedEvaluation) else None,
            monitoring=content if isinstance(content, ReportedMonitoring) else None,
            incident=content if isinstance(content, ReportedIncident) else None,
        )


class Reporting:
    """`most` of one kind are taken of a project within a day. By kind: a pipeline that repeats itself keeps nobody from
    telling an incident."""

    def __init__(self, wiring: Wiring, reported: ReportQueries, people: People, *, most: int) -> None:
        self._wiring = wiring
        self._reported = reported
        self._people = people
        self._most = most

    async def report(
        self, project: str, sent: Sent, about: About, person: str
    ) -> tuple[list[dict[str, Any]], bool]:
        """Each report, in the order in which they were sent, and whether any is new.

        Raises DocumentRefused with everything that is wrong, Conflict for what was sent before with other content and
        for too many, and Unknown for a release that is not there.
        """
        reports = reports_of(sent, about, self._wiring.clock.now())
        told = [
            _Told(
                id=_id(project, report.sent_as),
                project=project,
                report=report,
                by=person,
                place=place_of(sent, index, ""),
            )
            for index, report in enumerate(reports)
        ]
        wanted = _unique(told)

        async def change(work: UnitOfWork) -> bool:
            known = {row.report: row for row in await self._reported.rows(each.id for each in wanted)}
            for each in wanted:
                if (row := known.get(each.id)) is not None:
                    _must_be_the_same(each, said_in(row), said_in_words(row))
            new = [each for each in wanted if each.id not in known]
            if new:
                await _must_have_releases(work, project, new)
                since = timestamp(work.now - DAY)
                _must_not_be_too_many(
                    project, await self._reported.heard_since(project, since), new, self._most
                )
            by = await self._people.owner(person)
            for each in new:
                _say(work, each, by)
            return bool(new)

        context = Context(
            project=project,
            correlation=self._wiring.ids.new(),
            actor=Actor.person(person),
            traceparent=current_traceparent(),
        )
        is_new = (await transact(self._wiring, SERVICE, context, change))[0]
        return await self._reported.named([each.id for each in told]), is_new


def _id(project: str, sent_as: Sequence[str]) -> str:
    digest = hashlib.sha256(msgspec.json.encode([project, *sent_as])).hexdigest()
    return f"report:{digest[:32]}"


def _unique(told: Sequence[_Told]) -> list[_Told]:
    """Each once, though it is sent more often. Raises Conflict where it is not the same each time."""
    first: dict[str, _Told] = {}
    for each in told:
        earlier = first.setdefault(each.id, each)
        if each.report != earlier.report:
            raise _says_something_else(each, f"also at {earlier.place}")
    return list(first.values())


def _must_be_the_same(each: _Told, said: MetadataReported, words: str | None) -> None:
    """By whoever it is sent. What was erased of the first one's words is not asked about."""
    has_words = each.report.summary is not None
    is_same = each.said(by=said.reported_by, summary=said.summary) == said
    if not is_same or has_words != (said.summary is not None) or words not in (None, each.report.summary):
        raise _says_something_else(each, "before")


def _says_something_else(each: _Told, when: str) -> Conflict:
    of = f"{SENT}, {each.place}: " if each.place else ""
    return Conflict(
        f"{of}this event was sent {when} by the same id, as {each.id}, and said something else, which stays",
        fix="give what is new an id of its own; OpenLineage's events differ by run, type, time and job",
    )


async def _must_have_releases(work: UnitOfWork, project: str, new: Iterable[_Told]) -> None:
    """What is told of a release that comes one day would count for it, whatever that is."""
    last = max((each.report.about.release or 0 for each in new), default=0)
    if last and last > (await work.state(PROJECT, f"project/{project}")).releases:
        raise Unknown(
            f"there is no release {last} of {project} yet",
            fix="report it of the project, or of a source by its digest, which can come first",
        )


def _must_not_be_too_many(project: str, heard: dict[str, int], new: Iterable[_Told], most: int) -> None:
    for kind, number in Counter(each.kind for each in new).items():
        if heard.get(kind, 0) + number > most:
            raise Conflict(
                f"{heard.get(kind, 0)} reports of kind {kind} were heard of {project} within a day, and no more than"
                f" {most} are taken",
                fix="send less often, or tomorrow; other kinds are still heard",
            )


def _say(work: UnitOfWork, told: _Told, by: Owner) -> None:
    summary = None if told.report.summary is None else salted(told.report.summary)
    said = told.said(by=told.by, summary=None if summary is None else summary.digest)
    work.report(f"report/{told.id}", said)
    if summary is not None:
        give_reason(work, told.id, summary, by)
    # Whoever sends the same at this moment finds this row there, and starts again.
    work.run(
        sa.insert(p.reports).values(
            report=told.id,
            project=told.project,
            place=work.new_id(),
            kind=told.kind,
            release=said.release,
            heard_at=timestamp(work.now),
            said=msgspec.json.encode(said),
        )
    )
