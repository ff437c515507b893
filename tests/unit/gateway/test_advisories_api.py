"""Advisories over REST: kept by digest, said, and told with what became of them."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import timedelta

import httpx
import pytest
from placet.events.contracts.certifier import AdvisoriesPublished, AdvisoriesRejected
from placet.events.contracts.gateway import AdvisoriesSubmitted
from placet.rules.advisories import MAX_SNAPSHOT_BYTES

from tests.unit.gateway.harness import Gateway
from tests.unit.gateway.test_gateway_api import is_problem

ADA = "person:00000000-0000-7000-8000-000000000001"
OPERATION = "00000000-0000-7000-8000-00000000000a"
ZIP = b"PK, and what the certifier reads"


def digest_of(body: bytes) -> str:
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


async def send(
    gateway: Gateway, body: bytes = ZIP, *, under: str | None = None, token: str | None = None
) -> httpx.Response:
    async with gateway.http(token or gateway.token("operator", person=ADA)) as http:
        return await http.put(f"/v1/advisories/{under or digest_of(body)}", content=body)


async def publish(gateway: Gateway, body: bytes, number: int) -> None:
    published = AdvisoriesPublished(
        digest=digest_of(body), number=number, taken="2026-01-01T00:00:00.000Z", advisories=3, packages=2
    )
    await gateway.hear(published, OPERATION, twice=True)


async def test_a_snapshot_is_kept_by_digest_and_said(gateway: Gateway) -> None:
    answer = await send(gateway)
    assert (answer.status_code, answer.headers["location"]) == (202, f"/v1/advisories/{digest_of(ZIP)}")
    told = answer.json()
    assert (told["digest"], told["size"], told["state"]) == (digest_of(ZIP), len(ZIP), "submitted")
    assert told["submittedBy"] == {"person": ADA, "name": None}
    assert gateway.snapshots.kept == {digest_of(ZIP): ZIP}
    assert [each for each in await gateway.said() if isinstance(each, AdvisoriesSubmitted)] == [
        AdvisoriesSubmitted(digest=digest_of(ZIP), size=len(ZIP), submitted_by=ADA)
    ]


async def test_the_same_bytes_again_change_nothing(gateway: Gateway) -> None:
    first, second = await asyncio.gather(send(gateway), send(gateway))
    assert (first.status_code, first.json()) == (202, second.json())
    await publish(gateway, ZIP, 1)
    assert (await send(gateway)).json()["state"] == "in-use"
    assert len([each for each in await gateway.said() if isinstance(each, AdvisoriesSubmitted)]) == 1


async def test_what_became_of_each_is_told_newest_first_and_in_pages(gateway: Gateway) -> None:
    bodies = [b"first", b"second", b"third"]
    for body in bodies:
        await send(gateway, body)
        gateway.clock.pass_(timedelta(seconds=1))
    await publish(gateway, bodies[0], 1)
    await publish(gateway, bodies[1], 2)
    rejected = AdvisoriesRejected(digest=digest_of(bodies[2]), why="it is no zip", fix="send a zip")
    await gateway.hear(rejected, OPERATION, twice=True)

    page = await gateway.read("/v1/advisories?limit=2")
    rest = await gateway.read(f"/v1/advisories?limit=2&after={page['next']}")

    told = [*page["advisories"], *rest["advisories"]]
    assert [(each["digest"], each["state"]) for each in told] == [
        (digest_of(bodies[2]), "rejected"),
        (digest_of(bodies[1]), "in-use"),
        (digest_of(bodies[0]), "replaced"),
    ]
    assert rest["next"] is None
    assert told[0]["problem"] == {"why": "it is no zip", "fix": "send a zip"}
    assert (told[1]["taken"], told[1]["advisories"], told[1]["packages"]) == (
        "2026-01-01T00:00:00.000Z",
        3,
        2,
    )
    assert await gateway.read(f"/v1/advisories/{digest_of(bodies[0])}") == told[2]


async def test_a_snapshot_comes_back_to_the_byte(gateway: Gateway) -> None:
    await send(gateway)
    async with gateway.http(gateway.token("scientist")) as http:
        answer = await http.get(f"/v1/advisories/{digest_of(ZIP)}/file")
        is_problem(await http.get(f"/v1/advisories/{digest_of(b'none')}/file"), 404)
    assert (answer.status_code, answer.content) == (200, ZIP)
    assert answer.headers["content-type"] == "application/zip"
    assert answer.headers["content-length"] == str(len(ZIP))


async def test_bytes_under_another_name_are_refused_and_nothing_is_kept(gateway: Gateway) -> None:
    answer = await send(gateway, under=digest_of(b"other"))
    assert "are sha256:" in is_problem(answer, 422)["detail"]
    assert gateway.snapshots.kept == {}
    assert (await gateway.read("/v1/advisories"))["advisories"] == []


async def test_what_is_too_large_is_refused_before_it_is_read(gateway: Gateway) -> None:
    async with gateway.http() as http:
        length = {"Content-Length": str(MAX_SNAPSHOT_BYTES + 1)}
        answer = await http.put(f"/v1/advisories/{digest_of(ZIP)}", content=ZIP, headers=length)
    assert "is at most" in is_problem(answer, 413)["detail"]


@pytest.mark.parametrize("role", ["scientist", "approver", "auditor"])
async def test_who_deploys_or_approves_does_not_say_what_is_vulnerable(gateway: Gateway, role: str) -> None:
    token = gateway.token(role)  # type: ignore[arg-type]
    is_problem(await send(gateway, token=token), 403)
    assert gateway.snapshots.kept == {}


async def test_no_snapshot_and_no_page_is_said_to_be_none(gateway: Gateway) -> None:
    async with gateway.http() as http:
        is_problem(await http.get(f"/v1/advisories/{digest_of(b'none')}"), 404)
        is_problem(await http.get("/v1/advisories/latest"), 400)
        is_problem(await http.get(f"/v1/advisories?after={digest_of(b'none')}"), 400)
