"""One file, which runs where there is nothing but a Python."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import placet.verifier
from placet.verifier.single_file import ORDER, single_file

FOLDER = Path(placet.verifier.__file__).parent


def test_it_needs_the_standard_library_alone() -> None:
    for each in ast.walk(ast.parse(single_file())):
        match each:
            case ast.Import(names=names):
                assert all(one.name in sys.stdlib_module_names for one in names)
            case ast.ImportFrom(module=module):
                assert module in {*sys.stdlib_module_names, "collections.abc"}


def test_it_runs_without_any_package(tmp_path: Path) -> None:
    program = tmp_path / "verifier.py"
    program.write_text(single_file(), encoding="utf-8")
    alone = [sys.executable, "-I", "-S", str(program)]
    told = subprocess.run([*alone, "--help"], capture_output=True, text=True, check=True)
    assert "BUNDLE.zip" in told.stdout
    missing = subprocess.run([*alone, str(tmp_path / "none.zip")], capture_output=True, text=True)
    assert (missing.returncode, missing.stdout) == (2, "")
    assert "cannot be checked" in missing.stderr


def test_every_module_is_in_it_and_it_is_the_same_each_time() -> None:
    modules = {each.stem for each in FOLDER.glob("*.py")} - {"__init__", "__main__", "single_file"}
    assert set(ORDER) == modules
    assert single_file() == single_file()


def test_it_is_written_for_older_pythons_too() -> None:
    ast.parse(single_file(), feature_version=(3, 9))
