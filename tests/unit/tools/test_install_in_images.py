"""What `deploy/images/install.py` makes of how programs end that it runs."""

from __future__ import annotations

import signal
from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

from tools import workspace

CRASHED = -signal.SIGSEGV


@pytest.fixture
def install() -> ModuleType:
    spec = spec_from_file_location("install", workspace.ROOT / "deploy" / "images" / "install.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def ending(target: Path, *statuses: int) -> Callable[..., int]:
    """Leaves a file behind and ends so, one time after the other; it must find nothing of the time before."""
    left = iter(statuses)

    def program(*command: str | Path, **environment: str) -> int:
        assert command[-2:] == ("--target", target)
        target.mkdir()
        (target / "half").touch()
        return next(left)

    return program


def test_an_installer_that_crashed_begins_anew(
    install: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(install, "status_of", ending(tmp_path / "packages", CRASHED, 0))
    install.uv(tmp_path / "packages", "--requirement", "lock.txt")


@pytest.mark.parametrize("statuses", [(CRASHED, CRASHED), (CRASHED, 2), (2,)])
def test_one_that_fails_again_or_says_why_not_ends_the_build(
    install: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, statuses: tuple[int, ...]
) -> None:
    monkeypatch.setattr(install, "status_of", ending(tmp_path / "packages", *statuses))
    with pytest.raises(SystemExit, match=f"uv pip install .* failed with {statuses[-1]}"):
        install.uv(tmp_path / "packages", "--requirement", "lock.txt")


def test_what_is_beside_the_common_lock_is_installed_after_it(install: ModuleType, tmp_path: Path) -> None:
    alike, another = (
        "a==1 \\\n    --hash=sha256:1\n",
        "b==2 ; python_version < '3.12' \\\n    --hash=sha256:2\n",
    )
    newer = another.replace("2", "3")
    for name, entries in {"common.txt": (alike, newer), "deployer.txt": (another, alike)}.items():
        (tmp_path / name).write_text("".join(entries))
    assert install.beside(tmp_path / "deployer.txt", tmp_path / "common.txt") == another


def test_any_other_program_that_fails_ends_it(install: ModuleType) -> None:
    install.run("true")
    with pytest.raises(SystemExit, match="false failed with 1"):
        install.run("false")
