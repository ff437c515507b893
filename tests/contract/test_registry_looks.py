"""The indexer's looks, at a folder and at a real registry over the network."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from placet.errors import Unavailable
from placet.events.contracts.indexer import ImageIndexed, ImageUnknown, ImageVanished
from placet.indexer import api
from placet.oci import ImageLayout, Registry, open_registry
from placet.oci.content import OCTET_STREAM

from tests.contract.registry_looks import PATIENCE, TOKEN, LooksAtARegistry, look, notify, put_model
from tests.support.servers import Registry as RegistryServer
from tests.unit.gateway.roads import built
from tests.unit.hearing import Alone


class TestLooksAtAFolder(LooksAtARegistry):
    @pytest.fixture
    def client(self, tmp_path: Path) -> Registry:
        return ImageLayout(tmp_path / "registry")

    async def test_an_untagged_image_that_nobody_announces_is_unknown_too(
        self, client: Registry, indexer: Alone
    ) -> None:
        image = await put_model(client)
        await look(indexer)
        indexer.clock.pass_(PATIENCE)
        await look(indexer)
        assert [(type(each), each.image) for each in await indexer.said()] == [(ImageUnknown, image)]

    async def test_a_folder_that_is_not_mounted_is_away_and_no_image_has_vanished(
        self, client: Registry, indexer: Alone, tmp_path: Path
    ) -> None:
        await indexer.hear(built(image=await put_model(client)))
        folder, elsewhere = tmp_path / "registry", tmp_path / "elsewhere"
        folder.rename(elsewhere)
        with pytest.raises(Unavailable, match="not there"):
            await look(indexer)
        elsewhere.rename(folder)
        await look(indexer)
        assert [type(each) for each in await indexer.said()] == [ImageIndexed]

    async def test_a_manifest_whose_bytes_are_lost_has_vanished(
        self, client: Registry, indexer: Alone, tmp_path: Path
    ) -> None:
        image = await put_model(client)
        await indexer.hear(built(image=image))
        shutil.rmtree(tmp_path / "registry" / "models" / "churn" / "blobs")
        await look(indexer)
        assert [type(each) for each in await indexer.said()] == [ImageIndexed, ImageVanished]

    async def test_no_more_looks_wait_than_are_worth_keeping(
        self, client: Registry, indexer: Alone, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(api, "MOST_WAITING", 3)
        digests = [f"sha256:{number:064x}" for number in range(5)]
        answers = [(await notify(indexer, client, "push", each))[0] for each in digests]
        assert answers == [202, 202, 202, 503, 503]
        assert await asked_for(indexer, 4) == 413
        await indexer.work_off()
        assert await asked_for(indexer, 2) == 202
        assert await asked_for(indexer, 2) == 503, "it asks for one more than there is room"

    async def test_a_notification_of_somebody_else_is_not_taken(
        self, client: Registry, indexer: Alone
    ) -> None:
        for token in ("another", ""):
            status, _ = await notify(indexer, client, "push", f"sha256:{'1' * 64}", token=token)
            assert status == 401

    @pytest.mark.parametrize("body", [b"", b"[]", b'{"events": 1}', b"\xff", b"[" * 10_000])
    async def test_what_is_no_notification_is_unreadable(self, indexer: Alone, body: bytes) -> None:
        async with indexer.http("the-registry-s-own-token") as http:
            answer = await http.post("/v1/registry/notifications", content=body)
        assert answer.status_code == 400

    async def test_what_a_notification_tells_of_others_or_of_reads_is_not_looked_at(
        self, client: Registry, indexer: Alone
    ) -> None:
        events = [
            {"action": "pull", "target": {"repository": "models/churn"}},
            {"action": "push", "target": {"repository": "models/churn", "mediaType": OCTET_STREAM}},
            {"action": "push", "target": {"repository": "sources", "digest": f"sha256:{'1' * 64}"}},
            {"action": "push", "target": {"repository": "models/../../etc"}},
            {"action": "push"},
        ]
        async with indexer.http("the-registry-s-own-token") as http:
            answer = await http.post("/v1/registry/notifications", json={"events": events})
        assert answer.json() == {"looks": 0}


class TestLooksAtADistribution(LooksAtARegistry):
    @pytest.fixture
    async def client(self, registry: RegistryServer) -> AsyncIterator[Registry]:
        registry.start()
        async with open_registry(f"{registry.url}/test-{secrets.token_hex(6)}") as opened:
            yield opened

    async def test_a_registry_that_is_away_says_nothing_of_its_images(
        self, client: Registry, indexer: Alone, registry: RegistryServer
    ) -> None:
        await indexer.hear(built(image=await put_model(client)))
        registry.stop()
        with pytest.raises(Unavailable):
            await look(indexer)
        registry.start()
        await look(indexer)
        assert [type(each) for each in await indexer.said()] == [ImageIndexed]


async def asked_for(indexer: Alone, count: int) -> int:
    """How a notification of so many images is answered."""
    image = "application/vnd.oci.image.manifest.v1+json"
    targets = [
        {"repository": "models/churn", "mediaType": image, "digest": f"sha256:{number:064x}"}
        for number in range(count)
    ]
    async with indexer.http(TOKEN) as http:
        events = [{"action": "push", "target": each} for each in targets]
        answer = await http.post("/v1/registry/notifications", json={"events": events})
    return answer.status_code
