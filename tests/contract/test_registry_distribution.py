"""The contract of a registry, over a real one that speaks the distribution API."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator

import pytest
from placet.oci import Manifest, Registry, open_registry, push_artifact
from placet.oci.referrers import referrers_tag

from tests.contract.registry_contract import CARD, SCAN, RegistryContract, put_image
from tests.support.servers import Registry as RegistryServer


@pytest.fixture
async def client(registry: RegistryServer) -> AsyncIterator[Registry]:
    async with open_registry(f"{registry.url}/test-{secrets.token_hex(6)}") as opened:
        yield opened


class TestDistributionRegistry(RegistryContract):
    pass


async def test_a_referrer_that_another_writer_dropped_from_the_listing_is_still_found(
    client: Registry,
) -> None:
    image = await put_image(client, "models/churn", tag="v1")
    card = await push_artifact(client, "models/churn", artifact_type=CARD, subject=image.digest)
    scan = await push_artifact(client, "models/churn", artifact_type=SCAN, subject=image.digest)

    without_card = Manifest.index([scan.referrer])
    await client.put_manifest("models/churn", without_card, tag=referrers_tag(image.digest))

    listed = await client.referrers("models/churn", image.digest)
    assert {entry.digest for entry in listed} == {card.digest, scan.digest}


async def test_a_referrer_that_another_tool_listed_is_found(client: Registry) -> None:
    image = await put_image(client, "models/churn", tag="v1")
    theirs = await put_image(client, "models/churn", b"theirs")

    index = Manifest.index([theirs.descriptor])
    await client.put_manifest("models/churn", index, tag=referrers_tag(image.digest))

    listed = await client.referrers("models/churn", image.digest)
    assert [entry.digest for entry in listed] == [theirs.digest]
