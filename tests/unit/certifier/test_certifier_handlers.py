"""The certifier on a database of its own, with fakes for what it looks at; the rules and the notary are real."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from placet.assessments import Outcome, Reading
from placet.certifier.adapters.policy_engine import PolicyRules
from placet.certifier.adapters.registry_notary import RegistryNotary
from placet.certifier.bootstrap import build
from placet.certifier.domain import Asked, Declared, Signed, used
from placet.certifier.handlers import AWAIT_EARLIER
from placet.certifier.ports import NO_FACTS, Judgement, LoadedPolicy, Ports, ReadSnapshot, SourceEvidence
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
from placet.certifier.settings import CertifierSettings
from placet.errors import Refused, TooLarge, Unavailable, Unknown, Unreadable
from placet.events import Service, Wiring
from placet.events.codec import moment, timestamp
from placet.events.contracts.certifier import (
    CertificateExpired,
    CertificateIssued,
    CertificateLapsing,
    CertificateReinstated,
    CertificateRevoked,
    CertificateSuspended,
    CertificateUpheld,
    ReleaseCleared,
    ReleaseRefused,
)
from placet.events.contracts.deployer import ModelDeleted, ModelQuarantined, ModelStarted, ModelStopped
from placet.events.contracts.gateway import ExceptionGranted, ExceptionWithdrawn, RevocationRequested
from placet.events.contracts.indexer import ImageIndexed
from placet.events.contracts.shapes import ApprovalUsed, Condition, ExceptionUsed, RecordedFacts, Stage
from placet.events.envelope import Actor
from placet.events.tables import job_turns
from placet.events.testing import ManualClock, changed
from placet.oci import ImageConfig, ImageLayout, Manifest
from placet.rules import Edition, Engine, Policy, PolicySet, Publication, facts_digest, load_shipped
from placet.rules.contents import contained
from placet.rules.testing import merge_patched
from placet.trust import KeyHistory, KeySet, OwnKeys, ScoredAssessment, SigningKey, certificates, dsse
from placet.trust.key_files import KeyFiles

from tests.support.eventually import eventually
from tests.unit.gateway.roads import (
    CERTIFY,
    IMAGE,
    POLICIES,
    RESOURCES,
    SOURCE,
    SUBMIT,
    asked,
    indexed,
    vanished,
    verdict,
)
from tests.unit.hearing import Alone, alone

DECLARED = Declared(format="sklearn", resources=RESOURCES, access="token")


@dataclass
class SourcesOnTheTable:
    """The `Sources` port: every source says `declared`, or is in `trouble` first."""

    trouble: list[Exception] = field(default_factory=list)
    declared: Declared = DECLARED
    hold: dict[str, asyncio.Event] = field(default_factory=dict)
    """Sources that take until then to be examined."""
    examined: list[str] = field(default_factory=list)

    async def examine(self, source: str, now: datetime) -> SourceEvidence:
        self.examined.append(source)
        if source in self.hold:
            await self.hold[source].wait()
        if self.trouble:
            raise self.trouble.pop(0)
        return SourceEvidence(declared=self.declared, facts={"source": source})


@dataclass
class RulesOfThumb:
    """The `Rules` port: says the same of everything, until told otherwise; remembers what it was shown."""

    verdicts: dict[str, tuple[Any, ...]] = field(
        default_factory=lambda: {"submit": SUBMIT, "certify": CERTIFY, "operate": ()}
    )
    seen: list[Mapping[str, Any]] = field(default_factory=list)

    async def judge(
        self,
        stage: Stage,
        facts: Mapping[str, Any],
        exceptions: Sequence[ExceptionUsed] = (),
    ) -> Judgement:
        """Every rule admits exceptions."""
        self.seen.append(facts)
        by_rule = {each.rule: each.exception for each in exceptions}
        verdicts = tuple(
            each if each.result == "pass" else msgspec.structs.replace(each, exception=by_rule.get(each.rule))
            for each in self.verdicts[stage]
        )
        return Judgement(policies=POLICIES, verdicts=verdicts, exceptions=used(verdicts, exceptions))

    async def judge_all(
        self,
        stage: Stage,
        asked: Sequence[tuple[Mapping[str, Any], Sequence[ExceptionUsed]]],
        *,
        by: Edition,
    ) -> Sequence[Judgement]:
        return [await self.judge(stage, *each) for each in asked]

    async def edition(self, at: datetime) -> Edition:
        return Edition(policies=(), shipped=frozenset(), warn_first=frozenset())

    async def is_of_operation(self, rule: str, at: datetime) -> bool:
        return False

    def image_facts(
        self,
        cleared: ReleaseCleared,
        indexed: ImageIndexed,
        now: datetime,
        approvals: Sequence[ApprovalUsed] = (),
    ) -> Mapping[str, Any]:
        return {"now": now, "labelled": indexed.image_source, "cleared": cleared.source}


class ContentsOfNothing:
    """The `Contents` port: every image is made of nothing, as its bill of materials says."""

    async def of_image(self, repository: str, image: str) -> Mapping[str, Any]:
        return contained({SOURCE: b'{"bomFormat": "CycloneDX"}'})


class NoSnapshots:
    """The `Snapshots` port."""

    async def read(self, digest: str) -> ReadSnapshot:
        raise Unknown(f"no snapshot {digest}")


class NothingKnown:
    """The `Advisories` port: of no package anything is known, as of yesterday."""

    async def about(self, packages: Sequence[Mapping[str, Any]], now: datetime) -> Mapping[str, Any]:
        return {"snapshot": SOURCE, "taken": "2025-12-31", "ageDays": 1, "found": []}

    async def in_use(self) -> str:
        return SOURCE


@dataclass
class RecordsInMemory:
    """The `Records` port, without what is about people."""

    kept: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    trouble: list[Exception] = field(default_factory=list)

    async def keep(self, project: str, facts: Mapping[str, Any]) -> RecordedFacts:
        if self.trouble:
            raise self.trouble.pop(0)
        digest = facts_digest(facts)
        self.kept[digest] = facts
        return RecordedFacts(facts=digest)

    async def read(self, recorded: RecordedFacts) -> Mapping[str, Any]:
        if recorded.facts not in self.kept:
            raise Unknown(f"no facts {recorded.facts}")
        return self.kept[recorded.facts]


@dataclass
class QuickNotary:
    """The `Notary` port: signs by counting."""

    signed: list[tuple[Any, ...]] = field(default_factory=list)
    trouble: list[Exception] = field(default_factory=list)

    key: str | None = None
    trials: list[bool] = field(default_factory=list)
    breakers: tuple[ApprovalUsed, ...] = ()
    conditions: tuple[Condition, ...] = ()
    facts: dict[Stage, RecordedFacts] = field(default_factory=dict)

    async def sign(
        self,
        asked: Asked,
        indexed: ImageIndexed,
        judgement: Judgement,
        *,
        certificate: str,
        at: datetime,
        trial: bool = False,
        conditions: Sequence[Condition] = (),
        approvals: Sequence[ApprovalUsed] = (),
        breakers: Sequence[ApprovalUsed] = (),
        facts: Mapping[Stage, RecordedFacts] = NO_FACTS,
    ) -> Signed:
        self.conditions = tuple(conditions)
        self.breakers = tuple(breakers)
        self.facts = dict(facts)
        if self.trouble:
            raise self.trouble.pop(0)
        self.signed.append((asked, indexed, judgement, certificate, at))
        self.trials.append(trial)
        return Signed(
            certificate=certificate,
            envelope=f"sha256:{'d' * 64}",
            not_before=at.isoformat(),
            not_after=(at + timedelta(days=90)).isoformat(),
            key=self.key,
        )


class NothingSubmitted:
    """The `SubmittedPolicies` port."""

    shipped: tuple[Policy, ...] = ()

    async def load(self, digest: str) -> LoadedPolicy:
        raise Unknown(f"no policy {digest}")


@dataclass
class KeysInMemory:
    """The `Keys` port: one key, until a test puts another history in its place."""

    known: KeyHistory = field(default_factory=lambda: KeyHistory.of(KeySet([SigningKey.generate().public])))

    async def history(self) -> KeyHistory:
        return self.known


class NobodyScores:
    """The `Assessor` port."""

    async def score(self, digest: str, reading: Reading, answers: str) -> Outcome:
        raise Unknown(f"no answers {answers}")

    async def sign(self, assessment: ScoredAssessment) -> str:
        raise Refused("nothing was scored")


class NothingPublished:
    async def publications(self) -> Sequence[Publication]:
        return ()

    async def file(self, digest: str) -> bytes:
        raise Unknown(f"no policy {digest}")


class StoreThatCounts:
    """Names each stream that is read from it."""

    def __init__(self, store: Any, read: list[str]) -> None:
        self._store = store
        self._read = read

    async def read(self, stream: str) -> Any:
        self._read.append(stream)
        return await self._store.read(stream)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


@dataclass
class Certifier:
    alone: Alone
    sources: SourcesOnTheTable
    rules: RulesOfThumb
    notary: QuickNotary
    records: RecordsInMemory
    keys: KeysInMemory
    read: list[str]
    """Streams, as often as they were read."""

    async def clear(self) -> None:
        await self.alone.hear(asked())
        await self.alone.work_off()


@pytest.fixture
async def certifier(tmp_path: Path) -> AsyncIterator[Certifier]:
    sources, rules, notary, records = SourcesOnTheTable(), RulesOfThumb(), QuickNotary(), RecordsInMemory()
    keys, read = KeysInMemory(), list[str]()
    settings = CertifierSettings(registry=str(tmp_path), signing_key=tmp_path / "key.pem")

    def put_together(wiring: Wiring) -> Awaitable[Service]:
        ports = Ports(
            sources=sources,
            rules=rules,
            records=records,
            policies=NothingSubmitted(),
            assessor=NobodyScores(),
            assessments=MadeAssessments(wiring.store),
            reports=HeardReports(wiring.store),
            notary=notary,
            contents=ContentsOfNothing(),
            snapshots=NoSnapshots(),
            advisories=NothingKnown(),
            exceptions=GrantedExceptions(wiring.store),
            certificates=HeldCertificates(wiring.store),
            watches=WatchedCertificates(wiring.store),
            earlier=EarlierReleases(wiring.store),
            approvals=HeardApprovals(wiring.store),
            waits=AwaitedReleases(wiring.store),
            keys=keys,
        )
        counted: Any = StoreThatCounts(wiring.store, read)
        return build(settings, replace(wiring, store=counted), ports)

    async with alone("certifier", tmp_path, put_together, tables=(TABLES,)) as service:
        yield Certifier(service, sources, rules, notary, records, keys, read)


async def test_a_deploy_is_cleared_and_then_certified(certifier: Certifier) -> None:
    await certifier.clear()
    await certifier.alone.hear(indexed())
    cleared, issued = await certifier.alone.said()
    assert isinstance(cleared, ReleaseCleared)
    assert (cleared.format, cleared.resources, cleared.verdicts) == ("sklearn", RESOURCES, SUBMIT)
    assert isinstance(issued, CertificateIssued)
    assert (issued.image, issued.source, issued.verdicts) == (IMAGE, SOURCE, CERTIFY)


async def test_what_a_release_renews_goes_with_it_to_its_certificate(certifier: Certifier) -> None:
    await certifier.alone.hear(changed(asked(), renews="certificate:0"))
    await certifier.alone.work_off()
    await certifier.alone.hear(indexed())
    assert [each.renews for each in await certifier.alone.said()] == ["certificate:0"] * 2


async def test_what_rules_saw_is_recorded_with_what_they_said(certifier: Certifier) -> None:
    await certifier.clear()
    await certifier.alone.hear(indexed())
    cleared, issued = await certifier.alone.said()
    seen = [await certifier.records.read(each.facts) for each in (cleared, issued)]
    assert seen == certifier.rules.seen[:2], "rules of operation see other things"
    assert certifier.notary.facts == {"submit": cleared.facts, "certify": issued.facts}


async def test_a_refusal_tells_what_its_rules_saw(certifier: Certifier) -> None:
    certifier.rules.verdicts["submit"] = (verdict("owner.named", "submit", "fail"),)
    await certifier.clear()
    [refused] = await certifier.alone.said()
    assert await certifier.records.read(refused.facts) == certifier.rules.seen[0]


async def test_more_than_is_recorded_is_a_refusal_that_says_so(certifier: Certifier) -> None:
    certifier.records.trouble.append(TooLarge("what rules see of it has 9 bytes", fix="send fewer files"))
    await certifier.clear()
    [refused] = await certifier.alone.said()
    assert isinstance(refused, ReleaseRefused)
    [said] = refused.verdicts
    assert (said.rule, said.result, said.fix) == ("facts.recorded", "indeterminate", "send fewer files")
    assert refused.facts is None


async def test_an_examination_takes_a_turn_of_who_asked_for_it_and_says_whose(certifier: Certifier) -> None:
    ada = Actor.person("person:ada")
    await certifier.alone.handle(certifier.alone.heard(asked(), actor=ada))
    assert await certifier.alone.askers() == [ada.id]
    await certifier.alone.work_off()
    [cleared] = await certifier.alone.said()
    assert cleared.asker == ada.id


async def released(certifier: Certifier, release: int, *, trial: bool) -> ReleaseCleared | ReleaseRefused:
    """What is said of a release that is asked for as a trial, or not."""
    certifier.sources.declared = replace(DECLARED, trial=trial)
    await certifier.alone.hear(asked(release=release))
    await certifier.alone.work_off()
    said: ReleaseCleared | ReleaseRefused = (await certifier.alone.said())[-1]
    return said


async def test_a_trial_is_cleared_and_certified_as_one(certifier: Certifier) -> None:
    cleared = await released(certifier, 1, trial=True)
    assert isinstance(cleared, ReleaseCleared)
    assert cleared.trial is True
    await certifier.alone.hear(indexed())
    assert certifier.notary.trials == [True]


async def test_a_trial_never_takes_the_place_of_what_people_answer_for(certifier: Certifier) -> None:
    assert isinstance(await released(certifier, 1, trial=True), ReleaseCleared)
    assert isinstance(await released(certifier, 2, trial=True), ReleaseCleared)
    assert isinstance(await released(certifier, 3, trial=False), ReleaseCleared)
    refused = await released(certifier, 4, trial=True)
    assert isinstance(refused, ReleaseRefused)
    last = refused.verdicts[-1]
    assert (last.rule, last.result, last.on_fail) == ("trial.of-a-new-project", "fail", "deny")
    assert "churn has a release that people answer for" in str(last.why)
    assert isinstance(await released(certifier, 5, trial=False), ReleaseCleared)
    assert isinstance(await released(certifier, 6, trial=True), ReleaseRefused)


async def test_a_trial_looks_only_at_what_came_since_the_last_one_looked(certifier: Certifier) -> None:
    passing = certifier.rules.verdicts["submit"]
    for release in range(1, 7):
        assert isinstance(await released(certifier, release, trial=True), ReleaseCleared)
    certifier.rules.verdicts["submit"] = (verdict("model.loadable", "submit", "fail"),)
    assert isinstance(await released(certifier, 7, trial=False), ReleaseRefused)
    certifier.rules.verdicts["submit"] = passing
    certifier.read.clear()
    assert isinstance(await released(certifier, 8, trial=True), ReleaseCleared)
    assert certifier.read == [f"release/churn/{release}" for release in (7, 6, 8)]
    assert isinstance(await released(certifier, 9, trial=False), ReleaseCleared)
    for release in (10, 11):
        assert isinstance(await released(certifier, release, trial=True), ReleaseRefused)
    certifier.read.clear()
    assert isinstance(await released(certifier, 12, trial=True), ReleaseRefused), "9 is not forgotten"
    assert certifier.read == ["release/churn/11", "release/churn/12"]


async def has_looked(certifier: Certifier, *, times: int) -> bool:
    """Whether trials that wait looked so often for what they wait for."""
    certifier.alone.clock.pass_(timedelta(seconds=30))
    kind = job_turns.c.kind == AWAIT_EARLIER
    rows = await certifier.alone.wiring.store.rows(sa.select(job_turns.c.last).where(kind))
    return any(row.last >= times for row in rows)


async def test_a_trial_waits_for_what_was_asked_for_before_it_to_be_judged(certifier: Certifier) -> None:
    """Examined sooner than the first release that people answer for, it would have taken that one's place."""
    gate = certifier.sources.hold["sha256:" + "1" * 64] = asyncio.Event()
    first = changed(asked(), source="sha256:" + "1" * 64)
    await certifier.alone.hear(first)
    async with certifier.alone.working():
        await eventually(lambda: certifier.sources.examined)
        certifier.sources.declared = replace(DECLARED, trial=True)
        await certifier.alone.hear(asked(release=2))
        await certifier.alone.hear(asked(release=3))
        await eventually(lambda: len(certifier.sources.examined) == 3)
        await eventually(partial(has_looked, certifier, times=4))
        assert await certifier.alone.said() == []
        certifier.sources.declared = DECLARED
        gate.set()
        await certifier.alone.idle()
    said = await certifier.alone.said()
    assert [(type(each), each.release) for each in said] == [
        (ReleaseCleared, 1),
        (ReleaseRefused, 2),
        (ReleaseRefused, 3),
    ]
    assert len(certifier.sources.examined) == 3  # and none a second time


