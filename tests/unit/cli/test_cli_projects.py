"""init and check: a folder on this machine, and nothing sent."""

from __future__ import annotations

import zipfile
from pathlib import Path

from placet.projects import parse_manifest

from tests.unit.cli.conftest import Placet


def model_folder(path: Path) -> Path:
    path.mkdir()
    with zipfile.ZipFile(path / "model.skops", "w") as container:
        container.writestr("schema.json", "{}")
    return path


def test_init_writes_what_it_can_find_out_and_names_the_rest(placet: Placet, tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "Wine Quality")
    (folder / "requirements.txt").write_text("scikit-learn")
    ended = placet("init", str(folder), "--json")
    assert ended.status == 0
    written = parse_manifest((folder / "placet.yaml").read_bytes())
    assert (written.project, written.model.format, written.model.path) == (
        "wine-quality",
        "sklearn",
        "model.skops",
    )
    assert written.requirements == "requirements.txt"
    assert ended.document["path"] == str(folder / "placet.yaml")
    assert ended.document["missing"] == [
        "governance.purpose",
        "governance.riskClass",
        "governance.owner",
        "governance.data",
        "model.sample",
        "card",
    ]
    assert "governance.owner" in ended.err


def test_init_writes_over_nothing_unless_told_to(placet: Placet, tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "wine")
    (folder / "placet.yaml").write_text("mine")
    ended = placet("init", str(folder))
    assert ended.status == 2
    assert "--force" in ended.err
    assert (folder / "placet.yaml").read_text() == "mine"
    assert placet("init", str(folder), "--force").out == f"{folder / 'placet.yaml'}\n"


def test_init_of_a_folder_without_a_model_says_what_it_looked_for(placet: Placet, tmp_path: Path) -> None:
    ended = placet("init", str(tmp_path))
    assert ended.status == 1
    assert ".skops" in ended.err
    assert placet("init", str(tmp_path / "nowhere")).status == 2
