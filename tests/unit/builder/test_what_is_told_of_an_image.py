"""What lies beside each image: a bill of materials, checked by CycloneDX's own validator, and SLSA provenance."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from placet.builder import assembly_bom, assembly_provenance
from placet.builder.assembly import BuiltImage
from placet.builder.assembly_image import Base
from placet.builder.layers import files_below
from placet.builder.layers_packages import package_facts
from placet.builder.ports import Target
from placet.oci import Registry, fetch_artifact, sha256_digest
from placet.projects import Card
from placet.projects.manifest import DataSet

from tests.unit.builder.fake_index import Wheel
from tests.unit.builder.workshop import PLAN, PROJECT, WHEELS, Workshop, put_base

TOLD = replace(
    PLAN,
    card=Card(
        licence="apache-2.0",
        tags=("tabular", "churn"),
        datasets=("calls", "wdbc"),
        metrics=("accuracy",),
        languages=("en",),
    ),
    purpose="Who is about to leave?",
    data=(
        DataSet(name="calls", origin="our own", licence="CC-BY-4.0", personal_data=True),
        DataSet(name="prices"),
    ),
)
LICENSED = {
    "light": replace(WHEELS["light"], licence="License-Expression: MIT OR Apache-2.0\n"),
    "heavy": replace(WHEELS["heavy"], licence="License: Heavy Public License\n"),
    "server": replace(WHEELS["server"], licence="Classifier: License :: OSI Approved :: BSD License\n"),
}


async def told(registry: Registry, image: BuiltImage, kind: str) -> Any:
    """The document of this type that refers to the image, found by the image's digest alone."""
    [referrer] = await registry.referrers(image.repository, image.digest, artifact_type=kind)
    artifact = await fetch_artifact(registry, image.repository, referrer.digest, limit=10**6)
    assert artifact.manifest.subject is not None
    assert artifact.manifest.subject.digest == image.digest
    [content] = artifact.contents
    return json.loads(content)


async def bom(workshop: Workshop, image: BuiltImage) -> Any:
    return await told(workshop.registry, image, assembly_bom.MEDIA_TYPE)


async def statement(workshop: Workshop, image: BuiltImage) -> Any:
    return await told(workshop.registry, image, assembly_provenance.MEDIA_TYPE)