async def test_a_trial_waits_for_what_is_under_way_whatever_was_found_before_that(
    certifier: Certifier,
) -> None:
    for release in (1, 2):
        await released(certifier, release, trial=True)
    gate = certifier.sources.hold["sha256:" + "1" * 64] = asyncio.Event()
    await certifier.alone.hear(changed(asked(release=3), source="sha256:" + "1" * 64))
    async with certifier.alone.working():
        await eventually(lambda: len(certifier.sources.examined) == 3)
        await certifier.alone.hear(asked(release=4))
        await eventually(partial(has_looked, certifier, times=3))
        assert len(await certifier.alone.said()) == 2
        certifier.sources.declared = DECLARED
        gate.set()
        await certifier.alone.idle()
    said = (await certifier.alone.said())[2:]
    assert [(type(each), each.release) for each in said] == [(ReleaseCleared, 3), (ReleaseRefused, 4)]


async def test_a_trial_that_is_refused_anyway_waits_for_nothing(certifier: Certifier) -> None:
    certifier.rules.verdicts["submit"] = (verdict("model.loadable", "submit", "fail"),)
    assert isinstance(await released(certifier, 2, trial=True), ReleaseRefused)


async def test_a_certificate_speaks_of_the_verdicts_of_both_stages(certifier: Certifier) -> None:
    await certifier.clear()
    await certifier.alone.hear(indexed())
    ((_, _, judgement, _, _),) = certifier.notary.signed
    assert judgement.verdicts == (*SUBMIT, *CERTIFY)
    assert judgement.policies == POLICIES


