"""An administrator writes what no service ever would. It is told: nothing is believed, nothing falls over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
from placet.errors import Unreadable
from placet.metadata.witnessing import Witnessing
from placet.trust import SigningKey
from placet.trust import checkpoints as notes
from placet.trust.notes import Signature
from placet.trust.proofs import ConsistencyProof

from tests.unit.metadata.logs import a_log
from tests.unit.metadata.test_sealing import Sealed

QUESTIONS = (
    "/v1/audit/checkpoint",
    "/v1/audit/checkpoint?witnesses=1",
    "/v1/audit/checkpoints",
    "/v1/audit/proof?position=2",
    "/v1/audit/proof?since=2",
    "/v1/audit/keys",
    "/v1/audit/witnesses",
    "/v1/audit/tile/0/000",
    "/v1/audit/tile/entries/000",
    "/v1/audit/entries",
    "/v1/events",
    "/v1/events?type=*",
)


@dataclass
class Cosigning:
    """A witness that believes everything."""

    sealed: Sealed
    pace = timedelta()
    name: str = "witness.example"
    key: SigningKey = field(default_factory=SigningKey.generate)

    async def show(self, proof: ConsistencyProof) -> Signature:
        at = self.sealed.log.alone.clock.now()
        return notes.cosign(proof.checkpoint.text, name=self.name, key=self.key, at=at)


@pytest.fixture
async def sealed(tmp_path: Path) -> AsyncIterator[Sealed]:
    async with a_log(tmp_path) as log:
        sealed = Sealed(log, tmp_path)
        await sealed.happen(300)
        await sealed.sealing().catch_up()
        await Witnessing(log.alone.wiring, Cosigning(sealed)).tell()
        async with log.indexing():
            pass
        yield sealed


async def answers(sealed: Sealed) -> list[str]:
    """Every question's; none is a 500, and a refusal says what to do."""
    told = []
    async with sealed.log.alone.http(sealed.log.token()) as http:
        for each in QUESTIONS:
            answer = await asyncio.wait_for(http.get(each), 60)
            assert answer.status_code in (200, 400, 404, 422), (each, answer.text)
            if answer.status_code != 200:
                told.append(answer.json()["detail"])
    return told


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("audit_checkpoints SET size = -1", "is not what was written there"),
        ("audit_checkpoints SET size = 0", "is not what was written there"),
        ("audit_checkpoints SET size = 299", "is not what was written there"),
        ("audit_checkpoints SET size = 9223372036854775807", "is not what was written there"),
        ("audit_checkpoints SET size = 1.5", "where int belongs"),
        ("audit_checkpoints SET size = 'x'", "where int belongs"),
        ("audit_checkpoints SET size = x'ff'", "where int belongs"),
        ("audit_checkpoints SET note = ''", "is not what was written there"),
        ("audit_checkpoints SET note = x'ff'", "where str belongs"),
        ("audit_checkpoints SET note = substr(note, 2)", "is not what was written there"),
        ("audit_checkpoints SET origin = 'other.example'", "is not what was written there"),
        ("audit_checkpoints SET signed_at = 9e999", "where a time belongs"),
        ("audit_checkpoints SET signed_at = 'x'", "where float belongs"),
        ("audit_cosigned_again SET line = 'x'", "is not what was written there"),
        ("audit_cosigned_again SET line = x'ff'", "where str belongs"),
        ("audit_witnesses SET seen_at = 9e999", "where a time belongs"),
        ("audit_witnesses SET asked_at = -9e999", "where a time belongs"),
        ("audit_witnesses SET size = 'x'", "where int belongs"),
        ("audit_tiles SET hashes = 9223372036854775807", "where bytes belongs"),
        ("audit_epochs SET began_after = 'x'", "where int belongs"),
        ("audit_epochs SET epoch = 'x'", "which never began"),
        ("audit SET stream = 'x' WHERE position = 2", "which never began"),
        ("audit SET version = 'x' WHERE position = 2", "where int belongs"),
        ("audit SET raw = 'x' WHERE position = 2", "where bytes belongs"),
        ("audit SET raw = x'5b5d' WHERE position = 2", "not a CloudEvent"),
        ("log_heads SET position = 'x' WHERE log = 'audit'", "where int belongs"),
    ],
)
async def test_a_row_that_holds_nonsense_is_told(sealed: Sealed, change: str, said: str) -> None:
    sealed.as_administrator(f"UPDATE {change}")
    told = await answers(sealed)
    assert any(said in each for each in told), told


@pytest.mark.parametrize("size", [-1, 2**63 - 1, "x"])
async def test_who_signs_ends_with_words(sealed: Sealed, size: int | str) -> None:
    """And not without end: a tree of less than nothing has no edge."""
    sealed.as_administrator("UPDATE audit_checkpoints SET size = ?", values=(size,))
    with pytest.raises(Unreadable, match=r"is not what was written there|where int belongs"):
        await asyncio.wait_for(sealed.sealing().catch_up(), 60)


async def test_who_asks_witnesses_ends_with_words(sealed: Sealed) -> None:
    sealed.as_administrator("UPDATE audit_witnesses SET size = 'x'")
    with pytest.raises(Unreadable, match="where int belongs"):
        await Witnessing(sealed.log.alone.wiring, Cosigning(sealed)).tell()


async def test_a_witness_that_has_seen_less_than_nothing_is_asked_again(sealed: Sealed) -> None:
    sealed.as_administrator("UPDATE audit_witnesses SET size = -5")
    await Witnessing(sealed.log.alone.wiring, Cosigning(sealed)).tell()
    [state] = await sealed.log.queries.witnesses()
    assert "does not begin with one of -5" in state["trouble"]


async def test_a_root_of_a_tile_that_is_none_is_told(sealed: Sealed) -> None:
    sealed.as_administrator("UPDATE audit_tiles SET root = 'x'")
    with pytest.raises(Unreadable, match="where bytes belongs"):
        await sealed.sealing().catch_up()


async def test_more_cosignatures_than_anybody_reads_are_left_out(sealed: Sealed) -> None:
    sealed.as_administrator(
        "WITH RECURSIVE many(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM many WHERE n < 5000) "
        "INSERT INTO audit_cosignatures SELECT size, 'w' || n, line FROM audit_cosignatures, many"
    )
    async with sealed.log.alone.http(sealed.log.token()) as http:
        answer = await http.get("/v1/audit/checkpoint")
    assert len(answer.content) < 64 * 1024
