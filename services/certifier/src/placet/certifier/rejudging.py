"""Would what is certified still be, by the policies that are in force now? Judged again from recorded facts.

Whenever other policies are in force than a certificate was judged by last (one was published, its day came, it ended,
its time of mere warnings is over), the rules of its source and of its image are asked again what they say of what they
saw then. Facts stay as they were recorded, `now` among them: what changed is what is asked. Only what is known of the
packages in its image is what is known now, whenever other advisories are in use. What was told when it was certified is
not told again. Policies that ship with the platform only warn here: nobody published them.

Rows remember what each certificate was judged by, so this goes on where a crash left it, and each is judged once by
each. An exception that comes or goes moves the row on, so that a judgement under way, which did
not see it, does not count.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

import msgspec
import sqlalchemy as sa

from placet.certifier import operation
from placet.certifier import projections as p
from placet.certifier.domain import FACTS_RECORDED, RELEASE, Certified, Judge, forbids, stream
from placet.certifier.ports import Facts, Held, Judgement, Ports
from placet.errors import Unavailable, Unknown
from placet.events import Actor, Context, UnitOfWork, Wiring, transact
from placet.events.codec import moment
from placet.events.contracts.certifier import CertificateIssued, ReleaseCleared
from placet.events.contracts.shapes import ExceptionUsed, Ground, Stage, Verdict
from placet.events.store import Claim, ClaimLost
from placet.events.tasks import TaskGroup
from placet.rules import Edition
from placet.rules.expressions import PERSONAL
from placet.rules.policy import asks_about_people

SERVICE = "certifier"
AT_ONCE = 16
"""Judged side by side."""
PAGE = 128
"""Of so many what they saw is held in memory."""
STAGES: tuple[Stage, Stage] = ("submit", "certify")
Item = TypeVar("Item")
Found = TypeVar("Found")


@dataclass(frozen=True, kw_only=True)
class _Measure:
    """What is judged by; `advisories` are the digest of the snapshot in use."""

    edition: Edition
    advisories: str | None
    now: datetime

    @property
    def digest(self) -> str:
        return " ".join((self.edition.digest, *([self.advisories] if self.advisories else ())))


@dataclass(frozen=True, kw_only=True)
class _Record:
    """What there is of a certificate: what the rules saw, and what each said."""

    facts: Mapping[Stage, Facts]
    said: Mapping[str, Verdict]
    missing: Ground | None = None
    is_erased: bool = False
    waived: frozenset[str] = frozenset()
    """Rules that were awaited when two people had it certified all the same."""


@dataclass(frozen=True, kw_only=True)
class _Looked:
    """A certificate with all that its judgement needs, and what came of that, a judgement for each stage."""

    held: Held
    history: Sequence[Any]
    record: _Record
    exceptions: Sequence[ExceptionUsed]
    judgements: tuple[Judgement, ...] = ()
    operated: operation.Asked | None = None
    """What rules of operation say, where policies changed and it is not over."""


async def judge_again(ports: Ports, wiring: Wiring) -> None:
    """All that are to be judged now. Raises Unavailable if some could not be; they are next time."""
    now = wiring.clock.now()
    edition, advisories = await ports.rules.edition(now), await ports.advisories.in_use()
    measure = _Measure(edition=edition, advisories=advisories, now=now)
    tried: set[str] = set()
    away: list[Unavailable] = []
    while True:
        page = await ports.certificates.to_judge(measure.digest, now, limit=PAGE + len(tried))
        left = [held for held in page if held.certificate not in tried][:PAGE]
        if not left:
            break
        tried |= {held.certificate for held in left}
        # What is given or taken from here on moves the row on, which ends its judgement.
        in_force = await ports.exceptions.in_force_for(left, now)
        histories = await wiring.store.read_many([_stream(held) for held in left])
        pages = [
            (held, [each.data for each in histories[_stream(held)]], exceptions)
            for held, exceptions in zip(left, in_force, strict=True)
        ]
        looked = await _of_each(pages, partial(_look, ports, measure), away)
        judged = await _judged(ports, looked, measure)
        await _of_each(judged, partial(_conclude, ports, wiring, measure), away)
    if away:
        raise Unavailable(f"{len(away)} certificates could not be judged again: {away[0]}")


async def _of_each(
    items: Iterable[Item], ask: Callable[[Item], Awaitable[Found]], away: list[Unavailable]
) -> list[Found]:
    """What came of each that could be had; of the others why not, unless they are to be judged by what came meanwhile,
    which they are when they are looked at next."""
    turns = asyncio.Semaphore(AT_ONCE)

    async def one(item: Item) -> Sequence[Found]:
        async with turns:
            try:
                return (await ask(item),)
            except ClaimLost:
                pass
            except Unavailable as error:
                away.append(error)
        return ()

    async with TaskGroup() as tasks:
        begun = [tasks.create_task(one(item)) for item in items]
    return [found for task in begun for found in task.result()]


def judge_anew_all_of(work: UnitOfWork, project: str) -> None:
    """Something else than policies changed for a project: its certificates are judged again soon."""
    table = p.certificates
    work.run(sa.update(table).where(table.c.project == project).values(turn=table.c.turn + 1, judge_at=0.0))


def _stream(held: Held) -> str:
    return stream(held.project, held.release)


async def _look(
    ports: Ports, measure: _Measure, of: tuple[Held, Sequence[Any], Sequence[ExceptionUsed]]
) -> _Looked:
    held, history, in_force = of
    record = await _record(history, ports)
    facts = {stage: await _as_known_now(ports, measure, seen) for stage, seen in record.facts.items()}
    return _Looked(held=held, history=history, record=replace(record, facts=facts), exceptions=in_force)


async def _as_known_now(ports: Ports, measure: _Measure, seen: Facts) -> Facts:
    """With what is known of its packages now; as it was where nothing newer is known than then."""
    if measure.advisories is None or "advisories" not in seen:
        return seen
    if seen["advisories"]["snapshot"] == measure.advisories:
        return seen
    return {**seen, "advisories": await ports.advisories.about(seen["contents"]["packages"], measure.now)}


async def _judged(ports: Ports, looked: Sequence[_Looked], measure: _Measure) -> list[_Looked]:
    judgements: dict[str, list[Judgement]] = {each.held.certificate: [] for each in looked}
    for stage in STAGES:
        those = [each for each in looked if stage in each.record.facts]
        asked = [(each.record.facts[stage], each.exceptions) for each in those]
        for each, judgement in zip(
            those, await ports.rules.judge_all(stage, asked, by=measure.edition), strict=True
        ):
            judgements[each.held.certificate].append(judgement)
    operated = await _operated(ports, looked, measure)
    return [
        replace(
            each,
            judgements=tuple(judgements[each.held.certificate]),
            operated=operated.get(each.held.certificate),
        )
        for each in looked
    ]


async def _operated(
    ports: Ports, looked: Sequence[_Looked], measure: _Measure
) -> Mapping[str, operation.Asked]:
    those = [each for each in looked if each.held.edition not in (None, measure.digest)]
    in_force = {each.held.certificate: each.exceptions for each in those}
    return await operation.ask_by_edition(ports, measure.edition, in_force, measure.now)


async def _conclude(ports: Ports, wiring: Wiring, measure: _Measure, looked: _Looked) -> None:
    table, held, judgements, operated = p.certificates, looked.held, looked.judgements, looked.operated

    async def change(work: UnitOfWork) -> None:
        nonlocal operated
        name = _stream(held)
        state = await work.state(RELEASE, name)
        if not isinstance(state, Certified):
            return
        command = _command(held, state, looked.record, judgements, measure.edition)
        if held.edition in (None, measure.digest):
            # By the same policies, of the same, or by which ones no row tells, as after a restore from the log, which
            # has what was said: what stands against it stays in the words that were found for it.
            known = {each.rule for each in state.grounds}
            command = replace(
                command, grounds=tuple(each for each in command.grounds if each.rule not in known)
            )
        await work.decide(RELEASE, name, command)
        if looked.operated is not None:
            if operated is None:  # somebody was first, and it may have been observed since
                again = await _operated(ports, [looked], replace(measure, now=work.now))
                operated = again.get(held.certificate)
            if operated is not None:
                await operation.conclude(work, operated)
                operated = None

    mine = sa.and_(table.c.certificate == held.certificate, table.c.turn == held.turn)
    judged = {"turn": held.turn + 1, "edition": measure.digest, "judge_at": _next(judgements, held)}
    claim = Claim(statement=sa.update(table).where(mine).values(judged))
    context = Context(project=held.project, correlation=wiring.ids.new(), actor=Actor.service(SERVICE))
    known = {_stream(held): looked.history}
    await transact(wiring, SERVICE, context, change, claim, known=known)


async def _record(history: Sequence[Any], ports: Ports) -> _Record:
    cleared = next((each for each in history if isinstance(each, ReleaseCleared)), None)
    issued = next((each for each in history if isinstance(each, CertificateIssued)), None)
    said = {each.rule: each for event in (cleared, issued) if event is not None for each in event.verdicts}
    seen: dict[Stage, Facts] = {}
    is_erased = False
    for stage, event in zip(STAGES, (cleared, issued), strict=True):
        if event is None or event.facts is None:
            return _Record(facts=seen, said=said, missing=_missing("was not recorded"))
        try:
            facts = await ports.records.read(event.facts)
        except Unknown:
            return _Record(facts=seen, said=said, missing=_missing(f"is gone: {event.facts.facts}"))
        is_erased |= event.facts.personal is not None and PERSONAL not in facts
        seen[stage] = facts
    waived = {each.rule for each in said.values() if forbids(each)} if issued and issued.break_glass else ()
    return _Record(facts=seen, said=said, is_erased=is_erased, waived=frozenset(waived))


def _missing(why: str) -> Ground:
    return Ground(
        rule=FACTS_RECORDED,
        why=f"what the rules saw when it was certified {why}; so nobody can say whether it keeps those in force now",
        fix="deploy it again",
    )


def _command(
    held: Held, state: Certified, record: _Record, judgements: Sequence[Judgement], edition: Edition
) -> Judge:
    """What is not kept is a ground, or a warning where it only warns. What was held against it and is not found now is
    lifted, but for what is judged in operation."""
    about_people = _rules_about_people(edition) if record.is_erased else frozenset()
    found = [each for judgement in judgements for each in _found(held, judgement, record, about_people)]
    grounds = tuple(ground for is_warning, ground in found if not is_warning)
    warnings = tuple(ground for is_warning, ground in found if is_warning)
    if record.missing is not None:
        return Judge(
            certificate=held.certificate,
            grounds=(*grounds, record.missing),
            warnings=warnings,
            kept=frozenset(),
        )
    operated = {rule.id for policy in edition.policies for rule in policy.rules if rule.stage == "operate"}
    against = {each.rule for each in (*state.grounds, *state.warnings)}
    return Judge(
        certificate=held.certificate,
        grounds=grounds,
        warnings=warnings,
        kept=frozenset(against - operated - {ground.rule for _, ground in found}),
    )


def _rules_about_people(edition: Edition) -> frozenset[str]:
    return frozenset(
        rule.id
        for policy in edition.policies
        for rule in policy.rules
        if asks_about_people(msgspec.structs.replace(policy, rules=(rule,)))
    )


def _found(
    held: Held, judgement: Judgement, record: _Record, undecidable: frozenset[str]
) -> Iterator[tuple[bool, Ground]]:
    """What is not kept, each with whether it is a warning."""
    for verdict in judgement.verdicts:
        if verdict.result == "pass" or verdict.exception is not None or verdict.rule in record.waived:
            continue
        before = record.said.get(verdict.rule)
        is_known = before is not None and (before.result, before.on_fail) == (verdict.result, verdict.on_fail)
        ground = _ground(verdict, undecidable)
        if verdict.on_fail == "warn":
            if not is_known:
                yield True, ground
        else:
            # Forbidden then already, and let pass by an exception: that this is gone is not news of a policy.
            is_warning = verdict.policy in judgement.only_warn and not is_known
            if verdict.rule in judgement.awaits:
                ground = msgspec.structs.replace(
                    ground, fix=_asked_anew(held, verdict.fix, is_warning=is_warning)
                )
            yield is_warning, ground


def _ground(verdict: Verdict, undecidable: frozenset[str]) -> Ground:
    why = verdict.why or "it is not kept"
    if verdict.result == "indeterminate" and verdict.rule in undecidable:
        why = f"{why}; what was recorded about people was erased"
    return Ground(rule=verdict.rule, why=why, fix=verdict.fix)


def _asked_anew(held: Held, fix: str | None, *, is_warning: bool) -> str:
    """What helps where a rule waits for people: nothing waits of what was certified already, but of a new release of it
    they can do what the rule's own `fix` says."""
    again = (
        f"placet renew {held.project}"
        if is_warning
        else f"placet rollback {held.project} --to {held.release}"
    )
    begin = (
        f"release {held.release} is certified already, so nothing of it waits for that; "
        f"ask for a new one of it, `{again}`, or deploy it again: that one waits"
    )
    return f"{begin}, and then {fix}" if fix else begin


def _next(judgements: Sequence[Judgement], held: Held) -> float | None:
    """When the first exception ends that it needs, if that is before its own end."""
    used: list[ExceptionUsed] = [each for judgement in judgements for each in judgement.exceptions]
    ends = [moment(each.until).timestamp() for each in used]
    return min((end for end in ends if end < held.not_after), default=None)
