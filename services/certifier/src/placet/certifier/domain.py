"""May this release be served, and still? Judged twice before it runs: its source, then its image. Where nothing forbids
it but what people can still do, it waits for them, up to a deadline. What is certified stands until its certificate's
time is over, there are grounds against it, or somebody revokes it.

The rules themselves are policies (`placet.rules`); what is decided here is what their verdicts mean for a
release, and that each is judged once. Pure: verdicts, times and ids come with the commands.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import assert_never

import msgspec

from placet.events.codec import moment, timestamp
from placet.events.contracts.certifier import (
    ApprovalAwaited,
    ApprovalReminded,
    CertificateExpired,
    CertificateIssued,
    CertificateLapsing,
    CertificateReinstated,
    CertificateRevoked,
    CertificateSuspended,
    CertificateUpheld,
    CertificateWarned,
    ReleaseCleared,
    ReleaseRefused,
    ReviewOwed,
)
from placet.events.contracts.shapes import (
    ApprovalUsed,
    Binding,
    Condition,
    ExceptionUsed,
    Ground,
    PolicyRef,
    RecordedFacts,
    Resources,
    Verdict,
)
from placet.events.contracts.shapes import Command as Goal
from placet.events.decider import Decider


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A release as it was asked for. `renews` is the certificate that its own is to take the place of."""

    project: str
    release: int
    command: Goal
    source: str
    image: str | None
    asker: str | None = None
    renews: str | None = None


@dataclass(frozen=True, kw_only=True)
class Declared:
    """What the source's manifest says that others need to act; `purpose` and `data` are digests."""

    format: str
    resources: Resources
    access: str
    trial: bool = False
    dockerfile: bool = False
    conditions: tuple[Condition, ...] = ()
    risk_class: str = ""
    purpose: str = ""
    data: str = ""


@dataclass(frozen=True, kw_only=True)
class JudgeSource:
    """`declared` is none where the source could not even be read, which a verdict then says; `inputs` are the digest of
    what rules saw."""

    asked: Asked
    declared: Declared | None
    policies: tuple[PolicyRef, ...]
    verdicts: tuple[Verdict, ...]
    exceptions: tuple[ExceptionUsed, ...] = ()
    inputs: str | None = None
    facts: RecordedFacts | None = None


@dataclass(frozen=True, kw_only=True)
class Signed:
    """A certificate that lies in the registry already; it means nothing before it is in the log."""

    certificate: str
    envelope: str
    not_before: str
    not_after: str
    key: str | None = None


BREAKERS = 2
"""People who have a release served that waits, without what it waits for."""


@dataclass(frozen=True, kw_only=True)
class Patience:
    """For how long a rule waits for people, and after how long each time they are reminded. In seconds."""

    within: int
    remind: int | None = None


@dataclass(frozen=True, kw_only=True)
class Awaitable:
    """What could be approved `at` this moment, and for which rules that is waited, if they fail."""

    at: datetime
    binding: Binding
    rules: Mapping[str, Patience] = field(default_factory=dict)
    approvals: tuple[ApprovalUsed, ...] = ()
    """Those that count, of this binding."""
    breakers: tuple[ApprovalUsed, ...] = ()
    """Of those who would have it served for a day, whatever is awaited."""

    @property
    def breaks_glass(self) -> bool:
        return len(self.breakers) >= BREAKERS

    def waits_only(self, verdicts: Sequence[Verdict]) -> bool:
        """Whether something forbids it, and all that does is for people to do."""
        against = [verdict for verdict in verdicts if forbids(verdict)]
        return bool(against) and all(each.result == "fail" and each.rule in self.rules for each in against)


@dataclass(frozen=True, kw_only=True)
class JudgeImage:
    """`signed` is there if, and only if, no verdict forbids it, or two people broke the glass; `exceptions` are those
    that it was signed with."""

    image: str
    repository: str
    policies: tuple[PolicyRef, ...]
    verdicts: tuple[Verdict, ...]
    signed: Signed | None
    exceptions: tuple[ExceptionUsed, ...] = ()
    conditions: tuple[Condition, ...] = ()
    awaitable: Awaitable | None = None
    facts: RecordedFacts | None = None


