"""Checkpoints, proofs and tiles over HTTP: enough to check the log without trusting who serves it."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from placet.events import ServiceRunner
from placet.events.http import http_app
from placet.trust import merkle
from placet.trust import tiles as tiling
from placet.trust.checkpoints import Checkpoint
from placet.trust.leaves import Leaf
from placet.trust.merkle import leaf_hash, root_of
from placet.trust.notes import Note, NoteKey
from placet.trust.proofs import ConsistencyProof, InclusionProof
from placet.trust.tiles import Place

from tests.unit.metadata.logs import a_log
from tests.unit.metadata.test_sealing import BASE, Sealed
from tools import workspace

AUDIT = "/v1/audit"


@pytest.fixture
async def sealed(tmp_path: Path) -> AsyncIterator[Sealed]:
    async with a_log(tmp_path) as log:
        yield Sealed(log, tmp_path)


async def get(sealed: Sealed, path: str, status: int = 200, **query: Any) -> httpx.Response:
    async with sealed.log.alone.http(sealed.log.token()) as http:
        answer = await http.get(f"{AUDIT}{path}", params=query)
    assert answer.status_code == status, answer.text
    return answer


async def grown(sealed: Sealed, *events: int) -> list[NoteKey]:
    """The log in as many checkpoints, and its keys as it tells them."""
    sealing = sealed.sealing()
    for each in events:
        await sealed.happen(each)
        await sealing.catch_up()
    told = (await get(sealed, "/keys")).json()
    assert told["origin"] == BASE
    return [NoteKey.from_vkey(each["vkey"]) for each in told["keys"]]


async def test_a_checkpoint_is_signed_by_a_key_that_is_told(sealed: Sealed) -> None:
    known = await grown(sealed, 3)
    answer = await get(sealed, "/checkpoint")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert known == sealed.known
    assert Note.from_bytes(answer.content).text.startswith(f"{BASE}\n3\n")


async def test_an_event_is_proved_by_position_and_by_id(sealed: Sealed) -> None:
    known = await grown(sealed, 3, 300)
    entries = (await get(sealed, "/entries", limit=3)).json()["entries"]
    by_position = InclusionProof.from_bytes((await get(sealed, "/proof", position=2)).content)
    by_id = InclusionProof.from_bytes((await get(sealed, "/proof", event=entries[1]["event"]["id"])).content)
    assert by_position == by_id
    assert by_position.extra is not None
    assert by_position.verify(by_position.extra, known).size == 303
    assert Leaf.from_bytes(by_position.extra).id == entries[1]["event"]["id"]
    earlier = InclusionProof.from_bytes((await get(sealed, "/proof", position=2, size=3)).content)
    assert earlier.verify(by_position.extra, known).size == 3


async def test_a_proof_holds_for_each_size_that_was_signed_whichever_tiles_are_in_memory(
    sealed: Sealed,
) -> None:
    sizes = (200, 256, 300, 520)
    known = await grown(sealed, *(size - before for before, size in zip((0, *sizes), sizes, strict=False)))
    hashes = await sealed.hashes()
    for size in (*sizes, *reversed(sizes)):
        for position in (1, 200, 256, 257, 300, 520):
            if position <= size:
                answer = await get(sealed, "/proof", position=position, size=size)
                proof = InclusionProof.from_bytes(answer.content)
                assert proof.extra is not None
                assert leaf_hash(proof.extra) == hashes[position - 1]
                assert proof.verify(proof.extra, known).size == size
                if size == sizes[-1]:
                    assert (await get(sealed, "/proof", position=position)).content == answer.content


async def test_a_proof_in_the_newest_checkpoint_has_every_cosignature_of_it(sealed: Sealed) -> None:
    await grown(sealed, 300)
    lines = [f"— w{number}.example.org {b64encode(bytes(76)).decode()}" for number in (1, 2)]
    for line in lines:
        seen = "INSERT INTO audit_cosignatures (witness, size, line) VALUES (?, 300, ?)"
        sealed.as_administrator(seen, values=(line.split()[1], line))
    for position in (2, 300):
        proof = (await get(sealed, "/proof", position=position)).text
        assert proof.splitlines()[-2:] == lines
        assert proof.endswith((await get(sealed, "/checkpoint")).text)


async def test_a_log_is_proved_to_go_on_where_it_was(sealed: Sealed) -> None:
    known = await grown(sealed, 3, 300)
    before = Checkpoint(origin=BASE, size=3, root=root_of((await sealed.hashes())[:3]))
    proof = ConsistencyProof.from_bytes((await get(sealed, "/proof", since=3)).content)
    assert proof.verify(before, known).size == 303


async def test_every_proof_can_be_made_from_the_tiles_that_are_served(sealed: Sealed) -> None:
    """As a client of C2SP's tlog-tiles does, who asks for no proof."""
    await grown(sealed, 600)
    served: dict[Place, bytes] = {}
    for path in ("0/000", "0/001", "0/002.p/88", "1/000.p/2"):
        answer = await get(sealed, f"/tile/{path}")
        assert answer.headers["content-type"] == "application/octet-stream"
        assert "immutable" in answer.headers["cache-control"]
        level, _, number = path.partition("/")
        served[Place(int(level), tiling.number_in(number.partition(".")[0]))] = answer.content
    [root] = tiling.roots_of([(0, 600)], served)
    assert root == (await sealed.checkpoint()).root
    hashes = await sealed.hashes()
    merkle.verify_inclusion(hashes[17], 17, 600, tiling.roots_of(merkle.inclusion(17, 600), served), root)


