"""Images are found by what their sources say, by their certificates, and by what was measured."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from placet.events.contracts.certifier import CertificateRevoked
from placet.events.contracts.deployer import ModelStopped
from placet.events.contracts.gateway import SourceUploaded
from placet.events.contracts.indexer import SourceCollected
from placet.events.contracts.shapes import Ground
from placet.events.store import Run, Unit
from placet.events.testing import changed
from placet.gateway import projections as p
from placet.gateway.ports import Labelled, Referrer

from tests.unit.gateway.harness import Gateway
from tests.unit.gateway.roads import certified, indexed, started
from tests.unit.gateway.test_gateway_api import archive, digest_of, is_problem

CARD = """---
license: mit
model-index: [{{results: [{{metrics: [{{type: Accuracy, value: {accuracy}}}, {{type: f1, value: 0.5}}]}}]}}]
---
Written for whoever looks for it.
"""


def manifest(project: str, owner: str, format: str) -> bytes:
    return msgspec.json.encode(  # which is YAML, too
        {
            "apiVersion": "placet/v1",
            "project": project,
            "model": {"format": format, "path": "model.bin"},
            "governance": {"owner": owner},
            "card": "README.md",
        }
    )


async def shelve(
    gateway: Gateway, number: int, project: str, *, owner: str, format: str = "sklearn", accuracy: float = 0.9
) -> str:
    """The digest of an image of an uploaded source; its certificate comes by `certify`."""
    body = archive(
        {
            "placet.yaml": manifest(project, owner, format),
            "README.md": CARD.format(accuracy=accuracy).encode(),
            "model.bin": project.encode(),
        }
    )
    async with gateway.http() as http:
        answer = await http.put(f"/v1/sources/{digest_of(body)}", content=body)
    assert answer.status_code in (200, 201), answer.text
    image = f"sha256:{number:064x}"
    heard = changed(indexed(project=project, image=image), source=digest_of(body), format=format)
    await gateway.hear(heard, "operation")
    return image


async def certify(gateway: Gateway, project: str, image: str) -> None:
    issued = certified(project=project, certificate=f"certificate:{project}")
    await gateway.hear(changed(issued, image=image), "operation")


@pytest.fixture
async def shelf(gateway: Gateway) -> dict[str, str]:
    """Images by name: one whose certificate is valid, one whose certificate ended, one without."""
    images = {
        "churn": await shelve(gateway, 1, "churn", owner="ada@example.org", accuracy=0.95),
        "old-churn": await shelve(gateway, 2, "old-churn", owner="ada@example.org", accuracy=0.7),
        "digits": await shelve(gateway, 3, "digits", owner="grace@example.org", format="onnx"),
    }
    await certify(gateway, "old-churn", images["old-churn"])
    ended = {"not_after": "2025-12-31T00:00:00.000Z"}
    issued = certified(project="old-churn", certificate="certificate:old-churn")
    await gateway.hear(changed(issued, image=images["old-churn"], **ended), "operation")
    await certify(gateway, "churn", images["churn"])
    return images


async def found(gateway: Gateway, **wanted: Any) -> list[str]:
    """The projects of the images that a search finds, in its order."""
    async with gateway.http() as http:
        answer = await http.get("/v1/images", params=wanted)
    assert answer.status_code == 200, answer.text
    return [image["project"] for image in answer.json()["images"]]


@pytest.mark.parametrize(
    ("wanted", "projects"),
    [
        ({}, ["churn", "old-churn", "digits"]),
        ({"project": "churn"}, ["churn"]),
        ({"project": "nobody-s"}, []),
        ({"format": "onnx"}, ["digits"]),
        ({"owner": "ada@example.org"}, ["churn", "old-churn"]),
        ({"owner": "ADA@example.org"}, ["churn", "old-churn"]),
        ({"owner": "ada"}, []),
        ({"certificate": "valid"}, ["churn"]),
        ({"certificate": "expired"}, ["old-churn"]),
        ({"certificate": "none"}, ["digits"]),
        ({"metric": "accuracy"}, ["churn", "old-churn", "digits"]),
        ({"metric": "ACCURACY >= 0.9"}, ["churn", "digits"]),
        ({"metric": "accuracy>0.9"}, ["churn"]),
        ({"metric": "accuracy<=0.7"}, ["old-churn"]),
        ({"metric": "accuracy<7e-1"}, []),
        ({"metric": "recall"}, []),
        ({"metric": ["accuracy>=0.9", "f1<1"]}, ["churn", "digits"]),
        ({"metric": ["accuracy>=0.9", "f1>=1"]}, []),
        ({"owner": "ada@example.org", "certificate": "valid", "format": "sklearn"}, ["churn"]),
        ({"owner": "grace@example.org", "certificate": "valid"}, []),
    ],
)
async def test_an_image_is_found_by_all_that_is_asked_of_it(
    gateway: Gateway, shelf: dict[str, str], wanted: dict[str, Any], projects: list[str]
) -> None:
    assert await found(gateway, **wanted) == projects


async def test_a_certificate_that_ends_is_found_as_expired(gateway: Gateway, shelf: dict[str, str]) -> None:
    gateway.clock.pass_(timedelta(days=365 * 10))
    token = gateway.token("scientist")
    async with gateway.http(token) as http:
        answer = await http.get("/v1/images", params={"certificate": "expired"})
    assert [(image["project"], image["certificateState"]) for image in answer.json()["images"]] == [
        ("churn", "expired"),
        ("old-churn", "expired"),
    ]


async def test_images_tell_whether_they_serve_or_ever_did_and_what_was_measured(
    gateway: Gateway, shelf: dict[str, str]
) -> None:
    async def served() -> dict[str, str]:
        shown = (await gateway.read("/v1/images"))["images"]
        return {image["project"]: image["served"] for image in shown}

    assert set((await served()).values()) == {"never"}
    for name in ("churn", "old-churn"):
        await gateway.command({"command": "deploy", "source": {"image": shelf[name]}})
        await gateway.hear(changed(started(project=name), image=shelf[name]), "operation")
    await gateway.hear(ModelStopped(project="old-churn", release=1, request=2), "operation")
    assert await served() == {"churn": "now", "old-churn": "before", "digits": "never"}
    image = await gateway.read(f"/v1/images/{shelf['churn']}")
    assert image["metrics"] == [{"metric": "accuracy", "value": 0.95}, {"metric": "f1", "value": 0.5}]
    assert image["indexedAt"].startswith("2026-")
    assert not [name for name in image if "_" in name]


@pytest.mark.parametrize(
    ("wanted", "fix"),
    [
        ({"format": "sklaern"}, "the nearest known one is 'sklearn'"),
        ({"certificate": "vaild"}, "the nearest known one is 'valid'"),
        ({"certificate": "x"}, "known are 'expired', 'none', 'revoked', 'suspended', 'valid'"),
        ({"ownr": "ada@example.org"}, "the nearest known one is 'owner'"),
        ({"metric": ">=0.9"}, "accuracy>=0.9"),
        ({"metric": "accuracy>=much"}, "accuracy>=0.9"),
        ({"metric": "a\x00b"}, "accuracy>=0.9"),
        ({"metric": ["a"] * 6}, "/docs"),
        ({"owner": "\x00"}, "/docs"),
    ],
)
async def test_what_cannot_be_searched_for_is_told_with_what_was_meant(
    gateway: Gateway, shelf: dict[str, str], wanted: dict[str, Any], fix: str
) -> None:
    async with gateway.http() as http:
        answer = await http.get("/v1/images", params=wanted)
    is_problem(answer, 400, fix)


async def test_images_that_were_indexed_last_come_first(gateway: Gateway) -> None:
    for number in (2, 3, 1):
        gateway.clock.pass_(timedelta(seconds=1))
        await shelve(gateway, number, f"project-{number}", owner="ada@example.org")
    await shelve(gateway, 0, "as-old", owner="ada@example.org")
    shown = (await gateway.read("/v1/images"))["images"]
    times = [image["indexedAt"] for image in shown]
    assert times == sorted(times, reverse=True)
    assert [image["project"] for image in shown[-2:]] == ["project-3", "project-2"]


async def test_an_image_is_found_for_each_project_that_uses_it_by_that_one_s_certificate(
    gateway: Gateway, shelf: dict[str, str]
) -> None:
    image = shelf["churn"]
    for project in ("second", "third"):
        gateway.clock.pass_(timedelta(seconds=1))
        heard = (await gateway.read(f"/v1/images/{image}"))["source"]
        await gateway.hear(changed(indexed(project=project, image=image), source=heard), "operation")
    await certify(gateway, "second", image)
    revoked = Ground(rule="certificate.revoked", why="it was revoked")
    of: dict[str, Any] = {"certificate": "certificate:churn", "project": "churn", "release": 1}
    await gateway.hear(CertificateRevoked(**of, ground=revoked, revoked_by="person:1"), "operation")

    assert await found(gateway, project="second") == ["second"]
    assert await found(gateway, certificate="valid") == ["second"]
    assert await found(gateway, certificate="revoked") == ["churn"]
    assert await found(gateway, certificate="none", owner="ada@example.org") == ["third"]
    assert await found(gateway, metric="accuracy>0.9") == ["third", "second", "churn"]
    pages = [await gateway.read("/v1/images?metric=accuracy%3E0.9&limit=1")]
    while pages[-1]["next"]:
        pages.append(
            await gateway.read(f"/v1/images?metric=accuracy%3E0.9&limit=1&after={pages[-1]['next']}")
        )
    assert [each["project"] for page in pages for each in page["images"]] == ["third", "second", "churn"]


async def test_a_page_ends_between_two_projects_of_one_image_and_moment(gateway: Gateway) -> None:
    source = indexed().source
    for project in ("image-b", "image-c", "image-a"):
        await gateway.hear(changed(indexed(project=project), source=source), "operation")
    seen, after = [], ""
    while after is not None:
        page = await gateway.read(f"/v1/images?limit=1{after and f'&after={after}'}")
        seen += [each["project"] for each in page["images"]]
        after = page["next"]
    assert seen == ["image-a", "image-b", "image-c"]


async def test_a_search_goes_on_page_by_page_though_images_come_meanwhile(
    gateway: Gateway, shelf: dict[str, str]
) -> None:
    seen: list[str] = []
    after: str | None = None
    async with gateway.http() as http:
        while True:
            wanted: dict[str, Any] = {"owner": "ada@example.org", "limit": 1} | (
                {"after": after} if after else {}
            )
            page = (await http.get("/v1/images", params=wanted)).json()
            seen += [image["image"] for image in page["images"]]
            if page["next"] is None:
                break
            after = page["next"]
            await shelve(gateway, 0, "earlier", owner="ada@example.org")
    assert seen == [shelf["churn"], shelf["old-churn"]]
    async with gateway.http() as http:
        is_problem(
            await http.get("/v1/images", params={"after": shelf["churn"]}), 400, "no place among the images"
        )


async def test_an_image_is_shown_with_its_card_and_with_what_the_registry_has_of_it(
    gateway: Gateway, shelf: dict[str, str]
) -> None:
    image = shelf["churn"]
    labels = {"io.placet.format": "sklearn"}
    referrer = Referrer(digest=f"sha256:{'c' * 64}", artifact_type="application/vnd.placet.certificate.v1")
    gateway.images.images[image] = Labelled(labels=labels, referrers=(referrer,))
    shown = await gateway.read(f"/v1/images/{image}")
    assert (shown["owner"], shown["certificateState"], shown["vanished"]) == (
        "ada@example.org",
        "valid",
        False,
    )
    assert shown["card"]["licence"] == "mit"
    assert shown["card"]["prose"] == "Written for whoever looks for it.\n"
    assert shown["card"]["results"][0] == {"metric": "Accuracy", "value": 0.95, "dataset": None}
    assert shown["labels"] == labels
    assert shown["referrers"] == [{"digest": referrer.digest, "artifactType": referrer.artifact_type}]


async def test_an_image_that_the_registry_has_no_more_is_shown_without_labels(
    gateway: Gateway, shelf: dict[str, str]
) -> None:
    shown = await gateway.read(f"/v1/images/{shelf['digits']}")
    assert (shown["labels"], shown["referrers"]) == ({}, [])


@pytest.mark.parametrize("card", [b"---\nlicense: [1]\n---\nProse", b"\xff\xfe", b"---\n[\n---\n"])
async def test_a_card_that_makes_no_sense_is_shown_as_prose(gateway: Gateway, card: bytes) -> None:
    files = {"placet.yaml": manifest("churn", "ada@example.org", "onnx"), "README.md": card}
    body = archive(files)
    async with gateway.http() as http:
        assert (await http.put(f"/v1/sources/{digest_of(body)}", content=body)).status_code == 201
    image = f"sha256:{'9' * 64}"
    heard = changed(indexed(image=image), source=digest_of(body))
    await gateway.hear(heard, "operation")
    assert (await gateway.read(f"/v1/images/{image}"))["card"]["prose"] == card.decode(errors="replace")


async def test_whom_a_source_names_is_in_no_event(gateway: Gateway, shelf: dict[str, str]) -> None:
    raw = b"".join([each.event.raw for each in await gateway.wiring.store.read_all(0, 1000)])
    assert b"sources" not in raw
    assert b"source.uploaded" in raw
    assert b"example.org" not in raw
    assert b"whoever looks for it" not in raw


async def test_whom_a_source_names_is_forgotten_with_its_rows(
    gateway: Gateway, shelf: dict[str, str]
) -> None:
    forget = (sa.update(p.sources).values(owner=None, owner_alike=None), sa.delete(p.cards))
    await gateway.wiring.store.commit(Unit(writes=tuple(Run(statement=each) for each in forget)))
    assert await found(gateway, owner="ada@example.org") == []
    shown = await gateway.read(f"/v1/images/{shelf['churn']}")
    assert (shown["owner"], shown["card"]) == (None, None)


async def test_a_source_that_was_collected_is_announced_again_when_it_is_sent_again(gateway: Gateway) -> None:
    await shelve(gateway, 1, "churn", owner="ada@example.org")
    (image,) = (await gateway.read("/v1/images"))["images"]
    collected = SourceCollected(project="churn", source=image["source"], why="nothing needs it")
    await gateway.hear(collected, "collection")
    assert await found(gateway, owner="ada@example.org") == []
    gateway.sources.archives.clear()
    await shelve(gateway, 1, "churn", owner="ada@example.org")
    assert await found(gateway, owner="ada@example.org") == ["churn"]
    assert [each.source for each in await gateway.said() if isinstance(each, SourceUploaded)] == 2 * [
        image["source"]
    ]
