"""An image in a real registry, with what lies beside it found by its digest: by us, and as the specification says."""

from __future__ import annotations

import json
import secrets
from pathlib import Path

import httpx
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from placet.builder import assembly_bom, assembly_provenance
from placet.oci import fetch_artifact, open_registry

from tests.support.servers import Registry as RegistryServer
from tests.unit.builder.workshop import PROJECT, Workshop


async def test_what_is_told_of_an_image_is_found_by_its_digest(
    registry: RegistryServer, tmp_path: Path
) -> None:
    prefix = f"test-{secrets.token_hex(6)}"
    workshop = Workshop(tmp_path)
    async with open_registry(f"{registry.url}/{prefix}") as client:
        workshop.registry = client
        image = await workshop.build(workshop.project(PROJECT))
        again = await workshop.build(workshop.project(PROJECT))

        listed = {each.artifact_type: each for each in await client.referrers(image.repository, image.digest)}
        assert (again.bom, again.provenance) == (image.bom, image.provenance)
        assert {kind: each.digest for kind, each in listed.items()} == {
            assembly_bom.MEDIA_TYPE: image.bom,
            assembly_provenance.MEDIA_TYPE: image.provenance,
        }
        bom = await fetch_artifact(client, image.repository, image.bom, limit=10**6)
    text = bom.contents[0].decode()
    assert JsonStrictValidator(SchemaVersion.V1_7).validate_str(text) is None
    assert image.digest in text
    listing = await _as_specified(f"{registry.url}/v2/{prefix}/{image.repository}", image.digest)
    assert listing == {image.bom, image.provenance}


async def _as_specified(repository: str, image: str) -> set[str]:
    """The listing that any client reads: of the referrers API, or else of the tag schema."""
    async with httpx.AsyncClient(timeout=60) as http:
        answer = await http.get(f"{repository}/referrers/{image}")
        if answer.status_code == 404:
            answer = await http.get(
                f"{repository}/manifests/{image.replace(':', '-')}",
                headers={"Accept": "application/vnd.oci.image.index.v1+json"},
            )
        return {each["digest"] for each in json.loads(answer.raise_for_status().content)["manifests"]}
