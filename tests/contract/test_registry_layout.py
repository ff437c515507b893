"""The contract of a registry, over a folder, and what a folder alone has to stand."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from placet.errors import Refused, Unavailable
from placet.oci import ImageLayout, Registry, push_artifact

from tests.contract.registry_contract import CARD, RegistryContract, put_image


@pytest.fixture
def client(tmp_path: Path) -> Registry:
    return ImageLayout(tmp_path / "registry")


class TestImageLayout(RegistryContract):
    pass


async def test_a_folder_that_is_not_there_knows_nothing_of_its_manifests(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="mount it again"):
        await ImageLayout(tmp_path / "not-mounted").has_manifest("models/churn", f"sha256:{'1' * 64}")


async def test_a_folder_lists_what_has_no_tag(tmp_path: Path) -> None:
    registry = ImageLayout(tmp_path)
    image = await put_image(registry, "models/churn")
    card = await push_artifact(registry, "models/churn", artifact_type=CARD, subject=image.digest)

    listed = await registry.entries("models/churn")
    assert set(listed) == {(None, image.digest), (None, card.digest)}


async def test_each_repository_is_an_image_layout_that_other_tools_read(tmp_path: Path) -> None:
    manifest = await put_image(ImageLayout(tmp_path), "models/churn", tag="v1")

    folder = tmp_path / "models" / "churn"
    index = json.loads((folder / "index.json").read_bytes())
    assert json.loads((folder / "oci-layout").read_bytes()) == {"imageLayoutVersion": "1.0.0"}
    assert index["manifests"][0]["digest"] == manifest.digest
    assert index["manifests"][0]["annotations"] == {"org.opencontainers.image.ref.name": "v1"}
    assert (folder / "blobs" / "sha256" / manifest.digest[7:]).read_bytes() == manifest.body


async def test_a_blob_is_no_manifest(tmp_path: Path) -> None:
    registry = ImageLayout(tmp_path)
    manifest = await put_image(registry, "models/churn")

    assert await registry.resolve("models/churn", manifest.layers[0].digest) is None


async def test_a_mounted_blob_takes_no_room(tmp_path: Path) -> None:
    registry = ImageLayout(tmp_path)
    kept = await registry.put_blob("models/churn", b"shared")

    await registry.mount_blob("models/other", kept.digest, source="models/churn")

    blob = tmp_path / "models" / "other" / "blobs" / "sha256" / kept.digest[7:]
    assert blob.stat().st_nlink == 2


async def test_a_changed_blob_is_noticed_on_every_way_to_read_it(tmp_path: Path) -> None:
    registry = ImageLayout(tmp_path / "registry")
    kept = await registry.put_blob("models/churn", b"honest")
    (tmp_path / "registry" / "models" / "churn" / "blobs" / "sha256" / kept.digest[7:]).write_bytes(b"forged")

    with pytest.raises(Refused):
        await registry.read_blob("models/churn", kept.digest)
    with pytest.raises(Refused):
        await registry.save_blob("models/churn", kept.digest, tmp_path / "got")
    with pytest.raises(Refused):
        [piece async for piece in registry.stream_blob("models/churn", kept.digest)]
    assert os.listdir(tmp_path) == ["registry"]


async def test_what_a_crashed_writer_left_is_swept_and_what_another_writes_is_kept(tmp_path: Path) -> None:
    registry = ImageLayout(tmp_path)
    await registry.put_blob("models/churn", b"first")
    left = tmp_path / ".partial" / "left"
    left.write_bytes(b"half a blo")

    await registry.put_blob("models/churn", b"second")
    assert left.exists(), "an open registry sweeps once, when it first writes"
    await ImageLayout(tmp_path).put_blob("models/churn", b"third")

    assert not left.exists()


@pytest.mark.parametrize("name", ["models/blobs", "blobs", "models/index.json"])
async def test_a_repository_cannot_be_called_like_a_part_of_a_layout(tmp_path: Path, name: str) -> None:
    with pytest.raises(Refused):
        await put_image(ImageLayout(tmp_path), name)


async def test_a_root_that_is_a_file_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "root").write_bytes(b"")

    with pytest.raises(Unavailable):
        await ImageLayout(tmp_path / "root").put_blob("models/churn", b"content")


async def test_where_the_folder_lies_is_told_to_the_log_and_not_to_who_sends_something(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "root").write_bytes(b"")
    registry = ImageLayout(tmp_path / "root")
    with pytest.raises(Unavailable, match="does not work: Not a directory") as sent:
        await registry.put_blob("models/churn", b"content")
    with pytest.raises(Unavailable, match="is not there") as looked:
        await registry.has_manifest("models/churn", f"sha256:{'1' * 64}")
    for told in (sent, looked):
        assert str(tmp_path) not in str(told.value)
    assert caplog.text.count(str(tmp_path / "root")) >= 2


def _push(root: Path, subject: str, numbers: range) -> None:
    async def push() -> None:
        for number in numbers:
            await push_artifact(
                ImageLayout(root),
                "models/churn",
                artifact_type=CARD,
                subject=subject,
                annotations={"number": str(number)},
                tag=f"v{number}",
            )

    asyncio.run(push())


async def test_processes_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    image = await put_image(ImageLayout(tmp_path), "models/churn")
    spawn = multiprocessing.get_context("spawn")
    writers = [
        spawn.Process(target=_push, args=(tmp_path, image.digest, range(start, start + 15)))
        for start in (0, 15, 30)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        await asyncio.to_thread(writer.join)

    registry = ImageLayout(tmp_path)
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    assert len(await registry.tags("models/churn")) == 45
    assert len(await registry.referrers("models/churn", image.digest)) == 45
    assert os.listdir(tmp_path / ".partial") == []


async def test_a_sweep_removes_what_nothing_names_and_nobody_put_lately(tmp_path: Path) -> None:
    registry = ImageLayout(tmp_path)
    image = await put_image(registry, "models/churn", b"kept", tag="v1")
    card = await push_artifact(registry, "models/churn", artifact_type=CARD, subject=image.digest)
    gone = await put_image(registry, "models/churn", b"of an image that is gone")
    stray = await registry.put_blob("models/churn", b"stray")
    shared = await registry.put_blob("models/churn", b"shared")
    assert await registry.mount_blob("models/other", shared.digest, source="models/churn")
    await registry.delete_manifest("models/churn", gone.digest)

    assert await registry.sweep("models/churn", before=datetime.fromtimestamp(0, UTC)) == 0
    assert await registry.blob_exists("models/churn", stray.digest)
    make_old(tmp_path / "models")
    asked_for = await registry.put_blob("models/churn", b"stray")  # which is there, and in use from now on
    freed = await registry.sweep("models/churn", before=LONG_AGO + timedelta(days=1))

    assert freed == len(b"of an image that is gone")
    assert await registry.read_blob("models/churn", asked_for.digest) == b"stray"
    assert await registry.read_blob("models/other", shared.digest) == b"shared"
    assert not (tmp_path / "models/churn/blobs/sha256" / shared.digest.removeprefix("sha256:")).exists()
    assert await registry.manifest("models/churn", "v1") == image
    listed = await registry.referrers("models/churn", image.digest)
    assert [each.digest for each in listed] == [card.digest]
    for blob in (*image.blobs, *card.blobs):
        assert await registry.read_blob("models/churn", blob.digest)


async def test_a_sweep_of_what_cannot_be_read_removes_nothing(tmp_path: Path) -> None:
    registry = ImageLayout(tmp_path)
    image = await put_image(registry, "models/churn", tag="v1")
    stray = await registry.put_blob("models/churn", b"stray")
    (tmp_path / "models/churn/blobs/sha256" / image.digest.removeprefix("sha256:")).write_bytes(b"damaged")
    make_old(tmp_path / "models")
    with pytest.raises(Refused):
        await registry.sweep("models/churn", before=LONG_AGO + timedelta(days=1))
    assert await registry.blob_exists("models/churn", stray.digest)


LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def make_old(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            os.utime(path, (LONG_AGO.timestamp(), LONG_AGO.timestamp()))
