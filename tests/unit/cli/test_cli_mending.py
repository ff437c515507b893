"""Who mends a service's database is told where that can be done, before anything is begun."""

from __future__ import annotations

from pathlib import Path

import pytest
from placet.cli.verbs.mending import leading_to
from placet.errors import PlacetError, Refused, Unreadable

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