@dataclass(frozen=True, kw_only=True)
class PassTime:
    """Of a release that is awaited: people may have to be reminded, or it may be too late."""

    now: datetime


@dataclass(frozen=True, kw_only=True)
class Object:
    """There are these grounds against a certificate; of a rule that was named before, they take the place."""

    certificate: str
    grounds: tuple[Ground, ...]


@dataclass(frozen=True, kw_only=True)
class Lift:
    """It is excepted now from a rule that is a ground against it."""

    certificate: str
    exception: ExceptionUsed


@dataclass(frozen=True, kw_only=True)
class Judge:
    """What rules said of it: these are kept, those are not. Of others nothing is known now.

    What was a warning and is a ground is no warning any more, and the other way round. A ground is said again if other
    conditions are not kept, and not for other numbers, which come with every window.
    """

    certificate: str
    grounds: tuple[Ground, ...]
    warnings: tuple[Ground, ...]
    kept: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class Revoke:
    certificate: str
    ground: Ground
    by: str


@dataclass(frozen=True, kw_only=True)
class Uphold:
    """An exception that it stands on was withdrawn, and there is this one in its place."""

    certificate: str
    withdrawn: str
    exception: ExceptionUsed


@dataclass(frozen=True, kw_only=True)
class Remind:
    """A model serves on it, and its time may be nearly over."""

    certificate: str
    now: datetime


@dataclass(frozen=True, kw_only=True)
class Lapse:
    """Its time may be over."""

    certificate: str
    now: datetime


Command = JudgeSource | JudgeImage | PassTime | Object | Lift | Uphold | Judge | Revoke | Remind | Lapse
Happened = (
    ReleaseCleared
    | ReleaseRefused
    | ApprovalAwaited
    | ApprovalReminded
    | CertificateIssued
    | ReviewOwed
    | CertificateUpheld
    | CertificateSuspended
    | CertificateReinstated
    | CertificateWarned
    | CertificateRevoked
    | CertificateLapsing
    | CertificateExpired
)


@dataclass(frozen=True, kw_only=True)
class New:
    """Not judged yet."""


@dataclass(frozen=True, kw_only=True)
class Cleared:
    """The source passed; the image is still to be seen."""

    asked: Asked


@dataclass(frozen=True, kw_only=True)
class Awaiting:
    """Nothing forbids it but what people can still do; `reminders` were sent of that."""

    asked: Asked
    awaited: ApprovalAwaited
    reminders: int = 0

    @property
    def until(self) -> datetime:
        return moment(self.awaited.until)

    @property
    def look_at(self) -> datetime:
        """When time alone changes something."""
        if self.awaited.remind is None:
            return self.until
        next_one = moment(self.awaited.since) + timedelta(seconds=self.awaited.remind * (self.reminders + 1))
        return min(self.until, next_one)


@dataclass(frozen=True, kw_only=True)
class Certified:
    """The certificate stands if there are no `grounds` against it; `warnings` are to be looked at. `is_reminded` once
    it was said that it ends soon."""

    asked: Asked
    certificate: str
    not_after: str
    grounds: tuple[Ground, ...] = ()
    warnings: tuple[Ground, ...] = ()
    is_reminded: bool = False


@dataclass(frozen=True, kw_only=True)
class Over:
    """Its certificate was revoked, or its time is over."""


@dataclass(frozen=True, kw_only=True)
class Refused:
    """A refusal is for good: a mended project is another source, and another release."""


State = New | Cleared | Awaiting | Certified | Over | Refused