PSI = Condition(
    metric="psi", max=0.2, recovery=0.1, window=86400, min_samples=500, action="suspend", retry_after=3600
)


async def test_a_certificate_names_the_conditions_that_hold_while_it_serves(certifier: Certifier) -> None:
    certifier.sources.declared = replace(DECLARED, conditions=(PSI,))
    await certifier.clear()
    await certifier.alone.hear(indexed())
    cleared, issued = await certifier.alone.said()
    assert cleared.conditions == issued.conditions == certifier.notary.conditions == (PSI,)


async def test_hearing_everything_twice_says_nothing_twice(certifier: Certifier) -> None:
    for _ in range(2):
        await certifier.clear()
    for _ in range(2):
        await certifier.alone.hear(indexed())
    assert [type(event) for event in await certifier.alone.said()] == [ReleaseCleared, CertificateIssued]
    assert len(certifier.notary.signed) == 1


async def test_an_index_of_a_release_that_nobody_cleared_is_ignored(certifier: Certifier) -> None:
    await certifier.alone.hear(indexed())
    await certifier.alone.hear(vanished())
    assert await certifier.alone.said() == []
    assert certifier.notary.signed == []


async def test_an_indeterminate_rule_refuses_and_nothing_is_signed(certifier: Certifier) -> None:
    await certifier.clear()
    certifier.rules.verdicts["certify"] = (verdict("image.of-source", "certify", "indeterminate"),)
    await certifier.alone.hear(indexed())
    refused = (await certifier.alone.said())[-1]
    assert isinstance(refused, ReleaseRefused)
    assert refused.stage == "certify"
    assert certifier.notary.signed == []


