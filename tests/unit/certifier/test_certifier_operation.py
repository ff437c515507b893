"""A certificate while its model serves: the shipped rules of operation over what is observed, and by the clock."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from placet.certifier.adapters.policy_engine import PolicyRules
from placet.certifier.bootstrap import build
from placet.certifier.operation import look
from placet.certifier.ports import Judgement, Ports
from placet.certifier.projections import TABLES, watches
from placet.certifier.queries import (
    AwaitedReleases,
    EarlierReleases,
    GrantedExceptions,
    HeardApprovals,
    HeardReports,
    HeldCertificates,
    MadeAssessments,
    PublishedPolicies,
    WatchedCertificates,
)
from placet.certifier.settings import CertifierSettings
from placet.certifier.standing import give_sign_of_life
from placet.errors import Unavailable
from placet.events import Service, Wiring
from placet.events.bus import Alive, Note
from placet.events.codec import timestamp
from placet.events.contracts.certifier import (
    CertificateIssued,
    CertificateReinstated,
    CertificateRevoked,
    CertificateSuspended,
    CertificateWarned,
)
from placet.events.contracts.deployer import (
    CanaryAborted,
    CanaryStarted,
    ModelDeleted,
    ModelObserved,
    ModelQuarantined,
    ModelStarted,
    ModelStopped,
)
from placet.events.contracts.gateway import (
    ExceptionGranted,
    ExceptionWithdrawn,
    MetadataReported,
    RevocationRequested,
)
from placet.events.contracts.shapes import (
    ColumnDrift,
    ColumnParts,
    Condition,
    Drift,
    ExceptionUsed,
    ReportedIncident,
    ReportedMetric,
    ReportedMonitoring,
    Stage,
)
from placet.rules import Engine, PolicySet, load_shipped

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
from tests.unit.gateway.roads import IMAGE, SOURCE, asked, indexed
from tests.unit.hearing import Alone, alone

KEPT = "operation.conditions-kept"
HEEDED = "operation.warnings-heeded"
LATELY = "operation.observed-lately"
PSI = Condition(metric="psi", max=0.2, recovery=0.1, window=86400, min_samples=200, action="suspend")
ERRORS = Condition(
    metric="errors", max=0.1, recovery=0.05, window=3600, min_samples=100, action="suspend", retry_after=600
)
WARNING = msgspec.structs.replace(ERRORS, action="warn", retry_after=None)


@dataclass
class OperationForReal(RulesOfThumb):
    """Says what it is told of sources and images, and of operation what the shipped policy says."""

    shipped: PolicyRules | None = None

    async def judge(
        self,
        stage: Stage,
        facts: Mapping[str, Any],
        exceptions: Sequence[ExceptionUsed] = (),
    ) -> Judgement:
        if stage != "operate":
            return await super().judge(stage, facts, exceptions)
        assert self.shipped is not None
        return await self.shipped.judge(stage, facts, exceptions)

    async def is_of_operation(self, rule: str, at: datetime) -> bool:
        assert self.shipped is not None
        return await self.shipped.is_of_operation(rule, at)


@dataclass
class Operated:
    """A certifier that hears of a model as the test tells it."""

    alone: Alone
    sources: SourcesOnTheTable
    ports: Ports
    minutes: int = 0

    async def certify(self, *conditions: Condition, release: int = 1, canary: int = 0) -> CertificateIssued:
        self.sources.declared = replace(DECLARED, conditions=conditions)
        await self.alone.hear(asked(release=release))
        await self.alone.work_off()
        await self.alone.hear(indexed(release=release))
        issued = [each for each in await self.alone.said() if isinstance(each, CertificateIssued)][-1]
        assert issued.release == release
        await self.alone.hear(begun(issued, canary) if canary else started(issued))
        return issued

    async def observe(
        self, requests: int = 100, *, errors: int = 0, ages: tuple[int, ...] = (), release: int = 1
    ) -> ModelObserved:
        """A window of a minute, told when it is over."""
        self.alone.clock.pass_(timedelta(minutes=1))
        now = self.alone.clock.now()
        observed = ModelObserved(
            project="churn",
            release=release,
            since=timestamp(now - timedelta(minutes=1)),
            until=timestamp(now),
            requests=requests,
            refused=0,
            errors=errors,
            rows=requests,
            p50_ms=1.0,
            p99_ms=2.0,
            drift=drift(ages) if ages else None,
        )
        await self.alone.hear(observed)
        return observed

    async def later(self, **time: float) -> None:
        self.alone.clock.pass_(timedelta(**time))
        await self.alone.periodically("operate")

    async def since_issued(self) -> list[Any]:
        """What was said of certificates after they were given."""
        said = await self.alone.said()
        kinds = CertificateSuspended | CertificateReinstated | CertificateWarned | CertificateRevoked
        return [each for each in said if isinstance(each, kinds)]


def drift(ages: tuple[int, ...]) -> Drift:
    return Drift(
        since="2026-01-01T00:00:00.000Z",
        rows=sum(ages),
        psi=1.0,
        column="age",
        columns=(ColumnDrift(column="age", psi=1.0),),
        parts=(ColumnParts(column="age", reference=(100, 100), counts=ages),),
    )


def started(issued: CertificateIssued) -> ModelStarted:
    return ModelStarted(
        project="churn",
        release=issued.release,
        image=IMAGE,
        certificate=issued.certificate,
        url="http://placet/models/churn",
        endpoints=("http://127.0.0.1:1",),
    )


def begun(issued: CertificateIssued, weight: int) -> CanaryStarted:
    return CanaryStarted(
        project="churn",
        release=issued.release,
        image=IMAGE,
        certificate=issued.certificate,
        url="http://placet/models/churn",
        endpoints=("http://127.0.0.1:2",),
        replicas=1,
        weight=weight,
        request=issued.release,
        sample="none",
    )


def granted(days: float = 30, *, source: str | None = None, until: str | None = None) -> ExceptionGranted:
    return ExceptionGranted(
        exception="exception:1",
        project="churn",
        rule=KEPT,
        source=source,
        until=until or "2026-01-20T00:00:00.000Z",
        requested_by="person:1",
        granted_by="person:2",
    )


@pytest.fixture(scope="module")
def engine() -> Any:
    with Engine(workers=1) as engine:
        yield engine


@pytest.fixture
async def operated(tmp_path: Path, engine: Engine) -> AsyncIterator[Operated]:
    sources = SourcesOnTheTable()
    settings = CertifierSettings(registry=str(tmp_path), signing_key=tmp_path / "key.pem")
    made: list[Ports] = []

    def put_together(wiring: Wiring) -> Awaitable[Service]:
        ports = Ports(
            sources=sources,
            rules=OperationForReal(
                shipped=PolicyRules(PolicySet(load_shipped(), PublishedPolicies(wiring.store)), engine)
            ),
            policies=NothingSubmitted(),
            assessor=NobodyScores(),
            assessments=MadeAssessments(wiring.store),
            reports=HeardReports(wiring.store),
            records=RecordsInMemory(),
            notary=QuickNotary(),
            contents=ContentsOfNothing(),
            snapshots=NoSnapshots(),
            advisories=NothingKnown(),
            exceptions=GrantedExceptions(wiring.store),
            certificates=HeldCertificates(wiring.store),
            watches=WatchedCertificates(wiring.store),
            earlier=EarlierReleases(wiring.store),
            approvals=HeardApprovals(wiring.store),
            waits=AwaitedReleases(wiring.store),
            keys=KeysInMemory(),
        )
        made.append(ports)
        return build(settings, wiring, ports)

    async with alone("certifier", tmp_path, put_together, tables=(TABLES,)) as service:
        yield Operated(service, sources, made[0])


async def test_a_model_that_drifts_is_suspended_with_what_was_measured(operated: Operated) -> None:
    issued = await operated.certify(PSI)
    await operated.observe(ages=(90, 10))
    assert await operated.since_issued() == [], "of a hundred rows nothing is said"
    await operated.observe(ages=(90, 10))
    (suspended,) = await operated.since_issued()
    assert isinstance(suspended, CertificateSuspended)
    assert (suspended.certificate, suspended.release) == (issued.certificate, 1)
    (ground,) = suspended.grounds
    assert ground.rule == KEPT
    assert "churn is outside of its conditions: psi of age is " in ground.why
    assert "over 0.2, in 200 rows of 1 d" in ground.why
    (found,) = ground.measured
    assert (found.metric, found.limit, found.window, found.samples) == ("psi", 0.2, 86400, 200)
    assert found.value > 0.2


async def test_hearing_windows_again_or_late_says_nothing_twice_and_undoes_nothing(
    operated: Operated,
) -> None:
    await operated.certify(ERRORS)
    good = await operated.observe(errors=0)
    bad = await operated.observe(1000, errors=500)
    for _ in range(2):
        await operated.alone.hear(bad)
        await operated.alone.hear(good)
    await operated.observe(1000, errors=500)
    assert [type(each) for each in await operated.since_issued()] == [CertificateSuspended]


async def test_what_was_suspended_is_tried_again_when_its_condition_says_so(operated: Operated) -> None:
    issued = await operated.certify(ERRORS)
    await operated.observe(errors=50)
    await operated.alone.hear(quarantined(issued))
    await operated.later(minutes=9)
    assert [type(each) for each in await operated.since_issued()] == [CertificateSuspended]
    await operated.later(minutes=2)
    assert [type(each) for each in await operated.since_issued()] == [
        CertificateSuspended,
        CertificateReinstated,
    ]

    await operated.alone.hear(started(issued))
    await operated.observe(50, errors=25)
    assert len(await operated.since_issued()) == 2, "of fifty requests nothing is said"
    await operated.observe(100, errors=8)
    suspended = (await operated.since_issued())[-1]
    assert isinstance(suspended, CertificateSuspended)
    assert [each.limit for each in suspended.grounds[0].measured] == [0.05], "it had to recover"

    await operated.later(minutes=11)
    await operated.alone.hear(started(issued))
    await operated.observe(200, errors=2)
    await operated.observe(200, errors=30)
    assert [type(each) for each in await operated.since_issued()] == [
        CertificateSuspended,
        CertificateReinstated,
        CertificateSuspended,
        CertificateReinstated,
    ], "8 % in the hour, and it had recovered"


def quarantined(issued: CertificateIssued) -> ModelQuarantined:
    return ModelQuarantined(
        project="churn", release=issued.release, certificate=issued.certificate, why="it fails"
    )


async def test_without_a_word_on_that_only_people_let_it_serve_again(operated: Operated) -> None:
    issued = await operated.certify(PSI)
    await operated.observe(ages=(190, 10))
    await operated.alone.hear(quarantined(issued))
    for _ in range(3):
        await operated.later(days=1)
    assert [type(each) for each in await operated.since_issued()] == [CertificateSuspended]
    await operated.alone.hear(granted(source=f"sha256:{'9' * 64}"))
    assert [type(each) for each in await operated.since_issued()] == [CertificateSuspended], (
        "of another source"
    )


async def test_an_exception_lifts_for_as_long_as_it_holds_and_is_judged_anew_after_it(
    operated: Operated,
) -> None:
    issued = await operated.certify(PSI)
    await operated.observe(ages=(190, 10))
    await operated.alone.hear(granted(source=SOURCE))
    assert isinstance((await operated.since_issued())[-1], CertificateReinstated)
    await operated.alone.hear(started(issued))
    await operated.observe(ages=(190, 10))
    assert len(await operated.since_issued()) == 2, "it is excepted from that"
    await operated.later(days=30)
    assert isinstance((await operated.since_issued())[2], CertificateSuspended)


async def test_an_exception_that_is_withdrawn_has_it_judged_at_once(operated: Operated) -> None:
    await operated.certify(PSI)
    await operated.observe(ages=(190, 10))
    await operated.alone.hear(granted())
    withdrawn = ExceptionWithdrawn(
        exception="exception:1", project="churn", rule=KEPT, withdrawn_by="person:2"
    )
    await operated.alone.hear(withdrawn)
    assert [type(each) for each in await operated.since_issued()] == [
        CertificateSuspended,
        CertificateReinstated,
        CertificateSuspended,
    ]


async def test_an_exception_from_what_is_kept_comes_and_goes_without_a_word(operated: Operated) -> None:
    await operated.certify(PSI)
    await operated.observe(ages=(100, 100))
    await operated.alone.hear(granted())
    await operated.alone.hear(
        ExceptionWithdrawn(exception="exception:1", project="churn", rule=KEPT, withdrawn_by="person:2")
    )
    assert await operated.since_issued() == []


async def test_a_condition_that_warns_says_so_once_and_when_it_is_over(operated: Operated) -> None:
    await operated.certify(WARNING)
    for errors in (50, 60, 70):
        await operated.observe(errors=errors)
    (warned,) = await operated.since_issued()
    assert isinstance(warned, CertificateWarned)
    assert [(each.rule, each.measured[0].metric) for each in warned.warnings] == [(HEEDED, "errors")]
    await operated.observe(10_000)
    assert (await operated.since_issued())[1:] == [changed_to_none(warned)]


def changed_to_none(warned: CertificateWarned) -> CertificateWarned:
    return CertificateWarned(
        certificate=warned.certificate, project=warned.project, release=warned.release, warnings=()
    )


async def test_a_model_of_which_nothing_is_observed_is_warned_of_by_the_clock(operated: Operated) -> None:
    await operated.certify(PSI)
    await operated.later(hours=167)
    assert await operated.since_issued() == []
    await operated.later(hours=2)
    await operated.later(hours=2)
    (warned,) = await operated.since_issued()
    assert [each.rule for each in warned.warnings] == [LATELY]
    await operated.observe(ages=(10, 10))
    assert (await operated.since_issued())[1:] == [changed_to_none(warned)]


async def test_a_condition_of_which_nothing_is_told_is_warned_of_however_much_the_model_is_asked(
    operated: Operated,
) -> None:
    """As psi is without a reference."""
    await operated.certify(PSI, ERRORS)
    for _ in range(8):
        await operated.later(days=1)
        await operated.observe()
    (warned,) = await operated.since_issued()
    assert [each.rule for each in warned.warnings] == [LATELY]
    assert "model.reference" in str(warned.warnings[0].fix)
    await operated.observe(ages=(10, 10))
    assert (await operated.since_issued())[1:] == [changed_to_none(warned)]


async def test_a_canary_that_drifts_is_suspended_and_what_it_runs_beside_is_not(operated: Operated) -> None:
    await operated.certify(PSI)
    canary = await operated.certify(PSI, release=2, canary=10)
    await operated.observe(ages=(60, 60))
    await operated.observe(ages=(100, 20), release=2)
    await operated.observe(ages=(100, 20), release=2)
    await operated.observe(ages=(60, 60))
    (suspended,) = await operated.since_issued()
    assert isinstance(suspended, CertificateSuspended)
    assert (suspended.certificate, suspended.release) == (canary.certificate, 2)


async def test_of_a_canary_too_silence_is_warned_of_and_no_more_once_it_is_aborted(
    operated: Operated,
) -> None:
    await operated.certify(PSI)
    await operated.certify(PSI, release=2, canary=10)
    await operated.later(hours=167)
    assert await operated.since_issued() == [], "it serves since then, and not for ever"
    await operated.observe(ages=(60, 60))
    await operated.later(hours=2)
    (warned,) = await operated.since_issued()
    assert (warned.release, [each.rule for each in warned.warnings]) == (2, [LATELY])

    await operated.certify(PSI, release=3, canary=10)
    await operated.alone.hear(CanaryAborted(project="churn", release=3, why="it failed", fix=None))
    for _ in range(4):
        await operated.later(days=3)
        await operated.observe(ages=(60, 60))
    assert {each.release for each in await operated.since_issued()} == {2}


@pytest.mark.parametrize("end", ["stopped", "deleted", "replaced", "quarantined"])
async def test_of_what_does_not_serve_silence_is_no_matter(operated: Operated, end: str) -> None:
    issued = await operated.certify(PSI)
    match end:
        case "stopped":
            await operated.alone.hear(ModelStopped(project="churn", release=1))
        case "deleted":
            await operated.alone.hear(ModelDeleted(project="churn"))
        case "replaced":
            await operated.certify(release=2)
        case "quarantined":
            await operated.alone.hear(quarantined(issued))
    await operated.later(days=10)
    assert await operated.since_issued() == []


async def test_the_clock_asks_nothing_of_those_whose_time_has_not_come(operated: Operated) -> None:
    await operated.certify(PSI)
    assert await operated.ports.watches.due(operated.alone.clock.now().timestamp()) == []
    await operated.later(hours=2)
    now = operated.alone.clock.now().timestamp()
    assert await operated.ports.watches.due(now) == [], "it was judged just now"


async def test_each_release_is_judged_by_its_own_windows(operated: Operated) -> None:
    await operated.certify(ERRORS)
    second = await operated.certify(ERRORS, release=2)
    await operated.observe(errors=50, release=2)
    (suspended,) = await operated.since_issued()
    assert (suspended.certificate, suspended.release) == (second.certificate, 2)


async def test_another_certificate_of_the_same_source_lifts_nothing_that_was_observed_of_it(
    operated: Operated,
) -> None:
    """Whoever deployed it again, or had it renewed, would else have it serve on until it has harmed as many."""
    await operated.certify(ERRORS)
    await operated.observe(errors=50)
    second = await operated.certify(ERRORS, release=2)
    suspended = (await operated.since_issued())[-1]
    assert isinstance(suspended, CertificateSuspended)
    assert (suspended.certificate, [each.rule for each in suspended.grounds]) == (second.certificate, [KEPT])


async def test_what_was_observed_counts_on_for_a_renewed_certificate(operated: Operated) -> None:
    await operated.certify(ERRORS)
    await operated.observe(requests=99, errors=20)
    assert await operated.since_issued() == [], "of so few nothing is said"
    await operated.certify(ERRORS, release=2)
    await operated.observe(requests=1, errors=0, release=2)
    assert [type(each) for each in await operated.since_issued()] == [CertificateSuspended]


async def test_under_other_conditions_what_was_observed_before_says_nothing(operated: Operated) -> None:
    await operated.certify(ERRORS)
    await operated.observe(errors=50)
    second = await operated.certify(msgspec.structs.replace(ERRORS, max=0.6), release=2)
    assert second.certificate not in {each.certificate for each in await operated.since_issued()}


async def test_without_conditions_nothing_that_is_observed_suspends(operated: Operated) -> None:
    await operated.certify()
    await operated.observe(errors=100, ages=(200, 0))
    await operated.later(days=10)
    assert await operated.since_issued() == []


async def test_a_certificate_that_is_over_is_watched_no_more(operated: Operated) -> None:
    issued = await operated.certify(ERRORS)
    await operated.alone.hear(
        RevocationRequested(
            certificate=issued.certificate,
            project="churn",
            release=1,
            reason="hmac-sha256:00",
            requested_by="person:7",
        )
    )
    assert await operated.alone.wiring.store.rows(watches.select()) == []
    await operated.observe(errors=50)
    await operated.later(days=10)
    assert [type(each) for each in await operated.since_issued()] == [CertificateRevoked]


async def test_of_two_who_saw_the_same_the_second_looks_again(operated: Operated) -> None:
    """A window comes while the clock has a suspended model tried again: neither forgets what the other did."""
    await operated.certify(ERRORS)
    await operated.observe(errors=50)
    operated.alone.clock.pass_(timedelta(minutes=11))
    ports = operated.ports
    window = ModelObserved(
        project="churn",
        release=1,
        since=timestamp(operated.alone.clock.now() - timedelta(minutes=1)),
        until=timestamp(operated.alone.clock.now()),
        requests=10,
        refused=0,
        errors=5,
        rows=10,
        p50_ms=1.0,
        p99_ms=2.0,
        drift=None,
    )

    class MeanwhileHeard:
        """The `Watches` port; while it answers for the first time, the window is heard."""

        def __init__(self) -> None:
            self.asked = 0

        async def of_certificate(self, certificate: str) -> Any:
            kept = await ports.watches.of_certificate(certificate)
            self.asked += 1
            if self.asked == 2:
                await operated.alone.hear(window)
            return kept

        def __getattr__(self, name: str) -> Any:
            return getattr(ports.watches, name)

    meanwhile: Any = MeanwhileHeard()
    await look(replace(ports, watches=meanwhile), operated.alone.wiring)
    (kept,) = await ports.watches.of_project("churn")
    assert meanwhile.asked == 3
    assert kept.watched.heard_at == operated.alone.clock.now().timestamp()
    assert (kept.watched.suspended_at, kept.watched.watches[0].slices) == (None, ())
    assert isinstance((await operated.since_issued())[-1], CertificateReinstated)


# the sign of life


class BusWithAnEar:
    """A `Bus` that remembers what was told over it."""

    def __init__(self) -> None:
        self.told: list[Note] = []
        self.impediment: str | None = None

    async def tell(self, note: Note) -> None:
        self.told.append(note)


class StoreThatIsAway:
    async def rows(self, query: Any) -> Any:
        raise Unavailable("the database is away")


async def test_a_sign_of_life_is_given_only_by_one_that_could_take_a_certificate_back(
    operated: Operated,
) -> None:
    ear = BusWithAnEar()
    bus: Any = ear
    wiring = replace(operated.alone.wiring, bus=bus)
    await give_sign_of_life(wiring)
    assert ear.told == [Alive(producer="certifier")]
    away: Any = StoreThatIsAway()
    with pytest.raises(Unavailable):
        await give_sign_of_life(replace(wiring, store=away))
    ear.impediment = "hears nothing for 5 s: the broker hung up"
    await give_sign_of_life(wiring)
    assert len(ear.told) == 1
    assert "alive" in [each.name for each in operated.alone.service.periodic]


# What others report


def told(number: int = 1, **said: Any) -> MetadataReported:
    about = {"project": "churn", "release": None, "source": None, "at": "2026-01-01T00:00:00Z"}
    return MetadataReported(**{"report": f"report:{number}", "reported_by": "person:1", **about, **said})


def incident(
    number: int = 1, status: Any = "open", severity: Any = "critical", **said: Any
) -> MetadataReported:
    what = ReportedIncident(incident="INC-7", severity=severity, status=status)
    return told(number, at=f"2026-01-01T00:{number:02}:00Z", incident=what, **said)


@pytest.mark.parametrize(
    "about", [{}, {"release": 1}, {"source": SOURCE}], ids=["project", "release", "source"]
)
async def test_a_critical_incident_suspends_until_it_is_resolved(
    operated: Operated, about: dict[str, Any]
) -> None:
    issued = await operated.certify()
    for _ in range(2):
        await operated.alone.hear(incident(1, **about))
    (suspended,) = await operated.since_issued()
    assert isinstance(suspended, CertificateSuspended)
    (ground,) = suspended.grounds
    assert (ground.rule, ground.why) == (
        "operation.no-critical-incident",
        "incident INC-7 with churn is open, and critical",
    )
    await operated.alone.hear(quarantined(issued))
    await operated.alone.hear(incident(2, "resolved", **about))
    await operated.alone.hear(incident(1, **about))
    assert [type(each) for each in await operated.since_issued()] == [
        CertificateSuspended,
        CertificateReinstated,
    ]


async def test_that_it_is_resolved_may_be_heard_first(operated: Operated) -> None:
    await operated.certify()
    await operated.alone.hear(incident(2, "resolved"))
    await operated.alone.hear(incident(1))
    assert await operated.since_issued() == []


async def test_what_is_less_severe_or_of_another_release_or_source_suspends_nothing(
    operated: Operated,
) -> None:
    await operated.certify()
    await operated.alone.hear(incident(1, severity="high"))
    await operated.alone.hear(incident(2, release=2))
    await operated.alone.hear(incident(3, source=f"sha256:{'9' * 64}"))
    await operated.observe()
    assert await operated.since_issued() == []


async def test_an_incident_that_was_open_before_is_seen_before_the_model_serves(operated: Operated) -> None:
    """What speaks against a certificate is said with it, so that nothing is started on it."""
    await operated.alone.hear(incident())
    await operated.alone.hear(asked())
    await operated.alone.work_off()
    await operated.alone.hear(indexed())
    assert [type(each) for each in await operated.since_issued()] == [CertificateSuspended]


async def test_an_incident_of_a_release_goes_with_its_source_to_the_next(operated: Operated) -> None:
    await operated.certify()
    await operated.alone.hear(incident(1, release=1))
    again = await operated.certify(release=2)
    said = await operated.since_issued()
    assert [(type(each), each.release) for each in said] == [
        (CertificateSuspended, 1),
        (CertificateSuspended, 2),
    ]
    assert said[1].certificate == again.certificate
    await operated.alone.hear(incident(2, "resolved", release=2))
    assert [type(each) for each in (await operated.since_issued())[2:]] == [CertificateReinstated] * 2


async def test_an_incident_may_be_told_before_its_release_is_cleared(operated: Operated) -> None:
    await operated.alone.hear(incident(1, release=1))
    await operated.certify()
    await operated.certify(release=2)
    assert [each.release for each in await operated.since_issued()] == [1, 2]


async def test_what_is_tried_again_for_its_conditions_stays_off_while_an_incident_is_open(
    operated: Operated,
) -> None:
    issued = await operated.certify(ERRORS)
    await operated.observe(errors=50)
    await operated.alone.hear(quarantined(issued))
    await operated.alone.hear(incident(1))
    await operated.later(minutes=11)
    said = [type(each) for each in await operated.since_issued()]
    assert CertificateReinstated not in said
    await operated.alone.hear(incident(2, "resolved"))
    assert isinstance((await operated.since_issued())[-1], CertificateReinstated)


async def test_rules_of_operation_see_what_others_monitored(operated: Operated) -> None:
    await operated.certify(PSI)
    metric = ReportedMetric(metric="auc", value=0.61, samples=400)
    await operated.alone.hear(told(monitoring=ReportedMonitoring(since=None, metrics=(metric,))))
    (kept,) = await operated.ports.watches.of_project("churn")
    (seen,) = await operated.ports.reports.in_use([kept], operated.alone.clock.now())
    (monitoring,) = seen["monitoring"]
    assert monitoring["metrics"] == [{"metric": "auc", "value": 0.61, "slice": "", "samples": 400}]
    assert await operated.since_issued() == []
