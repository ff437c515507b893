"""What lies beside an image in the registry, as rules see it."""

from __future__ import annotations

from pathlib import Path

import pytest
from placet.certifier.adapters.registry_contents import BOM_TYPE, RegistryContents
from placet.oci import ArtifactFile, ImageLayout, push_artifact
from placet.rules.contents import MAX_BOM_BYTES

from tests.unit.certifier.test_certifier_handlers import an_image

REPOSITORY = "models/churn"
BILL = (
    b'{"bomFormat": "CycloneDX", "components": [{"type": "library", "name": "numpy", "version": "2.3.5",'
    b' "purl": "pkg:pypi/numpy@2.3.5", "licenses": [{"expression": "BSD-3-Clause"}]}]}'
)


@pytest.fixture
def registry(tmp_path: Path) -> ImageLayout:
    return ImageLayout(tmp_path / "registry")


async def lay_beside(registry: ImageLayout, image: str, content: bytes, kind: str = BOM_TYPE) -> str:
    file = ArtifactFile(content=content, media_type=kind)
    manifest = await push_artifact(registry, REPOSITORY, artifact_type=kind, files=(file,), subject=image)
    return manifest.digest


async def test_the_packages_of_an_image_are_those_of_the_bill_of_materials_beside_it(
    registry: ImageLayout,
) -> None:
    image = await an_image(registry)
    digest = await lay_beside(registry, image, BILL)
    await lay_beside(registry, image, b"{}", "application/vnd.in-toto+json")

    said = await RegistryContents(registry).of_image(REPOSITORY, image)

    assert (said["bills"], said["problem"]) == ([digest], "")
    [package] = said["packages"]
    assert (package["name"], package["version"], package["choices"]) == ("numpy", "2.3.5", [["BSD-3-Clause"]])


async def test_an_image_with_nothing_beside_it_has_no_bill(registry: ImageLayout) -> None:
    said = await RegistryContents(registry).of_image(REPOSITORY, await an_image(registry))
    assert (said["bills"], said["packages"]) == ([], [])


@pytest.mark.parametrize("content", [b"not JSON", b" " * (MAX_BOM_BYTES + 1)])
async def test_one_that_cannot_be_read_is_a_problem_whatever_the_others_say(
    registry: ImageLayout, content: bytes
) -> None:
    image = await an_image(registry)
    await lay_beside(registry, image, BILL)
    unread = await lay_beside(registry, image, content)

    said = await RegistryContents(registry).of_image(REPOSITORY, image)

    assert said["problem"] == f"{unread} is no bill of materials that can be read"
    assert [each["name"] for each in said["packages"]] == ["numpy"]
