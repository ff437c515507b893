"""The log and a real witness over HTTP: cosignatures, and what is said of one that will not, or is not there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from placet.errors import Refused, Unavailable
from placet.metadata.adapters.http_witness import HttpWitness
from placet.metadata.ports import Knows
from placet.metadata.witnessing import Witnessing
from placet.trust import SigningKey
from placet.trust import checkpoints as notes
from placet.trust.notes import COSIGNS, NoteKey, Signature
from placet.witness import app, serve

from tests.unit.metadata.logs import a_log
from tests.unit.metadata.test_sealing import Sealed
from tests.unit.metadata.test_witnessing import state
from tests.unit.witness.logs import Opened


@pytest.fixture
async def sealed(tmp_path: Path) -> AsyncIterator[Sealed]:
    async with a_log(tmp_path / "log") as log:
        yield Sealed(log, tmp_path / "log")


@asynccontextmanager
async def witness(
    sealed: Sealed, folder: Path, name: str = "witness.example/w1"
) -> AsyncIterator[HttpWitness]:
    """A witness of this log, and how the log asks it."""
    opened = Opened(folder, logs=sealed.known, name=name)
    url: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def on_ready(where: str) -> None:
        url.set_result(where)

    serving = asyncio.create_task(serve(app(opened.open()), "127.0.0.1", 0, on_ready=on_ready))
    asked = HttpWitness(opened.own, await url)
    try:
        yield asked
    finally:
        await asked.close()
        serving.cancel()
        await asyncio.wait({serving})


async def test_a_witness_cosigns_a_log_as_it_grows(sealed: Sealed, tmp_path: Path) -> None:
    sealing = sealed.sealing()
    async with witness(sealed, tmp_path / "witness") as asked:
        telling = Witnessing(sealed.log.alone.wiring, asked)
        for events in (1, 300, 7):
            await sealed.happen(events)
            await sealing.catch_up()
            await telling.tell()
        assert (await state(sealed))["trouble"] is None
        latest = await sealed.tree.latest(witnesses=1)
        assert latest is not None
        assert latest.size == 308
        by = NoteKey.from_vkey((tmp_path / "witness" / "vkey").read_text().strip())
        assert [each.by for each in notes.cosigned(latest.note, [by])] == [by]


async def test_one_that_forgot_what_we_remember_says_where_it_is(sealed: Sealed, tmp_path: Path) -> None:
    await sealed.happen(3)
    await sealed.sealing().catch_up()
    latest = await sealed.tree.latest()
    assert latest is not None
    async with witness(sealed, tmp_path / "witness") as asked:
        assert await asked.show(await sealed.tree.consistency(2, latest)) == Knows(size=0)
        assert isinstance(await asked.show(await sealed.tree.consistency(0, latest)), Signature)
        assert await asked.show(await sealed.tree.consistency(0, latest)) == Knows(size=3)


async def test_a_log_that_was_rewritten_is_not_cosigned(sealed: Sealed, tmp_path: Path) -> None:
    """By somebody who has the log's key and its database, and made the tree anew."""
    await sealed.happen(6)
    await sealed.sealing().catch_up()
    async with witness(sealed, tmp_path / "witness") as asked:
        telling = Witnessing(sealed.log.alone.wiring, asked)
        await telling.tell()
        sealed.as_administrator(
            "DELETE FROM audit WHERE position > 4",
            "UPDATE log_heads SET position = 4 WHERE log = 'audit'",
            *("DELETE FROM audit_checkpoints", "DELETE FROM audit_cosignatures", "DELETE FROM audit_tiles"),
        )
        (tmp_path / "log" / "checkpoints.last").unlink()
        sealed.kept = 4
        sealed.log.alone.clock.pass_(timedelta(seconds=1))
        await sealed.happen(5)
        await sealed.sealing().catch_up()
        await telling.tell()
    said = str((await state(sealed))["trouble"])
    assert "witness.example/w1 does not cosign, and answers 422" in said
    assert [each.name for each in (tmp_path / "witness" / "misbehaviour").glob("[!.]*")]


async def test_one_that_knows_no_such_log_is_told(sealed: Sealed, tmp_path: Path) -> None:
    await sealed.happen(1)
    await sealed.sealing().catch_up()
    latest = await sealed.tree.latest()
    assert latest is not None
    other = Sealed(sealed.log, sealed.folder)
    async with witness(other, tmp_path / "witness") as asked:
        renamed = notes.Checkpoint(origin="other.example/audit", size=1, root=await sealed.tree.root(1))
        note = notes.sign(renamed, sealed.keys().active().key)
        proof = type(await sealed.tree.consistency(0, latest))(old=0, hashes=(), checkpoint=note)
        with pytest.raises(Refused, match="answers 404"):
            await asked.show(proof)


async def test_one_with_another_key_than_the_one_we_were_given_is_told(
    sealed: Sealed, tmp_path: Path
) -> None:
    await sealed.happen(1)
    await sealed.sealing().catch_up()
    latest = await sealed.tree.latest()
    assert latest is not None
    async with witness(sealed, tmp_path / "witness") as asked:
        other = NoteKey(name=asked.name, kind=COSIGNS, key=SigningKey.generate().public)
        mistaken = HttpWitness(other, asked.url)
        with pytest.raises(Refused, match="not with its key"):
            await mistaken.show(await sealed.tree.consistency(0, latest))
        await mistaken.close()


async def test_one_that_is_not_there_is_away(sealed: Sealed) -> None:
    await sealed.happen(1)
    await sealed.sealing().catch_up()
    latest = await sealed.tree.latest()
    assert latest is not None
    key = NoteKey(name="witness.example/w1", kind=COSIGNS, key=SigningKey.generate().public)
    nobody = HttpWitness(key, "http://127.0.0.1:9")
    with pytest.raises(Unavailable, match=r"witness\.example/w1 is away"):
        await nobody.show(await sealed.tree.consistency(0, latest))
    await nobody.close()