def named(components: Iterable[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {component["name"]: component for component in components}


def sha256(content: bytes) -> str:
    return sha256_digest(content).removeprefix("sha256:")


@pytest.mark.parametrize("plan", [PLAN, TOLD, replace(TOLD, model="models"), replace(TOLD, card=Card())])
@pytest.mark.parametrize("on_a_base", [False, True])
async def test_the_bill_is_what_cyclonedx_says_one_is(workshop: Workshop, plan: Any, on_a_base: bool) -> None:
    workshop.packages.wheels = LICENSED
    base = None
    if on_a_base:
        bottom = await put_base(workshop.registry)
        base = Base(registry=workshop.registry, repository="bases/python", digest=bottom.digest)

    image = await workshop.build(workshop.project(PROJECT), plan, base=base)

    text = json.dumps(await bom(workshop, image))
    assert JsonStrictValidator(SchemaVersion.V1_7).validate_str(text) is None
    assert ('"base"' in text) == on_a_base


async def test_every_locked_package_is_in_it_with_version_hash_and_licence(workshop: Workshop) -> None:
    workshop.packages.wheels = LICENSED
    image = await workshop.build(workshop.project(PROJECT))

    components = named((await bom(workshop, image))["components"])

    assert components["light"]["purl"] == "pkg:pypi/light@1.0"
    assert components["light"]["version"] == "1.0"
    [locked] = components["light"]["hashes"]
    lock = (await workshop.files(image))["app/requirements.lock"].decode()
    assert f"light==1.0 --hash=sha256:{locked['content']}" in lock
    assert components["light"]["licenses"] == [
        {"expression": "MIT OR Apache-2.0", "acknowledgement": "declared"}
    ]
    assert components["heavy"]["licenses"][0]["license"]["name"] == "Heavy Public License"
    assert components["server"]["licenses"][0]["license"]["name"] == "BSD License"
    assert components["placet-runtime"]["version"]
    packages = {name for name, component in components.items() if "purl" in component}
    assert packages == {"light", "heavy", "server"}


async def test_it_says_who_needs_whom(workshop: Workshop) -> None:
    image = await workshop.build(workshop.project(PROJECT))

    needs = {each["ref"]: each["dependsOn"] for each in (await bom(workshop, image))["dependencies"]}

    assert needs["image"] == ["model", "placet-connections", "placet-runtime"]
    assert needs["model"] == ["pkg:pypi/heavy@2.0", "pkg:pypi/light@1.0"]
    assert needs["placet-runtime"] == ["pkg:pypi/server@3.0"]
    assert needs["pkg:pypi/server@3.0"] == ["pkg:pypi/light@1.0"]
    assert needs["pkg:pypi/light@1.0"] == []


async def test_the_model_is_a_component_with_its_digest_and_the_words_of_its_card(workshop: Workshop) -> None:
    image = await workshop.build(workshop.project(PROJECT), TOLD)

    model = named((await bom(workshop, image))["components"])["churn"]

    assert model["type"] == "machine-learning-model"
    assert model["hashes"] == [{"alg": "SHA-256", "content": sha256(b"the model")}]
    assert {"name": "placet:format", "value": "python"} in model["properties"]
    assert model["licenses"][0]["expression"] == "Apache-2.0"
    assert model["tags"] == ["churn", "tabular"]
    card = model["modelCard"]
    assert card["considerations"]["useCases"] == ["Who is about to leave?"]
    assert card["quantitativeAnalysis"]["performanceMetrics"] == [{"type": "accuracy"}]
    assert [data["name"] for data in card["modelParameters"]["datasets"]] == ["calls", "prices", "wdbc"]
    assert card["modelParameters"]["datasets"][0]["sensitiveData"] == ["personal data"]


async def test_of_a_model_that_is_a_folder_every_file_is_told(workshop: Workshop) -> None:
    project = workshop.project({**PROJECT, "models/weights.bin": b"weights"})
    image = await workshop.build(project, replace(PLAN, model="models"))

    model = named((await bom(workshop, image))["components"])["churn"]

    assert "hashes" not in model
    files = {name: file["hashes"][0]["content"] for name, file in named(model["components"]).items()}
    assert files == {"models/model.bin": sha256(b"the model"), "models/weights.bin": sha256(b"weights")}


async def test_a_card_that_nobody_wrote_is_not_made_up(workshop: Workshop) -> None:
    image = await workshop.build(workshop.project(PROJECT))

    model = named((await bom(workshop, image))["components"])["churn"]

    assert "modelCard" not in model
    assert "licenses" not in model


async def test_provenance_names_everything_that_went_in_by_its_digest(workshop: Workshop) -> None:
    bottom = await put_base(workshop.registry)
    base = Base(registry=workshop.registry, repository="bases/python", digest=bottom.digest)
    image = await workshop.build(workshop.project(PROJECT), base=base)

    said = await statement(workshop, image)

    hexadecimal = image.digest.removeprefix("sha256:")
    assert said["_type"] == "https://in-toto.io/Statement/v1"
    assert said["subject"] == [{"name": "models/churn", "digest": {"sha256": hexadecimal}}]
    assert said["predicateType"] == "https://slsa.dev/provenance/v1"
    definition = said["predicate"]["buildDefinition"]
    assert definition["externalParameters"] == {"project": "churn", "source": PLAN.source}
    assert definition["internalParameters"]["base"] == f"bases/python@{bottom.digest}"
    inputs = {each["name"]: each for each in definition["resolvedDependencies"]}
    assert set(inputs) == {"source", "requirements.lock", "bases/python", "light", "heavy", "server"}
    assert inputs["source"]["digest"] == {"sha256": "5" * 64}
    assert inputs["requirements.lock"]["digest"] == {"sha256": image.lock_digest.removeprefix("sha256:")}
    assert inputs["bases/python"]["digest"] == {"sha256": bottom.digest.removeprefix("sha256:")}
    for name in ("light", "heavy", "server"):
        assert inputs[name]["uri"].startswith(f"pkg:pypi/{name}@")
        assert len(inputs[name]["digest"]["sha256"]) == 64
    run = said["predicate"]["runDetails"]
    assert run["builder"] == {"id": "https://placet.dev/builder", "version": {"placet-builder": "1.0"}}
    [of_bom] = run["byproducts"]
    artifact = await fetch_artifact(workshop.registry, image.repository, image.bom, limit=10**6)
    assert of_bom["digest"]["sha256"] == sha256(artifact.contents[0])


async def test_the_same_image_is_told_of_in_the_same_bytes_whatever_was_cached(
    workshop: Workshop, tmp_path: Path
) -> None:
    first = await workshop.build(workshop.project(PROJECT), TOLD)
    elsewhere = Workshop(tmp_path / "elsewhere")

    warm = await workshop.build(workshop.project(PROJECT), TOLD)
    cold = await elsewhere.build(elsewhere.project(PROJECT, "another"), TOLD)

    assert (warm.bom, warm.provenance) == (first.bom, first.provenance)
    assert (cold.bom, cold.provenance) == (first.bom, first.provenance)


async def test_a_second_build_lays_nothing_more_beside_the_image(workshop: Workshop) -> None:
    image = await workshop.build(workshop.project(PROJECT))
    await workshop.build(workshop.project(PROJECT))

    referrers = await workshop.registry.referrers(image.repository, image.digest)

    assert {each.digest for each in referrers} == {image.bom, image.provenance}


async def test_what_is_told_changes_nothing_in_the_image(workshop: Workshop) -> None:
    silent = await workshop.build(workshop.project(PROJECT))
    spoken = await workshop.build(workshop.project(PROJECT), TOLD)

    assert spoken.digest == silent.digest
    assert spoken.bom != silent.bom


@pytest.mark.parametrize(
    ("metadata", "licence", "is_spdx"),
    [
        ("License-Expression: bsd-3-clause and mit\n", "BSD-3-Clause AND MIT", True),
        ("License: MIT\n", "MIT", True),
        ("License: Apache 2.0\n", "Apache 2.0", False),
        (
            f"License: {'the whole text ' * 20}\nClassifier: License :: OSI Approved :: MIT License\n",
            "MIT License",
            False,
        ),
        (
            "License:\n                    GNU AFFERO GENERAL PUBLIC LICENSE\n        Version 3\n        \n"
            "         Everyone is permitted to copy this license document.\n",
            "GNU AFFERO GENERAL PUBLIC LICENSE",
            False,
        ),
        ("License-Expression: ((((\nClassifier: License :: Freeware\n", "Freeware", False),
        ("License-Expression: \x00 or __import__\n", "", False),
        ("License: \x00MIT\nClassifier: License :: Freeware\n", "Freeware", False),
        (f"Classifier: License :: {'long' * 1000}\n", "", False),
        pytest.param("Content-Type: message/rfc822\n\n" * 5000, "", False, id="mails in a mail"),
        ("Summary: none\n", "", False),
    ],
)
def test_a_licence_is_what_the_wheel_declares(
    tmp_path: Path, metadata: str, licence: str, is_spdx: bool
) -> None:
    (tmp_path / "light-1.0.dist-info").mkdir()
    (tmp_path / "light-1.0.dist-info" / "METADATA").write_text(f"Metadata-Version: 2.4\n{metadata}\ntext\n")

    facts = package_facts("light", files_below(tmp_path), Target(python="cp311", platform="linux/amd64"))

    assert (facts.licence, facts.is_spdx) == (licence, is_spdx)


async def test_a_package_locked_to_several_files_is_told_with_all_of_them(workshop: Workshop) -> None:
    workshop.packages.wheels = {
        **WHEELS,
        "light": Wheel("1.0+cpu", {"light/__init__.py": b""}, files_locked=2),
    }
    image = await workshop.build(workshop.project(PROJECT))

    light = named((await bom(workshop, image))["components"])["light"]
    inputs = (await statement(workshop, image))["predicate"]["buildDefinition"]["resolvedDependencies"]

    assert light["purl"] == "pkg:pypi/light@1.0%2Bcpu"
    assert len(light["hashes"]) == 2
    assert len(next(each for each in inputs if each["name"] == "light")["annotations"]["sha256"]) == 2