@pytest.mark.parametrize("trouble", [Refused("it has links in it", fix="remove them"), Unreadable("no YAML")])
async def test_a_source_that_cannot_be_read_is_refused_with_the_reason(
    certifier: Certifier, trouble: Exception
) -> None:
    certifier.sources.trouble = [trouble]
    await certifier.clear()
    (refused,) = await certifier.alone.said()
    assert isinstance(refused, ReleaseRefused)
    (only,) = refused.verdicts
    assert (only.rule, only.result, only.on_fail) == ("source.readable", "indeterminate", "deny")
    assert str(trouble.args[0]) in (only.why or "")


async def test_an_image_that_the_registry_does_not_have_is_refused(certifier: Certifier) -> None:
    await certifier.clear()
    await certifier.alone.hear(vanished())
    refused = (await certifier.alone.said())[-1]
    assert isinstance(refused, ReleaseRefused)
    assert [each.rule for each in refused.verdicts] == ["image.readable"]


async def test_a_certificate_that_the_registry_will_not_keep_is_a_refusal_and_no_silence(
    certifier: Certifier,
) -> None:
    await certifier.clear()
    certifier.notary.trouble = [Refused("denied: read only")]
    await certifier.alone.hear(indexed())
    refused = (await certifier.alone.said())[-1]
    assert isinstance(refused, ReleaseRefused)
    assert refused.verdicts[-1].rule == "certificate.kept"
    assert refused.verdicts[-1].why == "denied: read only"


async def test_a_registry_that_is_away_is_waited_for(certifier: Certifier) -> None:
    await certifier.clear()
    certifier.notary.trouble = [Unavailable("away")]
    heard = certifier.alone.heard(indexed())
    with pytest.raises(Unavailable):
        await certifier.alone.handle(heard)
    await certifier.alone.handle(heard)
    assert isinstance((await certifier.alone.said())[-1], CertificateIssued)


async def test_a_crash_after_signing_signs_the_very_same_again(certifier: Certifier) -> None:
    await certifier.clear()
    heard = certifier.alone.heard(indexed())
    await certifier.alone.handle_and_crash(heard)
    certifier.alone.clock.pass_(timedelta(hours=3))
    await certifier.alone.handle(heard)
    first, second = certifier.notary.signed
    assert first == second
    issued = [event for event in await certifier.alone.said() if isinstance(event, CertificateIssued)]
    assert [event.certificate for event in issued] == [f"certificate:{heard.event.id}"]


