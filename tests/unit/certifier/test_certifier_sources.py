"""Looking through a source: what it says, and what a hostile one must not take from the others."""

from __future__ import annotations

import io
import tarfile
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
from placet.certifier.adapters.registry_sources import REPOSITORY, RegistrySources
from placet.errors import Refused
from placet.events.contracts.shapes import Condition
from placet.oci import ImageLayout, sha256_digest

NOW = datetime(2026, 11, 26, tzinfo=UTC)
MANIFEST = b"""\
apiVersion: placet/v1
project: churn
model: {format: sklearn, path: model.skops}
resources: {cpu: 250m, memory: 64Mi}
access: public
"""
MIB = 1024**2


@pytest.fixture
def registry(tmp_path: Path) -> ImageLayout:
    return ImageLayout(tmp_path / "registry")


async def sent(registry: ImageLayout, tmp_path: Path, files: dict[str, bytes]) -> str:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    digest = sha256_digest(packed.getvalue())
    await registry.put_blob(REPOSITORY, packed.getvalue())
    return digest


@pytest.mark.parametrize("allowed", [True, False])
async def test_whether_dockerfiles_are_built_is_the_platforms_word(
    registry: ImageLayout, tmp_path: Path, allowed: bool
) -> None:
    manifest = MANIFEST + b"build: {dockerfile: Dockerfile}\n"
    source = await sent(registry, tmp_path, {"placet.yaml": manifest, "Dockerfile": b"FROM scratch\n"})

    found = await RegistrySources(registry, dockerfiles=allowed).examine(source, NOW)

    assert found.declared.dockerfile
    assert found.facts["platform"] == {"dockerfiles": allowed}


async def test_its_conditions_are_found_as_they_are_judged(registry: ImageLayout, tmp_path: Path) -> None:
    manifest = MANIFEST + (
        b"governance: {monitoring: [{metric: psi, max: 0.2, recovery: 0.1, window: 2h, minSamples: 500,"
        b" action: suspend, retryAfter: 1h}]}\n"
    )
    source = await sent(registry, tmp_path, {"placet.yaml": manifest})

    (condition,) = (await RegistrySources(registry).examine(source, NOW)).declared.conditions

    assert condition == Condition(
        metric="psi",
        max=0.2,
        recovery=0.1,
        window=7200,
        min_samples=500,
        action="suspend",
        retry_after=3600,
    )


def container(content: bytes, count: int = 1) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(count):
            archive.writestr(f"{number}.pkl", content)
    return packed.getvalue()


async def test_what_a_source_says_of_itself_is_found(registry: ImageLayout, tmp_path: Path) -> None:
    source = await sent(registry, tmp_path, {"placet.yaml": MANIFEST, "other": b""})

    found = await RegistrySources(registry).examine(source, NOW)

    assert (found.declared.format, found.declared.access) == ("sklearn", "public")
    assert found.declared.resources.cpu_millis == 250
    assert found.declared.resources.memory_bytes == 64 * MIB
    assert found.facts["source"]["files"] == 2
    assert found.declared.trial is False


async def test_a_source_says_whether_it_is_a_trial(registry: ImageLayout, tmp_path: Path) -> None:
    source = await sent(registry, tmp_path, {"placet.yaml": MANIFEST + b"governance: {trial: true}\n"})

    found = await RegistrySources(registry).examine(source, NOW)

    assert found.declared.trial is True
    assert found.facts["now"] == "2026-11-26T00:00:00.000Z"


async def test_what_is_no_project_is_refused_in_the_reader_s_words(
    registry: ImageLayout, tmp_path: Path
) -> None:
    source = await sent(registry, tmp_path, {"placet.yaml": MANIFEST.replace(b"access", b"acess")})
    with pytest.raises(Refused, match="the nearest known one is 'access'"):
        await RegistrySources(registry).examine(source, NOW)


async def test_a_source_that_grows_while_it_is_read_takes_its_own_process_only(
    registry: ImageLayout, tmp_path: Path
) -> None:
    bomb = container(b"\x80\x04" + b"}\x94" * 3_000_000 + b".")
    assert len(bomb) < MIB // 10
    source = await sent(registry, tmp_path, {"placet.yaml": MANIFEST, "bomb.skops": bomb})
    with pytest.raises(Refused, match="takes more than 256 MiB of memory") as refused:
        await RegistrySources(registry, memory=256 * MIB).examine(source, NOW)
    assert refused.value.fix


async def test_a_source_that_is_read_without_end_is_given_up(registry: ImageLayout, tmp_path: Path) -> None:
    endless = container(b"\x80\x04" + b"N0" * 1_000_000 + b".", count=100)
    source = await sent(registry, tmp_path, {"placet.yaml": MANIFEST, "endless.skops": endless})
    with pytest.raises(Refused, match="takes more than 2 s of processor time"):
        await RegistrySources(registry, seconds=2).examine(source, NOW)
