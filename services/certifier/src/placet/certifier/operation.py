"""Do the rules of operation hold? Asked with every window that is observed of a model, with all that is reported of one
in use, and by the clock.

What comes of it is a decision on the certificate: a rule that fails suspends or warns, one that passes, or is excepted
from, is lifted, and one that cannot be decided leaves all as it was. A suspended model is asked nothing, so nothing
that it does could lift that: its conditions say after how long it is tried again, or people do, by an exception.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from placet.certifier import conditions, reminding
from placet.certifier import projections as p
from placet.certifier.conditions import Watched
from placet.certifier.domain import RELEASE, Certified, Judge, stream
from placet.certifier.ports import Facts, Judgement, Kept, Ports
from placet.certifier.reports import Report
from placet.events import Actor, Context, Heard, UnitOfWork, Wiring, transact
from placet.events.codec import moment, timestamp
from placet.events.contracts.certifier import CertificateIssued
from placet.events.contracts.deployer import (
    CanaryAborted,
    CanaryStarted,
    ModelDeleted,
    ModelObserved,
    ModelQuarantined,
    ModelStarted,
    ModelStopped,
)
from placet.events.contracts.shapes import ExceptionUsed, Ground, Verdict
from placet.rules import Edition

SERVICE = "certifier"


async def begin(work: UnitOfWork, issued: CertificateIssued, ports: Ports) -> None:
    """From here on its conditions are looked after, with what was observed of the same source before: else another
    certificate would be all that it takes to serve on. What is against it already is said with it, before it serves."""
    same = [each for each in await ports.watches.of_project(issued.project) if each.source == issued.source]
    before = max(same, key=lambda each: (each.watched.heard_at, each.release), default=None)
    watched = conditions.watched(issued.conditions)
    if before is not None:
        watched = conditions.handed_on(before.watched, watched)
    work.put(
        p.watches,
        certificate=issued.certificate,
        project=issued.project,
        release=issued.release,
        source=issued.source,
        watched=msgspec.json.encode(watched),
        turn=0,
        look_at=None,
    )
    kept = Kept(
        certificate=issued.certificate,
        project=issued.project,
        release=issued.release,
        source=issued.source,
        watched=watched,
        turn=0,
    )
    await _judge(work, ports, kept, watched)


async def on_model_observed(heard: Heard[ModelObserved], work: UnitOfWork, ports: Ports) -> None:
    """A window that is older than what was judged, or the same again, changes nothing."""
    observed = heard.data
    kept = await ports.watches.of_release(observed.project, observed.release)
    added = conditions.heard(kept.watched, observed) if kept is not None else None
    if kept is not None and added is not None:
        await _judge(work, ports, kept, added)


async def on_model_started(heard: Heard[ModelStarted], work: UnitOfWork, ports: Ports) -> None:
    await _serves(heard, heard.data.release, work, ports)


async def on_model_stopped(heard: Heard[ModelStopped], work: UnitOfWork, ports: Ports) -> None:
    await _serves(heard, None, work, ports)


async def on_model_deleted(heard: Heard[ModelDeleted], work: UnitOfWork, ports: Ports) -> None:
    await _serves(heard, None, work, ports)


async def on_model_quarantined(heard: Heard[ModelQuarantined], work: UnitOfWork, ports: Ports) -> None:
    await _serves(heard, None, work, ports)


async def on_canary_started(heard: Heard[CanaryStarted], work: UnitOfWork, ports: Ports) -> None:
    """It serves beside what does, which goes on."""
    kept = await ports.watches.of_release(heard.data.project, heard.data.release)
    if kept is not None:
        await _begins_or_ends(heard, True, kept, work, ports)


async def on_canary_aborted(heard: Heard[CanaryAborted], work: UnitOfWork, ports: Ports) -> None:
    kept = await ports.watches.of_release(heard.data.project, heard.data.release)
    if kept is not None:
        await _begins_or_ends(heard, False, kept, work, ports)


async def judge_anew(
    work: UnitOfWork,
    ports: Ports,
    project: str,
    *,
    with_: ExceptionUsed | None = None,
    of_source: str | None = None,
    without: str | None = None,
) -> None:
    """An exception comes, for one source if that is named, or goes: rows know of it once this is committed."""
    for kept in await ports.watches.of_project(project):
        held = await ports.exceptions.in_force(project, kept.source, work.now, without=without)
        if with_ is not None and of_source in (None, kept.source) and moment(with_.until) > work.now:
            held = [*(each for each in held if each.rule != with_.rule), with_]
        await _judge(work, ports, kept, kept.watched, held)


async def judge_reported(work: UnitOfWork, ports: Ports, report: Report) -> None:
    """What was just reported counts for these: rows tell of it once this is committed."""
    for kept in await ports.watches.of_project(report.said.project):
        if report.counts_for(kept.release, kept.source):
            await _judge(work, ports, kept, kept.watched, report=report)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What rules of operation say of a certificate by other policies than before, as it was `kept`."""

    kept: Kept
    judgement: Judgement


