"""What goes wrong around a build: each time a clear end, nothing left over, and the next build is as if nothing was."""

from __future__ import annotations

import asyncio
import io
import os
import resource
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from placet.builder.adapters.image_workshop import ImageWorkshop
from placet.builder.layers_cache import works_on_disk
from placet.builder.ports import SourceFile, Span, Target
from placet.builder.settings import BuilderSettings, Limits
from placet.errors import PlacetError, Refused, TooLarge, Unavailable
from placet.events.contracts.builder import ImageBuilt
from placet.oci import Descriptor, ImageLayout, Manifest, fetch_artifact, sha256_digest

from tests.support.eventually import eventually
from tests.unit.builder.fake_index import FakeCompiler, FakePackages
from tests.unit.builder.sources import FILES, Shop, fake_packages
from tests.unit.builder.workshop import WHEELS


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


async def fails(shop: Shop, workshop: ImageWorkshop, source: str) -> PlacetError:
    """The error that a build ends with, which its log tells too; nothing is left of it."""
    with pytest.raises(PlacetError) as ended:
        await workshop.build("churn", 1, source)
    assert f"failed: {ended.value}" in shop.log()
    assert shop.leftovers() == []
    return ended.value


async def is_whole(shop: Shop, built: ImageBuilt) -> None:
    """Everything that the event names is in the registry."""
    assert await shop.registry.resolve(built.repository, built.image) == built.image
    listed = {each.digest for each in await shop.registry.referrers(built.repository, built.image)}
    assert listed == {built.bom, built.provenance}
    for digest in listed:
        await fetch_artifact(shop.registry, built.repository, digest, limit=10**6)


class FailingRegistry(ImageLayout):
    """Raises at one of its calls that put something, and counts them."""

    def __init__(self, root: Path, *, at: int, trouble: Callable[[], PlacetError]) -> None:
        super().__init__(root)
        self.calls = 0
        self._at = at
        self._trouble = trouble

    def _count(self) -> None:
        self.calls += 1
        if self.calls == self._at:
            raise self._trouble()

    async def put_blob(self, *args: Any, **kwargs: Any) -> Descriptor:
        self._count()
        return await super().put_blob(*args, **kwargs)

    async def put_manifest(self, *args: Any, **kwargs: Any) -> str:
        self._count()
        return await super().put_manifest(*args, **kwargs)


@pytest.mark.parametrize(
    "trouble",
    [
        lambda: Unavailable("the registry answered 507 to PUT", retry_after=60),
        lambda: TooLarge("the registry answered 413 to PUT"),
        lambda: Refused("the registry keeps sha256:1 as sha256:2"),
    ],
    ids=["full", "too large", "lies"],
)
async def test_wherever_the_registry_fails_the_next_build_is_whole(
    tmp_path: Path, trouble: Callable[[], PlacetError]
) -> None:
    small = {**FILES, "requirements.txt": b"light\n"}
    whole = Shop(tmp_path / "whole")
    expected = await whole.build(await whole.upload(small))
    at = 0
    while True:
        at += 1
        shop = Shop(tmp_path / f"at {at}")
        source = await shop.upload(small)
        failing = FailingRegistry(shop.folder / "registry", at=at, trouble=trouble)
        workshop = shop.workshop(registry=failing)
        [ended] = await asyncio.gather(workshop.build("churn", 1, source), return_exceptions=True)
        if failing.calls < at:
            assert ended == expected
            break
        assert isinstance(ended, type(trouble()))
        await eventually(lambda: shop.leftovers() == [])  # noqa: B023 - other threads end what they write
        built = await shop.build(source)
        assert built == expected
        await is_whole(shop, built)
    assert at > 9, "layers, configuration, manifest, and two artifacts were put"


@dataclass
class GoneIndex(FakePackages):
    """An index that goes away after so many packages."""

    after: int = 0

    async def install(self, requirement: str, target: Target, into: Path, workspace: Path) -> None:
        if len(self.installed) >= self.after:
            await asyncio.to_thread(into.mkdir)
            await asyncio.to_thread((into / "half of it").write_bytes, b"")
            raise Unavailable("the package index cannot be used", fix="try again later")
        await super().install(requirement, target, into, workspace)


