"""What is waited for: the certifier with the shipped policy of four eyes, and fakes for what it looks at."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from placet.certifier.adapters.policy_engine import PolicyRules
from placet.certifier.awaiting import look
from placet.certifier.bootstrap import build
from placet.certifier.ports import Judgement, Ports
from placet.certifier.projections import TABLES
from placet.certifier.queries import (
    AwaitedReleases,
    EarlierReleases,
    GrantedExceptions,
    HeardApprovals,
    HeardReports,
    HeldCertificates,
    MadeAssessments,
    WatchedCertificates,
)
from placet.certifier.rejudging import judge_again
from placet.certifier.settings import CertifierSettings
from placet.events import Service, Wiring
from placet.events.contracts.certifier import (
    ApprovalAwaited,
    ApprovalReminded,
    CertificateIssued,
    ReleaseCleared,
    ReleaseRefused,
    ReviewOwed,
)
from placet.events.contracts.gateway import ApprovalGiven, DeleteRequested, MetadataReported
from placet.events.contracts.indexer import ImageIndexed
from placet.events.contracts.shapes import (
    ApprovalUsed,
    DatasetRef,
    ExceptionUsed,
    ReportedEvaluation,
    ReportedMetric,
    ReportedMonitoring,
    Stage,
)
from placet.events.envelope import Actor
from placet.events.testing import changed
from placet.rules import Edition, Engine, PolicySet, Publication, offered_files, read_policy

from tests.unit.certifier.test_certifier_handlers import (
    DECLARED,
    ContentsOfNothing,
    KeysInMemory,
    NobodyScores,
    NoSnapshots,
    NothingKnown,
    NothingSubmitted,
    QuickNotary,
    RecordsInMemory,
    RulesOfThumb,
    SourcesOnTheTable,
)
from tests.unit.gateway.roads import asked, indexed, vanished
from tests.unit.hearing import Alone, alone

FILE = offered_files()["four-eyes.yaml"]
ADA, GRACE, ALAN = "person:ada", "person:grace", "person:alan"


@dataclass
class PublishedLater:
    """What a `PolicySet` asks: policies that were published since."""

    files: dict[str, bytes] = field(default_factory=dict)
    at: dict[str, datetime] = field(default_factory=dict)

    def publish(self, file: bytes, at: datetime) -> None:
        digest = read_policy(file).digest
        self.files[digest], self.at[digest] = file, at

    async def publications(self) -> Sequence[Publication]:
        return [Publication(digest=digest, at=at) for digest, at in self.at.items()]

    async def file(self, digest: str) -> bytes:
        return self.files[digest]


@dataclass
class FourEyes(RulesOfThumb):
    """Says what it is told of sources, and of images what the policy says."""

    real: PolicyRules | None = None
    label: str = ""

    async def judge(
        self,
        stage: Stage,
        facts: Mapping[str, Any],
        exceptions: Sequence[ExceptionUsed] = (),
    ) -> Judgement:
        if stage == "submit":
            return await super().judge(stage, facts, exceptions)
        assert self.real is not None
        return await self.real.judge(stage, facts, exceptions)

    async def judge_all(
        self,
        stage: Stage,
        asked: Sequence[tuple[Mapping[str, Any], Sequence[ExceptionUsed]]],
        *,
        by: Edition,
    ) -> Sequence[Judgement]:
        if stage == "submit":
            return await super().judge_all(stage, asked, by=by)
        assert self.real is not None
        return await self.real.judge_all(stage, asked, by=by)

    async def edition(self, at: datetime) -> Edition:
        assert self.real is not None
        return await self.real.edition(at)

    def image_facts(
        self,
        cleared: ReleaseCleared,
        indexed: ImageIndexed,
        now: datetime,
        approvals: Sequence[ApprovalUsed] = (),
    ) -> Mapping[str, Any]:
        assert self.real is not None
        seen = self.real.image_facts(cleared, indexed, now, approvals)
        return {**seen, "image": {**seen["image"], "base": self.label}}


@dataclass
class Waiting:
    alone: Alone
    ports: Ports
    rules: FourEyes
    notary: QuickNotary
    published: PublishedLater

    async def asked_for(self, release: int = 1, *, risk: str = "high") -> ApprovalAwaited:
        """A release that Ada asked for, as it is awaited."""
        sources: Any = self.ports.sources
        sources.declared = replace(DECLARED, risk_class=risk)
        ada = Actor.person(ADA)
        await self.alone.handle(self.alone.heard(asked(release=release), actor=ada))
        await self.alone.work_off()
        await self.alone.hear(indexed(release=release))
        return await self.awaited()

    async def awaited(self) -> ApprovalAwaited:
        return [each for each in await self.alone.said() if isinstance(each, ApprovalAwaited)][-1]

    async def approve(
        self, of: ApprovalAwaited, person: str, *, approval: str | None = None, **changes: Any
    ) -> Any:
        """What the certifier said last, after it."""
        given = ApprovalGiven(
            approval=approval or f"approval:{person}",
            project=of.project,
            release=of.release,
            binding=of.binding,
            roles=("approver",),
            given_by=person,
        )
        await self.alone.hear(changed(given, **changes))
        return (await self.alone.said())[-1]

    async def pass_(self, **time: float) -> Any:
        self.alone.clock.pass_(timedelta(**time))
        await look(self.ports, self.alone.wiring)
        return (await self.alone.said())[-1]


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine() as engine:
        yield engine


@pytest.fixture
async def waiting(tmp_path: Path, engine: Engine) -> AsyncIterator[Waiting]:
    published, notary = PublishedLater(), QuickNotary()
    rules = FourEyes(real=PolicyRules(PolicySet((read_policy(FILE),), published), engine))
    settings = CertifierSettings(registry=str(tmp_path), signing_key=tmp_path / "key.pem")
    made: list[Ports] = []

    def put_together(wiring: Wiring) -> Awaitable[Service]:
        made.append(
            Ports(
                sources=SourcesOnTheTable(),
                rules=rules,
                contents=ContentsOfNothing(),
                snapshots=NoSnapshots(),
                advisories=NothingKnown(),
                policies=NothingSubmitted(),
                records=RecordsInMemory(),
                assessor=NobodyScores(),
                assessments=MadeAssessments(wiring.store),
                reports=HeardReports(wiring.store),
                notary=notary,
                exceptions=GrantedExceptions(wiring.store),
                certificates=HeldCertificates(wiring.store),
                watches=WatchedCertificates(wiring.store),
                earlier=EarlierReleases(wiring.store),
                approvals=HeardApprovals(wiring.store),
                waits=AwaitedReleases(wiring.store),
                keys=KeysInMemory(),
            )
        )
        return build(settings, wiring, made[0])

    async with alone("certifier", tmp_path, put_together, tables=(TABLES,)) as service:
        yield Waiting(service, made[0], rules, notary, published)


async def test_a_release_of_high_risk_waits_for_two_others_and_is_certified(waiting: Waiting) -> None:
    awaited = await waiting.asked_for()
    [missing] = awaited.verdicts
    assert (missing.rule, missing.result) == ("approval.four-eyes", "fail")
    assert missing.why == "a model of high risk is approved by 2, and 0 have so far"
    assert waiting.notary.signed == []

    once = await waiting.approve(awaited, GRACE)
    assert isinstance(once, ApprovalAwaited)
    assert once.verdicts[0].why == "a model of high risk is approved by 2, and 1 have so far"
    assert (once.binding, once.until) == (awaited.binding, awaited.until)
    issued = await waiting.approve(once, ALAN)
    assert isinstance(issued, CertificateIssued)
    assert {each.given_by for each in issued.approvals} == {GRACE, ALAN}
    assert await waiting.ports.waits.of_release("churn", 1) is None
    assert await waiting.ports.approvals.of_release("churn", 1) == []


@pytest.mark.parametrize(("risk", "wanted"), [("limited", 1), ("minimal", 0)])
async def test_of_less_risk_fewer_are_waited_for(waiting: Waiting, risk: str, wanted: int) -> None:
    if wanted == 0:
        with pytest.raises(IndexError):
            await waiting.asked_for(risk=risk)
    else:
        await waiting.approve(await waiting.asked_for(risk=risk), GRACE)
    assert isinstance((await waiting.alone.said())[-1], CertificateIssued)


async def test_who_asked_for_it_does_not_count_whatever_the_gateway_let_pass(waiting: Waiting) -> None:
    awaited = await waiting.asked_for(risk="limited")
    assert await waiting.approve(awaited, ADA) == awaited
    assert isinstance(await waiting.approve(awaited, GRACE), CertificateIssued)


async def test_nobody_counts_twice(waiting: Waiting) -> None:
    awaited = await waiting.asked_for()
    once = await waiting.approve(awaited, GRACE)
    again = await waiting.approve(awaited, GRACE, approval="approval:z")
    assert again == once


async def test_an_approval_of_another_release_is_none_of_this_one(waiting: Waiting) -> None:
    first = await waiting.asked_for(risk="limited")
    second = await waiting.asked_for(release=2, risk="limited")
    assert first.binding.digest != second.binding.digest
    assert await waiting.approve(second, GRACE, binding=first.binding) == second


async def test_what_was_approved_before_a_policy_changed_counts_no_more(waiting: Waiting) -> None:
    awaited = await waiting.asked_for()
    await waiting.approve(awaited, GRACE)
    waiting.alone.clock.pass_(timedelta(seconds=1))
    stricter = FILE.replace(b"version: 1", b"version: 2").replace(b"within: 14d", b"within: 10d")
    waiting.published.publish(stricter, waiting.alone.clock.now())

    anew = await waiting.approve(awaited, ALAN)
    assert isinstance(anew, ApprovalAwaited)
    assert anew.binding.digest != awaited.binding.digest
    assert anew.verdicts[0].why == "a model of high risk is approved by 2, and 0 have so far"
    await waiting.approve(anew, ALAN, approval="approval:3")
    assert isinstance(await waiting.approve(anew, GRACE, approval="approval:4"), CertificateIssued)


async def test_what_was_approved_before_rules_saw_something_else_counts_no_more(waiting: Waiting) -> None:
    awaited = await waiting.asked_for(risk="limited")
    waiting.rules.label = "another base"
    anew = await waiting.approve(awaited, GRACE)
    assert isinstance(anew, ApprovalAwaited)
    assert (anew.binding.inputs == awaited.binding.inputs, anew.approvals) == (False, ())


async def test_time_reminds_and_at_the_deadline_refuses(waiting: Waiting) -> None:
    awaited = await waiting.asked_for()
    assert await waiting.pass_(days=2) == awaited
    reminded = await waiting.pass_(days=1)
    assert isinstance(reminded, ApprovalReminded)
    assert (reminded.number, reminded.rules) == (1, ("approval.four-eyes",))
    assert await waiting.pass_(hours=1) == reminded
    await waiting.approve(awaited, GRACE)
    refused = await waiting.pass_(days=11)
    assert isinstance(refused, ReleaseRefused)
    [verdict] = refused.verdicts
    assert verdict.rule == "approval.four-eyes"
    assert f"1 have so far; that was awaited until {awaited.until}, and nothing came" in str(verdict.why)
    assert await waiting.approve(awaited, ALAN) == refused
    assert await waiting.ports.waits.of_release("churn", 1) is None


async def test_an_approval_that_is_heard_again_changes_nothing(waiting: Waiting) -> None:
    awaited = await waiting.asked_for(risk="limited")
    issued = await waiting.approve(awaited, GRACE)
    assert await waiting.approve(awaited, GRACE) == issued
    assert len(waiting.notary.signed) == 1


async def test_an_image_that_vanishes_while_it_is_awaited_is_refused(waiting: Waiting) -> None:
    awaited = await waiting.asked_for()
    await waiting.alone.hear(vanished())
    refused = await waiting.approve(awaited, GRACE)
    assert isinstance(refused, ReleaseRefused)
    assert refused.verdicts[0].rule == "image.readable"


async def test_what_is_awaited_of_a_project_that_is_deleted_is_refused_and_nobody_is_reminded(
    waiting: Waiting,
) -> None:
    awaited = await waiting.asked_for(risk="limited")
    await waiting.alone.hear(DeleteRequested(project="another"))
    assert await waiting.pass_(days=2) == awaited
    await waiting.alone.hear(DeleteRequested(project="churn"))
    refused = await waiting.pass_(days=3)
    assert isinstance(refused, ReleaseRefused)
    [verdict] = refused.verdicts
    assert (verdict.rule, verdict.why) == ("project.wanted", "the project was deleted while this was awaited")
    assert await waiting.approve(awaited, GRACE) == refused


# break-glass


async def test_two_people_break_the_glass_for_a_day_and_owe_a_review(waiting: Waiting) -> None:
    awaited = await waiting.asked_for()
    once = await waiting.approve(awaited, GRACE, break_glass=True)
    assert isinstance(once, ApprovalAwaited), "one is not enough"
    assert once.verdicts[0].why == "a model of high risk is approved by 2, and 0 have so far"
    owed = await waiting.approve(once, ALAN, break_glass=True)
    issued = (await waiting.alone.said())[-2]
    assert isinstance(issued, CertificateIssued)
    assert issued.break_glass
    assert [(each.rule, each.result) for each in issued.verdicts] == [("approval.four-eyes", "fail")]
    assert isinstance(owed, ReviewOwed)
    assert (owed.certificate, owed.asker) == (issued.certificate, ADA)
    assert {each.given_by for each in owed.approvals} == {GRACE, ALAN}
    assert waiting.notary.breakers == owed.approvals


@pytest.mark.parametrize("break_glass", [False, True])
async def test_what_people_let_pass_is_not_held_against_it_when_it_is_judged_again(
    waiting: Waiting, break_glass: bool
) -> None:
    once = await waiting.approve(await waiting.asked_for(), GRACE, break_glass=break_glass)
    await waiting.approve(once, ALAN, break_glass=break_glass)
    before = await waiting.alone.said()
    assert any(isinstance(each, CertificateIssued) for each in before)
    await judge_again(waiting.ports, waiting.alone.wiring)
    assert await waiting.alone.said() == before


async def test_nobody_breaks_the_glass_alone_or_for_what_they_asked_for(waiting: Waiting) -> None:
    awaited = await waiting.asked_for()
    await waiting.approve(awaited, GRACE, break_glass=True)
    again = await waiting.approve(awaited, GRACE, approval="approval:z", break_glass=True)
    assert isinstance(again, ApprovalAwaited)
    assert isinstance(await waiting.approve(awaited, ADA, break_glass=True), ApprovalAwaited)
    assert isinstance(await waiting.approve(awaited, ALAN), ApprovalAwaited), "an approval breaks no glass"
    assert waiting.notary.signed == []


async def test_the_glass_is_not_broken_where_approvals_are_enough(waiting: Waiting) -> None:
    awaited = await waiting.asked_for(risk="limited")
    await waiting.approve(awaited, GRACE, break_glass=True)
    issued = await waiting.approve(awaited, ALAN)
    assert isinstance(issued, CertificateIssued)
    assert (issued.break_glass, [each.given_by for each in issued.approvals]) == (False, [ALAN])
    assert waiting.notary.breakers == ()


async def test_no_glass_is_broken_for_what_people_cannot_mend(waiting: Waiting) -> None:
    """A rule that is not awaited says no by now: that is no matter of time."""
    awaited = await waiting.asked_for()
    await waiting.approve(awaited, GRACE, break_glass=True)
    waiting.alone.clock.pass_(timedelta(seconds=1))
    hard = FILE.replace(b"version: 1", b"version: 2").replace(b"    awaits: {within: 14d, remind: 3d}\n", b"")
    waiting.published.publish(hard.replace(b"expect: awaited", b"expect: fail"), waiting.alone.clock.now())
    refused = await waiting.approve(awaited, ALAN, break_glass=True)
    assert isinstance(refused, ReleaseRefused)
    assert waiting.notary.signed == []


# What is reported meanwhile


def evaluated(number: int, **about: Any) -> MetadataReported:
    metric = ReportedMetric(metric="auc", value=0.8)
    return MetadataReported(
        **{
            "report": f"report:{number}",
            "project": "churn",
            "release": None,
            "source": None,
            "at": "2026-01-01T00:00:00Z",
            "reported_by": ALAN,
            "evaluation": ReportedEvaluation(
                of=DatasetRef(dataset="lake/cases"), split=None, metrics=(metric,)
            ),
            **about,
        }
    )


async def test_what_was_approved_before_something_was_reported_counts_no_more(waiting: Waiting) -> None:
    awaited = await waiting.asked_for()
    once = await waiting.approve(awaited, GRACE)
    await waiting.alone.hear(evaluated(1))
    anew = await waiting.pass_(seconds=1)
    assert isinstance(anew, ApprovalAwaited)
    assert (anew.binding.digest == once.binding.digest, anew.approvals) == (False, ())
    await waiting.alone.hear(evaluated(1))
    assert await waiting.pass_(seconds=1) == anew, "the same again is nothing new"
    await waiting.alone.hear(evaluated(2, release=7))
    assert await waiting.pass_(seconds=1) == anew, "it is of another release"


async def test_what_others_measure_of_a_model_in_use_takes_no_approval_away(waiting: Waiting) -> None:
    awaited = await waiting.asked_for()
    once = await waiting.approve(awaited, GRACE)
    monitoring = ReportedMonitoring(since=None, metrics=())
    await waiting.alone.hear(evaluated(1, evaluation=None, monitoring=monitoring))
    assert await waiting.pass_(seconds=1) == once
    assert isinstance(await waiting.approve(once, ALAN), CertificateIssued)


async def test_what_was_reported_is_recorded_with_what_rules_saw(waiting: Waiting) -> None:
    await waiting.alone.hear(evaluated(1, release=1))
    await waiting.approve(await waiting.asked_for(risk="limited"), GRACE)
    issued = (await waiting.alone.said())[-1]
    assert isinstance(issued, CertificateIssued)
    assert issued.facts is not None
    [seen] = (await waiting.ports.records.read(issued.facts))["reports"]["evaluations"]
    assert (seen["report"], seen["about"], seen["dataset"]) == ("report:1", "release", "lake/cases")
