"""Snapshots of advisories: read, published or rejected, and what packages are matched with then."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from placet.certifier.adapters.registry_snapshots import REPOSITORY, RegistrySnapshots
from placet.certifier.advisories import ADVISORIES, MAX_TEXT, Happened, Publish, Reject, Snapshots
from placet.certifier.bootstrap import build
from placet.certifier.ports import Ports, ReadSnapshot
from placet.certifier.projections import TABLES, advisories
from placet.certifier.queries import (
    AdvisoriesInUse,
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
from placet.errors import Refused, Unavailable
from placet.events import Service, Wiring
from placet.events.contracts.certifier import AdvisoriesPublished, AdvisoriesRejected
from placet.events.contracts.gateway import AdvisoriesSubmitted
from placet.oci import ImageLayout, sha256_digest

from tests.unit.certifier.test_certifier_handlers import (
    ContentsOfNothing,
    KeysInMemory,
    NobodyScores,
    NothingSubmitted,
    QuickNotary,
    RecordsInMemory,
    RulesOfThumb,
    SourcesOnTheTable,
)
from tests.unit.hearing import Alone, alone
from tests.unit.rules.test_rules_advisories import advisory, zipped

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
PACKAGES = [{"name": "numpy", "version": "1.0", "kind": "pypi"}]


def known(id: str, modified: str = "2025-12-20T10:00:00Z") -> dict[str, Any]:
    """An advisory of before the service's clock began."""
    return advisory(id, modified=modified)


def publish(digest: str = "sha256:1", taken: datetime = NOW, now: datetime = NOW) -> Publish:
    return Publish(digest=digest, taken=taken, advisories=3, packages=2, now=now)


def after(*commands: Publish | Reject) -> list[Happened]:
    state, said = ADVISORIES.initial, list[Happened]()
    for command in commands:
        happened = ADVISORIES.decide(command, state)
        state = ADVISORIES.fold_on(state, happened)
        said += happened
    return said


def test_each_snapshot_that_is_newer_takes_the_place_of_the_one_before() -> None:
    first, second = after(publish(), publish("sha256:2", NOW + timedelta(hours=1)))
    assert isinstance(first, AdvisoriesPublished)
    assert isinstance(second, AdvisoriesPublished)
    assert (first.number, first.advisories, first.packages) == (1, 3, 2)
    assert (second.number, second.digest) == (2, "sha256:2")


def test_nothing_is_dated_back() -> None:
    [_, rejected] = after(publish(), publish("sha256:2", NOW - timedelta(microseconds=1000)))
    assert isinstance(rejected, AdvisoriesRejected)
    assert "nothing is dated back" in rejected.why


def test_nothing_is_dated_ahead_so_that_nothing_newer_could_come() -> None:
    [rejected] = after(publish(taken=NOW + timedelta(days=1, milliseconds=1)))
    assert isinstance(rejected, AdvisoriesRejected)
    assert "which is to come" in rejected.why
    assert isinstance(after(publish(taken=NOW + timedelta(days=1)))[0], AdvisoriesPublished)


@pytest.mark.parametrize("first", [publish(), Reject(digest="sha256:1", why="no zip", fix=None)])
def test_the_same_bytes_are_decided_on_once(first: Publish | Reject) -> None:
    assert len(after(first, publish(), Reject(digest="sha256:1", why="no zip", fix=None))) == 1


def test_a_reason_of_any_length_has_room_in_an_event() -> None:
    [rejected] = after(Reject(digest="sha256:1", why="x" * 10_000, fix="y" * 10_000))
    assert isinstance(rejected, AdvisoriesRejected)
    assert (len(rejected.why), len(rejected.fix or "")) == (MAX_TEXT, MAX_TEXT)


@dataclass
class SnapshotsWithTrouble(RegistrySnapshots):
    registry: ImageLayout
    trouble: list[Exception] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(self.registry)

    async def read(self, digest: str) -> ReadSnapshot:
        if self.trouble:
            raise self.trouble.pop(0)
        return await super().read(digest)