@pytest.mark.parametrize("after", [0, 1, 2])
async def test_an_index_that_goes_in_the_middle_leaves_nothing_half_done(shop: Shop, after: int) -> None:
    source = await shop.upload()
    gone = GoneIndex(dict(WHEELS), serving=("server",), after=after)

    error = await fails(shop, shop.workshop(packages=gone), source)

    assert isinstance(error, Unavailable)
    await is_whole(shop, await shop.build(source))


class NeverAnswers(FakePackages):
    async def resolve(
        self, project: Sequence[str], runtime: Sequence[str], target: Target, workspace: Path
    ) -> str:
        await asyncio.Event().wait()
        raise AssertionError


async def test_a_build_that_takes_too_long_is_ended_and_says_which_limit_it_was(shop: Shop) -> None:
    source = await shop.upload()
    slow = NeverAnswers(dict(WHEELS))

    error = await fails(shop, shop.workshop(packages=slow, limits=Limits(seconds=0.2)), source)

    assert isinstance(error, Refused)
    assert "PLACET_BUILD_SECONDS" in str(error.fix)
    await is_whole(shop, await shop.build(source))


async def test_a_build_that_is_cancelled_leaves_nothing_but_its_log(shop: Shop) -> None:
    source = await shop.upload()
    building = asyncio.create_task(
        shop.workshop(packages=NeverAnswers(dict(WHEELS))).build("churn", 1, source)
    )
    await eventually(lambda: shop.leftovers() != [])

    building.cancel()
    await asyncio.gather(building, return_exceptions=True)

    assert shop.leftovers() == []
    assert "ended before it was done" in shop.log()
    await is_whole(shop, await shop.build(source))


@pytest.mark.parametrize(
    ("limits", "what"),
    [(Limits(packages_bytes=1_000_000), "packages"), (Limits(image_bytes=1000), "layers")],
)
async def test_an_image_over_a_limit_is_refused_before_anything_is_sent(
    shop: Shop, limits: Limits, what: str
) -> None:
    source = await shop.upload()

    error = await fails(shop, shop.workshop(limits=limits), source)

    assert isinstance(error, TooLarge)
    assert f"the image's {what} have" in error.detail
    assert await shop.registry.repositories() == ()
    await is_whole(shop, await shop.build(source))


class SlowCompiler(FakeCompiler):
    """Compiles one package only when another's layer is in the registry."""

    def __init__(self, registry: Path) -> None:
        self._blobs = registry / "models" / "churn" / "blobs" / "sha256"

    async def compile(self, files: Sequence[SourceFile], folder: Path) -> Mapping[str, Span]:
        if any("/light/" in file.name for file in files):
            await eventually(lambda: any(blob.stat().st_size > 9_000_000 for blob in self._blobs.glob("*")))
        return await super().compile(files, folder)


async def test_layers_are_sent_while_others_are_still_being_made(shop: Shop) -> None:
    source = await shop.upload({**FILES, "model.bin": os.urandom(9_500_000)})

    await is_whole(
        shop, await shop.workshop(compiler=SlowCompiler(shop.folder / "registry")).build("churn", 1, source)
    )


async def test_an_image_that_only_might_be_over_the_limit_is_built(shop: Shop) -> None:
    source = await shop.upload()
    built = await shop.build(source)
    limits = Limits(image_bytes=built.size)

    assert await shop.workshop(limits=limits).build("churn", 1, source) == built


