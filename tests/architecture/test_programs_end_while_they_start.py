"""Who is told to end before all is imported does so by itself: as the first process of its machine, which it is in a
container, nobody else would end it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest

IMPORTED = "import sys\nprint('importing', flush=True)\nsys.stdin.read()\n"
SERVICES = ("builder", "certifier", "deployer", "gateway", "indexer", "metadata")
FIRST = (
    "unshare",
    *(("--user", "--map-root-user") if os.geteuid() else ()),
    "--pid",
    "--fork",
    "--kill-child",
)


def is_allowed() -> bool:
    """Where tests are run in a container without rights they are not. Where all is required, whatever it says."""
    if "CI" in os.environ:
        return True
    unshare = shutil.which(FIRST[0])
    return unshare is not None and subprocess.run([*FIRST, "true"], check=False).returncode == 0


FIRST_OF_ITS_MACHINE = pytest.param(
    FIRST,
    id="the first",
    marks=pytest.mark.skipif(not is_allowed(), reason="no namespace of processes can be had here"),
)


@pytest.mark.parametrize("first", [pytest.param((), id="one of many"), FIRST_OF_ITS_MACHINE])
@pytest.mark.parametrize(
    ("program", "imports"), [*((each, "msgspec") for each in SERVICES), ("runtime", "uvicorn")]
)
def test_who_imports_ends_at_once(tmp_path: Path, program: str, imports: str, first: Sequence[str]) -> None:
    (tmp_path / f"{imports}.py").write_text(IMPORTED)
    with subprocess.Popen(
        [*first, sys.executable, "-m", f"placet.{program}"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "importing\n"
        told = psutil.Process(process.pid)
        if first:
            (told,) = told.children()
        told.terminate()
        # A model's server may spend seconds in one call of a library, in which it could do nothing by itself.
        dies = program == "runtime" and not first
        assert process.wait(60) == (-signal.SIGTERM if dies else 128 + signal.SIGTERM)
        assert process.stderr is not None
        assert not process.stderr.read()