@dataclass
class Certifier:
    alone: Alone
    snapshots: SnapshotsWithTrouble
    advisories: AdvisoriesInUse
    folder: Path

    async def sent(self, *documents: dict[str, Any] | bytes) -> str:
        file = zipped(self.folder, *documents)
        digest = sha256_digest(file.read_bytes())
        await self.snapshots.registry.put_blob(REPOSITORY, file)
        await self.told(digest)
        return digest

    async def told(self, digest: str) -> None:
        await self.alone.hear(AdvisoriesSubmitted(digest=digest, size=1, submitted_by="person:ada"))
        await self.alone.work_off()

    async def found(self) -> dict[str, Any]:
        facts = await self.advisories.about(PACKAGES, NOW)
        return {"snapshot": facts["snapshot"], "found": [each["id"] for each in facts["found"]]}


@pytest.fixture
async def certifier(tmp_path: Path) -> AsyncIterator[Certifier]:
    snapshots = SnapshotsWithTrouble(ImageLayout(tmp_path / "registry"))
    settings = CertifierSettings(registry=str(tmp_path), signing_key=tmp_path / "key.pem")
    used: list[AdvisoriesInUse] = []

    def put_together(wiring: Wiring) -> Awaitable[Service]:
        used.append(AdvisoriesInUse(wiring.store))
        ports = Ports(
            sources=SourcesOnTheTable(),
            rules=RulesOfThumb(),
            records=RecordsInMemory(),
            contents=ContentsOfNothing(),
            snapshots=snapshots,
            advisories=used[0],
            policies=NothingSubmitted(),
            assessor=NobodyScores(),
            assessments=MadeAssessments(wiring.store),
            reports=HeardReports(wiring.store),
            notary=QuickNotary(),
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
        yield Certifier(service, snapshots, used[0], tmp_path)


async def test_packages_are_matched_with_what_was_published_last(certifier: Certifier) -> None:
    assert await certifier.found() == {"snapshot": "", "found": []}
    first = await certifier.sent(known("GHSA-1"))
    assert await certifier.found() == {"snapshot": first, "found": ["GHSA-1"]}
    second = await certifier.sent(known("GHSA-2"))
    assert await certifier.found() == {"snapshot": second, "found": ["GHSA-2"]}
    said = await certifier.alone.said()
    assert [(type(each), each.digest) for each in said] == [
        (AdvisoriesPublished, first),
        (AdvisoriesPublished, second),
    ]
    assert said[0].taken == "2025-12-20T10:00:00.000Z"
    kept = await certifier.alone.wiring.store.rows(sa.select(advisories.c.digest))
    assert [row.digest for row in kept] == [second]


async def test_one_that_is_rejected_leaves_the_other_in_use(certifier: Certifier) -> None:
    first = await certifier.sent(known("GHSA-1"))
    await certifier.sent(b"no JSON")
    await certifier.sent(known("GHSA-2", "2025-12-19T00:00:00Z"))
    assert await certifier.found() == {"snapshot": first, "found": ["GHSA-1"]}
    whys = [each.why for each in await certifier.alone.said() if isinstance(each, AdvisoriesRejected)]
    assert [why.split(":")[0][:30] for why in whys] == [
        "'0.json' of the snapshot is no",
        "its newest advisory is of 2025",
    ]


async def test_a_registry_that_is_away_is_waited_for(certifier: Certifier) -> None:
    certifier.snapshots.trouble += [Unavailable("the registry is away")] * 2
    digest = await certifier.sent(known("GHSA-1"))
    assert (await certifier.found())["snapshot"] == digest


async def test_a_file_that_is_not_there_is_rejected(certifier: Certifier) -> None:
    await certifier.told(f"sha256:{'7' * 64}")
    [rejected] = await certifier.alone.said()
    assert isinstance(rejected, AdvisoriesRejected)


async def test_what_takes_too_much_to_read_is_rejected(certifier: Certifier) -> None:
    certifier.snapshots.trouble.append(Refused("it takes more than 2048 MiB of memory"))
    await certifier.sent(known("GHSA-1"))
    [rejected] = await certifier.alone.said()
    assert rejected.why == "it takes more than 2048 MiB of memory"


def test_of_nothing_nothing_was_published() -> None:
    assert ADVISORIES.initial == Snapshots()