# exceptions


UNTIL = "2026-01-31T00:00:00.000Z"
PICKLE = "model.pickle"


def granted(exception: str = "exception:1", **changes: Any) -> ExceptionGranted:
    event = ExceptionGranted(
        exception=exception,
        project="churn",
        rule=PICKLE,
        source=None,
        until=UNTIL,
        requested_by="person:1",
        granted_by="person:2",
    )
    return changed(event, **changes)


def withdrawn(exception: str = "exception:1") -> ExceptionWithdrawn:
    return ExceptionWithdrawn(exception=exception, project="churn", rule=PICKLE, withdrawn_by="person:1")


@pytest.fixture
def pickled(certifier: Certifier) -> Certifier:
    """It finds a pickle in every source."""
    certifier.rules.verdicts["submit"] = (*SUBMIT, verdict(PICKLE, "submit", "fail"))
    return certifier


async def test_what_is_excepted_is_cleared_and_certified_for_as_long_as_that_holds(
    pickled: Certifier,
) -> None:
    await pickled.alone.hear(granted())
    await pickled.clear()
    await pickled.alone.hear(indexed())
    cleared, issued = await pickled.alone.said()
    expected = (ExceptionUsed(exception="exception:1", rule=PICKLE, until=UNTIL, granted_by="person:2"),)
    assert isinstance(cleared, ReleaseCleared)
    assert cleared.exceptions == expected
    assert (cleared.verdicts[-1].result, cleared.verdicts[-1].exception) == ("fail", "exception:1")
    assert isinstance(issued, CertificateIssued)
    assert issued.exceptions == expected
    ((_, _, judgement, _, _),) = pickled.notary.signed
    assert judgement.exceptions == expected
    assert judgement.verdicts == (*cleared.verdicts, *issued.verdicts)


@pytest.mark.parametrize(
    "heard",
    [
        [],
        [granted(rule="another.rule")],
        [granted(project="another")],
        [granted(source=f"sha256:{'9' * 64}")],
        [granted(until="2026-01-01T00:00:00.000Z")],
        [granted(), withdrawn()],
        [withdrawn(), granted(until="2025-12-31T23:59:59.999Z")],
    ],
    ids=["nothing", "another rule", "another project", "another source", "over", "withdrawn", "never held"],
)
async def test_a_rule_forbids_what_no_exception_covers(pickled: Certifier, heard: list[Any]) -> None:
    for event in heard:
        await pickled.alone.hear(event)
    await pickled.clear()
    (refused,) = await pickled.alone.said()
    assert isinstance(refused, ReleaseRefused)
    assert refused.verdicts[-1] == verdict(PICKLE, "submit", "fail")


async def test_of_several_exceptions_from_a_rule_the_one_that_holds_longest_is_used(
    pickled: Certifier,
) -> None:
    await pickled.alone.hear(granted("exception:1", until="2026-02-01T00:00:00.000Z", source=SOURCE))
    await pickled.alone.hear(granted("exception:2", until="2026-03-01T00:00:00.000Z"))
    await pickled.alone.hear(granted("exception:3", until="2026-04-01T00:00:00.000Z", project="another"))
    await pickled.clear()
    (cleared,) = await pickled.alone.said()
    assert isinstance(cleared, ReleaseCleared)
    assert [each.exception for each in cleared.exceptions] == ["exception:2"]


async def test_an_exception_that_was_withdrawn_before_the_image_was_there_certifies_nothing(
    pickled: Certifier,
) -> None:
    await pickled.alone.hear(granted())
    await pickled.clear()
    await pickled.alone.hear(withdrawn())
    await pickled.alone.hear(granted())  # heard again, of before
    await pickled.alone.hear(indexed())
    refused = (await pickled.alone.said())[-1]
    assert isinstance(refused, ReleaseRefused)
    assert (refused.stage, refused.verdicts) == ("certify", (verdict(PICKLE, "submit", "fail"), *CERTIFY))
    assert pickled.notary.signed == []


async def test_an_exception_that_is_over_when_the_image_is_there_certifies_nothing(
    pickled: Certifier,
) -> None:
    await pickled.alone.hear(granted())
    await pickled.clear()
    pickled.alone.clock.pass_(timedelta(days=31))
    await pickled.alone.hear(indexed())
    assert isinstance((await pickled.alone.said())[-1], ReleaseRefused)


async def test_a_rule_about_the_image_is_excepted_alike(certifier: Certifier) -> None:
    certifier.rules.verdicts["certify"] = (verdict("image.base", "certify", "fail"),)
    await certifier.alone.hear(granted(rule="image.base"))
    await certifier.clear()
    await certifier.alone.hear(indexed())
    cleared, issued = await certifier.alone.said()
    assert cleared.exceptions == ()
    assert isinstance(issued, CertificateIssued)
    assert [each.rule for each in issued.exceptions] == ["image.base"]


async def test_rules_speak_of_the_project_by_the_name_that_it_is_deployed_under(certifier: Certifier) -> None:
    await certifier.clear()
    assert certifier.rules.seen[0]["project"] == {"name": "churn"}


# what becomes of a certificate


async def certify(certifier: Certifier) -> CertificateIssued:
    await certifier.clear()
    await certifier.alone.hear(indexed())
    issued = (await certifier.alone.said())[-1]
    assert isinstance(issued, CertificateIssued)
    return issued


