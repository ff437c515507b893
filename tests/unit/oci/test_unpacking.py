"""Layers on disk: unpacked once, shared, and never trusted."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import io
import os
import tarfile
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from placet.errors import PlacetError, Refused, TooLarge, Unreadable
from placet.oci import (
    ImageConfig,
    ImageLayout,
    Manifest,
    Platform,
    UnpackLimits,
    sha256_digest,
    unpack_layers,
)
from placet.oci.content import OCI_CONFIG, OCI_LAYER, OCI_LAYER_GZIP

Entry = tuple[tarfile.TarInfo, bytes]


def file(name: str, content: bytes = b"content", mode: int = 0o644) -> Entry:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(content), mode
    return member, content


def special(name: str, kind: bytes, target: str = "") -> Entry:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member, b""


def layer(*entries: Entry) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for member, content in entries:
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


async def image(
    registry: ImageLayout, layers: Iterable[bytes], *, diff_ids: tuple[str, ...] | None = None
) -> Manifest:
    layers = list(layers)
    described = [
        await registry.put_blob("models/churn", gzip.compress(content, mtime=0), media_type=OCI_LAYER_GZIP)
        for content in layers
    ]
    config = ImageConfig(
        platform=Platform(os="linux", architecture="amd64"),
        diff_ids=diff_ids or tuple(sha256_digest(content) for content in layers),
    )
    kept = await registry.put_blob("models/churn", config.encode(), media_type=OCI_CONFIG)
    manifest = Manifest.image(config=kept, layers=described)
    await registry.put_manifest("models/churn", manifest)
    return manifest


@pytest.fixture
def registry(tmp_path: Path) -> ImageLayout:
    return ImageLayout(tmp_path / "registry")


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def contents(tree: Path) -> dict[str, bytes]:
    return {
        path.relative_to(tree).as_posix(): path.read_bytes() for path in tree.rglob("*") if path.is_file()
    }


async def test_later_layers_lie_over_earlier_ones(registry: ImageLayout, cache: Path) -> None:
    manifest = await image(
        registry,
        [
            layer(file("app/a", b"first"), file("app/b", b"kept"), file("app/tool", mode=0o755)),
            layer(file("app/a", b"second")),
        ],
    )

    tree = await unpack_layers(registry, "models/churn", manifest, cache)

    assert contents(tree) == {"app/a": b"second", "app/b": b"kept", "app/tool": b"content"}
    assert (tree / "app" / "tool").stat().st_mode & 0o777 == 0o555
    assert (tree / "app" / "a").stat().st_mode & 0o777 == 0o444


async def test_whoever_reaches_the_tree_may_read_it_whatever_the_umask(
    registry: ImageLayout, cache: Path
) -> None:
    manifest = await image(registry, [layer(file("app/folder/a"), file("app/tool", mode=0o755))])

    before = os.umask(0o077)
    try:
        tree = await unpack_layers(registry, "models/churn", manifest, cache)
    finally:
        os.umask(before)

    modes = {path.name: path.stat().st_mode & 0o777 for path in (tree, *tree.rglob("*"))}
    assert modes == {tree.name: 0o755, "app": 0o755, "folder": 0o755, "a": 0o444, "tool": 0o555}


async def test_whiteouts_take_away_what_lies_below(registry: ImageLayout, cache: Path) -> None:
    manifest = await image(
        registry,
        [
            layer(file("a"), file("folder/b"), file("emptied/c"), file("gone/d")),
            layer(
                file(".wh.a", b""),
                file("emptied/.wh..wh..opq", b""),
                file("emptied/e"),
                file(".wh.gone", b""),
            ),
        ],
    )

    tree = await unpack_layers(registry, "models/churn", manifest, cache)

    assert set(contents(tree)) == {"folder/b", "emptied/e"}


async def test_the_layers_of_a_base_are_left_out(registry: ImageLayout, cache: Path) -> None:
    manifest = await image(
        registry, [layer(special("etc/passwd", tarfile.SYMTYPE, "x")), layer(file("app/a"))]
    )

    tree = await unpack_layers(registry, "models/churn", manifest, cache, skip=1)

    assert set(contents(tree)) == {"app/a"}


async def test_a_second_start_reads_no_layer(registry: ImageLayout, cache: Path, tmp_path: Path) -> None:
    manifest = await image(registry, [layer(file("a")), layer(file("b"))])
    tree = await unpack_layers(registry, "models/churn", manifest, cache)
    for described in manifest.layers:
        blobs = tmp_path / "registry" / "models" / "churn" / "blobs" / "sha256"
        (blobs / described.digest.removeprefix("sha256:")).unlink()

    assert await unpack_layers(registry, "models/churn", manifest, cache) == tree


async def test_images_share_the_layers_they_have_in_common(registry: ImageLayout, cache: Path) -> None:
    deps = layer(file("deps/big"))
    first = await image(registry, [deps, layer(file("model", b"1"))])
    second = await image(registry, [deps, layer(file("model", b"2"))])

    trees = await asyncio.gather(
        *(unpack_layers(registry, "models/churn", manifest, cache) for manifest in (first, second, first))
    )

    assert trees[0] == trees[2] != trees[1]
    assert (trees[0] / "deps" / "big").stat().st_ino == (trees[1] / "deps" / "big").stat().st_ino
    assert os.listdir(cache / "partial") == []


@pytest.mark.parametrize(
    "entry",
    [
        file("../outside"),
        file("/outside"),
        file("a/../../outside"),
        file("/".join("d" * 100)),
        special("link", tarfile.SYMTYPE, "/etc/passwd"),
        special("link", tarfile.LNKTYPE, "../../outside"),
        special("device", tarfile.CHRTYPE),
        special("device", tarfile.BLKTYPE),
        special("pipe", tarfile.FIFOTYPE),
        file(".wh.."),
        file("n" * 300),
        file("a/b/c"),
    ],
    ids=lambda entry: repr(entry[0].name[:20]),
)
async def test_a_hostile_entry_is_refused_and_nothing_is_kept(
    registry: ImageLayout, cache: Path, tmp_path: Path, entry: Entry
) -> None:
    manifest = await image(registry, [layer(file("a/b"), entry)])

    with pytest.raises(Refused):
        await unpack_layers(registry, "models/churn", manifest, cache)

    assert not [path for path in contents(tmp_path) if path.endswith("outside")]
    assert contents(cache) == {}


async def test_a_file_given_twice_is_refused(registry: ImageLayout, cache: Path) -> None:
    manifest = await image(registry, [layer(file("a", b"shown"), file("a", b"meant"))])

    with pytest.raises(Refused):
        await unpack_layers(registry, "models/churn", manifest, cache)


async def test_a_layer_that_does_not_unpack_to_its_diff_id_is_refused(
    registry: ImageLayout, cache: Path
) -> None:
    manifest = await image(registry, [layer(file("a"))], diff_ids=(sha256_digest(b"other"),))

    with pytest.raises(Refused, match="does not unpack to"):
        await unpack_layers(registry, "models/churn", manifest, cache)


async def test_a_bomb_stops_at_the_limit(registry: ImageLayout, cache: Path) -> None:
    manifest = await image(registry, [layer(file("zeros", bytes(50_000_000)))])

    with pytest.raises(TooLarge):
        await unpack_layers(registry, "models/churn", manifest, cache, limits=UnpackLimits(size=10_000_000))
    with pytest.raises(TooLarge):
        await unpack_layers(registry, "models/churn", manifest, cache, limits=UnpackLimits(files=0))


async def test_a_header_that_would_fill_the_memory_is_refused(registry: ImageLayout, cache: Path) -> None:
    header = special("header", tarfile.XHDTYPE)[0]
    header.size = 1 << 30
    manifest = await image(registry, [header.tobuf(tarfile.USTAR_FORMAT) + bytes(4096)])

    with pytest.raises(TooLarge, match="header"):
        await unpack_layers(registry, "models/churn", manifest, cache)


@pytest.mark.parametrize("content", [b"no archive at all" * 100, layer(file("a", b"x" * 5000))[:3000]])
async def test_what_is_no_archive_is_unreadable(registry: ImageLayout, cache: Path, content: bytes) -> None:
    manifest = await image(registry, [content])

    with pytest.raises(Unreadable):
        await unpack_layers(registry, "models/churn", manifest, cache)


async def test_a_layer_that_is_not_compressed_as_it_says_is_unreadable(
    registry: ImageLayout, cache: Path
) -> None:
    content = layer(file("a"))
    described = await registry.put_blob("models/churn", content, media_type=OCI_LAYER_GZIP)
    plain = await image(registry, [content])
    assert plain.config is not None
    manifest = Manifest.image(config=plain.config, layers=[described])

    with pytest.raises(Unreadable):
        await unpack_layers(registry, "models/churn", manifest, cache)


async def test_a_layer_without_compression_is_unpacked(registry: ImageLayout, cache: Path) -> None:
    content = layer(file("a"))
    described = await registry.put_blob("models/churn", content, media_type=OCI_LAYER)
    packed = await image(registry, [content])
    assert packed.config is not None

    tree = await unpack_layers(
        registry, "models/churn", Manifest.image(config=packed.config, layers=[described]), cache
    )

    assert contents(tree) == {"a": b"content"}


@settings(deadline=None, max_examples=60)
@given(noise=st.binary(max_size=2000), at=st.integers(min_value=0, max_value=1500))
async def test_damaged_archives_end_in_an_error_for_people(
    tmp_path_factory: pytest.TempPathFactory, noise: bytes, at: int
) -> None:
    whole = layer(file("a"), file("folder/b", b"x" * 600))
    damaged = whole[:at] + noise + whole[at + len(noise) :]
    folder = tmp_path_factory.mktemp("damaged")
    registry = ImageLayout(folder / "registry")
    manifest = await image(registry, [damaged])

    try:
        tree = await unpack_layers(registry, "models/churn", manifest, folder / "cache")
    except PlacetError:
        return
    assert hashlib.sha256(damaged).hexdigest() == manifest_diff_id(tree)


def manifest_diff_id(tree: Path) -> str:
    [layer_folder] = (tree.parent.parent / "layers").iterdir()
    return layer_folder.name
