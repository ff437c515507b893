"""What every registry has to keep to, whoever wrote it. Adapters subclass `RegistryContract`."""

from __future__ import annotations

import asyncio
import os
from contextlib import aclosing
from pathlib import Path

import pytest
from placet.errors import Refused, TooLarge, Unknown
from placet.oci import (
    ArtifactFile,
    Descriptor,
    Manifest,
    Registry,
    fetch_artifact,
    push_artifact,
    sha256_digest,
)
from placet.oci.content import EMPTY, OCI_LAYER

CARD = "application/vnd.example.card"
SCAN = "application/vnd.example.scan"


async def put_image(
    client: Registry, repository: str, content: bytes = b"layer", *, tag: str | None = None
) -> Manifest:
    config = await client.put_blob(repository, b"{}", media_type=EMPTY.media_type)
    layer = await client.put_blob(repository, content, media_type=OCI_LAYER)
    manifest = Manifest.image(config=config, layers=[layer])
    await client.put_manifest(repository, manifest, tag=tag)
    return manifest


class RegistryContract:
    """The cases. A subclass gives the fixture `client`, empty and open."""

    async def test_a_blob_comes_back_as_it_was_put(self, client: Registry) -> None:
        kept = await client.put_blob("models/churn", b"some bytes", media_type=OCI_LAYER)

        assert kept == Descriptor(media_type=OCI_LAYER, digest=sha256_digest(b"some bytes"), size=10)
        assert await client.blob_exists("models/churn", kept.digest)
        assert await client.read_blob("models/churn", kept.digest) == b"some bytes"

    async def test_an_empty_blob_is_a_blob(self, client: Registry) -> None:
        kept = await client.put_blob("models/churn", b"")

        assert await client.read_blob("models/churn", kept.digest) == b""

    async def test_a_large_file_goes_and_comes_in_pieces(self, client: Registry, tmp_path: Path) -> None:
        sent, got = tmp_path / "sent", tmp_path / "folder" / "got"
        sent.write_bytes(os.urandom(1024 * 1024) * 70)

        kept = await client.put_blob("models/churn", sent)
        await client.save_blob("models/churn", kept.digest, got)

        assert kept.size == sent.stat().st_size
        assert got.read_bytes() == sent.read_bytes()
        async with aclosing(client.stream_blob("models/churn", kept.digest)) as pieces:
            assert max([len(piece) async for piece in pieces]) < 10 * 1024 * 1024

    async def test_putting_a_blob_twice_changes_nothing(self, client: Registry) -> None:
        first = await client.put_blob("models/churn", b"twice")

        assert await client.put_blob("models/churn", b"twice", digest=first.digest) == first

    async def test_bytes_with_another_digest_than_promised_are_refused(
        self, client: Registry, tmp_path: Path
    ) -> None:
        promised = sha256_digest(b"promised")
        file = tmp_path / "sent"
        file.write_bytes(b"other")

        for content in (b"other", file):
            with pytest.raises(Refused):
                await client.put_blob("models/churn", content, digest=promised)
        assert not await client.blob_exists("models/churn", promised)
        await client.put_blob("models/churn", b"promised")
        file.write_bytes(b"PROMISED")
        for content in (b"PROMISED", file):
            with pytest.raises(Refused):
                await client.put_blob("models/churn", content, digest=promised)

    async def test_a_missing_blob_is_unknown(self, client: Registry, tmp_path: Path) -> None:
        missing = sha256_digest(b"missing")

        assert not await client.blob_exists("models/churn", missing)
        with pytest.raises(Unknown):
            await client.read_blob("models/churn", missing)
        with pytest.raises(Unknown):
            await client.save_blob("models/churn", missing, tmp_path / "got")
        with pytest.raises(Unknown):
            await anext(client.stream_blob("models/churn", missing))
        assert not (tmp_path / "got").exists()

    async def test_a_blob_over_the_limit_is_not_read(self, client: Registry) -> None:
        kept = await client.put_blob("models/churn", b"eleven here")

        with pytest.raises(TooLarge):
            await client.read_blob("models/churn", kept.digest, limit=10)

    async def test_a_blob_is_mounted_from_another_repository(self, client: Registry) -> None:
        kept = await client.put_blob("models/churn", b"shared")
        assert not await client.blob_exists("models/other", kept.digest)

        assert await client.mount_blob("models/other", kept.digest, source="models/churn")

        assert await client.read_blob("models/other", kept.digest) == b"shared"

    async def test_a_blob_that_cannot_be_mounted_has_to_be_sent(self, client: Registry) -> None:
        missing = sha256_digest(b"missing")

        assert not await client.mount_blob("models/other", missing, source="models/churn")
        assert not await client.blob_exists("models/other", missing)

    async def test_a_manifest_is_found_by_digest_and_by_tag(self, client: Registry) -> None:
        manifest = await put_image(client, "models/churn", tag="latest")

        for reference in (manifest.digest, "latest"):
            assert await client.manifest("models/churn", reference) == manifest
            assert await client.resolve("models/churn", reference) == manifest.digest

    async def test_a_missing_manifest_is_unknown(self, client: Registry) -> None:
        await put_image(client, "models/churn", tag="latest")

        for repository, reference in [
            ("models/churn", "other"),
            ("models/churn", sha256_digest(b"missing")),
            ("models/other", "latest"),
        ]:
            assert await client.resolve(repository, reference) is None
            with pytest.raises(Unknown):
                await client.manifest(repository, reference)

    async def test_whether_a_manifest_is_there_is_told_for_certain(self, client: Registry) -> None:
        manifest = await put_image(client, "models/churn")

        assert await client.has_manifest("models/churn", manifest.digest)
        assert not await client.has_manifest("models/churn", sha256_digest(b"missing"))
        assert not await client.has_manifest("models/other", manifest.digest)
        await client.delete_manifest("models/churn", manifest.digest)
        assert not await client.has_manifest("models/churn", manifest.digest)

    async def test_entries_are_tags_with_what_they_stand_for(self, client: Registry) -> None:
        first = await put_image(client, "models/churn", b"first", tag="v1")
        second = await put_image(client, "models/churn", b"second", tag="v2")
        await push_artifact(client, "models/churn", artifact_type=CARD, subject=first.digest)

        tagged = {tag: digest for tag, digest in await client.entries("models/churn") if tag is not None}

        assert tagged == {"v1": first.digest, "v2": second.digest}
        assert await client.entries("models/other") == ()

    async def test_a_manifest_whose_blobs_are_missing_is_refused(self, client: Registry) -> None:
        missing = Descriptor.of(b"missing", OCI_LAYER)
        config = await client.put_blob("models/churn", b"{}", media_type=EMPTY.media_type)

        with pytest.raises(Refused):
            await client.put_manifest("models/churn", Manifest.image(config=config, layers=[missing]))

    async def test_a_tag_moves_and_the_manifest_it_left_stays(self, client: Registry) -> None:
        first = await put_image(client, "models/churn", b"first", tag="latest")
        second = await put_image(client, "models/churn", b"second", tag="latest")

        assert await client.resolve("models/churn", "latest") == second.digest
        assert await client.resolve("models/churn", first.digest) == first.digest

    async def test_tags_are_listed_however_many(self, client: Registry) -> None:
        names = sorted(f"v{number}" for number in range(120))
        manifest = await put_image(client, "models/churn")
        for name in names:
            await client.put_manifest("models/churn", manifest, tag=name)

        assert await client.tags("models/churn") == tuple(names)
        assert await client.tags("models/other") == ()

    async def test_repositories_are_listed_however_many(self, client: Registry) -> None:
        names = sorted(f"team-{number % 3}/model-{number}" for number in range(120))
        await asyncio.gather(*(put_image(client, name, tag="v1") for name in names))

        assert set(names) <= set(await client.repositories())

    async def test_a_deleted_manifest_takes_its_tags_along(self, client: Registry) -> None:
        manifest = await put_image(client, "models/churn", tag="latest")

        await client.delete_manifest("models/churn", manifest.digest)

        assert await client.resolve("models/churn", manifest.digest) is None
        assert await client.resolve("models/churn", "latest") is None
        with pytest.raises(Unknown):
            await client.delete_manifest("models/churn", manifest.digest)

    async def test_an_artifact_comes_back_with_its_files(self, client: Registry, tmp_path: Path) -> None:
        file = tmp_path / "file"
        file.write_bytes(b"from a file")

        manifest = await push_artifact(
            client,
            "sources",
            artifact_type=CARD,
            files=[ArtifactFile(content=b"bytes", name="a"), ArtifactFile(content=file)],
            tag="v1",
        )
        artifact = await fetch_artifact(client, "sources", "v1", limit=100)

        assert artifact.manifest == manifest
        assert artifact.manifest.artifact_type == CARD
        assert artifact.contents == (b"bytes", b"from a file")
        with pytest.raises(TooLarge):
            await fetch_artifact(client, "sources", "v1", limit=10)

    async def test_pushing_the_same_artifact_again_changes_nothing(self, client: Registry) -> None:
        files = [ArtifactFile(content=b"same")]
        image = await put_image(client, "models/churn")
        first = await push_artifact(
            client, "models/churn", artifact_type=CARD, files=files, subject=image.digest
        )

        second = await push_artifact(
            client, "models/churn", artifact_type=CARD, files=files, subject=image.digest
        )

        assert second == first
        assert len(await client.referrers("models/churn", image.digest)) == 1

    async def test_referrers_are_found_by_subject_and_type(self, client: Registry) -> None:
        image = await put_image(client, "models/churn", tag="v1")
        card = await push_artifact(
            client, "models/churn", artifact_type=CARD, subject=image.digest, annotations={"by": "me"}
        )
        scan = await push_artifact(client, "models/churn", artifact_type=SCAN, subject=image.digest)

        both = await client.referrers("models/churn", image.digest)
        cards = await client.referrers("models/churn", image.digest, artifact_type=CARD)

        assert {entry.digest for entry in both} == {card.digest, scan.digest}
        assert [(entry.digest, entry.artifact_type) for entry in cards] == [(card.digest, CARD)]
        assert dict(cards[0].annotations) == {"by": "me"}
        assert await client.tags("models/churn") == ("v1",)

    async def test_a_manifest_without_referrers_has_none(self, client: Registry) -> None:
        image = await put_image(client, "models/churn")

        assert await client.referrers("models/churn", image.digest) == ()

    async def test_referrers_put_at_the_same_time_are_all_listed(self, client: Registry) -> None:
        image = await put_image(client, "models/churn")

        pushed = await asyncio.gather(
            *(
                push_artifact(
                    client,
                    "models/churn",
                    artifact_type=CARD,
                    subject=image.digest,
                    annotations={"number": str(number)},
                )
                for number in range(12)
            )
        )

        listed = await client.referrers("models/churn", image.digest)
        assert {entry.digest for entry in listed} == {manifest.digest for manifest in pushed}

    async def test_a_deleted_referrer_is_no_longer_listed(self, client: Registry) -> None:
        image = await put_image(client, "models/churn")
        card = await push_artifact(client, "models/churn", artifact_type=CARD, subject=image.digest)
        scan = await push_artifact(client, "models/churn", artifact_type=SCAN, subject=image.digest)

        await client.delete_manifest("models/churn", card.digest)

        listed = await client.referrers("models/churn", image.digest)
        assert [entry.digest for entry in listed] == [scan.digest]

    @pytest.mark.parametrize("name", ["", "../up", "/root", "a//b", "Upper", "a/..", "a b", "a?b"])
    async def test_a_name_that_is_no_repository_is_refused(self, client: Registry, name: str) -> None:
        with pytest.raises(Refused):
            await client.put_blob(name, b"content")
        with pytest.raises(Refused):
            await client.resolve(name, "latest")

    @pytest.mark.parametrize(
        "digest", ["sha256:short", "sha512:" + "0" * 128, "../" * 20, "SHA256:" + "0" * 64]
    )
    async def test_what_is_no_digest_is_refused(self, client: Registry, digest: str) -> None:
        with pytest.raises(Refused):
            await client.read_blob("models/churn", digest)
