"""What is collected of a registry, whichever that is. Adapters subclass `CollectsGarbage`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from placet.events import Actor
from placet.events.contracts.gateway import SourceUploaded
from placet.events.contracts.indexer import ImageCollected, ImageIndexed
from placet.events.testing import changed
from placet.indexer.adapters.oci_registry import RegistryImages
from placet.indexer.adapters.registry_storage import RegistryStorage
from placet.indexer.bootstrap import build
from placet.indexer.garbage import CERTIFICATE, Collection
from placet.indexer.ports import Ports
from placet.indexer.projections import TABLES
from placet.indexer.settings import IndexerSettings
from placet.oci import ArtifactFile, Registry, push_artifact

from tests.contract.registry_contract import SCAN
from tests.contract.registry_looks import look, put_model
from tests.unit.gateway.roads import built, certified
from tests.unit.hearing import Alone, alone

AGE = timedelta(days=30)
OPERATOR = Actor.person("person:00000000-0000-7000-8000-00000000000b")


async def put_source(client: Registry, content: bytes) -> str:
    """The digest of a source, kept as the gateway keeps it."""
    blob = await client.put_blob("sources", content)
    await push_artifact(
        client,
        "sources",
        artifact_type="application/vnd.placet.source.v1+tar",
        files=[ArtifactFile(content=content)],
        tag=blob.digest.removeprefix("sha256:"),
    )
    return blob.digest


class CollectsGarbage:
    """The cases. A subclass gives the fixture `client`, empty and open."""

    @pytest.fixture
    async def indexer(self, tmp_path: Path, client: Registry) -> AsyncIterator[Alone]:
        settings = IndexerSettings(registry=client.address)
        ports = Ports(images=RegistryImages(client), storage=RegistryStorage(client))
        async with alone(
            "indexer", tmp_path / "indexer", lambda wiring: build(settings, wiring, ports), tables=(TABLES,)
        ) as one:
            yield one

    @pytest.fixture
    def collection(self, indexer: Alone, client: Registry) -> Collection:
        return Collection(storage=RegistryStorage(client), wiring=indexer.wiring)

    async def test_an_image_goes_with_what_speaks_of_it_and_evidence_stays(
        self, client: Registry, indexer: Alone, collection: Collection
    ) -> None:
        garbage, evidence = await put_model(client, b"garbage"), await put_model(client, b"evidence")
        sources = {image: await put_source(client, f"of {image}".encode()) for image in (garbage, evidence)}
        for number, (image, source) in enumerate(sources.items(), start=1):
            await indexer.hear(SourceUploaded(source=source, size=7, project="churn", origin=None))
            await indexer.hear(changed(built(image=image, release=number), source=source))
        scan = await push_artifact(client, "models/churn", artifact_type=SCAN, subject=garbage)
        signature = await push_artifact(client, "models/churn", artifact_type=SCAN, subject=scan.digest)
        proof = await push_artifact(client, "models/churn", artifact_type=SCAN, subject=evidence)
        await indexer.hear(changed(certified(), image=evidence, release=2))

        assert (await collection.collect(AGE, OPERATOR)).removed == ()
        indexer.clock.pass_(AGE)
        found = await collection.find(AGE)
        assert [item.digest for item in found.remove] == [garbage, sources[garbage]]
        assert found.remove[0].bytes == len(b"garbage")  # its configuration is also the other's
        for digest in (garbage, evidence):
            assert await client.has_manifest("models/churn", digest)

        collected = await collection.collect(AGE, OPERATOR)
        assert (collected.removed, collected.stopped) == (found.remove, None)
        for digest in (garbage, scan.digest, signature.digest):
            assert not await client.has_manifest("models/churn", digest)
        for digest in (evidence, proof.digest):
            assert await client.has_manifest("models/churn", digest)
        tags = await client.tags("sources")
        assert tags == (sources[evidence].removeprefix("sha256:"),)
        assert await client.read_blob("sources", sources[evidence]) == f"of {evidence}".encode()

    async def test_a_certificate_that_nobody_told_of_is_evidence_too(
        self, client: Registry, indexer: Alone, collection: Collection
    ) -> None:
        image = await put_model(client)
        await indexer.hear(built(image=image))
        await push_artifact(client, "models/churn", artifact_type=CERTIFICATE, subject=image)
        indexer.clock.pass_(AGE)
        assert (await collection.collect(AGE, OPERATOR)).removed == ()

    async def test_what_nobody_announced_is_not_ours_to_remove(
        self, client: Registry, indexer: Alone, collection: Collection
    ) -> None:
        image = await put_model(client, tag="theirs")
        await look(indexer)
        indexer.clock.pass_(10 * AGE)
        await look(indexer)
        assert (await collection.collect(AGE, OPERATOR)).removed == ()
        assert await client.resolve("models/churn", "theirs") == image

    async def test_what_was_collected_has_not_vanished_and_is_indexed_when_it_comes_back(
        self, client: Registry, indexer: Alone, collection: Collection
    ) -> None:
        image = await put_model(client)
        await indexer.hear(built(image=image))
        indexer.clock.pass_(AGE)
        await collection.collect(AGE, OPERATOR)
        await look(indexer)
        await put_model(client)
        await look(indexer)
        assert [type(each) for each in await indexer.said()] == [ImageIndexed, ImageCollected, ImageIndexed]

    async def test_an_image_that_somebody_else_removed_is_no_garbage(
        self, client: Registry, indexer: Alone, collection: Collection
    ) -> None:
        image = await put_model(client)
        await indexer.hear(built(image=image))
        await client.delete_manifest("models/churn", image)
        indexer.clock.pass_(AGE)
        assert (await collection.collect(AGE, OPERATOR)).removed == ()
