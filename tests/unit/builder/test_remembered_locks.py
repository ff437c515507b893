"""How long what was locked is locked, and what ends it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from placet.builder.adapters.remembered_locks import RememberedLocks
from placet.builder.ports import Target
from placet.errors import Refused

from tests.unit.builder.fake_index import FakePackages, Wheel

HERE = Target(python="cp311", platform="linux/amd64")
OLD, NEW = Wheel("1.0", {"light.py": b"x = 1"}), Wheel("1.1", {"light.py": b"x = 2"})


class Index:
    """An index where `light` gets a new version at once, remembered for ten minutes, and the time."""

    def __init__(self, folder: Path) -> None:
        self.now = 1000.0
        self.folder = folder
        self.packages = FakePackages({"light": OLD})
        self.remembered = RememberedLocks(self.packages, seconds=600, monotonic=lambda: self.now)

    async def locked(self, *asked: str, target: Target = HERE) -> str:
        text = await self.remembered.resolve(asked or ("light",), (), target, self.folder)
        return text.split()[0]


@pytest.fixture
async def index(tmp_path: Path) -> Index:
    index = Index(tmp_path)
    assert await index.locked() == "light==1.0"
    index.packages.wheels = {"light": NEW}
    return index


async def test_a_lock_holds_for_as_long_as_it_was_told_to_and_no_longer(index: Index) -> None:
    index.now += 599
    assert await index.locked() == "light==1.0"
    index.now += 1
    assert await index.locked() == "light==1.1"
    index.packages.wheels = {"light": OLD}
    index.now += 599
    assert await index.locked() == "light==1.1", "which holds from when it was asked for"


async def test_another_requirement_or_target_is_asked_for_at_once(index: Index) -> None:
    assert await index.locked("light>1.0") == "light==1.1"
    assert await index.locked(target=replace(HERE, python="cp312")) == "light==1.1"
    assert await index.locked() == "light==1.0"


async def test_what_cannot_be_installed_is_locked_anew(index: Index, tmp_path: Path) -> None:
    with pytest.raises(Refused, match="hash"):
        await index.remembered.install(
            f"light==1.0 --hash=sha256:{'0' * 64}", HERE, tmp_path / "light", tmp_path
        )

    assert await index.locked() == "light==1.1"


async def test_what_was_refused_is_not_remembered(index: Index) -> None:
    index.packages.wheels = {}
    with pytest.raises(Refused):
        await index.locked("heavy")
    index.packages.wheels = {"heavy": OLD}
    assert await index.locked("heavy") == "heavy==1.0"