def decide(command: Command, state: State) -> Sequence[Happened]:
    match command, state:
        case JudgeSource(declared=declared), New() if declared is not None and not forbidden(
            command.verdicts
        ):
            asked = command.asked
            return [
                ReleaseCleared(
                    project=asked.project,
                    release=asked.release,
                    command=asked.command,
                    source=asked.source,
                    image=asked.image,
                    format=declared.format,
                    resources=declared.resources,
                    access=declared.access,
                    trial=declared.trial,
                    dockerfile=declared.dockerfile,
                    asker=asked.asker,
                    renews=asked.renews,
                    policies=command.policies,
                    verdicts=command.verdicts,
                    exceptions=command.exceptions,
                    conditions=declared.conditions,
                    inputs=command.inputs,
                    risk_class=declared.risk_class,
                    purpose=declared.purpose,
                    data=declared.data,
                    facts=command.facts,
                )
            ]
        case JudgeSource(), New():
            return [
                ReleaseRefused(
                    project=command.asked.project,
                    release=command.asked.release,
                    stage="submit",
                    source=command.asked.source,
                    policies=command.policies,
                    verdicts=command.verdicts,
                    facts=command.facts,
                )
            ]
        case JudgeImage(), Cleared() | Awaiting():
            return _judge_image(command, state)
        case PassTime(now=now), Awaiting():
            return _pass_time(now, state)
        case Uphold(certificate=certificate), Certified(asked=asked, certificate=held) if certificate == held:
            return [_upheld(asked, held, command.exception, withdrawn=command.withdrawn)]
        case Object(certificate=certificate), Certified(certificate=held) if certificate == held:
            return _stands(state, _replaced(state.grounds, command.grounds))
        case Lift(certificate=certificate, exception=by), Certified(asked=asked, certificate=held) if (
            certificate == held and by.rule in _rules(state.grounds)
        ):
            left = tuple(each for each in state.grounds if each.rule != by.rule)
            return [_upheld(asked, held, by), *_stands(state, left)]
        case Judge(certificate=certificate), Certified(certificate=held) if certificate == held:
            grounds = _judged(state.grounds, command.grounds, command.kept | _rules(command.warnings))
            warnings = _judged(state.warnings, command.warnings, command.kept | _rules(command.grounds))
            return [*_stands(state, grounds), *_warned(state, warnings)]
        case Revoke(certificate=certificate), Certified(asked=asked, certificate=held) if certificate == held:
            return [
                CertificateRevoked(
                    certificate=held,
                    project=asked.project,
                    release=asked.release,
                    ground=command.ground,
                    revoked_by=command.by,
                )
            ]
        case Remind(certificate=certificate, now=now), Certified(asked=asked, certificate=held) if (
            certificate == held and not state.is_reminded and now < moment(state.not_after)
        ):
            return [
                CertificateLapsing(
                    certificate=held,
                    project=asked.project,
                    release=asked.release,
                    not_after=state.not_after,
                    left=int((moment(state.not_after) - now).total_seconds()),
                )
            ]
        case Lapse(certificate=certificate), Certified(asked=asked, certificate=held) if (
            certificate == held and moment(state.not_after) <= command.now
        ):
            return [
                CertificateExpired(
                    certificate=held,
                    project=asked.project,
                    release=asked.release,
                    not_after=state.not_after,
                )
            ]
        case _:
            return []  # judged already: the first judgement stands; or a certificate that is over


def _judge_image(command: JudgeImage, state: Cleared | Awaiting) -> Sequence[Happened]:
    asked, wanted = state.asked, command.awaitable
    waits_only = wanted is not None and wanted.waits_only(command.verdicts)
    if command.signed is not None and not forbidden(command.verdicts):
        return [_issued(command, asked, command.signed, wanted.approvals if wanted is not None else ())]
    if wanted is not None and waits_only:
        if command.signed is not None and wanted.breaks_glass:
            return _break_glass(command, asked, command.signed, wanted)
        patience = [wanted.rules[each.rule] for each in command.verdicts if forbids(each)]
        return _await(command, state, wanted, patience)
    return [
        ReleaseRefused(
            project=asked.project,
            release=asked.release,
            stage="certify",
            source=asked.source,
            policies=command.policies,
            verdicts=command.verdicts,
            facts=command.facts,
        )
    ]


def _issued(
    command: JudgeImage,
    asked: Asked,
    signed: Signed,
    approvals: tuple[ApprovalUsed, ...],
    *,
    break_glass: bool = False,
) -> CertificateIssued:
    return CertificateIssued(
        certificate=signed.certificate,
        project=asked.project,
        release=asked.release,
        command=asked.command,
        source=asked.source,
        image=command.image,
        repository=command.repository,
        envelope=signed.envelope,
        not_before=signed.not_before,
        not_after=signed.not_after,
        policies=command.policies,
        verdicts=command.verdicts,
        exceptions=command.exceptions,
        conditions=command.conditions,
        approvals=approvals,
        break_glass=break_glass,
        facts=command.facts,
        key=signed.key,
        renews=asked.renews,
    )


