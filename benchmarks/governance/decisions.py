"""What policies cost: a certificate, all that was decided so far by another version, all that runs after a change.

By the rules that ship, on the facts of an example; each release has other numbers in them. A certificate's time is that
of its two judgements, of recording what they saw and of the signature, in a registry that is a folder here: what it
takes to gather evidence is not in it. What is decided again is read from its bytes; the certifier that judges what runs
reads them from the registry and suspends every model of them, which is the most that there can be to write.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import tempfile
from datetime import timedelta
from functools import cache, partial
from pathlib import Path
from time import perf_counter
from typing import Any

import msgspec
from placet.certifier import projections as p
from placet.certifier import standing
from placet.certifier.adapters.policy_engine import PolicyRules
from placet.certifier.adapters.registry_notary import RegistryNotary
from placet.certifier.adapters.registry_records import RegistryRecords
from placet.certifier.domain import Asked, stream
from placet.certifier.ports import Judgement, Ports
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
from placet.certifier.rejudging import judge_again
from placet.events import Actor, Context, UnitOfWork, Wiring, transact
from placet.events.adapters.in_process_bus import InProcessHub
from placet.events.clocks import SystemClock
from placet.events.codec import timestamp
from placet.events.contracts.shapes import RecordedFacts
from placet.events.testing import changed
from placet.oci import ImageLayout
from placet.projects import parse_manifest
from placet.rules import Engine, PolicySet, gather_submit_facts, load_shipped, read_policy, shipped_files
from placet.rules.difference import Past, decided_by_both
from placet.rules.recorded import canonical_facts
from placet.trust import OwnKeys
from placet.trust.key_files import KeyFiles

from benchmarks.rows import Row
from tests.support.platforms import ROOT
from tests.unit.certifier.test_certifier_handlers import (
    ContentsOfNothing,
    NobodyScores,
    NoSnapshots,
    NothingKnown,
    NothingSubmitted,
    SourcesOnTheTable,
    an_image,
)
from tests.unit.gateway.roads import SOURCE, certified, cleared, indexed

EXAMPLE = ROOT / "examples" / "tumours"
DECISIONS = 10_000
RUNNING = 1_000
CERTIFICATES = 30
PAGE = 200
POLICY = "artifact-safety"
CLOCK = SystemClock()


async def run() -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="placet-bench-") as folder, Engine() as engine:
        return [
            _row(
                "certifying by all that ships, beyond evidence",
                await _certify(Path(folder) / "one", engine) * 1000,
                "ms",
                at_most=50,
            ),
            _row(f"what if: {DECISIONS} decisions by both versions", await _what_if(), "s", at_most=10),
            _row(
                f"{RUNNING} running models judged again, all suspended",
                await _judge_all_again(Path(folder) / "all", engine),
                "s",
                at_most=10,
            ),
        ]


async def _certify(folder: Path, engine: Engine) -> float:
    registry, keys = ImageLayout(folder), _keys(folder)
    image = indexed(image=await an_image(registry))
    wiring = await _wiring(folder)
    rules = PolicyRules(PolicySet(load_shipped(), PublishedPolicies(wiring.store)), engine)
    records, notary = RegistryRecords(registry, keys), _notary(registry, keys)
    asked = Asked(project="churn", release=1, command="deploy", source=SOURCE, image=None)
    took = []
    for number in range(CERTIFICATES):
        facts, at = _facts(number), CLOCK.now()
        started = perf_counter()
        of_source = await rules.judge("submit", facts)
        seen = await records.keep("churn", facts)
        of_image = rules.image_facts(cleared(), image, at)
        judgement = await rules.judge("certify", of_image)
        whole = Judgement(
            policies=(*of_source.policies, *judgement.policies),
            verdicts=(*of_source.verdicts, *judgement.verdicts),
        )
        recorded = await records.keep("churn", of_image)
        signed = partial(notary.sign, asked, image, whole, certificate=f"certificate:{number}", at=at)
        await signed(facts={"submit": seen, "certify": recorded})
        took.append(perf_counter() - started)
    await wiring.store.close()
    return statistics.median(took)


async def _what_if() -> float:
    """As `placet policy diff --history` does it, from the bytes of the facts on."""
    old = next(each for each in load_shipped() if each.id == POLICY)
    new = msgspec.structs.replace(old, params={**old.params, "another": 1}, digest="another")
    recorded = [canonical_facts(_facts(number)) for number in range(DECISIONS)]
    parts = os.cpu_count() or 1
    with Engine(workers=parts) as engine:
        started = perf_counter()

        def decide(pages: list[int]) -> int:
            flips = 0
            for start in pages:
                page = [msgspec.json.decode(each) for each in recorded[start : start + PAGE]]
                past = [Past(stage="submit", facts=each) for each in page]
                flips += sum(each.flips for each in decided_by_both(engine, old, new, past))
            return flips

        pages = list(range(0, DECISIONS, PAGE))
        await asyncio.gather(*(asyncio.to_thread(decide, pages[part::parts]) for part in range(parts)))
        return perf_counter() - started


async def _judge_all_again(folder: Path, engine: Engine) -> float:
    """From when the policy is in force until the last event is committed."""
    registry, keys = ImageLayout(folder), _keys(folder)
    wiring = await _wiring(folder)
    records = RegistryRecords(registry, keys)
    ports = Ports(
        sources=SourcesOnTheTable(),
        rules=PolicyRules(PolicySet(load_shipped(), PublishedPolicies(wiring.store)), engine),
        records=records,
        policies=NothingSubmitted(),
        contents=ContentsOfNothing(),
        snapshots=NoSnapshots(),
        advisories=NothingKnown(),
        assessor=NobodyScores(),
        assessments=MadeAssessments(wiring.store),
        reports=HeardReports(wiring.store),
        approvals=HeardApprovals(wiring.store),
        waits=AwaitedReleases(wiring.store),
        keys=keys,
        notary=_notary(registry, keys),
        exceptions=GrantedExceptions(wiring.store),
        certificates=HeldCertificates(wiring.store),
        watches=WatchedCertificates(wiring.store),
        earlier=EarlierReleases(wiring.store),
    )
    of_image = await records.keep("m", ports.rules.image_facts(cleared(), indexed(), CLOCK.now()))
    for number in range(RUNNING):
        seen = await records.keep("m", _facts(number))
        certified_one = partial(_certified, ports=ports, number=number, seen=seen, of_image=of_image)
        await _transact(wiring, certified_one)
    await judge_again(ports, wiring)
    await _transact(wiring, partial(_publish, policy=_stricter()))
    started = perf_counter()
    await judge_again(ports, wiring)
    took = perf_counter() - started
    suspended = [
        each for each in await wiring.store.read_all(0, 10 * RUNNING) if "suspended" in each.event.type
    ]
    if len(suspended) != RUNNING:
        raise AssertionError(f"{len(suspended)} of {RUNNING} were suspended")
    await wiring.store.close()
    return took


async def _certified(
    work: UnitOfWork, *, ports: Ports, number: int, seen: RecordedFacts, of_image: RecordedFacts
) -> None:
    project = f"model-{number}"
    ends = timestamp(work.now + timedelta(days=90))
    issued = changed(
        certified(project=project), certificate=f"certificate:{number}", not_after=ends, facts=of_image
    )
    name = stream(project, 1)
    await work.history(name)
    work.stage(name, [changed(cleared(project=project), facts=seen), issued])
    await standing.keep(work, issued, ports)


async def _publish(work: UnitOfWork, *, policy: bytes) -> None:
    digest = read_policy(policy).digest
    work.put(p.policies, digest=digest, number=1, at=timestamp(work.now), warn_until=None, file=policy)


def _stricter() -> bytes:
    """Forbids what every release of the example has."""
    file = next(text for text in shipped_files().values() if f"id: {POLICY}\n".encode() in text).decode()
    version = next(each.version for each in load_shipped() if each.id == POLICY)
    rule = "require: size(scan.denied) == 0"
    if rule not in file:
        raise AssertionError(f"{POLICY} does not say {rule!r} any more")
    return (
        file.replace(f"version: {version}", f"version: {version + 1}", 1)
        .replace(rule, "require: size(scan.denied) > 0")
        .encode()
    )


def _facts(number: int) -> dict[str, Any]:
    facts: dict[str, Any] = msgspec.json.decode(_gathered())
    facts["model"]["size"] = number
    return facts


@cache
def _gathered() -> bytes:
    manifest = parse_manifest((EXAMPLE / "placet.yaml").read_bytes())
    return msgspec.json.encode(gather_submit_facts(EXAMPLE, manifest, now=CLOCK.now()))


def _keys(folder: Path) -> KeyFiles:
    keys = OwnKeys(folder / "certificates.pem", CLOCK.now)
    keys.begin()
    return KeyFiles(keys)


def _notary(registry: ImageLayout, keys: KeyFiles) -> RegistryNotary:
    return RegistryNotary(registry, keys, validity=timedelta(days=90), trial_validity=timedelta(days=7))


async def _wiring(folder: Path) -> Wiring:
    return await Wiring.embedded("certifier", data=folder, hub=InProcessHub(), tables=(p.TABLES,))


async def _transact(wiring: Wiring, change: Any) -> None:
    context = Context(project="model", correlation=wiring.ids.new(), actor=Actor.service("certifier"))
    await transact(wiring, "certifier", context, change)


def _row(name: str, value: float, unit: str, *, at_most: float) -> Row:
    return {
        "name": f"governance: {name}",
        "value": round(value, 2),
        "unit": unit,
        "goal": f"≤ {at_most}",
        "met": value <= at_most,
    }
