"""Sources and certificates where they lie: in a registry."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from placet.errors import Unknown
from placet.gateway.adapters.registry_artifacts import (
    PERSONAL,
    RegistryAssessments,
    RegistryEnvelopes,
    RegistryFacts,
    RegistryImages,
    RegistrySources,
)
from placet.gateway.ports import Labelled, Referrer
from placet.oci import ArtifactFile, ImageConfig, ImageLayout, Manifest, Platform, push_artifact

from tests.unit.gateway.roads import SOURCE

BODY = b"an archive" * 1000
DIGEST = f"sha256:{hashlib.sha256(BODY).hexdigest()}"


async def test_an_archive_kept_by_many_at_once_comes_back_as_it_was(tmp_path: Path) -> None:
    registry, archive = ImageLayout(tmp_path / "registry"), tmp_path / "source.tar"
    archive.write_bytes(BODY)
    sources = RegistrySources(registry)
    assert not await sources.has(DIGEST)
    await asyncio.gather(*(sources.keep(DIGEST, archive) for _ in range(5)))
    assert await sources.has(DIGEST)
    assert b"".join([chunk async for chunk in sources.read(DIGEST)]) == BODY
    assert await registry.tags("sources") == (DIGEST.removeprefix("sha256:"),)


async def test_an_archive_that_was_never_sent_is_unknown(tmp_path: Path) -> None:
    with pytest.raises(Unknown):
        [chunk async for chunk in RegistrySources(ImageLayout(tmp_path)).read(SOURCE)]


async def test_an_envelope_is_read_from_beside_its_image(tmp_path: Path) -> None:
    registry = ImageLayout(tmp_path)
    kept = await push_artifact(
        registry,
        "models/churn",
        artifact_type="application/vnd.placet.certificate.v1",
        files=(ArtifactFile(content=b'{"payload": "e30="}', media_type="application/json"),),
    )
    envelopes = RegistryEnvelopes(registry)
    assert await envelopes.read("models/churn", kept.digest) == {"payload": "e30="}
    with pytest.raises(Unknown):
        await envelopes.read("models/churn", SOURCE)


async def test_an_image_s_labels_and_referrers_are_read_from_the_registry(tmp_path: Path) -> None:
    registry = ImageLayout(tmp_path)
    config = ImageConfig(
        platform=Platform(os="linux", architecture="amd64"), diff_ids=(), labels={"io.placet.format": "onnx"}
    )
    kept = await registry.put_blob("models/churn", config.encode())
    image = await registry.put_manifest("models/churn", Manifest.image(config=kept, layers=()))
    scan = await push_artifact(registry, "models/churn", artifact_type="application/scan", subject=image)
    images = RegistryImages(registry)
    assert await images.look_up("models/churn", image) == Labelled(
        labels={"io.placet.format": "onnx"},
        referrers=(Referrer(digest=scan.digest, artifact_type="application/scan"),),
    )
    assert await images.look_up("models/churn", scan.digest) is None
    assert await images.look_up("models/churn", SOURCE) is None


LATER = datetime.now(UTC) + timedelta(days=1)  # noqa: TID251 - files have the time of this machine


def bytes_in(folder: Path) -> bytes:
    return b"".join(each.read_bytes() for each in folder.rglob("*") if each.is_file())


async def test_answers_that_were_removed_are_unknown_at_once_and_their_bytes_go_with_the_sweep(
    tmp_path: Path,
) -> None:
    assessments = RegistryAssessments(ImageLayout(tmp_path))
    theirs, others = [await assessments.keep_answers(each) for each in (b"what ada wrote", b"what bob wrote")]
    assert await assessments.answers(theirs) == b"what ada wrote"
    assert [await assessments.remove_answers(theirs) for _ in range(2)] == [True, False]
    with pytest.raises(Unknown):
        await assessments.answers(theirs)
    await assessments.sweep(LATER)
    assert b"what ada wrote" not in bytes_in(tmp_path)
    assert await assessments.answers(others) == b"what bob wrote"


async def test_what_is_about_people_is_found_and_removed_one_by_one(tmp_path: Path) -> None:
    registry = ImageLayout(tmp_path)
    facts = RegistryFacts(registry)
    assert [each async for each in facts.all_personal()] == []
    digests = []
    for content in (b'{"owner": "ada"}', b'{"owner": "bob"}'):
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        file = ArtifactFile(content=content, media_type="application/json", digest=digest)
        tag = digest.removeprefix("sha256:")
        await push_artifact(registry, PERSONAL, artifact_type="application/json", files=(file,), tag=tag)
        digests.append(digest)
    assert {each async for each in facts.all_personal()} == set(digests)
    assert [await facts.remove_personal(digests[0]) for _ in range(2)] == [True, False]
    assert [await facts.personal(each) for each in digests] == [None, b'{"owner": "bob"}']
    await facts.sweep(LATER)
    assert b'"ada"' not in bytes_in(tmp_path)