@contextmanager
def small_disk(size: int) -> Iterator[None]:
    """No file can be written beyond `size`: to who writes, a disk that is full in the middle of a file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("size", [0, 200, 20_000, 2_000_000])
async def test_a_full_disk_is_no_fault_of_the_project(shop: Shop, size: int) -> None:
    incompressible = {**FILES, "model.bin": os.urandom(4_000_000)}
    source = await shop.upload(incompressible)

    with small_disk(size), pytest.raises(Unavailable) as full:
        await shop.workshop().build("churn", 1, source)

    assert "disk" in str(full.value.fix) or "cannot be written" in full.value.detail
    assert shop.leftovers() == []
    await is_whole(shop, await shop.build(source))


def test_a_folder_that_is_gone_is_no_full_disk(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="see that the builder may write there"), works_on_disk(tmp_path):
        (tmp_path / "gone" / "file").touch()


def test_programs_that_run_elsewhere_find_the_folder_whatever_its_setting_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """They are told of files in it, and have working directories of their own."""
    monkeypatch.chdir(tmp_path)
    settings = BuilderSettings(
        registry="http://127.0.0.1:5000", data_dir=Path("run/builder"), token_keys=Path("keys.json")
    )
    assert settings.data_dir == tmp_path / "run" / "builder"


async def test_a_source_whose_bytes_were_exchanged_is_refused(shop: Shop) -> None:
    source = await shop.upload()
    kept = shop.folder / "registry" / "sources" / "blobs" / "sha256" / source.removeprefix("sha256:")
    honest = kept.read_bytes()
    kept.write_bytes(honest.replace(b"the model", b"the modem"))

    assert isinstance(await fails(shop, shop.workshop(), source), Refused)
    assert not (shop.folder / "registry" / "models").exists()

    kept.write_bytes(honest)
    await is_whole(shop, await shop.build(source))


async def test_a_source_with_a_link_out_of_it_is_refused(shop: Shop) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        link = tarfile.TarInfo("model.bin")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    source = sha256_digest(packed.getvalue())
    await shop.registry.put_blob("sources", packed.getvalue())

    assert isinstance(await fails(shop, shop.workshop(), source), Refused)


@pytest.mark.parametrize(
    "line",
    [
        "--index-url https://example.org/simple",
        "light @ https://example.org/light.whl",
        "-r more.txt",
        "-e .",
    ],
)
async def test_a_requirement_that_leads_elsewhere_is_refused_with_its_line(shop: Shop, line: str) -> None:
    packages = fake_packages()
    source = await shop.upload({**FILES, "requirements.txt": f"light\n{line}\n".encode()})

    error = await fails(shop, shop.workshop(packages=packages), source)

    assert isinstance(error, Refused)
    assert "requirements.txt, line 2" in error.detail
    assert packages.installed == []
    await is_whole(shop, await shop.build(await shop.upload()))


async def test_a_base_that_is_another_than_its_digest_says_is_refused(shop: Shop) -> None:
    source = await shop.upload()
    config = await shop.registry.put_blob("bases/python", b"{}")
    manifest = Manifest.image(config=config, layers=[])
    await shop.registry.put_manifest("bases/python", manifest)
    kept = shop.folder / "registry/bases/python/blobs/sha256" / manifest.digest.removeprefix("sha256:")
    kept.write_bytes(kept.read_bytes() + b" ")

    error = await fails(shop, shop.workshop(base=f"bases/python@{manifest.digest}"), source)

    assert isinstance(error, Refused)
    await is_whole(shop, await shop.build(source))


# logs


async def test_a_log_holds_every_try_and_how_it_ended(shop: Shop) -> None:
    source = await shop.upload()
    await fails(shop, shop.workshop(packages=GoneIndex(dict(WHEELS), serving=("server",))), source)

    built = await shop.build(source)

    log = shop.log()
    assert log.index("failed: the package index cannot be used") < log.index("tried again")
    assert log.index("tried again") < log.index(f"image {built.image}")


async def test_old_logs_are_removed(shop: Shop) -> None:
    source = await shop.upload()
    now = shop.clock.now()
    old, recent = (shop.workshop().log_of("other", release) for release in (1, 2))
    old.parent.mkdir(parents=True)
    for file, days in ((old, 31), (recent, 29)):
        file.write_text("written\n")
        at = (now - timedelta(days=days)).timestamp()
        os.utime(file, (at, at))

    await shop.build(source)

    assert not old.exists()
    assert recent.exists()
