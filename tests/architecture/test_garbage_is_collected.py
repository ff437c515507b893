"""Programs put the collection of garbage off while they import, and no longer."""

from __future__ import annotations

import subprocess
import sys

import pytest

RUN = """
import gc, runpy, sys
sys.argv = [{program!r}, "--help"]
try:
    runpy.run_module({program!r}, run_name="__main__")
except SystemExit as end:
    assert not end.code, end.code
print()
print(gc.isenabled(), gc.get_freeze_count() > 10_000)
"""


@pytest.mark.parametrize(
    "program", ["placet.metadata", "placet.runtime", "placet.cli", "placet.cli.platform_mending"]
)
def test_what_is_imported_is_set_aside_and_the_rest_is_looked_at(program: str) -> None:
    told = subprocess.run(
        [sys.executable, "-c", RUN.format(program=program)], capture_output=True, text=True, check=True
    )
    assert told.stdout.splitlines()[-1] == "True True"