def _break_glass(command: JudgeImage, asked: Asked, signed: Signed, wanted: Awaitable) -> Sequence[Happened]:
    owed = ReviewOwed(
        certificate=signed.certificate,
        project=asked.project,
        release=asked.release,
        approvals=wanted.breakers,
        asker=asked.asker,
    )
    given = (*wanted.approvals, *wanted.breakers)
    return [_issued(command, asked, signed, given, break_glass=True), owed]


def _await(
    command: JudgeImage, state: Cleared | Awaiting, wanted: Awaitable, patience: Sequence[Patience]
) -> Sequence[Happened]:
    """What is awaited anew, because it is another thing than before, has no more time for that."""
    before = state.awaited if isinstance(state, Awaiting) else None
    until = timestamp(wanted.at + timedelta(seconds=min(each.within for each in patience)))
    since = timestamp(wanted.at) if before is None else before.since
    awaited = ApprovalAwaited(
        project=state.asked.project,
        release=state.asked.release,
        command=state.asked.command,
        binding=wanted.binding,
        verdicts=command.verdicts,
        since=since,
        until=until if before is None else min(until, before.until),
        remind=min((each.remind for each in patience if each.remind is not None), default=None),
        approvals=(*wanted.approvals, *wanted.breakers),
        asker=state.asked.asker,
    )
    return [] if awaited == before else [awaited]


def _pass_time(now: datetime, state: Awaiting) -> Sequence[Happened]:
    asked, awaited = state.asked, state.awaited
    if state.until <= now:
        return [
            ReleaseRefused(
                project=asked.project,
                release=asked.release,
                stage="certify",
                source=asked.source,
                policies=awaited.binding.policies,
                verdicts=tuple(
                    msgspec.structs.replace(
                        each, why=f"{each.why}; that was awaited until {awaited.until}, and nothing came"
                    )
                    if forbids(each)
                    else each
                    for each in awaited.verdicts
                ),
            )
        ]
    if awaited.remind is None or now < state.look_at:
        return []
    passed = now - moment(awaited.since)
    return [
        ApprovalReminded(
            project=asked.project,
            release=asked.release,
            binding=awaited.binding.digest,
            rules=tuple(each.rule for each in awaited.verdicts if forbids(each)),
            until=awaited.until,
            number=int(passed.total_seconds()) // awaited.remind,
        )
    ]


def _judged(held: Sequence[Ground], said: Sequence[Ground], lifted: frozenset[str]) -> tuple[Ground, ...]:
    return tuple(each for each in _replaced(held, _news(held, said)) if each.rule not in lifted)


def _rules(grounds: Sequence[Ground]) -> frozenset[str]:
    return frozenset(ground.rule for ground in grounds)


def _replaced(grounds: Sequence[Ground], by: Sequence[Ground]) -> tuple[Ground, ...]:
    named = {ground.rule for ground in by}
    return (*(ground for ground in grounds if ground.rule not in named), *by)


def _news(known: Sequence[Ground], grounds: Sequence[Ground]) -> tuple[Ground, ...]:
    """Those of which not the same was said already."""
    by_rule = {ground.rule: ground for ground in known}
    return tuple(each for each in grounds if not _is_told(by_rule.get(each.rule), each))


def _is_told(before: Ground | None, now: Ground) -> bool:
    if before is None or not before.measured:
        return before == now
    conditions = [{(each.metric, each.window) for each in ground.measured} for ground in (before, now)]
    return conditions[0] == conditions[1]


def _warned(state: Certified, warnings: tuple[Ground, ...]) -> Sequence[Happened]:
    warnings = tuple(sorted(warnings, key=lambda ground: ground.rule))
    if warnings == state.warnings:
        return []
    asked = state.asked
    return [
        CertificateWarned(
            certificate=state.certificate, project=asked.project, release=asked.release, warnings=warnings
        )
    ]


