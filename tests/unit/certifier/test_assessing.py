"""Answers are scored here, whoever took them, and rules see what they amount to for as long as they hold."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from placet.assessments import Outcome, Reading, load_shipped
from placet.certifier.adapters.registry_assessor import ANSWERS, QUESTIONNAIRES, RegistryAssessor
from placet.certifier.bootstrap import build
from placet.certifier.ports import Ports
from placet.certifier.projections import TABLES, awaited
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
from placet.errors import Unavailable
from placet.events import Service, Wiring
from placet.events.contracts.certifier import AssessmentRejected, AssessmentScored
from placet.events.contracts.gateway import AssessmentAnswered, QuestionnaireImported
from placet.events.store import Put, Unit
from placet.events.testing import ManualClock, changed
from placet.oci import ImageLayout, fetch_artifact, sha256_digest
from placet.trust import OwnKeys, assessments, dsse
from placet.trust.key_files import KeyFiles

from tests.unit.assessments.test_questionnaires import SMALL
from tests.unit.assessments.test_questionnaires import changed as questionnaire
from tests.unit.certifier.test_certifier_handlers import (
    ContentsOfNothing,
    KeysInMemory,
    NoSnapshots,
    NothingKnown,
    NothingSubmitted,
    QuickNotary,
    RecordsInMemory,
    RulesOfThumb,
    SourcesOnTheTable,
)
from tests.unit.gateway.roads import SOURCE, asked, cleared, indexed
from tests.unit.hearing import Alone, alone

PURPOSE, DATA = f"sha256:{'a' * 64}", f"sha256:{'b' * 64}"
ALL: dict[str, Any] = {"harm": "much", "who": ["a", "b"], "watched": "no"}
RELEASE = changed(cleared(), purpose=PURPOSE, data=DATA, risk_class="high")


class AssessorWithTrouble(RegistryAssessor):
    trouble: list[Exception]

    async def score(self, digest: str, reading: Reading, answers: str) -> Outcome:
        if self.trouble:
            raise self.trouble.pop(0)
        return await super().score(digest, reading, answers)


@dataclass
class Certifier:
    alone: Alone
    keys: OwnKeys
    registry: ImageLayout
    ports: Ports
    assessor: AssessorWithTrouble
    rules: RulesOfThumb

    async def imports(self, file: bytes = questionnaire(), version: str = "1", form: Any = "placet") -> str:
        await self.registry.put_blob(QUESTIONNAIRES, file)
        digest = sha256_digest(file)
        imported = QuestionnaireImported(
            questionnaire="small", version=version, digest=digest, form=form, imported_by="person:eve"
        )
        await self.alone.hear(imported)
        return digest

    async def answered(
        self, answers: dict[str, Any] = ALL, *, number: int = 1, kept: Any = None, **changes: Any
    ) -> AssessmentAnswered:
        document = kept or {"salt": "x", "answers": answers, "mitigations": []}
        body = json.dumps(document).encode()
        await self.registry.put_blob(ANSWERS, body)
        said = AssessmentAnswered(
            **{
                "assessment": f"assessment:{number}",
                "project": "churn",
                "source": SOURCE,
                "purpose": PURPOSE,
                "data": DATA,
                "questionnaire": "small",
                "version": "1",
                "digest": SMALL.digest,
                "answers": sha256_digest(body),
                "answered_by": "person:ada",
                **changes,
            }
        )
        await self.alone.hear(said)
        return said

    async def said(self) -> list[Any]:
        await self.alone.work_off()
        return list(await self.alone.said())

    async def facts(self, **changes: Any) -> list[dict[str, Any]]:
        return await self.ports.assessments.facts(changed(RELEASE, **changes), self.alone.clock.now())


@pytest.fixture
async def certifier(tmp_path: Path) -> AsyncIterator[Certifier]:
    registry, rules = ImageLayout(tmp_path / "registry"), RulesOfThumb()
    settings = CertifierSettings(registry=str(tmp_path), signing_key=tmp_path / "key.pem")
    keys = OwnKeys(tmp_path / "key.pem", ManualClock().now)
    keys.begin()
    assessor = AssessorWithTrouble(registry, KeyFiles(keys))
    assessor.trouble = []
    made: list[Ports] = []

    def put_together(wiring: Wiring) -> Awaitable[Service]:
        ports = Ports(
            sources=SourcesOnTheTable(),
            rules=rules,
            policies=NothingSubmitted(),
            records=RecordsInMemory(),
            assessor=assessor,
            assessments=MadeAssessments(wiring.store),
            reports=HeardReports(wiring.store),
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
        yield Certifier(service, keys, registry, made[0], assessor, rules)


async def test_answers_are_scored_and_what_they_amount_to_is_signed(certifier: Certifier) -> None:
    await certifier.imports()
    answered = await certifier.answered()
    [scored] = await certifier.said()
    assert isinstance(scored, AssessmentScored)
    assert (scored.raw, scored.score, scored.level, scored.label) == (10, 10, 2, "high")
    assert (scored.requires, scored.missing, scored.valid_days) == (("watch",), ("watch",), 365)

    kept = await fetch_artifact(certifier.registry, ANSWERS, scored.envelope, limit=10_000)
    signed = assessments.read(dsse.read(kept.contents[0]), certifier.keys.history())
    assert (signed.source, signed.purpose, signed.answers) == (SOURCE, PURPOSE, answered.answers)
    assert (signed.level, signed.missing, signed.answered_by) == (2, ("watch",), "person:ada")


async def test_rules_see_it_when_the_image_is_judged(certifier: Certifier) -> None:
    await certifier.imports()
    await certifier.alone.hear(asked())
    await certifier.alone.work_off()
    await certifier.answered()
    await certifier.said()
    await certifier.alone.hear(indexed())
    [seen] = next(each["assessments"] for each in certifier.rules.seen if "assessments" in each)
    assert seen["assessment"] == "assessment:1"
    assert (seen["questionnaire"], seen["level"], seen["label"], seen["missing"]) == (
        "small",
        2,
        "high",
        ["watch"],
    )


async def test_what_waits_is_looked_at_again_once_it_is_scored(certifier: Certifier) -> None:
    waits = {"project": "churn", "release": 1, "operation": "o", "look_at": 1e12}
    row = {**waits, "indexed": msgspec.json.encode(indexed())}
    await certifier.alone.wiring.store.commit(Unit(writes=(Put(table=awaited, row=row),)))
    now = certifier.alone.clock.now().timestamp()
    assert not await certifier.ports.waits.due(now)
    await certifier.answered()
    await certifier.said()
    assert not await certifier.ports.waits.due(now), (
        "no questionnaire of that digest is here: it was rejected"
    )
    await certifier.imports()
    assert len(await certifier.ports.waits.due(now)) == 1, (
        "another questionnaire may make what was assessed stale"
    )
    await certifier.alone.wiring.store.commit(Unit(writes=(Put(table=awaited, row=row),)))
    await certifier.answered(number=2)
    await certifier.said()
    assert len(await certifier.ports.waits.due(now)) == 1


async def test_one_that_ships_needs_no_import(certifier: Certifier) -> None:
    shipped = next(each for each in load_shipped() if each.id == "algorithmic-impact")
    await certifier.answered({}, questionnaire=shipped.id, digest=shipped.digest)
    [rejected] = await certifier.said()
    assert isinstance(rejected, AssessmentRejected)
    assert rejected.why.startswith("these are no answers to algorithmic-impact 1")


async def test_what_is_heard_again_is_scored_once(certifier: Certifier) -> None:
    await certifier.imports()
    answered = await certifier.answered()
    await certifier.alone.hear(answered)
    assert len(await certifier.said()) == 1


async def test_a_registry_that_is_away_is_waited_for(certifier: Certifier) -> None:
    certifier.assessor.trouble += [Unavailable("the registry is away")] * 2
    await certifier.imports()
    await certifier.answered()
    [scored] = await certifier.said()
    assert isinstance(scored, AssessmentScored)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"answers": {"harm": "Ada said so"}}, "these are no answers to small 1: 2 of them"),
        ({"kept": ["Ada said so"]}, "no answers at all"),
        ({"kept": {"answers": {"harm": 7}}}, "no answers at all"),
        ({"digest": f"sha256:{'7' * 64}"}, "no questionnaire sha256:77"),
    ],
    ids=["wrong", "a list", "a number", "another questionnaire"],
)
async def test_what_are_no_answers_is_rejected_without_a_word_of_them(
    certifier: Certifier, changes: dict[str, Any], why: str
) -> None:
    await certifier.imports()
    await certifier.answered(**changes)
    [rejected] = await certifier.said()
    assert isinstance(rejected, AssessmentRejected)
    assert why in rejected.why
    assert "Ada" not in rejected.why
    assert [(each["level"], each["label"]) for each in await certifier.facts()] == [(0, "")]


async def test_answers_that_were_taken_away_are_rejected(certifier: Certifier) -> None:
    await certifier.imports()
    answered = changed(await certifier.answered(), assessment="assessment:2", answers=f"sha256:{'7' * 64}")
    await certifier.alone.hear(answered)
    rejected = (await certifier.said())[-1]
    assert isinstance(rejected, AssessmentRejected)
    assert rejected.assessment == "assessment:2"


async def test_facts_say_what_makes_it_stale(certifier: Certifier) -> None:
    first = await certifier.imports()
    await certifier.answered()
    await certifier.said()
    [fact] = await certifier.facts()
    assert (fact["stale"], fact["ageDays"], fact["by"]) == ([], 0, "person:ada")
    assert (fact["version"], fact["digest"], fact["score"]) == ("1", first, 10)

    assert (await certifier.facts(source=f"sha256:{'9' * 64}"))[0]["stale"] == ["source"]
    other = {"source": f"sha256:{'9' * 64}", "purpose": DATA, "data": PURPOSE}
    assert (await certifier.facts(**other))[0]["stale"] == ["purpose", "data", "source"]
    assert await certifier.facts(project="wine") == []

    certifier.alone.clock.pass_(timedelta(days=366))
    await certifier.imports(questionnaire(version="2"), version="2")
    [fact] = await certifier.facts()
    assert (fact["stale"], fact["ageDays"]) == (["age", "questionnaire"], 366)


async def test_a_questionnaire_of_ours_that_was_imported_takes_the_place_of_the_one_that_ships(
    certifier: Certifier,
) -> None:
    shipped = next(each for each in load_shipped() if each.id == "algorithmic-impact")
    answered = await certifier.answered({}, questionnaire=shipped.id, digest=shipped.digest)
    assert (await certifier.facts())[0]["stale"] == []
    imported = QuestionnaireImported(
        questionnaire=shipped.id, version="2", digest=SMALL.digest, form="placet", imported_by="person:eve"
    )
    await certifier.alone.hear(imported)
    [fact] = await certifier.facts()
    assert (fact["assessment"], fact["stale"]) == (answered.assessment, ["questionnaire"])


async def test_what_was_scored_and_what_is_not_yet_is_made_anew_as_it_was(certifier: Certifier) -> None:
    await certifier.imports()
    await certifier.answered()
    scored = await certifier.said()
    await certifier.answered(number=2)
    before = await certifier.alone.shown()
    assert await certifier.alone.rebuild() == {}
    await certifier.alone.empty()
    assert await certifier.alone.rebuild() == {"questionnaires": 1, "assessments": 2}
    assert await certifier.alone.shown() == before
    assert len(await certifier.alone.askers()) == 1, "what is to be scored still is left to the service"
    assert await certifier.alone.said() == scored