async def ask_by_edition(
    ports: Ports, edition: Edition, in_force: Mapping[str, Sequence[ExceptionUsed]], at: datetime
) -> Mapping[str, Asked]:
    """`in_force` are exceptions by certificate; of one that is over meanwhile, nothing is asked."""
    kept = await ports.watches.of_certificates(in_force)
    reported = await ports.reports.in_use(list(kept.values()), at)
    asked = [
        (_facts(each, each.watched, at, reports), in_force[certificate])
        for (certificate, each), reports in zip(kept.items(), reported, strict=True)
    ]
    judgements = await ports.rules.judge_all("operate", asked, by=edition)
    return {
        each.certificate: Asked(kept=each, judgement=judgement)
        for each, judgement in zip(kept.values(), judgements, strict=True)
    }


async def conclude(work: UnitOfWork, asked: Asked) -> None:
    """Or break a constraint, where what was kept is another thing by now."""
    await _conclude(work, asked.kept, asked.kept.watched, asked.judgement)


async def look(ports: Ports, wiring: Wiring) -> None:
    """Judge those whose time has come."""
    for certificate in await ports.watches.due(wiring.clock.now().timestamp()):

        async def change(work: UnitOfWork, certificate: str = certificate) -> None:
            kept = await ports.watches.of_certificate(certificate)
            if kept is None:
                return
            retry_at = kept.watched.retry_at
            if retry_at is not None and retry_at <= work.now.timestamp():
                await _try_again(work, ports, kept)
            else:
                await _judge(work, ports, kept, kept.watched)

        kept = await ports.watches.of_certificate(certificate)
        if kept is not None:
            context = Context(
                project=kept.project, correlation=wiring.ids.new(), actor=Actor.service(SERVICE)
            )
            await transact(wiring, SERVICE, context, change)


async def _judge(
    work: UnitOfWork,
    ports: Ports,
    kept: Kept,
    watched: Watched,
    in_force: Sequence[ExceptionUsed] | None = None,
    report: Report | None = None,
) -> None:
    judgement = await _judgement(work, ports, kept, watched, in_force, report)
    await _conclude(work, kept, watched, judgement)


async def _judgement(
    work: UnitOfWork,
    ports: Ports,
    kept: Kept,
    watched: Watched,
    in_force: Sequence[ExceptionUsed] | None = None,
    report: Report | None = None,
) -> Judgement:
    at = work.now
    if in_force is None:
        in_force = await ports.exceptions.in_force(kept.project, kept.source, at)
    [reports] = await ports.reports.in_use([kept], at, with_=report)
    return await ports.rules.judge("operate", _facts(kept, watched, at, reports), in_force)


def _facts(kept: Kept, watched: Watched, at: datetime, reports: Facts) -> Facts:
    observed = conditions.facts(watched, project=kept.project, now=timestamp(at), at=at.timestamp())
    return {**observed, "reports": reports}


