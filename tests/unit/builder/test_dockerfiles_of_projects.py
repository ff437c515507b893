"""The tailored road: an engine builds, and what it hands over is an image of ours, with what is truly known of it."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from placet.builder import assembly_bom, assembly_provenance
from placet.builder.adapters import docker_build
from placet.builder.adapters.docker_engine import DockerEngine
from placet.builder.settings import DEFAULT_LIMITS, Limits
from placet.errors import PlacetError, Refused, TooLarge, Unavailable
from placet.events.contracts.builder import ImageBuilt
from placet.oci import ImageConfig, fetch_artifact

from tests.support.authorities import Authority
from tests.support.encrypted_engine import encrypted_engine, folder_for
from tests.unit.builder.fake_engine import SERVES, FakeEngine, layer
from tests.unit.builder.sources import Shop

BASE = f"registry.example.org/python@sha256:{'a' * 64}"
TOOLS = f"tools@sha256:{'b' * 64}"
MANIFEST = b"""\
apiVersion: placet/v1
project: churn
model: {format: rds, path: weights}
build: {dockerfile: serving/Dockerfile}
governance: {purpose: To know who is about to leave}
card: README.md
"""
PROJECT = {
    "placet.yaml": MANIFEST,
    "weights/part-1.rds": b"the model",
    "serving/Dockerfile": f"FROM {TOOLS} AS tools\nFROM {BASE}\nCOPY --from=tools /a /b\nCOPY . /app\n".encode(),
    "README.md": b"---\nlicense: mit\n---\nProse.",
}


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


async def built(shop: Shop, engine: FakeEngine) -> ImageBuilt:
    return await shop.workshop(engine=engine).build("churn", 1, await shop.upload(PROJECT))


async def config(shop: Shop, image: ImageBuilt) -> ImageConfig:
    manifest = await shop.registry.manifest(image.repository, image.image)
    assert manifest.config is not None
    return ImageConfig.parse(await shop.registry.read_blob(image.repository, manifest.config.digest))


async def told(shop: Shop, image: ImageBuilt, kind: str) -> Any:
    """The document of this type that refers to the image, found by the image's digest alone."""
    [referrer] = await shop.registry.referrers(image.repository, image.image, artifact_type=kind)
    artifact = await fetch_artifact(shop.registry, image.repository, referrer.digest, limit=10**6)
    return json.loads(artifact.contents[0])


async def test_what_an_engine_built_is_found_by_its_digest_and_says_what_it_is(shop: Shop) -> None:
    engine = FakeEngine(run={**SERVES, "Labels": {"io.placet.python": "cp39", "of": "theirs"}})

    image = await built(shop, engine)

    assert engine.seen == sorted(PROJECT)
    labels = (await config(shop, image)).labels
    assert labels["io.placet.source"] == image.source
    assert labels["io.placet.project"] == "churn"
    assert labels["io.placet.format"] == "rds"
    assert labels["io.placet.road"] == "dockerfile"
    assert labels["of"] == "theirs"
    assert "io.placet.python" not in labels, "that speaks of the image it was built on"
    assert (image.lock, image.python, image.base) == ("none", "", BASE)
    assert labels["io.placet.base"] == BASE
    assert "Step 1/1 : of serving/Dockerfile" in shop.log()
    assert shop.leftovers() == []


async def test_the_same_layers_are_the_same_image_whenever_they_were_made(shop: Shop) -> None:
    first = await built(shop, FakeEngine())
    again = await built(shop, FakeEngine(created="2027-01-01T00:00:00Z"))

    assert (again.image, again.bom, again.provenance) == (first.image, first.bom, first.provenance)


async def test_the_bill_names_what_the_layers_say_is_in_them_and_nothing_that_went(shop: Shop) -> None:
    site = "usr/lib/python3/dist-packages"
    below = {
        f"{site}/Gone-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: Gone\nVersion: 1.0\n",
        f"{site}/numpy-2.4.6.dist-info/METADATA": b"Metadata-Version: 2.4\nName: NumPy\nVersion: 2.4.6\n"
        b"License-Expression: BSD-3-Clause\n",
        "var/lib/dpkg/status": b"Package: libgomp1\nStatus: install ok installed\nVersion: 12.2.0-14\n\n"
        b"Package: old\nStatus: deinstall ok config-files\nVersion: 1\n",
    }
    above = {f"{site}/.wh.Gone-1.0.dist-info": b"", "app/METADATA": b"Name: none\nVersion: 1\n"}

    image = await built(shop, FakeEngine(layers=(layer(below), layer(above))))

    bill = await told(shop, image, assembly_bom.MEDIA_TYPE)
    assert JsonStrictValidator(SchemaVersion.V1_7).validate_str(json.dumps(bill)) is None
    components = {each["name"]: each for each in bill["components"]}
    assert set(components) == {"churn", BASE.partition("@")[0], "numpy", "libgomp1"}
    assert components["numpy"]["purl"] == "pkg:pypi/numpy@2.4.6"
    assert components["numpy"]["licenses"][0]["expression"] == "BSD-3-Clause"
    assert components["libgomp1"]["version"] == "12.2.0-14"
    assert [each["name"] for each in components["churn"]["components"]] == ["weights/part-1.rds"]
    assert components["churn"]["modelCard"]["considerations"]["useCases"] == ["To know who is about to leave"]
    assert bill["compositions"] == [{"aggregate": "incomplete", "assemblies": ["image"]}]