async def test_a_certificate_loses_its_ground_with_the_exception_that_it_stands_on(
    pickled: Certifier,
) -> None:
    await pickled.alone.hear(granted(until="2026-12-01T00:00:00.000Z"))
    issued = await certify(pickled)
    await pickled.alone.hear(withdrawn())
    suspended = (await pickled.alone.said())[-1]
    assert isinstance(suspended, CertificateSuspended)
    assert suspended.certificate == issued.certificate
    assert [each.rule for each in suspended.grounds] == [PICKLE]
    assert "exception:1" in suspended.grounds[0].why
    # one that ends before it does is none to stand on, nor is one for another source, nor one that is gone
    for other in (
        granted("exception:2", until="2026-01-02T00:00:00.000Z"),
        granted("exception:3", until="2026-12-01T00:00:00.000Z", source=f"sha256:{'9' * 64}"),
        granted(until="2026-12-01T00:00:00.000Z"),
    ):
        await pickled.alone.hear(other)
    assert (await pickled.alone.said())[-1] == suspended
    await pickled.alone.hear(granted("exception:4", until="2026-12-01T00:00:00.000Z", source=SOURCE))
    upheld, reinstated = (await pickled.alone.said())[-2:]
    assert isinstance(reinstated, CertificateReinstated)
    # so that the log tells on what it stands, and who restores a certifier from the log
    assert isinstance(upheld, CertificateUpheld)
    assert (upheld.withdrawn, upheld.exception.exception) == (None, "exception:4")
    await pickled.alone.hear(withdrawn("exception:2"))
    assert isinstance((await pickled.alone.said())[-1], CertificateReinstated)
    await pickled.alone.hear(withdrawn("exception:4"))
    assert isinstance((await pickled.alone.said())[-1], CertificateSuspended)


async def test_a_certificate_goes_on_on_another_exception_that_was_granted_in_good_time(
    pickled: Certifier,
) -> None:
    late = "2026-12-01T00:00:00.000Z"
    await pickled.alone.hear(granted(until=late))
    issued = await certify(pickled)
    # none of these fits but the last, which ends before the one that it takes the place of
    for other in (
        granted("exception:2", until="2026-01-02T00:00:00.000Z"),
        granted("exception:3", until=late, source=f"sha256:{'9' * 64}"),
        granted("exception:4", until=late, rule="model.another"),
        granted("exception:5", until="2026-11-01T00:00:00.000Z", source=SOURCE),
    ):
        await pickled.alone.hear(other)
    for _ in range(2):
        await pickled.alone.hear(withdrawn())
    upheld = (await pickled.alone.said())[-1]
    assert upheld == CertificateUpheld(
        certificate=issued.certificate,
        project="churn",
        release=1,
        withdrawn="exception:1",
        exception=ExceptionUsed(
            exception="exception:5", rule=PICKLE, until="2026-11-01T00:00:00.000Z", granted_by="person:2"
        ),
    )
    assert [type(each) for each in (await pickled.alone.said())[-2:]] == [
        CertificateIssued,
        CertificateUpheld,
    ]
    await pickled.alone.hear(withdrawn("exception:5"))
    suspended = (await pickled.alone.said())[-1]
    assert isinstance(suspended, CertificateSuspended)
    assert "exception:5" in suspended.grounds[0].why


async def test_what_stands_on_no_exception_is_not_touched_by_one(certifier: Certifier) -> None:
    await certifier.alone.hear(granted())
    issued = await certify(certifier)
    await certifier.alone.hear(withdrawn())
    assert (await certifier.alone.said())[-1] == issued


def revocation_of(issued: CertificateIssued) -> RevocationRequested:
    return RevocationRequested(
        certificate=issued.certificate,
        project="churn",
        release=1,
        reason="hmac-sha256:00",
        requested_by="person:7",
    )


async def test_a_renewal_that_is_under_way_undoes_no_revocation(certifier: Certifier) -> None:
    first = await certify(certifier)
    await certifier.alone.hear(changed(asked(release=2), renews=first.certificate))
    await certifier.alone.work_off()
    await certifier.alone.hear(revocation_of(first))
    await certifier.alone.hear(indexed(release=2))
    refused = (await certifier.alone.said())[-1]
    assert isinstance(refused, ReleaseRefused)
    (verdict,) = (each for each in refused.verdicts if each.rule == "certificate.revoked")
    assert verdict.why is not None
    assert verdict.why.startswith(f"{first.certificate}, which this was to renew, was revoked meanwhile")


async def test_who_revokes_a_certificate_is_named_and_it_is_over(certifier: Certifier) -> None:
    issued = await certify(certifier)
    revocation = revocation_of(issued)
    await certifier.alone.hear(changed(revocation, certificate="certificate:another"))
    assert (await certifier.alone.said())[-1] == issued
    for _ in range(2):
        await certifier.alone.hear(revocation)
    (_, _, revoked) = await certifier.alone.said()
    assert isinstance(revoked, CertificateRevoked)
    assert (revoked.certificate, revoked.revoked_by) == (issued.certificate, "person:7")


async def test_it_is_said_once_that_a_certificate_is_out_of_time(certifier: Certifier) -> None:
    issued = await certify(certifier)
    await certifier.alone.periodically("expire")
    assert (await certifier.alone.said())[-1] == issued
    certifier.alone.clock.pass_(timedelta(days=91))
    for _ in range(2):
        await certifier.alone.periodically("expire")
    (_, _, expired) = await certifier.alone.said()
    assert expired == CertificateExpired(
        certificate=issued.certificate, project="churn", release=1, not_after=issued.not_after
    )


# who is reminded of its end


def serving(issued: CertificateIssued) -> ModelStarted:
    return ModelStarted(
        project="churn",
        release=issued.release,
        image=IMAGE,
        certificate=issued.certificate,
        url="http://placet/models/churn",
        endpoints=("http://127.0.0.1:1",),
    )


