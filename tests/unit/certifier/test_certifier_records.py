"""What rules saw, in a registry: kept once, read as it was, and people in it can be erased."""

from __future__ import annotations

from pathlib import Path

import pytest
from placet.certifier.adapters.registry_records import FACTS, PERSONAL, RegistryRecords
from placet.errors import Unknown
from placet.events.contracts.shapes import RecordedFacts
from placet.events.testing import ManualClock
from placet.oci import ImageLayout
from placet.trust import OwnKeys
from placet.trust.key_files import KeyFiles

SEEN = {"now": "2026-01-01T00:00:00.000Z", "personal": {"owner": "ada@example.org"}, "source": {"files": 3}}


@pytest.fixture
def registry(tmp_path: Path) -> ImageLayout:
    return ImageLayout(tmp_path)


@pytest.fixture
def records(registry: ImageLayout, tmp_path: Path) -> RegistryRecords:
    keys = OwnKeys(tmp_path / "certificates.pem", ManualClock().now)
    keys.begin()
    return RegistryRecords(registry, KeyFiles(keys))


async def test_what_was_kept_is_read_as_it_was(records: RegistryRecords) -> None:
    assert await records.read(await records.keep("churn", SEEN)) == SEEN


async def test_the_same_is_kept_once_so_that_a_second_try_leaves_no_copy_of_anybody(
    records: RegistryRecords, registry: ImageLayout
) -> None:
    assert await records.keep("churn", SEEN) == await records.keep("churn", {**SEEN})
    assert [len(await registry.tags(each)) for each in (FACTS, PERSONAL)] == [1, 1]


async def test_the_same_people_of_two_projects_have_two_digests(records: RegistryRecords) -> None:
    one, other = await records.keep("churn", SEEN), await records.keep("fraud", SEEN)
    assert one.facts == other.facts
    assert one.personal != other.personal


async def test_people_can_be_erased_and_the_rest_is_what_it_was(
    records: RegistryRecords, registry: ImageLayout
) -> None:
    kept = await records.keep("churn", SEEN)
    assert kept.personal is not None
    manifest = await registry.resolve(PERSONAL, kept.personal.removeprefix("sha256:"))
    assert manifest is not None
    await registry.delete_manifest(PERSONAL, manifest)
    assert await records.read(kept) == {name: SEEN[name] for name in ("now", "source")}


async def test_what_is_gone_is_said_to_be_unknown(records: RegistryRecords) -> None:
    with pytest.raises(Unknown):
        await records.read(RecordedFacts(facts=f"sha256:{'7' * 64}"))
