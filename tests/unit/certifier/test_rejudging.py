"""What is certified is judged again whenever other policies are in force, from what was recorded then."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from placet.certifier import operation
from placet.certifier.adapters.policy_engine import PolicyRules
from placet.certifier.adapters.registry_policies import REPOSITORY, RegistryPolicies
from placet.certifier.bootstrap import build
from placet.certifier.ports import Ports, SourceEvidence
from placet.certifier.projections import TABLES
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
from placet.errors import Unavailable
from placet.events import Service, Wiring
from placet.events.codec import timestamp
from placet.events.contracts.certifier import (
    CertificateIssued,
    CertificateReinstated,
    CertificateSuspended,
    CertificateWarned,
)
from placet.events.contracts.deployer import ModelObserved
from placet.events.contracts.gateway import ExceptionGranted, ExceptionWithdrawn, PolicySubmitted
from placet.events.contracts.shapes import RecordedFacts
from placet.oci import ImageLayout
from placet.rules import Engine, Policy, PolicySet, read_policy

from tests.unit.certifier.test_certifier_handlers import (
    DECLARED,
    ContentsOfNothing,
    KeysInMemory,
    NobodyScores,
    NoSnapshots,
    QuickNotary,
    RecordsInMemory,
)
from tests.unit.gateway.roads import asked, indexed
from tests.unit.hearing import Alone, alone
from tests.unit.rebuilt import log, restore

HOUSE = """\
apiVersion: placet/v1
kind: Policy
id: house.sizes
version: 1
title: Sizes
owner: compliance
params: {most: 100}
given: {model: {size: 10}}
rules:
  - id: house.small
    title: Models are small
    citations: [{source: House rules}]
    stage: submit
    onFail: deny
    exceptable: true
    require: model.size <= params.most
    say: "it has {{ model.size }} bytes, and {{ params.most }} is the most"
    fix: train a smaller one
    tests:
      - {expect: pass}
"""
FRUGAL = HOUSE.replace("version: 1", "version: 2").replace("most: 100", "most: 50")
GENEROUS = HOUSE.replace("version: 1", "version: 3")
WARNING = HOUSE.replace("version: 1", "version: 2").replace("most: 100", "most: 50").replace("deny", "warn")
RENAMED = GENEROUS.replace("house.small", "house.slight").replace("most: 100", "most: 1000")
PERSONAL = HOUSE.replace("model.size <= params.most", 'personal.owner != ""').replace(
    "version: 1", "version: 2"
)
PERSONAL = PERSONAL.replace(
    "given: {model: {size: 10}}", "given: {model: {size: 10}, personal: {owner: ada}}"
)
CLEAN = """\
apiVersion: placet/v1
kind: Policy
id: house.clean
version: 1
title: Clean
owner: security
given: {advisories: {found: []}}
rules:
  - id: house.clean
    title: No package is known to be bad
    citations: [{source: House rules}]
    stage: certify
    onFail: deny
    each: advisories.found
    as: found
    require: "!found.isHostile"
    say: "{{ found.package }} is hostile"
    fix: leave it out
    tests:
      - {expect: pass}
"""
EYES = """\
apiVersion: placet/v1
kind: Policy
id: house.eyes
version: 1
title: Eyes
owner: compliance
given: {approvals: {people: 1}}
rules:
  - id: house.seen
    title: Somebody looks at each
    citations: [{source: House rules}]
    stage: certify
    onFail: deny
    awaits: {within: 14d}
    require: approvals.people >= 1
    say: "{{ approvals.people }} have seen it"
    fix: "somebody approves: `placet approve {{ project.name }}`"
    tests:
      - {expect: pass}