async def reminders(certifier: Certifier, *, after: timedelta = timedelta()) -> list[CertificateLapsing]:
    certifier.alone.clock.pass_(after)
    await certifier.alone.periodically("remind")
    return [each for each in await certifier.alone.said() if isinstance(each, CertificateLapsing)]


async def test_it_is_said_once_that_what_a_model_serves_on_ends_soon(certifier: Certifier) -> None:
    issued = await certify(certifier)
    await certifier.alone.hear(serving(issued))
    assert await reminders(certifier, after=timedelta(days=59)) == []
    (lapsing,) = await reminders(certifier, after=timedelta(days=1))
    left = moment(issued.not_after) - certifier.alone.clock.now()
    assert lapsing == CertificateLapsing(
        certificate=issued.certificate,
        project="churn",
        release=1,
        not_after=issued.not_after,
        left=int(left.total_seconds()),
    )
    await certifier.alone.hear(serving(issued))  # after a restart of the model
    for _ in range(2):
        assert await reminders(certifier, after=timedelta(days=1)) == [lapsing]


@pytest.mark.parametrize(
    "off",
    [
        ModelStopped(project="churn", release=1, request=2),
        ModelDeleted(project="churn", request=2),
        ModelQuarantined(project="churn", release=1, certificate="certificate:1", why="it does not stand"),
    ],
    ids=lambda off: type(off).__name__,
)
async def test_what_serves_on_none_is_not_told_of(certifier: Certifier, off: object) -> None:
    issued = await certify(certifier)
    assert await reminders(certifier, after=timedelta(days=70)) == [], "nothing serves on it yet"
    await certifier.alone.hear(serving(issued))
    await certifier.alone.hear(off)
    assert await reminders(certifier) == []
    await certifier.alone.hear(serving(issued))
    assert [each.certificate for each in await reminders(certifier)] == [issued.certificate]


async def test_what_was_renewed_is_told_of_no_more(certifier: Certifier) -> None:
    first = await certify(certifier)
    await certifier.alone.hear(serving(first))
    certifier.alone.clock.pass_(timedelta(days=50))
    await certifier.alone.hear(changed(asked(release=2), renews=first.certificate))
    await certifier.alone.work_off()
    await certifier.alone.hear(indexed(release=2))
    second = (await certifier.alone.said())[-1]
    assert isinstance(second, CertificateIssued)
    await certifier.alone.hear(serving(second))
    assert await reminders(certifier, after=timedelta(days=20)) == [], (
        "the one before has 20 days, and serves no more"
    )
    (lapsing,) = await reminders(certifier, after=timedelta(days=45))
    assert lapsing.certificate == second.certificate


async def test_two_that_look_at_once_say_it_once(certifier: Certifier) -> None:
    await certifier.alone.hear(serving(await certify(certifier)))
    certifier.alone.clock.pass_(timedelta(days=70))
    remind = next(each for each in certifier.alone.service.periodic if each.name == "remind")
    await asyncio.gather(*(remind.run() for _ in range(3)))
    assert len(await reminders(certifier)) == 1


# the real notary and the real rules


async def an_image(registry: ImageLayout) -> str:
    """The digest of a small image in `models/churn`."""
    config = {
        "os": "linux",
        "architecture": "amd64",
        "rootfs": {"type": "layers", "diff_ids": []},
        "config": {},
    }
    body = msgspec.json.encode(config)
    assert ImageConfig.parse(body)
    descriptor = await registry.put_blob(
        "models/churn", body, media_type="application/vnd.oci.image.config.v1+json"
    )
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": descriptor.media_type, "digest": descriptor.digest, "size": descriptor.size},
        "layers": [],
    }
    return await registry.put_manifest("models/churn", Manifest.parse(msgspec.json.encode(manifest)))


def own_keys(folder: Path) -> KeyFiles:
    keys = OwnKeys(folder / "certificates.pem", ManualClock().now)
    keys.begin()
    return KeyFiles(keys)


def a_notary(registry: ImageLayout, keys: KeyFiles) -> RegistryNotary:
    return RegistryNotary(registry, keys, validity=timedelta(days=90), trial_validity=timedelta(days=7))


@pytest.mark.parametrize(
    ("trial", "excepted_for", "days"),
    [(False, (), 90), (True, (), 7), (False, (40, 30), 30), (True, (30,), 7)],
)
async def test_a_certificate_ends_with_its_trial_or_the_first_exception_that_it_stands_on(
    tmp_path: Path, trial: bool, excepted_for: tuple[int, ...], days: int
) -> None:
    registry, keys = ImageLayout(tmp_path / "registry"), own_keys(tmp_path)
    at = datetime.fromisoformat("2026-01-01T00:00:00+00:00")
    signed = await a_notary(registry, keys).sign(
        Asked(project="churn", release=1, command="deploy", source=SOURCE, image=None),
        indexed(image=await an_image(registry)),
        Judgement(
            policies=POLICIES,
            verdicts=(*SUBMIT, *CERTIFY),
            exceptions=tuple(
                ExceptionUsed(
                    exception=f"exception:{held}",
                    rule=PICKLE,
                    until=timestamp(at + timedelta(days=held)),
                    granted_by="person:2",
                )
                for held in excepted_for
            ),
        ),
        certificate="certificate:1",
        at=at,
        trial=trial,
    )
    assert datetime.fromisoformat(signed.not_after) - at == timedelta(days=days)


