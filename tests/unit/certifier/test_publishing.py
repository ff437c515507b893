"""A policy that was submitted is fetched, tried again and published, and releases are judged by it from then on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from placet.certifier.adapters.policy_engine import PolicyRules
from placet.certifier.adapters.registry_policies import REPOSITORY, RegistryPolicies
from placet.certifier.bootstrap import build
from placet.certifier.ports import LoadedPolicy, Ports
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
from placet.errors import Refused, Unavailable
from placet.events import Service, Wiring
from placet.events.codec import timestamp
from placet.events.contracts.certifier import PolicyPublished, PolicyRejected
from placet.events.contracts.gateway import PolicySubmitted
from placet.oci import ImageLayout
from placet.rules import Engine, PolicySet, load_shipped, read_policy

from tests.unit.certifier.test_certifier_handlers import (
    ContentsOfNothing,
    KeysInMemory,
    NobodyScores,
    NoSnapshots,
    NothingKnown,
    QuickNotary,
    RecordsInMemory,
    SourcesOnTheTable,
)
from tests.unit.hearing import Alone, alone
from tests.unit.rules.test_rules_loading import POLICY

SECOND = POLICY.replace("version: 1", "version: 2").replace("onFail: deny", "onFail: warn")
GPU = {"resources": {"gpu": 1}}


class PoliciesWithTrouble(RegistryPolicies):
    trouble: list[Exception]

    async def load(self, digest: str) -> LoadedPolicy:
        if self.trouble:
            raise self.trouble.pop(0)
        return await super().load(digest)


@dataclass
class Certifier:
    alone: Alone
    registry: ImageLayout
    policies: PoliciesWithTrouble
    rules: PolicyRules

    async def submitted(self, text: str) -> str:
        """The digest of a file that the gateway took."""
        data = text.encode()
        await self.registry.put_blob(REPOSITORY, data)
        policy = read_policy(data)
        await self.alone.hear(
            PolicySubmitted(
                policy=policy.id,
                version=policy.version,
                digest=policy.digest,
                submitted_by="person:ada",
            )
        )
        return policy.digest

    async def published(self, text: str) -> str:
        digest = await self.submitted(text)
        await self.alone.work_off()
        return digest

    async def judged(self, **facts: Any) -> dict[str, str]:
        """How each rule of the house that did not pass fails, with now as it is unless told."""
        now = timestamp(self.alone.clock.now())
        judgement = await self.rules.judge("submit", {"now": now, **GPU, **facts})
        assert {each.policy for each in judgement.verdicts} == {each.id for each in judgement.policies}
        mine = [each for each in judgement.verdicts if each.policy == "house.small"]
        return {each.rule: each.on_fail for each in mine if each.result == "fail"}


@pytest.fixture
async def certifier(tmp_path: Path) -> AsyncIterator[Certifier]:
    registry, shipped = ImageLayout(tmp_path / "registry"), load_shipped()
    settings = CertifierSettings(registry=str(tmp_path), signing_key=tmp_path / "key.pem")
    policies = PoliciesWithTrouble(registry, shipped)
    policies.trouble = []
    with Engine() as engine:
        rules: list[PolicyRules] = []

        def put_together(wiring: Wiring) -> Awaitable[Service]:
            rules.append(PolicyRules(PolicySet(shipped, PublishedPolicies(wiring.store)), engine))
            ports = Ports(
                sources=SourcesOnTheTable(),
                rules=rules[0],
                policies=policies,
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
            return build(settings, wiring, ports)

        async with alone("certifier", tmp_path, put_together, tables=(TABLES,)) as service:
            yield Certifier(service, registry, policies, rules[0])


async def test_a_policy_is_published_and_judges_from_then_on(certifier: Certifier) -> None:
    before = timestamp(certifier.alone.clock.now())
    assert await certifier.judged() == {}
    digest = await certifier.published(POLICY)
    [published] = await certifier.alone.said()
    assert isinstance(published, PolicyPublished)
    assert (published.policy, published.version, published.digest) == ("house.small", 1, digest)
    assert await certifier.judged() == {"house.no-gpu": "deny"}
    assert await certifier.judged(now=before) == {}, "a release is judged by what was in force at its `now`"


async def test_a_later_version_takes_its_place_on_its_day(certifier: Certifier) -> None:
    await certifier.published(POLICY)
    tomorrow = certifier.alone.clock.now() + timedelta(days=2)
    dated = SECOND.replace("owner:", f"effective: {{from: {tomorrow.date()}}}\nowner:")
    await certifier.published(dated)
    assert await certifier.judged() == {"house.no-gpu": "deny"}
    assert await certifier.judged(now=timestamp(tomorrow)) == {"house.no-gpu": "warn"}


async def test_what_is_heard_again_is_published_once(certifier: Certifier) -> None:
    await certifier.published(POLICY)
    await certifier.published(POLICY)
    assert len(await certifier.alone.said()) == 1


async def test_a_policy_that_does_not_fit_is_rejected_and_judges_nothing(certifier: Certifier) -> None:
    await certifier.published(POLICY)
    await certifier.published(SECOND.replace("version: 2", "version: 1"))
    rejected = (await certifier.alone.said())[-1]
    assert isinstance(rejected, PolicyRejected)
    assert rejected.problems[0].why.startswith("house.small has a version 1 already")
    assert await certifier.judged() == {"house.no-gpu": "deny"}


async def test_the_gateway_s_word_that_its_tests_pass_is_not_taken(certifier: Certifier) -> None:
    await certifier.published(POLICY.replace("expect: pass", "expect: fail"))
    [rejected] = await certifier.alone.said()
    assert isinstance(rejected, PolicyRejected)
    assert "expected fail, the rule said pass" in rejected.problems[0].why


async def test_a_registry_that_is_away_is_waited_for(certifier: Certifier) -> None:
    certifier.policies.trouble += [Unavailable("the registry is away")] * 2
    await certifier.published(POLICY)
    [published] = await certifier.alone.said()
    assert isinstance(published, PolicyPublished)


async def test_a_file_that_is_not_there_is_rejected(certifier: Certifier) -> None:
    digest = f"sha256:{'7' * 64}"
    await certifier.alone.hear(
        PolicySubmitted(policy="house", version=1, digest=digest, submitted_by="person:ada")
    )
    await certifier.alone.work_off()
    [rejected] = await certifier.alone.said()
    assert isinstance(rejected, PolicyRejected)
    assert (rejected.policy, rejected.digest) == ("house", digest)


async def test_what_is_published_is_made_anew_as_it_was(certifier: Certifier) -> None:
    await certifier.published(POLICY)
    await certifier.published(SECOND)
    before, said = await certifier.alone.shown(), await certifier.alone.said()
    assert await certifier.alone.rebuild() == {}
    await certifier.alone.empty()
    assert await certifier.alone.rebuild() == {"policies": 2}
    assert await certifier.alone.shown() == before
    assert await certifier.alone.said() == said


async def test_a_policy_that_the_registry_has_no_more_is_named_and_nothing_is_changed(
    certifier: Certifier,
) -> None:
    await certifier.published(POLICY)
    before = await certifier.alone.shown()
    certifier.policies.trouble = [Refused("the registry has it no more", fix="submit it again")]
    with pytest.raises(Refused, match=r"certifier\.policy\.published\..* cannot be folded again"):
        await certifier.alone.rebuild()
    assert await certifier.alone.shown() == before
