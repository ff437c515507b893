from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from placet.cli.command import main

from tests.unit.client.fake_platform import ADMIN, FakePlatform, running

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "examples" / "multiclass"
HOW_TO = ROOT / "docs" / "how-to" / "write-a-policy.md"
MANIFEST = """\
apiVersion: placet/v1
project: wine
model: {format: sklearn, path: model.skops}
"""


@dataclass(frozen=True)
class Ended:
    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document on stdout."""
        return json.loads(self.out)


Placet = Callable[..., Ended]


@pytest.fixture
def placet(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Placet:
    """The command, called in this process by a user of whom nothing is known."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("PLACET_URL", raising=False)
    monkeypatch.delenv("PLACET_TOKEN", raising=False)
    monkeypatch.setenv("UV_OFFLINE", "1")  # what is on a package index is asked where it matters
    monkeypatch.chdir(tmp_path)

    def call(*argv: str) -> Ended:
        status = main(argv)
        said = capsys.readouterr()
        return Ended(status, said.out, said.err)

    return call


@pytest.fixture
def platform(placet: Placet, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakePlatform]:
    """A platform that the command finds."""
    with running(FakePlatform()) as platform:
        monkeypatch.setenv("PLACET_URL", platform.url)
        monkeypatch.setenv("PLACET_TOKEN", ADMIN)
        yield platform


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project that no rule refuses."""
    folder = tmp_path / "wine-project"
    shutil.copytree(EXAMPLE, folder)
    manifest = folder / "placet.yaml"
    manifest.write_text(manifest.read_text().replace("project: multiclass", "project: wine"))
    return folder


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A project that says no more than it must to be read."""
    folder = tmp_path / "bare-project"
    folder.mkdir()
    (folder / "placet.yaml").write_text(MANIFEST)
    (folder / "model.skops").write_bytes(b"a model")
    return folder


@pytest.fixture
def policy() -> str:
    """The one of the how-to."""
    found = re.search(r"```yaml\n(.*?)```", HOW_TO.read_text(), re.DOTALL)
    assert found is not None
    return found[1]
