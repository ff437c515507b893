"""Who mends a service's database is told where that can be done, before anything is begun."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
from placet.cli.verbs import restore
from placet.cli.verbs.mending import leading_to
from placet.client import Client
from placet.client.documents import Entry
from placet.errors import PlacetError, Refused, Unavailable, Unreadable
from placet.trust import SigningKey, checkpoints
from placet.trust.checkpoints import Checkpoint
from placet.trust.notes import SIGNS, NoteKey

from tests.unit.cli.conftest import Placet


@pytest.mark.parametrize("verb", ["rebuild", "restore"])
def test_where_its_settings_are_not_the_folder_of_an_embedded_one_is_asked_for(
    placet: Placet, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    monkeypatch.delenv("PLACET_DATABASE_URL", raising=False)
    ended = placet("audit", verb, "gateway")
    assert ended.status == 1
    assert "the settings of gateway are not in the environment" in ended.err
    assert "name its folder with --data" in ended.err


def test_the_audit_log_is_not_restored_from_itself(placet: Placet, tmp_path: Path) -> None:
    ended = placet("audit", "restore", "metadata", "--data", str(tmp_path))
    assert ended.status == 1
    assert "metadata keeps the audit log itself" in ended.err
    assert "python -m placet.metadata --restore FILE" in ended.err


def test_a_folder_without_an_audit_log_restores_nothing_and_stays_empty(
    placet: Placet, tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir()
    ended = placet("audit", "restore", "gateway", "--data", str(tmp_path / "data"))
    assert ended.status == 1
    assert f"{tmp_path / 'data'} holds no audit log" in ended.err
    assert list((tmp_path / "data").iterdir()) == []


def test_where_no_platform_runs_nothing_is_made_anew(placet: Placet, tmp_path: Path) -> None:
    ended = placet("audit", "rebuild", "gateway", "--data", str(tmp_path / "data"))
    assert ended.status == 3
    assert "start one with `placet up`" in ended.err
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("kind", [Refused, Unreadable])
def test_what_is_wrong_with_a_log_says_first_that_nothing_came_of_it(kind: type[PlacetError]) -> None:
    with pytest.raises(kind) as wrong, leading_to("nothing was changed"):
        raise kind("after position 3 the log goes on with 3", rule="audit.contiguous", fix="ask")
    assert wrong.value.detail == "nothing was changed: after position 3 the log goes on with 3"
    assert (wrong.value.rule, wrong.value.fix) == ("audit.contiguous", "ask")


KEY = SigningKey.generate()
LOG = NoteKey(name="placet.example/log", kind=SIGNS, key=KEY.public)


@dataclass
class Logging:
    """A platform whose log holds events of these producers, and which signs up to the next of `sizes` each time it is
    asked, at last up to the last of them."""

    producers: Sequence[str]
    sizes: list[int]

    async def checkpoint(self) -> bytes:
        size = self.sizes.pop(0) if len(self.sizes) > 1 else self.sizes[0]
        signed = checkpoints.sign(Checkpoint(origin=LOG.name, size=size, root=bytes(32)), KEY)
        return signed.to_bytes()

    async def entries(self, *, after: int) -> AsyncGenerator[Entry]:
        for position in range(after + 1, len(self.producers) + 1):
            event = cast(Any, None)
            yield Entry(
                position=position, producer=self.producers[position - 1], producer_position=1, event=event
            )


async def covered(producers: Sequence[str], sizes: list[int]) -> int:
    platform = cast(Client, Logging(producers, sizes))
    signed, by = await restore.covering(platform, "deployer", [LOG])
    assert by == LOG
    return signed.size


async def test_what_the_service_said_last_is_waited_for_until_it_is_signed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(restore, "LOOK_EVERY", 0)
    said = ["gateway", "deployer", "gateway", "deployer", "gateway"]
    assert await covered(said, [1, 2, 3, 4, 5]) == 4, "and what others said behind it is not"
    assert await covered(said, [4, 5]) == 4
    with pytest.raises(Unavailable, match="of deployer up to position 4, and is signed up to 3") as refused:
        await covered(said, [1, 3])
    assert "placet status --platform" in (refused.value.fix or "")