def _upheld(
    asked: Asked, certificate: str, by: ExceptionUsed, *, withdrawn: str | None = None
) -> CertificateUpheld:
    return CertificateUpheld(
        certificate=certificate,
        project=asked.project,
        release=asked.release,
        withdrawn=withdrawn,
        exception=by,
    )


def _stands(state: Certified, grounds: tuple[Ground, ...]) -> Sequence[Happened]:
    grounds = tuple(sorted(grounds, key=lambda ground: ground.rule))
    if grounds == state.grounds:
        return []
    asked = state.asked
    if not grounds:
        return [
            CertificateReinstated(certificate=state.certificate, project=asked.project, release=asked.release)
        ]
    return [
        CertificateSuspended(
            certificate=state.certificate, project=asked.project, release=asked.release, grounds=grounds
        )
    ]


def evolve(state: State, event: Happened) -> State:
    match event, state:
        case ReleaseCleared(), _:
            return Cleared(
                asked=Asked(
                    project=event.project,
                    release=event.release,
                    command=event.command,
                    source=event.source,
                    image=event.image,
                    asker=event.asker,
                    renews=event.renews,
                )
            )
        case ReleaseRefused(), _:
            return Refused()
        case ApprovalAwaited(), Cleared(asked=asked):
            return Awaiting(asked=asked, awaited=event)
        case ApprovalAwaited(), Awaiting():
            return replace(state, awaited=event)
        case ApprovalReminded(), Awaiting():
            return replace(state, reminders=event.number)
        case ((ApprovalAwaited() | ApprovalReminded()), _):
            raise ValueError(f"{event.project} {event.release} was not waited for")
        case CertificateIssued(), Cleared(asked=asked) | Awaiting(asked=asked):
            return Certified(asked=asked, certificate=event.certificate, not_after=event.not_after)
        case CertificateIssued(), _:
            raise ValueError(f"a certificate for {event.project} {event.release}, which was not cleared")
        case ((CertificateUpheld() | ReviewOwed()), Certified()):
            return state
        case CertificateSuspended(), Certified():
            return replace(state, grounds=event.grounds)
        case CertificateReinstated(), Certified():
            return replace(state, grounds=())
        case CertificateWarned(), Certified():
            return replace(state, warnings=event.warnings)
        case CertificateLapsing(), Certified():
            return replace(state, is_reminded=True)
        case ((CertificateRevoked() | CertificateExpired()), Certified()):
            return Over()
        case (
            (
                CertificateUpheld()
                | ReviewOwed()
                | CertificateSuspended()
                | CertificateReinstated()
                | CertificateWarned()
                | CertificateLapsing()
                | CertificateRevoked()
                | CertificateExpired()
            ),
            _,
        ):
            raise ValueError(f"{event.certificate} of {event.project} {event.release} was not standing")
    assert_never(event)


RELEASE: Decider[Command, State, Happened] = Decider(initial=New(), decide=decide, evolve=evolve)


def forbidden(verdicts: Sequence[Verdict]) -> bool:
    """Whether a rule that is more than a warning did not pass, and is not excepted. Indeterminate is not a pass."""
    return any(forbids(verdict) for verdict in verdicts)


def excepted_anew(verdicts: Sequence[Verdict], in_force: Sequence[ExceptionUsed]) -> tuple[Verdict, ...]:
    """Verdicts of before, each with the exception from its rule that is in force now, which may be another one."""
    by_rule = {each.rule: each.exception for each in in_force}
    return tuple(
        verdict
        if verdict.exception is None
        else msgspec.structs.replace(verdict, exception=by_rule.get(verdict.rule))
        for verdict in verdicts
    )


def used(verdicts: Sequence[Verdict], in_force: Sequence[ExceptionUsed]) -> tuple[ExceptionUsed, ...]:
    """The exceptions that verdicts name."""
    named = {verdict.exception for verdict in verdicts}
    return tuple(each for each in in_force if each.exception in named)


def forbids(verdict: Verdict) -> bool:
    return verdict.result != "pass" and verdict.on_fail != "warn" and verdict.exception is None


FACTS_RECORDED = "facts.recorded"
"""What verdicts and grounds are called that say that it is not known what the rules saw."""


def stream(project: str, release: int) -> str:
    return f"release/{project}/{release}"