async def test_bundles_of_entries_hold_the_leaves(sealed: Sealed) -> None:
    await grown(sealed, 300)
    found = []
    for path in ("000", "001.p/44"):
        body = (await get(sealed, f"/tile/entries/{path}")).content
        while body:
            length = int.from_bytes(body[:2], "big")
            found.append(leaf_hash(body[2 : 2 + length]))
            body = body[2 + length :]
    assert found == await sealed.hashes()


async def test_a_tile_that_was_not_full_is_served_as_it_was(sealed: Sealed) -> None:
    await grown(sealed, 10, 300)
    assert (await get(sealed, "/tile/0/000.p/10")).content == b"".join((await sealed.hashes())[:10])


@pytest.mark.parametrize(
    "path",
    [
        "/tile/0/001",
        "/tile/0/000.p/4",
        "/tile/0/000.p/0",
        "/tile/0/000.p/256",
        "/tile/0/000.p/03",
        f"/tile/0/000.p/{'9' * 5000}",
        f"/tile/0/{'9' * 5000}",
        "/tile/0/000.p/x",
        "/tile/0/0",
        "/tile/0/x000/000",
        "/tile/1/000",
        "/tile/7/000",
        "/tile/entries/000",
        "/tile/entries/000.p/4",
        "/tile/entries/x",
    ],
)
async def test_what_is_no_tile_of_this_tree_is_not_found(sealed: Sealed, path: str) -> None:
    await grown(sealed, 3)
    answer = await get(sealed, path, 404)
    assert answer.json()["fix"]


@pytest.mark.parametrize("level", ["8", "-1", "x"])
async def test_a_level_that_no_tree_has_is_unreadable(sealed: Sealed, level: str) -> None:
    await grown(sealed, 3)
    await get(sealed, f"/tile/{level}/000", 400)


async def test_a_proof_is_of_one_thing_that_is_there(sealed: Sealed) -> None:
    await grown(sealed, 3)
    await get(sealed, "/proof", 400)
    await get(sealed, "/proof", 400, position=1, since=1)
    await get(sealed, "/proof", 400, position=0)
    await get(sealed, "/proof", 400, positon=1)
    beyond = (await get(sealed, "/proof", 404, position=4)).json()
    assert beyond["detail"] == "the audit log has 3 events, and none at position 4"
    assert beyond["fix"] == "`placet events` has the `sequence` of each"
    assert "no event 'x'" in (await get(sealed, "/proof", 404, event="x")).json()["detail"]
    assert (
        "no checkpoint of 2 events" in (await get(sealed, "/proof", 404, position=1, size=2)).json()["detail"]
    )
    cosigned = await get(sealed, "/proof", 404, position=1, size=3, witnesses=1)
    assert "has the cosignature of a witness" in cosigned.json()["detail"]
    assert "does not begin with one of 9" in (await get(sealed, "/proof", 422, since=9)).json()["detail"]


async def test_what_is_in_the_log_is_in_the_next_checkpoint(sealed: Sealed) -> None:
    await grown(sealed, 3)
    await sealed.happen(2)
    newer = (await get(sealed, "/proof", 404, position=5)).json()
    assert newer["detail"] == "position 5 is not in the checkpoint of 3 events"
    assert newer["fix"] == "ask again in a second: the next checkpoint has what is in the log by now"
    older = (await get(sealed, "/proof", 404, position=5, size=3)).json()
    assert older["fix"] == "leave size and witnesses out for the newest checkpoint"


@pytest.mark.parametrize(
    "path",
    [
        "/tile/0/000.p/3?after=1",
        "/tile/entries/000.p/3?size=3",
        "/checkpoint?witnesses=0&witnesses=1",
        "/proof?position=1&position=2",
        "/checkpoints?after=1&after=2",
        "/keys?x=1",
        "/witnesses?x=1",
    ],
)
async def test_what_nobody_reads_of_a_question_is_refused(sealed: Sealed, path: str) -> None:
    await grown(sealed, 3)
    async with sealed.log.alone.http(sealed.log.token()) as http:
        answer = await http.get(f"{AUDIT}{path}")
    assert answer.status_code == 400, answer.text
    assert answer.json()["fix"]


async def test_before_anything_happened_there_is_no_checkpoint(sealed: Sealed) -> None:
    for path in ("/checkpoint", "/keys", "/tile/0/000", "/tile/entries/000"):
        assert "nothing is in the log" in (await get(sealed, path, 404)).json()["detail"]
    assert (await get(sealed, "/witnesses")).json() == {"size": 0, "witnesses": []}


async def test_the_tree_is_for_those_with_a_token(sealed: Sealed) -> None:
    await grown(sealed, 3)
    async with sealed.log.alone.http() as http:
        for path in ("/checkpoint", "/proof?position=1", "/keys", "/witnesses", "/tile/0/000.p/3"):
            assert (await http.get(f"{AUDIT}{path}")).status_code == 401


def test_the_page_of_all_calls_has_every_one_and_none_that_is_not(sealed: Sealed) -> None:
    page = (workspace.ROOT / "docs" / "reference" / "rest.md").read_text("utf-8")
    theirs = ("| metadata |", "| each service |")
    listed = [line for line in page.splitlines() if line.startswith("| ")]
    rows = "\n".join(line for line in listed if any(whose in line for whose in theirs))
    service = sealed.log.alone.service
    declared = http_app("metadata", [ServiceRunner(service)], version="1").rest.openapi()["paths"]
    calls = {f"{method.upper()} {path}" for path, item in declared.items() for method in item}
    assert set(re.findall(r"`([A-Z]+ /v1/[^`]*)`", rows)) == {call for call in calls if " /v1/" in call}