async def _conclude(work: UnitOfWork, kept: Kept, watched: Watched, judgement: Judgement) -> None:
    await _decide(work, kept, conditions.settled(watched), _command(kept, watched, judgement))


def _command(kept: Kept, watched: Watched, judgement: Judgement) -> Judge:
    holds = {each.rule for each in judgement.verdicts if each.result == "pass" or each.exception is not None}
    failed = _failed(judgement)

    def grounds(*, warn: bool) -> tuple[Ground, ...]:
        return tuple(
            Ground(
                rule=each.rule,
                why=each.why or "it is not kept",
                fix=each.fix,
                measured=conditions.broken(watched, "warn" if each.on_fail == "warn" else "suspend"),
            )
            for each in failed
            if (each.on_fail == "warn" or each.policy in judgement.only_warn) is warn
        )

    return Judge(
        certificate=kept.certificate,
        grounds=grounds(warn=False),
        warnings=grounds(warn=True),
        kept=frozenset(holds),
    )


def _failed(judgement: Judgement) -> list[Verdict]:
    return [each for each in judgement.verdicts if each.result == "fail" and each.exception is None]


async def _try_again(work: UnitOfWork, ports: Ports, kept: Kept) -> None:
    """On trial: what its conditions took it off its route for is lifted, and judged by what comes from here on.

    What a rule holds against it without them, such as an incident, stands.
    """
    state = await work.state(RELEASE, stream(kept.project, kept.release))
    grounds = state.grounds if isinstance(state, Certified) else ()
    watched = conditions.on_trial(kept.watched)
    still = _failed(await _judgement(work, ports, kept, watched))
    rules = frozenset(each.rule for each in grounds if each.measured)
    rules -= {each.rule for each in still}
    command = Judge(certificate=kept.certificate, grounds=(), warnings=(), kept=rules)
    await _decide(work, kept, watched, command)


async def _decide(work: UnitOfWork, kept: Kept, watched: Watched, command: Judge) -> None:
    name = stream(kept.project, kept.release)
    await work.decide(RELEASE, name, command)
    state = await work.state(RELEASE, name)
    is_suspended = isinstance(state, Certified) and any(each.measured for each in state.grounds)
    since = (watched.suspended_at or work.now.timestamp()) if is_suspended else None
    _keep(work, kept, msgspec.structs.replace(watched, suspended_at=since))


async def _serves(
    heard: Heard[ModelStarted] | Heard[ModelStopped] | Heard[ModelDeleted] | Heard[ModelQuarantined],
    release: int | None,
    work: UnitOfWork,
    ports: Ports,
) -> None:
    """Of a project one release serves, or none. What was reported before it began to is asked about at once."""
    reminding.serves(work, heard.data.project, release)
    for kept in await ports.watches.of_project(heard.data.project):
        await _begins_or_ends(heard, kept.release == release, kept, work, ports)


async def _begins_or_ends(
    heard: Heard[Any], is_live: bool, kept: Kept, work: UnitOfWork, ports: Ports
) -> None:
    """To serve, as of when that was said."""
    if is_live == kept.watched.is_live:
        return
    at = moment(heard.event.time).timestamp()
    watched = msgspec.structs.replace(kept.watched, is_live=is_live, since=at)
    if is_live:
        await _judge(work, ports, kept, watched)
    else:
        _keep(work, kept, watched)


def _keep(work: UnitOfWork, kept: Kept, watched: Watched) -> None:
    """Or break a constraint, where somebody else changed it since it was read: then all is done anew."""
    table = p.watches
    moved_on = sa.case((table.c.turn == kept.turn, kept.turn + 1), else_=sa.null())
    work.run(
        sa.update(table)
        .where(table.c.certificate == kept.certificate)
        .values(
            watched=msgspec.json.encode(watched),
            turn=moved_on,
            look_at=watched.look_at(work.now.timestamp()),
        )
    )
