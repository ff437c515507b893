"""What the indexer says of a registry that changes under it, whichever registry that is.

Adapters subclass `LooksAtARegistry`. The indexer is the real one on a database of its own; the test is the builder that
announces, and everybody who pushes to the registry and removes from it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from placet.events.contracts.indexer import ImageIndexed, ImageUnknown, ImageVanished, TagMoved
from placet.indexer.adapters.oci_registry import RegistryImages
from placet.indexer.adapters.registry_storage import RegistryStorage
from placet.indexer.bootstrap import build
from placet.indexer.ports import Ports
from placet.indexer.projections import TABLES
from placet.indexer.settings import IndexerSettings
from placet.oci import ImageConfig, Manifest, Platform, Registry, push_artifact
from placet.oci.content import OCI_CONFIG, OCI_LAYER

from tests.contract.registry_contract import CARD
from tests.unit.gateway.roads import built
from tests.unit.hearing import OPERATION, Alone, alone

PATIENCE = timedelta(minutes=10)
TOKEN = "the-registry-s-own-token"


async def put_model(client: Registry, content: bytes = b"model", *, tag: str | None = None) -> str:
    """The digest of an image in `models/churn`, as a container tool would push it."""
    config = ImageConfig(platform=Platform(os="linux", architecture="amd64"), diff_ids=())
    kept = await client.put_blob("models/churn", config.encode(), media_type=OCI_CONFIG)
    layer = await client.put_blob("models/churn", content, media_type=OCI_LAYER)
    return await client.put_manifest("models/churn", Manifest.image(config=kept, layers=[layer]), tag=tag)


async def look(indexer: Alone) -> None:
    (periodic,) = indexer.service.periodic
    await periodic.run()


class LooksAtARegistry:
    """The cases. A subclass gives the fixture `client`, empty and open."""

    @pytest.fixture
    async def indexer(self, tmp_path: Path, client: Registry) -> AsyncIterator[Alone]:
        settings = IndexerSettings(
            registry=client.address,
            announce_seconds=PATIENCE.total_seconds(),
            notification_token=TOKEN,
        )
        ports = Ports(images=RegistryImages(client), storage=RegistryStorage(client))
        async with alone(
            "indexer", tmp_path / "indexer", lambda wiring: build(settings, wiring, ports), tables=(TABLES,)
        ) as one:
            yield one

    async def test_looking_again_at_what_is_as_it_was_says_nothing(
        self, client: Registry, indexer: Alone
    ) -> None:
        image = await put_model(client, tag="v1")
        await indexer.hear(built(image=image))
        certificate = await push_artifact(client, "models/churn", artifact_type=CARD, subject=image)
        for _ in range(3):
            await look(indexer)
            indexer.clock.pass_(2 * PATIENCE)

        (indexed,) = await indexer.said()
        assert isinstance(indexed, ImageIndexed)
        assert certificate.digest not in str(await indexer.said())

    async def test_an_image_that_is_removed_has_vanished_and_one_put_back_is_indexed_again(
        self, client: Registry, indexer: Alone
    ) -> None:
        image = await put_model(client)
        await indexer.hear(built(image=image))
        await client.delete_manifest("models/churn", image)
        for _ in range(2):
            await look(indexer)
        indexed, vanished = await indexer.said()
        assert isinstance(vanished, ImageVanished)
        assert (vanished.project, vanished.release, vanished.image) == ("churn", 1, image)
        assert image in vanished.why

        await put_model(client)
        for _ in range(2):
            await look(indexer)
        assert await indexer.said() == [indexed, vanished, indexed]
        assert {each.event.correlationid for each in await indexer.recorded()} == {OPERATION}

    async def test_an_image_of_two_releases_vanishes_as_the_last_one_s(
        self, client: Registry, indexer: Alone
    ) -> None:
        image = await put_model(client)
        for release in (1, 2):
            await indexer.hear(built(image=image, release=release))
        await client.delete_manifest("models/churn", image)
        await look(indexer)
        *_, vanished = await indexer.said()
        assert (type(vanished), vanished.release) == (ImageVanished, 2)

    async def test_an_announced_image_that_comes_late_is_indexed_when_it_is_there(
        self, client: Registry, indexer: Alone
    ) -> None:
        image = await put_model(client)
        await client.delete_manifest("models/churn", image)
        await indexer.hear(built(image=image))
        await put_model(client)
        await look(indexer)
        assert [type(each) for each in await indexer.said()] == [ImageVanished, ImageIndexed]

    async def test_an_image_that_nobody_announces_is_unknown_once_its_announcement_had_time(
        self, client: Registry, indexer: Alone
    ) -> None:
        await push_artifact(client, "models/churn", artifact_type=CARD, tag="card")
        image = await put_model(client, tag="theirs")
        await look(indexer)
        assert await indexer.said() == []
        indexer.clock.pass_(PATIENCE)
        for _ in range(2):
            await look(indexer)
        unknown = ImageUnknown(project="churn", image=image, repository="models/churn", tag="theirs")
        assert await indexer.said() == [unknown]

    async def test_an_image_that_is_announced_in_time_is_never_unknown(
        self, client: Registry, indexer: Alone
    ) -> None:
        image = await put_model(client, tag="ours")
        await look(indexer)
        await indexer.hear(built(image=image))
        indexer.clock.pass_(2 * PATIENCE)
        await look(indexer)
        assert [type(each) for each in await indexer.said()] == [ImageIndexed]

    async def test_a_tag_that_moves_is_told_each_time(self, client: Registry, indexer: Alone) -> None:
        first = await put_model(client, b"first", tag="latest")
        await look(indexer)
        second = await put_model(client, b"second", tag="latest")
        for _ in range(2):
            await look(indexer)
        await put_model(client, b"first", tag="latest")
        await look(indexer)
        assert [(each.before, each.image) for each in await indexer.said()] == [
            (first, second),
            (second, first),
        ]
        assert {(type(each), each.tag) for each in await indexer.said()} == {(TagMoved, "latest")}

    async def test_a_repository_of_no_model_is_not_looked_at(self, client: Registry, indexer: Alone) -> None:
        await push_artifact(client, "sources", artifact_type=CARD, tag="v1")
        await look(indexer)
        indexer.clock.pass_(2 * PATIENCE)
        await look(indexer)
        assert await indexer.said() == []

    async def test_a_notification_has_the_indexer_look_and_is_not_believed(
        self, client: Registry, indexer: Alone
    ) -> None:
        there, gone = await put_model(client, b"there"), await put_model(client, b"gone")
        for image in (there, gone):
            await indexer.hear(built(image=image))
        await client.delete_manifest("models/churn", gone)
        answer = await notify(indexer, client, "delete", there)
        assert answer == (202, {"looks": 1})
        await indexer.work_off()
        *_, vanished = await indexer.said()
        assert (type(vanished), vanished.image) == (ImageVanished, gone)
        assert len(await indexer.said()) == 3

    async def test_an_untagged_image_that_a_notification_names_is_met(
        self, client: Registry, indexer: Alone
    ) -> None:
        image = await put_model(client)
        await notify(indexer, client, "push", image)
        await indexer.work_off()
        indexer.clock.pass_(2 * PATIENCE)
        await look(indexer)
        assert [(type(each), each.image) for each in await indexer.said()] == [(ImageUnknown, image)]


async def notify(
    indexer: Alone, client: Registry, action: str, digest: str, *, token: str = TOKEN
) -> tuple[int, Any]:
    """As Docker's distribution does: with all it knows, and with its own names of repositories."""
    prefix = client.address.partition("://")[2].partition("/")[2] if "://" in client.address else ""
    repository = f"{prefix}/models/churn" if prefix else "models/churn"
    event = {
        "id": "320678d8-ca14-430f-8bb6-4ca139cd83f7",
        "timestamp": "2016-03-09T14:44:26.402973972-08:00",
        "action": action,
        "target": {
            "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
            "size": 708,
            "digest": digest,
            "length": 708,
            "repository": repository,
            "url": f"http://registry/v2/{repository}/manifests/{digest}",
        },
        "request": {"id": "6df24a34-0959-4923-81ca-14f09767db19", "method": "PUT"},
        "actor": {},
        "source": {"addr": "xtal.local:5000", "instanceID": "a53db899-3b4b-4a62-a067-8dd013beaca4"},
    }
    async with indexer.http(token) as http:
        answer = await http.post("/v1/registry/notifications", json={"events": [event]})
    return answer.status_code, answer.json()
