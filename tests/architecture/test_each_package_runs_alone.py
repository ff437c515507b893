"""Each package declares what it imports: it is installed into an environment of its own, and used there.

In the development environment everything is installed, which hides an import that nobody declared.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from tools import workspace

UV = Path(sys.executable).with_name("uv")
LOCK = workspace.ROOT / "requirements" / "dev.txt"
PACKAGES: dict[str, workspace.Package] = {
    canonicalize_name(package.name): package for package in workspace.packages()
}
WITH_MORE = ("placet.cli.platform", "placet.runtime.formats.")
"""These come with an extra, or with what the image of a project brings, and are loaded only then."""
IMPORT_ALL = "import importlib, sys; [importlib.import_module(name) for name in sys.argv[1:]]"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every package as it would be shipped, made from a copy, so that nothing is left in the checkout."""
    copy, wheels = tmp_path_factory.mktemp("workspace"), tmp_path_factory.mktemp("wheels")
    shutil.copy(workspace.ROOT / "pyproject.toml", copy)
    for package in PACKAGES.values():
        shutil.copytree(
            package.path,
            copy / package.path.relative_to(workspace.ROOT),
            ignore=shutil.ignore_patterns("__pycache__"),
        )
    options = ["--all-packages", "--wheel", "--no-build-isolation", "--python", sys.executable]
    succeed([UV, "build", "--quiet", *options, "--out-dir", wheels], cwd=copy)
    return wheels


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where each has its environment, in turn: one place, so that a module of a third party is compiled once for all of
    them (bytecode lies elsewhere, by the path of its source)."""
    return tmp_path_factory.mktemp("environment") / "alone"


@pytest.mark.parametrize("name", PACKAGES)
def test_a_package_runs_with_what_it_declares(name: str, wheels: Path, alone: Path, tmp_path: Path) -> None:
    package = PACKAGES[name]
    python = alone / "bin" / "python"
    succeed([UV, "venv", "--quiet", "--clear", "--python", sys.executable, alone], cwd=tmp_path)
    own = [next(wheels.glob(f"{each.name}-*.whl".replace("-", "_", 1))) for each in workspace.closure(name)]
    succeed([UV, "pip", "install", "--quiet", "--python", python, "--constraint", LOCK, *own], cwd=tmp_path)

    program = name.replace("-", ".")
    modules = [
        module for module in package.modules if not module.startswith((f"{program}.__main__", *WITH_MORE))
    ]
    bytecode = alone.with_name("bytecode")
    succeed([python, "-c", IMPORT_ALL, *modules], cwd=tmp_path, PYTHONPYCACHEPREFIX=bytecode)
    if package.path.parent.name == "services":
        asked: list[str | Path] = [python, "-m", program, "--help-settings"]
        assert "PLACET_" in succeed(asked, cwd=tmp_path, PYTHONPYCACHEPREFIX=bytecode)
    elif f"{program}.__main__" in package.modules:
        succeed([python, "-m", program, "--help"], cwd=tmp_path, PYTHONPYCACHEPREFIX=bytecode)


def succeed(command: list[str | Path], *, cwd: Path, **variables: str | Path) -> str:
    run = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **{name: str(value) for name, value in variables.items()}},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, f"{run.stderr}{run.stdout}{' '.join(map(str, command))}"
    return run.stdout