"""
RULE = "house.small"


@dataclass
class SourcesOfSizes:
    """The `Sources` port: each has the `size` that it has when it is examined."""

    size: int = 70

    async def examine(self, source: str, now: datetime) -> SourceEvidence:
        facts = {
            "now": timestamp(now),
            "project": {"name": "churn"},
            "model": {"size": self.size},
            "personal": {"owner": "ada@example.org"},
        }
        return SourceEvidence(declared=DECLARED, facts=facts)


@dataclass
class ErasableRecords(RecordsInMemory):
    """With what is about people, until that is erased; `away` is how often they cannot be read."""

    is_erased: bool = False
    away: list[Exception] = field(default_factory=list)

    async def keep(self, project: str, facts: Mapping[str, Any]) -> RecordedFacts:
        kept = await super().keep(project, facts)
        about_people = f"sha256:{'9' * 64}" if "personal" in facts else None
        return RecordedFacts(facts=kept.facts, personal=about_people)

    async def read(self, recorded: RecordedFacts) -> Mapping[str, Any]:
        if self.away:
            raise self.away.pop()
        seen = dict(await super().read(recorded))
        if self.is_erased:
            seen.pop("personal", None)
        return seen


@dataclass
class AdvisoriesOfTheDay:
    """The `Advisories` port: what is known today of whatever package it is."""

    snapshot: str = f"sha256:{'1' * 64}"
    hostile: tuple[str, ...] = ()

    async def about(self, packages: Sequence[Mapping[str, Any]], now: datetime) -> Mapping[str, Any]:
        found = [{"package": each, "isHostile": True} for each in self.hostile]
        return {"snapshot": self.snapshot, "taken": "2025-12-31", "ageDays": 1, "found": found}

    async def in_use(self) -> str:
        return self.snapshot

    def change(self, number: int, *hostile: str) -> None:
        self.snapshot, self.hostile = f"sha256:{str(number) * 64}", hostile


@dataclass
class Certifier:
    alone: Alone
    registry: ImageLayout
    sources: SourcesOfSizes
    records: ErasableRecords
    advisories: AdvisoriesOfTheDay

    async def publish(self, text: str, *, warn_first: timedelta | None = None) -> None:
        """And look, as the certifier does every second, whether anything is to be judged again."""
        data = text.encode()
        await self.registry.put_blob(REPOSITORY, data)
        policy = read_policy(data)
        await self.alone.hear(
            PolicySubmitted(
                policy=policy.id,
                version=policy.version,
                digest=policy.digest,
                submitted_by="person:ada",
                warn_first=None if warn_first is None else int(warn_first.total_seconds()),
            )
        )
        await self.alone.work_off()
        await self.look()

    async def certify(self, size: int = 70, *, release: int = 1) -> CertificateIssued:
        self.sources.size = size
        await self.alone.hear(asked(release=release))
        await self.alone.work_off()
        await self.alone.hear(indexed(release=release))
        issued = (await self.alone.said())[-1]
        assert isinstance(issued, CertificateIssued)
        return issued

    async def look(self) -> None:
        await self.alone.periodically("judge again")

    async def later(self, **time: float) -> None:
        self.alone.clock.pass_(timedelta(**time))
        await self.look()

    async def grant(self, number: int = 1, *, days: int) -> None:
        until = timestamp(self.alone.clock.now() + timedelta(days=days))
        exception = f"exception:{number}"
        granted = ExceptionGranted(
            exception=exception,
            project="churn",
            rule=RULE,
            source=None,
            until=until,
            requested_by="person:ada",
            granted_by="person:grace",
        )
        await self.alone.hear(granted)
        await self.look()

    async def withdraw(self, number: int = 1) -> None:
        exception = f"exception:{number}"
        await self.alone.hear(
            ExceptionWithdrawn(exception=exception, project="churn", rule=RULE, withdrawn_by="person:ada")
        )
        await self.look()

    async def since_issued(self) -> list[Any]:
        kinds = CertificateSuspended | CertificateReinstated | CertificateWarned
        return [each for each in await self.alone.said() if isinstance(each, kinds)]

    async def told(self) -> list[tuple[str, list[str]]]:
        """What became of certificates, with the rules."""
        return [
            (
                type(each).__name__.removeprefix("Certificate").lower(),
                [ground.rule for ground in getattr(each, "grounds", getattr(each, "warnings", ()))],
            )
            for each in await self.since_issued()
        ]


def shipped(text: str) -> tuple[Policy, ...]:
    return (read_policy(text.encode()),)


async def certifier_with(folder: Path, policies: tuple[Policy, ...]) -> AsyncIterator[Certifier]:
    registry, sources, records = ImageLayout(folder / "registry"), SourcesOfSizes(), ErasableRecords()
    advisories = AdvisoriesOfTheDay()
    settings = CertifierSettings(registry=str(folder), signing_key=folder / "key.pem")
    with Engine() as engine:

        def put_together(wiring: Wiring) -> Awaitable[Service]:
            ports = Ports(
                sources=sources,
                rules=PolicyRules(PolicySet(policies, PublishedPolicies(wiring.store)), engine),
                records=records,
                policies=RegistryPolicies(registry, policies),
                contents=ContentsOfNothing(),
                snapshots=NoSnapshots(),
                advisories=advisories,
                assessor=NobodyScores(),
                assessments=MadeAssessments(wiring.store),
                reports=HeardReports(wiring.store),
                approvals=HeardApprovals(wiring.store),
                waits=AwaitedReleases(wiring.store),
                keys=KeysInMemory(),
                notary=QuickNotary(),
                exceptions=GrantedExceptions(wiring.store),
                certificates=HeldCertificates(wiring.store),
                watches=WatchedCertificates(wiring.store),
                earlier=EarlierReleases(wiring.store),
            )
            return build(settings, wiring, ports)

        async with alone("certifier", folder, put_together, tables=(TABLES,)) as service:
            yield Certifier(service, registry, sources, records, advisories)


@pytest.fixture
async def certifier(tmp_path: Path) -> AsyncIterator[Certifier]:
    """One that ships with no policy at all."""
    async for each in certifier_with(tmp_path, ()):
        yield each


async def test_a_stricter_policy_suspends_what_it_forbids_and_says_why(certifier: Certifier) -> None:
    await certifier.publish(HOUSE)
    small, large = await certifier.certify(10), await certifier.certify(70, release=2)
    await certifier.look()
    assert await certifier.told() == []
    await certifier.publish(FRUGAL)
    [suspended] = await certifier.since_issued()
    assert (suspended.certificate, small.release) == (large.certificate, 1)
    [ground] = suspended.grounds
    assert (ground.rule, ground.fix) == (RULE, "train a smaller one")
    assert ground.why == "it has 70 bytes, and 50 is the most"


@pytest.mark.parametrize(
    ("warn_first", "again"),
    [(None, "placet rollback churn --to 1"), (timedelta(days=7), "placet renew churn")],
)
async def test_what_waits_for_people_now_says_how_something_comes_to_wait(
    certifier: Certifier, warn_first: timedelta | None, again: str
) -> None:
    """Nothing waits of what is certified already, so that nobody could approve it."""
    await certifier.certify()
    await certifier.publish(EYES, warn_first=warn_first)
    [said] = await certifier.since_issued()
    [found] = said.grounds if isinstance(said, CertificateSuspended) else said.warnings
    assert found.rule == "house.seen"
    assert found.fix is not None
    before, _, after = found.fix.partition(", and then ")
    assert f"nothing of it waits for that; ask for a new one of it, `{again}`" in before
    assert after == "somebody approves: `placet approve churn`"


async def test_a_later_version_that_it_keeps_lifts_that(certifier: Certifier) -> None:
    await certifier.publish(HOUSE)
    await certifier.certify()
    await certifier.publish(FRUGAL)
    await certifier.publish(GENEROUS)
    assert await certifier.told() == [("suspended", [RULE]), ("reinstated", [])]


async def test_a_rule_that_nothing_in_force_has_is_held_against_nobody(certifier: Certifier) -> None:
    await certifier.publish(HOUSE)
    await certifier.certify()
    await certifier.publish(FRUGAL)
    await certifier.publish(RENAMED)
    assert await certifier.told() == [("suspended", [RULE]), ("reinstated", [])]


async def test_each_is_judged_once_by_each_edition_however_often_it_is_looked_at(
    certifier: Certifier,
) -> None:
    await certifier.publish(HOUSE)
    await certifier.certify()
    await certifier.publish(FRUGAL)
    certifier.records.kept.clear()  # whoever judged again would find nothing, and say so
    for _ in range(3):
        await certifier.later(hours=1)
    assert await certifier.told() == [("suspended", [RULE])]


async def test_what_is_published_to_warn_first_warns_and_suspends_when_that_is_over(
    certifier: Certifier,
) -> None:
    await certifier.publish(HOUSE)
    await certifier.certify()
    await certifier.publish(FRUGAL, warn_first=timedelta(days=7))
    assert await certifier.told() == [("warned", [RULE])]
    await certifier.later(days=6)
    assert await certifier.told() == [("warned", [RULE])]
    await certifier.later(days=1)
    assert await certifier.told() == [("warned", [RULE]), ("suspended", [RULE]), ("warned", [])]


async def test_what_is_deployed_meanwhile_is_judged_in_full(certifier: Certifier) -> None:
    await certifier.publish(FRUGAL, warn_first=timedelta(days=7))
    with pytest.raises(AssertionError):
        await certifier.certify()
    [refused] = [each for each in await certifier.alone.said() if type(each).__name__ == "ReleaseRefused"]
    assert [each.rule for each in refused.verdicts] == [RULE]


async def test_a_warning_is_withdrawn_by_a_later_version_that_is_kept(certifier: Certifier) -> None:
    await certifier.publish(HOUSE)
    await certifier.certify()
    await certifier.publish(FRUGAL, warn_first=timedelta(days=7))
    await certifier.publish(GENEROUS)
    assert await certifier.told() == [("warned", [RULE]), ("warned", [])]


async def test_warning_begins_when_the_policy_is_in_force(certifier: Certifier) -> None:
    await certifier.publish(HOUSE)
    await certifier.certify()
    day = (certifier.alone.clock.now() + timedelta(days=10)).date()
    dated = FRUGAL.replace("owner:", f"effective: {{from: {day}}}\nowner:")
    await certifier.publish(dated, warn_first=timedelta(days=7))
    assert await certifier.told() == []
    await certifier.later(days=10)
    assert await certifier.told() == [("warned", [RULE])]
    await certifier.later(days=6)
    assert await certifier.told() == [("warned", [RULE])]
    await certifier.later(days=1)
    assert ("suspended", [RULE]) in await certifier.told()


async def test_a_policy_that_ends_gives_way_to_what_was_before_it(certifier: Certifier) -> None:
    await certifier.publish(HOUSE)
    await certifier.certify()
    today = certifier.alone.clock.now().date()
    span = f"effective: {{from: {today}, until: {today + timedelta(days=3)}}}\nowner:"
    await certifier.publish(FRUGAL.replace("owner:", span))
    await certifier.later(days=3)
    assert await certifier.told() == [("suspended", [RULE]), ("reinstated", [])]


async def test_an_exception_lifts_what_a_new_policy_forbids_for_as_long_as_it_holds(
    certifier: Certifier,
) -> None:
    await certifier.publish(HOUSE)
    await certifier.certify()
    await certifier.publish(FRUGAL)
    await certifier.grant(days=5)
    assert await certifier.told() == [("suspended", [RULE]), ("reinstated", [])]
    await certifier.later(days=4)
    assert len(await certifier.told()) == 2
    await certifier.later(days=1)
    assert (await certifier.told())[2:] == [("suspended", [RULE])]


async def test_an_exception_that_is_withdrawn_lifts_it_no_more(certifier: Certifier) -> None:
    await certifier.publish(HOUSE)
    await certifier.certify()
    await certifier.grant(days=100)
    await certifier.publish(FRUGAL)
    assert await certifier.told() == []
    await certifier.withdraw()
    assert await certifier.told() == [("suspended", [RULE])]


async def test_what_it_was_certified_with_by_exception_is_no_news_of_a_policy(tmp_path: Path) -> None:
    """Of what ships: the exception is gone, and that suspends, though what ships only warns of what is certified."""
    async for certifier in certifier_with(tmp_path, shipped(FRUGAL)):
        await certifier.grant(days=100)
        await certifier.certify()
        await certifier.look()
        assert await certifier.told() == []
        await certifier.withdraw()
        assert await certifier.told() == [("suspended", [RULE])]


async def test_who_is_restored_from_the_log_says_nothing_that_it_had_said(tmp_path: Path) -> None:
    """What stands against it keeps the words of the withdrawal, and not those of the rule, as without a restore."""
    async for lost in certifier_with(tmp_path / "lost", shipped(FRUGAL)):
        await lost.grant(days=100)
        await lost.certify()
        await lost.withdraw()
        said, kept = await lost.alone.said(), lost.records.kept
        lines = log("certifier", await lost.alone.recorded(), lost.alone.told)
        anew = tmp_path / "anew"
        await restore("certifier", lost.alone.wiring, lines, lost.alone.build, TABLES, anew)
    async for restored in certifier_with(tmp_path / "anew", shipped(FRUGAL)):
        restored.records.kept = kept
        await restored.look()
        assert await restored.alone.said() == said
        assert await restored.told() == [("suspended", [RULE])]


async def test_what_ships_with_a_later_platform_only_warns_of_what_was_certified_before(
    tmp_path: Path,
) -> None:
    async for before in certifier_with(tmp_path, shipped(HOUSE)):
        await before.certify()
        await before.look()
        kept = before.records.kept
    async for after in certifier_with(tmp_path, shipped(FRUGAL)):
        after.records.kept = kept
        await after.look()
        assert await after.told() == [("warned", [RULE])]


async def test_a_rule_that_only_warns_warns_and_not_of_what_was_told_when_it_was_certified(
    certifier: Certifier,
) -> None:
    await certifier.publish(HOUSE)
    await certifier.certify()
    await certifier.publish(WARNING)
    assert await certifier.told() == [("warned", [RULE])]
    await certifier.certify(release=2)
    await certifier.publish(GENEROUS.replace("deny", "warn").replace("100", "60"))
    assert await certifier.told() == [("warned", [RULE])] * 2, "of the first one in other words"


async def test_what_becomes_known_of_a_package_takes_what_is_made_of_it_off_until_that_is_mended(
    certifier: Certifier,
) -> None:
    await certifier.publish(CLEAN)
    await certifier.certify()
    certifier.advisories.change(2, "numpi")
    await certifier.look()
    [suspended] = await certifier.since_issued()
    assert [(each.rule, each.why) for each in suspended.grounds] == [("house.clean", "numpi is hostile")]
    certifier.advisories.change(3)
    for _ in range(2):
        await certifier.look()
    assert await certifier.told() == [("suspended", ["house.clean"]), ("reinstated", [])]


async def test_what_ships_only_warns_of_what_becomes_known(tmp_path: Path) -> None:
    async for certifier in certifier_with(tmp_path, shipped(CLEAN)):
        await certifier.certify()
        certifier.advisories.change(2, "numpi")
        await certifier.look()
        assert await certifier.told() == [("warned", ["house.clean"])]


async def test_facts_that_are_gone_suspend_since_nothing_can_be_said_of_it(certifier: Certifier) -> None:
    await certifier.publish(HOUSE)
    await certifier.certify()
    certifier.records.kept.clear()
    await certifier.publish(FRUGAL)
    [suspended] = await certifier.since_issued()
    [ground] = suspended.grounds
    assert ground.rule == "facts.recorded"
    assert "is gone: sha256:" in ground.why


async def test_where_people_were_erased_what_asks_about_them_cannot_be_decided_and_says_so(
    certifier: Certifier,
) -> None:
    await certifier.publish(HOUSE)
    await certifier.certify()
    certifier.records.is_erased = True
    await certifier.publish(PERSONAL)
    [suspended] = await certifier.since_issued()
    [ground] = suspended.grounds
    assert ground.why.endswith("; what was recorded about people was erased")


async def test_a_registry_that_is_away_holds_up_one_and_not_the_others(certifier: Certifier) -> None:
    await certifier.publish(HOUSE)
    for release in (1, 2):
        await certifier.certify(release=release)
    certifier.records.away.append(Unavailable("the registry is away"))
    with pytest.raises(Unavailable, match="1 certificates could not be judged again"):
        await certifier.publish(FRUGAL)
    assert len(await certifier.told()) == 1
    await certifier.look()
    assert await certifier.told() == [("suspended", [RULE])] * 2


async def test_what_is_observed_while_it_is_judged_again_is_kept_and_seen(
    certifier: Certifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rules were asked of it as it was before the window: they are asked again."""
    await certifier.publish(HOUSE)
    await certifier.certify()
    await certifier.look()
    now = certifier.alone.clock.now()
    window = ModelObserved(
        project="churn",
        release=1,
        since=timestamp(now - timedelta(minutes=1)),
        until=timestamp(now),
        requests=10,
        refused=0,
        errors=5,
        rows=10,
        p50_ms=1.0,
        p99_ms=2.0,
        drift=None,
    )
    ask = operation.ask_by_edition
    seen: list[float] = []

    async def ask_and_hear_it(ports: Ports, *arguments: Any) -> Mapping[str, operation.Asked]:
        found = await ask(ports, *arguments)
        seen.extend(each.kept.watched.heard_at for each in found.values())
        if len(seen) == 1:
            await certifier.alone.hear(window)
        return found

    monkeypatch.setattr(operation, "ask_by_edition", ask_and_hear_it)
    await certifier.publish(FRUGAL)
    assert seen == [0.0, now.timestamp()]
    assert await certifier.told() == [("suspended", [RULE])]
    watches = WatchedCertificates(certifier.alone.wiring.store)
    (kept,) = await watches.of_project("churn")
    assert kept.watched.heard_at == now.timestamp()
