"""What is garbage, who may have it removed, and what becomes of a removal that goes wrong."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st
from placet.errors import Refused, Unavailable
from placet.events import tables as library
from placet.events.contracts.gateway import ErasureRequested, SourceUploaded, TokenRevoked
from placet.events.contracts.indexer import ImageCollected, ImageIndexed, ImageVanished, SourceCollected
from placet.events.store import Put, Unit
from placet.events.testing import changed
from placet.indexer.bootstrap import build
from placet.indexer.garbage import CERTIFICATE, Image, Source, plan
from placet.indexer.ports import Ports, Weighed
from placet.indexer.projections import TABLES
from placet.indexer.settings import IndexerSettings
from placet.trust import KeySet, SigningKey, own_key, tokens

from tests.unit.gateway.roads import IMAGE, SOURCE, accepted_start, asked, built, certified
from tests.unit.hearing import Alone, alone
from tests.unit.indexer.test_indexer import Shelf

NOW = datetime(2026, 6, 1, tzinfo=UTC)
OTHER, OTHER_IMAGE = f"sha256:{'6' * 64}", f"sha256:{'2' * 64}"
AGE, OLD = timedelta(days=30), NOW - timedelta(days=31)
BARE = Image(
    image=IMAGE,
    repository="models/churn",
    project="churn",
    release=1,
    source=SOURCE,
    announced_at=OLD,
    is_there=True,
    blobs={"layer": 10, "config": 1},
)
ITS_SOURCE = Source(source=SOURCE, project="churn", size=5, asked_at=OLD)
KEPT_FOR = [
    replace(BARE, grounds=("certified by certificate:1",)),
    replace(BARE, grounds=("started as release 1 of churn",)),
    replace(BARE, beside=frozenset({CERTIFICATE, "application/sbom"})),
    replace(BARE, announced_at=NOW - timedelta(days=29)),
]


def removed(images: Sequence[Image], sources: Sequence[Source] = ()) -> dict[str, int]:
    """The bytes that each removal frees, by digest."""
    return {item.digest: item.bytes for item in plan(images, sources, now=NOW, age=AGE).remove}


def test_an_old_image_that_nothing_needs_is_garbage_and_so_is_its_source() -> None:
    found = plan([BARE], [ITS_SOURCE], now=NOW, age=AGE)
    assert [(item.kind, item.bytes, item.why) for item in found.remove] == [
        ("image", 11, "never certified nor started, and last announced 31 days ago"),
        ("source", 5, "no image of it is kept, and last asked for 31 days ago"),
    ]
    assert (found.keep, found.bytes) == ((), 16)


@pytest.mark.parametrize(
    ("image", "why"),
    list(
        zip(
            KEPT_FOR,
            [
                "certified by certificate:1",
                "started as release 1 of churn",
                "a certificate lies beside it",
                "announced 29 days ago",
            ],
            strict=True,
        )
    ),
)
def test_what_was_certified_or_started_or_is_young_is_kept_with_its_source(image: Image, why: str) -> None:
    found = plan([image], [ITS_SOURCE], now=NOW, age=AGE)
    assert found.remove == ()
    assert [item.why for item in found.keep] == [why, f"{IMAGE} was made from it"]


def test_the_source_of_a_certified_image_stays_though_the_image_has_vanished() -> None:
    vanished = replace(KEPT_FOR[0], is_there=False, blobs=None)
    assert removed([vanished], [ITS_SOURCE]) == {}


def test_a_source_that_was_asked_for_lately_is_kept() -> None:
    young = replace(ITS_SOURCE, asked_at=NOW - timedelta(days=1))
    (kept,) = plan([], [young], now=NOW, age=AGE).keep
    assert kept.why == "asked for 1 day ago"


def test_what_a_kept_image_needs_frees_nothing_and_what_two_share_is_counted_once() -> None:
    kept = replace(KEPT_FOR[0], image="kept", blobs={"layer": 10})
    other = replace(BARE, image="other", blobs={"layer": 10, "config": 1, "own": 3})
    assert removed([kept, BARE, other]) == {IMAGE: 1, "other": 3}


images = st.builds(
    Image,
    image=st.sampled_from("abcd"),
    repository=st.sampled_from(["models/a", "models/b"]),
    project=st.just("churn"),
    release=st.just(1),
    source=st.sampled_from("stu"),
    announced_at=st.sampled_from([OLD, NOW]),
    is_there=st.booleans(),
    grounds=st.sampled_from([(), ("certified by certificate:1",)]),
    beside=st.sampled_from([frozenset[str](), frozenset({CERTIFICATE})]),
    blobs=st.dictionaries(st.sampled_from("xyz"), st.just(1)),
)
sources = st.builds(
    Source, source=st.sampled_from("stu"), project=st.just("churn"), size=st.just(1), asked_at=st.just(OLD)
)


@for_all(st.lists(images, max_size=6), st.lists(sources, max_size=3, unique_by=lambda each: each.source))
def test_nothing_that_has_a_ground_is_ever_removed(held: list[Image], kept: list[Source]) -> None:
    gone = set(removed(held, kept))
    for image in held:
        if image.grounds or CERTIFICATE in image.beside or image.announced_at == NOW:
            assert image.image not in gone
            assert image.source not in gone


# the service


@dataclass
class Heap:
    """The `Storage` port: images and sources by digest."""

    held: set[str] = field(default_factory=set)
    beside: frozenset[str] = frozenset()
    refusal: Refused | None = None
    dies: bool = False
    meanwhile: Callable[[], Awaitable[None]] | None = None
    """Happens once, while a removal is under way."""

    async def weigh(self, repository: str, image: str, *, alone: bool = False) -> Weighed | None:
        return Weighed(blobs={image: 7}, beside=self.beside) if image in self.held else None

    async def remove(self, repository: str, image: str) -> None:
        if self.refusal is not None:
            raise self.refusal
        if self.meanwhile is not None:
            await self.meanwhile()
        self.held.discard(image)
        if self.dies:
            raise ConnectionAbortedError("the process dies here")

    async def remove_source(self, source: str) -> None:
        self.held.discard(source)

    async def sweep(self, repository: str, before: datetime) -> int:
        return 0


@dataclass
class World:
    alone: Alone
    heap: Heap
    shelf: Shelf
    key: SigningKey

    def token(self, *roles: tokens.Role, id: str = "token") -> str:
        return tokens.issue(
            id=id,
            person=f"person:{self.alone.wiring.ids.new()}",
            roles=frozenset(roles),
            now=self.alone.clock.now(),
            lifetime=timedelta(hours=1),
            key=self.key,
        )

    async def ask(self, method: str, path: str, *roles: tokens.Role) -> tuple[int, Any]:
        async with self.alone.http(self.token(*(roles or ("operator",)))) as http:
            answer = await http.request(method, path)
        return answer.status_code, answer.json()

    async def collect(self) -> tuple[int, Any]:
        return await self.ask("POST", "/v1/garbage/collections")


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    key = own_key(tmp_path / "tokens.pem")
    settings = IndexerSettings(registry=str(tmp_path), token_keys=tmp_path / "tokens.json")
    heap, shelf = Heap(held={IMAGE, SOURCE}), Shelf()
    ports = Ports(images=shelf, storage=heap)
    async with alone(
        "indexer", tmp_path, lambda wiring: build(settings, wiring, ports), tables=(TABLES,)
    ) as one:
        await one.hear(SourceUploaded(source=SOURCE, size=5, project="churn", origin=None))
        await one.hear(built())
        yield World(one, heap, shelf, key)


async def test_a_dry_run_says_what_would_go_and_removes_nothing(world: World) -> None:
    assert await world.ask("GET", "/v1/garbage") == (
        200,
        {
            "remove": [],
            "keep": [
                {
                    "kind": "image",
                    "digest": IMAGE,
                    "repository": "models/churn",
                    "project": "churn",
                    "release": 1,
                    "bytes": 7,
                    "why": "announced 0 days ago",
                },
                {
                    "kind": "source",
                    "digest": SOURCE,
                    "repository": "sources",
                    "project": "churn",
                    "release": None,
                    "bytes": 5,
                    "why": f"{IMAGE} was made from it",
                },
            ],
            "bytes": 0,
        },
    )
    world.alone.clock.pass_(AGE)
    _, found = await world.ask("GET", "/v1/garbage")
    assert ([item["digest"] for item in found["remove"]], found["bytes"]) == ([IMAGE, SOURCE], 12)
    assert (await world.ask("GET", "/v1/garbage?olderThan=31"))[1]["remove"] == []
    assert world.heap.held == {IMAGE, SOURCE}
    assert len(await world.alone.said()) == 1


async def test_what_is_removed_is_said_in_the_name_of_who_asked(world: World) -> None:
    world.alone.clock.pass_(AGE)
    status, collected = await world.collect()
    assert (status, collected["bytes"], collected["stopped"]) == (200, 12, None)
    assert world.heap.held == set()
    _, image, source = await world.alone.recorded()
    assert isinstance(image.data, ImageCollected)
    assert isinstance(source.data, SourceCollected)
    assert image.event.attributes.authid.startswith("person:")
    assert (await world.collect())[1]["removed"] == []
    assert len(await world.alone.said()) == 3


async def test_what_is_over_its_time_is_collected_by_itself_once_a_day(tmp_path: Path) -> None:
    settings = IndexerSettings(registry=str(tmp_path), collect_days=30)
    heap = Heap(held={IMAGE, SOURCE})
    ports = Ports(images=Shelf(), storage=heap)
    async with alone(
        "indexer", tmp_path, lambda wiring: build(settings, wiring, ports), tables=(TABLES,)
    ) as one:
        await one.hear(SourceUploaded(source=SOURCE, size=5, project="churn", origin=None))
        await one.hear(built())
        [collect] = [each for each in one.service.periodic if each.name == "collect"]
        await collect.run()
        assert heap.held == {IMAGE, SOURCE}, "it is young"
        one.clock.pass_(AGE)
        await collect.run()
        assert heap.held == set()
        _, image, source = await one.recorded()
        assert [type(image.data), type(source.data)] == [ImageCollected, SourceCollected]
        assert image.event.attributes.authid == "service:indexer"


async def test_evidence_outlives_its_time_also_where_nobody_asks(tmp_path: Path) -> None:
    settings = IndexerSettings(registry=str(tmp_path), collect_days=1)
    heap = Heap(held={IMAGE, SOURCE})
    ports = Ports(images=Shelf(), storage=heap)
    async with alone(
        "indexer", tmp_path, lambda wiring: build(settings, wiring, ports), tables=(TABLES,)
    ) as one:
        await one.hear(SourceUploaded(source=SOURCE, size=5, project="churn", origin=None))
        await one.hear(built())
        await one.hear(certified())
        one.clock.pass_(100 * AGE)
        [collect] = [each for each in one.service.periodic if each.name == "collect"]
        await collect.run()
        assert heap.held == {IMAGE, SOURCE}


async def test_nothing_is_collected_by_itself_unless_it_was_set(world: World) -> None:
    assert [each.name for each in world.alone.service.periodic] == ["look"]


@pytest.mark.parametrize("evidence", [certified(), accepted_start()])
async def test_evidence_is_kept_for_good(world: World, evidence: Any) -> None:
    await world.alone.hear(evidence)
    world.alone.clock.pass_(100 * AGE)
    assert (await world.collect())[1]["removed"] == []
    assert world.heap.held == {IMAGE, SOURCE}


async def test_a_source_that_is_deployed_again_is_as_good_as_new(world: World) -> None:
    world.alone.clock.pass_(AGE)
    await world.alone.hear(built(release=2))
    assert (await world.collect())[1]["removed"] == []


async def test_a_registry_that_does_not_allow_removals_is_told_and_nothing_said(world: World) -> None:
    world.alone.clock.pass_(AGE)
    world.heap.refusal = Refused("405", fix="allow deletions")
    status, collected = await world.collect()
    assert (status, collected["removed"]) == (200, [])
    assert collected["stopped"] == {"why": "405", "fix": "allow deletions"}
    assert len(await world.alone.said()) == 1
    assert len((await world.ask("GET", "/v1/garbage"))[1]["remove"]) == 2


async def test_a_crash_after_the_removal_is_made_up_for_by_the_next_look(world: World) -> None:
    world.alone.clock.pass_(AGE)
    world.heap.dies = True
    assert (await world.collect())[0] == 500
    world.shelf.gone = True
    (look,) = world.alone.service.periodic
    for _ in range(2):
        await look.run()
    said = await world.alone.said()
    assert [type(each) for each in said] == [ImageIndexed, ImageCollected]
    assert said[1].why == "never certified nor started, and last announced 30 days ago"


async def test_an_image_that_is_announced_while_it_is_removed_is_not_told_to_be_there(world: World) -> None:
    """Else it would be certified, and its certificate one of nothing."""
    world.alone.clock.pass_(AGE)

    async def announce() -> None:
        await world.alone.hear(built(release=2))

    world.heap.meanwhile = announce
    await world.collect()
    _, vanished, *_ = await world.alone.said()
    assert isinstance(vanished, ImageVanished)
    assert (vanished.release, "removed as garbage" in vanished.why) == (2, True)


async def test_what_is_announced_after_it_was_found_is_garbage_no_more(world: World) -> None:
    await world.alone.hear(SourceUploaded(source=OTHER, size=1, project="churn", origin=None))
    await world.alone.hear(changed(built(image=OTHER_IMAGE, release=2), source=OTHER))
    world.heap.held |= {OTHER, OTHER_IMAGE}
    world.alone.clock.pass_(AGE)

    async def ask_again() -> None:
        world.heap.meanwhile = None
        await world.alone.hear(changed(built(image=OTHER_IMAGE, release=3), source=OTHER))
        await world.alone.hear(changed(asked(), source=OTHER))

    world.heap.meanwhile = ask_again
    _, collected = await world.collect()
    assert {item["digest"] for item in collected["removed"]} == {IMAGE, SOURCE}
    assert world.heap.held == {OTHER, OTHER_IMAGE}


async def test_nothing_is_garbage_while_messages_wait_to_be_handled(world: World) -> None:
    world.alone.clock.pass_(AGE)
    row = {
        "producer": "certifier",
        "epoch": "1",
        "position": 1,
        "routing_key": "certifier.certificate.issued.churn",
        "lane": "churn",
        "raw": b"",
        "state": "parked",
        "attempts": 1,
        "next_at": 0.0,
        "received_at": 0.0,
    }
    await world.alone.wiring.store.commit(Unit(writes=(Put(table=library.inbox, row=row),)))
    for method, path in (("GET", "/v1/garbage"), ("POST", "/v1/garbage/collections")):
        status, problem = await world.ask(method, path)
        assert (status, "1 messages still to handle" in problem["detail"]) == (503, True)
    assert world.heap.held == {IMAGE, SOURCE}


async def test_a_registry_that_is_away_has_no_garbage(world: World) -> None:
    world.alone.clock.pass_(AGE)

    async def away(repository: str, image: str, *, alone: bool = False) -> Weighed | None:
        raise Unavailable("away")

    world.heap.weigh = away  # type: ignore[method-assign]
    assert (await world.collect())[0] == 503
    assert world.heap.held == {IMAGE, SOURCE}


@pytest.mark.parametrize("path", [("GET", "/v1/garbage"), ("POST", "/v1/garbage/collections")])
async def test_garbage_is_for_operators(world: World, path: tuple[str, str]) -> None:
    world.alone.clock.pass_(AGE)
    for role in ("scientist", "approver", "compliance", "auditor"):
        status, problem = await world.ask(*path, role)
        assert (status, "operator" in problem["detail"]) == (403, True)
    await world.alone.hear(TokenRevoked(token="token"))
    assert (await world.ask(*path))[0] == 401
    async with world.alone.http() as http:
        assert (await http.request(*path)).status_code == 401
    assert world.heap.held == {IMAGE, SOURCE}


async def test_garbage_is_not_for_who_was_erased_by_whichever_token(world: World) -> None:
    token = world.token("operator", id="another")
    person = tokens.verify(token, KeySet([world.key.public]), now=world.alone.clock.now()).person
    async with world.alone.http(token) as http:
        assert (await http.get("/v1/garbage")).status_code == 200
        await world.alone.hear(ErasureRequested(person=person, requested_by="person:1", tokens=0, words=0))
        assert (await http.get("/v1/garbage")).status_code == 401
    assert (await world.ask("GET", "/v1/garbage"))[0] == 200


@pytest.mark.parametrize("days", ["0", "-1", "1.5", "99999", "x"])
async def test_an_age_is_some_days(world: World, days: str) -> None:
    assert (await world.ask("GET", f"/v1/garbage?olderThan={days}"))[0] == 400


async def test_a_mistyped_parameter_removes_nothing(world: World) -> None:
    world.alone.clock.pass_(AGE)
    status, problem = await world.ask("POST", "/v1/garbage/collections?olderthan=9999")
    assert (status, problem["fix"]) == (400, "the nearest known one is 'olderThan'")
    assert world.heap.held == {IMAGE, SOURCE}


# what is made anew


async def test_what_it_was_told_is_made_anew_and_nothing_is_looked_up_or_removed(world: World) -> None:
    await world.alone.hear(SourceUploaded(source=OTHER, size=6, project="digits", origin=None))
    for each in (certified(), accepted_start(), asked(), TokenRevoked(token="token")):
        await world.alone.hear(each)
    before, said = await world.alone.shown(), await world.alone.said()
    world.shelf.gone = True
    assert await world.alone.rebuild() == {}
    await world.alone.empty()
    assert await world.alone.rebuild() == {"grounds": 2, "sources": 2, "revoked_tokens": 1}
    assert await world.alone.shown() == before
    assert (await world.alone.said(), world.heap.held) == (said, {IMAGE, SOURCE})


async def test_a_source_that_was_collected_and_uploaded_again_is_there(world: World) -> None:
    world.alone.clock.pass_(AGE)
    assert len((await world.collect())[1]["removed"]) == 2
    assert (await world.alone.shown())["sources"] == []
    assert await world.alone.rebuild() == {}
    world.alone.clock.pass_(timedelta(hours=1))
    await world.alone.hear(SourceUploaded(source=SOURCE, size=5, project="churn", origin=None))
    assert await world.alone.rebuild() == {}
    # The audit log may have heard of the upload before it heard of the removal.
    assert await world.alone.rebuild(own_last=True) == {}