async def test_provenance_says_which_engine_ran_the_steps_and_what_they_started_from(shop: Shop) -> None:
    image = await built(shop, FakeEngine())

    definition = (await told(shop, image, assembly_provenance.MEDIA_TYPE))["predicate"]["buildDefinition"]

    assert definition["buildType"] == "https://placet.dev/build/dockerfile/v1"
    assert definition["externalParameters"]["dockerfile"] == "serving/Dockerfile"
    assert definition["internalParameters"]["engine"] == "docker 1.0"
    assert definition["internalParameters"]["network"] == "none"
    assert {each["name"] for each in definition["resolvedDependencies"]} == {
        "source",
        "tools",
        "registry.example.org/python",
    }


@pytest.mark.parametrize(
    ("engine", "error", "why"),
    [
        (None, Refused, "has no Docker Engine; have its PLACET_DOCKER_HOST set"),
        (FakeEngine(run={"Cmd": ["serve"]}), Refused, "would run as root"),
        (FakeEngine(run={"Cmd": ["serve"], "User": "0:5"}), Refused, "would run as 0:5"),
        (FakeEngine(run={"Cmd": ["serve"], "User": "model"}), Refused, "write USER 65532"),
        (FakeEngine(run={"User": "65532"}), Refused, "the image starts nothing"),
        (FakeEngine(lies=True), Unavailable, "other layers than the image"),
        (FakeEngine(layers=(b"no archive",)), Unavailable, "cannot be read"),
        (FakeEngine(hangs=True), Refused, "not done after 0.5 seconds"),
        (FakeEngine(layers=(layer({"app/large": bytes(range(256)) * 64}),)), TooLarge, "the limit is 300"),
    ],
)
async def test_what_is_no_image_to_serve_ends_the_build_and_leaves_nothing(
    shop: Shop, engine: FakeEngine | None, error: type[PlacetError], why: str
) -> None:
    limits = Limits(seconds=0.5, image_bytes=300)
    if engine is not None and not engine.hangs:
        limits = Limits(image_bytes=300)
    with pytest.raises(error) as ended:
        await shop.workshop(engine=engine, limits=limits).build("churn", 1, await shop.upload(PROJECT))

    assert why in str(ended.value)
    assert f"failed: {ended.value}" in shop.log()
    assert shop.leftovers() == []


async def test_a_build_ends_with_the_builder_even_if_that_is_killed(shop: Shop, tmp_path: Path) -> None:
    asked, hung_up = asyncio.Event(), asyncio.Event()

    async def says_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        await reader.read()
        hung_up.set()
        writer.close()

    engine = await asyncio.start_unix_server(says_nothing, tmp_path / "engine.sock")
    work = docker_build.Work(
        host=f"unix://{tmp_path}/engine.sock",
        folder=str(tmp_path),
        dockerfile="Dockerfile",
        archive=str(tmp_path / "image.tar"),
        network="none",
        memory=2**28,
        size=2**28,
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", docker_build.__name__),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    async with engine:
        process.stdin.write(msgspec.json.encode(work) + b"\n")
        await asyncio.wait_for(asked.wait(), 60)

        process.stdin.close()  # as the kernel does of whoever is killed

        assert await asyncio.wait_for(process.wait(), 60) == 1
        await asyncio.wait_for(hung_up.wait(), 60)


async def test_an_engine_that_is_away_is_asked_again_later(shop: Shop, tmp_path: Path) -> None:
    engine = DockerEngine(f"unix://{tmp_path}/no.sock", limits=DEFAULT_LIMITS)
    with pytest.raises(Unavailable, match="cannot be asked"):
        await shop.workshop(engine=engine).build("churn", 1, await shop.upload(PROJECT))
    assert shop.leftovers() == []


async def test_an_engine_on_a_port_is_asked_by_tls(shop: Shop, tmp_path: Path) -> None:
    """And what answers with another authority's certificate is not asked to build."""
    ours, another = Authority(tmp_path / "ours"), Authority(tmp_path / "another")
    builder = ours.sign("builder", "builder")
    source = await shop.upload(PROJECT)
    with encrypted_engine(ours.sign("engine", "127.0.0.1"), ours) as engine:
        for believed, asked in ((another, False), (ours, True)):
            folder = folder_for(believed, tmp_path / f"believes-{asked}", builder)
            docker = DockerEngine(engine.address, limits=DEFAULT_LIMITS, certificates=folder)
            with pytest.raises(Unavailable):  # it answers to nothing but how it is
                await shop.workshop(engine=docker).build("churn", 1, source)
            assert ("builder" in engine.asked) is asked


def test_certificates_that_do_not_do_are_refused_at_the_start(tmp_path: Path) -> None:
    for host in ("tcp://engine:2376", "unix:///var/run/docker.sock"):
        with pytest.raises(Refused, match="PLACET_DOCKER_CERT_PATH"):
            DockerEngine(host, limits=DEFAULT_LIMITS, certificates=tmp_path)
