"""What is piped into who mends a database counts once somebody says so, and is nothing else than entries."""

from __future__ import annotations

import io
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from placet.errors import Refused, Unavailable, Unreadable
from placet.events import ByType, Heard, Service, UnitOfWork
from placet.events.adapters.sqlite_store import open_sqlite_store
from placet.events.mending import MAX_LINE_BYTES, rebuild, restore
from placet.events.store import EVENTS, HoldableStore
from placet.events.tables import LIBRARY, READ_MODEL
from placet.events.testing import CountingIds
from placet.events.wiring import Wiring

from tests.unit.events.harness import CODEC, AlphaNoted, ProducerLog

MODELS = sa.MetaData()
noted = sa.Table("noted", MODELS, sa.Column("text", sa.Text, primary_key=True), info=READ_MODEL)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[HoldableStore]:
    opened = await open_sqlite_store(
        tmp_path / "tester.db",
        codec=CODEC,
        ids=CountingIds(),
        tables=(LIBRARY, MODELS),
        logs=(EVENTS,),
    )
    yield opened
    await opened.close()


async def build(wiring: Wiring) -> Service:
    async def on_noted(heard: Heard[AlphaNoted], work: UnitOfWork) -> None:
        work.put(noted, text=heard.data.text)

    return Service(
        name="tester",
        wiring=wiring,
        hears=frozenset({"alpha"}),
        says=(),
        reaction=ByType({AlphaNoted: on_noted}),
    )


def an_entry() -> bytes:
    alpha = ProducerLog("alpha")
    alpha.say(AlphaNoted(text="a"), "churn")
    [said] = alpha.deliveries
    place = f'"producer":"alpha","epoch":"{said.epoch}","producerPosition":{said.position}'
    return b'{"position":1,%b,"event":%b}\n' % (place.encode(), said.raw)


class Piped:
    def __init__(self, data: bytes) -> None:
        self.buffer = io.BytesIO(data)


@pytest.mark.parametrize("piped", [b"", an_entry(), b"\n" + an_entry()])
async def test_read_models_are_not_made_of_what_nobody_vouches_for(
    store: HoldableStore, monkeypatch: pytest.MonkeyPatch, piped: bytes
) -> None:
    """Whoever verifies it was killed, and its end looks like the end of the log."""
    monkeypatch.setattr(sys, "stdin", Piped(piped))
    with pytest.raises((Unavailable, Refused), match=r"nobody has said|is empty"):
        await rebuild("tester", store, build, (MODELS,), "-")


async def test_they_are_made_of_what_somebody_vouches_for(
    store: HoldableStore, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", Piped(an_entry() + b"\n"))
    await rebuild("tester", store, build, (MODELS,), "-")
    assert capsys.readouterr().out == '{"position":1,"changed":{"noted":0}}\n'


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b'{"position":' + b"1" * MAX_LINE_BYTES, "does not end within"),
        (
            b'{"position":1,"producer":"alpha","epoch":"1","producerPosition":1,"event":'
            + b"[" * 100_000
            + b"]" * 100_000
            + b"}\n",
            "is no entry of an audit log",
        ),
    ],
)
async def test_a_line_that_would_fill_the_memory_or_the_stack_is_no_entry(
    store: HoldableStore, tmp_path: Path, line: bytes, said: str
) -> None:
    (tmp_path / "log").write_bytes(line)
    with pytest.raises(Unreadable, match=said):
        await restore("tester", store, build, str(tmp_path / "log"), None)  # type: ignore[arg-type]
