"""Events with names and types, and where a follower was."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypedDict

import msgspec
import pytest
from placet.client import Event, FileCheckpoint, Mark
from placet.errors import Unreadable
from placet.events.catalog import contract_of
from placet.events.contracts import CATALOG

from tests.unit.events.golden_payloads import GOLDEN, example

TYPES = sorted(CATALOG.types, key=lambda cls: contract_of(cls).type)


def golden(type: str) -> Event:
    return Event.of({**json.loads((GOLDEN / f"{type}.json").read_bytes()), "sequence": 17})


def test_an_event_has_names_that_a_reader_expects() -> None:
    event = golden("placet.metadata.webhook.disabled.v1")
    assert (event.kind, event.version, event.producer) == ("metadata.webhook.disabled", 1, "metadata")
    assert (event.position, event.project, event.actor) == (17, "churn", "service:metadata")
    assert event.time == datetime(2026, 1, 2, 3, 4, 5, 678000, UTC)
    assert event.cause == "01890a5d-ac96-774b-bcce-b302099a8059"
    assert event.operation == "01890a5d-ac96-774b-bcce-b302099a8058"


@pytest.mark.parametrize("cls", TYPES, ids=lambda cls: contract_of(cls).type)
def test_every_event_there_is_becomes_the_type_of_its_contract(cls: type) -> None:
    event = golden(contract_of(cls).type)
    assert event.typed(CATALOG) == example(cls)


def test_what_it_says_is_read_as_the_reader_s_own_type() -> None:
    @dataclass
    class Disabled:
        webhook: str
        position: int

    class Why(TypedDict):
        why: str

    event = golden("placet.metadata.webhook.disabled.v1")
    assert event.read(Disabled) == Disabled(webhook=event.data["webhook"], position=7)
    assert event.read(Why)["why"] == "gone"


def test_a_field_that_is_not_there_or_of_another_type_is_told() -> None:
    @dataclass
    class Wrong:
        position: str

    @dataclass
    class Missing:
        url: str

    event = golden("placet.metadata.webhook.disabled.v1")
    for wanted in (Wrong, Missing):
        with pytest.raises(Unreadable, match=r"at position 17 is no (Wrong|Missing)"):
            event.read(wanted)


def test_what_is_no_event_is_unreadable() -> None:
    for told in (
        {},
        {"id": 1},
        {**msgspec.to_builtins(golden("placet.metadata.webhook.added.v1")), "data": 7},
    ):
        with pytest.raises(Unreadable):
            Event.of(told)


async def test_a_file_keeps_where_a_follower_was(tmp_path: Path) -> None:
    checkpoint = FileCheckpoint(tmp_path / "place.json")
    assert await checkpoint.load() is None
    for position in (1, 2):
        await checkpoint.save(Mark(position=position, event=f"e{position}"))
    assert await FileCheckpoint(str(tmp_path / "place.json")).load() == Mark(position=2, event="e2")
    assert os.listdir(tmp_path) == ["place.json"]


@pytest.mark.parametrize("text", ["", "{", "17", '{"position": "x", "event": "e"}', "\x00"])
async def test_a_file_that_says_something_else_is_not_taken_for_the_beginning(
    tmp_path: Path, text: str
) -> None:
    (tmp_path / "place.json").write_text(text)
    with pytest.raises(Unreadable, match=r"place\.json says nothing of where"):
        await FileCheckpoint(tmp_path / "place.json").load()
