"""What the registry says of an image, read back from it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st
from placet.errors import Unavailable
from placet.events.contracts.indexer import ImageIndexed, ImageUnknown, ImageVanished, TagMoved
from placet.events.testing import changed, given
from placet.indexer.adapters.oci_registry import RegistryImages
from placet.indexer.adapters.registry_storage import RegistryStorage
from placet.indexer.bootstrap import build
from placet.indexer.domain import IMAGE as INDEX
from placet.indexer.domain import STRANGER, TAG, Found, Index, Meet, Missing, Point
from placet.indexer.ports import Listed, Ports
from placet.indexer.projections import TABLES
from placet.indexer.settings import IndexerSettings
from placet.oci import ImageLayout, Manifest

from tests.unit.gateway.roads import IMAGE, SOURCE, built, reused
from tests.unit.hearing import Alone, alone

LABELS = {
    "io.placet.source": SOURCE,
    "io.placet.project": "churn",
    "io.placet.format": "sklearn",
    "io.placet.lock": f"sha256:{'7' * 64}",
    "io.placet.base": "none",
    "io.placet.python": "cp311",
    "io.placet.builder": "1",
    "org.opencontainers.image.title": "churn",
}
FOUND = Found(labels=LABELS, size=67, layers=4)
MISSING = Missing(why="the registry has no such image")


def index(seen: Found | Missing, image: str = IMAGE) -> Index:
    return Index(project="churn", release=1, source=SOURCE, image=image, repository="models/churn", seen=seen)


INDEXED = ImageIndexed(
    project="churn",
    release=1,
    source=SOURCE,
    image=IMAGE,
    repository="models/churn",
    image_source=SOURCE,
    image_project="churn",
    format="sklearn",
    lock=f"sha256:{'7' * 64}",
    base="none",
    python="cp311",
    builder="1",
    size=67,
    layers=4,
)
VANISHED = ImageVanished(
    project="churn", release=1, image=IMAGE, repository="models/churn", why="the registry has no such image"
)


def test_an_image_is_indexed_as_what_its_labels_say() -> None:
    given(INDEX).when(index(FOUND)).then(INDEXED)


def test_labels_that_are_not_there_are_empty_and_not_guessed() -> None:
    bare = changed(
        INDEXED, image_source="", image_project="", format="", lock="", base="", python="", builder=""
    )
    given(INDEX).when(index(replace(FOUND, labels={}))).then(bare)


def test_an_image_of_another_source_is_told_as_it_is() -> None:
    other = f"sha256:{'6' * 64}"
    lying = replace(FOUND, labels={**LABELS, "io.placet.source": other})
    given(INDEX).when(index(lying)).then(changed(INDEXED, image_source=other))


def test_an_image_that_was_announced_and_is_not_there_has_vanished() -> None:
    given(INDEX).when(index(MISSING)).then(VANISHED)


def test_what_is_seen_again_as_it_was_is_not_told_again() -> None:
    given(INDEX, INDEXED).when(index(FOUND)).then()
    given(INDEX, VANISHED).when(index(MISSING)).then()


def test_an_image_that_goes_has_vanished_and_one_that_comes_back_is_indexed_again() -> None:
    given(INDEX, INDEXED).when(index(MISSING)).then(VANISHED)
    given(INDEX, INDEXED, VANISHED).when(index(FOUND)).then(INDEXED)


@for_all(st.lists(st.tuples(st.sampled_from([FOUND, MISSING]), st.sampled_from("abc")), max_size=12))
def test_what_was_said_last_of_each_image_is_what_was_seen_last_and_never_twice(asked: list[Any]) -> None:
    history: list[Any] = []
    for seen, name in asked:
        before = INDEX.fold(history)
        happened = INDEX.decide(index(seen, name), before)
        assert INDEX.fold_on(before, happened) == INDEX.fold([*history, *happened])
        history += happened
    for name in {name for _, name in asked}:
        said = [isinstance(event, ImageIndexed) for event in history if event.image == name]
        assert all(one != next_one for one, next_one in pairwise(said))
        assert said[-1] is isinstance([seen for seen, of in asked if of == name][-1], Found)


def test_an_image_that_nobody_announced_is_told_once_and_not_before_its_announcement_had_time() -> None:
    minute = timedelta(minutes=1)
    meet = Meet(
        project="churn",
        image=IMAGE,
        repository="models/churn",
        tag="v1",
        known_for=0 * minute,
        patience=minute,
    )
    unknown = ImageUnknown(project="churn", image=IMAGE, repository="models/churn", tag="v1")
    given(STRANGER).when(meet).then()
    given(STRANGER).when(replace(meet, known_for=minute)).then(unknown)
    given(STRANGER, unknown).when(replace(meet, known_for=2 * minute)).then()


def test_a_tag_that_moves_is_told_from_where_to_where() -> None:
    point = Point(project="churn", repository="models/churn", tag="v1", before=SOURCE, image=IMAGE)
    moved = TagMoved(project="churn", repository="models/churn", tag="v1", before=SOURCE, image=IMAGE)
    given(TAG).when(point).then(moved)
    given(TAG, moved).when(point).then()
    given(TAG).when(replace(point, before=IMAGE)).then()
    back = replace(point, before=IMAGE, image=SOURCE)
    given(TAG, moved).when(back).then(changed(moved, before=IMAGE, image=SOURCE))


# the service


@dataclass
class Shelf:
    """The `Images` port."""

    seen: Found | Missing = FOUND
    trouble: list[Exception] = field(default_factory=list)
    gone: bool = False

    async def look_up(self, repository: str, image: str) -> Found | Missing:
        if self.trouble:
            raise self.trouble.pop(0)
        return self.seen

    async def is_there(self, repository: str, image: str) -> bool:
        return not self.gone

    async def repositories(self) -> Sequence[str] | None:
        return None

    async def listed(self, repository: str) -> Sequence[Listed]:
        return ()

    async def is_image(self, repository: str, digest: str) -> bool:
        return False


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
async def indexer(tmp_path: Path, shelf: Shelf) -> AsyncIterator[Alone]:
    settings = IndexerSettings(registry=str(tmp_path))
    ports = Ports(images=shelf, storage=RegistryStorage(ImageLayout(tmp_path)))
    async with alone(
        "indexer", tmp_path, lambda wiring: build(settings, wiring, ports), tables=(TABLES,)
    ) as one:
        yield one


@pytest.mark.parametrize("announced", [built(), reused()])
async def test_whatever_the_builder_announces_is_looked_at(indexer: Alone, announced: Any) -> None:
    heard = indexer.heard(announced)
    await indexer.handle(heard)
    await indexer.handle(heard)
    assert await indexer.said() == [INDEXED]


async def test_a_registry_that_is_away_is_waited_for(indexer: Alone, shelf: Shelf) -> None:
    shelf.trouble = [Unavailable("away")]
    heard = indexer.heard(built())
    with pytest.raises(Unavailable):
        await indexer.handle(heard)
    await indexer.handle(heard)
    assert await indexer.said() == [INDEXED]


# the registry


async def image_in(registry: ImageLayout, config: Any, labels: Any = None) -> str:
    body = config if isinstance(config, bytes) else msgspec.json.encode(config)
    blob = await registry.put_blob("models/churn", body)
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": blob.digest,
            "size": blob.size,
        },
        "layers": [],
    }
    return await registry.put_manifest("models/churn", Manifest.parse(msgspec.json.encode(manifest)))


def config_with(labels: Any) -> dict[str, Any]:
    return {
        "os": "linux",
        "architecture": "amd64",
        "rootfs": {"type": "layers", "diff_ids": []},
        "config": {"Labels": labels},
    }


async def test_labels_are_read_from_the_image_s_own_configuration(tmp_path: Path) -> None:
    registry = ImageLayout(tmp_path)
    digest = await image_in(registry, config_with(LABELS))
    found = await RegistryImages(registry).look_up("models/churn", digest)
    assert found == Found(labels=LABELS, size=0, layers=0)


async def test_what_the_registry_does_not_have_is_missing(tmp_path: Path) -> None:
    seen = await RegistryImages(ImageLayout(tmp_path)).look_up("models/churn", IMAGE)
    assert isinstance(seen, Missing)
    assert IMAGE in seen.why


@pytest.mark.parametrize(
    "config", [b"no JSON at all", {}, config_with({"io.placet.source": 7}), config_with(["a", "b"])]
)
async def test_an_image_whose_configuration_makes_no_sense_is_missing_and_not_parked(
    tmp_path: Path, config: Any
) -> None:
    registry = ImageLayout(tmp_path)
    digest = await image_in(registry, config)
    seen = await RegistryImages(registry).look_up("models/churn", digest)
    assert isinstance(seen, Missing)
    assert "not what it says" in seen.why
