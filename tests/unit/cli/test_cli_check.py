"""`placet check`: the shipped rules, asked on this machine."""

from __future__ import annotations

import os
import pickle
import shutil
from pathlib import Path

from placet.rules import load_shipped

from tests.unit.cli.conftest import Placet
from tests.unit.client.fake_platform import FakePlatform

EXAMPLE = Path(__file__).parents[3] / "examples" / "multiclass"


class Hostile:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("true",)


def test_a_good_project_would_be_cleared_by_every_rule_and_nothing_is_sent(
    placet: Placet, platform: FakePlatform
) -> None:
    ended = placet("check", str(EXAMPLE), "--json")
    assert ended.status == 0, ended.err
    assert ended.document["state"] == "cleared"
    assert ended.document["project"] == "multiclass"
    rules = {rule.id for policy in load_shipped() for rule in policy.rules if rule.stage == "submit"}
    assert {verdict["rule"] for verdict in ended.document["verdicts"]} == rules
    assert {verdict["result"] for verdict in ended.document["verdicts"]} == {"pass"}
    assert platform.requests == []


def test_the_digest_is_the_one_the_platform_would_know_it_by(placet: Placet, platform: FakePlatform) -> None:
    checked = placet("check", str(EXAMPLE), "--json").document
    assert checked["source"] == placet("deploy", str(EXAMPLE), "--json").document["source"]


def test_what_only_people_know_is_asked_for_by_rule_with_the_next_step(placet: Placet, project: Path) -> None:
    ended = placet("check", str(project), "--json")
    assert ended.status == 1
    assert ended.document["state"] == "refused"
    for refusal in ended.document["refusals"]:
        assert refusal["rule"]
        assert refusal["why"]
        assert refusal["fix"]
    assert any("owner" in refusal["rule"] for refusal in ended.document["refusals"])


def test_a_hostile_pickle_is_refused_and_never_loaded(placet: Placet, tmp_path: Path) -> None:
    folder = tmp_path / "hostile"
    shutil.copytree(EXAMPLE, folder)
    (folder / "model.skops").unlink()
    (folder / "model.pkl").write_bytes(pickle.dumps(Hostile()))
    manifest = folder / "placet.yaml"
    manifest.write_text(manifest.read_text().replace("model.skops", "model.pkl"))
    ended = placet("check", str(folder), "--json")
    assert ended.status == 1
    assert any("pickle" in refusal["rule"] for refusal in ended.document["refusals"])


def test_every_mistake_in_a_manifest_is_named(placet: Placet, project: Path) -> None:
    (project / "placet.yaml").write_text("apiVersion: placet/v1\nprojekt: wine\nmodel: {format: sklearn}\n")
    ended = placet("check", str(project), "--json")
    assert ended.status == 1
    assert ended.document["verdicts"] == []
    said = " ".join(f"{refusal['why']} {refusal['fix']}" for refusal in ended.document["refusals"])
    assert len(ended.document["refusals"]) >= 2
    assert "projekt" in said
    assert "project" in said
    assert "model.path" in said


def test_a_folder_without_a_manifest_is_told_about_init(placet: Placet, tmp_path: Path) -> None:
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "model.bin").write_bytes(b"?")
    ended = placet("check", str(tmp_path / "bare"))
    assert ended.status == 1
    assert "placet init" in ended.err
    assert placet("check", str(tmp_path / "nowhere")).status == 2