async def test_what_a_certificate_renews_is_signed_with_it(tmp_path: Path) -> None:
    registry, keys = ImageLayout(tmp_path / "registry"), own_keys(tmp_path)
    image, at = await an_image(registry), datetime.fromisoformat("2026-01-01T00:00:00+00:00")
    wanted = Asked(project="churn", release=2, command="deploy", source=SOURCE, image=image)
    said: list[str | None] = []
    for renews in (None, "certificate:0"):
        signed = await a_notary(registry, keys).sign(
            replace(wanted, renews=renews),
            indexed(image=image),
            Judgement(policies=POLICIES, verdicts=CERTIFY),
            certificate="certificate:1",
            at=at,
        )
        layer = (await registry.manifest("models/churn", signed.envelope)).layers[0]
        envelope = dsse.read(await registry.read_blob("models/churn", layer.digest))
        said += [
            certificates.verify(envelope, await keys.history(), image=image, source=SOURCE, now=at).renews
        ]
    assert said == [None, "certificate:0"]


async def test_the_same_judgement_is_the_same_bytes_in_the_registry(tmp_path: Path) -> None:
    registry, keys = ImageLayout(tmp_path / "registry"), own_keys(tmp_path)
    image = await an_image(registry)
    notary = a_notary(registry, keys)
    at = datetime.fromisoformat("2026-01-01T00:00:00.123456+00:00")
    wanted = Asked(project="churn", release=1, command="deploy", source=SOURCE, image=None)
    judgement = Judgement(policies=POLICIES, verdicts=(*SUBMIT, *CERTIFY))
    first, second = [
        await notary.sign(
            wanted,
            indexed(image=image),
            judgement,
            certificate="certificate:1",
            at=at,
            conditions=(PSI,),
        )
        for _ in range(2)
    ]
    assert first == second
    (referrer,) = await registry.referrers("models/churn", image)
    assert referrer.digest == first.envelope
    layer = (await registry.manifest("models/churn", first.envelope)).layers[0]
    envelope = dsse.read(await registry.read_blob("models/churn", layer.digest))
    held = certificates.verify(envelope, await keys.history(), image=image, source=SOURCE, now=at)
    assert (held.certificate, held.project, held.release) == ("certificate:1", "churn", 1)
    assert [(each.metric, each.max, each.retry_after) for each in held.conditions] == [("psi", 0.2, 3600)]
    with pytest.raises(Refused):
        certificates.verify(
            envelope, await keys.history(), image=image, source=SOURCE, now=at + timedelta(days=91)
        )
    assert base64.b64decode(msgspec.json.decode(envelope.to_json())["payload"])


async def test_the_shipped_rules_are_excepted_from_where_they_admit_it_and_only_what_is_used_is_told() -> (
    None
):
    [safety] = [each for each in load_shipped() if each.id == "artifact-safety"]
    facts = merge_patched(
        safety.given,
        {
            "now": "2026-01-01T00:00:00Z",
            "model": {"serialization": "joblib"},
            "scan": {"denied": ["os.system"]},
        },
    )
    rules = ("model.pickle-by-exception", "model.pickle-names-listed", "model.no-hostile-pickle")
    granted = [
        ExceptionUsed(exception=f"exception:{rule}", rule=rule, until=UNTIL, granted_by="person:2")
        for rule in rules
    ]
    with Engine() as engine:
        judgement = await PolicyRules(PolicySet([safety], NothingPublished()), engine).judge(
            "submit", facts, granted
        )
    failed = {each.rule: each.exception for each in judgement.verdicts if each.result != "pass"}
    assert failed == {rules[0]: f"exception:{rules[0]}", rules[2]: None}
    assert judgement.exceptions == (granted[0],)


@pytest.mark.parametrize(
    ("change", "is_certified"),
    [({}, True), ({"image_source": f"sha256:{'6' * 64}"}, False), ({"image_source": ""}, False)],
)
async def test_the_shipped_rules_refuse_an_image_of_another_source(
    change: dict[str, Any], is_certified: bool
) -> None:
    engine = Engine()
    try:
        rules = PolicyRules(PolicySet(load_shipped(), NothingPublished()), engine)
        seen = changed(indexed(), **change)
        cleared = ReleaseCleared(
            project="churn",
            release=1,
            command="deploy",
            source=SOURCE,
            image=None,
            format="sklearn",
            resources=RESOURCES,
            access="token",
            policies=POLICIES,
            verdicts=SUBMIT,
        )
        now = datetime.fromisoformat("2026-01-01T00:00:00+00:00")
        contents = await ContentsOfNothing().of_image("models/churn", seen.image)
        known = await NothingKnown().about((), now)
        facts = {**rules.image_facts(cleared, seen, now), "contents": contents, "advisories": known}
        judgement = await rules.judge("certify", facts)
    finally:
        engine.close()
    forbids = [each for each in judgement.verdicts if each.result != "pass" and each.on_fail != "warn"]
    assert (not forbids) is is_certified, forbids
    assert all(policy.digest.startswith("sha256:") for policy in judgement.policies)


async def test_who_signed_what_is_excepted_and_what_is_revoked_is_made_anew_and_nothing_is_judged(
    pickled: Certifier,
) -> None:
    late, pickled.notary.key = "2026-12-01T00:00:00.000Z", "key-1"
    for each in ("exception:1", "exception:2"):
        await pickled.alone.hear(granted(each, until=late))
    revoked = await certify(pickled)
    await pickled.alone.hear(asked(release=2))
    await pickled.alone.work_off()
    await pickled.alone.hear(indexed(release=2))
    await pickled.alone.hear(revocation_of(revoked))
    await pickled.alone.hear(withdrawn("exception:2"))
    before, said = await pickled.alone.shown(), await pickled.alone.said()
    judged = len(pickled.rules.seen)
    assert await pickled.alone.rebuild() == {}
    await pickled.alone.empty()
    assert await pickled.alone.rebuild() == {"exceptions": 2, "revoked": 1, "signed": 1}
    assert await pickled.alone.shown() == before
    assert (await pickled.alone.said(), len(pickled.rules.seen)) == (said, judged)
